//! A netlink socket whose caller waits for the answer: many changes cost one call into the kernel,
//! and nobody else gets in between.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::Message;
use crate::Error;
use crate::netlink::{HEADER_LENGTH, messages_of, refusal};

/// The kernel answers while it is asked; what takes this long will not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for as many refusals as one call may bring.
const RECEIVE_BUFFER: u32 = 4 << 20;

/// The largest datagram of the kernel's has 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// Octets of messages in one call, which the default send buffer takes.
pub(super) const CALL: usize = 64 << 10;

/// Messages in one call, whose refusals the default receive buffer takes.
const CALL_MESSAGES: usize = 128;

/// A dump during which the table changed is asked for again, this many times at most.
const DUMP_ATTEMPTS: u32 = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A socket in the network namespace it was opened in.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    sequence: u32,
    datagram: BytesMut,
}

/// A message of the kernel's.
#[derive(Debug, Clone, Copy)]
struct Answer<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// What it means that the first message of a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// That message, and nothing about the others.
    OfOne,
    /// Nothing holds, and nothing more will be said.
    OfAll,
}

impl Channel {
    /// Opens a socket of a netlink protocol.
    pub(super) fn open(protocol: isize) -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            let patience =
                TimeVal::milliseconds(i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX));
            setsockopt(&socket, ReceiveTimeout, &patience)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::Netlink {
            attempt: "open a netlink socket".to_owned(),
            source,
        })?;
        Ok(Self {
            socket,
            sequence: 0,
            datagram: BytesMut::with_capacity(DATAGRAM),
        })
    }

    /// A socket for links, addresses and routes, of whose dumps the kernel leaves out what was not
    /// asked for.
    pub(super) fn open_route() -> Result<Self, Error> {
        let channel = Self::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        // A kernel too old for it sends more, which costs time only.
        let _ = channel.socket.set_netlink_get_strict_chk(true);
        Ok(channel)
    }

    /// The socket, for what the kernel sends by itself.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Makes changes that don't depend on each other and returns those that were refused, by their
    /// place.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`] when it is not known what became of them.
    pub(super) fn change(
        &mut self,
        attempt: &str,
        changes: &mut [Message],
    ) -> Result<Vec<(usize, io::Error)>, Error> {
        let mut refused = Vec::new();
        let mut done = 0;
        while let Some(rest) = changes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let call = call_of(rest);
            let call = rest.get_mut(..call).unwrap_or_default();
            let count = call.len();
            let last = count.saturating_sub(1);
            let first = self.send(attempt, call, last)?;
            let answers = self.acknowledgements(attempt, first, last, Refusal::OfOne)?;
            refused.extend(answers.into_iter().map(|(at, error)| (done + at, error)));
            done += count;
        }
        Ok(refused)
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn one(&mut self, attempt: &str, change: Message) -> Result<(), Error> {
        let refused = self.change(attempt, &mut [change])?;
        first_refusal(attempt, refused)
    }

    /// Sends a batch of the packet filter: its beginning, changes, its end. They hold all together or
    /// not at all.
    ///
    /// # Errors
    /// [`Error::Netlink`] with the first refusal, [`Error::Timeout`].
    pub(super) fn batch(&mut self, attempt: &str, messages: &mut [Message]) -> Result<(), Error> {
        // The kernel acknowledges changes, and of the end only since 6.10.
        let last = messages.len().saturating_sub(2);
        let first = self.send(attempt, messages, last)?;
        let refused = self.acknowledgements(attempt, first, last, Refusal::OfAll)?;
        first_refusal(attempt, refused)
    }

    /// Asks for one object, whose content is handed to `read`.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn get(
        &mut self,
        attempt: &str,
        question: Message,
        mut read: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let first = self.send(attempt, &mut [question], 0)?;
        self.answers(attempt, |answer| {
            if answer.sequence != first {
                return Ok(false);
            }
            match answer.kind {
                NLMSG_ERROR => refusal(answer.payload).map(|()| true),
                _ => {
                    read(answer.payload);
                    Ok(false)
                }
            }
        })
    }

    /// Asks for all objects, whose contents are handed to `read` together with what was read of those
    /// before.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn dump<T: Default>(
        &mut self,
        attempt: &str,
        question: &Message,
        mut read: impl FnMut(&mut T, &[u8]),
    ) -> Result<T, Error> {
        let mut all = T::default();
        for _ in 0..DUMP_ATTEMPTS {
            all = T::default();
            let sequence = self.next_sequence();
            let octets = question.clone().octets(sequence, NLM_F_DUMP).to_vec();
            self.write(attempt, &octets)?;
            let mut consistent = true;
            self.answers(attempt, |answer| {
                if answer.sequence != sequence {
                    return Ok(false);
                }
                consistent &= answer.flags & NLM_F_DUMP_INTR == 0;
                match answer.kind {
                    NLMSG_ERROR | NLMSG_DONE => refusal(answer.payload).map(|()| true),
                    _ => {
                        read(&mut all, answer.payload);
                        Ok(false)
                    }
                }
            })?;
            if consistent {
                break;
            }
        }
        // A table that changes faster than it can be read: what was seen last is as good as any.
        Ok(all)
    }

    /// Sends messages in one call, of which one is to be acknowledged, and returns the sequence number
    /// of the first.
    fn send(
        &mut self,
        attempt: &str,
        messages: &mut [Message],
        acknowledged: usize,
    ) -> Result<u32, Error> {
        let mut octets = Vec::with_capacity(messages.iter().map(Message::length).sum());
        let first = self.sequence.wrapping_add(1);
        for (at, message) in messages.iter_mut().enumerate() {
            let flags = if at == acknowledged { NLM_F_ACK } else { 0 };
            let sequence = self.next_sequence();
            octets.extend_from_slice(message.octets(sequence, flags));
        }
        self.write(attempt, &octets)?;
        Ok(first)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn write(&self, attempt: &str, octets: &[u8]) -> Result<(), Error> {
        self.socket
            .send(octets, 0)
            .map(drop)
            .map_err(|source| Error::Netlink {
                attempt: attempt.to_owned(),
                source,
            })
    }

    /// The refusals among messages from the sequence number `first` on, of which the one at `last` is
    /// acknowledged.
    fn acknowledgements(
        &mut self,
        attempt: &str,
        first: u32,
        last: usize,
        meaning: Refusal,
    ) -> Result<Vec<(usize, io::Error)>, Error> {
        let mut refused = Vec::new();
        self.answers(attempt, |answer| {
            let at = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
            if answer.kind != NLMSG_ERROR || at > last {
                return Ok(false);
            }
            let mut complete = at == last;
            if let Err(error) = refusal(answer.payload) {
                refused.push((at, error));
                complete |= at == 0 && meaning == Refusal::OfAll;
            }
            Ok(complete)
        })?;
        Ok(refused)
    }

    /// Hands each message of the kernel's to `each` until it says that this was the last.
    fn answers(
        &mut self,
        attempt: &str,
        mut each: impl FnMut(Answer<'_>) -> io::Result<bool>,
    ) -> Result<(), Error> {
        loop {
            self.datagram.clear();
            self.datagram.reserve(DATAGRAM);
            match self.socket.recv(&mut self.datagram, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::Timeout {
                        attempt: attempt.to_owned(),
                    });
                }
                Err(source) => {
                    return Err(Error::Netlink {
                        attempt: attempt.to_owned(),
                        source,
                    });
                }
            }
            for message in messages_of(&self.datagram) {
                let Some(answer) = Answer::read(message) else {
                    continue;
                };
                let last = each(answer).map_err(|source| Error::Netlink {
                    attempt: attempt.to_owned(),
                    source,
                })?;
                if last {
                    return Ok(());
                }
            }
        }
    }
}

impl<'a> Answer<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (&header, payload) = message.split_first_chunk::<HEADER_LENGTH>()?;
        let [_, _, _, _, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
        Some(Self {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
        })
    }
}

fn first_refusal(attempt: &str, refused: Vec<(usize, io::Error)>) -> Result<(), Error> {
    match refused.into_iter().next() {
        None => Ok(()),
        Some((_, source)) => Err(Error::Netlink {
            attempt: attempt.to_owned(),
            source,
        }),
    }
}

/// How many of these messages go into one call, at least one.
fn call_of(messages: &[Message]) -> usize {
    let mut size = 0;
    let fitting = messages.iter().take(CALL_MESSAGES).take_while(|message| {
        size += message.length();
        size <= CALL
    });
    fitting.count().max(1)
}
