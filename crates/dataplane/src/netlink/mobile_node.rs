//! The mobile node's part of the kernel's tables: which sockets take a home address as their
//! source, and where packets from a home address go.
//!
//! Rules, in the order in which the kernel asks them (all behind `local`, all before `main`):
//!
//! | preference | rule | why |
//! |---|---|---|
//! | [`MARKED_PREFERENCE`] | `fwmark` ours: main table | our own packets go by the access network |
//! | [`MARKED_SKIP_PREFERENCE`] | `fwmark` ours: go to [`END_PREFERENCE`] | where main has no route, the host's further rules answer, never our capture |
//! | [`HOME_ADDRESS_PREFERENCE`] | `from` each home address: [`HOME_ADDRESS_TABLE`] | correspondents by the tunnel, everything else `unreachable`: a home address never leaks |
//! | [`CAPTURE_PREFERENCE`] | `from 0.0.0.0/32`: [`CAPTURE_TABLE`] | sockets with no source yet take the home address toward a correspondent |
//! | [`END_PREFERENCE`] | nothing | where marked packets go on |
//!
//! The rules that look at the source hold for this host's own packets (`iif lo`), so forwarded
//! traffic is left alone. Sockets that have a source keep it: TCP sessions, and UDP sockets that are
//! connected or bound, stay on the access address they began with. A UDP socket that is neither
//! chooses per packet, and moves. One rule and a route per correspondent do the same as a rule per
//! correspondent, and the number of rules that every packet of the host passes stays the same.
//!
//! Home addresses stand on the loopback device, and so outlive the tunnel device, which vanishes
//! with the agent's process. When the agent dies, the routes through the device are gone before
//! anybody can see the process dead: new sockets connect plainly at once. Sessions keep a valid
//! source; their packets meet the `unreachable` end and wait. The next start makes the device again,
//! and [`Routes::install`] the routes.
//!
//! Reverse path filtering is set to 0 on our device alone. The stricter of that and `all` holds;
//! the strict check passes as well, since the way back from a home address to its correspondent is
//! our device. What the filter would look for is checked by the tunnel itself.

mod claims;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use mobility_protocol::{HomeAddress, Tunnel};

use self::claims::{Claim, Claims};
use super::messages::{Action, LOOPBACK_INDEX, MAIN_TABLE, Route, RouteKind, Rule, Selector};
use super::reconcile::{Surplus, Tables};
use super::sysctl::Setting;
use super::{Link, Netlink};
use crate::Error;
use crate::error::Errors;

/// The rule that sends our own packets to the main table.
pub const MARKED_PREFERENCE: u32 = 100;
/// The rule that takes our own packets past the capture.
pub const MARKED_SKIP_PREFERENCE: u32 = 101;
/// The rules that send packets from a home address to [`HOME_ADDRESS_TABLE`].
pub const HOME_ADDRESS_PREFERENCE: u32 = 102;
/// The rule that sends packets without a source to [`CAPTURE_TABLE`].
pub const CAPTURE_PREFERENCE: u32 = 103;
/// The rule at which our own packets go on.
pub const END_PREFERENCE: u32 = 104;

/// The routing table of packets from a home address.
pub const HOME_ADDRESS_TABLE: u32 = 4340;
/// The routing table that gives sockets their home address.
pub const CAPTURE_TABLE: u32 = 4341;

/// The metric of the route that ends [`HOME_ADDRESS_TABLE`]: any other is preferred to it.
const UNREACHABLE_METRIC: u32 = u32::MAX;

/// No device has this index.
const NO_DEVICE: u32 = 0;

const TABLES: [u32; 2] = [HOME_ADDRESS_TABLE, CAPTURE_TABLE];

/// Addresses, routes and rules of the bindings. Every verb may be repeated.
#[derive(Debug)]
pub struct Routes {
    netlink: Netlink,
    device: String,
    mtu: u16,
    carried: Option<Carried>,
    claims: Claims,
}

