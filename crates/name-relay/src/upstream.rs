//! Asking the name servers: the same octets, a fresh id, a fresh port.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::counters::{Counter, Counters};
use crate::message::{self, AnswerError, Query};
use crate::socket::Sockets;

/// The name servers in the order in which they are asked.
pub(crate) type Servers = Arc<[SocketAddr]>;

/// How long a query is tried before all name servers count as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long one name server may be silent before the next is asked too.
const STAGGER: Duration = Duration::from_secs(1);
/// When the same name server is asked again over UDP, from a new socket: a
/// move may have taken the address of the former.
const REPEATS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(400),
    Duration::from_millis(1200),
    Duration::from_millis(2800),
];
/// When the same name server is asked again over TCP.
const TCP_REPEATS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(2500)];
/// How soon a name server that refused the packet is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How long the other name servers may take once one has refused.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);
/// How long a name server is asked first because an earlier one was silent.
const PREFERENCE: Duration = Duration::from_secs(30);
/// The most name servers that are used of a list.
pub(crate) const MAX_SERVERS: usize = 8;
/// The most sockets toward name servers at once.
const MAX_SOCKETS: usize = 512;

/// How a query travels: as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The name servers, as seen by a query.
#[derive(Debug)]
pub(crate) struct Upstreams {
    servers: watch::Receiver<Servers>,
    preferred: Mutex<Option<(SocketAddr, Instant)>>,
    sockets: Sockets,
    permits: Semaphore,
    counters: Arc<Counters>,
}

/// What became of asking one name server once.
struct Attempt {
    server: SocketAddr,
    is_first: bool,
    result: io::Result<Vec<u8>>,
}

impl Upstreams {
    pub(crate) fn new(
        servers: watch::Receiver<Servers>,
        sockets: Sockets,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            servers,
            preferred: Mutex::new(None),
            sockets,
            permits: Semaphore::new(MAX_SOCKETS),
            counters,
        }
    }

    /// Gets an answer to `query` from any name server, or none within
    /// [`PATIENCE`]. A change of the list redirects the query at once.
    pub(crate) async fn exchange(&self, query: &Query, transport: Transport) -> Option<Vec<u8>> {
        let patience_ends = Instant::now() + PATIENCE;
        let mut deadline = patience_ends;
        let mut changes = self.servers.clone();
        let mut servers = changes.borrow_and_update().clone();
        let mut waiting = self.order(&servers);
        let mut next_server = Instant::now();
        let mut attempts = FuturesUnordered::new();
        let mut refused = BTreeSet::new();
        let mut refusal: Option<Vec<u8>> = None;
        loop {
            if next_server <= Instant::now()
                && let Some(server) = waiting.pop_front()
            {
                next_server = Instant::now() + STAGGER;
                for delay in repeats(transport) {
                    attempts.push(self.attempt(server, query, transport, *delay, delay.is_zero()));
                }
            }
            let wake = if waiting.is_empty() {
                deadline
            } else {
                next_server.min(deadline)
            };
            tokio::select! {
                Some(attempt) = attempts.next(), if !attempts.is_empty() => match attempt.result {
                    Ok(answer) if !message::is_refusal(&answer) => {
                        self.prefer(attempt.server, &servers);
                        return Some(answer);
                    }
                    Ok(answer) => {
                        refused.insert(attempt.server);
                        refusal.get_or_insert(answer);
                        if refused.len() >= servers.len() {
                            return refusal;
                        }
                        next_server = Instant::now();
                        deadline = deadline.min(Instant::now() + REFUSAL_GRACE);
                    }
                    Err(error) => {
                        tracing::trace!(server = %attempt.server, %error, "no answer");
                        next_server = Instant::now();
                        if attempt.is_first {
                            attempts.push(self.attempt(attempt.server, query, transport, RETRY, true));
                        }
                    }
                },
                Ok(()) = changes.changed() => {
                    servers = changes.borrow_and_update().clone();
                    waiting = self.order(&servers);
                    next_server = Instant::now();
                    deadline = patience_ends;
                    attempts.clear();
                    refused.clear();
                    refusal = None;
                }
                () = sleep_until(wake) => {
                    if Instant::now() >= deadline {
                        return refusal;
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        server: SocketAddr,
        query: &Query,
        transport: Transport,
        delay: Duration,
        is_first: bool,
    ) -> Attempt {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let asked = async {
            let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
            let id = random_id()?;
            match transport {
                Transport::Udp => self.ask_udp(server, query, id).await,
                Transport::Tcp => self.ask_tcp(server, query, id).await,
            }
        };
        Attempt {
            server,
            is_first,
            result: asked.await,
        }
    }

    async fn ask_udp(&self, server: SocketAddr, query: &Query, id: u16) -> io::Result<Vec<u8>> {
        let socket = self.sockets.udp_to(server).await?;
        socket.send(&query.with_id(id)).await?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let Some(answer) = buffer.get_mut(..length) else {
                continue;
            };
            match query.accept(answer, id) {
                Ok(()) => return Ok(answer.to_vec()),
                Err(reason) => self.count_bad_answer(server, reason),
            }
        }
    }

    async fn ask_tcp(&self, server: SocketAddr, query: &Query, id: u16) -> io::Result<Vec<u8>> {
        let mut stream = self.sockets.tcp_to(server).await?;
        stream.write_all(&frame(&query.with_id(id))?).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        query.accept(&mut answer, id).map_err(|reason| {
            self.count_bad_answer(server, reason);
            io::Error::from(io::ErrorKind::InvalidData)
        })?;
        Ok(answer)
    }

    fn count_bad_answer(&self, server: SocketAddr, reason: AnswerError) {
        tracing::debug!(%server, ?reason, "answer dropped");
        self.counters.count(match reason {
            AnswerError::Malformed => Counter::DropMalformedAnswer,
            AnswerError::Spoofed => Counter::DropSpoofedAnswer,
        });
    }

    /// The name servers as they are now.
    pub(crate) fn current(&self) -> Servers {
        self.servers.borrow().clone()
    }

    /// The name servers in the order in which they would be asked now.
    pub(crate) fn current_order(&self) -> Vec<SocketAddr> {
        self.order(&self.current()).into()
    }

    fn order(&self, servers: &Servers) -> VecDeque<SocketAddr> {
        let mut order: VecDeque<SocketAddr> = servers.iter().copied().collect();
        let preferred = *self
            .preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((server, until)) = preferred
            && until > Instant::now()
            && let Some(position) = order.iter().position(|other| *other == server)
        {
            order.remove(position);
            order.push_front(server);
        }
        order
    }

    /// A silent first name server must not cost every query its patience.
    fn prefer(&self, server: SocketAddr, servers: &Servers) {
        let mut preferred = self
            .preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if servers.first() == Some(&server) {
            *preferred = None;
        } else if preferred.is_none_or(|(other, until)| other != server || until <= Instant::now())
        {
            *preferred = Some((server, Instant::now() + PREFERENCE));
        }
    }
}

/// A message with its length before it, as TCP carries it (RFC 1035 4.2.2).
pub(crate) fn frame(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len())
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed)
}

fn repeats(transport: Transport) -> &'static [Duration] {
    match transport {
        Transport::Udp => &REPEATS,
        Transport::Tcp => &TCP_REPEATS,
    }
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(id))
}
