//! Names that give one address: it is reached through an agent only as long as all of them have it.

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

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fake::bench::{Bench, LONG, MS, discovery};
use fake::{A, AAAA, Fake, SERVER_FAILURE, Zone, query};
use name_relay::Policy;

/// A bank, and two agents, in one family.
#[derive(Clone, Copy)]
struct Cast {
    bank: IpAddr,
    agent: IpAddr,
    other: IpAddr,
}

const CASTS: [Cast; 2] = [
    Cast {
        bank: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        agent: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
        other: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8)),
    },
    Cast {
        bank: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        agent: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 7)),
        other: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 8)),
    },
];

impl Cast {
    /// The bank has no agent; somebody else's name has its address, and one.
    fn zone(self) -> Zone {
        Zone::new()
            .with("bank.example", self.bank)
            .with("evil.example", self.bank)
            .with("cha.evil.example", self.agent)
    }

    fn question(self, name: &str) -> Vec<u8> {
        query(7, name, if self.bank.is_ipv4() { A } else { AAAA })
    }
}

async fn begin(zone: Zone) -> Bench {
    begin_with(zone, Policy::any()).await
}

async fn begin_with(zone: Zone, allow: Policy) -> Bench {
    let server = Fake::start(zone.handler()).await;
    Bench::new(server, |config| config.allow = allow).await
}

/// An application asks for a name with an agent, and the mobile node wants
/// to bind. Gives what may be captured.
async fn visit(bench: &mut Bench, cast: Cast, name: &str) -> Vec<IpAddr> {
    let found = bench.visit(&cast.question(name)).await;
    assert_eq!(found.name, name);
    let captured = bench.relay.capture(found.agents[0], &found.correspondents);
    found.ready.send(()).unwrap();
    bench.client.receive().await;
    captured
}

#[tokio::test]
async fn a_name_without_the_agent_that_comes_later_takes_the_address_back_before_it_is_answered() {
    for cast in CASTS {
        let mut bench = begin(cast.zone()).await;
        assert_eq!(visit(&mut bench, cast, "evil.example").await, [cast.bank]);
        let asked = cast.question("bank.example");
        bench.client.send(&asked).await;
        let found = bench.contradiction().await;
        assert_eq!(found.captured, [(cast.bank, cast.agent)]);
        assert_eq!(bench.client.receive_within(150 * MS).await, None, "held");
        bench.relay.set_captured(BTreeMap::new());
        found.withdrawn.send(()).unwrap();
        let answer = bench.client.receive_within(LONG / 2).await.unwrap();
        assert_eq!(answer, fake::answer(&asked, 60, &[cast.bank]));
        assert_eq!(bench.counter("captures_withdrawn"), 1);

        // And the other one does not get it again.
        assert!(visit(&mut bench, cast, "evil.example").await.is_empty());
        assert_eq!(bench.counter("drop_contradicted"), 1);
    }
}

#[tokio::test]
async fn a_name_without_the_agent_that_came_first_keeps_the_address() {
    for cast in CASTS {
        let mut bench = begin(cast.zone()).await;
        bench.client.ask(&cast.question("bank.example")).await;
        assert!(visit(&mut bench, cast, "evil.example").await.is_empty());
        // Another name of the attacker's changes nothing, nor does asking.
        assert!(visit(&mut bench, cast, "evil.example").await.is_empty());
        bench.client.ask(&cast.question("bank.example")).await;
        assert_eq!(bench.counter("drop_contradicted"), 2);
        assert!(bench.reports.try_recv().is_err());
    }
}

#[tokio::test]
async fn of_two_agents_for_one_address_neither_has_it() {
    for cast in CASTS {
        let zone = || cast.zone().with("cha.bank.example", cast.other);
        for [first, second] in [
            ["evil.example", "bank.example"],
            ["bank.example", "evil.example"],
        ] {
            let mut bench = begin(zone()).await;
            assert_eq!(visit(&mut bench, cast, first).await, [cast.bank]);
            bench.client.send(&cast.question(second)).await;
            let found = bench.contradiction().await;
            assert_eq!(found.captured[0].0, cast.bank);
            bench.relay.set_captured(BTreeMap::new());
            found.withdrawn.send(()).unwrap();
            let found = discovery(&mut bench.reports).await;
            assert_eq!(found.name, second);
            let captured = bench.relay.capture(found.agents[0], &found.correspondents);
            assert!(captured.is_empty());
        }
    }
}

#[tokio::test]
async fn an_answer_counts_when_its_binding_is_gone() {
    for cast in CASTS {
        let zone = cast.zone().with("cha.bank.example", cast.other);
        let mut bench = begin(zone).await;
        assert_eq!(visit(&mut bench, cast, "bank.example").await, [cast.bank]);
        bench.relay.set_captured(BTreeMap::new());
        assert!(visit(&mut bench, cast, "evil.example").await.is_empty());
    }
}

#[tokio::test]
async fn names_that_share_address_and_agent_do_not_disturb_each_other() {
    for cast in CASTS {
        let zone = cast
            .zone()
            .slow("cha.www.evil.example", cast.agent, 200 * MS)
            .with("www.evil.example", cast.bank);
        let mut bench = begin(zone).await;
        assert_eq!(visit(&mut bench, cast, "evil.example").await, [cast.bank]);
        // This one is waited for longer than usual rather than distrusted.
        assert_eq!(
            visit(&mut bench, cast, "www.evil.example").await,
            [cast.bank]
        );
        assert_eq!(bench.counter("captures_withdrawn"), 0);
    }
}

#[tokio::test]
async fn names_that_may_not_lead_to_an_agent_count_too() {
    for cast in CASTS {
        let zone = cast.zone().with("printer.local", cast.bank);
        for name in ["bank.example", "printer.local"] {
            let allow = Policy::allow_list(["evil.example"]);
            let mut bench = begin_with(zone.clone(), allow).await;
            bench.client.ask(&cast.question(name)).await;
            assert!(
                visit(&mut bench, cast, "evil.example").await.is_empty(),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_is_withheld_while_nobody_says_that_it_is_safe() {
    let cast = CASTS[0];
    let mut bench = begin(cast.zone()).await;
    assert_eq!(visit(&mut bench, cast, "evil.example").await, [cast.bank]);
    let asked = cast.question("bank.example");
    bench.client.send(&asked).await;
    drop(bench.contradiction().await);
    let answer = bench.client.receive().await;
    assert_eq!(answer, fake::response(&asked, SERVER_FAILURE));
    assert_eq!(bench.counter("drop_unconfirmed"), 1);
}

#[tokio::test]
async fn a_name_of_which_nothing_can_be_learnt_counts_as_one_without() {
    let cast = CASTS[0];
    let silent = fake::Entry {
        silent: true,
        ..fake::Entry::default()
    };
    let zone = cast.zone().entry("cha.bank.example", silent);
    let mut bench = begin(zone).await;
    assert_eq!(visit(&mut bench, cast, "evil.example").await, [cast.bank]);
    bench.client.send(&cast.question("bank.example")).await;
    let found = bench.contradiction().await;
    found.withdrawn.send(()).unwrap();
    assert!(bench.client.receive_within(LONG).await.is_some());
}