/// By which devices packets go, from [`Routes::prepare`] or [`Routes::prepare_rules`] to
/// [`Routes::cleanup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// All by one, which has this index.
    By(u32),
    /// Each home address by one of its own.
    Separately,
}

impl Routes {
    /// Nothing is touched yet.
    #[must_use]
    pub fn new(netlink: Netlink, device: impl Into<String>, mtu: u16) -> Self {
        Self {
            netlink,
            device: device.into(),
            mtu,
            carried: None,
            claims: Claims::default(),
        }
    }

    /// What precedes the first binding: the device is up with its settings, and the rules that don't
    /// depend on a binding stand. What a former run left stays until [`Routes::settle`].
    ///
    /// # Errors
    /// [`Error::NoDevice`] when nobody has made the device, [`Error::Sysctl`], [`Error::Netlink`],
    /// [`Error::Timeout`], [`Error::Several`].
    pub async fn prepare(&mut self) -> Result<(), Error> {
        let link = self.link().await?;
        Setting::ipv4_device(&self.device, "rp_filter").set("0")?;
        self.netlink.bring_up(&link, self.mtu).await?;
        self.claims.lead_to(link.index);
        self.carried = Some(Carried::By(link.index));
        self.netlink
            .reconcile(&TABLES, &self.tables(), Surplus::Keep)
            .await
            .map(drop)
    }

    /// As [`Routes::prepare`], where each home address has a device of its own, which whoever calls
    /// [`Routes::install_through`] has made.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`], [`Error::Several`].
    pub async fn prepare_rules(&mut self) -> Result<(), Error> {
        self.carried = Some(Carried::Separately);
        self.netlink
            .reconcile(&TABLES, &self.tables(), Surplus::Keep)
            .await
            .map(drop)
    }

    /// Whether [`Routes::install`] would accept this tunnel, without touching anything.
    ///
    /// # Errors
    /// [`Error::CorrespondentTaken`], [`Error::NotIpv4`].
    pub fn check(&self, tunnel: &Tunnel) -> Result<(), Error> {
        self.claims.check(tunnel, NO_DEVICE).map(drop)
    }

    /// Gives this host the home address, and its correspondents the way through the tunnel. For a
    /// home address that is installed, the correspondents become these; when they are the same,
    /// nothing is touched.
    ///
    /// # Errors
    /// [`Error::CorrespondentTaken`] when another tunnel has one of the correspondents,
    /// [`Error::NotIpv4`], [`Error::NoDevice`] before [`Routes::prepare`], [`Error::RouteTaken`],
    /// [`Error::Netlink`], [`Error::Timeout`]. After an error the home address is as it was before.
    pub async fn install(&mut self, tunnel: &Tunnel) -> Result<(), Error> {
        match self.carried {
            Some(Carried::By(index)) => self.install_through(tunnel, index).await,
            _ => Err(Error::NoDevice(self.device.clone())),
        }
    }

    /// As [`Routes::install`], through the device of this index.
    ///
    /// # Errors
    /// As [`Routes::install`].
    pub async fn install_through(&mut self, tunnel: &Tunnel, index: u32) -> Result<(), Error> {
        let claim = self.claims.check(tunnel, index)?;
        let before = self.claims.get(tunnel.home_address).cloned();
        if before.as_ref() == Some(&claim) {
            return Ok(());
        }
        let result = self.exchange(before.as_ref(), &claim).await;
        if let Err(error) = result {
            let undone = match &before {
                Some(before) => self.exchange(Some(&claim), before).await,
                None => self.withdraw(&claim).await,
            };
            if let Err(undo) = undone {
                tracing::warn!(home_address = %tunnel.home_address, error = %undo, "an incomplete change could not be undone");
            }
            return Err(error);
        }
        self.claims.insert(tunnel.home_address, claim);
        Ok(())
    }

