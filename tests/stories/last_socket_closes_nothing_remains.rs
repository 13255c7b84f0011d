//! After the last socket: deregistration on the wire, and not a trace left on either side.

use std::time::Duration;

use lab::{
    Capture, Failure, HttpServer, Stage, Story, Told, ensure,
    signalling::Words,
    stage::{BOUND, difference, footprint},
    wait_for,
};

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::with(|chad| chad.hold_down = 1, |agent| agent.inactivity = 1_500)?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let words = Words::of_this_story();
    let capture = Capture::start(&stage.site.gateway, "uplink", words.signalling)?;
    let before = [
        footprint(stage.laptop.node())?,
        footprint(&stage.site.gateway)?,
    ];
    stage
        .curl(&["-o", "/dev/null", "http://server.example/100000"])
        .finish(BOUND)?
        .success()?;
    ensure(stage.is_lent(web.peers()[0]), || {
        format!("the server saw {:?}", web.peers())
    })?;
    stage
        .agent
        .wait_for_status("the binding to go", Duration::from_secs(12), |status| {
            status.bindings.is_empty()
        })?;
    let left = stage.chad.wait_for_status(
        "the address to come back",
        Duration::from_secs(8),
        |status| {
            status.bindings.is_empty()
                && status.pool_sum("used") == 0
                && status.pool_sum("held_down") == 0
        },
    )?;
    let released = wait_for("the deregistration on the wire", BOUND, || {
        let both = capture.count(words.releases)? > 0 && capture.count(words.released)? > 0;
        let all = capture.count(words.understood)?;
        Ok::<_, Failure>(both.then_some(all))
    })?;
    for (name, before, node) in [
        ("laptop", &before[0], stage.laptop.node()),
        ("gateway", &before[1], &stage.site.gateway),
    ] {
        let after = footprint(node)?;
        ensure(*before == after, || {
            format!("left on the {name}:\n{}", difference(before, &after))
        })?;
    }
    story.saw(format!(
        "{released} messages on the wire, the last two with lifetime 0; pool {}",
        left.pool
    ));
    story.saw("links, addresses, rules, routes, sysctls of both sides as before the connection");
    Ok(())
}
