//! Security associations: who shares which key, and the authenticators made with it.

mod algorithm;
mod cookie;
mod key;
mod key_agreement;
mod mn_aaa;
mod replay;
mod resumption;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub(crate) use cookie::is_older;
pub use cookie::{COOKIE_LIFETIME, Claimant, Cookie, HomeAgentSecret};
pub use key::{Key, KeyError};
pub use key_agreement::{FIRST_AGREED_SPI, KeyPair, PublicKey, PublicKeyError};
pub use mn_aaa::{CHAP_SPI, MnAaaChap};
pub use replay::ReplayProtection;
pub use resumption::{ResumptionToken, TOKEN_LIFETIME};

use subtle::ConstantTimeEq;

use crate::Family;

/// The Security Parameter Index of [`SecurityAssociation::open_mode`].
pub const OPEN_MODE_SPI: u32 = 0x4348_4100;

/// The first Security Parameter Index an association may have: those below are reserved
/// (RFC 5944, section 3.5.1).
pub const FIRST_SPI: u32 = 256;

/// What two nodes share to authenticate messages to each other (RFC 5944, section 1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityAssociation {
    /// By which index messages name it.
    pub spi: u32,
    /// How authenticators are computed.
    pub algorithm: Algorithm,
    /// The shared secret.
    pub key: Key,
    /// How old messages are told from new ones.
    pub replay: ReplayProtection,
}

impl SecurityAssociation {
    /// The association everybody knows: HMAC-MD5 under sixteen zero octets. It gives a message the
    /// form the protocol demands and proves nothing about its sender.
    #[must_use]
    pub fn open_mode() -> Self {
        Self {
            spi: OPEN_MODE_SPI,
            algorithm: Algorithm::HmacMd5,
            key: Key::zero(),
            replay: ReplayProtection::Timestamps,
        }
    }

    /// Whether its key was agreed on, and is good for one binding.
    #[must_use]
    pub const fn is_agreed(&self) -> bool {
        self.spi >= FIRST_AGREED_SPI
    }

    /// Whether messages of this family under it repeat a nonce (RFC 5944, section 5.7.2).
    #[must_use]
    pub fn uses_nonces(&self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.replay == ReplayProtection::Nonces,
            Family::Ipv6 => false,
        }
    }

    /// Whether an authenticator under one is good under the other, however old messages are told.
    #[must_use]
    pub fn has_same_key(&self, other: &Self) -> bool {
        self.spi == other.spi && self.algorithm == other.algorithm && self.key == other.key
    }

    /// The authenticator over `covered`: the octets of the message from its first one through the
    /// SPI field of the authentication extension.
    #[must_use]
    pub fn authenticator(&self, covered: &[u8]) -> Vec<u8> {
        self.algorithm.compute(self.key.as_bytes(), covered)
    }

    /// Whether `authenticator` is the one over `covered`, in time that does not depend on where
    /// they differ.
    #[must_use]
    pub fn verify(&self, covered: &[u8], authenticator: &[u8]) -> bool {
        self.authenticator(covered).ct_eq(authenticator).into()
    }
}

#[cfg(test)]
mod tests;
