//! A server whose site has no agent: the same source address as ever, and not one packet of ours on the wire.

use lab::{
    Capture, HttpServer, LabError, SiteKind, Stage, Story, Told, ensure, stage::BOUND, wait_for,
};

/// Signalling and tunnels of both families.
const OURS: &str = "ip proto 4 or ip proto 41 or ip6 proto 4 or ip6 proto 41 or ip6 proto 135 or port 434 or port 4191";

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let plain = stage.internet.site("plain.example", SiteKind::Plain)?;
    let web = HttpServer::start(&plain.server, 80)?;
    let mut capture = Capture::start(stage.laptop.node(), "any", OURS)?;
    stage
        .curl(&["-o", "/dev/null", "http://plain.example/300000"])
        .finish(BOUND)?
        .success()?;
    let care_of = stage.care_of();
    ensure(web.peers() == [care_of], || {
        format!("the server saw {:?}", web.peers())
    })?;
    let bindings = stage.agent.status()?.bindings;
    ensure(bindings.is_empty(), || {
        format!("there are bindings: {bindings:?}")
    })?;
    capture.stop()?;
    let ours = capture.count("")?;
    ensure(ours == 0, || {
        format!("{ours} packets of signalling or tunnel")
    })?;

    // Neither does a binding with somebody else change anything.
    let other = HttpServer::start(&stage.site.server, 80)?;
    let mut busy = stage
        .curl(&["-o", "/dev/null", "http://server.example/3000000/300000"])
        .start()?;
    stage.wait_for_binding_at(care_of)?;
    stage
        .curl(&["-o", "/dev/null", "http://plain.example/300000"])
        .finish(BOUND)?
        .success()?;
    ensure(web.peers() == [care_of], || {
        format!("beside a binding the server saw {:?}", web.peers())
    })?;
    let peer = wait_for("the session beside it", BOUND, || {
        Ok::<_, LabError>(other.peers().first().copied())
    })?;
    ensure(busy.is_running() && stage.is_lent(peer), || {
        format!("beside it: {peer}")
    })?;
    story.saw(format!(
        "{care_of} at the plain server, with and without a binding elsewhere; no packet in a tunnel"
    ));
    Ok(())
}
