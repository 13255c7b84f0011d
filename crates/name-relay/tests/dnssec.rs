//! With a trust anchor only signed answers lead to an agent. The signed zones are made here, and
//! what a liar would make of them.

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

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fake::bench::{Bench, LONG, MS};
use fake::{A, AAAA, Fake, TXT, query};
use name_relay::{DiscoverError, Discovery};
use signed_zone::{Question, Zone};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const AGENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const LIAR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));
const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const AGENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 7));

fn zone() -> Zone {
    Zone::new("example.")
        .with("server.example.", SERVER)
        .with("server.example.", SERVER6)
        .with("cha.server.example.", AGENT)
        .with("cha.server.example.", AGENT6)
}

/// A relay that believes in the keys of `trusted`, at a name server that
/// answers so.
async fn begin(
    trusted: &Zone,
    answer: impl Fn(&Question) -> Vec<u8> + Send + Sync + 'static,
) -> Bench {
    let server =
        Fake::start(move |request| vec![answer(&Question::parse(&request.bytes)).into()]).await;
    let anchor = trusted.anchor().parse().unwrap();
    Bench::new(server, |config| {
        config.lookup_window = LONG;
        config.validate = Some(anchor);
    })
    .await
}

async fn visit(bench: &mut Bench, kind: u16) -> Discovery {
    bench.visit(&query(7, "server.example", kind)).await
}

/// Nobody is led to an agent, and the application gets its answer.
async fn leads_nowhere(bench: &mut Bench, why: &str) {
    let answer = bench.client.ask(&query(7, "server.example", A)).await;
    assert!(answer.len() > 40, "{why}: {answer:?}");
    assert!(bench.reports.try_recv().is_err(), "{why}");
    let found = bench.relay.discover("server.example").await;
    assert!(found.is_err(), "{why}: {found:?}");
}

#[tokio::test]
async fn signed_answers_lead_to_an_agent_in_both_families() {
    let zone = zone();
    let mut bench = begin(&zone.clone(), move |question| zone.answer(question)).await;
    for (kind, server, agent) in [(A, SERVER, AGENT), (AAAA, SERVER6, AGENT6)] {
        let found = visit(&mut bench, kind).await;
        assert_eq!(
            (found.correspondents, found.agents),
            (vec![server], vec![agent])
        );
        found.ready.send(()).unwrap();
        bench.client.receive().await;
    }
    let found = bench.relay.discover("server.example").await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(bench.counter("drop_insecure"), 0);
}

