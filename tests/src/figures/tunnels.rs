//! What passes the kernel backend, against the plain path, a bare tunnel of the kernel's and the kernel's WireGuard,
//! between the same machines, in turns.

use super::{
    cable, hand,
    iperf::{Path, TCP, serve},
    report::Section,
    statistics::{Sample, number},
    wireguard::{Kind, WireGuard},
};
use crate::{Failure, Family, Stage, wait::patience};

/// The laptop's tunnels.
const DEVICES: [&str; 3] = ["mn0", hand::DEVICE, "wg0"];

const COLUMNS: [&str; 12] = [
    "what",
    "family",
    "plain",
    "bare tunnel",
    "CHA",
    "WireGuard",
    "CHA to bare tunnel",
    "least",
    "most",
    "bare tunnel to plain",
    "CHA to plain",
    "CHA to WireGuard",
];

/// Each path `rounds` times for `seconds`, in turns.
pub fn measure(rounds: usize, seconds: u32) -> Result<Section, Failure> {
    let family = Family::of_this_story();
    let stage = Stage::with(
        |chad| chad.lifetime = 3600 / patience(),
        |agent| {
            agent.unused = 3_600_000 / patience();
            agent.linger = 3_600_000 / patience();
            agent.inactivity = 3_600_000 / patience();
        },
    )?;
    cable::lay(&stage)?;
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    let laptop = stage.laptop.node();
    let bare = hand::tunnel(laptop, cable::LAPTOP_BESIDE.of(family), &stage.site)?;
    let wireguard = WireGuard::start(laptop, &stage.site, Kind::InKernel)?;
    let server = stage.site.address;
    let path = |to, from, device| Path { to, from, device };
    let paths = [
        path(server, Some(cable::LAPTOP.of(family)), None),
        path(bare, None, Some(hand::DEVICE)),
        path(server, None, Some("mn0")),
        path(wireguard.address, None, Some("wg0")),
    ];
    let _servers = [
        serve(&stage.site.server, server)?,
        serve(&stage.site.server, bare)?,
        serve(&stage.site.server, wireguard.address)?,
    ];

    let mut section = Section::new("Throughput of the kernel backend", &COLUMNS);
    for (what, load, direction) in TCP {
        let mut samples: [Sample; 4] = Default::default();
        let mut ratio = Sample::default();
        for round in 0..rounds {
            let mut found = [0.0; 4];
            let mut turns = [0, 1, 2, 3];
            // So that none gains from its place.
            if round % 2 == 1 {
                turns.reverse();
            }
            for turn in turns {
                found[turn] = paths[turn].measure(laptop, &DEVICES, load, direction, seconds)?;
            }
            for (sample, value) in samples.iter_mut().zip(found) {
                sample.push(value);
            }
            ratio.push(found[2] / found[1]);
        }
        let [plain, bare, ours, theirs] = samples.map(|sample| sample.median());
        section.row([
            what.to_owned(),
            family.to_string(),
            number(plain),
            number(bare),
            number(ours),
            number(theirs),
            number(ratio.median()),
            number(ratio.least()),
            number(ratio.worst()),
            number(bare / plain),
            number(ours / plain),
            number(ours / theirs),
        ]);
    }
    section.remark(format!(
        "Medians of {rounds} rounds of {seconds} s for each path; the ratio to the bare tunnel is taken in each round."
    ));
    Ok(section)
}
