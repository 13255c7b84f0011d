//! The kernel's tunnel devices (`ip -d link show type ipip`).

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpTunnel, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::channel::Channel;
use super::message::Message;
use crate::{Error, FWMARK};

/// The group of every device of ours with fixed ends, by which rules and people find them
/// (`ip link show group 67`).
pub(super) const GROUP: u32 = crate::ROUTE_PROTOCOL as u32;

/// What a tunnel device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each packet's route says where to; the device takes in from everywhere (`external`).
    External,
    /// From one address to another.
    Fixed {
        /// The outer source, and the address packets are taken in at; `None` is any.
        local: Option<IpAddr>,
        /// The other end.
        remote: IpAddr,
        /// The interface packets leave by; `None` leaves it to the routes.
        interface: Option<u32>,
    },
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

/// The kind of device that carries IPv4 in IPv4, and the name of its module.
pub(super) const KIND: &str = "ipip";

/// The outer time to live, that of userspace too.
pub(super) const TTL: u8 = 64;

/// The service and congestion fields are those of the inner packet (RFC 6040).
const TOS_INHERIT: u8 = 1;

/// All devices.
pub(super) fn list(channel: &mut Channel) -> Result<Vec<Device>, Error> {
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut devices = Vec::new();
    channel.dump(
        "list the devices",
        &Message::route(&question, 0),
        |answer| {
            devices.extend(read(answer));
        },
    )?;
    Ok(devices)
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

/// Makes a device, down.
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

/// The refusal to make a device, in terms of what is missing.
pub(super) fn explain(error: Error) -> Error {
    // EOPNOTSUPP: the kernel knows no such kind of device and found no module for it.
    match error.raw_os_error() {
        Some(95) => Error::TunnelModule(KIND),
        _ => error,
    }
}

fn settings(form: Form, mtu: u16) -> LinkMessage {
    let data = match form {
        Form::External => vec![InfoIpTunnel::CollectMetadata],
        Form::Fixed {
            local,
            remote,
            interface,
        } => {
            let mut data = vec![
                InfoIpTunnel::Remote(remote),
                InfoIpTunnel::Link(interface.unwrap_or(0)),
                InfoIpTunnel::Ttl(TTL),
                InfoIpTunnel::Tos(TOS_INHERIT),
                InfoIpTunnel::PMtuDisc(true),
                InfoIpTunnel::FwMark(FWMARK),
            ];
            data.extend(local.map(InfoIpTunnel::Local));
            data
        }
    };
    let mut message = LinkMessage::default();
    message.attributes = vec![
        // A change would make it fit the interface else.
        LinkAttribute::Mtu(u32::from(mtu)),
        LinkAttribute::Group(GROUP),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::IpIp),
            LinkInfo::Data(InfoData::IpTunnel(data)),
        ]),
    ];
    message
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
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(InfoData::IpTunnel(data)) = info {
                        device.form = form(&data);
                    }
                }
            }
            _ => {}
        }
    }
    Some(device)
}

fn form(data: &[InfoIpTunnel]) -> Option<Form> {
    let (mut local, mut remote, mut interface) = (None, None, None);
    for attribute in data {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open; other settings don't say where packets go"
        )]
        match attribute {
            InfoIpTunnel::CollectMetadata => return Some(Form::External),
            InfoIpTunnel::Local(address) => local = Some(*address),
            InfoIpTunnel::Remote(address) => remote = Some(*address),
            InfoIpTunnel::Link(index) => interface = Some(*index).filter(|index| *index != 0),
            _ => {}
        }
    }
    Some(Form::Fixed {
        local: local.filter(|address| !address.is_unspecified()),
        remote: remote.filter(|address| !address.is_unspecified())?,
        interface,
    })
}
