//! Queries over TCP (RFC 7766): pipelined, answered in any order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::counters::{Counter, Counters};
use crate::exchange::Exchange;
use crate::message::Query;
use crate::tasks::Tasks;
use crate::udp::{count_bad_query, is_local};
use crate::upstream::{Transport, frame};

/// The most connections at once.
const MAX_CONNECTIONS: usize = 64;
/// The most queries of one connection in work at once; more wait unread.
const MAX_PIPELINED: usize = 16;
/// How long a connection may be silent with nothing in work.
const IDLE: Duration = Duration::from_secs(10);
/// How long a message that has begun, or an answer that leaves, may take.
const TRANSFER: Duration = Duration::from_secs(5);
/// The pause after an error of the listening socket.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the relay stops.
pub(crate) async fn serve(
    listener: TcpListener,
    listen: SocketAddr,
    exchange: Arc<Exchange>,
    tasks: Tasks,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.stopped() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
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
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            exchange.counters.count(Counter::DropTooManyConnections);
            continue;
        };
        let exchange = Arc::clone(&exchange);
        let connection_tasks = tasks.clone();
        tasks.spawn(async move {
            let _permit = permit;
            converse(stream, exchange, connection_tasks).await;
        });
    }
}

async fn converse(stream: TcpStream, exchange: Arc<Exchange>, tasks: Tasks) {
    let _best_effort = stream.set_nodelay(true);
    let (mut reader, writer) = stream.into_split();
    let (answers, queue) = mpsc::channel(MAX_PIPELINED);
    let counters = Arc::clone(&exchange.counters);
    tasks.spawn(async move {
        if let Err(error) = write_answers(writer, queue, &counters).await {
            tracing::debug!(%error, "answer not delivered");
            counters.count(Counter::DropUndeliverable);
        }
    });
    let pipeline = Arc::new(Semaphore::new(MAX_PIPELINED));
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&pipeline).acquire_owned() => permit,
            () = tasks.stopped() => return,
        };
        let Ok(permit) = permit else {
            return;
        };
        let message = tokio::select! {
            message = read_message(&mut reader, &pipeline) => message,
            () = tasks.stopped() => return,
            () = answers.closed() => return,
        };
        let Some(message) = message else {
            return;
        };
        let query = match Query::parse(&message) {
            Ok(query) => query,
            Err(reason) => return count_bad_query(&exchange, reason),
        };
        let exchange = Arc::clone(&exchange);
        let answers = answers.clone();
        tasks.spawn(async move {
            let answer = exchange.answer(&query, Transport::Tcp).await;
            // The place in the pipeline is taken until the answer has a place
            // in the queue, which holds as many.
            if answers.send(answer).await.is_err() {
                exchange.counters.count(Counter::DropUndeliverable);
            }
            drop(permit);
        });
    }
}

/// The next message, or none when the connection is over or has been idle.
async fn read_message(reader: &mut OwnedReadHalf, pipeline: &Semaphore) -> Option<Vec<u8>> {
    let mut first = [0; 1];
    loop {
        match timeout(IDLE, reader.read(&mut first)).await {
            Ok(Ok(1)) => break,
            Ok(_) => return None,
            // One place belongs to the message that is awaited.
            Err(_elapsed) if pipeline.available_permits() + 1 < MAX_PIPELINED => {}
            Err(_elapsed) => return None,
        }
    }
    let rest = async {
        let length = u16::from_be_bytes([first[0], reader.read_u8().await?]);
        let mut message = vec![0; usize::from(length)];
        reader.read_exact(&mut message).await?;
        io::Result::Ok(message)
    };
    timeout(TRANSFER, rest).await.ok()?.ok()
}

async fn write_answers(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    counters: &Counters,
) -> io::Result<()> {
    while let Some(answer) = queue.recv().await {
        timeout(TRANSFER, writer.write_all(&frame(&answer)?))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        counters.count(Counter::Answers);
    }
    Ok(())
}
