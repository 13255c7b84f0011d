//! The two address families. Each has its own questions, its own agents and
//! its own holds: what one of them waits for never delays the other.

use std::net::IpAddr;

use hickory_proto::rr::RecordType;

/// The family of the addresses that a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// The family whose addresses records of this type hold.
    pub(crate) fn of_record_type(kind: RecordType) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6]
            .into_iter()
            .find(|family| family.record_type() == kind)
    }

    /// The type of the records that hold its addresses.
    pub(crate) fn record_type(self) -> RecordType {
        match self {
            Self::Ipv4 => RecordType::A,
            Self::Ipv6 => RecordType::AAAA,
        }
    }

    /// The family of this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Whether `address` is of this family.
    pub(crate) fn has(self, address: IpAddr) -> bool {
        Self::of(address) == self
    }
}
