//! The algorithms an association can use.

use std::fmt;
use std::str::FromStr;

use hmac::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;

/// The octets of the SPI field, the last ones an authenticator covers.
const SPI_LENGTH: usize = 4;

/// How an authenticator is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC-MD5, 16 octets: what every implementation has (RFC 5944, section 3.5.1).
    HmacMd5,
    /// HMAC-SHA-1, 20 octets.
    HmacSha1,
    /// HMAC-SHA-256, 32 octets.
    HmacSha256,
    /// MD5 over key, message and key again, 16 octets: the default of RFC 2002, for old peers.
    KeyedMd5 {
        /// Whether the SPI is under the digest, as RFC 3344 and RFC 5944 have it; the letter of
        /// RFC 2002 leaves it out.
        covers_spi: bool,
    },
}

/// A name that is no [`Algorithm`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown algorithm \"{0}\"; known are hmac-md5, hmac-sha1, hmac-sha256, keyed-md5 and keyed-md5-rfc2002"
)]
pub struct UnknownAlgorithm(pub String);

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::HmacMd5,
        Self::HmacSha1,
        Self::HmacSha256,
        Self::KeyedMd5 { covers_spi: true },
        Self::KeyedMd5 { covers_spi: false },
    ];

    /// The name configuration uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacMd5 => "hmac-md5",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::KeyedMd5 { covers_spi: true } => "keyed-md5",
            Self::KeyedMd5 { covers_spi: false } => "keyed-md5-rfc2002",
        }
    }

    /// The octets of an authenticator.
    #[must_use]
    pub const fn authenticator_length(self) -> usize {
        match self {
            Self::HmacMd5 | Self::KeyedMd5 { .. } => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
        }
    }

    pub(crate) fn compute(self, key: &[u8], covered: &[u8]) -> Vec<u8> {
        match self {
            Self::HmacMd5 => hmac::<Hmac<Md5>>(key, covered),
            Self::HmacSha1 => hmac::<Hmac<Sha1>>(key, covered),
            Self::HmacSha256 => hmac::<Hmac<Sha256>>(key, covered),
            Self::KeyedMd5 { covers_spi } => {
                let end = covered
                    .len()
                    .saturating_sub(if covers_spi { 0 } else { SPI_LENGTH });
                let covered = covered.get(..end).unwrap_or_default();
                Md5::new()
                    .chain_update(key)
                    .chain_update(covered)
                    .chain_update(key)
                    .finalize()
                    .to_vec()
            }
        }
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], covered: &[u8]) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of any length (RFC 2104, section 2)"
    )]
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
    mac.update(covered);
    mac.finalize().into_bytes().to_vec()
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
