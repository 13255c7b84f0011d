//! From a datagram to a Binding Update by somebody known: everything before an answer is due.
//!
//! Anybody may send a datagram. Nothing here keeps state for the sender. Two kinds are answered that
//! prove nothing, at a bounded rate: messages of unknown types (RFC 6275, section 9.2) and those
//! whose authenticator is wrong (RFC 4285, section 5).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::super::acquaintance::{Acquaintance, Challenge, Claim, Directory};
use super::super::counters::DropReason;
use super::super::signalling::Rejected;
use crate::binding::is_host_address;
use crate::security::SecurityAssociation;
use crate::wire::mip6::{BindingAddresses, BindingError, BindingUpdate, Message, Options, Packet};
use crate::{Datagram, Identity, Transmit, Transport};

/// The packet a message for us came in.
pub(super) fn packet<'a>(
    home_agent: Ipv6Addr,
    datagram: &Datagram<'a>,
) -> Result<Packet<'a>, DropReason> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (datagram.source, datagram.destination)
    else {
        return Err(DropReason::InvalidSource);
    };
    if !is_host_address(source) {
        return Err(DropReason::InvalidSource);
    }
    let packet = match datagram.transport {
        Transport::MobilityHeader => Packet {
            source,
            destination,
            home_address: datagram.home_address,
            routing_address: None,
            message: datagram.payload,
        },
        Transport::Udp { port: 0 } => return Err(DropReason::InvalidSource),
        Transport::Udp { .. } => Packet::decode(datagram.payload)
            .map_err(|error| DropReason::Undecodable(error.drop_reason()))?,
    };
    match packet.destination == home_agent && packet.routing_address.is_none() {
        true => Ok(packet),
        false => Err(DropReason::UnexpectedDestination),
    }
}

/// The Binding Update in this packet, and which addresses it is about.
pub(super) fn update(
    home_agent: Ipv6Addr,
    datagram: &Datagram<'_>,
    packet: &Packet<'_>,
) -> Result<(BindingUpdate, BindingAddresses), Rejected> {
    let update = match packet.message() {
        Ok(Message::BindingUpdate(update)) => update,
        Ok(_) => return Err(DropReason::UnexpectedMessage.into()),
        Err(error) => {
            let answer = error.binding_error_status().map(|status| {
                let error = BindingError {
                    status,
                    home_address: packet.home_address.unwrap_or(Ipv6Addr::UNSPECIFIED),
                    options: Options::new(),
                };
                binding_error(home_agent, datagram, packet, &error)
            });
            return Err(Rejected::Dropped {
                reason: DropReason::Undecodable(error.drop_reason()),
                answer: answer.flatten(),
            });
        }
    };
    let addresses = update
        .addresses(packet)
        .map_err(|error| DropReason::Undecodable(error.drop_reason()))?;
    Ok((update, addresses))
}

/// Why nobody vouches for a message.
pub(super) struct Unauthenticated {
    reason: DropReason,
    /// Who is to be told, and with which association.
    told: Option<(Identity, Arc<SecurityAssociation>)>,
}

impl Unauthenticated {
    /// With the answer made by `refuse`, if there is anybody to answer.
    pub(super) fn answered(
        self,
        refuse: impl FnOnce(&Identity, &SecurityAssociation) -> Option<Transmit>,
    ) -> Rejected {
        Rejected::Dropped {
            reason: self.reason,
            answer: self
                .told
                .and_then(|(identity, association)| refuse(&identity, &association)),
        }
    }
}

impl From<DropReason> for Unauthenticated {
    fn from(reason: DropReason) -> Self {
        Self { reason, told: None }
    }
}

/// Who sent an update.
pub(super) enum Sender {
    /// It is who it says, and has this key.
    Authenticated(Identity, Arc<SecurityAssociation>),
    /// Nobody knows; it is to come again.
    Challenged(Identity, Challenge),
}

/// Who sent this, if it is who it says.
pub(super) fn authenticate(
    directory: Directory<'_>,
    home_agent: Ipv6Addr,
    source: IpAddr,
    update: &BindingUpdate,
    addresses: &BindingAddresses,
    message: &[u8],
) -> Result<Sender, Unauthenticated> {
    let authentication = update
        .options
        .mn_ha_authentication()
        .ok_or(DropReason::MissingAuthentication)?;
    let identity = update.options.nai().ok_or(DropReason::MissingIdentity)?;
    let claim = Claim {
        source,
        home_agent: home_agent.into(),
        identity: &identity,
        spi: authentication.spi,
        key_share: update.options.key_share(),
        cookie: update.options.cookie(),
        token: update.options.resumption_token(),
    };
    let association = match directory.find(&claim)? {
        Acquaintance::Known(association) => association,
        Acquaintance::Newcomer(association, challenge) => {
            return Ok(
                match authentication.is_valid(&association, addresses, message) {
                    true => Sender::Authenticated(identity, Arc::new(association)),
                    false => Sender::Challenged(identity, challenge),
                },
            );
        }
        Acquaintance::Stranger(challenge) => return Ok(Sender::Challenged(identity, challenge)),
    };
    match authentication.is_valid(&association, addresses, message) {
        true => Ok(Sender::Authenticated(identity, association)),
        false => Err(Unauthenticated {
            reason: DropReason::AuthenticationFailed,
            told: Some((identity, association)),
        }),
    }
}

/// This packet on its way to `destination`, in the form it came in.
pub(super) fn transmit(
    packet: &Packet<'_>,
    destination: Ipv6Addr,
    transport: Transport,
) -> Transmit {
    Transmit {
        source: packet.source.into(),
        interface: None,
        destination: destination.into(),
        transport,
        home_address: match transport {
            Transport::MobilityHeader => packet.routing_address,
            Transport::Udp { .. } => None,
        },
        payload: match transport {
            Transport::MobilityHeader => packet.message.to_vec(),
            Transport::Udp { .. } => packet.encode(),
        },
    }
}

/// To where it came from on the wire, which a Home Address option does not change (RFC 6275, section
/// 9.3.3).
fn binding_error(
    home_agent: Ipv6Addr,
    datagram: &Datagram<'_>,
    packet: &Packet<'_>,
    error: &BindingError,
) -> Option<Transmit> {
    let IpAddr::V6(source) = datagram.source else {
        return None;
    };
    let mut answer = Packet {
        source: home_agent,
        destination: match packet.source.is_unspecified() {
            true => source,
            false => packet.source,
        },
        home_address: None,
        routing_address: None,
        message: &[],
    };
    let message = error.encode(&answer.pseudo_header());
    answer.message = &message;
    Some(transmit(&answer, source, datagram.transport))
}
