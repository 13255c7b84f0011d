//! Whatever happens, in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Happening {
    Bind,
    Release,
    ReleaseName,
    Path(Option<u8>, bool),
    Usage(Usage),
    Traffic {
        sent: u64,
        received: u64,
    },
    /// A reply to one of the latest messages.
    Reply {
        back: usize,
        code: u8,
        lifetime: u64,
        clock: i32,
    },
    Clock(i64),
    Time(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let codes = prop_oneof![
        6 => Just(0u8),
        1 => Just(129u8),
        1 => Just(133u8),
        1 => Just(136u8),
        1 => any::<u8>(),
    ];
    prop_oneof![
        3 => Just(Happening::Bind),
        1 => Just(Happening::Release),
        1 => Just(Happening::ReleaseName),
        4 => (proptest::option::weighted(0.8, 0u8..4), any::<bool>()).prop_map(|(n, usable)| Happening::Path(n, usable)),
        2 => prop_oneof![Just(Usage::Sockets), Just(Usage::None)].prop_map(Happening::Usage),
        2 => (0u64..5, 0u64..5).prop_map(|(sent, received)| Happening::Traffic { sent, received }),
        8 => (0usize..4, codes, 1u64..900, -9000i32..9000)
            .prop_map(|(back, code, lifetime, clock)| Happening::Reply { back, code, lifetime, clock }),
        1 => (-9000i64..9000).prop_map(Happening::Clock),
        6 => (0u64..100_000).prop_map(Happening::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Timers end, messages keep their pace and order, the data path has one tunnel at most, and
    /// stopping leaves nothing.
    #[test]
    fn ends_well(happenings in proptest::collection::vec(happening(), 1..80)) {
        let mut laptop = Laptop::new();
        let (mut sent, mut received) = (0, 0);
        for happening in happenings {
            match happening {
                Happening::Bind => laptop.bind(),
                Happening::Release => laptop.act(|node, now| node.release(agent(), now)),
                Happening::ReleaseName => {
                    laptop.act(|node, now| node.release_name("server.example", now));
                }
                Happening::Path(n, usable) => laptop.path(n.map(path), usable),
                Happening::Usage(usage) => {
                    laptop.sockets = usage;
                    laptop.act(|node, now| node.handle_usage(agent(), usage, now));
                }
                Happening::Traffic { sent: more, received: back } => {
                    sent += more;
                    received += back;
                    laptop.act(|node, now| node.handle_traffic(agent(), sent, received, now));
                }
                Happening::Reply { back, code, lifetime, clock } => {
                    if let Some(n) = laptop.sent.len().checked_sub(1 + back) {
                        laptop.answer(n, ReplyCode(code), |reply| {
                            if reply.lifetime != Lifetime::Zero {
                                reply.lifetime = Lifetime::Finite(seconds(lifetime));
                            }
                            if code == 133 {
                                let high = reply.identification.high().wrapping_add_signed(clock);
                                reply.identification = reply.identification.with_high(high);
                            }
                        });
                    }
                }
                Happening::Clock(step) => {
                    let unix_time = NEW_YEAR.as_secs().saturating_add_signed(step);
                    laptop.act(|node, now| node.handle_unix_time(seconds(unix_time), now));
                }
                Happening::Time(milliseconds) => laptop.advance(Duration::from_millis(milliseconds)),
            }
            prop_assert!(laptop.tunnels.len() <= 1);
            prop_assert!(laptop.node.snapshot(laptop.now).len() <= laptop.tunnels.len());
        }
        for window in laptop.sent.windows(6) {
            prop_assert!(window[5].at - window[0].at >= seconds(1), "six messages within a second");
        }
        laptop.act(MobileNode::release_all);
        prop_assert!(laptop.tunnels.is_empty());
        prop_assert!(laptop.node.agents().is_empty());
        prop_assert_eq!(laptop.node.poll_timeout(), None);
    }

    #[test]
    fn no_octets_matter_that_prove_nothing(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut laptop = Laptop::active();
        laptop.advance(seconds(480));
        let before = laptop.node.bindings(laptop.now);
        laptop.deliver(&payload);
        prop_assert_eq!(laptop.node.bindings(laptop.now), before);
    }
}
