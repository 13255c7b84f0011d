//! The fake agent's Mobile IPv6, from RFC 6275 and RFC 4285.
//!
//! A home address, and the wish for one, stands in a home network prefix option of length 128.

use std::net::{IpAddr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::{Behaviour, OPEN_MODE_KEY, OPEN_MODE_SPI, Request, WRONG_KEY};
use crate::{LabError, checksum, packet};

/// The IP protocol of Mobility Headers.
pub(super) const PROTOCOL: u8 = 135;

/// The UDP port that takes whole packets where that protocol does not get through.
pub(super) const PORT: u16 = 4191;

/// The length of the IPv6 header in front of a Mobility Header in UDP.
pub(super) const IPV6_HEADER: usize = 40;

const NO_NEXT_HEADER: u8 = 59;
const BINDING_UPDATE: u8 = 5;
const BINDING_ACKNOWLEDGEMENT: u8 = 6;

const PAD_N: u8 = 1;
const ALTERNATE_CARE_OF_ADDRESS: u8 = 3;
const MOBILE_NODE_IDENTIFIER: u8 = 8;
const AUTHENTICATION: u8 = 9;
const REPLAY_PROTECTION: u8 = 10;
const HOME_NETWORK_PREFIX: u8 = 22;

/// The octets of an authenticator (RFC 4285 section 5.1).
const AUTHENTICATOR: usize = 12;

/// What an agent lends that may not lend anything.
const LENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 250, 0, 0, 0, 0, 1);

/// A Binding Update (RFC 6275 section 6.1.7) with its checksum.
pub(super) fn request(request: &Request<'_>) -> Result<Vec<u8>, LabError> {
    let of_ipv6 = |address| match address {
        IpAddr::V6(address) => Ok(address),
        IpAddr::V4(_) => Err(LabError::Other(format!("{address} in Mobile IPv6"))),
    };
    let home_address = of_ipv6(request.home_address)?;
    let home_agent = of_ipv6(request.home_agent)?;
    let care_of_address = of_ipv6(request.care_of_address)?;
    let [.., high, low] = request.identification.to_be_bytes();
    let mut message = vec![NO_NEXT_HEADER, 0, BINDING_UPDATE, 0, 0, 0, high, low];
    // A (acknowledge) and H (home registration).
    message.extend([0xc0, 0]);
    message.extend((request.lifetime / 4).to_be_bytes());
    pad(&mut message, 6);
    message.extend([ALTERNATE_CARE_OF_ADDRESS, 16]);
    message.extend(care_of_address.octets());
    push_home_address(&mut message, home_address);
    let identity = request.identity.as_bytes();
    let length = u8::try_from(identity.len() + 1).unwrap_or(u8::MAX);
    message.extend([MOBILE_NODE_IDENTIFIER, length, 1]);
    message.extend(identity.iter().take(254));
    authenticate(&mut message, [care_of_address, home_address], OPEN_MODE_KEY);
    seal(&mut message, care_of_address, home_agent);
    Ok(message)
}

/// The status of a Binding Acknowledgement.
pub(super) fn status(acknowledgement: &[u8]) -> Option<u8> {
    let is_one = acknowledgement.get(2) == Some(&BINDING_ACKNOWLEDGEMENT);
    acknowledgement.get(6).copied().filter(|_| is_one)
}

/// What an agent at `agent` that behaves so answers to `update` from `care_of_address`.
pub(super) fn answer(
    update: &[u8],
    agent: Ipv6Addr,
    care_of_address: Ipv6Addr,
    behaviour: Behaviour,
) -> Option<Vec<u8>> {
    if update.len() < 12 || update.get(2) != Some(&BINDING_UPDATE) {
        return None;
    }
    let (status, lent, key, other) = match behaviour {
        Behaviour::Silent => return None,
        Behaviour::Rubbish => {
            // Too short for what it says it is.
            let mut message = vec![NO_NEXT_HEADER, 0, BINDING_ACKNOWLEDGEMENT, 0, 0, 0, 0, 0];
            seal(&mut message, agent, care_of_address);
            return Some(message);
        }
        Behaviour::Refuse(status) => (status, None, OPEN_MODE_KEY, 0),
        Behaviour::WrongAuthenticator => (0, Some(LENT), WRONG_KEY, 0),
        Behaviour::WrongIdentification => (0, Some(LENT), OPEN_MODE_KEY, 0xff),
    };
    // RFC 6275 section 6.1.8.
    let mut message = vec![
        NO_NEXT_HEADER,
        0,
        BINDING_ACKNOWLEDGEMENT,
        0,
        0,
        0,
        status,
        0,
    ];
    message.extend([update[6], update[7] ^ other]);
    message.extend(&update[10..12]);
    if let Some(lent) = lent {
        push_home_address(&mut message, lent);
    }
    // RFC 4285 section 6: the timestamp comes back as it was.
    if let Some(timestamp) = option(update, REPLAY_PROTECTION) {
        pad(&mut message, 2);
        message.extend([REPLAY_PROTECTION, 8]);
        message.extend(timestamp);
    }
    let home_address = lent
        .or(option(update, HOME_NETWORK_PREFIX).and_then(home_address))
        .unwrap_or(Ipv6Addr::UNSPECIFIED);
    authenticate(&mut message, [care_of_address, home_address], key);
    seal(&mut message, agent, care_of_address);
    Some(message)
}

