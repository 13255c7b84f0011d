//! What a home agent is configured with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::per_family::PerFamily;
use super::pools::Pools;
use super::quotas::Quotas;
use crate::binding::is_host_address;
use crate::pool::{LONGEST_HOLD_DOWN, Pool, PoolConfig, PoolError};
use crate::security::{
    FIRST_AGREED_SPI, FIRST_SPI, HomeAgentSecret, OPEN_MODE_SPI, PublicKey, SecurityAssociation,
};
use crate::{Family, HomeAddress, HomeAgentAddress, Identity, Lifetime};

/// The longest lifetime granted: what the signalling of both families can say. One second more
/// would mean "for ever" in IPv4.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(65_534);

/// How long a deleted binding is remembered for its sequence number (RFC 6275, section 12).
const MAX_DELETE_BCE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a home agent is configured with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The IPv4 address mobile nodes register with and tunnels end at.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address mobile nodes register with and tunnels end at.
    pub ipv6: Option<Ipv6Addr>,
    /// The prefixes home addresses are lent from: at least one for each family there is an address
    /// of, and none of another.
    pub pools: Vec<IpNet>,
    /// Parts of the pools that are not lent.
    pub exclude: Vec<IpNet>,
    /// How long a home address rests after its binding has ended.
    pub hold_down: Duration,
    /// The lifetime granted to who asks for an unlimited one. Whole seconds, 1 to 65,534.
    pub default_lifetime: Duration,
    /// The longest lifetime granted to who asks for a finite one. Whole seconds, 1 to 65,534.
    pub max_lifetime: Duration,
    /// Who gets a binding.
    pub mode: Mode,
    /// How much strangers may have.
    pub quotas: Quotas,
    /// The mobile nodes that share a key with this home agent. One that has several keys, so that
    /// they can be changed one side after the other, is there once for each: with the same address.
    pub mobile_nodes: Vec<MobileNodeConfig>,
    /// Whom this home agent serves: the only inner peers of every tunnel.
    pub correspondents: Arc<[IpNet]>,
    /// How far the timestamp of a request may be from our clock (RFC 5944, section 5.7.1, and
    /// RFC 4285, section 6: 7 seconds by default, more than 3).
    pub replay_window: Duration,
}

/// Who gets a binding.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Anybody. Who is not configured agrees on a key for the binding.
    Open {
        /// What keys are agreed with, and strangers recognised by.
        secret: HomeAgentSecret,
        /// Whether [`SecurityAssociation::open_mode`] is a way, too: it protects from nobody.
        legacy: bool,
    },
    /// Only the configured mobile nodes.
    Authenticated {
        /// What they are recognised by where they moved to.
        secret: HomeAgentSecret,
    },
}

/// A mobile node that shares a key with the home agent.
#[derive(Debug, Clone)]
pub struct MobileNodeConfig {
    /// How it names itself.
    pub identity: Identity,
    /// The home address that is always and only its own.
    pub address: Option<IpAddr>,
    /// What it authenticates with.
    pub association: SecurityAssociation,
    /// Whether it has to show that it is where it moves to. Other implementations can't; their
    /// moves are taken on their word if this is false.
    pub proves_moves: bool,
}

/// Why a home agent can't be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address is not one mobile nodes could register with.
    #[error("{0} is not a unicast address a home agent could have")]
    Address(HomeAgentAddress),
    /// There is nothing to register with.
    #[error("the home agent has no address")]
    NoAddress,
    /// Home addresses nobody could be lent.
    #[error(
        "home addresses are to be lent from {0}, but the home agent has no address of that family"
    )]
    Family(IpNet),
    /// The prefixes make no pool, or a family has none.
    #[error("pool: {0}")]
    Pool(#[from] PoolError),
    /// A lifetime that can't be granted.
    #[error("the lifetime {0:?} is not between 1 and 65534 seconds")]
    Lifetime(Duration),
    /// Addresses that would never be lent again.
    #[error("a hold-down of {0:?} is more than a year")]
    HoldDown(Duration),
    /// A window no clock could be kept within.
    #[error("a replay window of {0:?} is not between 1 second and an hour")]
    ReplayWindow(Duration),
    /// The same identity twice with the same index.
    #[error("the mobile node {identity} has two keys with the SPI {spi}")]
    DuplicateSpi {
        /// Whose.
        identity: Identity,
        /// Which.
        spi: u32,
    },
    /// The same identity twice with different fixed home addresses, or with one and without.
    #[error("the mobile node {0} is configured twice, and not with the same home address")]
    TwoAddresses(Identity),
    /// The same fixed home address twice.
    #[error("the home address {0} is given to two mobile nodes")]
    DuplicateAddress(IpAddr),
    /// An index the protocol or the open mode has taken.
    #[error(
        "the mobile node {identity} can't have the SPI {spi}: 0 to 255, {OPEN_MODE_SPI} and those from {FIRST_AGREED_SPI} on are reserved"
    )]
    Spi {
        /// Whose.
        identity: Identity,
        /// Which.
        spi: u32,
    },
}

