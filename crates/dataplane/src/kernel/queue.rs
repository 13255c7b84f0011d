//! A queue of the packet filter (`queue to NUMBER`): packets wait in it for what we say of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::channel::Channel;
use super::message::{Message, attribute};
use super::program::Verdict;
use crate::Error;
use crate::netlink::{HEADER_LENGTH, messages_of};

/// Packets that wait in the kernel; further ones are dropped.
const LENGTH: u32 = 1024;

/// Datagrams of the kernel's that are served at a time.
const ROUND: usize = 64;

/// A packet with what is said of it.
const DATAGRAM: usize = 128 << 10;

const NFNL_SUBSYS_QUEUE: u16 = 3 << 8;
const NFQNL_MSG_PACKET: u16 = NFNL_SUBSYS_QUEUE;
const NFQNL_MSG_VERDICT: u16 = NFNL_SUBSYS_QUEUE | 1;
const NFQNL_MSG_CONFIG: u16 = NFNL_SUBSYS_QUEUE | 2;

/// Octets of `struct nfgenmsg`, which follows the header.
const FIXED: usize = 4;

/// A queue that is ours.
pub(super) struct Queue {
    socket: Socket,
    number: u16,
    datagram: BytesMut,
}

/// A packet in the queue.
pub(super) struct Queued<'a> {
    /// From its IP header on.
    pub(super) octets: &'a [u8],
    /// The index of the interface it would leave by.
    pub(super) interface: Option<u32>,
}

impl Queue {
    /// Takes the queue of this number in the calling thread's network namespace.
    pub(super) fn open(number: u16) -> Result<Self, Error> {
        let mut channel = Channel::open(NETLINK_NETFILTER)?;
        let attempt = format!("take the queue {number} of the packet filter");
        // NFQNL_CFG_CMD_BIND; whole packets (NFQNL_COPY_PACKET).
        let mut bind = config(number);
        bind.attribute(1, &[1, 0, 0, 0]);
        channel.one(&attempt, bind)?;
        let mut settings = config(number);
        settings.attribute(2, &[0, 0, 0xff, 0xff, 2]);
        settings.attribute(3, &LENGTH.to_be_bytes());
        channel.one(&attempt, settings)?;
        let socket = channel.into_socket();
        let ready = socket.set_non_blocking(true);
        ready.map_err(|source| Error::Netlink { attempt, source })?;
        Ok(Self {
            socket,
            number,
            datagram: BytesMut::with_capacity(DATAGRAM),
        })
    }

    /// Hands what waits to `judge`, and does as it says. Leaves after a while even when there is more.
    pub(super) fn serve(&mut self, mut judge: impl FnMut(&Queued<'_>) -> Verdict) {
        for _ in 0..ROUND {
            self.datagram.clear();
            self.datagram.reserve(DATAGRAM);
            match self.socket.recv(&mut self.datagram, 0) {
                Ok(_) => {}
                // The kernel had to drop some packets.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for message in messages_of(&self.datagram) {
                let Some((id, packet)) = read(message) else {
                    continue;
                };
                let verdict = judge(&packet);
                // One that can't be told waits until we end.
                let _ = self.socket.send(self.answer(id, verdict).octets(0, 0), 0);
            }
        }
    }

    fn answer(&self, id: [u8; 4], verdict: Verdict) -> Message {
        let mut answer = message(NFQNL_MSG_VERDICT, self.number);
        answer.attribute(2, &[verdict.code().to_be_bytes(), id].concat());
        answer
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The number the kernel gave the packet, and the packet.
fn read(message: &[u8]) -> Option<([u8; 4], Queued<'_>)> {
    let (header, rest) = message.split_first_chunk::<HEADER_LENGTH>()?;
    if header[4..6] != NFQNL_MSG_PACKET.to_ne_bytes() {
        return None;
    }
    let attributes = rest.get(FIXED..)?;
    let id = attribute(attributes, 1)?.first_chunk()?;
    let interface = attribute(attributes, 6)
        .and_then(|index| index.try_into().ok())
        .map(u32::from_be_bytes);
    let packet = Queued {
        octets: attribute(attributes, 10)?,
        interface,
    };
    Some((*id, packet))
}

fn config(number: u16) -> Message {
    message(NFQNL_MSG_CONFIG, number)
}

/// A message about this queue.
fn message(kind: u16, number: u16) -> Message {
    let [high, low] = number.to_be_bytes();
    Message::new(kind, 0, &[0, 0, high, low])
}
