use std::net::Ipv4Addr;
use std::time::Duration;

use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::wire::Octets;
use mobility_protocol::wire::mip4::iana::{
    ExtensionType, GeneralizedAuthenticationSubtype, MobileNetworkCode, UdpTunnelReplyCode,
};
use mobility_protocol::wire::mip4::{
    Authentication, AuthenticationKind, DecodeError, DynamicHomeAgent, DynamicHomeAgentLayout,
    DynamicHomeAgentRole, Extension, Extensions, Identification, Message,
    MobileCorrespondentAuthentication, MobileNetworkAcknowledgement, MobileNetworkRequest, Opaque,
    OpaqueContent, RegistrationReply, RegistrationRequest, ReplyCode, RequestFlags, Revocation,
    RevocationAcknowledgement, RevocationSupport, Test, TestInit, TunnelData, UdpTunnelReply,
    UdpTunnelRequest,
};
use mobility_protocol::{Identity, Lifetime};

use super::octets;

const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 129);
const CARE_OF_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const NO_ADDRESS: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn v1_request_for_a_home_address() {
    request(octets::V1, 47, v1());
}

#[test]
fn v2_reply_with_the_assigned_home_address() {
    reply(
        octets::V2,
        43,
        ReplyCode::ACCEPTED,
        600,
        HOME_ADDRESS,
        0xed00_3780_8000_0001,
        vec![nai()],
    );
}

#[test]
fn v3_reply_to_a_wrong_clock() {
    let code = ReplyCode::IDENTIFICATION_MISMATCH;
    let reply = reply(
        octets::V3,
        43,
        code,
        0,
        NO_ADDRESS,
        0xed00_4590_8000_0001,
        vec![nai()],
    );
    assert!(!reply.code.is_accepted());
    assert_eq!(reply.identification.low(), v1().identification.low());
    assert_eq!(
        reply.identification.seconds_since(v1().identification),
        3600
    );
}

#[test]
fn v4_request_from_behind_a_translator() {
    let expected = RegistrationRequest {
        care_of_address: Ipv4Addr::new(192, 168, 1, 20),
        identification: Identification(0xed00_4591_8000_0002),
        extensions: vec![
            nai(),
            Extension::UdpTunnelRequest(UdpTunnelRequest::default()),
        ]
        .into(),
        ..v1()
    };
    let decoded = request(octets::V4, 55, expected);
    assert_eq!(
        decoded.extensions.udp_tunnel_request(),
        Some(UdpTunnelRequest::default())
    );
}

#[test]
fn v5_reply_that_will_tunnel_in_udp() {
    let answer = UdpTunnelReply {
        code: UdpTunnelReplyCode::WILL_TUNNEL,
        forced: false,
        keepalive_interval: 110,
    };
    let extensions = vec![nai(), Extension::UdpTunnelReply(answer)];
    let decoded = reply(
        octets::V5,
        51,
        ReplyCode::ACCEPTED,
        60,
        HOME_ADDRESS,
        0xed00_4591_8000_0002,
        extensions,
    );
    assert_eq!(decoded.extensions.udp_tunnel_reply(), Some(answer));
    assert!(answer.is_accepted());
}

#[test]
fn v6_keepalive() {
    let octets = hex(octets::V6);
    assert_eq!(TunnelData::split(&octets), Ok((4, &octets[4..])));
    both_ways(
        &octets,
        Message::TunnelData(TunnelData {
            next_header: 4,
            packet: octets[4..].to_vec(),
        }),
    );
}

#[test]
fn v8_deregistration_and_its_reply() {
    let expected = RegistrationRequest {
        lifetime: Lifetime::Zero,
        home_address: HOME_ADDRESS,
        identification: Identification(0xed00_4720_8000_0003),
        ..v1()
    };
    request(octets::V8, 47, expected);
    reply(
        octets::V8R,
        43,
        ReplyCode::ACCEPTED,
        0,
        HOME_ADDRESS,
        0xed00_4720_8000_0003,
        vec![nai()],
    );
}

#[test]
fn v9_revocation_and_its_acknowledgement() {
    let mut revocation = Revocation {
        by_home_agent: true,
        inform: true,
        home_address: HOME_ADDRESS,
        home_domain_address: HOME_AGENT,
        foreign_domain_address: CARE_OF_ADDRESS,
        identifier: 0x6955_cc88,
        extensions: Extensions::new(),
    };
    let octets = hex(octets::V9);
    assert_eq!(revocation.encode(&association()), octets);
    revocation.extensions.push(mobile_home(&octets, 26));
    both_ways(&octets, Message::Revocation(revocation));

    let mut acknowledgement = RevocationAcknowledgement {
        inform: true,
        home_address: HOME_ADDRESS,
        identifier: 0x6955_cc88,
        extensions: Extensions::new(),
    };
    let octets = hex(octets::V9A);
    assert_eq!(acknowledgement.encode(&association()), octets);
    acknowledgement.extensions.push(mobile_home(&octets, 18));
    both_ways(&octets, Message::RevocationAcknowledgement(acknowledgement));
}

