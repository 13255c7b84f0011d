//! What a story is: a promise, what it needs, and how to see whether the promise is kept.

use std::io::Write;

use crate::{Backend, Failure, Family, Told};

/// A story in the book.
#[derive(Clone, Copy)]
pub struct StoryEntry {
    /// The promise in snake case, the file's name.
    pub name: &'static str,
    /// Programs it uses; where one is missing the story is skipped.
    pub needs: &'static [&'static str],
    /// The families it is told in.
    pub families: &'static [Family],
    /// The backends it is told with.
    pub backends: &'static [Backend],
    /// Whether the kernel's own tunnels must be there whatever the backend.
    pub beside_kernel_tunnels: bool,
    /// Tells it.
    pub tell: fn(&Story) -> Told,
}

impl StoryEntry {
    /// The same story, told with these backends alone.
    #[must_use]
    pub const fn only(self, backends: &'static [Backend]) -> StoryEntry {
        StoryEntry { backends, ..self }
    }

    /// The same story, told in these families.
    #[must_use]
    pub const fn told_in(self, families: &'static [Family]) -> StoryEntry {
        StoryEntry { families, ..self }
    }

    /// The same story, told where the kernel has tunnels of its own.
    #[must_use]
    pub const fn beside_kernel_tunnels(self) -> StoryEntry {
        StoryEntry {
            beside_kernel_tunnels: true,
            ..self
        }
    }
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
