//! The numbers of docs/security.md.

use mobility_protocol::Family;
use mobility_protocol::security::{Claimant, Cookie, HomeAgentSecret, KeyPair};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::world::{NEW_YEAR, SEED, address, home_agent, identity};

#[test]
fn a_second_implementation_finds_the_same_numbers() {
    let secret = HomeAgentSecret::from_seed(&SEED);
    let pair = KeyPair::new([1; 32]);
    let shared = StaticSecret::from(*secret.key_pair().secret())
        .diffie_hellman(&PublicKey::from(pair.public().0));
    let mut found = vec![
        (
            "mobile node's public key".to_owned(),
            pair.public().to_string(),
        ),
        (
            "home agent's secret half".to_owned(),
            hex::encode(*secret.key_pair().secret()),
        ),
        (
            "home agent's public key".to_owned(),
            secret.public().to_string(),
        ),
        ("X25519 secret".to_owned(), hex::encode(shared.as_bytes())),
        ("SPI".to_owned(), format!("{:08x}", pair.public().spi())),
    ];
    let identity = identity();
    for family in [Family::Ipv4, Family::Ipv6] {
        let at = home_agent(family).ip();
        let association = pair.with_home_agent(&secret.public(), at, &identity);
        let claimant = Claimant {
            home_agent: at,
            source: address(family, 7),
            spi: pair.public().spi(),
            identity: &identity,
        };
        let cookie = secret.cookie(&claimant, NEW_YEAR);
        assert_ne!(cookie, Cookie::NONE);
        let token = secret.token(&claimant, NEW_YEAR);
        found.extend([
            (
                format!("key, {family}"),
                hex::encode(association.unwrap().key.as_bytes()),
            ),
            (format!("cookie, {family}"), hex::encode(cookie.0)),
            (format!("token, {family}"), hex::encode(token.0)),
        ]);
    }
    let found: String = found
        .iter()
        .map(|(name, number)| format!("{name:<26}{number}\n"))
        .collect();
    let text = include_str!("../../../../docs/security.md");
    assert!(text.contains(&found), "{found}");
}
