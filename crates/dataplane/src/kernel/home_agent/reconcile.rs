//! Bringing the kernel to what it should hold, whatever it holds: after a start, and when another
//! program has removed something.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_route::route::RouteMessage;

use super::super::bindings::{Bindings, Completion};
use super::super::device;
use super::super::elements::Element;
use super::super::message::Message;
use super::super::routes::{self, Wrap};
use super::super::ruleset;
use super::state::State;
use crate::Error;
use crate::netlink::home_agent::unreachable_routes;
use crate::netlink::messages::Route;

impl State {
    /// The `unreachable` routes, and none of ours beside them but those that wrap.
    pub(super) fn guard(&mut self, present: &[RouteMessage]) -> Result<usize, Error> {
        let mut missing: BTreeSet<Route> = unreachable_routes(&self.pools).collect();
        let mut surplus = Vec::new();
        for message in present {
            if !Route::from_message(message).is_some_and(|route| missing.remove(&route)) {
                surplus.push(routes::remove(message));
            }
        }
        let missing: Vec<Route> = missing.into_iter().collect();
        let mut added: Vec<Message> = missing.iter().map(routes::add).collect();
        let attempt = "make the pool unreachable";
        let refused = self.routes.change(attempt, &mut added)?;
        if let Some((at, source)) = refused.into_iter().next() {
            let error = Error::Netlink {
                attempt: attempt.to_owned(),
                source,
            };
            return Err(match missing.get(at) {
                Some(route) if error.is_present() => Error::RouteTaken {
                    destination: route.destination,
                    table: route.table,
                },
                _ => error,
            });
        }
        // What could not be removed was not there any longer.
        self.routes.change("remove a route", &mut surplus)?;
        Ok(missing.len())
    }

    /// The bindings of a former run: those that its routes and the packet filter agree about.
    pub(super) fn take_over(&mut self, wraps: Vec<(Wrap, u32)>) -> Result<(), Error> {
        let (mine, others): (Vec<_>, Vec<_>) = wraps
            .into_iter()
            .partition(|(wrap, index)| self.devices.get(&wrap.family()) == Some(index));
        let mut surplus: Vec<Message> = others
            .into_iter()
            .map(|(wrap, index)| wrap.remove(index))
            .collect();
        self.routes.change("remove a route", &mut surplus)?;
        let present = self.present_elements()?;
        self.bindings = Bindings::take_over(&present, mine.into_iter().map(|(wrap, _)| wrap));
        self.unclaimed = self.bindings.homes().collect();
        self.complete(&present).map(drop)
    }

    /// Brings the elements in the kernel to what the bindings need, and tells how many were missing.
    pub(super) fn reconcile(&mut self) -> Result<usize, Error> {
        let present = self.present_elements()?;
        self.complete(&present)
    }

    /// The elements that say who may send what, and what is limited. Those that count are not asked for: each message of the
    /// kernel's begins its search at the first element, so that long lists take their time.
    fn present_elements(&mut self) -> Result<BTreeSet<Element>, Error> {
        let mut elements = Vec::new();
        let families: Vec<_> = self.families().collect();
        for sets in families.into_iter().map(ruleset::sets) {
            for set in [sets.care_of, sets.bindings, sets.unproven] {
                let present = self.elements.list(set)?;
                elements.extend(present.into_iter().map(|present| present.element));
            }
        }
        Ok(elements.into_iter().collect())
    }

    fn complete(&mut self, present: &BTreeSet<Element>) -> Result<usize, Error> {
        let Completion {
            uncertain,
            surplus,
            missing,
            count,
        } = self.bindings.completion(present);
        // What may be there or not must be there to be removed; what counts goes on counting when it
        // is added again. A care-of address with another mark must go before it can come.
        self.elements.change(&uncertain, &[])?;
        self.elements.change(&[], &surplus)?;
        self.elements.change(&missing, &[])?;
        self.doubtful = false;
        Ok(count)
    }

    /// The table with its rules, peers and elements, whatever became of it.
    pub(super) fn restore_table(&mut self) -> Result<usize, Error> {
        self.install_rules()?;
        self.reconcile()
    }

    pub(super) fn repair_routes(&mut self, present: routes::Present) -> Result<usize, Error> {
        for (family, index) in &self.devices {
            match device::get(&mut self.routes, *index)? {
                None => return Err(Error::NoDevice(self.rules.device(*family))),
                Some(device) if !device.up => device::bring_up(&mut self.routes, *index)?,
                Some(_) => {}
            }
        }
        let added = self.guard(&present.others)?;
        let mut missing: BTreeMap<_, Wrap> = self
            .bindings
            .all()
            .map(|binding| (binding.wrap.home(), binding.wrap))
            .collect();
        for (wrap, index) in present.wraps {
            if self.devices.get(&wrap.family()) == Some(&index)
                && missing.get(&wrap.home()) == Some(&wrap)
            {
                missing.remove(&wrap.home());
            }
        }
        let mut messages: Vec<Message> = missing
            .values()
            .filter_map(|wrap| self.install(wrap))
            .collect();
        let refused = self.routes.change("add a route again", &mut messages)?;
        Ok(added + messages.len() - refused.len())
    }
}
