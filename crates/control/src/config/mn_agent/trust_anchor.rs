//! The file that `trust-anchor` names: the keys from which every chain of signatures must begin.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use hickory_proto::dnssec::TrustAnchors;
use toml::de::DeValue;

use crate::config::document::Complaint;
use crate::config::values;

const LONGEST_TRUST_ANCHOR: u64 = 65_536;

/// The content of a file of keys; none for the keys of the root, which are built in.
pub(super) fn trust_anchor(value: &DeValue<'_>) -> values::Parsed<Option<String>> {
    if value.as_str() == Some("") {
        return Ok(None);
    }
    let path = values::path(value)?;
    let text = read(&path).and_then(|text| check(&text).map(|()| text));
    text.map(Some).map_err(|what| {
        let message = format!("the trust anchor {}{what}", path.display());
        let help =
            "write DNSKEY records there, as in a zone file: example. 3600 IN DNSKEY 257 3 13 ...";
        Complaint::new(message, help)
    })
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!(" can't be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let length = file
        .take(LONGEST_TRUST_ANCHOR + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    match length as u64 > LONGEST_TRUST_ANCHOR {
        true => Err(format!(" is longer than {LONGEST_TRUST_ANCHOR} octets")),
        false => Ok(text),
    }
}

/// Whether these are keys to who validates with them, or else which line is none.
fn check(text: &str) -> Result<(), String> {
    let is_record = |line: &str| !line.is_empty() && !line.starts_with(';');
    if !text.lines().map(str::trim).any(is_record) {
        return Err(" names no key".to_owned());
    }
    let Err(whole) = TrustAnchors::from_str(text) else {
        return Ok(());
    };
    let mut faults = text
        .split_inclusive('\n')
        .zip(1..)
        .filter_map(|(line, number)| {
            let error = TrustAnchors::from_str(line).err()?;
            Some(format!(", line {number}: {error}"))
        });
    Err(faults.next().unwrap_or_else(|| format!(": {whole}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";

    #[test]
    fn the_line_that_is_no_key_is_told() {
        let key = format!("example. 3600 IN DNSKEY 257 3 15 {KEY}");
        assert_eq!(check(&format!("; ours\n\n{key}\n{key}")), Ok(()));
        assert_eq!(check("; nothing\n\n"), Err(" names no key".to_owned()));
        for bad in [
            "rubbish",
            "example. 3600 IN A 192.0.2.1",
            "example. 3600 IN",
            "example. 3600 IN DNSKEY 257 3 15",
            "example. 3600 IN DNSKEY 257 3 15 l02Woi0",
        ] {
            let refused = check(&format!("; ours\n{key}\n{bad}\n")).err();
            let refused = refused.as_deref().unwrap_or_default();
            assert!(refused.starts_with(", line 3: "), "{bad}: {refused}");
        }
    }
}
