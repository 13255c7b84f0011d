//! Who uses a home address: the sockets that have it, and reports of sockets that end.
//!
//! The kernel reports the end of a TCP socket already when its own side is closed (on entering
//! FIN_WAIT2), while the other direction may still carry data, and it reports nothing when
//! TIME_WAIT ends. So a report answers no question; it is the moment to ask.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mobility_protocol::HomeAddress;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::events::{self, Events, Report};
use super::requests::{Requests, Verb};
use super::socket_messages::{
    AF_INET, AF_INET6, MOST_LOCALS, Request, Socket, SocketMessage, Transport,
};
use crate::Error;

const SKNLGRP_INET_TCP_DESTROY: u32 = 1;
const SKNLGRP_INET_UDP_DESTROY: u32 = 2;
const SKNLGRP_INET6_TCP_DESTROY: u32 = 3;
const SKNLGRP_INET6_UDP_DESTROY: u32 = 4;

/// What the kernel lists at a time: the likeliest use first.
const LISTS: [(Transport, u8); 4] = [
    (Transport::Tcp, AF_INET),
    (Transport::Tcp, AF_INET6),
    (Transport::Udp, AF_INET),
    (Transport::Udp, AF_INET6),
];

const ENOENT: i32 = 2;
const NLMSG_HEADER_LENGTH: usize = 16;

/// Questions about sockets, and reports of their ends, in the network namespace it was opened in.
#[derive(Debug)]
pub struct Sockets {
    requests: Requests<SocketMessage>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// How many sockets have a home address as their local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// TCP sockets in any state but TIME_WAIT and CLOSE.
    pub tcp: usize,
    /// UDP sockets, with or without a peer.
    pub udp: usize,
}

impl Usage {
    /// Whether there is any.
    #[must_use]
    pub const fn in_use(self) -> bool {
        self.tcp > 0 || self.udp > 0
    }
}

/// What has ended since the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketsEnded {
    /// Watched home addresses of which a socket has ended.
    pub home_addresses: BTreeSet<HomeAddress>,
    /// Reports were lost: it may concern every home address.
    pub overrun: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    watched: BTreeSet<HomeAddress>,
    ended: SocketsEnded,
    /// No report will come any more.
    over: bool,
}

impl Sockets {
    /// Opens the sockets.
    ///
    /// # Errors
    /// [`Error::Netlink`] when the kernel refuses; reports need CAP_NET_ADMIN.
    pub fn open() -> Result<Self, Error> {
        let groups = [
            SKNLGRP_INET_TCP_DESTROY,
            SKNLGRP_INET_UDP_DESTROY,
            SKNLGRP_INET6_TCP_DESTROY,
            SKNLGRP_INET6_UDP_DESTROY,
        ];
        let requests = Requests::open(
            NETLINK_SOCK_DIAG,
            "open the socket for questions about sockets",
        )?;
        let events = Events::open(NETLINK_SOCK_DIAG, &groups, "watch the ends of sockets")?;
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(watch_events(events, Arc::clone(&shared)));
        Ok(Self {
            requests,
            shared,
            task,
        })
    }

