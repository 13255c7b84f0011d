//! Where this host is attached: reports of change, and the kernel's answers to the questions that
//! follow from them.
//!
//! The order of reports means nothing: a report says only that it is worth asking again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use mobility_protocol::{CareOfAddress, Family, HomeAgentAddress, Path};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia};
use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::events::{self, Events, Report};
use super::messages::{
    LOOPBACK, address_is_ours, ip_address, main_table_dump, route_is_ours, route_question,
    rule_is_ours,
};
use super::requests::Verb;
use super::sysctl::Setting;
use super::{LocalAddress, Netlink, families};
use crate::Error;

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV4_RULE: u32 = 8;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_IPV6_RULE: u32 = 19;

/// The kernel's table of its own addresses (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u8 = 255;

/// Watches links, addresses, routes and rules of the network namespace it was started in.
#[derive(Debug)]
pub struct Monitor {
    netlink: Netlink,
    device: String,
    changes: watch::Receiver<u64>,
    lost: Arc<Notify>,
    task: JoinHandle<()>,
}

/// A stream of "something has changed", many at once told as one.
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<u64>);

/// Tells that something of ours may have been removed by somebody else.
#[derive(Debug)]
pub(crate) struct Losses {
    lost: Arc<Notify>,
    changes: watch::Receiver<u64>,
}

impl Monitor {
    /// Starts to watch. `device` is our own tunnel device, which is never a way out.
    ///
    /// # Errors
    /// [`Error::Netlink`] when the kernel refuses the socket.
    pub fn start(netlink: Netlink, device: impl Into<String>) -> Result<Self, Error> {
        let groups = [
            RTNLGRP_LINK,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV4_RULE,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV6_ROUTE,
            RTNLGRP_IPV6_RULE,
        ];
        let events = Events::open(
            NETLINK_ROUTE,
            &groups,
            "watch links, addresses, routes and rules",
        )?;
        let device = device.into();
        let (sender, changes) = watch::channel(0);
        let lost = Arc::new(Notify::new());
        let task = tokio::spawn(watch_events(
            events,
            device.clone(),
            sender,
            Arc::clone(&lost),
        ));
        Ok(Self {
            netlink,
            device,
            changes,
            lost,
            task,
        })
    }

