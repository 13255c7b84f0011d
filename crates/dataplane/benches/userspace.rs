//! What the userspace backend costs: throughput through both ends of a tunnel as a ratio to the plain
//! path, in one run, in network namespaces of its own. Needs root and iperf3.
//!
//! Between namespaces a plain TCP stream crosses every hop in pieces of 64 kB, which no cable does.
//! So it is also measured packet by packet, as on a cable.
//!
//! `cargo bench -p dataplane --bench userspace [seconds per measurement]`

#![expect(clippy::panic, reason = "a benchmark")]

#[path = "../tests/userspace_lab/mod.rs"]
mod userspace_lab;

mod iperf;

use std::net::Ipv4Addr;

use iperf::{megabits, received, seconds, servers};
use userspace_lab::{CORRESPONDENT, Lab, counted, possible};

/// The second address of the correspondent, to which no tunnel leads.
const PLAIN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

fn main() {
    if !possible() {
        return;
    }
    let seconds = seconds();
    let lab = Lab::new();
    let (home_agent, mobile_node) = lab.bound();
    lab.cn.sh(&format!("ip addr add {PLAIN}/24 dev eth0"));
    let _servers = servers(&lab, &[PLAIN.into(), CORRESPONDENT.into()]);

    println!(
        "{:<28}{:>10}{:>12}{:>10}{:>16}{:>12}",
        "", "plain", "by packet", "tunnel", "tunnel/plain", "/by packet"
    );
    for (what, options, unit) in [
        ("TCP to the correspondent", "", Unit::Megabits),
        ("TCP from the correspondent", "-R", Unit::Megabits),
        ("64-byte packets to it", "-u -b 0 -l 36", Unit::Packets),
        ("64-byte packets from it", "-u -b 0 -l 36 -R", Unit::Packets),
    ] {
        let measure = |address: Ipv4Addr| {
            let report = lab.mn.sh(&format!(
                "iperf3 -c {address} -t {seconds} -f m --get-server-output {options}"
            ));
            unit.read(&report, seconds)
                .unwrap_or_else(|| panic!("iperf3 says:\n{report}"))
        };
        let limit_merging = |segments: u32| {
            for host in [&lab.mn, &lab.cn] {
                host.sh(&format!("ip link set eth0 gso_max_segs {segments}"));
            }
        };
        let plain = measure(PLAIN);
        limit_merging(1);
        let by_packet = measure(PLAIN);
        limit_merging(65_535);
        let tunnel = measure(CORRESPONDENT);
        let (of_plain, of_packets) = (tunnel / plain, tunnel / by_packet);
        println!(
            "{what:<28}{plain:>10.0}{by_packet:>12.0}{tunnel:>10.0}{of_plain:>16.2}{of_packets:>12.2}  {}",
            unit.name()
        );
    }
    println!(
        "home agent: {:?}\nmobile node: {:?}",
        counted(&home_agent),
        counted(&mobile_node)
    );
}

#[derive(Clone, Copy)]
enum Unit {
    Megabits,
    Packets,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Megabits => "Mbit/s",
            Self::Packets => "packets/s received",
        }
    }

    /// What the receiver's line of a report says.
    fn read(self, report: &str, seconds: u32) -> Option<f64> {
        match self {
            Self::Megabits => megabits(report),
            Self::Packets => {
                let (lost, total) = received(report)?.iter().find_map(|word| {
                    word.split_once('/')
                        .filter(|(lost, _)| lost.parse::<f64>().is_ok())
                })?;
                Some((total.parse::<f64>().ok()? - lost.parse::<f64>().ok()?) / f64::from(seconds))
            }
        }
    }
}