#[test]
fn v10_request_of_a_mobile_router() {
    let prefix = Ipv4Addr::new(192, 0, 2, 0);
    let support = RevocationSupport {
        inform: false,
        timestamp: 0x6955_cc88,
    };
    let expected = RegistrationRequest {
        lifetime: seconds(600),
        home_address: HOME_ADDRESS,
        identification: Identification(0xed00_4ef0_8000_0004),
        extensions: vec![
            Extension::MobileNetworkRequest(MobileNetworkRequest {
                prefix_length: 24,
                prefix,
            }),
            opaque(ExtensionType::ROUTE_OPTIMIZATION_CAPABILITY, "01c0"),
            Extension::RevocationSupport(support),
        ]
        .into(),
        ..v1()
    };
    let decoded = request(octets::V10, 50, expected);
    assert_eq!(decoded.extensions.revocation_support(), Some(support));
    assert_eq!(
        decoded.extensions.not_understood(),
        None,
        "153 may be skipped"
    );
}

#[test]
fn v11_reply_to_a_mobile_router() {
    let prefixes =
        "40cb0071821cc000020003666f6f076578616d706c6503636f6d009a098300990584 00".replace(' ', "");
    let extensions = vec![
        Extension::MobileNetworkAcknowledgement(MobileNetworkAcknowledgement {
            explicit: true,
            code: MobileNetworkCode::SUCCESS,
            prefix_length: 24,
            prefix: Ipv4Addr::new(192, 0, 2, 0),
        }),
        opaque(ExtensionType::ROUTE_OPTIMIZATION, "0100"),
        Extension::Opaque(Opaque {
            extension_type: ExtensionType::ROUTE_OPTIMIZATION_DATA,
            content: OpaqueContent::Word {
                subtype: 1,
                data: Octets::new(hex(&prefixes)).unwrap(),
            },
        }),
    ];
    let decoded = reply(
        octets::V11,
        79,
        ReplyCode::ACCEPTED,
        600,
        HOME_ADDRESS,
        0xed00_4ef0_8000_0004,
        extensions,
    );
    assert_eq!(
        decoded.extensions.not_understood(),
        Some(ExtensionType::ROUTE_OPTIMIZATION)
    );
}

#[test]
fn v12_return_routability() {
    let init = |cookie| TestInit { cookie };
    both_ways(
        &hex(octets::V12_HOTI),
        Message::HomeTestInit(init(0xa1a2_a3a4_a5a6_a7a8)),
    );
    both_ways(
        &hex(octets::V12_COTI),
        Message::CareOfTestInit(init(0xb1b2_b3b4_b5b6_b7b8)),
    );
    let home = Test {
        nonce_index: 5,
        cookie: 0xa1a2_a3a4_a5a6_a7a8,
        token: 0x4f97_e4b2_c9e4_3829,
    };
    both_ways(&hex(octets::V12_HOT), Message::HomeTest(home));
    let care_of = Test {
        nonce_index: 6,
        cookie: 0xb1b2_b3b4_b5b6_b7b8,
        token: 0x7b3a_a3c5_360e_d8f0,
    };
    both_ways(&hex(octets::V12_COT), Message::CareOfTest(care_of));
}

#[test]
fn v12e_request_to_a_correspondent_router() {
    let octets = hex(octets::V12E);
    let prefix = Ipv4Addr::new(198, 18, 0, 0);
    let expected = RegistrationRequest {
        lifetime: seconds(600),
        home_address: HOME_ADDRESS,
        identification: Identification(0xed00_52d8_8000_0005),
        extensions: vec![
            Extension::MobileNetworkRequest(MobileNetworkRequest {
                prefix_length: 24,
                prefix,
            }),
            Extension::UdpTunnelRequest(UdpTunnelRequest::default()),
            mobile_correspondent(&octets, 48),
        ]
        .into(),
        ..v1()
    };
    assert_eq!(expected.extensions.mobile_home_authentication(), None);
    both_ways(&octets, Message::RegistrationRequest(expected));
}

