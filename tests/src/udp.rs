//! UDP without a protocol: echoes, floods, probes on a fixed grid.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Family, LabError, Node, eventually,
    family::{all_addresses, unmapped},
};

/// No datagram has more octets.
const LARGEST: usize = 65_535;

/// Sends every datagram back to where it came from; remembers the senders. Closes when dropped.
pub struct Echo {
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    closed: Arc<AtomicBool>,
}

impl Echo {
    /// Listens on `port` of `node`.
    pub fn start(node: &Node, port: u16) -> Result<Echo, LabError> {
        let peers = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (log, end) = (Arc::clone(&peers), Arc::clone(&closed));
        node.run(move |_| {
            let socket = UdpSocket::bind(all_addresses(port))
                .map_err(LabError::io(format!("bind port {port} of UDP")))?;
            socket
                .set_read_timeout(Some(Duration::from_millis(50)))
                .map_err(LabError::io("set a time-out"))?;
            thread::spawn(move || {
                let mut buffer = vec![0; LARGEST];
                while !end.load(Ordering::SeqCst) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if !log.contains(&unmapped(from)) {
                        log.push(unmapped(from));
                    }
                    drop(log);
                    let _lost = socket.send_to(&buffer[..length], from);
                }
            });
            Ok(())
        })?;
        Ok(Echo { peers, closed })
    }

    /// Every sender so far, each once.
    #[must_use]
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// Sends each datagram of `datagrams` once from `node` to `to`, as fast as `gap` allows, without waiting for answers.
pub fn send_all(
    node: &Node,
    to: SocketAddr,
    datagrams: Vec<Vec<u8>>,
    gap: Duration,
) -> Result<(), LabError> {
    node.run(move |_| {
        let socket = open_towards(to.ip())?;
        for datagram in datagrams {
            match socket.send_to(&datagram, to) {
                // An ICMP answer to an earlier datagram is reported here.
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    return Err(LabError::Io {
                        what: format!("send to {to}"),
                        source: error,
                    });
                }
                Ok(_) | Err(_) => {}
            }
            if !gap.is_zero() {
                thread::sleep(gap);
            }
        }
        Ok(())
    })
}

/// Sends one datagram and waits for one answer, from a socket of `node` that chooses its own source address.
pub fn exchange(
    node: &Node,
    to: SocketAddr,
    datagram: Vec<u8>,
    bound: Duration,
) -> Result<Option<Vec<u8>>, LabError> {
    node.run(move |_| {
        let socket = open_towards(to.ip())?;
        socket
            .send_to(&datagram, to)
            .map_err(LabError::io(format!("send to {to}")))?;
        answer(&socket, bound)
    })
}

/// The first datagram that comes to `socket`.
pub(crate) fn answer(socket: &UdpSocket, bound: Duration) -> Result<Option<Vec<u8>>, LabError> {
    socket
        .set_read_timeout(Some(bound))
        .map_err(LabError::io("set a time-out"))?;
    let mut buffer = vec![0; LARGEST];
    match socket.recv_from(&mut buffer) {
        Ok((length, _)) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(_nothing_came) => Ok(None),
    }
}

/// Numbered datagrams sent on a fixed grid, and the times at which they arrived.
pub struct Probes {
    sent: Arc<Mutex<Vec<Instant>>>,
    received: Arc<Mutex<Vec<(usize, Instant)>>>,
    closed: Arc<AtomicBool>,
}

/// Who sends the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client sends, the server only listens.
    Up,
    /// The server sends to where the client's single first datagram came from; the client only listens.
    Down,
}

