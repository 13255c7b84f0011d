//! Every code a request can be denied with, and what it leaves behind: nothing.

use super::*;
use crate::wire::Octets;
use crate::wire::mip4::{
    DynamicHomeAgent, DynamicHomeAgentLayout, DynamicHomeAgentRole, UdpTunnelRequest,
    VendorExtension,
};

const OFFER: UdpTunnelRequest = UdpTunnelRequest {
    force: false,
    registration_through_foreign_agent: false,
    encapsulation: 0,
};

/// Sends what `change` makes of a first request, and expects this code and no trace of it.
fn refused(code: u8, change: impl FnOnce(Ask) -> Ask) -> RegistrationReply {
    let mut world = World::new();
    refused_in(&mut world, code, change)
}

fn refused_in(world: &mut World, code: u8, change: impl FnOnce(Ask) -> Ask) -> RegistrationReply {
    let before = (world.bindings(), world.used(), world.store.clone());
    world.take_events();
    let ask = change(world.ask("stranger@example.net", 7));
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.code, ReplyCode(code));
    assert_eq!(reply.home_address, ask.request.home_address);
    assert_eq!(world.counter(&format!("reply_{code}")), 1);
    let [
        Event::Refused {
            code: reported,
            source,
            ..
        },
    ] = world.take_events()[..]
    else {
        panic!("nothing but the refusal is reported");
    };
    assert_eq!((reported.code, source), (code, ask.source.ip()));
    let after = (world.bindings().len(), world.used(), &world.store);
    assert_eq!(after, (before.0.len(), before.1, &before.2));
    reply
}

fn flags(octet: u8) -> impl FnOnce(Ask) -> Ask {
    move |ask| ask.with(|request| request.flags = RequestFlags::from_wire(octet))
}

/// As from a host that has this address and says so.
fn from(address: &str) -> impl FnOnce(Ask) -> Ask {
    let address: Ipv4Addr = address.parse().unwrap();
    move |mut ask| {
        ask.source.set_ip(address.into());
        ask.with(|request| request.care_of_address = address)
    }
}

#[test]
fn only_a_co_located_care_of_address_is_served() {
    refused(129, flags(0x02));
}

#[test]
fn the_reverse_tunnel_is_mandatory() {
    refused(138, flags(0x20));
}

#[test]
fn only_ip_in_ip_is_available() {
    refused(139, flags(0x32));
    refused(139, flags(0x2a));
}

#[test]
fn the_ignored_flags_are_ignored() {
    let mut world = World::new();
    for octet in [0x22, 0x23, 0x26, 0x62] {
        let ask = flags(octet)(world.ask("alice@example.net", 7));
        assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    }
}

#[test]
fn simultaneous_bindings_are_not_supported_but_no_reason_to_refuse() {
    let mut world = World::new();
    let address = world.bound("alice@example.net", 7);
    let ask = flags(0xa2)(world.ask("alice@example.net", 8).of(address));
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode(1));
    assert_eq!(world.bindings().len(), 1);
    assert_eq!(world.bindings()[0].care_of, at(8));
}

#[test]
fn a_care_of_address_that_cannot_be_reached_is_refused() {
    let elsewhere = |care_of: &str| {
        let care_of = care_of.parse().unwrap();
        move |ask: Ask| ask.with(|request| request.care_of_address = care_of)
    };
    for address in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.51.100.8",
    ] {
        refused(129, elsewhere(address));
    }
    // Our own address, and one of the pool: the tunnel would end in itself.
    refused(129, from("203.0.113.10"));
    refused(129, from("10.128.0.77"));
}

#[test]
fn a_translator_between_is_refused() {
    for offer in [None, Some(Extension::UdpTunnelRequest(OFFER))] {
        refused(129, |mut ask| {
            ask.source = "192.0.2.77:61001".parse().unwrap();
            offer.into_iter().fold(ask, Ask::extended)
        });
    }
}

#[test]
fn an_offer_to_tunnel_in_udp_is_declined_without_a_translator() {
    let mut world = World::new();
    let ask = world
        .ask("alice@example.net", 7)
        .extended(Extension::UdpTunnelRequest(OFFER));
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.code, ReplyCode::ACCEPTED);
    let answer = reply.extensions.udp_tunnel_reply().unwrap();
    assert!(!answer.is_accepted());
    assert_eq!(answer.code.0, 64);

    let ask = world.ask("alice@example.net", 7);
    assert_eq!(
        world.send(&ask).unwrap().extensions.udp_tunnel_reply(),
        None,
        "only who asked is told"
    );
}

