//! The bindings of a home agent on disk: written before an acknowledgement leaves.
//!
//! A [`BindingStore`] is one file, `bindings.redb`, in a directory of its own. It holds keys of
//! mobile nodes, so nobody but its owner can read it. One process at a time has it open.
//!
//! Changes are committed many at once: [`BindingStore::commit`] returns when they would survive a
//! power cut. If it fails, because the disk is full for instance, nothing is lost and nothing is
//! half done: the changes stay in memory, one per record, and go with the next commit.

mod codec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mobility_protocol::Family;
use mobility_protocol::home_agent::{Owner, StoreChange, StoredRecord};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};
use zeroize::Zeroizing;

/// The name of the file in the directory of the store.
pub const FILE_NAME: &str = "bindings.redb";

/// The layout of the file. A file with a larger number is from a newer version of this program.
/// Format 1 had no table for IPv6, format 2 none for keys that were agreed on, format 3 did not say
/// whether a mobile node had shown where it was.
pub const FORMAT_VERSION: u32 = 4;

/// Records by identity or, where a key was agreed on, by its index (4 octets, big-endian) and the
/// identity.
type Records = TableDefinition<'static, &'static [u8], &'static [u8]>;
const RECORDS: [(Kind, Records); 4] = [
    (Kind::of(Family::Ipv4), TableDefinition::new("bindings")),
    (
        Kind::of(Family::Ipv6),
        TableDefinition::new("bindings-ipv6"),
    ),
    (
        Kind::agreed(Family::Ipv4),
        TableDefinition::new("bindings-agreed"),
    ),
    (
        Kind::agreed(Family::Ipv6),
        TableDefinition::new("bindings-agreed-ipv6"),
    ),
];
/// A record as it is written, with its key in it.
type Octets = Zeroizing<Vec<u8>>;
const PROPERTIES: TableDefinition<'_, &str, u32> = TableDefinition::new("properties");
const VERSION: &str = "version";

/// Reading happens once, at the start; writing touches few pages at a time.
const CACHE_SIZE: usize = 16 << 20;

/// What is on disk of the bindings of a home agent.
pub struct BindingStore {
    path: PathBuf,
    /// Closed after a failure: the database takes no more once a write has failed.
    database: Option<Database>,
    /// What is not on disk yet: the new record under a key in a table, or none.
    pending: BTreeMap<(Kind, Vec<u8>), Option<Octets>>,
}

/// Why the store does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory can't be made or opened.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("{0}: another process uses this store; is the home agent running already?")]
    InUse(PathBuf),
    /// The file is from a newer version of this program.
    #[error(
        "{path}: the store has format {found}, this version knows formats up to {FORMAT_VERSION}"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
    },
    /// The file is not a store, or damaged.
    #[error("{path}: the store is damaged ({reason}); move it away to start without bindings")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The database could not read or write. What was to be written is kept for the next commit.
    #[error("{path}: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: Box<redb::Error>,
    },
}

