//! The stub resolver of the mobile node. It never changes an octet of what it
//! relays but the message id, never invents an answer while one may still
//! come, and never reads `/etc/resolv.conf` for its own questions.
//!
//! An unmodified application asks for `server.example`; the relay passes the
//! question to the system's name servers as it is and asks for
//! `cha.server.example` beside it. Where that exists, the answer is held until
//! the mobile node has its binding (or `hold` has passed), so that `connect()`
//! takes the home address by itself.
//!
//! A question for IPv4 addresses (A) looks for an agent at an IPv4 address, a
//! question for IPv6 addresses (AAAA) for one at an IPv6 address. The two are
//! held apart, so an application that races both families (RFC 8305) finds
//! each of them as soon as it would alone.
//!
//! # Validation
//! With a [`TrustAnchor`] the relay believes in an agent only where the answers
//! for `cha.<name>` and for the addresses of `<name>` itself are signed, down
//! from that anchor (RFC 4035). What applications get stays what it was.
//!
//! # Conflicts
//! An address may be reached through an agent only as long as each name that
//! gives it has that agent. The relay remembers what names gave for a day: see
//! [`Relay::capture`] and [`Contradiction`].
//!
//! # Who may send
//! Queries are taken from this host only: from loopback addresses and from the
//! listening address itself. Answers are taken from the name server that was
//! asked, with the id and the question that it was asked; each question goes
//! out from a fresh port with a fresh id (RFC 5452).
//!
//! # Bounds
//! Queries in flight, TCP connections, questions per connection, sockets
//! toward name servers, lookups for agents and all caches are bounded; what
//! does not fit is dropped under a counter of its own.

mod cache;
mod chain;
mod config;
mod counters;
mod error;
mod exchange;
mod family;
mod hold;
mod key;
mod ledger;
mod lookup;
mod memory;
mod message;
mod names;
mod prober;
mod relay;
mod resolv_conf;
mod search;
mod socket;
mod tasks;
mod tcp;
mod trust_anchor;
mod udp;
mod upstream;

pub use config::{DEFAULT_LISTEN, Mode, Policy, RelayConfig};
pub use error::{DiscoverError, Error};
pub use hold::{Contradiction, Discovery, Report};
pub use key::AgentKey;
pub use relay::{Found, Relay};
pub use trust_anchor::{TrustAnchor, TrustAnchorError};
