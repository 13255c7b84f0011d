//! With an agent the answer waits for the binding; without, for nothing.

#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with other tests"
)]
mod fake;

use std::net::IpAddr;
use std::time::Instant;

use fake::bench::{LONG, MS, config, discovery, start};
use fake::{A, Client, Entry, Fake, Zone, counter, query};
use name_relay::{DiscoverError, Found, Policy, Relay, RelayConfig};
use tokio::sync::mpsc;

const SERVER: [u8; 4] = [192, 0, 2, 1];
const AGENT: [u8; 4] = [198, 51, 100, 7];

fn with_agent() -> Zone {
    Zone::new()
        .with("server.example", SERVER)
        .with("cha.server.example", AGENT)
}

#[tokio::test]
async fn the_answer_waits_until_the_binding_stands() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let sent = query(7, "Server.EXAMPLE", A);
    client.send(&sent).await;
    let found = discovery(&mut discoveries).await;
    assert_eq!(found.name, "server.example");
    assert_eq!(found.correspondents, [IpAddr::from(SERVER)]);
    assert_eq!(found.agents, [IpAddr::from(AGENT)]);
    assert_eq!(client.receive_within(150 * MS).await, None, "held");
    found.ready.send(()).unwrap();
    assert_eq!(
        client.receive_within(LONG / 2).await.unwrap(),
        fake::answer(&sent, 60, &[SERVER.into()])
    );
    assert_eq!(counter(&relay.counters(), "held"), 1);
    assert_eq!(counter(&relay.counters(), "hold_released"), 1);
}

#[tokio::test]
async fn a_binding_given_up_lets_the_answer_go() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(7, "server.example", A)).await;
    drop(discovery(&mut discoveries).await);
    assert!(client.receive_within(LONG / 2).await.is_some());
}

#[tokio::test]
async fn the_answer_waits_no_longer_than_the_hold() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, 200 * MS);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.send(&query(7, "server.example", A)).await;
    let _unanswered = discovery(&mut discoveries).await;
    client.receive().await;
    let took = began.elapsed();
    assert!(took >= 200 * MS && took < 1500 * MS, "{took:?}");
    assert_eq!(counter(&relay.counters(), "hold_expired"), 1);
}

#[tokio::test]
async fn retransmissions_during_the_hold_get_one_answer() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let sent = query(7, "server.example", A);
    client.send(&sent).await;
    let found = discovery(&mut discoveries).await;
    client.send(&sent).await;
    client.send(&sent).await;
    // Another id is another question.
    client.send(&query(8, "server.example", A)).await;
    let other = discovery(&mut discoveries).await;
    found.ready.send(()).unwrap();
    other.ready.send(()).unwrap();
    let mut ids = [client.receive().await[1], client.receive().await[1]];
    ids.sort_unstable();
    assert_eq!(ids, [7, 8]);
    assert_eq!(client.receive_within(100 * MS).await, None);
    assert_eq!(counter(&relay.counters(), "query_retransmissions"), 2);
    assert_eq!(server.requests_for("server.example").len(), 2);
}