#[test]
fn v12f_reply_from_a_correspondent_router() {
    let octets = hex(octets::V12F);
    let expected = RegistrationReply {
        code: ReplyCode::ACCEPTED,
        lifetime: seconds(600),
        home_address: HOME_ADDRESS,
        home_agent: HOME_AGENT,
        identification: Identification(0xed00_52d8_8000_0005),
        extensions: vec![
            Extension::MobileNetworkAcknowledgement(MobileNetworkAcknowledgement {
                explicit: true,
                code: MobileNetworkCode::SUCCESS,
                prefix_length: 24,
                prefix: Ipv4Addr::new(198, 18, 0, 0),
            }),
            Extension::UdpTunnelReply(UdpTunnelReply {
                code: UdpTunnelReplyCode::WILL_TUNNEL,
                forced: false,
                keepalive_interval: 30,
            }),
            opaque(ExtensionType::ROUTE_OPTIMIZATION, "0300c0000282"),
            mobile_correspondent(&octets, 54),
        ]
        .into(),
    };
    both_ways(&octets, Message::RegistrationReply(expected));
}

#[test]
fn v13_redirection_in_both_layouts() {
    let layouts = [
        (octets::V13A, 34, DynamicHomeAgentLayout::Long),
        (octets::V13B, 33, DynamicHomeAgentLayout::Short),
    ];
    for (octets, covered, layout) in layouts {
        let agent = DynamicHomeAgent {
            role: DynamicHomeAgentRole::Redirected,
            address: Ipv4Addr::new(203, 0, 113, 20),
            layout,
        };
        let code = ReplyCode::REDIRECT_HOME_AGENT;
        let extensions = vec![Extension::DynamicHomeAgent(agent)];
        reply(
            octets,
            covered,
            code,
            0,
            NO_ADDRESS,
            0xed00_56c0_8000_0006,
            extensions,
        );
    }
}

#[test]
fn v15_mn_aaa_after_the_mobile_home_authentication() {
    for (octets, spi) in [(octets::V15A, 0x200), (octets::V15B, 2)] {
        let octets = hex(octets);
        let mn_aaa = Authentication {
            kind: AuthenticationKind::Generalized(GeneralizedAuthenticationSubtype::MN_AAA),
            spi,
            authenticator: Octets::new(&octets[71..]).unwrap(),
            covered: 71,
        };
        let mut expected = v1();
        expected.extensions.push(mobile_home(&octets[..63], 47));
        expected
            .extensions
            .push(Extension::Authentication(mn_aaa.clone()));
        assert_eq!(expected.extensions.mn_aaa_authentication(), Some(&mn_aaa));
        both_ways(&octets, Message::RegistrationRequest(expected));

        let association = SecurityAssociation {
            spi: 0x200,
            algorithm: Algorithm::HmacMd5,
            key: Key::new("Jefe").unwrap(),
            replay: ReplayProtection::Timestamps,
        };
        assert_eq!(mn_aaa.is_valid(&association, &octets), spi == 0x200);
    }
}

#[test]
fn v17_an_unknown_extension_is_skipped_but_authenticated() {
    let expected = RegistrationRequest {
        extensions: vec![opaque(ExtensionType(200), "616263")].into(),
        ..v17()
    };
    let decoded = request(octets::V17, 35, expected);

    let mut octets = hex(octets::V17);
    octets[26] = b'x';
    let authentication = decoded.extensions.mobile_home_authentication().unwrap();
    assert!(
        !authentication.is_valid(&association(), &octets),
        "the skipped octets are under the authenticator"
    );

    let mut octets = hex(octets::V17);
    octets[24] = 72;
    let error = Message::decode(&octets).unwrap_err();
    assert_eq!(
        error,
        DecodeError::UnknownNonSkippableExtension {
            extension: ExtensionType(72),
            offset: 24
        }
    );
    assert_eq!(error.reply_code(), None, "dropped silently");
}

#[test]
fn v18_a_lone_padding_octet() {
    request(
        octets::V18,
        31,
        RegistrationRequest {
            extensions: vec![Extension::Padding(1)].into(),
            ..v17()
        },
    );
}

fn v1() -> RegistrationRequest {
    RegistrationRequest {
        flags: RequestFlags::CO_LOCATED,
        lifetime: seconds(1800),
        home_address: NO_ADDRESS,
        home_agent: HOME_AGENT,
        care_of_address: CARE_OF_ADDRESS,
        identification: Identification(0xed00_3780_8000_0001),
        extensions: vec![nai()].into(),
    }
}

