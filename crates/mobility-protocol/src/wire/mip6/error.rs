//! Why octets are not a message.

use std::net::Ipv6Addr;

use super::iana::{BindingErrorStatus, MessageType, OptionType};

/// What is wrong with the octets of a message, with the offending value. Offsets count from the
/// first octet of the Mobility Header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are no octets at all.
    #[error("empty message")]
    Empty,
    /// Fewer octets than the Mobility Header says it has, or than any has.
    #[error("a Mobility Header of {expected} octets, there are only {length}")]
    TruncatedHeader {
        /// The octets there should be.
        expected: usize,
        /// The octets there are.
        length: usize,
    },
    /// The Payload Proto field says that something follows the message (RFC 6275, section 9.2).
    #[error("payload protocol {0}, it must be 59, no next header")]
    PayloadProtocol(u8),
    /// A message type nothing here can decode.
    #[error("message type {0} is not understood")]
    UnknownMessageType(MessageType),
    /// The Header Len field leaves no room for the fixed part of the message.
    #[error("message type {message_type} has at least {expected} octets, its header says {length}")]
    TruncatedMessage {
        /// The type of the message.
        message_type: MessageType,
        /// The octets its fixed part has.
        expected: usize,
        /// The octets there are.
        length: usize,
    },
    /// Octets after the end that the Mobility Header states.
    #[error("message type {message_type} ends after {expected} octets, there are {length}")]
    TrailingOctets {
        /// The type of the message.
        message_type: MessageType,
        /// The octets the message has.
        expected: usize,
        /// The octets there are.
        length: usize,
    },
    /// The checksum is not the one of the octets and the addresses they travelled between.
    #[error("checksum {found:#06x}, computed is {computed:#06x}")]
    BadChecksum {
        /// The one in the message.
        found: u16,
        /// The one of its octets.
        computed: u16,
    },
    /// An option runs past the end of the message.
    #[error(
        "option {option} at offset {offset} takes {expected} octets, there are only {available}"
    )]
    TruncatedOption {
        /// The type of the option.
        option: OptionType,
        /// Where it begins.
        offset: usize,
        /// The octets it would take, header included (at least).
        expected: usize,
        /// The octets from its beginning to the end of the message.
        available: usize,
    },
    /// The content of an option has a length or value its definition excludes.
    #[error(
        "option {option} at offset {offset} with {length} octets of content is malformed: {reason}"
    )]
    MalformedOption {
        /// The type of the option.
        option: OptionType,
        /// Where it begins.
        offset: usize,
        /// The octets of its content, without its header.
        length: usize,
        /// What its definition asks for.
        reason: &'static str,
    },
    /// A second option of a type that a message has once.
    #[error("option {option} at offset {offset} is there for the second time")]
    RepeatedOption {
        /// The type of the option.
        option: OptionType,
        /// Where the second one begins.
        offset: usize,
    },
    /// Something follows the authentication of the message, which must be its end (RFC 6275,
    /// section 6.2.7, and RFC 4285, section 5).
    #[error("option {option} at offset {offset} follows the authentication of the message")]
    OptionAfterAuthentication {
        /// The type of the option that follows.
        option: OptionType,
        /// Where it begins.
        offset: usize,
    },
    /// More options than any message needs.
    #[error("more than {max} options, the first beyond at offset {offset}")]
    TooManyOptions {
        /// How many there may be.
        max: usize,
        /// Where the first one too many begins.
        offset: usize,
    },
    /// The message names one home address, the headers of its packet another.
    #[error("home address {option} in the message, {header} in the headers before it")]
    ConflictingHomeAddress {
        /// The one in the message.
        option: Ipv6Addr,
        /// The one in the Home Address option or type 2 routing header.
        header: Ipv6Addr,
    },
}

impl DecodeError {
    /// The status of the Binding Error a node gives for this fault (RFC 6275, section 9.2); `None`
    /// where the message must be dropped silently, or is answered by ICMPv6 from the kernel.
    #[must_use]
    pub const fn binding_error_status(&self) -> Option<BindingErrorStatus> {
        match self {
            Self::UnknownMessageType(_) => Some(BindingErrorStatus::UNRECOGNIZED_MESSAGE_TYPE),
            Self::Empty
            | Self::TruncatedHeader { .. }
            | Self::PayloadProtocol(_)
            | Self::TruncatedMessage { .. }
            | Self::TrailingOctets { .. }
            | Self::BadChecksum { .. }
            | Self::TruncatedOption { .. }
            | Self::MalformedOption { .. }
            | Self::RepeatedOption { .. }
            | Self::OptionAfterAuthentication { .. }
            | Self::TooManyOptions { .. }
            | Self::ConflictingHomeAddress { .. } => None,
        }
    }

    /// The name this reason has in counters (`drop_<reason>`). Reasons Mobile IPv4 has too have its
    /// names.
    #[must_use]
    pub const fn drop_reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty_message",
            Self::TruncatedHeader { .. } => "truncated_header",
            Self::PayloadProtocol(_) => "bad_payload_protocol",
            Self::UnknownMessageType(_) => "unknown_message_type",
            Self::TruncatedMessage { .. } => "truncated_message",
            Self::TrailingOctets { .. } => "trailing_octets",
            Self::BadChecksum { .. } => "bad_checksum",
            Self::TruncatedOption { .. } => "truncated_option",
            Self::MalformedOption { .. } => "malformed_option",
            Self::RepeatedOption { .. } => "repeated_option",
            Self::OptionAfterAuthentication { .. } => "option_after_authentication",
            Self::TooManyOptions { .. } => "too_many_options",
            Self::ConflictingHomeAddress { .. } => "conflicting_home_address",
        }
    }

    /// Every name [`DecodeError::drop_reason`] gives, so that a counter can exist before its first
    /// event.
    pub const DROP_REASONS: [&'static str; 13] = [
        "empty_message",
        "truncated_header",
        "bad_payload_protocol",
        "unknown_message_type",
        "truncated_message",
        "trailing_octets",
        "bad_checksum",
        "truncated_option",
        "malformed_option",
        "repeated_option",
        "option_after_authentication",
        "too_many_options",
        "conflicting_home_address",
    ];

    /// Where in the Mobility Header the fault is.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Empty | Self::PayloadProtocol(_) | Self::ConflictingHomeAddress { .. } => 0,
            Self::UnknownMessageType(_) => 2,
            Self::BadChecksum { .. } => 4,
            Self::TruncatedHeader { length, .. } => *length,
            Self::TruncatedMessage { .. } => 1,
            Self::TrailingOctets { expected, .. } => *expected,
            Self::TruncatedOption { offset, .. }
            | Self::MalformedOption { offset, .. }
            | Self::RepeatedOption { offset, .. }
            | Self::OptionAfterAuthentication { offset, .. }
            | Self::TooManyOptions { offset, .. } => *offset,
        }
    }
}
