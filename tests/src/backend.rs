//! Which backend the daemons of a story carry packets with.

use std::{fmt, str::FromStr, sync::OnceLock};

use crate::LabError;

/// A daemon's `[dataplane] backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// A TUN device and raw sockets.
    Userspace,
    /// The kernel's own tunnels.
    Kernel,
}

/// What this process's story is told with.
static TOLD_WITH: OnceLock<Backend> = OnceLock::new();

impl Backend {
    /// All of them, in the order of the matrix's columns.
    pub const ALL: [Backend; 2] = [Backend::Userspace, Backend::Kernel];

    /// What settings have unless a story says otherwise: the backend this process's story is told with, in a process
    /// that tells none `userspace`.
    #[must_use]
    pub fn of_this_story() -> Backend {
        TOLD_WITH.get().copied().unwrap_or(Backend::Userspace)
    }

    /// Makes it the backend of this process's story. Once, before the story begins.
    pub(crate) fn tell_with(self) {
        let _told_before = TOLD_WITH.set(self);
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Backend {
        match self {
            Backend::Userspace => Backend::Kernel,
            Backend::Kernel => Backend::Userspace,
        }
    }

    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Backend::Userspace => "userspace",
            Backend::Kernel => "kernel",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = LabError;

    fn from_str(word: &str) -> Result<Backend, LabError> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == word)
            .ok_or_else(|| LabError::Other(format!("no backend is named {word}")))
    }
}
