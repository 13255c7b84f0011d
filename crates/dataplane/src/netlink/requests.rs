//! Questions and changes over one netlink socket: each acknowledged, each with an end in time.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures::{Stream, StreamExt};
use netlink_packet_core::{
    DoneMessage, ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL,
    NLM_F_REPLACE, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_proto::ConnectionHandle;
use netlink_proto::sys::SocketAddr;
use netlink_sys::AsyncSocket;
use tokio::sync::Mutex;

use crate::Error;
use crate::error::Explained;

/// The kernel answers within microseconds; what takes this long will not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// A full table of answers fits, so that no acknowledgement is lost behind it.
const RECEIVE_BUFFER: u32 = 4 << 20;

/// A dump during which the table changed is asked for again, this many times at most.
const DUMP_ATTEMPTS: u32 = 4;

const NLMSG_HEADER_LENGTH: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// What kind of request a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// One object is asked for.
    Get,
    /// All objects are asked for.
    Dump,
    /// Something is changed or deleted.
    Change,
    /// Something is added that must not exist.
    Create,
    /// Something is added in place of what may exist.
    Replace,
}

/// A netlink socket of one protocol.
#[derive(Debug)]
pub(crate) struct Requests<T: Debug> {
    handle: ConnectionHandle<T>,
    /// The kernel refuses a dump while another one of the same socket is under way (EBUSY).
    dumping: Mutex<()>,
}

impl<T> Requests<T>
where
    T: Debug + Clone + NetlinkSerializable + NetlinkDeserializable + Unpin + Send + 'static,
{
    pub(crate) fn open(protocol: isize, attempt: &str) -> Result<Self, Error> {
        let open = || -> io::Result<_> {
            let (mut connection, handle, _) = netlink_proto::new_connection::<T>(protocol)?;
            connection.set_forward_done(true);
            let socket = connection.socket_mut().socket_mut();
            socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            socket.set_netlink_get_strict_chk(true)?;
            // It ends by itself when the handle has gone.
            tokio::spawn(connection);
            Ok(handle)
        };
        let handle = open().map_err(|source| Error::Netlink {
            attempt: attempt.to_owned(),
            source,
        })?;
        Ok(Self {
            handle,
            dumping: Mutex::new(()),
        })
    }

    /// Sends a request and awaits everything that belongs to its answer.
    pub(crate) async fn ask(&self, attempt: &str, message: T, verb: Verb) -> Result<Vec<T>, Error> {
        for _ in 1..DUMP_ATTEMPTS {
            let (answers, consistent) = self.ask_once(attempt, message.clone(), verb).await?;
            if consistent {
                return Ok(answers);
            }
        }
        // The table changes faster than it can be read; what was seen last is as good as any.
        self.ask_once(attempt, message, verb)
            .await
            .map(|(answers, _)| answers)
    }

    async fn ask_once(
        &self,
        attempt: &str,
        message: T,
        verb: Verb,
    ) -> Result<(Vec<T>, bool), Error> {
        let refused = |source| Error::Netlink {
            attempt: attempt.to_owned(),
            source,
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST
            | match verb {
                Verb::Get | Verb::Change => NLM_F_ACK,
                Verb::Dump => NLM_F_DUMP,
                Verb::Create => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                Verb::Replace => NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            };
        let request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        let _turn = match verb {
            Verb::Dump => Some(self.dumping.lock().await),
            Verb::Get | Verb::Change | Verb::Create | Verb::Replace => None,
        };
        let stream = self
            .handle
            .request(request, SocketAddr::new(0, 0))
            .map_err(|closed| refused(io::Error::other(closed)))?;
        tokio::time::timeout(PATIENCE, collect(stream))
            .await
            .map_err(|_| Error::Timeout {
                attempt: attempt.to_owned(),
            })?
            .map_err(refused)
    }
}

async fn collect<T>(
    mut stream: impl Stream<Item = NetlinkMessage<T>> + Unpin,
) -> io::Result<(Vec<T>, bool)> {
    let mut answers = Vec::new();
    let mut consistent = true;
    while let Some(message) = stream.next().await {
        let (header, payload) = message.into_parts();
        consistent &= header.flags & NLM_F_DUMP_INTR == 0;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open; other payloads carry nothing here"
        )]
        match payload {
            NetlinkPayload::InnerMessage(answer) => answers.push(answer),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(explain(&error)),
            NetlinkPayload::Done(DoneMessage { code, .. }) if code < 0 => {
                return Err(io::Error::from_raw_os_error(-code));
            }
            NetlinkPayload::Overrun(_) => {
                return Err(io::Error::other("the answer was lost in an overrun"));
            }
            _ => {}
        }
    }
    Ok((answers, consistent))
}

/// What follows the header of an acknowledgement (`struct nlmsgerr`): success, or why not.
pub(crate) fn refusal(payload: &[u8]) -> io::Result<()> {
    let Some((&code, echo)) = payload.split_first_chunk() else {
        return Err(io::Error::other("an acknowledgement without a number"));
    };
    match i32::from_ne_bytes(code) {
        0.. => Ok(()),
        code => Err(with_words(
            io::Error::from_raw_os_error(code.saturating_neg()),
            echo,
        )),
    }
}

/// The error number, and the kernel's own words when it gave some.
fn explain(message: &ErrorMessage) -> io::Error {
    with_words(message.to_io(), &message.header)
}

fn with_words(error: io::Error, echo: &[u8]) -> io::Error {
    match extended_acknowledgement(echo) {
        Some(words) => io::Error::new(error.kind(), Explained { error, words }),
        None => error,
    }
}

/// The text among the attributes behind the echoed header (`NLMSGERR_ATTR_MSG`).
fn extended_acknowledgement(echo: &[u8]) -> Option<String> {
    let mut rest = echo.get(NLMSG_HEADER_LENGTH..)?;
    while let Some((&[length_low, length_high, kind_low, kind_high], _)) = rest.split_first_chunk()
    {
        let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
        let kind = u16::from_ne_bytes([kind_low, kind_high]);
        let value = rest.get(4..length)?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = value.split(|&octet| octet == 0).next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_header() {
        let mut echo = vec![0; NLMSG_HEADER_LENGTH];
        // NLMSGERR_ATTR_OFFS comes first.
        echo.extend_from_slice(&8u16.to_ne_bytes());
        echo.extend_from_slice(&2u16.to_ne_bytes());
        echo.extend_from_slice(&20u32.to_ne_bytes());
        echo.extend_from_slice(&12u16.to_ne_bytes());
        echo.extend_from_slice(&1u16.to_ne_bytes());
        echo.extend_from_slice(b"invalid\0");
        assert_eq!(extended_acknowledgement(&echo).as_deref(), Some("invalid"));
        for length in 0..echo.len() {
            assert_eq!(extended_acknowledgement(&echo[..length]), None);
        }
    }

    #[test]
    fn attributes_of_impossible_length_end_the_search() {
        for length in 0..=4u16 {
            let mut echo = vec![0; NLMSG_HEADER_LENGTH];
            echo.extend_from_slice(&length.to_ne_bytes());
            echo.extend_from_slice(&[0xff; 40]);
            assert_eq!(extended_acknowledgement(&echo), None);
        }
    }
}
