//! What routers and mobile nodes report about packets: ICMP errors of both families.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::namespace::eventually;
use crate::site::{Site, counter, forge, in_each_family};
use crate::{ipv4_packets, ipv6_packets};

/// What a router at `from` tells `to` of a datagram to port 9, between `about`.
pub(crate) fn report(from: IpAddr, to: IpAddr, about: [IpAddr; 2]) -> Vec<u8> {
    match [from, to, about[0], about[1]] {
        [
            IpAddr::V4(from),
            IpAddr::V4(to),
            IpAddr::V4(source),
            IpAddr::V4(destination),
        ] => {
            let about = ipv4_packets::datagram(source, destination, 9);
            ipv4_packets::report(from, to, &about)
        }
        [
            IpAddr::V6(from),
            IpAddr::V6(to),
            IpAddr::V6(source),
            IpAddr::V6(destination),
        ] => {
            let about = ipv6_packets::datagram(source, destination, 9, 16);
            ipv6_packets::report(from, to, &about)
        }
        _ => unreachable!("all of one family"),
    }
}

/// The socket at an address in this namespace that is told what becomes of what it sends to port 9 there.
pub(crate) fn told(own: IpAddr, to: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((own, 4000)).unwrap();
    socket.connect((to, 9)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

#[test]
fn errors_of_routers_about_packets_to_correspondents_go_through() {
    in_each_family("reports", |world| async move {
        let site = Site::new(world);
        let mut dataplane = world.start().await;
        world.install(&mut dataplane, world.home, world.care_of[0], None);
        let (home, server, router) = (world.home, world.server, world.stranger);
        let told = site.mobile_node.run(move || told(home, server));
        let tell = |from, to| forge(&site.server, report(router, home, [from, to]));
        tell(home, server);
        let error = told.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let others = [(home, router), (world.second_home, server)];
        for (number, (from, to)) in (1..).zip(others) {
            tell(from, to);
            eventually("a report about another packet is dropped", || {
                counter(&dataplane, "drop_not_a_correspondent") == number
            })
            .await;
        }
        dataplane.shutdown().await.unwrap();
    });
}
