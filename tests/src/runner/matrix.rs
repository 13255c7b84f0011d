//! The matrix: a row per story, a column per family and backend, then the reasons and the sums.

use super::{Cell, Outcome, Performance, say};
use crate::{Backend, Family, StoryEntry};

/// How wide a column is.
const COLUMN: usize = 19;

/// Prints what became of `stories`.
pub(super) fn print(stories: &[&StoryEntry], told: &[(Cell<'_>, Performance)]) {
    let columns: Vec<(Family, Backend)> = Family::ALL
        .into_iter()
        .flat_map(|family| Backend::ALL.map(|backend| (family, backend)))
        .filter(|column| told.iter().any(|(cell, _)| is_in(cell, *column)))
        .collect();
    let width = stories
        .iter()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or_default();
    let mut header = format!("\n{:width$}", "story");
    for (family, backend) in &columns {
        let title = format!("{family}/{backend}");
        header.push_str(&format!("  {title:COLUMN$}"));
    }
    say(header.trim_end());
    for entry in stories {
        let mut row = format!("{:width$}", entry.name);
        for column in &columns {
            let field = told
                .iter()
                .find(|(cell, _)| cell.entry.name == entry.name && is_in(cell, *column))
                .map_or("-".to_owned(), |(_, performance)| field(performance));
            row.push_str(&format!("  {field:COLUMN$}"));
        }
        say(row.trim_end());
    }
    say("");
    if told.iter().any(|(_, performance)| performance.in_guest) {
        say("* in the guest kernel; seconds in emulation are long");
    }
    for (cell, performance) in told {
        if let Outcome::Failed(reason) | Outcome::Skipped(reason) = &performance.outcome {
            say(format!("{} {cell}: {reason}", word(&performance.outcome)));
        }
    }
    for column in columns {
        let count = |fits: fn(&Outcome) -> bool| {
            told.iter()
                .filter(|(cell, performance)| is_in(cell, column) && fits(&performance.outcome))
                .count()
        };
        say(format!(
            "{}/{}: {} passed, {} failed, {} skipped",
            column.0,
            column.1,
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        ));
    }
}

fn is_in(cell: &Cell<'_>, column: (Family, Backend)) -> bool {
    (cell.family, cell.backend) == column
}

fn field(performance: &Performance) -> String {
    let mark = if performance.in_guest { " *" } else { "" };
    format!(
        "{:7} {:7.1}{mark}",
        word(&performance.outcome),
        performance.took.as_secs_f64()
    )
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "skipped",
    }
}
