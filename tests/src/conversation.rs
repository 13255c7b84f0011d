//! A TCP connection on which full segments go both ways for as long as a story lasts.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    LabError, Node,
    family::{all_addresses, unmapped},
    http::body,
    stretched, wait_for,
};

/// What is said at a time, and how often.
const WORD: usize = 32_768;
const INTERVAL: Duration = Duration::from_millis(40);

/// A client that sends, and a server that sends all of it back. The connection closes when dropped.
pub struct Conversation {
    stream: TcpStream,
    /// The client as the server sees it.
    peer: IpAddr,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    returned: AtomicU64,
    end: Mutex<Option<String>>,
}

impl Conversation {
    /// Connects `client` to `port` of `server`, which has `address`.
    pub fn start(
        client: &Node,
        server: &Node,
        address: IpAddr,
        port: u16,
    ) -> Result<Conversation, LabError> {
        let listener = server.run(move |_| {
            TcpListener::bind(all_addresses(port))
                .map_err(LabError::io(format!("listen on port {port}")))
        })?;
        let stream = client.run(move |_| {
            let to = SocketAddr::from((address, port));
            TcpStream::connect_timeout(&to, stretched(Duration::from_secs(5)))
                .map_err(LabError::io(format!("connect to {to}")))
        })?;
        let (far, peer) = listener
            .accept()
            .map_err(LabError::io("accept a connection"))?;
        let clone = || {
            stream
                .try_clone()
                .map_err(LabError::io("share a connection"))
        };
        let (writer, reader) = (clone()?, clone()?);
        let progress = Arc::<Progress>::default();
        thread::spawn(move || io::copy(&mut &far, &mut &far));
        let (told, heard) = (Arc::clone(&progress), Arc::clone(&progress));
        thread::spawn(move || told.ends(speak(writer, &told.sent)));
        thread::spawn(move || heard.ends(listen(reader, &heard.returned)));
        Ok(Conversation {
            stream,
            peer: unmapped(peer).ip(),
            progress,
        })
    }

    /// The client's address as the server sees it.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Waits until so many octets that are yet to be sent have come back, each as it was sent. Gives how many have come
    /// back so far.
    pub fn go_on(&self, octets: u64, bound: Duration) -> Result<u64, LabError> {
        let goal = self.progress.sent.load(Ordering::SeqCst) + octets;
        let what = format!("octet {goal} to come back");
        wait_for(&what, bound, || {
            let end = self.progress.end.lock();
            if let Some(end) = end.unwrap_or_else(PoisonError::into_inner).as_ref() {
                return Err(LabError::Other(format!("the connection ended: {end}")));
            }
            let returned = self.progress.returned.load(Ordering::SeqCst);
            Ok((returned >= goal).then_some(returned))
        })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ended_already = self.stream.shutdown(Shutdown::Both);
    }
}

impl Progress {
    fn ends(&self, how: io::Result<()>) {
        let words = how.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.get_or_insert(words);
    }
}

fn speak(mut stream: TcpStream, sent: &AtomicU64) -> io::Result<()> {
    loop {
        stream.write_all(&body(sent.load(Ordering::SeqCst), WORD))?;
        sent.fetch_add(WORD as u64, Ordering::SeqCst);
        thread::sleep(stretched(INTERVAL));
    }
}

fn listen(mut stream: TcpStream, returned: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; WORD];
    loop {
        let length = stream.read(&mut buffer)?;
        let offset = returned.load(Ordering::SeqCst);
        if length == 0 {
            return Ok(());
        }
        if buffer[..length] != body(offset, length) {
            return Err(io::Error::other(format!(
                "what came back from octet {offset} on is not what was sent"
            )));
        }
        returned.fetch_add(length as u64, Ordering::SeqCst);
    }
}
