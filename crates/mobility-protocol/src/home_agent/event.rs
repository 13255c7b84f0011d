//! What a home agent reports.

use std::net::IpAddr;
use std::time::Duration;

use crate::{
    CareOfAddress, DataplaneChange, HomeAddress, Identity, Reachability, Refusal, Transport,
};

/// What happened, for whoever executes it or writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The data path has to change.
    Dataplane(DataplaneChange),
    /// A mobile node was lent a home address.
    BindingCreated {
        /// Which.
        home_address: HomeAddress,
        /// Where it is reached.
        care_of: CareOfAddress,
        /// Whose it is.
        identity: Identity,
        /// For how long.
        lifetime: Duration,
    },
    /// A mobile node is somewhere else.
    BindingMoved {
        /// Its home address.
        home_address: HomeAddress,
        /// Where it was.
        from: CareOfAddress,
        /// Where it is.
        to: CareOfAddress,
        /// Who it is.
        identity: Identity,
        /// Whether it is configured. How often somebody else moves, nothing bounds.
        configured: bool,
    },
    /// A binding goes on, with the same care-of address.
    BindingRefreshed {
        /// Whose home address.
        home_address: HomeAddress,
        /// For how long from now.
        lifetime: Duration,
    },
    /// A mobile node returned its home address.
    BindingReleased {
        /// Which.
        home_address: HomeAddress,
        /// Whose it was.
        identity: Identity,
    },
    /// A binding was not refreshed in time.
    BindingExpired {
        /// Which home address.
        home_address: HomeAddress,
        /// Whose it was.
        identity: Identity,
    },
    /// A request was understood and denied.
    Refused {
        /// Why.
        code: Refusal,
        /// Who asked, by the network.
        source: IpAddr,
        /// Who asked, by name.
        identity: Identity,
    },
}

/// A binding as people look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingView {
    /// The home address lent.
    pub home_address: HomeAddress,
    /// Where it is reached.
    pub care_of: CareOfAddress,
    /// Whether its mobile node has shown that it is there.
    pub reachability: Reachability,
    /// What its last request came in.
    pub transport: Transport,
    /// Whose it is.
    pub identity: Identity,
    /// What is left of the lifetime.
    pub expires_in: Duration,
    /// The lifetime as granted.
    pub lifetime: Duration,
    /// What is going on.
    pub state: BindingState,
    /// Whether the mobile node has a key of its own; without one it proved nothing.
    pub authenticated: bool,
}

/// What is going on with a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingState {
    /// Nothing but traffic.
    Active,
    /// It moved a moment ago; packets from its former care-of address are still accepted.
    Moving,
}

impl BindingState {
    /// The name status uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Moving => "moving",
        }
    }
}
