//! What passes the tunnel, against the plain path and against wireguard-go, between the same machines, in turns.

use std::net::IpAddr;

use super::{
    cable,
    iperf::{Load, Path, TCP, serve},
    report::Section,
    statistics::{Sample, number},
    wireguard::{Kind, WireGuard},
};
use crate::{Failure, Family, LabError, Node, Stage, stage::BOUND};

/// The laptop's tunnels.
const DEVICES: [&str; 2] = ["mn0", "wg0"];

const LOADS: [(&str, Load, Option<&str>); 4] = [
    TCP[0],
    TCP[1],
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
    cable::lay(&stage)?;
    let family = Family::of_this_story();
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    let wireguard = WireGuard::start(stage.laptop.node(), &stage.site, Kind::InUserSpace)?;
    let path = |to: IpAddr, from: Option<IpAddr>, device| Path { to, from, device };
    let paths = [
        path(stage.site.address, Some(cable::LAPTOP.of(family)), None),
        path(stage.site.address, None, Some("mn0")),
        path(wireguard.address, None, Some("wg0")),
    ];
    let _servers = [
        serve(&stage.site.server, paths[0].to)?,
        serve(&stage.site.server, paths[2].to)?,
    ];

    let mut section = Section::new("Throughput", &COLUMNS);
    let kinds = [
        (Cables::Veth, &LOADS[..]),
        (Cables::Cards, &TCP[..]),
        (Cables::ModeratedCards, &TCP[..]),
    ];
    // What the other kinds show does not depend on the family.
    let count = if family == Family::Ipv4 { 3 } else { 1 };
    for (cables, loads) in kinds.into_iter().take(count) {
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
                    let laptop = stage.laptop.node();
                    sample.push(path.measure(laptop, &DEVICES, *load, *direction, seconds)?);
                }
            }
            let [plain, ours, theirs] = samples.map(|sample| sample.median());
            section.row([
                (*what).to_owned(),
                family.to_string(),
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

const COLUMNS: [&str; 9] = [
    "what",
    "family",
    "cables",
    "plain",
    "CHA",
    "CHA to plain",
    "wireguard-go",
    "wireguard-go to plain",
    "CHA to wireguard-go",
];

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
