//! Small internets in network namespaces, and the tools to tell stories in them.
//!
//! The lab never touches the network of the machine it runs on: [`sandbox::enter`] moves the process into
//! process-id and mount namespaces of its own (and a user namespace when it is not root), every [`Node`] then
//! owns a network namespace, and all of it is gone when the process ends, however it ends.

pub mod advertiser;
pub mod attacker;
pub mod backend;
pub mod capture;
pub mod chart;
mod checksum;
pub mod conversation;
pub mod daemon;
pub mod delay;
pub mod error;
pub mod extension_header;
pub mod fake_agent;
pub mod family;
pub mod figures;
pub mod fleet;
pub mod http;
pub mod internet;
pub mod laptop;
pub mod name_server;
pub mod network;
pub mod node;
mod packet;
pub mod process;
pub mod programs;
pub mod runner;
pub mod sandbox;
pub mod signalling;
pub mod ssh;
pub mod stage;
pub mod story;
pub mod udp;
pub mod wait;

pub use advertiser::{Advertisement, Advertiser};
pub use attacker::Attacker;
pub use backend::Backend;
pub use capture::Capture;
pub use conversation::Conversation;
pub use daemon::{AgentSettings, ChadSettings, HomeAgent, MobileAgent, Status};
pub use error::{Failure, LabError, Told, ensure, fail};
pub use extension_header::ExtensionHeader;
pub use fake_agent::{Behaviour, FakeAgent};
pub use family::{Addresses, Family, Prefixes};
pub use fleet::{Campaign, Fleet};
pub use http::{HttpServer, Served};
pub use internet::{AccessNetwork, Internet, Site, SiteKind};
pub use laptop::Laptop;
pub use name_server::NameServer;
pub use network::Network;
pub use node::Node;
pub use process::Process;
pub use stage::Stage;
pub use story::{Story, StoryEntry};
pub use wait::{eventually, stretched, wait_for};
