//! What is going to happen to a fleet.

use std::ops::Range;
use std::time::Duration;

use crate::attacker::Attack;
use crate::fleet::{Happening, NETWORKS, World};

impl World {
    /// Every laptop looks its correspondents up, at some time within `spread`.
    pub(crate) fn set_up(&mut self, spread: Duration) {
        for laptop in 0..self.laptops.len() {
            for n in 0..self.scale.agents_per_laptop {
                let agent = (laptop + usize::from(n)) % self.agents.len();
                for agent in self.agents[agent].addresses {
                    if self.scale.families.contains(&agent.family()) {
                        let at = self.network.between(Duration::ZERO, spread);
                        self.schedule(at, Happening::LookUp(laptop, agent));
                    }
                }
            }
        }
    }

    /// Every laptop moves so many times within `spread`: abruptly, smoothly, or with a gap.
    pub(crate) fn schedule_moves(&mut self, moves: u32, spread: Duration) {
        for laptop in 0..self.laptops.len() {
            let mut at = Duration::ZERO;
            let mut here = self.laptops[laptop].attached.first().copied().unwrap_or(0);
            for _ in 0..moves {
                at += self
                    .network
                    .between(Duration::from_millis(200), spread / moves);
                let step =
                    1 + u8::try_from(self.network.below(u32::from(NETWORKS) - 1)).unwrap_or(0);
                let there = (here + step) % NETWORKS;
                match self.network.below(4) {
                    0 | 1 => {}
                    2 => self.schedule(at, Happening::Attach(laptop, vec![there, here])),
                    _ => self.schedule(at, Happening::Attach(laptop, Vec::new())),
                }
                at += self
                    .network
                    .between(Duration::from_millis(100), Duration::from_secs(5));
                self.schedule(at, Happening::Attach(laptop, vec![there]));
                here = there;
            }
        }
    }

    /// Some laptops' mn-agents, of a thousand, are killed within `spread` and started again.
    pub(crate) fn schedule_laptop_crashes(&mut self, of_a_thousand: u32, spread: Duration) {
        for laptop in 0..self.laptops.len() {
            if self.network.happens(of_a_thousand) {
                let at = self.network.between(Duration::ZERO, spread);
                let down = self
                    .network
                    .between(Duration::from_millis(50), Duration::from_secs(20));
                self.schedule(at, Happening::CrashLaptop(laptop));
                self.schedule(at + down, Happening::StartLaptop(laptop));
            }
        }
    }

    /// Every home agent is killed at some time within `spread`, and started again.
    pub(crate) fn schedule_agent_crashes(&mut self, spread: Duration, forget: bool) {
        for agent in 0..self.agents.len() {
            let at = self.network.between(Duration::ZERO, spread);
            let down = self
                .network
                .between(Duration::from_millis(50), Duration::from_secs(5));
            self.schedule(at, Happening::CrashAgent { agent, forget });
            self.schedule(at + down, Happening::StartAgent(agent));
        }
    }

    /// All applications of these laptops end within `spread`.
    pub(crate) fn schedule_close(&mut self, laptops: Range<usize>, spread: Duration) {
        for laptop in laptops {
            let at = self.network.between(Duration::ZERO, spread);
            self.schedule(at, Happening::Close(laptop));
        }
    }

    /// Applications talk once a second from now on, for so long.
    pub(crate) fn schedule_talk(&mut self, during: Duration) {
        for laptop in 0..self.laptops.len() {
            for second in 0..during.as_secs() {
                self.schedule(Duration::from_secs(second), Happening::Talk(laptop));
            }
        }
    }

    /// Each of these happens so often within `spread`, one after the other.
    pub(crate) fn schedule_attacks(&mut self, attacks: &[Attack], times: u32, spread: Duration) {
        for n in 0..times {
            for attack in attacks {
                let at = self
                    .network
                    .between(spread / times * n, spread / times * (n + 1));
                self.schedule(at, Happening::Attack(*attack));
            }
        }
    }

    /// The invariants are checked so often within `spread`.
    pub(crate) fn schedule_checks(&mut self, times: u32, spread: Duration) {
        for n in 1..=times {
            self.schedule(spread / times * n, Happening::Check);
        }
    }
}
