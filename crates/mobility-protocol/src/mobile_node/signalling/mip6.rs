//! Mobile IPv6 binding updates (RFC 6275) behind the core, by themselves or in UDP.
//!
//! There is no Home Address option, which many kernels drop: updates leave from the care-of address
//! and name the home address, or ask for one, in a home network prefix option of length 128. The
//! acknowledgement names it in the same way.

use std::net::{IpAddr, Ipv6Addr};

use super::super::attempt::Request;
use super::super::status::Drop;
use super::{BindingUpdate, Challenge, Hint, Message, Tie, Verdict};
use crate::security::{OPEN_MODE_SPI, SecurityAssociation};
use crate::wire::Identification;
use crate::wire::mip6::iana::BindingErrorStatus;
use crate::wire::mip6::{
    self, BindingAcknowledgement, BindingAddresses, MobileNodeIdentifier, MobilityOption,
    NetworkPrefix, Options, PORT, Packet, Status, UpdateFlags,
};
use crate::{Datagram, Identity, Refusal, Transport};

/// By themselves.
pub(super) const NATIVE: Transport = Transport::MobilityHeader;
/// Where protocol 135 does not get through: whole packets in UDP, as RFC 5555 has them.
pub(super) const IN_UDP: Transport = Transport::Udp { port: PORT };

/// What a home agent says to an authenticator that it can't make (RFC 4285, section 5).
pub(super) const KEY_REFUSED: u8 = Status::AUTHENTICATION_FAILED.0;

/// A Binding Acknowledgement, not authenticated yet.
#[derive(Debug, Clone)]
pub(in super::super) struct Acknowledgement<'a> {
    acknowledgement: BindingAcknowledgement,
    packet: Packet<'a>,
}

/// Everything but "unspecified" (128), "insufficient resources" (130), sequence numbers (135), a
/// clock that differs (144) and a care-of address that does not do (174) is a matter of configuration.
pub(super) const fn is_lasting(status: u8) -> bool {
    !matches!(status, 128 | 130 | 135 | 144 | 174)
}

/// The octets of a Binding Update; `None` where an address is not of IPv6, or the identity has 255
/// octets, one more than its option carries.
pub(super) fn encode(
    update: &BindingUpdate<'_>,
    association: &SecurityAssociation,
) -> Option<Vec<u8>> {
    let (care_of_address, home_agent) = (ipv6(update.care_of.ip())?, ipv6(update.home_agent)?);
    let home_address = match update.home_address {
        Some(home_address) => ipv6(home_address.ip())?,
        None => Ipv6Addr::UNSPECIFIED,
    };
    let identifier = MobileNodeIdentifier::nai(update.identity).ok()?;
    let mut options = vec![
        MobilityOption::AlternateCareOfAddress(care_of_address),
        MobilityOption::HomeNetworkPrefix(NetworkPrefix::of_address(home_address)),
        MobilityOption::MobileNodeIdentifier(identifier),
    ];
    if let Some(timestamp) = update.stamp.timestamp {
        options.push(MobilityOption::ReplayProtection(timestamp));
    }
    options.extend(update.elements.iter().map(MobilityOption::KeyAgreement));
    let message = mip6::BindingUpdate {
        sequence: update.stamp.sequence?,
        flags: UpdateFlags::HOME,
        lifetime: update.lifetime,
        options: Options::try_from(options).ok()?,
    };
    let addresses = BindingAddresses {
        home_address,
        care_of_address,
    };
    let mut packet = Packet {
        source: care_of_address,
        destination: home_agent,
        home_address: None,
        routing_address: None,
        message: &[],
    };
    let message = message.encode(association, &addresses, &packet.pseudo_header());
    packet.message = &message;
    match update.transport {
        Transport::Udp { .. } => Some(packet.encode()),
        Transport::MobilityHeader => Some(message),
    }
}

/// The message in this datagram, its checksum verified.
pub(super) fn decode<'a>(datagram: &Datagram<'a>) -> Result<Message<'a>, Drop> {
    let packet = match (datagram.transport, datagram.source, datagram.destination) {
        (Transport::MobilityHeader, IpAddr::V6(source), IpAddr::V6(destination)) => Packet {
            source,
            destination,
            home_address: None,
            routing_address: None,
            message: datagram.payload,
        },
        (Transport::MobilityHeader, ..) => return Err(Drop::UnexpectedSource),
        (Transport::Udp { .. }, ..) => Packet::decode(datagram.payload)
            .map_err(|error| Drop::Malformed(error.drop_reason()))?,
    };
    if IpAddr::V6(packet.source) != datagram.source {
        return Err(Drop::UnexpectedSource);
    }
    let message = packet
        .message()
        .map_err(|error| Drop::Malformed(error.drop_reason()))?;
    match message {
        mip6::Message::BindingAcknowledgement(acknowledgement) => Ok(Message::Acknowledgement(
            super::Acknowledgement::Mip6(Acknowledgement {
                acknowledgement,
                packet,
            }),
        )),
        mip6::Message::BindingRefreshRequest(_) => Ok(Message::RefreshRequest),
        mip6::Message::BindingError(error) => match error.status {
            BindingErrorStatus::UNKNOWN_BINDING => Ok(Message::UnknownBinding),
            BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE => Ok(Message::NotUnderstood),
            _ => Err(Drop::UnknownCode),
        },
        mip6::Message::HomeTestInit(_)
        | mip6::Message::CareOfTestInit(_)
        | mip6::Message::HomeTest(_)
        | mip6::Message::CareOfTest(_)
        | mip6::Message::BindingUpdate(_) => Err(Drop::UnexpectedMessage),
    }
}

