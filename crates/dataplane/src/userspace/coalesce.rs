//! Packets out of the tunnel that go to the device together.
//!
//! The kernel takes a super-segment of up to 64 kB for the price of one packet. So packets of one
//! flow that arrived in one batch, in order, alike and intact, are written as one: the first one's
//! headers, then every payload from where it was received. What the kernel's own receive offload
//! requires is required here (`tcp_gro_receive`, `udp_gro_receive`), so that it can take the
//! super-segment apart into the very packets that came.

use std::net::IpAddr;

use mobility_protocol::Family;

use super::checksum::get;
use super::ip::{Ip, TCP, UDP};
use super::offload::{Merged, transport_header};

/// One packet to deliver: where it is in the batch's memory, and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    /// The receive buffer.
    pub(super) slot: usize,
    /// Where in the buffer the inner packet starts.
    pub(super) start: usize,
    pub(super) ip: Ip,
    /// The checksum covers the pseudo header only, as receive offload leaves it.
    pub(super) partial: bool,
    /// Receive offload has merged it already.
    pub(super) merged: Option<Merged>,
    /// The next packet written together with this one.
    pub(super) next: Option<usize>,
}

/// Packets written together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// The first packet, whose headers stand for all.
    pub(super) first: usize,
    last: usize,
    pub(super) members: usize,
    /// Octets of the whole.
    pub(super) total: usize,
    /// Octets of the transport header.
    pub(super) transport: usize,
    /// Octets of payload in each but the last.
    size: usize,
    /// Whether TCP's PSH is set on the last packet.
    pub(super) push: bool,
    /// None once no packet may join any more.
    flow: Option<Flow>,
    next_sequence: u32,
    /// Whether the first packet's checksum has been checked.
    intact: bool,
    /// Nothing may follow the last packet: it is shorter than the others, or pushed.
    complete: bool,
}

/// What packets written together have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    source: IpAddr,
    destination: IpAddr,
    ports: [u8; 4],
    protocol: u8,
}

/// The largest packet of either family that the device takes.
const LARGEST: usize = 65_535;

/// Half of the kernel's `UDP_MAX_SEGMENTS`.
const MOST_DATAGRAMS: usize = 64;

const ACK: u8 = 0x10;
pub(super) const PSH: u8 = 0x08;
const ECE: u8 = 0x40;

impl Group {
    fn alone(index: usize, delivery: &Delivery) -> Self {
        Self {
            first: index,
            last: index,
            members: 1,
            total: delivery.ip.total,
            transport: 0,
            size: 0,
            push: false,
            flow: None,
            next_sequence: 0,
            intact: false,
            complete: false,
        }
    }

    /// What to tell the device about the group, if it is more than a packet.
    pub(super) fn merged(&self, protocol: u8) -> Option<Merged> {
        let size = u16::try_from(self.size).ok()?;
        (self.members > 1).then_some(Merged {
            size,
            udp: protocol == UDP,
        })
    }
}

/// Orders deliveries into groups. `packet` gives a delivery's octets; `udp` says whether the device
/// takes UDP super-segments. Groups are in the order of their first packets, and packets of a flow
/// never overtake one another.
pub(super) fn group<'a>(
    deliveries: &mut [Delivery],
    packet: impl Fn(&Delivery) -> &'a [u8],
    udp: bool,
    groups: &mut Vec<Group>,
) {
    groups.clear();
    for index in 0..deliveries.len() {
        let delivery = deliveries[index];
        let octets = packet(&delivery);
        let candidate = candidate(&delivery, octets, index, udp);
        let flow = flow(&delivery.ip, octets);
        let open = groups
            .iter_mut()
            .rev()
            .find(|group| group.flow.is_some() && group.flow == flow);
        if let Some(open) = open {
            let first = deliveries[open.first];
            let joined = candidate.as_ref().is_some_and(|next| {
                joins(
                    open,
                    next,
                    (packet(&first), &first.ip),
                    (octets, &delivery.ip),
                )
            });
            if joined {
                deliveries[open.last].next = Some(index);
                open.last = index;
                continue;
            }
            // What comes later must not be written before this packet.
            open.flow = None;
        }
        groups.push(candidate.unwrap_or_else(|| Group::alone(index, &delivery)));
    }
}

