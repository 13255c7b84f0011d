//! The vectors of docs/security.md.

use std::net::IpAddr;

use mobility_protocol::security::{Claimant, Cookie, HomeAgentSecret, KeyPair};

use crate::world::{NEW_YEAR, SEED, identity};

/// The vectors of docs/security.md.
#[test]
fn a_second_implementation_finds_the_same_numbers() {
    let secret = HomeAgentSecret::from_seed(&SEED);
    let pair = KeyPair::new([1; 32]);
    let at = IpAddr::from([203, 0, 113, 10]);
    let association = pair
        .with_home_agent(&secret.public(), at, &identity())
        .unwrap();
    let identity = identity();
    let claimant = Claimant {
        home_agent: at,
        source: [198, 51, 100, 7].into(),
        spi: association.spi,
        identity: &identity,
    };
    let cookie = secret.cookie(&claimant, NEW_YEAR);
    let token = secret.token(&claimant, NEW_YEAR);
    let found = [
        pair.public().to_string(),
        secret.public().to_string(),
        format!("{:08x}", association.spi),
        hex::encode(association.key.as_bytes()),
        hex::encode(cookie.0),
        hex::encode(token.0),
    ];
    assert_eq!(
        found,
        [
            "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209",
            "5bd6ed0693f72f6af02cf426770224a78c721d6c14c96da4cef1c420abb18e02",
            "9a92f238",
            "28a96c426776ae7666e50d1c9dfc4b0aa316dccc18fd45e3a27e3936ea415e91",
            "6955b900620108592cca7221756b755f90561034",
            "6955b9003b65140b375b2563d1efc9e33cb6e4c9",
        ]
    );
    assert_ne!(cookie, Cookie::NONE);
    let text = include_str!("../../../../docs/security.md");
    for number in found {
        assert!(text.contains(&number), "{number}");
    }
}
