//! What a mobile node is told at its start, and what its host tells it about use.

use std::time::Duration;

use crate::Identity;

/// The bound on bindings, one per home agent.
pub const MAX_AGENTS: usize = 1024;
/// The bound on names that share one binding.
pub const MAX_NAMES: usize = 256;
/// The bound on correspondents behind one binding.
pub const MAX_CORRESPONDENTS: usize = 1024;

/// How a mobile node behaves. [`Config::new`] gives the values the project's documentation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Who this mobile node is; sent in every Binding Update.
    pub identity: Identity,
    /// How long a binding outlives the last socket that used it.
    pub linger: Duration,
    /// How long a binding used without connections outlives its last packet.
    pub inactivity: Duration,
    /// How long a binding waits for its first use; also how long a first request waits for a path.
    pub unused: Duration,
    /// How long packets may go out without any coming back before the path is probed.
    pub dead_path_after: Duration,
    /// The least time between two probes of one path.
    pub probe_interval: Duration,
    /// How long a home agent that failed is left alone, the first time. Doubles with every failure
    /// in a row, up to an hour; refusals that trying again won't cure begin at twelve times this.
    pub hold_off: Duration,
}

impl Config {
    /// The defaults, for this identity.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self {
            identity,
            linger: Duration::from_secs(5),
            inactivity: Duration::from_secs(60),
            unused: Duration::from_secs(10),
            dead_path_after: Duration::from_secs(3),
            probe_interval: Duration::from_secs(15),
            hold_off: Duration::from_secs(5),
        }
    }
}

/// What a look at the host's sockets says about a home address.
///
/// Traffic is no part of it: packets that no socket explains are reported with
/// [`MobileNode::handle_traffic`](super::MobileNode::handle_traffic), and count only for bindings
/// on which they were seen while no socket was found. A TCP session that closed is therefore
/// released after [`Config::linger`], not after [`Config::inactivity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// A socket has the home address: TCP in any state but TIME_WAIT, or UDP connected or bound.
    Sockets,
    /// No socket has it.
    None,
}
