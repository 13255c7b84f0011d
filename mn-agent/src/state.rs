//! What must outlive the process: who we are, and the bindings sessions may still depend on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mobility_protocol::Identity;
use mobility_protocol::mobile_node::{StoredAcquaintance, StoredBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

const BINDINGS: &str = "bindings.json";
const ACQUAINTANCES: &str = "acquaintances.json";

/// What the machine knows that must outlive it.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) bindings: Vec<StoredBinding>,
    pub(crate) acquaintances: Vec<StoredAcquaintance>,
}

/// The state directory. Its files are for the daemon alone: whoever knows an anonymous identity
/// can act as its owner in open mode.
pub(crate) struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// Opens the directory, making it if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The identity of a node that was given none: random, made once, kept.
    pub(crate) fn anonymous_identity(&self, random: [u8; 16]) -> io::Result<Identity> {
        let path = self.path.join("identity");
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Ok(identity) = Identity::new(text.trim()) {
                    return Ok(identity);
                }
                tracing::warn!(path = %path.display(), "the stored identity is unusable, making a new one");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let text = format!("{}@anonymous.invalid", hex::encode(random));
        self.replace("identity", format!("{text}\n").as_bytes())?;
        Identity::new(text).map_err(io::Error::other)
    }

    /// The bindings of the last run. A file that can't be understood costs the bindings, not the
    /// start.
    pub(crate) fn load_bindings(&self) -> Vec<StoredBinding> {
        self.load(BINDINGS)
    }

    /// The home agents to come back to, likewise.
    pub(crate) fn load_acquaintances(&self) -> Vec<StoredAcquaintance> {
        self.load(ACQUAINTANCES)
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let path = self.path.join(name);
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "can't read what the last run stored");
                return Vec::new();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what the last run stored is damaged, starting without");
            Vec::new()
        })
    }

    /// Remembers this instead of what it was before.
    fn save<T: Serialize>(&self, name: &str, content: &[T]) -> io::Result<()> {
        let content = Zeroizing::new(serde_json::to_vec(content).map_err(io::Error::other)?);
        self.replace(name, &content)
    }

    /// The file holds the old content or the new one at any time, whatever happens.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        let mut file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&new, self.path.join(name))
    }
}

/// Writes what is to be remembered beside the run loop, which a slow disk must not hold up: a move may
/// be under way.
pub(crate) struct Keeper {
    newest: watch::Sender<Memory>,
    writer: JoinHandle<()>,
    failures: Arc<AtomicU64>,
}

impl Keeper {
    /// Starts the writer.
    pub(crate) fn start(directory: StateDirectory) -> Self {
        let (newest, mut changes) = watch::channel(Memory::default());
        let failures = Arc::new(AtomicU64::new(0));
        let (counted, runtime) = (Arc::clone(&failures), Handle::current());
        let writer = tokio::task::spawn_blocking(move || {
            // The last state is seen before the error that says that no other will come.
            while runtime.block_on(changes.changed()).is_ok() {
                let memory = changes.borrow_and_update().clone();
                let saved = directory
                    .save(BINDINGS, &memory.bindings)
                    .and_then(|()| directory.save(ACQUAINTANCES, &memory.acquaintances));
                if let Err(error) = saved {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the bindings can't be stored; they would not survive a crash");
                }
            }
        });
        Self {
            newest,
            writer,
            failures,
        }
    }

    /// Remembers this instead of what it was before, soon.
    pub(crate) fn keep(&self, memory: Memory) {
        self.newest.send_replace(memory);
    }

    /// How often that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Waits until the last ones are remembered.
    pub(crate) async fn finish(self) {
        drop(self.newest);
        // It can't be cancelled, and a panic of its has been told.
        let _ = self.writer.await;
    }
}
