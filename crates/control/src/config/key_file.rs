//! Key files: a secret in hexadecimal on one line, readable by its owner alone.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mobility_protocol::security::Key;
use zeroize::Zeroizing;

use super::document::Complaint;

/// RFC 5944, section 3.5.1 asks for keys of 128 bits; shorter ones are refused.
const SHORTEST_KEY: usize = 16;
const LONGEST_KEY: usize = 256;
/// Two digits an octet, a line end, some room for blanks.
const LONGEST_FILE: u64 = 2 * LONGEST_KEY as u64 + 16;
/// Any access by group or others.
const TOO_OPEN: u32 = 0o077;

/// The access its owner alone has.
const OWNER_ONLY: u32 = 0o600;

/// Why a key file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// What is there may be a key in use.
    #[error("{0} exists, and a key is never overwritten: name another file with --key-file")]
    Exists(PathBuf),
    /// The system refused.
    #[error("the key file {path} can't be made: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes a file of these octets, a key, that only its owner can use. It never takes the place of
/// another file.
///
/// # Errors
/// [`KeyFileError`]; then there is no new file.
pub fn make(path: &Path, key: &[u8]) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                KeyFileError::Exists(path.to_owned())
            } else {
                failed(error)
            }
        })?;
    // As long as it will get: a string that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * key.len() + 1));
    for octet in key {
        let _ = write!(text, "{octet:02x}");
    }
    text.push('\n');
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let _ = std::fs::remove_file(path);
            failed(error)
        })
}

/// Reads a key. No complaint ever quotes the content.
pub(super) fn read(path: &Path) -> Result<Key, Complaint> {
    let shown = path.display();
    let make =
        "make one with `chad keygen` or `mn-agent keygen`, which tell both ends what to write"
            .to_owned();
    let unreadable = |error: io::Error| {
        Complaint::new(
            format!("the key file {shown} can't be read: {error}"),
            make.clone(),
        )
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Complaint::new(
            format!("the key file {shown} is not a file"),
            make,
        ));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        let message =
            format!("the key file {shown} has mode {mode:04o}: others than its owner may use it");
        return Err(Complaint::new(
            message,
            format!("run: chmod 600 {shown}, and make a new key if it was seen"),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    let length = file
        .take(LONGEST_FILE + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let digits = text.trim();
    let bad = |what: String| Complaint::new(format!("the key file {shown} {what}"), make.clone());
    if length as u64 > LONGEST_FILE {
        return Err(bad(format!("is longer than a key of {LONGEST_KEY} octets")));
    }
    if digits.is_empty() {
        return Err(bad("is empty".to_owned()));
    }
    if digits.lines().count() > 1 {
        return Err(bad("has more than one line".to_owned()));
    }
    if !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return Err(bad("is not hexadecimal, two digits an octet".to_owned()));
    }
    if digits.len() / 2 < SHORTEST_KEY {
        return Err(bad(format!(
            "has {} octets, fewer than {SHORTEST_KEY}",
            digits.len() / 2
        )));
    }
    Key::from_hex(digits).map_err(|error| bad(format!("holds no key: {error}")))
}
