//! Tells stories one after another, each in a process and a room of its own, and prints the matrix.
//!
//! A story is told once with each of its backends. Where that takes tunnels that this kernel doesn't have, it is told
//! in the guest kernel: one boot for all such stories, after the others.

mod guest;
mod matrix;
mod performance;
mod telling;

use std::{env, fmt, io::Write, process::ExitCode};

use crate::{Backend, StoryEntry};

use performance::{Outcome, Performance};

/// The `main` of a test target: `[--list] [--exact] [--backend BACKEND] [FILTER...]`, other options of libtest are
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
            for name in names {
                match Cell::find(book, name) {
                    Some(cell) => guest::report(cell, &perform(cell)),
                    None => return unknown(name),
                }
            }
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

/// One field of the matrix: a story and the backend to tell it with.
#[derive(Clone, Copy)]
struct Cell<'a> {
    entry: &'a StoryEntry,
    backend: Backend,
}

impl<'a> Cell<'a> {
    /// The cell that is displayed as `name`.
    fn find(book: &'a [StoryEntry], name: &str) -> Option<Cell<'a>> {
        let (name, backend) = name.split_once('/')?;
        let entry = book.iter().find(|entry| entry.name == name)?;
        let backend = backend.parse().ok()?;
        Some(Cell { entry, backend })
    }

    fn needs_kernel_tunnels(self) -> bool {
        self.backend == Backend::Kernel || self.entry.beside_kernel_tunnels
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.entry.name, self.backend)
    }
}

/// What the caller wants to be told.
#[derive(Default)]
struct Wish<'a> {
    filters: Vec<&'a str>,
    exact: bool,
    list: bool,
    ignored: bool,
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
                "--backend" => {
                    let name = words.next().ok_or("--backend takes a name")?;
                    wish.backend = Some(
                        name.parse()
                            .map_err(|error: crate::LabError| error.to_string())?,
                    );
                }
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
        let cells = chosen.iter().flat_map(|entry| {
            entry
                .backends
                .iter()
                .filter(|backend| self.backend.is_none_or(|wanted| wanted == **backend))
                .map(|backend| Cell {
                    entry,
                    backend: *backend,
                })
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
    performance::perform(cell)
}

fn unknown(name: &str) -> ExitCode {
    say(format!("failed: no story named {name}"));
    ExitCode::FAILURE
}

fn say(line: impl AsRef<str>) {
    let mut stdout = std::io::stdout().lock();
    let _reader_gone = writeln!(stdout, "{}", line.as_ref()).and_then(|()| stdout.flush());
}