    /// The changes from now on. Those of our own routes, rules and device are not among them.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.changes.clone())
    }

    /// The losses of tagged routes, rules and addresses from now on. One
    /// consumer gets each of them.
    pub(crate) fn losses(&self) -> Losses {
        Losses {
            lost: Arc::clone(&self.lost),
            changes: self.changes.clone(),
        }
    }

    /// The way the kernel would now take to a home agent, past our own capture. `None` when there
    /// is none, when the interface has no carrier, or when the home agent is this host.
    ///
    /// Of several IPv6 addresses the kernel chooses as for any packet (RFC 6724): none that is still
    /// being tested for duplicates, temporary ones where the host prefers them, deprecated ones last.
    /// A link-local one would be of no use to the home agent, and is none.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`]. That there is no route is no error.
    pub async fn preferred_path(&self, agent: HomeAgentAddress) -> Result<Option<Path>, Error> {
        let Some(answer) = self.ask_route(agent).await? else {
            return Ok(None);
        };
        let (Some(index), Some(source)) = (answer.interface, answer.source) else {
            return Ok(None);
        };
        if answer.local || !can_be_care_of(source) {
            return Ok(None);
        }
        let path = Path {
            care_of: CareOfAddress(source),
            interface: index,
        };
        Ok(self.is_usable(path).await?.then_some(path))
    }

    /// Whether a path can carry packets: the address is assigned to that interface and past
    /// duplicate address detection, the interface is up and has carrier, and it is not our own.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn is_usable(&self, path: Path) -> Result<bool, Error> {
        let address = path.care_of.ip();
        let Some(link) = self.netlink.link_by_index(path.interface).await? else {
            return Ok(false);
        };
        if !link.carrier || link.name == self.device {
            return Ok(false);
        }
        let addresses = self.netlink.addresses(Some(path.interface)).await?;
        Ok(addresses
            .iter()
            .any(|found| found.address == address && found.usable && !found.ours))
    }

    /// The largest packet in octets that goes to a home agent in one piece, as far as the kernel
    /// knows; `None` without a route.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn path_mtu(&self, agent: HomeAgentAddress) -> Result<Option<u32>, Error> {
        let Some(answer) = self.ask_route(agent).await? else {
            return Ok(None);
        };
        if answer.mtu.is_some() {
            return Ok(answer.mtu);
        }
        let Some(index) = answer.interface else {
            return Ok(None);
        };
        let link = self.netlink.link_by_index(index).await?;
        Ok(link.map(|link| match agent.family() {
            Family::Ipv4 => link.mtu,
            // A router may have advertised less than the link has.
            Family::Ipv6 => {
                let advertised = Setting::ipv6_device(&link.name, "mtu").number();
                advertised.unwrap_or(u32::MAX).min(link.mtu)
            }
        }))
    }

    /// The addresses of this host, without the home addresses that we added.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn local_addresses(&self) -> Result<Vec<LocalAddress>, Error> {
        let mut addresses = self.netlink.addresses(None).await?;
        let device = self.netlink.link_by_name(&self.device).await?;
        let device = device.map(|device| device.index);
        addresses.retain(|found| !found.ours && Some(found.interface) != device);
        Ok(addresses)
    }

    /// The default routers of this host.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn default_routers(&self) -> Result<BTreeSet<IpAddr>, Error> {
        let mut routers = BTreeSet::new();
        for family in families() {
            let question = RouteNetlinkMessage::GetRoute(main_table_dump(family));
            let answers = self.netlink.0.ask("list the routes", question, Verb::Dump);
            for answer in answers.await? {
                if let RouteNetlinkMessage::NewRoute(route) = answer
                    && route.header.destination_prefix_length == 0
                {
                    routers.extend(next_hops(&route));
                }
            }
        }
        Ok(routers)
    }

    async fn ask_route(&self, agent: HomeAgentAddress) -> Result<Option<RouteAnswer>, Error> {
        let address = agent.ip();
        let question = RouteNetlinkMessage::GetRoute(route_question(address));
        let attempt = format!("ask for the route to {address}");
        match self.netlink.0.ask(&attempt, question, Verb::Get).await {
            Ok(answers) => Ok(answers.into_iter().find_map(|answer| {
                if let RouteNetlinkMessage::NewRoute(route) = answer {
                    Some(RouteAnswer::from(&route))
                } else {
                    None
                }
            })),
            Err(error) if is_no_route(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Changes {
    /// Waits until something has changed since the last call. Returns at once if something has.
    ///
    /// # Errors
    /// [`Error::EventsEnded`] when the monitor has stopped.
    pub async fn changed(&mut self) -> Result<(), Error> {
        self.0
            .changed()
            .await
            .map_err(|_| Error::EventsEnded("links and addresses"))
    }
}

impl Losses {
    /// Waits until something of ours may have been removed.
    ///
    /// # Errors
    /// [`Error::EventsEnded`] when the monitor has stopped.
    pub(crate) async fn lost(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                () = self.lost.notified() => return Ok(()),
                change = self.changes.changed() => {
                    change.map_err(|_| Error::EventsEnded("routes and rules"))?;
                }
            }
        }
    }
}

/// What the kernel says about the way to an address.
#[derive(Debug)]
struct RouteAnswer {
    interface: Option<u32>,
    source: Option<IpAddr>,
    mtu: Option<u32>,
    /// The address is this host's own.
    local: bool,
}

impl From<&RouteMessage> for RouteAnswer {
    fn from(message: &RouteMessage) -> Self {
        let mut answer = Self {
            interface: None,
            source: None,
            mtu: None,
            local: message.header.kind != RouteType::Unicast,
        };
        for attribute in &message.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                answer.interface = Some(*index);
            } else if let RouteAttribute::PrefSource(source) = attribute {
                answer.source = ip_address(source);
            } else if let RouteAttribute::Metrics(metrics) = attribute {
                answer.mtu = metrics.iter().find_map(|metric| {
                    if let RouteMetric::Mtu(mtu) = metric {
                        Some(*mtu)
                    } else {
                        None
                    }
                });
            }
        }
        answer
    }
}

