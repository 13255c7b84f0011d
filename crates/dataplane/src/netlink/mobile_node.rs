//! The mobile node's part of the kernel's tables: which sockets take a home address as their
//! source, and where packets from a home address go.
//!
//! Rules, in the order in which the kernel asks them (all behind `local`, all before `main`):
//!
//! | preference | rule | why |
//! |---|---|---|
//! | [`WAY_PREFERENCE`] | IPv6, the kernel's tunnels: `fwmark` ours: [`WAY_TABLE`] | a tunnel's packets go by the interface of their care-of address |
//! | [`MARKED_PREFERENCE`] | `fwmark` ours: main table | our own packets go by the access network |
//! | [`MARKED_SKIP_PREFERENCE`] | `fwmark` ours: go to [`END_PREFERENCE`] | where main has no route, the host's further rules answer, never our capture |
//! | [`HOME_ADDRESS_PREFERENCE`] | `from` each home address: [`HOME_ADDRESS_TABLE`] | correspondents by the tunnel, everything else `unreachable`: a home address never leaks |
//! | [`CAPTURE_PREFERENCE`] | IPv4: `from 0.0.0.0/32`: [`CAPTURE_TABLE`]. IPv6: every packet, but the routes of the table are `from ::/128` | sockets with no source yet take the home address toward a correspondent |
//! | [`CHOICE_PREFERENCE`] | IPv6: `from` each home address, or nothing yet and the kernel would choose it: [`HOME_ADDRESS_TABLE`] | on a host without another address the kernel would take the home address toward anybody |
//! | [`END_PREFERENCE`] | nothing | where marked packets go on |
//!
//! Why IPv6 differs: a rule of IPv6 with a source prefix does not match a packet without a source,
//! while a route does (`CONFIG_IPV6_SUBTREES`, which the distributions' kernels have). And the scope
//! of an IPv6 address follows from the address, so it can't be narrowed as on IPv4 to keep the kernel
//! from choosing it: it is deprecated, so any other address is chosen before it, and the rule of
//! [`CHOICE_PREFERENCE`] (`FIB_RULE_FIND_SADDR`) stops what is left, where there is none.
//!
//! The rules that look at the source hold for this host's own packets (`iif lo`), so forwarded
//! traffic is left alone. Sockets that have a source keep it: TCP sessions, and UDP sockets that are
//! connected or bound, stay on the access address they began with. A UDP socket that is neither
//! chooses per packet, and moves. One rule and a route per correspondent do the same as a rule per
//! correspondent, and the number of rules that every packet of the host passes stays the same.
//!
//! Home addresses of IPv4 stand on the loopback device, and so outlive the tunnel device, which
//! vanishes with the agent's process. The kernel sends nothing from an IPv4 address that it does not
//! have. From an IPv6 address it does, so there a session needs no more than its rule, and the home
//! address stands on the tunnel device: when nobody looks after it, nobody can take it. When the agent dies, the routes through the device are gone before
//! anybody can see the process dead: new sockets connect plainly at once. Sessions keep their
//! source; their packets meet the `unreachable` end and wait. The next start makes the device again,
//! and [`Routes::install`] the routes.
//!
//! Reverse path filtering is set to 0 on our device alone. The stricter of that and `all` holds;
//! the strict check passes as well, since the way back from a home address to its correspondent is
//! our device. What the filter would look for is checked by the tunnel itself.

mod claims;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mobility_protocol::{Family, HomeAddress, Tunnel};

use self::claims::{Claim, Claims};
use super::messages::{Action, MAIN_TABLE, Route, RouteKind, Rule, Selector, device_metric};
use super::reconcile::{Surplus, Tables};
use super::sysctl::Setting;
pub use super::ways::WAY_TABLE;
use super::ways::Ways;
use super::{Link, LocalAddress, Netlink};
use crate::Error;
use crate::error::Errors;

/// The rule that keeps the packets of the kernel's IPv6 tunnels on their interfaces.
pub const WAY_PREFERENCE: u32 = 99;
/// The rule that sends our own packets to the main table.
pub const MARKED_PREFERENCE: u32 = 100;
/// The rule that takes our own packets past the capture.
pub const MARKED_SKIP_PREFERENCE: u32 = 101;
/// The rules that send packets from a home address to [`HOME_ADDRESS_TABLE`].
pub const HOME_ADDRESS_PREFERENCE: u32 = 102;
/// The rule that sends packets without a source to [`CAPTURE_TABLE`].
pub const CAPTURE_PREFERENCE: u32 = 103;
/// The rules of IPv6 that keep the kernel from choosing a home address by itself.
pub const CHOICE_PREFERENCE: u32 = 104;
/// The rule at which our own packets go on.
pub const END_PREFERENCE: u32 = 105;

/// The routing table of packets from a home address.
pub const HOME_ADDRESS_TABLE: u32 = 4340;
/// The routing table that gives sockets their home address.
pub const CAPTURE_TABLE: u32 = 4341;

