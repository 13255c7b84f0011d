//! Moves, narrow paths, and datagrams that arrive merged.

#![expect(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

mod userspace_lab;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use etherparse::PacketBuilder;
use mobility_protocol::Family;

use userspace_lab::*;

/// A TCP connection from the mobile node's home address to the correspondent.
fn connection(lab: &Lab, plan: Plan) -> (TcpStream, TcpStream) {
    let correspondent = plan.correspondent;
    let listener = lab
        .cn
        .run(move || TcpListener::bind((correspondent, 80)).expect("listen"));
    let client = lab
        .mn
        .run(move || TcpStream::connect((correspondent, 80)).expect("connect"));
    let (server, _) = listener.accept().expect("accept");
    for stream in [&client, &server] {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("timeout");
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .expect("timeout");
    }
    (client, server)
}

/// Writes at one end and reads at the other, and says after how many octets it is.
fn transfer(from: &TcpStream, to: &TcpStream, octets: usize, mut at: impl FnMut(usize)) {
    const CHUNK: usize = 100_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = from;
            from.write_all(&vec![7; octets]).expect("write");
        });
        let mut to = to;
        let mut chunk = vec![0; CHUNK];
        for done in (0..octets).step_by(CHUNK) {
            at(done);
            to.read_exact(&mut chunk).expect("read");
            assert!(chunk.iter().all(|octet| *octet == 7));
        }
    });
}

#[test]
fn a_transfer_survives_moves() {
    if possible() {
        [IPV4, IPV6].into_iter().for_each(moves_during_a_transfer);
    }
}

fn moves_during_a_transfer(plan: Plan) {
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    let (client, server) = connection(&lab, plan);
    let mut moves = 0;
    let mut move_once = || {
        moves += 1;
        let (to, from) = (moves % 2, (moves + 1) % 2);
        let (care_of, former) = (plan.care_of[to], plan.care_of[from]);
        // Break before make. A cable that goes takes the addresses of IPv6 with it.
        let address = match plan.family {
            Family::Ipv4 => String::new(),
            Family::Ipv6 => format!("ip addr replace {care_of}/64 dev eth{to} nodad"),
        };
        lab.mn.sh(&format!(
            "ip link set eth{to} up
             {address}
             {} route replace default via {} dev eth{to}
             ip link set eth{from} down",
            plan.ip, plan.routers[to]
        ));
        mobile_node
            .apply(&install(tunnel(care_of, plan.agent)))
            .expect("install");
        let mut moved = tunnel(plan.agent, care_of);
        moved.former_remote = Some(former);
        home_agent.apply(&install(moved)).expect("install");
    };
    for (from, to) in [(&client, &server), (&server, &client)] {
        transfer(from, to, 10_000_000, |done| {
            if done % 2_000_000 == 1_000_000 {
                move_once();
            }
        });
    }
    assert_eq!(moves, 10);
    let traffic = home_agent.traffic(plan.home.into()).expect("installed");
    assert!(
        traffic.bytes_in > 10_000_000 && traffic.bytes_out > 10_000_000,
        "the counters went on: {traffic:?}"
    );
}

#[test]
fn packets_leave_by_the_interface_of_the_binding_and_not_of_the_routes() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    // The routes would now use the other network, whose router drops the first one's addresses.
    lab.mn.sh(
        "ip route change default via 10.1.0.1 dev eth0 2>/dev/null || true
               ip route del default via 10.1.0.1 dev eth0
               ip route add default via 10.1.0.1 dev eth0 metric 200",
    );
    lab.mn.sh("! ping -c 1 -W 1 198.51.100.7");
    let mut pinned = tunnel(CARE_OF_1, AGENT);
    pinned.endpoints.interface = Some(lab.mn.index("eth0"));
    mobile_node.apply(&install(pinned)).expect("install");
    lab.mn.sh("ping -c 1 -W 2 198.51.100.7");
}

#[test]
fn a_binding_without_a_way_is_counted() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    lab.mn.sh("ip addr flush dev eth0; ip link set eth1 down");
    lab.mn.sh("! ping -c 1 -W 1 198.51.100.7");
    settles(&mobile_node, &[("drop_no_route", 1)]);
}

#[test]
fn a_narrow_path_is_learnt_and_told() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    // Between router and home agent 1280 octets fit; the mobile node can't see that.
    lab.router.sh("ip link set core mtu 1280");
    lab.cha.sh("ip link set wan mtu 1280");

    // The first one is lost to the router's own error; then the sender is told what fits inside.
    lab.mn.try_sh("ping -c 1 -W 1 -M do -s 1400 198.51.100.7");
    eventually("the path is learnt", || {
        count(&mobile_node, "path_mtu_changes") == 1
    });
    let text = String::from_utf8_lossy(
        &lab.mn
            .try_sh("ping -c 1 -W 1 -M do -s 1400 198.51.100.7")
            .stdout,
    )
    .into_owned();
    assert!(
        text.contains("Frag needed") && text.contains("mtu = 1260"),
        "{text}"
    );
    lab.mn.sh("ping -c 1 -W 2 -M do -s 1232 198.51.100.7");

    // The home agent sees its own interface, and tells the correspondent.
    let text = String::from_utf8_lossy(
        &lab.cn
            .try_sh("ping -c 1 -W 1 -M do -s 1400 10.128.0.5")
            .stdout,
    )
    .into_owned();
    assert!(
        text.contains("Frag needed") && text.contains("mtu = 1260"),
        "{text}"
    );
    assert_eq!(count(&home_agent, "drop_too_big"), 1);

    // What may be fragmented gets through, both ways.
    lab.mn
        .sh("ip route flush cache; ping -c 1 -W 2 -M dont -s 3000 198.51.100.7");
    lab.cn
        .sh("ip route flush cache; ping -c 1 -W 2 -M dont -s 3000 10.128.0.5");

    let (client, server) = connection(&lab, IPV4);
    transfer(&client, &server, 2_000_000, |_| {});
    transfer(&server, &client, 2_000_000, |_| {});
}

