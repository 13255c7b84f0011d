//! A name server made by hand: it sends exactly the octets it is told to, and
//! remembers exactly what it was asked.

pub mod bench;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const TXT: u16 = 16;
pub const NO_ERROR: u8 = 0;
pub const SERVER_FAILURE: u8 = 2;
pub const NO_SUCH_NAME: u8 = 3;

/// A question as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub bytes: Vec<u8>,
    pub peer: SocketAddr,
    pub tcp: bool,
}

impl Request {
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    pub fn name(&self) -> String {
        question(&self.bytes).0
    }

    pub fn kind(&self) -> u16 {
        question(&self.bytes).1
    }
}

/// An answer, after a while, perhaps from a socket that was not asked.
pub struct Reply {
    pub bytes: Vec<u8>,
    pub after: Duration,
    pub from_stranger: bool,
}

impl From<Vec<u8>> for Reply {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            after: Duration::ZERO,
            from_stranger: false,
        }
    }
}

type Handler = Arc<dyn Fn(&Request) -> Vec<Reply> + Send + Sync>;

/// A running name server; dropping it closes its sockets.
pub struct Fake {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    count: watch::Receiver<usize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fake {
    pub async fn start(handler: impl Fn(&Request) -> Vec<Reply> + Send + Sync + 'static) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), handler).await
    }

    pub async fn start_on(
        host: IpAddr,
        handler: impl Fn(&Request) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        for _ in 0..64 {
            let free = UdpSocket::bind((host, 0)).await.unwrap();
            let address = free.local_addr().unwrap();
            let Ok(listener) = TcpListener::bind(address).await else {
                continue;
            };
            return Self::run(address, free, listener, Arc::new(handler));
        }
        panic!("no port is free for both UDP and TCP");
    }

    pub async fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Request) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        Self::run(address, socket, listener, Arc::new(handler))
    }

    fn run(
        address: SocketAddr,
        socket: UdpSocket,
        listener: TcpListener,
        handler: Handler,
    ) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let counter = Arc::new(counter);
        let record = {
            let requests = Arc::clone(&requests);
            move |request: &Request| {
                requests.lock().unwrap().push(request.clone());
                counter.send_modify(|count| *count += 1);
            }
        };
        let udp = tokio::spawn(serve_udp(
            Arc::new(socket),
            Arc::clone(&handler),
            record.clone(),
        ));
        let tcp = tokio::spawn(serve_tcp(listener, handler, record));
        Self {
            address,
            requests,
            count,
            tasks: vec![udp, tcp],
        }
    }

    /// Closes the sockets and waits until they are closed.
    pub async fn stop(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _cancelled = task.await;
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests for one name, whatever the type.
    pub fn requests_for(&self, name: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.name() == name);
        requests
    }

    /// How many requests there were for one name and type.
    pub fn asked(&self, name: &str, kind: u16) -> usize {
        let requests = self.requests_for(name);
        requests
            .iter()
            .filter(|request| request.kind() == kind)
            .count()
    }

    /// Waits until a request for `name` has arrived.
    pub async fn asked_for(&self, name: &str) {
        let mut count = self.count.clone();
        let asked = async {
            while self.requests_for(name).is_empty() {
                count.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), asked)
            .await
            .unwrap_or_else(|_| panic!("nobody asked for {name}"));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, handler: Handler, record: impl Fn(&Request)) {
    let mut replies = tokio::task::JoinSet::new();
    let mut buffer = vec![0; 65535];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(_closed_port_of_a_client) => continue,
        };
        let request = Request {
            bytes: buffer[..length].to_vec(),
            peer,
            tcp: false,
        };
        record(&request);
        for reply in handler(&request) {
            let socket = Arc::clone(&socket);
            replies.spawn(async move {
                if !reply.after.is_zero() {
                    tokio::time::sleep(reply.after).await;
                }
                if reply.from_stranger {
                    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    stranger.send_to(&reply.bytes, peer).await.unwrap();
                } else {
                    let _client_may_be_gone = socket.send_to(&reply.bytes, peer).await;
                }
            });
        }
        while replies.try_join_next().is_some() {}
    }
}

async fn serve_tcp(
    listener: TcpListener,
    handler: Handler,
    record: impl Fn(&Request) + Clone + Send + 'static,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut stream, peer) = listener.accept().await.unwrap();
        let handler = Arc::clone(&handler);
        let record = record.clone();
        connections.spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut bytes = vec![0; length.into()];
                if stream.read_exact(&mut bytes).await.is_err() {
                    return;
                }
                let request = Request {
                    bytes,
                    peer,
                    tcp: true,
                };
                record(&request);
                for reply in handler(&request) {
                    tokio::time::sleep(reply.after).await;
                    let framed = framed(&reply.bytes);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What a zone says about one name.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub addresses: Vec<IpAddr>,
    /// TXT records, and when they are told.
    pub texts: Vec<String>,
    pub texts_after: Duration,
    pub after: Duration,
    pub ttl: u32,
    /// No answer at all.
    pub silent: bool,
}

/// Names and their addresses; every other name does not exist.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    pub entries: BTreeMap<String, Entry>,
    pub negative_ttl: u32,
    /// The answer for every name that has no entry.
    pub wildcard: Option<Entry>,
}

impl Zone {
    pub fn new() -> Self {
        Self {
            negative_ttl: 60,
            ..Self::default()
        }
    }

    pub fn with(self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.slow(name, address, Duration::ZERO)
    }

    pub fn slow(mut self, name: &str, address: impl Into<IpAddr>, after: Duration) -> Self {
        let entry = self.entries.entry(name.to_owned()).or_insert(Entry {
            ttl: 60,
            ..Entry::default()
        });
        entry.addresses.push(address.into());
        entry.after = after;
        self
    }

