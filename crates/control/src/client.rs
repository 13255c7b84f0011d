//! The command line's end of the control socket: one question, one answer, no runtime.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::server::HANDLER_TIMEOUT;
use crate::{Reply, Request};

/// Longer than the daemon may take: then it is stuck.
const REPLY_TIMEOUT: Duration = HANDLER_TIMEOUT.saturating_add(Duration::from_secs(5));
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A status of a hundred thousand bindings fits.
const MAXIMUM_REPLY: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at that path.
    #[error("not running: nobody answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket is there for others.
    #[error("not allowed to use {}: be its owner or in its group, or use sudo", .0.display())]
    NotAllowed(PathBuf),
    /// The conversation broke off.
    #[error("no answer from {}: {source}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// What came isn't an answer: another version, or another program.
    #[error("the answer from {} can't be understood: {source}", .path.display())]
    Unintelligible {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Asks the daemon whose control socket is at `path`.
///
/// # Errors
/// [`ClientError`]; a daemon that answers "no" is no error but a [`Reply::Failed`].
pub fn ask(path: &Path, request: &Request) -> Result<Reply, ClientError> {
    let broken = |source: io::Error| {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(
            kind,
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        ) {
            ClientError::NotRunning(path)
        } else if kind == io::ErrorKind::PermissionDenied {
            ClientError::NotAllowed(path)
        } else {
            ClientError::Broken { path, source }
        }
    };
    let line = converse(path, request).map_err(broken)?;
    serde_json::from_slice(&line).map_err(|source| ClientError::Unintelligible {
        path: path.to_owned(),
        source,
    })
}

fn converse(path: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream.take(MAXIMUM_REPLY)).read_until(b'\n', &mut reply)?;
    if reply.last() == Some(&b'\n') {
        return Ok(reply);
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection was closed in the middle",
    ))
}
