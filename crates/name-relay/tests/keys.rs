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
use fake::{A, Fake, TXT, Zone, query};

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

#[tokio::test]
async fn a_malformed_key_is_none() {
    let zone = zone().text("cha.server.example", "v=cha1; x25519=09", Duration::ZERO);
    let mut bench = begin(zone, LONG).await;
    assert_eq!(key(&mut bench).await, None);
    assert_eq!(bench.counter("drop_malformed_key"), 1);
}
