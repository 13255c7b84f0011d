//! What the kernel leaves to us on the way into the tunnel: checksums to finish, and super-segments
//! of up to 64 kB to cut into packets (`struct virtio_net_hdr`; its numbers in the host's order).
//!
//! A cut copies headers only. The payload stays where it was read and is gathered by the send call.

use super::device::VIRTIO_HEADER;
use super::ipv4::{self, HEADER, Ipv4, TCP, UDP};

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
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
            GSO_TCPV4 if size != 0 => Some(Merged { size, udp: false }),
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
        ip: &Ipv4,
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
            octets[1] = if merged.udp { GSO_UDP_L4 } else { GSO_TCPV4 };
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
            let checksum = match !ipv4::fold(ipv4::sum(covered)) {
                // RFC 768: zero would say that there is no checksum.
                0 if self.checksum_offset == 6 => 0xffff,
                checksum => checksum,
            };
            ipv4::get(covered, field)?;
            ipv4::put(covered, field, checksum.to_ne_bytes());
        }
        Some(())
    }
}

/// A packet to encapsulate: the headers here, with room for the outer one, the payload elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    head: [u8; HEADER + 60 + 60],
    head_length: usize,
    /// Where the payload starts and ends in the packet this was cut from.
    pub(super) payload: (usize, usize),
    /// The inner header as it was before the cut.
    pub(super) ip: Ipv4,
}

impl Cut {
    /// The packet as it is.
    pub(super) fn whole(ip: Ipv4) -> Self {
        Self {
            head: [0; HEADER + 120],
            head_length: HEADER,
            payload: (0, ip.total),
            ip,
        }
    }

    fn with_headers(ip: Ipv4, headers: &[u8], payload: (usize, usize)) -> Option<Self> {
        let mut cut = Self {
            head: [0; HEADER + 120],
            head_length: HEADER + headers.len(),
            payload,
            ip,
        };
        cut.head
            .get_mut(HEADER..cut.head_length)?
            .copy_from_slice(headers);
        Some(cut)
    }

    fn inner(&mut self) -> &mut [u8] {
        self.head
            .get_mut(HEADER..self.head_length)
            .unwrap_or_default()
    }

    /// The headers, room for the outer one first.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get(..self.head_length).unwrap_or_default()
    }

    pub(super) fn set_outer(&mut self, outer: [u8; HEADER]) {
        self.head[..HEADER].copy_from_slice(&outer);
    }

    /// Octets of the inner packet.
    pub(super) fn length(&self) -> usize {
        self.head_length - HEADER + self.payload.1 - self.payload.0
    }

    /// Writes the total length, and `identification` counted on by `index`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cut is shorter than the packet it is from"
    )]
    fn finish_ip_header(&mut self, index: usize) {
        let (length, header) = (self.length(), self.ip.header);
        let inner = self.inner();
        ipv4::put(inner, 2, (length as u16).to_be_bytes());
        if let Some(identification) = ipv4::get(inner, 4) {
            let identification = u16::from_be_bytes(identification).wrapping_add(index as u16);
            ipv4::put(inner, 4, identification.to_be_bytes());
        }
        ipv4::write_header_checksum(inner, header);
    }
}

/// The octets of the transport header of a whole TCP or UDP packet.
pub(super) fn transport_header(ip: &Ipv4, packet: &[u8]) -> Option<usize> {
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
    ip: &Ipv4,
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
        let segment = cut.inner().get_mut(ip.header..)?;
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
fn finish_udp(header: &mut [u8], ip: &Ipv4, payload: &[u8]) {
    let length = header.len() + payload.len();
    ipv4::put(header, 4, (length as u16).to_be_bytes());
    ipv4::put(header, 6, [0, 0]);
    let checksum =
        !ipv4::fold(ipv4::pseudo_header(ip, length) + ipv4::sum(header) + ipv4::sum(payload));
    ipv4::put(
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
    ip: &Ipv4,
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
    ipv4::put(header, 16, [0, 0]);
    let length = header.len() + payload.len();
    let checksum =
        !ipv4::fold(ipv4::pseudo_header(ip, length) + ipv4::sum(header) + ipv4::sum(payload));
    ipv4::put(header, 16, checksum.to_ne_bytes());
    Some(())
}

/// Cuts a packet that may be fragmented into fragments of at most `largest` octets (RFC 791,
/// section 3.2). None when not even eight octets would fit.
pub(super) fn fragment(
    ip: &Ipv4,
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
        let inner = cut.inner();
        let more = to < ip.total || ip.more_fragments;
        let offset = u16::try_from((ip.offset + from - ip.header) / 8).ok()?;
        ipv4::put(
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
