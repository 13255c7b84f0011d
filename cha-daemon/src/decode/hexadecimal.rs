//! Octets out of the many ways people write them: with blanks, colons, `0x`, or as the dumps of
//! tcpdump, tshark, xxd and hexdump, offsets and characters beside them.

/// The longest packet there is, and so the longest message.
const MOST_OCTETS: usize = 65_535;
/// The octets dump tools put on a line.
const OCTETS_A_LINE: usize = 16;
/// This many blanks begin the column of characters of a dump line that isn't full.
const COLUMN_GAP: usize = 3;

/// Why a text isn't octets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexadecimalError {
    /// Nothing there.
    #[error("there are no octets")]
    Empty,
    /// Something else among the digits.
    #[error("line {line}: \"{word}\" is not hexadecimal")]
    NotHexadecimal {
        /// Counted from 1.
        line: usize,
        /// What stands there, shortened.
        word: String,
    },
    /// Half an octet.
    #[error("line {line}: {digits} digits are an odd number")]
    Odd {
        /// Counted from 1.
        line: usize,
        /// How many stand together.
        digits: usize,
    },
    /// More than a packet holds.
    #[error("more than {MOST_OCTETS} octets are no packet")]
    TooLong,
}

/// The octets `text` stands for.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, HexadecimalError> {
    let mut octets = Vec::new();
    let mut is_dump = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        match after_offset(line, octets.len(), is_dump) {
            Some(rest) => {
                is_dump = true;
                dump_line(rest, &mut octets);
            }
            None => plain_line(number, line, &mut octets)?,
        }
        if octets.len() > MOST_OCTETS {
            return Err(HexadecimalError::TooLong);
        }
    }
    if octets.is_empty() {
        Err(HexadecimalError::Empty)
    } else {
        Ok(octets)
    }
}

/// What follows the offset of a dump line: a number of at least four digits that says how many
/// octets came before.
fn after_offset(line: &str, before: usize, is_dump: bool) -> Option<&str> {
    let line = line.trim();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let has_colon = word.ends_with(':');
    let digits = word.strip_suffix(':').unwrap_or(word);
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let is_offset =
        (4..=8).contains(&digits.len()) && usize::from_str_radix(digits, 16).ok()? == before;
    let goes_on = !rest.trim().is_empty() || has_colon || is_dump;
    (is_offset && goes_on).then_some(rest)
}

/// Octets up to the column of characters.
fn dump_line(mut rest: &str, octets: &mut Vec<u8>) {
    let full = octets.len() + OCTETS_A_LINE;
    while octets.len() < full {
        let word_start = rest.trim_start();
        let gap = rest.len() - word_start.len();
        let is_first = octets.len() + OCTETS_A_LINE == full;
        let (word, after) = word_start.split_at(
            word_start
                .find(char::is_whitespace)
                .unwrap_or(word_start.len()),
        );
        match hex::decode(word) {
            Ok(some) if !some.is_empty() && (is_first || gap < COLUMN_GAP) => octets.extend(some),
            _ => return,
        }
        rest = after;
    }
}

fn plain_line(line: usize, text: &str, octets: &mut Vec<u8>) -> Result<(), HexadecimalError> {
    let text = text.replace("\\x", " ");
    let separators = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ':' | '-' | ',' | ';' | '"' | '\'' | '[' | ']' | '{' | '}'
            )
    };
    for word in text.split(separators).filter(|word| !word.is_empty()) {
        let digits = word
            .strip_prefix("0x")
            .or_else(|| word.strip_prefix("0X"))
            .unwrap_or(word);
        if !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            let word = word.chars().take(20).collect();
            return Err(HexadecimalError::NotHexadecimal { line, word });
        }
        let padded = if digits.len() == 1 {
            format!("0{digits}")
        } else {
            digits.to_owned()
        };
        let some = hex::decode(&padded).map_err(|_| HexadecimalError::Odd {
            line,
            digits: digits.len(),
        })?;
        octets.extend(some);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCTETS: [u8; 20] = [
        0x01, 0x22, 0xff, 0xff, 0, 0, 0, 0, 0xc0, 0, 2, 1, 0xcb, 0, 0x71, 7, 0xab, 0xcd, 0xef, 0x10,
    ];

    #[test]
    fn every_usual_form_is_the_same() {
        for text in [
            "0122ffff00000000c0000201cb007107abcdef10",
            "01:22:ff:ff:00:00:00:00:c0:00:02:01:cb:00:71:07:ab:cd:ef:10",
            "0x0122FFFF 00000000 c0000201\ncb007107 abcdef10\n",
            "0x1, 0x22, 0xff, 0xff, 0,0,0,0, 0xc0, 0, 2, 1, 0xcb, 0, 0x71, 7, 0xab, 0xcd, 0xef, 0x10",
            "\\x01\\x22\\xff\\xff\\x00\\x00\\x00\\x00\\xc0\\x00\\x02\\x01\\xcb\\x00\\x71\\x07\\xab\\xcd\\xef\\x10",
            // tshark -x
            "0000  01 22 ff ff 00 00 00 00 c0 00 02 01 cb 00 71 07   .\"............q.\n0010  ab cd ef 10                                       abcd\n",
            // xxd
            "00000000: 0122 ffff 0000 0000 c000 0201 cb00 7107  .\"............q.\n00000010: abcd ef10                                abcd\n",
            // hexdump -C
            "00000000  01 22 ff ff 00 00 00 00  c0 00 02 01 cb 00 71 07  |.\"............q.|\n00000010  ab cd ef 10                                       |....|\n00000014\n",
            // tcpdump -x
            "\t0x0000:  0122 ffff 0000 0000 c000 0201 cb00 7107\n\t0x0010:  abcd ef10\n",
        ] {
            assert_eq!(parse(text).unwrap(), OCTETS, "{text}");
        }
    }

    #[test]
    fn says_what_is_no_octet() {
        assert_eq!(parse(" \n"), Err(HexadecimalError::Empty));
        assert_eq!(
            parse("01 zz"),
            Err(HexadecimalError::NotHexadecimal {
                line: 1,
                word: "zz".to_owned()
            })
        );
        assert_eq!(
            parse("01\n123"),
            Err(HexadecimalError::Odd { line: 2, digits: 3 })
        );
        assert_eq!(parse(&"00".repeat(70_000)), Err(HexadecimalError::TooLong));
    }
}
