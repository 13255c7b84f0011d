//! What the kernel reports by itself, read from a socket of its own.

use std::io;

use bytes::BytesMut;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::Error;

/// Room for the bursts of an interface going down under many routes. Beyond it the kernel reports
/// an overrun, which is answered by looking again at everything.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// The largest datagram of the kernel's has 32 KiB.
const DATAGRAM: usize = 64 << 10;

const ENOBUFS: i32 = 105;
/// The length of the header of a netlink message.
pub(crate) const HEADER_LENGTH: usize = 16;

/// A socket that is a member of multicast groups.
pub(crate) struct Events {
    socket: TokioSocket,
    datagram: BytesMut,
    /// Since an overrun the socket has not been read empty. Until then the kernel drops further
    /// reports without another word.
    congested: bool,
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Report<'a> {
    /// One or more messages, to be split by [`messages`].
    Messages(&'a [u8]),
    /// Messages were lost.
    Overrun,
}

impl Events {
    pub(crate) fn open(protocol: isize, groups: &[u32], attempt: &str) -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let mut socket = TokioSocket::new(protocol)?;
            let inner = socket.socket_mut();
            inner.set_rx_buf_sz(RECEIVE_BUFFER)?;
            inner.bind(&SocketAddr::new(0, 0))?;
            for &group in groups {
                inner.add_membership(group)?;
            }
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::Netlink {
            attempt: attempt.to_owned(),
            source,
        })?;
        Ok(Self {
            socket,
            datagram: BytesMut::with_capacity(DATAGRAM),
            congested: false,
        })
    }

    /// Waits for the next report. An overrun is told when it happens and again when the socket has
    /// been read empty, since reports are lost in between too.
    ///
    /// # Errors
    /// When the socket is no longer good for anything.
    pub(crate) async fn next(&mut self) -> io::Result<Report<'_>> {
        loop {
            self.datagram.clear();
            self.datagram.reserve(DATAGRAM);
            let received = if self.congested {
                // Reading never waits here; others get their turn all the same.
                tokio::task::consume_budget().await;
                self.socket
                    .socket_ref()
                    .recv_from(&mut self.datagram, 0)
                    .map(|(_, sender)| sender)
            } else {
                self.socket.recv_from(&mut self.datagram).await
            };
            match received {
                // Other processes may send to this socket too; only port 0 is the kernel.
                Ok(sender) if sender.port_number() == 0 => break,
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => {
                    self.congested = true;
                    return Ok(Report::Overrun);
                }
                Err(error) if self.congested && error.kind() == io::ErrorKind::WouldBlock => {
                    self.congested = false;
                    return Ok(Report::Overrun);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Report::Messages(&self.datagram))
    }
}

/// The messages of a datagram, each with its header. What is left of a damaged datagram is skipped.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[a, b, c, d], _) = datagram.split_first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
        if length < HEADER_LENGTH {
            return None;
        }
        let message = datagram.get(..length)?;
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(length: u32) -> Vec<u8> {
        let mut octets = length.to_ne_bytes().to_vec();
        octets.resize(length as usize, 0xaa);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn a_datagram_is_split_at_aligned_boundaries() {
        let datagram = [message(17), message(16), message(30)].concat();
        let lengths: Vec<_> = messages(&datagram).map(<[u8]>::len).collect();
        assert_eq!(lengths, [17, 16, 30]);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_end_the_split(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&octets).count() <= octets.len() / HEADER_LENGTH);
        }
    }
}
