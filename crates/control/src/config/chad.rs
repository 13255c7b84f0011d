//! `chad.toml`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mobility_protocol::Identity;
use mobility_protocol::home_agent::Quotas;
use mobility_protocol::security::SecurityAssociation;

use super::{BackendChoice, ConfigErrors, Configuration, Warning};

/// Where chad keeps its bindings unless configured.
pub const DEFAULT_STATE: &str = "/var/lib/chad";

/// The configuration of chad.
#[derive(Debug, Clone)]
pub struct Config {
    /// `control`: the control socket.
    pub control: PathBuf,
    /// `state`: the directory of the binding store.
    pub state: PathBuf,
    /// `[listen]`
    pub listen: Listen,
    /// `[pool]`
    pub pool: Pool,
    /// `[lifetime]`
    pub lifetime: LifetimeLimits,
    /// `[[correspondent]]`: whom this home agent serves, and nobody else. Never empty.
    pub correspondents: Vec<IpNet>,
    /// `[security]`
    pub security: Security,
    /// `[dataplane] backend`
    pub backend: BackendChoice,
    /// `[[mobile-node]]`: no identity with the same SPI twice, and with one address or none; no address
    /// of two identities.
    pub mobile_nodes: Vec<MobileNode>,
}

/// The home agent's own addresses, where signalling arrives and tunnels end. There is at least one;
/// a family without one isn't served: it has no pool and no correspondents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// A unicast address of this host.
    pub ipv4: Option<Ipv4Addr>,
    /// A unicast address of this host with global scope.
    pub ipv6: Option<Ipv6Addr>,
}

impl Listen {
    /// The addresses there are.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(IpAddr::V4);
        ipv4.into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// The one of the same family as `peer`.
    #[must_use]
    pub fn toward(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self
            .addresses()
            .map(|address| address.to_string())
            .collect();
        f.write_str(&addresses.join(" and "))
    }
}

/// The home addresses to lend: some of each family that is served.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Without overlaps, each between a /8 and a /32.
    pub ipv4: Vec<Ipv4Net>,
    /// Without overlaps, each between a /64 and a /128.
    pub ipv6: Vec<Ipv6Net>,
    /// How long an address given back rests before another mobile node may get it.
    pub hold_down: Duration,
    /// Never lent. Single addresses appear with their full prefix length.
    pub exclude: Vec<IpNet>,
    /// How packets for home addresses reach this host.
    pub reachability: Reachability,
}

impl Pool {
    /// The prefixes of both families.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        let ipv4 = self.ipv4.iter().copied().map(IpNet::V4);
        ipv4.chain(self.ipv6.iter().copied().map(IpNet::V6))
    }
}

/// How packets for home addresses reach the home agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// The site routes the pool to this host.
    Routed,
}

/// Bounds of what is granted; whole seconds, `default` not above `max`.
#[derive(Debug, Clone, Copy)]
pub struct LifetimeLimits {
    /// For requests that leave it to the home agent.
    pub default: Duration,
    /// No binding is granted longer than this at once.
    pub max: Duration,
    /// No stranger's binding is granted longer than this before its first refresh.
    pub first: Duration,
}

/// Who may register.
#[derive(Debug, Clone)]
pub struct Security {
    /// Open to everybody or to configured mobile nodes alone.
    pub mode: SecurityMode,
    /// Accept the unprotected first form too.
    pub legacy_open: bool,
    /// Where the secret that cookies and agreed keys come from is kept; made at the first start.
    pub secret_file: PathBuf,
    /// How many addresses strangers may have, and how many they get in a second, by where they are;
    /// for how long at first is [`LifetimeLimits::first`] again.
    pub quotas: Quotas,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityMode {
    /// Everybody who reaches this host.
    Open,
    /// The configured mobile nodes.
    Authenticated,
}

impl SecurityMode {
    /// The word of the configuration and of `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Authenticated => "authenticated",
        }
    }
}

/// A mobile node with a security association (RFC 5944, section 1.6).
#[derive(Debug, Clone)]
pub struct MobileNode {
    /// By which its association is found.
    pub identity: Identity,
    /// Lent to it and to nobody else; inside the pool.
    pub address: Option<IpAddr>,
    /// Shared with it alone.
    pub association: SecurityAssociation,
    /// Whether it shows that it is where it moves to, which other implementations can't.
    pub proves_moves: bool,
}

impl Configuration for Config {
    const DEFAULT_PATH: &str = "/etc/chad/chad.toml";
    const DEFAULT_CONTROL: &str = "/run/chad/control.sock";

    fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        super::load(path, parse::parse)
    }

    fn summary(&self) -> String {
        self.describe()
    }
}

mod checks;
mod families;
mod parse;
mod summary;
