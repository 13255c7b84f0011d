//! Files that are replaced whole, wherever they really are.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The mode of a file that was not there before.
const NEW_MODE: u32 = 0o644;
/// The most octets that are read of a file.
const MAX_LENGTH: u64 = 64 * 1024;
/// The most links that are followed to a file that does not exist.
const MAX_LINKS: usize = 8;

/// How a file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// Atomically.
    ByRename,
    /// In place, because the file cannot be renamed over: it is a mount
    /// point, or its folder cannot be written.
    InPlace,
}

/// The content, or none where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use io::Read;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// The file that `path` leads to through symbolic links, whether or not it
/// exists.
pub(super) fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        match fs::read_link(&path) {
            Ok(link) => path = folder(&path).join(link),
            Err(_no_link) => return Ok(path),
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Gives a file new content, keeping its mode and owner.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<Replaced> {
    match by_rename(path, content) {
        Ok(()) => Ok(Replaced::ByRename),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy
                    | io::ErrorKind::CrossesDevices
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            in_place(path, content).map(|()| Replaced::InPlace)
        }
        Err(error) => Err(error),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn by_rename(path: &Path, content: &[u8]) -> io::Result<()> {
    let former = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(".mn-agent");
    let temporary = folder(path).join(temporary_name);
    remove(&temporary)?;
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(NEW_MODE)
            .open(&temporary)?;
        if let Some(former) = &former
            && (former.uid(), former.gid()) != owner(&file)?
        {
            // Without the privilege the new owner is whoever writes.
            let _best_effort = fchown(&file, Some(former.uid()), Some(former.gid()));
        }
        // A new file is for everybody, too, whatever the umask has made of that.
        let mode = former.map_or(NEW_MODE, |former| former.mode() & 0o7777);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _best_effort = remove(&temporary);
    }
    written
}

fn owner(file: &File) -> io::Result<(u32, u32)> {
    let metadata = file.metadata()?;
    Ok((metadata.uid(), metadata.gid()))
}

/// Written first and shortened after, so that no reader finds it empty.
fn in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len().try_into().unwrap_or(u64::MAX))?;
    file.sync_all()
}
