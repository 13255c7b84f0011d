//! What spares a mobile node that comes back the proof of a first contact.

use std::fmt;
use std::time::Duration;

/// How long a token is good for.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A home agent's proof to itself that it agreed with somebody on an association, and saw him at some
/// address, not long ago: when it was, and a code over that, the address and the association.
///
/// It is good for that association alone, which has one binding at most. So it lends no more than one
/// address at a time however often it is shown, and nobody need remember which were shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumptionToken(pub [u8; ResumptionToken::LENGTH]);

impl ResumptionToken {
    /// Its octets.
    pub const LENGTH: usize = 20;
}

impl fmt::Debug for ResumptionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumptionToken({})", hex::encode(self.0))
    }
}
