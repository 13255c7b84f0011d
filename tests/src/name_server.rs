//! An authoritative name server whose records change while it runs, and which can die and return.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signed_zone::{Question as SignedQuestion, Zone as SignedZone};

use crate::{
    Addresses, Family, LabError, Node,
    family::{all_addresses, unmapped},
};

const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_DS: u16 = 43;

/// The server. Names without a record do not exist (NXDOMAIN with a negative lifetime of one second).
pub struct NameServer {
    node: Node,
    addresses: Addresses,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    zone: Mutex<Zone>,
    running: AtomicBool,
    /// Counts starts, so that threads of an earlier life end.
    life: std::sync::atomic::AtomicUsize,
}

#[derive(Default)]
struct Zone {
    records: BTreeMap<String, Record>,
    /// Of what is at or below these names nothing else counts.
    signed: BTreeMap<String, SignedZone>,
    queries: Vec<Query>,
}

#[derive(Clone, Default)]
struct Record {
    addresses: Vec<IpAddr>,
    text: Option<String>,
    lifetime: u32,
    delay: Duration,
    deaf: bool,
}

/// A question that arrived.
#[derive(Clone, Debug)]
pub struct Query {
    /// The name, in lower case, without the final dot.
    pub name: String,
    /// The record type.
    pub kind: u16,
    /// Who asked.
    pub from: SocketAddr,
    /// When.
    pub at: Instant,
}

impl NameServer {
    pub(crate) fn idle(node: Node, addresses: Addresses) -> NameServer {
        NameServer {
            node,
            addresses,
            shared: Arc::default(),
        }
    }

    /// Starts the server on `node`, port 53 of UDP and TCP.
    pub fn start(node: Node, addresses: Addresses) -> Result<NameServer, LabError> {
        let server = NameServer::idle(node, addresses);
        server.revive()?;
        Ok(server)
    }

