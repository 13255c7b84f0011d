//! Parts that need the kernel's own tunnels, on a machine whose kernel has none: measured in the guest kernel, in one
//! boot for all of them.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{Part, bindings, report::Section};
use crate::{LabError, runner};

/// Find out in this process whether the kernel has tunnels.
pub const PROBE: &str = runner::guest::PROBE;

/// Followed by parts' names: measure them one after another, and report each by a line for [`measure`].
pub const HERE: &str = "--report";

/// Boots the guest and runs a command in it.
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");

/// Begins the line that reports to the machine outside.
const REPORT: &str = "figures-report ";

/// How long the guest may take.
const SECONDS: u32 = 3600;

/// What the guest says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Machine(String),
    Measured(String, Vec<Section>),
}

/// What was measured in the guest.
#[derive(Debug, Default)]
pub struct Measured {
    /// The guest's description of itself.
    pub machine: String,
    /// By the names of parts. Of a part that failed nothing is here, and why was written to standard error.
    pub sections: BTreeMap<String, Vec<Section>>,
}

/// Whether this machine's own kernel has the tunnels.
#[must_use]
pub fn is_needless() -> bool {
    runner::guest::is_needless()
}

/// What a process does that was asked to [`PROBE`].
#[must_use]
pub fn probe() -> ExitCode {
    runner::guest::probe()
}

/// Tells the machine outside what this guest is.
pub fn report_machine(description: String) {
    report(&Said::Machine(description));
}

/// Tells the machine outside what was measured.
pub fn report_sections(part: Part, sections: Vec<Section>) {
    report(&Said::Measured(part.to_string(), sections));
}

fn report(said: &Said) {
    match serde_json::to_string(said) {
        Ok(json) => println!("{REPORT}{json}"),
        Err(error) => eprintln!("figures: {error}"),
    }
}

/// Measures all of `parts` in one guest.
pub fn measure(parts: &[Part], quick: bool) -> Result<Measured, LabError> {
    let this = env::current_exe().map_err(LabError::io("find this program"))?;
    let mut command = Command::new(GUEST);
    command
        .env("GUEST_SECONDS", SECONDS.to_string())
        .env("GUEST_CLOCK", "instructions")
        // There is no disk; all of the guest's files are in memory.
        .env_remove(bindings::DISK)
        .arg(this)
        .arg(HERE)
        .args(parts.iter().map(Part::to_string));
    if quick {
        command.arg("--quick");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(LabError::io(format!("start {GUEST}")))?;
    let mut measured = Measured::default();
    let lines = child.stdout.take().map(BufReader::new);
    for line in lines.into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(LabError::io("read what the guest says"))?;
        let json = line.trim_end_matches('\r').strip_prefix(REPORT);
        match json.and_then(|json| serde_json::from_str(json).ok()) {
            Some(Said::Machine(description)) => measured.machine = description,
            Some(Said::Measured(part, sections)) => {
                measured.sections.insert(part, sections);
            }
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait().map_err(LabError::io("wait for the guest"))?;
    if !status.success() {
        eprintln!("figures: the guest ended with {status}");
    }
    Ok(measured)
}
