//! From the device into the tunnels.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use super::admission::{admit, cut};
use super::counters::Counter;
use super::device::VIRTIO_HEADER;
use super::icmp::{self, Complaint, Complaints};
use super::ip::Ip;
use super::offload::{Cut, Piece, VirtioHeader};
use super::socket::{self, SendHeaders, Way};
use super::table::Entry;
use super::{Role, Shared};

/// Packets read before they are sent.
const SLOTS: usize = 64;

/// Packets sent by one call.
const BATCH: usize = 128;

/// What the device hands us at once, and its header.
const SLOT: usize = VIRTIO_HEADER + 65_536;

/// Distance of the buffers, so that their beginnings don't compete for the same lines of the cache.
const STRIDE: usize = SLOT + 2048;

/// The thread's state.
pub(super) struct Uplink {
    shared: Arc<Shared>,
    memory: Vec<u8>,
    headers: SendHeaders,
    /// Ready to go, in order.
    outbox: Vec<Parcel>,
    /// The tunnels of the outbox.
    entries: Vec<Arc<Entry>>,
    complaints: Complaints,
    identification: u16,
}

/// A packet to encapsulate.
struct Parcel {
    cut: Cut,
    slot: usize,
    entry: usize,
}

impl Uplink {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            memory: vec![0; SLOTS * STRIDE],
            headers: socket::send_headers(BATCH),
            outbox: Vec::with_capacity(2 * BATCH),
            entries: Vec::new(),
            complaints: Complaints::new(Instant::now()),
            identification: 0,
        }
    }

    /// Works until the backend stops.
    ///
    /// # Errors
    /// When the device is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        while self.shared.wait(&self.shared.device)?.is_some() {
            self.drain()?;
        }
        Ok(())
    }

    /// Carries what the device has. Leaves after a while even when there is more, so that a stop is
    /// seen.
    fn drain(&mut self) -> io::Result<()> {
        const ROUNDS: usize = 64;
        for _ in 0..ROUNDS {
            let mut slot = 0;
            let mut empty = false;
            while slot < SLOTS && self.outbox.len() < BATCH {
                let buffer = &mut self.memory[slot * STRIDE..slot * STRIDE + SLOT];
                match self.shared.device.recv(buffer) {
                    Ok(length) => self.take(slot, length),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        empty = true;
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
                slot += 1;
            }
            self.flush();
            if empty {
                break;
            }
        }
        Ok(())
    }

    /// Judges one packet of the device and cuts it into the outbox.
    fn take(&mut self, slot: usize, length: usize) {
        let Self {
            shared,
            memory,
            outbox,
            entries,
            complaints,
            ..
        } = self;
        let buffer = &mut memory[slot * STRIDE..slot * STRIDE + length.min(SLOT)];
        let verdict = admit(shared, buffer, entries);
        let refused = match verdict {
            Ok((entry, header, ip)) => {
                let packet = &buffer[VIRTIO_HEADER..];
                let tunnel = &*entries[entry];
                let (mut goes, mut unpaid) = (true, 0);
                let each = |cut: Cut| {
                    let (packets, octets) = cut.counts();
                    // A later piece of a packet shares the fate of the first.
                    if packets > 0 {
                        goes = tunnel.may_take(octets);
                    }
                    if goes {
                        outbox.push(Parcel { cut, slot, entry });
                    } else {
                        unpaid += packets;
                    }
                };
                let done = cut(shared, tunnel, header, &ip, packet, each);
                if unpaid > 0 {
                    shared.counters.add(Counter::NoCredit, unpaid);
                }
                done.map_err(|refusal| (refusal, Some(ip)))
            }
            Err(refusal) => Err(refusal),
        };
        if let Err((refusal, ip)) = refused {
            shared.counters.count(refusal.counter);
            tracing::trace!(?ip, reason = ?refusal.counter, "not tunnelled");
            if let (Some(complaint), Some(ip)) = (refusal.complaint, ip) {
                complain(shared, complaints, complaint, &ip, &buffer[VIRTIO_HEADER..]);
            }
        }
    }

    /// Sends the outbox.
    fn flush(&mut self) {
        let mut from = 0;
        while let Some(parcel) = self.outbox.get(from) {
            let way = self.entries[parcel.entry].way();
            let run = self.outbox[from..].iter().take(BATCH);
            let run = run
                .take_while(|parcel| self.entries[parcel.entry].way() == way)
                .count();
            from += self.send_run(from, run, way);
        }
        self.outbox.clear();
        self.entries.clear();
    }

    /// Sends packets that leave the same way and returns how many are done with, at least one.
    fn send_run(&mut self, from: usize, run: usize, way: Way) -> usize {
        let Self {
            shared,
            memory,
            headers,
            outbox,
            entries,
            identification,
            ..
        } = self;
        let parcels = &mut outbox[from..from + run];
        for parcel in parcels.iter_mut() {
            let entry = &entries[parcel.entry];
            *identification = identification.wrapping_add(1).max(1);
            let outer = entry.ends.outer_header(&parcel.cut, *identification);
            parcel.cut.set_outer(&outer);
        }
        let packets: Vec<_> = parcels
            .iter()
            .map(|parcel| {
                let (start, end) = parcel.cut.payload;
                let packet = &memory[parcel.slot * STRIDE + VIRTIO_HEADER..][start..end];
                [IoSlice::new(parcel.cut.head()), IoSlice::new(packet)]
            })
            .collect();
        let remotes: Vec<_> = parcels
            .iter()
            .map(|parcel| Some(socket::destination(entries[parcel.entry].ends.remote())))
            .collect();
        match shared.sender.send_batch(headers, way, &packets, &remotes) {
            Ok(sent) => {
                account(&parcels[..sent.min(run)], entries, shared.table.now());
                sent.clamp(1, run)
            }
            Err(Errno::EINTR) => 0,
            Err(Errno::EMSGSIZE) => {
                self.too_big_after_all(from);
                1
            }
            Err(errno) => {
                // The rest of the run to the same tunnel would fare alike.
                let entry = parcels[0].entry;
                let alike = parcels
                    .iter()
                    .take_while(|parcel| parcel.entry == entry)
                    .count();
                shared.counters.add(refusal_of(errno), alike as u64);
                tracing::debug!(%errno, remote = %entries[entry].ends.remote(), "the kernel refuses tunnelled packets");
                alike
            }
        }
    }

    /// The kernel knows a smaller path than we did. Learn it, and treat the packet accordingly.
    fn too_big_after_all(&mut self, at: usize) {
        let Self {
            shared,
            memory,
            outbox,
            entries,
            complaints,
            identification,
            ..
        } = self;
        let parcel = &outbox[at];
        let entry = Arc::clone(&entries[parcel.entry]);
        let (start, end) = parcel.cut.payload;
        let mut packet = parcel.cut.inner().to_vec();
        packet.extend_from_slice(&memory[parcel.slot * STRIDE + VIRTIO_HEADER..][start..end]);
        let whole = parcel.cut.piece == Piece::Whole;
        // A piece is no larger than what every path of its family carries.
        let Some(ip) = Ip::parse(&packet).filter(|_| whole) else {
            shared.counters.count(Counter::SendFailed);
            return;
        };

        let before = entry.state.path_mtu().unwrap_or(u16::MAX);
        if shared.ask_path(&entry) >= before {
            shared.counters.count(Counter::SendFailed);
            return;
        }
        let mut pieces = Vec::new();
        match cut(
            shared,
            &entry,
            VirtioHeader::default(),
            &ip,
            &packet,
            |cut| pieces.push(cut),
        ) {
            Err(refusal) => {
                shared.counters.count(refusal.counter);
                if let Some(complaint) = refusal.complaint {
                    complain(shared, complaints, complaint, &ip, &packet);
                }
            }
            Ok(()) => {
                for mut piece in pieces {
                    *identification = identification.wrapping_add(1).max(1);
                    piece.set_outer(&entry.ends.outer_header(&piece, *identification));
                    let payload = packet
                        .get(piece.payload.0..piece.payload.1)
                        .unwrap_or_default();
                    let slices = [IoSlice::new(piece.head()), IoSlice::new(payload)];
                    match shared
                        .sender
                        .send(entry.way(), entry.ends.remote(), &slices)
                    {
                        Ok(()) => {
                            let (packets, bytes) = piece.counts();
                            entry.sent(packets, bytes, shared.table.now());
                        }
                        Err(errno) => shared.counters.count(refusal_of(errno)),
                    }
                }
            }
        }
    }
}

