//! What the mobile node's routes do for IPv6 that they do otherwise for IPv4.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dataplane::{FWMARK, MOBILE_NODE_DEVICE};
use etherparse::{NetHeaders, PacketHeaders};
use mobility_protocol::HomeAddress;
use socket2::{Domain, Socket, Type};
use tun_rs::SyncDevice;

use crate::mobile_node_routes::{bound_routes, routes, tunnel};
use crate::namespace::{
    ACCESS_6, CORRESPONDENT_6, HOME_6, OTHER_6, ROUTER_6, attach_6, echo_at, eventually, ip, run,
    says_back, set_ipv6, snapshot, tunnel_device, tunnel_device_holder,
};

/// The source a new UDP socket takes toward an address.
fn source_toward(address: Ipv6Addr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind("[::]:0")?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// The source and the destination of the next packet but the kernel's own talk.
fn next_packet(device: &SyncDevice) -> (Ipv6Addr, Ipv6Addr) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(packet) = packet(device) {
            return packet;
        }
        assert!(Instant::now() < end, "no packet came through the device");
        std::thread::yield_now();
    }
}

fn packet(device: &SyncDevice) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let mut packet = [0; 2048];
    loop {
        match device.recv(&mut packet) {
            Ok(length) => {
                let headers = PacketHeaders::from_ip_slice(&packet[..length]).unwrap();
                let Some(NetHeaders::Ipv6(header, _)) = headers.net else {
                    continue;
                };
                let destination = Ipv6Addr::from(header.destination);
                if !destination.is_multicast() {
                    return Some((header.source.into(), destination));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn only_sockets_without_a_source_take_the_home_address() {
    run("IPv6 source selection", || async {
        let peer = attach_6();
        echo_at(&peer, CORRESPONDENT_6.into());
        let mut earlier = TcpStream::connect((CORRESPONDENT_6, 7)).unwrap();
        says_back(&mut earlier);
        let connected_earlier = UdpSocket::bind("[::]:0").unwrap();
        connected_earlier.connect((CORRESPONDENT_6, 9)).unwrap();
        let unconnected = UdpSocket::bind("[::]:0").unwrap();
        let bound = UdpSocket::bind((ACCESS_6, 0)).unwrap();

        let device = tunnel_device();
        let mut routes = bound_routes(tunnel(HOME_6, &[CORRESPONDENT_6])).await;

        assert_eq!(
            source_toward(CORRESPONDENT_6).unwrap(),
            HOME_6,
            "a new socket"
        );
        assert_eq!(
            source_toward(OTHER_6).unwrap(),
            ACCESS_6,
            "toward anybody else"
        );
        says_back(&mut earlier);
        assert_eq!(earlier.local_addr().unwrap().ip(), ACCESS_6);
        connected_earlier.send(b"x").unwrap();
        bound.send_to(b"x", (CORRESPONDENT_6, 9)).unwrap();
        assert_eq!(
            packet(&device),
            None,
            "what began on the access address stays there"
        );
        unconnected.send_to(b"x", (CORRESPONDENT_6, 9)).unwrap();
        assert_eq!(
            next_packet(&device),
            (HOME_6, CORRESPONDENT_6),
            "an unconnected socket chooses per packet"
        );

        // A program that knows nothing of us.
        let client = "import socket; s = socket.create_connection(('2001:db8:c::7', 7), 1)";
        let status = Command::new("timeout")
            .args(["10", "python3", "-c", client])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!status.success(), "nobody answers through this device");
        assert_eq!(next_packet(&device), (HOME_6, CORRESPONDENT_6));

        let marked = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        marked.set_mark(FWMARK).unwrap();
        marked
            .connect(&SocketAddr::from((CORRESPONDENT_6, 434)).into())
            .unwrap();
        assert_eq!(
            marked.local_addr().unwrap().as_socket().unwrap().ip(),
            ACCESS_6,
            "our own packets"
        );

        let from_home = UdpSocket::bind((HOME_6, 0)).unwrap();
        let leak = from_home.send_to(b"x", (OTHER_6, 9)).unwrap_err();
        assert_eq!(
            leak.kind(),
            ErrorKind::HostUnreachable,
            "a home address never leaks"
        );
        from_home.send_to(b"x", (ACCESS_6, 9)).unwrap();
        assert_eq!(source_toward(ACCESS_6).unwrap(), ACCESS_6, "local traffic");

        routes.cleanup().await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT_6).unwrap(), ACCESS_6);
        says_back(&mut earlier);
    });
}

#[test]
fn a_host_without_another_address_does_not_take_the_home_address_for_others() {
    run("IPv6 without an address", || async {
        let peer = attach_6();
        let device = tunnel_device();
        let mut routes = bound_routes(tunnel(HOME_6, &[CORRESPONDENT_6])).await;
        let second = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 10);
        routes.install(&tunnel(second, &[ROUTER_6])).await.unwrap();
        // A link-local address and a route, as before an advertisement's prefix is usable.
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        ip("-6 route replace default via fe80::1 dev wlan0");
        let received = || {
            let statistics = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
            let line = statistics
                .lines()
                .find(|line| line.starts_with("Ip6InReceives"))
                .unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let before = peer.run(received);
        let refused = source_toward(OTHER_6).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::HostUnreachable);
        let unconnected = UdpSocket::bind("[::]:0").unwrap();
        unconnected.send_to(b"x", (OTHER_6, 9)).unwrap_err();
        TcpStream::connect_timeout(&(OTHER_6, 7).into(), Duration::from_secs(1)).unwrap_err();
        assert_eq!(peer.run(received), before, "not even a solicitation");
        // The correspondents are reached all the same.
        assert_eq!(source_toward(CORRESPONDENT_6).unwrap(), HOME_6);
        assert_eq!(source_toward(ROUTER_6).unwrap(), second);
        // With a deprecated address there is a choice again.
        ip("-6 route replace default via fe80::1 dev wlan0");
        ip("addr add 2001:db8:1::20/64 dev wlan0 nodad");
        assert_eq!(
            source_toward(OTHER_6).unwrap(),
            "2001:db8:1::20".parse::<IpAddr>().unwrap()
        );
        drop(device);
    });
}

