//! The program `nft`, which turns rules into kernel messages. Each call is one transaction: all of
//! its text holds, or nothing of it.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Why rules are not in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program can't be run.
    #[error("the program `nft` (package nftables) can't be run: {0}")]
    Missing(io::Error),
    /// The program or the kernel refused the rules.
    #[error("nft refused the table {table}: {reason}")]
    Refused {
        /// Family and name of the table.
        table: &'static str,
        /// What `nft` wrote to standard error.
        reason: String,
    },
}

/// `nft` takes milliseconds, and seconds on an emulated machine that has to load modules first.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often its end is looked for.
const GLANCE: Duration = Duration::from_micros(500);

/// Whether rules are put in place or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// They hold from now on.
    Apply,
    /// Program and kernel say whether they would take them.
    Try,
}

/// Hands `rules` about `table` to `nft`, in the network namespace of the calling thread.
///
/// # Errors
/// [`Error::Missing`], [`Error::Refused`]; nothing has changed then.
pub(crate) fn run(table: &'static str, rules: &str, purpose: Purpose) -> Result<(), Error> {
    let check: &[&str] = match purpose {
        Purpose::Apply => &[],
        Purpose::Try => &["-c"],
    };
    let mut child = Command::new("nft")
        .args(check)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::Missing)?;
    // A broken pipe means that nft has ended; its exit status says why.
    let _ = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(rules.as_bytes()));
    let status = wait(&mut child).map_err(Error::Missing)?;
    let mut reason = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut reason);
    }
    let reason = match status {
        Some(status) if status.success() => return Ok(()),
        Some(_) => first_complaint(&reason),
        None => "it did not end in time".to_owned(),
    };
    Err(Error::Refused { table, reason })
}

/// `nft` writes a line for each complaint and repeats the rule below it; often one brings many.
fn first_complaint(reason: &str) -> String {
    let lines: Vec<&str> = reason.lines().take(2).map(str::trim).collect();
    lines.join(": ")
}

/// The child's status, or none when it had to be killed.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(GLANCE);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
