//! A TOML document read section by section, key by key. What is wrong goes to a report and reading
//! goes on, so that one run shows everything; what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{ConfigErrors, Diagnostic, Warning};

/// Where complaints about one file gather.
pub(super) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A file that is TOML.
pub(super) struct Document<'a> {
    report: &'a Report<'a>,
    root: DeTable<'a>,
}

/// One table of a document.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    /// As a person would name it: `[pool]`.
    name: String,
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    known: RefCell<Vec<&'static str>>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<T> Located<T> {
    /// Another form of the value, from the same place.
    pub(super) fn map<U>(self, form: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: form(self.value),
            span: self.span,
        }
    }
}

/// Why a value can't be used.
#[derive(Debug, Clone)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) help: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    pub(super) fn error(&self, span: &Range<usize>, message: &str, help: impl Into<String>) {
        self.errors
            .borrow_mut()
            .push(self.diagnostic(span, message, Some(help.into())));
    }

    pub(super) fn warn(&self, span: &Range<usize>, message: &str, help: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(self.diagnostic(span, message, Some(help.into())));
    }

    fn diagnostic(&self, span: &Range<usize>, message: &str, help: Option<String>) -> Diagnostic {
        Diagnostic::new(self.file, self.text, span.clone(), message, help)
    }

    pub(super) fn into_result<C>(
        self,
        config: Option<C>,
    ) -> Result<(C, Vec<Warning>), ConfigErrors> {
        let errors = ConfigErrors::collect(self.errors.into_inner());
        match (errors, config) {
            (None, Some(config)) => Ok((config, self.warnings.into_inner())),
            (Some(errors), _) => Err(errors),
            (None, None) => Err(ConfigErrors::unreadable(
                self.file,
                "can't be used".to_owned(),
            )),
        }
    }
}

impl<'a> Document<'a> {
    /// `None`, and a report, when the text isn't TOML.
    pub(super) fn parse(report: &'a Report<'a>) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(report.text);
        for error in &errors {
            let message = error.message().replace('\n', ", ");
            let span = error.span().unwrap_or(0..0);
            report.errors.borrow_mut().push(report.diagnostic(
                &span,
                &format!("not TOML: {message}"),
                None,
            ));
        }
        errors.is_empty().then(|| Self {
            report,
            root: root.into_inner(),
        })
    }

    pub(super) fn report(&self) -> &Report<'a> {
        self.report
    }
}

impl Document<'_> {
    /// The keys above the first table.
    pub(super) fn root(&self) -> Section<'_> {
        Section {
            report: self.report,
            name: "the top level".to_owned(),
            table: Some(&self.root),
            span: 0..0,
            known: RefCell::default(),
        }
    }
}

impl<'a> Section<'a> {
    /// Where the table begins; where the file begins when it is missing.
    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Whether the file has `key`.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Where the value of `key` stands, if the file has it.
    pub(super) fn place(&self, key: &'static str) -> Option<Range<usize>> {
        self.find(key).map(Spanned::span)
    }

    /// Whether the file has `key` and it isn't an empty list.
    pub(super) fn has_elements(&self, key: &'static str) -> bool {
        self.find(key).is_some_and(|value| {
            value
                .get_ref()
                .as_array()
                .is_none_or(|array| !array.is_empty())
        })
    }

