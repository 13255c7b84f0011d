//! Thousands of first requests from addresses that are not their sender's: chad keeps nothing of them, and sends nobody
//! more than seemed to come from him.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::{
    Attacker, Family, HttpServer, Stage, Story, Told, attacker, ensure,
    signalling::Words,
    stage::{BOUND, check_body, wait_for_size},
    wait::patience,
};

const REQUESTS: u32 = 2_000;
const OCTETS: usize = 4_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let _web = HttpServer::start(&stage.site.server, 80)?;
    let attacker = Attacker::new(&mut stage.internet)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/800000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 200_000, BOUND)?;
    stage.wait_for_binding_at(stage.care_of())?;
    let before = stage.chad.status()?;

    let count = REQUESTS / patience();
    let victim = stage.care_of();
    let packets = (0..count)
        .map(|number| {
            let source = match number % 4 {
                0 => victim,
                _ => nobody(number),
            };
            attacker::first_contact(number, source, &stage.site)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut capture = Attacker::listen_at(&stage.site.gateway, Words::of_this_story().signalling)?;
    attacker.send(packets)?;
    let least = u64::from(count) * 99 / 100;
    let after = stage
        .chad
        .wait_for_status("all to be answered", BOUND, |status| {
            status.counter("challenges") >= before.counter("challenges") + least
        })?;
    capture.stop()?;
    ensure(after.bindings.len() == 1, || {
        format!("{:?}", after.bindings)
    })?;
    ensure(after.pool_sum("used") == 1, || {
        format!("{} addresses lent", after.pool_sum("used"))
    })?;

    let tolls = capture.tolls(stage.site.agent)?;
    ensure(tolls.len() as u64 >= least / 2, || {
        format!("{} addresses on the wire", tolls.len())
    })?;
    for (address, (came, went)) in &tolls {
        ensure(went <= came, || {
            format!("{address} was sent {went} octets for {came}")
        })?;
    }
    let (came, went) = tolls
        .values()
        .fold((0, 0), |sum, toll| (sum.0 + toll.0, sum.1 + toll.1));
    curl.finish(BOUND * 2)?.success()?;
    check_body(&file, OCTETS)?;
    story.saw(format!(
        "{count} first requests from {} addresses: {came} octets came, {went} went back ({:.2} for each), nothing was kept",
        tolls.len(),
        f64::from(u32::try_from(went).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(came).unwrap_or(u32::MAX))
    ));
    Ok(())
}

/// An address that nobody has.
fn nobody(number: u32) -> IpAddr {
    let [_, _, high, low] = number.to_be_bytes();
    match Family::of_this_story() {
        Family::Ipv4 => Ipv4Addr::new(10, 77, high, low).into(),
        Family::Ipv6 => {
            let number = u16::from_be_bytes([high, low]);
            Ipv6Addr::new(0x2001, 0xdb8, 0x77, number, 0, 0, 0, 7).into()
        }
    }
}
