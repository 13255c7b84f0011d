//! The agent runs on the server itself: the outer and the inner destination are the same address.

use ipnet::IpNet;
use lab::{
    ChadSettings, HttpServer, SiteKind, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 1_500_000;

pub(crate) fn tell(story: &Story) -> Told {
    // The prefix around it will do: the address that the agent listens at may be the server's.
    let around = |chad: &mut ChadSettings| {
        for correspondent in &mut chad.correspondents {
            let wider = correspondent.max_prefix_len() - 8;
            *correspondent = IpNet::new_assert(correspondent.addr(), wider).trunc();
        }
    };
    let mut stage = Stage::of_kind(SiteKind::CoLocated, around, |_| {})?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/600000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let mut size = wait_for_size(&file, 50_000, BOUND)?;
    for _ in 0..3 {
        stage.move_and_wait()?;
        size = wait_for_size(&file, size + 50_000, BOUND)?;
    }
    curl.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let peers = web.peers();
    ensure(peers.len() == 1 && stage.is_lent(peers[0]), || {
        format!("the server saw {peers:?}")
    })?;
    ensure(stage.site.agent == stage.site.address, || {
        "the stage is wrong".to_owned()
    })?;
    story.saw(format!(
        "{} is agent and server, saw {} through three moves",
        stage.site.address, peers[0]
    ));
    Ok(())
}
