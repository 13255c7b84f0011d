//! What the experimental extension of Mobile IPv4 (255, RFC 4064) and the experimental option of
//! Mobile IPv6 (18, RFC 5096) carry while a key is agreed on.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      'C'      |      'H'      |      'A'      |     Kind      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  Value ...
//! ```
//! In Mobile IPv4 the first of these octets is the sub-type of the short extension format.

use crate::security::{Cookie, PublicKey, ResumptionToken};

/// How others' experiments with the same types are told from this one.
const MARK: [u8; 3] = *b"CHA";

const KEY_SHARE: u8 = 1;
const COOKIE: u8 = 2;
const RESUMPTION_TOKEN: u8 = 3;

/// One step toward a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAgreement {
    /// Kind 1: the public key of who sends it, 32 octets.
    KeyShare(PublicKey),
    /// Kind 2: from a home agent, what to send back; from a mobile node, what it was sent, or
    /// [`Cookie::NONE`] to ask for one. 20 octets.
    Cookie(Cookie),
    /// Kind 3: from a home agent, what to come back with; from a mobile node that comes back, what it was
    /// sent. 20 octets.
    ResumptionToken(ResumptionToken),
}

impl KeyAgreement {
    /// What these octets say. `None` for another experiment, another kind or another length: such an
    /// element is skipped.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (mark, rest) = octets.split_first_chunk()?;
        let (kind, value) = rest.split_first()?;
        match (*mark == MARK, *kind) {
            (true, KEY_SHARE) => value.try_into().ok().map(PublicKey).map(Self::KeyShare),
            (true, COOKIE) => value.try_into().ok().map(Cookie).map(Self::Cookie),
            (true, RESUMPTION_TOKEN) => {
                let token = value.try_into().ok().map(ResumptionToken);
                token.map(Self::ResumptionToken)
            }
            (true | false, _) => None,
        }
    }

    /// Its name, as explanations have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::KeyShare(_) => "key_share",
            Self::Cookie(_) => "cookie",
            Self::ResumptionToken(_) => "resumption_token",
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match self {
            Self::KeyShare(key) => &key.0,
            Self::Cookie(cookie) => &cookie.0,
            Self::ResumptionToken(token) => &token.0,
        }
    }

    pub(super) const fn key_share(&self) -> Option<PublicKey> {
        match self {
            Self::KeyShare(key) => Some(*key),
            Self::Cookie(_) | Self::ResumptionToken(_) => None,
        }
    }

    pub(super) const fn cookie(&self) -> Option<Cookie> {
        match self {
            Self::Cookie(cookie) => Some(*cookie),
            Self::KeyShare(_) | Self::ResumptionToken(_) => None,
        }
    }

    pub(super) const fn resumption_token(&self) -> Option<ResumptionToken> {
        match self {
            Self::ResumptionToken(token) => Some(*token),
            Self::KeyShare(_) | Self::Cookie(_) => None,
        }
    }

    pub(super) fn data(&self) -> Vec<u8> {
        let kind = match self {
            Self::KeyShare(_) => KEY_SHARE,
            Self::Cookie(_) => COOKIE,
            Self::ResumptionToken(_) => RESUMPTION_TOKEN,
        };
        [&MARK[..], &[kind], self.value()].concat()
    }
}
