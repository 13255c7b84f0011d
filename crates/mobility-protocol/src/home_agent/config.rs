//! What a home agent is configured with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::pool::{LONGEST_HOLD_DOWN, Pool, PoolConfig, PoolError};
use crate::security::{FIRST_SPI, OPEN_MODE_SPI, SecurityAssociation};
use crate::{HomeAgentAddress, Identity, Lifetime};

/// The longest lifetime the IPv4 signalling can grant; one second more would mean "for ever".
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(65_534);

/// What a home agent is configured with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address mobile nodes register with and tunnels end at.
    pub address: HomeAgentAddress,
    /// The prefixes home addresses are lent from.
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
    /// The mobile nodes that share a key with this home agent.
    pub mobile_nodes: Vec<MobileNodeConfig>,
    /// Whom this home agent serves: the only inner peers of every tunnel.
    pub correspondents: Arc<[IpNet]>,
    /// How far the Identification of a request may be from our clock (RFC 5944, section 5.7.1:
    /// 7 seconds by default, more than 3).
    pub replay_window: Duration,
}

/// Who gets a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Anybody. Who has no key of their own uses [`SecurityAssociation::open_mode`].
    Open,
    /// Only the configured mobile nodes.
    Authenticated,
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
}

/// Why a home agent can't be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address is not one mobile nodes could register with.
    #[error("{0} is not an IPv4 unicast address a home agent could have")]
    Address(HomeAgentAddress),
    /// The signalling of that family is not spoken here.
    #[error("{0} is not an IPv4 prefix; home addresses are lent from IPv4 prefixes only")]
    Family(IpNet),
    /// The prefixes make no pool.
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
    /// The same identity twice.
    #[error("the mobile node {0} is configured twice")]
    DuplicateIdentity(Identity),
    /// The same fixed home address twice.
    #[error("the home address {0} is given to two mobile nodes")]
    DuplicateAddress(IpAddr),
    /// An index the protocol or the open mode has taken.
    #[error(
        "the mobile node {identity} can't have the SPI {spi}: 0 to 255 and {OPEN_MODE_SPI} are reserved"
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
    pub(super) association: Arc<SecurityAssociation>,
    pub(super) address: Option<IpAddr>,
}

/// The configuration in the form the machine works with.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) address: Ipv4Addr,
    pub(super) default_lifetime: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) hold_down: Duration,
    pub(super) replay_window: Duration,
    pub(super) correspondents: Arc<[IpNet]>,
    known: BTreeMap<Identity, Known>,
    open: Option<Arc<SecurityAssociation>>,
}

impl Policy {
    pub(super) fn new(config: Config, seed: [u8; 32]) -> Result<(Self, Pool), ConfigError> {
        let address = match config.address.ip() {
            IpAddr::V4(address) if is_unicast(address) => address,
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(ConfigError::Address(config.address)),
        };
        if let Some(prefix) = config.pools.iter().find(|prefix| prefix.addr().is_ipv6()) {
            return Err(ConfigError::Family(*prefix));
        }
        for lifetime in [config.default_lifetime, config.max_lifetime] {
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
        let pool = Pool::new(
            PoolConfig {
                prefixes: config.pools,
                exclude: [config.exclude, vec![IpNet::from(IpAddr::V4(address))]].concat(),
                fixed,
                hold_down: config.hold_down,
            },
            seed,
        )?;
        let policy = Self {
            address,
            default_lifetime: whole_seconds(config.default_lifetime),
            max_lifetime: whole_seconds(config.max_lifetime),
            hold_down: config.hold_down,
            replay_window: config.replay_window,
            correspondents: config.correspondents,
            known,
            open: match config.mode {
                Mode::Open => Some(Arc::new(SecurityAssociation::open_mode())),
                Mode::Authenticated => None,
            },
        };
        Ok((policy, pool))
    }

    /// The association with which this identity authenticates under this index. A configured
    /// identity has its own and no other: with the open one, anybody could take it on.
    pub(super) fn association(
        &self,
        identity: &Identity,
        spi: u32,
    ) -> Option<&Arc<SecurityAssociation>> {
        let association = match self.known.get(identity) {
            Some(known) => &known.association,
            None => self.open.as_ref()?,
        };
        (association.spi == spi).then_some(association)
    }

    /// The home address that is always and only this identity's.
    pub(super) fn fixed_address(&self, identity: &Identity) -> Option<IpAddr> {
        self.known.get(identity)?.address
    }

    /// How long a binding is granted for to who asks for so long.
    pub(super) fn lifetime(&self, asked: Lifetime) -> Duration {
        match asked {
            Lifetime::Finite(asked) => asked.min(self.max_lifetime),
            Lifetime::Infinite => self.default_lifetime,
            Lifetime::Zero => Duration::ZERO,
        }
    }

    /// How long the last Identification of a mobile node without a binding is remembered: until
    /// everything it sent before is outside the window, however its clock was off.
    pub(super) fn replay_memory(&self) -> Duration {
        2 * self.replay_window
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

type KnownNodes = (BTreeMap<Identity, Known>, BTreeSet<IpAddr>);

fn known(mobile_nodes: Vec<MobileNodeConfig>) -> Result<KnownNodes, ConfigError> {
    let (mut known, mut fixed) = KnownNodes::default();
    for MobileNodeConfig {
        identity,
        address,
        association,
    } in mobile_nodes
    {
        let spi = association.spi;
        if spi < FIRST_SPI || spi == OPEN_MODE_SPI {
            return Err(ConfigError::Spi { identity, spi });
        }
        if let Some(address) = address
            && !fixed.insert(address)
        {
            return Err(ConfigError::DuplicateAddress(address));
        }
        let node = Known {
            association: Arc::new(association),
            address,
        };
        if known.insert(identity.clone(), node).is_some() {
            return Err(ConfigError::DuplicateIdentity(identity));
        }
    }
    Ok((known, fixed))
}
