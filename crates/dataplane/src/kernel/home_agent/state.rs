//! What the home agent's end is made of, and how it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mobility_protocol::{DataplaneChange, Family, Reachability, Tunnel};

use super::super::bindings::{Binding, Bindings, limit};
use super::super::channel::Channel;
use super::super::cutter::{self, Cutter};
use super::super::device::{self, Device};
use super::super::elements::{Element, Elements};
use super::super::message::Message;
use super::super::program::remove_table;
use super::super::routes::{self, Wrap};
use super::super::ruleset::{self, Rules};
use super::credit::{Moves, Turns};
use crate::error::Errors;
use crate::{Error, Failure};

/// Everything the backend knows; one caller at a time.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pools: Vec<IpNet>,
    /// The index of each family's device.
    pub(super) devices: BTreeMap<Family, u32>,
    pub(super) rules: Rules,
    pub(super) routes: Channel,
    pub(super) elements: Elements,
    pub(super) bindings: Bindings,
    /// Taken over from a former run and not claimed yet.
    pub(super) unclaimed: BTreeSet<IpAddr>,
    /// What there is to know for credits.
    pub(super) moves: Moves,
    /// The peers of all home addresses, once the first binding has told.
    pub(super) correspondents: Option<Arc<[IpNet]>>,
    /// A transaction has failed: kernel and bindings may differ.
    pub(super) doubtful: bool,
    /// Counts changes of bindings.
    pub(super) round: u64,
    /// Where IPv6 is carried and the kernel lets us.
    pub(super) cutter: Option<Cutter>,
}

/// The table of the packet filter for narrow paths, and the number of its queue.
pub(super) const NARROW_TABLE: &str = "chad-narrow";
const NARROW_QUEUE: u16 = 4342;

