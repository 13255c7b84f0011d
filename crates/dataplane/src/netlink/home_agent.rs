//! The home agent's part of the kernel's tables.
//!
//! Per pool prefix two routes in the main table: one to the tunnel device, and behind it one that
//! says "unreachable". The second stands before service begins and outlives the device, so that a
//! packet to a home address never leaves by the default route and comes back until its TTL ends.
//!
//! Reverse path filtering needs no change here: the way back to a home address is the tunnel
//! device, which is where packets from it come in.

use ipnet::IpNet;
use mobility_protocol::Family;

use super::Netlink;
use super::forwarding::Forwarding;
use super::messages::{MAIN_TABLE, Route, RouteKind, device_metric};
use super::reconcile::{Surplus, Tables};
use crate::Error;
use crate::error::Errors;

/// The metric of the `unreachable` routes: any other route is preferred to them.
pub const UNREACHABLE_METRIC: u32 = u32::MAX;

/// The pool's routes. Every verb may be repeated.
#[derive(Debug)]
pub struct Routes {
    netlink: Netlink,
    pools: Vec<IpNet>,
    /// The device the pool is led to, and its MTU, from [`Routes::prepare`] to [`Routes::remove`].
    service: Option<(String, u16)>,
    /// Whether [`Routes::guard`] was called, and [`Routes::remove`] was not.
    guarding: bool,
    /// The families that this host did not forward before.
    enabled_forwarding: Vec<Forwarding>,
}

impl Routes {
    /// Nothing is touched yet.
    #[must_use]
    pub fn new(netlink: Netlink, pools: impl IntoIterator<Item = IpNet>) -> Self {
        let pools = pools.into_iter().map(|pool| pool.trunc()).collect();
        Self {
            netlink,
            pools,
            service: None,
            guarding: false,
            enabled_forwarding: Vec::new(),
        }
    }

    /// What precedes service: the `unreachable` routes, and forwarding. Tagged routes of a former
    /// run that no longer serve are removed.
    ///
    /// # Errors
    /// [`Error::RouteTaken`] when another program's route stands in the way, [`Error::Netlink`],
    /// [`Error::Timeout`], [`Error::Sysctl`], [`Error::Several`].
    pub async fn guard(&mut self) -> Result<(), Error> {
        self.guarding = true;
        self.netlink
            .reconcile(&[MAIN_TABLE], &self.tables(None), Surplus::Remove)
            .await?;
        for family in [Family::Ipv4, Family::Ipv6] {
            if self
                .pools
                .iter()
                .any(|pool| Family::of(pool.addr()) == family)
            {
                self.enabled_forwarding.extend(Forwarding::enable(family)?);
            }
        }
        Ok(())
    }

    /// Brings the device up and leads the pool to it.
    ///
    /// # Errors
    /// [`Error::NoDevice`], and those of [`Routes::guard`].
    pub async fn prepare(&mut self, device: &str, mtu: u16) -> Result<(), Error> {
        let link = self.netlink.link_by_name(device).await?;
        let link = link.ok_or_else(|| Error::NoDevice(device.to_owned()))?;
        self.netlink.bring_up(&link, mtu).await?;
        self.service = Some((device.to_owned(), mtu));
        let wanted = self.tables(Some(link.index));
        self.netlink
            .reconcile(&[MAIN_TABLE], &wanted, Surplus::Remove)
            .await
            .map(drop)
    }

    /// Removes what was added, also by a former run, and restores forwarding. Every step is tried.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn remove(&mut self) -> Result<(), Error> {
        let mut errors = Errors::default();
        self.service = None;
        self.guarding = false;
        let nothing = Tables::default();
        errors.note(
            self.netlink
                .reconcile(&[MAIN_TABLE], &nothing, Surplus::Remove)
                .await,
        );
        for enabled in std::mem::take(&mut self.enabled_forwarding) {
            errors.note(enabled.restore());
        }
        errors.into_result()
    }

    /// Adds again what another program removed; tells how much that was. Does nothing before
    /// [`Routes::guard`].
    ///
    /// # Errors
    /// [`Error::NoDevice`] when the device has gone; the `unreachable` routes stand all the same.
    /// Those of [`Routes::prepare`].
    pub async fn repair(&mut self) -> Result<usize, Error> {
        if !self.guarding {
            return Ok(0);
        }
        let mut errors = Errors::default();
        let mut index = None;
        if let Some((device, mtu)) = &self.service {
            match self.netlink.link_by_name(device).await? {
                Some(link) => {
                    if !link.up {
                        errors.note(self.netlink.bring_up(&link, *mtu).await);
                    }
                    index = Some(link.index);
                }
                None => drop(errors.note::<()>(Err(Error::NoDevice(device.clone())))),
            }
        }
        let wanted = self.tables(index);
        let added = self
            .netlink
            .reconcile(&[MAIN_TABLE], &wanted, Surplus::Keep)
            .await;
        let added = errors.note(added).unwrap_or_default();
        errors.into_result().map(|()| added)
    }

    fn tables(&self, device: Option<u32>) -> Tables {
        let unreachable = unreachable_routes(&self.pools);
        let service = device.into_iter().flat_map(|index| {
            self.pools.iter().map(move |&destination| Route {
                table: MAIN_TABLE,
                destination,
                unset_source: false,
                metric: device_metric(Family::of(destination.addr())),
                kind: RouteKind::Device {
                    index,
                    source: None,
                },
            })
        });
        Tables {
            routes: unreachable.chain(service).collect(),
            ..Tables::default()
        }
    }
}

/// What says "unreachable" for each pool as long as nothing else leads there.
pub(crate) fn unreachable_routes(pools: &[IpNet]) -> impl Iterator<Item = Route> {
    pools.iter().map(|pool| Route {
        table: MAIN_TABLE,
        destination: pool.trunc(),
        unset_source: false,
        metric: UNREACHABLE_METRIC,
        kind: RouteKind::Unreachable,
    })
}
