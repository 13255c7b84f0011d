//! A binding by command that nobody uses is released after its time; `release` does it at once.

use std::time::Duration;

use lab::{Stage, Story, Told, ensure, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::with(|_| {}, |agent| agent.unused = 1_500)?;
    let unknown = stage.agent.command(&["bind", "nobody.example"])?;
    ensure(unknown.code() == 1, || {
        format!("binding an unknown name ended with {}", unknown.code())
    })?;
    stage.bind()?;
    let first = stage.wait_for_binding_at(stage.care_of())?;
    stage.chad.wait_for_status(
        "the unused binding to go",
        Duration::from_secs(10),
        |status| status.bindings.is_empty(),
    )?;
    stage.bind()?;
    stage.wait_for_binding_at(stage.care_of())?;
    stage
        .agent
        .command(&["release", "server.example"])?
        .success()?;
    stage
        .chad
        .wait_for_status("the released binding to go", BOUND, |status| {
            status.bindings.is_empty()
        })?;
    story.saw(format!(
        "{:?} was lent for nothing and came back; `release` works at once; an unknown name: {}",
        first.choa,
        unknown.stderr.trim()
    ));
    Ok(())
}
