use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn octets(message: &impl Emitable) -> Vec<u8> {
    let mut octets = vec![0; message.buffer_len()];
    message.emit(&mut octets);
    octets
}

#[test]
fn the_octets_of_a_capture_route() {
    let route = Route {
        table: 4341,
        destination: net("198.51.100.7/32"),
        unset_source: false,
        metric: 0,
        kind: RouteKind::Device {
            index: 5,
            source: Some(ip("10.128.0.9")),
        },
    };
    let expected: Vec<u8> = [
        // family, lengths, TOS, table (above 255: in the attribute), protocol 67, scope link, unicast
        &[2, 32, 0, 0, 0, 67, 253, 1, 0, 0, 0, 0][..],
        &[8, 0, 1, 0, 198, 51, 100, 7],
        &[8, 0, 15, 0, 0xf5, 0x10, 0, 0],
        &[8, 0, 6, 0, 0, 0, 0, 0],
        &[8, 0, 4, 0, 5, 0, 0, 0],
        &[8, 0, 7, 0, 10, 128, 0, 9],
    ]
    .concat();
    assert_eq!(octets(&route.message()), expected);
}

#[test]
fn the_octets_of_the_rule_for_sockets_without_a_source() {
    let rule = Rule {
        family: Family::Ipv4,
        preference: 103,
        selector: Selector::LocalSource(ip("0.0.0.0")),
        action: Action::Table(4341),
    };
    let expected: Vec<u8> = [
        &[2, 0, 32, 0, 0, 0, 0, 1, 0, 0, 0, 0][..],
        &[8, 0, 6, 0, 103, 0, 0, 0],
        &[5, 0, 21, 0, 67, 0, 0, 0],
        &[8, 0, 2, 0, 0, 0, 0, 0],
        &[7, 0, 3, 0, b'l', b'o', 0, 0],
        &[8, 0, 15, 0, 0xf5, 0x10, 0, 0],
    ]
    .concat();
    assert_eq!(octets(&rule.message()), expected);
}

#[test]
fn the_octets_of_an_ipv6_capture_route() {
    let (correspondent, home) = (ip("2001:db8:c::7"), ip("2001:db8:4::5"));
    let route = Route {
        table: 4341,
        destination: correspondent.into(),
        unset_source: true,
        metric: 1024,
        kind: RouteKind::Device {
            index: 5,
            source: Some(home),
        },
    };
    let in_octets = |address| match address {
        IpAddr::V6(address) => Ipv6Addr::octets(&address),
        IpAddr::V4(_) => [0; 16],
    };
    let expected: Vec<u8> = [
        // Its source is ::/128.
        &[10, 128, 128, 0, 0, 67, 0, 1, 0, 0, 0, 0][..],
        &[20, 0, 1, 0],
        &in_octets(correspondent),
        &[8, 0, 15, 0, 0xf5, 0x10, 0, 0],
        &[8, 0, 6, 0, 0, 4, 0, 0],
        &[20, 0, 2, 0],
        &[0; 16],
        &[8, 0, 4, 0, 5, 0, 0, 0],
        &[20, 0, 7, 0],
        &in_octets(home),
    ]
    .concat();
    assert_eq!(octets(&route.message()), expected);
}

#[test]
fn the_rule_against_the_choice_of_a_home_address_says_so() {
    let rule = Rule {
        family: Family::Ipv6,
        preference: 104,
        selector: Selector::LocalChoice(ip("2001:db8:4::5")),
        action: Action::Table(4340),
    };
    // FIB_RULE_FIND_SADDR
    assert_eq!(octets(&rule.message())[8..12], 0x1_0000_u32.to_ne_bytes());
}

#[test]
fn the_octets_of_a_home_address() {
    let message = home_address(ip("10.128.0.9"), LOOPBACK_INDEX);
    let expected: Vec<u8> = [
        // family, length, flags, scope link, the loopback device
        &[2, 32, 0, 253, 1, 0, 0, 0][..],
        &[8, 0, 2, 0, 10, 128, 0, 9],
        &[8, 0, 1, 0, 10, 128, 0, 9],
        &[11, 0, 3, 0, b'l', b'o', b':', b'm', b'n', b'0', 0, 0],
    ]
    .concat();
    assert_eq!(octets(&message), expected);
    assert!(address_is_ours(
        &AddressMessage::parse(&expected[..]).unwrap()
    ));
    let mut other = message;
    other.attributes.pop();
    other
        .attributes
        .push(AddressAttribute::Label("lo".to_owned()));
    assert!(!address_is_ours(&other));
}

#[test]
fn routes_and_rules_are_recognised_by_their_octets() {
    let unset = Selector::LocalSource(ip("0.0.0.0"));
    let home = Selector::LocalSource(ip("10.128.0.9"));
    let home_6 = Selector::LocalSource(ip("2001:db8:4::5"));
    let (ipv4, ipv6) = (Family::Ipv4, Family::Ipv6);
    for (family, selector) in [
        (ipv4, Selector::All),
        (ipv4, Selector::Marked),
        (ipv4, unset),
        (ipv4, home),
        (ipv6, Selector::All),
        (ipv6, Selector::Marked),
        (ipv6, Selector::Local),
        (ipv6, home_6),
        (ipv6, Selector::LocalChoice(ip("2001:db8:4::5"))),
    ] {
        for action in [
            Action::Table(254),
            Action::Table(4340),
            Action::Goto(105),
            Action::Nop,
        ] {
            let rule = Rule {
                family,
                preference: 100,
                selector,
                action,
            };
            let message = RuleMessage::parse(&octets(&rule.message())[..]).unwrap();
            assert!(rule_is_ours(&message));
            assert_eq!(Rule::from_message(&message), Some(rule));
        }
    }
    let device = |source| RouteKind::Device { index: 7, source };
    let source = |text| Some(ip(text));
    for (destination, unset_source, kind) in [
        ("198.51.100.0/24", false, RouteKind::Unreachable),
        ("198.51.100.0/24", false, device(None)),
        ("198.51.100.0/24", false, device(source("10.128.0.9"))),
        ("::/0", false, RouteKind::Unreachable),
        ("2001:db8:c::/64", false, device(None)),
        ("2001:db8:c::7/128", true, device(source("2001:db8:4::5"))),
    ] {
        for table in [254, 4340] {
            let route = Route {
                table,
                destination: net(destination),
                unset_source,
                metric: u32::MAX,
                kind,
            };
            let message = RouteMessage::parse(&octets(&route.message())[..]).unwrap();
            assert!(route_is_ours(&message));
            assert_eq!(Route::from_message(&message), Some(route));
        }
    }
}
