//! Mobile IPv6: what is sent, by which transport, and what is believed.

use std::net::Ipv6Addr;

use super::*;
use crate::security::{Algorithm, Key};
use crate::wire::mip6::iana::BindingErrorStatus;
use crate::wire::mip6::{
    self, AcknowledgementFlags, BindingAcknowledgement, BindingAddresses, BindingError,
    BindingRefreshRequest, BindingUpdate, MobileNodeIdentifier, MobilityOption, NetworkPrefix,
    Options, Packet, SequenceNumber, Status, UpdateFlags,
};
use crate::{Encapsulation, Transport};

const AGENT_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
const HOME_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 1, 0, 0, 0, 0xa1);
const SERVER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, 5);
const NATIVE: Transport = Transport::MobilityHeader;
const UDP: Transport = Transport::Udp { port: 4191 };

fn care_of(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100 + n, 0, 0, 0, 0, 7)
}

fn path_6(n: u16) -> Path {
    Path {
        care_of: care_of(n).into(),
        interface: n.into(),
    }
}

fn key() -> SecurityAssociation {
    SecurityAssociation {
        spi: 256,
        algorithm: Algorithm::HmacSha1,
        key: Key::new([7; 16]).unwrap_or_else(|_| unreachable!("sixteen octets")),
    }
}

/// An update that left.
#[derive(Debug)]
struct Left {
    at: Duration,
    transport: Transport,
    update: BindingUpdate,
    addresses: BindingAddresses,
}

/// The mobile node and its host.
struct Laptop6 {
    node: MobileNode,
    association: SecurityAssociation,
    begin: Instant,
    now: Instant,
    left: Vec<Left>,
    events: Vec<Event>,
    tunnels: BTreeMap<HomeAddress, Tunnel>,
}

impl Laptop6 {
    fn new(association: SecurityAssociation) -> Self {
        let begin = Instant::now();
        let mut laptop = Self {
            node: MobileNode::new(Config::new(identity()), [7; 32], begin, NEW_YEAR),
            association,
            begin,
            now: begin,
            left: Vec::new(),
            events: Vec::new(),
            tunnels: BTreeMap::new(),
        };
        laptop.bind();
        laptop.path(1, true);
        laptop
    }

    fn active() -> Self {
        let mut laptop = Self::new(SecurityAssociation::open_mode());
        laptop.accept(0);
        laptop.act(|node, now| node.handle_usage(AGENT_6.into(), Usage::Sockets, now));
        laptop.left.clear();
        laptop.events.clear();
        laptop
    }

    fn bind(&mut self) {
        let association = self.association.clone();
        let bound = self.act(|node, now| {
            let correspondents = [SERVER_6.into()];
            node.bind(
                AGENT_6.into(),
                "server.example",
                &correspondents,
                association,
                now,
            )
        });
        assert_eq!(bound, Ok(()));
    }

