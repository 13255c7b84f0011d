//! The relay's entry in `resolv.conf`: made, made again over what others
//! write, and taken back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::error::Error;

use super::content;
use super::file::{self, Replaced};

/// The name of the kept original in the state folder.
const BACKUP: &str = "resolv.conf.original";

/// The file as the relay found it and as it left it. Dropping it restores
/// the original.
#[derive(Debug)]
pub(crate) struct Installation {
    path: PathBuf,
    backup: PathBuf,
    relay: IpAddr,
    /// Whether the relay writes, or only follows.
    writes: bool,
    /// The file that `path` led to at the last look.
    target: PathBuf,
    /// What comes back at the end; none where there was no file.
    original: Option<Vec<u8>>,
    /// The first name server of the last content that had one.
    second: Option<String>,
    is_written: bool,
}

/// What a look at the file has shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing that calls for action.
    Nothing,
    /// Somebody else's content, with these name servers (none: keep those
    /// in use).
    Foreign(Vec<SocketAddr>),
}

impl Installation {
    /// Reads the file, taking back what an earlier relay left behind in a
    /// crash. Returns the name servers that it gives. Writes nothing new.
    pub(crate) fn open(
        path: &Path,
        state_dir: &Path,
        relay: IpAddr,
        writes: bool,
    ) -> Result<(Self, Vec<SocketAddr>), Error> {
        let target = file::target(path).map_err(error("find", path))?;
        if target != path {
            tracing::info!(
                path = %path.display(),
                target = %target.display(),
                "resolv.conf is a symbolic link; its target is used"
            );
        }
        let mut installation = Self {
            path: path.to_path_buf(),
            backup: state_dir.join(BACKUP),
            relay,
            writes,
            target,
            original: None,
            second: None,
            is_written: false,
        };
        let found = file::read(path).map_err(error("read", path))?;
        match found {
            Some(content) if content::is_ours(&content) => installation.recover(&content)?,
            found => {
                installation.original = found;
                if writes {
                    installation.keep()?;
                }
            }
        }
        let original = installation.original.clone().unwrap_or_default();
        installation.second = content::first_server(&original, relay);
        let servers = content::name_servers(&original, relay);
        Ok((installation, servers))
    }

    /// Looks at the file again; foreign content becomes the original.
    pub(crate) fn look(&mut self) -> Result<Seen, Error> {
        let target = file::target(&self.path).map_err(error("find", &self.path))?;
        if target != self.target {
            tracing::info!(target = %target.display(), "resolv.conf leads elsewhere now");
            if self.writes {
                self.restore_target()?;
            }
            self.target = target;
        }
        let found = file::read(&self.target).map_err(error("read", &self.target))?;
        if found.as_deref().is_some_and(content::is_ours) {
            return Ok(Seen::Nothing);
        }
        if !self.writes && found == self.original {
            return Ok(Seen::Nothing);
        }
        self.is_written = false;
        if found != self.original {
            self.original = found;
            // Applications need their new name servers more than a crash
            // needs this copy.
            if self.writes
                && let Err(error) = self.keep()
            {
                tracing::warn!(%error, "the original resolv.conf is not kept");
            }
        }
        let content = self.original.as_deref().unwrap_or_default();
        if let Some(server) = content::first_server(content, self.relay) {
            self.second = Some(server);
        }
        Ok(Seen::Foreign(content::name_servers(content, self.relay)))
    }

    /// Writes the relay into the file, if it is to write.
    pub(crate) fn write(&mut self) -> Result<bool, Error> {
        if !self.writes {
            return Ok(false);
        }
        let content = content::render(
            self.original.as_deref().unwrap_or_default(),
            self.relay,
            self.second.as_deref(),
            &self.backup,
        );
        // Set first: a write that fails halfway must be taken back as well.
        self.is_written = true;
        self.put(&content)?;
        Ok(true)
    }

    /// Puts the original back, if the file still is the relay's.
    pub(crate) fn restore(&mut self) -> Result<(), Error> {
        if !self.is_written {
            return Ok(());
        }
        self.restore_target()?;
        self.is_written = false;
        file::remove(&self.backup).map_err(error("remove", &self.backup))
    }

    /// The files and folders in which a change may show.
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        vec![
            file::folder(&self.path).to_path_buf(),
            file::folder(&self.target).to_path_buf(),
            self.target.clone(),
        ]
    }

    /// Whether a file of this name is one of those that are followed.
    pub(crate) fn concerns(&self, name: &std::ffi::OsStr) -> bool {
        self.path.file_name() == Some(name) || self.target.file_name() == Some(name)
    }

    fn recover(&mut self, content: &[u8]) -> Result<(), Error> {
        let kept = file::read(&self.backup).map_err(error("read", &self.backup))?;
        let is_kept = kept.is_some();
        self.original = match kept {
            Some(kept) if !content::is_ours(&kept) => Some(kept),
            _ => content::without_relay(content, self.relay),
        };
        // Without a copy of ours, a relay that only follows may be looking at
        // the file of another relay, alive.
        self.is_written = self.writes || is_kept;
        if self.is_written {
            tracing::warn!(
                path = %self.path.display(),
                "resolv.conf was not restored by an earlier run; taking it back"
            );
        }
        if self.writes { Ok(()) } else { self.restore() }
    }

    /// Keeps the original on disk before it is overwritten.
    fn keep(&self) -> Result<(), Error> {
        let folder = file::folder(&self.backup);
        std::fs::create_dir_all(folder).map_err(error("create", folder))?;
        match &self.original {
            Some(original) => file::replace(&self.backup, original)
                .map(drop)
                .map_err(error("write", &self.backup)),
            None => file::remove(&self.backup).map_err(error("remove", &self.backup)),
        }
    }

    fn restore_target(&self) -> Result<(), Error> {
        let found = file::read(&self.target).map_err(error("read", &self.target))?;
        if !found.as_deref().is_some_and(content::is_ours) {
            return Ok(());
        }
        match &self.original {
            Some(original) => self.put(original),
            None => file::remove(&self.target).map_err(error("remove", &self.target)),
        }
    }

    fn put(&self, content: &[u8]) -> Result<(), Error> {
        let how = file::replace(&self.target, content).map_err(error("write", &self.target))?;
        if how == Replaced::InPlace {
            tracing::debug!(target = %self.target.display(), "written in place");
        }
        Ok(())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            tracing::error!(%error, "resolv.conf is not restored");
        }
    }
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::ResolvConf {
        action,
        path,
        source,
    }
}
