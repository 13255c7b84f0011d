//! Parts that need the kernel's own tunnels, on a machine whose kernel has none: each measured in a guest of its own.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use serde::{Deserialize, Serialize};

use super::{Part, bindings, report::Section};
use crate::{LabError, runner};

/// Find out in this process whether the kernel has tunnels.
pub const PROBE: &str = runner::guest::PROBE;

/// Followed by a part's name: measure it, and report by lines for [`measure`].
pub const HERE: &str = "--report";

/// Boots the guest and runs a command in it.
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");

/// Begins the line that reports to the machine outside.
const REPORT: &str = "figures-report ";

/// How long a guest may take.
const SECONDS: u32 = 3600;

/// Its memory in megabytes: a hundred thousand mobile nodes take most of it.
const MEMORY: u32 = 6144;

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

/// Measures all of `parts`, where the guests' clocks count instructions as many at a time as there are processors.
pub fn measure(parts: &[Part], quick: bool) -> Measured {
    // The last ones of the document take longest.
    let waiting = Mutex::new(parts.to_vec());
    let measured = Mutex::new(Measured::default());
    let at_once = if has_a_clock_of_its_own() {
        thread::available_parallelism().map_or(1, usize::from)
    } else {
        1
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let part = lock(&waiting).pop();
                    let Some(part) = part else { return };
                    if let Err(error) = measure_one(part, quick, &measured) {
                        eprintln!("figures: {part}: {error}");
                    }
                }
            });
        }
    });
    measured
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn measure_one(part: Part, quick: bool, measured: &Mutex<Measured>) -> Result<(), LabError> {
    let this = env::current_exe().map_err(LabError::io("find this program"))?;
    let mut command = Command::new(GUEST);
    command
        .env("GUEST_SECONDS", SECONDS.to_string())
        .env("GUEST_CLOCK", "instructions")
        .env("GUEST_MEMORY", MEMORY.to_string())
        // There is no disk; all of the guest's files are in memory.
        .env_remove(bindings::DISK)
        .arg(this)
        .args([HERE, &part.to_string()]);
    if quick {
        command.arg("--quick");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(LabError::io(format!("start {GUEST}")))?;
    let lines = child.stdout.take().map(BufReader::new);
    for line in lines.into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(LabError::io("read what the guest says"))?;
        let json = line.trim_end_matches('\r').strip_prefix(REPORT);
        match json.and_then(|json| serde_json::from_str(json).ok()) {
            Some(Said::Machine(description)) => lock(measured).machine = description,
            Some(Said::Measured(part, sections)) => {
                lock(measured).sections.insert(part, sections);
            }
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait().map_err(LabError::io("wait for the guest"))?;
    if status.success() {
        Ok(())
    } else {
        Err(LabError::Other(format!("the guest ended with {status}")))
    }
}

/// Whether the guest is emulated, by the signs that the script goes by.
fn has_a_clock_of_its_own() -> bool {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut words = processors.split_whitespace();
    let is_virtual = words.any(|word| word == "vmx" || word == "svm");
    !(is_virtual && Path::new("/dev/kvm").exists())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
