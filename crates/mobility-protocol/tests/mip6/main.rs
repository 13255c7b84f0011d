//! The Mobile IPv6 codec against worked packets, random messages and arbitrary octets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../corpus/mod.rs"]
mod committed;
mod corpus;
mod octets;
mod properties;
#[path = "../strategies/mod.rs"]
mod strategies;
mod vectors;
