//! The child's part: enters the room and tells one story.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    thread,
    time::Duration,
};

use super::{Cell, say};
use crate::{
    Failure, Story, process,
    sandbox::{self, Entry},
    wait::stretched,
};

/// Followed by a cell's name: tell it in this process.
pub(super) const TELL: &str = "--story";

/// The child's exit code for a story that can't be told here.
pub(super) const SKIPPED: u8 = 77;

/// Set to the seconds of the lab's time after which a story has failed, where it has more to tell than usual.
const SECONDS_VARIABLE: &str = "LAB_STORY_SECONDS";

/// Else they are so many.
const SECONDS: u64 = 60;

/// Lines of a daemon's log that are shown when a story fails.
const SHOWN_LINES: usize = 120;

/// How long a story may take on a machine that needs no patience.
pub(super) fn longest() -> Duration {
    let wished = std::env::var(SECONDS_VARIABLE).ok();
    let wished = wished.and_then(|value| value.parse().ok());
    Duration::from_secs(wished.unwrap_or(SECONDS))
}

/// Tells a story in this process.
pub(super) fn tell(cell: Cell<'_>) -> ExitCode {
    match sandbox::enter() {
        Entry::Done(code) => return code,
        Entry::Refused(reason) => {
            say(format!("skipped: {reason}"));
            return ExitCode::from(SKIPPED);
        }
        Entry::Inside => {}
    }
    if let Err(error) = sandbox::on_interrupt(|| {}) {
        say(format!("failed: {error}"));
        return ExitCode::FAILURE;
    }
    thread::spawn(|| {
        let longest = stretched(longest());
        thread::sleep(longest);
        show_logs();
        say(format!(
            "failed: still not at its end after {} s",
            longest.as_secs()
        ));
        std::process::exit(1);
    });
    cell.family.tell_in();
    cell.backend.tell_with();
    let entry = cell.entry;
    let told = catch_unwind(AssertUnwindSafe(|| (entry.tell)(&Story::new(entry.name))))
        .unwrap_or_else(|_| Err(Failure::new("the story panicked")));
    // Ends the process at once: nothing in the room needs an orderly end.
    let code = match told {
        Ok(()) => 0,
        Err(reason) if reason.is_skip() => {
            say(format!("skipped: {reason}"));
            SKIPPED
        }
        Err(failure) => {
            show_logs();
            say(format!("failed: {failure}"));
            1
        }
    };
    std::process::exit(i32::from(code))
}

fn show_logs() {
    for (name, text) in process::logs() {
        let is_ours = name.starts_with("chad ") || name.starts_with("mn-agent ");
        if text.trim().is_empty() || (is_ours && text.lines().count() == 0) {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        let from = lines
            .len()
            .saturating_sub(if is_ours { SHOWN_LINES } else { 10 });
        say(format!("--- {name}"));
        for line in &lines[from..] {
            say(format!("    {line}"));
        }
    }
}
