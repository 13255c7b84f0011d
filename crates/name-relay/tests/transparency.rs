//! What goes in comes out, in both directions, whatever it is.

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

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use fake::bench::config;
use fake::{A, Client, Fake, Reply, Zone, counter, framed, query, with_id};
use name_relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn relay(upstream: &[SocketAddr]) -> Relay {
    Relay::start(config(upstream), mpsc::channel(1).0).unwrap()
}

/// An OPT record: payload size 1400, DO, a client cookie, an unknown option
/// and padding.
const EDNS: [u8; 39] = [
    0, 0, 41, 0x05, 0x78, 0, 0, 0x80, 0, 0, 28, // OPT, 1400, DO
    0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, // COOKIE
    0xff, 0xee, 0, 4, 0xde, 0xad, 0xbe, 0xef, // unknown
    0, 12, 0, 4, 0, 0, 0, 0, // PADDING
];

fn odd_queries() -> Vec<Vec<u8>> {
    let mut with_everything = query(0x1234, "Server.Example", A);
    with_everything[2..4].copy_from_slice(&[0x01, 0x30]); // RD, AD, CD
    with_everything[11] = 1;
    with_everything.extend(EDNS);

    let unknown_type = query(0, "server.example", 0xfde8);
    let mut chaos = query(0xffff, "version.bind", 16);
    *chaos.last_mut().unwrap() = 3;
    let binary_label = {
        let mut bytes = query(7, "", 65);
        bytes.splice(12..13, [3, 0, 0xff, b'.', 0]);
        bytes
    };
    let no_question = {
        let mut bytes = query(9, "x", A);
        bytes.truncate(12);
        bytes[5] = 0;
        bytes[11] = 1;
        bytes.extend(EDNS);
        bytes
    };
    let trailing_rubbish = {
        let mut bytes = query(8, "a.b", 33);
        bytes.extend([0xaa; 300]);
        bytes
    };
    let notify = {
        let mut bytes = query(10, "zone.example", 6);
        bytes[2] = 4 << 3;
        bytes
    };
    vec![
        with_everything,
        unknown_type,
        chaos,
        binary_label,
        no_question,
        trailing_rubbish,
        notify,
    ]
}

/// Answers whose records no parser would take, with TC and AD set.
fn odd_answer(request: &[u8]) -> Vec<u8> {
    let mut bytes = request.to_vec();
    bytes[2] |= 0x82; // QR, TC
    bytes[3] = 0xb0; // RA, AD, CD
    bytes[7] = 200;
    bytes.extend((0..700_u16).map(|octet| octet.to_le_bytes()[0]));
    bytes
}

#[tokio::test]
async fn udp_passes_octet_for_octet() {
    let server = Fake::start(|request| vec![odd_answer(&request.bytes).into()]).await;
    let relay = relay(&[server.address]);
    for sent in odd_queries() {
        let client = Client::of(relay.local_addr()).await;
        let received = client.ask(&sent).await;
        let seen = server
            .requests()
            .into_iter()
            .rev()
            .find(|request| request.bytes.len() == sent.len() && request.bytes[2..] == sent[2..])
            .expect("the name server sees the query as it was sent");
        assert!(!seen.tcp);
        let id = u16::from_be_bytes([sent[0], sent[1]]);
        assert_eq!(received, with_id(&odd_answer(&seen.bytes), id));
    }
    let counters = relay.counters();
    assert_eq!(counter(&counters, "queries"), counter(&counters, "answers"));
}

#[tokio::test]
async fn tcp_passes_octet_for_octet_over_tcp_and_pipelined() {
    let server = Fake::start(|request| vec![odd_answer(&request.bytes).into()]).await;
    let relay = relay(&[server.address]);
    let mut stream = TcpStream::connect(relay.local_addr()).await.unwrap();
    let sent = odd_queries();
    let all: Vec<u8> = sent.iter().flat_map(|query| framed(query)).collect();
    stream.write_all(&all).await.unwrap();
    let mut received = BTreeSet::new();
    for _ in &sent {
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        received.insert(bytes);
    }
    let expected: BTreeSet<Vec<u8>> = sent.iter().map(|query| odd_answer(query)).collect();
    assert_eq!(received, expected);
    for query in &sent {
        assert!(
            server
                .requests()
                .iter()
                .any(|request| request.tcp && request.bytes[2..] == query[2..])
        );
    }
}