#[test]
fn forcing_or_bending_the_udp_tunnel_is_refused() {
    let offer = |offer| move |ask: Ask| ask.extended(Extension::UdpTunnelRequest(offer));
    refused(
        129,
        offer(UdpTunnelRequest {
            force: true,
            ..OFFER
        }),
    );
    refused(
        142,
        offer(UdpTunnelRequest {
            encapsulation: 47,
            ..OFFER
        }),
    );
    refused(
        142,
        offer(UdpTunnelRequest {
            encapsulation: 55,
            ..OFFER
        }),
    );
    refused(
        142,
        offer(UdpTunnelRequest {
            encapsulation: 41,
            ..OFFER
        }),
    );
}

#[test]
fn an_offer_on_the_wrong_side_of_the_authentication_is_malformed() {
    refused(134, |mut ask| {
        ask.unprotected.push(Extension::UdpTunnelRequest(OFFER));
        ask
    });
    refused(134, |ask| {
        flags(0x02)(ask).extended(Extension::UdpTunnelRequest(OFFER))
    });
}

#[test]
fn who_is_authenticated_but_malformed_is_told_so() {
    let mut world = World::new();
    let ask = world.ask("alice@example.net", 7);
    let mut octets = ask.octets();
    // A UDP Tunnel Request one octet short, after the authentication.
    octets.extend([144, 5, 0, 0, 0, 0, 0]);
    let reply = world.deliver(&octets, ask.source).unwrap();
    assert_eq!(reply[1], 134);
    assert_eq!(world.bindings(), []);

    // The same in front of it, and covered.
    let mut request = ask.request.encode_unauthenticated();
    request.extend([144, 5, 0, 0, 0, 0, 0, 131, 1, b'a', 32, 20]);
    request.extend(ask.association.spi.to_be_bytes());
    let authenticator = ask.association.authenticator(&request);
    request.extend(authenticator);
    assert_eq!(world.deliver(&request, ask.source).unwrap()[1], 134);

    // Without a valid authenticator there is no answer.
    *request.last_mut().unwrap() ^= 1;
    assert_eq!(world.deliver(&request, ask.source), None);
    assert_eq!(world.counter("drop_authentication_failed"), 1);
}

#[test]
fn another_home_agent_is_unknown_and_the_reply_names_ours() {
    for address in ["203.0.113.11", "203.0.113.255", "224.0.0.11"] {
        let address = address.parse().unwrap();
        let reply = refused(136, |ask| ask.with(|request| request.home_agent = address));
        assert_eq!(reply.home_agent, HOME_AGENT);
    }
    let requested = |address| {
        Extension::DynamicHomeAgent(DynamicHomeAgent {
            role: DynamicHomeAgentRole::Requested,
            address,
            layout: DynamicHomeAgentLayout::Short,
        })
    };
    refused(136, |ask| {
        ask.extended(requested("203.0.113.11".parse().unwrap()))
    });

    let mut world = World::new();
    for address in ["0.0.0.0", "255.255.255.255"] {
        let ask = world
            .ask("alice@example.net", 7)
            .extended(requested(HOME_AGENT));
        let ask = ask.with(|request| request.home_agent = address.parse().unwrap());
        let reply = world.send(&ask).unwrap();
        assert_eq!(reply.code, ReplyCode::ACCEPTED);
        assert_eq!(reply.home_agent, HOME_AGENT);
    }
}

#[test]
fn a_critical_vendor_extension_is_not_understood() {
    let vendor = VendorExtension {
        vendor: 9,
        vendor_type: 1,
        value: Octets::new([1, 2]).unwrap(),
    };
    refused(140, |ask| ask.extended(Extension::CriticalVendor(vendor)));
}

#[test]
fn a_home_address_nobody_lent_is_refused() {
    for address in [
        "10.128.0.5",
        "10.128.0.9",
        "192.0.2.1",
        "10.128.0.0",
        "203.0.113.10",
    ] {
        let address = address.parse().unwrap();
        refused(129, |ask| ask.of(address));
        refused(129, |ask| ask.release(address));
    }
}

#[test]
fn an_empty_pool_is_insufficient_resources_until_an_address_is_free() {
    let mut world = World::with(Config {
        pools: vec!["10.128.0.8/31".parse().unwrap()],
        hold_down: secs(60),
        ..config()
    });
    let address = world.bound("alice@example.net", 7);
    assert_ne!(
        address,
        Ipv4Addr::new(10, 128, 0, 9),
        "that is the laptop's"
    );
    refused_in(&mut world, 130, |ask| ask);
    assert_eq!(world.bound(LAPTOP, 9), Ipv4Addr::new(10, 128, 0, 9));

    let ask = world.ask("alice@example.net", 7).release(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    world.wait(secs(59));
    let ask = world.ask("bob@example.net", 8);
    assert_eq!(
        world.send(&ask).unwrap().code,
        ReplyCode::INSUFFICIENT_RESOURCES
    );
    world.wait(secs(1));
    assert_eq!(world.bound("bob@example.net", 8), address);
}