impl Acknowledgement<'_> {
    pub(super) fn tie(&self) -> Tie {
        match self.acknowledgement.status {
            // It has the last number accepted in place of its update's.
            Status::SEQUENCE_OUT_OF_WINDOW => Tie::Latest,
            _ => Tie::Sequence(self.acknowledgement.sequence),
        }
    }

    pub(super) const fn refusal(&self) -> Refusal {
        Refusal {
            code: self.acknowledgement.status.0,
            name: self.acknowledgement.status.name(),
        }
    }

    pub(super) fn verify(
        &self,
        association: &SecurityAssociation,
        identity: &Identity,
        request: &Request,
    ) -> Result<Verdict, Drop> {
        let BindingAcknowledgement {
            status,
            sequence,
            lifetime,
            options,
            ..
        } = &self.acknowledgement;
        let asked = BindingAddresses {
            home_address: request
                .home_address
                .and_then(|home_address| ipv6(home_address.ip()))
                .unwrap_or(Ipv6Addr::UNSPECIFIED),
            care_of_address: ipv6(request.path.care_of.ip()).ok_or(Drop::UnexpectedMessage)?,
        };
        let addresses = self
            .acknowledgement
            .addresses(&self.packet, &asked)
            .map_err(|error| Drop::Malformed(error.drop_reason()))?;
        let authentication = options
            .mn_ha_authentication()
            .ok_or(Drop::AuthenticationMissing)?;
        if !authentication.is_valid(association, &addresses, self.packet.message) {
            return Err(Drop::AuthenticationFailed);
        }
        let is_published = association.spi == OPEN_MODE_SPI;
        match options.nai() {
            Some(repeated) if repeated != *identity => return Err(Drop::IdentityMismatch),
            // Where neither the key nor a number ties it to its update, the name has to: a stranger
            // need not know it.
            None if is_published && self.tie() == Tie::Latest => {
                return Err(Drop::IdentityMissing);
            }
            Some(_) | None => {}
        }
        // RFC 4285, section 6: only the refusal of a timestamp has another one. Where anybody has the
        // key, its low half, which nobody can guess who did not see the update, has to be the same.
        let (repeated, sent) = (options.replay_protection(), request.stamp.timestamp);
        let ties = match *status {
            Status::IDENTIFICATION_MISMATCH => {
                let low = |timestamp: Option<Identification>| timestamp.map(Identification::low);
                !is_published || low(repeated) == low(sent)
            }
            _ => repeated == sent,
        };
        if !ties {
            return Err(Drop::TimestampMismatch);
        }
        let refusal = self.refusal();
        if *status == Status::EXPIRED_CARE_OF_NONCE_INDEX
            && let Some(cookie) = options.cookie()
        {
            return Ok(Verdict::Challenged(Challenge {
                key_share: options.key_share(),
                cookie,
                refusal,
            }));
        }
        Ok(match *status {
            status if status.is_accepted() => {
                if addresses.home_address.is_unspecified() {
                    return Err(Drop::HomeAddressMissing);
                }
                Verdict::Accepted {
                    lifetime: *lifetime,
                    home_address: addresses.home_address.into(),
                    home_agent: self.packet.source.into(),
                    cookie: options.cookie(),
                    token: options.resumption_token(),
                }
            }
            Status::SEQUENCE_OUT_OF_WINDOW => Verdict::NotFresh(Hint::Sequence(*sequence)),
            Status::IDENTIFICATION_MISMATCH => {
                let timestamp = options.replay_protection().ok_or(Drop::TimestampMismatch)?;
                Verdict::NotFresh(Hint::Clock(timestamp.high()))
            }
            Status::NOT_HOME_SUBNET
            | Status::NOT_HOME_AGENT
            | Status::DUPLICATE_ADDRESS_DETECTION_FAILED => Verdict::Disowned(refusal),
            _ => Verdict::Refused(refusal),
        })
    }
}

const fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}
