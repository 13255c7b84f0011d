//! What a configuration of mn-agent would do, in sentences.

use std::collections::BTreeSet;

use super::super::values::shown;
use super::super::{BackendChoice, list};
use super::{Config, DnsMode, Policy};

impl Config {
    /// What mn-agent would do with this configuration, a line each.
    pub(super) fn describe(&self) -> String {
        let Self { dns, session, .. } = self;
        let identity = self
            .identity
            .as_ref()
            .map_or_else(|| "a random identity, kept".to_owned(), ToString::to_string);
        let upstream = match dns.upstream.as_slice() {
            [] => "the system's servers".to_owned(),
            servers => list(servers),
        };
        let reached = match dns.mode {
            DnsMode::ResolvConf => "named in /etc/resolv.conf",
            DnsMode::Manual => "for whoever was told to ask there",
        };
        let policy = match &self.policy {
            Policy::Any => "every name".to_owned(),
            Policy::AllowList(domains) => list(domains),
            Policy::Dnssec { anchor: None } => "names signed down from the root".to_owned(),
            Policy::Dnssec { anchor: Some(_) } => {
                "names signed down from your trust anchor".to_owned()
            }
        };
        let carried = match self.backend {
            BackendChoice::Auto => "by the best backend that works here",
            BackendChoice::Kernel => "by the kernel",
            BackendChoice::Userspace => "in user space",
        };
        let known: BTreeSet<_> = self.associations.iter().map(|one| &one.cha).collect();
        let lines = [
            format!(
                "be {identity} to home agents; share a key with {} of them, know the own key of {}",
                known.len(),
                self.home_agents.len()
            ),
            format!("relay names on {}, {reached}, to {upstream}", dns.listen),
            format!(
                "look for home agents of {policy}, holding answers up to {}",
                shown(dns.hold)
            ),
            format!("carry sessions {carried}"),
            format!(
                "end bindings {} after the last socket, {} without traffic, {} if never used",
                shown(session.linger),
                shown(session.inactivity),
                shown(session.unused)
            ),
            format!(
                "state in {}, control socket {}",
                self.state.display(),
                self.control.display()
            ),
        ];
        lines.map(|line| format!("  {line}\n")).concat()
    }
}
