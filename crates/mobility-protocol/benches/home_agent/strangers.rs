//! What people whom nobody knows cost the home agent machine: those who get a binding in the end, and those who don't.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{HomeAgent, Quotas, Rates};
use mobility_protocol::mobile_node::{Config, Credentials, MobileNode, Usage};
use mobility_protocol::security::{Algorithm, Key, SecurityAssociation};
use mobility_protocol::{Datagram, HomeAgentAddress, Identity, Path, Transmit};

use crate::{HOME_AGENT, UNIX_TIME, count, home_agent};

/// How many there are: each computation on public keys takes its time.
const STRANGERS: u32 = 2_000;
/// How often each message arrives that leaves nothing.
const TIMES: u32 = 100;
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
        .map(|number| Stranger::new(number, Ipv4Addr::from(0x6440_0000 + number), now))
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
    assert!(refused >= u64::from(STRANGERS * TIMES), "{refused}");
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
        .map(|number| Stranger::new(number, Ipv4Addr::new(100, 64, 0, 1), now))
        .collect();
    let first = said(&mut strangers);
    let challenges = serve_all(&mut agent, &first, now);
    hear_all(&mut strangers, challenges, now);
    let second = said(&mut strangers);
    serve_all(&mut agent, &second, now);
    // Without those who got what the host may have.
    let second = &second[second.len() / 2..];
    let twice = [second, second].concat();
    let (rate, _) = repeated(&twice, |message| serve(&mut agent, message, now));
    (rate, count(&agent, "drop_too_many_agreements"))
}

/// A mobile node that agrees on a key.
struct Stranger(MobileNode);

impl Stranger {
    fn new(number: u32, care_of: Ipv4Addr, now: Instant) -> Self {
        let identity = Identity::new(format!("{number:032x}@anonymous.invalid")).expect("short");
        let mut seed = [6; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let mut machine = MobileNode::new(Config::new(identity), seed, now, UNIX_TIME);
        let agent = HomeAgentAddress::from(HOME_AGENT);
        let server = [IpAddr::from([198, 51, 100, 80])];
        let credentials = Credentials::Agreement { pinned: None };
        machine
            .bind(agent, "server.example", &server, credentials, now)
            .expect("its first");
        let path = Path {
            care_of: care_of.into(),
            interface: 1,
        };
        machine.handle_path(agent, Some(path), false, now);
        Self(machine)
    }

    /// A socket stays open until the binding has to be refreshed.
    fn stays(&mut self, now: Instant, later: Instant) {
        let agent = HomeAgentAddress::from(HOME_AGENT);
        self.0.handle_usage(agent, Usage::Sockets, now);
        self.0.handle_timeout(later);
    }
}

/// The next message of each.
fn said(strangers: &mut [Stranger]) -> Vec<Transmit> {
    let next = |stranger: &mut Stranger| stranger.0.poll_transmit().expect("something to say");
    strangers.iter_mut().map(next).collect()
}

fn hear_all(strangers: &mut [Stranger], answers: Vec<Option<Transmit>>, now: Instant) {
    for (stranger, answer) in strangers.iter_mut().zip(answers.into_iter().flatten()) {
        stranger.0.handle_input(datagram(&answer), now);
    }
}

fn serve_all(agent: &mut HomeAgent, messages: &[Transmit], now: Instant) -> Vec<Option<Transmit>> {
    messages
        .iter()
        .map(|message| serve(agent, message, now))
        .collect()
}

/// One message in, and everything that comes of it out.
fn serve(agent: &mut HomeAgent, message: &Transmit, now: Instant) -> Option<Transmit> {
    agent.handle_input(datagram(message), now);
    while let Some(change) = agent.poll_store_change() {
        black_box(change);
    }
    while let Some(event) = agent.poll_event() {
        black_box(event);
    }
    agent.poll_transmit()
}

fn datagram(message: &Transmit) -> Datagram<'_> {
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
    let start = Instant::now();
    let results: Vec<T> = messages.iter().map(serve).collect();
    let rate = results.len() as f64 / start.elapsed().as_secs_f64();
    (rate, results)
}

/// The same when all of them arrive again and again.
fn repeated<T>(messages: &[Transmit], mut serve: impl FnMut(&Transmit) -> T) -> (f64, usize) {
    let start = Instant::now();
    let mut served = 0;
    for _ in 0..TIMES {
        for message in messages {
            black_box(serve(message));
            served += 1;
        }
    }
    (served as f64 / start.elapsed().as_secs_f64(), served)
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
