//! What was really on the wire: tcpdump writes it down, tshark judges it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{LabError, Node, Process};

const START: Duration = Duration::from_secs(10);
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
