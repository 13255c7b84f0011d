//! A home agent that refuses, lies or stays silent, and a mobile node that is a stranger. Written from the RFCs
//! alone, without the project's own codec.

mod mip4;
mod mip6;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Family, LabError, Node, udp};

/// The index of the open mode's well-known association, and its key.
const OPEN_MODE_SPI: u32 = 0x4348_4100;
const OPEN_MODE_KEY: [u8; 16] = [0; 16];

/// The key of somebody who does not know it.
const WRONG_KEY: [u8; 16] = [0x55; 16];

/// How the agent treats requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers each with this code, well authenticated.
    Refuse(u8),
    /// Hears and says nothing.
    Silent,
    /// Accepts, with an authenticator that does not fit.
    WrongAuthenticator,
    /// Accepts, but answers another request.
    WrongIdentification,
    /// Answers with octets that are no reply.
    Rubbish,
}

/// The agent; it closes when dropped.
pub struct FakeAgent {
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    closed: Arc<AtomicBool>,
}

impl FakeAgent {
    /// Listens at `address`, which must be one of `node`'s: for Mobile IPv4 on UDP port 434, for Mobile IPv6 to IP
    /// protocol 135 and on UDP port 4191.
    pub fn start(
        node: &Node,
        address: IpAddr,
        behaviour: Behaviour,
    ) -> Result<FakeAgent, LabError> {
        let agent = FakeAgent {
            requests: Arc::default(),
            closed: Arc::default(),
        };
        let what = move || LabError::io(format!("listen to signalling at {address}"));
        match address {
            IpAddr::V4(own) => {
                let bind = move |_: &_| UdpSocket::bind((own, mip4::PORT)).map_err(what());
                agent.serve(node.run(bind)?, move |request, _| {
                    mip4::answer(request, own, behaviour)
                })?;
            }
            IpAddr::V6(own) => {
                let bind = move |_: &_| UdpSocket::bind((own, mip6::PORT)).map_err(what());
                agent.serve(node.run(bind)?, move |packet, from| {
                    let update = packet.get(mip6::IPV6_HEADER..)?;
                    let answer = mip6::answer(update, own, from, behaviour)?;
                    Some(mip6::in_packet(own, from, &answer))
                })?;
                let bind = move |_: &_| open_raw(own).map_err(what());
                agent.serve(node.run(bind)?, move |update, from| {
                    mip6::answer(update, own, from, behaviour)
                })?;
            }
        }
        Ok(agent)
    }

    /// Every message that arrived.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Answers what arrives by `socket`. `answer` also gets the sender, unspecified where it is not of IPv6.
    fn serve(
        &self,
        socket: UdpSocket,
        answer: impl Fn(&[u8], Ipv6Addr) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<(), LabError> {
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .map_err(LabError::io("set a time-out"))?;
        let (log, end) = (Arc::clone(&self.requests), Arc::clone(&self.closed));
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let message = &buffer[..length];
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(message.to_vec());
                let sender = match from.ip() {
                    IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
                    IpAddr::V6(sender) => sender,
                };
                if let Some(answer) = answer(message, sender) {
                    let _lost = socket.send_to(&answer, from);
                }
            }
        });
        Ok(())
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// A request for a binding as a stranger would send it in open mode. Its addresses are all of one family.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The home address; unspecified to ask for one.
    pub home_address: IpAddr,
    /// Whom it goes to.
    pub home_agent: IpAddr,
    /// Where the stranger is.
    pub care_of_address: IpAddr,
    /// In seconds; Mobile IPv6 counts in fours.
    pub lifetime: u16,
    /// The identification; of Mobile IPv6 the sequence number is its lower end.
    pub identification: u64,
    /// Who asks.
    pub identity: &'a str,
}

impl Request<'_> {
    /// Where the agent takes requests by UDP.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        let port = match Family::of(self.home_agent) {
            Family::Ipv4 => mip4::PORT,
            Family::Ipv6 => mip6::PORT,
        };
        (self.home_agent, port).into()
    }

    /// The request as a datagram of UDP.
    pub fn datagram(&self) -> Result<Vec<u8>, LabError> {
        match (self.care_of_address, self.home_agent) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                Ok(mip6::in_packet(from, to, &mip6::request(self)?))
            }
            _ => mip4::request(self),
        }
    }

    /// Sends it from `node`, to which the care-of address belongs, and waits for the answer; gives its code. Mobile
    /// IPv6 goes without UDP.
    pub fn ask(&self, node: &Node, bound: Duration) -> Result<Option<u8>, LabError> {
        let (IpAddr::V6(from), agent) = (self.care_of_address, self.home_agent) else {
            let reply = udp::exchange(node, self.to(), self.datagram()?, bound)?;
            return Ok(reply.as_deref().and_then(mip4::code));
        };
        let update = mip6::request(self)?;
        node.run(move |_| {
            let what = || LabError::io(format!("ask {agent}"));
            let socket = open_raw(from).map_err(what())?;
            socket.set_read_timeout(Some(bound)).map_err(what())?;
            socket.send_to(&update, (agent, 0)).map_err(what())?;
            let mut buffer = [0; 2048];
            let heard = socket.recv(&mut buffer).unwrap_or_default();
            Ok(mip6::status(&buffer[..heard]))
        })
    }
}

/// A socket for Mobility Headers, whose checksum the kernel sees to. It reads and writes as one of UDP does.
fn open_raw(own: Ipv6Addr) -> std::io::Result<UdpSocket> {
    let protocol = Protocol::from(i32::from(mip6::PROTOCOL));
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol))?;
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    Ok(socket.into())
}
