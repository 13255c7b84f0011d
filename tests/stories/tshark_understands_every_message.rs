//! An independent decoder reads every signalling packet of a whole story without an error mark.

use std::time::Duration;

use lab::{
    Capture, Failure, HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, wait_for_size},
    wait_for,
};

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|chad| chad.lifetime = 4, |agent| agent.inactivity = 1_500)?;
    let _web = HttpServer::start(&stage.site.server, 80)?;
    let mut capture = Capture::start(&stage.site.gateway, "uplink", "udp port 434 or ip proto 4")?;
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
        let released = capture.count("mip.type == 3 && mip.life == 0")?;
        Ok::<_, Failure>((released > 0).then_some(()))
    })?;
    capture.stop()?;
    let signalling = capture.count("udp.port == 434")?;
    let understood = capture.count("mip")?;
    let marked = capture.fields(
        "_ws.malformed || _ws.expert.severity >= \"Error\"",
        &["frame.number", "_ws.expert.message"],
    )?;
    let requests = capture.count("mip.type == 1 && mip.auth.spi && mip.auth.auth")?;
    let replies =
        capture.count("mip.type == 3 && mip.auth.spi && mip.auth.auth && mip.code <= 1")?;
    let tunnelled = capture.count("ip.proto == 4 && tcp")?;
    ensure(signalling == understood, || {
        format!("{understood} of {signalling} packets are Mobile IP to tshark")
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
