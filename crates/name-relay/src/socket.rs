//! Sockets, all of them marked.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

const TCP_BACKLOG: i32 = 64;

/// Makes sockets that carry the agent's mark, so that the rules which lead
/// traffic into the tunnel leave them alone.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    mark: Option<u32>,
    warned: Arc<AtomicBool>,
}

impl Sockets {
    pub(crate) fn new(mark: Option<u32>) -> Self {
        Self {
            mark,
            warned: Arc::new(AtomicBool::new(false)),
        }
    }

    /// A UDP socket on a fresh random port that hears only `server`.
    pub(crate) async fn udp_to(&self, server: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.udp(unspecified(server))?;
        socket.connect(server).await?;
        Ok(socket)
    }

    /// A UDP socket bound to `local` that reaches `server` even if its scope is
    /// not said again with each datagram (RFC 4007 6).
    pub(crate) fn udp_toward(
        &self,
        server: SocketAddr,
        local: SocketAddr,
    ) -> io::Result<UdpSocket> {
        let socket = self.socket(local, Type::DGRAM, Protocol::UDP)?;
        if let SocketAddr::V6(server) = server {
            socket.bind_device_by_index_v6(NonZeroU32::new(server.scope_id()))?;
        }
        socket.bind(&local.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// A UDP socket bound to `local`.
    pub(crate) fn udp(&self, local: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.socket(local, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&local.into())?;
        UdpSocket::from_std(socket.into())
    }

    /// A TCP connection to `server`.
    pub(crate) async fn tcp_to(&self, server: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(server, Type::STREAM, Protocol::TCP)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.set_nodelay(true)?;
        socket.connect(server).await
    }

    /// A listening TCP socket.
    pub(crate) fn tcp_listener(&self, local: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.socket(local, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
        socket.listen(TCP_BACKLOG)?;
        TcpListener::from_std(StdTcpListener::from(socket))
    }

    fn socket(&self, address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(mark) = self.mark {
            match socket.set_mark(mark) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    if !self.warned.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            mark,
                            "no privilege (CAP_NET_ADMIN) to mark sockets: \
                             questions to name servers may enter a tunnel"
                        );
                    }
                }
                result => result?,
            }
        }
        Ok(socket)
    }
}

fn unspecified(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
