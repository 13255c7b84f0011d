//! Whether a binding is still wanted, and whether its path still carries packets.

use std::time::{Duration, Instant};

use super::config::{Config, Usage};

/// How long an answer to a question about sockets is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The first and the longest gap between looks at sockets that have been seen. They back up the
/// host's own reports: no event tells when TIME_WAIT begins.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(60);
/// Reports of packets going out, after the last socket closed, that make a binding one that is
/// used without connections. A closed connection's last acknowledgements are fewer.
const LASTING_TRAFFIC: u32 = 3;

/// What time demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Look at the sockets.
    Look,
    /// Let the binding go.
    Release,
}

/// How a binding is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not yet.
    Fresh {
        until: Instant,
        traffic: Option<Instant>,
    },
    /// By sockets.
    Sockets { look_at: Instant, gap: Duration },
    /// By packets no socket explains.
    Connectionless { last: Instant },
    /// No longer.
    Lingering {
        until: Instant,
        after_sockets: bool,
        reports: u32,
    },
}

/// Decides when a binding is let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UseTracker {
    mode: Mode,
    /// An answer is waited for until then.
    answer_by: Option<Instant>,
    sent: Option<u64>,
}

impl UseTracker {
    /// Nobody uses it yet.
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            mode: Mode::Fresh {
                until: now + config.unused,
                traffic: None,
            },
            answer_by: None,
            sent: None,
        }
    }

    /// Somebody is about to use it.
    pub(super) fn expect(&mut self, config: &Config, now: Instant) {
        match &mut self.mode {
            Mode::Fresh { until, .. } => *until = now + config.unused,
            Mode::Lingering { .. } => {
                self.mode = Mode::Fresh {
                    until: now + config.unused,
                    traffic: None,
                }
            }
            Mode::Sockets { .. } | Mode::Connectionless { .. } => return,
        }
        self.answer_by = None;
    }

    /// Whether sockets were there when last looked.
    pub(super) const fn has_sockets(&self) -> bool {
        matches!(self.mode, Mode::Sockets { .. })
    }

    pub(super) fn next_timeout(&self, config: &Config) -> Instant {
        self.answer_by.unwrap_or(match self.mode {
            Mode::Fresh { until, .. } | Mode::Lingering { until, .. } => until,
            Mode::Sockets { look_at, .. } => look_at,
            Mode::Connectionless { last } => last + config.inactivity,
        })
    }

    pub(super) fn handle_timeout(&mut self, config: &Config, now: Instant) -> Option<Demand> {
        if self.next_timeout(config) > now {
            return None;
        }
        if self.answer_by.is_some() {
            return self.handle_silence(config, now);
        }
        if let Mode::Connectionless { .. } = self.mode {
            self.mode = Mode::Lingering {
                until: now + config.linger,
                after_sockets: false,
                reports: 0,
            };
            return None;
        }
        self.answer_by = Some(now + ANSWER_WITHIN);
        Some(Demand::Look)
    }

    /// A look at the sockets, asked for or not.
    pub(super) fn handle_usage(
        &mut self,
        usage: Usage,
        config: &Config,
        now: Instant,
    ) -> Option<Demand> {
        let asked = self.answer_by.take().is_some();
        match (self.mode, usage) {
            (Mode::Sockets { gap, .. }, Usage::Sockets) if asked => {
                let gap = (gap * 2).min(LONGEST_LOOK);
                self.mode = Mode::Sockets {
                    look_at: now + gap,
                    gap,
                };
                None
            }
            (_, Usage::Sockets) => {
                self.mode = Mode::Sockets {
                    look_at: now + FIRST_LOOK,
                    gap: FIRST_LOOK,
                };
                None
            }
            (
                Mode::Fresh {
                    traffic: Some(last),
                    ..
                },
                Usage::None,
            ) if asked && now < last + config.inactivity => {
                self.mode = Mode::Connectionless { last };
                None
            }
            (Mode::Fresh { .. } | Mode::Lingering { .. }, Usage::None) if asked => {
                Some(Demand::Release)
            }
            // Unasked, it follows the end of a socket: one that came and went unseen.
            (Mode::Fresh { .. } | Mode::Sockets { .. }, Usage::None) => {
                self.mode = Mode::Lingering {
                    until: now + config.linger,
                    after_sockets: true,
                    reports: 0,
                };
                self.sent = None;
                None
            }
            (Mode::Connectionless { .. } | Mode::Lingering { .. }, Usage::None) => None,
        }
    }

    /// Packets that went out through the tunnel, in total.
    pub(super) fn handle_traffic(&mut self, sent: u64, now: Instant) {
        let fresh = matches!(self.mode, Mode::Fresh { .. });
        let grew = match self.sent.replace(sent) {
            Some(before) => sent > before,
            None => fresh && sent > 0,
        };
        if !grew {
            return;
        }
        match &mut self.mode {
            Mode::Fresh { traffic, .. } => *traffic = Some(now),
            Mode::Connectionless { last } => *last = now,
            Mode::Lingering {
                after_sockets,
                reports,
                ..
            } => {
                *reports += 1;
                if !*after_sockets || *reports >= LASTING_TRAFFIC {
                    self.mode = Mode::Connectionless { last: now };
                    self.answer_by = None;
                }
            }
            Mode::Sockets { .. } => {}
        }
    }

    /// Nobody answered. Connections that were there are not given up for that.
    fn handle_silence(&mut self, config: &Config, now: Instant) -> Option<Demand> {
        if let Mode::Sockets { look_at, gap } = &mut self.mode {
            self.answer_by = None;
            *look_at = now + *gap;
            return None;
        }
        self.handle_usage(Usage::None, config, now)
    }
}

