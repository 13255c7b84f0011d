//! Tells stories, each in a process and a room of its own, and prints the matrix.
//!
//! A story is told once in each of its families with each of its backends. Where that takes tunnels that this kernel doesn't have, it is told
//! in the guest kernel: one boot for all such stories, after the others.

pub(crate) mod guest;
mod matrix;
mod performance;
mod telling;

use std::{env, fmt, io::Write, process::ExitCode, str::FromStr};

use crate::{Backend, Family, LabError, StoryEntry};

use performance::{Outcome, Performance};

/// The `main` of a test target: `[--list] [--exact] [--family FAMILY] [--backend BACKEND] [FILTER...]`, other options of libtest are
/// ignored.
#[must_use]
pub fn main(book: &[StoryEntry]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [telling::TELL, name] => match Cell::find(book, name) {
            Some(cell) => telling::tell(cell),
            None => unknown(name),
        },
        [guest::PROBE] => guest::probe(),
        [guest::HERE, names @ ..] => {
            let mut cells = Vec::new();
            for name in names {
                match Cell::find(book, name) {
                    Some(cell) => cells.push(cell),
                    None => return unknown(name),
                }
            }
            guest::tell(&cells);
            ExitCode::SUCCESS
        }
        words => match Wish::parse(words) {
            Ok(wish) => wish.fulfil(book),
            Err(reason) => {
                say(reason);
                ExitCode::from(2)
            }
        },
    }
}

/// One field of the matrix: a story, the family to tell it in and the backend to tell it with.
#[derive(Clone, Copy)]
struct Cell<'a> {
    entry: &'a StoryEntry,
    family: Family,
    backend: Backend,
}

impl<'a> Cell<'a> {
    /// The cell that is displayed as `name`.
    fn find(book: &'a [StoryEntry], name: &str) -> Option<Cell<'a>> {
        let mut parts = name.splitn(3, '/');
        let name = parts.next()?;
        Some(Cell {
            entry: book.iter().find(|entry| entry.name == name)?,
            family: parts.next()?.parse().ok()?,
            backend: parts.next()?.parse().ok()?,
        })
    }

    /// Every cell of a story.
    fn all(entry: &'a StoryEntry) -> impl Iterator<Item = Cell<'a>> {
        entry.families.iter().flat_map(move |family| {
            entry.backends.iter().map(move |backend| Cell {
                entry,
                family: *family,
                backend: *backend,
            })
        })
    }

    fn needs_kernel_tunnels(self) -> bool {
        self.backend == Backend::Kernel || self.entry.beside_kernel_tunnels
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}/{}",
            self.entry.name, self.family, self.backend
        )
    }
}

/// The value of an option.
fn value<T: FromStr<Err = LabError>>(option: &str, word: Option<&&str>) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("{option} takes a name"))?;
    word.parse().map_err(|error: LabError| error.to_string())
}

/// What the caller wants to be told.
#[derive(Default)]
struct Wish<'a> {
    filters: Vec<&'a str>,
    exact: bool,
    list: bool,
    ignored: bool,
    family: Option<Family>,
    backend: Option<Backend>,
}

impl<'a> Wish<'a> {
    fn parse(words: &[&'a str]) -> Result<Wish<'a>, String> {
        let mut wish = Wish::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--exact" => wish.exact = true,
                "--list" => wish.list = true,
                "--ignored" => wish.ignored = true,
                "--family" => wish.family = Some(value(word, words.next())?),
                "--backend" => wish.backend = Some(value(word, words.next())?),
                word if word.starts_with('-') => {}
                word => wish.filters.push(word),
            }
        }
        Ok(wish)
    }

    fn fulfil(&self, book: &[StoryEntry]) -> ExitCode {
        let chosen: Vec<&StoryEntry> = book.iter().filter(|entry| self.names(entry)).collect();
        if self.list {
            // cargo-nextest asks for the ignored ones in a second list.
            if !self.ignored {
                for entry in chosen {
                    say(format!("{}: test", entry.name));
                }
            }
            return ExitCode::SUCCESS;
        }
        let cells = chosen
            .iter()
            .flat_map(|entry| Cell::all(entry))
            .filter(|cell| {
                self.family.is_none_or(|family| family == cell.family)
                    && self.backend.is_none_or(|backend| backend == cell.backend)
            });
        let (demanding, modest): (Vec<Cell<'_>>, Vec<Cell<'_>>) =
            cells.partition(|cell| cell.needs_kernel_tunnels());
        let mut told: Vec<(Cell<'_>, Performance)> = modest
            .into_iter()
            .map(|cell| (cell, perform(cell)))
            .collect();
        if demanding.is_empty() || guest::is_needless() {
            told.extend(demanding.into_iter().map(|cell| (cell, perform(cell))));
        } else {
            told.extend(guest::perform(demanding));
        }
        matrix::print(&chosen, &told);
        let failed = |performance: &Performance| matches!(performance.outcome, Outcome::Failed(_));
        if told.iter().any(|(_, performance)| failed(performance)) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn names(&self, entry: &StoryEntry) -> bool {
        let fits = |filter: &&str| {
            if self.exact {
                entry.name == *filter
            } else {
                entry.name.contains(*filter)
            }
        };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

fn perform(cell: Cell<'_>) -> Performance {
    say(format!("\n{cell}"));
    performance::perform(cell, &mut say)
}

fn unknown(name: &str) -> ExitCode {
    say(format!("failed: no story named {name}"));
    ExitCode::FAILURE
}

fn say(line: impl AsRef<str>) {
    let mut stdout = std::io::stdout().lock();
    let _reader_gone = writeln!(stdout, "{}", line.as_ref()).and_then(|()| stdout.flush());
}