    fn path(&mut self, n: u16, usable: bool) {
        self.act(|node, now| node.handle_path(AGENT_6.into(), Some(path_6(n)), usable, now));
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut MobileNode, Instant) -> T) -> T {
        let result = act(&mut self.node, self.now);
        loop {
            self.drain_transmits();
            let Some(event) = self.node.poll_event() else {
                return result;
            };
            match event {
                Event::Dataplane(DataplaneChange::Install(tunnel)) => {
                    self.tunnels.insert(tunnel.home_address, tunnel);
                }
                Event::Dataplane(DataplaneChange::Remove(home_address)) => {
                    self.tunnels.remove(&home_address);
                }
                Event::CheckUsage { agent, .. } => {
                    self.node.handle_usage(agent, Usage::Sockets, self.now);
                }
                Event::SnapshotChanged => {}
                event @ (Event::Active { .. }
                | Event::Failed { .. }
                | Event::Moved { .. }
                | Event::Lost { .. }
                | Event::Released { .. }) => self.events.push(event),
            }
        }
    }

    fn drain_transmits(&mut self) {
        while let Some(transmit) = self.node.poll_transmit() {
            let IpAddr::V6(source) = transmit.source else {
                unreachable!("{transmit:?}")
            };
            assert_eq!(transmit.destination, IpAddr::from(AGENT_6));
            assert_eq!(transmit.home_address, None);
            let packet = match transmit.transport {
                Transport::MobilityHeader => Packet {
                    source,
                    destination: AGENT_6,
                    home_address: None,
                    routing_address: None,
                    message: &transmit.payload,
                },
                Transport::Udp { .. } => Packet::decode(&transmit.payload)
                    .unwrap_or_else(|error| unreachable!("{error}")),
            };
            assert_eq!((packet.source, packet.home_address), (source, None));
            let Ok(mip6::Message::BindingUpdate(update)) = packet.message() else {
                unreachable!("not an update: {transmit:?}")
            };
            let addresses = update
                .addresses(&packet)
                .unwrap_or_else(|error| unreachable!("{error}"));
            assert_eq!(addresses.care_of_address, source);
            let authentication = update
                .options
                .mn_ha_authentication()
                .unwrap_or_else(|| unreachable!("{update:?}"));
            assert!(authentication.is_valid(&self.association, &addresses, packet.message));
            assert_eq!(update.flags, UpdateFlags::HOME);
            assert_eq!(update.options.nai(), Some(identity()));
            self.left.push(Left {
                at: self.now - self.begin,
                transport: transmit.transport,
                update,
                addresses,
            });
        }
    }

    fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            match self.node.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.act(MobileNode::handle_timeout);
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        unreachable!("timers do not stop: {:?}", self.node);
    }

    /// The n-th update not looked at yet is accepted with the usual address, for 600 seconds.
    fn accept(&mut self, n: usize) {
        self.answer(n, Status::ACCEPTED, |_| {});
    }

    /// The acknowledgement an obliging home agent would give, after `change`.
    fn answer(
        &mut self,
        n: usize,
        status: Status,
        change: impl FnOnce(&mut BindingAcknowledgement),
    ) {
        let Left {
            transport,
            update,
            addresses,
            ..
        } = &self.left[n];
        let mut addresses = *addresses;
        let identifier =
            MobileNodeIdentifier::nai(&identity()).map(MobilityOption::MobileNodeIdentifier);
        let mut options: Vec<_> = identifier.into_iter().collect();
        if status.is_accepted() {
            addresses.home_address = HOME_6;
            let prefix = NetworkPrefix::of_address(HOME_6);
            options.push(MobilityOption::HomeNetworkPrefix(prefix));
        }
        let timestamp = update.options.replay_protection();
        options.extend(timestamp.map(MobilityOption::ReplayProtection));
        let mut answer = BindingAcknowledgement {
            status,
            flags: AcknowledgementFlags::NONE,
            sequence: update.sequence,
            lifetime: match update.lifetime {
                Lifetime::Zero => Lifetime::Zero,
                Lifetime::Finite(_) | Lifetime::Infinite => Lifetime::Finite(seconds(600)),
            },
            options: Options::try_from(options).unwrap_or_else(|_| unreachable!("few")),
        };
        change(&mut answer);
        let (transport, association) = (*transport, self.association.clone());
        let destination = addresses.care_of_address;
        self.deliver(transport, destination, |packet| {
            answer.encode(&association, &addresses, &packet.pseudo_header())
        });
    }

    /// A message of the home agent.
    fn deliver(
        &mut self,
        transport: Transport,
        destination: Ipv6Addr,
        encode: impl FnOnce(&Packet<'_>) -> Vec<u8>,
    ) {
        let packet = Packet {
            source: AGENT_6,
            destination,
            home_address: None,
            routing_address: None,
            message: &[],
        };
        let message = encode(&packet);
        let payload = match transport {
            Transport::MobilityHeader => message,
            Transport::Udp { .. } => Packet {
                message: &message,
                ..packet
            }
            .encode(),
        };
        self.receive(transport, destination, &payload);
    }

    fn receive(&mut self, transport: Transport, destination: Ipv6Addr, payload: &[u8]) {
        self.act(|node, now| {
            let datagram = Datagram {
                source: AGENT_6.into(),
                destination: destination.into(),
                transport,
                home_address: None,
                payload,
            };
            node.handle_input(datagram, now);
        });
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.node.counters();
        counters
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, count)| *count)
    }

    fn transports(&self) -> Vec<(u64, Transport)> {
        let at = |left: &Left| (left.at.as_secs(), left.transport);
        self.left.iter().map(at).collect()
    }

    fn state(&self) -> Option<BindingState> {
        let views = self.node.bindings(self.now);
        views.first().map(|view| view.state)
    }
}

#[test]
fn a_home_address_is_asked_for_natively_and_carried() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    let left = &laptop.left[0];
    assert_eq!(left.transport, NATIVE);
    assert_eq!(left.addresses.home_address, Ipv6Addr::UNSPECIFIED);
    assert_eq!(
        left.update.options.home_address(),
        Some(Ipv6Addr::UNSPECIFIED)
    );
    assert_eq!(left.update.options.replay_protection(), None);
    laptop.accept(0);
    let tunnel = &laptop.tunnels[&HOME_6.into()];
    assert_eq!(tunnel.endpoints.local, IpAddr::from(care_of(1)));
    assert_eq!(tunnel.endpoints.remote, IpAddr::from(AGENT_6));
    assert_eq!(tunnel.encapsulation, Encapsulation::Ip6InIp6);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.counter("reply_status_0"), 1);
}

