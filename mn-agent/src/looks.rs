//! When to look at the sockets of home addresses. Each look makes the kernel walk all sockets of the
//! host, and there are hosts on which sockets end all the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mobility_protocol::{HomeAddress, HomeAgentAddress};

/// How long after a look the next one comes at the earliest. The machine waits twice as long for the
/// answers it asks for.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Home addresses to look at: at once, or together as soon as the last look is [`PAUSE`] ago.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    wanted: BTreeMap<HomeAddress, HomeAgentAddress>,
    not_before: Option<Instant>,
}

impl Looks {
    /// There is a reason to look at this home address, which belongs to a binding of `agent`. The
    /// machine bounds the number of bindings.
    pub(crate) fn want(&mut self, home_address: HomeAddress, agent: HomeAgentAddress) {
        self.wanted.insert(home_address, agent);
    }

    /// When [`Looks::take`] has something to look at; `None` while there is no reason.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let wanted = !self.wanted.is_empty();
        wanted.then(|| self.not_before.unwrap_or(now))
    }

    /// What to look at now, all of it in one look.
    pub(crate) fn take(&mut self, now: Instant) -> BTreeMap<HomeAddress, HomeAgentAddress> {
        if self.due(now).is_none_or(|due| due > now) {
            return BTreeMap::new();
        }
        self.not_before = Some(now + PAUSE);
        std::mem::take(&mut self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

    fn home(last: u8) -> HomeAddress {
        HomeAddress::from(Ipv4Addr::new(10, 128, 0, last))
    }

    #[test]
    fn a_reason_in_the_pause_is_looked_at_when_it_ends() {
        let begin = Instant::now();
        let mut looks = Looks::default();
        assert_eq!(looks.due(begin), None);
        looks.want(home(1), AGENT.into());
        assert_eq!(looks.due(begin), Some(begin), "the first one comes at once");
        assert_eq!(looks.take(begin).len(), 1);
        assert_eq!(looks.due(begin), None, "without a reason nobody looks");
        looks.want(home(1), AGENT.into());
        looks.want(home(2), AGENT.into());
        assert!(looks.take(begin + PAUSE / 2).is_empty());
        let due = looks.due(begin + PAUSE / 2).unwrap();
        assert_eq!(due, begin + PAUSE);
        assert_eq!(looks.take(due).len(), 2, "nothing is lost");
        looks.want(home(1), AGENT.into());
        let later = due + PAUSE * 100;
        assert!(looks.due(later).unwrap() <= later);
        assert_eq!(looks.take(later).len(), 1);
    }

    #[test]
    fn sockets_that_end_all_the_time_are_looked_at_once_a_second() {
        let begin = Instant::now();
        let mut looks = Looks::default();
        let mut made = 0;
        for millisecond in 0..10_000 {
            looks.want(home(1), AGENT.into());
            let now = begin + Duration::from_millis(millisecond);
            made += usize::from(!looks.take(now).is_empty());
        }
        assert_eq!(made, 10);
    }
}
