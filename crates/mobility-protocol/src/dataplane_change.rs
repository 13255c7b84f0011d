//! What a machine wants of the data path, as data. It names what a binding needs, never how a
//! backend provides it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::{Family, HomeAddress};

/// How packets are wrapped between care-of address and home agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// The whole packet behind one more IPv4 header, protocol 4 (RFC 2003).
    IpInIp,
    /// The whole IPv6 packet behind one more IPv6 header, protocol 41 (RFC 2473).
    Ip6InIp6,
}

impl Encapsulation {
    /// How packets of this family are wrapped in packets of the same family.
    #[must_use]
    pub const fn within(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::IpInIp,
            Family::Ipv6 => Self::Ip6InIp6,
        }
    }

    /// The name status and logs use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IpInIp => "ipip",
            Self::Ip6InIp6 => "ip6ip6",
        }
    }

    /// The octets the wrapping adds to each packet.
    #[must_use]
    pub const fn overhead(self) -> u16 {
        match self {
            Self::IpInIp => 20,
            Self::Ip6InIp6 => 40,
        }
    }
}

/// The outer addresses of a tunnel, as this end sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TunnelEndpoints {
    /// Our outer address: the care-of address on a mobile node, the home agent's own address there.
    pub local: IpAddr,
    /// The other end's outer address.
    pub remote: IpAddr,
    /// The interface tunnelled packets leave by; `None` leaves it to the routes.
    pub interface: Option<u32>,
}

/// Whether whoever owns a binding has shown that he is where the packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reachability {
    /// Something that was sent there came back.
    #[default]
    Proven,
    /// Not yet. Until then no more octets go there than went to the proven address before it in the
    /// two seconds before the move (the credit of RFC 4866, section 2.4), none where there was no such
    /// address.
    Unproven,
}

/// Everything the data path must know to carry one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The inner address the binding is about; bindings on one host never share it.
    pub home_address: HomeAddress,
    /// The outer addresses.
    pub endpoints: TunnelEndpoints,
    /// The remote address before the last move, from which packets already under way are still
    /// accepted. Nothing is sent there.
    pub former_remote: Option<IpAddr>,
    /// Whether packets may go to the remote address without limit.
    pub reachability: Reachability,
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// The only inner peers packets may come from and go to.
    pub correspondents: Arc<[IpNet]>,
    /// Those of the correspondents toward which no new socket takes the home address; sockets that
    /// have it go on. Always empty on a home agent, which chooses no source.
    pub withdrawn: Arc<[IpNet]>,
}

/// One change to the data path. Executing a change twice is the same as executing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataplaneChange {
    /// Carry this binding, in place of whatever was installed for its home address. For a home
    /// address that is installed already this is the move: one atomic step, counters go on.
    Install(Tunnel),
    /// Carry this binding no longer. Unknown home addresses are no error.
    Remove(HomeAddress),
}
