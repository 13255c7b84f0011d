//! resolv.conf is bind-mounted, as in containers: it can't be renamed over, and is written in place.

use std::{fs, path::Path};

use lab::{
    AgentSettings, HomeAgent, HttpServer, Internet, LabError, MobileAgent, SiteKind, Story, Told,
    ensure, stage::BOUND,
};
use nix::mount::{MsFlags, mount};

pub(crate) fn tell(story: &Story) -> Told {
    let mut internet = Internet::new(&["cafe"])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let laptop = internet.laptop("laptop")?;
    laptop.move_to(&internet.access(0))?;
    let web = HttpServer::start(&site.server, 80)?;
    let _chad = HomeAgent::start(&site)?;
    let before = laptop.node().resolv_conf()?;
    let file = laptop.node().directory().join("container-resolv.conf");
    fs::write(&file, &before).map_err(LabError::io("write the container's resolv.conf"))?;
    laptop.node().run(move |_| {
        mount(
            Some(&file),
            Path::new("/etc/resolv.conf"),
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(LabError::errno("bind-mount resolv.conf"))
    })?;
    let mut agent = MobileAgent::start_with(&laptop, &AgentSettings::default())?;
    let curl = laptop.node().program("curl").args([
        "-sS",
        "-o",
        "/dev/null",
        "http://server.example/1000",
    ]);
    curl.finish(BOUND)?.success()?;
    let peers = web.peers();
    let lent = peers.first().is_some_and(|peer| site.pool.contains(peer));
    ensure(lent, || format!("the server saw {peers:?}"))?;
    agent.stop()?;
    let after = laptop.node().resolv_conf()?;
    ensure(before == after, || {
        format!("resolv.conf was {before:?} and is {after:?}")
    })?;
    story.saw(format!(
        "names went through the relay ({} at the server), the file is as before",
        peers[0]
    ));
    Ok(())
}
