//! A network manager wipes rules and routes that are not its own: sessions do not notice, new ones neither.

use lab::{
    Failure, Family, HttpServer, Stage, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
    wait_for,
};

const OCTETS: usize = 2_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/600000");
    let mut held = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    let size = wait_for_size(&file, 50_000, BOUND)?;
    let family = Family::of_this_story().option();
    let ours = || -> Result<Vec<String>, Failure> {
        let ip = stage.laptop.node().program("ip").args([family, "rule"]);
        let rules = ip.finish(BOUND)?.success()?.stdout;
        let foreign = |line: &&str| !line.contains("lookup local") && !line.starts_with("3276");
        Ok(rules.lines().filter(foreign).map(str::to_owned).collect())
    };
    let before = ours()?;
    ensure(!before.is_empty(), || {
        "there were no rules to wipe".to_owned()
    })?;
    // From behind, as the numbers of the others do not change then.
    for rule in before.iter().rev() {
        let priority = rule.split(':').next().unwrap_or_default();
        let ip = stage.laptop.node().program("ip");
        ip.args([family, "rule", "del", "pref", priority])
            .finish(BOUND)?;
    }
    let back = wait_for("the rules to come back", BOUND, || {
        let now = ours()?;
        Ok::<_, Failure>((now == before).then_some(now.len()))
    })?;
    let size = wait_for_size(&file, size + 100_000, BOUND)?;
    let fetch = stage.curl(&["-o", "/dev/null", "http://server.example/1000"]);
    fetch.finish(BOUND)?.success()?;
    held.finish(BOUND)?.success()?;
    check_body(&file, OCTETS)?;
    let served = web.served();
    ensure(
        served.iter().all(|one| stage.is_lent(one.peer.ip())),
        || format!("the server saw {served:?}"),
    )?;
    story.saw(format!("{back} rules wiped and back, the download went on after {size} octets, a new one came from {}", served[1].peer));
    Ok(())
}
