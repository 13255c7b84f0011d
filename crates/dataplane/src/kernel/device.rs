//! The kernel's tunnel devices (`ip -d link show type ipip`, `... type ip6tnl`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mobility_protocol::{Family, TunnelEndpoints};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::IpProtocol;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpTunnel, InfoKind, Ip6TunnelFlags, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};

use super::channel::Channel;
use super::message::Message;
use crate::netlink::sysctl::Setting;
use crate::{Error, FWMARK};

/// The group of every device of ours with fixed ends, by which rules and people find them
/// (`ip link show group 67`).
pub(super) const GROUP: u32 = crate::ROUTE_PROTOCOL as u32;

/// What a tunnel device does. It wraps packets of one family in that family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each packet's route says where to; the device takes in from everywhere (`external`).
    External(Family),
    /// From one address to another.
    Fixed(Ends),
}

/// Two addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// Unspecified is any.
    local: IpAddr,
    remote: IpAddr,
    interface: Option<u32>,
}

impl Form {
    /// The family that is wrapped, and that of the wrapping.
    pub(super) const fn family(self) -> Family {
        match self {
            Self::External(family) => family,
            Self::Fixed(ends) => ends.family(),
        }
    }
}

impl Ends {
    /// From our address to the other one, by this interface; `None` when the families differ.
    pub(super) fn new(endpoints: TunnelEndpoints) -> Option<Self> {
        let TunnelEndpoints {
            local,
            remote,
            interface,
        } = endpoints;
        (Family::of(local) == Family::of(remote)).then_some(Self {
            local,
            remote,
            interface,
        })
    }

    /// From this address to any of ours, and by whatever interface.
    pub(super) const fn to_any(remote: IpAddr) -> Self {
        Self {
            local: match Family::of(remote) {
                Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            },
            remote,
            interface: None,
        }
    }

    /// The other end.
    pub(super) const fn remote(self) -> IpAddr {
        self.remote
    }

    /// The family of both addresses.
    pub(super) const fn family(self) -> Family {
        Family::of(self.remote)
    }
}

/// A tunnel device of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    /// `None` for one that takes in from everywhere and sends nowhere by itself (`tunl0`), and for
    /// another kind of device.
    pub(super) form: Option<Form>,
    /// It is in [`GROUP`].
    pub(super) ours: bool,
    pub(super) packets_in: u64,
    pub(super) bytes_in: u64,
    pub(super) packets_out: u64,
    pub(super) bytes_out: u64,
}

/// The outer time to live, that of userspace too.
pub(super) const TTL: u8 = 64;

/// The service and congestion fields are those of the inner packet (RFC 6040).
const TOS_INHERIT: u8 = 1;

/// `IN6_ADDR_GEN_MODE_NONE`, and nothing is learnt from whoever is in the tunnel.
const QUIET_IPV6: [(&str, &str); 4] = [
    ("addr_gen_mode", "1"),
    ("accept_ra", "0"),
    ("accept_redirects", "0"),
    ("disable_ipv6", "0"),
];

/// All devices.
pub(super) fn list(channel: &mut Channel) -> Result<Vec<Device>, Error> {
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let question = Message::route(&question, 0);
    channel.dump(
        "list the devices",
        &question,
        |devices: &mut Vec<_>, answer| {
            devices.extend(read(answer));
        },
    )
}

/// The device of this index; `None` when there is none.
pub(super) fn get(channel: &mut Channel, index: u32) -> Result<Option<Device>, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let question = Message::route(&RouteNetlinkMessage::GetLink(message), 0);
    let mut device = None;
    match channel.get("look up a tunnel device", question, |answer| {
        device = read(answer)
    }) {
        Err(error) if error.is_absent() => Ok(None),
        other => other.map(|()| device),
    }
}

/// Makes a device, down. `mtu` is the path's, less 20 octets; where the wrapping is IPv6, the device
/// gets less.
pub(super) fn create(channel: &mut Channel, name: &str, form: Form, mtu: u16) -> Result<(), Error> {
    let mut message = settings(form, mtu);
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    let message = RouteNetlinkMessage::NewLink(message);
    channel.one(
        &format!("make the tunnel device {name}"),
        Message::route(&message, NLM_F_CREATE | NLM_F_EXCL),
    )
}