    /// The sockets that have this home address now, of IPv4 and of IPv6 with a mapped address.
    /// Sockets of other protocols, and UDP sockets without an address, show only in the traffic.
    ///
    /// # Errors
    /// [`Error::Netlink`], [`Error::Timeout`].
    pub async fn usage(&self, home_address: HomeAddress) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        for (transport, family) in LISTS {
            let count = self.locals(transport, family, &[home_address]).await?.len();
            match transport {
                Transport::Tcp => usage.tcp += count,
                Transport::Udp => usage.udp += count,
            }
        }
        Ok(usage)
    }

    /// Those of the home addresses that any socket has now, as [`Sockets::usage`] counts them. For
    /// each list that the kernel must walk, however many sockets are in it, it is asked once about
    /// all of them, and only about those not found before.
    ///
    /// # Errors
    /// As [`Sockets::usage`].
    pub async fn in_use(
        &self,
        home_addresses: &BTreeSet<HomeAddress>,
    ) -> Result<BTreeSet<HomeAddress>, Error> {
        let mut unused = home_addresses.clone();
        for (transport, family) in LISTS {
            let asked: Vec<HomeAddress> = unused.iter().copied().collect();
            for asked in asked.chunks(MOST_LOCALS) {
                for local in self.locals(transport, family, asked).await? {
                    unused.remove(&HomeAddress(local));
                }
            }
        }
        Ok(home_addresses - &unused)
    }

    /// Reports ends of sockets of this home address from now on.
    pub fn watch(&self, home_address: HomeAddress) {
        self.shared.with(|state| state.watched.insert(home_address));
    }

    /// Reports ends of sockets of this home address no longer.
    pub fn unwatch(&self, home_address: HomeAddress) {
        self.shared.with(|state| {
            state.watched.remove(&home_address);
            state.ended.home_addresses.remove(&home_address)
        });
    }

    /// Waits until sockets of watched home addresses have ended; many at once are told as one.
    ///
    /// # Errors
    /// [`Error::EventsEnded`] when no report will come any more.
    pub async fn ended(&self) -> Result<SocketsEnded, Error> {
        loop {
            let (ended, over) = self
                .shared
                .with(|state| (std::mem::take(&mut state.ended), state.over));
            if ended.overrun || !ended.home_addresses.is_empty() {
                return Ok(ended);
            }
            if over {
                return Err(Error::EventsEnded("sockets"));
            }
            self.shared.news.notified().await;
        }
    }

    /// The local addresses of all sockets in one list that have one of these home addresses.
    async fn locals(
        &self,
        transport: Transport,
        family: u8,
        home_addresses: &[HomeAddress],
    ) -> Result<Vec<IpAddr>, Error> {
        let locals: Vec<IpAddr> = home_addresses
            .iter()
            .map(|home_address| home_address.ip())
            .filter(|local| family == AF_INET6 || local.is_ipv4())
            .collect();
        if locals.is_empty() {
            return Ok(Vec::new());
        }
        let question = SocketMessage::Request(Request {
            family,
            transport,
            locals: locals.clone(),
        });
        let attempt = "list the sockets of home addresses";
        match self.requests.ask(attempt, question, Verb::Dump).await {
            Ok(answers) => Ok(answers
                .into_iter()
                .filter_map(|answer| match answer {
                    SocketMessage::Socket(Socket { local }) => Some(local),
                    SocketMessage::Request(_) => None,
                })
                .filter(|local| locals.contains(local))
                .collect()),
            // The kernel has no module to list this protocol; its use still shows in the traffic.
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        // The state is whole after every line that changes it, also when a thread died in between.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn watch_events(mut events: Events, shared: Arc<Shared>) {
    loop {
        let news = match events.next().await {
            Ok(Report::Overrun) => {
                tracing::debug!("reports of ended sockets were lost");
                shared.with(|state| state.ended.overrun = true);
                true
            }
            Ok(Report::Messages(datagram)) => {
                let mut news = false;
                for message in events::messages(datagram) {
                    let socket = message.get(NLMSG_HEADER_LENGTH..).and_then(Socket::decode);
                    news |= socket.is_some_and(|socket| shared.with(|state| state.note(socket)));
                }
                news
            }
            Err(error) => {
                tracing::error!(%error, "the kernel's reports of ended sockets have ended");
                shared.with(|state| state.over = true);
                shared.news.notify_one();
                return;
            }
        };
        if news {
            shared.news.notify_one();
        }
    }
}

impl State {
    fn note(&mut self, socket: Socket) -> bool {
        let home_address = HomeAddress(socket.local);
        self.watched.contains(&home_address) && self.ended.home_addresses.insert(home_address)
    }
}