    pub fn entry(mut self, name: &str, entry: Entry) -> Self {
        self.entries.insert(name.to_owned(), entry);
        self
    }

    /// Adds a text to a name.
    pub fn text(mut self, name: &str, text: &str, after: Duration) -> Self {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.texts.push(text.to_owned());
        entry.texts_after = after;
        self
    }

    pub fn handler(self) -> impl Fn(&Request) -> Vec<Reply> + Send + Sync + 'static {
        move |request| {
            let name = request.name();
            let Some(entry) = self.entries.get(&name).or(self.wildcard.as_ref()) else {
                return vec![negative(&request.bytes, self.negative_ttl).into()];
            };
            if entry.silent {
                return vec![];
            }
            if request.kind() == TXT {
                return vec![Reply {
                    bytes: texts(&request.bytes, entry.ttl, &entry.texts),
                    after: entry.texts_after,
                    from_stranger: false,
                }];
            }
            let mut addresses = entry.addresses.clone();
            addresses.retain(|address| type_of(*address) == request.kind());
            let bytes = answer(&request.bytes, entry.ttl, &addresses);
            vec![Reply {
                bytes,
                after: entry.after,
                from_stranger: false,
            }]
        }
    }
}

/// A query with recursion desired and nothing else.
pub fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(encoded(name));
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The header and question of `query` as a response without records.
pub fn response(query: &[u8], code: u8) -> Vec<u8> {
    let mut bytes = query[..question_end(query)].to_vec();
    bytes[2] |= 0x80;
    bytes[3] = 0x80 | code;
    bytes[6..12].fill(0);
    bytes
}

/// A response with addresses of the name that was asked for.
pub fn answer(query: &[u8], ttl: u32, addresses: &[IpAddr]) -> Vec<u8> {
    let mut bytes = response(query, NO_ERROR);
    bytes[7] = addresses.len().try_into().unwrap();
    for address in addresses {
        bytes.extend([0xc0, 12]);
        bytes.extend(type_of(*address).to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(ttl.to_be_bytes());
        match address {
            IpAddr::V4(address) => bytes.extend([&[0, 4], &address.octets()[..]].concat()),
            IpAddr::V6(address) => bytes.extend([&[0, 16], &address.octets()[..]].concat()),
        }
    }
    bytes
}

/// A response with texts of the name that was asked for, in strings of 40 octets.
pub fn texts(query: &[u8], ttl: u32, texts: &[String]) -> Vec<u8> {
    let mut bytes = response(query, NO_ERROR);
    bytes[7] = texts.len().try_into().unwrap();
    for text in texts {
        let strings = text.as_bytes().chunks(40).flat_map(|chunk| {
            let length = u8::try_from(chunk.len()).unwrap();
            [&[length], chunk].concat()
        });
        let data: Vec<u8> = strings.collect();
        bytes.extend([0xc0, 12, 0, 16, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

fn type_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { A } else { AAAA }
}

/// A response through an alias.
pub fn aliased(query: &[u8], alias: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = response(query, NO_ERROR);
    bytes[7] = 2;
    let target = encoded(alias);
    bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0]);
    bytes.push(target.len().try_into().unwrap());
    bytes.extend(&target);
    bytes.extend(&target);
    bytes.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    bytes.extend(address.octets());
    bytes
}

/// A response that the name does not exist.
pub fn negative(query: &[u8], ttl: u32) -> Vec<u8> {
    let mut bytes = response(query, NO_SUCH_NAME);
    bytes[9] = 1;
    bytes.extend([0, 0, 6, 0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend([0, 22, 0, 0]);
    bytes.extend([0; 16]);
    bytes.extend(ttl.to_be_bytes());
    bytes
}

/// A message with its length before it.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}

/// The same octets under another id.
pub fn with_id(bytes: &[u8], id: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    bytes
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len().try_into().unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn question(bytes: &[u8]) -> (String, u16) {
    if bytes[5] == 0 {
        return (String::new(), 0);
    }
    let end = question_end(bytes);
    let mut labels = Vec::new();
    let mut at = 12;
    while bytes[at] != 0 {
        let length = usize::from(bytes[at]);
        labels.push(String::from_utf8_lossy(&bytes[at + 1..=at + length]).into_owned());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([bytes[end - 4], bytes[end - 3]]);
    (labels.join(".").to_lowercase(), kind)
}

fn question_end(bytes: &[u8]) -> usize {
    if bytes[5] == 0 {
        return 12;
    }
    let mut at = 12;
    while bytes[at] != 0 {
        at += usize::from(bytes[at]) + 1;
    }
    at + 5
}

/// One counter's value.
pub fn counter(counters: &[(&'static str, u64)], name: &str) -> u64 {
    counters
        .iter()
        .find(|(other, _)| *other == name)
        .unwrap_or_else(|| panic!("no counter {name}"))
        .1
}

/// An application: it asks and waits for the answer.
pub struct Client(UdpSocket);

impl Client {
    pub async fn of(relay: SocketAddr) -> Self {
        let local: IpAddr = match relay {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let socket = UdpSocket::bind((local, 0)).await.unwrap();
        socket.connect(relay).await.unwrap();
        Self(socket)
    }

    pub async fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).await.unwrap();
    }

    pub async fn receive(&self) -> Vec<u8> {
        self.receive_within(Duration::from_secs(8))
            .await
            .expect("an answer")
    }

    pub async fn receive_within(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65535];
        let length = tokio::time::timeout(patience, self.0.recv(&mut buffer))
            .await
            .ok()?
            .unwrap();
        buffer.truncate(length);
        Some(buffer)
    }

    pub async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes).await;
        self.receive().await
    }
}
