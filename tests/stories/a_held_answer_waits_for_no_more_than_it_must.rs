//! An answer that is held waits for the binding and the way to the correspondent, and for nothing else: not at all
//! for messages where the binding stands, one round trip for who comes back.

use std::{net::IpAddr, time::Duration};

use lab::{Family, LabError, Stage, Story, Told, ensure, fail, stage::BOUND, stretched};

/// What every message across the core needs there and back.
const ROUND_TRIP: Duration = Duration::from_millis(200);

pub(crate) fn tell(story: &Story) -> Told {
    let round_trip = stretched(ROUND_TRIP);
    let stage = Stage::with(
        |chad| {
            let another = beside(chad.correspondents[0].addr());
            chad.correspondents.push(another.into());
        },
        |agent| agent.hold = 3_000,
    )?;
    let another = beside(stage.site.address);
    let names = stage.internet.names();
    names.set("another.example", another);
    names.set("cha.another.example", stage.site.agent);
    stage.internet.delay(round_trip)?;

    let first = resolve(&stage, "server.example")?.0;
    let binding = stage.wait_for_binding_at(stage.care_of())?;
    let Some(lent) = binding.choa else {
        return fail(format!("no address in {binding:?}"));
    };
    let asked = |stage: &Stage| Ok::<_, LabError>(stage.agent.status()?.counter("requests"));
    let before = asked(&stage)?;
    // The name is known to have a home agent by now: what remains is the name server, and the hold.
    let standing = resolve(&stage, "server.example")?.0;
    ensure(standing < round_trip * 3 / 2, || {
        format!("with a binding that stands it took {standing:?}")
    })?;
    // When the answer for another correspondent of the same home agent has left, the way there stands.
    let (_, way) = resolve(&stage, &format!("another.example && {}", way_to(another)))?;
    ensure(way.contains(&lent.to_string()), || {
        format!("{another} is reached so: {way}")
    })?;
    ensure(asked(&stage)? == before, || {
        "the home agent was asked although the binding stood".to_owned()
    })?;

    for name in ["server.example", "another.example"] {
        stage.agent.command(&["release", name])?.success()?;
    }
    stage
        .chad
        .wait_for_status("the address to have rested", BOUND * 2, |status| {
            status.bindings.is_empty() && status.pool_sum("held_down") == 0
        })?;
    let returning = resolve(&stage, "server.example")?.0;
    ensure(
        (round_trip * 2..round_trip * 5 / 2).contains(&returning),
        || format!("who came back waited {returning:?}"),
    )?;
    let resumed = stage.chad.status()?.counter("bindings_resumed");
    ensure(resumed == 1, || format!("{resumed} bindings were resumed"))?;
    story.saw(format!(
        "round trip {} ms; the first answer took {} ms, with a binding {} ms, who came back {} ms",
        round_trip.as_millis(),
        first.as_millis(),
        standing.as_millis(),
        returning.as_millis()
    ));
    Ok(())
}

/// Another address of the same network.
fn beside(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::from((u32::from(address) ^ 0x20).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from((u128::from(address) ^ 0x20).to_be_bytes()),
    }
}

/// Which way the laptop would take to an address.
fn way_to(address: IpAddr) -> String {
    let family = Family::of_this_story().option();
    format!("ip {family} route get {address}")
}

/// Asks for the addresses of a name; how long that took, and what was printed.
fn resolve(stage: &Stage, name: &str) -> Result<(Duration, String), LabError> {
    let database = match Family::of_this_story() {
        Family::Ipv4 => "ahostsv4",
        Family::Ipv6 => "ahostsv6",
    };
    let asked = stage
        .laptop
        .node()
        .program("sh")
        .args(["-c", &format!("getent {database} {name}")])
        .finish(BOUND)?;
    Ok((asked.took, asked.stdout))
}