#[test]
fn every_update_has_a_later_number() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(40));
    let numbers: Vec<_> = laptop
        .left
        .iter()
        .map(|left| left.update.sequence)
        .collect();
    assert!(numbers.len() > 4);
    for pair in numbers.windows(2) {
        assert!(pair[1].is_after(pair[0]));
    }
}

#[test]
fn where_nothing_comes_back_messages_go_in_udp_and_later_back() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(2));
    assert_eq!(laptop.transports(), [(0, NATIVE), (1, UDP)]);
    laptop.accept(1);
    laptop.act(|node, now| node.handle_usage(AGENT_6.into(), Usage::Sockets, now));
    assert_eq!(laptop.node.bindings(laptop.now)[0].transport, UDP);
    laptop.left.clear();

    // A move is told where it was heard last; a refresh has the time to try.
    laptop.path(2, false);
    assert_eq!(laptop.left[0].transport, UDP);
    laptop.accept(0);
    laptop.left.clear();
    laptop.advance(seconds(481));
    assert_eq!(laptop.left[0].transport, NATIVE);
    assert_eq!(laptop.left[1].transport, UDP);
    laptop.accept(1);
    laptop.left.clear();
    laptop.advance(seconds(480));
    assert_eq!(laptop.left[0].transport, NATIVE);
    laptop.accept(0);
    laptop.left.clear();
    laptop.path(3, false);
    assert_eq!(laptop.left[0].transport, NATIVE, "it works again");
}

#[test]
fn a_number_out_of_the_window_is_followed_by_the_next_one_at_once() {
    let mut laptop = Laptop6::active();
    laptop.path(2, false);
    let used = laptop.left[0].update.sequence;
    let told = SequenceNumber(used.0.wrapping_add(20_000));
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.sequence = SequenceNumber(used.0.wrapping_sub(9));
    });
    assert_eq!(laptop.left.len(), 1, "an answer to something earlier");
    assert_eq!(laptop.counter("drop_stale_reply"), 1);
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.sequence = told;
    });
    assert_eq!(laptop.left.len(), 2);
    assert_eq!(laptop.left[1].update.sequence, told.next());
    assert_eq!(laptop.left[1].at, laptop.left[0].at);
    assert_eq!(laptop.left[1].transport, NATIVE, "it was heard there");
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
    assert_eq!(laptop.counter("resynchronisations"), 1);
}

#[test]
fn a_number_from_a_stranger_who_does_not_know_us_is_ignored() {
    let mut laptop = Laptop6::active();
    laptop.path(2, false);
    laptop.answer(0, Status::SEQUENCE_OUT_OF_WINDOW, |answer| {
        answer.options = Options::new();
    });
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.counter("drop_identity_missing"), 1);
}

