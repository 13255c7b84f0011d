//! Captures: pcap and pcapng, of any size, from a file or as they grow.

use std::collections::BTreeMap;
use std::io::{self, Read};

use jiff::Timestamp;
use pcap_parser::{Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, create_reader};

use super::link::Link;
use super::packet::{self, Found};

/// The longest block taken: tcpdump's longest packet, 262,144 octets, and its options.
const BUFFER: usize = 3 << 17;
/// Interfaces a pcapng section may have.
const MOST_INTERFACES: usize = 4096;
/// First octets of pcap (seconds and nanoseconds, either byte order, and Kuznetzov's) and pcapng.
const MAGIC: [[u8; 4]; 7] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xcd, 0x34],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// Why a capture can't be read further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    /// It stops in the middle of a packet.
    #[error("the capture is cut off after packet {0}")]
    CutOff(u64),
    /// A block that can't be right.
    #[error("the capture is damaged after packet {after}: {reason}")]
    Damaged {
        /// The last good packet.
        after: u64,
        /// What the reader says.
        reason: String,
    },
    /// The system refused, in or out.
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// A packet worth a look.
#[derive(Debug)]
pub(crate) struct Packet<'p> {
    /// Counted from 1, as others count them too.
    pub(crate) number: u64,
    pub(crate) time: Option<Timestamp>,
    pub(crate) found: Found<'p>,
}

/// What was passed over.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) packets: u64,
    later_fragments: u64,
    /// By link type.
    foreign: BTreeMap<i32, u64>,
}

impl Summary {
    /// What a person should know of it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.later_fragments > 0 {
            notes.push(format!("{} later fragments of datagrams were passed over: what they belong to isn't in them", self.later_fragments));
        }
        for (link, packets) in &self.foreign {
            notes.push(format!("{packets} packets of link type {link} were passed over; known are Ethernet, Linux cooked, null and raw IP"));
        }
        notes
    }
}

/// Whether something that begins so is a capture.
pub(crate) fn is_capture(beginning: &[u8]) -> bool {
    MAGIC.iter().any(|magic| beginning.starts_with(magic))
}

/// Hands every packet with signalling to `each`.
pub(crate) fn read(
    input: impl Read + Send,
    mut each: impl FnMut(&Packet<'_>) -> io::Result<()>,
) -> Result<Summary, CaptureError> {
    let mut reader = create_reader(BUFFER, input).map_err(|error| explain(&error, 0))?;
    let mut state = State::default();
    let mut stuck_at = None;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let Some(packet) = state.block(&block) {
                    each(&packet)?;
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return Ok(state.summary),
            Err(PcapError::Incomplete(_)) => {
                // Twice at one place with nothing new: there is no more.
                let progress = (reader.consumed(), reader.data().len());
                if stuck_at.replace(progress) == Some(progress) {
                    return Err(CaptureError::CutOff(state.summary.packets));
                }
                reader
                    .refill()
                    .map_err(|error| explain(&error, state.summary.packets))?;
            }
            Err(error) => return Err(explain(&error, state.summary.packets)),
        }
    }
}

fn explain(error: &PcapError<&[u8]>, after: u64) -> CaptureError {
    let reason = match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::Eof => {
            return CaptureError::CutOff(after);
        }
        PcapError::BufferTooSmall => format!("a block of more than {BUFFER} octets"),
        PcapError::ReadError => "it can't be read".to_owned(),
        PcapError::HeaderNotRecognized => "its header is unknown".to_owned(),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => {
            format!("{kind:?} in a block")
        }
    };
    CaptureError::Damaged { after, reason }
}

/// What earlier blocks say about later ones.
#[derive(Default)]
struct State {
    interfaces: Vec<Interface>,
    summary: Summary,
}

#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    /// Units of time a second has.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

impl Interface {
    /// pcapng, section 4.2: `if_tsresol` is a power of 10, or of 2 with the highest bit set.
    fn described(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let base: u64 = if block.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        let resolution = base.checked_pow(exponent).unwrap_or(u64::MAX);
        Self {
            link: block.linktype.0,
            resolution,
            offset: block.if_tsoffset,
        }
    }

    fn time(self, units: u64) -> Option<Timestamp> {
        const NANOSECONDS: u128 = 1_000_000_000;
        let seconds = i64::try_from(units / self.resolution)
            .ok()?
            .checked_add(self.offset)?;
        let fraction =
            u128::from(units % self.resolution) * NANOSECONDS / u128::from(self.resolution);
        Timestamp::new(seconds, i32::try_from(fraction).ok()?).ok()
    }
}

impl State {
    fn block<'b>(&mut self, block: &'b PcapBlockOwned<'_>) -> Option<Packet<'b>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = if header.is_nanosecond_precision() {
                    1_000_000_000
                } else {
                    1_000_000
                };
                // The upper half says how long the frame check sequence is.
                let link = header.network.0 & 0xffff;
                self.interfaces = vec![Interface {
                    link,
                    resolution,
                    offset: 0,
                }];
                None
            }
            PcapBlockOwned::Legacy(block) => {
                let interface = self.interfaces.first().copied();
                let units = interface.map(|interface| {
                    u64::from(block.ts_sec) * interface.resolution + u64::from(block.ts_usec)
                });
                self.packet(interface, units, block.data)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                if self.interfaces.len() < MOST_INTERFACES {
                    self.interfaces.push(Interface::described(description));
                }
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let interface = usize::try_from(block.if_id)
                    .ok()
                    .and_then(|index| self.interfaces.get(index))
                    .copied();
                let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let data = unpadded(block.data, block.caplen);
                self.packet(interface, Some(units), data)
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                let data = unpadded(block.data, block.origlen);
                self.packet(self.interfaces.first().copied(), None, data)
            }
            PcapBlockOwned::NG(_) => None,
        }
    }

    fn packet<'b>(
        &mut self,
        interface: Option<Interface>,
        units: Option<u64>,
        data: &'b [u8],
    ) -> Option<Packet<'b>> {
        self.summary.packets += 1;
        let number = self.summary.packets;
        let link_number = interface.map_or(-1, |interface| interface.link);
        let Some(link) = Link::of_number(link_number) else {
            *self.summary.foreign.entry(link_number).or_default() += 1;
            return None;
        };
        let time = interface
            .zip(units)
            .and_then(|(interface, units)| interface.time(units));
        match packet::inside(link, data) {
            Found::Other => None,
            Found::LaterFragment => {
                self.summary.later_fragments += 1;
                None
            }
            found @ (Found::Datagram(_) | Found::MobilityHeader(_) | Found::Damaged { .. }) => {
                Some(Packet {
                    number,
                    time,
                    found,
                })
            }
        }
    }
}

/// pcapng pads packets to 32 bits.
fn unpadded(data: &[u8], length: u32) -> &[u8] {
    usize::try_from(length)
        .ok()
        .and_then(|length| data.get(..length))
        .unwrap_or(data)
}