impl State {
    /// The families that are carried.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        self.devices.keys().copied()
    }

    /// Order matters: nothing is carried before it is checked.
    pub(super) fn serve(&mut self, devices: &BTreeMap<Family, Device>) -> Result<(), Error> {
        let present = routes::list(&mut self.routes)?;
        self.guard(&present.others)?;
        self.install_rules()?;
        self.take_over(present.wraps)?;
        for (family, device) in devices {
            // The way back to a home address is this device; whatever else of IPv4 comes out of it is
            // false, even while somebody has flushed the packet filter.
            device::prepare(&device.name, *family, "1")?;
            if !device.up {
                device::bring_up(&mut self.routes, device.index)?;
            }
        }
        self.look_after_narrow_paths();
        Ok(())
    }

    /// Cuts what is too big for narrow paths of IPv6.
    fn look_after_narrow_paths(&mut self) {
        if !self.devices.contains_key(&Family::Ipv6) {
            return;
        }
        match Cutter::start(NARROW_TABLE, NARROW_QUEUE) {
            Ok(cutter) => self.cutter = Some(cutter),
            Err(error) => tracing::warn!(
                %error,
                "packets of IPv6 of 1241 to 1280 octets don't get through paths of less than 1320"
            ),
        }
    }

    pub(super) fn install_rules(&self) -> Result<(), Error> {
        self.rules
            .install(self.correspondents.as_deref())
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
                DataplaneChange::Install(tunnel) => {
                    // Another binding, which does not inherit the credit of the one that goes.
                    if after.get(&tunnel.home_address.ip()) == Some(&None) {
                        failures.extend(self.exchange(std::mem::take(&mut after)));
                    }
                    (tunnel.home_address, self.understand(tunnel).map(Some))
                }
                DataplaneChange::Remove(home_address) => (*home_address, Ok(None)),
            };
            match result {
                Ok(binding) => {
                    self.unclaimed.remove(&home_address.ip());
                    after.insert(home_address.ip(), binding);
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
    fn understand(&mut self, tunnel: &Tunnel) -> Result<Binding, Error> {
        let home_address = tunnel.home_address;
        if !self.devices.contains_key(&home_address.family()) {
            return Err(Error::FamilyNotCarried(home_address.family()));
        }
        let (local, remote) = (tunnel.endpoints.local, tunnel.endpoints.remote);
        let wrap = Wrap::new(home_address.ip(), local, remote).ok_or(Error::MixedFamilies {
            home_address,
            local,
            remote,
        })?;
        let former = tunnel.former_remote;
        match &self.correspondents {
            Some(known)
                if Arc::ptr_eq(known, &tunnel.correspondents)
                    || *known == tunnel.correspondents => {}
            Some(_) => return Err(Error::CorrespondentsDiffer),
            None => {
                self.rules
                    .set_correspondents(&tunnel.correspondents)
                    .map_err(Error::PacketFilter)?;
                self.correspondents = Some(Arc::clone(&tunnel.correspondents));
            }
        }
        Ok(Binding {
            wrap,
            former,
            reachability: tunnel.reachability,
        })
    }

    /// First the packet filter takes in from the new addresses, and limits what goes to those that are
    /// not proven; then packets go there: at a move nothing is lost. What limited the addresses before
    /// goes last, when nothing goes there any longer.
    pub(super) fn exchange(
        &mut self,
        mut after: BTreeMap<IpAddr, Option<Binding>>,
    ) -> Vec<Failure> {
        self.round = self.round.wrapping_add(1);
        let former: BTreeMap<IpAddr, Option<Binding>> = after
            .keys()
            .map(|home| (*home, self.bindings.get(*home)))
            .collect();
        let turns = Turns::of(&self.bindings, &after);
        let mut difference = self.bindings.exchange(&after);
        self.give_credit(turns.unproven, &mut difference.add);
        let changed = if self.doubtful {
            difference.lift.clear();
            self.reconcile().map(drop)
        } else {
            self.elements
                .change(&difference.add, &difference.remove)
                .or_else(|error| {
                    tracing::warn!(%error, "the packet filter is not as it was left; comparing all of it");
                    difference.lift.clear();
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
            // What can't be limited stays where it was.
            let is_limited = |binding: &Option<Binding>| {
                binding.is_some_and(|binding| binding.reachability == Reachability::Unproven)
            };
            let kept: BTreeMap<_, _> = former
                .iter()
                .filter(|(home, _)| after.get(*home).is_some_and(is_limited))
                .map(|(home, binding)| (*home, *binding))
                .collect();
            after.retain(|_, binding| !is_limited(binding));
            self.bindings.exchange(&kept);
        }
        let mut unmoved = BTreeSet::new();
        let mut homes = Vec::new();
        let mut messages = Vec::new();
        for (home, binding) in after {
            let [now, former] = [binding, former.get(&home).copied().flatten()]
                .map(|binding| binding.map(|binding| binding.wrap));
            if now == former {
                continue;
            }
            let message = match (now, former) {
                (Some(now), _) => self.install(&now),
                (None, Some(former)) => self.uninstall(&former),
                (None, None) => None,
            };
            if let Some(message) = message {
                messages.push(message);
                homes.push((home, now.is_none()));
            }
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
                        Some((home, _)) => {
                            unmoved.insert(*home);
                            failures.push(Failure {
                                home_address: (*home).into(),
                                error,
                            });
                        }
                        None => {}
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                unmoved.extend(homes.iter().map(|(home, _)| *home));
                failures.extend(homes.into_iter().map(|(home, _)| Failure {
                    home_address: home.into(),
                    error: Error::Shared(Arc::clone(&error)),
                }));
            }
        }
        self.lift(difference.lift, &unmoved);
        self.moves.note(&mut self.elements, &turns.moved);
        failures
    }

    /// Turns the limits of these home addresses, which let nothing pass, into their credits.
    fn give_credit(&mut self, homes: Vec<IpAddr>, add: &mut [Element]) {
        let mut credits: BTreeMap<Element, u64> = homes
            .into_iter()
            .map(|home| {
                let credit = self.moves.credit(&mut self.elements, home);
                (limit(home), credit)
            })
            .collect();
        for element in add {
            element.quota = credits.remove(element).filter(|credit| *credit > 0);
        }
    }

    /// Removes limits, but for those of home addresses whose way is still the former one.
    fn lift(&mut self, mut limits: Vec<Element>, unmoved: &BTreeSet<IpAddr>) {
        for home in unmoved {
            self.bindings.limit(*home);
        }
        let kept: BTreeSet<Element> = unmoved.iter().copied().map(limit).collect();
        limits.retain(|limit| !kept.contains(limit));
        if let Err(error) = self.elements.change(&[], &limits) {
            // Those that went with the whole table are no loss; the others are looked for.
            tracing::warn!(%error, "what some care-of addresses may receive is still limited");
            self.doubtful = true;
        }
    }

    /// What makes this the way to its home address; `None` for a family that is not carried.
    pub(super) fn install(&self, wrap: &Wrap) -> Option<Message> {
        let device = self.devices.get(&wrap.family())?;
        Some(wrap.install(*device))
    }

    fn uninstall(&self, wrap: &Wrap) -> Option<Message> {
        let device = self.devices.get(&wrap.family())?;
        Some(wrap.remove(*device))
    }

    /// The devices take their routes along; the `unreachable` ones outlive it, so that no packet to the
    /// pool takes the default route meanwhile.
    pub(super) fn remove(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        for index in self.devices.values() {
            errors.note(device::delete(&mut self.routes, *index));
        }
        errors.note(remove_table(&mut self.elements, ruleset::TABLE));
        errors.note(match self.cutter.take() {
            Some(cutter) => cutter.stop(),
            None => cutter::remove_leftovers(NARROW_TABLE),
        });
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
