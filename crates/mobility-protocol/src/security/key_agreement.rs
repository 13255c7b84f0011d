//! Keys that a mobile node and a home agent agree on: X25519 (RFC 7748) and HKDF with SHA-256
//! (RFC 5869).
//!
//! The mobile node makes a key pair for each binding, the home agent has one for good. Who does not
//! hold the secret half of one of the two can't have the key of the binding.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;

use super::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use crate::Identity;

/// The first Security Parameter Index of agreed associations. No configured one may have it or a
/// later one.
pub const FIRST_AGREED_SPI: u32 = 0x8000_0000;

/// What the extraction step of HKDF is salted with: the agreement and its version.
const SALT: &[u8] = b"corresponding home agent: key agreement 1";

/// The public half of an X25519 key pair: 32 octets, in text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Why some text is not a [`PublicKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a public key: 64 hexadecimal digits")]
pub struct PublicKeyError(pub String);

impl PublicKey {
    /// The index of the association that is agreed with this key of a mobile node: at least
    /// [`FIRST_AGREED_SPI`].
    #[must_use]
    pub fn spi(&self) -> u32 {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(self.0));
        u32::from_be_bytes([a, b, c, d]) | FIRST_AGREED_SPI
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut octets = [0; 32];
        match hex::decode_to_slice(text, &mut octets) {
            Ok(()) => Ok(Self(octets)),
            Err(_) => Err(PublicKeyError(text.to_owned())),
        }
    }
}

/// An X25519 key pair. The secret half is wiped from memory when dropped and never printed.
#[derive(Clone)]
pub struct KeyPair {
    secret: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    /// The pair with this secret half: 32 octets nobody else knows.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// The half nobody else may know, to be kept.
    #[must_use]
    pub fn secret(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.secret.to_bytes())
    }

    /// The half others may know.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The association of the mobile node that has this pair with the home agent at `home_agent`
    /// that has `peer`. `None` when `peer` is one of the few keys whose holder everybody could be
    /// (RFC 7748, section 6.1).
    #[must_use]
    pub fn with_home_agent(
        &self,
        peer: &PublicKey,
        home_agent: IpAddr,
        identity: &Identity,
    ) -> Option<SecurityAssociation> {
        self.agree(peer, [&self.public, peer], home_agent, identity)
    }

    /// The association of the home agent at `home_agent` that has this pair with the mobile node
    /// that has `peer` and names itself `identity`. `None` as above.
    #[must_use]
    pub fn with_mobile_node(
        &self,
        peer: &PublicKey,
        home_agent: IpAddr,
        identity: &Identity,
    ) -> Option<SecurityAssociation> {
        self.agree(peer, [peer, &self.public], home_agent, identity)
    }

    fn agree(
        &self,
        peer: &PublicKey,
        [mobile_node, home_agent_key]: [&PublicKey; 2],
        home_agent: IpAddr,
        identity: &Identity,
    ) -> Option<SecurityAssociation> {
        let shared = self
            .secret
            .diffie_hellman(&x25519_dalek::PublicKey::from(peer.0));
        if !shared.was_contributory() {
            return None;
        }
        let info = [
            &mobile_node.0[..],
            &home_agent_key.0,
            &sixteen_octets(home_agent),
            identity.as_bytes(),
        ];
        let mut key = zeroize::Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), shared.as_bytes())
            .expand_multi_info(&info, &mut *key)
            .ok()?;
        Some(SecurityAssociation {
            spi: mobile_node.spi(),
            algorithm: Algorithm::HmacSha256,
            key: Key::new(*key).ok()?,
            replay: ReplayProtection::Timestamps,
        })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// An address of either family in sixteen octets: one of IPv4 as ::ffff:0:0/96 has it (RFC 4291,
/// section 2.5.5.2).
pub(super) fn sixteen_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
