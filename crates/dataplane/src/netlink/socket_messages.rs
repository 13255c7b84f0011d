//! The messages of `NETLINK_SOCK_DIAG` (sock_diag(7)), as far as the use of an address needs them:
//! a request that lets the kernel filter by local address, and the fixed part of a socket's
//! description.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};

pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;

const TCP_TIME_WAIT: u32 = 6;
const TCP_CLOSE: u32 = 7;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_BC_JMP: u8 = 1;
const INET_DIAG_BC_S_COND: u8 = 7;

const REQUEST_LENGTH: usize = 56;
/// `struct inet_diag_bc_op`.
const OPERATION_LENGTH: u8 = 4;
/// The condition without its address.
const CONDITION_LENGTH: u8 = OPERATION_LENGTH + 8;
const DESCRIPTION_LENGTH: usize = 72;

/// A transport protocol whose sockets the kernel can list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// How many local addresses a request can name: its filter's length is a number of 16 bits.
pub(crate) const MOST_LOCALS: usize = 1024;

/// Asks for the sockets with one of some local addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Of the sockets: `AF_INET6` for those of IPv6, also when they use a mapped IPv4 address.
    pub(crate) family: u8,
    pub(crate) transport: Transport,
    /// At least one and at most [`MOST_LOCALS`].
    pub(crate) locals: Vec<IpAddr>,
}

/// A socket, as an answer or as the report of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Its local address; a mapped IPv4 address as that.
    pub(crate) local: IpAddr,
}

/// A message of `NETLINK_SOCK_DIAG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SocketMessage {
    Request(Request),
    Socket(Socket),
}

impl Request {
    /// The states that count, as a set of bits. A UDP socket is in state CLOSE while it has no peer.
    fn states(&self) -> u32 {
        match self.transport {
            Transport::Tcp => !(1 << TCP_TIME_WAIT | 1 << TCP_CLOSE),
            Transport::Udp => u32::MAX,
        }
    }

    /// `struct inet_diag_req_v2`, then the filter.
    fn octets(&self) -> Vec<u8> {
        let protocol = match self.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        };
        let mut octets = vec![self.family, protocol, 0, 0];
        octets.extend_from_slice(&self.states().to_ne_bytes());
        octets.resize(REQUEST_LENGTH, 0);
        let filter = self.filter();
        let attribute_length = u16::try_from(4 + filter.len()).unwrap_or(u16::MAX);
        octets.extend_from_slice(&attribute_length.to_ne_bytes());
        octets.extend_from_slice(&INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        octets.extend_from_slice(&filter);
        octets
    }

    /// For each address a condition "local address is" and a jump to the end, which accepts. A
    /// condition that does not hold leads past that jump: to the next one, or past the end.
    fn filter(&self) -> Vec<u8> {
        let mut filter = Vec::new();
        // From the end, where the distance to it is known.
        for local in self.locals.iter().rev() {
            let end = u16::try_from(filter.len()).unwrap_or(u16::MAX);
            let jump = match end {
                0 => Vec::new(),
                _ => operation(
                    INET_DIAG_BC_JMP,
                    OPERATION_LENGTH,
                    end + u16::from(OPERATION_LENGTH),
                ),
            };
            let mut part = condition(*local);
            part.extend_from_slice(&jump);
            part.append(&mut filter);
            filter = part;
        }
        filter
    }
}

/// `struct inet_diag_bc_op`: where to go on, in octets from its beginning.
fn operation(code: u8, yes: u8, no: u16) -> Vec<u8> {
    let mut octets = vec![code, yes];
    octets.extend_from_slice(&no.to_ne_bytes());
    octets
}

/// `struct inet_diag_bc_op` and `struct inet_diag_hostcond` of any port.
fn condition(local: IpAddr) -> Vec<u8> {
    let (family, prefix_length, address) = match local {
        IpAddr::V4(local) => (AF_INET, 32, local.octets().to_vec()),
        IpAddr::V6(local) => (AF_INET6, 128, local.octets().to_vec()),
    };
    let length = CONDITION_LENGTH + prefix_length / 8;
    let past_the_jump = u16::from(length) + u16::from(OPERATION_LENGTH);
    let mut octets = operation(INET_DIAG_BC_S_COND, length, past_the_jump);
    octets.extend_from_slice(&[family, prefix_length, 0, 0]);
    octets.extend_from_slice(&(-1i32).to_ne_bytes());
    octets.extend_from_slice(&address);
    octets
}

impl Socket {
    /// Reads `struct inet_diag_msg`. Attributes behind it are not looked at: their lengths differ
    /// between kernels.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let description: &[u8; DESCRIPTION_LENGTH] = payload.first_chunk()?;
        let address: [u8; 16] = *description[8..].first_chunk()?;
        let local = match description[0] {
            AF_INET => IpAddr::from(*address.first_chunk::<4>()?),
            AF_INET6 => IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
            _ => return None,
        };
        Some(Self { local })
    }
}

