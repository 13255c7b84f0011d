//! How much `iperf3` gets through between a laptop and a server, and by which way.

use std::{net::IpAddr, time::Duration};

use crate::{Failure, Family, LabError, Node, Process, stage::BOUND};

/// A way from the laptop to the server.
pub struct Path {
    /// The server's address.
    pub to: IpAddr,
    /// The address to come from, if not what the kernel chooses.
    pub from: Option<IpAddr>,
    /// The tunnel device that it goes through.
    pub device: Option<&'static str>,
}

/// What is sent.
#[derive(Clone, Copy)]
pub enum Load {
    /// One TCP connection.
    Tcp,
    /// As many small UDP packets as the sender can send.
    SmallPackets,
}

/// TCP in both directions, with the option of `iperf3` that chooses it.
pub const TCP: [(&str, Load, Option<&str>); 2] = [
    ("TCP up, Mbit/s", Load::Tcp, None),
    ("TCP down, Mbit/s", Load::Tcp, Some("-R")),
];

impl Path {
    /// Megabits, or thousands of packets, per second that the receiver saw. An error if it went another way: `devices`
    /// are all tunnels of the laptop.
    pub fn measure(
        &self,
        laptop: &Node,
        devices: &'static [&'static str],
        load: Load,
        direction: Option<&str>,
        seconds: u32,
    ) -> Result<f64, Failure> {
        let before = tunnelled(laptop, devices)?;
        let mut program = laptop
            .program("iperf3")
            .args(["-J", "-c", &self.to.to_string(), "-t", &seconds.to_string()])
            .args(direction);
        if let Some(address) = &self.from {
            program = program.args(["-B", &address.to_string()]);
        }
        if let Load::SmallPackets = load {
            program = program.args(["-u", "-b", "0", "-l", payload(Family::of(self.to))]);
        }
        let bound = Duration::from_secs(u64::from(seconds)) + 2 * BOUND;
        let report = program.finish(bound)?.success()?.stdout;
        let after = tunnelled(laptop, devices)?;
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
fn tunnelled(
    laptop: &Node,
    devices: &'static [&'static str],
) -> Result<Vec<(&'static str, u64)>, LabError> {
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
        devices
            .iter()
            .copied()
            .map(|device| {
                count(device)
                    .map(|packets| (device, packets))
                    .ok_or_else(|| LabError::Other(format!("no device {device}: {table}")))
            })
            .collect()
    })
}

/// A server, bound to one address, because iperf3 answers UDP from the machine's first one otherwise.
pub fn serve(server: &Node, address: IpAddr) -> Result<Process, LabError> {
    let mut process = server
        .program("iperf3")
        .args(["-s", "--forceflush", "-B", &address.to_string()])
        .start()?;
    process.wait_for_output("the server to listen", BOUND, |text| {
        text.contains("listening")
    })?;
    Ok(process)
}

/// UDP payload of a packet of 64 octets.
fn payload(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "36",
        Family::Ipv6 => "16",
    }
}