    /// The value of `key`: `None` when it is missing or, after a report, bad.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Option<Located<T>> {
        let found = self.find(key)?;
        match parse(found.get_ref()) {
            Ok(value) => Some(Located {
                value,
                span: found.span(),
            }),
            Err(Complaint { message, help }) => {
                self.report
                    .error(&found.span(), &format!("`{key}`: {message}"), help);
                None
            }
        }
    }

    /// The value of `key`, or `default` when it is missing. A bad value is reported and replaced by
    /// the default, so that reading can go on.
    pub(super) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Located<T> {
        self.optional(key, parse).unwrap_or_else(|| Located {
            value: default,
            span: self.span.clone(),
        })
    }

    /// The value of `key`, which must be there.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        help: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Option<Located<T>> {
        if self.find(key).is_none() {
            self.report.error(
                &self.span,
                &format!("`{key}` is missing in {}", self.name),
                help,
            );
        }
        self.optional(key, parse)
    }

    /// The good elements of the array `key`; none when it is missing. Bad ones are reported one by one.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Vec<Located<T>> {
        let Some(found) = self.find(key) else {
            return Vec::new();
        };
        let Some(array) = found.get_ref().as_array() else {
            let message = format!(
                "`{key}` is a list, this is {}",
                with_article(found.get_ref())
            );
            self.report.error(
                &found.span(),
                &message,
                format!("write: {key} = [\"...\", \"...\"]"),
            );
            return Vec::new();
        };
        let mut good = Vec::new();
        for element in array {
            match parse(element.get_ref()) {
                Ok(value) => good.push(Located {
                    value,
                    span: element.span(),
                }),
                Err(Complaint { message, help }) => {
                    self.report
                        .error(&element.span(), &format!("`{key}`: {message}"), help);
                }
            }
        }
        good
    }

    /// The table `[key]`; an empty one when it is missing or, after a report, something else.
    pub(super) fn table(&self, key: &'static str) -> Section<'a> {
        let found = self.find(key);
        let table = found.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (found, table) {
            let message = format!(
                "`{key}` is a table, this is {}",
                with_article(value.get_ref())
            );
            self.report.error(
                &value.span(),
                &message,
                format!("write [{key}] on a line of its own"),
            );
        }
        self.section(format!("[{key}]"), table, found.map_or(0..0, Spanned::span))
    }

    /// The tables `[[key]]`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(found) = self.find(key) else {
            return Vec::new();
        };
        let elements = found
            .get_ref()
            .as_array()
            .map(|array| array.iter())
            .into_iter()
            .flatten();
        let sections: Vec<_> = elements
            .filter_map(|element| {
                let table = element.get_ref().as_table()?;
                Some(self.section(format!("[[{key}]]"), Some(table), element.span()))
            })
            .collect();
        let all = found
            .get_ref()
            .as_array()
            .is_some_and(|array| array.len() == sections.len());
        if !all {
            let message = format!(
                "`{key}` is a list of tables, this is {}",
                with_article(found.get_ref())
            );
            self.report.error(
                &found.span(),
                &message,
                format!("write [[{key}]], twice bracketed, once for each"),
            );
        }
        sections
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.into_inner();
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let help = match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} has: {}", self.name, known.join(", ")),
            };
            self.report.error(
                &key.span(),
                &format!("unknown key `{name}` in {}", self.name),
                help,
            );
        }
    }

    fn section(
        &self,
        name: String,
        table: Option<&'a DeTable<'a>>,
        span: Range<usize>,
    ) -> Section<'a> {
        Section {
            report: self.report,
            name,
            table,
            span,
            known: RefCell::default(),
        }
    }

    fn find(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table?.get(key)
    }
}

/// `a string`, `an array`, ...
pub(super) fn with_article(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// The known key a mistyped one was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    known
        .iter()
        .map(|known| (distance(&name, known), *known))
        .filter(|(distance, known)| {
            *distance <= known.len().max(name.len()) / 3
                || known.starts_with(&name) && name.len() > 2
        })
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_key_that_was_meant() {
        let known = ["hold-down", "exclude", "reachability", "ipv4", "ipv6"];
        assert_eq!(nearest("hold_down", &known), Some("hold-down"));
        assert_eq!(nearest("holddown", &known), Some("hold-down"));
        assert_eq!(nearest("reach", &known), Some("reachability"));
        assert_eq!(nearest("exclud", &known), Some("exclude"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn an_enormous_key_costs_little() {
        assert_eq!(nearest(&"x".repeat(10_000), &["ipv4"]), None);
    }

    #[test]
    fn distance_is_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
