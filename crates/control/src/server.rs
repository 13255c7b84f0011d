//! The daemon's end of the control socket.
//!
//! Who may connect is a matter of the socket's mode, 0660: its owner and its group. Whoever may
//! still can't hurt: clients, the length of a request and every wait are bounded.

use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Reply, Request};

/// Clients served at the same time; more wait in the socket's backlog.
pub const MAXIMUM_CLIENTS: usize = 32;
/// The longest request line in octets.
pub const MAXIMUM_REQUEST: usize = 4096;
/// How long a client may take to send its request, and again to take its reply.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the daemon may take for its answer.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(60);

const BACKLOG: u32 = 64;
const SOCKET_MODE: u32 = 0o660;
const DIRECTORY_MODE: u32 = 0o755;
/// When no descriptor is left to accept with, others need time to free one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody answers at that path.
    #[error("already running: a daemon answers at {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// Something that isn't a socket is at that path, and is left alone.
    #[error("{} exists and is not a socket; move it away or configure another `control` path", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("can't {step} {}: {source}", .path.display())]
    System {
        /// What was attempted.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request. Requests of several clients are handled at the same time; an
    /// answer that takes longer than [`HANDLER_TIMEOUT`] is given up.
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send;
}

impl<F, R> Handler for F
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Reply> + Send,
{
    fn handle(&self, request: Request) -> impl Future<Output = Reply> + Send {
        self(request)
    }
}

/// A request on its way to a run loop.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes; dropping it is answered as a failure.
    pub reply: oneshot::Sender<Reply>,
}

/// A handler that puts requests into a queue, for daemons whose state lives in one loop. `bound` is
/// the length of the queue; a request that finds it full waits.
pub fn queue(bound: usize) -> (impl Handler, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(bound);
    let handler = move |request| {
        let sender: mpsc::Sender<Asked> = sender.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            if sender.send(Asked { request, reply }).await.is_err() {
                return Reply::failed("the daemon is stopping");
            }
            answer
                .await
                .unwrap_or_else(|_| Reply::failed("the daemon gave no answer"))
        }
    };
    (handler, receiver)
}

/// A control socket. Dropping it removes the socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    inode: Option<u64>,
}

impl Server {
    /// Makes the socket, and its directory when that is missing, and replaces one a crashed daemon
    /// left behind. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError::AlreadyRunning`] when a daemon answers there.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |step| {
            move |source| ServerError::System {
                step,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE);
            builder
                .create(directory)
                .map_err(failed("make the directory of"))?;
        }
        remove_stale(path)?;
        let socket = UnixSocket::new_stream().map_err(failed("open"))?;
        socket.bind(path).map_err(failed("bind"))?;
        // Nobody can connect before `listen`, so nobody sees the mode the umask gave.
        let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
        std::fs::set_permissions(path, mode).map_err(failed("set the mode of"))?;
        let listener = socket.listen(BACKLOG).map_err(failed("listen on"))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode: inode(path),
        })
    }

    /// Answers requests until the future is dropped, which also ends conversations under way.
    pub async fn serve(self, handler: impl Handler) {
        let handler = Arc::new(handler);
        let permits = Arc::new(Semaphore::new(MAXIMUM_CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let handler = Arc::clone(&handler);
                    clients.spawn(async move {
                        if let Err(error) = converse(stream, &*handler).await {
                            tracing::debug!(%error, "a control client went away");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a control client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while clients.try_join_next().is_some() {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds and serves until dropped: [`Server::bind`] and [`Server::serve`] in one.
///
/// # Errors
/// Those of [`Server::bind`].
pub async fn serve(path: &Path, handler: impl Handler) -> Result<(), ServerError> {
    Server::bind(path)?.serve(handler).await;
    Ok(())
}

async fn converse(stream: UnixStream, handler: &impl Handler) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let reply = match timeout(CLIENT_TIMEOUT, read_request(reader)).await {
        Err(_) => Reply::failed("no request came"),
        Ok(Err(reason)) => Reply::Failed { reason },
        Ok(Ok(request)) => match timeout(HANDLER_TIMEOUT, handler.handle(request)).await {
            Ok(reply) => reply,
            Err(_) => Reply::failed(format!("no answer within {} s", HANDLER_TIMEOUT.as_secs())),
        },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    timeout(CLIENT_TIMEOUT, writer.write_all(&line)).await?
}

async fn read_request(reader: impl tokio::io::AsyncRead + Unpin) -> Result<Request, String> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAXIMUM_REQUEST as u64 + 1));
    reader
        .read_until(b'\n', &mut line)
        .await
        .map_err(|error| error.to_string())?;
    if line.len() > MAXIMUM_REQUEST {
        return Err(format!("a request has at most {MAXIMUM_REQUEST} octets"));
    }
    serde_json::from_slice(&line).map_err(|error| format!("not a request: {error}"))
}

/// Removes a socket nobody answers at.
fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(ServerError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| ServerError::System {
                step: "remove the stale",
                path: path.to_owned(),
                source,
            })
        }
        // Anything else, a full backlog or a missing permission, means somebody is there.
        Ok(_) | Err(_) => Err(ServerError::AlreadyRunning(path.to_owned())),
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path)
        .ok()
        .map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests;
