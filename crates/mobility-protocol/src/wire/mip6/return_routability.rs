//! Return routability (RFC 6275, section 5.2): the messages of the test, and the tokens and key that
//! come of it.

use std::fmt;
use std::net::Ipv6Addr;

use sha1::{Digest, Sha1};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::option::{Options, align_end};
use super::{DecodeError, MessageType, PseudoHeader, Reader, header};
use crate::security::{Algorithm, Key};

/// A Home Test Init or Care-of Test Init (RFC 6275, sections 6.1.3 and 6.1.4).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                                 |           Reserved            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                      Init Cookie                              +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Mobility options ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestInit {
    /// Echoed in the answer; a new one for every message.
    pub cookie: u64,
    /// What follows the fixed part, in order.
    pub options: Options<{ TestInit::FIXED_LENGTH }>,
}

impl TestInit {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 16;

    pub(super) fn decode(message: &[u8], message_type: MessageType) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(message, message_type)?;
        Ok(Self {
            options: Options::decode(message)?,
            ..fixed
        })
    }

    /// The message without its options.
    pub(super) fn decode_fixed(
        message: &[u8],
        message_type: MessageType,
    ) -> Result<Self, DecodeError> {
        let cookie =
            header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
                reader.u16()?;
                reader.u64()
            })?;
        Ok(Self {
            cookie,
            options: Options::new(),
        })
    }

    pub(super) fn encode(
        &self,
        message_type: MessageType,
        pseudo_header: &PseudoHeader,
    ) -> Vec<u8> {
        let mut octets = header::begin(message_type);
        octets.extend([0, 0]);
        octets.extend(self.cookie.to_be_bytes());
        self.options.encode(&mut octets);
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }
}

/// A Home Test or Care-of Test (RFC 6275, sections 6.1.5 and 6.1.6).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                                 |         Nonce Index           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                      Init Cookie                              +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                      Keygen Token                             +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Mobility options ...
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Which nonce of the correspondent made the token.
    pub nonce_index: u16,
    /// The one asked with.
    pub cookie: u64,
    /// The keygen token.
    pub token: u64,
    /// What follows the fixed part, in order.
    pub options: Options<{ Test::FIXED_LENGTH }>,
}

impl Test {
    /// The octets before the options.
    pub const FIXED_LENGTH: usize = 24;

    pub(super) fn decode(message: &[u8], message_type: MessageType) -> Result<Self, DecodeError> {
        let fixed = Self::decode_fixed(message, message_type)?;
        Ok(Self {
            options: Options::decode(message)?,
            ..fixed
        })
    }

    /// The message without its options.
    pub(super) fn decode_fixed(
        message: &[u8],
        message_type: MessageType,
    ) -> Result<Self, DecodeError> {
        let (nonce_index, cookie, token) =
            header::fixed_part(message, message_type, Self::FIXED_LENGTH, |mut reader| {
                Some((reader.u16()?, reader.u64()?, reader.u64()?))
            })?;
        Ok(Self {
            nonce_index,
            cookie,
            token,
            options: Options::new(),
        })
    }

    pub(super) fn encode(
        &self,
        message_type: MessageType,
        pseudo_header: &PseudoHeader,
    ) -> Vec<u8> {
        let mut octets = header::begin(message_type);
        octets.extend(self.nonce_index.to_be_bytes());
        octets.extend(self.cookie.to_be_bytes());
        octets.extend(self.token.to_be_bytes());
        self.options.encode(&mut octets);
        align_end(&mut octets);
        header::finish(octets, pseudo_header)
    }
}

/// The home keygen token that a correspondent with this node key (20 octets, never shared) gives to
/// this home address under this nonce (RFC 6275, section 5.2.5).
#[must_use]
pub fn home_keygen_token(node_key: &Key, home_address: Ipv6Addr, nonce: &[u8]) -> u64 {
    keygen_token(node_key, home_address, nonce, 0)
}

/// The care-of keygen token that a correspondent with this node key (20 octets, never shared) gives
/// to this care-of address under this nonce (RFC 6275, section 5.2.5).
#[must_use]
pub fn care_of_keygen_token(node_key: &Key, care_of_address: Ipv6Addr, nonce: &[u8]) -> u64 {
    keygen_token(node_key, care_of_address, nonce, 1)
}

/// What a mobile node and a correspondent share after a test: the binding management key, Kbm
/// (RFC 6275, section 5.2.5). It is wiped from memory when dropped and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BindingManagementKey([u8; 20]);

impl BindingManagementKey {
    /// The key that both tokens make.
    #[must_use]
    pub fn new(home_keygen_token: u64, care_of_keygen_token: u64) -> Self {
        Self(
            Sha1::new()
                .chain_update(home_keygen_token.to_be_bytes())
                .chain_update(care_of_keygen_token.to_be_bytes())
                .finalize()
                .into(),
        )
    }

    /// The key that the home keygen token alone makes: it deletes a binding.
    #[must_use]
    pub fn for_deletion(home_keygen_token: u64) -> Self {
        Self(Sha1::digest(home_keygen_token.to_be_bytes()).into())
    }

    /// The secret itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    pub(super) fn authenticator(&self, data: &[u8]) -> Vec<u8> {
        Algorithm::HmacSha1.compute(&self.0, data)
    }
}

impl fmt::Debug for BindingManagementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingManagementKey(redacted)")
    }
}

/// The first eight octets of the digest over address, nonce and which of the two tokens it is.
fn keygen_token(node_key: &Key, address: Ipv6Addr, nonce: &[u8], which: u8) -> u64 {
    let data = [&address.octets()[..], nonce, &[which]].concat();
    let digest = Algorithm::HmacSha1.compute(node_key.as_bytes(), &data);
    Reader::new(&digest).u64().unwrap_or_default()
}
