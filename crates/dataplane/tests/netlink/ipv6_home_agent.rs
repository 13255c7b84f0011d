//! The pool's routes of IPv6, forwarding, and both families through one home agent.

use std::net::{IpAddr, TcpStream};

use dataplane::home_agent::{self, HomeAgentDataplane};
use dataplane::mobile_node::{self, MobileNodeDataplane};
use dataplane::netlink::Netlink;
use dataplane::netlink::home_agent::Routes;
use dataplane::{Addresses, HOME_AGENT_DEVICE};
use mobility_protocol::{DataplaneChange, HomeAddress};

use crate::mobile_node_routes::tunnel;
use crate::namespace::{
    ACCESS, ACCESS_6, CORRESPONDENT, CORRESPONDENT_6, HOME, HOME_6, ROUTER, ROUTER_6, attach_6,
    echo, echo_at, ip, run, says_back, set_ipv6, snapshot,
};

fn ipv6_setting(device: &str, setting: &str) -> String {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/{setting}");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn refused(address: &str) -> bool {
    let output = std::process::Command::new("ip")
        .args(["route", "get", address])
        .output()
        .unwrap();
    !output.status.success()
}

#[test]
fn a_home_agent_forwards_and_keeps_the_routes_it_has_learnt() {
    run("IPv6 pool", || async {
        let _peer = attach_6();
        set_ipv6("wlan0", "accept_ra", "1");
        set_ipv6("default", "accept_ra", "1");
        // As from an advertisement.
        ip("-6 route replace default via fe80::1 dev wlan0 proto ra");
        let before = snapshot();
        let pools = ["2001:db8:4::/64", "2001:db8:40::/48"].map(|pool| pool.parse().unwrap());
        let mut routes = Routes::new(Netlink::open().unwrap(), pools);
        routes.guard().await.unwrap();
        assert!(refused("2001:db8:4::9") && refused("2001:db8:40:1::1"));
        assert_eq!(ipv6_setting("all", "forwarding"), "1");
        assert_eq!(ipv6_setting("wlan0", "accept_ra"), "2");
        assert_eq!(ipv6_setting("default", "accept_ra"), "2");
        assert!(ip("-6 route show default").contains("via fe80::1"));
        ip("tuntap add cha0 mode tun");
        routes.prepare(HOME_AGENT_DEVICE, 1480).await.unwrap();
        routes.prepare(HOME_AGENT_DEVICE, 1480).await.unwrap();
        assert!(ip("route get 2001:db8:4::9").contains("dev cha0"));
        assert_eq!(ipv6_setting("cha0", "mtu"), "1460");
        ip("link set cha0 down");
        assert!(refused("2001:db8:4::9"));
        assert_ne!(routes.repair().await.unwrap(), 0);
        assert!(ip("route get 2001:db8:4::9").contains("dev cha0"));
        assert_eq!(ipv6_setting("cha0", "mtu"), "1460");
        ip("link del cha0");
        assert!(refused("2001:db8:4::9"), "not by the default route");
        drop(routes);

        // The next start takes over what a crash left, and does not know what was before.
        let mut next = Routes::new(
            Netlink::open().unwrap(),
            ["2001:db8:40::/48".parse().unwrap()],
        );
        next.guard().await.unwrap();
        assert!(!refused("2001:db8:4::9"), "a pool that is none any longer");
        assert!(refused("2001:db8:40:1::1"));
        next.remove().await.unwrap();

        set_ipv6("all", "forwarding", "0");
        assert_eq!(snapshot(), before);
        set_ipv6("wlan0", "accept_ra", "1");
        let mut last = Routes::new(
            Netlink::open().unwrap(),
            ["2001:db8:40::/48".parse().unwrap()],
        );
        last.guard().await.unwrap();
        last.remove().await.unwrap();
        assert_eq!(ipv6_setting("all", "forwarding"), "0");
        assert_eq!(ipv6_setting("wlan0", "accept_ra"), "1");
    });
}

#[test]
fn sessions_of_both_families_survive_a_move() {
    run("both families", || async {
        let peer = attach_6();
        echo(&peer);
        echo_at(&peer, CORRESPONDENT_6.into());
        let before = snapshot();
        let (runtime, mut home_agent) = peer.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let pools = ["10.128.0.0/10", "2001:db8:4::/64"].map(|pool| pool.parse().unwrap());
            let addresses = Addresses {
                ipv4: Some(ROUTER),
                ipv6: Some(ROUTER_6),
            };
            let config = home_agent::Config::new(addresses, pools.to_vec());
            let dataplane = runtime.block_on(HomeAgentDataplane::start(config)).unwrap();
            (runtime, dataplane)
        });
        let mut mobile_node = MobileNodeDataplane::start(mobile_node::Config::default())
            .await
            .unwrap();
        let ends = |care_of: IpAddr| {
            let mut here = match care_of {
                IpAddr::V4(_) => tunnel(HOME, &[CORRESPONDENT]),
                IpAddr::V6(_) => tunnel(HOME_6, &[CORRESPONDENT_6]),
            };
            here.endpoints.local = care_of;
            here.endpoints.remote = match care_of {
                IpAddr::V4(_) => ROUTER.into(),
                IpAddr::V6(_) => ROUTER_6.into(),
            };
            let mut there = here.clone();
            std::mem::swap(&mut there.endpoints.local, &mut there.endpoints.remote);
            [here, there].map(DataplaneChange::Install)
        };
        for care_of in [ACCESS.into(), ACCESS_6.into()] {
            let [here, there] = ends(care_of);
            assert!(home_agent.apply([there]).is_empty());
            assert!(mobile_node.apply([here]).await.is_empty());
        }
        let connect = |address: IpAddr, home: IpAddr| {
            let mut session = TcpStream::connect((address, 7)).unwrap();
            assert_eq!(session.local_addr().unwrap().ip(), home);
            says_back(&mut session);
            session
        };
        let mut sessions = [
            connect(CORRESPONDENT.into(), HOME.into()),
            connect(CORRESPONDENT_6.into(), HOME_6.into()),
        ];
        ip(&format!("addr del {ACCESS}/24 dev wlan0"));
        ip("addr add 192.0.2.11/24 dev wlan0");
        ip(&format!("route replace default via {ROUTER}"));
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        ip("addr add 2001:db8:1::11/64 dev wlan0 nodad");
        for care_of in ["192.0.2.11", "2001:db8:1::11"] {
            let [here, there] = ends(care_of.parse().unwrap());
            assert!(home_agent.apply([there]).is_empty());
            assert!(mobile_node.apply([here]).await.is_empty());
        }
        for session in &mut sessions {
            says_back(session);
        }
        for home in [HomeAddress::from(HOME), HomeAddress::from(HOME_6)] {
            assert!(mobile_node.sockets().usage(home).await.unwrap().in_use());
            assert!(home_agent.traffic(home).unwrap().packets_in > 0);
            assert!(
                mobile_node
                    .apply([DataplaneChange::Remove(home)])
                    .await
                    .is_empty()
            );
        }
        mobile_node.shutdown().await.unwrap();
        peer.run(move || runtime.block_on(home_agent.shutdown()))
            .unwrap();
        ip("addr del 192.0.2.11/24 dev wlan0");
        ip(&format!("addr add {ACCESS}/24 dev wlan0"));
        ip(&format!("route replace default via {ROUTER}"));
        ip("addr del 2001:db8:1::11/64 dev wlan0");
        ip(&format!("addr add {ACCESS_6}/64 dev wlan0 nodad"));
        assert_eq!(snapshot(), before);
    });
}
