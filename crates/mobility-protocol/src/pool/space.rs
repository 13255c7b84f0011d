//! The addresses of some prefixes without the excluded ones, numbered from zero.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::PoolError;
use crate::Family;

/// Addresses with gaps taken out, so that each has a number below [`Space::size`]. Its memory is
/// that of the configuration: prefixes and gaps.
#[derive(Debug)]
pub(super) struct Space {
    family: Family,
    /// Ascending, in `first` and in `number` alike.
    ranges: Vec<Range>,
    size: u128,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    first: u128,
    length: u128,
    /// The number of the first address.
    number: u128,
}

impl Space {
    /// The addresses of `prefixes` without those of `gaps`.
    pub(super) fn new(
        prefixes: &[IpNet],
        gaps: impl IntoIterator<Item = IpNet>,
    ) -> Result<Self, PoolError> {
        let family = match prefixes {
            [] => return Err(PoolError::NoPrefix),
            [first, ..] => Family::of(first.addr()),
        };
        let mut wanted: Vec<(u128, u128)> = prefixes.iter().map(bounds).collect();
        wanted.sort_unstable();
        let mut gaps: Vec<(u128, u128)> = gaps
            .into_iter()
            .filter(|gap| Family::of(gap.addr()) == family)
            .map(|gap| bounds(&gap))
            .collect();
        gaps.sort_unstable();

        let mut space = Self {
            family,
            ranges: Vec::new(),
            size: 0,
        };
        let mut gaps = gaps.into_iter().peekable();
        'prefixes: for (mut first, last) in wanted {
            // A gap may reach over several prefixes: it is left in place until it is passed.
            while let Some(&(gap_first, gap_last)) = gaps.peek() {
                if gap_first > last {
                    break;
                }
                if gap_first > first {
                    space.push(first, gap_first - 1);
                }
                if gap_last >= last {
                    continue 'prefixes;
                }
                first = first.max(gap_last + 1);
                gaps.next();
            }
            space.push(first, last);
        }
        Ok(space)
    }

    /// How many addresses there are.
    pub(super) const fn size(&self) -> u128 {
        self.size
    }

    /// The address with this number, which must be below the size.
    pub(super) fn address(&self, number: u128) -> Option<IpAddr> {
        let after = self.ranges.partition_point(|range| range.number <= number);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        let offset = number - range.number;
        (offset < range.length).then(|| address(self.family, range.first + offset))
    }

    /// Whether this address is one of them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        if Family::of(address) != self.family {
            return false;
        }
        let value = value(address);
        let after = self.ranges.partition_point(|range| range.first <= value);
        after
            .checked_sub(1)
            .and_then(|index| self.ranges.get(index))
            .is_some_and(|range| value - range.first < range.length)
    }

    /// How many of them are in this prefix.
    pub(super) fn size_within(&self, prefix: &IpNet) -> u128 {
        let (first, last) = bounds(prefix);
        self.ranges
            .iter()
            .filter(|range| range.first >= first && range.first <= last)
            .map(|range| range.length)
            .sum()
    }

    fn push(&mut self, first: u128, last: u128) {
        let length = last - first + 1;
        self.ranges.push(Range {
            first,
            length,
            number: self.size,
        });
        self.size += length;
    }
}

/// The addresses of a prefix that no host may have: network and broadcast (RFC 919), the
/// Subnet-Router anycast address (RFC 4291, section 2.6.1). Two-address and one-address prefixes
/// have none (RFC 3021, RFC 6164).
pub(super) fn reserved(prefix: &IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            vec![net.network().into(), net.broadcast().into()]
        }
        IpNet::V6(net) if net.prefix_len() < 127 => vec![net.network().into()],
        IpNet::V4(_) | IpNet::V6(_) => Vec::new(),
    }
}

fn bounds(prefix: &IpNet) -> (u128, u128) {
    (value(prefix.network()), value(prefix.broadcast()))
}

fn address(family: Family, value: u128) -> IpAddr {
    match family {
        // What goes in came out of `value`, so the family's width holds it.
        Family::Ipv4 => Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX)).into(),
        Family::Ipv6 => Ipv6Addr::from(value).into(),
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(prefixes: &[&str], gaps: &[&str]) -> Space {
        let nets = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        Space::new(&nets(prefixes), nets(gaps)).unwrap()
    }

    fn all(space: &Space) -> Vec<String> {
        (0..space.size())
            .map(|number| space.address(number).unwrap().to_string())
            .collect()
    }

    #[test]
    fn gaps_are_stepped_over() {
        let space = space(
            &["10.0.0.0/29"],
            &["10.0.0.0/32", "10.0.0.2/31", "10.0.0.3/32"],
        );
        assert_eq!(
            all(&space),
            ["10.0.0.1", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"]
        );
        assert!(space.contains("10.0.0.4".parse().unwrap()));
        assert!(!space.contains("10.0.0.3".parse().unwrap()));
        assert!(!space.contains("10.0.0.8".parse().unwrap()));
        assert_eq!(space.address(5), None);
    }

    #[test]
    fn a_gap_may_cover_several_prefixes_and_gaps_may_nest() {
        let space = space(
            &["10.0.1.0/31", "10.0.0.0/31", "10.1.0.0/31"],
            &["10.0.0.0/16", "10.0.0.1/32", "10.1.0.1/32"],
        );
        assert_eq!(all(&space), ["10.1.0.0"]);
    }

    #[test]
    fn the_largest_prefixes_have_their_size() {
        assert_eq!(space(&["10.0.0.0/8"], &[]).size(), 1 << 24);
        assert_eq!(
            space(&["2001:db8::/64"], &["2001:db8::/128"]).size(),
            (1 << 64) - 1
        );
    }

    #[test]
    fn the_very_last_addresses_do_not_overflow() {
        assert_eq!(
            all(&space(&["255.255.255.254/31"], &["255.255.255.255/32"])),
            ["255.255.255.254"]
        );
        let top = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127";
        assert_eq!(space(&[top], &[top]).size(), 0);
        assert_eq!(space(&[top], &[]).size(), 2);
    }

    #[test]
    fn no_host_has_the_ends_of_a_prefix() {
        let of = |text: &str| reserved(&text.parse().unwrap()).len();
        assert_eq!(of("10.0.0.0/30"), 2);
        assert_eq!(of("10.0.0.0/31"), 0);
        assert_eq!(of("10.0.0.0/32"), 0);
        assert_eq!(of("2001:db8::/64"), 1);
        assert_eq!(of("2001:db8::/127"), 0);
    }
}
