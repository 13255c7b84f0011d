use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::wire::mip6::iana::{
    BindingErrorStatus, IdentifierSubtype, Ipv4AddressStatus,
};
use mobility_protocol::wire::mip6::{
    AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingError,
    BindingManagementKey, BindingUpdate, DecodeError, Identification, Ipv4AddressAcknowledgement,
    Ipv4HomeAddress, Message, MobileNodeIdentifier, MobilityOption, NatDetection, NetworkPrefix,
    NonceIndices, Options, Packet, SequenceNumber, Status, Test, TestInit, UpdateFlags,
    care_of_keygen_token, home_keygen_token,
};
use mobility_protocol::{Identity, Lifetime};

use super::octets;

const CARE_OF: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10);
const SECOND_CARE_OF: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x101, 0, 0, 0, 0, 0x20);
const HOME_AGENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const HOME_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, 0xa1);
const CORRESPONDENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, 5);
/// The octets of an IPv4 and a UDP header.
const OUTER: usize = 28;

#[test]
fn v1_request_for_a_home_address() {
    let octets = hex(octets::V1);
    let update = update(0x1234, 600, [alternate(CARE_OF)]);
    let packet = both_ways(&octets, &Message::BindingUpdate(update.clone()));
    assert_eq!((packet.source, packet.destination), (CARE_OF, HOME_AGENT));
    let addresses = update.addresses(&packet).unwrap();
    assert_eq!(addresses.care_of_address, CARE_OF);
    assert_eq!(update.options.home_address(), None);
    assert_eq!(
        update.encode_unauthenticated(&packet.pseudo_header()),
        packet.message
    );
}

#[test]
fn v2_request_by_a_home_address_option() {
    let octets = hex(octets::V2);
    let update = update(0x1234, 600, [alternate(CARE_OF)]);
    let packet = both_ways(&octets, &Message::BindingUpdate(update.clone()));
    assert_eq!(packet.home_address, Some(Ipv6Addr::UNSPECIFIED));
    assert_eq!(
        update.addresses(&packet),
        Ok(BindingAddresses {
            home_address: Ipv6Addr::UNSPECIFIED,
            care_of_address: CARE_OF
        })
    );
}

#[test]
fn v3_acknowledgement_with_refresh_advice() {
    let octets = hex(octets::V3);
    let acknowledgement = acknowledgement(
        Status::ACCEPTED,
        0x1234,
        600,
        [MobilityOption::BindingRefreshAdvice(seconds(480))],
    );
    let message = Message::BindingAcknowledgement(acknowledgement.clone());
    let packet = both_ways(&octets, &message);
    assert_eq!(packet.routing_address, Some(HOME_ADDRESS));
    assert_eq!(acknowledgement.options.refresh_advice(), Some(seconds(480)));
}

#[test]
fn v4_handover_and_its_acknowledgement() {
    let octets = hex(octets::V4_UPDATE);
    let update = update(0x1235, 600, [alternate(SECOND_CARE_OF), nai(), timestamp()]);
    let packet = Packet::decode(&octets).unwrap();
    let addresses = update.addresses(&packet).unwrap();
    assert_eq!(addresses, moved());
    assert_eq!(
        update.encode(&association(), &addresses, &packet.pseudo_header()),
        packet.message
    );
    let Message::BindingUpdate(decoded) = authenticated(&octets, &addresses, 68) else {
        panic!("a Binding Update")
    };
    assert_eq!(decoded.options.nai(), identity());
    let offered = decoded.options.replay_protection();
    assert_eq!(offered, Some(Identification(0xe8d5_a000_1234_5678)));

    let octets = hex(octets::V4_ACKNOWLEDGEMENT);
    let acknowledgement = acknowledgement(Status::ACCEPTED, 0x1235, 600, [nai(), timestamp()]);
    let packet = Packet::decode(&octets).unwrap();
    assert_eq!(
        acknowledgement.addresses(&packet, &addresses),
        Ok(addresses)
    );
    assert_eq!(
        acknowledgement.encode(&association(), &addresses, &packet.pseudo_header()),
        packet.message
    );
    authenticated(&octets, &addresses, 52);
}

#[test]
fn v5_update_of_a_mobile_router() {
    let prefix = NetworkPrefix {
        length: 64,
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0, 0, 0, 0),
    };
    let options = [
        alternate(CARE_OF),
        MobilityOption::MobileNetworkPrefix(prefix),
    ];
    let update = BindingUpdate {
        flags: UpdateFlags::HOME | UpdateFlags::MOBILE_ROUTER,
        ..update(1, 300, options)
    };
    both_ways(&hex(octets::V5), &Message::BindingUpdate(update));
}

