//! The configuration files of both daemons.
//!
//! A file is read once, whole, and parsed into types that can't hold a bad value. Everything wrong
//! with it is reported together, each with its line and column and what to write instead.

use std::path::{Path, PathBuf};

pub mod chad;
mod diagnostic;
mod document;
mod key_file;
pub mod mn_agent;
mod values;

pub use diagnostic::{ConfigErrors, Diagnostic, Warning};

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

/// The `control` path in the file at `path`, whatever else is wrong there; `default` when the file
/// doesn't name one or, if it `may_be_missing`, doesn't exist.
fn control_path(path: &Path, may_be_missing: bool, default: &str) -> Result<PathBuf, ConfigErrors> {
    if may_be_missing && !path.exists() {
        return Ok(PathBuf::from(default));
    }
    load(path, |document| {
        Some(
            document
                .root()
                .or("control", default.into(), values::socket_path)
                .value,
        )
    })
    .map(|(control, _)| control)
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
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > MAXIMUM_FILE_SIZE {
        return Err(format!(
            "{length} octets are too many for a configuration file"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
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
