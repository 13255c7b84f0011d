//! The stage itself: packets pass, foreign sources do not, delays and names are as told, moves keep the interface.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use lab::{
    Behaviour, Capture, FakeAgent, Family, HttpServer, Internet, SiteKind, Story, Told, ensure,
    eventually, fake_agent::Request, signalling::Words, udp,
};

const BOUND: Duration = Duration::from_secs(5);

pub(crate) fn tell(story: &Story) -> Told {
    let started = Instant::now();
    let mut internet = Internet::new(&["cafe", "train"])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let laptop = internet.laptop("laptop")?;
    let (cafe, train) = (internet.access(0), internet.access(1));
    laptop.move_to(&cafe)?;
    story.saw(format!(
        "a small internet of 9 machines in {} ms",
        started.elapsed().as_millis()
    ));

    let web = HttpServer::start(&site.server, 80)?;
    let fetched = laptop
        .node()
        .program("curl")
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            "http://server.example/1000000",
        ])
        .finish(BOUND)?
        .success()?;
    ensure(fetched.stdout == "1000000", || {
        format!("curl fetched {} octets", fetched.stdout)
    })?;
    let seen = web.peers();
    ensure(seen == [laptop.address_in(&cafe)], || {
        format!("the server saw {seen:?}")
    })?;
    story.saw(format!(
        "curl by name, {} at the server",
        laptop.address_in(&cafe)
    ));

    // A packet whose source is not of the visited network is dropped by its router.
    let echo = udp::Echo::start(&site.server, 7)?;
    let foreign = site.pools.host(9).of(Family::of_this_story());
    laptop
        .node()
        .run(move |network| network.address("lo", IpNet::from(foreign)))?;
    let address = site.address;
    laptop.node().run(move |_| {
        let socket = std::net::UdpSocket::bind((foreign, 0)).map_err(lab::LabError::io("bind"))?;
        socket
            .send_to(b"spoofed", (address, 7))
            .map_err(lab::LabError::io("send"))?;
        Ok(())
    })?;
    laptop.move_to(&train)?;
    let back = udp::exchange(
        laptop.node(),
        (site.address, 7).into(),
        b"honest".to_vec(),
        BOUND,
    )?;
    ensure(back.as_deref() == Some(b"honest"), || {
        "no echo after the move".to_owned()
    })?;
    let senders = udp::addresses(&echo.peers());
    ensure(senders == [laptop.address_in(&train)], || {
        format!("the server heard {senders:?}")
    })?;
    story.saw("the foreign source was dropped, the visitor's own passed after a move");

    let agent = FakeAgent::start(&site.gateway, site.agent, Behaviour::Refuse(130))?;
    let stranger = Request {
        home_address: Family::of_this_story().unspecified(),
        home_agent: site.agent,
        care_of_address: laptop.address_in(&train),
        lifetime: 60,
        identification: 1,
        identity: "stranger@example.org",
    };
    let words = Words::of_this_story();
    let mut capture = Capture::start(&site.gateway, "uplink", words.signalling)?;
    let code = stranger.ask(laptop.node(), BOUND)?;
    ensure(code == Some(130) && agent.requests().len() == 1, || {
        format!("the fake agent answered {code:?}")
    })?;
    udp::send_all(
        laptop.node(),
        stranger.to(),
        vec![stranger.datagram()?],
        Duration::ZERO,
    )?;
    eventually("the agent to hear a datagram", BOUND, || {
        agent.requests().len() == 2
    })?;
    capture.stop()?;
    let marked = capture.fields(
        "_ws.malformed || _ws.expert.severity >= \"Error\"",
        &["frame.number", "_ws.expert.message"],
    )?;
    let (understood, requests) = (
        capture.count(words.understood)?,
        capture.count(words.requests)?,
    );
    ensure(
        marked.is_empty() && understood >= 3 && requests == 2,
        || {
            format!(
                "tshark understands {understood} messages, {requests} requests, marks {marked:?}"
            )
        },
    )?;
    story.saw("a fake agent refused a stranger, in tshark's words, too");

    internet.delay(Duration::from_millis(100))?;
    let ping = laptop
        .node()
        .program("ping")
        .args(["-c", "3", "-i", "0.2", "-q", &site.address.to_string()])
        .finish(BOUND)?
        .success()?;
    let summary = ping
        .stdout
        .lines()
        .find(|line| line.starts_with("rtt"))
        .unwrap_or_default()
        .to_owned();
    let fastest: f64 = summary
        .split(" = ")
        .nth(1)
        .and_then(|numbers| numbers.split('/').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    ensure((100.0..130.0).contains(&fastest), || {
        format!("with 100 ms of delay ping says {summary:?}")
    })?;
    story.saw(format!(
        "{fastest} ms round trip through a delay line of 100 ms"
    ));

    internet.names().die();
    let lost = laptop
        .node()
        .program("curl")
        .args(["-sS", "-m", "2", "http://server.example/1"])
        .finish(BOUND)?;
    ensure(lost.code() != 0, || {
        "curl found a name while the name server was dead".to_owned()
    })?;
    internet.names().revive()?;
    laptop
        .node()
        .program("curl")
        .args(["-sS", "http://server.example/1"])
        .finish(BOUND)?
        .success()?;
    story.saw("the name server died and returned");
    Ok(())
}
