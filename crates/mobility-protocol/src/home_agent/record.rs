//! What of a binding outlives the process.

use std::sync::Arc;
use std::time::Duration;

use crate::security::SecurityAssociation;
use crate::{CareOfAddress, Family, HomeAddress, Identity, Reachability, Stamp, Transport};

/// What the store holds of a mobile node, under its owner and the family of its home address.
/// Times are Unix times: the clock of the
/// process that wrote it means nothing to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// How the mobile node names itself.
    pub identity: Identity,
    /// What the mobile node authenticates with.
    pub association: Arc<SecurityAssociation>,
    /// Those of the last accepted request: the next must be later.
    pub last: Stamp,
    /// What it has or had.
    pub lease: StoredLease,
    /// Where it was when it came, if there is a quota for who is there.
    pub counted_at: Option<CareOfAddress>,
}

impl StoredRecord {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.identity.clone(), &self.association)
    }

    /// The family of the home address. An identity has one record for each.
    #[must_use]
    pub const fn family(&self) -> Family {
        let (StoredLease::Bound { home_address, .. } | StoredLease::Released { home_address, .. }) =
            self.lease;
        home_address.family()
    }
}

/// Whose a binding is: an identity's, and where anybody may name himself as he likes, the one's who
/// agreed on its key under that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// How the mobile node names itself.
    pub identity: Identity,
    /// The index of the key that was agreed on; `None` where the identity has a key or needs none.
    pub agreed: Option<u32>,
}

impl Owner {
    /// Who has this name and this association.
    #[must_use]
    pub fn new(identity: Identity, association: &SecurityAssociation) -> Self {
        Self {
            identity,
            agreed: association.is_agreed().then_some(association.spi),
        }
    }
}

/// What the store holds of a home address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredLease {
    /// Lent.
    Bound {
        /// The home address.
        home_address: HomeAddress,
        /// Where it is reached.
        care_of: CareOfAddress,
        /// Whether its mobile node has shown that it is there.
        reachability: Reachability,
        /// What its last request came in.
        transport: Transport,
        /// What was granted at the last registration.
        lifetime: Duration,
        /// When that is over, in Unix time.
        expires_at: Duration,
    },
    /// Returned or expired.
    Released {
        /// The home address it was.
        home_address: HomeAddress,
        /// Until when nobody else may have it, in Unix time; `None` if others never may or already
        /// may.
        held_until: Option<Duration>,
        /// When the record has served its purpose, in Unix time.
        forget_at: Duration,
    },
}

/// A change to the store. Several for one owner and family replace one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// Keep this record in place of the one of the same owner and family.
    Put(StoredRecord),
    /// Keep nothing under this owner and family. None there is no error.
    Delete(Owner, Family),
}

impl StoreChange {
    /// Whose record changes.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self {
            Self::Put(record) => record.owner(),
            Self::Delete(owner, _) => owner.clone(),
        }
    }

    /// Of which of its two records this is about.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Put(record) => record.family(),
            Self::Delete(_, family) => *family,
        }
    }
}

/// What became of the records of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreSummary {
    /// Bindings that go on.
    pub bound: u64,
    /// Bindings whose lifetime ended meanwhile.
    pub expired: u64,
    /// Home addresses still held down, and identities still remembered.
    pub released: u64,
    /// Records that served their purpose meanwhile.
    pub forgotten: u64,
    /// Records the configuration no longer allows: another key, a home address that is no longer
    /// lent or is somebody else's now.
    pub discarded: u64,
}
