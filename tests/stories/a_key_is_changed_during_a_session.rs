//! The key of a known laptop is changed while it downloads: the new one is added at the home agent, and
//! the old one removed there, as config/chad.toml says; the laptop has both.

use std::net::IpAddr;
use std::path::Path;

use crate::keys::keygen;
use lab::{
    ChadSettings, Family, HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

const IDENTITY: &str = "laptop@example.org";
const OCTETS: usize = 3_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let fixed: IpAddr = match Family::of_this_story() {
        Family::Ipv4 => "10.128.0.9",
        Family::Ipv6 => "2001:db8:4::9",
    }
    .parse()?;
    let keys = Path::new("/run/lab");
    let old = keygen(IDENTITY, 256, "timestamps", &keys.join("old.key"))?;
    let new = keygen(IDENTITY, 257, "nonces", &keys.join("new.key"))?;
    let knows = |chad: &mut ChadSettings, keys: &[&str]| {
        chad.mode = "authenticated".to_owned();
        chad.more = keys
            .iter()
            .map(|section| format!("{section}address = \"{fixed}\"\n"))
            .collect();
    };
    let mut stage = Stage::with(
        |chad| knows(chad, &[&old.home_agent]),
        |agent| {
            agent.identity = Some(IDENTITY.to_owned());
            agent.more = [new.mobile_node.as_str(), &old.mobile_node].concat();
        },
    )?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/400000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let mut size = wait_for_size(&file, 100_000, BOUND)?;
    let mut settings = ChadSettings::of(&stage.site);
    for known in [
        vec![old.home_agent.as_str(), &new.home_agent],
        vec![new.home_agent.as_str()],
    ] {
        knows(&mut settings, &known);
        stage.chad.configure(&settings)?;
        stage.chad.command(&["check"])?.success()?;
        stage.chad.stop()?;
        stage.chad.run()?;
        stage.move_and_wait()?;
        size = wait_for_size(&file, size + 300_000, BOUND)?;
    }
    ensure(curl.is_running(), || "it ended too early".to_owned())?;
    curl.finish(BOUND * 2)?.success()?;
    check_body(&file, OCTETS)?;
    let served = web.served();
    ensure(served.len() == 1 && served[0].peer.ip() == fixed, || {
        format!("the server saw {served:?}")
    })?;
    story.saw(format!(
        "{OCTETS} octets from {fixed}, begun with one key and ended with another, through two moves"
    ));
    Ok(())
}
