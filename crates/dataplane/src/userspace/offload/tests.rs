use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};

use super::*;

/// A super-segment as the kernel hands it over: lengths of the whole, the checksum of the pseudo header.
fn super_segment(udp: bool, payload: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|i| (i % 251) as u8).collect();
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [198, 51, 100, 7], 64);
    if udp {
        builder
            .udp(5000, 6000)
            .write(&mut packet, &payload)
            .unwrap();
    } else {
        let tcp = builder
            .tcp(5000, 80, u32::MAX - 1000, 4000)
            .ack(77)
            .psh()
            .fin()
            .cwr();
        tcp.options(&[TcpOptionElement::Timestamp(1, 2)])
            .unwrap()
            .write(&mut packet, &payload)
            .unwrap();
    }
    let ip = Ip::parse(&packet).unwrap();
    let field = HEADER + if udp { 6 } else { 16 };
    let pseudo = fold(ip.pseudo_header(packet.len() - HEADER));
    put(&mut packet, field, pseudo.to_ne_bytes());
    put(&mut packet, 4, 0xffffu16.to_be_bytes());
    super::super::ipv4::write_header_checksum(&mut packet, HEADER);
    packet
}

/// The packets of a cut, put together, every checksum and length held against etherparse's.
fn packets(packet: &[u8], cuts: &[Cut]) -> Vec<Vec<u8>> {
    let join = |cut: &Cut| {
        let joined = [cut.inner(), &packet[cut.payload.0..cut.payload.1]].concat();
        assert_eq!(joined.len(), cut.length());
        joined
    };
    let packets: Vec<_> = cuts.iter().map(join).collect();
    for packet in &packets {
        let sliced = SlicedPacket::from_ip(packet).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else {
            panic!("not IPv4")
        };
        assert_eq!(usize::from(ip.header().total_len()), packet.len());
        assert_eq!(
            ip.header().header_checksum(),
            ip.header().to_header().calc_header_checksum()
        );
        match sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let expected = tcp
                    .to_header()
                    .calc_checksum_ipv4(&ip.header().to_header(), tcp.payload());
                assert_eq!(tcp.checksum(), expected.unwrap());
            }
            Some(TransportSlice::Udp(udp)) => {
                let expected = udp
                    .to_header()
                    .calc_checksum_ipv4(&ip.header().to_header(), udp.payload());
                assert_eq!(
                    (udp.checksum(), usize::from(udp.length())),
                    (expected.unwrap(), packet.len() - HEADER)
                );
            }
            other => assert!(other.is_none(), "{other:?}"),
        }
    }
    packets
}

fn cut_all(udp: bool, packet: &[u8], size: u16, largest: usize) -> Option<Vec<Vec<u8>>> {
    let mut cuts = Vec::new();
    let ip = Ip::parse(packet).unwrap();
    segment(Merged { size, udp }, &ip, packet, largest, |cut| {
        cuts.push(cut)
    })?;
    Some(packets(packet, &cuts))
}

#[test]
fn tcp_is_cut_into_segments_that_say_what_the_whole_said() {
    let whole = super_segment(false, 4001);
    for (size, largest, count) in [
        (1428, 1480, 3),
        (1428, 1260, 4),
        (4000, 65_000, 2),
        (65_000, 65_000, 1),
        (1, 65_000, 4001),
    ] {
        let segments = cut_all(false, &whole, size, largest).unwrap();
        assert_eq!(segments.len(), count, "size {size}, largest {largest}");
        let mut data = Vec::new();
        let mut sequence = u32::MAX - 1000;
        for (index, segment) in segments.iter().enumerate() {
            assert!(segment.len() <= largest);
            let sliced = SlicedPacket::from_ip(segment).unwrap();
            let Some(NetSlice::Ipv4(ip)) = sliced.net else {
                panic!("not IPv4")
            };
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
                panic!("not TCP")
            };
            assert_eq!(tcp.sequence_number(), sequence);
            assert_eq!(
                ip.header().identification(),
                0xffffu16.wrapping_add(index as u16)
            );
            let (first, last) = (index == 0, index + 1 == count);
            assert_eq!(
                (tcp.cwr(), tcp.psh(), tcp.fin(), tcp.ack()),
                (first, last, last, true),
                "segment {index}"
            );
            assert_eq!(tcp.options_iterator().count(), 1);
            sequence = sequence.wrapping_add(tcp.payload().len() as u32);
            data.extend_from_slice(tcp.payload());
        }
        assert_eq!(data, whole[HEADER + 32..]);
    }
}

