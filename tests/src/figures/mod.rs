//! The figures: what the project costs, each as a ratio with both sides measured in one run.

pub mod bindings;
pub mod cable;
pub mod connect;
pub mod guest;
pub mod hand;
pub mod iperf;
pub mod machine;
pub mod moves;
pub mod names;
pub mod probes;
pub mod report;
pub mod route_watch;
pub mod statistics;
pub mod throughput;
pub mod tunnels;
pub mod wireguard;

use std::{str::FromStr, time::Duration};

use crate::{Backend, Failure, Family};
use bindings::Scale;
use report::Section;

/// Programs the figures need, and the Debian packages that bring them.
pub const NEEDS: [(&str, &str); 6] = [
    ("iperf3", "iperf3"),
    ("wireguard-go", "wireguard-go"),
    ("wg", "wireguard-tools"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
];

/// A part of the figures that is measured in a room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// DNS answers, at a round-trip time in milliseconds.
    Names(u64),
    /// From `getaddrinfo` to connected, at a round-trip time in milliseconds.
    Connect(u64),
    /// Silence at moves, at a round-trip time in milliseconds.
    Moves(Backend, Family, u64),
    /// Throughput of the userspace backend.
    Throughput(Family),
    /// Throughput of the kernel backend beside the kernel's tunnels set up by hand.
    Tunnels(Family),
    /// Many bindings.
    Bindings(Backend, Family, Place),
    /// The home agent machine alone; needs no room.
    Machine,
}

/// Where a part is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this machine's own kernel.
    Here,
    /// Where the kernel has tunnels: here, else in the guest.
    WithTunnels,
}

use Backend::{Kernel, Userspace};
use Family::{Ipv4, Ipv6};
use Place::{Here, WithTunnels};

impl Part {
    /// All, in the order of the document.
    pub const ALL: [Part; 23] = [
        Part::Names(0),
        Part::Names(20),
        Part::Connect(0),
        Part::Connect(20),
        Part::Connect(100),
        Part::Moves(Userspace, Ipv4, 0),
        Part::Moves(Userspace, Ipv4, 20),
        Part::Moves(Userspace, Ipv4, 100),
        Part::Moves(Userspace, Ipv6, 0),
        Part::Moves(Userspace, Ipv6, 20),
        Part::Moves(Kernel, Ipv4, 0),
        Part::Moves(Kernel, Ipv6, 0),
        Part::Throughput(Ipv4),
        Part::Throughput(Ipv6),
        Part::Tunnels(Ipv4),
        Part::Tunnels(Ipv6),
        Part::Bindings(Userspace, Ipv4, Here),
        Part::Bindings(Userspace, Ipv6, Here),
        Part::Bindings(Userspace, Ipv4, WithTunnels),
        Part::Bindings(Userspace, Ipv6, WithTunnels),
        Part::Bindings(Kernel, Ipv4, WithTunnels),
        Part::Bindings(Kernel, Ipv6, WithTunnels),
        Part::Machine,
    ];

    /// Measures it; `quick` with as few repetitions as tell whether it works at all.
    pub fn measure(self, quick: bool) -> Result<Vec<Section>, Failure> {
        let few = |many: usize, few: usize| if quick { few } else { many };
        let alone = |section| vec![section];
        match self {
            Part::Names(time) => {
                names::measure(Duration::from_millis(time), few(300, 20)).map(alone)
            }
            Part::Connect(time) => {
                connect::measure(Duration::from_millis(time), few(21, 3)).map(alone)
            }
            Part::Moves(backend, family, time) => {
                told(backend, family);
                // The guest is slow, and its moves resemble each other more.
                let moves = if backend == Kernel { 3 } else { 5 };
                moves::measure(Duration::from_millis(time), few(moves, 2)).map(alone)
            }
            Part::Throughput(family) => {
                told(Userspace, family);
                throughput::measure(few(3, 1), if quick { 1 } else { 2 }).map(alone)
            }
            Part::Tunnels(family) => {
                told(Kernel, family);
                tunnels::measure(few(3, 2), if quick { 1 } else { 2 }).map(alone)
            }
            Part::Bindings(backend, family, place) => {
                told(backend, family);
                let standing = match (quick, place, backend) {
                    (true, _, _) => vec![0, 1_000, 2_000],
                    // For comparison alone.
                    (false, WithTunnels, Userspace) => vec![0, 10_000],
                    (false, _, _) => vec![0, 10_000, 100_000],
                };
                let moving = few(1_000, 100);
                bindings::measure(backend, family, &Scale { standing, moving })
            }
            Part::Machine => machine::measure().map(alone),
        }
    }

    /// Its name without families and round-trip times, for people who choose parts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::Names(_) => "names",
            Part::Connect(_) => "connect",
            Part::Moves(..) => "moves",
            Part::Throughput(_) => "throughput",
            Part::Tunnels(_) => "tunnels",
            Part::Bindings(..) => "bindings",
            Part::Machine => "machine",
        }
    }

    /// Where it is measured.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Part::Tunnels(_) | Part::Moves(Kernel, ..) => WithTunnels,
            Part::Bindings(_, _, place) => place,
            Part::Names(_)
            | Part::Connect(_)
            | Part::Moves(Userspace, ..)
            | Part::Throughput(_)
            | Part::Machine => Here,
        }
    }
}

/// Settings without a say follow the part.
fn told(backend: Backend, family: Family) {
    backend.tell_with();
    family.tell_in();
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name();
        match self {
            Part::Names(time) | Part::Connect(time) => write!(formatter, "{name}-{time}"),
            Part::Moves(backend, family, time) => {
                write!(formatter, "{name}-{backend}-{family}-{time}")
            }
            Part::Throughput(family) | Part::Tunnels(family) => {
                write!(formatter, "{name}-{family}")
            }
            Part::Bindings(backend, family, place) => {
                let place = match place {
                    Here => "here",
                    WithTunnels => "with-tunnels",
                };
                write!(formatter, "{name}-{backend}-{family}-{place}")
            }
            Part::Machine => formatter.write_str(name),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        Part::ALL
            .into_iter()
            .find(|part| part.to_string() == text)
            .ok_or_else(|| format!("no part named {text}"))
    }
}