impl NetlinkSerializable for SocketMessage {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        match self {
            Self::Request(request) => request.octets().len(),
            Self::Socket(_) => 0,
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        if let Self::Request(request) = self {
            buffer.copy_from_slice(&request.octets());
        }
    }
}

impl NetlinkDeserializable for SocketMessage {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Socket::decode(payload)
            .map(Self::Socket)
            .ok_or_else(|| DecodeError::from("not the description of an Internet socket"))
    }
}

impl From<SocketMessage> for NetlinkPayload<SocketMessage> {
    fn from(message: SocketMessage) -> Self {
        NetlinkPayload::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_filter_is_one_condition_that_accepts_at_its_end() {
        let request = Request {
            family: AF_INET,
            transport: Transport::Tcp,
            locals: vec![[10, 1, 2, 3].into()],
        };
        let octets = request.octets();
        assert_eq!(octets[..4], [2, 6, 0, 0]);
        assert_eq!(octets[4..8], 0xffff_ff3f_u32.to_ne_bytes());
        let filter = &octets[REQUEST_LENGTH..];
        assert_eq!(filter[..2], 20u16.to_ne_bytes());
        assert_eq!(filter.len(), 20);
        assert_eq!(filter[4], 7);
        assert_eq!(filter[5], 16, "yes: to the end");
        assert_eq!(filter[6..8], 20u16.to_ne_bytes(), "no: past the end");
        assert_eq!(filter[16..], [10, 1, 2, 3]);
    }

    #[test]
    fn the_filter_of_several_addresses_accepts_each_at_its_end() {
        let local: Ipv6Addr = "2001:db8:4::5".parse().unwrap();
        let locals = vec![[10, 1, 2, 3].into(), local.into(), [10, 1, 2, 4].into()];
        let request = Request {
            family: AF_INET6,
            transport: Transport::Tcp,
            locals,
        };
        let filter = &request.octets()[REQUEST_LENGTH + 4..];
        assert_eq!(filter.len(), 16 + 4 + 28 + 4 + 16);
        let operation = |at: usize| (filter[at], filter[at + 1], filter[at + 2]);
        assert_eq!(operation(0), (INET_DIAG_BC_S_COND, 16, 20));
        assert_eq!(operation(16), (INET_DIAG_BC_JMP, 4, 52), "to the end");
        assert_eq!(operation(20), (INET_DIAG_BC_S_COND, 28, 32));
        assert_eq!(operation(48), (INET_DIAG_BC_JMP, 4, 20), "to the end");
        assert_eq!(operation(52), (INET_DIAG_BC_S_COND, 16, 20));
    }

    #[test]
    fn the_longest_filter_is_not_too_long() {
        let locals = vec![Ipv6Addr::LOCALHOST.into(); MOST_LOCALS];
        let request = Request {
            family: AF_INET6,
            transport: Transport::Tcp,
            locals,
        };
        let octets = request.octets();
        let length = u16::try_from(octets.len() - REQUEST_LENGTH).unwrap();
        assert_eq!(octets[REQUEST_LENGTH..][..2], length.to_ne_bytes());
    }

    #[test]
    fn an_ipv6_address_is_asked_for_in_full() {
        let local: Ipv6Addr = "2001:db8:4::5".parse().unwrap();
        let request = Request {
            family: AF_INET6,
            transport: Transport::Udp,
            locals: vec![local.into()],
        };
        let octets = request.octets();
        assert_eq!(octets[..4], [10, 17, 0, 0]);
        let filter = &octets[REQUEST_LENGTH..];
        assert_eq!(filter[..2], 32u16.to_ne_bytes());
        assert_eq!((filter.len(), filter[5]), (32, 28));
        assert_eq!(filter[6..8], 32u16.to_ne_bytes());
        assert_eq!(filter[8..10], [10, 128]);
        assert_eq!(filter[16..], local.octets());
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mut description = [0; DESCRIPTION_LENGTH];
        description[0] = AF_INET6;
        let mapped = std::net::Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped();
        description[8..24].copy_from_slice(&mapped.octets());
        let socket = Socket::decode(&description).unwrap();
        assert_eq!(socket.local, IpAddr::from([10, 1, 2, 3]));
    }

    proptest! {
        #[test]
        fn arbitrary_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(socket) = Socket::decode(&octets) {
                prop_assert!(octets.len() >= DESCRIPTION_LENGTH);
                prop_assert!(octets[0] == AF_INET6 || socket.local.is_ipv4());
            }
        }
    }
}
