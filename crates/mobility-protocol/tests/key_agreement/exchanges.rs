//! The exchanges of docs/security.md: a first contact in each family, octet by octet, and what becomes of
//! elements that are strange.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mobility_protocol::home_agent::Quotas;
use mobility_protocol::security::{
    Claimant, Cookie, HomeAgentSecret, KeyPair, PublicKey, SecurityAssociation,
};
use mobility_protocol::wire::{KeyAgreement, mip4, mip6};
use mobility_protocol::{Family, Lifetime, Reachability, Transmit, Transport};

use crate::world::{NEW_YEAR, SEED, World, address, families, home_agent, identity};

/// What differs between the two requests.
struct Saying {
    /// When it is said, by the mobile node's clock, after the year has begun.
    at: Duration,
    number: u16,
    elements: Vec<KeyAgreement>,
    association: SecurityAssociation,
}

#[test]
fn the_documented_exchanges_are_these() {
    families(|family| {
        let [first, challenge, second, acceptance] = documented(family);
        let [asking, echoing] = sayings(family);
        let requests = [request(family, &asking), request(family, &echoing)];
        assert_eq!(hex::encode(&requests[0]), first, "{family}");
        assert_eq!(hex::encode(&requests[1]), second, "{family}");

        let mut world = world(family);
        let answers = requests.map(|request| answers(&mut world, family, request).remove(0));
        assert_eq!(hex::encode(&answers[0]), challenge, "{family}");
        assert_eq!(hex::encode(&answers[1]), acceptance, "{family}");
        assert_eq!(world.agent.bindings(world.now).count(), 1);
    });
}

#[test]
fn our_mobile_node_says_what_the_document_says() {
    families(|family| {
        let mut world = world(family);
        world.bind(None);
        let asking = world.sent().remove(0);
        let challenge = world.answers(&asking, asking.source).remove(0);
        world.deliver(&challenge);
        let echoing = world.sent().remove(0);
        let [first, _, second, _] = documented(family);
        for (sent, documented) in [(asking, first), (echoing, second)] {
            let documented = hex::decode(documented).unwrap();
            assert_eq!(shape(family, &sent.payload), shape(family, &documented));
        }
    });
}

#[test]
fn the_first_element_of_a_kind_counts() {
    families(|family| {
        let [_, mut echoing] = sayings(family);
        let other = KeyAgreement::KeyShare(KeyPair::new([2; 32]).public());
        let elements = echoing.elements.clone();
        echoing.elements.extend([other, NO_COOKIE]);
        let mut after = world(family);
        answers(&mut after, family, request(family, &echoing));
        assert_eq!(after.drops("bindings_created"), 1);

        echoing.elements = [other, NO_COOKIE].into_iter().chain(elements).collect();
        let mut before = world(family);
        answers(&mut before, family, request(family, &echoing));
        assert_eq!(before.drops("bindings_created"), 0);
        assert_eq!(before.drops("challenges"), 1);
    });
}

#[test]
fn a_challenge_has_what_the_request_had() {
    families(|family| {
        let [asking, mut echoing] = sayings(family);
        let mut world = world(family);
        let kinds = |answer: &[u8]| {
            let marks = answer
                .windows(4)
                .filter(|octets| octets.starts_with(b"CHA"));
            // The published SPI looks like one of kind 0.
            let kinds = marks.map(|octets| octets[3]);
            kinds.filter(|kind| *kind != 0).collect::<Vec<_>>()
        };
        let mut asked = request(family, &asking);
        // Nobody looks at the authenticator of a stranger.
        if family == Family::Ipv4 {
            *asked.last_mut().unwrap() ^= 1;
        }
        assert_eq!(kinds(&answers(&mut world, family, asked)[0]), [1, 2]);
        echoing.elements = vec![NO_COOKIE];
        let asked = request(family, &echoing);
        assert_eq!(kinds(&answers(&mut world, family, asked)[0]), [2]);
    });
}

#[test]
fn a_key_share_that_anybody_could_have_is_not_answered() {
    families(|family| {
        let secret = HomeAgentSecret::from_seed(&SEED);
        let share = PublicKey([0; 32]);
        let claimant = Claimant {
            home_agent: home_agent(family).ip(),
            source: address(family, 7),
            spi: share.spi(),
            identity: &identity(),
        };
        let [mut asking, mut echoing] = sayings(family);
        let cookie = secret.cookie(&claimant, NEW_YEAR);
        asking.elements = vec![KeyAgreement::KeyShare(share), NO_COOKIE];
        echoing.elements = vec![KeyAgreement::KeyShare(share), KeyAgreement::Cookie(cookie)];
        echoing.association.spi = share.spi();
        let mut world = world(family);
        let [asked, echoed] = [asking, echoing].map(|saying| request(family, &saying));
        assert_eq!(answers(&mut world, family, asked).len(), 1);
        assert_eq!(answers(&mut world, family, echoed).len(), 0);
        assert_eq!(world.drops("drop_authentication_failed"), 1);
    });
}

#[test]
fn a_cookie_counts_beside_a_token() {
    families(|family| {
        for (with_cookie, reachability) in [
            (false, Reachability::Unproven),
            (true, Reachability::Proven),
        ] {
            let [asking, mut echoing] = sayings(family);
            let secret = HomeAgentSecret::from_seed(&SEED);
            let claimant = Claimant {
                home_agent: home_agent(family).ip(),
                source: address(family, 7),
                spi: echoing.association.spi,
                identity: &identity(),
            };
            if !with_cookie {
                echoing.elements = asking.elements;
            }
            let token = KeyAgreement::ResumptionToken(secret.token(&claimant, NEW_YEAR));
            echoing.elements.push(token);
            let mut world = world(family);
            answers(&mut world, family, request(family, &echoing));
            let binding = world.agent.bindings(world.now).next().unwrap();
            assert_eq!(binding.reachability, reachability);
        }
    });
}

