//! What can go wrong in the lab, and how a story says that its promise was broken.

use std::{fmt, io};

/// An operation of the lab itself did not work: the story could not be told.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A system call or file operation.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the names involved.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// What was being done, with the names involved.
        what: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The node's thread has gone.
    #[error("node {0} is gone")]
    NodeGone(String),
    /// An event did not happen within its bound.
    #[error("waited {seconds:.1} s for {what}")]
    TimedOut {
        /// The event.
        what: String,
        /// The bound.
        seconds: f64,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl LabError {
    /// An I/O error with what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let what = what.into();
        move |source| LabError::Io { what, source }
    }

    /// An error number with what was being done.
    pub fn errno(what: impl Into<String>) -> impl FnOnce(nix::Error) -> LabError {
        let what = what.into();
        move |errno| LabError::Io {
            what,
            source: errno.into(),
        }
    }

    /// A netlink error with what was being done.
    pub fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> LabError {
        let what = what.into();
        move |source| LabError::Netlink { what, source }
    }
}

/// Why a story failed, for people. Every error converts into it, so that stories use `?` throughout.
pub struct Failure {
    words: String,
    skipped: bool,
}

impl Failure {
    /// A failure in the given words.
    pub fn new(words: impl Into<String>) -> Self {
        Failure {
            words: words.into(),
            skipped: false,
        }
    }

    /// Not a failure of the promise: the story can't be told here, for this reason.
    pub fn skip(reason: impl Into<String>) -> Self {
        Failure {
            words: reason.into(),
            skipped: true,
        }
    }

    /// Whether the story could not be told rather than failed.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        self.skipped
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_words = cause.to_string();
            if !words.ends_with(&cause_words) {
                words = format!("{words}: {cause_words}");
            }
            source = cause.source();
        }
        Failure::new(words)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a story returns.
pub type Told = Result<(), Failure>;

/// Fails the story with `words` unless `promise` holds.
pub fn ensure(promise: bool, words: impl FnOnce() -> String) -> Told {
    if promise {
        Ok(())
    } else {
        Err(Failure::new(words()))
    }
}

/// Fails the story with `words`.
pub fn fail<T>(words: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(words))
}
