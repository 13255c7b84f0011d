//! Complaints about a configuration file that show where and say what to write instead.

use std::fmt;
use std::ops::Range;

/// What is questionable in a configuration file although it can be used.
pub type Warning = Diagnostic;

/// One complaint. Its first line is `file:line:column: message`; then follow the source line, a
/// mark under the place, and what to write instead.
///
/// Hexadecimal runs that might be a key are masked wherever the file is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    file: String,
    place: Option<Place>,
    message: String,
    help: Option<String>,
}

/// Everything that is wrong with a configuration file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Diagnostic>);

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    pub(super) fn unreadable(file: &str, message: String) -> Self {
        let help = "name another file with --config FILE".to_owned();
        Self(vec![Diagnostic {
            file: file.to_owned(),
            place: None,
            message,
            help: Some(help),
        }])
    }

    /// `None` when there is nothing to complain about.
    pub(super) fn collect(mut errors: Vec<Diagnostic>) -> Option<Self> {
        errors.sort_by_key(|error| (error.line(), error.column()));
        errors.dedup();
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// One by one, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl Diagnostic {
    pub(super) fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: &str,
        help: Option<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            place: Some(Place::find(text, span)),
            message: mask_keys(message),
            help,
        }
    }

    /// The line, from 1; `None` when the complaint is about the file as a whole.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// The same, marked as something that stops nobody.
    #[must_use]
    pub fn as_warning(&self) -> String {
        Self {
            message: format!("warning: {}", self.message),
            ..self.clone()
        }
        .to_string()
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            place,
            message,
            help,
        } = self;
        let Some(Place {
            line,
            column,
            source,
            padding,
            width,
        }) = place
        else {
            write!(f, "{file}: {message}")?;
            return help.iter().try_for_each(|help| write!(f, "\n  = {help}"));
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        write!(f, "{file}:{line}:{column}: {message}")?;
        if !source.trim().is_empty() {
            write!(
                f,
                "\n {gutter} |\n {number} | {source}\n {gutter} | {padding}{}",
                "^".repeat(*width)
            )?;
        }
        help.iter()
            .try_for_each(|help| write!(f, "\n {gutter} = {help}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    source: String,
    padding: String,
    width: usize,
}

impl Place {
    fn find(text: &str, span: Range<usize>) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end).max(start);
        let (before, rest) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = rest
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let prefix = text.get(line_start..start).unwrap_or_default();
        let marked = text.get(start..end.min(line_end)).unwrap_or_default();
        let source = text
            .get(line_start..line_end)
            .unwrap_or_default()
            .trim_end();
        Self {
            line: before.matches('\n').count() + 1,
            column: prefix.chars().count() + 1,
            source: mask_keys(source),
            padding: prefix
                .chars()
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect(),
            width: marked.trim_end().chars().count().max(1),
        }
    }
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Stars in place of hexadecimal runs long enough to be a key: whoever pastes a key where the name
/// of its file belongs shall not find it in a log.
fn mask_keys(text: &str) -> String {
    const SHORTEST_KEY: usize = 16;
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (hexadecimal, after) = rest.split_at(run);
        if run >= SHORTEST_KEY {
            masked.extend(std::iter::repeat_n('*', run));
        } else {
            masked.push_str(hexadecimal);
        }
        let other = after
            .find(|c: char| c.is_ascii_hexdigit())
            .unwrap_or(after.len());
        let (plain, next) = after.split_at(other);
        masked.push_str(plain);
        rest = next;
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_under_tabs_and_wide_characters() {
        let text = "a = 1\n\tgrüß = \"x\"\n";
        let start = text.find("\"x\"").unwrap();
        let shown = Diagnostic::new(
            "f.toml",
            text,
            start..start + 3,
            "bad",
            Some("write y".into()),
        );
        assert_eq!(
            shown.to_string(),
            "f.toml:2:9: bad\n   |\n 2 | \tgrüß = \"x\"\n   | \t       ^^^\n   = write y"
        );
    }

    #[test]
    fn a_place_past_the_end_or_inside_a_character_is_no_panic() {
        assert_eq!(Place::find("é", 1..9).column, 1);
        assert_eq!(Place::find("", 7..9).line, 1);
    }

    #[test]
    fn what_may_be_a_key_is_never_shown() {
        assert_eq!(
            mask_keys("key = 00112233445566778899"),
            "key = ********************"
        );
        assert_eq!(mask_keys("2001:db8:1::/64 beef"), "2001:db8:1::/64 beef");
    }
}