#[test]
fn udp_is_cut_at_its_own_size_or_not_at_all() {
    let whole = super_segment(true, 2500);
    let datagrams = cut_all(true, &whole, 1000, 1480).unwrap();
    assert_eq!(
        datagrams.iter().map(Vec::len).collect::<Vec<_>>(),
        [1028, 1028, 528]
    );
    assert_eq!(datagrams.concat().len() - 3 * 28, 2500);
    assert_eq!(cut_all(true, &whole, 1000, 900), None);
}

#[test]
fn a_header_that_lies_is_refused() {
    let tcp = super_segment(false, 100);
    assert_eq!(cut_all(true, &tcp, 50, 1480), None, "TCP is not UDP");
    let mut long_header = tcp.clone();
    long_header[HEADER + 12] = 0xf0;
    assert!(cut_all(false, &long_header, 50, 1480).is_some());
    let mut short_header = tcp.clone();
    short_header[HEADER + 12] = 0x40;
    assert_eq!(cut_all(false, &short_header, 50, 1480), None);
    let mut no_room = super_segment(false, 0);
    no_room[HEADER + 12] = 0xf0;
    assert_eq!(cut_all(false, &no_room, 50, 1480), None);
}

#[test]
fn fragments_carry_the_whole_payload_where_it_belongs() {
    let whole = super_segment(true, 3000);
    let ip = Ip::parse(&whole).unwrap();
    let mut cuts = Vec::new();
    fragment(&ip, &whole, 1260, |cut| cuts.push(cut)).unwrap();
    let mut data = Vec::new();
    for cut in &cuts {
        let packet = [cut.inner(), &whole[cut.payload.0..cut.payload.1]].concat();
        let piece = Ip::parse(&packet).unwrap();
        assert!(piece.is_intact(&packet));
        assert!(packet.len() <= 1260);
        assert_eq!(piece.offset, data.len());
        assert_eq!(packet[4..6], whole[4..6], "identification");
        data.extend_from_slice(&packet[HEADER..]);
        assert_eq!(piece.more_fragments, data.len() < whole.len() - HEADER);
    }
    assert_eq!(data, whole[HEADER..]);
    assert_eq!(fragment(&ip, &whole, 27, |_| {}), None);
}

#[test]
fn options_that_are_not_copied_stay_in_the_first_fragment() {
    // A record route (7) is not copied, a security option (130) is.
    let mut packet = super_segment(true, 100);
    packet[0] = 0x47;
    packet.splice(HEADER..HEADER, [7, 3, 4, 130, 4, 9, 9, 0]);
    let total = packet.len() as u16;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    let mut options = Vec::new();
    let ip = Ip::parse(&packet).unwrap();
    fragment(&ip, &packet, 80, |cut| {
        options.push(cut.inner()[HEADER..].to_vec())
    })
    .unwrap();
    assert_eq!(
        options,
        [
            [7, 3, 4, 130, 4, 9, 9, 0],
            [1, 1, 1, 130, 4, 9, 9, 0],
            [1, 1, 1, 130, 4, 9, 9, 0]
        ]
    );
}

#[test]
fn a_partial_checksum_is_finished() {
    for udp in [false, true] {
        let mut packet = super_segment(udp, 333);
        let field = if udp { 6 } else { 16 };
        let header = VirtioHeader {
            partial_checksum: true,
            merged: None,
            checksum_start: 20,
            checksum_offset: field,
        };
        header.finish_checksum(&mut packet).unwrap();
        assert!(Ip::parse(&packet).unwrap().segment_is_intact(&packet));
    }
    let outside = VirtioHeader {
        partial_checksum: true,
        merged: None,
        checksum_start: 20,
        checksum_offset: 60_000,
    };
    assert_eq!(outside.finish_checksum(&mut super_segment(true, 10)), None);
}

#[test]
fn the_device_header_is_read_as_it_is_written() {
    let packet = super_segment(false, 3000);
    let ip = Ip::parse(&packet).unwrap();
    for merged in [
        None,
        Some(Merged {
            size: 1428,
            udp: false,
        }),
    ] {
        let mut octets = VirtioHeader::encode(true, merged, &ip, 32).to_vec();
        octets.extend_from_slice(&packet);
        let (header, rest) = VirtioHeader::split(&mut octets).unwrap();
        assert_eq!((header.partial_checksum, header.merged), (true, merged));
        assert_eq!((header.checksum_start, header.checksum_offset), (20, 16));
        assert_eq!(rest, packet);
    }
    let mut unknown = [0u8; 60];
    unknown[1] = 3;
    assert!(VirtioHeader::split(&mut unknown).is_none());
}

