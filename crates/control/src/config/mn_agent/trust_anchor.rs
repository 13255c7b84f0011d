//! The file that `trust-anchor` names: the keys from which every chain of signatures must begin.
//!
//! Whether a record is one of a key is said here, with its line; what the keys are worth is for who
//! validates with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::DeValue;

use crate::config::document::Complaint;
use crate::config::values;

const LONGEST_TRUST_ANCHOR: u64 = 65_536;
/// A zone's key: the flag ZONE (RFC 4034, section 2.1.1).
const ZONE: u16 = 0x0100;
/// The one value there is (RFC 4034, section 2.1.2).
const PROTOCOL: u8 = 3;
/// The algorithms that signatures are made with today (RFC 8624, section 3.1).
const ALGORITHMS: [u8; 5] = [8, 10, 13, 14, 15];

/// The content of a file of keys; none for the keys of the root, which are built in.
pub(super) fn trust_anchor(value: &DeValue<'_>) -> values::Parsed<Option<String>> {
    if value.as_str() == Some("") {
        return Ok(None);
    }
    let path = values::path(value)?;
    let shown = path.display();
    let help =
        "write there, as in a zone file: example. 3600 IN DNSKEY 257 3 13 ..., each on one line";
    let complaint = |what: String| Complaint::new(format!("the trust anchor {shown} {what}"), help);
    let text = read(&path).map_err(complaint)?;
    match check(&text) {
        Ok(0) => Err(complaint("names no key".to_owned())),
        Ok(_) => Ok(Some(text)),
        Err((line, Fault { what, help })) => Err(Complaint::new(
            format!("the trust anchor {shown}, line {line}: {what}"),
            help,
        )),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("can't be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let length = file
        .take(LONGEST_TRUST_ANCHOR + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    match length as u64 > LONGEST_TRUST_ANCHOR {
        true => Err(format!("is longer than {LONGEST_TRUST_ANCHOR} octets")),
        false => Ok(text),
    }
}

/// What is wrong with a line, and what to write instead.
struct Fault {
    what: String,
    help: &'static str,
}

impl Fault {
    fn new(what: impl Into<String>, help: &'static str) -> Self {
        Self {
            what: what.into(),
            help,
        }
    }
}

/// How many keys there are, or the number of the first line that is none, counted from 1.
fn check(text: &str) -> Result<usize, (usize, Fault)> {
    let mut keys = 0;
    for (line, number) in text.lines().zip(1_usize..) {
        let record = line.split(';').next().unwrap_or_default().trim();
        if !record.is_empty() {
            // A name is left out where the line begins with a blank (RFC 1035, section 5.1).
            let named = !line.starts_with(char::is_whitespace);
            key(record, named).map_err(|fault| (number, fault))?;
            keys += 1;
        }
    }
    Ok(keys)
}

/// Whether this is one DNSKEY record (RFC 4034, section 2.2).
fn key(record: &str, named: bool) -> Result<(), Fault> {
    const WHOLE: &str = "write it whole: example. 3600 IN DNSKEY 257 3 13 ...";
    if record.starts_with('$') || record.contains(['(', ')']) {
        let what = "only whole records are understood, each on one line";
        return Err(Fault::new(what, "leave out parentheses, $ORIGIN and $TTL"));
    }
    let mut words = record.split_whitespace();
    let name = words.next().filter(|name| named && name.ends_with('.'));
    if name.is_none() {
        let what = "it does not begin with a name that ends in a dot";
        return Err(Fault::new(what, WHOLE));
    }
    let is_lifetime = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    if words.find(|word| !is_lifetime(word)) != Some("IN") {
        return Err(Fault::new("its class is not IN", WHOLE));
    }
    let kind = words.next().unwrap_or_default();
    if kind == "DS" {
        let what = "a DS record is only the digest of a key";
        return Err(Fault::new(
            what,
            "write the key itself: dig +dnssec DNSKEY, flags 257",
        ));
    }
    if kind != "DNSKEY" {
        return Err(Fault::new(format!("\"{kind}\" is no DNSKEY record"), WHOLE));
    }
    let flags = words.next().and_then(|word| word.parse::<u16>().ok());
    if flags.is_none_or(|flags| flags & ZONE == 0) {
        let what = "its flags are not those of a zone's key";
        return Err(Fault::new(what, "257, for a key that signs keys"));
    }
    if words.next().and_then(|word| word.parse().ok()) != Some(PROTOCOL) {
        return Err(Fault::new("its protocol is not 3", WHOLE));
    }
    let algorithm = words.next().unwrap_or_default();
    if !algorithm
        .parse()
        .is_ok_and(|algorithm| ALGORITHMS.contains(&algorithm))
    {
        let what = format!("signatures of the algorithm \"{algorithm}\" are not understood");
        return Err(Fault::new(what, "8, 10, 13, 14 or 15 (RFC 8624)"));
    }
    let digits: String = words.collect();
    if !is_base64(&digits) {
        let what = "its key is cut off, or not in base64";
        return Err(Fault::new(what, "copy the record whole"));
    }
    Ok(())
}

/// RFC 4648, section 4.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let good = |digit: u8| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && !digits.is_empty()
        && digits.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";

    #[test]
    fn keys_are_counted() {
        for (text, keys) in [
            (
                format!("; ours\n\nexample. 3600 IN DNSKEY 257 3 15 {KEY}\n"),
                1,
            ),
            (format!(".\tIN\tDNSKEY\t257 3 15 {KEY} ;{{id = 1}}\n"), 1),
            (
                format!(
                    "a. IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJp BoRQwAQEX1SxZJA4=\nb. 1h IN DNSKEY 257 3 15 {KEY}"
                ),
                2,
            ),
            ("; nothing\n\n".to_owned(), 0),
        ] {
            assert_eq!(check(&text).ok(), Some(keys), "{text}");
        }
    }

    #[test]
    fn each_fault_is_told_with_its_line() {
        for (record, what) in [
            ("rubbish", "a name that ends in a dot"),
            (
                "example 3600 IN DNSKEY 257 3 15 BASE64",
                "a name that ends in a dot",
            ),
            (
                " example. 3600 IN DNSKEY 257 3 15 BASE64",
                "a name that ends in a dot",
            ),
            ("example. 3600 IN A 192.0.2.1", "\"A\" is no DNSKEY record"),
            ("example. 3600 DNSKEY 257 3 15 BASE64", "its class"),
            ("example. 3600 IN", "\"\" is no DNSKEY record"),
            ("example. IN DS 1 15 2 00", "only the digest"),
            ("example. IN DNSKEY 1 3 15 BASE64", "its flags"),
            ("example. IN DNSKEY 257 4 15 BASE64", "its protocol"),
            ("example. IN DNSKEY 257 3 5 BASE64", "algorithm \"5\""),
            ("example. IN DNSKEY 257 3 15", "cut off"),
            ("example. IN DNSKEY 257 3 15 l02Woi0", "cut off"),
            ("example. IN DNSKEY 257 3 15 (BASE64", "each on one line"),
            ("$ORIGIN example.", "each on one line"),
        ] {
            let record = record.replace("BASE64", KEY);
            let text = format!("; ours\nexample. IN DNSKEY 257 3 15 {KEY}\n{record}\n");
            let (line, fault) = check(&text).err().unwrap();
            assert_eq!(line, 3, "{record}");
            assert!(fault.what.contains(what), "{record}: {}", fault.what);
        }
    }
}
