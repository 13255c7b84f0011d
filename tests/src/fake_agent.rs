//! A home agent that refuses, lies or stays silent. Written from RFC 5944 alone, without the project's own codec.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::{LabError, Node};

/// The index of the open mode's well-known association, and its key.
const OPEN_MODE_SPI: u32 = 0x4348_4100;
const OPEN_MODE_KEY: [u8; 16] = [0; 16];

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
    /// Listens on port 434 of `address`, which must be one of `node`'s.
    pub fn start(
        node: &Node,
        address: IpAddr,
        behaviour: Behaviour,
    ) -> Result<FakeAgent, LabError> {
        let address = of_mobile_ipv4(address)?;
        let agent = FakeAgent {
            requests: Arc::default(),
            closed: Arc::default(),
        };
        let (log, end) = (Arc::clone(&agent.requests), Arc::clone(&agent.closed));
        node.run(move |_| {
            let socket = UdpSocket::bind((address, 434))
                .map_err(LabError::io(format!("bind {address}:434")))?;
            socket
                .set_read_timeout(Some(Duration::from_millis(100)))
                .map_err(LabError::io("set a time-out"))?;
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !end.load(Ordering::SeqCst) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    let request = &buffer[..length];
                    log.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request.to_vec());
                    answer(&socket, request, from, address, behaviour);
                }
            });
            Ok(())
        })?;
        Ok(agent)
    }

    /// Every datagram that arrived.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// A Registration Request (RFC 5944 3.3) as a stranger would send it in open mode.
pub fn registration_request(
    home_address: IpAddr,
    home_agent: IpAddr,
    care_of_address: IpAddr,
    lifetime: u16,
    identification: u64,
    identity: &str,
) -> Result<Vec<u8>, LabError> {
    // D (co-located care-of address) and T (reverse tunnelling).
    let mut message = vec![1, 0x22];
    message.extend(lifetime.to_be_bytes());
    for address in [home_address, home_agent, care_of_address] {
        message.extend(of_mobile_ipv4(address)?.octets());
    }
    message.extend(identification.to_be_bytes());
    message.extend([131, u8::try_from(identity.len()).unwrap_or(u8::MAX)]);
    message.extend(identity.as_bytes().iter().take(255));
    authenticate(&mut message, OPEN_MODE_KEY);
    Ok(message)
}

fn of_mobile_ipv4(address: IpAddr) -> Result<Ipv4Addr, LabError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(LabError::Other(format!("{address} in Mobile IPv4"))),
    }
}

fn answer(
    socket: &UdpSocket,
    request: &[u8],
    from: SocketAddr,
    address: Ipv4Addr,
    behaviour: Behaviour,
) {
    if request.len() < 24 || request.first() != Some(&1) {
        return;
    }
    let reply = match behaviour {
        Behaviour::Silent => return,
        Behaviour::Rubbish => vec![3, 0, 0xff],
        Behaviour::Refuse(code) => reply(
            request,
            code,
            Ipv4Addr::UNSPECIFIED,
            address,
            OPEN_MODE_KEY,
            false,
        ),
        Behaviour::WrongAuthenticator => reply(
            request,
            0,
            Ipv4Addr::new(10, 250, 0, 1),
            address,
            [0x55; 16],
            false,
        ),
        Behaviour::WrongIdentification => reply(
            request,
            0,
            Ipv4Addr::new(10, 250, 0, 1),
            address,
            OPEN_MODE_KEY,
            true,
        ),
    };
    let _lost = socket.send_to(&reply, from);
}

/// A Registration Reply (RFC 5944 3.4).
fn reply(
    request: &[u8],
    code: u8,
    home_address: Ipv4Addr,
    home_agent: Ipv4Addr,
    key: [u8; 16],
    other: bool,
) -> Vec<u8> {
    let mut message = vec![3, code];
    message.extend(&request[2..4]);
    message.extend(home_address.octets());
    message.extend(home_agent.octets());
    let mut identification = request[16..24].to_vec();
    if other && let Some(last) = identification.last_mut() {
        *last ^= 0xff;
    }
    message.extend(identification);
    authenticate(&mut message, key);
    message
}

/// Appends the Mobile-Home Authentication Extension (RFC 5944 3.5.2) with HMAC-MD5.
fn authenticate(message: &mut Vec<u8>, key: [u8; 16]) {
    message.extend([32, 20]);
    message.extend(OPEN_MODE_SPI.to_be_bytes());
    if let Ok(mut code) = Hmac::<Md5>::new_from_slice(&key) {
        code.update(message);
        message.extend(code.finalize().into_bytes());
    }
}
