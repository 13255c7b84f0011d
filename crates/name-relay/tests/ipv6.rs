//! IPv6 as IPv4: each family is asked, discovered and held by itself, over
//! name servers and listening addresses of either.

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

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use fake::bench::{LONG, MS, config, discovery, start};
use fake::{A, AAAA, Client, Entry, Fake, Zone, counter, framed, query};
use name_relay::{DiscoverError, Found, Relay, RelayConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const SERVER: [u8; 4] = [192, 0, 2, 1];
const AGENT: [u8; 4] = [198, 51, 100, 7];
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const AGENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 7);
const OTHER_AGENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 7);

/// A server and its agent in both families.
fn dual() -> Zone {
    Zone::new()
        .with("server.example", SERVER)
        .with("server.example", SERVER6)
        .with("cha.server.example", AGENT)
        .with("cha.server.example", AGENT6)
}

#[tokio::test]
async fn both_questions_of_one_socket_are_held_each_by_itself() {
    let server = Fake::start(dual().handler()).await;
    let (relay, mut discoveries) = start(server.address, LONG);
    // As getaddrinfo does: one socket, both questions at once.
    let client = Client::of(relay.local_addr()).await;
    client.send(&query(1, "server.example", A)).await;
    client.send(&query(2, "server.example", AAAA)).await;
    let first = discovery(&mut discoveries).await;
    let second = discovery(&mut discoveries).await;
    let (ipv4, ipv6) = if first.agents.first().is_some_and(IpAddr::is_ipv4) {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!(ipv4.correspondents, [IpAddr::from(SERVER)]);
    assert_eq!(ipv4.agents, [IpAddr::from(AGENT)]);
    assert_eq!(ipv6.correspondents, [IpAddr::from(SERVER6)]);
    assert_eq!(ipv6.agents, [IpAddr::from(AGENT6)]);

    ipv6.ready.send(()).unwrap();
    assert_eq!(
        client.receive_within(LONG / 2).await.unwrap(),
        fake::answer(&query(2, "server.example", AAAA), 60, &[SERVER6.into()])
    );
    assert_eq!(client.receive_within(100 * MS).await, None, "A is held");
    ipv4.ready.send(()).unwrap();
    assert_eq!(
        client.receive_within(LONG / 2).await.unwrap(),
        fake::answer(&query(1, "server.example", A), 60, &[SERVER.into()])
    );
    assert_eq!(counter(&relay.counters(), "held"), 2);
}

#[tokio::test]
async fn a_family_without_an_agent_does_not_wait_for_the_other() {
    let server = Fake::start(
        Zone::new()
            .with("server.example", SERVER)
            .with("server.example", SERVER6)
            .with("cha.server.example", AGENT6)
            .handler(),
    )
    .await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.send(&query(2, "server.example", AAAA)).await;
    client.send(&query(1, "server.example", A)).await;
    let answer = client.receive_within(LONG / 2).await.unwrap();
    assert_eq!(answer[1], 1, "A leaves while AAAA is held");
    assert!(began.elapsed() < 500 * MS, "{:?}", began.elapsed());
    let found = discovery(&mut discoveries).await;
    assert_eq!(found.agents, [IpAddr::from(AGENT6)]);
    drop(found);
    assert_eq!(client.receive_within(LONG / 2).await.unwrap()[1], 2);
}

#[tokio::test]
async fn an_open_lookup_in_one_family_delays_it_by_the_window_alone() {
    let server = Fake::start(|request| match (request.name().as_str(), request.kind()) {
        ("server.example", A) => vec![fake::answer(&request.bytes, 60, &[SERVER.into()]).into()],
        ("server.example", AAAA) => {
            vec![fake::answer(&request.bytes, 60, &[SERVER6.into()]).into()]
        }
        // Name servers that ignore questions for the agent's IPv6 address.
        (_, AAAA) => vec![],
        _ => vec![fake::negative(&request.bytes, 60).into()],
    })
    .await;
    let (relay, _discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let began = Instant::now();
    client.ask(&query(1, "server.example", A)).await;
    client.ask(&query(2, "server.example", AAAA)).await;
    let took = began.elapsed();
    assert!(took >= 50 * MS && took < 1000 * MS, "{took:?}");
}

#[tokio::test]
async fn an_answer_without_ipv6_addresses_is_not_held() {
    let server = Fake::start(
        Zone::new()
            .with("server.example", SERVER)
            .with("cha.server.example", AGENT6)
            .handler(),
    )
    .await;
    let (relay, mut discoveries) = start(server.address, LONG);
    let client = Client::of(relay.local_addr()).await;
    let sent = query(2, "server.example", AAAA);
    assert_eq!(client.ask(&sent).await, fake::answer(&sent, 60, &[]));
    assert!(discoveries.try_recv().is_err());
    assert_eq!(counter(&relay.counters(), "held"), 0);
}

#[tokio::test]
async fn a_wildcard_of_one_family_hides_no_agent_of_the_other() {
    let zone = Zone {
        wildcard: Some(Entry {
            addresses: vec![SERVER6.into()],
            ttl: 60,
            ..Entry::default()
        }),
        ..dual().with("cha.server.example", SERVER6)
    };
    let server = Fake::start(zone.handler()).await;
    let (relay, _discoveries) = start(server.address, LONG);
    assert_eq!(
        relay.discover("server.example").await,
        Ok(vec![Found {
            correspondents: vec![SERVER.into()],
            agents: vec![AGENT.into()],
            key: None,
        }])
    );
    assert_eq!(
        relay.discover("other.example").await,
        Err(DiscoverError::Wildcard("other.example".into()))
    );
}

#[tokio::test]
async fn discover_asks_both_families() {
    let zone = dual()
        .with("six.example", SERVER6)
        .with("cha.six.example", AGENT6)
        .with("crossed.example", SERVER)
        .with("cha.crossed.example", AGENT6);
    let server = Fake::start(zone.handler()).await;
    let (relay, _discoveries) = start(server.address, LONG);
    let ipv4 = Found {
        correspondents: vec![SERVER.into()],
        agents: vec![AGENT.into()],
        key: None,
    };
    let ipv6 = Found {
        correspondents: vec![SERVER6.into()],
        agents: vec![AGENT6.into()],
        key: None,
    };
    assert_eq!(
        relay.discover("server.example").await,
        Ok(vec![ipv4, ipv6.clone()])
    );
    assert_eq!(relay.discover("six.example").await, Ok(vec![ipv6]));
    assert_eq!(
        relay.discover("crossed.example").await,
        Err(DiscoverError::NoAgent("crossed.example".into())),
        "an agent of the other family is none"
    );
}

#[tokio::test]
async fn name_servers_and_the_relay_may_have_ipv6_addresses() {
    let Ok(_loopback) = std::net::UdpSocket::bind("[::1]:0") else {
        eprintln!("SKIPPED name_servers_and_the_relay_may_have_ipv6_addresses: no IPv6");
        return;
    };
    let server = Fake::start_on(Ipv6Addr::LOCALHOST.into(), dual().handler()).await;
    let (sender, mut discoveries) = mpsc::channel(4);
    let config = RelayConfig {
        listen: "[::1]:0".parse().unwrap(),
        hold: LONG,
        ..config(&[server.address])
    };
    let relay = Relay::start(config, sender).unwrap();
    let client = Client::of(relay.local_addr()).await;
    let sent = query(3, "server.example", AAAA);
    client.send(&sent).await;
    discovery(&mut discoveries).await.ready.send(()).unwrap();
    let expected = fake::answer(&sent, 60, &[SERVER6.into()]);
    assert_eq!(client.receive().await, expected);

    let mut stream = TcpStream::connect(relay.local_addr()).await.unwrap();
    stream.write_all(&framed(&sent)).await.unwrap();
    discovery(&mut discoveries).await.ready.send(()).unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
    assert_eq!(counter(&relay.counters(), "drop_foreign_source"), 0);
}

/// In a network namespace of the test's own, two name servers have the same
/// address on different links.
#[test]
fn a_link_local_name_server_is_asked_on_its_own_link() {
    in_a_namespace(
        "a_link_local_name_server_is_asked_on_its_own_link",
        &[
            "ip link set lo up",
            "ip address add fe80::53/64 dev lo nodad",
            "ip link add near index 10 type veth peer name far index 11",
            "ip link set near up",
            "ip link set far up",
            "ip address add fe80::a/64 dev near nodad",
            "ip address add fe80::53/64 dev far nodad",
        ],
        async {
            let _loopback = name_server("[fe80::53%1]:53", AGENT6).await;
            let _far = name_server("[fe80::53%11]:53", OTHER_AGENT6).await;
            for (link, index, agent) in [("lo", 1, AGENT6), ("near", 10, OTHER_AGENT6)] {
                let agents = agents_through(link, index).await;
                assert_eq!(agents, [IpAddr::from(agent); 2], "{link}");
            }
        },
    );
}

async fn name_server(address: &str, agent: Ipv6Addr) -> Fake {
    let zone = Zone::new()
        .with("server.example", SERVER6)
        .with("cha.server.example", agent)
        .with("big.example", SERVER6)
        .with("cha.big.example", agent)
        .handler();
    Fake::start_at(address.parse().unwrap(), move |request| {
        // TCP needs the scope as well.
        if request.name() == "cha.big.example" && !request.tcp {
            return vec![truncated(&request.bytes).into()];
        }
        zone(request)
    })
    .await
}

/// The agents that a relay finds, over UDP and over TCP, which `resolv.conf` sends
/// to fe80::53 on `link`.
async fn agents_through(link: &str, index: u32) -> Vec<IpAddr> {
    let folder = std::env::temp_dir().join(format!("name-relay-{link}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let resolv_conf = folder.join("resolv.conf");
    std::fs::write(&resolv_conf, format!("nameserver fe80::53%{link}\n")).unwrap();
    let (sender, mut discoveries) = mpsc::channel(4);
    let config = RelayConfig {
        listen: "[::1]:53".parse().unwrap(),
        hold: LONG,
        resolv_conf: resolv_conf.clone(),
        state_dir: folder.join("state"),
        ..RelayConfig::default()
    };
    let relay = Relay::start(config, sender).unwrap();
    let written = std::fs::read_to_string(&resolv_conf).unwrap();
    let expected = format!("\nnameserver ::1\nnameserver fe80::53%{link}\n");
    assert!(written.contains(&expected), "{written}");
    let upstream: SocketAddr = format!("[fe80::53%{index}]:53").parse().unwrap();
    assert_eq!(relay.upstream(), [upstream]);

    let client = Client::of(relay.local_addr()).await;
    let mut agents = Vec::new();
    for name in ["server.example", "big.example"] {
        let sent = query(4, name, AAAA);
        client.send(&sent).await;
        let found = discovery(&mut discoveries).await;
        found.ready.send(()).unwrap();
        let expected = fake::answer(&sent, 60, &[SERVER6.into()]);
        assert_eq!(client.receive().await, expected);
        agents.extend(found.agents);
    }
    relay.shutdown().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    agents
}

/// An answer that is to be asked for again over TCP.
fn truncated(query: &[u8]) -> Vec<u8> {
    let mut bytes = fake::response(query, fake::NO_ERROR);
    bytes[2] |= 0x02;
    bytes
}

/// Runs `test` in a thread that alone enters a network namespace of its own.
fn in_a_namespace(name: &str, commands: &[&str], test: impl Future<Output = ()> + Send + 'static) {
    let commands: Vec<String> = commands
        .iter()
        .map(|command| (*command).to_owned())
        .collect();
    let skipped = std::thread::spawn(move || {
        if let Err(error) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
            return Some(error.to_string());
        }
        for command in commands {
            let mut words = command.split_whitespace();
            let status = std::process::Command::new(words.next().unwrap())
                .args(words)
                .status();
            if !status.is_ok_and(|status| status.success()) {
                return Some(format!("`{command}` failed"));
            }
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
        None
    })
    .join()
    .unwrap();
    if let Some(reason) = skipped {
        eprintln!("SKIPPED {name}: no network namespace ({reason})");
    }
}