const NO_COOKIE: KeyAgreement = KeyAgreement::Cookie(Cookie::NONE);

fn world(family: Family) -> World {
    World::with(family, |config| config.quotas = Quotas::default())
}

fn sayings(family: Family) -> [Saying; 2] {
    let secret = HomeAgentSecret::from_seed(&SEED);
    let pair = KeyPair::new([1; 32]);
    let (at, identity) = (home_agent(family).ip(), identity());
    let agreed = pair
        .with_home_agent(&secret.public(), at, &identity)
        .unwrap();
    let claimant = Claimant {
        home_agent: at,
        source: address(family, 7),
        spi: agreed.spi,
        identity: &identity,
    };
    let cookie = secret.cookie(&claimant, NEW_YEAR);
    let share = KeyAgreement::KeyShare(pair.public());
    [
        Saying {
            at: Duration::from_millis(250),
            number: 1,
            elements: vec![share, NO_COOKIE],
            association: SecurityAssociation::open_mode(),
        },
        Saying {
            at: Duration::from_millis(500),
            number: 2,
            elements: vec![share, KeyAgreement::Cookie(cookie)],
            association: agreed,
        },
    ]
}

fn request(family: Family, saying: &Saying) -> Vec<u8> {
    let (care_of, at) = (address(family, 7), home_agent(family).ip());
    let time = mip4::Identification::from_unix(NEW_YEAR + saying.at);
    let elements = saying.elements.iter().copied();
    match (care_of, at) {
        (IpAddr::V4(care_of_address), IpAddr::V4(home_agent)) => {
            let offer = mip4::UdpTunnelRequest {
                force: false,
                registration_through_foreign_agent: false,
                encapsulation: 0,
            };
            let mut extensions = mip4::Extensions::new();
            extensions.push(mip4::Extension::Nai(identity()));
            extensions.push(mip4::Extension::UdpTunnelRequest(offer));
            for element in elements {
                extensions.push(mip4::Extension::KeyAgreement(element));
            }
            let request = mip4::RegistrationRequest {
                flags: mip4::RequestFlags::CO_LOCATED,
                lifetime: Lifetime::Infinite,
                home_address: Ipv4Addr::UNSPECIFIED,
                home_agent,
                care_of_address,
                identification: time,
                extensions,
            };
            request.encode(&saying.association)
        }
        (IpAddr::V6(care_of_address), IpAddr::V6(home_agent)) => {
            let addresses = mip6::BindingAddresses {
                home_address: Ipv6Addr::UNSPECIFIED,
                care_of_address,
            };
            let mut options = mip6::Options::new();
            let name = mip6::MobileNodeIdentifier::nai(&identity()).unwrap();
            let before = [
                mip6::MobilityOption::AlternateCareOfAddress(care_of_address),
                mip6::MobilityOption::HomeNetworkPrefix(mip6::NetworkPrefix::REQUEST),
                mip6::MobilityOption::MobileNodeIdentifier(name),
                mip6::MobilityOption::ReplayProtection(time),
            ];
            for option in before
                .into_iter()
                .chain(elements.map(mip6::MobilityOption::KeyAgreement))
            {
                options.push(option).unwrap();
            }
            let update = mip6::BindingUpdate {
                sequence: mip6::SequenceNumber(saying.number),
                flags: mip6::UpdateFlags::HOME,
                lifetime: Lifetime::Infinite,
                options,
            };
            let pseudo_header = mip6::PseudoHeader {
                source: care_of_address,
                destination: home_agent,
            };
            update.encode(&saying.association, &addresses, &pseudo_header)
        }
        _ => unreachable!("addresses of two families"),
    }
}

fn answers(world: &mut World, family: Family, payload: Vec<u8>) -> Vec<Vec<u8>> {
    let sent = Transmit {
        source: address(family, 7),
        interface: None,
        destination: home_agent(family).ip(),
        transport: match family {
            Family::Ipv4 => Transport::Udp { port: 434 },
            Family::Ipv6 => Transport::MobilityHeader,
        },
        home_address: None,
        payload,
    };
    let answers = world.answers(&sent, sent.source).into_iter();
    answers.map(|answer| answer.payload).collect()
}

/// Its flags, and which extensions or options it has, how long they are, and in which order.
fn shape(family: Family, message: &[u8]) -> Vec<(u8, usize)> {
    let (mut at, mut shape) = match family {
        Family::Ipv4 => (24, vec![(message[1], 0)]),
        Family::Ipv6 => (12, vec![(message[8], 0)]),
    };
    while let Some(kind) = message.get(at).copied() {
        // A single octet of padding has no length.
        let length = match kind {
            0 => 0,
            _ => 1 + usize::from(message[at + 1]),
        };
        shape.push((kind, length));
        at += 1 + length;
    }
    shape
}

/// The four messages the document has for a family, in hexadecimal: under a line for each that is not
/// indented, lines that are, with what they mean behind three blanks.
fn documented(family: Family) -> [String; 4] {
    let text = include_str!("../../../../docs/security.md");
    let (_, text) = text
        .split_once(&format!("#### A first contact over {family}\n"))
        .unwrap();
    let (_, text) = text.split_once("```text\n").unwrap();
    let (block, _) = text.split_once("```").unwrap();
    let mut messages = Vec::<String>::new();
    for line in block.lines() {
        match line.strip_prefix("  ") {
            None => messages.push(String::new()),
            Some(line) => {
                let octets = line.split("   ").next().unwrap_or_default();
                let message = messages.last_mut().unwrap();
                message.extend(octets.chars().filter(|digit| *digit != ' '));
            }
        }
    }
    messages.try_into().unwrap()
}