impl Probes {
    /// Starts probes each `interval` between a connected UDP socket on `client` and port `port` of `server`.
    pub fn start(
        client: &Node,
        server: &Node,
        address: IpAddr,
        port: u16,
        direction: Direction,
        interval: Duration,
    ) -> Result<Probes, LabError> {
        let probes = Probes {
            sent: Arc::default(),
            received: Arc::default(),
            closed: Arc::default(),
        };
        let far = server.run(move |_| {
            let socket = UdpSocket::bind(all_addresses(port))
                .map_err(LabError::io("bind the probes' port"))?;
            socket
                .set_read_timeout(Some(Duration::from_millis(100)))
                .map_err(LabError::io("set a time-out"))?;
            Ok(socket)
        })?;
        let near = client.run(move |_| {
            let socket = open_towards(address)?;
            socket
                .connect((address, port))
                .map_err(LabError::io(format!("connect to {address}:{port}")))?;
            socket
                .set_read_timeout(Some(Duration::from_millis(100)))
                .map_err(LabError::io("set a time-out"))?;
            socket
                .send(&[0xff; 8])
                .map_err(LabError::io("send the first datagram"))?;
            Ok(socket)
        })?;
        let (sender, receiver) = match direction {
            Direction::Up => (near, far),
            Direction::Down => {
                far.set_read_timeout(Some(Duration::from_secs(2)))
                    .map_err(LabError::io("set a time-out"))?;
                let (_, peer) = far
                    .recv_from(&mut [0; 8])
                    .map_err(LabError::io("wait for the first datagram"))?;
                far.connect(peer)
                    .map_err(LabError::io(format!("connect to {peer}")))?;
                (far, near)
            }
        };
        let (log, end) = (Arc::clone(&probes.sent), Arc::clone(&probes.closed));
        thread::spawn(move || send_probes(&sender, interval, &log, &end));
        let (log, end) = (Arc::clone(&probes.received), Arc::clone(&probes.closed));
        thread::spawn(move || receive_probes(&receiver, &log, &end));
        Ok(probes)
    }

    /// How many were sent and how many of them arrived so far.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.sent().len(), self.received().len())
    }

    /// When each probe was sent, by its number.
    #[must_use]
    pub fn sent(&self) -> Vec<Instant> {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Number and time of each arrival, in order.
    #[must_use]
    pub fn received(&self) -> Vec<(usize, Instant)> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many probes never arrived, of those sent before the latest that did.
    #[must_use]
    pub fn lost(&self) -> usize {
        let mut numbers: Vec<usize> = self
            .received()
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let until = numbers.last().map_or(0, |last| last + 1);
        until - numbers.len()
    }

    /// Waits until so many more have arrived.
    pub fn wait_for_more(&self, count: usize, bound: Duration) -> Result<(), LabError> {
        let arrived = self.counts().1;
        eventually("probes to arrive", bound, || {
            self.counts().1 >= arrived + count
        })
    }

    /// The first arrival after `moment`.
    #[must_use]
    pub fn first_after(&self, moment: Instant) -> Option<(usize, Instant)> {
        self.received().into_iter().find(|(_, at)| *at > moment)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// A socket that chooses its own source address for what it sends to `address`.
fn open_towards(address: IpAddr) -> Result<UdpSocket, LabError> {
    UdpSocket::bind((Family::of(address).unspecified(), 0))
        .map_err(LabError::io("open a UDP socket"))
}

fn send_probes(
    socket: &UdpSocket,
    interval: Duration,
    log: &Mutex<Vec<Instant>>,
    end: &AtomicBool,
) {
    let mut due = Instant::now();
    for number in 0_u64.. {
        if end.load(Ordering::SeqCst) {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Instant::now());
        // While the laptop is between two networks there is no route: the probe counts as lost.
        let _lost = socket.send(&number.to_be_bytes());
        due += interval;
    }
}

fn receive_probes(socket: &UdpSocket, log: &Mutex<Vec<(usize, Instant)>>, end: &AtomicBool) {
    let mut buffer = [0; 8];
    while !end.load(Ordering::SeqCst) {
        if let Ok(8) = socket.recv(&mut buffer)
            && let Ok(number) = usize::try_from(u64::from_be_bytes(buffer))
            && number != usize::MAX
        {
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((number, Instant::now()));
        }
    }
}

/// The address part of a socket address in the words of stories.
#[must_use]
pub fn addresses(peers: &[SocketAddr]) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for peer in peers {
        if !seen.contains(&peer.ip()) {
            seen.push(peer.ip());
        }
    }
    seen
}
