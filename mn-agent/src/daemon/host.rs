//! What the host says: paths, sockets, tunnels. Its answers go to the machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use mobility_protocol::mobile_node::{Surroundings, Usage};
use mobility_protocol::{HomeAddress, HomeAgentAddress};

use super::{DATAPLANE_FAILURES, Daemon};

impl Daemon {
    pub(super) async fn look_at_paths(&mut self) {
        if let Err(error) = self.dataplane.refresh_ways().await {
            self.netlink_failed(&error);
        }
        if let Err(error) = self.look_around().await {
            self.netlink_failed(&error);
        }
        for agent in self.machine.agents() {
            self.look_at_path(agent).await;
        }
    }

    async fn look_around(&mut self) -> Result<(), dataplane::Error> {
        let monitor = self.dataplane.monitor();
        let local = monitor.local_addresses().await?;
        self.surroundings = Surroundings {
            addresses: local.iter().map(|local| local.address).collect(),
            networks: local.iter().map(|local| local.network).collect(),
            neighbours: monitor.default_routers().await?,
        };
        self.tell_surroundings();
        Ok(())
    }

    /// Name servers may change without a report of the kernel.
    pub(super) fn tell_surroundings(&mut self) {
        let mut surroundings = self.surroundings.clone();
        let name_servers = self.relay.upstream();
        surroundings
            .neighbours
            .extend(name_servers.iter().map(SocketAddr::ip));
        self.machine.handle_surroundings(surroundings);
    }

    /// Asks the kernel how it would reach the home agent now; its answer decides, not the event
    /// that made us ask.
    pub(super) async fn look_at_path(&mut self, agent: HomeAgentAddress) {
        let monitor = self.dataplane.monitor();
        let preferred = match monitor.preferred_path(agent).await {
            Ok(preferred) => preferred,
            Err(error) => return self.netlink_failed(&error),
        };
        let current_usable = match self
            .in_use
            .values()
            .find(|(whose, _)| *whose == agent)
            .map(|(_, path)| path)
        {
            Some(current) if Some(*current) == preferred => true,
            Some(current) => match monitor.is_usable(*current).await {
                Ok(usable) => usable,
                Err(error) => return self.netlink_failed(&error),
            },
            None => false,
        };
        self.machine
            .handle_path(agent, preferred, current_usable, Instant::now());
    }

    pub(super) fn sockets_ended(&mut self, home_addresses: &BTreeSet<HomeAddress>, overrun: bool) {
        for (home_address, (agent, _)) in &self.in_use {
            if overrun || home_addresses.contains(home_address) {
                self.looks.want(*home_address, *agent);
            }
        }
    }

    /// As far as there is a reason to.
    pub(super) async fn look_at_sockets(&mut self, now: Instant) {
        let wanted = self.looks.take(now);
        if wanted.is_empty() {
            return;
        }
        let home_addresses = wanted.keys().copied().collect();
        match self.dataplane.sockets().in_use(&home_addresses).await {
            Ok(in_use) => {
                for (home_address, agent) in wanted {
                    let usage = match in_use.contains(&home_address) {
                        true => Usage::Sockets,
                        false => Usage::None,
                    };
                    self.machine.handle_usage(agent, usage, Instant::now());
                }
            }
            Err(error) => self.netlink_failed(&error),
        }
    }

    pub(super) async fn look_after_tunnels(&mut self) {
        if !self.dataplane.is_running() {
            tracing::warn!("somebody removed the tunnel device; making it anew");
            self.count("dataplane_revivals");
            for failure in self.dataplane.revive().await {
                self.count(DATAPLANE_FAILURES);
                tracing::error!(error = %failure, "the data path could not be changed");
            }
        }
        let now = Instant::now();
        for view in self.machine.bindings(now) {
            if let Some(home_address) = view.home_address
                && let Some(traffic) = self.dataplane.traffic(home_address)
            {
                self.machine.handle_traffic(
                    view.agent,
                    traffic.packets_out,
                    traffic.packets_in,
                    now,
                );
            }
        }
    }

    fn netlink_failed(&mut self, error: &dataplane::Error) {
        self.count("netlink_failures");
        tracing::warn!(%error, "the kernel could not be asked");
    }
}
