//! Queries over UDP.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::counters::Counter;
use crate::exchange::Exchange;
use crate::message::{Query, QueryError};
use crate::tasks::Tasks;
use crate::upstream::Transport;

/// The most queries in work at once.
const MAX_QUERIES: usize = 256;
/// The pause after an error of the listening socket.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Who asked what: a repetition has the same socket, id and question.
type Key = (SocketAddr, u16, Vec<u8>);

type Pending = Arc<Mutex<BTreeSet<Key>>>;

/// Answers queries until the relay stops.
pub(crate) async fn serve(
    socket: Arc<UdpSocket>,
    listen: SocketAddr,
    exchange: Arc<Exchange>,
    tasks: Tasks,
) {
    let pending = Pending::default();
    let permits = Arc::new(Semaphore::new(MAX_QUERIES));
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = tasks.stopped() => return,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "listening socket");
                sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        if !is_local(peer.ip(), listen.ip()) {
            exchange.counters.count(Counter::DropForeignSource);
            continue;
        }
        let query = match Query::parse(buffer.get(..length).unwrap_or_default()) {
            Ok(query) => query,
            Err(reason) => {
                count_bad_query(&exchange, reason);
                continue;
            }
        };
        let Some(claim) = Claim::take(&pending, peer, &query) else {
            exchange.counters.count(Counter::Retransmissions);
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            exchange.counters.count(Counter::DropTooManyQueries);
            continue;
        };
        let socket = Arc::clone(&socket);
        let exchange = Arc::clone(&exchange);
        tasks.spawn(async move {
            let _permit = permit;
            let _claim = claim;
            let answer = exchange.answer(&query, Transport::Udp).await;
            match socket.send_to(&answer, peer).await {
                Ok(_) => exchange.counters.count(Counter::Answers),
                Err(error) => {
                    tracing::debug!(%error, "answer not delivered");
                    exchange.counters.count(Counter::DropUndeliverable);
                }
            }
        });
    }
}

/// Only this host may ask: a relay that answers the network is a reflector.
pub(crate) fn is_local(peer: IpAddr, listen: IpAddr) -> bool {
    peer.is_loopback() || peer == listen
}

pub(crate) fn count_bad_query(exchange: &Exchange, reason: QueryError) {
    exchange.counters.count(match reason {
        QueryError::Malformed => Counter::DropMalformedQuery,
        QueryError::NotAQuery => Counter::DropNotAQuery,
    });
}

/// The right to answer a query, given back when the answer has left.
struct Claim {
    pending: Pending,
    key: Key,
}

impl Claim {
    fn take(pending: &Pending, peer: SocketAddr, query: &Query) -> Option<Self> {
        let key = (peer, query.id(), query.question_bytes().to_vec());
        let is_new = pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone());
        is_new.then(|| Self {
            pending: Arc::clone(pending),
            key,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}
