//! mn-agent is stopped on purpose: nothing of it remains. It is started again: everything works as before.

use lab::{
    AgentSettings, HomeAgent, HttpServer, Internet, MobileAgent, SiteKind, Story, Told, ensure,
    stage::{BOUND, difference, footprint},
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut internet = Internet::new(&["cafe", "train"])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let laptop = internet.laptop("laptop")?;
    laptop.move_to(&internet.access(0))?;
    let web = HttpServer::start(&site.server, 80)?;
    let chad = HomeAgent::start(&site)?;
    let before = footprint(laptop.node())?;
    let fetch = || {
        let curl = laptop.node().program("curl").args([
            "-sS",
            "-o",
            "/dev/null",
            "http://server.example/1000",
        ]);
        curl.finish(BOUND)?.success()
    };
    let lent = |number: usize| {
        let peer = web.served().get(number).map(|served| served.peer.ip());
        ensure(
            peer.is_some_and(|address| site.pool.contains(&address)),
            || format!("connection {number} came from {peer:?}"),
        )
    };
    let mut agent = MobileAgent::start_with(&laptop, &AgentSettings::default())?;
    fetch()?;
    lent(0)?;
    agent.stop()?;
    let after = footprint(laptop.node())?;
    ensure(before == after, || {
        format!(
            "left behind on the laptop:\n{}",
            difference(&before, &after)
        )
    })?;
    let left = chad.wait_for_status("the binding to be released", BOUND, |status| {
        status.bindings.is_empty()
    })?;
    fetch()?;
    let plain = web.served()[1].peer.ip();
    ensure(plain == laptop.address_in(&internet.access(0)), || {
        format!("without the agent: {plain}")
    })?;
    agent.run()?;
    fetch()?;
    lent(2)?;
    story.saw(format!(
        "nothing left after SIGTERM, {} bindings at chad; {} before, {plain} without, {} after the restart",
        left.bindings.len(),
        web.served()[0].peer.ip(),
        web.served()[2].peer.ip()
    ));
    Ok(())
}
