//! The kernel's tunnels, asked for real: each test in network namespaces of its own, on a kernel
//! that has the module `ipip`.

#![expect(clippy::unwrap_used, reason = "a test fails by them")]
#![expect(dead_code, reason = "the namespaces serve another binary too")]

mod choice;
mod home_agent;
mod mobile_node;
mod site;

#[path = "../netlink/namespace.rs"]
mod namespace;
