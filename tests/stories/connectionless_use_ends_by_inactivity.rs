//! nc over UDP through a move; when it has ended and nothing more passes, the binding goes.

use std::time::Duration;

use lab::{
    Stage, Story, Told, ensure,
    stage::BOUND,
    udp::{Echo, addresses},
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|_| {}, |agent| agent.inactivity = 2_000)?;
    let echo = Echo::start(&stage.site.server, 7)?;
    let mut nc = stage
        .laptop
        .node()
        .program("nc")
        .args(["-u", "server.example", "7"])
        .with_stdin()
        .start()?;
    nc.write("one\n")?;
    nc.wait_for_output("the echo", BOUND, |text| text.contains("one\n"))?;
    stage.move_and_wait()?;
    nc.write("two\n")?;
    nc.wait_for_output("the echo after the move", BOUND, |text| {
        text.contains("two\n")
    })?;
    let peers = addresses(&echo.peers());
    ensure(peers.len() == 1 && stage.is_lent(peers[0]), || {
        format!("the server saw {peers:?}")
    })?;
    nc.kill()?;
    stage
        .agent
        .wait_for_status("the binding to go", Duration::from_secs(12), |status| {
            status.bindings.is_empty()
        })?;
    stage
        .chad
        .wait_for_status("chad to forget it", BOUND, |status| {
            status.bindings.is_empty()
        })?;
    story.saw(format!(
        "nc spoke UDP as {} through a move, the binding went by inactivity",
        peers[0]
    ));
    Ok(())
}
