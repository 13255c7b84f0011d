//! The kinds of values configuration files hold: from TOML to a type, or a complaint that says what
//! to write.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::SignedDuration;
use mobility_protocol::Identity;
use mobility_protocol::security::{
    Algorithm, FIRST_AGREED_SPI, OPEN_MODE_SPI, PublicKey, PublicKeyError, ReplayProtection,
};
use toml::de::{DeInteger, DeValue};

use super::BackendChoice;
use super::document::{Complaint, nearest, with_article};

/// The longest path a Unix socket can have, less its final zero (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

pub(super) type Parsed<T> = Result<T, Complaint>;

pub(super) fn string<'v>(value: &'v DeValue<'_>, example: &str) -> Parsed<&'v str> {
    value.as_str().ok_or_else(|| {
        let message = format!("a string is needed, this is {}", with_article(value));
        Complaint::new(message, format!("write: \"{example}\", with the quotes"))
    })
}

pub(super) fn boolean(value: &DeValue<'_>) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| {
        let message = format!("true or false is needed, this is {}", with_article(value));
        Complaint::new(message, "write: true or false, without quotes")
    })
}

/// One of the words; `later` are words of the contract that this release doesn't implement.
pub(super) fn word<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)], later: &[&str]) -> Parsed<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let example = names.first().copied().unwrap_or_default();
    let choice = || {
        format!(
            "write: {}",
            names
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect::<Vec<_>>()
                .join(" or ")
        )
    };
    let text = string(value, example)?;
    if let Some((_, found)) = words.iter().find(|(name, _)| *name == text) {
        return Ok(*found);
    }
    if later.contains(&text) {
        return Err(Complaint::new(
            format!("\"{text}\" isn't implemented in this release"),
            choice(),
        ));
    }
    let help =
        nearest(text, &names).map_or_else(choice, |near| format!("did you mean \"{near}\"?"));
    Err(Complaint::new(
        format!("\"{text}\" is none of its values"),
        help,
    ))
}

/// `dataplane.backend`.
pub(super) fn backend(value: &DeValue<'_>) -> Parsed<BackendChoice> {
    let words = [
        ("auto", BackendChoice::Auto),
        ("kernel", BackendChoice::Kernel),
        ("userspace", BackendChoice::Userspace),
    ];
    word(value, &words, &[])
}

/// `10m`, `300ms`, `1h30m`, within bounds.
pub(super) fn duration(value: &DeValue<'_>, bounds: RangeInclusive<Duration>) -> Parsed<Duration> {
    if let Some(number) = value.as_integer() {
        let help = format!("write: \"{number}s\" for seconds, \"{number}m\" for minutes");
        return Err(Complaint::new("a duration needs its unit", help));
    }
    let text = string(value, "10m")?;
    let parsed: SignedDuration = text.parse().map_err(|_| {
        let help = "write a number and its unit: \"300ms\", \"5s\", \"10m\", \"1h\", \"1h30m\"";
        Complaint::new(format!("\"{text}\" is not a duration"), help)
    })?;
    let duration = Duration::try_from(parsed)
        .ok()
        .filter(|duration| bounds.contains(duration));
    duration.ok_or_else(|| {
        let message = format!("\"{text}\" is out of bounds");
        let (least, most) = (shown(*bounds.start()), shown(*bounds.end()));
        Complaint::new(message, format!("write between \"{least}\" and \"{most}\""))
    })
}

/// A lifetime the wire can carry: whole seconds.
pub(super) fn lifetime(value: &DeValue<'_>, bounds: RangeInclusive<Duration>) -> Parsed<Duration> {
    let duration = duration(value, bounds)?;
    if duration.subsec_nanos() == 0 {
        return Ok(duration);
    }
    Err(Complaint::new(
        "a lifetime is whole seconds",
        format!("write: \"{}s\"", duration.as_secs().max(1)),
    ))
}

/// As the configuration would have it: `10m`, `18h12m14s`.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// An absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Parsed<PathBuf> {
    let text = string(value, "/an/absolute/path")?;
    if !text.starts_with('/') || text.contains('\0') {
        let message = format!("\"{text}\" is not an absolute path");
        return Err(Complaint::new(
            message,
            "write the path from / on: where the daemon starts may differ",
        ));
    }
    Ok(PathBuf::from(text))
}

