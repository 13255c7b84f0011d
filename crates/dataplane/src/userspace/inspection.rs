//! What may come out of a tunnel.
//!
//! A datagram is held against the tunnel it claims to belong to, the cheap and telling checks first.
//! Nothing here depends on what was received before.

use std::net::IpAddr;
use std::sync::Arc;

use mobility_protocol::Family;

use super::checksum::{fold, get};
use super::counters::Counter;
use super::icmp;
use super::ip::{Ip, TCP, UDP, decapsulated_class, is_forbidden};
use super::ipv6;
use super::peers::Own;
use super::socket::Received;
use super::table::{Entry, Tunnels};
use super::{Role, Shared};
use crate::TUNNELS;

/// A packet that may go to the device.
pub(super) struct Arrival {
    pub(super) entry: Arc<Entry>,
    /// The inner header.
    pub(super) ip: Ip,
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
    pub(super) prohibited: Option<((Ip, usize), Arc<Entry>)>,
}

impl From<Counter> for Refusal {
    fn from(counter: Counter) -> Self {
        Self {
            counter,
            prohibited: None,
        }
    }
}

/// Signalling over UDP: of IPv4 (RFC 5944, section 3) and of IPv6 (RFC 5555, section 4.3); and by the
/// Mobility Header (RFC 6275, section 6.1).
const SIGNALLING_PORTS: [u16; 2] = [434, 4191];
const MOBILITY_HEADER: u8 = 135;

/// Octets of a transport header that no second fragment may bring: up to TCP's flags (RFC 1858,
/// section 3).
const LEAST_FIRST_FRAGMENT: usize = 16;