#[test]
fn a_key_brings_timestamps_and_follows_the_home_agents_clock() {
    let mut laptop = Laptop6::new(key());
    let sent = laptop.left[0].update.options.replay_protection();
    let sent = sent.unwrap_or_else(|| unreachable!("there is a key"));
    assert_eq!(sent.high(), Identification::from_unix(NEW_YEAR).high());

    let ahead = Identification::from_unix(NEW_YEAR + seconds(3600)).high();
    let said = |timestamp: Identification| {
        move |answer: &mut BindingAcknowledgement| {
            let replace = |option: &MobilityOption| {
                if let MobilityOption::ReplayProtection(_) = option {
                    MobilityOption::ReplayProtection(timestamp)
                } else {
                    option.clone()
                }
            };
            answer.options =
                Options::try_from(answer.options.iter().map(replace).collect::<Vec<_>>())
                    .unwrap_or_else(|_| unreachable!("as many"));
        }
    };
    laptop.answer(0, Status::ACCEPTED, said(sent.with_high(ahead)));
    assert_eq!(laptop.counter("drop_timestamp_mismatch"), 1);
    assert_eq!(laptop.state(), Some(BindingState::Registering));

    laptop.answer(
        0,
        Status::IDENTIFICATION_MISMATCH,
        said(sent.with_high(ahead)),
    );
    assert_eq!(laptop.left.len(), 2);
    let corrected = laptop.left[1].update.options.replay_protection();
    assert_eq!(corrected.map(Identification::high), Some(ahead));
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn refusals_have_their_consequences() {
    let mut laptop = Laptop6::active();
    laptop.advance(seconds(481));
    laptop.answer(0, Status::INSUFFICIENT_RESOURCES, |_| {});
    assert_eq!(laptop.state(), Some(BindingState::Active), "it stands");
    laptop.advance(seconds(40));
    let last = laptop.left.len() - 1;
    laptop.answer(last, Status::NOT_HOME_AGENT, |_| {});
    assert!(laptop.tunnels.is_empty(), "it does not");
    let begun_anew = laptop.left.last().map(|left| left.addresses.home_address);
    assert_eq!(begun_anew, Some(Ipv6Addr::UNSPECIFIED));

    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.answer(0, Status::ADMINISTRATIVELY_PROHIBITED, |_| {});
    let refusal = Refusal {
        code: 129,
        name: Status::ADMINISTRATIVELY_PROHIBITED.name(),
    };
    let failed = Event::Failed {
        agent: AGENT_6.into(),
        reason: FailureReason::Refused(refusal),
    };
    assert_eq!(laptop.events, [failed]);
}

#[test]
fn a_refresh_request_is_heeded_but_not_again_and_again() {
    let mut laptop = Laptop6::active();
    let request = |laptop: &mut Laptop6| {
        let request = BindingRefreshRequest {
            options: Options::new(),
        };
        laptop.deliver(NATIVE, care_of(1), |packet| {
            request.encode(&packet.pseudo_header())
        });
    };
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.left[0].addresses.home_address, HOME_6);
    laptop.accept(0);
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 1);
    assert_eq!(laptop.counter("drop_too_often"), 1);
    laptop.advance(seconds(20));
    request(&mut laptop);
    assert_eq!(laptop.left.len(), 2);
    assert_eq!(laptop.counter("refresh_requests"), 2);
}

#[test]
fn who_does_not_understand_is_tried_in_udp_at_once() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    let error = |laptop: &mut Laptop6| {
        let error = BindingError {
            status: BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE,
            home_address: Ipv6Addr::UNSPECIFIED,
            options: Options::new(),
        };
        laptop.deliver(NATIVE, care_of(1), |packet| {
            error.encode(&packet.pseudo_header())
        });
    };
    error(&mut laptop);
    assert_eq!(laptop.transports(), [(0, NATIVE), (0, UDP)]);
    for _ in 0..10 {
        error(&mut laptop);
    }
    assert!(laptop.left.len() <= 3, "anybody may say so");
    assert_eq!(laptop.counter("binding_errors"), 11);
    laptop.accept(1);
    assert_eq!(laptop.state(), Some(BindingState::Active));
}

#[test]
fn no_octet_of_an_acknowledgement_can_be_changed() {
    for transport in [NATIVE, UDP] {
        let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
        let mut good = Vec::new();
        let addresses = BindingAddresses {
            home_address: HOME_6,
            care_of_address: care_of(1),
        };
        let prefix = NetworkPrefix::of_address(HOME_6);
        let answer = BindingAcknowledgement {
            status: Status::ACCEPTED,
            flags: AcknowledgementFlags::NONE,
            sequence: laptop.left[0].update.sequence,
            lifetime: Lifetime::Finite(seconds(600)),
            options: Options::try_from(vec![MobilityOption::HomeNetworkPrefix(prefix)])
                .unwrap_or_else(|_| unreachable!("one")),
        };
        let mut packet = Packet {
            source: AGENT_6,
            destination: care_of(1),
            home_address: None,
            routing_address: None,
            message: &[],
        };
        let open = SecurityAssociation::open_mode();
        let message = answer.encode(&open, &addresses, &packet.pseudo_header());
        packet.message = &message;
        good.extend(match transport {
            Transport::MobilityHeader => message.clone(),
            Transport::Udp { .. } => packet.encode(),
        });
        // What of an IPv6 header nothing protects.
        let unprotected =
            |bit: usize| transport == UDP && ((4..32).contains(&bit) || (56..64).contains(&bit));
        for bit in (0..good.len() * 8).filter(|bit| !unprotected(*bit)) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (7 - bit % 8);
            laptop.receive(transport, care_of(1), &bad);
        }
        for length in 0..good.len() {
            laptop.receive(transport, care_of(1), &good[..length]);
        }
        assert_eq!(laptop.state(), Some(BindingState::Registering));
        let before = laptop.counter("drop_unexpected_source");
        laptop.receive(Transport::Udp { port: 9 }, care_of(1), &good);
        assert_eq!(laptop.counter("drop_unexpected_source"), before + 1);
        laptop.receive(transport, care_of(1), &good);
        assert_eq!(laptop.state(), Some(BindingState::Active), "{transport}");
    }
}

