//! The MN-AAA authenticator in its RADIUS-compatible form (RFC 4721, section 8).

use hmac::digest::Digest;
use md5::Md5;
use subtle::ConstantTimeEq;

use super::Key;

/// The SPI that selects this computation; any other SPI names an ordinary association.
pub const CHAP_SPI: u32 = 2;

/// How much of the end of a challenge goes into the authenticator: with the 16 octets of the inner
/// digest it fills a RADIUS attribute.
const TAIL: usize = 237;

/// What both the authenticator and the RADIUS attributes that let a server check it are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MnAaaChap {
    /// The first octet of the challenge: the CHAP identifier.
    pub identifier: u8,
    /// The digest over the message through the SPI of the extension, then the end of the challenge:
    /// the CHAP challenge.
    pub challenge: Vec<u8>,
}

impl MnAaaChap {
    /// For the octets of a message through the SPI of its MN-AAA extension, and the challenge the
    /// mobile node answers. A mobile node with a co-located care-of address answers none; the
    /// challenge is then one zero octet.
    #[must_use]
    pub fn new(covered: &[u8], challenge: &[u8]) -> Self {
        let tail = challenge
            .get(challenge.len().saturating_sub(TAIL)..)
            .unwrap_or_default();
        let mut chap_challenge = Md5::digest(covered).to_vec();
        chap_challenge.extend_from_slice(tail);
        Self {
            identifier: challenge.first().copied().unwrap_or_default(),
            challenge: chap_challenge,
        }
    }

    /// The authenticator under this key.
    #[must_use]
    pub fn authenticator(&self, key: &Key) -> [u8; 16] {
        Md5::new()
            .chain_update([self.identifier])
            .chain_update(key.as_bytes())
            .chain_update(&self.challenge)
            .finalize()
            .into()
    }

    /// Whether `authenticator` is the one under this key, in constant time.
    #[must_use]
    pub fn verify(&self, key: &Key, authenticator: &[u8]) -> bool {
        self.authenticator(key).ct_eq(authenticator).into()
    }
}
