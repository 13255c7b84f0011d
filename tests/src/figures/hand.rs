//! A bare tunnel of the kernel's, set up by hand between a laptop and a site's gateway: what the kernel backend is
//! made of, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{Addresses, Family, LabError, Node, Site, stage::BOUND};

/// The device's name at both ends.
pub const DEVICE: &str = "hand0";

/// The laptop's address inside of the tunnel, set aside for benchmarks (RFC 2544, RFC 5180).
const LAPTOP: Addresses = Addresses {
    ipv4: Ipv4Addr::new(198, 18, 0, 3),
    ipv6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 3),
};

/// Makes a tunnel of the story's family, inside and outside, for what goes from `laptop` to a third address of the
/// site's server, which it returns. Outside it goes between `local` and the gateway's address on the site's own
/// network, as the kernel keeps tunnels apart by their outer addresses.
pub fn tunnel(laptop: &Node, local: IpAddr, site: &Site) -> Result<IpAddr, LabError> {
    let family = Family::of(local);
    let remote = site.gateway.run(move |network| {
        let lan = network.index("lan")?;
        let all = network.addresses()?;
        all.iter()
            .filter(|found| found.link == lan && !is_link_local(found.address))
            .map(|found| found.address)
            .find(|address| Family::of(*address) == family)
            .ok_or_else(|| LabError::Other("the gateway has no address inside".to_owned()))
    })?;
    for (node, local, remote) in [(laptop, local, remote), (&site.gateway, remote, local)] {
        let mut arguments = vec!["link", "add", DEVICE, "type"];
        arguments.extend(match family {
            Family::Ipv4 => ["ipip", "ttl", "64"].as_slice(),
            // Without the option that tunnels in tunnels would count down (RFC 2473, section 4.1.1).
            Family::Ipv6 => &["ip6tnl", "mode", "ip6ip6", "encaplimit", "none"],
        });
        let (local, remote) = (local.to_string(), remote.to_string());
        arguments.extend(["local", &local, "remote", &remote]);
        node.program("ip")
            .args(arguments)
            .finish(BOUND)?
            .success()?;
    }
    let address = next_address(site.address, 2);
    go_through(DEVICE, laptop, LAPTOP.of(family), site, address)?;
    Ok(address)
}

/// Leads what goes between `inner` on the laptop and `address`, which the site's server gets, through `device`.
pub fn go_through(
    device: &'static str,
    laptop: &Node,
    inner: IpAddr,
    site: &Site,
    address: IpAddr,
) -> Result<(), LabError> {
    let (inner, address) = (IpNet::from(inner), IpNet::from(address));
    site.server
        .run(move |network| network.address("eth0", address))?;
    laptop.run(move |network| network.address(device, inner))?;
    for (node, destination) in [(laptop, address), (&site.gateway, inner)] {
        node.run(|network| network.up(device))?;
        node.program("ip")
            .args(["route", "add", &destination.to_string(), "dev", device])
            .finish(BOUND)?
            .success()?;
    }
    Ok(())
}

/// The address so many after this one.
#[must_use]
pub fn next_address(address: IpAddr, step: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address).wrapping_add(step.into())).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address).wrapping_add(step.into())).into(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
