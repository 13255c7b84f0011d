//! DNS answers through the relay against the same questions asked directly, in turns.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    report::Section,
    statistics::{Sample, number},
};
use crate::{Failure, LabError, SiteKind, Stage};

/// Where the lab's mn-agent listens.
const RELAY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 153)), 53);

const BOUND: Duration = Duration::from_secs(3);

/// `rounds` questions of each kind, at a round-trip time that the lab adds to its own.
pub fn measure(round_trip: Duration, rounds: usize) -> Result<Section, Failure> {
    let mut stage = Stage::with(
        |_| {},
        |agent| {
            agent.unused = 600_000;
            agent.linger = 600_000;
        },
    )?;
    let plain = stage.internet.site("plain.example", SiteKind::Plain)?;
    if !round_trip.is_zero() {
        stage.internet.delay(round_trip)?;
    }
    let names = stage.internet.names();
    let fresh: Vec<String> = (0..rounds)
        .map(|number| format!("fresh{number}.example"))
        .collect();
    for name in &fresh {
        names.set(name, plain.address);
    }
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;

    let mut section = Section::new(
        "DNS answer through the relay",
        &[
            "name",
            "round trip, ms",
            "direct, ms",
            "through the relay, ms",
            "ratio",
            "added, ms",
        ],
    );
    let again = |name: &str| vec![name.to_owned(); rounds];
    for (what, asked) in [
        ("without CHA, first time", fresh),
        ("without CHA, remembered", again("plain.example")),
        ("with CHA, binding stands", again(&stage.site.name)),
    ] {
        let direct = SocketAddr::from((names.address(), 53));
        let [direct, relayed] = stage
            .laptop
            .node()
            .run(move |_| ask_in_turns(&asked, [direct, RELAY]))?;
        let (direct, relayed) = (direct.median(), relayed.median());
        section.row([
            what.to_owned(),
            round_trip.as_millis().to_string(),
            number(direct),
            number(relayed),
            number(relayed / direct),
            number(relayed - direct),
        ]);
    }
    Ok(section)
}

fn ask_in_turns(names: &[String], servers: [SocketAddr; 2]) -> Result<[Sample; 2], LabError> {
    let sockets = [open(servers[0])?, open(servers[1])?];
    let mut times = [Sample::default(), Sample::default()];
    for (number, name) in names.iter().enumerate() {
        let number = u16::try_from(number % 0x1_0000).unwrap_or_default();
        let question = question(number, name);
        for (socket, times) in sockets.iter().zip(&mut times) {
            let asked = Instant::now();
            ask(socket, &question, name)?;
            times.push_time(asked.elapsed());
        }
    }
    Ok(times)
}

fn open(server: SocketAddr) -> Result<UdpSocket, LabError> {
    let what = || LabError::io(format!("open a socket to {server}"));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(what())?;
    socket.connect(server).map_err(what())?;
    socket.set_read_timeout(Some(BOUND)).map_err(what())?;
    Ok(socket)
}

fn ask(socket: &UdpSocket, question: &[u8], name: &str) -> Result<(), LabError> {
    socket
        .send(question)
        .map_err(LabError::io(format!("ask for {name}")))?;
    let mut reply = [0; 1500];
    loop {
        let length = socket
            .recv(&mut reply)
            .map_err(LabError::io(format!("wait for the answer about {name}")))?;
        if length < 12 || reply[..2] != question[..2] {
            continue;
        }
        if reply[3] & 0x0f != 0 || reply[6..8] == [0, 0] {
            return Err(LabError::Other(format!("no address for {name}")));
        }
        return Ok(());
    }
}

/// A recursive question for the addresses (A) of `name`.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend(label.bytes().take(63));
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
