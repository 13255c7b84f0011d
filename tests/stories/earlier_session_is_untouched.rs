//! Sessions that began before the binding keep their source and their way; later ones use the binding.

use std::{net::SocketAddr, time::Duration};

use lab::{
    HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
    udp::{Direction, Echo, Probes},
};

const OCTETS: usize = 1_500_000;

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let echo = Echo::start(&stage.site.server, 7)?;
    let file = stage.laptop.node().directory().join("early");
    // By address: no name is looked up, so there is no binding yet.
    let url = format!(
        "http://{}/{OCTETS}/500000",
        SocketAddr::new(stage.site.address, 80)
    );
    let mut early = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let probes = Probes::start(
        stage.laptop.node(),
        &stage.site.server,
        stage.site.address,
        9,
        Direction::Up,
        Duration::from_millis(20),
    )?;
    wait_for_size(&file, 50_000, BOUND)?;

    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    stage.wait_for_binding_at(stage.care_of())?;
    let (sent, arrived) = probes.counts();
    let size = wait_for_size(&file, 0, BOUND)?;
    ensure(early.is_running(), || {
        "the early download ended too early".to_owned()
    })?;
    early.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(probes.counts().1 > arrived, || {
        format!("no probe arrived after the {arrived} of {sent}")
    })?;
    let served = web.served();
    ensure(served.len() == 2, || format!("the server saw {served:?}"))?;
    ensure(served[0].peer.ip() == stage.care_of(), || {
        format!("the early session came from {}", served[0].peer)
    })?;
    ensure(stage.is_lent(served[1].peer.ip()), || {
        format!("the later session came from {}", served[1].peer)
    })?;
    ensure(echo.peers().is_empty(), || {
        "somebody spoke to the echo".to_owned()
    })?;
    story.saw(format!(
        "the early download went on from {} after {size} octets, the later one came from {}",
        served[0].peer, served[1].peer
    ));
    Ok(())
}
