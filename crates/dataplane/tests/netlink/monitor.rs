//! Reports of change, and the kernel's answers.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::MOBILE_NODE_DEVICE;
use dataplane::netlink::Netlink;
use dataplane::netlink::mobile_node::Routes;
use dataplane::netlink::monitor::{Changes, Monitor};
use mobility_protocol::{CareOfAddress, HomeAgentAddress, Path};
use tokio::time::timeout;

use crate::mobile_node_routes::tunnel;
use crate::namespace::{
    ACCESS, CORRESPONDENT, HOME, PATIENCE, ROUTER, attach, ip, run, tunnel_device,
};

fn monitor() -> Monitor {
    Monitor::start(Netlink::open().unwrap(), MOBILE_NODE_DEVICE).unwrap()
}

/// Asks after each report until the answer is the wanted one.
async fn until(monitor: &Monitor, changes: &mut Changes, wanted: Option<IpAddr>) -> Option<Path> {
    let agent = HomeAgentAddress::from(CORRESPONDENT);
    timeout(PATIENCE, async {
        loop {
            let path = monitor.preferred_path(agent).await.unwrap();
            if path.map(|path| path.care_of.ip()) == wanted {
                return path;
            }
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap()
}

async fn is_quiet(changes: &mut Changes) -> bool {
    timeout(Duration::from_millis(100), changes.changed())
        .await
        .is_err()
}

#[test]
fn the_answer_follows_addresses_routes_and_links() {
    run("movement", || async {
        let monitor = monitor();
        let mut changes = monitor.changes();
        assert_eq!(until(&monitor, &mut changes, None).await, None);
        let peer = attach();
        let path = until(&monitor, &mut changes, Some(ACCESS.into()))
            .await
            .unwrap();
        assert!(monitor.is_usable(path).await.unwrap());
        let stranger = Path {
            care_of: CareOfAddress(HOME.into()),
            ..path
        };
        assert!(!monitor.is_usable(stranger).await.unwrap());
        assert_eq!(
            monitor.path_mtu(CORRESPONDENT.into()).await.unwrap(),
            Some(1500)
        );

        // Another address of the same interface.
        ip("addr add 192.0.2.77/24 dev wlan0");
        ip(&format!(
            "route replace default via {ROUTER} src 192.0.2.77"
        ));
        until(&monitor, &mut changes, Some([192, 0, 2, 77].into())).await;
        assert!(
            monitor.is_usable(path).await.unwrap(),
            "the former one still works"
        );
        ip(&format!("addr del {ACCESS}/24 dev wlan0"));
        timeout(PATIENCE, async {
            while monitor.is_usable(path).await.unwrap() {
                changes.changed().await.unwrap();
            }
        })
        .await
        .unwrap();

        // The carrier goes, with address and route in place.
        ip(&format!("addr add {ACCESS}/24 dev wlan0"));
        ip(&format!("route replace default via {ROUTER} src {ACCESS}"));
        until(&monitor, &mut changes, Some(ACCESS.into())).await;
        peer.run(|| ip("link set up0 down"));
        until(&monitor, &mut changes, None).await;
        assert!(!monitor.is_usable(path).await.unwrap());
        peer.run(|| ip("link set up0 up"));
        until(&monitor, &mut changes, Some(ACCESS.into())).await;
        ip("link set wlan0 mtu 1400");
        assert_eq!(
            monitor.path_mtu(CORRESPONDENT.into()).await.unwrap(),
            Some(1400)
        );
        drop(peer);
        until(&monitor, &mut changes, None).await;
        assert_eq!(monitor.path_mtu(CORRESPONDENT.into()).await.unwrap(), None);
    });
}

#[test]
fn a_move_is_seen_within_a_millisecond() {
    run("latency", || async {
        let _peer = attach();
        let monitor = monitor();
        let mut changes = monitor.changes();
        let netlink = Netlink::open().unwrap();
        let mut best = Duration::MAX;
        for round in 0..20 {
            while !is_quiet(&mut changes).await {}
            let verb = if round % 2 == 0 { "add" } else { "del" };
            // `ip` returns after the kernel has made the change.
            ip(&format!("addr {verb} 192.0.2.77/24 dev wlan0"));
            let begin = Instant::now();
            timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
            monitor.preferred_path(CORRESPONDENT.into()).await.unwrap();
            best = best.min(begin.elapsed());
        }
        eprintln!("from the change to the answer at best {best:?}");
        assert!(best < Duration::from_millis(1));
        drop(netlink);
    });
}

#[test]
fn the_surroundings_of_the_host_are_seen() {
    run("surroundings", || async {
        let _peer = attach();
        ip("addr add 10.9.9.1 peer 10.9.9.2/31 dev wlan0");
        let monitor = monitor();
        assert_eq!(
            monitor.default_routers().await.unwrap(),
            [ROUTER.into()].into()
        );
        ip("route add default metric 7 nexthop via 192.0.2.2 nexthop via 192.0.2.3");
        // A default router of one destination is none.
        ip("route add 198.18.0.0/15 via 192.0.2.4");
        let routers = ["192.0.2.2", "192.0.2.3"].map(|router| router.parse().unwrap());
        let routers = routers.into_iter().chain([ROUTER.into()]).collect();
        assert_eq!(monitor.default_routers().await.unwrap(), routers);
        let addresses = monitor.local_addresses().await.unwrap();
        let networks: Vec<_> = addresses
            .iter()
            .map(|found| found.network.to_string())
            .collect();
        for network in ["192.0.2.0/24", "10.9.9.2/31"] {
            assert!(
                networks.iter().any(|found| found == network),
                "{networks:?}"
            );
        }
    });
}

#[test]
fn our_own_doing_is_neither_a_way_out_nor_a_change() {
    run("our own device", || async {
        let _peer = attach();
        let _device = tunnel_device();
        let monitor = monitor();
        let mut changes = monitor.changes();
        while !is_quiet(&mut changes).await {}
        let mut routes = Routes::new(Netlink::open().unwrap(), MOBILE_NODE_DEVICE, 1480);
        routes.prepare().await.unwrap();
        // The home agent is also the correspondent.
        routes
            .install(&tunnel(HOME, &[CORRESPONDENT]))
            .await
            .unwrap();
        assert!(is_quiet(&mut changes).await);
        let path = monitor.preferred_path(CORRESPONDENT.into()).await.unwrap();
        assert_eq!(path.unwrap().care_of.ip(), ACCESS);
        let addresses = monitor.local_addresses().await.unwrap();
        let addresses: Vec<_> = addresses.iter().map(|found| found.address).collect();
        assert!(addresses.contains(&ACCESS.into()) && !addresses.contains(&HOME.into()));
        let all = Netlink::open().unwrap().addresses(None).await.unwrap();
        let home = all.iter().find(|found| found.address == HOME).unwrap();
        assert!(home.ours);

        let path = Path {
            care_of: CareOfAddress(HOME.into()),
            interface: home.interface,
        };
        assert!(!monitor.is_usable(path).await.unwrap());
        ip("route replace default dev mn0");
        assert_eq!(
            monitor.preferred_path(CORRESPONDENT.into()).await.unwrap(),
            None
        );
        assert_eq!(
            monitor.preferred_path(ACCESS.into()).await.unwrap(),
            None,
            "this host"
        );
    });
}

#[test]
fn lost_reports_are_told_as_a_change() {
    run("overrun", || async {
        let _peer = attach();
        let monitor = monitor();
        let mut changes = monitor.changes();
        while !is_quiet(&mut changes).await {}
        // Far more reports than the socket holds, while this runtime's only thread reads none.
        let batch: String = (0..20_000)
            .map(|number| {
                format!(
                    "route add 10.{}.{}.0/24 via {ROUTER}\n",
                    number / 250,
                    number % 250
                )
            })
            .collect();
        let file = std::env::temp_dir().join(format!("dataplane-batch-{}", std::process::id()));
        std::fs::write(&file, batch).unwrap();
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
        until(&monitor, &mut changes, Some(ACCESS.into())).await;
        ip("addr add 192.0.2.77/24 dev wlan0");
        while !is_quiet(&mut changes).await {}
        ip("addr del 192.0.2.77/24 dev wlan0");
        timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    });
}
