//! What authenticates a message: who vouches for which octets of it.

use std::net::Ipv6Addr;

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::checksum::{self, PseudoHeader};
use super::iana::{AuthenticationSubtype, OptionType};
use super::option::{Frame, align};
use super::return_routability::BindingManagementKey;
use super::{Reader, header};
use crate::security::SecurityAssociation;
use crate::wire::Octets;

/// The octets of an authenticator: the first 96 bits of what the algorithm gives.
const AUTHENTICATOR_LENGTH: usize = 12;
/// The octets of type and length.
const OPTION_HEADER: usize = 2;
/// The octets of subtype and SPI.
const SELECTOR: usize = 5;

/// The two addresses a message binds to each other. They need not be in the octets that carry the
/// message, so authenticators cover them as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BindingAddresses {
    /// The home address: unspecified in a Binding Update that asks for one, and then the assigned
    /// one in its acknowledgement.
    pub home_address: Ipv6Addr,
    /// The care-of address.
    pub care_of_address: Ipv6Addr,
}

/// A Mobility Message Authentication option (RFC 4285, section 5).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///                 +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///                 |  Option Type  | Option Length |  Subtype      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  Mobility SPI                                 |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  Authentication Data ....
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Between whom.
    pub subtype: AuthenticationSubtype,
    /// Which association of theirs.
    pub spi: u32,
    /// The proof.
    pub authenticator: Octets<250>,
    /// How many octets of the received message, from its first one, the authenticator is over:
    /// everything through the SPI of this option, the checksum taken as zero.
    pub covered: usize,
}

impl Authentication {
    /// Whether the authenticator is the one `association` makes over these addresses and the octets
    /// of `message`, which this option was decoded from, and names that association.
    ///
    /// RFC 4285 knows HMAC-SHA-1 only. With another algorithm everything else is the same.
    #[must_use]
    pub fn is_valid(
        &self,
        association: &SecurityAssociation,
        addresses: &BindingAddresses,
        message: &[u8],
    ) -> bool {
        let Some(covered) = message.get(..self.covered) else {
            return false;
        };
        let data = mobility_data(
            &[addresses.care_of_address, addresses.home_address],
            covered,
        );
        let expected = match self.subtype {
            AuthenticationSubtype::MN_HA => truncated(association.authenticator(&data)),
            AuthenticationSubtype::MN_AAA => association.authenticator(&Sha1::digest(&data)),
            _ => return false,
        };
        self.spi == association.spi && bool::from(expected.ct_eq(&self.authenticator))
    }

    pub(super) fn decode(frame: &Frame<'_>) -> Result<Self, &'static str> {
        let mut reader = Reader::new(frame.data);
        let mut selector = || Some((AuthenticationSubtype(reader.u8()?), reader.u32()?));
        let (subtype, spi) = selector().ok_or("subtype, SPI and authenticator")?;
        if reader.is_empty() {
            return Err("an authenticator of at least one octet");
        }
        let authenticator =
            Octets::new(reader.rest()).map_err(|_| "an authenticator of at most 250 octets")?;
        Ok(Self {
            subtype,
            spi,
            authenticator,
            covered: frame.data_offset() + SELECTOR,
        })
    }

    pub(super) fn data(&self) -> Vec<u8> {
        [
            &[self.subtype.0][..],
            &self.spi.to_be_bytes(),
            &self.authenticator,
        ]
        .concat()
    }
}

/// A Binding Authorization Data option (RFC 6275, section 6.2.7): its key comes from a return
/// routability test, so it names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingAuthorization {
    /// The proof.
    pub authenticator: Octets<255>,
    /// How many octets of the received message, from its first one, the authenticator is over:
    /// everything through the length of this option, the checksum taken as zero.
    pub covered: usize,
}

impl BindingAuthorization {
    /// Whether the authenticator is the one `key` makes over the octets of `message`, which this
    /// option was decoded from, the care-of address being registered (the home address when the
    /// binding is deleted), and the address of the correspondent.
    #[must_use]
    pub fn is_valid(
        &self,
        key: &BindingManagementKey,
        care_of_address: Ipv6Addr,
        correspondent: Ipv6Addr,
        message: &[u8],
    ) -> bool {
        message.get(..self.covered).is_some_and(|covered| {
            let data = mobility_data(&[care_of_address, correspondent], covered);
            truncated(key.authenticator(&data))
                .ct_eq(&self.authenticator)
                .into()
        })
    }

    pub(super) fn decode(frame: &Frame<'_>) -> Result<Self, &'static str> {
        if frame.data.is_empty() {
            return Err("an authenticator of at least one octet");
        }
        Ok(Self {
            authenticator: Octets::new(frame.data)
                .map_err(|_| "an authenticator of at most 255 octets")?,
            covered: frame.data_offset(),
        })
    }
}

/// Ends a message with an MN-HA authentication over everything in it.
pub(super) fn append_mobile_home(
    mut message: Vec<u8>,
    association: &SecurityAssociation,
    addresses: &BindingAddresses,
    pseudo_header: &PseudoHeader,
) -> Vec<u8> {
    let mut start = vec![AuthenticationSubtype::MN_HA.0];
    start.extend(association.spi.to_be_bytes());
    begin_option(&mut message, OptionType::AUTHENTICATION, &start);
    let data = mobility_data(
        &[addresses.care_of_address, addresses.home_address],
        &message,
    );
    message.extend(truncated(association.authenticator(&data)));
    header::finish(message, pseudo_header)
}

/// Ends a message with a Binding Authorization Data option over everything in it.
pub(super) fn append_binding_authorization(
    mut message: Vec<u8>,
    key: &BindingManagementKey,
    care_of_address: Ipv6Addr,
    correspondent: Ipv6Addr,
    pseudo_header: &PseudoHeader,
) -> Vec<u8> {
    begin_option(&mut message, OptionType::BINDING_AUTHORIZATION_DATA, &[]);
    let data = mobility_data(&[care_of_address, correspondent], &message);
    message.extend(truncated(key.authenticator(&data)));
    header::finish(message, pseudo_header)
}

/// Begins an option that ends with an authenticator, and the message with it. The final Header Len
/// is under the authenticator.
fn begin_option(message: &mut Vec<u8>, option_type: OptionType, start: &[u8]) {
    let length = start.len() + AUTHENTICATOR_LENGTH;
    align(message, option_type, OPTION_HEADER + length);
    message.extend([option_type.0, u8::try_from(length).unwrap_or(u8::MAX)]);
    message.extend(start);
    let whole = message.len() + AUTHENTICATOR_LENGTH;
    header::set_length(message, whole);
}

/// What an authenticator is computed over: two addresses, and the covered octets of the message with
/// the checksum zero.
fn mobility_data(addresses: &[Ipv6Addr; 2], covered: &[u8]) -> Vec<u8> {
    let [first, second] = addresses.map(|address| address.octets());
    let mut data = [&first[..], &second, covered].concat();
    let start = first.len() + second.len();
    if let Some(field) = data.get_mut(start + checksum::FIELD.start..start + checksum::FIELD.end) {
        field.fill(0);
    }
    data
}

fn truncated(mut authenticator: Vec<u8>) -> Vec<u8> {
    authenticator.truncate(AUTHENTICATOR_LENGTH);
    authenticator
}