/// Gives a device other ends. Routes through it stay.
pub(super) fn change(channel: &mut Channel, index: u32, form: Form, mtu: u16) -> Result<(), Error> {
    let mut message = settings(form, mtu);
    message.header.index = index;
    let message = RouteNetlinkMessage::NewLink(message);
    channel.one("change a tunnel device", Message::route(&message, 0))
}

/// Prepares a device that is still down: nothing but what we lead there may leave by it, no
/// link-local address, no question for routers. `rp_filter` is the reverse path filtering of IPv4,
/// which IPv6 has not.
pub(super) fn prepare(name: &str, family: Family, rp_filter: &str) -> Result<(), Error> {
    match family {
        Family::Ipv4 => {
            Setting::ipv4_device(name, "rp_filter").set(rp_filter)?;
            // A system without IPv6 has no such setting.
            let _ = Setting::ipv6_device(name, "disable_ipv6").set("1");
        }
        Family::Ipv6 => {
            for (setting, value) in QUIET_IPV6 {
                Setting::ipv6_device(name, setting).set(value)?;
            }
        }
    }
    Ok(())
}

/// Sets a device up.
pub(super) fn bring_up(channel: &mut Channel, index: u32) -> Result<(), Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    let message = RouteNetlinkMessage::SetLink(message);
    channel.one("set a tunnel device up", Message::route(&message, 0))
}

/// Removes a device with all its routes. One that has gone is no error.
pub(super) fn delete(channel: &mut Channel, index: u32) -> Result<(), Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let message = RouteNetlinkMessage::DelLink(message);
    match channel.one("remove a tunnel device", Message::route(&message, 0)) {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

/// The refusal to make a device of this family, in terms of what is missing.
pub(super) fn explain(error: Error, family: Family) -> Error {
    // EOPNOTSUPP: the kernel knows no such kind of device and found no module for it.
    match error.raw_os_error() {
        Some(95) => Error::TunnelModule(match family {
            Family::Ipv4 => "ipip",
            Family::Ipv6 => "ip6_tunnel",
        }),
        _ => error,
    }
}

fn settings(form: Form, mtu: u16) -> LinkMessage {
    let mtu = match form.family() {
        Family::Ipv4 => mtu,
        Family::Ipv6 => crate::userspace::ipv6_mtu(mtu),
    };
    let kind = match form.family() {
        Family::Ipv4 => InfoKind::IpIp,
        Family::Ipv6 => InfoKind::Ip6Tnl,
    };
    let mut message = LinkMessage::default();
    message.attributes = vec![
        // A change would make it fit the interface else.
        LinkAttribute::Mtu(u32::from(mtu)),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(kind),
            LinkInfo::Data(InfoData::IpTunnel(data(form))),
        ]),
    ];
    if let Form::Fixed(_) = form {
        message.attributes.push(LinkAttribute::Group(GROUP));
    }
    message
}

fn data(form: Form) -> Vec<InfoIpTunnel> {
    let mut data = match form {
        Form::External(_) => vec![InfoIpTunnel::CollectMetadata],
        Form::Fixed(ends) => vec![
            InfoIpTunnel::Local(ends.local),
            InfoIpTunnel::Remote(ends.remote),
            InfoIpTunnel::Link(ends.interface.unwrap_or(0)),
            InfoIpTunnel::Ttl(TTL),
            InfoIpTunnel::FwMark(FWMARK),
        ],
    };
    match (form, form.family()) {
        (Form::External(_), Family::Ipv4) => {}
        (Form::Fixed(_), Family::Ipv4) => {
            data.extend([InfoIpTunnel::Tos(TOS_INHERIT), InfoIpTunnel::PMtuDisc(true)])
        }
        // Other protocols in IPv6 would come in, too.
        (Form::External(_), Family::Ipv6) => data.push(InfoIpTunnel::Protocol(IpProtocol::Ipv6)),
        (Form::Fixed(_), Family::Ipv6) => data.extend([
            InfoIpTunnel::Protocol(IpProtocol::Ipv6),
            // As with IPv4, and the flow label tells flows apart to routers on the way (RFC 6438).
            // A limit to encapsulations is a destination option, and many networks drop those.
            InfoIpTunnel::Ipv6Flags(
                Ip6TunnelFlags::UseOrigTclass
                    | Ip6TunnelFlags::UseOrigFlowlabel
                    | Ip6TunnelFlags::IgnEncapLimit,
            ),
        ]),
    }
    data
}

