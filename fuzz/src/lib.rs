//! What the fuzz targets check. The ordinary tests run the same functions over the corpora.

mod home_agent;
mod mip4;
mod mip6;
mod mobile_node;
mod script;
mod time;

pub use home_agent::home_agent;
pub use mip4::{mip4_decode, mip4_explain};
pub use mip6::{mip6_decode, mip6_explain, mip6_packet};
pub use mobile_node::mobile_node;
