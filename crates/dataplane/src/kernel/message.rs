//! Netlink messages as octets: a header, a fixed part, attributes.

use netlink_packet_core::{NLA_F_NESTED, NLM_F_REQUEST, NetlinkSerializable, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;

use crate::netlink::HEADER_LENGTH;

/// A message to the kernel.
#[derive(Debug, Clone)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A message without attributes yet. `fixed` follows the header.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut octets = vec![0; HEADER_LENGTH];
        octets.extend_from_slice(fixed);
        let mut message = Self(octets);
        message.align();
        message.put(4, &kind.to_ne_bytes());
        message.put(6, &(flags | NLM_F_REQUEST).to_ne_bytes());
        message
    }

    /// A message about links, addresses or routes.
    pub(super) fn route(content: &RouteNetlinkMessage, flags: u16) -> Self {
        let mut octets = vec![0; content.buffer_len()];
        content.serialize(&mut octets);
        Self::new(content.message_type(), flags, &octets)
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.enclose(kind, |message| message.0.extend_from_slice(value));
    }

    /// Adds an attribute of attributes.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.enclose(kind | NLA_F_NESTED, fill);
    }

    /// Its octets with the length in place.
    pub(super) fn octets(&mut self, sequence: u32, more_flags: u16) -> &[u8] {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.put(0, &length.to_ne_bytes());
        self.put(8, &sequence.to_ne_bytes());
        if let Some(&[low, high]) = self.0.get(6..8) {
            let flags = u16::from_ne_bytes([low, high]) | more_flags;
            self.put(6, &flags.to_ne_bytes());
        }
        &self.0
    }

    /// How many octets it has.
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    fn enclose(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.put(start, &length.to_ne_bytes());
        self.put(start + 2, &kind.to_ne_bytes());
        self.align();
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

/// The attributes in `octets`, kind and value. Damaged ones end the list.
pub(super) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(octets)
        .map_while(Result::ok)
        .map(|attribute| (attribute.kind(), attribute.into_inner()))
        .map(|(kind, octets)| (kind, value(octets)))
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(octets: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(octets).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// What an attribute's length covers, without its header.
fn value(octets: &[u8]) -> &[u8] {
    let length = octets
        .first_chunk()
        .map_or(0, |&head: &[u8; 2]| usize::from(u16::from_ne_bytes(head)));
    octets.get(4..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_cover_what_they_enclose() {
        let mut message = Message::new(0x0a0c, 0x400, &[1, 0, 0, 0]);
        message.attribute(1, b"chad\0");
        message.nest(3, |list| {
            list.nest(1, |element| element.attribute(1, &[1, 2, 3, 4]));
        });
        let octets = message.octets(7, 4).to_vec();
        assert_eq!(octets.len(), 16 + 4 + 12 + 4 + 4 + 8);
        assert_eq!(octets[0..4], 48u32.to_ne_bytes());
        assert_eq!(octets[4..6], 0x0a0cu16.to_ne_bytes());
        assert_eq!(octets[6..8], 0x405u16.to_ne_bytes());
        assert_eq!(octets[8..12], 7u32.to_ne_bytes());
        let list = attribute(&octets[20..], 3).unwrap();
        let element = attribute(list, 1).unwrap();
        assert_eq!(attribute(element, 1), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&octets[20..], 1), Some(&b"chad\0"[..]));
    }

    proptest! {
        #[test]
        fn arbitrary_octets_are_read_to_an_end(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&octets).count() <= octets.len() / 4);
        }
    }
}