#[test]
fn v6_return_routability() {
    let node_key = Key::from_hex("202122232425262728292a2b2c2d2e2f30313233").unwrap();
    let home = home_keygen_token(&node_key, HOME_ADDRESS, &hex("a0a1a2a3a4a5a6a7"));
    let care_of = care_of_keygen_token(&node_key, SECOND_CARE_OF, &hex("b0b1b2b3b4b5b6b7"));
    assert_eq!(home, 0x45f7_17cb_1ed9_c323);
    assert_eq!(care_of, 0x2bd3_27df_131e_18a0);
    let key = BindingManagementKey::new(home, care_of);
    assert_eq!(
        key.as_bytes()[..],
        hex("acb711a7258aab59ab63274534f4773ebacc437c")
    );

    let cookie = 0x2222_2222_2222_2222;
    let init = TestInit {
        cookie,
        options: Options::new(),
    };
    both_ways(&hex(octets::V6_INIT), &Message::CareOfTestInit(init));
    let test = Test {
        nonce_index: 5,
        cookie,
        token: care_of,
        options: Options::new(),
    };
    both_ways(&hex(octets::V6_TEST), &Message::CareOfTest(test));

    let octets = hex(octets::V6_UPDATE);
    let indices = NonceIndices {
        home: 4,
        care_of: 5,
    };
    let update = BindingUpdate {
        flags: UpdateFlags::ACKNOWLEDGE,
        ..update(0x42, 420, [MobilityOption::NonceIndices(indices)])
    };
    let packet = Packet::decode(&octets).unwrap();
    let addresses = update.addresses(&packet).unwrap();
    assert_eq!(addresses, moved());
    assert_eq!(
        update.encode_to_correspondent(&key, &addresses, &packet.pseudo_header()),
        packet.message
    );
    let Message::BindingUpdate(decoded) = packet.message().unwrap() else {
        panic!("a Binding Update")
    };
    assert_eq!(decoded.options.nonce_indices(), Some(indices));
    let authorization = decoded.options.binding_authorization().unwrap();
    assert_eq!(authorization.covered, 20);
    let is_valid =
        |key, care_of| authorization.is_valid(key, care_of, CORRESPONDENT, packet.message);
    assert!(is_valid(&key, SECOND_CARE_OF));
    assert!(!is_valid(&key, CARE_OF), "another care-of address");
    let other = BindingManagementKey::for_deletion(home);
    assert!(!is_valid(&other, SECOND_CARE_OF), "another key");
}

#[test]
fn v7_an_ipv4_home_address_over_udp() {
    let asked = Ipv4HomeAddress {
        prefix_length: 32,
        request_prefix: false,
        address: Ipv4Addr::UNSPECIFIED,
    };
    let options = [
        MobilityOption::Ipv4HomeAddress(asked),
        MobilityOption::Ipv4CareOfAddress(Ipv4Addr::new(10, 1, 2, 3)),
    ];
    let update = update(7, 600, options);
    assert_eq!(update.options.ipv4_home_address(), Some(asked));
    let octets = &hex(octets::V7_UPDATE)[OUTER..];
    let packet = both_ways(octets, &Message::BindingUpdate(update));
    assert_eq!(packet.source, HOME_ADDRESS);

    let assigned = Ipv4AddressAcknowledgement {
        status: Ipv4AddressStatus::SUCCESS,
        prefix_length: 32,
        address: Ipv4Addr::new(192, 0, 2, 77),
    };
    let detection = NatDetection {
        forced: false,
        refresh_time: 110,
    };
    let options = [
        MobilityOption::Ipv4AddressAcknowledgement(assigned),
        MobilityOption::NatDetection(detection),
    ];
    let acknowledgement = acknowledgement(Status::ACCEPTED, 7, 600, options);
    let options = &acknowledgement.options;
    assert_eq!(options.ipv4_address_acknowledgement(), Some(assigned));
    assert_eq!(options.nat_detection(), Some(detection));
    let octets = &hex(octets::V7_ACKNOWLEDGEMENT)[OUTER..];
    both_ways(octets, &Message::BindingAcknowledgement(acknowledgement));
}

#[test]
fn v8_out_of_window() {
    let octets = hex(octets::V8_OUT_OF_WINDOW);
    let refusal = acknowledgement(Status::SEQUENCE_OUT_OF_WINDOW, 0x1235, 0, []);
    assert!(!refusal.status.is_accepted());
    both_ways(&octets, &Message::BindingAcknowledgement(refusal));
}

#[test]
fn v8_binding_error() {
    let error = BindingError {
        status: BindingErrorStatus::UNKNOWN_BINDING,
        home_address: HOME_ADDRESS,
        options: Options::new(),
    };
    both_ways(&hex(octets::V8_ERROR), &Message::BindingError(error));
}

