//! The terminal: a picture that is redrawn in place, or plain lines where there is no terminal.

use std::{io::Write, time::Duration};

use lab::chart::blocks;

/// What is shown at one moment.
pub(crate) struct Picture<'a> {
    /// Since the beginning.
    pub(crate) elapsed: Duration,
    /// Where both laptops are.
    pub(crate) network: &'a str,
    /// The rate of a full block, in octets per second.
    pub(crate) top: f64,
    /// The slices that begin with a move.
    pub(crate) marked: &'a [usize],
    /// With the agent and without.
    pub(crate) rows: [Row; 2],
}

/// One laptop.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) megabytes: f64,
    pub(crate) rates: Vec<(f64, f64)>,
    pub(crate) place: String,
    pub(crate) seen: String,
}

/// The terminal, or what stands in for it.
pub(crate) struct Screen {
    live: bool,
    drawn_lines: usize,
    plain_seconds: u64,
}

impl Screen {
    pub(crate) fn new(live: bool) -> Screen {
        Screen {
            live,
            drawn_lines: 0,
            plain_seconds: u64::MAX,
        }
    }

    /// A line that stays.
    pub(crate) fn note(&mut self, text: &str) {
        self.drawn_lines = 0;
        write(&format!("{text}\n"));
    }

    /// Something that happened; the picture shows it by itself.
    pub(crate) fn event(&mut self, text: &str) {
        if !self.live {
            write(&format!("        {text}\n"));
        }
    }

    /// Draws the picture over the last one; without a terminal, one line per laptop and second.
    pub(crate) fn show(&mut self, picture: &Picture<'_>) {
        if self.live {
            let text = draw(picture);
            let up = if self.drawn_lines > 0 {
                format!("\x1b[{}A", self.drawn_lines)
            } else {
                "\x1b[?25l".to_owned()
            };
            self.drawn_lines = text.lines().count();
            let clean: String = text
                .lines()
                .map(|line| format!("\x1b[2K{line}\n"))
                .collect();
            write(&format!("{up}{clean}"));
            return;
        }
        let second = picture.elapsed.as_secs();
        if second == self.plain_seconds {
            return;
        }
        self.plain_seconds = second;
        for row in &picture.rows {
            let rate = row.rates.last().map_or(0.0, |(_, rate)| rate / 1000.0);
            write(&format!(
                "{:5.1} s  {:14} {:5.1} MB {rate:5.0} kB/s  {} · {}\n",
                picture.elapsed.as_secs_f64(),
                row.title,
                row.megabytes,
                row.place,
                row.seen
            ));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.live {
            write("\x1b[?25h");
        }
    }
}

/// Gives the terminal back with a last line.
pub(crate) fn leave(live: bool, last: &str) {
    write(&format!(
        "{}\n{last}\n",
        if live { "\x1b[?25h\x1b[0m" } else { "" }
    ));
}

fn draw(picture: &Picture<'_>) -> String {
    let mut text = format!(
        "\n  {:5.1} s   both laptops are in: {}\n",
        picture.elapsed.as_secs_f64(),
        picture.network
    );
    for (row, colour) in picture.rows.iter().zip([32, 31]) {
        let rate = row.rates.last().map_or(0.0, |(_, rate)| rate / 1000.0);
        text.push_str(&format!(
            "\n  \x1b[1m{:14}\x1b[0m {:5.1} MB  {rate:5.0} kB/s\n  \x1b[{colour}m{}\x1b[0m\n  {}\n  {}\n",
            row.title,
            row.megabytes,
            blocks(&row.rates, picture.top, picture.marked),
            row.place,
            row.seen
        ));
    }
    text
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _reader_gone = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
