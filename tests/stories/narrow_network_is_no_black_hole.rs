//! One network carries 1280 octets and not more: full segments go on both ways through moves there and back, and who
//! sends larger datagrams is told.

use std::net::IpAddr;

use lab::{Conversation, Family, Node, Stage, Story, Told, ensure, stage::BOUND};

/// The least that IPv6 demands of a link.
const MTU: u32 = 1_280;

/// What has to come back to say that the transfer goes on.
const OCTETS: u64 = 200_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    stage.train.narrow(MTU)?;
    stage.bind()?;
    let (laptop, site) = (stage.laptop.node(), &stage.site);
    let session = Conversation::start(laptop, &site.server, site.address, 80)?;
    let lent = session.peer();
    ensure(stage.is_lent(lent), || {
        format!("the session is with {lent}")
    })?;
    session.go_on(OCTETS, BOUND)?;

    stage.move_and_wait()?;
    session.go_on(OCTETS, BOUND)?;
    learns(stage.laptop.node(), lent, stage.site.address)?;
    learns(&stage.site.server, stage.site.address, lent)?;
    stage.move_and_wait()?;
    session.go_on(OCTETS, BOUND)?;
    stage.glide_on()?;
    session.go_on(OCTETS, BOUND)?;
    stage.glide_on()?;
    let octets = session.go_on(OCTETS, BOUND)?;
    story.saw(format!(
        "{octets} octets there and back by way of {MTU} octets; larger datagrams are refused to both ends"
    ));

    // Here nobody but the routers knows.
    stage.internet.narrow_behind(&stage.cafe, MTU)?;
    session.go_on(OCTETS, BOUND)?;
    stage.move_and_wait()?;
    session.go_on(OCTETS, BOUND)?;
    stage.move_and_wait()?;
    let octets = session.go_on(OCTETS, BOUND)?;
    learns(stage.laptop.node(), lent, stage.site.address)?;
    learns(&stage.site.server, stage.site.address, lent)?;
    story.saw(format!(
        "{octets} octets when the link behind the access router is the narrow one"
    ));
    Ok(())
}

/// Fails unless `from`, whose address `own` is, is told that 1400 octets don't get to `to`.
fn learns(from: &Node, own: IpAddr, to: IpAddr) -> Told {
    let family = Family::of_this_story().option();
    let finished = from
        .program("ping")
        .args([family, "-c", "3", "-i", "0.2", "-W", "1", "-M", "do"])
        .args(["-s", "1400", "-I", &own.to_string(), &to.to_string()])
        .finish(BOUND)?;
    let said = finished.stdout + &finished.stderr;
    let told = said.to_lowercase().contains("mtu");
    ensure(told && said.contains(" 0 received"), || {
        format!("ping of 1400 octets to {to}: {said}")
    })
}
