//! What the kernel leaves to us on the way into the tunnel: checksums to finish, and super-segments
//! of up to 64 kB to cut into packets (`struct virtio_net_hdr`; its numbers in the host's order).
//!
//! A cut copies headers only. The payload stays where it was read and is gathered by the send call.

use mobility_protocol::Family;

use super::checksum::{fold, get, put, sum};
use super::device::VIRTIO_HEADER;
use super::ip::{IPV6, Ip, LARGEST_OUTER, OuterHeader, TCP, UDP};
use super::ipv4::HEADER;
use super::ipv6::FRAGMENT_HEADER;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// A TCP super-segment whose first packet alone carries CWR.
const GSO_ECN: u8 = 0x80;

const TCP_HEADER: usize = 20;
pub(super) const UDP_HEADER: usize = 8;

const FIN_PSH: u8 = 0x01 | 0x08;
const CWR: u8 = 0x80;

/// What stands before each packet on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct VirtioHeader {
    /// The transport checksum covers the pseudo header only.
    pub(super) partial_checksum: bool,
    /// The packet is several.
    pub(super) merged: Option<Merged>,
    checksum_start: u16,
    checksum_offset: u16,
}

/// Several packets with one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merged {
    /// Octets of payload in each but the last.
    pub(super) size: u16,
    pub(super) udp: bool,
}

impl VirtioHeader {
    /// Reads the header and returns what follows, or none for what we did not ask the kernel for.
    pub(super) fn split(octets: &mut [u8]) -> Option<(Self, &mut [u8])> {
        let (header, packet) = octets.split_first_chunk_mut::<VIRTIO_HEADER>()?;
        let number = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let size = number(4);
        let merged = match header[1] & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 | GSO_TCPV6 if size != 0 => Some(Merged { size, udp: false }),
            GSO_UDP_L4 if size != 0 => Some(Merged { size, udp: true }),
            _ => return None,
        };
        let header = Self {
            partial_checksum: header[0] & NEEDS_CHECKSUM != 0,
            merged,
            checksum_start: number(6),
            checksum_offset: number(8),
        };
        Some((header, packet))
    }

    /// The header of a packet for the device.
    pub(super) fn encode(
        partial: bool,
        merged: Option<Merged>,
        ip: &Ip,
        transport: usize,
    ) -> [u8; VIRTIO_HEADER] {
        let mut octets = [0; VIRTIO_HEADER];
        if !partial {
            return octets;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "headers are shorter than 2^16"
        )]
        let numbers = [(ip.header + transport) as u16, ip.header as u16];
        octets[0] = NEEDS_CHECKSUM;
        if let Some(merged) = merged {
            octets[1] = match ip.family() {
                _ if merged.udp => GSO_UDP_L4,
                Family::Ipv4 => GSO_TCPV4,
                Family::Ipv6 => GSO_TCPV6,
            };
            octets[2..4].copy_from_slice(&numbers[0].to_ne_bytes());
            octets[4..6].copy_from_slice(&merged.size.to_ne_bytes());
        }
        let field: u16 = if ip.protocol == UDP { 6 } else { 16 };
        octets[6..8].copy_from_slice(&numbers[1].to_ne_bytes());
        octets[8..10].copy_from_slice(&field.to_ne_bytes());
        octets
    }

    /// Finishes the checksum of a packet that is not merged. None when it lies outside the packet.
    pub(super) fn finish_checksum(&self, packet: &mut [u8]) -> Option<()> {
        if self.partial_checksum {
            let covered = packet.get_mut(usize::from(self.checksum_start)..)?;
            let field = usize::from(self.checksum_offset);
            let checksum = match !fold(sum(covered)) {
                // RFC 768: zero would say that there is no checksum.
                0 if self.checksum_offset == 6 => 0xffff,
                checksum => checksum,
            };
            get(covered, field)?;
            put(covered, field, checksum.to_ne_bytes());
        }
        Some(())
    }
}

/// A packet to encapsulate: the headers here, with room for the outer one, the payload elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    head: [u8; LARGEST_OUTER + LARGEST_INNER],
    /// Where the outer header starts, which ends at [`LARGEST_OUTER`].
    start: usize,
    end: usize,
    /// Where the payload starts and ends in the packet this was cut from.
    pub(super) payload: (usize, usize),
    /// The inner header as it was before the cut.
    pub(super) ip: Ip,
    /// Which piece of a packet this is, when one outer packet could not hold it.
    pub(super) piece: Piece,
}

/// What one outer packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A packet.
    Whole,
    /// The beginning of a packet of this many octets.
    First(usize),
    /// What follows.
    Later,
}

