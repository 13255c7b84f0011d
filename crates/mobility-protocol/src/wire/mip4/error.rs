//! Why octets are not a message.

use super::iana::{ExtensionType, MessageType, ReplyCode};

/// What is wrong with the octets of a message, with the offending value. Offsets count from the
/// first octet of the UDP payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are no octets at all.
    #[error("empty message")]
    Empty,
    /// A message type nothing here can decode.
    #[error("message type {0} is not understood")]
    UnknownMessageType(MessageType),
    /// Fewer octets than the fixed part of the message has.
    #[error(
        "message type {message_type} has a fixed part of {expected} octets, there are only {length}"
    )]
    TruncatedMessage {
        /// The type of the message.
        message_type: MessageType,
        /// The octets its fixed part has.
        expected: usize,
        /// The octets there are.
        length: usize,
    },
    /// Octets after the end of a message that has no extensions.
    #[error("message type {message_type} ends after {expected} octets, there are {length}")]
    TrailingOctets {
        /// The type of the message.
        message_type: MessageType,
        /// The octets the message has.
        expected: usize,
        /// The octets there are.
        length: usize,
    },
    /// An extension runs past the end of the message.
    #[error(
        "extension {extension} at offset {offset} takes {expected} octets, there are only {available}"
    )]
    TruncatedExtension {
        /// The type of the extension.
        extension: ExtensionType,
        /// Where it begins.
        offset: usize,
        /// The octets it would take, header included (at least).
        expected: usize,
        /// The octets from its beginning to the end of the message.
        available: usize,
    },
    /// The content of an extension has a length or value its definition excludes.
    #[error(
        "extension {extension} at offset {offset} with {length} octets of content is malformed: {reason}"
    )]
    MalformedExtension {
        /// The type of the extension.
        extension: ExtensionType,
        /// Where it begins.
        offset: usize,
        /// The octets of its content, without its header.
        length: usize,
        /// What its definition asks for.
        reason: &'static str,
    },
    /// An extension type from 0 to 127 that is not known: the message must be dropped silently
    /// (RFC 5944, section 1.8).
    #[error("extension type {extension} at offset {offset} is unknown and must not be skipped")]
    UnknownNonSkippableExtension {
        /// The type of the extension.
        extension: ExtensionType,
        /// Where it begins.
        offset: usize,
    },
    /// More extensions than any message needs.
    #[error("more than {max} extensions, the first beyond at offset {offset}")]
    TooManyExtensions {
        /// How many there may be.
        max: usize,
        /// Where the first one too many begins.
        offset: usize,
    },
}

impl DecodeError {
    /// The code a home agent gives for this fault when it occurs in a Registration Request and it
    /// chooses to answer; `None` where the message must be dropped silently.
    #[must_use]
    pub const fn reply_code(&self) -> Option<ReplyCode> {
        match self {
            Self::TruncatedExtension { .. }
            | Self::MalformedExtension { .. }
            | Self::TooManyExtensions { .. } => Some(ReplyCode::POORLY_FORMED_REQUEST),
            Self::Empty
            | Self::UnknownMessageType(_)
            | Self::TruncatedMessage { .. }
            | Self::TrailingOctets { .. }
            | Self::UnknownNonSkippableExtension { .. } => None,
        }
    }

    /// The name this reason has in counters (`drop_<reason>`).
    #[must_use]
    pub const fn drop_reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty_message",
            Self::UnknownMessageType(_) => "unknown_message_type",
            Self::TruncatedMessage { .. } => "truncated_message",
            Self::TrailingOctets { .. } => "trailing_octets",
            Self::TruncatedExtension { .. } => "truncated_extension",
            Self::MalformedExtension { .. } => "malformed_extension",
            Self::UnknownNonSkippableExtension { .. } => "unknown_non_skippable_extension",
            Self::TooManyExtensions { .. } => "too_many_extensions",
        }
    }

    /// Every name [`DecodeError::drop_reason`] gives, so that a counter can exist before its first
    /// event.
    pub const DROP_REASONS: [&'static str; 8] = [
        "empty_message",
        "unknown_message_type",
        "truncated_message",
        "trailing_octets",
        "truncated_extension",
        "malformed_extension",
        "unknown_non_skippable_extension",
        "too_many_extensions",
    ];

    /// Where in the payload the fault is.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Empty | Self::UnknownMessageType(_) => 0,
            Self::TruncatedMessage { length, .. } => *length,
            Self::TrailingOctets { expected, .. } => *expected,
            Self::TruncatedExtension { offset, .. }
            | Self::MalformedExtension { offset, .. }
            | Self::UnknownNonSkippableExtension { offset, .. }
            | Self::TooManyExtensions { offset, .. } => *offset,
        }
    }
}
