//! Shared secrets, kept out of logs and wiped when dropped.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest key taken, in octets.
const LONGEST: usize = 1024;

/// A shared secret of 1 to 1024 arbitrary octets. It is wiped from memory when dropped and never
/// printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key(Vec<u8>);

/// Why something is not a [`Key`]. The text is not repeated: it may be most of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No octets, or too many.
    #[error("a key has 1 to {LONGEST} octets, this one has {0}")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("a key is written in hexadecimal digits, the character at position {0} is none")]
    NotHexadecimal(usize),
    /// Half an octet too many or too few.
    #[error("a key is written in pairs of hexadecimal digits, {0} digits are an odd number")]
    OddLength(usize),
}

impl Key {
    /// A key of these octets.
    ///
    /// # Errors
    /// [`KeyError::Length`] when there are none or more than 1024.
    pub fn new(octets: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let octets = octets.as_ref();
        match octets.len() {
            1..=LONGEST => Ok(Self(octets.to_vec())),
            length => Err(KeyError::Length(length)),
        }
    }

    /// A key written in hexadecimal, as a key file holds it; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the text, without repeating it.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let octets = hex::decode(text).map_err(|error| match error {
            hex::FromHexError::InvalidHexCharacter { index, .. } => KeyError::NotHexadecimal(index),
            hex::FromHexError::OddLength | hex::FromHexError::InvalidStringLength => {
                KeyError::OddLength(text.chars().count())
            }
        })?;
        Self::new(Zeroizing::new(octets))
    }

    /// Sixteen zero octets.
    pub(super) fn zero() -> Self {
        Self(vec![0; 16])
    }

    /// The secret itself, for computing with it and for keeping it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}
