//! The TUN device.

use std::io;
use std::path::{Path, PathBuf};

use mobility_protocol::Family;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::ip::header_of;
use super::{Error, UserspaceConfig, least_path};

/// Packets the kernel keeps for us while the uplink is busy.
const QUEUE: u32 = 1000;

/// Creates the device, gives it its MTU and sets it up. It vanishes with the process, and with it every
/// route through it, before anybody could wait for a packet that nobody carries.
pub(super) fn open(config: &UserspaceConfig) -> Result<SyncDevice, Error> {
    let failed = |action| {
        move |source| Error::Device {
            device: config.device.clone(),
            action,
            source,
        }
    };
    let device = DeviceBuilder::new()
        .name(&config.device)
        .offload(true)
        .enable(false)
        .build_sync()
        .map_err(failed("create or attach"))?;
    if config.local.ipv6.is_none() {
        silence_ipv6(&config.device);
    }
    device
        .set_mtu(config.mtu)
        .map_err(failed("set the MTU of"))?;
    if config.local.ipv6.is_some() {
        set_up_ipv6(config).map_err(failed("set up IPv6 on"))?;
    }
    // Root of a user namespace may not; the default queue only loses bursts earlier.
    if let Err(error) = device.set_tx_queue_len(QUEUE) {
        tracing::debug!(device = config.device, %error, "the queue keeps its default length");
    }
    device.set_nonblocking(true).map_err(failed("configure"))?;
    device.enabled(true).map_err(failed("set up"))?;
    if config.local.ipv6.is_some() {
        // Setting it up has made it the device's own.
        limit_ipv6(config).map_err(failed("set the MTU of IPv6 on"))?;
    }
    Ok(device)
}

/// Removes a device by its index. One that is gone already is no error.
pub(super) fn delete(name: &str, index: u32) -> Result<(), Error> {
    delete_link(index).map_err(|source| Error::Device {
        device: name.to_owned(),
        action: "remove",
        source,
    })
}

fn delete_link(index: u32) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let mut request = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::from(RouteNetlinkMessage::DelLink(message)),
    );
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.header.sequence_number = 1;
    request.finalize();
    let mut octets = vec![0; request.buffer_len()];
    request.serialize(&mut octets);

    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&octets, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    let NetlinkPayload::Error(error) = answer.payload else {
        return Err(io::Error::other("an unexpected netlink answer"));
    };
    match error.code {
        None => Ok(()),
        Some(code) if code.get() == -nix::libc::ENODEV => Ok(()),
        Some(_) => Err(error.to_io()),
    }
}

/// The MTU of the device for packets of a family, given its own: the outer header of IPv6 is longer.
pub(super) fn mtu(mtu: u16, family: Family) -> u16 {
    match family {
        Family::Ipv4 => mtu,
        Family::Ipv6 => mtu
            .saturating_sub(header_difference())
            .max(least_path(family)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "20")]
const fn header_difference() -> u16 {
    (header_of(Family::Ipv6) - header_of(Family::Ipv4)) as u16
}

/// The device has no link behind it on which anybody could answer: it needs no link-local address, and
/// learns nothing from router advertisements.
fn set_up_ipv6(config: &UserspaceConfig) -> io::Result<()> {
    for (name, value) in [
        ("addr_gen_mode", "1"),
        ("accept_ra", "0"),
        ("accept_redirects", "0"),
        ("disable_ipv6", "0"),
    ] {
        std::fs::write(ipv6_settings(config).join(name), value)?;
    }
    Ok(())
}

fn limit_ipv6(config: &UserspaceConfig) -> io::Result<()> {
    let mtu = mtu(config.mtu, Family::Ipv6);
    std::fs::write(ipv6_settings(config).join("mtu"), mtu.to_string())
}

fn ipv6_settings(config: &UserspaceConfig) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf").join(&config.device)
}

/// The device carries IPv4 alone; without this the kernel's own router solicitations and multicast
/// reports would be counted as drops. A kernel without IPv6 has nothing to silence.
fn silence_ipv6(device: &str) {
    let _ = std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"),
        "1",
    );
}

/// Octets before each packet on the device: `struct virtio_net_hdr`.
pub(super) const VIRTIO_HEADER: usize = 10;

const _: () = assert!(VIRTIO_HEADER == tun_rs::VIRTIO_NET_HDR_LEN);
