//! chad dies by SIGKILL in the middle of a transfer and is started again: the transfer goes on.

use lab::{
    HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 3_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/700000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 200_000, BOUND)?;
    let before = stage.wait_for_binding_at(stage.care_of())?;
    stage.chad.kill()?;
    stage.chad.run()?;
    let after = stage.chad.status()?;
    ensure(
        after
            .bindings
            .iter()
            .any(|binding| binding.choa == before.choa),
        || format!("after the start: {after:?}"),
    )?;
    let size = wait_for_size(&file, 0, BOUND)?;
    wait_for_size(&file, size + 200_000, BOUND)?;
    // Dead while the laptop moves.
    stage.chad.kill()?;
    let (care_of, _) = stage.move_on()?;
    stage.chad.run()?;
    stage.wait_for_binding_at(care_of)?;
    curl.finish(BOUND * 2)?.success()?;
    check_body(&file, OCTETS)?;
    let served = web.served();
    ensure(
        served.len() == 1 && stage.is_lent(served[0].peer.ip()),
        || format!("the server saw {served:?}"),
    )?;
    story.saw(format!(
        "{OCTETS} octets from {} through two deaths of chad, one of them during a move",
        served[0].peer
    ));
    Ok(())
}
