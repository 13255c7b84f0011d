//! The home agent's disk is full: no registration is acknowledged that a restart would forget. A laptop
//! connects plainly meanwhile, and is mobile again when there is room.

use lab::{HttpServer, Stage, Story, Told, ensure, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    story.needs_real_root("a small file system is mounted")?;
    let mut stage = Stage::with(|_| {}, |agent| agent.unused = 1_000)?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    stage.chad.stop()?;
    let gateway = stage.site.gateway.clone();
    let state = gateway.directory().join("chad-state");
    let state = state.to_string_lossy();
    gateway
        .program("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs", &state])
        .finish(BOUND)?
        .success()?;
    stage.chad.run()?;

    let filler = format!("{state}/filler");
    // It ends with "no space left", which is what it is for.
    gateway
        .program("dd")
        .args(["if=/dev/zero", &format!("of={filler}"), "bs=4k"])
        .finish(BOUND)?;
    fetch(&stage)?;
    let while_full = web.served().last().map(|served| served.peer.ip());
    ensure(while_full == Some(stage.care_of()), || {
        format!("while full it came from {while_full:?}")
    })?;
    let status = stage.chad.status()?;
    ensure(status.counter("store_commit_failures") > 0, || {
        "the full disk was not noticed".to_owned()
    })?;

    gateway
        .program("rm")
        .args([&filler])
        .finish(BOUND)?
        .success()?;
    stage.agent.stop()?;
    stage.agent.run()?;
    fetch(&stage)?;
    let with_room = web.served().last().map(|served| served.peer.ip());
    ensure(
        with_room.is_some_and(|address| stage.is_lent(address)),
        || format!("with room it came from {with_room:?}"),
    )?;
    story.saw(format!(
        "plainly while full ({} acknowledgements withheld), lent an address with room",
        status.counter("drop_withheld_reply")
    ));
    Ok(())
}

fn fetch(stage: &Stage) -> Told {
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
