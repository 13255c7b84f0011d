//! Who uses a home address.

use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use dataplane::netlink::sockets::{Sockets, SocketsEnded, Usage};
use mobility_protocol::HomeAddress;
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use crate::namespace::{HOME, HOME_6, PATIENCE, ip, run};

const PORT: u16 = 7000;

async fn ended(sockets: &Sockets) -> SocketsEnded {
    timeout(PATIENCE, sockets.ended()).await.unwrap().unwrap()
}

async fn usage(sockets: &Sockets) -> Usage {
    sockets.usage(HomeAddress::from(HOME)).await.unwrap()
}

/// A connection from the home address to this host itself.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from((HOME, 0)).into())
        .unwrap();
    socket
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (socket.into(), accepted)
}

#[test]
fn a_connection_counts_until_both_directions_are_closed() {
    run("TCP use", || async {
        ip(&format!("addr add {HOME}/32 dev lo"));
        let sockets = Sockets::open().unwrap();
        let home_address = HomeAddress::from(HOME);
        sockets.watch(home_address);
        assert!(!usage(&sockets).await.in_use());
        let (ours, theirs) = connection();
        assert_eq!(usage(&sockets).await, Usage { tcp: 1, udp: 0 });

        // Our side is closed; the other one may still send.
        drop(ours);
        let report = ended(&sockets).await;
        assert!(report.home_addresses.contains(&home_address));
        assert!(usage(&sockets).await.in_use(), "FIN_WAIT2 is use");
        theirs.shutdown(Shutdown::Both).unwrap();
        drop(theirs);
        timeout(PATIENCE, async {
            while usage(&sockets).await.in_use() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("TIME_WAIT is no use");
    });
}

#[test]
fn one_look_tells_which_of_several_home_addresses_are_used() {
    run("use of several home addresses", || async {
        let home_address = |number: u16| {
            HomeAddress::from(Ipv4Addr::from_bits(HOME.to_bits() + u32::from(number)))
        };
        let used = [5, 700, 1500].map(home_address);
        for used in used {
            ip(&format!("addr add {used}/32 dev lo"));
        }
        let sockets = Sockets::open().unwrap();
        // As IPv4, as a mapped address, and behind more of them than one question can name.
        let datagrams = UdpSocket::bind((used[0].ip(), 0)).unwrap();
        let IpAddr::V4(mapped) = used[1].ip() else {
            unreachable!("made above");
        };
        let _mapped = TcpListener::bind((mapped.to_ipv6_mapped(), PORT)).unwrap();
        let _listening = TcpListener::bind((used[2].ip(), PORT)).unwrap();
        let asked = (0..2000).map(home_address).chain([HOME_6.into()]).collect();
        assert_eq!(sockets.in_use(&asked).await.unwrap(), used.into());
        drop(datagrams);
        let left = sockets.in_use(&used.into()).await.unwrap();
        assert_eq!(left, [used[1], used[2]].into());
        assert_eq!(sockets.in_use(&[].into()).await.unwrap(), [].into());
    });
}

#[test]
fn datagram_sockets_and_mapped_addresses_count() {
    run("UDP use", || async {
        ip(&format!("addr add {HOME}/32 dev lo"));
        let sockets = Sockets::open().unwrap();
        let home_address = HomeAddress::from(HOME);
        sockets.watch(home_address);
        let anywhere = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(usage(&sockets).await, Usage::default());
        let bound = UdpSocket::bind((HOME, 0)).unwrap();
        let mapped = UdpSocket::bind((HOME.to_ipv6_mapped(), PORT)).unwrap();
        let listening = TcpListener::bind((HOME.to_ipv6_mapped(), PORT)).unwrap();
        assert_eq!(usage(&sockets).await, Usage { tcp: 1, udp: 2 });
        drop(anywhere);
        for (socket, left) in [
            (
                Box::new(bound) as Box<dyn std::any::Any>,
                Usage { tcp: 1, udp: 1 },
            ),
            (Box::new(mapped), Usage { tcp: 1, udp: 0 }),
            (Box::new(listening), Usage::default()),
        ] {
            drop(socket);
            timeout(PATIENCE, async {
                while usage(&sockets).await != left {
                    ended(&sockets).await;
                }
            })
            .await
            .unwrap();
        }
    });
}

/// The reports that netlink sockets of this namespace have lost.
fn lost_reports() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let column = |line: &str| line.split_whitespace().nth(8)?.parse::<u64>().ok();
    table.lines().skip(1).filter_map(column).sum()
}

#[test]
fn only_watched_home_addresses_are_reported_and_an_overrun_is() {
    run("reports of ends", || async {
        ip(&format!("addr add {HOME}/32 dev lo"));
        let other = Ipv4Addr::new(10, 128, 0, 10);
        ip(&format!("addr add {other}/32 dev lo"));
        let sockets = Sockets::open().unwrap();
        sockets.watch(HOME.into());
        drop(UdpSocket::bind((other, 0)).unwrap());
        drop(UdpSocket::bind((HOME, 0)).unwrap());
        let report = ended(&sockets).await;
        assert_eq!(report.home_addresses, [HomeAddress::from(HOME)].into());
        assert!(!report.overrun);
        // This runtime's only thread reads no report meanwhile.
        let end = Instant::now() + PATIENCE * 4;
        while lost_reports() == 0 {
            drop(UdpSocket::bind((other, 0)).unwrap());
            assert!(Instant::now() < end, "no report was ever lost");
        }
        timeout(PATIENCE, async { while !ended(&sockets).await.overrun {} })
            .await
            .unwrap();
        // The kernel still drops reports until the backlog is read; that is told as an overrun again.
        drop(UdpSocket::bind((HOME, 0)).unwrap());
        let report = ended(&sockets).await;
        assert!(report.overrun || report.home_addresses.contains(&HOME.into()));
        sockets.unwatch(HOME.into());
    });
}
