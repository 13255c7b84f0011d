//! A home agent in authenticated mode: a laptop known by a key that `chad keygen` made gets its fixed
//! address and keeps it through moves, over IPv4 by nonces; one with a wrong key and a stranger connect plainly.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::keys::keygen;
use lab::{
    AgentSettings, Failure, Family, HttpServer, MobileAgent, Node, Stage, Story, Told, ensure,
    stage::BOUND,
};

const IDENTITY: &str = "laptop@example.org";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

pub(crate) fn tell(story: &Story) -> Told {
    let fixed: std::net::IpAddr = match Family::of_this_story() {
        Family::Ipv4 => "10.128.0.9",
        Family::Ipv6 => "2001:db8:4::9",
    }
    .parse()?;
    let keys = Path::new("/run/lab");
    let (ours, other) = (keys.join("laptop.key"), keys.join("other.key"));
    let sections = keygen(IDENTITY, 256, "nonces", &ours)?;
    write_key(&other, OTHER_KEY)?;
    let mut stage = Stage::with(
        |chad| {
            chad.mode = "authenticated".to_owned();
            chad.more = format!("{}address = \"{fixed}\"\n", sections.home_agent);
        },
        |agent| {
            known(agent, &sections.mobile_node);
            // The binding outlives its last socket until the move has been seen.
            agent.linger = 5_000;
        },
    )?;
    stage.chad.command(&["check"])?.success()?;
    stage.agent.command(&["check"])?.success()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    stage.move_and_wait()?;
    stage
        .curl(&["-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    ensure(web.peers() == [fixed], || {
        format!("the server saw {:?}", web.peers())
    })?;
    if Family::of_this_story() == Family::Ipv4 {
        let learnt = stage.agent.status()?.counter("resynchronisations");
        ensure(learnt > 0, || "no nonce was learnt".to_owned())?;
    }

    let mut plain = Vec::new();
    for (name, key) in [("forger", Some(&other)), ("stranger", None)] {
        let visitor = stage.internet.laptop(name)?;
        visitor.move_to(&stage.cafe)?;
        let mut settings = AgentSettings::default();
        if let Some(key) = key {
            let ours = ours.display().to_string();
            let section = &sections.mobile_node;
            known(
                &mut settings,
                &section.replace(&ours, &key.display().to_string()),
            );
        }
        let agent = MobileAgent::start_with(&visitor, &settings)?;
        fetch(visitor.node())?;
        let from = web.served().last().map(|served| served.peer.ip());
        ensure(from == Some(visitor.address_in(&stage.cafe)), || {
            format!("the {name} came from {from:?}")
        })?;
        ensure(
            agent
                .status()?
                .bindings
                .iter()
                .all(|one| one.state != "active"),
            || format!("the {name} has a binding"),
        )?;
        plain.push(name);
    }
    let status = stage.chad.status()?;
    ensure(
        status.bindings.iter().all(|one| one.choa == Some(fixed)),
        || format!("bindings: {:?}", status.bindings),
    )?;
    ensure(status.counter("drop_authentication_failed") > 0, || {
        "no forged request was counted".to_owned()
    })?;
    story.saw(format!(
        "the known laptop was {fixed} before and after a move; plainly came {}",
        plain.join(", ")
    ));
    Ok(())
}

fn known(agent: &mut AgentSettings, section: &str) {
    agent.identity = Some(IDENTITY.to_owned());
    agent.more = section.to_owned();
}

fn write_key(path: &Path, key: &str) -> Result<(), Failure> {
    fs::write(path, format!("{key}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn fetch(node: &Node) -> Told {
    node.program("curl")
        .args(["-sS", "-o", "/dev/null", "http://server.example/1000"])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