/// A packet that could be the first of a group.
fn candidate(delivery: &Delivery, octets: &[u8], index: usize, udp: bool) -> Option<Group> {
    let ip = &delivery.ip;
    if delivery.partial
        || delivery.merged.is_some()
        || ip.header != ip.least_header()
        || !ip.dont_fragment
    {
        return None;
    }
    let transport = transport_header(ip, octets)?;
    let segment = octets.get(ip.header..)?;
    let size = ip.total - ip.header - transport;
    let (mut next_sequence, mut push) = (0, false);
    match ip.protocol {
        TCP => {
            let flags = *segment.get(13)?;
            if flags & ACK == 0 || flags & !(ACK | PSH | ECE) != 0 {
                return None;
            }
            push = flags & PSH != 0;
            next_sequence = sequence(ip, octets)?.wrapping_add(u32::try_from(size).ok()?);
        }
        UDP if udp => {
            let length = usize::from(u16::from_be_bytes(get(segment, 4)?));
            if length != ip.total - ip.header || get(segment, 6)? == [0, 0] {
                return None;
            }
        }
        _ => return None,
    }
    let flow = Some(flow(ip, octets)?);
    let alone = Group::alone(index, delivery);
    (size > 0).then_some(Group {
        transport,
        size,
        push,
        flow,
        next_sequence,
        complete: push,
        ..alone
    })
}

fn flow(ip: &Ip, octets: &[u8]) -> Option<Flow> {
    let ports = *octets.get(ip.header..)?.first_chunk()?;
    Some(Flow {
        source: ip.source,
        destination: ip.destination,
        ports,
        protocol: ip.protocol,
    })
}

fn sequence(ip: &Ip, octets: &[u8]) -> Option<u32> {
    octets
        .get(ip.header + 4..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

/// Adds a packet to a group if the kernel could take it out again as it came.
fn joins(group: &mut Group, next: &Group, first: (&[u8], &Ip), packet: (&[u8], &Ip)) -> bool {
    if group.complete
        || next.size > group.size
        || next.transport != group.transport
        || group.total + next.size > LARGEST
        || !alike(group, first.0, packet.0, packet.1)
    {
        return false;
    }
    // A checksum is made anew for each packet taken out again: a wrong one must not become right.
    group.intact = group.intact || first.1.segment_is_intact(first.0);
    if !group.intact || !packet.1.segment_is_intact(packet.0) {
        return false;
    }
    group.total += next.size;
    group.members += 1;
    group.next_sequence = next.next_sequence;
    group.push = next.push;
    group.complete = next.push || next.size < group.size;
    true
}

/// Whether the headers agree in all that one header must say for both.
fn alike(group: &Group, first: &[u8], packet: &[u8], ip: &Ip) -> bool {
    let same = |from: usize, to: usize| first.get(from..to) == packet.get(from..to);
    // DSCP and ECN, flow label; time to live.
    let alike = match ip.family() {
        Family::Ipv4 => same(1, 2) && same(8, 9),
        Family::Ipv6 => same(0, 4) && same(7, 8),
    };
    if !alike {
        return false;
    }
    if ip.protocol == UDP {
        return group.members < MOST_DATAGRAMS;
    }
    let flags = |octets: &[u8]| octets.get(ip.header + 13).map(|flags| flags & !PSH);
    // Acknowledgement number, options.
    sequence(ip, packet) == Some(group.next_sequence)
        && flags(first) == flags(packet)
        && same(ip.header + 8, ip.header + 12)
        && same(ip.header + 20, ip.header + group.transport)
}

#[cfg(test)]
mod tests;
