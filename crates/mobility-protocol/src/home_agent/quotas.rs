//! How many home addresses strangers have at a time, by where they are.
//!
//! Who need not be known can have as many names and keys as he likes, but only so many care-of
//! addresses. An address that rests after use counts, so a quota is a rate, too.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::message::Reason;
use crate::CareOfAddress;

/// How many home addresses mobile nodes may have, lent or resting, that agreed on their keys. Those
/// with configured keys have no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// In all that one host may have: an IPv4 address, an IPv6 prefix of length 64.
    pub host: u32,
    /// In all that one site may have: an IPv4 prefix of length 24, an IPv6 prefix of length 48.
    pub site: u32,
}

impl Default for Quotas {
    /// 64 and 1024.
    fn default() -> Self {
        Self {
            host: 64,
            site: 1024,
        }
    }
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
    pub(super) fn take(&mut self, care_of: CareOfAddress) -> Result<(), Reason> {
        let [host, site] = prefixes(care_of);
        let count = |prefix| self.taken.get(prefix).copied().unwrap_or_default();
        if count(&host) >= self.quotas.host || count(&site) >= self.quotas.site {
            return Err(Reason::Resources);
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

/// What the host and the site at an address have.
fn prefixes(care_of: CareOfAddress) -> [IpNet; 2] {
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
        let mut taken = Taken::new(Quotas { host: 2, site: 3 });
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
