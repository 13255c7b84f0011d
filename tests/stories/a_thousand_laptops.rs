//! A thousand bindings are installed, moved and removed, and the transfers on some of them don't notice.

use std::{collections::BTreeMap, net::IpAddr};

use lab::{
    Fleet, HttpServer, MobileAgent, Stage, Status, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
};

/// All but the two with applications.
const FLEET: usize = 998;

const OCTETS: usize = 900_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|chad| chad.lifetime = 900, |_| {})?;
    let neighbour = stage.internet.laptop("neighbour")?;
    neighbour.be_optimistic(true)?;
    neighbour.move_to(&stage.train)?;
    let other = MobileAgent::start(&neighbour)?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let mut fleet = Fleet::new(&mut stage.internet, &stage.site, FLEET)?;
    let mut downloads = Vec::new();
    for (laptop, agent) in [(&stage.laptop, &stage.agent), (&neighbour, &other)] {
        agent.command(&["bind", "server.example"])?.success()?;
        let file = laptop.node().directory().join("download");
        let url = format!("http://server.example/{OCTETS}/250000");
        let curl = laptop.node().program("curl").args(["-sS", "-o"]);
        let curl = curl.arg(&file).arg(&url).start()?;
        wait_for_size(&file, 50_000, BOUND)?;
        downloads.push((curl, file));
    }

    let bound = fleet.bind(0..FLEET)?;
    let status = stage.chad.status()?;
    let home = fleet.bindings()?;
    ensure(home.len() == FLEET, || {
        format!("{} home addresses", home.len())
    })?;
    holds(&status, &home)?;

    stage.move_and_wait()?;
    let moved = fleet.move_on(0..FLEET)?;
    let abroad = fleet.bindings()?;
    ensure(home.keys().eq(abroad.keys()), || {
        "not every home address stayed".to_owned()
    })?;
    holds(&stage.chad.status()?, &abroad)?;

    let released = fleet.release(0..FLEET)?;
    for (curl, file) in &mut downloads {
        ensure(curl.is_running(), || {
            "a download was over too soon".to_owned()
        })?;
        curl.finish(BOUND * 2)?.success()?;
        check_body(file, OCTETS)?;
    }
    let served = web.served();
    let lent = served
        .iter()
        .filter(|served| stage.is_lent(served.peer.ip()));
    ensure(served.len() == 2 && lent.count() == 2, || {
        format!("the server saw {served:?}")
    })?;
    let what = "every binding to be gone and the pool to be whole";
    stage.chad.wait_for_status(what, BOUND * 2, |status| {
        status.bindings.is_empty()
            && status.pool_sum("used") == 0
            && status.pool_sum("held_down") == 0
    })?;
    story.saw(format!(
        "{FLEET} bindings made in {} ms, moved in {} ms, removed in {} ms, two downloads through it all",
        bound.took.as_millis(),
        moved.took.as_millis(),
        released.took.as_millis()
    ));
    Ok(())
}

/// Fails unless chad holds these bindings, from home address to care-of address, and those of the two laptops.
fn holds(status: &Status, fleet: &BTreeMap<IpAddr, IpAddr>) -> Told {
    let mut held = status.care_of_addresses();
    held.retain(|home_address, _| fleet.contains_key(home_address));
    ensure(held == *fleet, || {
        format!(
            "chad holds {} of the fleet's bindings: {held:?}",
            held.len()
        )
    })?;
    let total = status.bindings.len();
    ensure(total == FLEET + 2, || {
        format!("chad holds {total} bindings")
    })
}
