use super::*;

const V1: &str = "01220708\
00000000cb00710ac6336407ed00378080000001830f6d6e31406578616d706c652e636f6d2014000001000ad402008b0709b90ca22df1704cf12f";

fn v1() -> Vec<u8> {
    hex::decode(V1).unwrap()
}

fn association(algorithm: Algorithm, key: &[u8]) -> SecurityAssociation {
    SecurityAssociation {
        spi: 0x100,
        algorithm,
        key: Key::new(key).unwrap(),
        replay: ReplayProtection::Timestamps,
    }
}

#[test]
fn hmacs_are_those_of_rfc_2202_and_rfc_4231() {
    let cases: [(Algorithm, &[u8], &str); 3] = [
        (
            Algorithm::HmacMd5,
            &[0x0b; 16],
            "9294727a3638bb1c13f48ef8158bfc9d",
        ),
        (
            Algorithm::HmacSha1,
            &[0x0b; 20],
            "b617318655057264e28bc0b6fb378c8ef146be00",
        ),
        (
            Algorithm::HmacSha256,
            &[0x0b; 20],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
    ];
    for (algorithm, key, expected) in cases {
        let authenticator = association(algorithm, key).authenticator(b"Hi There");
        assert_eq!(hex::encode(&authenticator), expected, "{algorithm}");
        assert_eq!(
            authenticator.len(),
            algorithm.authenticator_length(),
            "{algorithm}"
        );
    }
}

#[test]
fn every_algorithm_over_the_first_vector() {
    let cases = [
        (Algorithm::HmacMd5, "0ad402008b0709b90ca22df1704cf12f"),
        (
            Algorithm::KeyedMd5 { covers_spi: true },
            "dbc6664cc1a2a03129fc975ae0f44abf",
        ),
        (
            Algorithm::KeyedMd5 { covers_spi: false },
            "5f3452f832827a87f517e35f373b50c3",
        ),
    ];
    for (algorithm, expected) in cases {
        let association = association(algorithm, &[0x0b; 16]);
        let authenticator = association.authenticator(&v1()[..47]);
        assert_eq!(hex::encode(&authenticator), expected, "{algorithm}");
        assert!(association.verify(&v1()[..47], &authenticator));
        assert!(!association.verify(&v1()[..46], &authenticator));
        assert!(
            !association.verify(&v1()[..47], &authenticator[..15]),
            "truncated"
        );
        assert!(!association.verify(&v1()[..47], &[]), "absent");
    }
}

#[test]
fn mn_aaa_over_the_first_vector() {
    let mut covered = v1();
    covered.extend(hex::decode("2401001400000200").unwrap());
    let hmac = association(Algorithm::HmacMd5, b"Jefe");
    assert_eq!(
        hex::encode(hmac.authenticator(&covered)),
        "7030afe4b3c8035623b8c04f707cc0df"
    );

    let mut covered = v1();
    covered.extend(hex::decode("2401001400000002").unwrap());
    let chap = MnAaaChap::new(&covered, &[0]);
    assert_eq!(chap.identifier, 0);
    assert_eq!(
        hex::encode(&chap.challenge),
        "e90fbe4759f582cb768943265510ecdd00"
    );
    let key = Key::new(b"Jefe").unwrap();
    assert_eq!(
        hex::encode(chap.authenticator(&key)),
        "3aef83c18e757182d6cecc1e248bb4a8"
    );
    assert!(chap.verify(&key, &chap.authenticator(&key)));
    assert!(!chap.verify(&key, &[0; 16]));
}

#[test]
fn mn_aaa_takes_the_end_of_a_long_challenge() {
    let challenge: Vec<u8> = (0..=255).collect();
    let chap = MnAaaChap::new(b"", &challenge);
    assert_eq!(chap.identifier, 0);
    assert_eq!(chap.challenge.len(), 253, "what a RADIUS attribute holds");
    assert_eq!(chap.challenge[16..], challenge[19..]);
}

#[test]
fn a_key_is_read_but_never_shown() {
    let key = Key::from_hex(" 0B0b0b0b\n").unwrap();
    assert_eq!(key.as_bytes(), [0x0b; 4]);
    assert_eq!(key, Key::new([0x0b; 4]).unwrap());
    assert_eq!(format!("{key:?}"), "Key(redacted)");
    assert_eq!(Key::from_hex("0b0"), Err(KeyError::OddLength(3)));
    assert_eq!(Key::from_hex("0b0x"), Err(KeyError::NotHexadecimal(3)));
    assert_eq!(Key::from_hex(""), Err(KeyError::Length(0)));
    assert_eq!(Key::new([0; 1025]), Err(KeyError::Length(1025)));
}

#[test]
fn algorithms_have_names() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
    }
    assert!("md5".parse::<Algorithm>().is_err());
}

#[test]
fn open_mode_is_the_association_everybody_knows() {
    let association = SecurityAssociation::open_mode();
    assert_eq!(association.spi, 0x4348_4100);
    assert_eq!(association.algorithm, Algorithm::HmacMd5);
    assert_eq!(association.key.as_bytes(), [0; 16]);
}
