//! The fake agent's Mobile IPv4, from RFC 5944.

use std::net::{IpAddr, Ipv4Addr};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::{Behaviour, OPEN_MODE_KEY, OPEN_MODE_SPI, Request, WRONG_KEY};
use crate::LabError;

/// The UDP port of signalling.
pub(super) const PORT: u16 = 434;

/// What an agent lends that may not lend anything.
const LENT: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);

/// A Registration Request (RFC 5944 section 3.3).
pub(super) fn request(request: &Request<'_>) -> Result<Vec<u8>, LabError> {
    // D (co-located care-of address) and T (reverse tunnelling).
    let mut message = vec![1, 0x22];
    message.extend(request.lifetime.to_be_bytes());
    for address in [
        request.home_address,
        request.home_agent,
        request.care_of_address,
    ] {
        let IpAddr::V4(address) = address else {
            return Err(LabError::Other(format!("{address} in Mobile IPv4")));
        };
        message.extend(address.octets());
    }
    message.extend(request.identification.to_be_bytes());
    let identity = request.identity.as_bytes();
    message.extend([131, u8::try_from(identity.len()).unwrap_or(u8::MAX)]);
    message.extend(identity.iter().take(255));
    authenticate(&mut message, OPEN_MODE_KEY);
    Ok(message)
}

/// The code of a Registration Reply.
pub(super) fn code(reply: &[u8]) -> Option<u8> {
    reply.get(1).copied()
}

/// What an agent at `agent` that behaves so answers to `request`.
pub(super) fn answer(request: &[u8], agent: Ipv4Addr, behaviour: Behaviour) -> Option<Vec<u8>> {
    if request.len() < 24 || request.first() != Some(&1) {
        return None;
    }
    let (code, lent, key, other) = match behaviour {
        Behaviour::Silent => return None,
        Behaviour::Rubbish => return Some(vec![3, 0, 0xff]),
        Behaviour::Refuse(code) => (code, Ipv4Addr::UNSPECIFIED, OPEN_MODE_KEY, false),
        Behaviour::WrongAuthenticator => (0, LENT, WRONG_KEY, false),
        Behaviour::WrongIdentification => (0, LENT, OPEN_MODE_KEY, true),
    };
    // RFC 5944 section 3.4.
    let mut message = vec![3, code];
    message.extend(&request[2..4]);
    message.extend(lent.octets());
    message.extend(agent.octets());
    let mut identification = request[16..24].to_vec();
    if other && let Some(last) = identification.last_mut() {
        *last ^= 0xff;
    }
    message.extend(identification);
    authenticate(&mut message, key);
    Some(message)
}

/// Appends the Mobile-Home Authentication Extension (RFC 5944 section 3.5.2) with HMAC-MD5.
fn authenticate(message: &mut Vec<u8>, key: [u8; 16]) {
    message.extend([32, 20]);
    message.extend(OPEN_MODE_SPI.to_be_bytes());
    if let Ok(mut code) = Hmac::<Md5>::new_from_slice(&key) {
        code.update(message);
        message.extend(code.finalize().into_bytes());
    }
}
