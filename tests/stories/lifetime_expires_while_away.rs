//! The laptop is out of reach for longer than its lifetime: chad forgets the binding; the session resumes on return.

use std::time::Duration;

use lab::{Stage, Story, Told, ensure, ssh::SshServer, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    story.needs_real_root("sshd changes its user")?;
    let stage = Stage::with(
        |chad| {
            chad.lifetime = 5;
            chad.hold_down = 30;
        },
        |_| {},
    )?;
    let server = SshServer::start(&stage.site.server)?;
    stage.bind()?;
    let mut session = server.session(stage.laptop.node(), "server.example")?;
    let lent = session.say(BOUND)?;
    stage.laptop.leave_all()?;
    let expired = stage
        .chad
        .wait_for_status("the binding to expire", BOUND, |status| {
            status.bindings.is_empty()
        })?;
    let held = expired.pool_sum("held_down");
    session.whisper()?;
    stage.laptop.move_to(&stage.train)?;
    let seen = session.hear(Duration::from_secs(15))?;
    ensure(seen == lent, || {
        format!("back from away the server sees {seen} instead of {lent}")
    })?;
    story.saw(format!(
        "expired at chad ({held} address held down), ssh resumed on return, again as {lent}"
    ));
    Ok(())
}
