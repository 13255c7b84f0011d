//! Values of the configuration files where a command line gives them: the same bounds, the same
//! words.

use mobility_protocol::security::{Algorithm, ReplayProtection};
use toml::de::DeValue;

use super::mn_agent::{Cha, parse};
use super::values::{self, Parsed};

/// An identity (1 to 255 octets), as text.
///
/// # Errors
/// What to write instead.
pub fn identity(text: &str) -> Result<String, String> {
    string(text, values::identity).map(|_| text.to_owned())
}

/// The name of an algorithm.
///
/// # Errors
/// What to write instead.
pub fn algorithm(text: &str) -> Result<Algorithm, String> {
    string(text, values::algorithm)
}

/// The name of a style of replay protection.
///
/// # Errors
/// What to write instead.
pub fn replay_protection(text: &str) -> Result<ReplayProtection, String> {
    string(text, values::replay_protection)
}

/// A home agent's name or address.
///
/// # Errors
/// What to write instead.
pub fn cha(text: &str) -> Result<Cha, String> {
    string(text, parse::cha)
}

/// An absolute path, as text.
///
/// # Errors
/// What to write instead.
pub fn path(text: &str) -> Result<String, String> {
    string(text, values::path).map(|_| text.to_owned())
}

/// A security parameter index that may be given to a key.
///
/// # Errors
/// What to write instead.
pub fn spi(text: &str) -> Result<u32, String> {
    match DeValue::parse(text) {
        Ok(value) => explained(values::spi(value.get_ref())),
        Err(_) => string(text, values::spi),
    }
}

fn string<T>(text: &str, parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>) -> Result<T, String> {
    explained(parse(&DeValue::String(text.into())))
}

fn explained<T>(parsed: Parsed<T>) -> Result<T, String> {
    parsed.map_err(|complaint| format!("{}; {}", complaint.message, complaint.help))
}
