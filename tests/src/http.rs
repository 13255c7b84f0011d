//! A web server that serves any number of octets at any rate, and remembers who came.
//!
//! `GET /OCTETS` or `GET /OCTETS/RATE` (octets per second, stretched by
//! [`patience`]). The body is [`body`], so that a client can tell
//! whether every octet arrived in its place.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    LabError, Node,
    family::{all_addresses, unmapped},
    wait::patience,
};

/// How often a throttled body grows.
const TICK: Duration = Duration::from_millis(20);

/// The server; it closes when dropped.
pub struct HttpServer {
    served: Arc<Mutex<Vec<Served>>>,
    closed: Arc<AtomicBool>,
}

/// One connection to the server.
#[derive(Clone, Debug)]
pub struct Served {
    /// The client as the server sees it.
    pub peer: SocketAddr,
    /// Octets of body that went into the socket so far.
    pub sent: u64,
    /// Whether the whole body did.
    pub complete: bool,
}

impl HttpServer {
    /// Listens on `port` of every address of `node`.
    pub fn start(node: &Node, port: u16) -> Result<HttpServer, LabError> {
        let served = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (log, end) = (Arc::clone(&served), Arc::clone(&closed));
        node.run(move |_| {
            let listener = TcpListener::bind(all_addresses(port))
                .map_err(LabError::io(format!("listen on port {port}")))?;
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if end.load(Ordering::SeqCst) {
                        break;
                    }
                    let log = Arc::clone(&log);
                    thread::spawn(move || {
                        let _client_gone = serve(&stream, &log);
                    });
                }
            });
            Ok(())
        })?;
        Ok(HttpServer { served, closed })
    }

    /// All connections so far, in order of arrival.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The addresses that connected, each once, in order of arrival.
    #[must_use]
    pub fn peers(&self) -> Vec<std::net::IpAddr> {
        let mut peers = Vec::new();
        for served in self.served() {
            if !peers.contains(&served.peer.ip()) {
                peers.push(served.peer.ip());
            }
        }
        peers
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// `length` octets of the body from `offset` on: no two neighbouring kilobytes are equal.
#[must_use]
pub fn body(offset: u64, length: usize) -> Vec<u8> {
    (offset..)
        .take(length)
        .map(|position| {
            position
                .wrapping_mul(31)
                .wrapping_add(position >> 10)
                .to_le_bytes()[0]
        })
        .collect()
}

fn serve(mut stream: &TcpStream, log: &Mutex<Vec<Served>>) -> std::io::Result<()> {
    let peer = unmapped(stream.peer_addr()?);
    let number = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Served {
            peer,
            sent: 0,
            complete: false,
        });
        log.len() - 1
    };
    let note = |sent: u64, complete: bool| {
        if let Some(served) = log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(number)
        {
            (served.sent, served.complete) = (sent, complete);
        }
    };
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut numbers = path
        .split('/')
        .skip(1)
        .map(|part| part.parse::<u64>().unwrap_or_default());
    let (octets, rate) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    stream.write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {octets}\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let started = Instant::now();
    let mut sent = 0;
    while sent < octets {
        let allowed = if rate == 0 {
            octets
        } else {
            let elapsed = (started.elapsed() / patience()).as_millis();
            let earned = u128::from(rate) * elapsed / 1000;
            u64::try_from(earned).unwrap_or(u64::MAX).min(octets)
        };
        if allowed <= sent {
            thread::sleep(TICK);
            continue;
        }
        let piece = usize::try_from((allowed - sent).min(65_536)).unwrap_or(65_536);
        stream.write_all(&body(sent, piece))?;
        sent += u64::try_from(piece).unwrap_or_default();
        note(sent, false);
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    note(sent, true);
    Ok(())
}
