//! What the figures say: tables that read the same in a terminal and in Markdown, and their place in a document.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::LabError;

/// The line before the generated part of the document.
pub const BEGIN: &str = "<!-- figures: begin, made by tests/figures --write -->";

/// The line after it.
pub const END: &str = "<!-- figures: end -->";

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// Headings.
    pub columns: Vec<String>,
    /// Cells, as many in each row as there are headings.
    pub rows: Vec<Vec<String>>,
    /// Sentences below the table.
    pub remarks: Vec<String>,
}

impl Section {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Section {
        Section {
            title: title.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a sentence.
    pub fn remark(&mut self, words: impl Into<String>) {
        self.remarks.push(words.into());
    }

    /// The section as Markdown, with padded columns.
    #[must_use]
    pub fn markdown(&self) -> String {
        let width = |column: usize| {
            std::iter::once(&self.columns)
                .chain(&self.rows)
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
                .max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column == 0 {
                        format!("{cell:width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| {
                if column == 0 {
                    "-".repeat(*width)
                } else {
                    format!("{}:", "-".repeat(width - 1))
                }
            })
            .collect();
        let mut text = format!(
            "### {}\n\n{}{}",
            self.title,
            line(&self.columns),
            line(&rule)
        );
        for row in &self.rows {
            text.push_str(&line(row));
        }
        for remark in &self.remarks {
            text.push_str(&format!("\n{remark}\n"));
        }
        text
    }
}

/// Appends `next` to the last of `sections` where both are of one table.
pub fn merge(sections: &mut Vec<Section>, next: Section) {
    match sections.last_mut() {
        Some(last) if last.title == next.title && last.columns == next.columns => {
            last.rows.extend(next.rows);
            for remark in next.remarks {
                if !last.remarks.contains(&remark) {
                    last.remarks.push(remark);
                }
            }
        }
        _ => sections.push(next),
    }
}

/// Puts `text` between the markers of the document at `path`.
pub fn write(path: &Path, text: &str) -> Result<(), LabError> {
    let what = |verb: &str| format!("{verb} {}", path.display());
    let document = fs::read_to_string(path).map_err(LabError::io(what("read")))?;
    let replaced = replace(&document, text).ok_or_else(|| {
        LabError::Other(format!(
            "{} has no lines \"{BEGIN}\" and \"{END}\"",
            path.display()
        ))
    })?;
    fs::write(path, replaced).map_err(LabError::io(what("write")))
}

fn replace(document: &str, text: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        text.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let mut section = Section::new("Moves", &["what", "ms"]);
        section.row(["up".to_owned(), "1.5".to_owned()]);
        section
    }

    #[test]
    fn tables_are_padded() {
        assert_eq!(
            section().markdown(),
            "### Moves\n\n| what |  ms |\n| ---- | --: |\n| up   | 1.5 |\n"
        );
    }

    #[test]
    fn parts_of_one_table_are_joined() {
        let mut sections = Vec::new();
        merge(&mut sections, section());
        merge(&mut sections, section());
        merge(&mut sections, Section::new("Other", &["what", "ms"]));
        assert_eq!(
            sections
                .iter()
                .map(|section| section.rows.len())
                .collect::<Vec<_>>(),
            [2, 0]
        );
    }

    #[test]
    fn only_the_generated_part_is_replaced() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(
            replace(&document, "new\n").unwrap(),
            format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n")
        );
        assert_eq!(replace("no markers", "new"), None);
    }
}
