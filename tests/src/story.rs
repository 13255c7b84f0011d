//! What a story is: a promise, the programs it needs, and how to see whether the promise is kept.

use std::io::Write;

use crate::{Failure, Told};

/// A story in the book.
#[derive(Clone, Copy)]
pub struct StoryEntry {
    /// The promise in snake case, the file's name.
    pub name: &'static str,
    /// Programs it uses; where one is missing the story is skipped.
    pub needs: &'static [&'static str],
    /// Tells it.
    pub tell: fn(&Story) -> Told,
}

/// A story being told, in a room of its own.
pub struct Story {
    name: &'static str,
}

impl Story {
    pub(crate) fn new(name: &'static str) -> Story {
        Story { name }
    }

    /// The promise in snake case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Says what was seen: the story's evidence.
    pub fn saw(&self, words: impl AsRef<str>) {
        let mut stdout = std::io::stdout().lock();
        let _reader_gone = writeln!(stdout, "saw {}", words.as_ref()).and_then(|()| stdout.flush());
    }

    /// Ends the story unless the room belongs to the machine's root.
    pub fn needs_real_root(&self, why: &str) -> Told {
        if crate::sandbox::is_real_root() {
            Ok(())
        } else {
            Err(Failure::skip(format!("needs root: {why}")))
        }
    }
}