#[tokio::test]
async fn each_question_leaves_with_a_fresh_id_from_a_fresh_port() {
    let server = Fake::start(Zone::new().handler()).await;
    let relay = relay(&[server.address]);
    let client = Client::of(relay.local_addr()).await;
    const COUNT: usize = 200;
    for _ in 0..COUNT {
        client.ask(&query(1, "server.example", 16)).await;
    }
    let requests = server.requests_for("server.example");
    assert_eq!(requests.len(), COUNT);
    let ids: BTreeSet<u16> = requests.iter().map(fake::Request::id).collect();
    let ports: BTreeSet<u16> = requests.iter().map(|request| request.peer.port()).collect();
    // 200 draws of 65536: 20 collisions have a probability below 1e-20.
    assert!(ids.len() > COUNT - 20, "{} ids", ids.len());
    assert!(ports.len() > COUNT - 20, "{} ports", ports.len());
    let rising = requests
        .windows(2)
        .filter(|pair| pair[1].peer.port() > pair[0].peer.port())
        .count();
    assert!((40..160).contains(&rising), "ports follow a pattern");
}

#[tokio::test]
async fn forged_answers_are_dropped_and_the_true_one_passes() {
    let server = Fake::start(|request| {
        let good = fake::answer(&request.bytes, 60, &[[192, 0, 2, 1].into()]);
        let bad_address = fake::answer(&request.bytes, 60, &[[203, 0, 113, 66].into()]);
        let wrong_id = with_id(&bad_address, request.id() ^ 1);
        let wrong_question = {
            let mut bytes = bad_address.clone();
            bytes[13] ^= 1;
            bytes
        };
        let not_an_answer = request.bytes.clone();
        vec![
            wrong_id.into(),
            wrong_question.into(),
            not_an_answer.into(),
            vec![0; 5].into(),
            Reply {
                bytes: bad_address,
                after: Duration::ZERO,
                from_stranger: true,
            },
            Reply {
                bytes: good,
                after: Duration::from_millis(100),
                from_stranger: false,
            },
        ]
    })
    .await;
    let relay = relay(&[server.address]);
    let client = Client::of(relay.local_addr()).await;
    let sent = query(0x4242, "server.example", A);
    let received = client.ask(&sent).await;
    assert_eq!(received, fake::answer(&sent, 60, &[[192, 0, 2, 1].into()]));
    let counters = relay.counters();
    assert!(counter(&counters, "drop_spoofed_answer") >= 2);
    assert!(counter(&counters, "drop_malformed_answer") >= 2);
}

#[tokio::test]
async fn rubbish_is_dropped_and_counted_and_stops_nothing() {
    let server = Fake::start(Zone::new().with("server.example", [192, 0, 2, 1]).handler()).await;
    let relay = relay(&[server.address]);
    let client = Client::of(relay.local_addr()).await;
    client.send(&[]).await;
    client.send(&[1, 2, 3]).await;
    client.send(&[0xff; 40]).await; // an answer
    let mut two_questions = query(1, "server.example", A);
    two_questions[5] = 2;
    client.send(&two_questions).await;
    let mut endless_name = query(1, "server.example", A);
    endless_name.truncate(20);
    client.send(&endless_name).await;
    let mut loop_name = query(1, "x", A);
    loop_name.splice(12.., [0xc0, 12, 0, 1, 0, 1]);
    client.send(&loop_name).await;

    let sent = query(5, "server.example", A);
    assert_eq!(
        client.ask(&sent).await,
        fake::answer(&sent, 60, &[[192, 0, 2, 1].into()])
    );
    let counters = relay.counters();
    assert_eq!(counter(&counters, "drop_malformed_query"), 5);
    assert_eq!(counter(&counters, "drop_not_a_query"), 1);
    assert_eq!(counter(&counters, "queries"), 1);
}

#[tokio::test]
async fn a_broken_tcp_message_ends_the_connection_alone() {
    let server = Fake::start(Zone::new().handler()).await;
    let relay = relay(&[server.address]);
    let mut broken = TcpStream::connect(relay.local_addr()).await.unwrap();
    let mut good = TcpStream::connect(relay.local_addr()).await.unwrap();
    broken.write_all(&framed(&[9; 3])).await.unwrap();
    assert_eq!(broken.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    let sent = query(3, "nowhere.example", 16);
    good.write_all(&framed(&sent)).await.unwrap();
    let length = good.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    good.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, fake::negative(&sent, 60));
}

#[tokio::test]
async fn connections_are_bounded() {
    let server = Fake::start(Zone::new().handler()).await;
    let relay = relay(&[server.address]);
    let mut open = Vec::new();
    for _ in 0..80 {
        open.push(TcpStream::connect(relay.local_addr()).await.unwrap());
    }
    let mut closed = 0;
    for stream in &mut open {
        let mut octet = [0; 1];
        let read = stream.read(&mut octet);
        if let Ok(Ok(0)) = tokio::time::timeout(Duration::from_millis(50), read).await {
            closed += 1;
        }
    }
    assert_eq!(closed, 16);
    assert_eq!(counter(&relay.counters(), "drop_too_many_connections"), 16);
}
