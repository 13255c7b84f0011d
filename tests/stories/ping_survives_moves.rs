//! ping, which has no connection, goes on through moves; the server sees the lent address.

use lab::{Capture, Stage, Story, Told, ensure, stage::BOUND};
use nix::sys::signal::Signal;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::with(|_| {}, |agent| agent.linger = 5_000)?;
    let mut capture = Capture::start(&stage.site.server, "eth0", "icmp or icmp6")?;
    let mut ping = stage
        .laptop
        .node()
        .program("ping")
        .args(["-n", "-i", "0.1", "server.example"])
        .start()?;
    ping.wait_for_output("a reply", BOUND, |text| text.contains("icmp_seq="))?;
    for _ in 0..4 {
        let before = ping.stdout().lines().count();
        stage.move_and_wait()?;
        ping.wait_for_output("replies after the move", BOUND, |text| {
            text.lines().count() > before + 5
        })?;
    }
    // Tells what it has seen.
    ping.signal(Signal::SIGINT)?;
    let finished = ping.finish(BOUND)?;
    capture.stop()?;
    let mut sources = capture.sources("icmp.type == 8 || icmpv6.type == 128")?;
    sources.dedup();
    let one = sources.len() == 1 && stage.is_lent(sources[0]);
    ensure(one, || format!("the server was pinged from {sources:?}"))?;
    let summary = finished
        .stdout
        .lines()
        .find(|line| line.contains("received"))
        .unwrap_or_default()
        .to_owned();
    story.saw(format!(
        "pinged from {} alone through four moves: {summary}",
        sources[0]
    ));
    Ok(())
}
