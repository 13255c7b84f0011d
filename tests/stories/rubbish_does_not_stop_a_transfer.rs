//! Twenty thousand rubbish datagrams (fewer where the processor is emulated) at the signalling port during a transfer: nothing
//! stops, each drop is counted.

use std::time::Duration;

use lab::{
    HttpServer, Stage, Story, Told, ensure,
    fake_agent::Request,
    stage::{BOUND, check_body, wait_for_size},
    udp,
    wait::patience,
};

const DATAGRAMS: u64 = 20_000;
const OCTETS: usize = 6_000_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let vandal = stage.internet.laptop("vandal")?;
    vandal.move_to(&stage.train)?;
    let address = vandal.address_in(&stage.train);
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/800000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 200_000, BOUND)?;
    let before = stage.chad.status()?;
    let request = Request {
        home_address: stage.site.pool.addr(),
        home_agent: stage.site.agent,
        care_of_address: address,
        lifetime: 60,
        identification: 7 << 32,
        identity: "vandal@example.org",
    };
    let good = request.datagram()?;
    let count = DATAGRAMS / u64::from(patience());
    let datagrams = (0..count).map(|number| rubbish(number, &good)).collect();
    udp::send_all(
        vandal.node(),
        request.to(),
        datagrams,
        Duration::from_micros(20),
    )?;
    let after = stage
        .chad
        .wait_for_status("all drops to be counted", BOUND, |status| {
            status.drops() >= before.drops() + count * 99 / 100
        })?;
    stage.move_and_wait()?;
    curl.finish(BOUND * 2)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(web.served().len() == 1, || {
        format!("the server saw {:?}", web.served())
    })?;
    let reasons: Vec<String> = after
        .counters
        .iter()
        .filter(|(name, count)| name.starts_with("drop_") && **count > before.counter(name))
        .map(|(name, count)| format!("{name} {}", count - before.counter(name)))
        .collect();
    ensure(reasons.len() >= 3, || {
        format!("counted only as {reasons:?}")
    })?;
    story.saw(format!(
        "the download and a move in the midst of it went well; counted: {}",
        reasons.join(", ")
    ));
    Ok(())
}

/// One of several kinds of rubbish: noise, empty, cut short, of unknown type, with a broken authenticator,
/// with extensions that point beyond the end.
fn rubbish(number: u64, good: &[u8]) -> Vec<u8> {
    let mut noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut octet = move || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[3]
    };
    let length = usize::from(octet()) % good.len();
    let mut datagram = good.to_vec();
    match number % 6 {
        0 => (0..=length).map(|_| octet()).collect(),
        1 => Vec::new(),
        2 => {
            datagram.truncate(length.min(23));
            datagram
        }
        3 => {
            datagram[0] = 200;
            datagram
        }
        4 => {
            let last = datagram.len() - 1;
            datagram[last] ^= 1 | octet();
            datagram
        }
        _ => {
            datagram[25] = 255;
            datagram
        }
    }
}
