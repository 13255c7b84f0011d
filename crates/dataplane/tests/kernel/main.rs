//! The kernel's tunnels, asked for real: each test in network namespaces of its own, on a kernel
//! that has the modules `ipip` and `ip6_tunnel`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by them"
)]
#![expect(dead_code, reason = "the namespaces serve another binary too")]

mod choice;
mod credit;
mod forged;
mod home_agent;
mod ipv6;
mod mobile_node;
mod mobile_node_ipv6;
mod reports;
mod site;
mod world;

#[path = "../ipv4_packets/mod.rs"]
mod ipv4_packets;
#[path = "../ipv6_packets/mod.rs"]
mod ipv6_packets;
#[path = "../netlink/namespace.rs"]
mod namespace;
#[path = "../stream/mod.rs"]
mod stream;
