//! What may go into a tunnel, and in which pieces.

use std::sync::Arc;

use mobility_protocol::Family;

use super::counters::Counter;
use super::icmp::{self, Complaint};
use super::ip::{Ip, is_forbidden, tunnel_protocol, version};
use super::offload::{self, Cut, VirtioHeader};
use super::table::Entry;
use super::{Role, Shared, least_path, mss};
use crate::TUNNELS;

/// A path that was found too small is asked again after this many milliseconds.
const PATH_RECHECK: u64 = 10_000;

/// Why a packet does not go, and what its sender is told.
pub(super) struct Refusal {
    pub(super) counter: Counter,
    pub(super) complaint: Option<Complaint>,
}

impl Refusal {
    const fn silent(counter: Counter) -> Self {
        Self {
            counter,
            complaint: None,
        }
    }

    const fn told(counter: Counter, complaint: Complaint) -> Self {
        Self {
            counter,
            complaint: Some(complaint),
        }
    }
}

/// The tunnel a packet of the device belongs to, by its place in `entries`, with its checksum
/// finished and its MSS clamped.
pub(super) fn admit(
    shared: &Shared,
    buffer: &mut [u8],
    entries: &mut Vec<Arc<Entry>>,
) -> Result<(usize, VirtioHeader, Ip), (Refusal, Option<Ip>)> {
    let malformed = (Refusal::silent(Counter::Malformed), None);
    let Some((mut header, packet)) = VirtioHeader::split(buffer) else {
        return Err(malformed);
    };
    if !matches!(version(packet), Some(4 | 6)) {
        return Err((Refusal::silent(Counter::NotIp), None));
    }
    let Some(ip) = Ip::parse(packet).filter(|ip| ip.total == packet.len()) else {
        return Err(malformed);
    };
    let (home, peer) = match shared.role {
        Role::MobileNode => (ip.source, ip.destination),
        Role::HomeAgent => (ip.destination, ip.source),
    };
    let entry = match entries.iter().rposition(|entry| entry.home == home) {
        Some(known) => known,
        None => {
            let found = shared.table.read().get(home).map(Arc::clone);
            let Some(entry) = found else {
                let refusal = match is_forbidden(ip.destination) {
                    true if is_membership_report(&ip) => Refusal::silent(Counter::MembershipReport),
                    true => Refusal::silent(Counter::ForbiddenDestination),
                    false => Refusal::told(Counter::UnboundHomeAddress, Complaint::HostUnreachable),
                };
                return Err((refusal, Some(ip)));
            };
            entries.push(entry);
            entries.len() - 1
        }
    };
    let tunnel = &entries[entry];
    if loops(tunnel, &ip, packet) {
        return Err((Refusal::silent(Counter::TunnelLoop), Some(ip)));
    }
    let quoted = icmp::quoted(&ip, packet);
    // Routers behind the home agent report about the mobile node's packets, and of small paths.
    let reports_theirs = || {
        shared.role == Role::HomeAgent
            && quoted.is_some_and(|quoted| {
                quoted.source == home && tunnel.correspondents.has(quoted.destination)
            })
    };
    if !tunnel.correspondents.has(peer) && !reports_theirs() {
        return Err((Refusal::silent(Counter::NotACorrespondent), Some(ip)));
    }
    if shared.role == Role::HomeAgent && TUNNELS.contains(&ip.protocol) {
        return Err((Refusal::silent(Counter::NestedTunnel), Some(ip)));
    }
    if header.merged.is_none() {
        if header.finish_checksum(packet).is_none() {
            return Err(malformed);
        }
        header.partial_checksum = false;
    }
    let largest = shared
        .largest_inner(tunnel)
        .min(shared.device_mtu(ip.family()));
    let announced = mss::clamp(packet, &ip, largest, header.partial_checksum);
    if let Some(announced) = announced {
        tunnel.state.limit_beyond(
            announced
                .saturating_add(mss::headers(&ip))
                .max(least_path(ip.family())),
        );
    }
    if let Some(size) =
        icmp::next_hop_mtu(&ip, packet).filter(|size| *size >= least_path(ip.family()))
        && quoted.is_some_and(|quoted| quoted.source == tunnel.home)
    {
        tunnel.state.limit_beyond(size);
    }
    Ok((entry, header, ip))
}

/// Whether the kernel tells the device's link which groups it has joined (RFC 3810, section 5): it
/// joins some on every device that speaks IPv6.
fn is_membership_report(ip: &Ip) -> bool {
    ip.family() == Family::Ipv6 && ip.source.is_unspecified() && ip.destination.is_multicast()
}

/// RFC 5944, section 4.2.3: a packet tunnelled to the home address by the mobile node itself, and our
/// own tunnelled packets when the routes lead them back, would circle.
fn loops(tunnel: &Entry, ip: &Ip, packet: &[u8]) -> bool {
    let (local, remote) = (tunnel.ends.local(), tunnel.ends.remote());
    let from_an_end = ip.source == remote || ip.source == local;
    ip.protocol == tunnel_protocol(ip.family())
        && (ip.source == local
            || from_an_end
                && Ip::parse_quote(packet.get(ip.header..).unwrap_or_default())
                    .is_some_and(|inner| inner.destination == tunnel.home))
}

/// Cuts a packet to what the path carries.
///
/// An IPv6 packet of up to 1280 octets must get through whatever the path carries, and no sender may
/// be told less (RFC 8200, section 5). Where the path leaves it less room, it goes in pieces behind
/// two outer headers, which the other end puts together again (RFC 2473, section 7.1).
pub(super) fn cut(
    shared: &Shared,
    entry: &Entry,
    header: VirtioHeader,
    ip: &Ip,
    packet: &[u8],
    mut each: impl FnMut(Cut),
) -> Result<(), Refusal> {
    let mut limit = shared.largest_inner(entry);
    let needed = match header.merged {
        Some(merged) => {
            ip.header
                + offload::transport_header(ip, packet).unwrap_or(0)
                + usize::from(merged.size)
        }
        None => ip.total,
    };
    if needed > usize::from(limit) && entry.state.path_age(shared.table.now()) >= PATH_RECHECK {
        shared.ask_path(entry);
        limit = shared.largest_inner(entry);
    }
    let room = usize::from(limit);
    let most = match ip.family() {
        Family::Ipv4 => limit,
        Family::Ipv6 => limit.max(least_path(Family::Ipv6)),
    };
    let too_big = Refusal::told(Counter::TooBig, Complaint::TooBig(most));
    let most = usize::from(most);
    let mut in_pieces = Some(());
    let mut each = |cut: Cut| {
        if cut.length() <= room {
            each(cut);
        } else if cut
            .in_pieces(room, shared.identifications.next(), &mut each)
            .is_none()
        {
            in_pieces = None;
        }
    };
    let done = match header.merged {
        Some(merged) if merged.udp && needed > most => return Err(too_big),
        Some(merged) if merged.udp => offload::segment(merged, ip, packet, most, each),
        Some(merged) => offload::segment(merged, ip, packet, room, each),
        None if ip.total <= most => {
            each(Cut::whole(*ip));
            Some(())
        }
        None if ip.dont_fragment => return Err(too_big),
        None => offload::fragment(ip, packet, room, each),
    };
    done.and(in_pieces)
        .ok_or(Refusal::silent(Counter::Malformed))
}
