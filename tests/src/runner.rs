//! Tells stories one after another, each in a process and a room of its own, and prints the matrix.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Failure, Story, StoryEntry, process, programs,
    sandbox::{self, Entry},
    wait::patience,
};

/// A story that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);

/// After this the story's process did not even manage to say so.
const KILLED_AFTER: Duration = Duration::from_secs(70);

/// The child's exit code for a story that can't be told here.
const SKIPPED: u8 = 77;

/// Lines of a daemon's log that are shown when a story fails.
const SHOWN_LINES: usize = 120;

/// The `main` of a test target: `[--list] [--exact] [FILTER...]`, other options of libtest are ignored.
#[must_use]
pub fn main(book: &[StoryEntry]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, name] = arguments.as_slice()
        && first == "--story"
    {
        return tell(book, name);
    }
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let fits = |entry: &&StoryEntry| {
        let one = |filter: &&String| {
            if has("--exact") {
                entry.name == filter.as_str()
            } else {
                entry.name.contains(filter.as_str())
            }
        };
        filters.is_empty() || filters.iter().any(one)
    };
    let chosen: Vec<&StoryEntry> = book.iter().filter(fits).collect();
    if has("--list") {
        // cargo-nextest asks for the ignored ones in a second list.
        let listed = if has("--ignored") {
            &[][..]
        } else {
            chosen.as_slice()
        };
        for entry in listed {
            say(format!("{}: test", entry.name));
        }
        return ExitCode::SUCCESS;
    }
    let results: Vec<(&StoryEntry, Outcome, Duration)> = chosen
        .into_iter()
        .map(|entry| {
            let started = Instant::now();
            say(format!("\n{}", entry.name));
            let outcome = run(entry);
            (entry, outcome, started.elapsed())
        })
        .collect();
    print_matrix(&results)
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Runs one story in a child process and relays what it says.
fn run(entry: &StoryEntry) -> Outcome {
    if let Some(package) = programs::missing_package(entry.needs) {
        return Outcome::Skipped(format!("package {package} is not installed"));
    }
    let spawned = env::current_exe().and_then(|this| {
        Command::new(this)
            .args(["--story", entry.name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    });
    match spawned {
        Ok(child) => listen(child),
        Err(error) => Outcome::Failed(format!("can't start the story: {error}")),
    }
}

fn listen(mut child: Child) -> Outcome {
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
    let deadline = Instant::now() + KILLED_AFTER * patience();
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
                say(format!("    {line}"));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ended_already = child.kill();
                let _reaped = child.wait();
                return Outcome::Failed(format!(
                    "did not end within {} s",
                    (KILLED_AFTER * patience()).as_secs()
                ));
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

/// The child's part: enters the room and tells the story.
fn tell(book: &[StoryEntry], name: &str) -> ExitCode {
    let Some(entry) = book.iter().find(|entry| entry.name == name) else {
        say(format!("failed: no story named {name}"));
        return ExitCode::FAILURE;
    };
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
        thread::sleep(LONGEST * patience());
        show_logs();
        say(format!(
            "failed: still not at its end after {} s",
            (LONGEST * patience()).as_secs()
        ));
        std::process::exit(1);
    });
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

fn print_matrix(results: &[(&StoryEntry, Outcome, Duration)]) -> ExitCode {
    let width = results
        .iter()
        .map(|(entry, ..)| entry.name.len())
        .max()
        .unwrap_or_default();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    say(format!("\n{:width$}  result   seconds", "story"));
    for (entry, outcome, took) in results {
        let (word, reason) = match outcome {
            Outcome::Passed => {
                passed += 1;
                ("passed", "")
            }
            Outcome::Failed(reason) => {
                failed += 1;
                ("FAILED", reason.as_str())
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                ("skipped", reason.as_str())
            }
        };
        let line = format!(
            "{:width$}  {word:7}  {:7.1}  {reason}",
            entry.name,
            took.as_secs_f64()
        );
        say(line.trim_end());
    }
    say(format!(
        "\n{passed} passed, {failed} failed, {skipped} skipped"
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(line: impl AsRef<str>) {
    let mut stdout = std::io::stdout().lock();
    let _reader_gone = writeln!(stdout, "{}", line.as_ref()).and_then(|()| stdout.flush());
}
