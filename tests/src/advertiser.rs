//! Router advertisements (RFC 4861 section 4.2) whose content and time are told by the story.

use std::{
    io::Read,
    net::{Ipv6Addr, SocketAddrV6},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use ipnet::Ipv6Net;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{LabError, Node};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;

/// On-link, and for autonomous address configuration.
const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;

/// Neighbour discovery believes only what no router has forwarded.
const HOPS: u32 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a router says about its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// How long it is a default router, in seconds; 0 for not at all.
    pub router_lifetime: u16,
    /// The prefix of which visitors make addresses.
    pub prefix: Ipv6Net,
    /// How long those addresses are preferred, in seconds.
    pub preferred: u32,
    /// How long those addresses are valid, in seconds.
    pub valid: u32,
    /// The MTU option, in octets.
    pub mtu: Option<u32>,
}

impl Advertisement {
    /// A default router's, for half an hour (RFC 4861 section 6.2.1).
    #[must_use]
    pub fn of(prefix: Ipv6Net) -> Advertisement {
        Advertisement {
            router_lifetime: 1_800,
            prefix,
            preferred: 1_800,
            valid: 3_600,
            mtu: None,
        }
    }

    fn to_octets(&self, router: &[u8]) -> Vec<u8> {
        // The kernel fills in the checksum of raw ICMPv6 sockets.
        let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0];
        message.extend(self.router_lifetime.to_be_bytes());
        message.extend([0; 8]);
        // Without it visitors are not optimistic about their addresses (RFC 4429 section 3.3).
        message.extend([SOURCE_LINK_LAYER_ADDRESS, 1]);
        message.extend(router);
        message.extend([
            PREFIX_INFORMATION,
            4,
            self.prefix.prefix_len(),
            ON_LINK_AND_AUTONOMOUS,
        ]);
        message.extend(self.valid.to_be_bytes());
        message.extend(self.preferred.to_be_bytes());
        message.extend([0; 4]);
        message.extend(self.prefix.network().octets());
        if let Some(mtu) = self.mtu {
            message.extend([MTU, 1, 0, 0]);
            message.extend(mtu.to_be_bytes());
        }
        message
    }
}

/// The part of an access router that advertises: when a visitor arrives, when one solicits, and when told to.
/// Clones are handles to the same one.
#[derive(Clone)]
pub struct Advertiser {
    inner: Arc<Inner>,
}

struct Inner {
    socket: Socket,
    /// The router's address on the Ethernet.
    hardware_address: Vec<u8>,
    manner: Mutex<Manner>,
}

struct Manner {
    advertisement: Advertisement,
    delay: Duration,
    silent: bool,
    solicited: usize,
}

impl Advertiser {
    pub(crate) fn start(
        router: &Node,
        link: &'static str,
        advertisement: Advertisement,
    ) -> Result<Advertiser, LabError> {
        let (socket, hardware_address) = router.run(move |network| {
            let socket = open(link, network.index(link)?)?;
            Ok((socket, network.hardware_address(link)?))
        })?;
        let advertiser = Advertiser {
            inner: Arc::new(Inner {
                socket,
                hardware_address,
                manner: Mutex::new(Manner {
                    advertisement,
                    delay: Duration::ZERO,
                    silent: false,
                    solicited: 0,
                }),
            }),
        };
        let ears = Arc::downgrade(&advertiser.inner);
        thread::spawn(move || {
            while let Some(inner) = ears.upgrade() {
                let mut buffer = [0; 1500];
                let heard = (&inner.socket).read(&mut buffer);
                if matches!(heard, Ok(1..)) && buffer[0] == ROUTER_SOLICITATION {
                    inner.manner().solicited += 1;
                    Advertiser { inner }.answer();
                }
            }
        });
        Ok(advertiser)
    }

    /// From now on says this. Nothing is sent by that.
    pub fn say(&self, advertisement: Advertisement) {
        self.inner.manner().advertisement = advertisement;
    }

    /// The MTU that it tells, in octets.
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        self.inner.manner().advertisement.mtu
    }

    /// From now on answers so much later.
    pub fn delay(&self, delay: Duration) {
        self.inner.manner().delay = delay;
    }

    /// From now on answers nobody, or answers again.
    pub fn silence(&self, silent: bool) {
        self.inner.manner().silent = silent;
    }

    /// How many solicitations came so far.
    #[must_use]
    pub fn solicited(&self) -> usize {
        self.inner.manner().solicited
    }

    /// Sends `advertisement` once to everybody on the link, whatever it says otherwise.
    pub fn send(&self, advertisement: &Advertisement) -> Result<(), LabError> {
        self.inner
            .send(advertisement)
            .map_err(LabError::io("send a router advertisement"))
    }

    /// As access points announce a station's arrival to their router, which does not wait for the solicitation.
    pub(crate) fn visitor_came(&self) {
        self.answer();
    }

    fn answer(&self) {
        let (advertisement, delay) = {
            let manner = self.inner.manner();
            if manner.silent {
                return;
            }
            (manner.advertisement.clone(), manner.delay)
        };
        let inner = Arc::clone(&self.inner);
        let send = move || {
            let _lost_as_on_any_link = inner.send(&advertisement);
        };
        if delay.is_zero() {
            send();
        } else {
            thread::spawn(move || {
                thread::sleep(delay);
                send();
            });
        }
    }
}

impl Inner {
    fn send(&self, advertisement: &Advertisement) -> std::io::Result<()> {
        let to = SockAddr::from(SocketAddrV6::new(ALL_NODES, 0, 0, 0));
        self.socket
            .send_to(&advertisement.to_octets(&self.hardware_address), &to)
            .map(drop)
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(link: &str, index: u32) -> Result<Socket, LabError> {
    let what = || LabError::io("open a socket for router advertisements");
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).map_err(what())?;
    socket.bind_device(Some(link.as_bytes())).map_err(what())?;
    socket.set_multicast_if_v6(index).map_err(what())?;
    socket.set_multicast_hops_v6(HOPS).map_err(what())?;
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .map_err(what())?;
    Ok(socket)
}
