//! Numbers as people say them.

use std::fmt::Display;

use crate::status::{Backend, BindingStatus};

/// `9 min 58 s`: the two largest units.
#[must_use]
pub fn period(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = units
        .iter()
        .position(|(size, _)| seconds >= *size)
        .unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units.iter().skip(largest).take(2) {
        if rest >= *size || parts.is_empty() {
            parts.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

/// `1.2 MB`, in powers of a thousand.
#[must_use]
pub fn octets(count: u64) -> String {
    let (value, unit) = scaled(count);
    if unit.is_empty() {
        format!("{value} B")
    } else {
        format!("{value} {unit}B")
    }
}

/// Octets and packets together: `1.2 MB/900`.
pub(super) fn traffic(octets_count: u64, packets: u64) -> String {
    let (value, unit) = scaled(packets);
    format!("{} / {value}{unit} pkt", octets(octets_count))
}

/// Three digits are enough to see how much it is.
fn scaled(count: u64) -> (String, &'static str) {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let mut divisor = 1u64;
    let mut index = 0;
    while count / divisor >= 1000 && index + 1 < units.len() {
        divisor *= 1000;
        index += 1;
    }
    let unit = units.get(index).copied().unwrap_or_default();
    let whole = count / divisor;
    if divisor == 1 || whole >= 100 {
        return (whole.to_string(), unit);
    }
    (
        format!("{whole}.{}", count % divisor / (divisor / 10)),
        unit,
    )
}

pub(super) fn times(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn or_none<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

pub(super) fn backend(backend: Backend) -> &'static str {
    match backend {
        Backend::Kernel => "kernel",
        Backend::Userspace => "userspace",
    }
}

/// How and by whom: `ipip userspace`.
pub(super) fn carrier(binding: &BindingStatus) -> String {
    format!("{} {}", binding.encapsulation, backend(binding.backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_two_units() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (600, "10 min"),
            (598, "9 min 58 s"),
            (3_661, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(period(seconds), shown);
        }
    }

    #[test]
    fn octets_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (999_999, "999 kB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (count, shown) in cases {
            assert_eq!(octets(count), shown);
        }
    }
}