    /// The server's address, of the story's family.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.addresses.of(Family::of_this_story())
    }

    /// The server's machine.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Makes this the only address of a name, with a lifetime of a minute.
    pub fn set(&self, name: &str, address: impl Into<IpAddr>) {
        self.set_with(name, &[address.into()], 60);
    }

    /// Sets the addresses of a name, of either family, and their lifetime in seconds.
    pub fn set_with(&self, name: &str, addresses: &[IpAddr], lifetime: u32) {
        let mut zone = self.zone();
        let record = zone.records.entry(name.to_ascii_lowercase()).or_default();
        record.addresses = addresses.to_vec();
        record.lifetime = lifetime;
    }

    /// Makes this the only text of a name that has addresses.
    pub fn set_text(&self, name: &str, text: &str) {
        let mut zone = self.zone();
        let record = zone.records.entry(name.to_ascii_lowercase()).or_default();
        record.text = Some(text.to_owned());
    }

    /// Makes a name unknown.
    pub fn remove(&self, name: &str) {
        self.zone().records.remove(&name.to_ascii_lowercase());
    }

    /// From now on answers about a name, and about all below it that have no such zone of their own, come from `zone`,
    /// and none of what was set otherwise.
    pub fn answer_from(&self, name: &str, zone: SignedZone) {
        self.zone().signed.insert(name.to_ascii_lowercase(), zone);
    }

    /// Lets every answer about a name wait.
    pub fn delay(&self, name: &str, delay: Duration) {
        self.zone()
            .records
            .entry(name.to_ascii_lowercase())
            .or_default()
            .delay = delay;
    }

    /// Never answers about a name.
    pub fn ignore(&self, name: &str) {
        self.zone()
            .records
            .entry(name.to_ascii_lowercase())
            .or_default()
            .deaf = true;
    }

    /// All questions so far.
    #[must_use]
    pub fn queries(&self) -> Vec<Query> {
        self.zone().queries.clone()
    }

    /// How many questions there were for the addresses of a name, of the story's family.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        let kind = kind_of(Family::of_this_story());
        self.zone()
            .queries
            .iter()
            .filter(|query| query.name == name && query.kind == kind)
            .count()
    }

    /// The server dies: its sockets close, questions get ICMP port unreachable.
    pub fn die(&self) {
        self.shared.running.store(false, Ordering::SeqCst);
        // The threads notice within their read time-out; the sockets are closed then.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Arc::strong_count(&self.shared) > 1 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The server returns, with its records.
    pub fn revive(&self) -> Result<(), LabError> {
        self.shared.running.store(true, Ordering::SeqCst);
        let life = self.shared.life.fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(&self.shared);
        self.node.run(move |_| {
            let udp =
                UdpSocket::bind(all_addresses(53)).map_err(LabError::io("bind port 53 of UDP"))?;
            let tcp = TcpListener::bind(all_addresses(53))
                .map_err(LabError::io("bind port 53 of TCP"))?;
            udp.set_read_timeout(Some(Duration::from_millis(20)))
                .map_err(LabError::io("set a time-out"))?;
            tcp.set_nonblocking(true)
                .map_err(LabError::io("set non-blocking"))?;
            let for_tcp = Arc::clone(&shared);
            thread::spawn(move || serve_udp(&udp, &shared, life));
            thread::spawn(move || serve_tcp(&tcp, &for_tcp, life));
            Ok(())
        })
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.shared
            .zone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.running.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn alive(&self, life: usize) -> bool {
        self.running.load(Ordering::SeqCst) && self.life.load(Ordering::SeqCst) == life
    }

    /// The reply to a query and how long it waits; `None` when there is none.
    fn answer(&self, query: &[u8], from: SocketAddr) -> Option<(Vec<u8>, Duration)> {
        let question = Question::parse(query)?;
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.queries.push(Query {
            name: question.name.clone(),
            kind: question.kind,
            from: unmapped(from),
            at: Instant::now(),
        });
        if let Some(signed) = zone.signed_around(&question) {
            let reply = signed.answer(&SignedQuestion::parse(query));
            return Some((reply, Duration::ZERO));
        }
        let record = zone
            .records
            .get(&question.name)
            .cloned()
            .unwrap_or_default();
        drop(zone);
        (!record.deaf).then(|| (question.reply(query, &record), record.delay))
    }
}

impl Zone {
    fn signed_around(&self, question: &Question) -> Option<&SignedZone> {
        let name = question.name.as_str();
        // Whether a zone is signed is for the one above to say (RFC 4035 section 3.1.4.1).
        let own = (question.kind != TYPE_DS).then_some(name);
        let above = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        own.into_iter()
            .chain(above)
            .find_map(|name| self.signed.get(name))
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Arc<Shared>, life: usize) {
    let mut buffer = [0; 4096];
    while shared.alive(life) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let Some((reply, delay)) = shared.answer(&buffer[..length], from) else {
            continue;
        };
        if delay.is_zero() {
            let _lost = socket.send_to(&reply, from);
        } else if let Ok(socket) = socket.try_clone() {
            thread::spawn(move || {
                thread::sleep(delay);
                let _lost = socket.send_to(&reply, from);
            });
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>, life: usize) {
    while shared.alive(life) {
        if let Ok((stream, from)) = listener.accept() {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let _hung_up = serve_connection(stream, from, &shared);
            });
        } else {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn serve_connection(
    mut stream: TcpStream,
    from: SocketAddr,
    shared: &Shared,
) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let Some((reply, delay)) = shared.answer(&query, from) else {
            return Ok(());
        };
        thread::sleep(delay);
        let length = u16::try_from(reply.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat())?;
    }
}

struct Question {
    name: String,
    kind: u16,
    end: usize,
}

impl Question {
    fn parse(query: &[u8]) -> Option<Question> {
        let is_query = query.get(2)? & 0x80 == 0;
        if !is_query || query.get(4..6)? != [0, 1] {
            return None;
        }
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
        Some(Question {
            name: labels.join("."),
            kind,
            end: at + 4,
        })
    }

    fn reply(&self, query: &[u8], record: &Record) -> Vec<u8> {
        let exists = !record.addresses.is_empty();
        let addresses = record
            .addresses
            .iter()
            .filter(|address| kind_of(Family::of(**address)) == self.kind)
            .map(|address| match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            });
        // In strings of one octet length each.
        let texts = record
            .text
            .iter()
            .filter(|_| self.kind == TYPE_TXT)
            .map(|text| {
                let strings = text.as_bytes().chunks(255);
                let string =
                    |chunk: &[u8]| [&[u8::try_from(chunk.len()).unwrap_or(0)], chunk].concat();
                strings.flat_map(string).collect()
            });
        let answers: Vec<Vec<u8>> = addresses.chain(texts).collect();
        let mut reply = query.get(..2).unwrap_or_default().to_vec();
        let recursion_desired = query.get(2).copied().unwrap_or_default() & 1;
        // QR and AA, RA; NXDOMAIN where nothing has that name.
        reply.extend([0x84 | recursion_desired, 0x80 | if exists { 0 } else { 3 }]);
        let count = u16::try_from(answers.len()).unwrap_or_default();
        reply.extend([0, 1]);
        reply.extend(count.to_be_bytes());
        reply.extend([0, u8::from(count == 0), 0, 0]);
        reply.extend(query.get(12..self.end).unwrap_or_default());
        for data in answers {
            reply.extend([0xc0, 12]);
            reply.extend(self.kind.to_be_bytes());
            reply.extend([0, 1]);
            reply.extend(record.lifetime.to_be_bytes());
            reply.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
            reply.extend(data);
        }
        if count == 0 {
            reply.extend(start_of_authority());
        }
        reply
    }
}

/// The record type of addresses of a family.
fn kind_of(family: Family) -> u16 {
    match family {
        Family::Ipv4 => TYPE_A,
        Family::Ipv6 => TYPE_AAAA,
    }
}

/// The root's SOA record with a negative lifetime of one second (RFC 2308 section 5).
fn start_of_authority() -> Vec<u8> {
    let mut record = vec![0];
    record.extend(TYPE_SOA.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 1, 0, 22, 0, 0]);
    for number in [1_u32, 3600, 600, 86_400, 1] {
        record.extend(number.to_be_bytes());
    }
    record
}
