//! Numbered messages on a fixed grid, one way, with the times at which each left and came.
//!
//! Both ends live in this process, so one clock serves both and a delay is a difference.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Family, LabError, Node, stretched, udp::Direction, wait_for};

/// Distance of two probes.
#[must_use]
pub fn grid() -> Duration {
    stretched(Duration::from_millis(2))
}

/// How long the first datagram may take.
const BOUND: Duration = Duration::from_secs(5);

/// How the client's end is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A UDP socket that is connected once, as applications have it: its address stays.
    Udp,
    /// A TCP connection without Nagle's delay.
    Tcp,
    /// A UDP socket that takes a new source for each datagram, and a server that answers the latest one: what an
    /// application could do that is told of each move at once ([`Probes::announce`]).
    Roaming,
}

/// Probes under way; they end when this is dropped.
pub struct Probes {
    shared: Arc<Shared>,
    announcer: Option<Announcer>,
    /// Closed when dropped, which ends a blocked reader.
    streams: Vec<TcpStream>,
}

/// What has been seen of one probe.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it left.
    pub sent: Instant,
    /// When it came, if it did.
    pub came: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    closed: AtomicBool,
}

type Announcer = Box<dyn Fn() -> io::Result<()> + Send>;
type Sender = Box<dyn FnMut(u64) + Send>;
type Receiver = Box<dyn FnMut() -> Option<u64> + Send>;

impl Probes {
    /// Starts probes between `client` and port `port` of `address`, which is `server`'s.
    pub fn start(
        client: &Node,
        server: &Node,
        address: IpAddr,
        port: u16,
        direction: Direction,
        carrier: Carrier,
    ) -> Result<Probes, LabError> {
        let to = SocketAddr::from((address, port));
        let mut probes = Probes {
            shared: Arc::default(),
            announcer: None,
            streams: Vec::new(),
        };
        let (sender, receiver) = if carrier == Carrier::Tcp {
            probes.over_tcp(client, server, to, direction)?
        } else {
            probes.over_udp(client, server, to, direction, carrier)?
        };
        let shared = Arc::clone(&probes.shared);
        thread::spawn(move || shared.send(sender));
        let shared = Arc::clone(&probes.shared);
        thread::spawn(move || shared.receive(receiver));
        Ok(probes)
    }

    /// Sends one empty datagram from the client, which tells the server where it is now.
    pub fn announce(&self) -> Result<(), LabError> {
        match &self.announcer {
            Some(announcer) => announcer().map_err(LabError::io("announce the new address")),
            None => Ok(()),
        }
    }

    /// Every probe so far, by its number.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// How many came so far.
    #[must_use]
    pub fn came(&self) -> usize {
        self.shared
            .seen()
            .iter()
            .filter(|probe| probe.came.is_some())
            .count()
    }

