//! The two families of addresses, and which of them a story is told in.
//!
//! Every machine of the lab has both. What a story asks for without naming a family (a site's address, where the
//! laptop is, whom the server saw) is of the family the story is told in, so that one text tells both.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::OnceLock,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::LabError;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What this process's story is told in.
static TOLD_IN: OnceLock<Family> = OnceLock::new();

impl Family {
    /// Both of them, in the order of the matrix's columns.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The family this process's story is told in, in a process that tells none IPv4.
    #[must_use]
    pub fn of_this_story() -> Family {
        TOLD_IN.get().copied().unwrap_or(Family::Ipv4)
    }

    /// Makes it the family of this process's story. Once, before the story begins.
    pub(crate) fn tell_in(self) {
        let _told_before = TOLD_IN.set(self);
    }

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Family {
        match self {
            Family::Ipv4 => Family::Ipv6,
            Family::Ipv6 => Family::Ipv4,
        }
    }

    /// The word in configuration files and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        }
    }

    /// The option with which curl, ssh, iperf3, nc, ping and ip keep to this family.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Family::Ipv4 => "-4",
            Family::Ipv6 => "-6",
        }
    }

    /// The unspecified address.
    #[must_use]
    pub fn unspecified(self) -> IpAddr {
        match self {
            Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The default route's destination.
    #[must_use]
    pub fn everywhere(self) -> IpNet {
        match self {
            Family::Ipv4 => Ipv4Net::default().into(),
            Family::Ipv6 => Ipv6Net::default().into(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = LabError;

    fn from_str(word: &str) -> Result<Family, LabError> {
        Self::ALL
            .into_iter()
            .find(|family| family.name() == word)
            .ok_or_else(|| LabError::Other(format!("no family is named {word}")))
    }
}

/// One address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 one.
    pub ipv4: Ipv4Addr,
    /// The IPv6 one.
    pub ipv6: Ipv6Addr,
}

impl Addresses {
    /// The one of a family.
    #[must_use]
    pub fn of(&self, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => self.ipv4.into(),
            Family::Ipv6 => self.ipv6.into(),
        }
    }
}

/// One prefix of each family, or one address of each with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// The IPv4 one.
    pub ipv4: Ipv4Net,
    /// The IPv6 one.
    pub ipv6: Ipv6Net,
}

impl Prefixes {
    /// The one of a family.
    #[must_use]
    pub fn of(&self, family: Family) -> IpNet {
        match family {
            Family::Ipv4 => self.ipv4.into(),
            Family::Ipv6 => self.ipv6.into(),
        }
    }

    /// The addresses of the `number`th host.
    #[must_use]
    pub fn host(&self, number: u8) -> Addresses {
        Addresses {
            ipv4: Ipv4Addr::from(u32::from(self.ipv4.network()) + u32::from(number)),
            ipv6: Ipv6Addr::from(u128::from(self.ipv6.network()) + u128::from(number)),
        }
    }

    /// The addresses of the `number`th host with the lengths of these prefixes.
    pub(crate) fn host_in(&self, number: u8) -> Result<Prefixes, LabError> {
        let host = self.host(number);
        Ok(Prefixes {
            ipv4: net(host.ipv4, self.ipv4.prefix_len())?,
            ipv6: net6(host.ipv6, self.ipv6.prefix_len())?,
        })
    }
}

/// An IPv4 address with a prefix length.
pub(crate) fn net(address: Ipv4Addr, prefix_length: u8) -> Result<Ipv4Net, LabError> {
    Ipv4Net::new(address, prefix_length)
        .map_err(|error| LabError::Other(format!("{address}/{prefix_length}: {error}")))
}

/// An IPv6 address with a prefix length.
pub(crate) fn net6(address: Ipv6Addr, prefix_length: u8) -> Result<Ipv6Net, LabError> {
    Ipv6Net::new(address, prefix_length)
        .map_err(|error| LabError::Other(format!("{address}/{prefix_length}: {error}")))
}

/// Where a server listens to both families.
pub(crate) fn all_addresses(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// A peer as an application of its own family would see it: a socket of both families shows IPv4 mapped into IPv6.
pub(crate) fn unmapped(peer: SocketAddr) -> SocketAddr {
    (peer.ip().to_canonical(), peer.port()).into()
}
