//! Which sockets take a home address, where packets from it go, and what is left when the agent dies.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::netlink::Netlink;
use dataplane::netlink::mobile_node::Routes;
use dataplane::{Error, FWMARK, MOBILE_NODE_DEVICE};
use etherparse::{NetHeaders, PacketBuilder, PacketHeaders};
use ipnet::IpNet;
use mobility_protocol::{Encapsulation, HomeAddress, Reachability, Tunnel, TunnelEndpoints};
use socket2::{Domain, Socket, Type};
use tun_rs::SyncDevice;

use crate::namespace::{
    ACCESS, ACCESS_6, CORRESPONDENT, HOME, OTHER, OTHER_6, ROUTER, attach, echo, eventually, ip,
    run, says_back, snapshot, tunnel_device, tunnel_device_holder,
};

pub(crate) fn tunnel<A: Into<IpAddr> + Copy>(home_address: A, correspondents: &[A]) -> Tunnel {
    let home_address = home_address.into();
    let nets: Arc<[IpNet]> = correspondents
        .iter()
        .map(|&address| IpNet::from(address.into()))
        .collect();
    let (local, remote, encapsulation) = match home_address {
        IpAddr::V4(_) => (ACCESS.into(), OTHER.into(), Encapsulation::IpInIp),
        IpAddr::V6(_) => (ACCESS_6.into(), OTHER_6.into(), Encapsulation::Ip6InIp6),
    };
    Tunnel {
        home_address: HomeAddress::from(home_address),
        endpoints: TunnelEndpoints {
            local,
            remote,
            interface: None,
        },
        former_remote: None,
        reachability: Reachability::Proven,
        encapsulation,
        withdrawn: [].into(),
        correspondents: nets,
    }
}

pub(crate) fn routes() -> Routes {
    Routes::new(Netlink::open().unwrap(), MOBILE_NODE_DEVICE, 1480)
}

/// Those of a run that begins with this tunnel.
pub(crate) async fn bound_routes(tunnel: Tunnel) -> Routes {
    let mut routes = routes();
    routes.prepare().await.unwrap();
    routes.install(&tunnel).await.unwrap();
    routes
}

/// What a run does that has restored the binding of the one before.
async fn restored() {
    let mut routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
    routes.settle().await.unwrap();
}

/// The source a new UDP socket takes toward an address.
fn source_toward(address: Ipv4Addr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn next_packet(device: &SyncDevice) -> (Ipv4Addr, Ipv4Addr) {
    let end = Instant::now() + Duration::from_secs(5);
    let mut packet = [0; 2048];
    loop {
        match device.recv(&mut packet) {
            Ok(length) => {
                let headers = PacketHeaders::from_ip_slice(&packet[..length]).unwrap();
                let Some(NetHeaders::Ipv4(header, _)) = headers.net else {
                    continue;
                };
                return (header.source.into(), header.destination.into());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < end, "no packet came through the device");
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Refuses the connection attempt that comes next.
fn answer_with_reset(device: &SyncDevice) {
    let mut packet = [0; 2048];
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let Ok(length) = device.recv(&mut packet) else {
            assert!(Instant::now() < end, "no packet came through the device");
            std::thread::yield_now();
            continue;
        };
        let headers = PacketHeaders::from_ip_slice(&packet[..length]).unwrap();
        let tcp = headers.transport.unwrap().tcp().unwrap();
        let mut answer = Vec::new();
        PacketBuilder::ipv4(CORRESPONDENT.octets(), HOME.octets(), 60)
            .tcp(tcp.destination_port, tcp.source_port, 0, 0)
            .rst()
            .ack(tcp.sequence_number.wrapping_add(1))
            .write(&mut answer, &[])
            .unwrap();
        device.send(&answer).unwrap();
        return;
    }
}

#[test]
fn a_withdrawn_correspondent_keeps_its_sockets_and_gets_no_new_ones() {
    run("withdrawn", || async {
        let _peer = attach();
        let device = tunnel_device();
        let mut routes = routes();
        routes.prepare().await.unwrap();
        let whole = tunnel(HOME, &[CORRESPONDENT, OTHER]);
        routes.install(&whole).await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME);
        let earlier = UdpSocket::bind("0.0.0.0:0").unwrap();
        earlier.connect((CORRESPONDENT, 9)).unwrap();

        let withdrawn = Tunnel {
            withdrawn: [IpNet::from(IpAddr::from(CORRESPONDENT))].into(),
            ..whole.clone()
        };
        routes.install(&withdrawn).await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), ACCESS);
        assert_eq!(source_toward(OTHER).unwrap(), HOME);
        while device.recv(&mut [0; 2048]).is_ok() {}
        earlier.send(b"still here").unwrap();
        assert_eq!(next_packet(&device), (HOME, CORRESPONDENT));
        assert_eq!(routes.repair().await.unwrap(), 0, "nothing is missed");

        routes.install(&whole).await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME);
        routes.install(&withdrawn).await.unwrap();
        routes.remove(withdrawn.home_address).await.unwrap();
        routes.cleanup().await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), ACCESS);
    });
}

