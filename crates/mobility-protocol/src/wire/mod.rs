//! Octets to messages and back, one module per signalling protocol.
//!
//! Decoders take octets from strangers: they never panic, never read past what they were given and
//! never allocate by a length they have not checked against the octets at hand. What is refused is
//! refused with a reason and an offset. Authenticators are checked over the received octets, so
//! decoded messages say which octets those are; nothing is ever re-serialised to be verified.

mod identification;
mod key_agreement;
pub mod mip4;
pub mod mip6;
pub mod octets;
mod registry;

pub use identification::Identification;
pub use key_agreement::KeyAgreement;
pub use octets::{Octets, OctetsError};
