//! What may go into a tunnel, and in which pieces.

use std::sync::Arc;

use super::counters::Counter;
use super::device::is_forbidden;
use super::icmp::{self, Complaint};
use super::ipv4::{IP_IN_IP, Ipv4};
use super::offload::{self, Cut, VirtioHeader};
use super::table::Entry;
use super::{LEAST_PATH, Role, Shared, mss};

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
) -> Result<(usize, VirtioHeader, Ipv4), (Refusal, Option<Ipv4>)> {
    let malformed = (Refusal::silent(Counter::Malformed), None);
    let Some((mut header, packet)) = VirtioHeader::split(buffer) else {
        return Err(malformed);
    };
    if packet.first().is_none_or(|first| first >> 4 != 4) {
        return Err((Refusal::silent(Counter::NotIpv4), None));
    }
    let Some(ip) = Ipv4::parse(packet).filter(|ip| ip.total == packet.len()) else {
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
    if !tunnel.is_correspondent(peer) {
        return Err((Refusal::silent(Counter::NotACorrespondent), Some(ip)));
    }
    if header.merged.is_none() {
        if header.finish_checksum(packet).is_none() {
            return Err(malformed);
        }
        header.partial_checksum = false;
    }
    let largest = shared.largest_inner(tunnel).min(shared.mtu);
    let announced = mss::clamp(packet, &ip, largest, header.partial_checksum);
    if let Some(announced) = announced {
        tunnel
            .state
            .limit_beyond(announced.saturating_add(mss::HEADERS).max(LEAST_PATH));
    }
    if let Some(size) = icmp::next_hop_mtu(&ip, packet).filter(|size| *size >= LEAST_PATH)
        && icmp::quoted(&ip, packet).is_some_and(|quoted| quoted.source == tunnel.home)
    {
        tunnel.state.limit_beyond(size);
    }
    Ok((entry, header, ip))
}

/// RFC 5944, section 4.2.3: a packet tunnelled to the home address by the mobile node itself, and our
/// own tunnelled packets when the routes lead them back, would circle.
fn loops(tunnel: &Entry, ip: &Ipv4, packet: &[u8]) -> bool {
    let from_an_end = ip.source == tunnel.remote || ip.source == tunnel.local;
    ip.protocol == IP_IN_IP
        && (ip.source == tunnel.local
            || from_an_end
                && Ipv4::parse_quote(packet.get(ip.header..).unwrap_or_default())
                    .is_some_and(|inner| inner.destination == tunnel.home))
}

/// Cuts a packet to what the path carries.
pub(super) fn cut(
    shared: &Shared,
    entry: &Entry,
    header: VirtioHeader,
    ip: &Ipv4,
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
    let too_big = Refusal::told(Counter::TooBig, Complaint::TooBig(limit));
    let done = match header.merged {
        Some(merged) if merged.udp && needed > room => return Err(too_big),
        Some(merged) => offload::segment(merged, ip, packet, room, each),
        None if ip.total <= room => {
            each(Cut::whole(*ip));
            Some(())
        }
        None if ip.dont_fragment => return Err(too_big),
        None => offload::fragment(ip, packet, room, each),
    };
    done.ok_or(Refusal::silent(Counter::Malformed))
}
