//! A home agent's key in the name system: one with another key is not believed, and the connection goes plainly.

use lab::{HttpServer, LabError, Stage, Story, Told, ensure, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let publish = |stage: &Stage, key: &str| {
        let text = format!("v=cha1; x25519={key}");
        stage.internet.names().set_text("cha.server.example", &text);
    };
    publish(&stage, &"09".repeat(32));
    fetch(&stage)?;
    let peer = web.served().last().map(|one| one.peer.ip());
    ensure(peer == Some(stage.care_of()), || {
        format!("with another key the server saw {peer:?}")
    })?;
    let counter =
        |stage: &Stage| Ok::<_, LabError>(stage.agent.status()?.counter("drop_other_key"));
    let refused = counter(&stage)?;
    ensure(refused > 0, || "no answer was refused".to_owned())?;

    let status = stage.chad.command(&["status", "--json"])?.success()?.stdout;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let key = status["public_key"].as_str().unwrap_or_default();
    publish(&stage, key);
    // What was published before is known for a minute.
    stage.agent.stop()?;
    stage.agent.run_until_ready()?;
    stage.bind()?;
    fetch(&stage)?;
    let peer = web.served().last().map(|one| one.peer.ip());
    ensure(peer.is_some_and(|peer| stage.is_lent(peer)), || {
        format!("with the right key the server saw {peer:?}")
    })?;
    let since = counter(&stage)?;
    ensure(since == 0, || format!("{since} answers were refused"))?;
    story.saw(format!(
        "{refused} answers refused with another key; with {key} none"
    ));
    Ok(())
}

fn fetch(stage: &Stage) -> Told {
    let url = "http://server.example/1000";
    stage
        .curl(&["-o", "/dev/null", url])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
