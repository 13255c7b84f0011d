//! Without any agent: unmodified programs reach their servers from the laptop's own address, and a move ends them.

use std::{net::IpAddr, time::Duration};

use lab::{
    Failure, Family, HttpServer, Internet, SiteKind, Story, Told, ensure,
    ssh::SshServer,
    stage::BOUND,
    udp::{Direction, Probes},
    wait_for,
};

/// What a dead session may have to say within this it never says.
const SILENCE: Duration = Duration::from_secs(1);

pub(crate) fn tell(story: &Story) -> Told {
    story.needs_real_root("sshd changes its user")?;
    let mut internet = Internet::new(&["cafe", "train"])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let laptop = internet.laptop("laptop")?;
    let (cafe, train) = (internet.access(0), internet.access(1));
    laptop.move_to(&cafe)?;
    let own = laptop.address_in(&cafe);
    let web = HttpServer::start(&site.server, 80)?;
    let server = SshServer::start(&site.server)?;

    let curl = laptop
        .node()
        .program("curl")
        .args(["-sS", "-o", "/dev/null"]);
    curl.arg("http://server.example/100000")
        .finish(BOUND)?
        .success()?;
    ensure(web.peers() == [own], || {
        format!("curl came from {:?}", web.peers())
    })?;

    let mut iperf3 = site
        .server
        .program("iperf3")
        .args(["-s", "-1", "-J"])
        .start()?;
    wait_for("iperf3 to listen", BOUND, || {
        let ss = site.server.program("ss");
        let listening = ss
            .args(["-Htln", "sport", "=", ":5201"])
            .finish(BOUND)?
            .stdout;
        Ok::<_, Failure>((!listening.is_empty()).then_some(()))
    })?;
    let client = laptop.node().program("iperf3");
    client
        .args(["-c", "server.example", "-n", "1M"])
        .finish(BOUND)?
        .success()?;
    let seen: serde_json::Value = serde_json::from_str(&iperf3.finish(BOUND)?.success()?.stdout)?;
    let peer = seen["start"]["connected"][0]["remote_host"].as_str();
    ensure(peer == Some(&own.to_string()), || {
        format!("iperf3 came from {peer:?}")
    })?;

    let mut session = server.session(laptop.node(), "server.example")?;
    let peer: IpAddr = session.say(BOUND)?.parse()?;
    ensure(peer == own, || format!("ssh came from {peer}"))?;
    let probes = Probes::start(
        laptop.node(),
        &site.server,
        site.address,
        4000,
        Direction::Up,
        Duration::from_millis(10),
    )?;
    wait_for("probes to arrive", BOUND, || {
        Ok::<_, Failure>((probes.counts().1 > 10).then_some(()))
    })?;

    laptop.move_to(&train)?;
    let arrived = probes.counts().1;
    let said = session.say(SILENCE);
    ensure(said.is_err(), || {
        format!("after a move the session said {said:?}")
    })?;
    let later = probes.counts().1;
    ensure(later <= arrived + 1, || {
        format!("after a move {} probes arrived", later - arrived)
    })?;
    story.saw(format!(
        "curl, iperf3 and ssh by {} from {own}; after a move the session is dead and {arrived} probes stay {later}",
        Family::of_this_story()
    ));
    Ok(())
}