fn read(answer: &[u8]) -> Option<Device> {
    let message = LinkMessage::parse(answer).ok()?;
    let mut device = Device {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        form: None,
        ours: false,
        packets_in: 0,
        bytes_in: 0,
        packets_out: 0,
        bytes_out: 0,
    };
    for attribute in message.attributes {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open; other attributes say nothing about tunnels"
        )]
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Group(group) => device.ours = group == GROUP,
            LinkAttribute::Stats64(stats) => {
                device.packets_in = stats.rx_packets;
                device.bytes_in = stats.rx_bytes;
                device.packets_out = stats.tx_packets;
                device.bytes_out = stats.tx_bytes;
            }
            LinkAttribute::LinkInfo(infos) => device.form = form(&infos),
            _ => {}
        }
    }
    Some(device)
}

fn form(infos: &[LinkInfo]) -> Option<Form> {
    let mut family = None;
    let mut settings: &[InfoIpTunnel] = &[];
    for info in infos {
        if let LinkInfo::Kind(InfoKind::IpIp) = info {
            family = Some(Family::Ipv4);
        } else if let LinkInfo::Kind(InfoKind::Ip6Tnl) = info {
            family = Some(Family::Ipv6);
        } else if let LinkInfo::Data(InfoData::IpTunnel(data)) = info {
            settings = data;
        }
    }
    let family = family?;
    let (mut local, mut remote, mut interface) = (None, None, None);
    for setting in settings {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open; other settings don't say where packets go"
        )]
        match setting {
            InfoIpTunnel::CollectMetadata => return Some(Form::External(family)),
            InfoIpTunnel::Local(address) => local = Some(*address),
            InfoIpTunnel::Remote(address) => remote = Some(*address),
            InfoIpTunnel::Link(index) => interface = Some(*index).filter(|index| *index != 0),
            _ => {}
        }
    }
    let remote = remote.filter(|address| !address.is_unspecified())?;
    // The kernel leaves out one that is any.
    let local = local.unwrap_or(Ends::to_any(remote).local);
    let ends = Ends::new(TunnelEndpoints {
        local,
        remote,
        interface,
    });
    ends.map(Form::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::HEADER_LENGTH;

    fn ends(local: &str, remote: &str) -> Option<Ends> {
        Ends::new(TunnelEndpoints {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            interface: Some(3),
        })
    }

    /// As it goes to the kernel, without the netlink header.
    fn written(form: Form) -> Vec<u8> {
        let mut message = settings(form, 1480);
        message.header.index = 9;
        let name = LinkAttribute::IfName("mn0".to_owned());
        message.attributes.push(name);
        let message = RouteNetlinkMessage::NewLink(message);
        let mut octets = Message::route(&message, 0).octets(1, 0).to_vec();
        octets.split_off(HEADER_LENGTH)
    }

    #[test]
    fn a_device_is_read_as_it_was_written() {
        let remote: [IpAddr; 2] = [[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()];
        let forms = [
            Form::External(Family::Ipv4),
            Form::External(Family::Ipv6),
            Form::Fixed(ends("203.0.113.10", "192.0.2.1").unwrap()),
            Form::Fixed(ends("2001:db8:1::10", "2001:db8::1").unwrap()),
            Form::Fixed(Ends::to_any(remote[0])),
            Form::Fixed(Ends::to_any(remote[1])),
        ];
        for form in forms {
            let device = read(&written(form)).unwrap();
            assert_eq!(device.form, Some(form));
            assert_eq!((device.index, device.name.as_str()), (9, "mn0"));
            assert_eq!(
                device.ours,
                matches!(form, Form::Fixed(_)),
                "a mobile node's rules leave cha0 alone"
            );
            assert!(!device.up);
        }
    }

    #[test]
    fn ends_are_of_one_family() {
        assert_eq!(ends("203.0.113.10", "2001:db8::1"), None);
        assert_eq!(ends("2001:db8:1::10", "192.0.2.1"), None);
    }
}
