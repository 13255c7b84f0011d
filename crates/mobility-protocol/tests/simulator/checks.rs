//! What must hold in a world: at any time, when it is calm, and when everybody has left.

use mobility_protocol::mobile_node::{BindingState, BindingView};
use mobility_protocol::{Family, Reachability, Transport};

use crate::attacker::victim;
use crate::fleet::World;
use crate::node::{Agent, Kind, Laptop};

impl World {
    /// What holds at any time.
    pub(crate) fn check(&self) {
        for agent in &self.agents {
            self.check_agent(agent);
            for tunnel in agent.tunnels.values() {
                let remote = tunnel.endpoints.remote;
                assert!(
                    remote != victim(Family::of(remote))
                        || tunnel.reachability == Reachability::Unproven,
                    "{remote} never asked for what it gets"
                );
            }
        }
        let carried: usize = self.laptops.iter().map(|laptop| laptop.tunnels.len()).sum();
        assert_eq!(self.model.carried(), carried, "no address is carried twice");
        for (index, laptop) in self.laptops.iter().enumerate() {
            for view in laptop.views(self.now()) {
                if view.state == BindingState::Active && !self.model.has_amnesia() {
                    self.check_both_ends(index, &view);
                }
            }
        }
    }

    /// What holds when nothing has changed for long enough: everybody talks, both sides agree, and
    /// nobody has anything else.
    pub(crate) fn check_agreement(&self) {
        let agreed = self.check_everybody_talks();
        let held: usize = self.agents.iter().map(|agent| agent.tunnels.len()).sum();
        assert_eq!(held, agreed, "bindings the mobile nodes do not know");
    }

    /// The same but for what others have beside the laptops. Tells how many bindings these have.
    pub(crate) fn check_everybody_talks(&self) -> usize {
        self.check();
        let mut agreed = 0;
        for (index, laptop) in self.laptops.iter().enumerate() {
            for view in laptop.views(self.now()) {
                assert_eq!(
                    view.state,
                    BindingState::Active,
                    "laptop {index} with {}",
                    view.agent
                );
                self.check_both_ends(index, &view);
                self.check_proven(&view);
                assert!(
                    laptop.wanted.contains(&view.agent),
                    "laptop {index} does not want {}",
                    view.agent
                );
                agreed += 1;
            }
        }
        let (wanted, active) = self.wanted_and_active();
        assert_eq!(
            (wanted, active),
            (wanted, agreed),
            "everybody who wants a binding has it"
        );
        agreed
    }

    fn check_agent(&self, agent: &Agent) {
        let Some(machine) = &agent.machine else {
            return;
        };
        let used: u64 = machine.pool_usage().iter().map(|usage| usage.used).sum();
        let mut bindings = 0;
        for binding in machine.bindings(self.now()) {
            bindings += 1;
            let tunnel = agent
                .tunnels
                .get(&binding.home_address)
                .expect("every binding is carried");
            assert_eq!(
                tunnel.endpoints.remote,
                binding.care_of.ip(),
                "{}",
                binding.home_address
            );
        }
        let [address, _] = agent.addresses;
        assert_eq!(used, bindings, "{address}: addresses used and bindings");
        assert_eq!(
            agent.tunnels.len() as u64,
            bindings,
            "{address}: tunnels and bindings"
        );
        let lent: usize = agent
            .addresses
            .iter()
            .map(|address| self.model.lent_by(*address))
            .sum();
        assert_eq!(lent as u64, bindings, "{address}: the model");
    }

    /// So many bindings took one request and one reply each, and the same once more where a key was
    /// agreed on, or a nonce had to be learnt.
    pub(crate) fn check_datagrams(&self, bindings: u64) {
        let took_two = |laptop: &Laptop| match laptop.kind {
            Kind::Agrees => laptop.wanted.len(),
            Kind::Shares => laptop
                .wanted
                .iter()
                .filter(|agent| agent.family() == Family::Ipv4)
                .count(),
            Kind::Open => 0,
        };
        let more: usize = self.laptops.iter().map(took_two).sum();
        assert_eq!(self.datagrams, 2 * (bindings + more as u64));
    }

    /// Who has native transport and who hasn't is known to everybody after a refresh on a good
    /// network.
    pub(crate) fn check_transports(&self) {
        for (index, laptop) in self.laptops.iter().enumerate() {
            for transport in laptop.transports(self.now()) {
                assert_eq!(
                    transport == Transport::MobilityHeader,
                    laptop.native,
                    "laptop {index} uses {transport}"
                );
            }
        }
    }

    /// A binding the mobile node believes confirmed is the same at its home agent.
    fn check_both_ends(&self, index: usize, view: &BindingView) {
        let home_address = view.home_address.expect("an active binding has one");
        let agent = self
            .agents
            .iter()
            .find(|agent| agent.addresses.contains(&view.agent))
            .expect("it exists");
        let Some(machine) = &agent.machine else {
            return;
        };
        let near = &self.laptops[index].tunnels[&home_address];
        let far = agent.tunnels.get(&home_address).unwrap_or_else(|| {
            panic!(
                "laptop {index} has {home_address} of {}, which knows nothing of it",
                view.agent
            )
        });
        assert_eq!(
            far.endpoints.remote, near.endpoints.local,
            "laptop {index}: {home_address}"
        );
        assert_eq!(
            far.endpoints.local, near.endpoints.remote,
            "laptop {index}: {home_address}"
        );
        assert!(machine.poll_timeout().is_some(), "it expires some day");
    }

    /// The home agent has seen where the mobile node is.
    fn check_proven(&self, view: &BindingView) {
        for agent in self.agents.iter().filter(|agent| agent.machine.is_some()) {
            for (home_address, tunnel) in &agent.tunnels {
                if view.home_address == Some(*home_address) {
                    assert_eq!(tunnel.reachability, Reachability::Proven, "{home_address}");
                }
            }
        }
    }

    /// How many bindings applications want and have.
    pub(crate) fn wanted_and_active(&self) -> (usize, usize) {
        let wanted = self.laptops.iter().map(|laptop| laptop.wanted.len()).sum();
        let active = self.laptops.iter().map(|laptop| laptop.tunnels.len()).sum();
        (wanted, active)
    }

    /// No home agent lends anything.
    pub(crate) fn check_all_returned(&self) {
        self.check();
        for agent in &self.agents {
            assert_eq!(agent.tunnels.keys().next(), None, "{:?}", agent.addresses);
        }
    }

    /// What holds when nobody wants anything any more: nothing is left anywhere.
    pub(crate) fn check_empty(&self) {
        self.check();
        for (index, laptop) in self.laptops.iter().enumerate() {
            let machine = laptop.machine.as_ref().expect("it runs");
            assert!(machine.bindings(self.now()).is_empty(), "laptop {index}");
            assert!(laptop.tunnels.is_empty(), "laptop {index}");
            assert!(machine.snapshot(self.now()).is_empty(), "laptop {index}");
            assert_eq!(machine.poll_timeout(), None, "laptop {index}");
        }
        for agent in &self.agents {
            let machine = agent.machine.as_ref().expect("it runs");
            for usage in machine.pool_usage() {
                assert_eq!((usage.used, usage.held_down), (0, 0), "{}", usage.prefix);
            }
            assert!(agent.tunnels.is_empty(), "{:?}", agent.addresses);
        }
    }
}
