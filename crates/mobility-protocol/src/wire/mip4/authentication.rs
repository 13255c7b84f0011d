//! Authentication extensions: who vouches for which octets of a message.

use super::iana::{ExtensionType, GeneralizedAuthenticationSubtype};
use super::{Frame, Reader};
use crate::security::SecurityAssociation;
use crate::wire::Octets;

/// The octets of the SPI field.
const SPI_LENGTH: usize = 4;
/// The most an authentication extension with an 8-bit length has room for beside its SPI.
const LONGEST_AUTHENTICATOR: usize = 251;
/// The least the length of a generalized authentication extension says (RFC 4721, section 5).
const GENERALIZED_LEAST: usize = 20;

/// An authentication extension that names a security association by its SPI (RFC 5944, section
/// 3.5, and RFC 4721, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Between whom.
    pub kind: AuthenticationKind,
    /// Which association of theirs.
    pub spi: u32,
    /// The proof.
    pub authenticator: Octets<LONGEST_AUTHENTICATOR>,
    /// How many octets of the received message, from its first one, the authenticator is over:
    /// everything through the SPI of this extension.
    pub covered: usize,
}

/// Between whom an authentication extension is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthenticationKind {
    /// Mobile node and home agent (extension 32).
    MobileHome,
    /// Mobile node and foreign agent (extension 33).
    MobileForeign,
    /// Foreign agent and home agent (extension 34).
    ForeignHome,
    /// As the subtype says (extension 36).
    Generalized(GeneralizedAuthenticationSubtype),
}

impl Authentication {
    /// Whether the authenticator is the one `association` makes over the octets of `payload`, the
    /// message this extension was decoded from, and names that association.
    #[must_use]
    pub fn is_valid(&self, association: &SecurityAssociation, payload: &[u8]) -> bool {
        self.spi == association.spi
            && payload
                .get(..self.covered)
                .is_some_and(|covered| association.verify(covered, &self.authenticator))
    }

    pub(super) fn decode(
        kind: AuthenticationKind,
        frame: &Frame<'_>,
    ) -> Result<Self, &'static str> {
        if matches!(kind, AuthenticationKind::Generalized(_))
            && frame.data.len() < GENERALIZED_LEAST
        {
            return Err("SPI and authenticator of at least 16 octets");
        }
        let mut reader = Reader::new(frame.data);
        let spi = reader.u32().ok_or("SPI and authenticator")?;
        if reader.is_empty() {
            return Err("an authenticator of at least one octet");
        }
        let authenticator =
            Octets::new(reader.rest()).map_err(|_| "an authenticator of at most 251 octets")?;
        Ok(Self {
            kind,
            spi,
            authenticator,
            covered: frame.data_offset() + SPI_LENGTH,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [&self.spi.to_be_bytes(), &*self.authenticator].concat()
    }

    /// The type of the extension.
    #[must_use]
    pub const fn extension_type(&self) -> ExtensionType {
        match self.kind {
            AuthenticationKind::MobileHome => ExtensionType::MOBILE_HOME_AUTHENTICATION,
            AuthenticationKind::MobileForeign => ExtensionType::MOBILE_FOREIGN_AUTHENTICATION,
            AuthenticationKind::ForeignHome => ExtensionType::FOREIGN_HOME_AUTHENTICATION,
            AuthenticationKind::Generalized(_) => ExtensionType::GENERALIZED_AUTHENTICATION,
        }
    }
}

/// A Mobile-Correspondent Authentication extension (RFC 6521, section 4.6): its key comes from a
/// return routability test, so it names nonces instead of an SPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MobileCorrespondentAuthentication {
    /// Which home nonce made the key.
    pub home_nonce_index: u16,
    /// Which care-of nonce made the key.
    pub care_of_nonce_index: u16,
    /// The proof.
    pub authenticator: Octets<249>,
    /// How many octets of the received message, from its first one, the authenticator is over:
    /// everything through the care-of nonce index of this extension.
    pub covered: usize,
}

impl MobileCorrespondentAuthentication {
    /// `frame.data` without the subtype is what is left in `reader`.
    pub(super) fn decode(frame: &Frame<'_>, mut reader: Reader<'_>) -> Option<Self> {
        reader.u8()?;
        let home_nonce_index = reader.u16()?;
        let care_of_nonce_index = reader.u16()?;
        let authenticator = Octets::new(reader.rest()).ok()?;
        let covered = frame.data_offset() + frame.data.len() - authenticator.len();
        (!authenticator.is_empty()).then_some(Self {
            home_nonce_index,
            care_of_nonce_index,
            authenticator,
            covered,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        let mut data = vec![0];
        data.extend(self.home_nonce_index.to_be_bytes());
        data.extend(self.care_of_nonce_index.to_be_bytes());
        data.extend_from_slice(&self.authenticator);
        data
    }
}

/// Appends a Mobile-Home Authentication extension over everything in `message`.
pub(super) fn append_mobile_home(
    mut message: Vec<u8>,
    association: &SecurityAssociation,
) -> Vec<u8> {
    let length = SPI_LENGTH + association.algorithm.authenticator_length();
    message.push(ExtensionType::MOBILE_HOME_AUTHENTICATION.0);
    message.push(u8::try_from(length).unwrap_or(u8::MAX));
    message.extend(association.spi.to_be_bytes());
    let authenticator = association.authenticator(&message);
    message.extend(authenticator);
    message
}
