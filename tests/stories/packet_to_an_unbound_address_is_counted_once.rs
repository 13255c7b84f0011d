//! A packet to an address that nobody has does not circle between the kernel and chad.

use lab::{Capture, Family, Stage, Story, Told, ensure, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    let unbound = stage.site.pools.host(77).of(Family::of_this_story());
    let mut capture = Capture::start(
        &stage.site.gateway,
        "any",
        &format!("(icmp or icmp6) and dst host {unbound}"),
    )?;
    let before = stage.chad.status()?;
    stage
        .site
        .server
        .program("ping")
        .args(["-c", "1", "-W", "1", &unbound.to_string()])
        .finish(BOUND)?;
    let after = stage
        .chad
        .wait_for_status("the packet to be counted", BOUND, |status| {
            status.drops() > before.drops()
        })?;
    capture.stop()?;
    let counted: Vec<_> = after
        .counters
        .iter()
        .filter(|(name, count)| name.starts_with("drop_") && **count != before.counter(name))
        .map(|(name, count)| format!("{name} {}", count - before.counter(name)))
        .collect();
    ensure(after.drops() == before.drops() + 1, || {
        format!("counted: {counted:?}")
    })?;
    // Once in by the site's link, once out to chad's device.
    let seen = capture.count("icmp.type == 8 || icmpv6.type == 128")?;
    ensure((1..=2).contains(&seen), || {
        format!("the packet was seen {seen} times on the gateway")
    })?;
    story.saw(format!(
        "one packet to {unbound}: {}, seen {seen} times on the gateway's links",
        counted.join(", ")
    ));
    Ok(())
}
