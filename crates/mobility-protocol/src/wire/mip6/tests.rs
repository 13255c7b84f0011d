use std::net::Ipv6Addr;

use super::iana::{AuthenticationSubtype, BindingErrorStatus, IdentifierSubtype};
use super::*;
use crate::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use crate::wire::Octets;
use crate::{Identity, Lifetime};

const CARE_OF: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10);
const HOME_AGENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const HOME_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, 0xa1);
const PSEUDO_HEADER: PseudoHeader = PseudoHeader {
    source: CARE_OF,
    destination: HOME_AGENT,
};

const LENT: BindingAddresses = BindingAddresses {
    home_address: HOME_ADDRESS,
    care_of_address: CARE_OF,
};

/// A Binding Update with these options, filled up with Pad1.
fn update(options: &str) -> Vec<u8> {
    let mut octets = hex::decode(format!("3b00050000001234c0000096{options}")).unwrap();
    octets.resize(octets.len().next_multiple_of(8).max(16), 0);
    octets[1] = u8::try_from(octets.len() / 8 - 1).unwrap();
    octets
}

fn decode(options: &str) -> Result<Options<12>, DecodeError> {
    BindingUpdate::decode(&update(options)).map(|update| update.options)
}

fn packet(message: &[u8]) -> Packet<'_> {
    Packet {
        source: CARE_OF,
        destination: HOME_AGENT,
        home_address: None,
        routing_address: None,
        message,
    }
}

#[test]
fn a_request_is_told_from_an_update_and_answered() {
    let association = SecurityAssociation::open_mode();
    let request = BindingUpdate {
        sequence: SequenceNumber(1),
        flags: UpdateFlags::HOME,
        lifetime: Lifetime::Infinite,
        options: Options::try_from(vec![
            MobilityOption::AlternateCareOfAddress(CARE_OF),
            MobilityOption::HomeNetworkPrefix(NetworkPrefix::REQUEST),
        ])
        .unwrap(),
    };
    let asked = BindingAddresses {
        home_address: Ipv6Addr::UNSPECIFIED,
        care_of_address: CARE_OF,
    };
    let octets = request.encode(&association, &asked, &PSEUDO_HEADER);
    let received = packet(&octets);
    let Ok(Message::BindingUpdate(request)) = received.message() else {
        panic!("a Binding Update")
    };
    assert_eq!(
        request.addresses(&received),
        Ok(asked),
        "a home address, please"
    );
    let authentication = request.options.mn_ha_authentication().unwrap();
    assert!(authentication.is_valid(&association, &asked, received.message));

    let answer = BindingAcknowledgement {
        status: Status::ACCEPTED,
        flags: AcknowledgementFlags::NONE,
        sequence: request.sequence,
        lifetime: lifetime_from_wire(150),
        options: Options::try_from(vec![MobilityOption::HomeNetworkPrefix(
            NetworkPrefix::of_address(HOME_ADDRESS),
        )])
        .unwrap(),
    };
    let back = PseudoHeader {
        source: HOME_AGENT,
        destination: CARE_OF,
    };
    let octets = answer.encode(&association, &LENT, &back);
    let received = Packet {
        source: HOME_AGENT,
        destination: CARE_OF,
        ..packet(&octets)
    };
    let Ok(Message::BindingAcknowledgement(answer)) = received.message() else {
        panic!("a Binding Acknowledgement")
    };
    assert_eq!(answer.addresses(&received, &asked), Ok(LENT));
    let authentication = answer.options.mn_ha_authentication().unwrap();
    assert!(authentication.is_valid(&association, &LENT, received.message));
    assert!(!authentication.is_valid(&association, &asked, received.message));
}

#[test]
fn the_home_address_is_where_it_is_named() {
    let plain = update("");
    let plain = packet(&plain);
    let addresses = |octets: &[u8], packet| {
        BindingUpdate::decode(octets)
            .unwrap()
            .addresses(packet)
            .map(|addresses| addresses.home_address)
    };
    let named = update("1612008020010db80200000100000000000000a1");
    let prefix = update("1612004020010db8020000010000000000000000");
    let with_option = Packet {
        home_address: Some(HOME_ADDRESS),
        ..plain
    };
    let with_another = Packet {
        home_address: Some(HOME_AGENT),
        ..plain
    };
    assert_eq!(addresses(&named, &plain), Ok(HOME_ADDRESS));
    assert_eq!(addresses(&named, &with_option), Ok(HOME_ADDRESS));
    assert_eq!(
        addresses(&named, &with_another),
        Err(DecodeError::ConflictingHomeAddress {
            option: HOME_ADDRESS,
            header: HOME_AGENT
        })
    );
    assert_eq!(addresses(plain.message, &with_option), Ok(HOME_ADDRESS));
    assert_eq!(addresses(plain.message, &plain), Ok(CARE_OF), "at home");
    assert_eq!(addresses(&prefix, &plain), Ok(CARE_OF), "no home address");
    let two = decode(
        "1612008020010db80200000100000000000000a1\
         1612008020010db80200000100000000000000a2",
    );
    assert_eq!(two.unwrap().home_address(), None, "several are none");
}

