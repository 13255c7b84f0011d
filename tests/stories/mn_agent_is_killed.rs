//! mn-agent dies by SIGKILL: a new curl works within a second, the old ssh waits and resumes when it is back,
//! and no packet from the lent address ever shows on an access network. With the kernel's tunnels all goes on as it is
//! until the next move, and the agent that is back takes it over without a gap.

use std::time::{Duration, Instant};

use lab::{
    Backend, Capture, Family, HttpServer, Stage, Story, Told, ensure,
    signalling::Words,
    ssh::{SshServer, SshSession},
    stage::BOUND,
    stretched,
    udp::{Direction, Probes},
};

/// Between two probes, and how many of them arrive before something else happens.
const INTERVAL: Duration = Duration::from_millis(5);
const SOME: usize = 20;

pub(crate) fn tell(story: &Story) -> Told {
    story.needs_real_root("sshd changes its user")?;
    let mut stage = Stage::new()?;
    let web = HttpServer::start(&stage.site.server, 80)?;
    let server = SshServer::start(&stage.site.server)?;
    stage.bind()?;
    let mut session = server.session(stage.laptop.node(), "server.example")?;
    let lent = session.say(BOUND)?;
    // In IPv6 a question for a neighbour has the lent address as its source.
    let asked = match Family::of_this_story() {
        Family::Ipv4 => format!("(arp host {lent}) or "),
        Family::Ipv6 => String::new(),
    };
    let filter = format!(
        "src net {} or {asked}{}",
        stage.site.pool,
        Words::of_this_story().tunnels
    );
    let agitator = stage
        .laptop
        .node()
        .program("ping")
        .args([
            "-i",
            "0.005",
            "-I",
            &lent.to_string(),
            &stage.site.address.to_string(),
        ])
        .start()?;
    let mut captures = [
        Capture::start(stage.laptop.node(), "wlan0", &filter)?,
        Capture::start(stage.laptop.node(), "eth0", &filter)?,
    ];
    if Backend::of_this_story() == Backend::Kernel {
        tunnel_goes_on(story, &mut stage, &mut session)?;
    }
    stage.agent.kill()?;
    let killed = Instant::now();
    let curl = stage.curl(&[
        "--connect-timeout",
        "1",
        "-o",
        "/dev/null",
        "http://server.example/1000",
    ]);
    curl.finish(BOUND)?.success()?;
    let took = killed.elapsed();
    // The kernel's tunnel stands without the agent.
    let expected = match Backend::of_this_story() {
        Backend::Userspace => stage.care_of(),
        Backend::Kernel => lent.parse()?,
    };
    ensure(web.peers() == [expected], || {
        format!("a new curl came from {:?}", web.peers())
    })?;
    session.whisper()?;
    // The laptop moves while nobody looks after it.
    stage.move_on()?;
    ensure(session.is_open(), || "ssh gave up".to_owned())?;
    stage.agent.run()?;
    let seen = session.hear(BOUND * 2)?;
    ensure(seen == lent, || {
        format!("ssh resumed from {seen} instead of {lent}")
    })?;
    session.whisper()?;
    session.hear(BOUND)?;
    drop(agitator);
    for capture in &mut captures {
        capture.stop()?;
        // Tunnelled packets show the lent address too, behind an outer one.
        let mut leaked = capture.fields("", &["ip.src", "ipv6.src", "frame.protocols"])?;
        leaked.retain(|row| !row[0].contains(',') && !row[1].contains(','));
        ensure(leaked.is_empty(), || format!("leaked {leaked:?}"))?;
    }
    ensure(took < stretched(Duration::from_secs(1)), || {
        format!("a new curl took {took:?}")
    })?;
    story.saw(format!("a new curl worked {} ms after the kill, from {}, ssh waited through a move and resumed as {lent}", took.as_millis(), web.peers()[0]));
    Ok(())
}

/// The agent is killed and comes back: the session answers in between, and no probe is lost.
fn tunnel_goes_on(story: &Story, stage: &mut Stage, session: &mut SshSession) -> Told {
    let before = stage.wait_for_binding_at(stage.care_of())?;
    let (near, far) = (stage.laptop.node(), &stage.site.server);
    let mut ways = Vec::new();
    for (direction, port) in [(Direction::Up, 9001), (Direction::Down, 9002)] {
        let address = stage.site.address;
        ways.push(Probes::start(
            near, far, address, port, direction, INTERVAL,
        )?);
    }
    let arrive = || {
        ways.iter()
            .try_for_each(|way| way.wait_for_more(SOME, BOUND))
    };
    arrive()?;
    stage.agent.kill()?;
    session.say(BOUND)?;
    arrive()?;
    stage.agent.run()?;
    let after = stage.wait_for_binding_at(stage.care_of())?;
    arrive()?;
    session.say(BOUND)?;
    ensure(after.choa == before.choa, || {
        format!("{:?} was taken over as {:?}", before.choa, after.choa)
    })?;
    let lost: usize = ways.iter().map(Probes::lost).sum();
    let arrived: usize = ways.iter().map(|way| way.counts().1).sum();
    ensure(lost == 0, || format!("{lost} probes lost beside {arrived}"))?;
    story.saw(format!(
        "{arrived} probes both ways through a death and a return, none lost"
    ));
    Ok(())
}
