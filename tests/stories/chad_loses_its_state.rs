//! chad's state directory is lost: mobile nodes start again, and a stranger can't claim an address.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::{HttpServer, Stage, Story, Told, ensure, fail, fake_agent::Request, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|chad| chad.lifetime = 4, |_| {})?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let stranger = stage.internet.laptop("stranger")?;
    let stranger_address = {
        let train = stage.train.clone();
        stranger.move_to(&train)?;
        stranger.address_in(&train)
    };
    let mut held = stage
        .curl(&["-o", "/dev/null", "http://server.example/9000000/300000"])
        .start()?;
    let binding = stage.wait_for_binding_at(stage.care_of())?;
    let Some(lent) = binding.choa else {
        return fail(format!("no address in {binding:?}"));
    };
    let agent = stage.site.agent;
    let claim = |identity: &str| -> Result<u8, lab::Failure> {
        // RFC 5944 5.7: seconds since 1900 in the upper half.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 2_208_988_800;
        let request = Request {
            home_address: lent,
            home_agent: agent,
            care_of_address: stranger_address,
            lifetime: 60,
            identification: seconds << 32,
            identity,
        };
        // No reply is a refusal, too.
        let code = request.ask(stranger.node(), Duration::from_secs(2))?;
        Ok(code.unwrap_or(255))
    };
    let code = claim("stranger@example.org")?;
    ensure(code > 8, || {
        format!("before the loss the stranger got {lent} with code {code}")
    })?;

    stage.chad.kill()?;
    stage.chad.lose_state()?;
    stage.chad.run()?;
    let code = claim("stranger@example.org")?;
    ensure(code > 8, || {
        format!("after the loss the stranger got {lent} with code {code}")
    })?;
    let bindings = stage.chad.status()?.bindings;
    ensure(
        bindings
            .iter()
            .all(|binding| binding.care_of != Some(stranger_address)),
        || format!("{bindings:?}"),
    )?;

    let again = stage
        .chad
        .wait_for_status("the laptop to start again", BOUND, |status| {
            status
                .bindings
                .iter()
                .any(|binding| binding.care_of == Some(stage.care_of()))
        })?;
    held.kill()?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    let last = web.served().last().map(|served| served.peer.ip());
    ensure(last.is_some_and(|peer| stage.is_lent(peer)), || {
        format!("the new connection came from {last:?}")
    })?;
    story.saw(format!(
        "the stranger was refused {lent} with code {code}; the laptop has a binding again: {:?}",
        again.bindings[0].choa
    ));
    Ok(())
}
