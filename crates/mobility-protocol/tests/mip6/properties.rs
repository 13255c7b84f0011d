use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::Lifetime;
use mobility_protocol::wire::Octets;
use mobility_protocol::wire::mip6::iana::{IdentifierSubtype, Ipv4AddressStatus, OptionType};
use mobility_protocol::wire::mip6::{
    AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingIdentifier,
    BindingManagementKey, BindingUpdate, DnsUpdate, Identification, Ipv4AddressAcknowledgement,
    Ipv4HomeAddress, Message, MobileNodeIdentifier, MobilityOption, NatDetection, NetworkPrefix,
    NonceIndices, Opaque, Options, Packet, PseudoHeader, SequenceNumber, Status, UpdateFlags,
    VendorOption,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::strategies::{association, octets};

proptest! {
    #[test]
    fn updates_survive_and_are_protected(
        update in update(),
        association in association(),
        addresses in addresses(),
        pseudo_header in pseudo_header(),
        bit in any::<Index>(),
    ) {
        let plain = update.encode_unauthenticated(&pseudo_header);
        prop_assert_eq!(BindingUpdate::decode(&plain), Ok(update.clone()));

        let mut octets = update.encode(&association, &addresses, &pseudo_header);
        prop_assert_eq!(pseudo_header.verify(&octets), Ok(()));
        let decoded = BindingUpdate::decode(&octets)?;
        prop_assert!(decoded.options.iter().zip(update.options.iter()).all(|(a, b)| a == b));
        prop_assert_eq!(decoded.options.iter().count(), update.options.iter().count() + 1);
        let authentication = decoded.options.mn_ha_authentication().cloned();
        let authentication = authentication.ok_or_else(|| TestCaseError::fail("no authentication"))?;
        prop_assert!(authentication.is_valid(&association, &addresses, &octets));

        // RFC 2002's digest leaves out the SPI, which then is compared instead.
        let bit = bit.index(8 * (authentication.covered - 4));
        octets[bit / 8] ^= 1 << (bit % 8);
        let is_checksum = (4..6).contains(&(bit / 8));
        let is_valid = authentication.is_valid(&association, &addresses, &octets);
        prop_assert_eq!(is_valid, is_checksum, "bit {} was changed", bit);
        prop_assert!(pseudo_header.verify(&octets).is_err());
    }

    #[test]
    fn acknowledgements_survive(
        acknowledgement in acknowledgement(),
        association in association(),
        addresses in addresses(),
        pseudo_header in pseudo_header(),
    ) {
        let plain = acknowledgement.encode_unauthenticated(&pseudo_header);
        prop_assert_eq!(BindingAcknowledgement::decode(&plain), Ok(acknowledgement.clone()));
        let octets = acknowledgement.encode(&association, &addresses, &pseudo_header);
        let decoded = BindingAcknowledgement::decode(&octets)?;
        let valid = decoded
            .options
            .mn_ha_authentication()
            .is_some_and(|authentication| authentication.is_valid(&association, &addresses, &octets));
        prop_assert!(valid);
    }

    #[test]
    fn updates_to_correspondents_survive_and_are_protected(
        update in update(),
        tokens in any::<(u64, u64)>(),
        addresses in addresses(),
        pseudo_header in pseudo_header(),
    ) {
        let key = BindingManagementKey::new(tokens.0, tokens.1);
        let octets = update.encode_to_correspondent(&key, &addresses, &pseudo_header);
        let decoded = BindingUpdate::decode(&octets)?;
        let authorization = decoded.options.binding_authorization().cloned();
        let authorization = authorization.ok_or_else(|| TestCaseError::fail("no authorization"))?;
        let bound = match update.lifetime {
            Lifetime::Zero => addresses.home_address,
            Lifetime::Finite(_) | Lifetime::Infinite => addresses.care_of_address,
        };
        let destination = pseudo_header.destination;
        prop_assert!(authorization.is_valid(&key, bound, destination, &octets));
        let other = BindingManagementKey::for_deletion(tokens.0);
        prop_assert!(!authorization.is_valid(&other, bound, destination, &octets));
    }

    #[test]
    fn every_option_stands_where_its_definition_wants_it(
        update in update(),
        pseudo_header in pseudo_header(),
    ) {
        let octets = update.encode_unauthenticated(&pseudo_header);
        prop_assert_eq!(octets.len() % 8, 0);
        let mut offset = BindingUpdate::FIXED_LENGTH;
        while offset < octets.len() {
            let (kind, length) = (octets[offset], octets.get(offset + 1).copied());
            let (step, remainder) = match (kind, length) {
                (2 | 4, _) | (35, Some(4)) => (2, 0),
                (3, _) => (8, 6),
                (6 | 22, _) => (8, 4),
                (10 | 27, _) | (35, _) => (8, 2),
                (19, _) => (4, 2),
                (29..=32, _) => (4, 0),
                _ => (1, 0),
            };
            prop_assert_eq!(offset % step, remainder, "option {}", kind);
            offset += match (kind, length) {
                (0, _) | (_, None) => 1,
                (_, Some(length)) => 2 + usize::from(length),
            };
        }
    }

    #[test]
    fn a_truncated_update_is_never_taken_for_a_message(
        update in update(),
        association in association(),
        addresses in addresses(),
        pseudo_header in pseudo_header(),
        end in any::<Index>(),
    ) {
        let octets = update.encode(&association, &addresses, &pseudo_header);
        prop_assert!(Message::decode(&octets[..end.index(octets.len())]).is_err());
    }

    #[test]
    fn packets_survive(
        pseudo_header in pseudo_header(),
        home_address in prop::option::of(address()),
        routing_address in prop::option::of(address()),
        message in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let packet = Packet {
            source: pseudo_header.source,
            destination: pseudo_header.destination,
            home_address,
            routing_address,
            message: &message,
        };
        let octets = packet.encode();
        prop_assert_eq!(Packet::decode(&octets), Ok(packet));
    }
}

fn update() -> impl Strategy<Value = BindingUpdate> {
    (any::<u16>(), any::<u16>(), lifetime(), options()).prop_map(
        |(sequence, flags, lifetime, options)| BindingUpdate {
            sequence: SequenceNumber(sequence),
            flags: UpdateFlags::from_wire(flags),
            lifetime,
            options,
        },
    )
}

fn acknowledgement() -> impl Strategy<Value = BindingAcknowledgement> {
    (
        any::<u8>(),
        any::<u8>(),
        any::<u16>(),
        lifetime(),
        options(),
    )
        .prop_map(
            |(status, flags, sequence, lifetime, options)| BindingAcknowledgement {
                status: Status(status),
                flags: AcknowledgementFlags::from_wire(flags),
                sequence: SequenceNumber(sequence),
                lifetime,
                options,
            },
        )
}

/// No two of a type: of most a message has one.
fn options() -> impl Strategy<Value = Options<12>> {
    prop::collection::vec(option(), 0..8).prop_filter_map("no room", |mut list| {
        list.sort_by_key(MobilityOption::option_type);
        list.dedup_by_key(|option| option.option_type());
        // Not in the order of their types either.
        if let Some(middle) = list.len().checked_div(2) {
            list.rotate_left(middle);
        }
        Options::try_from(list).ok()
    })
}

fn option() -> impl Strategy<Value = MobilityOption> {
    prop_oneof![
        (2usize..20).prop_map(MobilityOption::Padding),
        lifetime().prop_map(MobilityOption::BindingRefreshAdvice),
        address().prop_map(MobilityOption::AlternateCareOfAddress),
        any::<(u16, u16)>().prop_map(|(home, care_of)| MobilityOption::NonceIndices(
            NonceIndices { home, care_of }
        )),
        prefix().prop_map(MobilityOption::MobileNetworkPrefix),
        (any::<u8>(), 1usize..255, any::<u8>()).prop_map(|(subtype, length, octet)| {
            MobilityOption::MobileNodeIdentifier(MobileNodeIdentifier {
                subtype: IdentifierSubtype(subtype),
                identifier: Octets::new(vec![octet; length]).unwrap(),
            })
        }),
        any::<u64>().prop_map(|octets| MobilityOption::ReplayProtection(Identification(octets))),
        Just(MobilityOption::CgaParametersRequest),
        octets::<255>(255).prop_map(MobilityOption::CgaParameters),
        octets::<255>(255).prop_map(MobilityOption::Signature),
        octets::<255>(255).prop_map(MobilityOption::PermanentHomeKeygenToken),
        Just(MobilityOption::CareOfTestInit),
        any::<u64>().prop_map(MobilityOption::CareOfTest),
        (any::<u8>(), any::<bool>(), octets::<253>(253)).prop_map(|(status, remove, name)| {
            MobilityOption::DnsUpdate(DnsUpdate {
                status,
                remove,
                name,
            })
        }),
        octets::<255>(255).prop_map(MobilityOption::Experimental),
        (any::<u32>(), any::<u8>(), octets::<250>(250)).prop_map(|(vendor, subtype, value)| {
            MobilityOption::Vendor(VendorOption {
                vendor,
                subtype,
                value,
            })
        }),
        (1usize..=255, any::<u8>()).prop_map(|(length, octet)| {
            MobilityOption::ServiceSelection(Octets::new(vec![octet; length]).unwrap())
        }),
        prefix().prop_map(MobilityOption::HomeNetworkPrefix),
        ipv4(),
        (
            any::<u16>(),
            any::<u8>(),
            any::<bool>(),
            prop::option::of(any::<IpAddr>())
        )
            .prop_map(|(identifier, status, simultaneous_home, care_of_address)| {
                MobilityOption::BindingIdentifier(BindingIdentifier {
                    identifier,
                    status: Status(status),
                    simultaneous_home,
                    care_of_address,
                })
            }),
        (
            select(vec![7, 21, 27, 28, 36, 37, 44, 45, 55, 65, 70, 200, 255]),
            octets::<255>(255)
        )
            .prop_map(|(option_type, data)| MobilityOption::Opaque(Opaque {
                option_type: OptionType(option_type),
                data,
            })),
    ]
}

fn ipv4() -> impl Strategy<Value = MobilityOption> {
    let address = any::<u32>().prop_map(Ipv4Addr::from);
    prop_oneof![
        (0u8..64, any::<bool>(), address.clone()).prop_map(
            |(prefix_length, request_prefix, address)| {
                MobilityOption::Ipv4HomeAddress(Ipv4HomeAddress {
                    prefix_length,
                    request_prefix,
                    address,
                })
            }
        ),
        (any::<u8>(), 0u8..64, address.clone()).prop_map(|(status, prefix_length, address)| {
            MobilityOption::Ipv4AddressAcknowledgement(Ipv4AddressAcknowledgement {
                status: Ipv4AddressStatus(status),
                prefix_length,
                address,
            })
        }),
        any::<(bool, u32)>().prop_map(|(forced, refresh_time)| {
            MobilityOption::NatDetection(NatDetection {
                forced,
                refresh_time,
            })
        }),
        address.prop_map(MobilityOption::Ipv4CareOfAddress),
    ]
}

fn prefix() -> impl Strategy<Value = NetworkPrefix> {
    (any::<u8>(), address()).prop_map(|(length, prefix)| NetworkPrefix { length, prefix })
}

fn addresses() -> impl Strategy<Value = BindingAddresses> {
    (address(), address()).prop_map(|(home_address, care_of_address)| BindingAddresses {
        home_address,
        care_of_address,
    })
}

fn pseudo_header() -> impl Strategy<Value = PseudoHeader> {
    (address(), address()).prop_map(|(source, destination)| PseudoHeader {
        source,
        destination,
    })
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    prop_oneof![
        Just(Lifetime::Zero),
        (1u64..=0xffff).prop_map(|units| Lifetime::Finite(Duration::from_secs(4 * units))),
    ]
}

fn address() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from)
}
