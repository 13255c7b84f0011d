//! How many bindings strangers get in a second, by where they are.
//!
//! A binding costs its home agent a computation on public keys, a commit to the store and a change of
//! the data path. Quotas bound how many there are, not how often they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ipnet::IpNet;

use super::budget::{Budget, Rate};
use super::quotas::{Excess, prefixes};
use crate::CareOfAddress;

/// For how many seconds a rate that nobody used is saved up.
const SAVED_UP: u32 = 4;

/// Hosts and sites with a budget of their own at a time; the others share one. With the usual rates
/// there are never as many: who gets no binding needs no entry, and entries end when their budget is
/// whole. (Few in tests, so that they get there.)
const REMEMBERED: usize = if cfg!(test) { 8 } else { 16_384 };

/// How many bindings a second mobile nodes get that agreed on their keys: new ones, and those they
/// had given back. Four times as many at once after four seconds without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one host: an IPv4 address, an IPv6 prefix of length 64.
    pub host: u32,
    /// Of one site: an IPv4 prefix of length 24, an IPv6 prefix of length 48.
    pub site: u32,
    /// Of all together.
    pub all: u32,
}

impl Rates {
    /// For each binding a host may get so many agreements on its key are computed, good or bad: somebody
    /// on the way may spoil some.
    const AGREEMENTS_OF_HOST: u32 = 4;

    /// The same of all together; of a site no more than bindings. With the usual rates it takes more than
    /// sixty sites to leave nothing to the others, and the 4000 a second cost a quarter to a third of a
    /// core: 60 to 80 microseconds each (the bench `home_agent`, agreement on a key).
    const AGREEMENTS_OF_ALL: u32 = 16;

    /// As fast as they come.
    pub const UNLIMITED: Self = Self {
        host: u32::MAX,
        site: u32::MAX,
        all: u32::MAX,
    };

    /// How many agreements on keys are computed at these rates.
    const fn of_agreements(self) -> Self {
        Self {
            host: self.host.saturating_mul(Self::AGREEMENTS_OF_HOST),
            site: self.site,
            all: self.all.saturating_mul(Self::AGREEMENTS_OF_ALL),
        }
    }
}

impl Default for Rates {
    /// 5, 64 and 250: a laptop needs one, all hosts of an IPv4 /24 at once 256; and a thousand at once
    /// with 250 a second after them leave the slowest of gateways most of its time for packets.
    fn default() -> Self {
        Self {
            host: 5,
            site: 64,
            all: 250,
        }
    }
}

/// What is left of the rates.
#[derive(Debug)]
pub(super) struct Pace {
    host: Level,
    site: Level,
    all: Budget,
    rate: Rate,
}

/// What is left of one rate to each who has it.
#[derive(Debug)]
struct Level {
    rate: Rate,
    budgets: BTreeMap<IpNet, Budget>,
    /// When which budget is whole again, and so forgotten.
    whole: BTreeSet<(Instant, IpNet)>,
    /// Of all for whom there was no room.
    others: Budget,
}

impl Pace {
    /// Of the agreements on keys that are computed at these rates. All together save up no more than those of
    /// one second: four would keep everybody waiting for one.
    pub(super) fn of_agreements(rates: Rates) -> Self {
        let rates = rates.of_agreements();
        Self {
            rate: Rate::new(rates.all, rates.all),
            ..Self::new(rates)
        }
    }

    pub(super) fn new(rates: Rates) -> Self {
        let rate = |per_second: u32| Rate::new(per_second, per_second.saturating_mul(SAVED_UP));
        Self {
            host: Level::new(rate(rates.host)),
            site: Level::new(rate(rates.site)),
            all: Budget::WHOLE,
            rate: rate(rates.all),
        }
    }

    /// Whether who is there may have one more now. Who may not has cost the others nothing.
    pub(super) fn has_room(&mut self, care_of: CareOfAddress, now: Instant) -> Result<(), Excess> {
        let [host, site] = prefixes(care_of);
        if !self.host.has_room(host, now) {
            Err(Excess::HostRate)
        } else if !self.site.has_room(site, now) {
            Err(Excess::SiteRate)
        } else if !self.all.has_room(self.rate, now) {
            Err(Excess::Rate)
        } else {
            Ok(())
        }
    }

    /// One more for who is there, if there may be.
    pub(super) fn spend(&mut self, care_of: CareOfAddress, now: Instant) -> bool {
        let room = self.has_room(care_of, now).is_ok();
        if room {
            self.take(care_of, now);
        }
        room
    }

    /// Who is there has one more.
    pub(super) fn take(&mut self, care_of: CareOfAddress, now: Instant) {
        let [host, site] = prefixes(care_of);
        self.host.take(host, now);
        self.site.take(site, now);
        self.all.take(self.rate, now);
    }
}

impl Level {
    const fn new(rate: Rate) -> Self {
        Self {
            rate,
            budgets: BTreeMap::new(),
            whole: BTreeSet::new(),
            others: Budget::WHOLE,
        }
    }

