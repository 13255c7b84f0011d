//! Out of the tunnels to the device.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::checksum::{fold, put};
use super::coalesce::{self, Delivery, Group, PSH};
use super::counters::Counter;
use super::device::VIRTIO_HEADER;
use super::icmp::{self, Complaint, Complaints};
use super::inspection::{self, Arrival, Refusal};
use super::ip::{Ip, TCP, UDP};
use super::offload::{Cut, Merged, VirtioHeader};
use super::peers::Own;
use super::socket::{ReceiveHeaders, Received, Receiver};
use super::table::Entry;
use super::{Role, Shared, mss};

/// Packets received by one call.
const BATCH: usize = 64;

/// The largest datagram, merged or not.
const SLOT: usize = 65_536;

/// Distance of the buffers, so that their beginnings don't compete for the same lines of the cache.
const STRIDE: usize = SLOT + 2048;

/// Errors about our packets that are read at one time; the rest waits for the next round.
const ERRORS: usize = 64;

/// The addresses of this host are asked for again after this many milliseconds.
const OWN_RECHECK: u64 = 1_000;

/// The thread's state.
pub(super) struct Downlink {
    shared: Arc<Shared>,
    receiver: Receiver,
    memory: Vec<u8>,
    headers: ReceiveHeaders,
    received: [Received; BATCH],
    deliveries: Vec<Delivery>,
    groups: Vec<Group>,
    own: Own,
    /// When `own` was asked for, as the tunnels' states count time.
    asked: Option<u64>,
    complaints: Complaints,
    identification: u16,
}

impl Downlink {
    pub(super) fn new(shared: Arc<Shared>, receiver: Receiver) -> Self {
        Self {
            memory: vec![0; BATCH * STRIDE],
            headers: receiver.headers(BATCH),
            receiver,
            received: [Received::default(); BATCH],
            deliveries: Vec::with_capacity(BATCH),
            groups: Vec::with_capacity(BATCH),
            own: Own::new(&shared.local),
            asked: None,
            complaints: Complaints::new(Instant::now()),
            identification: 0,
            shared,
        }
    }

    /// Works until the backend stops.
    ///
    /// # Errors
    /// When the device or the socket is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        while let Some(events) = self.shared.wait(&self.receiver)? {
            if events.contains(PollFlags::POLLERR) {
                self.read_errors();
            }
            self.drain()?;
        }
        Ok(())
    }

    /// Carries what the socket has. Leaves after a while even when there is more, so that a stop is
    /// seen.
    fn drain(&mut self) -> io::Result<()> {
        const ROUNDS: usize = 64;
        for _ in 0..ROUNDS {
            let Self {
                receiver,
                memory,
                headers,
                received,
                ..
            } = self;
            match receiver.receive_batch(headers, memory, (STRIDE, SLOT), received) {
                Ok(count) => {
                    self.judge(count);
                    self.deliver()?;
                    if count < BATCH {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno @ (Errno::EBADF | Errno::ENOTSOCK | Errno::EINVAL)) => {
                    return Err(errno.into());
                }
                // Any other error is the network's, about a packet of ours; its details are queued.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Holds each received datagram against the tunnels.
    fn judge(&mut self, count: usize) {
        let Self {
            shared,
            memory,
            received,
            deliveries,
            own,
            asked,
            complaints,
            identification,
            ..
        } = self;
        let now = shared.table.now();
        let is_recent = |asked| now.saturating_sub(asked) < OWN_RECHECK;
        if shared.role == Role::HomeAgent && !asked.is_some_and(is_recent) {
            *asked = Some(now);
            own.refresh(&shared.local);
        }
        let tunnels = shared.table.read();
        let mut known: Option<Arc<Entry>> = None;
        deliveries.clear();
        for (slot, received) in received.iter().enumerate().take(count) {
            let datagram = &mut memory[slot * STRIDE..slot * STRIDE + received.length.min(SLOT)];
            match inspection::inspect(shared, &tunnels, own, &mut known, received, datagram) {
                Ok(arrival) => {
                    if let Some(delivery) = prepare(shared, &arrival, datagram, slot, now) {
                        deliveries.push(delivery);
                    }
                }
                Err(Refusal {
                    counter,
                    prohibited,
                }) => {
                    shared.counters.count(counter);
                    tracing::trace!(reason = ?counter, octets = datagram.len(), "not delivered");
                    if let Some((arrival, entry)) = prohibited {
                        *identification = identification.wrapping_add(1).max(1);
                        complain(
                            shared,
                            complaints,
                            &arrival,
                            &entry,
                            datagram,
                            *identification,
                        );
                    }
                }
            }
        }
    }

    /// Writes the deliveries to the device.
    fn deliver(&mut self) -> io::Result<()> {
        let Self {
            shared,
            memory,
            deliveries,
            groups,
            ..
        } = self;
        {
            let memory: &[u8] = memory;
            let packet = |delivery: &Delivery| octets(memory, delivery);
            coalesce::group(deliveries, packet, shared.udp_offload, groups);
        }
        for group in groups.iter() {
            let first = deliveries[group.first];
            let header = finish(memory, group, &first);
            let mut slices = Vec::with_capacity(2 + group.members);
            slices.push(IoSlice::new(&header));
            slices.push(IoSlice::new(octets(memory, &first)));
            let mut next = first.next;
            while let Some(delivery) = next.and_then(|next| deliveries.get(next)) {
                let headers = delivery.ip.header + group.transport;
                slices.push(IoSlice::new(
                    octets(memory, delivery).get(headers..).unwrap_or_default(),
                ));
                next = delivery.next;
            }
            match shared.device.send_vectored(&slices) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(Errno::EBADFD as i32) => {
                    return Err(error);
                }
                Err(error) => {
                    shared
                        .counters
                        .add(Counter::DeviceRefused, group.members as u64);
                    tracing::debug!(%error, octets = group.total, "the device refuses a packet");
                }
            }
        }
        Ok(())
    }

    /// Reads what the network said of our packets. Only news of a smaller path has a consequence: the
    /// kernel has noted it, and the tunnels that lead there ask again.
    fn read_errors(&mut self) {
        for _ in 0..ERRORS {
            let Some(error) = self.receiver.next_error() else {
                return;
            };
            let Some(remote) = error.remote.filter(|_| error.too_big) else {
                self.shared.counters.count(Counter::OuterUnreachable);
                continue;
            };
            let tunnels: Vec<_> = self
                .shared
                .table
                .read()
                .of_remote(remote)
                .map(Arc::clone)
                .collect();
            for entry in tunnels.iter().filter(|entry| entry.ends.remote() == remote) {
                self.shared.ask_path(entry);
            }
        }
    }
}

/// The octets of a delivery in the batch's memory.
fn octets<'a>(memory: &'a [u8], delivery: &Delivery) -> &'a [u8] {
    let start = delivery.slot * STRIDE + delivery.start;
    memory
        .get(start..start + delivery.ip.total)
        .unwrap_or_default()
}

