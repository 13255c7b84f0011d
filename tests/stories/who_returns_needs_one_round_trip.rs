//! Who comes back to a home agent is not asked anew where he is before he gets an address, and shows it
//! afterwards; so does who has moved.

use lab::{Stage, Story, Told, ensure, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    stage.bind()?;
    stage.wait_for_binding_at(stage.care_of())?;
    let first = stage.chad.status()?;
    ensure(
        first.counter("challenges") > 0 && first.counter("bindings_resumed") == 0,
        || format!("the first contact: {:?}", first.counters),
    )?;
    stage
        .agent
        .command(&["release", "server.example"])?
        .success()?;
    stage
        .chad
        .wait_for_status("the address to have rested", BOUND * 2, |status| {
            status.bindings.is_empty() && status.pool_sum("held_down") == 0
        })?;
    // What it knows of the home agent outlives it.
    stage.agent.stop()?;
    stage.agent.run()?;
    stage.bind()?;
    let returned =
        stage
            .chad
            .wait_for_status("who came back to show where he is", BOUND, |status| {
                status.counter("moves_proven") == 1
            })?;
    ensure(
        returned.counter("challenges") == first.counter("challenges")
            && returned.counter("bindings_resumed") == 1,
        || format!("the second contact: {:?}", returned.counters),
    )?;
    stage.move_and_wait()?;
    let moved = stage
        .chad
        .wait_for_status("who moved to show where he is", BOUND, |status| {
            status.counter("moves_proven") == 2
        })?;
    story.saw(format!(
        "first contact: {} challenges; second: none; moves to be proven: {}, proven: {}",
        first.counter("challenges"),
        moved.counter("moves_unproven"),
        moved.counter("moves_proven")
    ));
    Ok(())
}
