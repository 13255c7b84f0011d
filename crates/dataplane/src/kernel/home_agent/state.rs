//! What the home agent's end is made of, and how it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, Tunnel};

use super::super::bindings::{Binding, Bindings};
use super::super::channel::Channel;
use super::super::device::{self, Device};
use super::super::elements::Elements;
use super::super::message::Message;
use super::super::program::remove_table;
use super::super::routes::{self, Wrap};
use super::super::{ipv4, ipv4_prefixes, ruleset};
use super::HomeAgentConfig;
use crate::error::Errors;
use crate::netlink::sysctl::Setting;
use crate::{Error, Failure};

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: HomeAgentConfig,
    pub(super) index: u32,
    pub(super) routes: Channel,
    pub(super) elements: Elements,
    pub(super) bindings: Bindings,
    /// Taken over from a former run and not claimed yet.
    pub(super) unclaimed: BTreeSet<Ipv4Addr>,
    /// The peers of all home addresses, once the first binding has told.
    pub(super) correspondents: Option<Arc<[IpNet]>>,
    /// A transaction has failed: kernel and bindings may differ.
    pub(super) doubtful: bool,
    /// Counts changes of bindings.
    pub(super) round: u64,
}

impl State {
    /// Order matters: nothing is carried before it is checked.
    pub(super) fn serve(&mut self, device: &Device) -> Result<(), Error> {
        let present = routes::list(&mut self.routes)?;
        self.guard(&present.others)?;
        self.install_rules()?;
        self.take_over(&present.wraps)?;
        // The way back to a home address is this device; whatever else comes out of it is false, even
        // while somebody has flushed the packet filter.
        Setting::ipv4_device(&self.config.device, "rp_filter").set("1")?;
        if !device.up {
            device::bring_up(&mut self.routes, self.index)?;
        }
        Ok(())
    }

    pub(super) fn install_rules(&self) -> Result<(), Error> {
        let correspondents = self.correspondents.as_ref().map(|all| ipv4_prefixes(all));
        self.config
            .rules()
            .install(correspondents.as_deref())
            .map_err(Error::PacketFilter)
    }

    pub(super) fn apply(
        &mut self,
        changes: impl IntoIterator<Item = DataplaneChange>,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut after = BTreeMap::new();
        for change in changes {
            let (home_address, result) = match &change {
                DataplaneChange::Install(tunnel) => (tunnel.home_address, self.understand(tunnel)),
                DataplaneChange::Remove(home_address) => (
                    *home_address,
                    ipv4(home_address.ip()).map(|home| (home, None)),
                ),
            };
            match result {
                Ok((home, binding)) => {
                    self.unclaimed.remove(&home);
                    after.insert(home, binding);
                }
                Err(error) => failures.push(Failure {
                    home_address,
                    error,
                }),
            }
        }
        failures.extend(self.exchange(after));
        failures
    }

    /// What an install asks for. The first one tells the peers of all.
    fn understand(&mut self, tunnel: &Tunnel) -> Result<(Ipv4Addr, Option<Binding>), Error> {
        let home = ipv4(tunnel.home_address.ip())?;
        let binding = Binding {
            local: ipv4(tunnel.endpoints.local)?,
            remote: ipv4(tunnel.endpoints.remote)?,
            former: tunnel.former_remote.map(ipv4).transpose()?,
        };
        match &self.correspondents {
            Some(known)
                if Arc::ptr_eq(known, &tunnel.correspondents)
                    || *known == tunnel.correspondents => {}
            Some(_) => return Err(Error::CorrespondentsDiffer),
            None => {
                ruleset::set_correspondents(&ipv4_prefixes(&tunnel.correspondents))
                    .map_err(Error::PacketFilter)?;
                self.correspondents = Some(Arc::clone(&tunnel.correspondents));
            }
        }
        Ok((home, Some(binding)))
    }

    /// First the packet filter takes in from the new addresses, then packets go there: at a move
    /// nothing is lost.
    pub(super) fn exchange(&mut self, after: BTreeMap<Ipv4Addr, Option<Binding>>) -> Vec<Failure> {
        self.round = self.round.wrapping_add(1);
        let way = |home: Ipv4Addr, binding: Option<Binding>| {
            binding.map(|binding| Wrap {
                home,
                local: binding.local,
                remote: binding.remote,
            })
        };
        let former: Vec<Option<Wrap>> = after
            .keys()
            .map(|home| way(*home, self.bindings.get(*home)))
            .collect();
        let difference = self.bindings.exchange(&after);
        let changed = if self.doubtful {
            self.reconcile().map(drop)
        } else {
            self.elements
                .change(&difference.add, &difference.remove)
                .or_else(|error| {
                    tracing::warn!(%error, "the packet filter is not as it was left; comparing all of it");
                    self.doubtful = true;
                    self.restore_table().map(drop)
                })
        };
        let mut failures = Vec::new();
        if let Err(error) = changed {
            let error = Arc::new(error);
            failures.extend(after.keys().map(|home| Failure {
                home_address: (*home).into(),
                error: Error::Shared(Arc::clone(&error)),
            }));
        }
        let mut homes = Vec::new();
        let mut messages = Vec::new();
        for ((home, binding), former) in after.into_iter().zip(former) {
            let now = way(home, binding);
            if now == former {
                continue;
            }
            match (now, former) {
                (Some(now), _) => messages.push(now.install(self.index)),
                (None, Some(former)) => messages.push(former.remove(self.index)),
                (None, None) => continue,
            }
            homes.push((home, now.is_none()));
        }
        let attempt = "change the route of a home address";
        match self.routes.change(attempt, &mut messages) {
            Ok(refused) => {
                for (at, source) in refused {
                    let error = Error::Netlink {
                        attempt: attempt.to_owned(),
                        source,
                    };
                    match homes.get(at) {
                        Some((_, true)) if error.is_absent() => {}
                        Some((home, _)) => failures.push(Failure {
                            home_address: (*home).into(),
                            error,
                        }),
                        None => {}
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                failures.extend(homes.into_iter().map(|(home, _)| Failure {
                    home_address: home.into(),
                    error: Error::Shared(Arc::clone(&error)),
                }));
            }
        }
        failures
    }

    /// The device takes its routes along; the `unreachable` ones outlive it, so that no packet to the
    /// pool takes the default route meanwhile.
    pub(super) fn remove(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        errors.note(device::delete(&mut self.routes, self.index));
        errors.note(remove_table(&mut self.elements, ruleset::TABLE));
        if let Some(present) = errors.note(routes::list(&mut self.routes)) {
            let wraps = present
                .wraps
                .iter()
                .map(|(wrap, index)| wrap.remove(*index));
            let others = present.others.iter().map(routes::remove);
            let mut messages: Vec<Message> = wraps.chain(others).collect();
            errors.note(self.routes.change("remove a route", &mut messages));
        }
        errors.into_result()
    }
}