/// A configured mobile node, as it is looked up.
#[derive(Debug)]
pub(super) struct Known {
    /// By their index.
    associations: BTreeMap<u32, Arc<SecurityAssociation>>,
    address: Option<IpAddr>,
    proves_moves: bool,
}

/// The configuration in the form the machine works with.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) default_lifetime: Duration,
    pub(super) max_lifetime: Duration,
    /// The longest for a stranger's binding that was never refreshed, and what it is lengthened to while
    /// its mobile node has not shown where it is.
    pub(super) first_lifetime: Duration,
    pub(super) hold_down: Duration,
    pub(super) replay_window: Duration,
    pub(super) correspondents: PerFamily<Arc<[IpNet]>>,
    known: BTreeMap<Identity, Known>,
    pub(super) secret: HomeAgentSecret,
    /// Whether strangers agree on keys.
    open: bool,
    legacy: Option<Arc<SecurityAssociation>>,
}

impl Policy {
    pub(super) fn new(config: Config, seed: [u8; 32]) -> Result<(Self, Pools), ConfigError> {
        let impossible = [
            config
                .ipv4
                .filter(|address| !is_unicast(*address))
                .map(HomeAgentAddress::from),
            config
                .ipv6
                .filter(|address| !is_host_address(*address))
                .map(HomeAgentAddress::from),
        ];
        if let Some(address) = impossible.into_iter().flatten().next() {
            return Err(ConfigError::Address(address));
        }
        let first_lifetime = config.quotas.first_lifetime;
        for lifetime in [config.default_lifetime, config.max_lifetime, first_lifetime] {
            if lifetime < Duration::from_secs(1) || lifetime > LONGEST_LIFETIME {
                return Err(ConfigError::Lifetime(lifetime));
            }
        }
        if config.hold_down > LONGEST_HOLD_DOWN {
            return Err(ConfigError::HoldDown(config.hold_down));
        }
        if config.replay_window < Duration::from_secs(1)
            || config.replay_window > Duration::from_secs(3600)
        {
            return Err(ConfigError::ReplayWindow(config.replay_window));
        }
        let (known, fixed) = known(config.mobile_nodes)?;
        let (ipv4, ipv6) = (config.ipv4.map(IpAddr::V4), config.ipv6.map(IpAddr::V6));
        let pools = pools(
            [ipv4, ipv6].into_iter().flatten().collect(),
            config.pools,
            config.exclude,
            &fixed,
            config.hold_down,
            seed,
        )?;
        let (secret, open, legacy) = match config.mode {
            Mode::Open { secret, legacy } => (secret, true, legacy),
            Mode::Authenticated { secret } => (secret, false, false),
        };
        let policy = Self {
            ipv4: config.ipv4,
            ipv6: config.ipv6,
            default_lifetime: whole_seconds(config.default_lifetime),
            max_lifetime: whole_seconds(config.max_lifetime),
            first_lifetime: whole_seconds(first_lifetime),
            hold_down: config.hold_down,
            replay_window: config.replay_window,
            correspondents: PerFamily {
                ipv4: of_family(&config.correspondents, Family::Ipv4),
                ipv6: of_family(&config.correspondents, Family::Ipv6),
            },
            known,
            secret,
            open,
            legacy: legacy.then(|| Arc::new(SecurityAssociation::open_mode())),
        };
        Ok((policy, pools))
    }

