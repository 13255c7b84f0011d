use serde_json::json;

use super::{explain, explain_mobility_header};
use crate::wire::mip6::PseudoHeader;

#[test]
fn a_request_in_full() {
    let octets = hex::decode(
        "0122070800000000cb00710ac6336407ed00378080000001830f6d6e31406578616d706c652e636f\
         6d2014000001000ad402008b0709b90ca22df1704cf12f",
    );
    let explanation = explain(&octets.unwrap());
    assert_eq!(
        explanation,
        json!({
            "type": 1,
            "name": "Registration Request",
            "s": false, "b": false, "d": true, "m": false, "g": false, "r": false, "t": true, "x": false,
            "lifetime": 1800,
            "home_address": "0.0.0.0",
            "home_agent": "203.0.113.10",
            "care_of_address": "198.51.100.7",
            "identification": "ed00378080000001",
            "identification_unix_time": 1_767_225_600,
            "extensions": [
                { "type": 131, "name": "Mobile Node NAI", "offset": 24, "length": 15, "nai": "mn1@example.com" },
                {
                    "type": 32, "name": "Mobile-Home Authentication", "offset": 41, "length": 20, "spi": 256,
                    "authenticator": "0ad402008b0709b90ca22df1704cf12f", "covers": 47
                }
            ]
        })
    );
    let names: Vec<_> = explanation
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names[..3],
        ["type", "name", "s"],
        "in the order of the wire"
    );
}

#[test]
fn a_denial_has_the_name_of_its_code() {
    let explanation = explain(&hex::decode("0385000000000000cb00710aed00459080000001").unwrap());
    assert_eq!(explanation["code"], 133);
    assert_eq!(
        explanation["code_name"],
        "home agent: registration Identification mismatch"
    );
    assert_eq!(explanation["extensions"], json!([]));
    assert_eq!(explanation.get("error"), None);
}

#[test]
fn what_keys_are_agreed_with_is_named() {
    let reply = "0300003c0a800009cb00710aed00378080000001";
    let element = |kind: &str, length: usize| {
        let content = length + 4;
        format!("ff{content:02x}434841{kind}{}", "5a".repeat(length))
    };
    let elements = [
        ("key_share", "01", 32),
        ("cookie", "02", 20),
        ("resumption_token", "03", 20),
    ];
    let message: String = elements
        .iter()
        .map(|(_, kind, length)| element(kind, *length))
        .collect();
    let explanation = explain(&hex::decode(format!("{reply}{message}")).unwrap());
    for (index, (name, _, length)) in elements.into_iter().enumerate() {
        assert_eq!(
            explanation["extensions"][index][name],
            "5a".repeat(length),
            "{explanation}"
        );
    }
}

#[test]
fn a_refused_message_shows_what_could_be_read() {
    let octets = "0122025800000000cb00710ac6336407ed0056c0800000068303616263480100";
    let explanation = explain(&hex::decode(octets).unwrap());
    assert_eq!(explanation["lifetime"], 600);
    assert_eq!(explanation["extensions"][0]["nai"], "abc");
    assert_eq!(
        explanation["error"],
        json!({
            "reason": "extension type 72 at offset 29 is unknown and must not be skipped",
            "kind": "unknown_non_skippable_extension",
            "offset": 29
        })
    );
}

#[test]
fn what_is_no_message_says_so() {
    assert_eq!(
        explain(&[]),
        json!({ "error": { "reason": "empty message", "kind": "empty_message", "offset": 0 } })
    );
    let explanation = explain(&[22, 0]);
    assert_eq!(explanation["name"], "Generic Notification");
    assert_eq!(explanation["error"]["kind"], "unknown_message_type");
}

#[test]
fn tunnelled_packets_and_tests() {
    assert_eq!(
        explain(&[4, 4, 0, 0, 0x45]),
        json!({ "type": 4, "name": "MIP Tunnel Data", "next_header": 4, "hex": "45" })
    );
    let explanation = explain(&hex::decode("1b000006b1b2b3b4b5b6b7b87b3aa3c5360ed8f0").unwrap());
    assert_eq!(explanation["care_of_nonce_index"], 6);
    assert_eq!(explanation["care_of_keygen_token"], "7b3aa3c5360ed8f0");
}