/// A message as it goes in UDP: behind the header of the packet that it would be in without.
pub(super) fn in_packet(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    packet::ipv6(source, destination, PROTOCOL, message)
}

/// The home network prefix option: all of it is the address, nothing of it the request for one.
fn push_home_address(message: &mut Vec<u8>, address: Ipv6Addr) {
    pad(message, 4);
    message.extend([HOME_NETWORK_PREFIX, 18, 0, 128]);
    message.extend(address.octets());
}

fn home_address(option: &[u8]) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = option.get(2..18)?.try_into().ok()?;
    Some(octets.into())
}

/// The data of the first option of a kind.
fn option(message: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = message.get(12..)?;
    loop {
        match rest {
            [0, behind @ ..] => rest = behind,
            [found, length, behind @ ..] => {
                let data = behind.get(..usize::from(*length))?;
                if *found == kind {
                    return Some(data);
                }
                rest = behind.get(usize::from(*length)..)?;
            }
            _ => return None,
        }
    }
}

/// Appends the MN-HA Mobility Message Authentication option (RFC 4285 section 5.1) with HMAC-MD5: it ends the message,
/// whose length is counted with it.
fn authenticate(message: &mut Vec<u8>, addresses: [Ipv6Addr; 2], key: [u8; 16]) {
    pad(message, 5);
    message.extend([AUTHENTICATION, 17, 1]);
    message.extend(OPEN_MODE_SPI.to_be_bytes());
    let units = (message.len() + AUTHENTICATOR) / 8 - 1;
    message[1] = u8::try_from(units).unwrap_or(u8::MAX);
    if let Ok(mut code) = Hmac::<Md5>::new_from_slice(&key) {
        for address in addresses {
            code.update(&address.octets());
        }
        code.update(message);
        message.extend(&code.finalize().into_bytes()[..AUTHENTICATOR]);
    }
}

/// Pads until the next option begins at an offset that leaves `remainder` when divided by eight.
fn pad(message: &mut Vec<u8>, remainder: usize) {
    match (remainder + 8 - message.len() % 8) % 8 {
        0 => {}
        1 => message.push(0),
        gap => {
            message.extend([PAD_N, u8::try_from(gap - 2).unwrap_or_default()]);
            message.resize(message.len() + gap - 2, 0);
        }
    }
}

/// Writes the checksum (RFC 6275 section 6.1.1).
fn seal(message: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
    let checksum = checksum::over_ipv6(source, destination, PROTOCOL, message);
    message[4..6].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_a_known_packet() {
        let care_of_address = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10);
        let home_agent = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);
        let mut message = vec![59, 3, 5, 0, 0, 0, 0x12, 0x34, 0xc0, 0, 0, 0x96, 1, 0, 3, 16];
        message.extend(care_of_address.octets());
        seal(&mut message, care_of_address, home_agent);
        assert_eq!(message[4..6], [0x5b, 0x2e]);
    }

    #[test]
    fn options_stand_where_they_must() {
        let update = request(&Request {
            home_address: Ipv6Addr::UNSPECIFIED.into(),
            home_agent: Ipv6Addr::LOCALHOST.into(),
            care_of_address: Ipv6Addr::LOCALHOST.into(),
            lifetime: 60,
            identification: 7,
            identity: "vandal@example.org",
        })
        .unwrap_or_default();
        assert_eq!(update.len() % 8, 0);
        assert_eq!(usize::from(update[1]), update.len() / 8 - 1);
        assert_eq!(update[14..16], [ALTERNATE_CARE_OF_ADDRESS, 16]);
        assert_eq!(update[36..38], [HOME_NETWORK_PREFIX, 18]);
        let last = update.len() - 19;
        assert_eq!(update[last..last + 2], [AUTHENTICATION, 17]);
        assert_eq!(
            option(&update, MOBILE_NODE_IDENTIFIER).map(<[u8]>::len),
            Some(19)
        );
    }
}