    fn has_room(&mut self, prefix: IpNet, now: Instant) -> bool {
        self.forget(now);
        let rate = self.rate;
        self.budget(prefix).has_room(rate, now)
    }

    fn take(&mut self, prefix: IpNet, now: Instant) {
        let rate = self.rate;
        if self.budgets.len() < REMEMBERED {
            self.budgets.entry(prefix).or_insert(Budget::WHOLE);
        }
        let Some(budget) = self.budgets.get_mut(&prefix) else {
            self.others.take(rate, now);
            return;
        };
        if let Some(before) = budget.whole_at() {
            self.whole.remove(&(before, prefix));
        }
        let whole_at = budget.take(rate, now);
        self.whole.insert((whole_at, prefix));
    }

    fn budget(&self, prefix: IpNet) -> Budget {
        match self.budgets.get(&prefix) {
            Some(budget) => *budget,
            None if self.budgets.len() < REMEMBERED => Budget::WHOLE,
            None => self.others,
        }
    }

    /// Forgets whose budgets are whole again.
    fn forget(&mut self, now: Instant) {
        while let Some((whole_at, prefix)) = self.whole.first().copied()
            && whole_at <= now
        {
            self.whole.pop_first();
            self.budgets.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATES: Rates = Rates {
        host: 1,
        site: 2,
        all: 4,
    };

    fn at(text: &str) -> CareOfAddress {
        CareOfAddress(text.parse().unwrap())
    }

    /// How many of a hundred get one.
    fn got(pace: &mut Pace, from: &str, now: Instant) -> (usize, Option<Excess>) {
        for count in 0..100 {
            if let Err(excess) = pace.has_room(at(from), now) {
                return (count, Some(excess));
            }
            pace.take(at(from), now);
        }
        (100, None)
    }

    #[test]
    fn hosts_and_sites_and_all_have_rates_of_their_own() {
        let mut now = Instant::now();
        let mut pace = Pace::new(RATES);
        for (from, count, excess) in [
            ("192.0.2.1", 4, Excess::HostRate),
            ("192.0.2.2", 4, Excess::HostRate),
            ("192.0.2.3", 0, Excess::SiteRate),
            ("2001:db8:1:1::1", 4, Excess::HostRate),
            ("2001:db8:1:1::2", 0, Excess::HostRate),
            ("2001:db8:2:1::1", 4, Excess::HostRate),
            ("2001:db8:3:1::1", 0, Excess::Rate),
        ] {
            assert_eq!(got(&mut pace, from, now), (count, Some(excess)), "{from}");
        }
        now += Duration::from_secs(1);
        for (from, count, excess) in [
            ("192.0.2.1", 1, Excess::HostRate),
            ("192.0.2.3", 1, Excess::SiteRate),
            ("2001:db8:3:1::1", 2, Excess::Rate),
        ] {
            assert_eq!(got(&mut pace, from, now), (count, Some(excess)), "{from}");
        }
    }

    #[test]
    fn those_for_whom_there_is_no_memory_share_one_budget() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Rates {
            host: 1,
            ..Rates::UNLIMITED
        });
        let host = |number: u8| format!("192.0.2.{number}");
        for number in 0..8 {
            assert_eq!(got(&mut pace, &host(number), now).0, 4, "{number}");
        }
        assert_eq!(got(&mut pace, &host(8), now).0, 4);
        assert_eq!(got(&mut pace, &host(9), now).0, 0);
        assert_eq!(pace.host.budgets.len(), REMEMBERED);
        now += Duration::from_secs(4);
        assert_eq!(got(&mut pace, &host(9), now).0, 4);
        assert_eq!(pace.host.budgets.len(), 1);
        assert_eq!(pace.host.whole.len(), 1);
    }

    #[test]
    fn unlimited_is_unlimited() {
        for mut pace in [
            Pace::new(Rates::UNLIMITED),
            Pace::of_agreements(Rates::UNLIMITED),
        ] {
            assert_eq!(got(&mut pace, "192.0.2.1", Instant::now()), (100, None));
        }
    }

    /// What is left to another site in a second in which four have used up theirs, as in those before.
    fn left_by_four_sites(pace: &mut Pace) -> usize {
        let mut now = Instant::now();
        for _ in 0..10 {
            now += Duration::from_secs(1);
            for site in 1..=4 {
                let from = at(&format!("10.0.{site}.1"));
                while pace.spend(from, now) {}
            }
        }
        got(pace, "192.0.2.1", now).0
    }

    #[test]
    fn four_sites_can_have_all_bindings_but_not_all_agreements() {
        let rates = Rates {
            host: u32::MAX,
            ..Rates::default()
        };
        assert_eq!(left_by_four_sites(&mut Pace::new(rates)), 0);
        assert_eq!(left_by_four_sites(&mut Pace::of_agreements(rates)), 100);
        let agreements = Rates::default().of_agreements();
        assert!(agreements.all / agreements.site > 60);
    }
}
