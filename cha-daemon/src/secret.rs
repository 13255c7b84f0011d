//! The secret of a home agent, on disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use control::config::{KeyFileError, make_key_file};
use control::supervision;
use mobility_protocol::security::HomeAgentSecret;
use zeroize::Zeroizing;

/// Any access by group or others.
const TOO_OPEN: u32 = 0o077;
/// 64 digits and a line end, some room for blanks, and one octet that shows there are more.
const LONGEST_FILE: u64 = 81;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the secret {path} can't be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the secret {path} has mode {mode:04o}: others than its owner may use it; run: chmod 600 {path}"
    )]
    TooOpen { path: PathBuf, mode: u32 },
    #[error(
        "the secret {0} is not 64 hexadecimal digits; move it away, and the next start makes a new one"
    )]
    Malformed(PathBuf),
    #[error(transparent)]
    Make(#[from] KeyFileError),
}

/// The secret in this file, which is made if it is not there.
pub(crate) fn load(path: &Path) -> Result<HomeAgentSecret, SecretError> {
    let failed = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path, failed),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(SecretError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *seed)
        .map_err(|_| SecretError::Malformed(path.to_owned()))?;
    Ok(HomeAgentSecret::from_seed(&seed))
}

fn make(
    path: &Path,
    failed: impl Fn(io::Error) -> SecretError,
) -> Result<HomeAgentSecret, SecretError> {
    let seed = Zeroizing::new(supervision::random().map_err(&failed)?);
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(&failed)?;
    }
    make_key_file(path, &*seed)?;
    tracing::info!(path = %path.display(), "made the secret of this home agent");
    Ok(HomeAgentSecret::from_seed(&seed))
}