/// The metric of the route that ends [`HOME_ADDRESS_TABLE`]: any other is preferred to it.
const UNREACHABLE_METRIC: u32 = u32::MAX;

/// No device has this index.
const NO_DEVICE: u32 = 0;

const TABLES: [u32; 3] = [HOME_ADDRESS_TABLE, CAPTURE_TABLE, WAY_TABLE];

/// Addresses, routes and rules of the bindings. Every verb may be repeated.
#[derive(Debug)]
pub struct Routes {
    netlink: Netlink,
    device: String,
    mtu: u16,
    carried: Option<Carried>,
    claims: Claims,
    ways: Ways,
    /// Whether the standing rules of IPv6 are wanted: from the first binding of IPv6 to
    /// [`Routes::cleanup`]. A host that has IPv6 disabled could not have them all.
    ipv6: bool,
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
            ways: Ways::default(),
            ipv6: false,
        }
    }

    /// What precedes the first binding: the device is up with its settings, and the rules that don't
    /// depend on a binding stand; those of IPv6 come with the first binding of IPv6. What a former run
    /// left stays until [`Routes::settle`].
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
    /// [`Error::CorrespondentTaken`], [`Error::OtherFamily`].
    pub fn check(&self, tunnel: &Tunnel) -> Result<(), Error> {
        self.claims.check(tunnel, NO_DEVICE).map(drop)
    }

    /// Gives this host the home address, and its correspondents the way through the tunnel. For a
    /// home address that is installed, the correspondents become these; when they are the same,
    /// nothing is touched.
    ///
    /// # Errors
    /// [`Error::CorrespondentTaken`] when another tunnel has one of the correspondents,
    /// [`Error::OtherFamily`], [`Error::NoDevice`] before [`Routes::prepare`], [`Error::RouteTaken`],
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
        if self.carried == Some(Carried::Separately)
            && let Err(error) = self.ways.lead(&self.netlink, tunnel).await
        {
            tracing::warn!(home_address = %tunnel.home_address, %error, "the tunnel's packets may leave by another interface");
        }
        let before = self.claims.get(tunnel.home_address).cloned();
        if before.as_ref() == Some(&claim) {
            return Ok(());
        }
        if claim.address.is_ipv6() && !self.ipv6 {
            self.ipv6 = true;
            self.netlink
                .reconcile(&TABLES, &self.tables(), Surplus::Keep)
                .await?;
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
        let mut errors = Errors::default();
        if let Some(claim) = self.claims.remove(home_address) {
            errors.note(self.withdraw(&claim).await);
        }
        errors.note(self.ways.forget(&self.netlink, home_address).await);
        errors.into_result()
    }

    /// Removes what a former run left and no binding wants.
    ///
    /// # Errors
    /// What could not be removed; the rest was.
    pub async fn settle(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        // Before the rule that keeps packets from an address off the access network goes, nothing can
        // be sent from it any longer.
        let present = self.netlink.addresses(None).await;
        for found in errors.note(present).unwrap_or_default() {
            let (address, interface) = (found.address, found.interface);
            if found.ours && !self.claims.holds(address, interface) {
                errors.note(self.netlink.remove_home_address(address, interface).await);
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
        // The ways are no part of those tables: the kernel says each time what they are.
        errors.note(self.ways.refresh(&self.netlink).await);
        errors.into_result()
    }

    /// Keeps the tunnels' packets on their interfaces when routers have come or gone.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`], [`Error::Several`].
    pub async fn refresh_ways(&self) -> Result<(), Error> {
        self.ways.refresh(&self.netlink).await
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
        let present = self.netlink.addresses(None).await?;
        let mut errors = Errors::default();
        let mut added = 0;
        for claim in self.claims.iter() {
            let interface = claim.interface();
            let stands = |found: &LocalAddress| {
                found.address == claim.address && found.interface == interface
            };
            if !present.iter().any(stands) {
                let address = self.netlink.add_home_address(claim.address, interface);
                added += usize::from(errors.note(address.await).is_some());
            }
        }
        let tables = self.tables();
        let routes = self
            .netlink
            .reconcile(&TABLES, &tables, Surplus::Keep)
            .await;
        added += errors.note(routes).unwrap_or_default();
        errors.note(self.ways.refresh(&self.netlink).await);
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
        self.ipv6 = false;
        self.ways = Ways::default();
        errors.note(self.settle().await);
        errors.into_result()
    }

    /// From one claim of a home address to the next. Nothing can be sent from the address before its
    /// rule stands, and what a packet needs stands before anything leads a socket there.
    async fn exchange(&self, before: Option<&Claim>, after: &Claim) -> Result<(), Error> {
        let mut errors = Errors::default();
        // Through another device every route is another one.
        let former: Vec<Route> = before.into_iter().flat_map(correspondents_routes).collect();
        let wanted: Vec<Route> = correspondents_routes(after).collect();
        let kept: BTreeSet<&Route> = former.iter().collect();
        let kept = &kept & &wanted.iter().collect();
        // In the order that never leads a socket where its packets can't go.
        for route in former.iter().rev().filter(|route| !kept.contains(route)) {
            errors.note(self.netlink.remove_route(route).await);
        }
        errors.into_result()?;
        for rule in home_address_rules(after.address) {
            self.netlink.add_rule(&rule).await?;
        }
        let interface = after.interface();
        self.netlink
            .add_home_address(after.address, interface)
            .await?;
        if let Some(before) = before.filter(|before| before.interface() != after.interface()) {
            let interface = before.interface();
            self.netlink
                .remove_home_address(before.address, interface)
                .await?;
        }
        for route in wanted.iter().filter(|route| !kept.contains(route)) {
            self.netlink.add_route(route).await?;
        }
        Ok(())
    }

    /// The reverse: first no socket is led there any longer, then nothing can be sent from the
    /// address, then the rest goes.
    async fn withdraw(&self, claim: &Claim) -> Result<(), Error> {
        let mut errors = Errors::default();
        for route in capture_routes(claim) {
            errors.note(self.netlink.remove_route(&route).await);
        }
        let interface = claim.interface();
        errors.note(
            self.netlink
                .remove_home_address(claim.address, interface)
                .await,
        );
        for rule in home_address_rules(claim.address) {
            errors.note(self.netlink.remove_rule(&rule).await);
        }
        for route in tunnel_routes(claim) {
            errors.note(self.netlink.remove_route(&route).await);
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
                Some(link) if !link.up => self.netlink.bring_back_up(&link).await?,
                Some(_) => {}
                None => return Err(Error::NoDevice(format!("with the index {index}"))),
            }
        }
        Ok(())
    }

    /// Everything that should stand now.
    fn tables(&self) -> Tables {
        let families = || {
            let ipv6 = self.ipv6.then_some(Family::Ipv6);
            [Family::Ipv4].into_iter().chain(ipv6)
        };
        let mut tables = Tables {
            routes: families().map(end_of_home_addresses).collect(),
            rules: families().flat_map(standing_rules).collect(),
        };
        if self.ipv6 && self.carried == Some(Carried::Separately) {
            tables.rules.insert(Rule {
                family: Family::Ipv6,
                preference: WAY_PREFERENCE,
                selector: Selector::Marked,
                action: Action::Table(WAY_TABLE),
            });
        }
        for claim in self.claims.iter() {
            tables.rules.extend(home_address_rules(claim.address));
            tables.routes.extend(correspondents_routes(claim));
        }
        tables
    }
}

