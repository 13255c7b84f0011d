//! Registrations per second of the home agent machine on one core, beside the cost of the
//! authenticators alone, the memory of a binding at a million bindings, what strangers cost, and
//! how many round trips they need.
//!
//! Each request is what the machine takes from a socket and each reply what it gives to one; making
//! the requests is not counted. Time is that of the processor (`/proc/self/schedstat`). Memory is the growth of the resident set of this process (Linux,
//! `/proc/self/statm`), so it includes what the allocator and the tables waste.

#![expect(clippy::expect_used, reason = "a benchmark that can't run ends")]

mod round_trips;
mod strangers;

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobility_protocol::home_agent::{Config, HomeAgent, Mode, Quotas};
use mobility_protocol::security::{HomeAgentSecret, SecurityAssociation};
use mobility_protocol::wire::mip4::{
    Extension, Extensions, Identification, RegistrationRequest, RequestFlags,
};
use mobility_protocol::{Datagram, Identity, Lifetime, Transport};

const HOME_AGENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const HOME_AGENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);
/// 2026-01-01 00:00:00 UTC.
const UNIX_TIME: Duration = Duration::from_secs(1_767_225_600);
/// As many as are measured at a time: few enough to have their requests ready in memory.
const NODES: u32 = 200_000;
const MILLION: u32 = 1_000_000;

fn main() {
    let association = SecurityAssociation::open_mode();
    let now = Instant::now();

    let pairs = authenticator_pairs_per_second(&association);
    println!("HMAC-MD5 alone (one to check, one to make): {pairs:>12.0} pairs/s");

    let mut agent = home_agent(Quotas::default(), now);
    for (name, care_of, step) in [
        ("first registration", 0, 1),
        ("refresh", 0, 2),
        ("move", 1 << 20, 3),
    ] {
        let requests: Vec<(SocketAddr, Vec<u8>)> = (0..NODES)
            .map(|node| request(node, care_of, step, &association))
            .collect();
        let start = processor_seconds();
        for (source, payload) in &requests {
            black_box(serve(&mut agent, *source, payload, now));
        }
        let rate = f64::from(NODES) / (processor_seconds() - start);
        println!(
            "{name:<43} {rate:>12.0} /s   {:.2} of HMAC alone",
            rate / pairs
        );
    }
    assert_eq!(count(&agent, "bindings_moved"), u64::from(NODES));
    drop(agent);

    let before = resident_octets();
    let mut agent = home_agent(Quotas::default(), now);
    for node in 0..MILLION {
        let (source, payload) = request(node, 0, 1, &association);
        serve(&mut agent, source, &payload, now);
    }
    assert_eq!(count(&agent, "bindings_created"), u64::from(MILLION));
    let octets = resident_octets().saturating_sub(before) as f64 / f64::from(MILLION);
    println!("memory per binding at 1,000,000 bindings:   {octets:>12.0} octets");
    drop(agent);

    strangers::measure(now);
    round_trips::count(now);
}

fn home_agent(quotas: Quotas, now: Instant) -> HomeAgent {
    let net = |text: &str| text.parse().expect("a prefix");
    let config = Config {
        ipv4: Some(HOME_AGENT),
        ipv6: Some(HOME_AGENT6),
        pools: vec![net("10.0.0.0/8"), net("2001:db8:1::/64")],
        exclude: vec![],
        hold_down: Duration::from_secs(240),
        default_lifetime: Duration::from_secs(600),
        max_lifetime: Duration::from_secs(3600),
        mode: Mode::Open {
            secret: HomeAgentSecret::from_seed(&[9; 32]),
            legacy: true,
        },
        quotas,
        mobile_nodes: vec![],
        correspondents: Arc::from([net("198.51.100.0/24")]),
        replay_window: Duration::from_secs(7),
    };
    HomeAgent::new(config, [1; 32], now, UNIX_TIME).expect("a good configuration")
}

/// One datagram in, and everything that comes of it out.
fn serve(agent: &mut HomeAgent, source: SocketAddr, payload: &[u8], now: Instant) -> usize {
    agent.handle_input(
        Datagram {
            source: source.ip(),
            destination: HOME_AGENT.into(),
            transport: Transport::Udp {
                port: source.port(),
            },
            home_address: None,
            payload,
        },
        now,
    );
    while let Some(change) = agent.poll_store_change() {
        black_box(change);
    }
    while let Some(event) = agent.poll_event() {
        black_box(event);
    }
    agent.poll_transmit().expect("a reply").payload.len()
}

fn request(
    node: u32,
    care_of: u32,
    step: u32,
    association: &SecurityAssociation,
) -> (SocketAddr, Vec<u8>) {
    // An anonymous identity as mobile nodes make one: 32 hexadecimal digits and a realm.
    let identity = format!(
        "{:032x}@anonymous.invalid",
        u128::from(node) << 64 | 0x5bd1_e995
    );
    let identity = Identity::new(identity).expect("not too long");
    let care_of_address = Ipv4Addr::from(0x6440_0000 + node + care_of);
    let request = RegistrationRequest {
        flags: RequestFlags::CO_LOCATED,
        lifetime: Lifetime::Infinite,
        home_address: Ipv4Addr::UNSPECIFIED,
        home_agent: HOME_AGENT,
        care_of_address,
        identification: Identification::from_unix(UNIX_TIME + Duration::from_millis(step.into())),
        extensions: Extensions::from(vec![Extension::Nai(identity)]),
    };
    ((care_of_address, 434).into(), request.encode(association))
}

fn authenticator_pairs_per_second(association: &SecurityAssociation) -> f64 {
    let (_, payload) = request(0, 0, 1, association);
    // A request and its reply, through the SPI.
    let (asked, answered) = (
        &payload[..payload.len() - 16],
        &payload[..payload.len() - 20],
    );
    let start = processor_seconds();
    for _ in 0..NODES {
        black_box(association.verify(black_box(asked), &payload[payload.len() - 16..]));
        black_box(association.authenticator(black_box(answered)));
    }
    f64::from(NODES) / (processor_seconds() - start)
}

fn count(agent: &HomeAgent, name: &str) -> u64 {
    let counters = agent.counters();
    counters
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(0, |(_, count)| *count)
}

/// How long this process had a processor, so that others who want one don't count.
fn processor_seconds() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let field = schedstat.split_whitespace().next();
    let nanoseconds: Option<f64> = field.and_then(|field| field.parse().ok());
    nanoseconds.expect("a number") / 1e9
}

fn resident_octets() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("a number");
    pages * PAGE
}
