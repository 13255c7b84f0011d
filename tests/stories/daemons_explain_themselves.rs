//! What operators do by hand: check, status, decode, and the exit codes of each.

use lab::{Capture, HttpServer, Stage, Story, Told, ensure, signalling::Words, stage::BOUND};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let _web = HttpServer::start(&stage.site.server, 80)?;
    stage.chad.command(&["check"])?.success()?;
    stage.agent.command(&["check"])?.success()?;
    let bad = stage.site.gateway.directory().join("bad.toml");
    std::fs::write(&bad, "[pool]\nipv4 = [\"10.128.0.0/99\"]\n")
        .map_err(lab::LabError::io("write bad.toml"))?;
    let chad = lab::programs::daemon("chad")?;
    let check = stage
        .site
        .gateway
        .program(&chad.to_string_lossy())
        .args(["check", "--config"])
        .arg(&bad)
        .finish(BOUND)?;
    let explained = format!("{}{}", check.stdout, check.stderr);
    ensure(
        check.code() != 0 && explained.contains("bad.toml:2:"),
        || format!("a bad file: {} {explained}", check.code()),
    )?;

    let filter = Words::of_this_story().signalling;
    let mut capture = Capture::start(&stage.site.gateway, "uplink", filter)?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    stage.wait_for_binding_at(stage.care_of())?;
    for table in [
        stage.chad.command(&["status"])?.success()?,
        stage.agent.command(&["status"])?.success()?,
    ] {
        ensure(table.stdout.contains(&stage.care_of().to_string()), || {
            format!("status says {}", table.stdout)
        })?;
    }
    capture.stop()?;
    let pcap = capture.file().to_string_lossy().into_owned();
    let decoded = stage
        .site
        .gateway
        .program(&chad.to_string_lossy())
        .args(["decode", &pcap, "--json"])
        .finish(BOUND)?
        .success()?;
    let messages: Vec<serde_json::Value> = decoded
        .stdout
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure(messages.len() >= 2, || {
        format!("decode says {}", decoded.stdout)
    })?;
    ensure(
        messages
            .iter()
            .all(|message| message.get("type").is_some() && message.get("error").is_none()),
        || decoded.stdout.clone(),
    )?;
    let refused = stage
        .site
        .gateway
        .program(&chad.to_string_lossy())
        .args(["decode", "0322"])
        .finish(BOUND)?;
    ensure(refused.code() == 1, || {
        format!("decoding rubbish ended with {}", refused.code())
    })?;

    stage.chad.stop()?;
    let gone = stage.chad.command(&["status"])?;
    ensure(gone.code() == 3, || {
        format!("status of a chad that does not run: {}", gone.code())
    })?;
    let unknown = stage.chad.command(&["frobnicate"])?;
    ensure(unknown.code() == 2, || {
        format!("an unknown command: {}", unknown.code())
    })?;
    story.saw(format!(
        "{} messages decoded; exit codes 0, 1, 2, 3 as promised; {}",
        messages.len(),
        explained.lines().next().unwrap_or_default()
    ));
    Ok(())
}
