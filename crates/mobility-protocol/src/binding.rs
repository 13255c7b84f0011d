//! The words of the field as types: addresses by their role, identity, lifetime.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One of the two versions of IP. A binding is of one: that of its home address, its care-of address
/// and its home agent, and of the signalling that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Mobile IPv4 (RFC 5944).
    Ipv4,
    /// Mobile IPv6 (RFC 6275).
    Ipv6,
}

impl Family {
    /// The one this address belongs to.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

macro_rules! address_role {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub IpAddr);

        impl $name {
            /// The bare address.
            #[must_use]
            pub const fn ip(self) -> IpAddr {
                self.0
            }

            /// The version of IP it belongs to.
            #[must_use]
            pub const fn family(self) -> Family {
                Family::of(self.0)
            }
        }

        impl<A: Into<IpAddr>> From<A> for $name {
            fn from(address: A) -> Self {
                Self(address.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

address_role! {
    /// The address a home agent lends to a mobile node (draft-yegin-dmm-cnet-homing: CHoA).
    HomeAddress
}
address_role! {
    /// The address a mobile node has on the access network it is attached to (RFC 5944, section 1.6).
    CareOfAddress
}
address_role! {
    /// The address of a Corresponding Home Agent (draft-yegin-dmm-cnet-homing: IPcha).
    HomeAgentAddress
}

/// Who a mobile node is, independent of its addresses: a Network Access Identifier of 1 to 255
/// octets (RFC 2794, section 2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<[u8]>);

/// Why some octets are not an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity has 1 to 255 octets, this one has {0}")]
pub struct IdentityError(pub usize);

impl Identity {
    /// An identity of these octets.
    ///
    /// # Errors
    /// [`IdentityError`] when there are none or more than 255, which the NAI extension can't carry.
    pub fn new(octets: impl AsRef<[u8]>) -> Result<Self, IdentityError> {
        let octets = octets.as_ref();
        match octets.len() {
            1..=255 => Ok(Self(octets.into())),
            length => Err(IdentityError(length)),
        }
    }

    /// The identity as the wire carries it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Printable ASCII as it is, everything else escaped: an identity comes from strangers.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// Whether a host could have this address as seen from elsewhere.
pub(crate) const fn is_host_address(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some())
}

/// How long a binding is asked for or granted. The two signalling protocols have their own units
/// and bounds; `wire` converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lifetime {
    /// The binding ends now: a deregistration and its acknowledgement.
    Zero,
    /// More than zero.
    Finite(Duration),
    /// No end: as a request, "as long as you like to grant".
    Infinite,
}
