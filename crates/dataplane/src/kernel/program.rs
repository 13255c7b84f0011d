//! Tables, chains and rules of the packet filter as kernel messages, for a table that must stand
//! within a fraction of a millisecond. What is here is what these rules are made of.

use std::time::Duration;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};

use super::elements::{Elements, message, text};
use super::message::Message;
use crate::Error;

/// A table of family `inet` to be made.
#[derive(Debug)]
pub(super) struct Program {
    table: &'static str,
    messages: Vec<Message>,
}

/// One step of a rule. Steps follow each other until one does not match.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// Loads what the kernel knows of the packet.
    Meta(Meta, Register),
    /// Loads octets of a header.
    Payload(Header, u32, u32, Register),
    /// Loads octets of the first extension header of IPv6 with this number, if there is one.
    Extension(u8, u32, u32, Register),
    /// Puts the most significant octet of a number first.
    BigEndian(Register),
    /// Goes on if a register holds this.
    Is(Register, &'a [u8]),
    /// Goes on if a register holds something else.
    IsNot(Register, &'a [u8]),
    /// Goes on if a register holds more, most significant octet first.
    Above(Register, &'a [u8]),
    /// Goes on if the set has what begins at this register.
    In(&'a str, Register),
    /// Counts the packet.
    Count(&'a str),
    /// Ends with this.
    Verdict(Verdict),
    /// Leaves the verdict to whoever serves the queue of this number; the packet passes where nobody
    /// does.
    Queue(u16),
}

/// What the kernel knows of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    /// The index of the device it came in by.
    Device,
    /// The group of that device.
    DeviceGroup,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    Family,
    /// The transport protocol.
    Transport,
    /// Its octets, from the header of IP on, least significant octet first.
    Length,
}

/// A header of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Header {
    /// That of IP.
    Network,
    /// The one behind it.
    Transport,
}

/// Room for four octets; those of one number follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Register(pub(super) u32);

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// It is gone.
    Drop,
    /// This table lets it pass.
    Accept,
}

/// A set of ranges whose keys have several parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RangeSet<'a> {
    pub(super) name: &'a str,
    pub(super) parts: &'a [Part],
}

/// A set whose elements leave it after a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimedSet<'a> {
    pub(super) name: &'a str,
    pub(super) key: Part,
    pub(super) lifetime: Duration,
    /// How many elements it takes.
    pub(super) most: u32,
}

/// Where a chain sees packets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hook {
    /// Every packet, before it is routed.
    Prerouting,
    /// Those of this host, once they are routed.
    Output,
}

/// Part of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The type, by which `nft` shows it.
    pub(super) kind: u32,
    /// A multiple of four.
    pub(super) octets: u32,
}

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWOBJ: u16 = 18;

const NFT_SET_INTERVAL: u32 = 0x4;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFT_SET_CONCAT: u32 = 0x80;
const NFT_OBJECT_COUNTER: u32 = 1;
const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_QUEUE_FLAG_BYPASS: u16 = 1;

/// Bits of one part's type in that of a key (`TYPE_BITS` of `nft`).
const TYPE_BITS: u32 = 6;

/// For `nft`: the octets of a key stand in network order, and those of its parts.
const KEY_ORDER: [u8; 16] = [0, 4, 0, 0, 0, 0, 3, 8, 0, 4, 13, 0, 0, 0, 1, 0];

impl Program {
    /// An empty table, or what is left of one without its rules.
    pub(super) fn new(table: &'static str) -> Self {
        let mut program = Self {
            table,
            messages: Vec::new(),
        };
        program.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, |_| {});
        program.push(NFT_MSG_DELRULE, 0, |_| {});
        program
    }

    /// A named counter.
    pub(super) fn counter(&mut self, name: &str) {
        self.push(NFT_MSG_NEWOBJ, NLM_F_CREATE, |counter| {
            counter.attribute(2, &text(name));
            counter.attribute(3, &NFT_OBJECT_COUNTER.to_be_bytes());
            counter.nest(4, |data| {
                data.attribute(1, &0u64.to_be_bytes());
                data.attribute(2, &0u64.to_be_bytes());
            });
        });
    }

    /// A set.
    pub(super) fn set(&mut self, set: RangeSet<'_>) {
        let octets: u32 = set.parts.iter().map(|part| part.octets).sum();
        let key_type = set
            .parts
            .iter()
            .fold(0, |types, part| types << TYPE_BITS | part.kind);
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, |message| {
            message.attribute(2, &text(set.name));
            message.attribute(3, &(NFT_SET_INTERVAL | NFT_SET_CONCAT).to_be_bytes());
            message.attribute(4, &key_type.to_be_bytes());
            message.attribute(5, &octets.to_be_bytes());
            message.attribute(10, &1u32.to_be_bytes());
            message.nest(9, |description| {
                description.nest(2, |fields| {
                    for part in set.parts {
                        fields.nest(1, |field| field.attribute(1, &part.octets.to_be_bytes()));
                    }
                });
            });
            message.attribute(13, &KEY_ORDER);
        });
    }

    /// A set whose elements leave it after a while.
    pub(super) fn timed_set(&mut self, set: TimedSet<'_>) {
        let lifetime = u64::try_from(set.lifetime.as_millis()).unwrap_or(u64::MAX);
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, |message| {
            message.attribute(2, &text(set.name));
            message.attribute(3, &NFT_SET_TIMEOUT.to_be_bytes());
            message.attribute(4, &set.key.kind.to_be_bytes());
            message.attribute(5, &set.key.octets.to_be_bytes());
            message.attribute(10, &1u32.to_be_bytes());
            message.nest(9, |description| {
                description.attribute(1, &set.most.to_be_bytes())
            });
            message.attribute(11, &lifetime.to_be_bytes());
        });
    }

    /// A chain that packets pass at this point.
    pub(super) fn chain(&mut self, name: &str, hook: Hook, priority: i32) {
        self.push(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |chain| {
            chain.attribute(3, &text(name));
            chain.attribute(7, &text("filter"));
            chain.attribute(5, &NF_ACCEPT.to_be_bytes());
            chain.nest(4, |place| {
                place.attribute(1, &hook.number().to_be_bytes());
                place.attribute(2, &priority.to_be_bytes());
            });
        });
    }

    /// A rule behind those that the chain has.
    pub(super) fn rule(&mut self, chain: &str, steps: &[Step<'_>]) {
        self.push(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |rule| {
            rule.attribute(2, &text(chain));
            rule.nest(4, |expressions| {
                for step in steps {
                    expressions.nest(1, |expression| {
                        expression.attribute(1, &text(step.name()));
                        expression.nest(2, |data| step.write(data));
                    });
                }
            });
        });
    }

    /// Puts it in place. Elements and counters of a table that is there stay.
    pub(super) fn apply(self, elements: &mut Elements) -> Result<(), Error> {
        elements.transact("make a table of the packet filter", self.messages)
    }

    /// Whether the kernel would take it.
    pub(super) fn try_out(mut self, elements: &mut Elements) -> Result<(), Error> {
        self.push(NFT_MSG_DELTABLE, 0, |_| {});
        elements.transact("try a table of the packet filter", self.messages)
    }

    /// Instead of whatever is there.
    pub(super) fn anew(mut self, elements: &mut Elements) -> Result<(), Error> {
        let mut messages = vec![named(NFT_MSG_NEWTABLE, NLM_F_CREATE, self.table)];
        messages.push(named(NFT_MSG_DELTABLE, 0, self.table));
        messages.append(&mut self.messages);
        elements.transact("make a table of the packet filter", messages)
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Message)) {
        let mut message = named(kind, flags, self.table);
        fill(&mut message);
        self.messages.push(message);
    }
}

