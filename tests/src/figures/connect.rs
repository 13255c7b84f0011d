//! From `getaddrinfo` to connected, in a process of its own that knows nothing of agents.

use std::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};

use super::{
    report::Section,
    statistics::{Sample, number},
};
use crate::{Failure, LabError, Laptop, Node, SiteKind, Stage, stage::BOUND};

/// A name without CHA that is looked up before the clock starts, so that the C library has loaded what it loads.
const WARM: &str = "plain.example";

const PORT: u16 = 80;

/// The argument with which the measuring program becomes the application: `connect NAME`.
pub const APPLICATION: &str = "connect";

/// The application's whole life: resolves `name`, connects, prints how many milliseconds both took together, and
/// the address it has.
pub fn application(name: &str) -> std::io::Result<String> {
    let _warmed = (WARM, PORT).to_socket_addrs()?;
    let started = Instant::now();
    let mut last = std::io::Error::other(format!("{name} has no address"));
    for address in (name, PORT).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(stream) => {
                let took = started.elapsed();
                let own = stream.local_addr()?.ip();
                return Ok(format!("{} {own}", took.as_secs_f64() * 1e3));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `rounds` connections of each kind, at a round-trip time that the lab adds to its own.
pub fn measure(round_trip: Duration, rounds: usize) -> Result<Section, Failure> {
    let mut stage = Stage::with(
        |_| {},
        |agent| {
            agent.unused = 600_000;
            agent.linger = 600_000;
        },
    )?;
    let plain = stage.internet.site(WARM, SiteKind::Plain)?;
    let without = stage.internet.laptop("other")?;
    without.move_to(&stage.cafe)?;
    if !round_trip.is_zero() {
        stage.internet.delay(round_trip)?;
    }
    for server in [&stage.site.server, &plain.server] {
        accept_all(server)?;
    }
    let mut first_plain = Pair::default();
    let (mut first, mut again) = (Pair::default(), Pair::default());
    for round in 0..rounds {
        let name = format!("plain{round}.example");
        stage.internet.names().set(&name, plain.address);
        first_plain.take(&stage, &without, &name, false)?;

        stage.agent.stop()?;
        stage.agent.lose_state()?;
        stage.agent.run_until_ready()?;
        for (what, pair) in [("first", &mut first), ("again", &mut again)] {
            let name = format!("{what}{round}.example");
            let names = stage.internet.names();
            names.set(&name, stage.site.address);
            names.set(&format!("cha.{name}"), stage.site.agent);
            pair.take(&stage, &without, &name, true)?;
            stage.agent.command(&["release", &name])?.success()?;
            stage
                .agent
                .wait_for_status("no binding to be left", BOUND, |status| {
                    status.bindings.is_empty()
                })?;
        }
    }
    let mut standing = Pair::default();
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    for _ in 0..rounds {
        standing.take(&stage, &without, &stage.site.name, true)?;
    }

    let mut section = Section::new(
        "From getaddrinfo to connected",
        &[
            "server",
            "round trip, ms",
            "without agent, ms",
            "with agent, ms",
            "ratio",
            "added, ms",
        ],
    );
    for (what, pair) in [
        ("without CHA, first contact", first_plain),
        ("with CHA, first contact", first),
        ("with CHA, who returns", again),
        ("with CHA, binding stands", standing),
    ] {
        let (without, with) = (pair.without.median(), pair.with.median());
        section.row([
            what.to_owned(),
            round_trip.as_millis().to_string(),
            number(without),
            number(with),
            number(with / without),
            number(with - without),
        ]);
    }
    Ok(section)
}

#[derive(Default)]
struct Pair {
    without: Sample,
    with: Sample,
}

impl Pair {
    /// Connects from both laptops, and checks that the one with the agent uses a lent address where it should.
    fn take(
        &mut self,
        stage: &Stage,
        without: &Laptop,
        name: &str,
        lent: bool,
    ) -> Result<(), Failure> {
        let (took, _) = connect(without.node(), name)?;
        self.without.push(took);
        let (took, own) = connect(stage.laptop.node(), name)?;
        if stage.is_lent(own) != lent {
            return Err(Failure::new(format!(
                "the connection with {name} has the address {own}"
            )));
        }
        self.with.push(took);
        Ok(())
    }
}

fn connect(node: &Node, name: &str) -> Result<(f64, std::net::IpAddr), Failure> {
    let this = std::env::current_exe().map_err(LabError::io("find this program"))?;
    let finished = node
        .program(&this.to_string_lossy())
        .args([APPLICATION, name])
        .finish(BOUND)?
        .success()?;
    let mut words = finished.stdout.split_whitespace();
    let took = words.next().and_then(|word| word.parse().ok());
    let own = words.next().and_then(|word| word.parse().ok());
    took.zip(own)
        .ok_or_else(|| Failure::new(format!("the application said {:?}", finished.stdout)))
}

/// A server that accepts and hangs up when the client does.
fn accept_all(node: &Node) -> Result<(), LabError> {
    node.run(|_| {
        let listener =
            TcpListener::bind(("0.0.0.0", PORT)).map_err(LabError::io("listen for connections"))?;
        thread::spawn(move || {
            let mut open = std::collections::VecDeque::new();
            for stream in listener.incoming().flatten() {
                open.push_back(stream);
                // The client has gone by then; a hang-up of the server's before would leave TIME_WAIT here.
                if open.len() > 4 {
                    open.pop_front();
                }
            }
        });
        Ok(())
    })
}
