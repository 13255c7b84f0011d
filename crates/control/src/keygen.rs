//! A new key between a mobile node and a home agent, and what both configurations say about it.

use mobility_protocol::security::{Algorithm, ReplayProtection};

use crate::config::mn_agent::Cha;

/// The octets of a new key: as many as the longest authenticator has, so that no algorithm is weaker
/// than it could be.
pub const KEY_LENGTH: usize = 32;

/// A key to be shared, without the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKey {
    /// By which the home agent finds the key.
    pub identity: String,
    /// The number of the key, the same on both sides.
    pub spi: u32,
    /// How authenticators are computed.
    pub algorithm: Algorithm,
    /// How old messages are told from new ones.
    pub replay: ReplayProtection,
    /// The home agent, as the mobile node finds it.
    pub cha: Cha,
    /// Where the home agent keeps the secret: an absolute path.
    pub home_agent_file: Option<String>,
    /// Where the mobile node keeps it: an absolute path.
    pub mobile_node_file: Option<String>,
}

impl SharedKey {
    /// Where the home agent keeps the secret; unless it is said, a file that tells keys apart.
    #[must_use]
    pub fn home_agent_file(&self) -> String {
        self.home_agent_file
            .clone()
            .unwrap_or_else(|| format!("/etc/chad/{}-{}.key", file_name(&self.identity), self.spi))
    }

    /// Where the mobile node keeps the secret; unless it is said, a file that tells keys apart.
    #[must_use]
    pub fn mobile_node_file(&self) -> String {
        self.mobile_node_file.clone().unwrap_or_else(|| {
            let cha = file_name(&self.cha.to_string());
            format!("/etc/mn-agent/{cha}-{}.key", self.spi)
        })
    }

    /// For `chad.toml`: a `[[mobile-node]]`.
    #[must_use]
    pub fn mobile_node(&self) -> String {
        format!(
            "[[mobile-node]]\n{}{}",
            self.identity_line(),
            self.association(&self.home_agent_file())
        )
    }

    /// For the top of `mn-agent.toml`: who the mobile node is.
    #[must_use]
    pub fn identity_line(&self) -> String {
        format!("identity = {}\n", quoted(&self.identity))
    }

    /// For `mn-agent.toml`: a `[[security-association]]`.
    #[must_use]
    pub fn security_association(&self) -> String {
        format!(
            "[[security-association]]\ncha = {}\n{}",
            quoted(&self.cha.to_string()),
            self.association(&self.mobile_node_file())
        )
    }

    fn association(&self, key_file: &str) -> String {
        let replay = match self.replay {
            ReplayProtection::Timestamps => String::new(),
            other @ ReplayProtection::Nonces => format!("replay = {}\n", quoted(other.name())),
        };
        format!(
            "spi = {}\nalgorithm = {}\n{replay}key-file = {}\n",
            self.spi,
            quoted(self.algorithm.name()),
            quoted(key_file)
        )
    }
}

fn quoted(text: &str) -> toml::Value {
    toml::Value::String(text.to_owned())
}

/// `text` as the name of a file that needs no quotes in a shell.
fn file_name(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '@' | '.' | '-' | '_' => char,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests;
