//! `keygen` of both daemons.

use std::io;
use std::path::Path;

use mobility_protocol::security::{Algorithm, ReplayProtection};
use zeroize::Zeroizing;

use super::{Exit, fail, say};
use crate::config::{argument, make_key_file, mn_agent::Cha};
use crate::keygen::{KEY_LENGTH, SharedKey};

/// What a key is for.
#[derive(Debug, Clone, clap::Args)]
pub struct Keygen {
    /// Who the mobile node is to the home agent
    #[arg(long, value_name = "NAI", value_parser = argument::identity)]
    identity: String,
    /// The home agent's name or address
    #[arg(long, value_name = "NAME|ADDRESS", value_parser = argument::cha)]
    cha: Cha,
    /// The number of the key, 256 or above; a new one for each key of the same two
    #[arg(long, default_value = "256", value_parser = argument::spi)]
    spi: u32,
    /// hmac-sha256, hmac-sha1, or hmac-md5 for other implementations of Mobile IPv4
    #[arg(long, default_value = "hmac-sha256", value_parser = argument::algorithm)]
    algorithm: Algorithm,
    /// How IPv4 messages are told from old ones: timestamps, or nonces, which need no clock
    #[arg(long, default_value = "timestamps", value_parser = argument::replay_protection)]
    replay: ReplayProtection,
    /// The file to make [default: in /etc/chad or /etc/mn-agent, named after the other side]
    #[arg(long, value_name = "FILE", value_parser = argument::path)]
    key_file: Option<String>,
    /// Where the other side keeps its copy [default: likewise]
    #[arg(long, value_name = "FILE", value_parser = argument::path)]
    other_key_file: Option<String>,
}

/// Whose side a key is made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyedSide {
    /// `chad keygen`
    HomeAgent,
    /// `mn-agent keygen`
    MobileNode,
}

impl Keygen {
    /// Makes the key that `random` gives, which must be unpredictable, and prints both sides'
    /// configuration.
    pub fn run(
        self,
        side: KeyedSide,
        random: impl FnOnce() -> io::Result<[u8; KEY_LENGTH]>,
    ) -> Exit {
        let Self {
            identity,
            cha,
            spi,
            algorithm,
            replay,
            key_file,
            other_key_file,
        } = self;
        let (home_agent_file, mobile_node_file) = match side {
            KeyedSide::HomeAgent => (key_file, other_key_file),
            KeyedSide::MobileNode => (other_key_file, key_file),
        };
        let shared = SharedKey {
            identity,
            spi,
            algorithm,
            replay,
            cha,
            home_agent_file,
            mobile_node_file,
        };
        let key = match random() {
            Ok(key) => Zeroizing::new(key),
            Err(error) => {
                return fail(format_args!("the system gives no random octets: {error}"));
            }
        };
        let (here, there) = match side {
            KeyedSide::HomeAgent => (shared.home_agent_file(), shared.mobile_node_file()),
            KeyedSide::MobileNode => (shared.mobile_node_file(), shared.home_agent_file()),
        };
        if let Err(error) = make_key_file(Path::new(&here), key.as_ref()) {
            return fail(error);
        }
        let (this_user, other_side, other_user) = match side {
            KeyedSide::HomeAgent => ("chad", "the mobile node", "mn-agent"),
            KeyedSide::MobileNode => ("mn-agent", "the home agent", "chad"),
        };
        eprintln!(
            "The key is in {here}, for the user {this_user}; {other_side} needs a copy in {there}, mode 0600, for the user {other_user}."
        );
        say(format_args!(
            "# In chad.toml of the home agent, at its end:\n{}\n\
             # In mn-agent.toml of the mobile node, at its top:\n{}\n\
             # and at its end:\n{}",
            shared.mobile_node(),
            shared.identity_line(),
            shared.security_association().trim_end(),
        ))
    }
}
