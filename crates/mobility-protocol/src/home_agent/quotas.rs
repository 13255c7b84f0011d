//! How many home addresses strangers have at a time, by where they are, and for how long at first.
//!
//! Who need not be known can have as many names and keys as he likes, but only so many care-of
//! addresses. An address that rests after use counts, so a quota is a rate, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::rates::Rates;
use crate::CareOfAddress;

/// What mobile nodes may have that agreed on their keys. Those with configured keys have no such
/// limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Home addresses, lent or resting, that one host may have: an IPv4 address, an IPv6 prefix of
    /// length 64.
    pub host: u32,
    /// Those that one site may have: an IPv4 prefix of length 24, an IPv6 prefix of length 48.
    pub site: u32,
    /// How many they get in a second.
    pub rates: Rates,
    /// For how long a binding is granted at most until it is refreshed for the first time, and by how much
    /// at most a refresh lengthens it whose mobile node has not shown where it is. Whole seconds, 1 to
    /// 65,534.
    pub first_lifetime: Duration,
}

impl Default for Quotas {
    /// 64 and 1024, the usual rates, and a minute.
    fn default() -> Self {
        Self {
            host: 64,
            site: 1024,
            rates: Rates::default(),
            first_lifetime: Duration::from_secs(60),
        }
    }
}

/// Which limit somebody has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    HostQuota,
    SiteQuota,
    HostRate,
    SiteRate,
    Rate,
}

/// What has been taken of the quotas.
#[derive(Debug)]
pub(super) struct Taken {
    quotas: Quotas,
    /// Only ever looked up: the order of a hash map reaches nothing. As many entries as twice the
    /// addresses that are lent or rest, at most.
    taken: HashMap<IpNet, u32>,
}

impl Taken {
    pub(super) fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            taken: HashMap::new(),
        }
    }

    /// One more for who is there, if there is room.
    pub(super) fn take(&mut self, care_of: CareOfAddress) -> Result<(), Excess> {
        let [host, site] = prefixes(care_of);
        let count = |prefix| self.taken.get(prefix).copied().unwrap_or_default();
        if count(&host) >= self.quotas.host {
            return Err(Excess::HostQuota);
        }
        if count(&site) >= self.quotas.site {
            return Err(Excess::SiteQuota);
        }
        self.note(care_of);
        Ok(())
    }

    /// One more for who is there, whether there is room or not.
    pub(super) fn note(&mut self, care_of: CareOfAddress) {
        for prefix in prefixes(care_of) {
            *self.taken.entry(prefix).or_default() += 1;
        }
    }

    /// One less for who was there.
    pub(super) fn give_back(&mut self, care_of: CareOfAddress) {
        for prefix in prefixes(care_of) {
            if let Some(count) = self.taken.get_mut(&prefix) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.taken.remove(&prefix);
                }
            }
        }
    }
}

/// The host and the site at an address.
pub(super) fn prefixes(care_of: CareOfAddress) -> [IpNet; 2] {
    match care_of.ip() {
        IpAddr::V4(address) => {
            [32, 24].map(|length| IpNet::V4(Ipv4Net::new_assert(address, length).trunc()))
        }
        IpAddr::V6(address) => {
            [64, 48].map(|length| IpNet::V6(Ipv6Net::new_assert(address, length).trunc()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_sites_have_quotas_of_their_own() {
        let at = |text: &str| CareOfAddress(text.parse().unwrap());
        let mut taken = Taken::new(Quotas {
            host: 2,
            site: 3,
            ..Quotas::default()
        });
        for (address, fits) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("192.0.2.3", false),
            ("192.0.3.3", true),
            ("2001:db8:1:1::1", true),
            ("2001:db8:1:1::2", true),
            ("2001:db8:1:1:ffff::3", false),
            ("2001:db8:1:2::1", true),
            ("2001:db8:1:3::1", false),
            ("2001:db8:2:1::1", true),
        ] {
            assert_eq!(taken.take(at(address)).is_ok(), fits, "{address}");
        }
        taken.give_back(at("192.0.2.1"));
        assert!(taken.take(at("192.0.2.3")).is_ok());
        for address in [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.3.3",
            "2001:db8:1:1::1",
            "2001:db8:1:1::2",
            "2001:db8:1:2::1",
            "2001:db8:2:1::1",
        ] {
            taken.give_back(at(address));
        }
        assert!(taken.taken.is_empty());
    }
}
