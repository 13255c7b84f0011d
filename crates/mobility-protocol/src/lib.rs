//! Mobile IP signalling for the Corresponding Home Agent: the wire format, the address pool, the
//! security associations, and the two protocol machines.
//!
//! This crate has no sockets, no clock and no randomness of its own. Time (`now`, Unix time) and a
//! seed are passed in; outputs are data ([`Transmit`], [`DataplaneChange`], events) that somebody
//! else executes. Everything the protocol demands can therefore be tested without root, without a
//! network, and in virtual time.

pub mod binding;
pub mod datagram;
pub mod dataplane_change;
pub mod explain;
pub mod home_agent;
pub mod mobile_node;
pub mod pool;
mod refusal;
pub mod security;
mod stamp;
pub mod wire;

pub use binding::{
    CareOfAddress, Family, HomeAddress, HomeAgentAddress, Identity, IdentityError, Lifetime,
};
pub use datagram::{Datagram, Path, Transmit, Transport};
pub use dataplane_change::{DataplaneChange, Encapsulation, Reachability, Tunnel, TunnelEndpoints};
pub use refusal::Refusal;
pub use stamp::Stamp;