/// A Binding Update whose every part is known, and the addresses it travels between.
const UPDATE: &str = "3b090500b5051235c0000096010003102001\
     0db80101000000000000000000200810016d6e31406578616d706c652e6e6574\
     0a08e8d5a0001234567800091101000001000 4c35817a7946c99b329d459";

fn update() -> (Vec<u8>, PseudoHeader) {
    let pseudo_header = PseudoHeader {
        source: "2001:db8:200:1::a1".parse().unwrap(),
        destination: "2001:db8:200::1".parse().unwrap(),
    };
    (hex::decode(UPDATE.replace(' ', "")).unwrap(), pseudo_header)
}

#[test]
fn an_update_in_full() {
    let (octets, pseudo_header) = update();
    let explanation = explain_mobility_header(&octets, Some(&pseudo_header));
    assert_eq!(
        explanation,
        json!({
            "type": 5,
            "name": "Binding Update",
            "payload_proto": 59,
            "header_len": 9,
            "checksum": "b505",
            "checksum_valid": true,
            "sequence": 4661,
            "a": true, "h": true, "l": false, "k": false, "m": false, "r": false,
            "p": false, "f": false, "t": false, "b": false, "s": false, "d": false,
            "lifetime": 150,
            "lifetime_seconds": 600,
            "options": [
                { "type": 1, "name": "PadN", "offset": 12, "length": 0, "octets": 2 },
                {
                    "type": 3, "name": "Alternate Care-of Address", "offset": 14, "length": 16,
                    "alternate_care_of_address": "2001:db8:101::20"
                },
                {
                    "type": 8, "name": "Mobile Node Identifier", "offset": 32, "length": 16,
                    "subtype": 1, "subtype_name": "NAI", "nai": "mn1@example.net"
                },
                {
                    "type": 10, "name": "Mobility Message Replay Protection", "offset": 50, "length": 8,
                    "timestamp": "e8d5a00012345678", "timestamp_unix_time": 1_697_325_440
                },
                { "type": 0, "name": "Pad1", "offset": 60, "length": 0, "octets": 1 },
                {
                    "type": 9, "name": "Mobility Message Authentication", "offset": 61, "length": 17,
                    "subtype": 1, "subtype_name": "MN-HA", "spi": 256,
                    "authenticator": "04c35817a7946c99b329d459", "covers": 68,
                    "covers_addresses": ["care_of_address", "home_address"]
                }
            ]
        })
    );
}

#[test]
fn a_wrong_checksum_is_refused_and_explained() {
    let (mut octets, pseudo_header) = update();
    octets[11] = 151;
    let explanation = explain_mobility_header(&octets, Some(&pseudo_header));
    assert_eq!(explanation["checksum_valid"], false);
    assert_eq!(explanation["lifetime"], 151);
    assert_eq!(explanation["options"].as_array().unwrap().len(), 6);
    assert_eq!(explanation["error"]["kind"], "bad_checksum");
    assert_eq!(explanation["error"]["offset"], 4);

    let explanation = explain_mobility_header(&octets, None);
    assert_eq!(explanation.get("checksum_valid"), None, "nobody knows");
    assert_eq!(explanation.get("error"), None);
}

#[test]
fn a_refusal_over_ipv6_has_the_name_of_its_status() {
    let octets = hex::decode("3b010600c41a87001235000001020000").unwrap();
    let explanation = explain_mobility_header(&octets, None);
    assert_eq!(explanation["status"], 135);
    assert_eq!(explanation["status_name"], "sequence number out of window");
    assert_eq!(explanation["sequence"], 0x1235);
}

#[test]
fn a_refused_mobility_header_shows_what_could_be_read() {
    let octets = hex::decode("3b02050000001234c00000960802016108020162c8ff0000").unwrap();
    let explanation = explain_mobility_header(&octets, None);
    assert_eq!(explanation["options"][0]["nai"], "a");
    assert_eq!(
        explanation["error"],
        json!({
            "reason": "option 8 (Mobile Node Identifier) at offset 16 is there for the second time",
            "kind": "repeated_option",
            "offset": 16
        })
    );
    let explanation = explain_mobility_header(&[59, 0, 16, 0, 0, 0, 1, 2], None);
    assert_eq!(explanation["name"], "Binding Revocation");
    assert_eq!(explanation["error"]["kind"], "unknown_message_type");
    let explanation = explain_mobility_header(&[59], None);
    assert_eq!(explanation["error"]["kind"], "truncated_header");
}
