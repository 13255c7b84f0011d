//! From a captured frame to the IP packet in it.

use super::packet::be16;

const ETHERTYPES: [u16; 2] = [0x0800, 0x86dd];
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// The address families of the systems there are: IPv4, then IPv6 of Linux, OpenBSD, FreeBSD and
/// Darwin.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// How a capture frames packets (tcpdump.org, link-layer header types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Ethernet,
    LinuxCooked,
    LinuxCooked2,
    /// An address family in either byte order.
    Null,
    Raw,
}

impl Link {
    /// The type of this number, if it is one of ours.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::Null),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            _ => None,
        }
    }

    /// The IP packet in a frame.
    pub(crate) fn network(self, frame: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Ethernet => after_ethertype(frame, 12),
            Self::LinuxCooked => after_ethertype(frame, 14),
            Self::LinuxCooked2 => ETHERTYPES
                .contains(&be16(frame, 0)?)
                .then(|| frame.get(20..))?,
            Self::Null => {
                let (family, packet) = frame.split_first_chunk::<4>()?;
                let known = [u32::from_be_bytes(*family), u32::from_le_bytes(*family)]
                    .iter()
                    .any(|family| FAMILIES.contains(family));
                known.then_some(packet)
            }
            Self::Raw => Some(frame),
        }
    }
}

/// What is behind the EtherType at `offset` and the VLAN tags there may be (802.1Q).
fn after_ethertype(frame: &[u8], mut offset: usize) -> Option<&[u8]> {
    const DEEPEST: usize = 4;
    for _ in 0..DEEPEST {
        let ethertype = be16(frame, offset)?;
        if ETHERTYPES.contains(&ethertype) {
            return frame.get(offset + 2..);
        }
        if !VLAN_TAGS.contains(&ethertype) {
            return None;
        }
        offset += 4;
    }
    None
}