#[tokio::test]
async fn what_the_application_gets_is_what_came() {
    let zone = zone();
    let mut bench = begin(&zone.clone(), move |question| zone.answer(question)).await;
    let found = visit(&mut bench, A).await;
    found.ready.send(()).unwrap();
    let sent = query(7, "server.example", A);
    assert_eq!(
        bench.client.receive().await,
        fake::answer(&sent, 60, &[SERVER])
    );
    // With DNSSEC OK and CD of its own the application gets the signatures too.
    let mut sent = query(8, "cha.server.example", A);
    sent[3] |= 0x10;
    sent[11] = 1;
    sent.extend([0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
    let answer = bench.client.ask(&sent).await;
    let asked = bench.server.requests();
    let asked = asked.iter().find(|request| request.bytes[2..] == sent[2..]);
    assert_eq!(
        fake::with_id(&asked.expect("as it was sent").bytes, 8),
        sent
    );
    assert!(answer.len() > 100, "{}", answer.len());
}

#[tokio::test]
async fn a_zone_without_an_agent_says_so_by_signature() {
    let zone = Zone::new("example.").with("server.example.", SERVER);
    let bench = begin(&zone.clone(), move |question| zone.answer(question)).await;
    for _ in 0..2 {
        bench.client.ask(&query(7, "server.example", A)).await;
    }
    assert_eq!(
        bench.server.asked("cha.server.example", A),
        1,
        "it is remembered"
    );
    assert_eq!(
        bench.relay.discover("server.example").await,
        Err(DiscoverError::NoAgent("server.example".into()))
    );
}

#[tokio::test]
async fn answers_signed_with_another_key_or_not_at_all_lead_nowhere() {
    let forged = Zone::new("example.")
        .with("server.example.", SERVER)
        .with("cha.server.example.", LIAR);
    for about in ["cha.server.example.", "server.example."] {
        for forged in [forged.clone(), forged.clone().unsigned()] {
            let zone = zone();
            let mut bench = begin(&zone.clone(), move |question| {
                match question.is_about(about) {
                    true => forged.answer(question),
                    false => zone.answer(question),
                }
            })
            .await;
            leads_nowhere(&mut bench, about).await;
        }
    }
}

#[tokio::test]
async fn a_zone_that_need_not_be_signed_leads_nowhere() {
    let below = Zone::new("server.example.")
        .with("server.example.", SERVER)
        .with("cha.server.example.", AGENT)
        .unsigned();
    let zone = Zone::new("example.").delegate("server.example.");
    let mut bench = begin(&zone.clone(), move |question| {
        match [A, AAAA].contains(&question.kind()) {
            true => below.answer(question),
            false => zone.answer(question),
        }
    })
    .await;
    leads_nowhere(&mut bench, "an unsigned zone").await;
    assert_eq!(
        bench.relay.discover("server.example").await,
        Err(DiscoverError::Insecure("server.example".into()))
    );
    assert!(bench.counter("drop_insecure") > 0);
}

#[tokio::test]
async fn a_zone_outside_the_anchor_leads_nowhere() {
    let zone = zone();
    let other = Zone::new("org.");
    let mut bench = begin(&other, move |question| zone.answer(question)).await;
    leads_nowhere(&mut bench, "no chain to the anchor").await;
}

#[tokio::test]
async fn a_signed_record_of_another_name_is_not_the_agents() {
    let zone = zone().with("evil.example.", LIAR);
    let mut bench = begin(&zone.clone(), move |question| {
        match question.is_about("cha.server.example.") {
            true => zone.answer_with(question, "evil.example."),
            false => zone.answer(question),
        }
    })
    .await;
    assert_eq!(visit(&mut bench, A).await.agents, [AGENT]);
}

#[tokio::test]
async fn only_signed_addresses_are_reached_through_the_agent() {
    let zone = zone();
    let forged = Zone::new("example.")
        .with("server.example.", SERVER)
        .with("server.example.", LIAR);
    // Who asks without wanting signatures is the application.
    let mut bench = begin(&zone.clone(), move |question| {
        match question.wants_signatures() {
            true => zone.answer(question),
            false => forged.answer(question),
        }
    })
    .await;
    let found = visit(&mut bench, A).await;
    assert_eq!(found.correspondents, [SERVER]);
    found.ready.send(()).unwrap();
    let sent = query(7, "server.example", A);
    let answer = fake::answer(&sent, 60, &[SERVER, LIAR]);
    assert_eq!(bench.client.receive().await, answer, "as it came");
}

#[tokio::test]
async fn an_answer_with_none_of_the_signed_addresses_leads_nowhere() {
    let zone = zone();
    let forged = Zone::new("example.").with("server.example.", LIAR);
    let mut bench = begin(&zone.clone(), move |question| {
        match question.wants_signatures() {
            true => zone.answer(question),
            false => forged.answer(question),
        }
    })
    .await;
    bench.client.ask(&query(7, "server.example", A)).await;
    assert!(bench.reports.try_recv().is_err());
    assert_eq!(bench.counter("drop_insecure"), 1);
}

#[tokio::test]
async fn an_alias_counts_only_if_it_is_signed() {
    let zone = || {
        Zone::new("example.")
            .with("server.example.", SERVER)
            .with("agents.example.", AGENT)
            .alias("cha.server.example.", "agents.example.")
    };
    let honest = zone();
    let mut bench = begin(&honest.clone(), move |question| honest.answer(question)).await;
    assert_eq!(visit(&mut bench, A).await.agents, [AGENT]);

    // The address at its end is signed, the alias is a lie.
    let (zone, forged) = (zone(), zone().unsigned());
    let mut bench = begin(&zone.clone(), move |question| {
        match question.is_about("cha.server.example.") {
            true => forged.answer_then(question, &zone),
            false => zone.answer(question),
        }
    })
    .await;
    leads_nowhere(&mut bench, "an unsigned alias").await;
}

const KEY: &str = "v=cha1; x25519=0909090909090909090909090909090909090909090909090909090909090909";

/// A relay at a name server that answers honestly but for the key of the agent; none where there is
/// no answer.
async fn begin_with_texts(
    zone: &Zone,
    texts: impl Fn(&Question) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Bench {
    let honest = zone.clone();
    let server = Fake::start(move |request| {
        let question = Question::parse(&request.bytes);
        let answer = match question.kind() == TXT {
            true => texts(&question),
            false => Some(honest.answer(&question)),
        };
        answer.into_iter().map(Into::into).collect()
    });
    let anchor = zone.anchor().parse().unwrap();
    Bench::new(server.await, |config| {
        config.hold = 600 * MS;
        config.lookup_window = LONG;
        config.validate = Some(anchor);
    })
    .await
}

#[tokio::test]
async fn a_key_counts_only_if_it_is_signed() {
    let zone = zone().text("cha.server.example.", KEY);
    let honest = zone.clone();
    let mut bench = begin(&zone, move |question| honest.answer(question)).await;
    assert_eq!(visit(&mut bench, A).await.key, Some([9; 32]));

    let forged = zone.clone().unsigned();
    let mut bench = begin_with_texts(&zone, move |question| Some(forged.answer(question))).await;
    leads_nowhere(&mut bench, "a key that is not signed").await;
    assert!(bench.counter("drop_unproven_key") > 0);
}

#[tokio::test]
async fn an_agent_without_a_key_says_so_by_signature() {
    let honest = zone();
    let mut bench = begin(&honest.clone(), move |question| honest.answer(question)).await;
    assert_eq!(visit(&mut bench, A).await.key, None);
    assert_eq!(bench.counter("drop_unproven_key"), 0);
}

#[tokio::test]
async fn an_agent_whose_key_is_suppressed_leads_nowhere() {
    let zone = zone().text("cha.server.example.", KEY);
    let without = || Zone::new("example.").with("cha.server.example.", AGENT);
    let (other_key, unsigned) = (without(), without().unsigned());
    let elsewhere = without()
        .alias("cha.server.example.", "server.example.")
        .unsigned();
    let below = zone.clone();
    type Answers = Box<dyn Fn(&Question) -> Option<Vec<u8>> + Send + Sync>;
    let lies: [(&str, Answers); 6] = [
        ("dropped", Box::new(|_| None)),
        (
            "an empty answer",
            Box::new(move |question| Some(unsigned.answer(question))),
        ),
        (
            "a denial under another key",
            Box::new(move |question| Some(other_key.answer(question))),
        ),
        (
            "an alias to a name without one",
            Box::new(move |question| match question.is_about("server.example.") {
                true => Some(below.answer(question)),
                false => Some(elsewhere.answer(question)),
            }),
        ),
        ("refused", Box::new(|question| Some(question.fail(5)))),
        ("failed", Box::new(|question| Some(question.fail(2)))),
    ];
    for (why, lie) in lies {
        let mut bench = begin_with_texts(&zone, lie).await;
        let began = Instant::now();
        bench.client.ask(&query(7, "server.example", A)).await;
        let took = began.elapsed();
        assert!(took < 1200 * MS, "{why}: the hold is over: {took:?}");
        leads_nowhere(&mut bench, why).await;
        assert_eq!(
            bench.relay.discover("server.example").await,
            Err(DiscoverError::UnprovenKey("server.example".into())),
            "{why}"
        );
        assert!(bench.counter("drop_unproven_key") > 0, "{why}");
    }
}

#[tokio::test]
async fn a_key_that_was_suppressed_for_a_while_counts_from_then_on() {
    let zone = zone().text("cha.server.example.", KEY);
    let (honest, passes) = (zone.clone(), Arc::new(AtomicBool::new(false)));
    let pass = Arc::clone(&passes);
    let mut bench = begin_with_texts(&zone, move |question| {
        let passes = pass.load(Ordering::Relaxed);
        passes.then(|| honest.answer(question))
    })
    .await;
    leads_nowhere(&mut bench, "dropped").await;
    passes.store(true, Ordering::Relaxed);
    let found = bench.relay.discover("server.example").await.unwrap();
    assert_eq!(found[0].key, Some([9; 32]));
}

#[tokio::test]
async fn an_alias_leads_to_an_agent_without_a_key() {
    // The denial that comes with the alias is of its end, where no question was.
    let zone = Zone::new("example.")
        .with("server.example.", SERVER)
        .with("agents.example.", AGENT)
        .alias("cha.server.example.", "agents.example.");
    for denies in [false, true] {
        let answers = zone.clone();
        let mut bench = begin_with_texts(&zone, move |question| {
            Some(match denies {
                true => answers.answer_to_the_end(question),
                false => answers.answer(question),
            })
        })
        .await;
        assert_eq!(visit(&mut bench, A).await.key, None, "{denies}");
    }
}
