//! The command lines of both daemons, and the commands that only ask a running daemon or read files.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, Termination};

use crate::client::{self, ClientError};
use crate::config::{ConfigErrors, Warning};
use crate::{Reply, Request, render};

pub mod chad;
mod config_file;
mod keygen;
pub mod mn_agent;

pub use config_file::ConfigFile;
pub use keygen::{KeyedSide, Keygen};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Exit {
    /// 0: done.
    Success,
    /// 1: not done, and standard error says why.
    Failure,
    /// 2: the command line makes no sense. Clap exits so by itself.
    Usage,
    /// 3: the daemon isn't running.
    NotRunning,
}

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

/// `check`: says everything that is wrong with the configuration, or what it would do.
pub fn check<C>(
    path: &Path,
    loaded: Result<(C, Vec<Warning>), ConfigErrors>,
    summary: impl FnOnce(&C) -> String,
) -> Exit {
    match explain(loaded) {
        Ok(config) => say(format_args!(
            "{}: ok\n{}",
            path.display(),
            summary(&config).trim_end()
        )),
        Err(exit) => exit,
    }
}

/// The configuration, after its warnings were printed on standard error.
///
/// # Errors
/// [`Exit::Failure`], after the errors were printed there.
pub fn explain<C>(loaded: Result<(C, Vec<Warning>), ConfigErrors>) -> Result<C, Exit> {
    match loaded {
        Ok((config, warnings)) => {
            for warning in warnings {
                eprintln!("{}", warning.as_warning());
            }
            Ok(config)
        }
        Err(errors) => Err(fail(errors)),
    }
}

/// `run`: sets up the log and a runtime, and serves until `daemon` ends.
pub fn run<C, D>(
    program: &str,
    config: Result<C, Exit>,
    log: Option<&str>,
    daemon: impl FnOnce(C) -> D,
) -> Exit
where
    D: Future<Output = Result<(), Box<dyn std::error::Error>>>,
{
    let config = match config {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if let Err(error) = crate::logging::init(log) {
        return fail(error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(daemon(config)),
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => Exit::Success,
        Err(error) => fail(format_args!("{program}: {error}")),
    }
}

/// `status`: the running daemon's state, as a table or as one JSON object.
pub fn status(control: &Path, json: bool) -> Exit {
    let width = terminal_size::terminal_size().map_or(
        render::DEFAULT_WIDTH,
        |(terminal_size::Width(columns), _)| columns.into(),
    );
    match client::ask(control, &Request::Status) {
        Ok(Reply::Chad(status)) if json => say_json(&status),
        Ok(Reply::MnAgent(status)) if json => say_json(&status),
        Ok(Reply::Chad(status)) => say(render::chad(&status, width).trim_end()),
        Ok(Reply::MnAgent(status)) => say(render::mn_agent(&status, width).trim_end()),
        Ok(Reply::Done { message }) => say(message),
        Ok(Reply::Failed { reason }) => fail(reason),
        Err(error) => no_answer(&error),
    }
}

/// `bind`, `release`, `revoke`: asks the running daemon and says in one line what came of it.
pub fn ask(control: &Path, request: &Request) -> Exit {
    match client::ask(control, request) {
        Ok(Reply::Done { message }) => say(message),
        Ok(Reply::Failed { reason }) => fail(reason),
        Ok(Reply::Chad(_) | Reply::MnAgent(_)) => fail("the daemon answered something else"),
        Err(error) => no_answer(&error),
    }
}

/// Prints why on standard error.
pub fn fail(reason: impl Display) -> Exit {
    eprintln!("{reason}");
    Exit::Failure
}

/// Prints on standard output; a reader that has gone away, as `head` does, is no failure.
pub fn say(text: impl Display) -> Exit {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => fail(error),
    }
}

fn say_json(value: &impl serde::Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(text),
        Err(error) => fail(error),
    }
}

fn no_answer(error: &ClientError) -> Exit {
    let _ = fail(error);
    match error {
        ClientError::NotRunning(_) => Exit::NotRunning,
        ClientError::NotAllowed(_)
        | ClientError::Broken { .. }
        | ClientError::Unintelligible { .. } => Exit::Failure,
    }
}

/// The words of `--log`.
const LOG_HELP: &str = "What to log: error, warn, info, debug, trace, or per part as in \"info,dataplane=trace\"; overrides RUST_LOG";
