//! The laptop moves while a DNS answer is held for the binding: one address is lent, and the connection uses it.

use std::time::Duration;

use lab::{Family, HttpServer, Stage, Story, Told, ensure, eventually, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|_| {}, |agent| agent.hold = 2_000)?;
    stage.internet.delay(Duration::from_millis(100))?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let mut curl = stage
        .curl(&[
            Family::of_this_story().option(),
            "-o",
            "/dev/null",
            "http://server.example/1000",
        ])
        .start()?;
    // With the first request under way the answer to it would go to an address that is no more.
    eventually("chad to lend an address", BOUND, || {
        stage
            .chad
            .status()
            .is_ok_and(|status| !status.bindings.is_empty())
    })?;
    let (care_of, _) = stage.move_on()?;
    curl.finish(BOUND * 2)?.success()?;
    let served = web.served();
    ensure(
        served.len() == 1 && stage.is_lent(served[0].peer.ip()),
        || format!("the server saw {served:?}"),
    )?;
    let binding = stage.wait_for_binding_at(care_of)?;
    let status = stage.chad.status()?;
    ensure(
        status.bindings.len() == 1 && status.pool_sum("used") == 1,
        || format!("at chad: {status:?}"),
    )?;
    story.saw(format!(
        "moved while the answer was held; connected from {}, now at {:?}",
        served[0].peer, binding.care_of
    ));
    Ok(())
}
