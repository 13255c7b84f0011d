//! A name that gives an address which another name gives too, without that home agent: new sessions with the address are
//! plain from before the other name's answer, whichever of the two was looked up first.

use std::net::IpAddr;

use lab::{
    HomeAgent, HttpServer, SiteKind, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const OCTETS: usize = 1_500_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let second = stage.internet.site("second.example", SiteKind::Gateway)?;
    let _second_chad = HomeAgent::start(&second)?;
    let names = stage.internet.names();
    names.set("bank.example", stage.site.address);
    names.set("bank.second.example", second.address);
    let first_web = HttpServer::start(&stage.site.server, 80)?;
    let second_web = HttpServer::start(&second.server, 80)?;

    // The name with the home agent comes first, and its session goes on.
    let file = stage.laptop.node().directory().join("file");
    let url = format!("http://server.example/{OCTETS}/500000");
    let mut running = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 10_000, BOUND)?;
    fetch(&stage, "bank.example")?;
    fetch(&stage, "server.example")?;
    ensure(running.is_running(), || {
        "the session ended too early".to_owned()
    })?;
    stage.move_and_wait()?;
    running.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let peers: Vec<IpAddr> = first_web.served().iter().map(|one| one.peer.ip()).collect();
    let cafe = stage.laptop.address_in(&stage.cafe);
    let fits = peers.len() == 3 && stage.is_lent(peers[0]) && peers[1..] == [cafe, cafe];
    ensure(fits, || format!("the first server saw {peers:?}"))?;
    let status = stage.agent.status()?;
    ensure(
        status.counter("captures_withdrawn") == 1 && status.counter("drop_contradicted") == 1,
        || format!("{:?}", status.counters),
    )?;

    // The other one comes first.
    fetch(&stage, "bank.second.example")?;
    fetch(&stage, "second.example")?;
    let train = stage.care_of();
    let peers: Vec<IpAddr> = second_web
        .served()
        .iter()
        .map(|one| one.peer.ip())
        .collect();
    ensure(peers == [train, train], || {
        format!("the second server saw {peers:?}")
    })?;
    let refused = stage.agent.status()?.counter("drop_contradicted");
    ensure(refused == 2, || format!("{refused} refused"))?;
    story.saw(format!(
        "new sessions came from {cafe} and {train}, the one that was there went on through a move"
    ));
    Ok(())
}

fn fetch(stage: &Stage, name: &str) -> Told {
    let url = format!("http://{name}/1000");
    stage
        .curl(&["-o", "/dev/null", &url])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
