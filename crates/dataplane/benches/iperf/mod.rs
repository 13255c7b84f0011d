//! iperf3 in the lab of the benchmarks.

use std::net::IpAddr;

use crate::userspace_lab::{Lab, Running, eventually};

/// How long to measure at a time: the argument, or five seconds.
pub(crate) fn seconds() -> u32 {
    let arguments = std::env::args();
    arguments
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(5)
}

/// Servers at these addresses of the correspondent, which listen. Bound, because a server answers UDP from its
/// host's first address.
pub(crate) fn servers(lab: &Lab, addresses: &[IpAddr]) -> Vec<Running> {
    let start = |address| lab.cn.start(&format!("iperf3 -s -B {address}"));
    let servers = addresses.iter().map(start).collect();
    eventually("all servers listen", || {
        lab.cn.sh("ss -Hltn sport = 5201").lines().count() == addresses.len()
    });
    servers
}

/// The words of the receiver's line of a report.
pub(crate) fn received(report: &str) -> Option<Vec<&str>> {
    let line = report
        .lines()
        .find(|line| line.trim_end().ends_with("receiver"))?;
    Some(line.split_whitespace().collect())
}

/// What the receiver got, of a report in Mbit/s.
pub(crate) fn megabits(report: &str) -> Option<f64> {
    let words = received(report)?;
    let unit = words.iter().position(|word| *word == "Mbits/sec")?;
    words.get(unit.checked_sub(1)?)?.parse().ok()
}