#[test]
fn a_restart_goes_on_with_later_numbers_in_the_transport_that_worked() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    laptop.advance(seconds(2));
    laptop.accept(1);
    let stored = laptop.node.snapshot(laptop.now);
    let text = serde_json::to_string(&stored).unwrap_or_else(|error| unreachable!("{error}"));
    let stored: Vec<StoredBinding> =
        serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let last = laptop.left[1].update.sequence;
    laptop.left.clear();
    laptop.node = MobileNode::new(
        Config::new(identity()),
        [8; 32],
        laptop.now,
        NEW_YEAR + (laptop.now - laptop.begin),
    );
    let open = SecurityAssociation::open_mode();
    laptop.act(|node, now| {
        node.restore(stored.into_iter().map(|stored| (stored, open.clone())), now);
    });
    laptop.path(1, true);
    assert_eq!(laptop.left[0].transport, UDP);
    assert!(laptop.left[0].update.sequence.is_after(last));
    assert_eq!(laptop.left[0].addresses.home_address, HOME_6);
}

#[test]
fn a_new_life_without_memory_begins_behind_the_former_one() {
    let mut laptop = Laptop6::new(SecurityAssociation::open_mode());
    for n in 2..12 {
        laptop.path(n, false);
        laptop.advance(Duration::from_millis(200));
    }
    let former = laptop.left.last().map(|left| left.update.sequence);
    let elapsed = laptop.now - laptop.begin;
    let config = Config::new(identity());
    laptop.node = MobileNode::new(config, [8; 32], laptop.now, NEW_YEAR + elapsed + seconds(1));
    laptop.bind();
    laptop.path(1, true);
    let begun = laptop.left.last().map(|left| left.update.sequence);
    assert!(
        begun
            .zip(former)
            .is_some_and(|(begun, former)| begun.is_after(former))
    );
}

#[test]
fn a_snapshot_of_an_earlier_version_is_taken_up() {
    let text = r#"[{"agent":"203.0.113.10","signalling":"203.0.113.10","tunnel_end":"203.0.113.10",
        "home_address":"203.0.113.129","care_of":"198.51.1.7","interface":1,
        "names":{"server.example":["192.0.2.80"]},"since":{"secs":1767225000,"nanos":0},
        "expires":{"secs":1767226200,"nanos":0},"clock_offset":0,"identification":1}]"#;
    let stored: Vec<StoredBinding> =
        serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}"));
    assert_eq!((stored[0].sequence, stored[0].transport), (None, None));
    let mut laptop = Laptop::new();
    let open = SecurityAssociation::open_mode();
    laptop.act(|node, now| {
        node.restore(stored.into_iter().map(|stored| (stored, open.clone())), now);
    });
    assert_eq!(laptop.state(), Some(BindingState::Moving));
}

#[test]
fn each_family_has_a_binding_of_its_own() {
    let mut laptop = Laptop6::active();
    let open = SecurityAssociation::open_mode();
    let bound = laptop.node.bind(
        agent(),
        "server.example",
        &[SERVER.into()],
        open.clone(),
        laptop.now,
    );
    assert_eq!(bound, Ok(()));
    assert_eq!(laptop.node.agents().len(), 2);
    let other = laptop
        .node
        .bind(agent(), "x.example", &[SERVER_6.into()], open, laptop.now);
    assert_eq!(other, Err(BindError::NoCorrespondent));
    laptop
        .node
        .handle_path(agent(), Some(path_6(1)), false, laptop.now);
    assert_eq!(
        laptop.node.poll_transmit(),
        None,
        "a path of the other family is none"
    );
}

#[test]
fn an_identity_too_long_for_ipv6_is_refused_there_alone() {
    let identity = Identity::new([b'a'; 255]).unwrap_or_else(|_| unreachable!("just short enough"));
    let now = Instant::now();
    let mut node = MobileNode::new(Config::new(identity), [7; 32], now, NEW_YEAR);
    let open = SecurityAssociation::open_mode;
    assert_eq!(
        node.bind(AGENT_6.into(), "x.example", &[SERVER_6.into()], open(), now),
        Err(BindError::LongIdentity(255))
    );
    assert_eq!(
        node.bind(agent(), "x.example", &[SERVER.into()], open(), now),
        Ok(())
    );
}
