use etherparse::{PacketBuilder, TcpOptionElement};

use super::*;

struct Tcp {
    port: u16,
    sequence: u32,
    payload: usize,
    push: bool,
    timestamp: u32,
}

const PLAIN: Tcp = Tcp {
    port: 80,
    sequence: 0,
    payload: 100,
    push: false,
    timestamp: 9,
};

fn tcp(segment: Tcp) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut builder = PacketBuilder::ipv4([10, 0, 0, 1], [198, 51, 100, 7], 60)
        .tcp(segment.port, 5000, segment.sequence, 100)
        .ack(7);
    if segment.push {
        builder = builder.psh();
    }
    let builder = builder
        .options(&[TcpOptionElement::Timestamp(segment.timestamp, 2)])
        .unwrap();
    builder
        .write(&mut packet, &vec![3; segment.payload])
        .unwrap();
    packet
}

fn udp(port: u16, payload: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [198, 51, 100, 7], 60)
        .udp(port, 5000)
        .write(&mut packet, &vec![3; payload])
        .unwrap();
    packet
}

/// Which packets are written together, by their numbers.
fn groups(packets: &[Vec<u8>]) -> Vec<Vec<usize>> {
    let delivery = |(slot, packet): (usize, &Vec<u8>)| Delivery {
        slot,
        start: 0,
        ip: Ip::parse(packet).unwrap(),
        partial: false,
        merged: None,
        next: None,
    };
    let mut deliveries: Vec<_> = packets.iter().enumerate().map(delivery).collect();
    let mut groups = Vec::new();
    group(
        &mut deliveries,
        |delivery| &packets[delivery.slot],
        true,
        &mut groups,
    );
    groups
        .iter()
        .map(|group| {
            let chain = std::iter::successors(Some(group.first), |at| deliveries[*at].next);
            let members: Vec<_> = chain.collect();
            assert_eq!(members.len(), group.members);
            members
        })
        .collect()
}

#[test]
fn segments_in_order_go_together_until_a_short_one() {
    let packets = [
        tcp(PLAIN),
        tcp(Tcp {
            sequence: 100,
            ..PLAIN
        }),
        tcp(Tcp {
            sequence: 200,
            payload: 50,
            ..PLAIN
        }),
        tcp(Tcp {
            sequence: 250,
            ..PLAIN
        }),
        tcp(Tcp {
            sequence: 350,
            push: true,
            ..PLAIN
        }),
        tcp(Tcp {
            sequence: 450,
            ..PLAIN
        }),
    ];
    assert_eq!(groups(&packets), [vec![0, 1, 2], vec![3, 4], vec![5]]);
}

#[test]
fn flows_are_kept_apart_and_each_in_its_order() {
    let packets = [
        tcp(PLAIN),
        tcp(Tcp { port: 81, ..PLAIN }),
        tcp(Tcp {
            sequence: 100,
            ..PLAIN
        }),
        tcp(Tcp {
            port: 81,
            sequence: 100,
            ..PLAIN
        }),
        // A pure acknowledgement goes alone, and what follows must not overtake it.
        tcp(Tcp {
            sequence: 200,
            payload: 0,
            ..PLAIN
        }),
        tcp(Tcp {
            sequence: 200,
            ..PLAIN
        }),
    ];
    assert_eq!(groups(&packets), [vec![0, 2], vec![1, 3], vec![4], vec![5]]);
}

#[test]
fn what_one_header_can_not_say_for_both_stays_apart() {
    let first = tcp(PLAIN);
    let next = |change: fn(&mut Vec<u8>)| {
        let mut packet = tcp(Tcp {
            sequence: 100,
            ..PLAIN
        });
        change(&mut packet);
        packet
    };
    let cases: [(&str, Vec<u8>); 8] = [
        (
            "a gap",
            tcp(Tcp {
                sequence: 101,
                ..PLAIN
            }),
        ),
        (
            "a larger segment",
            tcp(Tcp {
                sequence: 100,
                payload: 101,
                ..PLAIN
            }),
        ),
        (
            "other options",
            tcp(Tcp {
                sequence: 100,
                timestamp: 10,
                ..PLAIN
            }),
        ),
        ("congestion", next(|packet| packet[1] = 3)),
        ("time to live", next(|packet| packet[8] = 59)),
        ("may be fragmented", next(|packet| packet[6] = 0)),
        ("a reset", next(|packet| packet[33] |= 4)),
        ("a broken checksum", next(|packet| packet[60] ^= 1)),
    ];
    for (what, packet) in cases {
        assert_eq!(
            groups(&[first.clone(), packet]),
            [vec![0], vec![1]],
            "{what}"
        );
    }
    let mut broken = first;
    broken[60] ^= 1;
    assert_eq!(
        groups(&[
            broken,
            tcp(Tcp {
                sequence: 100,
                ..PLAIN
            })
        ]),
        [vec![0], vec![1]]
    );
}

#[test]
fn segments_of_ipv6_go_together_when_class_label_and_hop_limit_agree() {
    let segment = |sequence: u32| {
        let mut packet = Vec::new();
        let (source, destination) = ([0x20; 16], [0x30; 16]);
        PacketBuilder::ipv6(source, destination, 60)
            .tcp(80, 5000, sequence, 100)
            .ack(7)
            .write(&mut packet, &[3; 100])
            .unwrap();
        packet
    };
    let first = segment(0);
    assert_eq!(groups(&[first.clone(), segment(100)]), [vec![0, 1]]);
    for (what, at) in [("congestion", 1), ("flow label", 3), ("hop limit", 7)] {
        let mut next = segment(100);
        next[at] ^= 0x10;
        assert_eq!(groups(&[first.clone(), next]), [vec![0], vec![1]], "{what}");
    }
    let mut with_options = segment(100);
    with_options.splice(40..40, [TCP, 0, 1, 4, 0, 0, 0, 0]);
    with_options[5] += 8;
    with_options[6] = 60;
    assert_eq!(groups(&[first, with_options]), [vec![0], vec![1]]);
}

#[test]
fn a_group_is_no_larger_than_a_packet_can_be() {
    let packets: Vec<_> = (0..64)
        .map(|i| {
            tcp(Tcp {
                sequence: i * 1400,
                payload: 1400,
                ..PLAIN
            })
        })
        .collect();
    let groups = groups(&packets);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [46, 18]);
}

#[test]
fn datagrams_of_one_size_go_together() {
    let packets = [
        udp(1, 36),
        udp(1, 36),
        udp(2, 36),
        udp(1, 20),
        udp(1, 36),
        udp(1, 37),
    ];
    assert_eq!(groups(&packets), [vec![0, 1, 3], vec![2], vec![4], vec![5]]);
    let mut unchecked = [udp(1, 36), udp(1, 36)];
    unchecked
        .iter_mut()
        .for_each(|packet| packet[26..28].fill(0));
    assert_eq!(
        groups(&unchecked),
        [vec![0], vec![1]],
        "a checksum that was not there must not appear"
    );
}