#[test]
fn every_octet_is_under_the_authenticator() {
    let association = SecurityAssociation::open_mode();
    let update = BindingUpdate::decode(&update("0804016d6e31")).unwrap();
    let octets = update.encode(&association, &LENT, &PSEUDO_HEADER);
    let decoded = BindingUpdate::decode(&octets).unwrap();
    let authentication = decoded.options.mn_ha_authentication().unwrap();
    assert!(authentication.is_valid(&association, &LENT, &octets));
    for position in (0..4).chain(6..authentication.covered) {
        let mut octets = octets.clone();
        octets[position] ^= 0x10;
        assert!(
            !authentication.is_valid(&association, &LENT, &octets),
            "octet {position}"
        );
    }
    assert!(!authentication.is_valid(&association, &LENT, &octets[..20]));
}

#[test]
fn an_authenticator_ends_the_message_wherever_it_begins() {
    let association = SecurityAssociation::open_mode();
    for length in 1..=20 {
        let identity = Identity::new(vec![b'a'; length]).unwrap();
        let nai = MobileNodeIdentifier::nai(&identity).unwrap();
        let mut update = BindingUpdate::decode(&update("")).unwrap();
        update.options = vec![MobilityOption::MobileNodeIdentifier(nai)]
            .try_into()
            .unwrap();
        let octets = update.encode(&association, &LENT, &PSEUDO_HEADER);
        assert_eq!(octets.len() % 8, 0);
        let decoded = BindingUpdate::decode(&octets).unwrap();
        assert_eq!(decoded.options.nai(), Some(identity));
        let authentication = decoded.options.mn_ha_authentication().unwrap();
        assert_eq!(authentication.covered + 12, octets.len());
        assert!(authentication.is_valid(&association, &LENT, &octets));
    }
}

#[test]
fn an_authenticator_of_another_length_or_subtype_is_none() {
    let association = SecurityAssociation::open_mode();
    let octets =
        BindingUpdate::decode(&update(""))
            .unwrap()
            .encode(&association, &LENT, &PSEUDO_HEADER);
    let decoded = BindingUpdate::decode(&octets).unwrap();
    let authentication = decoded.options.mn_ha_authentication().unwrap();
    for length in [0, 11] {
        let shorter = Authentication {
            authenticator: Octets::new(&authentication.authenticator[..length]).unwrap(),
            ..authentication.clone()
        };
        assert!(!shorter.is_valid(&association, &LENT, &octets));
    }
    for subtype in [AuthenticationSubtype::MN_AAA, AuthenticationSubtype(9)] {
        let other = Authentication {
            subtype,
            ..authentication.clone()
        };
        assert!(!other.is_valid(&association, &LENT, &octets));
    }
    let another = SecurityAssociation {
        spi: 0x100,
        ..association
    };
    assert!(!authentication.is_valid(&another, &LENT, &octets));
}

/// The authenticator was computed by another implementation.
#[test]
fn mn_aaa_is_over_the_digest_of_the_message() {
    let association = SecurityAssociation {
        spi: 3,
        algorithm: Algorithm::HmacSha1,
        key: Key::new([0x0b; 20]).unwrap(),
        replay: ReplayProtection::Timestamps,
    };
    let octets = update("0009190200000003ba9343d9a281f9576cdf57379a3ca2a9cadef7b4");
    let decoded = BindingUpdate::decode(&octets).unwrap();
    let authentication = decoded.options.mn_aaa_authentication().unwrap();
    assert!(authentication.is_valid(&association, &LENT, &octets));
    let elsewhere = BindingAddresses {
        care_of_address: HOME_AGENT,
        ..LENT
    };
    assert!(!authentication.is_valid(&association, &elsewhere, &octets));
}

