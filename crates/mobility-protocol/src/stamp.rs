//! What tells a Binding Update from an old one that is sent again.

use crate::wire::Identification;
use crate::wire::mip6::SequenceNumber;

/// What tells a Binding Update from an old one that is sent again. Where there is a timestamp it
/// decides, and the sequence number only ties the acknowledgement to its update (RFC 4285, section
/// 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// When it was sent: the Identification of Mobile IPv4 (RFC 5944, section 5.7.1), or the replay
    /// protection option of Mobile IPv6 (RFC 4285, section 6).
    pub timestamp: Option<Identification>,
    /// Its place among those to one home agent (RFC 6275, section 6.1.7).
    pub sequence: Option<SequenceNumber>,
}

impl Stamp {
    /// What is known after an update with this stamp followed one with the `former`.
    #[must_use]
    pub fn after(self, former: Self) -> Self {
        Self {
            timestamp: self.timestamp.or(former.timestamp),
            sequence: self.sequence.or(former.sequence),
        }
    }
}

impl From<Identification> for Stamp {
    fn from(timestamp: Identification) -> Self {
        Self {
            timestamp: Some(timestamp),
            sequence: None,
        }
    }
}
