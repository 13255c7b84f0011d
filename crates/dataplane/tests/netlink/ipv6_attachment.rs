//! Which care-of address of IPv6 the kernel would use, and who uses a home address of IPv6.

use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};

use dataplane::MOBILE_NODE_DEVICE;
use dataplane::netlink::Netlink;
use dataplane::netlink::monitor::{Changes, Monitor};
use dataplane::netlink::sockets::{Sockets, Usage};
use mobility_protocol::{CareOfAddress, HomeAddress, HomeAgentAddress, Path};
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use crate::mobile_node_routes::{routes, tunnel};
use crate::namespace::{
    ACCESS_6, CORRESPONDENT_6, HOME, HOME_6, OTHER_6, PATIENCE, Peer, ROUTER_6, attach_6, ip, run,
    set_ipv6, tunnel_device,
};

fn monitor() -> Monitor {
    Monitor::start(Netlink::open().unwrap(), MOBILE_NODE_DEVICE).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Asks after each report until the answer is the wanted one.
async fn until(monitor: &Monitor, changes: &mut Changes, wanted: Option<IpAddr>) -> Option<Path> {
    let agent = HomeAgentAddress::from(OTHER_6);
    let mut last = None;
    timeout(PATIENCE, async {
        loop {
            let path = monitor.preferred_path(agent).await.unwrap();
            last = path;
            if path.map(|path| path.care_of.ip()) == wanted {
                return path;
            }
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not {wanted:?} but {last:?}"))
}

/// Sends a router advertisement: lifetimes of router and prefix in seconds.
fn advertise(peer: &Peer, prefix: Ipv6Addr, router: u16, (valid, preferred): (u32, u32)) {
    peer.run(move || {
        let mut message = vec![134, 0, 0, 0, 64, 0];
        message.extend(router.to_be_bytes());
        message.extend([0; 8]);
        // On this link, and for addresses of one's own.
        message.extend([3, 4, 64, 0xc0]);
        message.extend(valid.to_be_bytes());
        message.extend(preferred.to_be_bytes());
        message.extend([0; 4]);
        message.extend(prefix.octets());
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(58.into())).unwrap();
        let index = nix::net::if_::if_nametoindex("up0").unwrap();
        socket.set_multicast_hops_v6(255).unwrap();
        socket.set_multicast_if_v6(index).unwrap();
        let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let everybody = std::net::SocketAddrV6::new(everybody, 0, 0, index);
        socket.send_to(&message, &everybody.into()).unwrap();
    });
}

#[test]
fn the_answer_follows_the_choice_of_the_kernel() {
    run("IPv6 movement", || async {
        let monitor = monitor();
        let mut changes = monitor.changes();
        let peer = attach_6();
        let first = until(&monitor, &mut changes, Some(ACCESS_6.into()))
            .await
            .unwrap();
        assert!(monitor.is_usable(first).await.unwrap());

        // An address that is being tested for duplicates is none yet, and one that failed never.
        set_ipv6("wlan0", "accept_dad", "1");
        set_ipv6("wlan0", "dad_transmits", "3");
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        until(&monitor, &mut changes, None).await;
        assert!(!monitor.is_usable(first).await.unwrap());
        ip("addr add 2001:db8:1::20/64 dev wlan0");
        let tentative = Path {
            care_of: CareOfAddress(address("2001:db8:1::20")),
            ..first
        };
        if ip("-6 addr show dev wlan0 tentative").contains("2001:db8:1::20") {
            assert!(!monitor.is_usable(tentative).await.unwrap());
        }
        until(&monitor, &mut changes, Some(address("2001:db8:1::20"))).await;
        peer.run(|| ip("addr add 2001:db8:1::30/64 dev up0 nodad"));
        ip("addr add 2001:db8:1::30/64 dev wlan0");
        timeout(PATIENCE, async {
            while !ip("-6 addr show dev wlan0").contains("dadfailed") {
                changes.changed().await.unwrap();
            }
        })
        .await
        .unwrap();
        let duplicate = Path {
            care_of: CareOfAddress(address("2001:db8:1::30")),
            ..first
        };
        assert!(!monitor.is_usable(duplicate).await.unwrap());

        // With optimistic detection an address serves at once.
        set_ipv6("wlan0", "optimistic_dad", "1");
        set_ipv6("wlan0", "use_optimistic", "1");
        ip("addr del 2001:db8:1::20/64 dev wlan0");
        ip("addr add 2001:db8:1::40/64 dev wlan0");
        let optimistic = until(&monitor, &mut changes, Some(address("2001:db8:1::40")))
            .await
            .unwrap();
        assert!(monitor.is_usable(optimistic).await.unwrap());

        // A deprecated one serves as long as there is no other.
        ip("addr change 2001:db8:1::40/64 dev wlan0 preferred_lft 0");
        until(&monitor, &mut changes, Some(address("2001:db8:1::40"))).await;
        ip("addr add 2001:db8:1::50/64 dev wlan0 nodad");
        until(&monitor, &mut changes, Some(address("2001:db8:1::50"))).await;
        assert!(monitor.is_usable(optimistic).await.unwrap());

        assert_eq!(monitor.path_mtu(OTHER_6.into()).await.unwrap(), Some(1500));
        set_ipv6("wlan0", "mtu", "1280");
        assert_eq!(monitor.path_mtu(OTHER_6.into()).await.unwrap(), Some(1280));
    });
}

#[test]
fn advertisements_that_come_late_and_from_several_routers() {
    run("advertisements", || async {
        let peer = attach_6();
        let monitor = monitor();
        let mut changes = monitor.changes();
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        ip("-6 route del default");
        until(&monitor, &mut changes, None).await;
        set_ipv6("wlan0", "accept_dad", "0");
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
        let other = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 0);
        // A prefix without a way out, then the way.
        advertise(&peer, prefix, 0, (3600, 3600));
        timeout(PATIENCE, async {
            while !ip("-6 addr show dev wlan0").contains("2001:db8:1:") {
                changes.changed().await.unwrap();
            }
        })
        .await
        .unwrap();
        assert_eq!(monitor.preferred_path(OTHER_6.into()).await.unwrap(), None);
        advertise(&peer, prefix, 1800, (3600, 3600));
        let own = |prefix: &str| {
            let all = ip("-6 -o addr show dev wlan0 scope global");
            let of_prefix = all.split_whitespace().find(|word| word.starts_with(prefix));
            of_prefix.map(|word| address(word.split('/').next().unwrap()))
        };
        let path = until(&monitor, &mut changes, own("2001:db8:1:")).await;
        assert!(path.is_some());
        // The former prefix is renumbered away, a new one takes over.
        advertise(&peer, prefix, 1800, (3600, 0));
        advertise(&peer, other, 1800, (3600, 3600));
        timeout(PATIENCE, async {
            while own("2001:db8:5:").is_none() {
                changes.changed().await.unwrap();
            }
        })
        .await
        .unwrap();
        until(&monitor, &mut changes, own("2001:db8:5:")).await;
        // The router goes; another one, configured by hand, is a way as well.
        advertise(&peer, other, 0, (3600, 3600));
        until(&monitor, &mut changes, None).await;
        ip(&format!("-6 route add default via {ROUTER_6} dev wlan0"));
        until(&monitor, &mut changes, own("2001:db8:5:")).await;
    });
}

#[test]
fn a_home_address_is_neither_a_way_out_nor_a_change() {
    run("our own IPv6", || async {
        let _peer = attach_6();
        let _device = tunnel_device();
        let monitor = monitor();
        let mut routes = routes();
        routes.prepare().await.unwrap();
        // The home agent is also the correspondent.
        routes
            .install(&tunnel(HOME_6, &[OTHER_6, CORRESPONDENT_6]))
            .await
            .unwrap();
        let path = monitor.preferred_path(OTHER_6.into()).await.unwrap();
        assert_eq!(path.unwrap().care_of.ip(), ACCESS_6);
        let addresses = monitor.local_addresses().await.unwrap();
        let addresses: Vec<_> = addresses.iter().map(|found| found.address).collect();
        assert!(addresses.contains(&ACCESS_6.into()) && !addresses.contains(&HOME_6.into()));
        // Without another address the kernel would answer with the home address.
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        ip("-6 route replace default via fe80::1 dev wlan0");
        assert_eq!(monitor.preferred_path(OTHER_6.into()).await.unwrap(), None);
    });
}

#[test]
fn sockets_of_a_home_address_count() {
    run("IPv6 use", || async {
        let _peer = attach_6();
        ip(&format!("addr add {HOME_6}/128 dev lo nodad"));
        ip(&format!("addr add {HOME}/32 dev lo"));
        let sockets = Sockets::open().unwrap();
        let home_address = HomeAddress::from(HOME_6);
        sockets.watch(home_address);
        let usage = || async { sockets.usage(home_address).await.unwrap() };
        let _anywhere = UdpSocket::bind("[::]:0").unwrap();
        let _mapped = UdpSocket::bind((HOME.to_ipv6_mapped(), 0)).unwrap();
        assert_eq!(usage().await, Usage::default());
        let bound = UdpSocket::bind((HOME_6, 0)).unwrap();
        let listener = TcpListener::bind((HOME_6, 0)).unwrap();
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket
            .bind(&std::net::SocketAddr::from((HOME_6, 0)).into())
            .unwrap();
        let there = listener.local_addr().unwrap();
        socket.connect(&there.into()).unwrap();
        let connection: TcpStream = socket.into();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(usage().await, Usage { tcp: 3, udp: 1 });
        drop((bound, listener));
        assert!(usage().await.in_use());
        drop((connection, accepted));
        timeout(PATIENCE, async {
            while usage().await.in_use() {
                let ended = sockets.ended().await.unwrap();
                assert!(ended.overrun || ended.home_addresses.contains(&home_address));
            }
        })
        .await
        .unwrap();
    });
}
