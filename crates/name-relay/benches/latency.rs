//! What the relay adds to the time of an answer: the same questions to the
//! same name server on loopback, directly and through the relay, in turns, in
//! one run. Prints medians and their ratio.

#![expect(clippy::expect_used, reason = "a test may fail")]

#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with the tests"
)]
#[path = "../tests/fake/mod.rs"]
mod fake;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fake::{A, Client, Entry, Fake, Zone, query};
use name_relay::{Mode, Relay, RelayConfig};
use tokio::sync::mpsc;

const ROUNDS: u16 = 2000;
/// Record type TXT.
const TXT: u16 = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    println!("DNS answer on loopback, median of {ROUNDS}, direct and through the relay in turns");
    let near = Duration::ZERO;
    let far = Duration::from_millis(10);
    compare("type that is never held (TXT)", near, ROUNDS, TXT, |_| {
        "server.example".into()
    })
    .await;
    compare("no agent, remembered", near, ROUNDS, A, |_| {
        "server.example".into()
    })
    .await;
    compare("no agent, new names", near, ROUNDS, A, |n| {
        format!("n{n}.example")
    })
    .await;
    compare(
        "no agent, new names, 10 ms away",
        far,
        ROUNDS / 10,
        A,
        |n| format!("n{n}.example"),
    )
    .await;
}

async fn compare(
    what: &str,
    distance: Duration,
    rounds: u16,
    kind: u16,
    name: impl Fn(u16) -> String,
) {
    let server = Fake::start(move |request| {
        let entry = Entry {
            addresses: vec![[192, 0, 2, 1].into()],
            after: distance,
            ttl: 60,
            ..Entry::default()
        };
        // Names of three labels are agents, which do not exist.
        let exists = request.name().split('.').count() == 2;
        let zone = Zone {
            wildcard: exists.then_some(entry),
            ..Zone::new()
        };
        let mut replies = zone.handler()(request);
        for reply in &mut replies {
            reply.after = distance;
        }
        replies
    })
    .await;
    let config = RelayConfig {
        mode: Mode::Manual,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        upstream: vec![server.address],
        ..RelayConfig::default()
    };
    let (discoveries, _agents) = mpsc::channel(1);
    let relay = Relay::start(config, discoveries).expect("the relay starts");
    let direct = Client::of(server.address).await;
    let relayed = Client::of(relay.local_addr()).await;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let bytes = query(round, &name(round), kind);
        for (client, times) in [&direct, &relayed].into_iter().zip(&mut times) {
            let began = Instant::now();
            client.ask(&bytes).await;
            times.push(began.elapsed());
        }
    }
    let [direct, relayed] = times.map(median);
    println!(
        "{what:34} direct {:8.1} us   relay {:8.1} us   ratio {:.2}   added {:.1} us",
        micros(direct),
        micros(relayed),
        relayed.as_secs_f64() / direct.as_secs_f64(),
        micros(relayed.saturating_sub(direct)),
    );
    relay.shutdown().await.expect("the relay ends");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