    fn over_udp(
        &mut self,
        client: &Node,
        server: &Node,
        to: SocketAddr,
        direction: Direction,
        carrier: Carrier,
    ) -> Result<(Sender, Receiver), LabError> {
        let far = server.run(move |_| open(to))?;
        let roaming = carrier == Carrier::Roaming;
        let near = client.run(move |_| {
            let socket = open((Family::of(to.ip()).unspecified(), 0).into())?;
            if !roaming {
                socket
                    .connect(to)
                    .map_err(LabError::io(format!("connect to {to}")))?;
            }
            Ok(socket)
        })?;
        let hello = near
            .try_clone()
            .map_err(LabError::io("duplicate a socket"))?;
        self.announcer = Some(Box::new(move || {
            let sent = if roaming {
                hello.send_to(&[], to)
            } else {
                hello.send(&[])
            };
            sent.map(drop)
        }));
        let peer = wait_for(
            &format!("the first datagram of {carrier:?} {direction:?} to {to}"),
            BOUND,
            || {
                self.announce()?;
                Ok(far.recv_from(&mut [0; 8]).ok())
            },
        )?
        .1;
        if direction == Direction::Up {
            let sender: Sender = Box::new(move |number| {
                // Between two networks there may be no route: such a probe counts as lost.
                let _lost = if roaming {
                    near.send_to(&number.to_be_bytes(), to)
                } else {
                    near.send(&number.to_be_bytes())
                };
            });
            return Ok((sender, Box::new(move || receive_number(&far))));
        }
        let announced = Arc::new(Mutex::new(peer));
        if roaming {
            let (socket, latest) = (
                far.try_clone()
                    .map_err(LabError::io("duplicate a socket"))?,
                Arc::clone(&announced),
            );
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || {
                while !shared.is_closed() {
                    if let Ok((0, from)) = socket.recv_from(&mut [0; 8]) {
                        *latest.lock().unwrap_or_else(PoisonError::into_inner) = from;
                    }
                }
            });
        }
        let sender: Sender = Box::new(move |number| {
            let peer = *announced.lock().unwrap_or_else(PoisonError::into_inner);
            let _lost = far.send_to(&number.to_be_bytes(), peer);
        });
        Ok((sender, Box::new(move || receive_number(&near))))
    }

    fn over_tcp(
        &mut self,
        client: &Node,
        server: &Node,
        to: SocketAddr,
        direction: Direction,
    ) -> Result<(Sender, Receiver), LabError> {
        let listener = server
            .run(move |_| TcpListener::bind(to).map_err(LabError::io(format!("listen at {to}"))))?;
        let near = client.run(move |_| {
            TcpStream::connect_timeout(&to, Duration::from_secs(5))
                .map_err(LabError::io(format!("connect to {to}")))
        })?;
        let (far, _) = listener
            .accept()
            .map_err(LabError::io("accept the probes' connection"))?;
        for stream in [&near, &far] {
            stream
                .set_nodelay(true)
                .map_err(LabError::io("set TCP_NODELAY"))?;
            self.streams.push(
                stream
                    .try_clone()
                    .map_err(LabError::io("duplicate a socket"))?,
            );
        }
        let (mut writer, mut reader) = match direction {
            Direction::Up => (near, far),
            Direction::Down => (far, near),
        };
        let sender: Sender = Box::new(move |number| {
            let _connection_gone = writer.write_all(&number.to_be_bytes());
        });
        let receiver: Receiver = Box::new(move || {
            let mut number = [0; 8];
            if reader.read_exact(&mut number).is_err() {
                thread::sleep(grid());
                return None;
            }
            Some(u64::from_be_bytes(number))
        });
        Ok((sender, receiver))
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        for stream in &self.streams {
            let _closed_already = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Shared {
    fn send(&self, mut sender: Sender) {
        let mut due = Instant::now();
        for number in 0.. {
            if self.is_closed() {
                return;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.seen().push(Seen {
                sent: Instant::now(),
                came: None,
            });
            sender(number);
            due += grid();
        }
    }

    fn receive(&self, mut receiver: Receiver) {
        while !self.is_closed() {
            let Some(number) = receiver() else { continue };
            let now = Instant::now();
            let place = usize::try_from(number).unwrap_or(usize::MAX);
            if let Some(probe) = self.seen().get_mut(place) {
                probe.came.get_or_insert(now);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(local: SocketAddr) -> Result<UdpSocket, LabError> {
    let socket = UdpSocket::bind(local).map_err(LabError::io(format!("bind {local}")))?;
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .map_err(LabError::io("set a time-out"))?;
    Ok(socket)
}

fn receive_number(socket: &UdpSocket) -> Option<u64> {
    let mut buffer = [0; 8];
    match socket.recv(&mut buffer) {
        Ok(8) => Some(u64::from_be_bytes(buffer)),
        Ok(_) => None,
        // An ICMP answer to an earlier probe is reported here.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
        Err(_nothing_came) => None,
    }
}
