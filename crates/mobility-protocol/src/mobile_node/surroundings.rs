//! What the host has and sees around it. What a home agent says must not get in the way of that.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::signalling;

/// The host's own addresses and its neighbourhood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The addresses the host has on its own account.
    pub addresses: BTreeSet<IpAddr>,
    /// The prefixes of the networks its interfaces are in.
    pub networks: BTreeSet<IpNet>,
    /// Whom it depends on: its default routers and name servers.
    pub neighbours: BTreeSet<IpAddr>,
}

impl Surroundings {
    /// Whether a home address would take the place of somebody around here. One that is lent would
    /// lead packets for a machine of the local network, or for the host's router, to ourselves.
    pub(super) fn hold(&self, address: IpAddr) -> bool {
        self.neighbours.contains(&address)
            || self
                .networks
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Whether another host can be reached at this address.
    pub(super) fn lead_to(&self, address: IpAddr) -> bool {
        signalling::is_supported(address)
            && !self.addresses.contains(&address)
            && !self
                .networks
                .iter()
                .any(|network| is_everybody(network, address))
    }
}

/// Whether this is the address of all hosts of the network, or of none (RFC 1122, section 3.2.1.3).
/// Networks of two addresses have neither (RFC 3021).
fn is_everybody(network: &IpNet, address: IpAddr) -> bool {
    match network {
        IpNet::V4(network) if network.prefix_len() < 31 => {
            address == network.broadcast() || address == network.network()
        }
        IpNet::V4(_) | IpNet::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broadcast_address_of_a_network_here_is_no_host() {
        let surroundings = Surroundings {
            networks: ["192.0.2.0/25", "198.51.100.0/31", "2001:db8::/64"]
                .into_iter()
                .filter_map(|network| network.parse().ok())
                .collect(),
            ..Surroundings::default()
        };
        let leads = |address: &str| surroundings.lead_to(address.parse().unwrap());
        for nobody in ["192.0.2.127", "192.0.2.0"] {
            assert!(!leads(nobody), "{nobody}");
        }
        for host in ["192.0.2.126", "192.0.2.255", "198.51.100.1", "2001:db8::1"] {
            assert!(leads(host), "{host}");
        }
    }
}
