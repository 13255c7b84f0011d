//! Both machines agree on a key: what crosses the wire, and what strangers get out of it.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod contact;
mod exchanges;
mod limits;
mod names;
mod numbers;
mod reachability;
mod recordings;
mod returning;
mod world;
