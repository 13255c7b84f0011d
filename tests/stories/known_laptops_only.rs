//! A home agent in authenticated mode: a known laptop gets its fixed address and keeps it through moves,
//! one with a wrong key and a stranger connect plainly.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use lab::{
    AgentSettings, Failure, Family, HttpServer, MobileAgent, Node, Stage, Story, Told, ensure,
    stage::BOUND,
};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

pub(crate) fn tell(story: &Story) -> Told {
    let fixed: std::net::IpAddr = match Family::of_this_story() {
        Family::Ipv4 => "10.128.0.9",
        Family::Ipv6 => "2001:db8:4::9",
    }
    .parse()?;
    let keys = Path::new("/run/lab");
    let (ours, other) = (keys.join("laptop.key"), keys.join("other.key"));
    write_key(&ours, KEY)?;
    write_key(&other, OTHER_KEY)?;
    let mut stage = Stage::with(
        |chad| {
            chad.mode = "authenticated".to_owned();
            chad.more = format!(
                "[[mobile-node]]\nidentity = \"laptop@example.org\"\naddress = \"{fixed}\"\nspi = 256\n\
                 algorithm = \"hmac-sha256\"\nkey-file = \"{}\"\n",
                ours.display()
            );
        },
        |agent| known(agent, &ours),
    )?;
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

    let mut plain = Vec::new();
    for (name, key) in [("forger", Some(&other)), ("stranger", None)] {
        let visitor = stage.internet.laptop(name)?;
        visitor.move_to(&stage.cafe)?;
        let mut settings = AgentSettings::default();
        if let Some(key) = key {
            known(&mut settings, key);
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

fn known(agent: &mut AgentSettings, key: &Path) {
    agent.identity = Some("laptop@example.org".to_owned());
    agent.more = format!(
        "[[security-association]]\ncha = \"cha.server.example\"\nspi = 256\nalgorithm = \"hmac-sha256\"\n\
         key-file = \"{}\"\n",
        key.display()
    );
}

fn write_key(path: &Path, key: &str) -> Result<(), Failure> {
    fs::write(path, format!("{key}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn fetch(node: &Node) -> Told {
    node.program("curl")
        .args([
            "-sS",
            "-m",
            "5",
            "-o",
            "/dev/null",
            "http://server.example/1000",
        ])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