impl BindingStore {
    /// The store in this directory, which is made if there is none.
    ///
    /// # Errors
    /// [`StoreError`] when there is a store that can't be used, or none can be made.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        prepare(directory, &path).map_err(|source| StoreError::File {
            path: path.clone(),
            source,
        })?;
        let mut store = Self {
            database: None,
            path,
            pending: BTreeMap::new(),
        };
        // The database library panics on some files that nothing but damage could have produced.
        let opened = catch_unwind(AssertUnwindSafe(|| store.open_whole()));
        store.database =
            Some(opened.unwrap_or_else(|_| Err(store.damaged("it can't be made sense of")))?);
        Ok(store)
    }

    /// Every record on disk, by family and identity.
    ///
    /// # Errors
    /// [`StoreError`] when the file can't be read, or a record in it makes no sense.
    pub fn load(&self) -> Result<Vec<StoredRecord>, StoreError> {
        let Some(database) = &self.database else {
            return Ok(Vec::new());
        };
        let read = || -> Result<Vec<Result<StoredRecord, String>>, redb::Error> {
            let transaction = database.begin_read()?;
            let mut records = Vec::new();
            for (kind, definition) in RECORDS {
                for entry in transaction.open_table(definition)?.iter()? {
                    let (key, record) = entry?;
                    records.push(decoded(kind, key.value(), record.value()));
                }
            }
            Ok(records)
        };
        let records = read().map_err(|error| self.error(error))?;
        records
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|reason| self.damaged(reason))
    }

    /// Writes these changes, and any that could not be written before, in one transaction. When it
    /// returns without an error they would survive a power cut.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written. The changes are kept; calling this again, with more
    /// changes or without, is the next attempt.
    pub fn commit(
        &mut self,
        changes: impl IntoIterator<Item = StoreChange>,
    ) -> Result<(), StoreError> {
        for change in changes {
            match change {
                StoreChange::Put(record) => {
                    let octets = codec::encode(&record);
                    let key = key(&record.owner(), record.family());
                    self.pending.insert(key, Some(octets));
                }
                StoreChange::Delete(owner, family) => {
                    self.pending.insert(key(&owner, family), None);
                }
            }
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let database = match self.database.take() {
            Some(database) => database,
            // Should the file have vanished, that is an error rather than an empty store.
            None => self.opened(Builder::new().set_cache_size(CACHE_SIZE).open(&self.path))?,
        };
        match self.write(&database) {
            Ok(()) => {
                self.database = Some(database);
                self.pending.clear();
                Ok(())
            }
            // Closed with that: a database that failed once refuses everything until it is opened
            // again, when it goes back to the last commit.
            Err(error) => Err(self.error(error)),
        }
    }

    /// How many records have a change that is not on disk.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn write(&self, database: &Database) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        for (kind, definition) in RECORDS {
            let mut table = transaction.open_table(definition)?;
            let pending = self.pending.iter().filter(|((of, _), _)| *of == kind);
            for ((_, key), record) in pending {
                match record {
                    Some(octets) => table.insert(key.as_slice(), octets.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The database, with every checksum in it verified: the library itself trusts a file that was
    /// closed in good order.
    fn open_whole(&self) -> Result<Database, StoreError> {
        let mut database =
            self.opened(Builder::new().set_cache_size(CACHE_SIZE).create(&self.path))?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(self.damaged("a checksum is wrong")),
            Err(error) => return Err(self.error(error.into())),
        }
        self.check_version(&database)?;
        Ok(database)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no list of them is complete"
    )]
    fn opened(&self, database: Result<Database, DatabaseError>) -> Result<Database, StoreError> {
        database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(self.path.clone()),
            error => self.error(error.into()),
        })
    }

    /// Refuses the file of a newer version. Makes of a new file, or one of an older version, one of
    /// this.
    fn check_version(&self, database: &Database) -> Result<(), StoreError> {
        let read = || -> Result<Option<u32>, redb::Error> {
            match database.begin_read()?.open_table(PROPERTIES) {
                Ok(properties) => Ok(properties.get(VERSION)?.map(|version| version.value())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        let write = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction
                .open_table(PROPERTIES)?
                .insert(VERSION, FORMAT_VERSION)?;
            for (_, definition) in RECORDS {
                transaction.open_table(definition)?;
            }
            Ok(transaction.commit()?)
        };
        match read().map_err(|error| self.error(error))? {
            Some(found) if found > FORMAT_VERSION => Err(StoreError::Newer {
                path: self.path.clone(),
                found,
            }),
            Some(FORMAT_VERSION) => Ok(()),
            Some(_) | None => write().map_err(|error| self.error(error)),
        }
    }

    fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no list of them is complete"
    )]
    fn error(&self, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(reason) => self.damaged(reason),
            redb::Error::UpgradeRequired(version) => {
                self.damaged(format!("a database of format {version}"))
            }
            error @ (redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_)) => {
                self.damaged(error.to_string())
            }
            redb::Error::Io(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                self.damaged(source.to_string())
            }
            source => StoreError::Database {
                path: self.path.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// A record as it is, or what is wrong with it.
fn decoded(kind: Kind, in_table: &[u8], record: &[u8]) -> Result<StoredRecord, String> {
    let named = |reason: String| format!("the record of {}: {reason}", in_table.escape_ascii());
    let identity = in_table.get(kind.index_length()..).unwrap_or_default();
    let record = codec::decode(identity, record).map_err(|error| named(error.to_string()))?;
    match key(&record.owner(), record.family()) == (kind, in_table.to_vec()) {
        true => Ok(record),
        false => Err(named("it is in the wrong place".to_owned())),
    }
}

/// Which records are in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    family: Family,
    agreed: bool,
}

impl Kind {
    const fn of(family: Family) -> Self {
        Self {
            family,
            agreed: false,
        }
    }

    const fn agreed(family: Family) -> Self {
        Self {
            family,
            agreed: true,
        }
    }

    /// The octets before the identity.
    const fn index_length(self) -> usize {
        match self.agreed {
            true => size_of::<u32>(),
            false => 0,
        }
    }
}

/// Where the record of an owner is.
fn key(owner: &Owner, family: Family) -> (Kind, Vec<u8>) {
    let kind = match owner.agreed {
        Some(_) => Kind::agreed(family),
        None => Kind::of(family),
    };
    let index = owner.agreed.map(u32::to_be_bytes);
    let index = index.as_ref().map_or(&[][..], |index| index);
    (kind, [index, owner.identity.as_bytes()].concat())
}

/// What is pending holds keys: its number is all that is shown.
impl fmt::Debug for BindingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindingStore")
            .field("path", &self.path)
            .field("pending", &self.pending.len())
            .finish()
    }
}

/// Makes the directory and the file, both for their owner alone, if they are not there.
fn prepare(directory: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    // The name of a new file is to survive a power cut as well.
    File::open(directory)?.sync_all()
}
