//! Tables as wide as the terminal allows.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Columns and rows, to be shown as a table; where that is too wide, as a narrower one; where that
/// is too wide, row by row.
pub(super) struct Rows {
    pub(super) header: Vec<&'static str>,
    /// Columns of numbers, by index.
    pub(super) right: &'static [usize],
    /// The columns of the narrower table: each a few of these columns, below each other. None
    /// where there is no such table.
    pub(super) stacks: &'static [&'static [usize]],
    pub(super) rows: Vec<Vec<String>>,
}

/// Appends a section: the widest form that fits.
pub(super) fn section(text: &mut String, title: &str, rows: &Rows, width: usize, empty: &str) {
    text.push_str(&format!("\n{title}\n"));
    if rows.rows.is_empty() {
        text.push_str(&format!("  {empty}\n"));
        return;
    }
    let fits = |table: &String| table.lines().all(|line| line.chars().count() <= width);
    let table = Some(as_table(&rows.header, rows.right, &rows.rows))
        .filter(fits)
        .or_else(|| as_narrow_table(rows).filter(fits));
    text.push_str(&table.unwrap_or_else(|| as_blocks(rows)));
}

fn as_narrow_table(rows: &Rows) -> Option<String> {
    if rows.stacks.is_empty() {
        return None;
    }
    let is_right = |stack: &[usize]| stack.iter().all(|column| rows.right.contains(column));
    let stacked = |cells: &dyn Fn(usize) -> Option<String>| -> Vec<String> {
        let stack = |stack: &&[usize]| {
            // What is below belongs to what is above.
            let indent = if is_right(stack) { "\n" } else { "\n  " };
            let cells: Vec<String> = stack.iter().filter_map(|column| cells(*column)).collect();
            cells.join(indent)
        };
        rows.stacks.iter().map(stack).collect()
    };
    let header = stacked(&|column| rows.header.get(column).map(ToString::to_string));
    let lines: Vec<Vec<String>> = rows
        .rows
        .iter()
        .map(|row| stacked(&|column| row.get(column).cloned()))
        .collect();
    let right: Vec<usize> = rows
        .stacks
        .iter()
        .enumerate()
        .filter(|(_, stack)| is_right(stack))
        .map(|(index, _)| index)
        .collect();
    Some(as_table(&header, &right, &lines))
}

fn as_table(header: &[impl ToString], right: &[usize], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(ToString::to_string));
    for row in rows {
        table.add_row(row);
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| format!(" {}\n", line.trim_end()))
        .collect();
    lines.concat()
}

fn as_blocks(rows: &Rows) -> String {
    let label = rows
        .header
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or_default();
    let blocks: Vec<String> = rows
        .rows
        .iter()
        .map(|row| {
            let lines = rows
                .header
                .iter()
                .zip(row)
                .filter(|(_, cell)| !cell.is_empty());
            lines
                .map(|(name, cell)| format!("  {name:label$}  {}\n", cell.replace('\n', ", ")))
                .collect()
        })
        .collect();
    blocks.join("\n")
}
