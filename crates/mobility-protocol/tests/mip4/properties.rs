use std::net::Ipv4Addr;
use std::time::Duration;

use mobility_protocol::wire::mip4::iana::{ExtensionType, MobileNetworkCode, UdpTunnelReplyCode};
use mobility_protocol::wire::mip4::{
    DynamicHomeAgent, DynamicHomeAgentLayout, DynamicHomeAgentRole, Extension, Extensions,
    Identification, Message, MobileNetworkAcknowledgement, MobileNetworkRequest, Opaque,
    OpaqueContent, RegistrationReply, RegistrationRequest, ReplyCode, RequestFlags,
    RevocationSupport, UdpTunnelReply, UdpTunnelRequest, VendorExtension,
};
use mobility_protocol::{Identity, Lifetime};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::strategies::{association, octets};

proptest! {
    #[test]
    fn requests_survive_and_are_protected(
        request in request(),
        association in association(),
        bit in any::<Index>(),
    ) {
        let mut octets = request.encode(&association);
        prop_assert_eq!(RegistrationRequest::decode(&request.encode_unauthenticated()), Ok(request.clone()));

        let decoded = RegistrationRequest::decode(&octets)?;
        prop_assert_eq!(decoded.extensions.protected(), request.extensions.as_slice());
        prop_assert!(decoded.extensions.unprotected().is_empty());
        let authentication = decoded.extensions.mobile_home_authentication().cloned();
        let authentication = authentication.ok_or_else(|| TestCaseError::fail("no authentication"))?;
        prop_assert!(authentication.is_valid(&association, &octets));

        // RFC 2002's digest leaves out the SPI, which then is compared instead.
        let bit = bit.index(8 * (authentication.covered - 4));
        octets[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!authentication.is_valid(&association, &octets), "bit {bit} was changed");
    }

    #[test]
    fn replies_survive(reply in reply(), association in association()) {
        prop_assert_eq!(RegistrationReply::decode(&reply.encode_unauthenticated()), Ok(reply.clone()));
        let octets = reply.encode(&association);
        let decoded = RegistrationReply::decode(&octets)?;
        prop_assert_eq!(decoded.extensions.protected(), reply.extensions.as_slice());
        let valid = decoded
            .extensions
            .mobile_home_authentication()
            .is_some_and(|authentication| authentication.is_valid(&association, &octets));
        prop_assert!(valid);
    }

    #[test]
    fn a_truncated_request_is_never_taken_for_an_authentic_one(
        request in request(),
        association in association(),
        end in any::<Index>(),
    ) {
        let octets = request.encode(&association);
        let octets = &octets[..end.index(octets.len())];
        if let Ok(Message::RegistrationRequest(decoded)) = Message::decode(octets) {
            prop_assert!(decoded.extensions.mobile_home_authentication().is_none());
        }
    }
}

fn request() -> impl Strategy<Value = RegistrationRequest> {
    (
        any::<u8>(),
        lifetime(),
        address(),
        address(),
        address(),
        any::<u64>(),
        extensions(),
    )
        .prop_map(
            |(
                flags,
                lifetime,
                home_address,
                home_agent,
                care_of_address,
                identification,
                extensions,
            )| {
                RegistrationRequest {
                    flags: RequestFlags::from_wire(flags),
                    lifetime,
                    home_address,
                    home_agent,
                    care_of_address,
                    identification: Identification(identification),
                    extensions,
                }
            },
        )
}

fn reply() -> impl Strategy<Value = RegistrationReply> {
    (
        any::<u8>(),
        lifetime(),
        address(),
        address(),
        any::<u64>(),
        extensions(),
    )
        .prop_map(
            |(code, lifetime, home_address, home_agent, identification, extensions)| {
                RegistrationReply {
                    code: ReplyCode(code),
                    lifetime,
                    home_address,
                    home_agent,
                    identification: Identification(identification),
                    extensions,
                }
            },
        )
}

fn extensions() -> impl Strategy<Value = Extensions> {
    prop::collection::vec(extension(), 0..8).prop_map(|mut list| {
        // Adjacent runs of padding are one run on the wire.
        list.dedup_by(|a, b| matches!((a, b), (Extension::Padding(_), Extension::Padding(_))));
        list.into()
    })
}