/// Removes a table, if it is there.
pub(super) fn remove_table(elements: &mut Elements, table: &str) -> Result<(), Error> {
    let messages = vec![
        named(NFT_MSG_NEWTABLE, NLM_F_CREATE, table),
        named(NFT_MSG_DELTABLE, 0, table),
    ];
    elements.transact("remove a table of the packet filter", messages)
}

/// A message about a table or what is in it.
fn named(kind: u16, flags: u16, table: &str) -> Message {
    let mut message = message(kind, flags);
    message.attribute(1, &text(table));
    message
}

impl Step<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) => "meta",
            Self::Payload(..) => "payload",
            Self::Extension(..) => "exthdr",
            Self::BigEndian(_) => "byteorder",
            Self::Is(..) | Self::IsNot(..) | Self::Above(..) => "cmp",
            Self::In(..) => "lookup",
            Self::Count(_) => "objref",
            Self::Verdict(_) => "immediate",
            Self::Queue(_) => "queue",
        }
    }

    /// The attributes of the expression (`linux/netfilter/nf_tables.h`).
    fn write(&self, data: &mut Message) {
        let mut number = |kind, value: u32| data.attribute(kind, &value.to_be_bytes());
        match *self {
            Self::Meta(meta, Register(register)) => {
                number(2, meta.key());
                number(1, register);
            }
            Self::Payload(header, offset, length, Register(register)) => {
                number(1, register);
                number(2, header.base());
                number(3, offset);
                number(4, length);
            }
            Self::Extension(header, offset, length, Register(register)) => {
                number(1, register);
                number(3, offset);
                number(4, length);
                data.attribute(2, &[header]);
            }
            Self::BigEndian(Register(register)) => {
                number(1, register);
                number(2, register);
                number(3, 1);
                number(4, 4);
                number(5, 4);
            }
            Self::Is(register, value) => compare(data, register, 0, value),
            Self::IsNot(register, value) => compare(data, register, 1, value),
            Self::Above(register, value) => compare(data, register, 4, value),
            Self::In(set, Register(register)) => {
                number(2, register);
                data.attribute(1, &text(set));
            }
            Self::Count(counter) => {
                number(1, NFT_OBJECT_COUNTER);
                data.attribute(2, &text(counter));
            }
            Self::Verdict(verdict) => {
                number(1, 0);
                let code = verdict.code().to_be_bytes();
                data.nest(2, |value| {
                    value.nest(2, |verdict| verdict.attribute(1, &code));
                });
            }
            Self::Queue(queue) => {
                data.attribute(1, &queue.to_be_bytes());
                data.attribute(2, &1u16.to_be_bytes());
                data.attribute(3, &NFT_QUEUE_FLAG_BYPASS.to_be_bytes());
            }
        }
    }
}

fn compare(data: &mut Message, Register(register): Register, operator: u32, value: &[u8]) {
    data.attribute(1, &register.to_be_bytes());
    data.attribute(2, &operator.to_be_bytes());
    data.nest(3, |data| data.attribute(1, value));
}

impl Verdict {
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Drop => NF_DROP,
            Self::Accept => NF_ACCEPT,
        }
    }
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => NF_INET_PRE_ROUTING,
            Self::Output => NF_INET_LOCAL_OUT,
        }
    }
}

impl Meta {
    const fn key(self) -> u32 {
        match self {
            Self::Length => 0,
            Self::Device => 4,
            Self::Family => 15,
            Self::Transport => 16,
            Self::DeviceGroup => 21,
        }
    }
}

impl Header {
    const fn base(self) -> u32 {
        match self {
            Self::Network => 1,
            Self::Transport => 2,
        }
    }
}
