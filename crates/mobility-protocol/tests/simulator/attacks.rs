//! Each attack, that it fails, and what it costs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use mobility_protocol::home_agent::{Quotas, Rates};
use mobility_protocol::mobile_node::BindingState;
use mobility_protocol::{Family, HomeAddress, HomeAgentAddress, Reachability};

use crate::attacker::{Attack, is_own, victim};
use crate::fleet::{Happening, Scale, World};
use crate::network::Conditions;
use crate::node::Kind;
use crate::{FLEET, seconds, with_seeds};

/// Few enough to be attacked in every way, in both families.
const CROWD: Scale = Scale {
    laptops: 40,
    agents: 2,
    conditions: Conditions::GOOD,
    wrong_clocks: 0,
    nonces: false,
    families: &[Family::Ipv4, Family::Ipv6],
    without_native: 250,
    ..FLEET
};

/// What the attacker's hosts and their site can have of a home agent.
const QUOTAS: Quotas = Quotas {
    host: 8,
    site: 30,
    rates: Rates {
        host: 5,
        site: 50,
        all: 250,
    },
    first_lifetime: seconds(20),
};

/// Which home address each laptop has of each home agent.
type Homes = BTreeMap<(usize, HomeAgentAddress), Option<HomeAddress>>;

impl World {
    /// Everybody has a binding under a key that was agreed on, and an attacker listens, or not.
    fn under_attack(&mut self, on_path: bool) -> Homes {
        for agent in &mut self.agents {
            agent.protect(QUOTAS);
        }
        for agent in 0..self.agents.len() {
            self.restart(agent);
        }
        for laptop in &mut self.laptops {
            laptop.kind = Kind::Agrees;
        }
        self.attacker.on_path = on_path;
        self.set_up(seconds(20));
        self.run(seconds(60));
        self.check_everybody_talks();
        self.homes()
    }

    fn homes(&self) -> Homes {
        let mut homes = Homes::new();
        for (index, laptop) in self.laptops.iter().enumerate() {
            for view in laptop.views(self.now()) {
                assert_eq!(view.state, BindingState::Active, "laptop {index}");
                homes.insert((index, view.agent), view.home_address);
            }
        }
        homes
    }

    /// Everybody has what he had, and the attacker no more than his quota.
    fn check_unharmed(&self, homes: &Homes) {
        let honest = self.check_everybody_talks();
        let now = self.homes();
        for (whose, home_address) in homes {
            assert_eq!(now.get(whose), Some(home_address), "{whose:?} lost it");
        }
        let failures: u32 = self.laptops.iter().map(|laptop| laptop.failures).sum();
        assert_eq!(failures, 0, "nobody was kept from a binding");
        self.tolls.check();
        self.check_ends(&now);
        let (held, most) = (self.held() - honest, self.quota());
        assert!(held <= most, "{held} of {most}");
        assert!(self.attacker.sent > 0, "there was an attack");
    }

    /// No tunnel of the attacker's ends where none may, nor, without a limit, where he is not.
    fn check_ends(&self, honest: &Homes) {
        for agent in &self.agents {
            for (home_address, tunnel) in &agent.tunnels {
                if honest.values().any(|known| *known == Some(*home_address)) {
                    continue;
                }
                let end = tunnel.endpoints.remote;
                assert!(
                    is_own(end) || tunnel.reachability == Reachability::Unproven,
                    "{end} was not shown to be his"
                );
                let special = end.is_unspecified() || end.is_loopback() || end.is_multicast();
                let inside = agent.has_address(end) || agent.lends(end);
                assert!(!special && !inside, "a tunnel to {end}");
            }
        }
    }

    /// How many bindings there are.
    fn held(&self) -> usize {
        self.agents.iter().map(|agent| agent.tunnels.len()).sum()
    }

    /// What the attacker's site can have of all home agents.
    fn quota(&self) -> usize {
        QUOTAS.site as usize * self.agents.len() * CROWD.families.len()
    }

