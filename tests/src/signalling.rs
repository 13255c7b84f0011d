//! What signalling and tunnels look like in a capture, in the words of tcpdump and tshark.

use crate::Family;

/// The words about one family's protocol: Mobile IPv4 (RFC 5944) or Mobile IPv6 (RFC 6275).
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// tcpdump: signalling.
    pub signalling: &'static str,
    /// tcpdump: tunnelled packets.
    pub tunnels: &'static str,
    /// tshark: every packet of signalling, whatever is in it.
    pub carried: &'static str,
    /// tshark: every packet whose signalling it understands.
    pub understood: &'static str,
    /// tshark: authenticated requests.
    pub requests: &'static str,
    /// tshark: authenticated replies that accept, or ask a stranger to come again.
    pub replies: &'static str,
    /// tshark: requests to release a binding.
    pub releases: &'static str,
    /// tshark: replies to those.
    pub released: &'static str,
    /// tshark: TCP segments in a tunnel.
    pub segments: &'static str,
    /// tshark: a kernel's answer that there is nobody for a tunnel's protocol.
    pub unreachable: &'static str,
}

impl Words {
    /// The words of the story's family.
    #[must_use]
    pub fn of_this_story() -> &'static Words {
        match Family::of_this_story() {
            Family::Ipv4 => &MOBILE_IPV4,
            Family::Ipv6 => &MOBILE_IPV6,
        }
    }
}

const MOBILE_IPV4: Words = Words {
    signalling: "udp port 434",
    tunnels: "ip proto 4",
    carried: "udp.port == 434",
    understood: "mip",
    requests: "mip.type == 1 && mip.auth.spi && mip.auth.auth",
    replies: "mip.type == 3 && mip.auth.spi && mip.auth.auth && (mip.code <= 1 || mip.code == 192)",
    releases: "mip.type == 1 && mip.life == 0",
    released: "mip.type == 3 && mip.life == 0 && mip.code <= 1",
    segments: "ip.proto == 4 && tcp",
    unreachable: "icmp.type == 3 && icmp.code == 2",
};

const MOBILE_IPV6: Words = Words {
    signalling: "ip6 proto 135 or udp port 4191",
    tunnels: "ip6 proto 41",
    carried: "ipv6.nxt == 135 || udp.port == 4191",
    understood: "mip6.mhtype",
    requests: "mip6.mhtype == 5 && mip6.auth.mobility_spi && mip6.auth.auth_data",
    replies: "mip6.mhtype == 6 && mip6.auth.mobility_spi && mip6.auth.auth_data && (mip6.ba.status == 0 || mip6.ba.status == 137)",
    releases: "mip6.mhtype == 5 && mip6.bu.lifetime == 0",
    released: "mip6.mhtype == 6 && mip6.ba.lifetime == 0 && mip6.ba.status == 0",
    segments: "ipv6.nxt == 41 && tcp",
    unreachable: "icmpv6.type == 4 && icmpv6.code == 1",
};
