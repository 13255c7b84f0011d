//! The kernel's tables, asked for real: each test in network namespaces of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod dataplanes;
mod home_agent_routes;
mod ipv6_attachment;
mod ipv6_home_agent;
mod ipv6_routes;
mod mobile_node_routes;
mod monitor;
mod namespace;
mod signalling;
mod sockets;