/// By which routers a route leads.
fn next_hops(route: &RouteMessage) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut note = |attribute: &RouteAttribute| {
        if let RouteAttribute::Gateway(router) = attribute {
            found.extend(ip_address(router));
        } else if let RouteAttribute::Via(RouteVia::Inet6(router)) = attribute {
            found.push(IpAddr::V6(*router));
        }
    };
    for attribute in &route.attributes {
        note(attribute);
        if let RouteAttribute::MultiPath(hops) = attribute {
            hops.iter()
                .flat_map(|hop| &hop.attributes)
                .for_each(&mut note);
        }
    }
    found
}

fn can_be_care_of(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    !link_local && !address.is_loopback() && !address.is_unspecified()
}

/// What a report means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It is about our own doing.
    Own,
    /// Something of ours may have gone.
    Loss,
    /// The host may be attached differently now.
    Change,
}

async fn watch_events(
    mut events: Events,
    device: String,
    changes: watch::Sender<u64>,
    lost: Arc<Notify>,
) {
    let tell_change = || changes.send_modify(|count| *count = count.wrapping_add(1));
    loop {
        match events.next().await {
            Ok(Report::Overrun) => {
                tracing::debug!("reports of the kernel were lost; everything is looked at again");
                tell_change();
                lost.notify_one();
            }
            Ok(Report::Messages(datagram)) => {
                let (mut change, mut loss) = (false, false);
                for message in events::messages(datagram) {
                    match meaning(message, &device) {
                        Meaning::Own => {}
                        Meaning::Loss => loss = true,
                        Meaning::Change => change = true,
                    }
                }
                if loss {
                    lost.notify_one();
                }
                if change {
                    tell_change();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the kernel's reports of links and addresses have ended");
                return;
            }
        }
    }
}

/// What can't be read means change: asking once too often costs little.
fn meaning(message: &[u8], device: &str) -> Meaning {
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
        return Meaning::Change;
    };
    let NetlinkPayload::InnerMessage(message) = message.payload else {
        return Meaning::Own;
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is open; reports nobody asked for mean change"
    )]
    match message {
        // The kernel keeps this table itself, along with the addresses.
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)
            if route.header.table == LOCAL_TABLE =>
        {
            Meaning::Own
        }
        RouteNetlinkMessage::NewRoute(route) if route_is_ours(&route) => Meaning::Own,
        RouteNetlinkMessage::DelRoute(route) if route_is_ours(&route) => Meaning::Loss,
        RouteNetlinkMessage::NewRule(rule) if rule_is_ours(&rule) => Meaning::Own,
        RouteNetlinkMessage::DelRule(rule) if rule_is_ours(&rule) => Meaning::Loss,
        RouteNetlinkMessage::NewAddress(address) if address_is_ours(&address) => Meaning::Own,
        RouteNetlinkMessage::DelAddress(address) if address_is_ours(&address) => Meaning::Loss,
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)
            if link.attributes.iter().any(|attribute| {
                matches!(attribute, LinkAttribute::IfName(name) if name == device || name == LOOPBACK)
            }) =>
        {
            // The kernel removes the routes of a device that goes down without a word.
            Meaning::Loss
        }
        _ => Meaning::Change,
    }
}

/// ENETUNREACH, EHOSTUNREACH, EACCES (a `prohibit` route), EINVAL (a `blackhole` route).
pub(super) fn is_no_route(error: &Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| [101, 113, 13, 22].contains(&code))
}
