//! `mn-agent.toml`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mobility_protocol::Identity;
use mobility_protocol::security::{PublicKey, SecurityAssociation};

use super::{BackendChoice, ConfigErrors, Configuration, Warning};

/// Where mn-agent keeps its identity and bindings unless configured.
pub const DEFAULT_STATE: &str = "/var/lib/mn-agent";

/// The configuration of mn-agent.
#[derive(Debug, Clone)]
pub struct Config {
    /// `control`: the control socket.
    pub control: PathBuf,
    /// `state`: the directory of what must survive a restart.
    pub state: PathBuf,
    /// `identity`; without one a random one is made and kept.
    pub identity: Option<Identity>,
    /// `[dns]`
    pub dns: Dns,
    /// `[session]`
    pub session: Session,
    /// `[policy]`
    pub policy: Policy,
    /// `[dataplane] backend`
    pub backend: BackendChoice,
    /// `[[security-association]]`, no `cha` twice with the same SPI. Of several the first is preferred.
    pub associations: Vec<ChaAssociation>,
    /// `[[home-agent]]`, no `cha` twice.
    pub home_agents: Vec<PinnedCha>,
}

/// The relay of names.
#[derive(Debug, Clone)]
pub struct Dns {
    /// How applications come to ask the relay; `auto` is [`DnsMode::ResolvConf`] in this release.
    pub mode: DnsMode,
    /// Where the relay listens, UDP and TCP.
    pub listen: SocketAddr,
    /// Whom it asks; empty: the system's servers.
    pub upstream: Vec<SocketAddr>,
    /// The longest an answer waits for a binding.
    pub hold: Duration,
    /// How much of that it waits to learn whether there is a home agent at all.
    pub lookup_window: Duration,
}

/// How applications come to ask the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsMode {
    /// /etc/resolv.conf names it; it listens on port 53.
    ResolvConf,
    /// Somebody else sees to it.
    Manual,
}

impl DnsMode {
    /// The word of the configuration and of `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResolvConf => "resolv-conf",
            Self::Manual => "manual",
        }
    }
}

/// When a binding ends.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// How long it stays after its last socket has gone.
    pub linger: Duration,
    /// How long traffic without connections may pause.
    pub inactivity: Duration,
    /// How long it waits for its first use.
    pub unused: Duration,
}

/// Which names may lead to a home agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// All.
    Any,
    /// These domains and everything below them; lower case, without the final dot.
    AllowList(Vec<String>),
    /// All whose addresses, and those of their home agents, are signed (DNSSEC, RFC 4033).
    Dnssec {
        /// The keys that all signatures must go back to, as DNSKEY records in the form of zone files;
        /// `None` for those of the Internet's root.
        anchor: Option<String>,
    },
}

impl Policy {
    /// Whether a home agent may be looked for on behalf of this name. What is found may be subject to
    /// more than that.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any | Self::Dnssec { .. } => true,
            Self::AllowList(domains) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                domains.iter().any(|domain| {
                    name.strip_suffix(domain.as_str())
                        .is_some_and(|above| above.is_empty() || above.ends_with('.'))
                })
            }
        }
    }
}

/// A security association with one home agent (RFC 5944, section 1.6).
#[derive(Debug, Clone)]
pub struct ChaAssociation {
    /// With whom.
    pub cha: Cha,
    /// Shared with it alone.
    pub association: SecurityAssociation,
}

/// A home agent whose public key is known beforehand.
#[derive(Debug, Clone)]
pub struct PinnedCha {
    /// Which.
    pub cha: Cha,
    /// No other is agreed on a key with in its name.
    pub key: PublicKey,
}

/// A home agent as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cha {
    /// By its own name, lower case without the final dot: `cha.server.com`.
    Name(String),
    /// By its address.
    Address(IpAddr),
}

impl fmt::Display for Cha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Config {
    /// The associations with a home agent at `address` that was found as `cha_name`
    /// (`cha.server.com`), the preferred one first. Those for the address have precedence.
    pub fn associations(
        &self,
        cha_name: &str,
        address: IpAddr,
    ) -> impl Iterator<Item = &SecurityAssociation> {
        let preferred = named(&self.associations, |one| &one.cha, cha_name, address);
        let same = move |one: &&ChaAssociation| preferred.is_some_and(|first| first.cha == one.cha);
        let found = self.associations.iter().filter(same);
        found.map(|one| &one.association)
    }

    /// The public key that a home agent at `address` that was found as `cha_name` must have, if one is
    /// configured. The address has precedence.
    #[must_use]
    pub fn pinned_key(&self, cha_name: &str, address: IpAddr) -> Option<PublicKey> {
        named(&self.home_agents, |one| &one.cha, cha_name, address).map(|one| one.key)
    }
}

/// What is configured for the address or else for the name.
fn named<'a, T>(
    configured: &'a [T],
    cha_of: impl Fn(&T) -> &Cha,
    cha_name: &str,
    address: IpAddr,
) -> Option<&'a T> {
    let cha_name = cha_name.strip_suffix('.').unwrap_or(cha_name);
    let with = |wanted: &dyn Fn(&Cha) -> bool| configured.iter().find(|one| wanted(cha_of(one)));
    with(&|cha| matches!(cha, Cha::Address(known) if *known == address)).or_else(|| {
        with(&|cha| matches!(cha, Cha::Name(known) if known.eq_ignore_ascii_case(cha_name)))
    })
}

impl Configuration for Config {
    const DEFAULT_PATH: &str = "/etc/mn-agent/mn-agent.toml";
    const DEFAULT_CONTROL: &str = "/run/mn-agent/control.sock";

    fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        super::load(path, parse::parse)
    }

    fn summary(&self) -> String {
        self.describe()
    }
}

pub(super) mod parse;
mod summary;
mod trust_anchor;