/// IPv4 and TCP with all their options have 120 octets, IPv6 and TCP have 100. The 24 that are left
/// are what extension headers of a super-segment may have.
const LARGEST_INNER: usize = 124;

impl Cut {
    fn new(ip: Ip, payload: (usize, usize)) -> Self {
        Self {
            head: [0; LARGEST_OUTER + LARGEST_INNER],
            start: LARGEST_OUTER,
            end: LARGEST_OUTER,
            payload,
            ip,
            piece: Piece::Whole,
        }
    }

    /// The packet as it is.
    pub(super) fn whole(ip: Ip) -> Self {
        Self::new(ip, (0, ip.total))
    }

    fn with_headers(ip: Ip, headers: &[u8], payload: (usize, usize)) -> Option<Self> {
        let mut cut = Self::new(ip, payload);
        cut.append(headers)?;
        Some(cut)
    }

    fn append(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.end + octets.len();
        self.head.get_mut(self.end..end)?.copy_from_slice(octets);
        self.end = end;
        Some(())
    }

    /// The headers without the outer one.
    pub(super) fn inner(&self) -> &[u8] {
        self.head.get(LARGEST_OUTER..self.end).unwrap_or_default()
    }

    fn inner_mut(&mut self) -> &mut [u8] {
        self.head
            .get_mut(LARGEST_OUTER..self.end)
            .unwrap_or_default()
    }

    /// The headers with the outer one, once it is set.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn set_outer(&mut self, outer: &OuterHeader) {
        let octets = outer.octets();
        self.start = LARGEST_OUTER - octets.len().min(LARGEST_OUTER);
        if let Some(room) = self.head.get_mut(self.start..LARGEST_OUTER) {
            room.copy_from_slice(octets);
        }
    }

    /// Octets behind the outer header.
    pub(super) fn length(&self) -> usize {
        self.end - LARGEST_OUTER + self.payload.1 - self.payload.0
    }

    /// How many packets, and how many octets of them, this counts for.
    pub(super) fn counts(&self) -> (u64, u64) {
        match self.piece {
            Piece::Whole => (1, self.length() as u64),
            Piece::First(total) => (1, total as u64),
            Piece::Later => (0, 0),
        }
    }

    /// Writes the length, and into IPv4 the identification counted on by `index`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "counted modulo 2^16 everywhere"
    )]
    fn finish_ip_header(&mut self, index: usize) {
        let (length, ip) = (self.length(), self.ip);
        let inner = self.inner_mut();
        if ip.family() == Family::Ipv4
            && let Some(identification) = get(inner, 4)
        {
            let identification = u16::from_be_bytes(identification).wrapping_add(index as u16);
            put(inner, 4, identification.to_be_bytes());
        }
        ip.write_length(inner, length);
    }

    /// Cuts the packet into pieces for outer packets that hold at most `room` octets behind their
    /// header (RFC 2473, section 7.1). None when they can't be.
    pub(super) fn in_pieces(
        &self,
        room: usize,
        identification: u32,
        mut each: impl FnMut(Self),
    ) -> Option<()> {
        let total = self.length();
        let step = room.checked_sub(FRAGMENT_HEADER)? & !7;
        let headers = self.inner();
        if step <= headers.len() {
            return None;
        }
        let (mut at, mut offset) = (self.payload.0, 0);
        while offset < total {
            let carried = if offset == 0 { headers } else { &[] };
            let end = (at + step - carried.len()).min(self.payload.1);
            let more = end < self.payload.1;
            let place = u16::try_from(offset).ok()? | u16::from(more);
            let [place_high, place_low] = place.to_be_bytes();
            let [i0, i1, i2, i3] = identification.to_be_bytes();
            let mut piece = Self::new(self.ip, (at, end));
            piece.piece = if offset == 0 {
                Piece::First(total)
            } else {
                Piece::Later
            };
            piece.append(&[IPV6, 0, place_high, place_low, i0, i1, i2, i3])?;
            piece.append(carried)?;
            each(piece);
            offset += step;
            at = end;
        }
        Some(())
    }
}

/// The octets of the transport header of a whole TCP or UDP packet.
pub(super) fn transport_header(ip: &Ip, packet: &[u8]) -> Option<usize> {
    let length = match ip.protocol {
        TCP => usize::from(packet.get(ip.header + 12)? >> 4) * 4,
        UDP => UDP_HEADER,
        _ => return None,
    };
    let minimum = if ip.protocol == TCP {
        TCP_HEADER
    } else {
        UDP_HEADER
    };
    (length >= minimum && ip.header + length <= ip.total && !ip.is_fragment()).then_some(length)
}

