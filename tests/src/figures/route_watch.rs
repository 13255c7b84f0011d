//! When the kernel has changed a route, as anybody learns it who listens.

use std::{
    io,
    net::IpAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        route::{RouteAddress, RouteAttribute},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use crate::{Family, LabError, Node, stretched};

/// The octets of one datagram of the kernel's.
const DATAGRAM: usize = 32 << 10;

/// Listens to a node's routes, in a thread that does nothing else. It ends with the first change after this is
/// dropped.
pub struct RouteWatch {
    changes: mpsc::Receiver<(IpAddr, Instant)>,
}

impl RouteWatch {
    /// Listens from now on.
    pub fn start(node: &Node, family: Family) -> Result<RouteWatch, LabError> {
        let group = match family {
            Family::Ipv4 => MulticastGroup::Ipv4Route,
            Family::Ipv6 => MulticastGroup::Ipv6Route,
        };
        let socket = node.run(move |_| {
            let open = || -> io::Result<Socket> {
                let mut socket = Socket::new(NETLINK_ROUTE)?;
                socket.bind(&SocketAddr::new(0, 0))?;
                socket.add_membership(group as u32)?;
                socket.set_rx_buf_sz(8 << 20)?;
                Ok(socket)
            };
            open().map_err(LabError::io("listen to routes"))
        })?;
        let (sender, changes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = Vec::with_capacity(DATAGRAM);
            loop {
                buffer.clear();
                let received = socket.recv(&mut buffer, 0);
                let now = Instant::now();
                if received.is_err() {
                    continue;
                }
                for destination in destinations(&buffer) {
                    if sender.send((destination, now)).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(RouteWatch { changes })
    }

    /// How long after `since` the route to a home address was changed.
    pub fn changed(
        &self,
        home_address: IpAddr,
        since: Instant,
        bound: Duration,
    ) -> Result<Duration, LabError> {
        let bound = stretched(bound);
        let timed_out = |_| LabError::TimedOut {
            what: format!("the route of {home_address}"),
            seconds: bound.as_secs_f64(),
        };
        loop {
            let left = (since + bound).saturating_duration_since(Instant::now());
            let (changed, at) = self.changes.recv_timeout(left).map_err(timed_out)?;
            if changed == home_address && at >= since {
                return Ok(at - since);
            }
        }
    }
}

/// Of the new routes in a datagram.
fn destinations(datagram: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut rest = datagram;
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = message.payload
        {
            found.extend(route.attributes.iter().find_map(destination));
        }
        rest = rest
            .get(length.max(1).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

fn destination(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
        Some((*address).into())
    } else if let RouteAttribute::Destination(RouteAddress::Inet6(address)) = attribute {
        Some((*address).into())
    } else {
        None
    }
}