    /// How often something happened at all home agents and laptops.
    fn counted(&self, name: &str) -> u64 {
        let agents = self.agents.iter().filter_map(|one| one.machine.as_ref());
        let laptops = self.laptops.iter().filter_map(|one| one.machine.as_ref());
        let agents = agents.flat_map(|machine| machine.counters());
        let laptops = laptops.flat_map(|machine| machine.counters());
        let agents = agents.map(|(known, count)| (known.into(), count));
        agents
            .chain(laptops)
            .filter(|(known, _): &(Cow<'_, str>, u64)| known == name)
            .map(|(_, count)| count)
            .sum()
    }

    /// Everybody gets all his bindings by what he kept of the last ones. The attacker sees how.
    fn everybody_comes_back(&mut self, bindings: usize) -> Homes {
        self.attacker.resumptions.clear();
        let resumed = self.counted("bindings_resumed");
        self.set_up(seconds(1));
        self.run(seconds(2));
        let homes = self.homes();
        assert_eq!(homes.len(), bindings);
        assert_eq!(
            self.counted("bindings_resumed"),
            resumed + bindings as u64,
            "nobody had to show first where he is"
        );
        assert!(self.attacker.resumptions.len() >= bindings);
        homes
    }

    fn everybody_leaves(&mut self) {
        self.schedule_close(0..self.laptops.len(), Duration::ZERO);
        // A binding outlives its last socket by a little.
        self.run(seconds(6));
        assert_eq!(self.held(), 0, "nobody is there");
    }

    fn attack_with(&mut self, attacks: &[Attack], times: u32) {
        self.schedule_attacks(attacks, times, seconds(100));
        self.schedule_checks(200, seconds(100));
        self.schedule_talk(seconds(100));
        self.run(seconds(110));
    }
}

/// One attack on everybody while they stay, move, and their home agents restart. It is noticed as this.
fn fails(attack: Attack, on_path: bool, noticed: &[&str]) {
    with_seeds(1, CROWD, |world| {
        let homes = world.under_attack(on_path);
        let before: Vec<u64> = noticed.iter().map(|name| world.counted(name)).collect();
        world.attack_with(&[attack], 50);
        world.check_unharmed(&homes);
        for (name, before) in noticed.iter().zip(before) {
            assert!(world.counted(name) > before + 50, "{name}");
        }
        world.schedule_moves(4, seconds(100));
        // Who answers while a home agent is silent for seconds is believed to be a new one.
        if attack != Attack::Answer {
            world.schedule_agent_crashes(seconds(100), false);
        }
        world.attack_with(&[attack], 50);
        world.run(seconds(60));
        world.check_unharmed(&homes);
    });
}

#[test]
fn what_was_said_before_changes_nothing() {
    fails(Attack::Replay, true, &["reply_133", "status_144"]);
}

#[test]
fn what_spared_somebody_the_proof_spares_nobody_else() {
    with_seeds(1, CROWD, |world| {
        // Clocks that are off by almost as much as is allowed make what was said stay good for longest.
        for laptop in 0..world.laptops.len() {
            world.clocks[laptop] = [6, 0, -6][laptop % 3];
            world.schedule(Duration::ZERO, Happening::CrashLaptop(laptop));
            world.schedule(Duration::ZERO, Happening::StartLaptop(laptop));
        }
        let bindings = world.under_attack(true).len();
        world.attack(Attack::Resume);
        world.everybody_leaves();

        // While they are there.
        let homes = world.everybody_comes_back(bindings);
        world.attack_with(&[Attack::Resume], 50);
        world.check_unharmed(&homes);
        // From when they have gone until nobody remembers them.
        world.everybody_leaves();
        world.everybody_comes_back(bindings);
        world.everybody_leaves();
        let created = world.counted("bindings_created");
        world.schedule_attacks(&[Attack::Resume], 200, seconds(100));
        world.run(seconds(110));
        assert_eq!(world.counted("bindings_created"), created);
        // The same after a restart, which begins to count anew.
        world.everybody_comes_back(bindings);
        world.everybody_leaves();
        for agent in 0..world.agents.len() {
            world.agents[agent].crash();
            world.restart(agent);
        }
        world.schedule_attacks(&[Attack::Resume], 200, seconds(100));
        world.run(seconds(110));
        assert_eq!(world.counted("bindings_created"), 0);

        assert_eq!(world.held(), 0, "nobody is carried");
        world.tolls.check();
        for family in [Family::Ipv4, Family::Ipv6] {
            let toll = world.tolls.with(victim(family));
            assert!(toll.received > 50_000, "{toll:?}");
        }
    });
}

#[test]
fn who_sees_everything_can_write_nothing() {
    fails(Attack::Forge, true, &["drop_authentication_failed"]);
}

#[test]
fn answers_in_the_place_of_a_home_agent_are_not_believed() {
    fails(
        Attack::Answer,
        true,
        &["drop_authentication_failed", "drop_other_key"],
    );
}

#[test]
fn a_name_is_worth_nothing_without_its_key() {
    fails(Attack::TakeIdentities, true, &[]);
    fails(Attack::TakeIdentities, false, &[]);
}

#[test]
fn first_requests_from_nowhere_leave_nothing_and_bring_nobody_more_than_they_are() {
    with_seeds(1, CROWD, |world| {
        let homes = world.under_attack(false);
        let before = world.held();
        world.attack_with(&[Attack::Flood], 500);
        world.check_unharmed(&homes);
        assert_eq!(world.held(), before, "nothing is kept");
        for family in [Family::Ipv4, Family::Ipv6] {
            let toll = world.tolls.with(victim(family));
            assert!(toll.received > 50_000, "{toll:?}");
        }
    });
}

#[test]
fn home_addresses_are_not_found_by_trying() {
    fails(Attack::Scan, false, &["drop_unprotected", "challenges"]);
}

#[test]
fn a_site_gets_its_quota_and_the_others_get_what_they_ask_for() {
    with_seeds(1, CROWD, |world| {
        let homes = world.under_attack(false);
        world.attack_with(&[Attack::Hoard], 400);
        world.check_unharmed(&homes);
        let held = world.held() - homes.len();
        assert_eq!(held, world.quota(), "as much as there is, and no more");
        for name in ["refused_host_quota", "refused_site_quota"] {
            assert!(world.counted(name) > 0, "{name}");
        }
    });
}

#[test]
fn a_host_that_is_in_a_hurry_waits() {
    with_seeds(1, CROWD, |world| {
        let homes = world.under_attack(false);
        let before = world.counted("bindings_created");
        world.schedule_attacks(&[Attack::TakeIdentities], 1000, seconds(2));
        world.run(seconds(3));
        let hosts = 4 * world.agents.len() * CROWD.families.len();
        let most = QUOTAS.rates.host as usize * 7 * hosts;
        let created = usize::try_from(world.counted("bindings_created") - before).unwrap_or(0);
        assert!(created <= most, "{created} of {most}");
        world.check_unharmed(&homes);
    });
}

#[test]
fn a_victim_hears_no_more_than_the_attacker_says_in_its_name() {
    with_seeds(1, CROWD, |world| {
        let homes = world.under_attack(false);
        world.attack_with(&[Attack::Hoard, Attack::MoveOntoVictim], 100);
        world.check_unharmed(&homes);
        assert!(world.counted("bindings_moved") > 100);
        for family in [Family::Ipv4, Family::Ipv6] {
            assert!(world.tolls.with(victim(family)).received > 10_000);
        }
    });
}

#[test]
fn whatever_a_member_asks_for_he_gets_nothing_that_is_not_his() {
    fails(
        Attack::Twist,
        false,
        &[
            "bindings_created",
            "bindings_moved",
            "reply_129",
            "status_174",
        ],
    );
}

#[test]
fn all_at_once_on_and_off_path() {
    for on_path in [true, false] {
        with_seeds(1, CROWD, |world| {
            let homes = world.under_attack(on_path);
            world.schedule_moves(4, seconds(100));
            if !on_path {
                world.schedule_agent_crashes(seconds(100), false);
            }
            world.attack_with(&Attack::ALL, 60);
            world.run(seconds(60));
            world.check_unharmed(&homes);
        });
    }
}
