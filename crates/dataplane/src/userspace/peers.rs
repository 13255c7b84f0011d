//! Whom the packets of a tunnel may come from and go to, and what of it is this host itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::sys::socket::SockaddrStorage;

use crate::Addresses;
use crate::named::named;

/// The correspondents of a tunnel.
#[derive(Debug)]
pub(super) struct Peers {
    /// Disjoint and in order.
    ranges: Box<[Range]>,
    /// Those that may be this host itself.
    named: BTreeSet<IpAddr>,
}

/// First and last address. No address of one family lies between two of the other.
type Range = (IpAddr, IpAddr);

impl Peers {
    /// Those in these prefixes, where this host's tunnels end at these addresses.
    pub(super) fn new(prefixes: &[IpNet], local: &Addresses) -> Self {
        Self {
            ranges: merged(prefixes),
            named: named(prefixes, local.iter()),
        }
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, peer: IpAddr) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= peer);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| peer <= *last)
    }

    /// Whether this one is, where it is an address of this host itself.
    pub(super) fn name(&self, own: IpAddr) -> bool {
        self.named.contains(&own)
    }
}

/// The addresses at which this host receives packets, as of one moment: its own, and those of its
/// networks that are for everybody or for any router.
#[derive(Debug)]
pub(super) struct Own(BTreeSet<IpAddr>);

impl Own {
    /// Those that are known beforehand.
    pub(super) fn new(addresses: &Addresses) -> Self {
        Self(addresses.iter().collect())
    }

    /// Asks for those of the calling thread's network namespace; while the kernel does not tell, it is
    /// as it was.
    pub(super) fn refresh(&mut self, addresses: &Addresses) {
        let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
            return;
        };
        let found = interfaces.flat_map(|interface| {
            let [address, mask, broadcast] =
                [interface.address, interface.netmask, interface.broadcast]
                    .map(|address| address.and_then(ip));
            let network = address
                .zip(mask)
                .and_then(|(address, mask)| IpNet::with_netmask(address, mask).ok());
            [address, broadcast]
                .into_iter()
                .flatten()
                .chain(network.into_iter().flat_map(everybody))
        });
        self.0 = found.chain(addresses.iter()).collect();
    }

    /// Whether it is among them.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// The addresses of a network that its routers answer to without being told: in IPv4 its first and last,
/// for broadcasts; in IPv6 the first, for any router (RFC 4291, section 2.6.1). Networks of two have none.
fn everybody(network: IpNet) -> impl Iterator<Item = IpAddr> {
    let has_some = network.max_prefix_len() - network.prefix_len() >= 2;
    let last = network.addr().is_ipv4().then(|| network.broadcast());
    [Some(network.network()), last]
        .into_iter()
        .flatten()
        .filter(move |_| has_some)
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let ipv4 = address.as_sockaddr_in().map(|address| address.ip().into());
    ipv4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

fn merged(prefixes: &[IpNet]) -> Box<[Range]> {
    let mut ranges: Vec<Range> = prefixes
        .iter()
        .map(|prefix| (prefix.network(), prefix.broadcast()))
        .collect();
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
    ranges.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correspondents_are_matched_by_prefix() {
        let prefixes = [
            "198.51.100.0/24",
            "198.51.100.7/32",
            "203.0.113.9/32",
            "2001:db8::/32",
            "10.0.0.0/8",
        ];
        let local = Addresses::from(std::net::Ipv4Addr::new(198, 51, 100, 1));
        let peers = Peers::new(&prefixes.map(|prefix| prefix.parse().unwrap()), &local);
        for (peer, expected, named) in [
            ("198.51.100.0", true, false),
            ("198.51.100.1", true, true),
            ("198.51.100.7", true, true),
            ("198.51.100.255", true, false),
            ("198.51.101.0", false, false),
            ("198.51.99.255", false, false),
            ("203.0.113.9", true, true),
            ("203.0.113.10", false, false),
            ("9.255.255.255", false, false),
            ("10.255.255.255", true, false),
            ("255.255.255.255", false, false),
            ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
            ("2001:db8::", true, false),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true, false),
            ("2001:db9::", false, false),
            ("::", false, false),
            ("::c633:6407", false, false),
            ("::ffff:198.51.100.7", false, false),
        ] {
            let address = peer.parse().unwrap();
            assert_eq!(peers.has(address), expected, "{peer}");
            assert_eq!(peers.name(address), named, "{peer}");
        }
    }

    #[test]
    fn a_network_has_addresses_for_everybody_unless_it_is_for_two() {
        for (network, expected) in [
            ("198.51.100.7/24", vec!["198.51.100.0", "198.51.100.255"]),
            ("198.51.100.6/31", vec![]),
            ("198.51.100.6/32", vec![]),
            ("2001:db8:c::7/64", vec!["2001:db8:c::"]),
            ("2001:db8:c::6/127", vec![]),
        ] {
            let found: Vec<_> = everybody(network.parse().unwrap())
                .map(|address| address.to_string())
                .collect();
            assert_eq!(found, expected, "{network}");
        }
    }

    #[test]
    fn our_own_addresses_are_found_beside_those_that_are_known() {
        let known = Addresses::from(std::net::Ipv4Addr::new(192, 0, 2, 1));
        let mut own = Own::new(&known);
        own.refresh(&known);
        for (address, expected) in [
            ("127.0.0.1", true),
            ("192.0.2.1", true),
            ("192.0.2.77", false),
        ] {
            assert_eq!(own.has(address.parse().unwrap()), expected, "{address}");
        }
    }
}
