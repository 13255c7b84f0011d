//! The key that an agent publishes comes with the agent, if it comes in time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail"
)]

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

use fake::{A, Client, Fake, TXT, Zone, counter, query};
use name_relay::{Discovery, Mode, Relay, RelayConfig, Report};
use tokio::sync::mpsc;

const SERVER: [u8; 4] = [192, 0, 2, 1];
const AGENT: [u8; 4] = [198, 51, 100, 7];
const LONG: Duration = Duration::from_secs(4);
const MS: Duration = Duration::from_millis(1);
const KEY: &str = "v=cha1; x25519=0909090909090909090909090909090909090909090909090909090909090909";

struct Bench {
    relay: Relay,
    reports: mpsc::Receiver<Report>,
    client: Client,
    server: Fake,
}

impl Bench {
    async fn new(zone: Zone, lookup_window: Duration) -> Self {
        let server = Fake::start(zone.handler()).await;
        let (sender, reports) = mpsc::channel(4);
        let config = RelayConfig {
            mode: Mode::Manual,
            listen: "127.0.0.1:0".parse().unwrap(),
            upstream: vec![server.address],
            hold: LONG,
            lookup_window,
            ..RelayConfig::default()
        };
        let relay = Relay::start(config, sender).unwrap();
        Self {
            client: Client::of(relay.local_addr()).await,
            relay,
            reports,
            server,
        }
    }

    async fn visit(&mut self) -> Discovery {
        self.client.send(&query(7, "server.example", A)).await;
        let report = tokio::time::timeout(LONG, self.reports.recv()).await;
        match report.expect("a report").expect("the relay runs") {
            Report::Discovery(discovery) => discovery,
            Report::Contradiction(contradiction) => panic!("{contradiction:?}"),
        }
    }
}

fn zone() -> Zone {
    Zone::new()
        .with("server.example", SERVER)
        .with("cha.server.example", AGENT)
}

#[tokio::test]
async fn a_published_key_comes_with_the_agent() {
    let zone = zone().text("cha.server.example", KEY, Duration::ZERO);
    let mut bench = Bench::new(zone, LONG).await;
    assert_eq!(bench.visit().await.key, Some([9; 32]));
    assert_eq!(bench.visit().await.key, Some([9; 32]), "from memory");
    assert_eq!(bench.server.asked("cha.server.example", TXT), 1);
    let found = bench.relay.discover("server.example").await.unwrap();
    assert_eq!(found[0].key, Some([9; 32]));
}

#[tokio::test]
async fn without_a_key_nothing_waits() {
    let mut bench = Bench::new(zone(), LONG).await;
    let began = Instant::now();
    assert_eq!(bench.visit().await.key, None);
    assert!(began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_key_that_comes_late_is_for_later() {
    let zone = zone().text("cha.server.example", KEY, 700 * MS);
    let mut bench = Bench::new(zone, 50 * MS).await;
    let began = Instant::now();
    assert_eq!(bench.visit().await.key, None);
    let took = began.elapsed();
    assert!(took < 600 * MS, "{took:?}");
    let known = async {
        while bench.visit().await.key.is_none() {
            tokio::time::sleep(10 * MS).await;
        }
    };
    tokio::time::timeout(LONG, known).await.unwrap();
}

#[tokio::test]
async fn a_malformed_key_is_none() {
    let zone = zone().text("cha.server.example", "v=cha1; x25519=09", Duration::ZERO);
    let mut bench = Bench::new(zone, LONG).await;
    assert_eq!(bench.visit().await.key, None);
    assert_eq!(counter(&bench.relay.counters(), "drop_malformed_key"), 1);
}