    /// The address mobile nodes register with over this family.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4.map(IpAddr::V4),
            Family::Ipv6 => self.ipv6.map(IpAddr::V6),
        }
    }

    /// The association with which this identity authenticates under this index. A configured
    /// identity has its own and no others: with the open one, anybody could take it on.
    pub(super) fn association(
        &self,
        identity: &Identity,
        spi: u32,
    ) -> Option<&Arc<SecurityAssociation>> {
        match self.known.get(identity) {
            Some(known) => known.associations.get(&spi),
            None => self
                .legacy
                .as_ref()
                .filter(|association| association.spi == spi),
        }
    }

    /// What this identity may agree on a key with. A configured one has its key.
    pub(super) fn agreement(&self, identity: &Identity) -> Option<&HomeAgentSecret> {
        (self.open && !self.is_configured(identity)).then_some(&self.secret)
    }

    /// Whether this identity has a key by the configuration.
    pub(super) fn is_configured(&self, identity: &Identity) -> bool {
        self.known.contains_key(identity)
    }

    pub(super) fn public_key(&self) -> Option<PublicKey> {
        self.open.then(|| self.secret.public())
    }

    /// Whether this identity has to show that it is where it moves to.
    pub(super) fn proves_moves(&self, identity: &Identity) -> bool {
        self.known
            .get(identity)
            .is_none_or(|known| known.proves_moves)
    }

    /// The home address of this family that is always and only this identity's.
    pub(super) fn fixed_address(&self, identity: &Identity, family: Family) -> Option<HomeAddress> {
        let address = self.known.get(identity)?.address.map(HomeAddress)?;
        (address.family() == family).then_some(address)
    }

    /// How long a binding is granted for to who asks for so long.
    pub(super) fn lifetime(&self, asked: Lifetime) -> Duration {
        match asked {
            Lifetime::Finite(asked) => asked.min(self.max_lifetime),
            Lifetime::Infinite => self.default_lifetime,
            Lifetime::Zero => Duration::ZERO,
        }
    }

    /// How long the last stamp of a mobile node without a binding is remembered: until everything
    /// it sent before is outside the window, however its clock was off, and where only a sequence
    /// number tells, no longer under way.
    pub(super) fn replay_memory(&self, family: Family) -> Duration {
        let window = 2 * self.replay_window;
        match family {
            Family::Ipv4 => window,
            Family::Ipv6 => window.max(MAX_DELETE_BCE_TIMEOUT),
        }
    }
}

/// Whether a host could have this address as seen from elsewhere.
pub(super) fn is_unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0.0.0.0/8 is "this network"; 240.0.0.0/4 is reserved and ends in the limited broadcast.
    first != 0 && first < 240 && !address.is_multicast() && !address.is_loopback()
}

const fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

fn of_family(nets: &[IpNet], family: Family) -> Arc<[IpNet]> {
    nets.iter()
        .filter(|net| Family::of(net.addr()) == family)
        .copied()
        .collect()
}

/// A pool for each family of these addresses of ours, which are not lent.
fn pools(
    addresses: Vec<IpAddr>,
    prefixes: Vec<IpNet>,
    exclude: Vec<IpNet>,
    fixed: &BTreeSet<IpAddr>,
    hold_down: Duration,
    seed: [u8; 32],
) -> Result<Pools, ConfigError> {
    if addresses.is_empty() {
        return Err(ConfigError::NoAddress);
    }
    let served = |address: IpAddr| {
        addresses
            .iter()
            .any(|own| Family::of(*own) == Family::of(address))
    };
    if let Some(prefix) = prefixes.iter().find(|prefix| !served(prefix.addr())) {
        return Err(ConfigError::Family(*prefix));
    }
    if let Some(address) = fixed.iter().find(|address| !served(**address)) {
        return Err(PoolError::FixedOutside(*address).into());
    }
    let own = addresses.iter().copied().map(IpNet::from);
    let exclude: Vec<IpNet> = exclude.into_iter().chain(own).collect();
    let mut pools = PerFamily::default();
    for family in addresses.iter().map(|address| Family::of(*address)) {
        let mut seed = seed;
        // What the addresses of one family tell must say nothing about those of the other.
        if let (Family::Ipv6, [first, ..]) = (family, &mut seed) {
            *first ^= 1;
        }
        let config = PoolConfig {
            prefixes: of_family(&prefixes, family).to_vec(),
            exclude: exclude.clone(),
            fixed: fixed
                .iter()
                .filter(|address| Family::of(**address) == family)
                .copied()
                .collect(),
            hold_down,
        };
        *pools.of_mut(family) = Some(Pool::new(config, seed)?);
    }
    Ok(Pools(pools))
}

type KnownNodes = (BTreeMap<Identity, Known>, BTreeSet<IpAddr>);

fn known(mobile_nodes: Vec<MobileNodeConfig>) -> Result<KnownNodes, ConfigError> {
    let (mut known, mut fixed) = KnownNodes::default();
    for MobileNodeConfig {
        identity,
        address,
        association,
        proves_moves,
    } in mobile_nodes
    {
        let spi = association.spi;
        if spi < FIRST_SPI || spi == OPEN_MODE_SPI || spi >= FIRST_AGREED_SPI {
            return Err(ConfigError::Spi { identity, spi });
        }
        let is_new = !known.contains_key(&identity);
        let node = known.entry(identity.clone()).or_insert_with(|| Known {
            associations: BTreeMap::new(),
            address,
            proves_moves: true,
        });
        node.proves_moves &= proves_moves;
        if node.address != address {
            return Err(ConfigError::TwoAddresses(identity));
        }
        if node
            .associations
            .insert(spi, Arc::new(association))
            .is_some()
        {
            return Err(ConfigError::DuplicateSpi { identity, spi });
        }
        if let Some(address) = address
            && is_new
            && !fixed.insert(address)
        {
            return Err(ConfigError::DuplicateAddress(address));
        }
    }
    Ok((known, fixed))
}