/// What V17 and V18 have in common.
fn v17() -> RegistrationRequest {
    RegistrationRequest {
        lifetime: seconds(600),
        home_address: HOME_ADDRESS,
        identification: Identification(0xed00_56c0_8000_0006),
        ..v1()
    }
}

/// Encodes `expected` with an authenticator to `octets` and decodes them to it again.
fn request(octets: &str, covered: usize, mut expected: RegistrationRequest) -> RegistrationRequest {
    let octets = hex(octets);
    assert_eq!(
        hex::encode(expected.encode(&association())),
        hex::encode(&octets)
    );
    expected.extensions.push(mobile_home(&octets, covered));
    check_authentication(&expected.extensions, &octets);
    both_ways(&octets, Message::RegistrationRequest(expected.clone()));
    expected
}

/// Encodes this reply with an authenticator to `octets` and decodes them to it again.
fn reply(
    octets: &str,
    covered: usize,
    code: ReplyCode,
    lifetime: u64,
    home_address: Ipv4Addr,
    identification: u64,
    extensions: Vec<Extension>,
) -> RegistrationReply {
    let mut expected = RegistrationReply {
        code,
        lifetime: if lifetime == 0 {
            Lifetime::Zero
        } else {
            seconds(lifetime)
        },
        home_address,
        home_agent: HOME_AGENT,
        identification: Identification(identification),
        extensions: extensions.into(),
    };
    let octets = hex(octets);
    assert_eq!(
        hex::encode(expected.encode(&association())),
        hex::encode(&octets)
    );
    expected.extensions.push(mobile_home(&octets, covered));
    check_authentication(&expected.extensions, &octets);
    both_ways(&octets, Message::RegistrationReply(expected.clone()));
    expected
}

fn both_ways(octets: &[u8], message: Message) {
    assert_eq!(Message::decode(octets).as_ref(), Ok(&message));
    assert_eq!(hex::encode(message.encode()), hex::encode(octets));
}

fn check_authentication(extensions: &Extensions, octets: &[u8]) {
    let authentication = extensions.mobile_home_authentication().unwrap();
    assert!(authentication.is_valid(&association(), octets));
    assert!(!authentication.is_valid(
        &SecurityAssociation {
            spi: 0x101,
            ..association()
        },
        octets
    ));
    assert!(!authentication.is_valid(
        &SecurityAssociation {
            key: Key::new([0x0c; 16]).unwrap(),
            ..association()
        },
        octets
    ));
    assert!(association().verify(
        &octets[..authentication.covered],
        &authentication.authenticator
    ));
}

/// The Mobile-Home Authentication extension that ends `octets`.
fn mobile_home(octets: &[u8], covered: usize) -> Extension {
    Extension::Authentication(Authentication {
        kind: AuthenticationKind::MobileHome,
        spi: 0x100,
        authenticator: Octets::new(&octets[covered..]).unwrap(),
        covered,
    })
}

/// The Mobile-Correspondent Authentication extension that ends `octets`, checked with the key of
/// the return routability test.
fn mobile_correspondent(octets: &[u8], covered: usize) -> Extension {
    let association = SecurityAssociation {
        spi: 0,
        algorithm: Algorithm::HmacSha1,
        key: Key::from_hex("e7ca7b1d0cc2d952b0dacee4511455b747551dfe").unwrap(),
        replay: ReplayProtection::Timestamps,
    };
    let authenticator = association.authenticator(&octets[..covered]);
    assert_eq!(
        octets[covered..],
        authenticator[..16],
        "the first 16 octets of HMAC-SHA-1"
    );
    Extension::MobileCorrespondentAuthentication(MobileCorrespondentAuthentication {
        home_nonce_index: 5,
        care_of_nonce_index: 6,
        authenticator: Octets::new(&octets[covered..]).unwrap(),
        covered,
    })
}

fn association() -> SecurityAssociation {
    SecurityAssociation {
        spi: 0x100,
        algorithm: Algorithm::HmacMd5,
        key: Key::new([0x0b; 16]).unwrap(),
        replay: ReplayProtection::Timestamps,
    }
}

fn nai() -> Extension {
    Extension::Nai(Identity::new("mn1@example.com").unwrap())
}

fn opaque(extension_type: ExtensionType, data: &str) -> Extension {
    Extension::Opaque(Opaque {
        extension_type,
        content: OpaqueContent::Octet(Octets::new(hex(data)).unwrap()),
    })
}

fn seconds(seconds: u64) -> Lifetime {
    Lifetime::Finite(Duration::from_secs(seconds))
}

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}
