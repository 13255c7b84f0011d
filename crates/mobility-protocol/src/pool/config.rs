//! What a pool consists of, and what it can't consist of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::space::reserved;
use crate::Family;

/// What a pool consists of.
#[derive(Debug, Clone, Default)]
pub struct PoolConfig {
    /// The prefixes, all of one family, none overlapping another. The addresses no host may have
    /// (network, broadcast, Subnet-Router anycast) are left out by the pool itself.
    pub prefixes: Vec<IpNet>,
    /// Addresses never to lend: ranges the operator keeps back, the home agent's own address.
    pub exclude: Vec<IpNet>,
    /// Addresses that [`Pool::allocate`](super::Pool::allocate) never gives and only
    /// [`Pool::claim`](super::Pool::claim) takes, because they
    /// are set aside for somebody. They may be in an excluded range.
    pub fixed: BTreeSet<IpAddr>,
    /// How long a returned address rests before somebody else may have it, so that packets of its
    /// last user's peers don't reach the next.
    pub hold_down: Duration,
}

/// Why a pool can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// There is nothing to lend.
    #[error("the pool has no prefix")]
    NoPrefix,
    /// Prefixes of both families in one pool.
    #[error("the pool mixes address families: {0} and {1}")]
    MixedFamilies(IpNet, IpNet),
    /// More addresses than a pool manages.
    #[error("the prefix {0} is too large: at most a /8 of IPv4 or a /64 of IPv6")]
    TooLarge(IpNet),
    /// An address would be in the pool twice.
    #[error("the prefixes {0} and {1} overlap")]
    Overlap(IpNet, IpNet),
    /// A fixed address outside every prefix.
    #[error("the fixed address {0} is in none of the pool's prefixes")]
    FixedOutside(IpAddr),
    /// A fixed address that no host may have.
    #[error("the fixed address {0} is a network, broadcast or anycast address")]
    FixedReserved(IpAddr),
}

pub(super) fn check_prefixes(prefixes: &[IpNet]) -> Result<(), PoolError> {
    let mut seen: Vec<IpNet> = Vec::new();
    for prefix in prefixes {
        let largest = match prefix {
            IpNet::V4(_) => 8,
            IpNet::V6(_) => 64,
        };
        if prefix.prefix_len() < largest {
            return Err(PoolError::TooLarge(*prefix));
        }
        for other in &seen {
            if Family::of(other.addr()) != Family::of(prefix.addr()) {
                return Err(PoolError::MixedFamilies(*other, *prefix));
            }
            if other.contains(prefix) || prefix.contains(other) {
                return Err(PoolError::Overlap(*other, *prefix));
            }
        }
        seen.push(*prefix);
    }
    Ok(())
}

pub(super) fn check_fixed(prefixes: &[IpNet], fixed: &BTreeSet<IpAddr>) -> Result<(), PoolError> {
    for address in fixed {
        let prefix = prefixes.iter().find(|prefix| prefix.contains(address));
        match prefix {
            None => return Err(PoolError::FixedOutside(*address)),
            Some(prefix) if reserved(prefix).contains(address) => {
                return Err(PoolError::FixedReserved(*address));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