#[test]
fn overruns_are_named_with_what_is_missing() {
    let option = OptionType::MOBILE_NODE_IDENTIFIER;
    assert_eq!(
        decode("08030161"),
        Err(DecodeError::TruncatedOption {
            option,
            offset: 12,
            expected: 5,
            available: 4
        })
    );
    assert_eq!(
        decode("01010008"),
        Err(DecodeError::TruncatedOption {
            option,
            offset: 15,
            expected: 2,
            available: 1
        })
    );
}

#[test]
fn headers_that_lie_are_refused() {
    let good = update("");
    assert!(Message::decode(&good).is_ok());
    assert_eq!(Message::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(
        Message::decode(&good[..15]),
        Err(DecodeError::TruncatedHeader {
            expected: 16,
            length: 15
        })
    );
    assert_eq!(
        Message::decode(&[59, 0]),
        Err(DecodeError::TruncatedHeader {
            expected: 8,
            length: 2
        })
    );
    let mut short = good.clone();
    short[1] = 0;
    assert_eq!(
        Message::decode(&short),
        Err(DecodeError::TrailingOctets {
            message_type: MessageType::BINDING_UPDATE,
            expected: 8,
            length: 16
        })
    );
    assert_eq!(
        Message::decode(&short[..8]),
        Err(DecodeError::TruncatedMessage {
            message_type: MessageType::BINDING_UPDATE,
            expected: 12,
            length: 8
        })
    );
    let mut followed = good.clone();
    followed[0] = 17;
    assert_eq!(
        Message::decode(&followed),
        Err(DecodeError::PayloadProtocol(17))
    );
    let mut unknown = good;
    unknown[2] = 99;
    let error = Message::decode(&unknown).unwrap_err();
    assert_eq!(error, DecodeError::UnknownMessageType(MessageType(99)));
    assert_eq!(
        error.binding_error_status(),
        Some(BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE)
    );
}

#[test]
fn content_that_its_definition_excludes_is_malformed() {
    for options in [
        "0201 00",
        "0301 00",
        "0403 000000",
        "0500",
        "0611",
        "0801 01",
        "0800",
        "0905 01 00000100",
        "0a07 00000000000000",
        "0b01 00",
        "0f01 00",
        "1001 00",
        "1101 00",
        "1304 00000009",
        "1400",
        "1611",
        "1d05 8000000000",
        "1e07 00800000000000",
        "1f04 00000000",
        "2004 00000a01",
        "2305 0001000000",
    ] {
        let octets = options.replace(' ', "");
        let filled = format!("{octets:0<60}");
        let error = decode(&filled).unwrap_err();
        assert!(
            matches!(error, DecodeError::MalformedOption { offset: 12, .. }),
            "{options}: {error}"
        );
        assert_eq!(error.binding_error_status(), None, "dropped silently");
    }
}

#[test]
fn unknown_options_are_skipped() {
    let options = decode("c803010203fe000804016d6e31").unwrap();
    assert_eq!(options.nai(), Identity::new("mn1").ok());
    let types: Vec<u8> = options
        .iter()
        .map(|option| option.option_type().0)
        .collect();
    assert_eq!(types, [200, 254, 8]);
}

#[test]
fn what_a_message_has_once_is_not_there_twice() {
    let alternate = "031020010db8010000000000000000000010";
    for (options, offset) in [
        (format!("0100{alternate}01040000 0000{alternate}"), 38),
        ("0802016108020162".to_owned(), 16),
        (format!("01020000{0}{0}", "1d06800000000000"), 24),
    ] {
        let error = decode(&options.replace(' ', "")).unwrap_err();
        assert!(
            matches!(error, DecodeError::RepeatedOption { offset: found, .. } if found == offset),
            "{options}: {error}"
        );
    }
    let named_twice = decode("08020161080302616200").unwrap();
    let subtypes = named_twice.iter().count();
    assert_eq!(subtypes, 2, "an NAI and an IPv6 address");
    assert_eq!(named_twice.nai(), Identity::new("a").ok());
}

#[test]
fn nothing_follows_the_authentication() {
    let mn_ha = format!("09110100000100{}", "11".repeat(12));
    let mn_aaa = format!("09190200000003{}", "22".repeat(20));
    let authorization = format!("050c{}", "33".repeat(12));
    assert!(decode(&format!("00{mn_ha}")).is_ok());
    assert!(decode(&format!("01020000{authorization}")).is_err());
    let both = decode(&format!("00{mn_ha}0103000000{mn_aaa}")).unwrap();
    assert!(both.mn_ha_authentication().is_some());
    assert!(both.mn_aaa_authentication().is_some());
    for (options, option, offset) in [
        (mn_ha.clone(), OptionType::PAD1, 31),
        (format!("00{mn_ha}c803010203010100"), OptionType(200), 32),
        (format!("00{mn_aaa}0103000000{mn_ha}"), OptionType::PADN, 40),
        (format!("0000{authorization}0000"), OptionType::PAD1, 28),
    ] {
        assert_eq!(
            decode(&options),
            Err(DecodeError::OptionAfterAuthentication { option, offset }),
            "{options}"
        );
    }
}

#[test]
fn a_flood_of_options_is_cut_off_and_padding_is_not() {
    assert!(decode(&"c800".repeat(MAX_OPTIONS - 1)).is_ok());
    assert_eq!(
        decode(&"c800".repeat(MAX_OPTIONS + 2)),
        Err(DecodeError::TooManyOptions {
            max: MAX_OPTIONS,
            offset: 12 + 2 * MAX_OPTIONS
        })
    );
    assert_eq!(
        decode(&"00".repeat(2036)).unwrap().as_slice(),
        [MobilityOption::Padding(2036)]
    );
}

#[test]
fn a_list_ends_where_a_message_has_no_more_room() {
    let identifier = MobileNodeIdentifier {
        subtype: IdentifierSubtype(200),
        identifier: Octets::new([7; 254]).unwrap(),
    };
    let option = MobilityOption::MobileNodeIdentifier(identifier);
    let mut options = Options::<12>::new();
    let error = loop {
        let before = options.clone();
        if let Err(error) = options.push(option.clone()) {
            assert_eq!(options, before);
            break error;
        }
    };
    assert_eq!(options.iter().count(), 7);
    assert_eq!((error.length, error.max), (8 * 257, 2048 - 32 - 12));
    let update = BindingUpdate {
        sequence: SequenceNumber(0),
        flags: UpdateFlags::NONE,
        lifetime: Lifetime::Zero,
        options,
    };
    let octets = update.encode(&SecurityAssociation::open_mode(), &LENT, &PSEUDO_HEADER);
    assert!(octets.len() <= MAX_LENGTH);
    assert!(MobileNodeIdentifier::nai(&Identity::new([b'a'; 255]).unwrap()).is_err());
}

#[test]
fn reserved_flags_are_ignored() {
    assert_eq!(UpdateFlags::from_wire(0xffff).to_wire(), 0xfff0);
    assert_eq!(AcknowledgementFlags::from_wire(0xff).to_wire(), 0xfe);
    assert!(UpdateFlags::HOME.contains(UpdateFlags::ACKNOWLEDGE));
    assert!(!UpdateFlags::ACKNOWLEDGE.contains(UpdateFlags::HOME));
}

#[test]
fn statuses_are_a_yes_or_a_no_and_have_names() {
    assert!(Status::ACCEPTED_PREFIX_DISCOVERY_NECESSARY.is_accepted());
    assert!(Status(127).is_accepted());
    assert!(!Status::UNSPECIFIED.is_accepted());
    assert_eq!(
        Status(135).to_string(),
        "135 (sequence number out of window)"
    );
    assert_eq!(Status(200).to_string(), "200");
}

#[test]
fn tunnelled_packets_are_told_from_messages() {
    let message = update("");
    let whole = packet(&message).encode();
    assert_eq!(Packet::decode(&whole), Ok(packet(&message)));
    let mut tcp = whole.clone();
    tcp[6] = 6;
    assert_eq!(
        Packet::decode(&tcp),
        Err(PacketError::OtherProtocol {
            next_header: 6,
            offset: 40
        })
    );
    assert_eq!(Packet::decode(&[0x45; 60]), Err(PacketError::Version(4)));
    assert_eq!(
        Packet::decode(&whole[..50]),
        Err(PacketError::Truncated {
            offset: 0,
            expected: 56,
            available: 50
        })
    );
    let fragment = |next_header: u8, low: u8| {
        let mut octets = whole.clone();
        octets[6] = 44;
        octets[5] += 8;
        octets.splice(40..40, [next_header, 0, 0, low, 0, 0, 0, 1]);
        Packet::decode(&octets).err()
    };
    assert_eq!(fragment(135, 0), None, "an atomic one is whole");
    assert_eq!(fragment(135, 1), Some(PacketError::Fragment(40)));
    assert!(matches!(
        fragment(6, 1),
        Some(PacketError::OtherProtocol { next_header: 6, .. })
    ));
}
