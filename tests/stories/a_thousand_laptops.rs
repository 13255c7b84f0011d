//! A thousand bindings are installed, moved and removed, and the transfers on some of them don't notice. `tests/scale`
//! tells it of more.

use std::{collections::BTreeMap, net::IpAddr};

use lab::{
    Failure, Fleet, HttpServer, MobileAgent, Stage, Status, Story, Told, ensure,
    stage::{BOUND, check_body, wait_for_size},
    udp,
};

/// Another number of laptops.
const LAPTOPS_VARIABLE: &str = "LAB_LAPTOPS";
const LAPTOPS: usize = 1_000;

/// Those that do more than move.
const WITH_APPLICATIONS: usize = 2;

/// A second of a download, of which there are more than the story takes.
const SECOND: u64 = 100_000;
const OCTETS: u64 = SECOND * 10_000;

const ECHO: u16 = 7;

pub(crate) fn tell(story: &Story) -> Told {
    let size = fleet_size()?;
    let mut stage = Stage::with(
        |chad| {
            chad.lifetime = 900;
            chad.quota = u32::MAX;
            chad.rate = u32::MAX;
        },
        |_| {},
    )?;
    let neighbour = stage.internet.laptop("neighbour")?;
    neighbour.be_optimistic(true)?;
    neighbour.move_to(&stage.train)?;
    let other = MobileAgent::start(&neighbour)?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let _echo = udp::Echo::start(&stage.site.server, ECHO)?;
    let mut fleet = Fleet::new(&mut stage.internet, &stage.site, size)?;
    let mut downloads = Vec::new();
    for (laptop, agent) in [(&stage.laptop, &stage.agent), (&neighbour, &other)] {
        agent.command(&["bind", "server.example"])?.success()?;
        let file = laptop.node().directory().join("download");
        let url = format!("http://server.example/{OCTETS}/{SECOND}");
        let curl = laptop.node().program("curl").args(["-sS", "-o"]);
        let curl = curl.arg(&file).arg(&url).start()?;
        wait_for_size(&file, SECOND / 4, BOUND)?;
        downloads.push((curl, file));
    }

    let bound = fleet.bind(0..size)?;
    let status = stage.chad.status()?;
    let home = fleet.bindings()?;
    ensure(home.len() == size, || {
        format!("{} home addresses", home.len())
    })?;
    holds(&status, &home)?;

    stage.move_and_wait()?;
    let moved = fleet.move_on(0..size)?;
    let abroad = fleet.bindings()?;
    ensure(home.keys().eq(abroad.keys()), || {
        "not every home address stayed".to_owned()
    })?;
    holds(&stage.chad.status()?, &abroad)?;
    for number in [0, size / 2, size - 1] {
        let to = (stage.site.address, ECHO).into();
        let came = fleet.exchange(number, to, b"abroad", BOUND)?;
        ensure(came.as_deref() == Some(b"abroad"), || {
            format!("through tunnel {number} came {came:?}")
        })?;
    }

    let released = fleet.release(0..size)?;
    let mut octets = 0;
    for (mut curl, file) in downloads {
        let so_far = file.metadata()?.len();
        wait_for_size(&file, so_far + SECOND / 4, BOUND)?;
        curl.kill()?;
        let size = usize::try_from(file.metadata()?.len())?;
        check_body(&file, size)?;
        octets += size;
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
        "{size} bindings made in {} ms, moved in {} ms, removed in {} ms, two downloads of {octets} octets beside",
        bound.took.as_millis(),
        moved.took.as_millis(),
        released.took.as_millis()
    ));
    Ok(())
}

fn fleet_size() -> Result<usize, Failure> {
    let laptops = std::env::var(LAPTOPS_VARIABLE).map(|wished| wished.parse());
    Ok(laptops
        .unwrap_or(Ok(LAPTOPS))?
        .saturating_sub(WITH_APPLICATIONS))
}

/// Fails unless chad holds these bindings, from home address to care-of address, and those of the two laptops.
fn holds(status: &Status, fleet: &BTreeMap<IpAddr, IpAddr>) -> Told {
    let mut held = status.care_of_addresses();
    held.retain(|home_address, _| fleet.contains_key(home_address));
    ensure(held == *fleet, || {
        format!("chad holds {} of the fleet's bindings", held.len())
    })?;
    let total = status.bindings.len();
    ensure(total == fleet.len() + WITH_APPLICATIONS, || {
        format!("chad holds {total} bindings")
    })
}