    /// Takes the home address and its routes away. One that is not installed is no error.
    ///
    /// # Errors
    /// What could not be removed; the rest was.
    pub async fn remove(&mut self, home_address: HomeAddress) -> Result<(), Error> {
        match self.claims.remove(home_address) {
            Some(claim) => self.withdraw(&claim).await,
            None => Ok(()),
        }
    }

    /// Removes what a former run left and no binding wants.
    ///
    /// # Errors
    /// What could not be removed; the rest was.
    pub async fn settle(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        // Before the rule that keeps packets from an address off the access network goes, nothing can
        // be sent from it any longer.
        let present = self.netlink.addresses(Some(LOOPBACK_INDEX)).await;
        for found in errors.note(present).unwrap_or_default() {
            if found.ours && !self.claims.holds(found.address) {
                errors.note(self.netlink.remove_home_address(found.address).await);
            }
        }
        let wanted = if self.carried.is_some() {
            self.tables()
        } else {
            Tables::default()
        };
        errors.note(
            self.netlink
                .reconcile(&TABLES, &wanted, Surplus::Remove)
                .await,
        );
        errors.into_result()
    }

    /// Adds again what another program removed; tells how many routes, rules and addresses that were.
    /// Does nothing before [`Routes::prepare`].
    ///
    /// # Errors
    /// [`Error::NoDevice`] when the device has gone, and those of [`Routes::prepare`].
    pub async fn repair(&mut self) -> Result<usize, Error> {
        match self.carried {
            None => return Ok(0),
            Some(Carried::By(_)) => {
                let link = self.link().await?;
                self.claims.lead_to(link.index);
                self.carried = Some(Carried::By(link.index));
                if !link.up {
                    self.netlink.bring_up(&link, self.mtu).await?;
                }
            }
            Some(Carried::Separately) => self.bring_devices_up().await?,
        }
        let present = self.netlink.addresses(Some(LOOPBACK_INDEX)).await?;
        let mut errors = Errors::default();
        let mut added = 0;
        for claim in self.claims.iter() {
            if !present.iter().any(|found| found.address == claim.address) {
                let address = self.netlink.add_home_address(claim.address).await;
                added += usize::from(errors.note(address).is_some());
            }
        }
        let tables = self.tables();
        let routes = self
            .netlink
            .reconcile(&TABLES, &tables, Surplus::Keep)
            .await;
        added += errors.note(routes).unwrap_or_default();
        errors.into_result().map(|()| added)
    }