/// An absolute path a Unix socket can have.
pub(super) fn socket_path(value: &DeValue<'_>) -> Parsed<PathBuf> {
    let path = path(value)?;
    match path.as_os_str().len() {
        0..=LONGEST_SOCKET_PATH => Ok(path),
        length => {
            let message = format!("{length} octets are too many for the path of a socket");
            Err(Complaint::new(
                message,
                format!("choose one of at most {LONGEST_SOCKET_PATH}, in /run for example"),
            ))
        }
    }
}

/// An IPv4 address a host can have.
pub(super) fn ipv4_host(value: &DeValue<'_>) -> Parsed<Ipv4Addr> {
    let help = "write an IPv4 address of this host: \"192.0.2.1\"";
    let text = string(value, "192.0.2.1")?;
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| Complaint::new(format!("\"{text}\" is not an IPv4 address"), help))?;
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err(Complaint::new(
            format!("{address} is not the address of one host"),
            help,
        ));
    }
    Ok(address)
}

/// An IPv6 address a host can have.
pub(super) fn ipv6_host(value: &DeValue<'_>) -> Parsed<Ipv6Addr> {
    let help = "write an IPv6 address of this host: \"2001:db8::1\"";
    let text = string(value, "2001:db8::1")?;
    let address: Ipv6Addr = text
        .parse()
        .map_err(|_| Complaint::new(format!("\"{text}\" is not an IPv6 address"), help))?;
    if address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some()
    {
        return Err(Complaint::new(
            format!("{address} is not a global address of one host"),
            help,
        ));
    }
    Ok(address)
}

/// A single address.
pub(super) fn address(value: &DeValue<'_>) -> Parsed<IpAddr> {
    let text = string(value, "10.128.0.9")?;
    text.parse().map_err(|_| {
        Complaint::new(
            format!("\"{text}\" is not an address"),
            "write it bare: \"10.128.0.9\"",
        )
    })
}

/// A prefix without host bits.
pub(super) fn prefix(value: &DeValue<'_>) -> Parsed<IpNet> {
    let text = string(value, "198.51.100.0/24")?;
    let prefix: IpNet = match text.parse() {
        Ok(prefix) => prefix,
        Err(_) => {
            let help = match text.parse::<IpAddr>() {
                Ok(address) => format!("for this one address write: \"{}\"", IpNet::from(address)),
                Err(_) => "write address and length: \"198.51.100.0/24\"".to_owned(),
            };
            return Err(Complaint::new(format!("\"{text}\" is not a prefix"), help));
        }
    };
    if prefix.addr() != prefix.network() {
        let message = format!("\"{text}\" has bits set beyond its length");
        let (whole, one) = (prefix.trunc(), IpNet::from(prefix.addr()));
        return Err(Complaint::new(
            message,
            format!("write \"{whole}\" for the prefix, \"{one}\" for the one address"),
        ));
    }
    Ok(prefix)
}

/// An IPv4 prefix without host bits.
pub(super) fn ipv4_prefix(value: &DeValue<'_>) -> Parsed<Ipv4Net> {
    match prefix(value)? {
        IpNet::V4(prefix) => Ok(prefix),
        IpNet::V6(prefix) => Err(Complaint::new(
            format!("\"{prefix}\" is an IPv6 prefix"),
            "it belongs into the list `ipv6`",
        )),
    }
}

/// An IPv6 prefix without host bits.
pub(super) fn ipv6_prefix(value: &DeValue<'_>) -> Parsed<Ipv6Net> {
    match prefix(value)? {
        IpNet::V6(prefix) => Ok(prefix),
        IpNet::V4(prefix) => Err(Complaint::new(
            format!("\"{prefix}\" is an IPv4 prefix"),
            "it belongs into the list `ipv4`",
        )),
    }
}

/// A prefix, or an address as the longest one.
pub(super) fn prefix_or_address(value: &DeValue<'_>) -> Parsed<IpNet> {
    let text = string(value, "10.128.0.1")?;
    text.parse::<IpAddr>()
        .map_or_else(|_| prefix(value), |address| Ok(address.into()))
}

/// `ADDRESS:PORT`.
pub(super) fn socket_address(value: &DeValue<'_>) -> Parsed<SocketAddr> {
    let text = string(value, "127.0.0.153:53")?;
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| {
            let help = "write ADDRESS:PORT: \"127.0.0.153:53\", \"[::1]:53\"";
            Complaint::new(format!("\"{text}\" is not an address and a port"), help)
        })
}

