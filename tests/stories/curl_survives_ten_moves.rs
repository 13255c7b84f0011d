//! One download through ten moves between two networks: one connection, every octet in its place.

use lab::{
    HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 4_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/1000000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let mut size = wait_for_size(&file, 100_000, BOUND)?;
    for _ in 0..10 {
        stage.move_on()?;
        size = wait_for_size(&file, size + 100_000, BOUND)?;
    }
    ensure(curl.is_running(), || {
        format!("curl ended before the tenth move ({size} octets)")
    })?;
    curl.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let served = web.served();
    ensure(served.len() == 1, || {
        format!("the server saw {} connections", served.len())
    })?;
    ensure(stage.is_lent(served[0].peer.ip()), || {
        format!("the server saw {}", served[0].peer)
    })?;
    story.saw(format!(
        "{OCTETS} octets through ten moves over one connection from {}",
        served[0].peer
    ));
    Ok(())
}
