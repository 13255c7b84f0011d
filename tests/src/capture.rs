//! What was really on the wire: tcpdump writes it down, tshark judges it.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{LabError, Node, Process, packet};

const START: Duration = Duration::from_secs(10);
/// The parts of a capture file (pcap) before the first packet, and before each (pcap-savefile(5)).
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// What is before the packet in a frame.
const ETHERNET_HEADER: usize = 14;

const JUDGE: Duration = Duration::from_secs(20);

/// A running capture.
pub struct Capture {
    node: Node,
    file: PathBuf,
    tcpdump: Process,
}

impl Capture {
    /// Captures on `interface` of `node` what `filter` (in tcpdump's words) lets through.
    pub fn start(node: &Node, interface: &str, filter: &str) -> Result<Capture, LabError> {
        let file = node.directory().join(format!("{interface}.pcap"));
        let mut tcpdump = node
            .program("tcpdump")
            .args([
                "-i",
                interface,
                "-n",
                "-U",
                "-s",
                "0",
                "-B",
                "8192",
                "-Z",
                "root",
                "--immediate-mode",
                "-w",
            ])
            .arg(&file)
            .arg(filter)
            .start()?;
        tcpdump.wait_for_stderr("listening", START, |text| text.contains("listening on"))?;
        Ok(Capture {
            node: node.clone(),
            file,
            tcpdump,
        })
    }

    /// The capture file, which grows packet by packet.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Ends the capture.
    pub fn stop(&mut self) -> Result<(), LabError> {
        if self.tcpdump.is_running() {
            self.tcpdump.signal(Signal::SIGINT)?;
            self.tcpdump.finish(START)?;
        }
        Ok(())
    }

    /// Every captured packet from the IP header on, of a capture on one interface.
    pub fn packets(&self) -> Result<Vec<Vec<u8>>, LabError> {
        let what = LabError::io(format!("read {}", self.file.display()));
        let octets = fs::read(&self.file).map_err(what)?;
        let mut rest = octets.get(FILE_HEADER..).unwrap_or_default();
        let mut packets = Vec::new();
        while let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER)
            && let [_, _, _, _, _, _, _, _, length @ .., _, _, _, _] = header
            && let Ok(length) = <[u8; 4]>::try_from(length)
            && let Ok(length) = usize::try_from(u32::from_ne_bytes(length))
            && let Some((frame, behind)) = behind.split_at_checked(length)
        {
            packets.extend(frame.get(ETHERNET_HEADER..).map(<[u8]>::to_vec));
            rest = behind;
        }
        Ok(packets)
    }

    /// Of the captured packets, how many octets came to `own` from each address, and how many it sent there. Headers
    /// of IP count.
    pub fn tolls(&self, own: IpAddr) -> Result<BTreeMap<IpAddr, (usize, usize)>, LabError> {
        let mut tolls = BTreeMap::<IpAddr, (usize, usize)>::new();
        for octets in self.packets()? {
            match packet::ends(&octets) {
                Some((other, to)) if to == own => tolls.entry(other).or_default().0 += octets.len(),
                Some((from, other)) if from == own => {
                    tolls.entry(other).or_default().1 += octets.len();
                }
                Some(_) | None => {}
            }
        }
        Ok(tolls)
    }

    /// How many captured packets satisfy `filter` (in tshark's words, empty for all).
    pub fn count(&self, filter: &str) -> Result<usize, LabError> {
        Ok(self.fields(filter, &["frame.number"])?.len())
    }

    /// The (outermost) source of every captured packet that satisfies `filter`.
    pub fn sources(&self, filter: &str) -> Result<Vec<IpAddr>, LabError> {
        self.fields(filter, &["ip.src", "ipv6.src"])?
            .iter()
            .map(|families| {
                // Of a packet in a tunnel of the other family both are there: the outer one is the carrier's.
                let found = families
                    .iter()
                    .filter_map(|values| values.split(',').next())
                    .find(|value| !value.is_empty());
                found
                    .and_then(|value| value.parse().ok())
                    .ok_or_else(|| LabError::Other(format!("no source in {families:?}")))
            })
            .collect()
    }

    /// The named fields of every captured packet that satisfies `filter`. A field that occurs several times in
    /// one packet gives its values joined by commas.
    pub fn fields(&self, filter: &str, names: &[&str]) -> Result<Vec<Vec<String>>, LabError> {
        let mut tshark = self
            .node
            .program("tshark")
            .arg("-n")
            .arg("-r")
            .arg(&self.file)
            // Whole packets in UDP (RFC 5555), which tshark can't know by themselves.
            .args(["-d", "udp.port==4191,ipv6"])
            .args(["-T", "fields"]);
        if !filter.is_empty() {
            tshark = tshark.args(["-Y", filter]);
        }
        for name in names {
            tshark = tshark.args(["-e", name]);
        }
        // A capture that is still written to may end within a packet, which tshark reports after all others.
        let finished = tshark.finish(JUDGE)?;
        let cut_short = finished.stderr.contains("cut short")
            || finished.stderr.contains("appears to have been cut");
        if !finished.status.success() && !cut_short {
            return Err(LabError::Other(format!(
                "tshark: {}",
                finished.stderr.trim()
            )));
        }
        Ok(finished
            .stdout
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect())
    }
}
