//! An explanation as indented, aligned lines.

use serde_json::{Map, Value};

/// What the first line shows of where a message was seen.
const FIRST_LINE: [&str; 4] = ["packet", "time", "source", "destination"];

/// One message: where it was seen, then everything in it.
pub(crate) fn render(about: &Map<String, Value>, explanation: &Value) -> String {
    let mut text = String::new();
    let field = |name: &str| about.get(name).map(scalar);
    let parts = [
        field("packet").map(|number| format!("#{number}")),
        field("time"),
        field("source")
            .zip(field("destination"))
            .map(|(source, destination)| format!("{source} -> {destination}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        text.push_str(&parts.join("  "));
        text.push('\n');
    }
    let others = about
        .iter()
        .filter(|(name, _)| !FIRST_LINE.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    fields(&mut text, &others, 2);
    if let Some(object) = explanation.as_object() {
        text.push_str(&headline(object));
        text.push('\n');
        fields(&mut text, object, 2);
        if let Some(error) = object.get("error") {
            text.push_str(&refusal(error));
        }
    }
    text
}

/// `Registration Request (type 1)`, with its place and length where it is an extension.
fn headline(object: &Map<String, Value>) -> String {
    let name = object
        .get("name")
        .filter(|name| !name.is_null())
        .map_or_else(|| "unknown".to_owned(), scalar);
    let number = object
        .get("type")
        .map(|number| format!("type {}", scalar(number)));
    let place = object
        .get("offset")
        .map(|offset| format!("at {}", scalar(offset)));
    let length = object
        .get("length")
        .map(|length| format!("length {}", scalar(length)));
    let details: Vec<String> = [number, place, length].into_iter().flatten().collect();
    if details.is_empty() {
        name
    } else {
        format!("{name} ({})", details.join(", "))
    }
}

/// What the headline shows, and what comes at the end.
const SHOWN_ELSEWHERE: [&str; 5] = ["type", "name", "offset", "length", "error"];

fn fields(text: &mut String, object: &Map<String, Value>, indent: usize) {
    let is_plain = |name: &str, value: &Value| !is_nested(value) && !is_flag(name, value);
    let shown = || {
        object
            .iter()
            .filter(|(name, _)| !SHOWN_ELSEWHERE.contains(&name.as_str()))
    };
    let flags: Vec<String> = shown()
        .filter(|(name, value)| is_flag(name, value))
        .map(|(name, value)| {
            if value == true {
                name.to_uppercase()
            } else {
                "-".to_owned()
            }
        })
        .collect();
    let longest = shown()
        .filter(|(name, value)| is_plain(name, value))
        .map(|(name, _)| name.len())
        .max();
    let label = longest
        .unwrap_or_default()
        .max(if flags.is_empty() { 0 } else { FLAGS.len() });
    if !flags.is_empty() {
        text.push_str(&format!(
            "{:indent$}{FLAGS:label$}  {}\n",
            "",
            flags.join(" ")
        ));
    }
    for (name, value) in shown().filter(|(name, value)| !is_flag(name, value)) {
        let name = name.replace('_', " ");
        match value {
            Value::Array(items) if is_nested(value) => {
                text.push_str(&format!("{:indent$}{name}\n", ""));
                for item in items {
                    element(text, item, indent + 2);
                }
            }
            Value::Object(inner) => {
                text.push_str(&format!("{:indent$}{name}\n", ""));
                fields(text, inner, indent + 2);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                text.push_str(&format!("{:indent$}{name:label$}  {}\n", "", scalar(value)));
            }
        }
    }
}

const FLAGS: &str = "flags";

/// The RFCs name flags by one letter: they fit on one line.
fn is_flag(name: &str, value: &Value) -> bool {
    name.len() == 1 && value.is_boolean()
}

fn element(text: &mut String, item: &Value, indent: usize) {
    match item {
        Value::Object(object) => {
            text.push_str(&format!("{:indent$}{}\n", "", headline(object)));
            fields(text, object, indent + 2);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            text.push_str(&format!("{:indent$}{}\n", "", scalar(item)));
        }
    }
}

fn refusal(error: &Value) -> String {
    let part = |name: &str| error.get(name).map(scalar).unwrap_or_default();
    format!(
        "  REFUSED at octet {}: {} ({})\n",
        part("offset"),
        part("reason"),
        part("kind")
    )
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