    /// Removes everything of ours, also what a former run left: rules, routes and addresses. The
    /// device belongs to the backend. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn cleanup(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        // In the order that never shows a home address to the access network.
        for claim in std::mem::take(&mut self.claims).into_values() {
            errors.note(self.withdraw(&claim).await);
        }
        self.carried = None;
        errors.note(self.settle().await);
        errors.into_result()
    }

    /// From one claim of a home address to the next. Nothing can be sent from the address before its
    /// rule stands, and what a packet needs stands before anything leads a socket there.
    async fn exchange(&self, before: Option<&Claim>, after: &Claim) -> Result<(), Error> {
        let mut errors = Errors::default();
        // Through another device every route is another one.
        let known = before.filter(|before| before.device == after.device);
        let kept = known.map(|known| &known.correspondents);
        let former = before
            .into_iter()
            .flat_map(|before| before.correspondents.iter().map(move |one| (before, *one)));
        for (before, correspondent) in former {
            if kept.is_none() || !after.correspondents.contains(&correspondent) {
                errors.note(self.withdraw_correspondent(before, correspondent).await);
            }
        }
        errors.into_result()?;
        self.netlink
            .add_rule(&home_address_rule(after.address))
            .await?;
        self.netlink.add_home_address(after.address).await?;
        for &correspondent in &after.correspondents {
            if kept.is_some_and(|kept| kept.contains(&correspondent)) {
                continue;
            }
            for route in correspondent_routes(after, correspondent) {
                self.netlink.add_route(&route).await?;
            }
        }
        Ok(())
    }

    /// The reverse: first no socket is led there any longer, then nothing can be sent from the
    /// address, then the rest goes.
    async fn withdraw(&self, claim: &Claim) -> Result<(), Error> {
        let mut errors = Errors::default();
        for &correspondent in &claim.correspondents {
            let [_, capture] = correspondent_routes(claim, correspondent);
            errors.note(self.netlink.remove_route(&capture).await);
        }
        errors.note(self.netlink.remove_home_address(claim.address).await);
        errors.note(
            self.netlink
                .remove_rule(&home_address_rule(claim.address))
                .await,
        );
        for &correspondent in &claim.correspondents {
            let [tunnel, _] = correspondent_routes(claim, correspondent);
            errors.note(self.netlink.remove_route(&tunnel).await);
        }
        errors.into_result()
    }

    async fn withdraw_correspondent(
        &self,
        claim: &Claim,
        correspondent: Ipv4Net,
    ) -> Result<(), Error> {
        let mut errors = Errors::default();
        for route in correspondent_routes(claim, correspondent).iter().rev() {
            errors.note(self.netlink.remove_route(route).await);
        }
        errors.into_result()
    }

    async fn link(&self) -> Result<Link, Error> {
        let link = self.netlink.link_by_name(&self.device).await?;
        link.ok_or_else(|| Error::NoDevice(self.device.clone()))
    }

    async fn bring_devices_up(&self) -> Result<(), Error> {
        let devices: BTreeSet<u32> = self.claims.iter().map(|claim| claim.device).collect();
        for index in devices {
            match self.netlink.link_by_index(index).await? {
                Some(link) if !link.up => self.netlink.bring_up(&link, self.mtu).await?,
                Some(_) => {}
                None => return Err(Error::NoDevice(format!("with the index {index}"))),
            }
        }
        Ok(())
    }

    /// Everything that should stand now.
    fn tables(&self) -> Tables {
        let mut tables = Tables {
            routes: [end_of_home_addresses()].into(),
            rules: standing_rules().into(),
        };
        for claim in self.claims.iter() {
            tables.rules.insert(home_address_rule(claim.address));
            for &correspondent in &claim.correspondents {
                tables
                    .routes
                    .extend(correspondent_routes(claim, correspondent));
            }
        }
        tables
    }
}

fn standing_rules() -> [Rule; 4] {
    let rule = |preference, selector, action| Rule {
        preference,
        selector,
        action,
    };
    let unset = Selector::LocalSource(Ipv4Addr::UNSPECIFIED);
    [
        rule(
            MARKED_PREFERENCE,
            Selector::Marked,
            Action::Table(MAIN_TABLE),
        ),
        rule(
            MARKED_SKIP_PREFERENCE,
            Selector::Marked,
            Action::Goto(END_PREFERENCE),
        ),
        rule(CAPTURE_PREFERENCE, unset, Action::Table(CAPTURE_TABLE)),
        rule(END_PREFERENCE, Selector::All, Action::Nop),
    ]
}

fn home_address_rule(address: Ipv4Addr) -> Rule {
    Rule {
        preference: HOME_ADDRESS_PREFERENCE,
        selector: Selector::LocalSource(address),
        action: Action::Table(HOME_ADDRESS_TABLE),
    }
}

fn end_of_home_addresses() -> Route {
    Route {
        table: HOME_ADDRESS_TABLE,
        destination: Ipv4Net::default(),
        metric: UNREACHABLE_METRIC,
        kind: RouteKind::Unreachable,
    }
}

/// The route of packets from the home address, and the one that gives sockets the home address.
fn correspondent_routes(claim: &Claim, destination: Ipv4Net) -> [Route; 2] {
    let index = claim.device;
    let route = |table, source| Route {
        table,
        destination,
        metric: 0,
        kind: RouteKind::Device { index, source },
    };
    [
        route(HOME_ADDRESS_TABLE, None),
        route(CAPTURE_TABLE, Some(claim.address)),
    ]
}
