use proptest::prelude::*;

use super::*;

/// A packet whose header is followed by these octets.
fn packet(next_header: u8, behind: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6b, 0x81, 0x23, 0x45];
    packet.extend(u16::try_from(behind.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 60]);
    packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(behind);
    packet
}

fn fragment(next_header: u8, offset: u16, more: bool) -> [u8; 8] {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    [next_header, 0, high, low, 1, 2, 3, 4]
}

const UDP: u8 = 17;

#[test]
fn the_header_says_what_stands_in_it() {
    let packet = packet(UDP, &[7; 20]);
    let ip = parse(&packet).unwrap();
    assert_eq!(ip.traffic_class, 0xb8);
    assert_eq!(ip.flow_label, 0x12345);
    assert_eq!((ip.header, ip.total, ip.protocol), (40, 60, UDP));
    assert_eq!(ip.source, "2001:db8::1".parse::<IpAddr>().unwrap());
    assert_eq!(ip.destination, "2001:db8::2".parse::<IpAddr>().unwrap());
    assert!(!ip.is_fragment() && !ip.diverted && ip.dont_fragment);
    assert_eq!(parse(&packet[..59]), None, "cut off");
    let mut marked = packet;
    set_traffic_class(&mut marked, 0x2f);
    let marked = parse(&marked).unwrap();
    assert_eq!((marked.traffic_class, marked.flow_label), (0x2f, 0x12345));
}

#[test]
fn extension_headers_are_passed() {
    let options = [AUTHENTICATION, 0, 1, 4, 0, 0, 0, 0];
    let authentication = [FRAGMENT, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    let behind = [
        &[DESTINATION_OPTIONS, 0, 5, 2, 0, 0, 1, 0][..],
        &options,
        &authentication,
        &fragment(UDP, 0, true),
        &[9; 12],
    ]
    .concat();
    let whole = packet(HOP_BY_HOP, &behind);
    let ip = parse(&whole).unwrap();
    assert_eq!((ip.protocol, ip.header), (UDP, 40 + 8 + 8 + 12 + 8));
    assert!(ip.more_fragments && ip.offset == 0 && !ip.diverted);
    for length in 0..whole.len() {
        assert_eq!(parse(&whole[..length]), None, "{length} octets");
    }
}

#[test]
fn a_later_fragment_is_not_looked_into() {
    let behind = [&fragment(DESTINATION_OPTIONS, 1232, false)[..], &[0xff; 9]].concat();
    let ip = parse(&packet(FRAGMENT, &behind)).unwrap();
    assert_eq!((ip.protocol, ip.offset), (DESTINATION_OPTIONS, 1232));
    assert_eq!((ip.header, ip.total), (48, 57));
}

#[test]
fn a_first_fragment_may_end_before_its_transport_header() {
    let behind = [
        &fragment(DESTINATION_OPTIONS, 0, true)[..],
        &[UDP, 4, 1, 4, 0, 0, 0, 0],
    ]
    .concat();
    let ip = parse(&packet(FRAGMENT, &behind)).unwrap();
    assert!(is_extension(ip.protocol));
    let unfragmented = packet(DESTINATION_OPTIONS, &[UDP, 4, 1, 4, 0, 0, 0, 0]);
    assert_eq!(parse(&unfragmented), None);
}

#[test]
fn what_leads_elsewhere_is_told() {
    let diverted = |next: u8, header: &[u8]| parse(&packet(next, header)).unwrap().diverted;
    assert!(diverted(ROUTING, &[UDP, 0, 0, 1, 0, 0, 0, 0]));
    assert!(diverted(ROUTING, &[UDP, 0, 4, 2, 0, 0, 0, 0]));
    assert!(!diverted(ROUTING, &[UDP, 0, 2, 0, 0, 0, 0, 0]), "arrived");
    let mut home_address = [0; 24];
    home_address[..8].copy_from_slice(&[UDP, 2, 1, 2, 0, 0, HOME_ADDRESS_OPTION, 16]);
    assert!(diverted(DESTINATION_OPTIONS, &home_address));
    assert!(
        diverted(DESTINATION_OPTIONS, &[UDP, 0, 1, 5, 0, 0, 0, 0]),
        "unreadable"
    );
    assert!(!diverted(DESTINATION_OPTIONS, &[UDP, 0, 0, 0, 1, 2, 0, 0]));
}

#[test]
fn a_chain_without_end_is_refused() {
    let mut behind = Vec::new();
    for _ in 0..=MOST_EXTENSION_HEADERS {
        behind.extend([DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0]);
    }
    assert_eq!(parse(&packet(DESTINATION_OPTIONS, &behind)), None);
}

proptest! {
    #[test]
    fn arbitrary_octets_are_read_or_refused(
        next_header: u8,
        behind in proptest::collection::vec(any::<u8>(), 0..200),
        length in 0usize..240,
    ) {
        let packet = packet(next_header, &behind);
        let packet = packet.get(..length).unwrap_or(&packet);
        if let Some(ip) = parse(packet) {
            prop_assert!(ip.header <= ip.total && ip.total <= packet.len());
        }
        if let Some(ip) = parse_quote(packet) {
            prop_assert!(ip.header <= packet.len());
        }
    }
}

#[test]
fn pieces_make_the_packet_again() {
    let whole = packet(41, &(0..=255).cycle().take(1280).collect::<Vec<u8>>());
    let (source, destination, cut) = pieces(&whole, 1280, 0xabcd_ef01).unwrap();
    assert_eq!(source, "2001:db8::1".parse::<Ipv6Addr>().unwrap());
    assert_eq!(destination, "2001:db8::2".parse::<Ipv6Addr>().unwrap());
    let mut again = Vec::new();
    for (number, piece) in cut.iter().enumerate() {
        assert!(piece.len() <= 1280);
        let ip = parse(piece).unwrap();
        assert_eq!((ip.header, ip.total, ip.protocol), (48, piece.len(), 41));
        assert_eq!((ip.traffic_class, ip.flow_label), (0xb8, 0x12345));
        assert_eq!(piece[7], whole[7], "the hop limit");
        assert_eq!(piece[44..48], [0xab, 0xcd, 0xef, 0x01]);
        assert_eq!(ip.offset, again.len());
        assert_eq!(ip.more_fragments, number + 1 < cut.len());
        again.extend_from_slice(&piece[48..]);
    }
    assert_eq!((cut.len(), again.as_slice()), (2, &whole[40..]));
}

#[test]
fn only_whole_packets_without_extension_headers_go_in_pieces() {
    assert_eq!(pieces(&packet(41, &[0; 1240]), 1280, 1), None, "it fits");
    let fragment = packet(44, &[&fragment(41, 0, true)[..], &[0; 1280]].concat());
    assert_eq!(pieces(&fragment, 1280, 1), None);
    assert_eq!(pieces(&packet(41, &[0; 1400])[..1300], 1280, 1), None);
}

proptest! {
    #[test]
    fn arbitrary_octets_are_cut_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200), most in 0u32..100) {
        drop(pieces(&octets, most, 1));
    }
}
