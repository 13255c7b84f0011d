//! What operators touch, in both daemons: configuration files, the control socket, status, logs and
//! the command line.
//!
//! This crate never touches the network and changes nothing in the system except its own control
//! socket. Everything read from a file or from the socket is bounded and parsed into types that
//! can't hold a bad value; every refusal says what to write instead.

pub mod cli;
pub mod client;
pub mod config;
pub mod keygen;
pub mod logging;
pub mod protocol;
pub mod render;
pub mod server;
pub mod status;
pub mod supervision;

pub use protocol::{Reply, Request};
