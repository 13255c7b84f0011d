//! How options are framed, walked without knowing the content (RFC 6275, section 6.2.1).

use super::super::{DecodeError, OptionType};

/// The most options a message may have; a run of Pad1 counts once.
pub const MAX_OPTIONS: usize = 128;

/// One option, cut out of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) option_type: OptionType,
    /// Where it begins in the message.
    pub(crate) offset: usize,
    /// The octets before the content. A run of Pad1 is nothing else.
    pub(crate) header: usize,
    pub(crate) data: &'a [u8],
}

impl Frame<'_> {
    /// Where the content begins in the message.
    pub(crate) const fn data_offset(&self) -> usize {
        self.offset + self.header
    }

    /// All its octets.
    pub(crate) const fn length(&self) -> usize {
        self.header + self.data.len()
    }
}

/// The options of a message, one after the other. Ends after the first error.
pub(super) struct Frames<'a> {
    message: &'a [u8],
    offset: usize,
    found: usize,
}

impl<'a> Frames<'a> {
    /// Those that begin at `offset` of `message`.
    pub(super) const fn new(message: &'a [u8], offset: usize) -> Self {
        Self {
            message,
            offset,
            found: 0,
        }
    }

    fn frame(&self, octets: &'a [u8]) -> Result<Frame<'a>, DecodeError> {
        let offset = self.offset;
        let (option_type, header, length) = match *octets {
            [0, ..] | [] => {
                let run = octets.iter().take_while(|octet| **octet == 0).count();
                (OptionType::PAD1, run, 0)
            }
            [kind, length, ..] => (OptionType(kind), 2, usize::from(length)),
            [kind] => return Err(truncated(OptionType(kind), offset, 2, octets)),
        };
        let data = octets
            .get(header..header + length)
            .ok_or_else(|| truncated(option_type, offset, header + length, octets))?;
        Ok(Frame {
            option_type,
            offset,
            header,
            data,
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let octets = self
            .message
            .get(self.offset..)
            .filter(|octets| !octets.is_empty())?;
        let frame = if self.found == MAX_OPTIONS {
            Err(DecodeError::TooManyOptions {
                max: MAX_OPTIONS,
                offset: self.offset,
            })
        } else {
            self.frame(octets)
        };
        self.found += 1;
        self.offset = match &frame {
            Ok(frame) => self.offset + frame.length(),
            Err(_) => self.message.len(),
        };
        Some(frame)
    }
}

const fn truncated(
    option: OptionType,
    offset: usize,
    expected: usize,
    octets: &[u8],
) -> DecodeError {
    DecodeError::TruncatedOption {
        option,
        offset,
        expected,
        available: octets.len(),
    }
}
