//! The tunnels, as both threads look them up for every packet.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mobility_protocol::{HomeAddress, Tunnel};

use super::credit::Allowance;
use super::ip::Ends;
use super::peers::Peers;
use super::socket::Way;
use super::{Error, Traffic};
use crate::Addresses;

/// All tunnels. Writers replace whole entries, so a reader sees a tunnel before or after a change,
/// never in between.
#[derive(Debug)]
pub(super) struct Table {
    tunnels: RwLock<Tunnels>,
    /// Where tunnels end on this host.
    local: Addresses,
    started: Instant,
}

/// What one lock protects.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    by_home: HashMap<IpAddr, Arc<Entry>>,
    /// Every (remote, home address), former remotes included.
    by_remote: BTreeSet<(IpAddr, IpAddr)>,
    /// The list of the last install: on a home agent all tunnels share one.
    peers: Option<Known>,
}

/// One tunnel. Fixed once built; what changes with each packet is in `state`, which a tunnel
/// inherits from the one it replaces.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) home: IpAddr,
    /// Of the home address's family.
    pub(super) ends: Ends,
    pub(super) former_remote: Option<IpAddr>,
    pub(super) interface: Option<u32>,
    pub(super) correspondents: Arc<Peers>,
    allowance: Allowance,
    pub(super) state: Arc<State>,
}

/// A list of prefixes, and what it was turned into.
type Known = (Arc<[IpNet]>, Arc<Peers>);

/// What is learnt about a tunnel while it carries packets.
#[derive(Debug, Default)]
pub(super) struct State {
    packets_in: AtomicU64,
    bytes_in: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
    /// Milliseconds since the start of the table, plus one; 0 is never.
    last_received: AtomicU64,
    /// The MTU of the way to the remote; 0 is unknown.
    path_mtu: AtomicU16,
    /// Milliseconds since the start of the table at which `path_mtu` was asked for.
    path_asked: AtomicU64,
    /// The largest inner packet known to get through behind the tunnel; 0 is unknown.
    beyond: AtomicU16,
}

impl Table {
    pub(super) fn new(local: Addresses) -> Self {
        Self {
            tunnels: RwLock::default(),
            local,
            started: Instant::now(),
        }
    }

    /// Time as the tunnels' states count it.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Tunnels> {
        self.tunnels.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn install(&self, tunnel: &Tunnel) -> Result<(), Error> {
        let home = tunnel.home_address.ip();
        let (local, remote) = (tunnel.endpoints.local, tunnel.endpoints.remote);
        let ends = Ends::new(local, remote)
            .filter(|ends| ends.family() == tunnel.home_address.family())
            .ok_or(Error::MixedFamilies {
                home,
                local,
                remote,
            })?;
        let former_remote = tunnel.former_remote.filter(|former| *former != remote);
        let interface = tunnel.endpoints.interface;

        let mut tunnels = self.tunnels.write().unwrap_or_else(PoisonError::into_inner);
        let correspondents = tunnels.peers(&tunnel.correspondents, &self.local);
        let reachability = tunnel.reachability;
        let (allowance, state) = match tunnels.take(home) {
            None => (Allowance::first(reachability), Arc::default()),
            Some(old) => {
                if (old.ends, old.interface) != (ends, interface) {
                    old.state.forget_path();
                }
                let moves = old.ends.remote() != remote;
                let allowance = old.allowance.next(reachability, moves, self.now());
                (allowance, Arc::clone(&old.state))
            }
        };
        for remote in [Some(remote), former_remote].into_iter().flatten() {
            tunnels.by_remote.insert((remote, home));
        }
        let entry = Entry {
            home,
            ends,
            former_remote,
            interface,
            correspondents,
            allowance,
            state,
        };
        tunnels.by_home.insert(home, Arc::new(entry));
        Ok(())
    }

    pub(super) fn remove(&self, home: HomeAddress) {
        self.tunnels
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take(home.ip());
    }

    pub(super) fn traffic(&self, home: HomeAddress) -> Option<Traffic> {
        let state = Arc::clone(&self.read().get(home.ip())?.state);
        let last_received = match state.last_received.load(Ordering::Relaxed) {
            0 => None,
            at => Some(self.started + Duration::from_millis(at - 1)),
        };
        Some(Traffic {
            packets_in: state.packets_in.load(Ordering::Relaxed),
            bytes_in: state.bytes_in.load(Ordering::Relaxed),
            packets_out: state.packets_out.load(Ordering::Relaxed),
            bytes_out: state.bytes_out.load(Ordering::Relaxed),
            last_received,
        })
    }
}

impl Tunnels {
    pub(super) fn get(&self, home: IpAddr) -> Option<&Arc<Entry>> {
        self.by_home.get(&home)
    }

    /// The tunnels whose other end is, or lately was, this address.
    pub(super) fn of_remote(&self, remote: IpAddr) -> impl Iterator<Item = &Arc<Entry>> {
        let first = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let last = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
        let all = (remote, first)..=(remote, last);
        self.by_remote
            .range(all)
            .filter_map(|(_, home)| self.by_home.get(home))
    }

    fn take(&mut self, home: IpAddr) -> Option<Arc<Entry>> {
        let old = self.by_home.remove(&home)?;
        for remote in [Some(old.ends.remote()), old.former_remote]
            .into_iter()
            .flatten()
        {
            self.by_remote.remove(&(remote, home));
        }
        Some(old)
    }

