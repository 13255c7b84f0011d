use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;

use super::*;

fn net(text: &str) -> Ipv4Net {
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
        metric: 0,
        kind: RouteKind::Device {
            index: 5,
            source: Some(Ipv4Addr::new(10, 128, 0, 9)),
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
        preference: 103,
        selector: Selector::LocalSource(Ipv4Addr::UNSPECIFIED),
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
fn the_octets_of_a_home_address() {
    let message = home_address(Ipv4Addr::new(10, 128, 0, 9));
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
    let unset = Selector::LocalSource(Ipv4Addr::UNSPECIFIED);
    let home = Selector::LocalSource(Ipv4Addr::new(10, 128, 0, 9));
    for selector in [Selector::All, Selector::Marked, unset, home] {
        for action in [
            Action::Table(254),
            Action::Table(4340),
            Action::Goto(104),
            Action::Nop,
        ] {
            let rule = Rule {
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
    let source = Some(Ipv4Addr::new(10, 128, 0, 9));
    for kind in [RouteKind::Unreachable, device(None), device(source)] {
        for table in [254, 4340] {
            let route = Route {
                table,
                destination: net("198.51.100.0/24"),
                metric: u32::MAX,
                kind,
            };
            let message = RouteMessage::parse(&octets(&route.message())[..]).unwrap();
            assert!(route_is_ours(&message));
            assert_eq!(Route::from_message(&message), Some(route));
        }
    }
}
