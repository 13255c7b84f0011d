//! What outlives the process.

use super::*;

const ALICE: &str = "alice@example.net";
const BOB: &str = "bob@example.net";

#[test]
fn bindings_go_on_after_a_restart() {
    let mut world = World::new();
    let alice = world.bound(ALICE, 7);
    let laptop = world.bound(LAPTOP, 8);
    let before = world.bindings();
    let summary = world.restart(config(), secs(100));
    assert_eq!(
        summary,
        RestoreSummary {
            bound: 2,
            ..RestoreSummary::default()
        }
    );
    let mut installed = world.take_events();
    installed.sort_unstable_by_key(|event| format!("{event:?}"));
    let mut expected = [tunnel(alice, 7, None), tunnel(laptop, 8, None)];
    expected.sort_unstable_by_key(|event| format!("{event:?}"));
    assert_eq!(installed, expected);
    for (after, before) in world.bindings().iter().zip(before) {
        assert_eq!(after.expires_in, before.expires_in - secs(100));
        assert_eq!(
            BindingView {
                expires_in: before.expires_in,
                ..after.clone()
            },
            before
        );
    }
    assert_eq!(world.used(), (2, 0));
    for (identity, address) in [(ALICE, alice), (LAPTOP, laptop)] {
        let ask = world.ask(identity, 9).of(address);
        assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
    }
    assert_ne!(world.bound(BOB, 9), alice);
}

#[test]
fn nothing_accepted_before_a_restart_is_accepted_after_it() {
    let mut world = World::new();
    let early = world.ask(ALICE, 8);
    let ask = world.ask(ALICE, 7);
    let address = world.send(&ask).unwrap().home_address;
    world.restart(config(), secs(1));
    assert_eq!(world.send(&early).unwrap().code.0, 133);
    let again = world.send(&ask).unwrap();
    assert_eq!((again.code.0, again.home_address), (0, address));
    assert_eq!(
        again.lifetime,
        Lifetime::Finite(secs(599)),
        "the same, and no longer"
    );
    assert_eq!(world.bindings()[0].care_of, at(7));

    let end = world.ask(ALICE, 7).release(address);
    world.send(&end).unwrap();
    world.restart(config(), secs(1));
    assert_eq!(world.send(&ask).unwrap().code.0, 133);
    assert_eq!(world.bindings(), []);
}

#[test]
fn a_hold_down_goes_on_after_a_restart() {
    let small = Config {
        pools: vec!["10.128.0.4/32".parse().unwrap()],
        mobile_nodes: vec![],
        ..config()
    };
    let mut world = World::with(small.clone());
    let address = world.bound(ALICE, 7);
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    let summary = world.restart(small.clone(), secs(100));
    assert_eq!(
        summary,
        RestoreSummary {
            released: 1,
            ..RestoreSummary::default()
        }
    );
    assert_eq!(world.used(), (0, 1));
    world.wait(secs(139));
    let ask = world.ask(BOB, 8);
    assert_eq!(world.send(&ask).unwrap().code.0, 130);
    assert_eq!(world.bound(ALICE, 7), address, "its owner is still known");
    let ask = world.ask(ALICE, 7).release(address);
    world.send(&ask).unwrap();
    world.restart(small, secs(240));
    assert!(world.store.is_empty(), "it is over, and so is the record");
    assert_eq!(world.bound(BOB, 8), address);
}

#[test]
fn what_expired_meanwhile_is_held_down_from_its_expiry() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let summary = world.restart(config(), secs(700));
    assert_eq!(
        summary,
        RestoreSummary {
            expired: 1,
            ..RestoreSummary::default()
        }
    );
    assert_eq!(world.take_events(), [], "nothing to install");
    assert_eq!(world.used(), (0, 1));
    assert!(matches!(
        world.store.values().next().unwrap().lease,
        StoredLease::Released { .. }
    ));
    assert_eq!(world.bound(ALICE, 7), address);

    let summary = world.restart(config(), secs(600 + 240));
    assert_eq!(
        summary,
        RestoreSummary {
            forgotten: 1,
            ..RestoreSummary::default()
        }
    );
    assert_eq!(world.used(), (0, 0));
    assert!(world.store.is_empty());
}

#[test]
fn a_lost_store_makes_everybody_start_again() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    world.store.clear();
    world.restart(config(), secs(10));
    for (who, host) in [(ALICE, 7), (BOB, 8)] {
        let ask = world.ask(who, host).of(address);
        assert_eq!(world.send(&ask).unwrap().code.0, 129);
    }
    world.bound(ALICE, 7);
}