#[test]
fn a_path_that_narrows_during_a_transfer_does_not_end_it() {
    if possible() {
        [IPV4, IPV6]
            .into_iter()
            .for_each(narrowed_during_a_transfer);
    }
}

fn narrowed_during_a_transfer(plan: Plan) {
    let lab = Lab::new();
    let (_home_agent, mobile_node) = lab.bound();
    let (client, server) = connection(&lab, plan);
    let (agent, care_of) = (plan.agent, plan.care_of[0]);
    for (from, to, mtu) in [(&client, &server, 1400), (&server, &client, 1300)] {
        transfer(from, to, 5_000_000, |done| {
            if done == 2_000_000 {
                lab.router.sh(&format!(
                    "ip route replace {agent} dev core mtu {mtu}
                     ip route replace {care_of} dev access1 mtu {mtu}"
                ));
            }
        });
    }
    assert_ne!(count(&mobile_node, "path_mtu_changes"), 0);
}

#[test]
fn the_mss_is_clamped_both_ways() {
    if !possible() {
        return;
    }
    let lab = Lab::new();
    let (_home_agent, _mobile_node) = lab.bound();
    // The mobile node itself would announce 1460, as the correspondent does.
    lab.mn.sh("ip link set mn0 mtu 1500");
    lab.mn.sysctl("net.ipv6.conf.mn0.mtu", "1500");
    for (plan, mss) in [(IPV4, " mss:1428 "), (IPV6, " mss:1388 ")] {
        let _connection = connection(&lab, plan);
        for (host, who) in [(&lab.mn, "mobile node"), (&lab.cn, "correspondent")] {
            let sockets = host.sh(&format!(
                "ss {} -Htino state established '( sport = 80 or dport = 80 )'",
                plan.ip.trim_start_matches("ip")
            ));
            assert!(sockets.contains(mss), "{who}: {sockets}");
        }
    }
}

#[test]
fn what_receive_offload_has_merged_is_taken_apart() {
    if !possible() {
        return;
    }
    const SEGMENT: usize = 1428;
    const OCTETS: usize = 19 * SEGMENT + 700;
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    // A datagram as receive offload leaves it, which no path of 1500 octets carries: lengths of the
    // whole, the checksum of the pseudo header.
    lab.router.sh("ip link set core mtu 65535");
    lab.cha.sh("ip link set wan mtu 65535");
    let mut inner = Vec::new();
    let builder = PacketBuilder::ipv4(HOME.octets(), CORRESPONDENT.octets(), 60)
        .tcp(4000, 80, 1, 1000)
        .ack(1)
        .psh();
    let options = [etherparse::TcpOptionElement::Timestamp(1, 1)];
    builder
        .options(&options)
        .expect("options")
        .write(&mut inner, &vec![5; OCTETS])
        .expect("a packet");
    let mut sum: u32 = 6 + (32 + OCTETS as u32);
    for pair in HOME
        .octets()
        .chunks(2)
        .chain(CORRESPONDENT.octets().chunks(2))
    {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    let pseudo = (sum & 0xffff) + (sum >> 16);
    inner[36..38].copy_from_slice(&(pseudo as u16).to_be_bytes());

    // The last cable is to carry it in pieces.
    lab.cha.sh("ip link set lan gso_max_size 1600");
    let segments = || {
        let statistics = lab.cn.sh("nstat -asz TcpInSegs TcpInCsumErrors TcpInErrs");
        ["TcpInSegs", "TcpInCsumErrors", "TcpInErrs"].map(|name| {
            let line = statistics
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default()
                .to_owned();
            line.split_whitespace()
                .nth(1)
                .and_then(|value| value.parse::<u64>().ok())
                .expect("a number")
        })
    };
    assert_eq!(segments(), [0, 0, 0]);
    lab.router.forge(encapsulated(CARE_OF_1, AGENT, &inner));
    eventually("twenty segments arrive", || segments()[0] >= 20);
    assert_eq!(segments(), [20, 0, 0], "segments, wrong checksums, errors");
    assert_eq!(
        home_agent
            .traffic(HOME.into())
            .expect("installed")
            .packets_in,
        20
    );
    assert_eq!(counted(&home_agent), []);

    // A correspondent that takes less is not overrun: its MSS passed through the tunnel.
    let mut answer = Vec::new();
    let builder = PacketBuilder::ipv4(CORRESPONDENT.octets(), HOME.octets(), 60)
        .tcp(80, 4000, 1, 1000)
        .syn()
        .ack(1);
    let options = [etherparse::TcpOptionElement::MaximumSegmentSize(536)];
    builder
        .options(&options)
        .expect("options")
        .write(&mut answer, &[])
        .expect("a packet");
    lab.cn.forge(answer);
    eventually("it goes through", || {
        home_agent
            .traffic(HOME.into())
            .expect("installed")
            .packets_out
            >= 1
    });
    let before = segments()[0];
    lab.router.forge(encapsulated(CARE_OF_1, AGENT, &inner));
    let expected = OCTETS.div_ceil(536 - 12) as u64;
    eventually("smaller segments arrive", || {
        segments()[0] >= before + expected
    });
    assert_eq!(segments()[1..], [0, 0]);
}
