//! What the kernel's tunnels of IPv6 leave undone on a narrow path.
//!
//! An IPv6 packet of up to 1280 octets must get through any path, so where it does not fit with its
//! outer header, the outer packet goes in two pieces (RFC 2473, section 7.1). The kernel drops it
//! instead, and says so to the outer source, itself, by the same Packet Too Big that a router would
//! send. Who hears that knows a narrow path. From then on the packet filter hands over what is too big
//! for its other end, and it goes from here, in pieces.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};

use super::elements::{Element, Elements, Set};
use super::program::{
    Header, Hook, Meta, Part, Program, Register, Step, TimedSet, Verdict, remove_table,
};
use super::queue::{Queue, Queued};
use crate::userspace::{Identifications, Sender, Way, ipv6_pieces};
use crate::{Addresses, Error};

/// The queue of a trial.
const QUEUE_OF_NOBODY: u16 = 4339;

/// What every path of IPv6 carries (RFC 8200, section 5).
const LEAST_PATH: u32 = 1280;

/// A path below carries 1280 octets with an outer header in pieces only.
const NARROW: u32 = LEAST_PATH + 40;

/// The other ends of narrow paths.
const NARROW_PATHS: Set = Set("narrow6");

/// As long as the kernel believes what it was told of a path.
const MEMORY: Duration = Duration::from_secs(600);

/// More narrow paths than this are not remembered.
const MOST_PATHS: u32 = 65_536;

/// IPv6 in IPv6, and where in a header the protocol and the destination are.
const TUNNEL: u8 = 41;
const NEXT_HEADER: u32 = 6;
const DESTINATION: u32 = 24;

const NFPROTO_IPV6: u8 = 10;
/// How `nft` shows an address.
const IPV6_ADDRESS: u32 = 8;

/// Packet Too Big, and where the MTU, and of the packet it is about, the protocol and the destination
/// are.
const TOO_BIG: u8 = 2;
const MTU: usize = 4;
const QUOTED_PROTOCOL: usize = 14;
const QUOTED_DESTINATION: usize = 32;

/// Octets of a report that matter.
const REPORT: usize = QUOTED_DESTINATION + 16;

/// An option of sockets of ICMPv6.
const ICMP6_FILTER: libc::c_int = 1;

/// Then the queue has its turn.
const REPORTS_PER_ROUND: usize = 64;