#[test]
fn only_sockets_without_a_source_take_the_home_address() {
    run("source selection", || async {
        let peer = attach();
        echo(&peer);
        let mut earlier = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
        says_back(&mut earlier);
        let connected_earlier = UdpSocket::bind("0.0.0.0:0").unwrap();
        connected_earlier.connect((CORRESPONDENT, 9)).unwrap();
        let unconnected = UdpSocket::bind("0.0.0.0:0").unwrap();
        let bound = UdpSocket::bind((ACCESS, 0)).unwrap();

        let device = tunnel_device();
        let mut routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;

        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME, "a new socket");
        assert_eq!(source_toward(OTHER).unwrap(), ACCESS, "toward anybody else");
        says_back(&mut earlier);
        assert_eq!(earlier.local_addr().unwrap().ip(), ACCESS);
        connected_earlier.send(b"x").unwrap();
        bound.send_to(b"x", (CORRESPONDENT, 9)).unwrap();
        let mut packet = [0; 100];
        assert_eq!(
            device.recv(&mut packet).unwrap_err().kind(),
            ErrorKind::WouldBlock,
            "what began on the access address stays there"
        );
        unconnected.send_to(b"x", (CORRESPONDENT, 9)).unwrap();
        assert_eq!(
            next_packet(&device),
            (HOME, CORRESPONDENT),
            "an unconnected socket chooses per packet"
        );

        let marked = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        marked.set_mark(FWMARK).unwrap();
        marked
            .connect(&SocketAddr::from((CORRESPONDENT, 434)).into())
            .unwrap();
        assert_eq!(
            marked.local_addr().unwrap().as_socket().unwrap().ip(),
            ACCESS,
            "our own packets"
        );
        let elsewhere = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        elsewhere.bind_device(Some(b"wlan0")).unwrap();
        elsewhere
            .connect(&SocketAddr::from((CORRESPONDENT, 9)).into())
            .unwrap();
        assert_eq!(
            elsewhere.local_addr().unwrap().as_socket().unwrap().ip(),
            ACCESS,
            "bound to an interface"
        );

        let from_home = UdpSocket::bind((HOME, 0)).unwrap();
        let leak = from_home.send_to(b"x", (OTHER, 9)).unwrap_err();
        assert_eq!(
            leak.kind(),
            ErrorKind::HostUnreachable,
            "a home address never leaks"
        );
        from_home.send_to(b"x", (ACCESS, 9)).unwrap();
        assert_eq!(source_toward(ACCESS).unwrap(), ACCESS, "local traffic");

        routes.cleanup().await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), ACCESS);
        says_back(&mut earlier);
    });
}

#[test]
fn marked_packets_without_a_main_route_use_the_hosts_further_rules() {
    run("marked packets", || async {
        let _peer = attach();
        ip("route del default");
        ip(&format!("route add default via {ROUTER} table 77"));
        ip("rule add pref 30000 from all lookup 77");
        let device = tunnel_device();
        let _routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_mark(FWMARK).unwrap();
        socket
            .connect(&SocketAddr::from((CORRESPONDENT, 434)).into())
            .unwrap();
        assert_eq!(
            socket.local_addr().unwrap().as_socket().unwrap().ip(),
            ACCESS
        );
        drop(device);
    });
}