/// `ADDRESS` or `ADDRESS:PORT` of a name server.
pub(super) fn upstream(value: &DeValue<'_>) -> Parsed<SocketAddr> {
    const DNS_PORT: u16 = 53;
    let text = string(value, "192.0.2.53")?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let parsed = match bare.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, DNS_PORT)),
        Err(_) => text.parse::<SocketAddr>().ok(),
    };
    parsed.filter(|server| server.port() != 0 && !server.ip().is_unspecified() && !server.ip().is_multicast()).ok_or_else(|| {
        let help = "write ADDRESS or ADDRESS:PORT: \"192.0.2.53\", \"192.0.2.53:5353\", \"[2001:db8::53]:53\"";
        Complaint::new(format!("\"{text}\" is not the address of a name server"), help)
    })
}

/// 1 to 255 octets.
pub(super) fn identity(value: &DeValue<'_>) -> Parsed<Identity> {
    let text = string(value, "laptop@example.org")?;
    Identity::new(text)
        .map_err(|error| Complaint::new(error.to_string(), "write: \"laptop@example.org\""))
}

/// Neither reserved (RFC 5944, section 1.6: 0 to 255) nor one that means open mode.
pub(super) fn spi(value: &DeValue<'_>) -> Parsed<u32> {
    const FIRST: u32 = 256;
    let help = format!("write the number both ends agreed on, {FIRST} or above, without quotes");
    let (number, parsed) = number(value, &help)?;
    match parsed {
        Some(OPEN_MODE_SPI) => Err(Complaint::new(
            format!("{number} means open mode and has no secret"),
            help,
        )),
        Some(FIRST_AGREED_SPI..) => Err(Complaint::new(
            format!("{number} is kept for keys that are agreed on: {FIRST_AGREED_SPI} and above"),
            help,
        )),
        Some(spi @ FIRST..) => Ok(spi),
        _ => Err(Complaint::new(format!("{number} is no usable SPI"), help)),
    }
}

/// How many at most: at least one.
pub(super) fn quota(value: &DeValue<'_>) -> Parsed<u32> {
    let help = "write a number, 1 or above, without quotes: 64";
    let (number, parsed) = number(value, help)?;
    parsed
        .filter(|parsed| *parsed > 0)
        .ok_or_else(|| Complaint::new(format!("{number} is no quota"), help))
}

/// How the authenticator is computed.
pub(super) fn algorithm(value: &DeValue<'_>) -> Parsed<Algorithm> {
    let words = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    word(value, &words, &[])
}

/// How old messages are told from new ones.
pub(super) fn replay_protection(value: &DeValue<'_>) -> Parsed<ReplayProtection> {
    let words = ReplayProtection::ALL.map(|style| (style.name(), style));
    word(value, &words, &[])
}

/// The public key of a home agent: 64 hexadecimal digits.
pub(super) fn public_key(value: &DeValue<'_>) -> Parsed<PublicKey> {
    let text = string(value, "5bd6ed06...")?;
    text.parse().map_err(|error: PublicKeyError| {
        let help = "write the key as `chad status` of that home agent shows it";
        Complaint::new(error.to_string(), help)
    })
}

/// A domain name, lower case, without its final dot.
pub(super) fn domain(value: &DeValue<'_>) -> Parsed<String> {
    let text = string(value, "example.org")?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(good_label) {
        return Ok(name.to_ascii_lowercase());
    }
    let help = match name.strip_prefix("*.") {
        Some(below) => format!("write \"{below}\": it stands for itself and everything below"),
        None => "write: \"example.org\" (other scripts in their xn-- form)".to_owned(),
    };
    Err(Complaint::new(
        format!("\"{text}\" is not a domain name"),
        help,
    ))
}

/// A whole number as it is written, and as it is if 32 bits hold it.
fn number<'v>(value: &'v DeValue<'_>, help: &str) -> Parsed<(&'v DeInteger<'v>, Option<u32>)> {
    let number = value.as_integer().ok_or_else(|| {
        let message = format!("a number is needed, this is {}", with_article(value));
        Complaint::new(message, help)
    })?;
    let parsed = i64::from_str_radix(number.as_str(), number.radix());
    let parsed = parsed.ok().and_then(|parsed| u32::try_from(parsed).ok());
    Ok((number, parsed))
}
