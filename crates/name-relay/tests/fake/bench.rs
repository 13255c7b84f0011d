//! A relay, an application that asks it, the name server it asks, and what it tells the mobile node.

use std::net::SocketAddr;
use std::time::Duration;

use name_relay::{Contradiction, Discovery, Mode, Relay, RelayConfig, Report};
use tokio::sync::mpsc;

use super::{Client, Fake, counter};

/// Far beyond any delay that a busy machine adds.
pub const LONG: Duration = Duration::from_secs(4);
pub const MS: Duration = Duration::from_millis(1);

/// A relay at some port of this host, in front of these name servers.
pub fn config(upstream: &[SocketAddr]) -> RelayConfig {
    RelayConfig {
        mode: Mode::Manual,
        listen: "127.0.0.1:0".parse().unwrap(),
        upstream: upstream.to_vec(),
        ..RelayConfig::default()
    }
}

/// One that holds answers for so long, and what it tells.
pub fn start(upstream: SocketAddr, hold: Duration) -> (Relay, mpsc::Receiver<Report>) {
    let (sender, reports) = mpsc::channel(4);
    let config = RelayConfig {
        hold,
        ..config(&[upstream])
    };
    (Relay::start(config, sender).unwrap(), reports)
}

/// The next thing that is told.
pub async fn report(reports: &mut mpsc::Receiver<Report>) -> Report {
    let report = tokio::time::timeout(LONG, reports.recv()).await;
    report.expect("a report").expect("the relay runs")
}

/// The next thing that is told, which is that there is an agent.
pub async fn discovery(reports: &mut mpsc::Receiver<Report>) -> Discovery {
    match report(reports).await {
        Report::Discovery(discovery) => discovery,
        Report::Contradiction(contradiction) => panic!("{contradiction:?}"),
    }
}

/// All of them together.
pub struct Bench {
    pub relay: Relay,
    pub reports: mpsc::Receiver<Report>,
    pub client: Client,
    pub server: Fake,
}

impl Bench {
    /// With a relay that holds answers for long, and otherwise is as `change` makes it.
    pub async fn new(server: Fake, change: impl FnOnce(&mut RelayConfig)) -> Self {
        let (sender, reports) = mpsc::channel(4);
        let mut config = RelayConfig {
            hold: LONG,
            ..config(&[server.address])
        };
        change(&mut config);
        let relay = Relay::start(config, sender).unwrap();
        Self {
            client: Client::of(relay.local_addr()).await,
            relay,
            reports,
            server,
        }
    }

    /// The application sends a question for which there is an agent.
    pub async fn visit(&mut self, question: &[u8]) -> Discovery {
        self.client.send(question).await;
        discovery(&mut self.reports).await
    }

    /// The next thing that is told, which is that two names contradict each other.
    pub async fn contradiction(&mut self) -> Contradiction {
        match report(&mut self.reports).await {
            Report::Contradiction(contradiction) => contradiction,
            Report::Discovery(discovery) => panic!("{discovery:?}"),
        }
    }

    pub fn counter(&self, name: &str) -> u64 {
        counter(&self.relay.counters(), name)
    }
}