/// Notices packets that go out while none comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PathTracker {
    counters: Option<(u64, u64)>,
    unanswered_since: Option<Instant>,
    not_before: Option<Instant>,
}

impl PathTracker {
    /// The counters of the tunnel, in total. True when the path should be probed.
    pub(super) fn handle_traffic(
        &mut self,
        sent: u64,
        received: u64,
        config: &Config,
        now: Instant,
    ) -> bool {
        let Some((sent_before, received_before)) = self.counters.replace((sent, received)) else {
            return false;
        };
        if received != received_before || sent < sent_before {
            self.unanswered_since = None;
            return false;
        }
        if sent == sent_before {
            return false;
        }
        let since = *self.unanswered_since.get_or_insert(now);
        if now.saturating_duration_since(since) < config.dead_path_after
            || self.not_before.is_some_and(|at| now < at)
        {
            return false;
        }
        self.unanswered_since = None;
        self.not_before = Some(now + config.probe_interval);
        true
    }

    /// The home agent was heard on a path, or the path is another one.
    pub(super) const fn reset(&mut self) {
        self.unanswered_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn config() -> Config {
        Config::new(Identity::new("laptop").unwrap_or_else(|_| unreachable!("six octets")))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_unused_binding_goes_after_one_look() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        assert_eq!(tracker.handle_timeout(&config, begin + seconds(9)), None);
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(10)),
            Some(Demand::Look)
        );
        assert_eq!(
            tracker.handle_usage(Usage::None, &config, begin + seconds(10)),
            Some(Demand::Release)
        );
    }

    #[test]
    fn packets_of_long_ago_keep_no_binding_that_was_expected_to_be_used_again() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        tracker.handle_traffic(1, begin);
        for second in (0..=60).step_by(5) {
            tracker.expect(&config, begin + seconds(second));
        }
        let due = tracker.next_timeout(&config);
        assert_eq!(due, begin + seconds(70));
        assert_eq!(tracker.handle_timeout(&config, due), Some(Demand::Look));
        assert_eq!(
            tracker.handle_usage(Usage::None, &config, due),
            Some(Demand::Release)
        );
    }

    #[test]
    fn a_closed_connection_lingers_and_is_not_kept_by_its_last_packets() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        tracker.handle_traffic(3, begin + seconds(1));
        tracker.handle_usage(Usage::Sockets, &config, begin + seconds(1));
        tracker.handle_traffic(900, begin + seconds(2));
        tracker.handle_usage(Usage::None, &config, begin + seconds(3));
        tracker.handle_traffic(1000, begin + seconds(4));
        tracker.handle_traffic(1001, begin + seconds(5));
        assert_eq!(tracker.handle_timeout(&config, begin + seconds(7)), None);
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(8)),
            Some(Demand::Look)
        );
        assert_eq!(
            tracker.handle_usage(Usage::None, &config, begin + seconds(8)),
            Some(Demand::Release)
        );
    }

    #[test]
    fn connectionless_use_is_kept_until_it_is_inactive() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        for second in 1..=9 {
            tracker.handle_traffic(second, begin + seconds(second));
        }
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(10)),
            Some(Demand::Look)
        );
        assert_eq!(
            tracker.handle_usage(Usage::None, &config, begin + seconds(10)),
            None
        );
        assert_eq!(tracker.handle_timeout(&config, begin + seconds(68)), None);
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(69)),
            None,
            "now it lingers"
        );
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(74)),
            Some(Demand::Look)
        );
        assert_eq!(
            tracker.handle_timeout(&config, begin + seconds(76)),
            Some(Demand::Release),
            "nobody answered"
        );
    }

    #[test]
    fn sockets_are_looked_at_more_and_more_rarely() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        tracker.handle_usage(Usage::Sockets, &config, begin);
        let mut now = begin;
        let mut looks = Vec::new();
        while now < begin + seconds(200) {
            now = tracker.next_timeout(&config);
            assert_eq!(tracker.handle_timeout(&config, now), Some(Demand::Look));
            assert_eq!(tracker.handle_usage(Usage::Sockets, &config, now), None);
            looks.push((now - begin).as_secs());
        }
        assert_eq!(looks, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }

    #[test]
    fn a_silent_host_does_not_end_connections() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = UseTracker::new(&config, begin);
        tracker.handle_usage(Usage::Sockets, &config, begin);
        for _ in 0..20 {
            let now = tracker.next_timeout(&config);
            assert_ne!(tracker.handle_timeout(&config, now), Some(Demand::Release));
        }
    }

    #[test]
    fn one_way_traffic_is_probed_rarely() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = PathTracker::default();
        let probes: Vec<_> = (0..60)
            .filter(|second| {
                tracker.handle_traffic(100 + second, 7, &config, begin + seconds(*second))
            })
            .collect();
        assert_eq!(probes, [4, 19, 34, 49]);
    }

    #[test]
    fn answered_traffic_is_not_probed() {
        let (config, begin) = (config(), Instant::now());
        let mut tracker = PathTracker::default();
        for second in 0..60 {
            assert!(!tracker.handle_traffic(
                second * 9,
                second / 2,
                &config,
                begin + seconds(second)
            ));
        }
    }
}
