//! The timestamp that orders a mobile node's requests: the Identification field of Mobile IPv4
//! (RFC 5944, section 5.7) and the replay protection option of Mobile IPv6 (RFC 4285, section 6).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// Seconds after which the 32-bit seconds of NTP begin again (next on 2036-02-07).
const ERA: u64 = 1 << 32;

/// The 64-bit Identification of a request and its reply. As a timestamp: 32 bits of NTP seconds and
/// 32 bits of fraction, compared across the change of the NTP era by wrapping arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identification(pub u64);

impl Identification {
    /// The Unix time at which the NTP seconds begin again: 2036-02-07 06:28:16 UTC. Timestamps from
    /// 68 years before to 68 years after have it nearest (RFC 4330, section 3).
    pub const ERA_CHANGE: Duration = Duration::from_secs(ERA - NTP_TO_UNIX);

    /// From its two halves.
    #[must_use]
    pub const fn from_parts(high: u32, low: u32) -> Self {
        Self(((high as u64) << 32) | low as u64)
    }

    /// The timestamp of this Unix time.
    #[must_use]
    pub fn from_unix(unix_time: Duration) -> Self {
        let seconds = (unix_time.as_secs() % ERA + NTP_TO_UNIX) % ERA;
        let fraction = (u64::from(unix_time.subsec_nanos()) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The Unix time this timestamp means, in the NTP era that brings it closest to `near`.
    #[must_use]
    pub fn to_unix(self, near: Duration) -> Duration {
        let nanoseconds = (u64::from(self.low()) * 1_000_000_000) >> 32;
        let ahead = i64::from(self.seconds_since(Self::from_unix(near)));
        Duration::from_secs(near.as_secs().saturating_add_signed(ahead))
            + Duration::from_nanos(nanoseconds)
    }

    /// The high half: seconds, or the home agent's nonce.
    #[must_use]
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The low half, by which a reply matches its request.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is what is asked for"
    )]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The same with another high half: how a reply of code 133 tells the home agent's time.
    #[must_use]
    pub const fn with_high(self, high: u32) -> Self {
        Self::from_parts(high, self.low())
    }

    /// Whether this timestamp is later than `other`.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// How far apart two timestamps are.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        let units = self.0.wrapping_sub(other.0).cast_signed().unsigned_abs();
        let nanoseconds = ((units & 0xffff_ffff) * 1_000_000_000) >> 32;
        Duration::from_secs(units >> 32).saturating_add(Duration::from_nanos(nanoseconds))
    }

    /// Whole seconds from `other` to this one, negative when this one is earlier: the offset a
    /// mobile node adds to its clock after code 133.
    #[must_use]
    pub const fn seconds_since(self, other: Self) -> i32 {
        self.high().wrapping_sub(other.high()).cast_signed()
    }
}

/// `seconds.fraction`, both in hexadecimal.
impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:08x}", self.high(), self.low())
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identification({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-01 00:00:00 UTC.
    const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);
    const ERA_CHANGE: Duration = Identification::ERA_CHANGE;

    #[test]
    fn is_ntp_time() {
        let identification = Identification::from_unix(NEW_YEAR + Duration::from_millis(500));
        assert_eq!(identification, Identification(0xed00_3780_8000_0000));
        assert_eq!(
            identification.to_unix(NEW_YEAR),
            NEW_YEAR + Duration::from_millis(500)
        );
        assert_eq!(identification.to_string(), "ed003780.80000000");
    }

    #[test]
    fn keeps_its_order_across_the_era_change() {
        assert_eq!(ERA_CHANGE, Duration::from_secs(2_085_978_496));
        assert_eq!(Identification::from_unix(ERA_CHANGE), Identification(0));
        let before = Identification::from_unix(ERA_CHANGE - Duration::from_secs(1));
        let after = Identification::from_unix(ERA_CHANGE + Duration::from_secs(1));
        assert!(after.is_after(before));
        assert!(!before.is_after(after));
        assert!(!after.is_after(after));
        assert_eq!(after.distance(before), Duration::from_secs(2));
        assert_eq!(before.distance(after), Duration::from_secs(2));
        assert_eq!(after.seconds_since(before), 2);
        assert_eq!(
            before.to_unix(ERA_CHANGE),
            ERA_CHANGE - Duration::from_secs(1)
        );
        assert_eq!(
            after.to_unix(ERA_CHANGE - Duration::from_secs(9)),
            ERA_CHANGE + Duration::from_secs(1)
        );
    }

    #[test]
    fn tells_the_offset_of_a_clock() {
        let request = Identification(0xed00_3780_8000_0001);
        let reply = Identification(0xed00_4590_8000_0001);
        assert_eq!(reply.seconds_since(request), 3600);
        assert_eq!(request.with_high(reply.high()), reply);
    }

    proptest! {
        #[test]
        fn unix_time_survives(seconds in 0u64..20_000_000_000, nanoseconds in 0u32..1_000_000_000, drift in -1000i64..1000) {
            let time = Duration::new(seconds, nanoseconds);
            let near = Duration::from_secs(seconds.saturating_add_signed(drift));
            let back = Identification::from_unix(time).to_unix(near);
            prop_assert!(time.abs_diff(back) <= Duration::from_nanos(1));
        }
    }
}
