//! Which of its own addresses a home agent's host answers at to what comes out of a tunnel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// The addresses of this host that a correspondent may be: those that are correspondents by themselves
/// (`/32`, `/128`), and those that the home agent listens at where they lie in a correspondent prefix,
/// since a server beside it may have the same address. Whatever else is this host itself is none,
/// also within such a prefix.
pub(crate) fn named(
    correspondents: &[IpNet],
    listening: impl IntoIterator<Item = IpAddr>,
) -> BTreeSet<IpAddr> {
    let hosts = correspondents
        .iter()
        .filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len())
        .map(IpNet::addr);
    let listening = listening
        .into_iter()
        .filter(|address| correspondents.iter().any(|prefix| prefix.contains(address)));
    hosts.chain(listening).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_by_itself_or_listened_at_within_a_prefix() {
        let prefixes = ["198.51.100.0/24", "203.0.113.9/32", "2001:db8:c::/48"];
        let prefixes = prefixes.map(|prefix| prefix.parse().unwrap());
        for (listening, expected) in [
            (vec![], vec!["203.0.113.9"]),
            (vec!["198.51.100.1"], vec!["198.51.100.1", "203.0.113.9"]),
            (
                vec!["192.0.2.1", "2001:db8:c::1"],
                vec!["203.0.113.9", "2001:db8:c::1"],
            ),
        ] {
            let listening = listening.into_iter().map(|text| text.parse().unwrap());
            let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            let found: Vec<IpAddr> = named(&prefixes, listening).into_iter().collect();
            assert_eq!(found, expected);
        }
    }
}