/// Cuts what is too big for narrow paths. Dropped, as after a crash, it leaves its rules behind, which
/// then let everything pass.
#[derive(Debug)]
pub(super) struct Cutter {
    table: &'static str,
    queue: u16,
    elements: Elements,
    /// Closed, it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Cutter {
    /// Puts rules into a table of its own, by which packets come to the queue of this number.
    ///
    /// Everything belongs to the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Netlink`], also where the packet filter has no queues or somebody else has this one;
    /// [`Error::Userspace`], [`Error::Timeout`].
    pub(super) fn start(table: &'static str, queue: u16) -> Result<Self, Error> {
        let mut elements = Elements::open(table)?;
        let (stop, stopped) = UnixStream::pair().map_err(failed("open a pair of sockets"))?;
        let worker = Worker {
            queue: Queue::open(queue)?,
            reports: reports().map_err(failed("listen to reports of narrow paths"))?,
            stopped,
            elements: Elements::open(table)?,
            sender: Sender::open(Addresses::from(Ipv6Addr::UNSPECIFIED))?,
            identifications: Identifications::default(),
        };
        rules(table, queue).anew(&mut elements)?;
        let thread = std::thread::Builder::new()
            .name("tunnel-cut".to_owned())
            .spawn(move || worker.run())
            .map_err(failed("start a thread"))?;
        Ok(Self {
            table,
            queue,
            elements,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// No path is known to be narrow any longer: this host is elsewhere.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn forget(&mut self) -> Result<(), Error> {
        self.elements.clear(NARROW_PATHS)
    }

    /// Puts the rules in place again if they have gone, and tells whether they had.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn repair(&mut self) -> Result<bool, Error> {
        if self.elements.table_exists()? {
            return Ok(false);
        }
        rules(self.table, self.queue)
            .anew(&mut self.elements)
            .map(|()| true)
    }

    /// Ends, and removes the rules.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub(super) fn stop(mut self) -> Result<(), Error> {
        remove_table(&mut self.elements, self.table)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Does nothing but load the kernel's modules, which may take long, if it has them.
pub(super) fn load_modules() {
    let table = "narrow-trial";
    let loaded = Queue::open(QUEUE_OF_NOBODY)
        .and_then(|_| rules(table, QUEUE_OF_NOBODY).try_out(&mut Elements::open(table)?));
    if let Err(error) = loaded {
        tracing::debug!(%error, "narrow paths of IPv6 can't be looked after");
    }
}

/// Removes the rules that a killed run left, if there are any.
///
/// # Errors
/// [`Error::Netlink`], [`Error::Timeout`].
pub(super) fn remove_leftovers(table: &'static str) -> Result<(), Error> {
    remove_table(&mut Elements::open(table)?, table)
}

/// The thread's state.
struct Worker {
    queue: Queue,
    reports: OwnedFd,
    stopped: UnixStream,
    elements: Elements,
    sender: Sender,
    identifications: Identifications,
}

impl Worker {
    fn run(mut self) {
        loop {
            let mut watched = [
                PollFd::new(self.queue.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.reports.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    tracing::error!(%errno, "narrow paths of IPv6 are not looked after any longer");
                    return;
                }
            }
            let [queue, reports, stopped] = watched.map(|one| one.any().unwrap_or(true));
            if stopped {
                return;
            }
            if reports {
                self.listen();
            }
            if queue {
                let Self {
                    queue,
                    sender,
                    identifications,
                    ..
                } = &mut self;
                queue.serve(|packet| judge(sender, identifications, packet));
            }
        }
    }

    fn listen(&mut self) {
        let mut report = [0; REPORT];
        let flags = MsgFlags::MSG_DONTWAIT;
        for _ in 0..REPORTS_PER_ROUND {
            let Ok(length) = recv(self.reports.as_raw_fd(), &mut report, flags) else {
                return;
            };
            let Some(remote) = report.get(..length).and_then(narrow_path) else {
                continue;
            };
            tracing::debug!(%remote, "the path carries packets of 1280 octets in pieces only");
            let element = Element::of(NARROW_PATHS, remote.octets().to_vec());
            if let Err(error) = self.elements.change(&[element], &[]) {
                tracing::debug!(%error, %remote, "a narrow path can't be remembered");
            }
        }
    }
}

/// What becomes of an outer packet that is too big for its path. Larger than [`NARROW`] is only what
/// the sender can be told to make smaller: it meets the router that tells.
fn judge(sender: &Sender, identifications: &Identifications, packet: &Queued<'_>) -> Verdict {
    if packet.octets.len() > NARROW as usize {
        return Verdict::Accept;
    }
    let Some((source, destination, pieces)) =
        ipv6_pieces(packet.octets, LEAST_PATH, identifications.next())
    else {
        return Verdict::Accept;
    };
    let way = Way {
        local: IpAddr::V6(source),
        interface: packet.interface,
    };
    for piece in pieces {
        if let Err(errno) = sender.send(way, IpAddr::V6(destination), &[IoSlice::new(&piece)]) {
            tracing::debug!(%errno, %destination, "a piece of a packet can't be sent");
            break;
        }
    }
    Verdict::Drop
}

/// The other end of the tunnel in whose path a packet was too big to go in one piece, if this message
/// of ICMPv6 says so.
fn narrow_path(message: &[u8]) -> Option<Ipv6Addr> {
    let mtu = u32::from_be_bytes(*message.get(MTU..)?.first_chunk()?);
    let destination: &[u8; 16] = message.get(QUOTED_DESTINATION..)?.first_chunk()?;
    let of_ours = *message.first()? == TOO_BIG && *message.get(QUOTED_PROTOCOL)? == TUNNEL;
    (of_ours && mtu < NARROW).then(|| Ipv6Addr::from(*destination))
}

/// A socket that hears every Packet Too Big for this host, whoever sent it: the kernel, which
/// believes it, knows no better.
fn reports() -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    // A bit for each type that is not heard.
    let mut filter = [u32::MAX; 8];
    filter[0] &= !(1 << TOO_BIG);
    setsockopt(&socket, Icmp6Filter, &filter)?;
    Ok(socket.into())
}

sockopt_impl!(
    /// Which types are not heard.
    Icmp6Filter,
    SetOnly,
    libc::IPPROTO_ICMPV6,
    ICMP6_FILTER,
    [u32; 8]
);

/// Outer packets that are too big for the other end of a narrow path go to the queue, as long as
/// somebody serves it.
fn rules(table: &'static str, queue: u16) -> Program {
    const CHAIN: &str = "output";
    const FIRST: Register = Register(1);
    let mut program = Program::new(table);
    program.timed_set(TimedSet {
        name: NARROW_PATHS.0,
        key: Part {
            kind: IPV6_ADDRESS,
            octets: 16,
        },
        lifetime: MEMORY,
        most: MOST_PATHS,
    });
    program.chain(CHAIN, Hook::Output, -150);
    let too_big = [
        Step::Meta(Meta::Family, FIRST),
        Step::Is(FIRST, &[NFPROTO_IPV6]),
        Step::Payload(Header::Network, NEXT_HEADER, 1, FIRST),
        Step::Is(FIRST, &[TUNNEL]),
        Step::Meta(Meta::Length, FIRST),
        Step::BigEndian(FIRST),
        Step::Above(FIRST, &LEAST_PATH.to_be_bytes()),
        Step::Payload(Header::Network, DESTINATION, 16, FIRST),
        Step::In(NARROW_PATHS.0, FIRST),
        Step::Queue(queue),
    ];
    program.rule(CHAIN, &too_big);
    program
}

fn failed(attempt: &str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Netlink {
        attempt: attempt.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_small_mtu_for_a_tunnelled_packet_makes_a_path_narrow() {
        let remote: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let report = |kind: u8, mtu: u32, protocol: u8| {
            let mut message = vec![0; 48];
            message[0] = kind;
            message[4..8].copy_from_slice(&mtu.to_be_bytes());
            message[14] = protocol;
            message[32..].copy_from_slice(&remote.octets());
            narrow_path(&message)
        };
        assert_eq!(report(2, 1280, 41), Some(remote));
        assert_eq!(report(2, 1319, 41), Some(remote));
        assert_eq!(report(2, 1320, 41), None, "1280 octets fit in one piece");
        assert_eq!(report(2, 1280, 17), None);
        assert_eq!(report(1, 1280, 41), None);
        for length in 0..48 {
            let message = [&[2, 0, 0, 0, 0, 0, 5, 0], &[41; 40][..]].concat();
            assert_eq!(narrow_path(&message[..length]), None);
        }
    }
}
