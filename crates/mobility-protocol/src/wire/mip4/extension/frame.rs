//! How extensions are framed: the four header shapes, walked without knowing the content.

use super::super::{DecodeError, ExtensionType};

/// The most extensions a message may have; a run of padding counts once.
pub const MAX_EXTENSIONS: usize = 128;

/// How the header of an extension is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// So many padding octets in a row, each its own extension without a length.
    Padding {
        /// How many.
        octets: usize,
    },
    /// `type, length (8 bits)`: the plain and the short format.
    Octet,
    /// `type, subtype, length (16 bits)`: the long format.
    Word {
        /// The second octet: a subtype, or reserved.
        subtype: u8,
    },
}

impl Framing {
    /// The octets before the content.
    #[must_use]
    pub const fn header_length(self) -> usize {
        match self {
            Self::Padding { octets } => octets,
            Self::Octet => 2,
            Self::Word { .. } => 4,
        }
    }
}

/// One extension, cut out of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) extension_type: ExtensionType,
    pub(crate) framing: Framing,
    /// Where it begins in the payload.
    pub(crate) offset: usize,
    pub(crate) data: &'a [u8],
}

impl Frame<'_> {
    /// Where the content begins in the payload.
    pub(crate) const fn data_offset(&self) -> usize {
        self.offset + self.framing.header_length()
    }
}

/// The extensions of a message, one after the other. Ends after the first error.
pub(crate) struct Frames<'a> {
    payload: &'a [u8],
    offset: usize,
    found: usize,
}

impl<'a> Frames<'a> {
    /// Those that begin at `offset` of `payload`.
    pub(crate) const fn new(payload: &'a [u8], offset: usize) -> Self {
        Self {
            payload,
            offset,
            found: 0,
        }
    }

    fn frame(&self, octets: &'a [u8]) -> Result<Frame<'a>, DecodeError> {
        let offset = self.offset;
        let (extension_type, framing, length) = match *octets {
            [0, ..] => {
                let run = octets.iter().take_while(|octet| **octet == 0).count();
                (ExtensionType::PADDING, Framing::Padding { octets: run }, 0)
            }
            [kind, second, ref rest @ ..] => {
                let extension_type = ExtensionType(kind);
                match (framing(extension_type, second, rest), rest) {
                    (Some(Shape::Octet), _) => {
                        (extension_type, Framing::Octet, usize::from(second))
                    }
                    (Some(Shape::Word), [high, low, ..]) => {
                        let length = usize::from(u16::from_be_bytes([*high, *low]));
                        (extension_type, Framing::Word { subtype: second }, length)
                    }
                    (Some(Shape::Word), _) => {
                        return Err(truncated(extension_type, offset, 4, octets));
                    }
                    (None, _) => {
                        return Err(DecodeError::UnknownNonSkippableExtension {
                            extension: extension_type,
                            offset,
                        });
                    }
                }
            }
            [kind] => return Err(self.lone(ExtensionType(kind), octets)),
            [] => return Err(truncated(ExtensionType::PADDING, offset, 1, octets)),
        };
        let header = framing.header_length();
        let data = octets
            .get(header..header + length)
            .ok_or_else(|| truncated(extension_type, offset, header + length, octets))?;
        Ok(Frame {
            extension_type,
            framing,
            offset,
            data,
        })
    }

    /// A single last octet that is no padding.
    fn lone(&self, extension: ExtensionType, octets: &[u8]) -> DecodeError {
        match framing(extension, 0, &[]) {
            Some(_) => truncated(extension, self.offset, 2, octets),
            None => DecodeError::UnknownNonSkippableExtension {
                extension,
                offset: self.offset,
            },
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let octets = self
            .payload
            .get(self.offset..)
            .filter(|octets| !octets.is_empty())?;
        let frame = if self.found == MAX_EXTENSIONS {
            Err(DecodeError::TooManyExtensions {
                max: MAX_EXTENSIONS,
                offset: self.offset,
            })
        } else {
            self.frame(octets)
        };
        self.found += 1;
        self.offset = match &frame {
            Ok(frame) => frame.data_offset() + frame.data.len(),
            Err(_) => self.payload.len(),
        };
        Some(frame)
    }
}

enum Shape {
    Octet,
    Word,
}

/// The shape of an extension from its type, its second octet and what follows; `None` when the type
/// is unknown and must not be skipped.
fn framing(extension_type: ExtensionType, second: u8, rest: &[u8]) -> Option<Shape> {
    match extension_type {
        ExtensionType::GENERALIZED_AUTHENTICATION
        | ExtensionType::CRITICAL_VENDOR
        | ExtensionType::MN_FA_KEY_GENERATION_NONCE_REQUEST
        | ExtensionType::MN_FA_KEY_GENERATION_NONCE_REPLY
        | ExtensionType::MN_HA_KEY_GENERATION_NONCE_REQUEST
        | ExtensionType::MN_HA_KEY_GENERATION_NONCE_REPLY
        | ExtensionType::PROXY_NON_SKIPPABLE
        | ExtensionType::GRE_KEY
        | ExtensionType::ROUTE_OPTIMIZATION_DATA
        | ExtensionType::EXPERIMENTAL_NON_SKIPPABLE => Some(Shape::Word),
        // RFC 4433 draws a 16-bit length for this skippable type; others read it as the short
        // format. A long one always has four octets of content.
        ExtensionType::DYNAMIC_HOME_AGENT => match (second, rest) {
            (1 | 2, [0, 4, ..]) => Some(Shape::Word),
            _ => Some(Shape::Octet),
        },
        // RFC 7629 does the same. No short one is as short as its second octet would say.
        ExtensionType::FLOW_BINDING => match (second, rest) {
            (1 | 2, [high, low, content @ ..])
                if content.len() >= usize::from(u16::from_be_bytes([*high, *low])) =>
            {
                Some(Shape::Word)
            }
            _ => Some(Shape::Octet),
        },
        ExtensionType(128..) => Some(Shape::Octet),
        known => known.name().map(|_| Shape::Octet),
    }
}

const fn truncated(
    extension: ExtensionType,
    offset: usize,
    expected: usize,
    octets: &[u8],
) -> DecodeError {
    DecodeError::TruncatedExtension {
        extension,
        offset,
        expected,
        available: octets.len(),
    }
}
