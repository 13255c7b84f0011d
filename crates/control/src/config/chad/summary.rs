//! What a configuration of chad would do, in sentences.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::super::values::shown;
use super::super::{BackendChoice, list};
use super::{Config, SecurityMode};

/// Where registrations arrive (RFC 5944, section 3).
const MIP4_PORT: u16 = 434;
/// Where Binding Updates arrive that protocol 135 does not bring (RFC 5555, section 4.1).
const MIP6_PORT: u16 = 4191;

impl Config {
    /// What chad would do with this configuration, a line each.
    pub(super) fn describe(&self) -> String {
        let Self {
            listen,
            pool,
            lifetime,
            security,
            ..
        } = self;
        let excluded = match pool.exclude.as_slice() {
            [] => String::new(),
            exclude => format!(" except {}", list(exclude)),
        };
        let ipv4 = listen
            .ipv4
            .map(|address| format!("registrations on {address} port {MIP4_PORT}"));
        let ipv6 = listen
            .ipv6
            .map(|address| format!("Binding Updates on {address}, also in UDP port {MIP6_PORT}"));
        let signalling: Vec<String> = ipv4.into_iter().chain(ipv6).collect();
        let prefixes: Vec<IpNet> = pool.prefixes().collect();
        let who = match security.mode {
            SecurityMode::Open if security.legacy_open => {
                "everybody, also under the published key, which protects from nobody".to_owned()
            }
            SecurityMode::Open => "everybody, each under a key agreed on".to_owned(),
            SecurityMode::Authenticated => {
                let known = self.mobile_nodes.iter().map(|node| &node.identity);
                let known: BTreeSet<_> = known.collect();
                format!("{} configured mobile nodes alone", known.len())
            }
        };
        let first = match security.mode {
            SecurityMode::Open => {
                let first = lifetime.first.min(lifetime.max);
                format!(", strangers {} at first", shown(first))
            }
            SecurityMode::Authenticated => String::new(),
        };
        let carried = match self.backend {
            BackendChoice::Auto => "by the best backend that works here",
            BackendChoice::Kernel => "by the kernel",
            BackendChoice::Userspace => "in user space",
        };
        let lines = [
            format!("answer {}", list(&signalling)),
            format!(
                "lend addresses of {}{excluded}, resting {} after use",
                list(&prefixes),
                shown(pool.hold_down)
            ),
            format!("to {who}"),
            format!(
                "for {} at a time, {} on request{first}",
                shown(lifetime.default),
                shown(lifetime.max)
            ),
            format!(
                "and carry their sessions with {}, {carried}",
                list(&self.correspondents)
            ),
            format!(
                "bindings in {}, control socket {}",
                self.state.display(),
                self.control.display()
            ),
        ];
        lines.map(|line| format!("  {line}\n")).concat()
    }
}