#[test]
fn a_configuration_that_changed_decides() {
    let mut world = World::new();
    let alice = world.bound(ALICE, 7);
    let laptop = world.bound(LAPTOP, 8);
    let phone = world.bound(PHONE, 9);

    // The phone has another key now, the laptop's address is free for all, Alice's is the phone's.
    let mut changed = config();
    changed.mobile_nodes[0].address = None;
    changed.mobile_nodes[1].association.key = Key::new([0xff; 32]).unwrap();
    changed.mobile_nodes[1].address = Some(alice.into());
    let summary = world.restart(changed.clone(), secs(10));
    // The laptop keeps what it has: it is an address like any other now.
    assert_eq!(
        summary,
        RestoreSummary {
            bound: 1,
            discarded: 2,
            ..RestoreSummary::default()
        }
    );
    assert_eq!(world.bindings().len(), 1);
    assert_eq!(world.bindings()[0].home_address, home(laptop));
    assert_eq!(world.used(), (1, 1), "the phone's former address rests");
    let mut ask = world.ask(PHONE, 9);
    ask.association = changed.mobile_nodes[1].association.clone();
    let reply = world.send(&ask).unwrap();
    assert_eq!(reply.home_address, alice);
    assert_ne!(reply.home_address, phone);

    // The pool is another one.
    world.wait(secs(20));
    let moved = Config {
        pools: vec!["10.200.0.0/24".parse().unwrap()],
        mobile_nodes: vec![],
        ..config()
    };
    let summary = world.restart(moved, secs(10));
    assert_eq!((summary.bound, summary.discarded), (0, 2));
    assert!(world.store.is_empty());
}

#[test]
fn a_key_is_changed_one_side_after_the_other() {
    let mut world = World::new();
    let address = world.bound(LAPTOP, 7);

    // The home agent knows both.
    let mut both = config();
    let mut new = both.mobile_nodes[0].clone();
    new.association.spi = 300;
    new.association.key = Key::new([0xab; 32]).unwrap();
    both.mobile_nodes.push(new.clone());
    assert_eq!(world.restart(both, secs(10)).bound, 1);
    let mut ask = world.ask(LAPTOP, 8).of(address);
    assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);

    // The laptop changes over, and back, and changes over.
    for association in [&new.association, &association(LAPTOP), &new.association] {
        ask = world.ask(LAPTOP, 9).of(address);
        ask.association = association.clone();
        assert_eq!(world.send(&ask).unwrap().code, ReplyCode::ACCEPTED);
        assert_eq!(world.bindings().len(), 1, "it is the laptop's");
    }
    assert_eq!(world.counter("bindings_refreshed"), 2);

    // The home agent forgets the old one, and what is made with it is worth nothing.
    let mut last = config();
    last.mobile_nodes[0] = new;
    assert_eq!(world.restart(last, secs(10)).bound, 1);
    let old = world.ask(LAPTOP, 10).of(address);
    assert_eq!(world.deliver(&old.octets(), old.source), None);
    assert_eq!(world.counter("drop_unknown_association"), 1);
    assert_eq!(world.bindings()[0].care_of, at(9));
}

#[test]
fn a_clock_set_back_lengthens_no_binding() {
    let mut world = World::new();
    world.bound(ALICE, 7);
    let records: Vec<StoredRecord> = world.store.values().cloned().collect();
    let mut agent = HomeAgent::new(config(), [3; 32], world.now, secs(1000)).unwrap();
    agent.restore(records, world.now);
    assert_eq!(
        agent.bindings(world.now).next().unwrap().expires_in,
        secs(600)
    );
}

#[test]
fn a_clock_that_was_set_is_written_down() {
    let mut world = World::new();
    world.bound(ALICE, 7);
    world.bound(BOB, 8);
    world
        .agent
        .handle_unix_time(NEW_YEAR + secs(31_536_000), world.now);
    world.round();
    let summary = world.restart(config(), secs(10));
    assert_eq!(summary.bound, 2);

    // Drift is not worth it.
    let drifted = world.agent.clock.unix_time(world.now) + Duration::from_millis(900);
    world.agent.handle_unix_time(drifted, world.now);
    assert_eq!(world.agent.poll_store_change(), None);
}

#[test]
fn a_record_that_contradicts_another_is_discarded() {
    let mut world = World::new();
    let address = world.bound(ALICE, 7);
    let record = world.store.values().next().unwrap().clone();
    let twin = StoredRecord {
        identity: Identity::new(BOB).unwrap(),
        ..record
    };
    world.store.insert(twin.owner(), twin);
    let summary = world.restart(config(), secs(1));
    assert_eq!((summary.bound, summary.discarded), (1, 1));
    assert_eq!(world.bindings()[0].home_address, home(address));
    assert_eq!(world.used(), (1, 0));
}

#[test]
fn who_lost_his_address_to_a_new_configuration_is_not_believed_twice() {
    let changed = Config {
        pools: vec!["10.200.0.0/24".parse().unwrap()],
        mobile_nodes: vec![],
        ..config()
    };
    let fixed = |world: &World| {
        let mut config = config();
        config.mobile_nodes[1].address = Some(world.bindings()[0].home_address.ip());
        config
    };
    for released in [false, true] {
        for moved in [false, true] {
            let mut world = World::new();
            let ask = world.ask(ALICE, 7);
            let address = world.send(&ask).unwrap().home_address;
            let next = if moved {
                changed.clone()
            } else {
                fixed(&world)
            };
            if released {
                let end = world.ask(ALICE, 7).release(address);
                world.send(&end).unwrap();
            }
            let summary = world.restart(next.clone(), secs(1));
            assert_eq!(summary.bound, 0);
            assert_eq!(world.send(&ask).unwrap().code.0, 133, "{released} {moved}");
            assert_eq!(world.bindings(), []);
            // It gets another one as soon as it asks itself.
            assert_ne!(world.bound(ALICE, 7), address);
            world.wait(secs(601 + 240 + 14));
            assert!(world.store.is_empty());
        }
    }
}