#[test]
fn packets_of_the_correspondent_pass_strict_reverse_path_filtering() {
    run("rp_filter", || async {
        let _peer = attach();
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv4/conf/default/rp_filter", "1").unwrap();
        let device = tunnel_device();
        let _routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
        let socket = UdpSocket::bind((HOME, 5000)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut packet = Vec::new();
        PacketBuilder::ipv4(CORRESPONDENT.octets(), HOME.octets(), 60)
            .udp(9, 5000)
            .write(&mut packet, b"hello")
            .unwrap();
        device.send(&packet).unwrap();
        let mut answer = [0; 10];
        assert_eq!(socket.recv(&mut answer).unwrap(), 5);
    });
}

#[test]
fn when_the_agent_is_killed_new_sockets_connect_plainly_and_old_ones_wait() {
    run("SIGKILL", || async {
        let peer = attach();
        echo(&peer);
        let mut holder = tunnel_device_holder();
        eventually("the device is there", || {
            ip("-o link").contains(MOBILE_NODE_DEVICE)
        })
        .await;
        let routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
        let session = UdpSocket::bind("0.0.0.0:0").unwrap();
        session.connect((CORRESPONDENT, 9)).unwrap();
        assert_eq!(session.local_addr().unwrap().ip(), HOME);
        session.send(b"x").unwrap();

        let killed = Instant::now();
        holder.kill().unwrap();
        holder.wait().unwrap();
        eprintln!(
            "the device has gone {:?} after the SIGKILL",
            killed.elapsed()
        );
        let mut plain = TcpStream::connect((CORRESPONDENT, 7)).unwrap();
        assert_eq!(plain.local_addr().unwrap().ip(), ACCESS);
        says_back(&mut plain);
        assert_eq!(
            session.send(b"x").unwrap_err().kind(),
            ErrorKind::HostUnreachable,
            "a session of the home address waits, and does not leak"
        );

        let device = tunnel_device();
        assert_eq!(
            session.send(b"x").unwrap_err().kind(),
            ErrorKind::HostUnreachable,
            "also while the next run has the device alone"
        );
        drop(routes);
        restored().await;
        session.send(b"x").unwrap();
        assert_eq!(next_packet(&device), (HOME, CORRESPONDENT));
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME);
        says_back(&mut plain);
    });
}

#[test]
fn a_tcp_session_waits_for_the_agent_and_goes_on() {
    run("TCP across a restart", || async {
        let _peer = attach();
        let device = tunnel_device();
        let _routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
        let attempt = std::thread::spawn(|| {
            TcpStream::connect_timeout(&(CORRESPONDENT, 7).into(), Duration::from_secs(20))
        });
        assert_eq!(next_packet(&device), (HOME, CORRESPONDENT));
        drop(device);
        // A child that another test is just starting may hold a copy of the device until its exec.
        eventually("the device has gone", || {
            source_toward(CORRESPONDENT).unwrap() == ACCESS
        })
        .await;
        let device = tunnel_device();
        restored().await;
        assert_eq!(
            next_packet(&device),
            (HOME, CORRESPONDENT),
            "it is sent again"
        );
        assert!(!attempt.is_finished());
        answer_with_reset(&device);
        attempt.join().unwrap().unwrap_err();
    });
}