#[test]
fn forwarded_traffic_is_left_alone() {
    run("IPv6 forwarding", || async {
        let peer = attach_6();
        echo_at(&peer, CORRESPONDENT_6.into());
        // A container behind this host.
        let container = crate::namespace::Peer::new();
        container.connect("veth0", "eth0");
        set_ipv6("veth0", "disable_ipv6", "0");
        ip("link set veth0 up");
        ip("addr add 2001:db8:2::1/64 dev veth0 nodad");
        set_ipv6("all", "forwarding", "1");
        container.run(|| {
            for (setting, value) in [("accept_dad", "0"), ("disable_ipv6", "0")] {
                set_ipv6("eth0", setting, value);
            }
            ip("link set eth0 up");
            ip("addr add 2001:db8:2::2/64 dev eth0 nodad");
            ip("-6 route add default via 2001:db8:2::1");
        });
        peer.run(|| ip(&format!("-6 route add 2001:db8:2::/64 via {ACCESS_6}")));

        let device = tunnel_device();
        let _routes = bound_routes(tunnel(HOME_6, &[CORRESPONDENT_6])).await;
        let source = container.run(|| {
            let mut stream =
                TcpStream::connect_timeout(&(CORRESPONDENT_6, 7).into(), Duration::from_secs(5))
                    .unwrap();
            says_back(&mut stream);
            stream.local_addr().unwrap().ip()
        });
        assert_eq!(source, "2001:db8:2::2".parse::<IpAddr>().unwrap());
        assert_eq!(packet(&device), None);
    });
}

