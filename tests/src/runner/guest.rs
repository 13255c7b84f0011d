//! Stories that need the kernel's own tunnels, on a machine whose kernel has none: told in the guest kernel.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use super::{
    Cell, Outcome, Performance, performance, say,
    telling::{self, SKIPPED},
};
use crate::{
    Family, LabError, Network,
    sandbox::{self, Entry},
};

/// Find out in this process whether the kernel has tunnels.
pub(crate) const PROBE: &str = "--probe-kernel-tunnels";

/// Followed by cells' names: tell them, and report each by a line for [`perform`].
pub(super) const HERE: &str = "--tell-here";

/// Boots the guest and runs a command in it.
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");

/// What the script ends with where there is no guest.
const NO_GUEST: i32 = 125;

/// Set to `required` where a missing guest is a failure rather than a reason to skip.
const GUEST_VARIABLE: &str = "LAB_GUEST";

/// How long the guest may take for its start. For a story it may, on average, take what other machines may take at most.
const START: Duration = Duration::from_secs(120);

/// Begins the line that reports a story to the machine outside.
const REPORT: &str = "report";

/// Whether this machine's own kernel has the tunnels.
pub(crate) fn is_needless() -> bool {
    env::current_exe()
        .and_then(|this| Command::new(this).arg(PROBE).stdin(Stdio::null()).status())
        .is_ok_and(|status| status.success())
}

/// Makes the kernel's tunnel devices, in a room that takes it along when this process ends.
pub(crate) fn probe() -> ExitCode {
    match sandbox::enter() {
        Entry::Done(code) => code,
        Entry::Refused(_) => ExitCode::from(SKIPPED),
        Entry::Inside => match make_tunnels() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
    }
}

fn make_tunnels() -> Result<(), LabError> {
    let network = Network::open()?;
    Family::ALL
        .into_iter()
        .try_for_each(|family| network.tunnel(family.name(), family))
}

/// Tells `cells`, as many at a time as there are processors: one story alone keeps one of them busy. The first is told
/// by itself, since a machine that has just booted reads every program and module for the first time. What each says
/// stays together.
pub(super) fn tell(cells: &[Cell<'_>]) {
    let Some((first, others)) = cells.split_first() else {
        return;
    };
    tell_one(*first);
    let waiting = Mutex::new(others.iter());
    let next = || waiting.lock().ok()?.next().copied();
    let tell_next = || {
        while let Some(cell) = next() {
            tell_one(cell);
        }
    };
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(tell_next);
        }
    });
}

fn tell_one(cell: Cell<'_>) {
    let mut said = format!("\n{cell}\n");
    let performance = performance::perform(cell, &mut |line| {
        said.push_str(&line);
        said.push('\n');
    });
    said.push_str(&report(cell, &performance));
    say(said);
}

/// What happened, for whoever started this process with [`HERE`].
fn report(cell: Cell<'_>, performance: &Performance) -> String {
    let (word, reason) = match &performance.outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(reason) => ("failed", reason.as_str()),
        Outcome::Skipped(reason) => ("skipped", reason.as_str()),
    };
    let took = performance.took.as_millis();
    let reason = reason.replace(['\n', '\r', '\t'], " ");
    format!("{REPORT}\t{cell}\t{word}\t{took}\t{reason}")
}

/// Tells all of `cells` in one guest.
pub(super) fn perform(cells: Vec<Cell<'_>>) -> Vec<(Cell<'_>, Performance)> {
    say(format!(
        "\nThis kernel has no tunnels; {} stories in the guest kernel",
        cells.len()
    ));
    let mut heard = BTreeMap::new();
    let missing = match boot(&cells) {
        Ok(child) => listen(child, &mut heard),
        Err(error) => format!("start {GUEST}: {error}"),
    };
    let there_is_no_guest = heard.is_empty();
    let is_required = env::var(GUEST_VARIABLE).is_ok_and(|value| value == "required");
    cells
        .into_iter()
        .map(|cell| {
            let performance = heard.remove(&cell.to_string()).unwrap_or_else(|| {
                let outcome = if there_is_no_guest && !is_required {
                    Outcome::Skipped(missing.clone())
                } else {
                    Outcome::Failed(missing.clone())
                };
                Performance {
                    outcome,
                    took: Duration::ZERO,
                    in_guest: true,
                }
            });
            (cell, performance)
        })
        .collect()
}

fn boot(cells: &[Cell<'_>]) -> Result<Child, LabError> {
    let this = env::current_exe().map_err(LabError::io("find this program"))?;
    let seconds = START.as_secs() + telling::longest().as_secs() * cells.len() as u64;
    Command::new(GUEST)
        .env("GUEST_SECONDS", seconds.to_string())
        .arg(this)
        .arg(HERE)
        .args(cells.iter().map(Cell::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::io("boot"))
}

/// Relays what the guest says, but for its reports, which go to `heard`. Gives the reason for which a story may be
/// missing among them.
fn listen(mut child: Child, heard: &mut BTreeMap<String, Performance>) -> String {
    let complaints = child.stderr.take().map(|stderr| {
        thread::spawn(move || {
            let mut last = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                say(&line);
                last = line;
            }
            last
        })
    });
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match parse_report(&line) {
                Some((name, performance)) => {
                    heard.insert(name, performance);
                }
                None => say(line),
            }
        }
    }
    let last = complaints
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    match child.wait().map(|status| status.code()) {
        Ok(Some(NO_GUEST)) => last,
        Ok(Some(code)) => format!("the guest ended with {code} before this story: {last}"),
        Ok(None) => "the guest was killed".to_owned(),
        Err(error) => format!("wait for the guest: {error}"),
    }
}

fn parse_report(line: &str) -> Option<(String, Performance)> {
    let parts: Vec<&str> = line.trim_end_matches('\r').splitn(5, '\t').collect();
    let [REPORT, name, word, took, reason] = parts.as_slice() else {
        return None;
    };
    let outcome = match *word {
        "passed" => Outcome::Passed,
        "failed" => Outcome::Failed((*reason).to_owned()),
        "skipped" => Outcome::Skipped((*reason).to_owned()),
        _ => return None,
    };
    let performance = Performance {
        outcome,
        took: Duration::from_millis(took.parse().ok()?),
        in_guest: true,
    };
    Some(((*name).to_owned(), performance))
}
