//! What people whom nobody knows cost the home agent machine: those who get a binding in the end, and those who don't.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{HomeAgent, Quotas, Rates};
use mobility_protocol::mobile_node::{Config, Credentials, MobileNode, Usage};
use mobility_protocol::security::{Algorithm, Key, ReplayProtection, SecurityAssociation};
use mobility_protocol::{Datagram, Family, HomeAgentAddress, Identity, Path, Transmit};

use crate::{HOME_AGENT, HOME_AGENT6, UNIX_TIME, count, home_agent, processor_seconds};

/// How many there are: each computation on public keys takes its time.
const STRANGERS: u32 = 10_000;
/// How often each message arrives that leaves nothing.
const TIMES: u32 = 20;
/// Where the authenticator of a message of RFC 5944 under HMAC-SHA-256 begins, from its end.
const AUTHENTICATOR: usize = 32;

/// Prints what they cost, as ratios to one authenticator and to a refresh.
pub(crate) fn measure(now: Instant) {
    let unlimited = Quotas {
        host: u32::MAX,
        site: u32::MAX,
        rates: Rates::UNLIMITED,
        first_lifetime: Duration::from_secs(60),
    };
    let mut agent = home_agent(unlimited, now);
    let mut strangers: Vec<Stranger> = (0..STRANGERS)
        .map(|number| Stranger::asking(number, number, now))
        .collect();
    let first = said(&mut strangers);

    let reference = authenticators_per_second(&first);
    println!("HMAC-SHA-256 over a stranger's first message: {reference:>12.0} /s");
    let refresh = {
        let before = serve_all(&mut agent, &first, now);
        hear_all(&mut strangers, before, now);
        let second = said(&mut strangers);
        let (rate, answers) = timed(&second, |message| serve(&mut agent, message, now));
        println!("agreement on a key, with a binding            {rate:>12.0} /s");
        assert_eq!(count(&agent, "bindings_created"), u64::from(STRANGERS));
        hear_all(&mut strangers, answers, now);

        let later = now + Duration::from_secs(59);
        for stranger in &mut strangers {
            stranger.stays(now, later);
        }
        let refreshes = said(&mut strangers);
        let forged: Vec<Transmit> = refreshes.iter().map(damaged).collect();
        let (forgeries, _) = repeated(&forged, |message| serve(&mut agent, message, later));
        let dropped = count(&agent, "drop_authentication_failed");
        assert_eq!(dropped, u64::from(STRANGERS * TIMES));
        let (refresh, _) = timed(&refreshes, |message| serve(&mut agent, message, later));
        assert_eq!(count(&agent, "bindings_refreshed"), u64::from(STRANGERS));
        tell("refresh under an agreed key", refresh, reference, refresh);
        tell("forged refresh, dropped", forgeries, reference, refresh);
        refresh
    };

    let (challenges, _) = repeated(&first, |message| serve(&mut agent, message, now));
    tell(
        "first message, answered by a challenge",
        challenges,
        reference,
        refresh,
    );

    let before = dropped(&agent);
    let rubbish = rubbish(&first);
    let (rate, _) = repeated(&rubbish, |message| serve(&mut agent, message, now));
    assert_eq!(dropped(&agent) - before, u64::from(STRANGERS * TIMES));
    tell("rubbish, dropped", rate, reference, refresh);

    let (rate, refused) = excess(now);
    assert!(refused >= u64::from(STRANGERS * TIMES / 2), "{refused}");
    tell(
        "second message beyond a host's rate, dropped",
        rate,
        reference,
        refresh,
    );
}

/// All from one host, which gets no more agreements in this second.
fn excess(now: Instant) -> (f64, u64) {
    let mut agent = home_agent(Quotas::default(), now);
    let mut strangers: Vec<Stranger> = (0..STRANGERS)
        .map(|number| Stranger::asking(number, 1, now))
        .collect();
    let first = said(&mut strangers);
    let challenges = serve_all(&mut agent, &first, now);
    hear_all(&mut strangers, challenges, now);
    let second = said(&mut strangers);
    serve_all(&mut agent, &second, now);
    // Without those who got what the host may have.
    let second = &second[second.len() / 2..];
    let (rate, _) = repeated(second, |message| serve(&mut agent, message, now));
    (rate, count(&agent, "drop_too_many_agreements"))
}

/// A mobile node that agrees on a key.
pub(crate) struct Stranger {
    pub(crate) machine: MobileNode,
    care_of: IpAddr,
}

impl Stranger {
    /// With an identity of this number, at the address of this one.
    pub(crate) fn new(identity: u32, address: u32, family: Family, now: Instant) -> Self {
        let name = format!("{identity:032x}@anonymous.invalid");
        let config = Config::new(Identity::new(name).expect("short"));
        let mut seed = [6; 32];
        seed[..4].copy_from_slice(&identity.to_be_bytes());
        Self {
            machine: MobileNode::new(config, seed, now, UNIX_TIME),
            care_of: match family {
                Family::Ipv4 => Ipv4Addr::from(0x6440_0000 + address).into(),
                Family::Ipv6 => {
                    Ipv6Addr::from((0x2001_0db8_0064 << 80) | u128::from(address)).into()
                }
            },
        }
    }