#[test]
fn what_was_added_is_removed_and_nothing_else() {
    run("exact removal", || async {
        let _peer = attach();
        ip("rule add pref 102 from 10.9.9.9 lookup 4340");
        ip("rule add pref 5 to 203.0.113.9 lookup main");
        ip("route add 203.0.113.64/26 via 192.0.2.1 table 4341");
        let device = tunnel_device();
        ip("link set mn0 up");
        let before = snapshot();
        let mut routes = routes();
        routes.prepare().await.unwrap();
        routes
            .install(&tunnel(HOME, &[CORRESPONDENT, OTHER]))
            .await
            .unwrap();
        routes
            .install(&tunnel(HOME, &[CORRESPONDENT]))
            .await
            .unwrap();
        assert_eq!(
            source_toward(OTHER).unwrap(),
            ACCESS,
            "a correspondent that is none any longer"
        );
        let second = Ipv4Addr::new(10, 128, 0, 10);
        routes.install(&tunnel(second, &[OTHER])).await.unwrap();
        let standing = snapshot();
        // Everything may be repeated.
        routes.prepare().await.unwrap();
        routes.install(&tunnel(second, &[OTHER])).await.unwrap();
        assert_eq!(routes.repair().await.unwrap(), 0);
        assert_eq!(snapshot(), standing);
        routes.remove(HomeAddress::from(HOME)).await.unwrap();
        routes.remove(HomeAddress::from(HOME)).await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), ACCESS);
        assert_eq!(source_toward(OTHER).unwrap(), second);
        routes.cleanup().await.unwrap();
        routes.cleanup().await.unwrap();
        assert_eq!(snapshot().replace("mtu 1480", "mtu 1500"), before);
        drop(device);
    });
}

#[test]
fn the_second_claim_of_a_correspondent_is_refused() {
    run("two claims", || async {
        let _peer = attach();
        let _device = tunnel_device();
        let mut routes = bound_routes(tunnel(HOME, &[CORRESPONDENT])).await;
        let standing = snapshot();
        let second = tunnel(Ipv4Addr::new(10, 128, 0, 10), &[OTHER, CORRESPONDENT]);
        let refused = routes.install(&second).await.unwrap_err();
        assert!(
            matches!(refused, Error::CorrespondentTaken { .. }),
            "{refused}"
        );
        assert_eq!(snapshot(), standing);
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), HOME);
    });
}

#[test]
fn an_install_that_fails_half_way_is_undone() {
    run("half way", || async {
        let _peer = attach();
        let _device = tunnel_device();
        let mut routes = routes();
        routes.prepare().await.unwrap();
        ip(&format!(
            "route add {CORRESPONDENT}/32 via {ROUTER} table 4341"
        ));
        let standing = snapshot();
        let refused = routes
            .install(&tunnel(HOME, &[CORRESPONDENT]))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Error::RouteTaken { table: 4341, .. }),
            "{refused}"
        );
        assert_eq!(snapshot(), standing);
    });
}

#[test]
fn the_next_start_finds_what_a_crash_left() {
    run("after a crash", || async {
        let _peer = attach();
        let _device = tunnel_device();
        ip("link set mn0 up");
        ip("link set mn0 mtu 1480");
        let before = snapshot();
        let lost = Ipv4Addr::new(10, 128, 0, 10);
        let mut crashed = routes();
        crashed.prepare().await.unwrap();
        crashed
            .install(&tunnel(HOME, &[CORRESPONDENT]))
            .await
            .unwrap();
        let restored = snapshot();
        crashed.install(&tunnel(lost, &[OTHER])).await.unwrap();
        let session = UdpSocket::bind((HOME, 0)).unwrap();
        drop(crashed);

        let mut next = routes();
        next.prepare().await.unwrap();
        next.install(&tunnel(HOME, &[CORRESPONDENT])).await.unwrap();
        next.settle().await.unwrap();
        assert_eq!(
            snapshot(),
            restored,
            "what is restored stays, the rest goes"
        );
        session.send_to(b"x", (CORRESPONDENT, 9)).unwrap();
        drop(next);

        // A run that restores nothing; the correspondent has a new home address.
        let mut last = routes();
        last.prepare().await.unwrap();
        last.install(&tunnel(lost, &[CORRESPONDENT])).await.unwrap();
        last.settle().await.unwrap();
        assert_eq!(source_toward(CORRESPONDENT).unwrap(), lost);
        drop(last);
        routes().cleanup().await.unwrap();
        assert_eq!(snapshot(), before);
    });
}
