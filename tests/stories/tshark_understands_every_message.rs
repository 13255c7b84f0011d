//! An independent decoder reads every signalling packet of a whole story without an error mark.

use std::time::Duration;

use lab::{
    Capture, Failure, HttpServer, Stage, Story, Told, ensure,
    signalling::Words,
    stage::{BOUND, wait_for_size},
    wait_for,
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|chad| chad.lifetime = 4, |agent| agent.inactivity = 1_500)?;
    let _web = HttpServer::start(&stage.site.server, 80)?;
    let words = Words::of_this_story();
    let filter = format!("{} or {}", words.signalling, words.tunnels);
    let mut capture = Capture::start(&stage.site.gateway, "uplink", &filter)?;
    let file = stage.laptop.node().directory().join("download");
    let mut curl = stage
        .curl(&[
            "-o",
            &file.to_string_lossy(),
            "http://server.example/2500000/500000",
        ])
        .start()?;
    wait_for_size(&file, 50_000, BOUND)?;
    // Beside the moves a refresh falls into these five seconds.
    stage.move_and_wait()?;
    stage.glide_on()?;
    curl.finish(BOUND * 2)?.success()?;
    wait_for("the deregistration", Duration::from_secs(10), || {
        let released = capture.count(words.released)?;
        Ok::<_, Failure>((released > 0).then_some(()))
    })?;
    capture.stop()?;
    let signalling = capture.count(words.carried)?;
    let understood = capture.count(words.understood)?;
    let marked = capture.fields(
        "_ws.malformed || _ws.expert.severity >= \"Error\"",
        &["frame.number", "_ws.expert.message"],
    )?;
    let requests = capture.count(words.requests)?;
    let replies = capture.count(words.replies)?;
    let tunnelled = capture.count(words.segments)?;
    ensure(signalling == understood, || {
        format!("{understood} of {signalling} packets are signalling to tshark")
    })?;
    ensure(marked.is_empty(), || format!("tshark marks {marked:?}"))?;
    ensure(requests >= 4 && replies >= 4, || {
        format!("{requests} requests, {replies} good replies")
    })?;
    ensure(requests + replies == signalling, || {
        format!(
            "{signalling} signalling packets, but {requests} authenticated requests and {replies} good replies"
        )
    })?;
    ensure(tunnelled > 500, || {
        format!("only {tunnelled} TCP segments in a tunnel")
    })?;
    story.saw(format!(
        "{requests} requests, {replies} replies, {tunnelled} tunnelled segments, no error mark"
    ));
    Ok(())
}