/// Accounts for an arrival and makes it ready for the device.
fn prepare(
    shared: &Shared,
    arrival: &Arrival,
    datagram: &mut [u8],
    slot: usize,
    now: u64,
) -> Option<Delivery> {
    let Arrival {
        entry,
        ip,
        start,
        partial,
        ..
    } = arrival;
    let packet = datagram.get_mut(*start..)?;
    let device_mtu = shared.device_mtu(ip.family());
    let largest = shared.largest_inner(entry).min(device_mtu);
    mss::clamp(packet, ip, largest, *partial);
    let transport = super::offload::transport_header(ip, packet).unwrap_or(0);
    let headers = ip.header + transport;
    let most = usize::from(entry.state.beyond().unwrap_or(device_mtu).min(device_mtu));
    let mut merged = None;
    if *partial && ip.protocol == TCP && ip.total > most {
        // Receive offload does not say at which size it has merged. TCP doesn't care where it is cut,
        // if only each piece gets through.
        let size = u16::try_from(most.saturating_sub(headers).max(1)).ok()?;
        merged = Some(Merged { size, udp: false });
    }
    let packets = merged.map_or(1, |merged| {
        (ip.total - headers).div_ceil(usize::from(merged.size))
    });
    let bytes = ip.total + (packets - 1) * headers;
    entry.state.received(packets as u64, bytes as u64, now);
    Some(Delivery {
        slot,
        start: *start,
        ip: *ip,
        partial: *partial,
        merged,
        next: None,
    })
}

/// Writes what the first packet's headers must say for the whole group, and returns the header for
/// the device.
fn finish(memory: &mut [u8], group: &Group, first: &Delivery) -> [u8; VIRTIO_HEADER] {
    let start = first.slot * STRIDE + first.start;
    let packet = memory
        .get_mut(start..start + first.ip.total)
        .unwrap_or_default();
    let ip = &first.ip;
    if first.partial {
        let transport = super::offload::transport_header(ip, packet).unwrap_or(0);
        return VirtioHeader::encode(true, first.merged, ip, transport);
    }
    let Some(merged) = group.merged(ip.protocol) else {
        return [0; VIRTIO_HEADER];
    };
    let length = group.total - ip.header;
    ip.write_length(packet, group.total);
    if ip.protocol == UDP {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a group is no larger than a packet"
        )]
        put(packet, ip.header + 4, (length as u16).to_be_bytes());
    }
    if ip.protocol == TCP
        && group.push
        && let Some(flags) = packet.get_mut(ip.header + 13)
    {
        *flags |= PSH;
    }
    let field = ip.header + if ip.protocol == UDP { 6 } else { 16 };
    put(packet, field, fold(ip.pseudo_header(length)).to_ne_bytes());
    VirtioHeader::encode(true, Some(merged), ip, group.transport)
}

/// Tells a mobile node, through its tunnel, that a destination is not for it.
fn complain(
    shared: &Shared,
    complaints: &mut Complaints,
    (ip, start): &(Ip, usize),
    entry: &Entry,
    datagram: &[u8],
    identification: u16,
) {
    let packet = datagram.get(*start..).unwrap_or_default();
    let local = shared.local.of(ip.family());
    let error = local.and_then(|local| icmp::complaint(Complaint::Prohibited, local, ip, packet));
    let Some(error) = error else {
        return;
    };
    if !complaints.take(Instant::now()) {
        shared.counters.count(Counter::IcmpWithheld);
        return;
    }
    if !entry.may_take(error.len() as u64) {
        shared.counters.count(Counter::NoCredit);
        return;
    }
    let Some(inner) = Ip::parse(&error) else {
        return;
    };
    let mut sent = true;
    let whole = Cut::whole(inner);
    let room = usize::from(shared.largest_inner(entry));
    let mut send = |mut cut: Cut| {
        cut.set_outer(&entry.ends.outer_header(&cut, identification));
        let payload = error.get(cut.payload.0..cut.payload.1).unwrap_or_default();
        let slices = [IoSlice::new(cut.head()), IoSlice::new(payload)];
        let way = entry.way();
        sent &= shared
            .sender
            .send(way, entry.ends.remote(), &slices)
            .is_ok();
    };
    if whole.length() <= room {
        send(whole);
    } else if whole
        .in_pieces(room, shared.identifications.next(), &mut send)
        .is_none()
    {
        return;
    }
    if sent {
        shared.counters.count(Counter::IcmpSent);
        entry.sent(1, error.len() as u64, shared.table.now());
    }
}
