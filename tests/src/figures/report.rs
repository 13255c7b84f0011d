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

/// Appends `next` to the section of the same table in `sections`, or as a new one.
pub fn merge(sections: &mut Vec<Section>, next: Section) {
    let same = sections
        .iter_mut()
        .find(|section| section.title == next.title && section.columns == next.columns);
    match same {
        Some(section) => {
            section.rows.extend(next.rows);
            for remark in next.remarks {
                if !section.remarks.contains(&remark) {
                    section.remarks.push(remark);
                }
            }
        }
        None => sections.push(next),
    }
}

/// All sections, below the words about where they were measured.
#[must_use]
pub fn text(machines: &str, sections: &[Section]) -> String {
    let tables: Vec<String> = sections.iter().map(Section::markdown).collect();
    format!("{machines}\n\n{}", tables.join("\n"))
}

/// Puts the figures between the markers of the document at `path`.
pub fn write(path: &Path, machines: &str, sections: &[Section]) -> Result<(), LabError> {
    rewrite(path, |_| Ok(text(machines, sections)))
}

/// Puts the sections in the place of those with the same titles, and leaves the others, which must have been
/// measured on the same machines.
pub fn write_part(path: &Path, machines: &str, sections: &[Section]) -> Result<(), LabError> {
    rewrite(path, |former| {
        exchange(former, machines, sections).map_err(|line| {
            LabError::Other(format!("the other figures were not measured so: {line}"))
        })
    })
}

fn rewrite(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, LabError>,
) -> Result<(), LabError> {
    let what = |verb: &str| format!("{verb} {}", path.display());
    let document = fs::read_to_string(path).map_err(LabError::io(what("read")))?;
    let unmarked = || {
        LabError::Other(format!(
            "{} has no lines \"{BEGIN}\" and \"{END}\"",
            path.display()
        ))
    };
    let (before, former, after) = generated(&document).ok_or_else(unmarked)?;
    let text = change(former)?;
    let document = format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", text.trim());
    fs::write(path, document).map_err(LabError::io(what("write")))
}

/// What is before, between and after the markers.
fn generated(document: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (former, after) = rest.split_once(END)?;
    Some((before, former, after))
}

/// The line about a machine that contradicts what is there is an error.
fn exchange(former: &str, machines: &str, sections: &[Section]) -> Result<String, String> {
    let mut blocks: Vec<String> = former
        .trim()
        .split("\n### ")
        .map(|block| format!("{}\n", block.trim()))
        .collect();
    let place = |line: &str| line.chars().take(10).collect::<String>();
    for line in machines.lines().filter(|line| !line.is_empty()) {
        let Some(header) = blocks.first_mut() else {
            break;
        };
        if header.lines().any(|known| known == line) {
            continue;
        }
        if header.lines().any(|known| place(known) == place(line)) {
            return Err(line.to_owned());
        }
        header.push_str(&format!("\n{line}\n"));
    }
    for section in sections {
        let markdown = section.markdown();
        let block = markdown.trim_start_matches("### ").to_owned();
        let same = blocks
            .iter_mut()
            .skip(1)
            .find(|block| block.lines().next() == Some(&section.title));
        match same {
            Some(place) => *place = block,
            None => blocks.push(block),
        }
    }
    Ok(blocks.join("\n### "))
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
        merge(&mut sections, Section::new("Other", &["what", "ms"]));
        merge(&mut sections, section());
        let rows: Vec<_> = sections.iter().map(|section| section.rows.len()).collect();
        assert_eq!(rows, [2, 0]);
    }

    #[test]
    fn only_the_generated_part_is_between_the_markers() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let parts = generated(&document).unwrap();
        assert_eq!(parts, ("before\n", "\nold\n", "\nafter\n"));
        assert_eq!(generated("no markers"), None);
    }

    #[test]
    fn sections_take_the_place_of_those_with_their_title() {
        let mut other = section();
        other.title = "Other".to_owned();
        let former = text("Measured on this.", &[section(), other.clone()]);
        let mut new = section();
        new.rows[0][1] = "2.5".to_owned();
        let mut third = section();
        third.title = "Third".to_owned();
        let machines = "Measured on this.\n\nIn the guest: that.";
        let expected = text(machines, &[new.clone(), other, third.clone()]);
        assert_eq!(exchange(&former, machines, &[new, third]), Ok(expected));
        let elsewhere = "Measured on another.";
        assert_eq!(exchange(&former, elsewhere, &[]), Err(elsewhere.to_owned()));
    }
}