#[tokio::test]
async fn without_an_agent_nothing_is_held_and_the_cache_answers() {
    let server = Fake::start(Zone::new().with("server.example", SERVER).handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    for id in 0..5 {
        assert!(
            client.ask(&query(id, "server.example", A)).await.len() > 12,
            "answered"
        );
    }
    assert_eq!(server.asked("cha.server.example", A), 1);
    assert_eq!(counter(&relay.counters(), "cache_hits"), 4);
    assert_eq!(counter(&relay.counters(), "held"), 0);
    assert!(discoveries.try_recv().is_err());
}

#[tokio::test]
async fn what_the_zone_says_of_its_absence_is_believed_for_its_time() {
    let zone = Zone {
        negative_ttl: 0,
        ..Zone::new().with("server.example", SERVER)
    };
    let server = Fake::start(zone.handler()).await;
    let (relay, _discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    for id in 0..3 {
        client.ask(&query(id, "server.example", A)).await;
    }
    assert_eq!(server.asked("cha.server.example", A), 3);
}

#[tokio::test]
async fn a_slow_lookup_delays_by_the_window_and_binds_later() {
    let zone = with_agent().slow("cha.server.example", AGENT, 600 * MS);
    let server = Fake::start(zone.handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.ask(&query(7, "server.example", A)).await;
    let took = began.elapsed();
    assert!(took >= 50 * MS && took < 500 * MS, "{took:?}");
    let late = discovery(&mut discoveries).await;
    assert_eq!(late.agents.first(), Some(&IpAddr::from(AGENT)));
    assert!(late.ready.is_closed(), "nobody waits");
    assert_eq!(counter(&relay.counters(), "cha_found_late"), 1);
}

#[tokio::test]
async fn the_lookup_runs_beside_the_question_not_after_it() {
    let zone = Zone::new().slow("server.example", SERVER, 300 * MS).slow(
        "cha.server.example",
        AGENT,
        300 * MS,
    );
    let server = Fake::start(zone.handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.send(&query(7, "server.example", A)).await;
    discovery(&mut discoveries).await.ready.send(()).unwrap();
    client.receive().await;
    assert!(began.elapsed() < 550 * MS, "{:?}", began.elapsed());
}

#[tokio::test]
async fn other_types_are_not_held() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    for kind in [65, 16, 255] {
        client.ask(&query(7, "server.example", kind)).await;
    }
    assert!(discoveries.try_recv().is_err());
    assert!(server.requests_for("cha.server.example").is_empty());
}

#[tokio::test]
async fn excluded_and_forbidden_names_are_never_probed() {
    let server = Fake::start(with_agent().handler()).await;
    let (sender, _discoveries) = mpsc::channel(1);
    let relay = Relay::start(
        RelayConfig {
            allow: Policy::allow_list(["allowed.example", "local", "arpa"]),
            hold: LONG,
            ..config(&[server.address])
        },
        sender,
    )
    .unwrap();
    let client = Client::of(relay.local_addr()).await;
    for name in [
        "server.example",
        "printer.local",
        "1.2.0.192.in-addr.arpa",
        "cha.allowed.example",
        "single",
    ] {
        client.ask(&query(7, name, A)).await;
    }
    assert_eq!(server.requests().len(), 5);
    client.ask(&query(7, "www.allowed.example", A)).await;
    server.asked_for("cha.www.allowed.example").await;
}

#[tokio::test]
async fn the_name_is_the_one_asked_for_not_its_alias() {
    let server = Fake::start(|request| match request.name().as_str() {
        "www.example.org" => {
            vec![fake::aliased(&request.bytes, "edge.cdn.example", SERVER.into()).into()]
        }
        "cha.www.example.org" => vec![fake::answer(&request.bytes, 60, &[AGENT.into()]).into()],
        _ => vec![fake::negative(&request.bytes, 60).into()],
    })
    .await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(7, "www.example.org", A)).await;
    let found = discovery(&mut discoveries).await;
    assert_eq!(found.name, "www.example.org");
    assert_eq!(found.correspondents, [IpAddr::from(SERVER)]);
    assert!(server.requests_for("cha.edge.cdn.example").is_empty());
}

#[tokio::test]
async fn a_wildcard_is_not_an_agent() {
    let zone = Zone {
        wildcard: Some(Entry {
            addresses: vec![SERVER.into()],
            ttl: 60,
            ..Entry::default()
        }),
        ..Zone::new()
    };
    let server = Fake::start(zone.handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.ask(&query(7, "any.example", A)).await;
    client.ask(&query(8, "any.example", A)).await;
    assert!(began.elapsed() < LONG / 2);
    assert!(discoveries.try_recv().is_err());
    assert_eq!(counter(&relay.counters(), "drop_wildcard"), 1);
    assert_eq!(
        relay.discover("any.example").await,
        Err(DiscoverError::Wildcard("any.example".into()))
    );
}

#[tokio::test]
async fn a_wildcard_alias_with_rotating_addresses_is_not_an_agent() {
    let next = std::sync::atomic::AtomicU8::new(1);
    let server = Fake::start(move |request| {
        let last = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        vec![fake::aliased(&request.bytes, "lb.cdn.example", [203, 0, 113, last].into()).into()]
    })
    .await;
    let (relay, _discoveries) = start(server.address, LONG);
    assert_eq!(
        relay.discover("any.example").await,
        Err(DiscoverError::Wildcard("any.example".into()))
    );
}

#[tokio::test]
async fn an_agent_on_the_correspondents_own_host_is_an_agent() {
    let zone = Zone::new()
        .with("server.example", SERVER)
        .with("cha.server.example", SERVER);
    let server = Fake::start(zone.handler()).await;
    let (relay, _discoveries) = start(server.address, LONG);
    assert_eq!(
        relay.discover("server.example").await,
        Ok(vec![Found {
            correspondents: vec![SERVER.into()],
            agents: vec![SERVER.into()],
            key: None,
        }])
    );
}

#[tokio::test]
async fn a_full_queue_lets_the_answer_go() {
    let zone = with_agent()
        .with("other.example", SERVER)
        .with("cha.other.example", AGENT);
    let server = Fake::start(zone.handler()).await;
    let (sender, _full) = mpsc::channel(1);
    let config = RelayConfig {
        hold: LONG,
        ..config(&[server.address])
    };
    let relay = Relay::start(config, sender).unwrap();
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(1, "server.example", A)).await;
    let held = async {
        while counter(&relay.counters(), "held") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG / 2, held).await.unwrap();
    let answer = {
        client.send(&query(2, "other.example", A)).await;
        client.receive_within(LONG / 2).await.unwrap()
    };
    assert_eq!(answer[1], 2);
    assert_eq!(counter(&relay.counters(), "drop_discovery_full"), 1);
}

#[tokio::test]
async fn a_name_server_that_returns_leads_to_the_agent_at_once() {
    let server = Fake::start(with_agent().handler()).await;
    let address = server.address;
    server.stop().await;
    let (relay, mut discoveries) = start(address, LONG);
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(1, "server.example", A)).await;
    // Long enough for the lookup of the agent to be given up.
    assert_eq!(client.receive_within(2000 * MS).await, None);
    let _back = Fake::start_at(address, with_agent().handler()).await;
    let found = discovery(&mut discoveries).await;
    assert!(!found.ready.is_closed(), "the first answer is held");
    found.ready.send(()).unwrap();
    client.receive().await;
}

#[tokio::test]
async fn shutdown_lets_held_answers_go() {
    let server = Fake::start(with_agent().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(1, "server.example", A)).await;
    let _held = discovery(&mut discoveries).await;
    let began = Instant::now();
    relay.shutdown().await.unwrap();
    assert!(client.receive_within(LONG / 2).await.is_some());
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn discover_says_why_there_is_no_agent() {
    let zone = with_agent()
        .with("plain.example", SERVER)
        .with("cha.empty.example", AGENT);
    let server = Fake::start(zone.handler()).await;
    let (relay, _discoveries) = start(server.address, LONG);
    assert_eq!(
        relay.discover("Server.example.").await.unwrap()[0].agents,
        [IpAddr::from(AGENT)]
    );
    let cases = [
        (
            "plain.example",
            DiscoverError::NoAgent("plain.example".into()),
        ),
        (
            "empty.example",
            DiscoverError::NoAddress("empty.example".into()),
        ),
        ("localhost", DiscoverError::Excluded("localhost".into())),
        ("", DiscoverError::Excluded(String::new())),
        ("a..b", DiscoverError::InvalidName("a..b".into())),
    ];
    for (name, error) in cases {
        assert_eq!(relay.discover(name).await, Err(error), "{name}");
    }
}
