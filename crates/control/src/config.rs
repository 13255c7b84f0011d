//! The configuration files of both daemons.
//!
//! A file is read once, whole, and parsed into types that can't hold a bad value. Everything wrong
//! with it is reported together, each with its line and column and what to write instead.

use std::io::Read;
use std::path::{Path, PathBuf};

pub mod argument;
pub mod chad;
mod common;
mod diagnostic;
mod document;
mod key_file;
pub mod mn_agent;
mod values;

pub use diagnostic::{ConfigErrors, Diagnostic, Warning};
pub use key_file::{KeyFileError, make as make_key_file};

use document::{Document, Report};

/// Files longer than this are refused unread.
const MAXIMUM_FILE_SIZE: u64 = 1 << 20;

/// Which backend carries bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendChoice {
    /// The best one that works here.
    Auto,
    /// The kernel's tunnel devices.
    Kernel,
    /// This process, through a TUN device.
    Userspace,
}

/// What a daemon is configured by.
pub trait Configuration: Sized + std::fmt::Debug + Clone + Send + Sync + 'static {
    /// Where its file is unless the command line says.
    const DEFAULT_PATH: &str;
    /// Where the control socket is unless the file says.
    const DEFAULT_CONTROL: &str;

    /// Reads and checks `path`, key files included.
    ///
    /// # Errors
    /// Everything that is wrong with it, together.
    fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors>;

    /// What the daemon would do, for people.
    fn summary(&self) -> String;
}

/// Where the daemon configured by `path` is to be asked; the default when the file doesn't say or,
/// if it `may_be_missing`, doesn't exist.
///
/// # Errors
/// A file that can't be read, or a `control` that is no path for a socket.
pub fn control_path<C: Configuration>(
    path: &Path,
    may_be_missing: bool,
) -> Result<PathBuf, ConfigErrors> {
    let default = PathBuf::from(C::DEFAULT_CONTROL);
    if may_be_missing && !path.exists() {
        return Ok(default);
    }
    load(path, |document| {
        Some(
            document
                .root()
                .or("control", default, values::socket_path)
                .value,
        )
    })
    .map(|(control, _)| control)
}

/// Reads a whole file and lets `parse` make a configuration of it. Without any error `parse` must
/// have returned one.
fn load<C>(
    path: &Path,
    parse: impl FnOnce(&Document<'_>) -> Option<C>,
) -> Result<(C, Vec<Warning>), ConfigErrors> {
    let file = path.display().to_string();
    let text = read(path).map_err(|message| ConfigErrors::unreadable(&file, message))?;
    parse_text(&file, &text, parse)
}

fn parse_text<C>(
    file: &str,
    text: &str,
    parse: impl FnOnce(&Document<'_>) -> Option<C>,
) -> Result<(C, Vec<Warning>), ConfigErrors> {
    let report = Report::new(file, text);
    let config = Document::parse(&report).and_then(|document| parse(&document));
    report.into_result(config)
}

fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAXIMUM_FILE_SIZE + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAXIMUM_FILE_SIZE {
        return Err(format!(
            "a configuration file has {MAXIMUM_FILE_SIZE} octets at most"
        ));
    }
    Ok(text)
}

/// `a, b and c`.
fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().map(ToString::to_string).collect();
    match shown.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
