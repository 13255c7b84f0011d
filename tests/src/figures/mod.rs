//! The figures: what the project costs, each as a ratio with both sides measured in one run.

pub mod connect;
pub mod machine;
pub mod moves;
pub mod names;
pub mod probes;
pub mod report;
pub mod statistics;
pub mod throughput;
pub mod wireguard;

use std::{str::FromStr, time::Duration};

use crate::Failure;
use report::Section;

/// Programs the figures need, and the Debian packages that bring them.
pub const NEEDS: [(&str, &str); 5] = [
    ("iperf3", "iperf3"),
    ("wireguard-go", "wireguard-go"),
    ("wg", "wireguard-tools"),
    ("ip", "iproute2"),
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
    Moves(u64),
    /// Throughput.
    Throughput,
    /// The home agent machine alone; needs no room.
    Machine,
}

impl Part {
    /// All, in the order of the document.
    pub const ALL: [Part; 10] = [
        Part::Names(0),
        Part::Names(20),
        Part::Connect(0),
        Part::Connect(20),
        Part::Connect(100),
        Part::Moves(0),
        Part::Moves(20),
        Part::Moves(100),
        Part::Throughput,
        Part::Machine,
    ];

    /// Measures it; `quick` with as few repetitions as tell whether it works at all.
    pub fn measure(self, quick: bool) -> Result<Section, Failure> {
        let few = |many: usize, few: usize| if quick { few } else { many };
        match self {
            Part::Names(time) => names::measure(Duration::from_millis(time), few(300, 20)),
            Part::Connect(time) => connect::measure(Duration::from_millis(time), few(21, 3)),
            Part::Moves(time) => moves::measure(Duration::from_millis(time), few(7, 2)),
            Part::Throughput => throughput::measure(few(3, 1), if quick { 1 } else { 4 }),
            Part::Machine => machine::measure(),
        }
    }

    /// Its name without a round-trip time, for people who choose parts.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Part::Names(_) => "names",
            Part::Connect(_) => "connect",
            Part::Moves(_) => "moves",
            Part::Throughput => "throughput",
            Part::Machine => "machine",
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Names(time) | Part::Connect(time) | Part::Moves(time) => {
                write!(formatter, "{}-{time}", self.family())
            }
            Part::Throughput | Part::Machine => formatter.write_str(self.family()),
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