#[test]
fn when_the_agent_is_killed_new_sockets_connect_plainly_and_old_ones_wait() {
    run("IPv6 and SIGKILL", || async {
        let peer = attach_6();
        echo_at(&peer, CORRESPONDENT_6.into());
        let mut holder = tunnel_device_holder();
        eventually("the device is there", || {
            ip("-o link").contains(MOBILE_NODE_DEVICE)
        })
        .await;
        let mut first = routes();
        first.prepare().await.unwrap();
        first
            .install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        let session = UdpSocket::bind("[::]:0").unwrap();
        session.connect((CORRESPONDENT_6, 9)).unwrap();
        assert_eq!(session.local_addr().unwrap().ip(), HOME_6);
        session.send(b"x").unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let mut plain = TcpStream::connect((CORRESPONDENT_6, 7)).unwrap();
        assert_eq!(plain.local_addr().unwrap().ip(), ACCESS_6);
        says_back(&mut plain);
        let waits = || session.send(b"x").unwrap_err().kind();
        assert_eq!(
            waits(),
            ErrorKind::HostUnreachable,
            "a session of the home address waits, and does not leak"
        );
        // Nor does the host take it for others, now that nobody looks after it.
        ip(&format!("addr del {ACCESS_6}/64 dev wlan0"));
        ip("-6 route replace default via fe80::1 dev wlan0");
        let source = source_toward(OTHER_6);
        assert!(source.is_err() || source.unwrap() != HOME_6);
        ip(&format!("addr add {ACCESS_6}/64 dev wlan0 nodad"));
        ip(&format!(
            "-6 route replace default via {ROUTER_6} dev wlan0"
        ));

        let device = tunnel_device();
        assert_eq!(waits(), ErrorKind::HostUnreachable);
        drop(first);
        let mut next = routes();
        next.prepare().await.unwrap();
        next.install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        next.settle().await.unwrap();
        session.send(b"x").unwrap();
        assert_eq!(next_packet(&device), (HOME_6, CORRESPONDENT_6));
        assert_eq!(source_toward(CORRESPONDENT_6).unwrap(), HOME_6);
        says_back(&mut plain);
        drop(device);
    });
}

#[test]
fn a_tcp_session_waits_for_the_agent_and_goes_on() {
    run("TCP over IPv6 across a restart", || async {
        let _peer = attach_6();
        let device = tunnel_device();
        let mut first = routes();
        first.prepare().await.unwrap();
        first
            .install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        let attempt = std::thread::spawn(|| {
            TcpStream::connect_timeout(&(CORRESPONDENT_6, 7).into(), Duration::from_secs(20))
        });
        assert_eq!(next_packet(&device), (HOME_6, CORRESPONDENT_6));
        drop(device);
        // A child that another test is just starting may hold a copy of the device until its exec.
        eventually("the device has gone", || {
            source_toward(CORRESPONDENT_6).unwrap() == ACCESS_6
        })
        .await;
        let device = tunnel_device();
        drop(first);
        let mut next = routes();
        next.prepare().await.unwrap();
        next.install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        assert_eq!(
            next_packet(&device),
            (HOME_6, CORRESPONDENT_6),
            "it is sent again"
        );
        assert!(!attempt.is_finished());
    });
}

#[test]
fn what_was_added_is_removed_and_nothing_else() {
    run("exact removal of IPv6", || async {
        let _peer = attach_6();
        ip("-6 rule add pref 102 from 2001:db8:9::9 lookup 4340");
        ip("-6 route add 2001:db8:99::/48 via 2001:db8:1::1 table 4341");
        let device = tunnel_device();
        ip("link set mn0 up");
        ip("link set mn0 mtu 1480");
        eventually("the kernel has given the device its own address", || {
            let local = ip("-6 route show table local dev mn0");
            local.contains("local fe80") && local.contains("multicast")
        })
        .await;
        let before = snapshot();
        let mut first = routes();
        first.prepare().await.unwrap();
        first
            .install(&tunnel(HOME_6, &[CORRESPONDENT_6, OTHER_6]))
            .await
            .unwrap();
        first
            .install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        assert_eq!(source_toward(OTHER_6).unwrap(), ACCESS_6);
        let second = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 10);
        first.install(&tunnel(second, &[OTHER_6])).await.unwrap();
        let standing = snapshot();
        // Everything may be repeated.
        first.prepare().await.unwrap();
        first.install(&tunnel(second, &[OTHER_6])).await.unwrap();
        assert_eq!(first.repair().await.unwrap(), 0);
        assert_eq!(snapshot(), standing);
        first.remove(HomeAddress::from(HOME_6)).await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT_6).unwrap(), ACCESS_6);
        assert_eq!(source_toward(OTHER_6).unwrap(), second);
        drop(first);
        // The next run finds what a crash left.
        let mut next = routes();
        next.prepare().await.unwrap();
        next.install(&tunnel(HOME_6, &[CORRESPONDENT_6]))
            .await
            .unwrap();
        next.settle().await.unwrap();
        assert_eq!(source_toward(OTHER_6).unwrap(), ACCESS_6);
        assert_eq!(source_toward(CORRESPONDENT_6).unwrap(), HOME_6);
        next.cleanup().await.unwrap();
        next.cleanup().await.unwrap();
        assert_eq!(snapshot(), before);
        drop(device);
    });
}
