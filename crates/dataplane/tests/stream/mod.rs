//! A stream of datagrams, and what nftables says of where it went.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Datagrams of one size, as if somebody had asked for a video. They end when it is dropped.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// From this socket. If it is connected, nobody may complain about what it sends.
    pub(crate) fn start(socket: UdpSocket, to: SocketAddr, octets: usize, per_second: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (begin, datagram) = (Instant::now(), vec![7; octets]);
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                while sent < begin.elapsed().as_millis() * u128::from(per_second) / 1000 {
                    // An ICMP error would be told here.
                    socket.send_to(&datagram, to).expect("nobody complains");
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it, and says that nobody complained.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("once");
        thread.join().expect("the stream has failed");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _failed = self.thread.take().map(JoinHandle::join);
    }
}

/// Octets of inner packets, by what nft says of a counter of tunnelled ones whose outer headers have so many octets.
pub(crate) fn inner_octets(said: &str, header: u64) -> u64 {
    let words: Vec<&str> = said.split_whitespace().collect();
    let [packets, octets] = ["packets", "bytes"].map(|word| {
        let at = words.iter().position(|known| *known == word);
        let number = at.and_then(|at| words.get(at + 1)).expect(word);
        number.parse::<u64>().expect("a number")
    });
    octets - packets * header
}
