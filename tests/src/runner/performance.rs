//! One story told in a child process, as its parent hears it.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Cell,
    telling::{self, SKIPPED, TELL},
};
use crate::{programs, wait::stretched};

/// When a story that takes too long did not even manage to say so, it is killed so much later.
const GRACE: Duration = Duration::from_secs(10);

/// What became of a story.
pub(super) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// How a story went.
pub(super) struct Performance {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// Told in the guest kernel.
    pub(super) in_guest: bool,
}

/// Tells the story of one cell here and hands each line it says to `relay`.
pub(super) fn perform(cell: Cell<'_>, relay: &mut dyn FnMut(String)) -> Performance {
    let started = Instant::now();
    let outcome = run(cell, relay);
    Performance {
        outcome,
        took: started.elapsed(),
        in_guest: false,
    }
}

fn run(cell: Cell<'_>, relay: &mut dyn FnMut(String)) -> Outcome {
    if let Some(package) = programs::missing_package(cell.entry.needs) {
        return Outcome::Skipped(format!("package {package} is not installed"));
    }
    let spawned = env::current_exe().and_then(|this| {
        Command::new(this)
            .args([TELL, &cell.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    });
    match spawned {
        Ok(child) => listen(child, relay),
        Err(error) => Outcome::Failed(format!("can't start the story: {error}")),
    }
}

fn listen(mut child: Child, relay: &mut dyn FnMut(String)) -> Outcome {
    let (lines, heard) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
    }
    let patience = stretched(telling::longest() + GRACE);
    let deadline = Instant::now() + patience;
    let mut last = String::new();
    loop {
        match heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(reason) = line
                    .strip_prefix("failed: ")
                    .or(line.strip_prefix("skipped: "))
                {
                    reason.clone_into(&mut last);
                }
                relay(format!("    {line}"));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ended_already = child.kill();
                let _reaped = child.wait();
                return Outcome::Failed(format!("did not end within {} s", patience.as_secs()));
            }
        }
    }
    match child.wait().map(|status| status.code()) {
        Ok(Some(0)) => Outcome::Passed,
        Ok(Some(code)) if code == i32::from(SKIPPED) => Outcome::Skipped(last),
        Ok(_) if last.is_empty() => Outcome::Failed("the story's process died".to_owned()),
        Ok(_) => Outcome::Failed(last),
        Err(error) => Outcome::Failed(format!("wait for the story: {error}")),
    }
}