fn extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        (1usize..9).prop_map(Extension::Padding),
        (any::<u32>(), any::<u16>(), octets::<65_529>(400)).prop_map(
            |(vendor, vendor_type, value)| {
                Extension::CriticalVendor(VendorExtension {
                    vendor,
                    vendor_type,
                    value,
                })
            }
        ),
        (any::<u32>(), any::<u16>(), octets::<247>(247)).prop_map(
            |(vendor, vendor_type, value)| {
                Extension::NormalVendor(VendorExtension {
                    vendor,
                    vendor_type,
                    value,
                })
            }
        ),
        (any::<u8>(), any::<bool>(), any::<u16>()).prop_map(
            |(code, forced, keepalive_interval)| {
                Extension::UdpTunnelReply(UdpTunnelReply {
                    code: UdpTunnelReplyCode(code),
                    forced,
                    keepalive_interval,
                })
            }
        ),
        any::<u8>().prop_map(Extension::ForeignAgentError),
        any::<u32>().prop_map(Extension::GreKey),
        prop::collection::vec(any::<u8>(), 1..=255)
            .prop_filter_map("too long", |octets| Identity::new(octets).ok())
            .prop_map(Extension::Nai),
        octets::<255>(255).prop_map(Extension::Challenge),
        (any::<bool>(), any::<u32>()).prop_map(|(inform, timestamp)| Extension::RevocationSupport(
            RevocationSupport { inform, timestamp }
        )),
        dynamic_home_agent(),
        (any::<bool>(), any::<bool>(), any::<u8>()).prop_map(
            |(force, registration_through_foreign_agent, encapsulation)| {
                Extension::UdpTunnelRequest(UdpTunnelRequest {
                    force,
                    registration_through_foreign_agent,
                    encapsulation,
                })
            }
        ),
        (any::<u8>(), octets::<254>(254))
            .prop_map(|(subtype, text)| Extension::MessageString { subtype, text }),
        (any::<u8>(), address()).prop_map(|(prefix_length, prefix)| {
            Extension::MobileNetworkRequest(MobileNetworkRequest {
                prefix_length,
                prefix,
            })
        }),
        (any::<bool>(), any::<u8>(), any::<u8>(), address()).prop_map(
            |(explicit, code, prefix_length, prefix)| {
                Extension::MobileNetworkAcknowledgement(MobileNetworkAcknowledgement {
                    explicit,
                    code: MobileNetworkCode(code),
                    prefix_length,
                    prefix,
                })
            }
        ),
        opaque(),
    ]
}

fn dynamic_home_agent() -> impl Strategy<Value = Extension> {
    let roles = select(vec![
        DynamicHomeAgentRole::Requested,
        DynamicHomeAgentRole::Redirected,
    ]);
    let layouts = select(vec![
        DynamicHomeAgentLayout::Long,
        DynamicHomeAgentLayout::Short,
    ]);
    (roles, address(), layouts).prop_map(|(role, address, layout)| {
        Extension::DynamicHomeAgent(DynamicHomeAgent {
            role,
            address,
            layout,
        })
    })
}

/// Types without a meaning of their own here, in both shapes.
fn opaque() -> impl Strategy<Value = Extension> {
    let octet = (
        select(vec![
            37, 46, 129, 130, 133, 136, 138, 140, 141, 142, 147, 149, 152, 153, 200, 255,
        ]),
        octets::<255>(255),
    )
        .prop_map(|(extension_type, data)| (extension_type, OpaqueContent::Octet(data)));
    let word = (
        select(vec![40, 41, 42, 43, 47, 50, 127]),
        any::<u8>(),
        octets::<65_535>(600),
    )
        .prop_map(|(extension_type, subtype, data)| {
            (extension_type, OpaqueContent::Word { subtype, data })
        });
    prop_oneof![octet, word].prop_map(|(extension_type, content)| {
        Extension::Opaque(Opaque {
            extension_type: ExtensionType(extension_type),
            content,
        })
    })
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    prop_oneof![
        Just(Lifetime::Zero),
        Just(Lifetime::Infinite),
        (1u64..0xffff).prop_map(|seconds| Lifetime::Finite(Duration::from_secs(seconds))),
    ]
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}
