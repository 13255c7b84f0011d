//! One end in the kernel, the other in user space: a download goes through moves all the same.

use lab::{
    Backend, HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 2_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let other = Backend::of_this_story().other();
    let mut stage = Stage::with(|_| {}, |agent| agent.backend = other)?;
    let backends = [stage.chad.status()?.backend, stage.agent.status()?.backend];
    ensure(backends[0] != backends[1], || {
        format!("both ends have {backends:?}")
    })?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/600000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let mut size = wait_for_size(&file, 50_000, BOUND)?;
    for _ in 0..2 {
        stage.move_and_wait()?;
        size = wait_for_size(&file, size + 50_000, BOUND)?;
        stage.glide_on()?;
        size = wait_for_size(&file, size + 50_000, BOUND)?;
    }
    curl.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let peers = web.peers();
    ensure(peers.len() == 1 && stage.is_lent(peers[0]), || {
        format!("the server saw {peers:?}")
    })?;
    story.saw(format!(
        "{OCTETS} octets from {} through four moves, chad in {}, mn-agent in {}",
        peers[0], backends[0], backends[1]
    ));
    Ok(())
}
