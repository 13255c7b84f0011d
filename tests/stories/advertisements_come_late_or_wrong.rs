//! Moves between IPv6 networks whose router advertisements come late, in the wrong order, or lead nowhere: a session
//! stands still as long as there is no way, and goes on when there is one.

use std::time::Duration;

use lab::{
    AccessNetwork, Advertisement, Conversation, Family, Laptop, Stage, Story, Told, ensure,
    eventually, stage::BOUND, stretched,
};

/// What has to come back to say that the session goes on.
const OCTETS: u64 = 60_000;

const LATE: Duration = Duration::from_millis(1_500);

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    stage.bind()?;
    let (laptop, site) = (stage.laptop.node(), &stage.site);
    let session = Conversation::start(laptop, &site.server, site.address, 80)?;
    ensure(stage.is_lent(session.peer()), || {
        format!("the session is with {}", session.peer())
    })?;
    session.go_on(OCTETS, BOUND)?;

    late(story, &stage, &session)?;
    swapped(story, &stage, &session)?;
    old_one_after_the_new(story, &stage, &session)?;
    taken_back(story, &stage, &session)?;
    leads_nowhere(story, &stage, &session)
}

/// The café is gone before the train says anything.
fn late(story: &Story, stage: &Stage, session: &Conversation) -> Told {
    let [wlan, _] = Laptop::INTERFACES;
    stage.train.advertiser.delay(stretched(LATE));
    stage.laptop.leave_all()?;
    stage.laptop.plug_in(&stage.train, wlan)?;
    arrived(stage, &stage.train)?;
    let octets = session.go_on(OCTETS, BOUND)?;
    stage.train.advertiser.delay(Duration::ZERO);
    story.saw(format!("late: {octets} octets, now from the train"));
    Ok(())
}

/// The laptop joins the café, then the train, and the train is the first to advertise.
fn swapped(story: &Story, stage: &Stage, session: &Conversation) -> Told {
    let [wlan, eth] = Laptop::INTERFACES;
    stage.cafe.advertiser.delay(stretched(LATE));
    stage.laptop.leave_all()?;
    stage.laptop.plug_in(&stage.cafe, wlan)?;
    stage.laptop.plug_in(&stage.train, eth)?;
    arrived(stage, &stage.train)?;
    session.go_on(OCTETS, BOUND)?;
    let cafe = &stage.cafe;
    stage.laptop.wait_for_address(cafe, Family::Ipv6, BOUND)?;
    session.go_on(OCTETS, BOUND)?;
    is_at(stage, &stage.train)?;
    stage.laptop.leave(eth)?;
    arrived(stage, &stage.cafe)?;
    let octets = session.go_on(OCTETS, BOUND)?;
    stage.cafe.advertiser.delay(Duration::ZERO);
    story.saw(format!(
        "swapped: {octets} octets, from the train as joined last, then from the café"
    ));
    Ok(())
}

/// The café advertises again after the train, and then the train is left.
fn old_one_after_the_new(story: &Story, stage: &Stage, session: &Conversation) -> Told {
    let (old, _) = stage.laptop.also_join(&stage.train)?;
    arrived(stage, &stage.train)?;
    let again = Advertisement::of(stage.cafe.prefixes.ipv6);
    stage.cafe.advertiser.send(&again)?;
    session.go_on(OCTETS, BOUND)?;
    is_at(stage, &stage.train)?;
    stage.laptop.leave(&old)?;
    let octets = session.go_on(OCTETS, BOUND)?;
    is_at(stage, &stage.train)?;
    story.saw(format!("old after new: {octets} octets, from the train"));
    Ok(())
}

/// The train's router takes everything back, and what it said before arrives after that.
fn taken_back(story: &Story, stage: &Stage, session: &Conversation) -> Told {
    let alive = Advertisement::of(stage.train.prefixes.ipv6);
    let withdrawn = Advertisement {
        router_lifetime: 0,
        preferred: 0,
        ..alive.clone()
    };
    let (laptop, own) = (&stage.laptop, stage.laptop.address_in(&stage.train));
    for (advertisement, deprecated) in [(withdrawn, true), (alive, false)] {
        stage.train.advertiser.send(&advertisement)?;
        eventually("the advertisement to be heard", BOUND, || {
            let all = laptop.addresses().unwrap_or_default();
            all.iter()
                .any(|found| found.address == own && found.deprecated == deprecated)
        })?;
    }
    arrived(stage, &stage.train)?;
    let octets = session.go_on(OCTETS, BOUND)?;
    story.saw(format!("taken back and renewed: {octets} octets"));
    Ok(())
}

/// The café advertises and forwards nothing, then there is the train again.
fn leads_nowhere(story: &Story, stage: &Stage, session: &Conversation) -> Told {
    stage.cafe.lead_nowhere(true)?;
    stage.laptop.move_to(&stage.cafe)?;
    let nowhere = stage.laptop.address_in(&stage.cafe);
    stage
        .agent
        .wait_for_status("a move to nowhere", BOUND, |status| {
            let at = status.bindings.first().and_then(|one| one.care_of);
            at == Some(nowhere)
        })?;
    let stood_still = session.go_on(OCTETS, Duration::from_secs(1)).is_err();
    ensure(stood_still, || {
        "the session went on by a dead router".to_owned()
    })?;
    stage.laptop.also_join(&stage.train)?;
    arrived(stage, &stage.train)?;
    let octets = session.go_on(OCTETS, BOUND * 2)?;
    story.saw(format!(
        "{octets} octets, after a network that leads nowhere from one that does"
    ));
    Ok(())
}

/// Waits until the binding is in `network`.
fn arrived(stage: &Stage, network: &AccessNetwork) -> Told {
    let laptop = &stage.laptop;
    laptop.wait_for_address(network, Family::Ipv6, BOUND)?;
    stage.wait_for_binding_at(laptop.address_in(network))?;
    Ok(())
}

/// Fails unless the binding is in `network`.
fn is_at(stage: &Stage, network: &AccessNetwork) -> Told {
    let at: Vec<_> = stage
        .chad
        .status()?
        .care_of_addresses()
        .into_values()
        .collect();
    ensure(at == [stage.laptop.address_in(network)], || {
        format!("at chad the laptop is at {at:?}")
    })
}
