//! Elements of the packet filter's sets and maps, over nfnetlink: what changes with each binding.
//! Rules are text for the program `nft` ([`super::ruleset`]); starting a program for each move would
//! cost milliseconds.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_CREATE;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::channel::{CALL, Channel};
use super::message::{Message, attribute, attributes};
use crate::Error;

/// A set or map of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set(pub(super) &'static str);

/// An element: the octets of its key, as the kernel compares them, and of what a map gives for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    pub(super) set: Set,
    pub(super) key: Vec<u8>,
    /// In a set of ranges, where the range that begins with the key ends.
    pub(super) key_end: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// It is found only once more octets than these were looked for. It is not read back.
    pub(super) quota: Option<u64>,
}

/// What a counter has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// An element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) element: Element,
    pub(super) count: Count,
}

/// A table of family `inet`, whose sets are changed.
#[derive(Debug)]
pub(super) struct Elements {
    channel: Channel,
    table: &'static str,
}

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_NEWSETELEM: u16 = 12;
const NFT_MSG_GETSETELEM: u16 = 13;
const NFT_MSG_DELSETELEM: u16 = 14;
const NFT_MSG_GETOBJ: u16 = 19;
const NFPROTO_INET: u8 = 1;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_QUOTA_BYTES: u16 = 1;
const NFTA_QUOTA_FLAGS: u16 = 2;
const NFT_QUOTA_F_INV: u32 = 1;
const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFT_OBJECT_COUNTER: u32 = 1;

/// Octets of `struct nfgenmsg`, which follows the header.
const FIXED: usize = 4;

/// Octets of one message's elements: an attribute's length has 16 bits.
const LIST: usize = 32 << 10;

/// Elements asked for at once: each is answered by itself.
const QUESTIONS: usize = 128;

impl Element {
    /// An element of a set.
    pub(super) fn of(set: Set, key: Vec<u8>) -> Self {
        Self {
            set,
            key,
            key_end: None,
            value: None,
            quota: None,
        }
    }
}

impl Elements {
    /// Of this table in the calling thread's network namespace.
    pub(super) fn open(table: &'static str) -> Result<Self, Error> {
        let channel = Channel::open(NETLINK_NETFILTER)?;
        Ok(Self { channel, table })
    }

    /// Removes and adds elements. All of it holds at once, unless it is more than fits one
    /// transaction; then additions come before removals. Adding what is there is no error.
    ///
    /// # Errors
    /// [`Error::Netlink`], also when an element to be removed is not there; [`Error::Timeout`].
    pub(super) fn change(&mut self, add: &[Element], remove: &[Element]) -> Result<(), Error> {
        let mut messages = self.lists(NFT_MSG_NEWSETELEM, NLM_F_CREATE, add);
        messages.extend(self.lists(NFT_MSG_DELSETELEM, 0, remove));
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let mut batch = Vec::new();
            let mut size = 0;
            while let Some(message) =
                messages.next_if(|next| size == 0 || size + next.length() <= CALL)
            {
                size += message.length();
                batch.push(message);
            }
            self.transact("change elements of the packet filter", batch)?;
        }
        Ok(())
    }

    /// Removes every element of a set.
    pub(super) fn clear(&mut self, set: Set) -> Result<(), Error> {
        let message = self.list_message(NFT_MSG_DELSETELEM, 0, set);
        self.transact("empty a set of the packet filter", vec![message])
    }

    /// Makes changes that hold all together or not at all.
    pub(super) fn transact(&mut self, attempt: &str, changes: Vec<Message>) -> Result<(), Error> {
        let mut batch = Vec::with_capacity(changes.len() + 2);
        batch.push(frame(NFNL_MSG_BATCH_BEGIN));
        batch.extend(changes);
        batch.push(frame(NFNL_MSG_BATCH_END));
        self.channel.batch(attempt, &mut batch)
    }

    /// Every element of a set, with its counter if it has one.
    pub(super) fn list(&mut self, set: Set) -> Result<Vec<Present>, Error> {
        let question = self.question(NFT_MSG_GETSETELEM, set);
        self.channel.dump(
            "list elements of the packet filter",
            &question,
            |present, answer| read_elements(set, answer, present),
        )
    }

    /// The counter of one element; `None` when it is not there.
    pub(super) fn count(&mut self, element: &Element) -> Result<Option<Count>, Error> {
        let mut question = self.question(NFT_MSG_GETSETELEM, element.set);
        question.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| write(list, element));
        let mut present = Vec::new();
        let answer = self.channel.get(
            "look up an element of the packet filter",
            question,
            |answer| {
                read_elements(element.set, answer, &mut present);
            },
        );
        match answer {
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(present.pop().map(|present| present.count)),
        }
    }

    /// The octets that the counters of these elements of a set have seen, in their order. All must be
    /// there.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn octets(&mut self, set: Set, keys: &[Vec<u8>]) -> Result<Vec<u64>, Error> {
        let mut octets = Vec::with_capacity(keys.len());
        for keys in keys.chunks(QUESTIONS) {
            let mut question = self.question(NFT_MSG_GETSETELEM, set);
            question.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for key in keys {
                    write(list, &Element::of(set, key.clone()));
                }
            });
            let mut present = Vec::with_capacity(keys.len());
            let attempt = "look up elements of the packet filter";
            self.channel.get(attempt, question, |answer| {
                read_elements(set, answer, &mut present);
            })?;
            octets.extend(present.iter().map(|present| present.count.bytes));
        }
        Ok(octets)
    }

    /// Whether the table is there.
    pub(super) fn table_exists(&mut self) -> Result<bool, Error> {
        let mut question = message(NFT_MSG_GETTABLE, 0);
        question.attribute(NFTA_TABLE_NAME, &text(self.table));
        let attempt = "look up the table of the packet filter";
        match self.channel.get(attempt, question, |_| {}) {
            Err(error) if error.is_absent() => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The named counters of the table.
    pub(super) fn counters(&mut self) -> Result<Vec<(String, Count)>, Error> {
        let mut question = message(NFT_MSG_GETOBJ, 0);
        question.attribute(NFTA_OBJ_TABLE, &text(self.table));
        question.attribute(NFTA_OBJ_TYPE, &NFT_OBJECT_COUNTER.to_be_bytes());
        let table = self.table;
        self.channel.dump(
            "read the counters of the packet filter",
            &question,
            |counters: &mut Vec<_>, answer| counters.extend(read_counter(table, answer)),
        )
    }

    fn question(&self, kind: u16, set: Set) -> Message {
        self.list_message(kind, 0, set)
    }

    fn list_message(&self, kind: u16, flags: u16, set: Set) -> Message {
        let mut message = message(kind, flags);
        message.attribute(NFTA_SET_ELEM_LIST_TABLE, &text(self.table));
        message.attribute(NFTA_SET_ELEM_LIST_SET, &text(set.0));
        message
    }

    /// Messages about these elements, one for each run of elements of a set.
    fn lists(&self, kind: u16, flags: u16, elements: &[Element]) -> Vec<Message> {
        let mut messages = Vec::new();
        for run in elements.chunk_by(|one, next| one.set == next.set) {
            let mut rest = run.iter().peekable();
            while let Some(first) = rest.peek() {
                let mut message = self.list_message(kind, flags, first.set);
                message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                    while let Some(element) = rest.next_if(|_| list.length() < LIST) {
                        write(list, element);
                    }
                });
                messages.push(message);
            }
        }
        messages
    }
}