    fn peers(&mut self, correspondents: &Arc<[IpNet]>, local: &Addresses) -> Arc<Peers> {
        if let Some((known, peers)) = &self.peers
            && (Arc::ptr_eq(known, correspondents) || known == correspondents)
        {
            return Arc::clone(peers);
        }
        let peers = Arc::new(Peers::new(correspondents, local));
        self.peers = Some((Arc::clone(correspondents), Arc::clone(&peers)));
        peers
    }
}

impl Entry {
    /// How packets into this tunnel leave.
    pub(super) fn way(&self) -> Way {
        Way {
            local: self.ends.local(),
            interface: self.interface,
        }
    }

    /// Whether so many octets of inner packets may go to the other end. They count as gone then.
    pub(super) fn may_take(&self, octets: u64) -> bool {
        self.allowance.spend(octets)
    }

    /// These have gone to the other end. `now` is the table's.
    pub(super) fn sent(&self, packets: u64, octets: u64, now: u64) {
        self.state.sent(packets, octets);
        self.allowance.gone(octets, now);
    }

    /// Whether packets of this tunnel may come from this outer address.
    pub(super) fn is_remote(&self, outer: IpAddr) -> bool {
        outer == self.ends.remote() || Some(outer) == self.former_remote
    }
}

impl State {
    pub(super) fn received(&self, packets: u64, bytes: u64, now: u64) {
        self.packets_in.fetch_add(packets, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.last_received
            .store(now.saturating_add(1), Ordering::Relaxed);
    }

    fn sent(&self, packets: u64, bytes: u64) {
        self.packets_out.fetch_add(packets, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn path_mtu(&self) -> Option<u16> {
        Some(self.path_mtu.load(Ordering::Relaxed)).filter(|mtu| *mtu != 0)
    }

    /// Milliseconds since the path was asked for its MTU.
    pub(super) fn path_age(&self, now: u64) -> u64 {
        now.saturating_sub(self.path_asked.load(Ordering::Relaxed))
    }

    /// Whether this is news.
    pub(super) fn learn_path(&self, mtu: u16, now: u64) -> bool {
        self.path_asked.store(now, Ordering::Relaxed);
        let before = self.path_mtu.swap(mtu, Ordering::Relaxed);
        before != 0 && before != mtu
    }

    fn forget_path(&self) {
        self.path_mtu.store(0, Ordering::Relaxed);
    }

    /// The largest inner packet known to get through behind the tunnel.
    pub(super) fn beyond(&self) -> Option<u16> {
        Some(self.beyond.load(Ordering::Relaxed)).filter(|size| *size != 0)
    }

    /// Something behind the tunnel takes inner packets of at most this size.
    pub(super) fn limit_beyond(&self, size: u16) {
        let lower = |known: u16| (known == 0 || size < known).then_some(size);
        // An error says that a smaller limit is known already.
        let _ = self
            .beyond
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mobility_protocol::{Encapsulation, Reachability, TunnelEndpoints};

    fn tunnel(remote: &str, former: Option<&str>, correspondents: &[&str]) -> Tunnel {
        Tunnel {
            home_address: "10.128.0.1".parse::<IpAddr>().unwrap().into(),
            endpoints: TunnelEndpoints {
                local: "192.0.2.1".parse().unwrap(),
                remote: remote.parse().unwrap(),
                interface: None,
            },
            former_remote: former.map(|former| former.parse().unwrap()),
            reachability: Reachability::Proven,
            encapsulation: Encapsulation::IpInIp,
            withdrawn: [].into(),
            correspondents: correspondents
                .iter()
                .map(|prefix| prefix.parse().unwrap())
                .collect(),
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_move_keeps_the_counters_and_forgets_the_former_path() {
        let table = Table::new(Addresses::UNSPECIFIED);
        table.install(&tunnel("198.51.100.1", None, &[])).unwrap();
        let state = Arc::clone(&table.read().get(address("10.128.0.1")).unwrap().state);
        state.received(3, 300, 5);
        state.learn_path(1280, 5);

        table
            .install(&tunnel("203.0.113.1", Some("198.51.100.1"), &[]))
            .unwrap();

        let traffic = table.traffic(address("10.128.0.1").into()).unwrap();
        assert_eq!((traffic.packets_in, traffic.bytes_in), (3, 300));
        assert_eq!(
            table
                .read()
                .get(address("10.128.0.1"))
                .unwrap()
                .state
                .path_mtu(),
            None
        );
        for remote in ["198.51.100.1", "203.0.113.1"] {
            assert_eq!(
                table.read().of_remote(address(remote)).count(),
                1,
                "{remote}"
            );
        }

        table.install(&tunnel("203.0.113.1", None, &[])).unwrap();
        assert_eq!(table.read().of_remote(address("198.51.100.1")).count(), 0);
        table.remove(address("10.128.0.1").into());
        assert_eq!(table.read().of_remote(address("203.0.113.1")).count(), 0);
        assert_eq!(table.traffic(address("10.128.0.1").into()), None);
    }

    #[test]
    fn a_tunnel_is_of_one_family() {
        let six = || "2001:db8::1".parse::<IpAddr>().unwrap();
        let four = tunnel("198.51.100.1", None, &[]);
        let mut remote = four.clone();
        remote.endpoints.remote = six();
        let mut home = four.clone();
        home.home_address = six().into();
        let mut ends = home.clone();
        (ends.endpoints.local, ends.endpoints.remote) = (six(), six());
        let table = Table::new(Addresses::UNSPECIFIED);
        for mixed in [&remote, &home] {
            assert!(matches!(
                table.install(mixed),
                Err(Error::MixedFamilies { .. })
            ));
        }
        table.install(&four).unwrap();
        table.install(&ends).unwrap();
        assert_eq!(table.read().of_remote(six()).count(), 1);
    }
}