#[test]
fn v8_deregistration() {
    let octets = hex(octets::V8_DEREGISTRATION);
    let update = update(0x1236, 0, [alternate(SECOND_CARE_OF)]);
    assert_eq!(update.lifetime, Lifetime::Zero);
    let packet = both_ways(&octets, &Message::BindingUpdate(update.clone()));
    assert_eq!(update.addresses(&packet), Ok(moved()));
}

#[test]
fn a_message_for_other_addresses_is_refused() {
    for octets in [octets::V1, octets::V2, octets::V3, octets::V8_ERROR] {
        let octets = hex(octets);
        let packet = Packet::decode(&octets).unwrap();
        assert!(packet.message().is_ok());
        let elsewhere = Packet {
            source: CORRESPONDENT,
            home_address: None,
            ..packet
        };
        let error = elsewhere.message().unwrap_err();
        assert!(matches!(error, DecodeError::BadChecksum { .. }), "{error}");
    }
}

/// The octets are this message, and this message is the octets.
fn both_ways<'a>(octets: &'a [u8], message: &Message) -> Packet<'a> {
    let packet = Packet::decode(octets).unwrap();
    assert_eq!(packet.message().as_ref(), Ok(message));
    assert_eq!(message.encode(&packet.pseudo_header()), packet.message);
    assert_eq!(packet.encode(), octets);
    packet
}

/// What the octets are, after a look at the MN-HA authentication they end with.
fn authenticated(octets: &[u8], addresses: &BindingAddresses, covered: usize) -> Message {
    let packet = Packet::decode(octets).unwrap();
    let message = packet.message().unwrap();
    both_ways(octets, &message);
    let Some(MobilityOption::Authentication(authentication)) = message.options().last() else {
        panic!("no authentication at the end")
    };
    assert_eq!(authentication.covered, covered);
    let is_valid = |addresses: &BindingAddresses, octets: &[u8]| {
        authentication.is_valid(&association(), addresses, octets)
    };
    assert!(is_valid(addresses, packet.message));
    for home_address in [Ipv6Addr::UNSPECIFIED, HOME_AGENT] {
        let addresses = BindingAddresses {
            home_address,
            ..*addresses
        };
        assert!(!is_valid(&addresses, packet.message), "{home_address}");
    }
    let mut octets = packet.message.to_vec();
    octets[4] ^= 0xff;
    assert!(is_valid(addresses, &octets), "the checksum is left out");
    octets[7] ^= 1;
    assert!(!is_valid(addresses, &octets), "the rest is not");
    message
}

fn update<const N: usize>(
    sequence: u16,
    lifetime: u64,
    options: [MobilityOption; N],
) -> BindingUpdate {
    BindingUpdate {
        sequence: SequenceNumber(sequence),
        flags: UpdateFlags::HOME,
        lifetime: seconds(lifetime),
        options: options.to_vec().try_into().unwrap(),
    }
}

fn acknowledgement<const N: usize>(
    status: Status,
    sequence: u16,
    lifetime: u64,
    options: [MobilityOption; N],
) -> BindingAcknowledgement {
    BindingAcknowledgement {
        status,
        flags: AcknowledgementFlags::NONE,
        sequence: SequenceNumber(sequence),
        lifetime: seconds(lifetime),
        options: options.to_vec().try_into().unwrap(),
    }
}

fn seconds(seconds: u64) -> Lifetime {
    match seconds {
        0 => Lifetime::Zero,
        seconds => Lifetime::Finite(Duration::from_secs(seconds)),
    }
}

fn association() -> SecurityAssociation {
    SecurityAssociation {
        spi: 0x100,
        algorithm: Algorithm::HmacSha1,
        key: Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap(),
        replay: ReplayProtection::Timestamps,
    }
}

fn moved() -> BindingAddresses {
    BindingAddresses {
        home_address: HOME_ADDRESS,
        care_of_address: SECOND_CARE_OF,
    }
}

fn alternate(address: Ipv6Addr) -> MobilityOption {
    MobilityOption::AlternateCareOfAddress(address)
}

fn identity() -> Option<Identity> {
    Identity::new("mn1@example.net").ok()
}

fn nai() -> MobilityOption {
    let identifier = MobileNodeIdentifier::nai(&identity().unwrap()).unwrap();
    assert_eq!(identifier.subtype, IdentifierSubtype::NAI);
    MobilityOption::MobileNodeIdentifier(identifier)
}

fn timestamp() -> MobilityOption {
    MobilityOption::ReplayProtection(Identification(0xe8d5_a000_1234_5678))
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}
