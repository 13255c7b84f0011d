//! What passes the tunnel, against the plain path and against wireguard-go, between the same machines, in turns.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};

use super::{
    report::Section,
    statistics::{Sample, number},
    wireguard::WireGuard,
};
use crate::{Failure, Family, LabError, Node, Process, Stage, internet::plug_in, stage::BOUND};

/// UDP payload of a packet of 64 octets.
const PAYLOAD: &str = "36";

/// The laptop's network and its two ends, while the figures are made.
const CABLE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 129), Ipv4Addr::new(192, 0, 2, 130)];

const LOADS: [(&str, Load, Option<&str>); 4] = [
    ("TCP up, Mbit/s", Load::Tcp, None),
    ("TCP down, Mbit/s", Load::Tcp, Some("-R")),
    ("64-byte packets up, thousands/s", Load::SmallPackets, None),
    (
        "64-byte packets down, thousands/s",
        Load::SmallPackets,
        Some("-R"),
    ),
];

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
    lay_cable(&stage)?;
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    let wireguard = WireGuard::start(stage.laptop.node(), &stage.site)?;
    let path = |to: IpAddr, from: Option<IpAddr>, device| Path { to, from, device };
    let paths = [
        path(stage.site.address, Some(CABLE[1].into()), None),
        path(stage.site.address, None, Some("mn0")),
        path(wireguard.address.into(), None, Some("wg0")),
    ];
    let _servers = [
        serve(&stage.site.server, paths[0].to)?,
        serve(&stage.site.server, paths[2].to)?,
    ];

    let mut section = Section::new("Throughput", &COLUMNS);
    for (cables, loads) in [
        (Cables::Veth, &LOADS[..]),
        (Cables::Cards, &LOADS[..2]),
        (Cables::ModeratedCards, &LOADS[..2]),
    ] {
        for node in [
            stage.laptop.node(),
            &stage.cafe.router,
            stage.internet.core(),
            &stage.site.gateway,
            &stage.site.server,
        ] {
            cables.furnish(node)?;
        }
        for (what, load, direction) in loads {
            let mut samples = [Sample::default(), Sample::default(), Sample::default()];
            for _ in 0..rounds {
                for (path, sample) in paths.iter().zip(&mut samples) {
                    sample.push(path.measure(stage.laptop.node(), *load, *direction, seconds)?);
                }
            }
            let [plain, ours, theirs] = samples.map(|sample| sample.median());
            section.row([
                (*what).to_owned(),
                cables.words().to_owned(),
                number(plain),
                number(ours),
                number(ours / plain),
                number(theirs),
                number(theirs / plain),
                number(ours / theirs),
            ]);
        }
    }
    section.remark(format!("Medians of {rounds} runs of {seconds} s each."));
    Ok(section)
}

const COLUMNS: [&str; 8] = [
    "what",
    "cables",
    "plain",
    "CHA",
    "CHA to plain",
    "wireguard-go",
    "wireguard-go to plain",
    "CHA to wireguard-go",
];

/// Takes the laptop out of the air and connects it with the café's router by a cable of its own.
fn lay_cable(stage: &Stage) -> Result<(), LabError> {
    let (router, laptop, core) = (
        &stage.cafe.router,
        stage.laptop.node(),
        stage.internet.core(),
    );
    let ends = CABLE.map(|end| [Ipv4Net::new_assert(end, 30).into()]);
    plug_in(router, "cable", &ends[0], laptop, "cable0", &ends[1])?;
    let of_core = IpNet::from(Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24));
    let uplink = router
        .run(|network| network.addresses())?
        .into_iter()
        .map(|found| found.address)
        .find(|address| of_core.contains(address))
        .ok_or_else(|| LabError::Other("the router has no uplink".to_owned()))?;
    core.run(move |network| network.route(Ipv4Net::new_assert(CABLE[0], 30).trunc(), uplink, 0))?;
    stage.laptop.leave_all()?;
    laptop.run(|network| network.route(Family::Ipv4.everywhere(), CABLE[0], 0))
}

/// What the cables between the machines are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cables {
    /// As `veth` is by itself: a super-segment of 64 kB crosses every cable as one packet.
    Veth,
    /// Each packet is on the wire by itself (no TSO), and receivers may merge what arrives (GRO).
    Cards,
    /// The same, and what arrives within 20 us is handed over together (interrupt moderation). It slows the plain
    /// path down, too.
    ModeratedCards,
}

impl Cables {
    fn words(self) -> &'static str {
        match self {
            Cables::Veth => "veth",
            Cables::Cards => "one packet at a time",
            Cables::ModeratedCards => "the same, moderated",
        }
    }

    fn furnish(self, node: &Node) -> Result<(), LabError> {
        let (merge, whole) = if self == Cables::Veth {
            ("off", "on")
        } else {
            ("on", "off")
        };
        let (nanoseconds, polls) = if self == Cables::ModeratedCards {
            ("20000", "2")
        } else {
            ("0", "0")
        };
        for link in node.run(|network| network.links())? {
            if ["lo", "mn0", "cha0", "wg0"].contains(&link.as_str()) {
                continue;
            }
            node.program("ethtool")
                .args(["-K", &link, "gro", merge, "tso", whole])
                .args(["tx-ipxip4-segmentation", whole])
                .finish(BOUND)?
                .success()?;
            for (file, value) in [
                ("gro_flush_timeout", nanoseconds),
                ("napi_defer_hard_irqs", polls),
            ] {
                let path = format!("/sys/class/net/{link}/{file}");
                node.run(move |_| {
                    std::fs::write(&path, value).map_err(LabError::io(format!("write {path}")))
                })?;
            }
        }
        Ok(())
    }
}

/// A way from the laptop to the server.
struct Path {
    to: IpAddr,
    from: Option<IpAddr>,
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
            .args(["-J", "-c", &self.to.to_string(), "-t", &seconds.to_string()])
            .args(direction);
        if let Some(address) = &self.from {
            program = program.args(["-B", &address.to_string()]);
        }
        if let Load::SmallPackets = load {
            program = program.args(["-u", "-b", "0", "-l", PAYLOAD]);
        }
        let bound = Duration::from_secs(u64::from(seconds)) + 2 * BOUND;
        let report = program.finish(bound)?.success()?.stdout;
        let after = tunnelled(laptop)?;
        for ((device, before), (_, after)) in before.into_iter().zip(after) {
            let packets = after - before;
            let is_the_way = self.device == Some(device);
            // What an earlier flood left in queues may still pass.
            if (is_the_way && packets < 100) || (!is_the_way && packets > 1000) {
                return Err(Failure::new(format!(
                    "{device} carried {packets} packets when the way was {:?}",
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

/// Bound to one address, because iperf3 answers UDP from the machine's first one otherwise.
fn serve(server: &Node, address: IpAddr) -> Result<Process, LabError> {
    let mut process = server
        .program("iperf3")
        .args(["-s", "--forceflush", "-B", &address.to_string()])
        .start()?;
    process.wait_for_output("the server to listen", BOUND, |text| {
        text.contains("listening")
    })?;
    Ok(process)
}
