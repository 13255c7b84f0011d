use super::*;
use crate::security::SecurityAssociation;

/// A request with nothing after its fixed part, then these extensions.
fn request(extensions: &str) -> Vec<u8> {
    let fixed = "0122025800000000cb00710ac6336407ed0056c080000006";
    hex::decode(format!("{fixed}{extensions}")).unwrap()
}

fn decode(extensions: &str) -> Result<Extensions, DecodeError> {
    RegistrationRequest::decode(&request(extensions)).map(|request| request.extensions)
}

#[test]
fn what_is_after_the_authenticator_is_not_believed() {
    let mut octets = RegistrationRequest::decode(&request("830161"))
        .unwrap()
        .encode(&SecurityAssociation::open_mode());
    octets.extend([0x90, 6, 0, 0, 0x80, 0, 0, 0]);
    let request = RegistrationRequest::decode(&octets).unwrap();
    assert_eq!(
        request.extensions.nai().map(|identity| identity.as_bytes()),
        Some(&b"a"[..])
    );
    assert_eq!(request.extensions.udp_tunnel_request(), None);
    assert_eq!(request.extensions.unprotected().len(), 1);
    let authentication = request.extensions.mobile_home_authentication().unwrap();
    assert!(authentication.is_valid(&SecurityAssociation::open_mode(), &octets));
}

#[test]
fn two_authenticators_are_none() {
    let request = RegistrationRequest::decode(&request("")).unwrap();
    let association = SecurityAssociation::open_mode();
    let once = RegistrationRequest::decode(&request.encode(&association)).unwrap();
    assert!(once.extensions.mobile_home_authentication().is_some());
    let twice = RegistrationRequest::decode(&once.encode(&association)).unwrap();
    assert_eq!(twice.extensions.mobile_home_authentication(), None);
}

#[test]
fn the_retired_flag_and_the_reserved_one_are_ignored() {
    let mut octets = request("");
    octets[1] = 0xff;
    let request = RegistrationRequest::decode(&octets).unwrap();
    assert_eq!(request.flags.to_wire(), 0xfa);
    assert!(
        request
            .flags
            .contains(RequestFlags::CO_LOCATED | RequestFlags::SIMULTANEOUS_BINDINGS)
    );
    assert!(!RequestFlags::CO_LOCATED.contains(RequestFlags::GRE));
}

#[test]
fn overruns_are_named_with_what_is_missing() {
    let extension = ExtensionType::NAI;
    assert_eq!(
        decode("8305616263"),
        Err(DecodeError::TruncatedExtension {
            extension,
            offset: 24,
            expected: 7,
            available: 5
        })
    );
    assert_eq!(
        decode("83"),
        Err(DecodeError::TruncatedExtension {
            extension,
            offset: 24,
            expected: 2,
            available: 1
        })
    );
    let extension = ExtensionType::GENERALIZED_AUTHENTICATION;
    assert_eq!(
        decode("240100"),
        Err(DecodeError::TruncatedExtension {
            extension,
            offset: 24,
            expected: 4,
            available: 3
        })
    );
    assert_eq!(
        RegistrationRequest::decode(&request("")[..23]),
        Err(DecodeError::TruncatedMessage {
            message_type: MessageType::REGISTRATION_REQUEST,
            expected: 24,
            length: 23
        })
    );
}

#[test]
fn content_that_its_definition_excludes_is_poorly_formed() {
    for extensions in [
        "8300",
        "2003000001",
        "200400000100",
        "9005000000000000",
        "2c0500000000",
        "8900",
        "8904000000",
        "860600000000",
        "26000005000000090000",
        "94050018c00002",
        "9700",
        "3000000312345600",
        "2d0100",
        "24010004000002ff",
    ] {
        let error = decode(extensions).unwrap_err();
        assert!(
            matches!(
                error,
                DecodeError::MalformedExtension { offset: 24, .. }
                    | DecodeError::TruncatedExtension { .. }
            ),
            "{extensions}: {error}"
        );
        assert_eq!(
            error.reply_code(),
            Some(ReplyCode::POORLY_FORMED_REQUEST),
            "{extensions}"
        );
    }
}

#[test]
fn a_request_with_reserved_bits_nobody_understands_is_skipped() {
    let extensions = decode("9006000000000001").unwrap();
    assert_eq!(extensions.udp_tunnel_request(), None);
    assert!(matches!(extensions.as_slice(), [Extension::Opaque(_)]));
}

#[test]
fn both_lengths_of_the_odd_skippable_types_are_stepped_over() {
    for extensions in [
        "8b010004cb00710a830161",
        "8b0501cb00710a830161",
        "9a01000400000001830161",
        "9a03000a0b830161",
    ] {
        assert!(decode(extensions).unwrap().nai().is_some(), "{extensions}");
    }
}

#[test]
fn extensions_that_must_be_understood_are_pointed_out() {
    assert_eq!(decode("830161").unwrap().not_understood(), None);
    assert_eq!(decode("c80161").unwrap().not_understood(), None);
    assert_eq!(
        decode("7f000001ff").unwrap().not_understood(),
        Some(ExtensionType::EXPERIMENTAL_NON_SKIPPABLE)
    );
    let vendor = decode("260000060000000900 01".replace(' ', "").as_str()).unwrap();
    assert!(vendor.has_critical_vendor());
    assert_eq!(vendor.not_understood(), None, "it has an answer of its own");
}

#[test]
fn a_flood_of_extensions_is_cut_off_and_padding_is_not() {
    assert!(decode(&"c800".repeat(MAX_EXTENSIONS)).is_ok());
    assert_eq!(
        decode(&"c800".repeat(MAX_EXTENSIONS + 1)),
        Err(DecodeError::TooManyExtensions {
            max: MAX_EXTENSIONS,
            offset: 24 + 2 * MAX_EXTENSIONS
        })
    );
    assert_eq!(
        decode(&"00".repeat(60_000)).unwrap().as_slice(),
        [Extension::Padding(60_000)]
    );
}

#[test]
fn test_messages_have_one_length() {
    assert!(Message::decode(&[24; 10]).is_ok());
    assert!(matches!(
        Message::decode(&[24; 9]),
        Err(DecodeError::TruncatedMessage { expected: 10, .. })
    ));
    assert!(matches!(
        Message::decode(&[24; 11]),
        Err(DecodeError::TrailingOctets { expected: 10, .. })
    ));
}

#[test]
fn reply_codes_say_who_speaks_and_whether_it_is_a_yes() {
    let accepted: Vec<u8> = (0..=255)
        .filter(|code| ReplyCode(*code).is_accepted())
        .collect();
    assert_eq!(accepted, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        ReplyCode::IDENTIFICATION_MISMATCH.origin(),
        Origin::HomeAgent
    );
    assert_eq!(
        ReplyCode::FA_LIFETIME_TOO_LONG.origin(),
        Origin::ForeignAgent
    );
    assert_eq!(
        ReplyCode::FA_INVALID_HOME_AGENT_ADDRESS.origin(),
        Origin::ForeignAgent
    );
    assert_eq!(
        ReplyCode::EXPIRED_NONCES.origin(),
        Origin::CorrespondentRouter
    );
    assert_eq!(
        ReplyCode(133).to_string(),
        "133 (home agent: registration Identification mismatch)"
    );
    assert_eq!(ReplyCode(170).to_string(), "170");
}
