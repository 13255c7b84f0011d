//! The laptop on a cable of its own, so that what is measured is no wireless link of the lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{Addresses, Family, LabError, Stage, internet::plug_in};

/// The links of the core.
const CORE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24)),
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 0),
        48,
    )),
];

const ROUTER: Addresses = end(1);

/// The laptop's addresses at its end of the cable.
pub const LAPTOP: Addresses = end(2);

/// Further ones, for tunnels set up by hand.
pub const LAPTOP_BESIDE: Addresses = end(3);

/// Takes the laptop out of the air and connects it with the café's router.
pub fn lay(stage: &Stage) -> Result<(), LabError> {
    let (router, laptop) = (&stage.cafe.router, stage.laptop.node());
    let at = |end: Addresses| Family::ALL.map(|family| prefix_of(end.of(family)));
    let mut laptop_ends = at(LAPTOP).to_vec();
    laptop_ends.extend(at(LAPTOP_BESIDE));
    plug_in(router, "cable", &at(ROUTER), laptop, "cable0", &laptop_ends)?;
    stage.laptop.leave_all()?;
    for (family, core) in Family::ALL.into_iter().zip(CORE) {
        let uplink = router
            .run(|network| network.addresses())?
            .into_iter()
            .map(|found| found.address)
            .find(|address| core.contains(address))
            .ok_or_else(|| LabError::Other("the router has no uplink".to_owned()))?;
        let to = prefix_of(ROUTER.of(family)).trunc();
        let core = stage.internet.core();
        core.run(move |network| network.route(to, uplink, 0))?;
        let gateway = ROUTER.of(family);
        laptop.run(move |network| network.route(family.everywhere(), gateway, 0))?;
    }
    Ok(())
}

const fn end(number: u8) -> Addresses {
    Addresses {
        ipv4: Ipv4Addr::new(192, 0, 2, 128 + number),
        ipv6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0xff, 0, 0, 0, number as u16),
    }
}

fn prefix_of(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 29).into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).into(),
    }
}