fn standing_rules(family: Family) -> [Rule; 4] {
    let rule = |preference, selector, action| Rule {
        family,
        preference,
        selector,
        action,
    };
    let unset = match family {
        Family::Ipv4 => Selector::LocalSource(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        // The routes of the table are for packets without a source.
        Family::Ipv6 => Selector::Local,
    };
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

fn home_address_rules(address: IpAddr) -> impl Iterator<Item = Rule> {
    let family = Family::of(address);
    let rule = move |preference, selector| Rule {
        family,
        preference,
        selector,
        action: Action::Table(HOME_ADDRESS_TABLE),
    };
    let choice =
        (family == Family::Ipv6).then(|| rule(CHOICE_PREFERENCE, Selector::LocalChoice(address)));
    [rule(
        HOME_ADDRESS_PREFERENCE,
        Selector::LocalSource(address),
    )]
    .into_iter()
    .chain(choice)
}

fn end_of_home_addresses(family: Family) -> Route {
    Route {
        table: HOME_ADDRESS_TABLE,
        destination: match family {
            Family::Ipv4 => IpNet::V4(Ipv4Net::default()),
            Family::Ipv6 => IpNet::V6(Ipv6Net::default()),
        },
        unset_source: false,
        metric: UNREACHABLE_METRIC,
        kind: RouteKind::Unreachable,
    }
}

/// All routes of a claim; those that lead sockets come last.
fn correspondents_routes(claim: &Claim) -> impl Iterator<Item = Route> {
    tunnel_routes(claim).chain(capture_routes(claim))
}

/// The routes of packets from the home address.
fn tunnel_routes(claim: &Claim) -> impl Iterator<Item = Route> {
    let correspondents = claim.correspondents.iter();
    correspondents.map(|one| route(claim, HOME_ADDRESS_TABLE, *one, None))
}

/// The routes that give sockets the home address.
fn capture_routes(claim: &Claim) -> impl Iterator<Item = Route> {
    let source = Some(claim.address);
    let captured = claim.correspondents.difference(&claim.withdrawn);
    captured.map(move |one| route(claim, CAPTURE_TABLE, *one, source))
}

fn route(claim: &Claim, table: u32, destination: IpNet, source: Option<IpAddr>) -> Route {
    Route {
        table,
        destination,
        unset_source: source.is_some() && claim.address.is_ipv6(),
        metric: device_metric(Family::of(claim.address)),
        kind: RouteKind::Device {
            index: claim.device,
            source,
        },
    }
}
