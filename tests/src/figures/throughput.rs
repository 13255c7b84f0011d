//! What passes the tunnel, against the plain path and against wireguard-go, between the same machines, in turns.

use std::time::Duration;

use super::{
    report::Section,
    statistics::{Sample, number},
    wireguard::WireGuard,
};
use crate::{Failure, LabError, Node, Process, Stage, stage::BOUND};

/// UDP payload of a packet of 64 octets.
const PAYLOAD: &str = "36";

/// Each path `rounds` times for `seconds`, in turns.
pub fn measure(rounds: usize, seconds: u32) -> Result<Section, Failure> {
    let stage = Stage::with(
        |chad| chad.lifetime = 3600,
        |agent| {
            agent.unused = 3_600_000;
            agent.linger = 3_600_000;
            agent.inactivity = 3_600_000;
        },
    )?;
    for node in [
        stage.laptop.node(),
        &stage.cafe.router,
        stage.internet.core(),
        &stage.site.gateway,
        &stage.site.server,
    ] {
        merge_arrivals(node)?;
    }
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    let wireguard = WireGuard::start(stage.laptop.node(), &stage.site)?;
    let paths = [
        Path {
            to: stage.site.address.to_string(),
            from: Some(stage.care_of().to_string()),
            device: None,
        },
        Path {
            to: stage.site.address.to_string(),
            from: None,
            device: Some("mn0"),
        },
        Path {
            to: wireguard.address.to_string(),
            from: None,
            device: Some("wg0"),
        },
    ];
    let _servers = [
        serve(&stage.site.server, &paths[0].to)?,
        serve(&stage.site.server, &paths[2].to)?,
    ];

    let mut section = Section::new(
        "Throughput",
        &[
            "what",
            "plain",
            "CHA",
            "CHA to plain",
            "wireguard-go",
            "wireguard-go to plain",
            "CHA to wireguard-go",
        ],
    );
    for (what, load, direction) in [
        ("TCP up, Mbit/s", Load::Tcp, None),
        ("TCP down, Mbit/s", Load::Tcp, Some("-R")),
        ("64-byte packets up, thousands/s", Load::SmallPackets, None),
        (
            "64-byte packets down, thousands/s",
            Load::SmallPackets,
            Some("-R"),
        ),
    ] {
        let mut samples = [Sample::default(), Sample::default(), Sample::default()];
        for _ in 0..rounds {
            for (path, sample) in paths.iter().zip(&mut samples) {
                sample.push(path.measure(stage.laptop.node(), load, direction, seconds)?);
            }
        }
        let [plain, ours, theirs] = samples.map(|sample| sample.median());
        section.row([
            what.to_owned(),
            number(plain),
            number(ours),
            number(ours / plain),
            number(theirs),
            number(theirs / plain),
            number(ours / theirs),
        ]);
    }
    section.remark(format!("Medians of {rounds} runs of {seconds} s each."));
    Ok(section)
}

/// A way from the laptop to the server.
struct Path {
    to: String,
    from: Option<String>,
    /// The tunnel it goes through.
    device: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Load {
    Tcp,
    SmallPackets,
}

impl Path {
    fn measure(
        &self,
        laptop: &Node,
        load: Load,
        direction: Option<&str>,
        seconds: u32,
    ) -> Result<f64, Failure> {
        let before = tunnelled(laptop)?;
        let mut program = laptop
            .program("iperf3")
            .args(["-J", "-c", &self.to, "-t", &seconds.to_string()])
            .args(direction);
        if let Some(address) = &self.from {
            program = program.args(["-B", address]);
        }
        if let Load::SmallPackets = load {
            program = program.args(["-u", "-b", "0", "-l", PAYLOAD]);
        }
        let bound = Duration::from_secs(u64::from(seconds)) + 2 * BOUND;
        let report = program.finish(bound)?.success()?.stdout;
        let after = tunnelled(laptop)?;
        for ((device, before), (_, after)) in before.into_iter().zip(after) {
            let used = after - before > 100;
            if used != (self.device == Some(device)) {
                return Err(Failure::new(format!(
                    "{device} carried {} packets when the way was {:?}",
                    after - before,
                    self.device
                )));
            }
        }
        let said = || Failure::new(format!("iperf3 says: {report}"));
        let report: serde_json::Value = serde_json::from_str(&report)
            .map_err(|error| Failure::new(format!("iperf3: {error}: {report}")))?;
        received(&report, load).ok_or_else(said)
    }
}

/// Megabits or thousands of packets per second that the receiver saw.
fn received(report: &serde_json::Value, load: Load) -> Option<f64> {
    let end = report.get("end")?;
    match load {
        Load::Tcp => Some(end.get("sum_received")?.get("bits_per_second")?.as_f64()? / 1e6),
        Load::SmallPackets => {
            let sum = end.get("sum")?;
            let count = |name| sum.get(name).and_then(serde_json::Value::as_f64);
            Some((count("packets")? - count("lost_packets")?) / count("seconds")? / 1e3)
        }
    }
}

/// Packets that the laptop's tunnel devices carried so far.
fn tunnelled(laptop: &Node) -> Result<Vec<(&'static str, u64)>, LabError> {
    laptop.run(|_| {
        let path = "/proc/thread-self/net/dev";
        let table = std::fs::read_to_string(path).map_err(LabError::io(format!("read {path}")))?;
        let count = |device: &str| -> Option<u64> {
            let line = table
                .lines()
                .find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'))?;
            let words: Vec<&str> = line.split_whitespace().collect();
            // Octets, packets and six more of what came in, then the same of what went out.
            let word = |at: usize| words.get(at)?.parse::<u64>().ok();
            Some(word(1)? + word(9)?)
        };
        ["mn0", "wg0"]
            .into_iter()
            .map(|device| {
                count(device)
                    .map(|packets| (device, packets))
                    .ok_or_else(|| LabError::Other(format!("no device {device}: {table}")))
            })
            .collect()
    })
}

/// Lets the node's cables hand over what arrives as network cards do, with packets of one flow merged (GRO), which
/// `veth` leaves out by default.
fn merge_arrivals(node: &Node) -> Result<(), LabError> {
    for link in node.run(|network| network.links())? {
        if link != "lo" {
            node.program("ethtool")
                .args(["-K", &link, "gro", "on"])
                .finish(BOUND)?
                .success()?;
        }
    }
    Ok(())
}

/// Bound to one address, because iperf3 answers UDP from the machine's first one otherwise.
fn serve(server: &Node, address: &str) -> Result<Process, LabError> {
    let mut process = server
        .program("iperf3")
        .args(["-s", "--forceflush", "-B", address])
        .start()?;
    process.wait_for_output("the server to listen", BOUND, |text| {
        text.contains("listening")
    })?;
    Ok(process)
}
