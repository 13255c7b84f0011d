//! What can go wrong, with the value that was wrong.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `resolv.conf` names addresses without ports, so programs would ask
    /// port 53 whatever the relay listens on.
    #[error(
        "the relay listens on {0}, but resolv.conf can only name servers at port 53: \
         listen on port 53, or use the mode `manual`"
    )]
    ListenPort(SocketAddr),
    /// Answers from an unspecified address would leave with another source
    /// than the one that was asked.
    #[error("the relay cannot listen on the unspecified address {0}: name one address")]
    ListenUnspecified(SocketAddr),
    /// The relay was named as its own name server.
    #[error("the upstream {0} is the relay itself")]
    UpstreamIsRelay(SocketAddr),
    /// The listening socket could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `resolv.conf` could not be read, written or watched.
    #[error("cannot {action} {}: {source}", path.display())]
    ResolvConf {
        /// The verb that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The relay was started outside of a tokio runtime.
    #[error("the relay needs a tokio runtime")]
    NoRuntime,
}

/// Why a name has no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The text is not a domain name.
    #[error("`{0}` is not a domain name")]
    InvalidName(String),
    /// Such names are never asked for an agent: single labels, `.local`,
    /// `localhost`, reverse names, `cha.` names themselves.
    #[error("`{0}` is a name that cannot have an agent")]
    Excluded(String),
    /// The policy does not let this name lead to an agent.
    #[error("the policy does not permit an agent for `{0}`")]
    NotPermitted(String),
    /// The name itself has no usable address.
    #[error("`{0}` has no usable address")]
    NoAddress(String),
    /// There is no `cha.<name>`.
    #[error("`cha.{0}` does not exist")]
    NoAgent(String),
    /// `cha.<name>` exists only because every name there does.
    #[error("`cha.{0}` is the answer of a wildcard, not an agent")]
    Wildcard(String),
    /// Addresses of the name are reached through another agent, and the mobile
    /// node did not say that they no longer are.
    #[error("`{0}` has addresses that are reached through another agent")]
    Contradicted(String),
    /// The answers are not signed, and have to be.
    #[error("`{0}` and `cha.{0}` do not both have signed addresses")]
    Insecure(String),
    /// The agent publishes a key in a form that is not understood, or several.
    #[error("`cha.{0}` publishes a malformed key, or several")]
    MalformedKey(String),
    /// It is not signed which key the agent publishes, or that it publishes
    /// none, and has to be.
    #[error("whether `cha.{0}` publishes a key is not signed")]
    UnprovenKey(String),
    /// The name servers did not answer, or refused to.
    #[error("the name servers gave no answer for `{0}`")]
    NoAnswer(String),
}
