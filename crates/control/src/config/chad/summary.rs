//! What a configuration of chad would do, in sentences.

use super::super::values::shown;
use super::super::{BackendChoice, list};
use super::{Config, SecurityMode};

impl Config {
    /// What chad would do with this configuration, a line each.
    #[must_use]
    pub fn summary(&self) -> String {
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
        let who = match security.mode {
            SecurityMode::Open => {
                "everybody (open mode: requests prove nothing about their sender)".to_owned()
            }
            SecurityMode::Authenticated => {
                format!("{} configured mobile nodes alone", self.mobile_nodes.len())
            }
        };
        let carried = match self.backend {
            BackendChoice::Auto => "by the best backend that works here",
            BackendChoice::Userspace => "in user space",
        };
        let lines = [
            format!("answer registrations on {} port 434", listen.ipv4),
            format!(
                "lend addresses of {}{excluded}, resting {} after use",
                list(&pool.ipv4),
                shown(pool.hold_down)
            ),
            format!("to {who}"),
            format!(
                "for {} at a time, {} on request",
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