/// Cuts a super-segment into packets of at most `largest` octets and hands them out in order. A
/// smaller `largest` than the segments' own size cuts TCP smaller, which TCP doesn't notice; UDP can't
/// be cut anywhere else. None when the packet is not what its header says.
pub(super) fn segment(
    merged: Merged,
    ip: &Ip,
    packet: &[u8],
    largest: usize,
    mut each: impl FnMut(Cut),
) -> Option<()> {
    let transport = transport_header(ip, packet)?;
    if merged.udp != (ip.protocol == UDP) {
        return None;
    }
    let headers = packet.get(..ip.header + transport)?;
    let start = headers.len();
    let fits = largest.checked_sub(start).filter(|room| *room > 0)?;
    let size = if merged.udp {
        usize::from(merged.size)
    } else {
        usize::from(merged.size).min(fits)
    };
    if size > fits {
        return None;
    }
    for (index, from) in (start..ip.total.max(start + 1)).step_by(size).enumerate() {
        let to = (from + size).min(ip.total);
        let mut cut = Cut::with_headers(*ip, headers, (from, to))?;
        cut.finish_ip_header(index);
        let segment = cut.inner_mut().get_mut(ip.header..)?;
        if merged.udp {
            finish_udp(segment, ip, packet.get(from..to)?);
        } else {
            finish_tcp(
                segment,
                ip,
                packet.get(from..to)?,
                from - start,
                from == start,
                to == ip.total,
            )?;
        }
        each(cut);
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "the payload of one packet")]
fn finish_udp(header: &mut [u8], ip: &Ip, payload: &[u8]) {
    let length = header.len() + payload.len();
    put(header, 4, (length as u16).to_be_bytes());
    put(header, 6, [0, 0]);
    let checksum = !fold(ip.pseudo_header(length) + sum(header) + sum(payload));
    put(
        header,
        6,
        if checksum == 0 {
            [0xff; 2]
        } else {
            checksum.to_ne_bytes()
        },
    );
}

#[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
fn finish_tcp(
    header: &mut [u8],
    ip: &Ip,
    payload: &[u8],
    skipped: usize,
    first: bool,
    last: bool,
) -> Option<()> {
    let sequence = header.get_mut(4..)?.first_chunk_mut::<4>()?;
    *sequence = u32::from_be_bytes(*sequence)
        .wrapping_add(skipped as u32)
        .to_be_bytes();
    let flags = header.get_mut(13)?;
    if !last {
        *flags &= !FIN_PSH;
    }
    if !first {
        *flags &= !CWR;
    }
    put(header, 16, [0, 0]);
    let length = header.len() + payload.len();
    let checksum = !fold(ip.pseudo_header(length) + sum(header) + sum(payload));
    put(header, 16, checksum.to_ne_bytes());
    Some(())
}

/// Cuts an IPv4 packet that may be fragmented into fragments of at most `largest` octets (RFC 791,
/// section 3.2). None when not even eight octets would fit.
pub(super) fn fragment(
    ip: &Ip,
    packet: &[u8],
    largest: usize,
    mut each: impl FnMut(Cut),
) -> Option<()> {
    let headers = packet.get(..ip.header)?;
    let room = largest.checked_sub(ip.header)? & !7;
    if room == 0 {
        return None;
    }
    for from in (ip.header..ip.total).step_by(room) {
        let to = (from + room).min(ip.total);
        let mut cut = Cut::with_headers(*ip, headers, (from, to))?;
        let inner = cut.inner_mut();
        let more = to < ip.total || ip.more_fragments;
        let offset = u16::try_from((ip.offset + from - ip.header) / 8).ok()?;
        put(
            inner,
            6,
            (offset & 0x1fff | if more { 0x2000 } else { 0 }).to_be_bytes(),
        );
        if from > ip.header {
            keep_copied_options(inner.get_mut(HEADER..)?);
        }
        cut.finish_ip_header(0);
        each(cut);
    }
    Some(())
}

/// Options without the copied bit belong into the first fragment only.
fn keep_copied_options(options: &mut [u8]) {
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while let Some(kind) = options.get(at).copied() {
        let length = match kind {
            0 => return,
            1 => 1,
            _ => options.get(at + 1).map_or(0, |length| usize::from(*length)),
        };
        let Some(option) = options
            .get_mut(at..at + length)
            .filter(|option| !option.is_empty())
        else {
            return;
        };
        if kind & COPIED == 0 {
            option.fill(1);
        }
        at += length;
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
mod tests;
