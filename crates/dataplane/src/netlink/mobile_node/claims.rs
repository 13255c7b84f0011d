//! Which home address reaches which correspondents.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use mobility_protocol::{Family, HomeAddress, Tunnel};

use crate::Error;
use crate::netlink::messages::LOOPBACK_INDEX;

/// What a tunnel needs of the kernel's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) address: IpAddr,
    /// The index of the device its packets go by.
    pub(super) device: u32,
    /// Of its family.
    pub(super) correspondents: BTreeSet<IpNet>,
    /// Those of them that no new socket is led to.
    pub(super) withdrawn: BTreeSet<IpNet>,
}

impl Claim {
    /// Where the home address stands. The kernel sends nothing from an IPv4 address that it does not
    /// have, so that has to outlive the tunnel's device; an IPv6 address goes with it.
    pub(super) fn interface(&self) -> u32 {
        match self.address {
            IpAddr::V4(_) => LOOPBACK_INDEX,
            IpAddr::V6(_) => self.device,
        }
    }
}

/// The claims that stand; no two have a correspondent in common.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<HomeAddress, Claim>);

impl Claims {
    /// What a tunnel by this device claims, if nobody else has it.
    pub(super) fn check(&self, tunnel: &Tunnel, device: u32) -> Result<Claim, Error> {
        let mut correspondents = BTreeSet::new();
        for &correspondent in tunnel.correspondents.iter() {
            if Family::of(correspondent.addr()) != tunnel.home_address.family() {
                return Err(Error::OtherFamily {
                    home_address: tunnel.home_address,
                    correspondent,
                });
            }
            correspondents.insert(correspondent.trunc());
        }
        for (&holder, claim) in &self.0 {
            if holder == tunnel.home_address {
                continue;
            }
            for &held in &claim.correspondents {
                if let Some(&wanted) = correspondents
                    .iter()
                    .find(|wanted| wanted.contains(&held) || held.contains(*wanted))
                {
                    return Err(Error::CorrespondentTaken {
                        correspondent: wanted,
                        holder,
                        refused: tunnel.home_address,
                    });
                }
            }
        }
        Ok(Claim {
            address: tunnel.home_address.ip(),
            device,
            correspondents,
            withdrawn: tunnel.withdrawn.iter().map(IpNet::trunc).collect(),
        })
    }

    pub(super) fn get(&self, home_address: HomeAddress) -> Option<&Claim> {
        self.0.get(&home_address)
    }

    pub(super) fn insert(&mut self, home_address: HomeAddress, claim: Claim) {
        self.0.insert(home_address, claim);
    }

    pub(super) fn remove(&mut self, home_address: HomeAddress) -> Option<Claim> {
        self.0.remove(&home_address)
    }

    /// All go by this device from now on.
    pub(super) fn lead_to(&mut self, device: u32) {
        for claim in self.0.values_mut() {
            claim.device = device;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.0.values()
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = Claim> {
        self.0.into_values()
    }

    /// Whether a home address should stand there.
    pub(super) fn holds(&self, address: IpAddr, interface: u32) -> bool {
        self.0
            .values()
            .any(|claim| claim.address == address && claim.interface() == interface)
    }
}

#[cfg(test)]
mod tests {
    use mobility_protocol::{Encapsulation, Reachability, TunnelEndpoints};

    use super::*;

    fn tunnel(home_address: &str, correspondents: &[&str]) -> Tunnel {
        Tunnel {
            home_address: HomeAddress(home_address.parse().unwrap()),
            endpoints: TunnelEndpoints {
                local: [192, 0, 2, 1].into(),
                remote: [192, 0, 2, 2].into(),
                interface: None,
            },
            former_remote: None,
            reachability: Reachability::Proven,
            encapsulation: Encapsulation::IpInIp,
            withdrawn: [].into(),
            correspondents: correspondents
                .iter()
                .map(|net| net.parse().unwrap())
                .collect(),
        }
    }

    #[test]
    fn the_first_claim_keeps_a_correspondent() {
        let mut claims = Claims::default();
        let first = tunnel("10.0.0.1", &["198.51.100.7/32"]);
        let claim = claims.check(&first, 7).unwrap();
        claims.insert(first.home_address, claim.clone());
        assert_eq!(
            claims.check(&first, 7).unwrap(),
            claim,
            "its own claim does not stand in its way"
        );
        for wanted in ["198.51.100.7/32", "198.51.100.0/24"] {
            let refused = claims.check(&tunnel("10.0.0.2", &["203.0.113.1/32", wanted]), 7);
            assert!(
                matches!(refused, Err(Error::CorrespondentTaken { .. })),
                "{wanted}"
            );
        }
        claims
            .check(&tunnel("10.0.0.2", &["198.51.100.8/32"]), 7)
            .unwrap();
        claims.remove(first.home_address);
        claims
            .check(&tunnel("10.0.0.2", &["198.51.100.7/32"]), 7)
            .unwrap();
    }

    #[test]
    fn a_claim_is_of_one_family() {
        let claims = Claims::default();
        claims
            .check(&tunnel("2001:db8::1", &["2001:db8:c::/64"]), 7)
            .unwrap();
        for mixed in [
            tunnel("10.0.0.1", &["2001:db8::/64"]),
            tunnel("2001:db8::1", &["198.51.100.7/32"]),
        ] {
            assert!(matches!(
                claims.check(&mixed, 7),
                Err(Error::OtherFamily { .. })
            ));
        }
    }
}
