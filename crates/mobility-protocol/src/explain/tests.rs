use serde_json::json;

use super::explain;

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
