//! What the fuzz targets check. The ordinary tests run the same functions over the corpora.

mod mip4;
mod mip6;

pub use mip4::{mip4_decode, mip4_explain};
pub use mip6::{mip6_decode, mip6_explain, mip6_packet};
