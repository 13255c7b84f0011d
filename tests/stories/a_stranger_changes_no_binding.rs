//! During a download somebody repeats all that the laptop said to chad, and says other things in its name: neither the
//! binding nor the download notices.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use lab::{
    Attacker, HttpServer, Stage, Status, Story, Told, attacker, ensure, fail,
    fake_agent::Request,
    signalling::Words,
    stage::{BOUND, check_body, wait_for_size},
};

const IDENTITY: &str = "laptop@example.org";
const OCTETS: usize = 6_000_000;
/// What nobody but the laptop may bring about.
const ITS_OWN: [&str; 5] = [
    "bindings_created",
    "bindings_moved",
    "bindings_refreshed",
    "bindings_released",
    "bindings_expired",
];

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|_| {}, |agent| agent.identity = Some(IDENTITY.to_owned()))?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let attacker = Attacker::new(&mut stage.internet)?;
    let capture = Attacker::listen_at(&stage.site.gateway, Words::of_this_story().signalling)?;
    let file = stage.laptop.node().directory().join("download");
    let url = format!("http://server.example/{OCTETS}/800000");
    let mut curl = stage.curl(&["-o", &file.to_string_lossy(), &url]).start()?;
    wait_for_size(&file, 200_000, BOUND)?;
    let care_of = stage.move_and_wait()?;
    let Some(lent) = stage.wait_for_binding_at(care_of)?.choa else {
        return fail("a binding without a home address");
    };
    let agent = stage.site.agent;
    let before = settled(&stage)?;

    let said: Vec<Vec<u8>> = capture
        .packets()?
        .into_iter()
        .filter(|octets| attacker::destination(octets) == Some(agent))
        .map(attacker::repeated)
        .collect();
    ensure(said.len() >= 3, || format!("only {} messages", said.len()))?;
    let mut packets = vec![said; 10].concat();
    // RFC 5944 5.7: seconds since 1900 in the upper half.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 2_208_988_800;
    for number in 0..50 {
        for source in [care_of, attacker.address()] {
            for lifetime in [0, 60] {
                let request = Request {
                    home_address: lent,
                    home_agent: agent,
                    care_of_address: source,
                    lifetime,
                    identification: seconds << 32 | number,
                    identity: IDENTITY,
                };
                let datagram = request.datagram()?;
                packets.push(attacker::datagram(
                    (source, 40_000).into(),
                    request.to(),
                    &datagram,
                ));
            }
        }
    }
    let count = packets.len() as u64;
    attacker.send(packets)?;
    let after = stage
        .chad
        .wait_for_status("chad to have heard it all", BOUND, |status| {
            heard(status) >= heard(&before) + count * 99 / 100
        })?;
    for name in ITS_OWN {
        ensure(after.counter(name) == before.counter(name), || {
            format!(
                "{name}: {} and {}",
                before.counter(name),
                after.counter(name)
            )
        })?;
    }
    ensure(
        after.care_of_addresses() == [(lent, care_of)].into(),
        || format!("{:?}", after.bindings),
    )?;

    stage.move_and_wait()?;
    curl.finish(BOUND * 2)?.success()?;
    check_body(&file, OCTETS)?;
    ensure(web.served().len() == 1, || {
        format!("the server saw {:?}", web.served())
    })?;
    story.saw(format!(
        "{count} messages in the laptop's name changed nothing; the download and its moves went well"
    ));
    Ok(())
}

/// When the laptop has said all it has to say about its move.
fn settled(stage: &Stage) -> Result<Status, lab::LabError> {
    let last = Cell::new(0);
    stage
        .chad
        .wait_for_status("the laptop to be silent", BOUND, |status| {
            let now = heard(status);
            now == last.replace(now) && status.bindings.iter().all(|one| one.state == "active")
        })
}

/// How many messages chad has answered or dropped.
fn heard(status: &Status) -> u64 {
    let is_message = |name: &str| {
        name == "challenges"
            || ["drop_", "reply_", "status_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    };
    let counters = status.counters.iter();
    counters
        .filter(|(name, _)| is_message(name))
        .map(|(_, count)| count)
        .sum()
}
