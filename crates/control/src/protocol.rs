//! The conversation on the control socket: one JSON request line, one JSON reply line.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::status::{ChadStatus, MnAgentStatus};

/// What may be asked of a running daemon. Whoever may open the socket (its mode is 0660) may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The daemon's state.
    Status,
    /// mn-agent: bind to the home agent of this correspondent and answer once that is active or failed.
    Bind {
        /// The correspondent's name, for example `server.com`.
        name: String,
    },
    /// mn-agent: give up the binding for this correspondent.
    Release {
        /// The correspondent's name.
        name: String,
    },
    /// chad: take this home address back.
    Revoke {
        /// The address lent.
        home_address: IpAddr,
    },
}

/// The daemon's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// chad's state, to [`Request::Status`].
    Chad(Box<ChadStatus>),
    /// mn-agent's state, to [`Request::Status`].
    MnAgent(Box<MnAgentStatus>),
    /// It was done.
    Done {
        /// One line for a person.
        message: String,
    },
    /// It was not done.
    Failed {
        /// Why, as one line for a person.
        reason: String,
    },
}

impl Reply {
    /// A [`Reply::Done`] with this line.
    #[must_use]
    pub fn done(message: impl Into<String>) -> Self {
        Self::Done {
            message: message.into(),
        }
    }

    /// A [`Reply::Failed`] for this reason.
    #[must_use]
    pub fn failed(reason: impl ToString) -> Self {
        Self::Failed {
            reason: reason.to_string(),
        }
    }
}