    /// Wants a binding.
    pub(crate) fn asks(&mut self, now: Instant) {
        let agent = home_agent_for(self.care_of);
        let server = match self.care_of {
            IpAddr::V4(_) => IpAddr::from([198, 51, 100, 80]),
            IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0x300, 0, 0, 0, 0, 80]),
        };
        let credentials = Credentials::Agreement { pinned: None };
        self.machine
            .bind(agent, "server.example", &[server], credentials, now)
            .expect("its only one");
        let path = Path {
            care_of: self.care_of.into(),
            interface: 1,
        };
        self.machine.handle_path(agent, Some(path), false, now);
    }

    fn asking(identity: u32, address: u32, now: Instant) -> Self {
        let mut stranger = Self::new(identity, address, Family::Ipv4, now);
        stranger.asks(now);
        stranger
    }

    /// A socket stays open until the binding has to be refreshed.
    fn stays(&mut self, now: Instant, later: Instant) {
        self.is_used(Usage::Sockets, now);
        self.machine.handle_timeout(later);
    }

    /// Its host tells by what the binding is used.
    pub(crate) fn is_used(&mut self, usage: Usage, now: Instant) {
        let agent = home_agent_for(self.care_of);
        self.machine.handle_usage(agent, usage, now);
    }
}

fn home_agent_for(care_of: IpAddr) -> HomeAgentAddress {
    match care_of {
        IpAddr::V4(_) => HOME_AGENT.into(),
        IpAddr::V6(_) => HomeAgentAddress(HOME_AGENT6.into()),
    }
}

/// The next message of each.
fn said(strangers: &mut [Stranger]) -> Vec<Transmit> {
    let next =
        |stranger: &mut Stranger| stranger.machine.poll_transmit().expect("something to say");
    strangers.iter_mut().map(next).collect()
}

fn hear_all(strangers: &mut [Stranger], answers: Vec<Option<Transmit>>, now: Instant) {
    for (stranger, answer) in strangers.iter_mut().zip(answers.into_iter().flatten()) {
        stranger.machine.handle_input(datagram(&answer), now);
    }
}

fn serve_all(agent: &mut HomeAgent, messages: &[Transmit], now: Instant) -> Vec<Option<Transmit>> {
    messages
        .iter()
        .map(|message| serve(agent, message, now))
        .collect()
}

/// One message in, and everything that comes of it out.
pub(crate) fn serve(agent: &mut HomeAgent, message: &Transmit, now: Instant) -> Option<Transmit> {
    agent.handle_input(datagram(message), now);
    while let Some(change) = agent.poll_store_change() {
        black_box(change);
    }
    while let Some(event) = agent.poll_event() {
        black_box(event);
    }
    agent.poll_transmit()
}

pub(crate) fn datagram(message: &Transmit) -> Datagram<'_> {
    Datagram {
        source: message.source,
        destination: message.destination,
        transport: message.transport,
        home_address: None,
        payload: &message.payload,
    }
}

/// How many of these are served in a second, and what comes of each.
fn timed<T>(messages: &[Transmit], serve: impl FnMut(&Transmit) -> T) -> (f64, Vec<T>) {
    let start = processor_seconds();
    let results: Vec<T> = messages.iter().map(serve).collect();
    let rate = results.len() as f64 / (processor_seconds() - start);
    (rate, results)
}

/// The same when all of them arrive again and again.
fn repeated<T>(messages: &[Transmit], mut serve: impl FnMut(&Transmit) -> T) -> (f64, usize) {
    let start = processor_seconds();
    let mut served = 0;
    for _ in 0..TIMES {
        for message in messages {
            black_box(serve(message));
            served += 1;
        }
    }
    (served as f64 / (processor_seconds() - start), served)
}

fn damaged(message: &Transmit) -> Transmit {
    let mut message = message.clone();
    if let Some(last) = message.payload.last_mut() {
        *last ^= 1;
    }
    message
}

/// Octets of nothing in particular, as many as in these messages.
fn rubbish(messages: &[Transmit]) -> Vec<Transmit> {
    let mut state = 1_u32;
    let mut octet = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let of_the_same_size = |message: &Transmit| Transmit {
        payload: (0..message.payload.len()).map(&mut octet).collect(),
        ..message.clone()
    };
    messages.iter().map(of_the_same_size).collect()
}

/// All drops together.
fn dropped(agent: &HomeAgent) -> u64 {
    let counters = agent.counters();
    let drops = counters
        .iter()
        .filter(|(name, _)| name.starts_with("drop_"));
    drops.map(|(_, count)| count).sum()
}

fn authenticators_per_second(messages: &[Transmit]) -> f64 {
    let association = SecurityAssociation {
        spi: 256,
        algorithm: Algorithm::HmacSha256,
        key: Key::new([1; 32]).expect("long enough"),
        replay: ReplayProtection::Timestamps,
    };
    let (rate, _) = repeated(messages, |message| {
        let authenticator = [0; AUTHENTICATOR];
        association.verify(black_box(&message.payload), &authenticator)
    });
    rate
}

fn tell(what: &str, rate: f64, authenticators: f64, refreshes: f64) {
    println!(
        "{what:<45} {rate:>12.0} /s   {:.2} of HMAC alone, {:.2} of a refresh",
        rate / authenticators,
        rate / refreshes
    );
}