/// Judges one datagram of a tunnel's protocol as it was received. `known` is the tunnel of the one
/// before, `own` what this host receives itself.
///
/// The inner ECN field is brought up to date on the way (RFC 6040).
pub(super) fn inspect(
    shared: &Shared,
    tunnels: &Tunnels,
    own: &Own,
    known: &mut Option<Arc<Entry>>,
    received: &Received,
    datagram: &mut [u8],
) -> Result<Arrival, Refusal> {
    let outer = Outer::of(received, datagram).ok_or(Counter::Malformed)?;
    let start = outer.start;
    let packet = datagram
        .get_mut(start..outer.end)
        .ok_or(Counter::Malformed)?;
    let ip = Ip::parse(packet)
        .filter(|ip| ip.family() == Family::of(outer.source) && ip.is_intact(packet))
        .ok_or(Counter::Malformed)?;

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

    inspect_inner(shared.role, own, &entry, &ip, packet, start)?;
    let class = decapsulated_class(outer.traffic_class, ip.traffic_class)
        .ok_or(Counter::CongestionMarked)?;
    let ip = Ip {
        traffic_class: class,
        ..ip
    };
    ip.write_traffic_class(packet, class);

    let partial = has_partial_checksum(&ip, packet);
    if partial
        && ip.protocol == UDP
        && ip.total > usize::from(shared.device_mtu(ip.family()))
        && !ip.segment_is_intact(packet)
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

/// The outer header, as far as it matters.
struct Outer {
    source: IpAddr,
    traffic_class: u8,
    /// Where in the datagram the inner packet starts and ends.
    start: usize,
    end: usize,
}

impl Outer {
    /// A raw socket of IPv4 hands the header over, one of IPv6 tells of it.
    fn of(received: &Received, datagram: &[u8]) -> Option<Self> {
        if let Some((source, traffic_class)) = received.outer {
            return Some(Self {
                source: IpAddr::V6(source),
                traffic_class,
                start: 0,
                end: datagram.len(),
            });
        }
        let header = Ip::parse(datagram)?;
        Some(Self {
            source: header.source,
            traffic_class: header.traffic_class,
            start: header.header,
            end: header.total,
        })
    }
}

/// The reason to drop what belongs to no tunnel.
fn stranger(role: Role, tunnels: &Tunnels, outer_source: IpAddr) -> Counter {
    match (role, tunnels.of_remote(outer_source).next()) {
        (_, None) => Counter::WrongOuterSource,
        (Role::HomeAgent, Some(_)) => Counter::WrongInnerSource,
        (Role::MobileNode, Some(_)) => Counter::WrongInnerDestination,
    }
}

/// The checks of the inner packet, once it is clear whose it is.
fn inspect_inner(
    role: Role,
    own: &Own,
    entry: &Arc<Entry>,
    ip: &Ip,
    packet: &[u8],
    start: usize,
) -> Result<(), Refusal> {
    if ip.diverted {
        return Err(Counter::SourceRoute.into());
    }
    if hides_header(ip) {
        return Err(Counter::FragmentHidesHeader.into());
    }
    match role {
        Role::HomeAgent => {
            if is_forbidden(ip.destination) {
                return Err(Counter::ForbiddenDestination.into());
            }
            if TUNNELS.contains(&ip.protocol) {
                return Err(Counter::NestedTunnel.into());
            }
            let (correspondents, ours) = (&entry.correspondents, own.has(ip.destination));
            if !correspondents.has(ip.destination) || ours && !correspondents.name(ip.destination) {
                let prohibited = Some(((*ip, start), Arc::clone(entry)));
                return Err(Refusal {
                    counter: Counter::NotACorrespondent,
                    prohibited,
                });
            }
            if ours && is_signalling(ip, packet) {
                return Err(Counter::SignallingInTunnel.into());
            }
            // The mobile node may report about what correspondents sent it, and nothing else.
            let reports_theirs = || {
                icmp::quoted(ip, packet).is_some_and(|quoted| {
                    quoted.destination == entry.home && correspondents.has(quoted.source)
                })
            };
            if icmp::is_report(ip, packet) && !reports_theirs() {
                return Err(Counter::NotACorrespondent.into());
            }
        }
        Role::MobileNode => {
            // Routers on the way may report about our own packets, and nothing else.
            let reports_ours = || {
                icmp::quoted(ip, packet).is_some_and(|quoted| {
                    quoted.source == entry.home && entry.correspondents.has(quoted.destination)
                })
            };
            if !entry.correspondents.has(ip.source) && !reports_ours() {
                return Err(Counter::NotACorrespondent.into());
            }
            if is_forbidden(ip.source) {
                return Err(Counter::ForbiddenDestination.into());
            }
            if TUNNELS.contains(&ip.protocol) {
                return Err(Counter::NestedTunnel.into());
            }
        }
    }
    Ok(())
}

fn is_signalling(ip: &Ip, packet: &[u8]) -> bool {
    let port = get(packet, ip.header + 2).map(u16::from_be_bytes);
    let to_our_ports = || port.is_some_and(|port| SIGNALLING_PORTS.contains(&port));
    ip.protocol == MOBILITY_HEADER || ip.protocol == UDP && ip.offset == 0 && to_our_ports()
}

/// RFC 1858, RFC 7112: a first fragment that ends before the transport header does, or a later one
/// that would overwrite it.
fn hides_header(ip: &Ip) -> bool {
    let payload = ip.total.saturating_sub(ip.header);
    let needed = match ip.protocol {
        TCP => LEAST_FIRST_FRAGMENT,
        _ => 8,
    };
    let cut_off = ip.family() == Family::Ipv6 && ipv6::is_extension(ip.protocol);
    let short = ip.offset == 0 && ip.more_fragments && (cut_off || payload < needed);
    let overwrites = ip.offset != 0 && ip.offset < needed;
    // More than a packet can be.
    let overflows = ip.offset + payload > 65_535;
    short || overwrites || overflows
}

/// Receive offload, and a peer on this host, leave the sum of the pseudo header where the checksum
/// belongs. Taking a finished checksum for one by accident does no harm: it is made anew.
fn has_partial_checksum(ip: &Ip, packet: &[u8]) -> bool {
    let field = match ip.protocol {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    let Some(transport) = super::offload::transport_header(ip, packet) else {
        return false;
    };
    debug_assert!(transport > field);
    let found = get(packet, ip.header + field).map(u16::from_ne_bytes);
    let pseudo = fold(ip.pseudo_header(ip.total - ip.header));
    found == Some(pseudo) && (ip.protocol == TCP || pseudo != 0)
}
