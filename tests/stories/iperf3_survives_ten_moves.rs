//! iperf3 goes on through ten moves; its server sees one address.

use lab::{Failure, Stage, Story, Told, ensure, stage::BOUND, wait_for};
use nix::sys::signal::Signal;

/// The least that gets through when something does after every move.
const OCTETS: u64 = 200_000;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let mut server = stage
        .site
        .server
        .program("iperf3")
        .args(["-s", "-1", "-J"])
        .start()?;
    let probe = stage.site.server.clone();
    wait_for("iperf3 to listen", BOUND, || {
        let listening = probe
            .program("ss")
            .args(["-Htln", "sport", "=", ":5201"])
            .finish(BOUND)?
            .stdout;
        Ok::<_, Failure>((!listening.is_empty()).then_some(()))
    })?;
    let mut client = stage
        .laptop
        .node()
        .program("iperf3")
        .args(["-c", "server.example", "-t", "600", "-b", "20M", "-J"])
        .start()?;
    stage.wait_for_binding_at(stage.care_of())?;
    let mut carried = carried(&stage)?;
    for number in 1..=10 {
        stage.move_and_wait()?;
        ensure(client.is_running(), || {
            format!("iperf3 ended before move {number}")
        })?;
        carried = wait_for("traffic after the move", BOUND, || {
            let now = self::carried(&stage)?;
            Ok::<_, Failure>((now > carried + 20).then_some(now))
        })?;
    }
    client.signal(Signal::SIGINT)?;
    client.finish(BOUND)?;
    let report = server.finish(BOUND)?.success()?.stdout;
    let seen: serde_json::Value = serde_json::from_str(&report)?;
    let peer = seen["start"]["connected"][0]["remote_host"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let octets = seen["end"]["sum_received"]["bytes"]
        .as_u64()
        .unwrap_or_default();
    ensure(peer.parse().is_ok_and(|peer| stage.is_lent(peer)), || {
        format!("iperf3's server saw {peer}")
    })?;
    ensure(octets > OCTETS, || {
        format!("only {octets} octets got through ten moves")
    })?;
    story.saw(format!(
        "iperf3 delivered {octets} octets from {peer} through ten moves"
    ));
    Ok(())
}

/// Packets that the site's gateway has received from the tunnel.
fn carried(stage: &Stage) -> Result<u64, Failure> {
    let statistics = "/sys/class/net/lan/statistics/tx_packets";
    let text = stage
        .site
        .gateway
        .run(move |_| std::fs::read_to_string(statistics).map_err(lab::LabError::io(statistics)))?;
    Ok(text.trim().parse()?)
}
