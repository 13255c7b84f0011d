//! Bringing the kernel to what it should hold, whatever it holds: after a start, and when another
//! program has removed something.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::IpNet;
use netlink_packet_route::route::RouteMessage;

use super::super::bindings::{Binding, Bindings};
use super::super::device;
use super::super::elements::Element;
use super::super::message::Message;
use super::super::routes::{self, Wrap};
use super::super::ruleset;
use super::address;
use super::state::State;
use crate::Error;
use crate::netlink::home_agent::unreachable_routes;
use crate::netlink::messages::Route;

impl State {
    /// The `unreachable` routes, and none of ours beside them but those that wrap.
    pub(super) fn guard(&mut self, present: &[RouteMessage]) -> Result<usize, Error> {
        let pools: Vec<_> = self.config.pools.iter().copied().map(IpNet::V4).collect();
        let mut missing: BTreeSet<Route> = unreachable_routes(&pools).collect();
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
    pub(super) fn take_over(&mut self, wraps: &[(Wrap, u32)]) -> Result<(), Error> {
        let marks = self
            .elements
            .list(ruleset::CARE_OF)?
            .into_iter()
            .filter_map(|present| {
                let mark = present.element.value?.try_into().ok()?;
                Some((address(&present.element.key)?, u32::from_ne_bytes(mark)))
            })
            .collect();
        let pairs = self
            .elements
            .list(ruleset::BINDINGS)?
            .into_iter()
            .filter_map(|present| {
                let (mark, home) = present.element.key.split_first_chunk()?;
                Some((u32::from_ne_bytes(*mark), address(home)?))
            })
            .collect();
        let (mine, others): (Vec<(Wrap, u32)>, Vec<_>) =
            wraps.iter().partition(|(_, index)| *index == self.index);
        let routed = mine
            .into_iter()
            .map(|(wrap, _)| {
                let binding = Binding {
                    local: wrap.local,
                    remote: wrap.remote,
                    former: None,
                };
                (wrap.home, binding)
            })
            .collect();
        let mut surplus: Vec<Message> = others
            .into_iter()
            .map(|(wrap, index)| wrap.remove(index))
            .collect();
        self.routes.change("remove a route", &mut surplus)?;
        self.bindings = Bindings::take_over(&marks, &pairs, &routed);
        self.unclaimed = self.bindings.homes().collect();
        self.reconcile().map(drop)
    }

    /// Brings the elements in the kernel to what the bindings need, and tells how many were missing.
    pub(super) fn reconcile(&mut self) -> Result<usize, Error> {
        let mut surplus = Vec::new();
        let mut missing = self.bindings.all_elements();
        for set in ruleset::SETS {
            for present in self.elements.list(set)? {
                if !missing.remove(&present.element) {
                    surplus.push(present.element);
                }
            }
        }
        let missing: Vec<Element> = missing.into_iter().collect();
        // A care-of address with another mark must go before it can come.
        self.elements.change(&[], &surplus)?;
        self.elements.change(&missing, &[])?;
        self.doubtful = false;
        Ok(missing.len())
    }

    /// The table with its rules, peers and elements, whatever became of it.
    pub(super) fn restore_table(&mut self) -> Result<usize, Error> {
        self.install_rules()?;
        self.reconcile()
    }

    pub(super) fn repair_routes(&mut self, present: routes::Present) -> Result<usize, Error> {
        match device::get(&mut self.routes, self.index)? {
            None => return Err(Error::NoDevice(self.config.device.clone())),
            Some(device) if !device.up => device::bring_up(&mut self.routes, self.index)?,
            Some(_) => {}
        }
        let added = self.guard(&present.others)?;
        let mut missing: BTreeMap<Ipv4Addr, Wrap> = self
            .bindings
            .homes()
            .filter_map(|home| {
                let binding = self.bindings.get(home)?;
                let wrap = Wrap {
                    home,
                    local: binding.local,
                    remote: binding.remote,
                };
                Some((home, wrap))
            })
            .collect();
        for (wrap, index) in present.wraps {
            if index == self.index && missing.get(&wrap.home) == Some(&wrap) {
                missing.remove(&wrap.home);
            }
        }
        let mut messages: Vec<Message> = missing
            .values()
            .map(|wrap| wrap.install(self.index))
            .collect();
        let refused = self.routes.change("add a route again", &mut messages)?;
        Ok(added + messages.len() - refused.len())
    }
}