/// As the kernel hands it over, with destination options before TCP.
fn super_segment_6(payload: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|i| (i % 251) as u8).collect();
    let mut packet = Vec::new();
    let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let destination = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    let tcp = PacketBuilder::ipv6(source, destination, 64)
        .tcp(5000, 80, 7, 4000)
        .ack(77)
        .psh();
    tcp.write(&mut packet, &payload).unwrap();
    packet.splice(40..40, [TCP, 0, 1, 4, 0, 0, 0, 0]);
    packet[6] = 60;
    let length = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    let ip = Ip::parse(&packet).unwrap();
    let pseudo = fold(ip.pseudo_header(packet.len() - 48));
    put(&mut packet, 48 + 16, pseudo.to_ne_bytes());
    packet
}

#[test]
fn ipv6_is_cut_behind_its_extension_headers() {
    let whole = super_segment_6(4001);
    let ip = Ip::parse(&whole).unwrap();
    assert_eq!((ip.header, ip.protocol), (48, TCP));
    let merged = Merged {
        size: 1400,
        udp: false,
    };
    let mut data = Vec::new();
    let mut count = 0;
    segment(merged, &ip, &whole, 1240, |cut| {
        let packet = [cut.inner(), &whole[cut.payload.0..cut.payload.1]].concat();
        let piece = Ip::parse(&packet).unwrap();
        assert_eq!((piece.header, piece.total), (48, packet.len()));
        assert!(piece.segment_is_intact(&packet) && packet.len() <= 1240);
        data.extend_from_slice(&packet[68..]);
        count += 1;
    })
    .unwrap();
    assert_eq!(data, whole[68..]);
    assert_eq!(count, 4001_usize.div_ceil(1240 - 68));
}

#[test]
fn a_packet_in_pieces_is_the_packet() {
    let whole = super_segment_6(1200);
    let ip = Ip::parse(&whole).unwrap();
    let mut cuts = vec![Cut::whole(ip)];
    let merged = Merged {
        size: 1200,
        udp: false,
    };
    // The same with copied headers.
    segment(merged, &ip, &whole, 1280, |cut| cuts.push(cut)).unwrap();
    assert_eq!(cuts.len(), 2);
    for cut in cuts {
        let packet = [cut.inner(), &whole[cut.payload.0..cut.payload.1]].concat();
        for room in [1240, 600, 200] {
            let mut put_together = Vec::new();
            let mut counted = (0, 0);
            cut.in_pieces(room, 0x0102_0304, |piece| {
                assert!(piece.length() <= room);
                let octets = [piece.inner(), &whole[piece.payload.0..piece.payload.1]].concat();
                assert_eq!((octets[0], &octets[4..8]), (IPV6, &[1, 2, 3, 4][..]));
                let place = u16::from_be_bytes([octets[2], octets[3]]);
                assert_eq!(usize::from(place & !7), put_together.len());
                put_together.extend_from_slice(&octets[8..]);
                assert_eq!(place & 1 == 1, put_together.len() < packet.len());
                let (packets, bytes) = piece.counts();
                counted = (counted.0 + packets, counted.1 + bytes);
            })
            .unwrap();
            assert_eq!(put_together, packet, "{room}");
            assert_eq!(counted, (1, packet.len() as u64));
        }
        assert_eq!(cut.in_pieces(15, 1, |_| {}), None);
    }
}

proptest::proptest! {
    /// Whatever the device says, nothing panics and nothing larger than the path comes out.
    #[test]
    fn arbitrary_octets_do_no_harm(
        octets in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        size in 1u16..400,
        udp in proptest::bool::ANY,
        ipv6 in proptest::bool::ANY,
        largest in 0usize..400,
    ) {
        let mut octets = octets;
        if ipv6 && let Some(length) = octets.len().checked_sub(40) {
            put(&mut octets, 4, (length as u16).to_be_bytes());
        }
        if let Some(first) = octets.first_mut() {
            *first = match ipv6 {
                true => 0x60 | *first & 0x0f,
                false => 0x45 | *first & 0x0f,
            };
        }
        if let Some(ip) = Ip::parse(&octets) {
            let check = |cut: Cut| assert!(cut.length() <= largest && cut.payload.1 <= ip.total);
            segment(Merged { size, udp }, &ip, &octets, largest, check);
            if !ipv6 {
                fragment(&ip, &octets, largest, check);
            }
            Cut::whole(ip).in_pieces(largest, 1, |piece| assert!(piece.length() <= largest));
            super::super::mss::clamp(&mut octets, &ip, 500, false);
            super::super::icmp::quoted(&ip, &octets);
        }
        if let Some((header, packet)) = VirtioHeader::split(&mut octets) {
            header.finish_checksum(packet);
        }
    }
}
