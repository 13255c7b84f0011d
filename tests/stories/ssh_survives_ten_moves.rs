//! One ssh session through ten moves between two networks; the server sees one address throughout.

use std::time::{Duration, Instant};

use lab::{Stage, Story, Told, ensure, ssh::SshServer, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    story.needs_real_root("sshd changes its user")?;
    let mut stage = Stage::new()?;
    let server = SshServer::start(&stage.site.server)?;
    let mut session = server.session(stage.laptop.node(), "server.example")?;
    let lent = session.say(BOUND)?;
    ensure(stage.is_lent(lent.parse()?), || {
        format!(
            "the server sees {lent}, not an address of {}",
            stage.site.pool
        )
    })?;
    let mut longest = Duration::ZERO;
    for number in 1..=10 {
        let moving = Instant::now();
        let (care_of, _) = stage.move_on()?;
        let seen = session.say(BOUND)?;
        longest = longest.max(moving.elapsed());
        ensure(seen == lent, || {
            format!("after move {number} the server sees {seen} instead of {lent}")
        })?;
        let binding = stage.wait_for_binding_at(care_of)?;
        ensure(
            binding.choa.is_some_and(|choa| choa.to_string() == lent),
            || format!("the agent says {binding:?}"),
        )?;
    }
    session.close(BOUND)?;
    story.saw(format!(
        "one ssh connection, {lent} at the server before and after each of ten moves"
    ));
    story.saw(format!(
        "{} ms from the start of a move to the echo, at most",
        longest.as_millis()
    ));
    Ok(())
}
