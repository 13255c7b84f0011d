//! Random lives of some mobile nodes, beside a model that keeps only what a mobile node could see.

use proptest::prelude::*;

use super::*;

const NODES: [&str; 5] = [
    "a@example.net",
    "b@example.net",
    "c@example.net",
    "d@example.net",
    "e@example.net",
];
/// 10.128.0.0/30 and 10.128.0.8/31: four addresses for five mobile nodes.
const ADDRESSES: u64 = 4;
const HOLD_DOWN: Duration = secs(30);
const LIFETIME: Duration = secs(100);

#[derive(Debug, Clone)]
enum Step {
    /// Asks for any address, from this host.
    Ask {
        node: usize,
        host: u8,
    },
    /// Asks for the address this other node has or had.
    Name {
        node: usize,
        of: usize,
        host: u8,
    },
    /// Returns the address this other node has or had.
    Release {
        node: usize,
        of: usize,
    },
    /// Delivers again what was accepted before.
    Replay(usize),
    Wait(u64),
    Restart(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, host) = (0..NODES.len(), 1..5_u8);
    prop_oneof![
        4 => (node.clone(), host.clone()).prop_map(|(node, host)| Step::Ask { node, host }),
        3 => (node.clone(), node.clone(), host).prop_map(|(node, of, host)| Step::Name { node, of, host }),
        3 => (node.clone(), node).prop_map(|(node, of)| Step::Release { node, of }),
        2 => any::<usize>().prop_map(Step::Replay),
        2 => (0..60_u64).prop_map(Step::Wait),
        1 => (0..60_u64).prop_map(Step::Restart),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Bound { host: u8, until: Duration },
    Held { until: Duration },
}

/// What each mobile node has or had, by Unix time.
#[derive(Debug, Default)]
struct Model {
    leases: BTreeMap<usize, (Ipv4Addr, Has)>,
    /// The last address of each, also when it is no longer its own.
    last: BTreeMap<usize, Ipv4Addr>,
}

impl Model {
    fn pass(&mut self, now: Duration) {
        self.leases.retain(|_, (_, has)| {
            if let Has::Bound { until, .. } = *has
                && until <= now
            {
                *has = Has::Held {
                    until: until + HOLD_DOWN,
                };
            }
            !matches!(*has, Has::Held { until } if until <= now)
        });
    }

    fn owner(&self, address: Ipv4Addr) -> Option<usize> {
        self.leases
            .iter()
            .find(|(_, (leased, _))| *leased == address)
            .map(|(node, _)| *node)
    }

    fn bound(&self) -> Vec<(Ipv4Addr, u8, Duration)> {
        let mut bound: Vec<_> = self
            .leases
            .values()
            .filter_map(|(address, has)| match has {
                Has::Bound { host, until } => Some((*address, *host, *until)),
                Has::Held { .. } => None,
            })
            .collect();
        bound.sort_unstable();
        bound
    }
}

proptest! {
    #[test]
    fn mobile_nodes_see_what_the_model_says(steps in prop::collection::vec(step(), 1..120)) {
        let small = || Config {
            pools: vec!["10.128.0.0/30".parse().unwrap(), "10.128.0.8/31".parse().unwrap()],
            hold_down: HOLD_DOWN,
            default_lifetime: LIFETIME,
            mobile_nodes: vec![],
            ..config()
        };
        let mut world = World::with(small());
        let mut model = Model::default();
        let mut accepted: Vec<(Vec<u8>, SocketAddr)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { node, host } => {
                    let ask = world.ask(NODES[node], host);
                    let now = world.agent.clock.unix_time(world.now);
                    model.pass(now);
                    let reply = world.send(&ask).unwrap();
                    if reply.code.0 == 0 {
                        accepted.push((ask.octets(), ask.source));
                    }
                    let address = reply.home_address;
                    let has = Has::Bound { host, until: now + LIFETIME };
                    match model.leases.get(&node) {
                        Some((own, _)) => prop_assert_eq!((reply.code.0, address), (0, *own)),
                        None if model.leases.len() as u64 == ADDRESSES => {
                            prop_assert_eq!(reply.code.0, 130);
                            continue;
                        }
                        None => {
                            prop_assert_eq!(reply.code.0, 0);
                            prop_assert_eq!(model.owner(address), None);
                        }
                    }
                    model.leases.insert(node, (address, has));
                    model.last.insert(node, address);
                }
                Step::Name { node, of, host } => {
                    let Some(address) = model.last.get(&of).copied() else { continue };
                    let ask = world.ask(NODES[node], host).of(address);
                    let now = world.agent.clock.unix_time(world.now);
                    model.pass(now);
                    let reply = world.send(&ask).unwrap();
                    if reply.code.0 == 0 {
                        accepted.push((ask.octets(), ask.source));
                    }
                    if model.owner(address) == Some(node) {
                        prop_assert_eq!(reply.code.0, 0);
                        model.leases.insert(node, (address, Has::Bound { host, until: now + LIFETIME }));
                    } else {
                        prop_assert_eq!(reply.code.0, 129);
                    }
                }
                Step::Release { node, of } => {
                    let Some(address) = model.last.get(&of).copied() else { continue };
                    let mut ask = world.ask(NODES[node], 1).release(address);
                    ask.request.care_of_address = address;
                    let now = world.agent.clock.unix_time(world.now);
                    model.pass(now);
                    let reply = world.send(&ask).unwrap();
                    if reply.code.0 == 0 {
                        accepted.push((ask.octets(), ask.source));
                    }
                    match model.leases.get_mut(&node) {
                        Some((own, has)) if *own == address => {
                            prop_assert_eq!(reply.code.0, 0);
                            if matches!(has, Has::Bound { .. }) {
                                *has = Has::Held { until: now + HOLD_DOWN };
                            }
                        }
                        Some(_) => prop_assert_eq!(reply.code.0, 129),
                        // It may still be remembered, or not: nothing happens either way.
                        None => prop_assert!([0, 129].contains(&reply.code.0)),
                    }
                }
                Step::Replay(which) => {
                    let Some(index) = which.checked_rem(accepted.len()) else { continue };
                    let (octets, source) = accepted[index].clone();
                    let before = (world.bindings(), world.store.clone());
                    world.deliver(&octets, source);
                    prop_assert_eq!((world.bindings(), world.store.clone()), before);
                }
                Step::Wait(seconds) => world.wait(secs(seconds)),
                Step::Restart(seconds) => {
                    world.restart(small(), secs(seconds));
                }
            }
            let now = world.agent.clock.unix_time(world.now);
            model.pass(now);
            let seen: Vec<_> = world.bindings().iter().map(|binding| {
                let (IpAddr::V4(address), IpAddr::V4(care_of)) = (binding.home_address.ip(), binding.care_of.ip()) else { panic!() };
                (address, care_of.octets()[3], now + binding.expires_in)
            }).collect();
            prop_assert_eq!(&seen, &model.bound());
            let usage = world.agent.pool_usage();
            let used: u64 = usage.iter().map(|usage| usage.used).sum();
            let held: u64 = usage.iter().map(|usage| usage.held_down).sum();
            prop_assert_eq!(used, seen.len() as u64);
            prop_assert_eq!(used + held, model.leases.len() as u64);
        }
    }
}