/// A message about tables of family `inet`.
pub(super) fn message(kind: u16, flags: u16) -> Message {
    Message::new(
        NFNL_SUBSYS_NFTABLES << 8 | kind,
        flags,
        &[NFPROTO_INET, 0, 0, 0],
    )
}

/// The begin or the end of a batch, which names the subsystem it is for.
fn frame(kind: u16) -> Message {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}

/// An address as the kernel compares it.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address that these octets are, by their number.
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    ipv4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Text as the kernel reads it.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    octets.push(0);
    octets
}

fn write(list: &mut Message, element: &Element) {
    list.nest(NFTA_LIST_ELEM, |message| {
        let mut part = |kind, octets: &[u8]| {
            message.nest(kind, |data| data.attribute(NFTA_DATA_VALUE, octets));
        };
        part(NFTA_SET_ELEM_KEY, &element.key);
        if let Some(end) = &element.key_end {
            part(NFTA_SET_ELEM_KEY_END, end);
        }
        if let Some(value) = &element.value {
            part(NFTA_SET_ELEM_DATA, value);
        }
        if let Some(octets) = element.quota {
            message.nest(NFTA_SET_ELEM_EXPR, |expression| {
                expression.attribute(NFTA_EXPR_NAME, &text("quota"));
                expression.nest(NFTA_EXPR_DATA, |quota| {
                    quota.attribute(NFTA_QUOTA_BYTES, &octets.to_be_bytes());
                    quota.attribute(NFTA_QUOTA_FLAGS, &NFT_QUOTA_F_INV.to_be_bytes());
                });
            });
        }
    });
}

fn read_elements(set: Set, answer: &[u8], present: &mut Vec<Present>) {
    let list = answer
        .get(FIXED..)
        .and_then(|octets| attribute(octets, NFTA_SET_ELEM_LIST_ELEMENTS));
    for (_, element) in list.into_iter().flat_map(attributes) {
        let part =
            |kind| attribute(element, kind).and_then(|part| attribute(part, NFTA_DATA_VALUE));
        let Some(key) = part(NFTA_SET_ELEM_KEY) else {
            continue;
        };
        let count = attribute(element, NFTA_SET_ELEM_EXPR)
            .and_then(|expression| attribute(expression, NFTA_EXPR_DATA))
            .map(read_count);
        present.push(Present {
            element: Element {
                set,
                key: key.to_vec(),
                key_end: part(NFTA_SET_ELEM_KEY_END).map(<[u8]>::to_vec),
                value: part(NFTA_SET_ELEM_DATA).map(<[u8]>::to_vec),
                quota: None,
            },
            count: count.unwrap_or_default(),
        });
    }
}

fn read_counter(table: &str, answer: &[u8]) -> Option<(String, Count)> {
    let octets = answer.get(FIXED..)?;
    if attribute(octets, NFTA_OBJ_TABLE)? != text(table) {
        return None;
    }
    let name = attribute(octets, NFTA_OBJ_NAME)?
        .split(|&octet| octet == 0)
        .next()?;
    let name = std::str::from_utf8(name).ok()?.to_owned();
    Some((name, read_count(attribute(octets, NFTA_OBJ_DATA)?)))
}

fn read_count(octets: &[u8]) -> Count {
    let number = |kind| {
        attribute(octets, kind)
            .and_then(|value| value.try_into().ok())
            .map_or(0, u64::from_be_bytes)
    };
    Count {
        packets: number(NFTA_COUNTER_PACKETS),
        bytes: number(NFTA_COUNTER_BYTES),
    }
}

#[cfg(test)]
mod tests;
