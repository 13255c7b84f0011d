//! The key that a home agent publishes in the TXT record of its name: `v=cha1; x25519=<64 hex digits>`.

use std::collections::BTreeSet;

/// The X25519 public key of a home agent (RFC 7748), as it is published.
pub type AgentKey = [u8; 32];

/// What the tag that comes first says of all that have this form.
const VERSION: &str = "v=cha1";
/// The tag of the key.
const KEY: &str = "x25519";

/// The key of an agent, if it publishes one.
pub(crate) type Published = Result<Option<AgentKey>, KeyFault>;

/// Why an agent is done without: what it publishes would have to be insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// A key was published in a form that is not understood, or several were.
    Malformed,
    /// Neither a key nor that there is none is signed, and has to be.
    Unproven,
}

/// The key in the TXT records of one name. Records of other forms are for
/// others, tags of other names for later versions.
pub(crate) fn published(texts: &[Vec<u8>]) -> Published {
    let ours = texts.iter().filter_map(|text| tags(text));
    let keys = ours
        .map(|tags| key(&tags))
        .collect::<Result<BTreeSet<_>, _>>()?;
    if keys.len() > 1 {
        return Err(KeyFault::Malformed);
    }
    Ok(keys.into_iter().next())
}

/// The tags of a text that begins as ours do.
fn tags(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut tags = text.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
    (tags.next() == Some(VERSION.as_bytes())).then(|| tags.collect())
}

fn key(tags: &[&[u8]]) -> Result<AgentKey, KeyFault> {
    let mut found = None;
    for tag in tags {
        let mut parts = tag
            .splitn(2, |octet| *octet == b'=')
            .map(<[u8]>::trim_ascii);
        if parts.next() != Some(KEY.as_bytes()) {
            continue;
        }
        let digits = parts.next().ok_or(KeyFault::Malformed)?;
        let mut octets = AgentKey::default();
        hex::decode_to_slice(digits, &mut octets).map_err(|_| KeyFault::Malformed)?;
        if found.replace(octets).is_some() {
            return Err(KeyFault::Malformed);
        }
    }
    found.ok_or(KeyFault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "5bd6ed0693f72f6af02cf426770224a78c721d6c14c96da4cef1c420abb18e02";

    fn read(texts: &[&str]) -> Published {
        let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        published(&texts)
    }

    #[test]
    fn a_key_is_read() {
        let key = read(&[&format!("v=cha1; x25519={DIGITS}")])
            .unwrap()
            .unwrap();
        assert_eq!((key[0], key[31]), (0x5b, 0x02));
        for same in [
            format!("v=cha1;x25519={}", DIGITS.to_uppercase()),
            format!(" v=cha1 ; later=x;  x25519 = {DIGITS} ;"),
        ] {
            assert_eq!(read(&[&same]), Ok(Some(key)), "{same}");
            let known = format!("v=cha1; x25519={DIGITS}");
            assert_eq!(read(&["v=spf1 -all", &same, &known]), Ok(Some(key)));
        }
    }

    #[test]
    fn what_is_for_others_is_no_key() {
        for other in [
            "",
            "v=spf1 -all",
            "v=cha10; x25519=1",
            "x25519=1",
            "v=cha1 x",
        ] {
            assert_eq!(read(&[other]), Ok(None), "{other}");
        }
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn what_is_not_one_key_is_malformed() {
        let other = DIGITS.replace('5', "6");
        for bad in [
            "v=cha1".to_owned(),
            "v=cha1; x25519".to_owned(),
            "v=cha1; x25519=".to_owned(),
            format!("v=cha1; x25519={}", &DIGITS[1..]),
            format!("v=cha1; x25519={DIGITS}00"),
            format!("v=cha1; x25519={}", DIGITS.replace('5', "g")),
            format!("v=cha1; x25519={DIGITS}; x25519={DIGITS}"),
        ] {
            assert_eq!(read(&[&bad]), Err(KeyFault::Malformed), "{bad}");
        }
        let two = [DIGITS, &other].map(|digits| format!("v=cha1; x25519={digits}"));
        assert_eq!(read(&[&two[0], &two[1]]), Err(KeyFault::Malformed));
    }
}
