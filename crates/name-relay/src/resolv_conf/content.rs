//! The text of `resolv.conf`, read and written (resolv.conf(5)).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

use nix::net::if_::if_nametoindex;
use resolv_conf::{Config, ScopedIp};

use crate::upstream::MAX_SERVERS;

/// How a file that the relay wrote begins.
const MARK: &str = "# Written by mn-agent:";

/// The port of name servers, which the file cannot change.
const DNS_PORT: u16 = 53;

/// Whether the relay wrote this.
pub(super) fn is_ours(content: &[u8]) -> bool {
    content.starts_with(MARK.as_bytes())
}

/// The name servers in their order, without the relay itself.
pub(super) fn name_servers(content: &[u8], relay: IpAddr) -> Vec<SocketAddr> {
    parse(content)
        .into_iter()
        .filter(|server| IpAddr::from(server) != relay)
        .filter_map(|server| socket_address(&server))
        .take(MAX_SERVERS)
        .collect()
}

/// The first name server as the file writes it, without the relay itself.
pub(super) fn first_server(content: &[u8], relay: IpAddr) -> Option<String> {
    parse(content)
        .iter()
        .find(|server| IpAddr::from(*server) != relay)
        .map(ToString::to_string)
}

/// What the relay writes: itself first, then `second` for the time after a
/// crash of the relay, then everything of the original that is neither a name
/// server nor a comment. `rotate` goes, since it would send every other
/// question past the relay.
pub(super) fn render(
    original: &[u8],
    relay: IpAddr,
    second: Option<&str>,
    backup: &Path,
) -> Vec<u8> {
    let mut text = format!(
        "{MARK} names are resolved through its relay at {relay}.\n\
         # The original is kept in {} and comes back when mn-agent stops.\n\
         nameserver {relay}\n",
        backup.display()
    );
    if let Some(second) = second {
        let _infallible = writeln!(text, "nameserver {second}");
    }
    text.push_str(&other_lines(original));
    text.into_bytes()
}

/// The original, as far as a file of the relay's own tells it: without the
/// header and without the relay.
pub(super) fn without_relay(content: &[u8], relay: IpAddr) -> Option<Vec<u8>> {
    let server = first_server(content, relay)?;
    let mut text = format!("nameserver {server}\n");
    text.push_str(&other_lines(content));
    Some(text.into_bytes())
}

fn other_lines(content: &[u8]) -> String {
    let mut lines = String::new();
    for line in String::from_utf8_lossy(content).lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("nameserver") => {}
            Some(word) if word.starts_with(['#', ';']) => {}
            Some("options") => {
                let options: Vec<&str> = words.filter(|option| *option != "rotate").collect();
                if !options.is_empty() {
                    let _infallible = writeln!(lines, "options {}", options.join(" "));
                }
            }
            Some(_) => {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    lines
}

fn parse(content: &[u8]) -> Vec<ScopedIp> {
    let (config, errors) = Config::parse_with_errors(content);
    for error in errors {
        tracing::debug!(%error, "resolv.conf");
    }
    config.nameservers
}

fn socket_address(server: &ScopedIp) -> Option<SocketAddr> {
    match server {
        ScopedIp::V4(address) => Some((*address, DNS_PORT).into()),
        ScopedIp::V6(address, None) => Some((*address, DNS_PORT).into()),
        ScopedIp::V6(address, Some(scope)) => {
            Some(SocketAddrV6::new(*address, DNS_PORT, 0, scope_index(scope)?).into())
        }
    }
}

/// The index of an interface named as a scope (RFC 4007 11).
fn scope_index(scope: &str) -> Option<u32> {
    scope.parse().or_else(|_name| if_nametoindex(scope)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RELAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 153));

    fn rendered(original: &str) -> String {
        let second = first_server(original.as_bytes(), RELAY);
        let content = render(
            original.as_bytes(),
            RELAY,
            second.as_deref(),
            Path::new("/var/lib/mn-agent/resolv.conf.original"),
        );
        String::from_utf8(content).unwrap()
    }

    #[test]
    fn the_relay_comes_first_and_the_former_first_server_second() {
        let text = rendered(
            "# made by dhcp\nsearch corp.example\nnameserver 192.0.2.1\n\
             nameserver 192.0.2.2\noptions ndots:2 rotate edns0\n",
        );
        assert_eq!(
            text,
            "# Written by mn-agent: names are resolved through its relay at 127.0.0.153.\n\
             # The original is kept in /var/lib/mn-agent/resolv.conf.original and comes back when mn-agent stops.\n\
             nameserver 127.0.0.153\nnameserver 192.0.2.1\n\
             search corp.example\noptions ndots:2 edns0\n"
        );
        assert!(is_ours(text.as_bytes()));
    }

    #[test]
    fn the_stub_of_systemd_resolved_is_a_name_server_like_any() {
        let original = b"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
        assert_eq!(
            name_servers(original, RELAY),
            ["127.0.0.53:53".parse().unwrap()]
        );
        assert!(
            rendered(std::str::from_utf8(original).unwrap()).contains("nameserver 127.0.0.53\n")
        );
    }

    #[test]
    fn the_relay_is_never_its_own_name_server() {
        let original = b"nameserver 127.0.0.153\nnameserver 2001:db8::1\n";
        assert_eq!(
            name_servers(original, RELAY),
            ["[2001:db8::1]:53".parse().unwrap()]
        );
        assert_eq!(name_servers(b"nameserver 127.0.0.153\n", RELAY), []);
    }

    #[test]
    fn an_original_can_be_told_from_what_was_written() {
        let text = rendered("nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.example\n");
        assert_eq!(
            without_relay(text.as_bytes(), RELAY).unwrap(),
            b"nameserver 192.0.2.1\nsearch a.example\n"
        );
        assert_eq!(without_relay(rendered("").as_bytes(), RELAY), None);
    }

    #[test]
    fn broken_lines_do_not_hide_good_ones() {
        let original =
            b"nameserver\nnameserver nonsense\n\xff\xfe\nnameserver 192.0.2.7\noptions\n";
        assert_eq!(
            name_servers(original, RELAY),
            ["192.0.2.7:53".parse().unwrap()]
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(content: Vec<u8>) {
            let _ = name_servers(&content, RELAY);
            let ours = render(&content, RELAY, None, Path::new("/x"));
            prop_assert!(is_ours(&ours));
            prop_assert_eq!(name_servers(&ours, RELAY), vec![]);
        }
    }
}
