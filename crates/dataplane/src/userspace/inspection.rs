//! What may come out of a tunnel.
//!
//! A datagram is held against the tunnel it claims to belong to, the cheap and telling checks first.
//! Nothing here depends on what was received before.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::coalesce::is_intact;
use super::counters::Counter;
use super::device::is_forbidden;
use super::icmp;
use super::ipv4::{self, HEADER, Ipv4, TCP, UDP};
use super::table::{Entry, Tunnels};
use super::{Role, Shared};

/// A packet that may go to the device.
pub(super) struct Arrival {
    pub(super) entry: Arc<Entry>,
    /// The inner header.
    pub(super) ip: Ipv4,
    /// Where in the datagram the inner packet starts.
    pub(super) start: usize,
    /// The transport checksum covers the pseudo header only.
    pub(super) partial: bool,
}

/// Why a datagram is dropped.
pub(super) struct Refusal {
    pub(super) counter: Counter,
    /// The packet's header and place, and its tunnel, when the mobile node is to be told that the
    /// destination is prohibited.
    pub(super) prohibited: Option<((Ipv4, usize), Arc<Entry>)>,
}

impl From<Counter> for Refusal {
    fn from(counter: Counter) -> Self {
        Self {
            counter,
            prohibited: None,
        }
    }
}

/// The port of signalling (RFC 5944, section 3).
const SIGNALLING: u16 = 434;

/// Octets of a transport header that no second fragment may bring: up to TCP's flags (RFC 1858,
/// section 3).
const LEAST_FIRST_FRAGMENT: usize = 16;

/// Judges one datagram of protocol 4, from its outer header on. `known` is the tunnel of the one
/// before.
///
/// The inner ECN field is brought up to date on the way (RFC 6040).
pub(super) fn inspect(
    shared: &Shared,
    tunnels: &Tunnels,
    known: &mut Option<Arc<Entry>>,
    datagram: &mut [u8],
) -> Result<Arrival, Refusal> {
    let outer = Ipv4::parse(datagram).ok_or(Counter::Malformed)?;
    let start = outer.header;
    let packet = datagram
        .get_mut(start..outer.total)
        .ok_or(Counter::Malformed)?;
    let ip = Ipv4::parse(packet).ok_or(Counter::Malformed)?;
    if !ipv4::header_is_intact(packet, ip.header) {
        return Err(Counter::Malformed.into());
    }

    let home = match shared.role {
        Role::MobileNode => ip.destination,
        Role::HomeAgent => ip.source,
    };
    let entry = match known {
        Some(entry) if entry.home == home && entry.is_remote(outer.source) => Arc::clone(entry),
        _ => tunnels
            .get(home)
            .filter(|entry| entry.is_remote(outer.source))
            .map(Arc::clone)
            .ok_or_else(|| stranger(shared.role, tunnels, outer.source))?,
    };
    if known
        .as_ref()
        .is_none_or(|known| !Arc::ptr_eq(known, &entry))
    {
        *known = Some(Arc::clone(&entry));
    }

    inspect_inner(shared, &entry, &ip, packet, start)?;
    let tos = ipv4::decapsulated_tos(outer.tos, ip.tos).ok_or(Counter::CongestionMarked)?;
    let ip = Ipv4 { tos, ..ip };
    ipv4::set_tos(packet, tos);

    let partial = has_partial_checksum(&ip, packet);
    if partial
        && ip.protocol == UDP
        && ip.total > usize::from(shared.mtu)
        && !is_intact(packet, &ip)
    {
        // Datagrams have sizes that mean something, and receive offload does not tell them.
        return Err(Counter::MergedDatagram.into());
    }
    Ok(Arrival {
        entry,
        ip,
        start,
        partial,
    })
}

/// The reason to drop what belongs to no tunnel.
fn stranger(role: Role, tunnels: &Tunnels, outer_source: Ipv4Addr) -> Counter {
    match (role, tunnels.of_remote(outer_source).next()) {
        (_, None) => Counter::WrongOuterSource,
        (Role::HomeAgent, Some(_)) => Counter::WrongInnerSource,
        (Role::MobileNode, Some(_)) => Counter::WrongInnerDestination,
    }
}

/// The checks of the inner packet, once it is clear whose it is.
fn inspect_inner(
    shared: &Shared,
    entry: &Arc<Entry>,
    ip: &Ipv4,
    packet: &[u8],
    start: usize,
) -> Result<(), Refusal> {
    let options = packet.get(HEADER..ip.header).unwrap_or_default();
    if ipv4::has_source_route(options) {
        return Err(Counter::SourceRoute.into());
    }
    if hides_header(ip) {
        return Err(Counter::FragmentHidesHeader.into());
    }
    match shared.role {
        Role::HomeAgent => {
            if is_forbidden(ip.destination) {
                return Err(Counter::ForbiddenDestination.into());
            }
            if is_tunnel(ip.protocol) {
                return Err(Counter::NestedTunnel.into());
            }
            if !entry.is_correspondent(ip.destination) {
                let prohibited = Some(((*ip, start), Arc::clone(entry)));
                return Err(Refusal {
                    counter: Counter::NotACorrespondent,
                    prohibited,
                });
            }
            if ip.destination == shared.local && is_signalling(ip, packet) {
                return Err(Counter::SignallingInTunnel.into());
            }
        }
        Role::MobileNode => {
            // Routers on the way may report about our own packets, and nothing else.
            let reports_ours =
                || icmp::quoted(ip, packet).is_some_and(|quoted| quoted.source == entry.home);
            if !entry.is_correspondent(ip.source) && !reports_ours() {
                return Err(Counter::NotACorrespondent.into());
            }
            if is_forbidden(ip.source) {
                return Err(Counter::ForbiddenDestination.into());
            }
            if is_tunnel(ip.protocol) {
                return Err(Counter::NestedTunnel.into());
            }
        }
    }
    Ok(())
}

/// IP-in-IP, IPv6-in-IP, GRE and minimal encapsulation: whatever is inside would escape inspection.
fn is_tunnel(protocol: u8) -> bool {
    matches!(protocol, 4 | 41 | 47 | 55)
}

fn is_signalling(ip: &Ipv4, packet: &[u8]) -> bool {
    let port = ipv4::get(packet, ip.header + 2).map(u16::from_be_bytes);
    ip.protocol == UDP && ip.offset == 0 && port == Some(SIGNALLING)
}

/// RFC 1858: a first fragment that ends before the transport header does, or a later one that would
/// overwrite it.
fn hides_header(ip: &Ipv4) -> bool {
    let payload = ip.total - ip.header;
    let needed = match ip.protocol {
        TCP => LEAST_FIRST_FRAGMENT,
        _ => 8,
    };
    let short = ip.offset == 0 && ip.more_fragments && payload < needed;
    let overwrites = ip.offset != 0 && ip.offset < needed;
    // More than an IPv4 packet can be.
    let overflows = ip.offset + payload > 65_535;
    short || overwrites || overflows
}

/// Receive offload, and a peer on this host, leave the sum of the pseudo header where the checksum
/// belongs. Taking a finished checksum for one by accident does no harm: it is made anew.
fn has_partial_checksum(ip: &Ipv4, packet: &[u8]) -> bool {
    let field = match ip.protocol {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    let Some(transport) = super::offload::transport_header(ip, packet) else {
        return false;
    };
    debug_assert!(transport > field);
    let found = ipv4::get(packet, ip.header + field).map(u16::from_ne_bytes);
    let pseudo = ipv4::fold(ipv4::pseudo_header(ip, ip.total - ip.header));
    found == Some(pseudo) && (ip.protocol == TCP || pseudo != 0)
}
