//! Name servers that are silent, gone, unwilling, or back.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared with other tests"
)]
mod fake;

use std::net::SocketAddr;
use std::time::Instant;

use fake::bench::{MS, config};
use fake::{A, Client, Fake, NO_SUCH_NAME, SERVER_FAILURE, Zone, counter, query};
use name_relay::{Error, Mode, Relay, RelayConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

fn start(upstream: &[SocketAddr]) -> Relay {
    Relay::start(config(upstream), mpsc::channel(1).0).unwrap()
}

fn zone() -> Zone {
    Zone::new().with("server.example", [192, 0, 2, 1])
}

#[tokio::test]
async fn only_when_all_name_servers_have_failed_for_long_the_answer_is_servfail() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay = start(&[silent.local_addr().unwrap()]);
    let client = Client::of(relay.local_addr()).await;
    let sent = query(0x7788, "server.example", A);
    let began = Instant::now();
    let received = client.ask(&sent).await;
    let took = began.elapsed();
    assert!((4500 * MS..7000 * MS).contains(&took), "{took:?}");
    assert_eq!(received, fake::response(&sent, SERVER_FAILURE));
    assert_eq!(counter(&relay.counters(), "upstream_failures"), 1);
}

#[tokio::test]
async fn a_name_server_that_returns_answers_what_was_asked_meanwhile() {
    let server = Fake::start(zone().handler()).await;
    let address = server.address;
    server.stop().await;
    let relay = start(&[address]);
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(1, "server.example", A)).await;
    assert_eq!(client.receive_within(300 * MS).await, None);
    let _back = Fake::start_at(address, zone().handler()).await;
    let began = Instant::now();
    assert!(client.receive_within(3000 * MS).await.is_some());
    assert!(began.elapsed() < 1500 * MS, "{:?}", began.elapsed());
    let began = Instant::now();
    client.ask(&query(2, "server.example", A)).await;
    assert!(began.elapsed() < 500 * MS, "no memory of the failure");
}

#[tokio::test]
async fn the_next_name_server_is_asked_and_then_preferred() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = Fake::start(zone().handler()).await;
    let relay = start(&[silent.local_addr().unwrap(), server.address]);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.ask(&query(1, "server.example", 16)).await;
    assert!(began.elapsed() < 2500 * MS);
    let began = Instant::now();
    client.ask(&query(2, "server.example", 16)).await;
    assert!(began.elapsed() < 500 * MS, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_unwilling_name_server_is_passed_over_but_never_overruled_by_invention() {
    let unwilling = Fake::start(|request| vec![fake::response(&request.bytes, 5).into()]).await;
    let server = Fake::start(zone().handler()).await;
    let sent = query(1, "nowhere.example", A);

    let relay = start(&[unwilling.address, server.address]);
    let received = Client::of(relay.local_addr()).await.ask(&sent).await;
    assert_eq!(received[3] & 0xf, NO_SUCH_NAME);

    let relay = start(&[unwilling.address]);
    let began = Instant::now();
    let received = Client::of(relay.local_addr()).await.ask(&sent).await;
    assert_eq!(received, fake::response(&sent, 5), "as it came");
    assert!(began.elapsed() < 1000 * MS);
}

#[tokio::test]
async fn a_closed_port_is_no_reason_to_wait() {
    let gone = Fake::start(zone().handler()).await;
    let address = gone.address;
    gone.stop().await;
    let server = Fake::start(zone().handler()).await;
    let relay = start(&[address, server.address]);
    let began = Instant::now();
    Client::of(relay.local_addr())
        .await
        .ask(&query(1, "server.example", A))
        .await;
    assert!(began.elapsed() < 800 * MS, "{:?}", began.elapsed());

    let mut stream = TcpStream::connect(relay.local_addr()).await.unwrap();
    let sent = query(3, "server.example", A);
    let began = Instant::now();
    stream.write_all(&fake::framed(&sent)).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, fake::answer(&sent, 60, &[[192, 0, 2, 1].into()]));
    assert!(began.elapsed() < 800 * MS, "{:?}", began.elapsed());
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let start = |config| Relay::start(config, mpsc::channel(1).0);
    let refused = start(RelayConfig {
        mode: Mode::ResolvConf,
        listen: "127.0.0.1:5353".parse().unwrap(),
        ..config(&[])
    });
    assert!(matches!(refused, Err(Error::ListenPort(_))), "{refused:?}");
    let refused = start(RelayConfig {
        listen: "0.0.0.0:5300".parse().unwrap(),
        ..config(&[])
    });
    assert!(matches!(refused, Err(Error::ListenUnspecified(_))));
    let itself: SocketAddr = "127.0.0.1:5300".parse().unwrap();
    let refused = start(RelayConfig {
        listen: itself,
        ..config(&[itself])
    });
    assert!(matches!(refused, Err(Error::UpstreamIsRelay(_))));
    let running = start(config(&[itself])).unwrap();
    let refused = start(RelayConfig {
        listen: running.local_addr(),
        ..config(&[itself])
    });
    assert!(matches!(refused, Err(Error::Listen { .. })));
}
