//! Names and numbers of what was dropped, and why.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// One reason to count a packet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Counter {
            $($(#[$meta])* $variant,)*
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

counters! {
    /// From the device: a packet of no family that is carried.
    NotIp = "drop_not_ip",
    /// Lengths or checksums of headers that don't agree with the packet.
    Malformed = "drop_malformed",
    /// From the device: no tunnel has this home address.
    UnboundHomeAddress = "drop_unbound_home_address",
    /// The inner peer is not a correspondent of this tunnel.
    NotACorrespondent = "drop_not_a_correspondent",
    /// A tunnelled packet that would be tunnelled once more to where it came from.
    TunnelLoop = "drop_tunnel_loop",
    /// From the network: the outer source is the other end of no tunnel.
    WrongOuterSource = "drop_wrong_outer_source",
    /// From the network: the outer source is the other end of a tunnel, but not of the inner source's.
    WrongInnerSource = "drop_wrong_inner_source",
    /// From the network: the outer source is the other end of a tunnel, but not of the inner
    /// destination's.
    WrongInnerDestination = "drop_wrong_inner_destination",
    /// From the network: a tunnel inside the tunnel.
    NestedTunnel = "drop_nested_tunnel",
    /// Multicast, broadcast, loopback or link-local addresses inside the tunnel.
    ForbiddenDestination = "drop_forbidden_destination",
    /// From the network: a fragment too short, or placed so, that the transport header escapes
    /// inspection (RFC 1858).
    FragmentHidesHeader = "drop_fragment_hides_header",
    /// From the network: a source route, a routing header or a Home Address option in the inner
    /// header.
    SourceRoute = "drop_source_route",
    /// From the network: signalling to the home agent through its own tunnel.
    SignallingInTunnel = "drop_signalling_in_tunnel",
    /// From the network: congestion experienced by a packet whose sender can't be told (RFC 6040).
    CongestionMarked = "drop_congestion_marked",
    /// From the network: datagrams that receive offload has merged and nobody can split again.
    MergedDatagram = "drop_merged_datagram",
    /// Into the tunnel: nobody has shown yet that he is at the other end, and the credit is used up.
    NoCredit = "drop_no_credit",
    /// Into the tunnel: larger than the path, and not to be fragmented.
    TooBig = "drop_too_big",
    /// Into the tunnel: the kernel knows no way to the other end, or our address is gone.
    NoRoute = "drop_no_route",
    /// Into the tunnel: the interface's queue is full.
    QueueFull = "drop_queue_full",
    /// Into the tunnel: any other refusal by the kernel.
    SendFailed = "drop_send_failed",
    /// Out of the tunnel: the device did not take it.
    DeviceRefused = "drop_device_refused",
    /// From the device: reports of multicast membership by this host itself, which has no address
    /// there. They concern nobody behind a tunnel.
    MembershipReport = "membership_reports_ignored",
    /// ICMP errors answered.
    IcmpSent = "icmp_errors_sent",
    /// ICMP errors not answered because of their rate.
    IcmpWithheld = "icmp_errors_withheld",
    /// Times a path was found to carry less or more than before.
    PathMtuChanged = "path_mtu_changes",
    /// ICMP errors other than "too big" about tunnelled packets of ours.
    OuterUnreachable = "outer_unreachable",
}

/// All counters of one backend.
#[derive(Debug)]
pub(super) struct Counters([AtomicU64; NAMES.len()]);

impl Counters {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; NAMES.len()])
    }

    pub(super) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(super) fn add(&self, counter: Counter, packets: u64) {
        if let Some(cell) = self.0.get(counter as usize) {
            cell.fetch_add(packets, Ordering::Relaxed);
        }
    }

    /// Every counter by its name, also those at zero.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        NAMES
            .iter()
            .zip(&self.0)
            .map(|(name, cell)| (*name, cell.load(Ordering::Relaxed)))
            .collect()
    }
}
