//! The pool's routes.

use dataplane::netlink::Netlink;
use dataplane::netlink::home_agent::Routes;
use dataplane::{Error, HOME_AGENT_DEVICE};

use crate::namespace::{attach, ip, run, snapshot};

fn forwarding() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
}

fn set_forwarding(value: &str) {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", value).unwrap();
}

fn routes() -> Routes {
    let pools = ["10.128.0.0/10", "10.64.0.0/24"].map(|pool| pool.parse().unwrap());
    Routes::new(Netlink::open().unwrap(), pools)
}

fn refused(address: &str) -> bool {
    let output = std::process::Command::new("ip")
        .args(["route", "get", address])
        .output()
        .unwrap();
    !output.status.success()
}

#[test]
fn the_pool_is_unreachable_before_the_device_and_after_it() {
    run("the pool", || async {
        let _peer = attach();
        set_forwarding("0");
        let before = snapshot();
        let mut routes = routes();
        routes.guard().await.unwrap();
        assert!(refused("10.128.0.9") && refused("10.64.0.1"));
        assert_eq!(forwarding(), "1\n");
        let missing = routes.prepare(HOME_AGENT_DEVICE, 1480).await;
        assert!(matches!(missing, Err(Error::NoDevice(_))));
        ip("tuntap add cha0 mode tun");
        routes.prepare(HOME_AGENT_DEVICE, 1480).await.unwrap();
        routes.prepare(HOME_AGENT_DEVICE, 1480).await.unwrap();
        assert!(ip("route get 10.128.0.9").contains("dev cha0"));
        ip("link del cha0");
        assert!(
            refused("10.128.0.9"),
            "the device has gone: not by the default route"
        );
        routes.remove().await.unwrap();
        routes.remove().await.unwrap();
        assert_eq!(snapshot(), before);
        assert_eq!(forwarding(), "0\n");
    });
}

#[test]
fn forwarding_that_was_on_stays_on() {
    run("forwarding", || async {
        set_forwarding("1");
        let mut routes = routes();
        routes.guard().await.unwrap();
        routes.remove().await.unwrap();
        assert_eq!(forwarding(), "1\n");
    });
}

#[test]
fn the_next_start_takes_over_what_a_crash_left() {
    run("home agent after a crash", || async {
        let _peer = attach();
        let before = snapshot();
        let netlink = Netlink::open().unwrap();
        let mut crashed = Routes::new(
            netlink.clone(),
            ["10.1.0.0/16", "10.2.0.0/16"].map(|pool| pool.parse().unwrap()),
        );
        crashed.guard().await.unwrap();
        drop(crashed);
        let mut next = Routes::new(netlink, ["10.2.0.0/16".parse().unwrap()]);
        next.guard().await.unwrap();
        assert!(!refused("10.1.0.1"), "a pool that is none any longer");
        assert!(refused("10.2.0.1"));
        next.remove().await.unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn another_programs_route_is_not_replaced() {
    run("a foreign route", || async {
        let _peer = attach();
        ip("route add 10.64.0.0/24 via 192.0.2.1");
        ip("tuntap add cha0 mode tun");
        let mut routes = routes();
        routes.guard().await.unwrap();
        let taken = routes.prepare(HOME_AGENT_DEVICE, 1480).await.unwrap_err();
        assert!(
            matches!(taken, Error::RouteTaken { table: 254, .. }),
            "{taken}"
        );
        routes.remove().await.unwrap();
        assert!(ip("route get 10.64.0.1").contains("via 192.0.2.1"));
    });
}
