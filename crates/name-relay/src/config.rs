//! What the relay is told at start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::trust_anchor::TrustAnchor;

/// The default listening address: loopback, and beside the addresses that
/// other stub resolvers take.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 153)), 53);

/// How applications come to ask the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The relay writes itself into `resolv.conf`, watches the file and
    /// restores it at the end.
    ResolvConf,
    /// The relay only listens; somebody else points applications at it.
    /// Without configured upstreams it follows `resolv.conf`, unwritten.
    Manual,
}

/// The configuration of a [`Relay`](crate::Relay).
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Whether the relay installs itself in `resolv.conf`.
    pub mode: Mode,
    /// Where applications ask, over UDP and TCP. Port 0 takes any free port.
    /// [`Mode::ResolvConf`] requires port 53, as `resolv.conf` names no port.
    pub listen: SocketAddr,
    /// The name servers to ask; empty: those that `resolv.conf` names.
    pub upstream: Vec<SocketAddr>,
    /// How long an answer waits for a binding, at most. Zero: never.
    pub hold: Duration,
    /// How much of that time an answer waits to learn whether there is an agent
    /// at all, at most.
    pub lookup_window: Duration,
    /// The mark (`SO_MARK`) of every socket of the relay. Without the
    /// privilege to set it the relay warns once and goes on unmarked.
    pub fwmark: Option<u32>,
    /// The file to follow and, in [`Mode::ResolvConf`], to rewrite; usually
    /// `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Where the original `resolv.conf` is kept; created if missing.
    pub state_dir: PathBuf,
    /// Which names may lead to an agent.
    pub allow: Policy,
    /// From where the answers that lead to an agent must be signed; `None`
    /// believes in unsigned ones.
    pub validate: Option<TrustAnchor>,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            mode: Mode::ResolvConf,
            listen: DEFAULT_LISTEN,
            upstream: Vec::new(),
            hold: Duration::from_millis(300),
            lookup_window: Duration::from_millis(50),
            fwmark: None,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            state_dir: PathBuf::from("/var/lib/mn-agent"),
            allow: Policy::any(),
            validate: None,
        }
    }
}

/// Decides whether a name may lead to an agent. A name that may not is
/// resolved like any other, but nobody asks for `cha.<name>`.
#[derive(Clone)]
pub struct Policy(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Policy {
    /// Every name may lead to an agent.
    #[must_use]
    pub fn any() -> Self {
        Self::new(|_| true)
    }

    /// Only the given domains and the names below them may. A leading or
    /// trailing dot and the case of letters do not matter; an empty list
    /// permits nothing.
    #[must_use]
    pub fn allow_list(domains: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let domains: Vec<String> = domains
            .into_iter()
            .map(|domain| domain.as_ref().trim_matches('.').to_ascii_lowercase())
            .filter(|domain| !domain.is_empty())
            .collect();
        Self::new(move |name| {
            domains.iter().any(|domain| {
                name.strip_suffix(domain.as_str())
                    .is_some_and(|head| head.is_empty() || head.ends_with('.'))
            })
        })
    }

    /// A decision of the caller's own. The name comes in lower case, without
    /// trailing dot, in the escaped form of zone files (RFC 1035 5.1).
    #[must_use]
    pub fn new(decide: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Whether `name` may lead to an agent.
    #[must_use]
    pub fn permits(&self, name: &str) -> bool {
        (self.0)(name)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Policy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_matches_whole_labels_only() {
        let policy = Policy::allow_list([".Example.ORG.", "server.com"]);
        for name in ["example.org", "a.b.example.org", "server.com"] {
            assert!(policy.permits(name), "{name}");
        }
        for name in ["badexample.org", "org", "server.com.evil", ""] {
            assert!(!policy.permits(name), "{name}");
        }
        assert!(!Policy::allow_list([""; 0]).permits("example.org"));
        assert!(!Policy::allow_list(["."]).permits("example.org"));
    }
}
