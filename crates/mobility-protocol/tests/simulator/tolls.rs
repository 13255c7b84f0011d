//! What home agents were sent and what they sent, by the address at the other end.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::network::Packet;

/// Octets of signalling from an address, as the packets said, and to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Toll {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// Of all home agents together.
#[derive(Debug, Default)]
pub(crate) struct Tolls(BTreeMap<IpAddr, Toll>);

impl Tolls {
    pub(crate) fn received(&mut self, packet: &Packet) {
        self.of(packet.source).received += octets(packet);
    }

    pub(crate) fn sent(&mut self, packets: &[Packet]) {
        for packet in packets {
            self.of(packet.destination).sent += octets(packet);
        }
    }

    /// Nobody was sent more than came from him, or seemed to.
    pub(crate) fn check(&self) {
        for (address, toll) in &self.0 {
            assert!(toll.sent <= toll.received, "{address}: {toll:?}");
        }
    }

    /// What was sent to one.
    pub(crate) fn with(&self, address: IpAddr) -> Toll {
        self.0.get(&address).copied().unwrap_or_default()
    }

    fn of(&mut self, address: IpAddr) -> &mut Toll {
        self.0.entry(address).or_default()
    }
}

fn octets(packet: &Packet) -> u64 {
    packet.payload.len() as u64
}
