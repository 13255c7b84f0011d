//! The TUN device.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::{Error, UserspaceConfig};

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
    silence_ipv6(&config.device);
    device
        .set_mtu(config.mtu)
        .map_err(failed("set the MTU of"))?;
    // Root of a user namespace may not; the default queue only loses bursts earlier.
    if let Err(error) = device.set_tx_queue_len(QUEUE) {
        tracing::debug!(device = config.device, %error, "the queue keeps its default length");
    }
    device.set_nonblocking(true).map_err(failed("configure"))?;
    device.enabled(true).map_err(failed("set up"))?;
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

/// Addresses nothing inside a tunnel may go to: this network, loopback, link-local, multicast,
/// reserved and broadcast.
pub(super) fn is_forbidden(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
}