/// Answers a packet that does not go. On a mobile node the packet is from this host: the answer comes
/// out of the device, as if the packet's destination had sent it, because that is whom the routes
/// expect there.
fn complain(shared: &Shared, complaints: &mut Complaints, what: Complaint, ip: &Ip, packet: &[u8]) {
    let from = match shared.role {
        Role::HomeAgent => shared.local.of(ip.family()),
        Role::MobileNode => Some(ip.destination),
    };
    let Some((from, error)) =
        from.and_then(|from| Some((from, icmp::complaint(what, from, ip, packet)?)))
    else {
        return;
    };
    if !complaints.take(Instant::now()) {
        shared.counters.count(Counter::IcmpWithheld);
        return;
    }
    let sent = match shared.role {
        Role::HomeAgent => {
            let way = Way {
                local: from,
                interface: None,
            };
            shared
                .sender
                .send(way, ip.source, &[IoSlice::new(&error)])
                .is_ok()
        }
        Role::MobileNode => {
            let header = [0; VIRTIO_HEADER];
            shared
                .device
                .send_vectored(&[IoSlice::new(&header), IoSlice::new(&error)])
                .is_ok()
        }
    };
    if sent {
        shared.counters.count(Counter::IcmpSent);
    }
}

fn account(sent: &[Parcel], entries: &[Arc<Entry>], now: u64) {
    for parcels in sent.chunk_by(|one, other| one.entry == other.entry) {
        let (packets, bytes) = parcels.iter().fold((0, 0), |(packets, bytes), parcel| {
            let (more_packets, more_bytes) = parcel.cut.counts();
            (packets + more_packets, bytes + more_bytes)
        });
        if let Some(entry) = parcels.first().and_then(|parcel| entries.get(parcel.entry)) {
            entry.sent(packets, bytes, now);
        }
    }
}

fn refusal_of(errno: Errno) -> Counter {
    use Errno::{EADDRNOTAVAIL, EAGAIN, EHOSTUNREACH, EINVAL, EMSGSIZE, ENETDOWN, ENETUNREACH};
    use Errno::{ENOBUFS, ENODEV, ENOMEM, ENXIO};
    let no_route = [
        ENETUNREACH,
        EHOSTUNREACH,
        ENETDOWN,
        ENODEV,
        ENXIO,
        EADDRNOTAVAIL,
        EINVAL,
    ];
    if no_route.contains(&errno) {
        Counter::NoRoute
    } else if [EAGAIN, ENOBUFS, ENOMEM].contains(&errno) {
        Counter::QueueFull
    } else if errno == EMSGSIZE {
        Counter::TooBig
    } else {
        Counter::SendFailed
    }
}
