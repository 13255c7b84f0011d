//! The key that an agent publishes comes with the agent, if it comes in time.

#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with other tests"
)]
mod fake;

use std::time::{Duration, Instant};

use fake::bench::{Bench, LONG, MS};
use fake::{A, Fake, SERVER_FAILURE, TXT, Zone, query};
use name_relay::DiscoverError;

const SERVER: [u8; 4] = [192, 0, 2, 1];
const AGENT: [u8; 4] = [198, 51, 100, 7];
const KEY: &str = "v=cha1; x25519=0909090909090909090909090909090909090909090909090909090909090909";

async fn begin(zone: Zone, lookup_window: Duration) -> Bench {
    let server = Fake::start(zone.handler()).await;
    Bench::new(server, |config| config.lookup_window = lookup_window).await
}

async fn key(bench: &mut Bench) -> Option<[u8; 32]> {
    bench.visit(&query(7, "server.example", A)).await.key
}

fn zone() -> Zone {
    Zone::new()
        .with("server.example", SERVER)
        .with("cha.server.example", AGENT)
}

#[tokio::test]
async fn a_published_key_comes_with_the_agent() {
    let zone = zone().text("cha.server.example", KEY, Duration::ZERO);
    let mut bench = begin(zone, LONG).await;
    assert_eq!(key(&mut bench).await, Some([9; 32]));
    assert_eq!(key(&mut bench).await, Some([9; 32]), "from memory");
    assert_eq!(bench.server.asked("cha.server.example", TXT), 1);
    let found = bench.relay.discover("server.example").await.unwrap();
    assert_eq!(found[0].key, Some([9; 32]));
}

#[tokio::test]
async fn without_a_key_nothing_waits() {
    let mut bench = begin(zone(), LONG).await;
    let began = Instant::now();
    assert_eq!(key(&mut bench).await, None);
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_key_that_comes_late_is_for_later() {
    let zone = zone().text("cha.server.example", KEY, 700 * MS);
    let mut bench = begin(zone, 50 * MS).await;
    let began = Instant::now();
    assert_eq!(key(&mut bench).await, None);
    let took = began.elapsed();
    assert!(took < 600 * MS, "{took:?}");
    let known = async {
        while key(&mut bench).await.is_none() {
            tokio::time::sleep(10 * MS).await;
        }
    };
    tokio::time::timeout(LONG, known).await.unwrap();
}

/// The application gets its answer, and nobody is led to the agent.
async fn does_without(zone: Zone) {
    let mut bench = begin(zone, LONG).await;
    for _ in 0..2 {
        let answer = bench.client.ask(&query(7, "server.example", A)).await;
        assert_eq!(answer[answer.len() - 4..], SERVER);
        assert!(bench.reports.try_recv().is_err());
    }
    assert_eq!(bench.counter("drop_malformed_key"), 1, "it is remembered");
    let error = DiscoverError::MalformedKey("server.example".into());
    assert_eq!(bench.relay.discover("server.example").await, Err(error));
}

#[tokio::test]
async fn an_agent_with_a_malformed_key_is_done_without() {
    does_without(zone().text("cha.server.example", "v=cha1; x25519=09", Duration::ZERO)).await;
}

#[tokio::test]
async fn an_agent_with_two_keys_is_done_without() {
    let zone = zone().text("cha.server.example", KEY, Duration::ZERO);
    let other = KEY.replace("09", "0a");
    does_without(zone.text("cha.server.example", &other, Duration::ZERO)).await;
}

#[tokio::test]
async fn one_key_beside_texts_of_others_is_pinned() {
    let zone = zone().text("cha.server.example", "v=spf1 -all", Duration::ZERO);
    let zone = zone.text("cha.server.example", KEY, Duration::ZERO);
    let mut bench = begin(zone, LONG).await;
    assert_eq!(key(&mut bench).await, Some([9; 32]));
}

#[tokio::test]
async fn a_malformed_key_that_comes_late_counts_for_later_answers() {
    let zone = zone().text("cha.server.example", "v=cha1", 700 * MS);
    let mut bench = begin(zone, 50 * MS).await;
    assert_eq!(key(&mut bench).await, None);
    let known = async {
        while bench.counter("drop_malformed_key") == 0 {
            tokio::time::sleep(10 * MS).await;
        }
    };
    tokio::time::timeout(LONG, known).await.unwrap();
    bench.client.receive_within(LONG).await;
    bench.client.ask(&query(8, "server.example", A)).await;
    assert!(bench.reports.try_recv().is_err());
}

#[tokio::test]
async fn an_agent_whose_key_nobody_can_tell_has_none() {
    let zone = zone().handler();
    let server = Fake::start(move |request| match request.kind() {
        TXT => vec![fake::response(&request.bytes, SERVER_FAILURE).into()],
        _ => zone(request),
    });
    let mut bench = Bench::new(server.await, |config| config.lookup_window = LONG).await;
    assert_eq!(key(&mut bench).await, None);
}

#[tokio::test]
async fn a_key_does_not_outlive_its_time() {
    // The address of the agent counts for a minute, its key for a second.
    let zone = zone().handler();
    let server = Fake::start(move |request| match request.kind() {
        TXT => vec![fake::texts(&request.bytes, 1, &[KEY.to_owned()]).into()],
        _ => zone(request),
    });
    let mut bench = Bench::new(server.await, |config| config.lookup_window = LONG).await;
    assert_eq!(key(&mut bench).await, Some([9; 32]));
    let asked_again = async {
        while bench.server.asked("cha.server.example", TXT) < 2 {
            tokio::time::sleep(10 * MS).await;
            assert_eq!(key(&mut bench).await, Some([9; 32]));
        }
    };
    tokio::time::timeout(LONG, asked_again).await.unwrap();
    assert_eq!(bench.server.asked("cha.server.example", TXT), 2);
}
