//! Which names are worth asking for an agent.

use hickory_proto::rr::Name;

/// The label that leads to an agent.
pub(crate) const AGENT_LABEL: &str = "cha";

/// Domains below which nothing is ever asked for: multicast DNS (RFC 6762),
/// loopback and other special-use names (RFC 6761, RFC 7686), reverse names.
const EXCLUDED: [&[&[u8]]; 6] = [
    &[b"local"],
    &[b"localhost"],
    &[b"invalid"],
    &[b"onion"],
    &[b"in-addr", b"arpa"],
    &[b"ip6", b"arpa"],
];

/// The form in which the relay speaks of a name: lower case, no trailing dot.
pub(crate) fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// `cha.<name>.`, or nothing where `name` cannot have an agent.
pub(crate) fn agent_name(name: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = name.iter().collect();
    let is_agent = labels
        .first()
        .is_some_and(|label| label.eq_ignore_ascii_case(AGENT_LABEL.as_bytes()));
    if labels.len() < 2 || is_agent || EXCLUDED.iter().any(|zone| is_below(&labels, zone)) {
        return None;
    }
    child(name, AGENT_LABEL)
}

/// `<label>.<name>.`, or nothing where that is too long for a name.
pub(crate) fn child(name: &Name, label: &str) -> Option<Name> {
    let mut child = name.prepend_label(label).ok()?;
    child.set_fqdn(true);
    Some(child)
}

fn is_below(labels: &[&[u8]], zone: &[&[u8]]) -> bool {
    labels.len() >= zone.len()
        && labels
            .iter()
            .rev()
            .zip(zone.iter().rev())
            .all(|(label, other)| label.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Option<String> {
        agent_name(&Name::from_ascii(name).unwrap()).map(|name| name.to_ascii())
    }

    #[test]
    fn ordinary_names_lead_to_their_agent() {
        assert_eq!(agent("Server.com.").as_deref(), Some("cha.Server.com."));
        assert_eq!(
            agent("a.b.c.example").as_deref(),
            Some("cha.a.b.c.example.")
        );
        assert_eq!(
            agent("local.example.").as_deref(),
            Some("cha.local.example.")
        );
        assert_eq!(agent("chat.example.").as_deref(), Some("cha.chat.example."));
    }

    #[test]
    fn names_that_cannot_have_an_agent_are_left_alone() {
        let names = [
            ".",
            "localhost.",
            "printer.",
            "com.",
            "cha.server.com.",
            "CHA.server.com.",
            "printer.local.",
            "a.LOCAL.",
            "x.localhost.",
            "1.2.0.192.in-addr.arpa.",
            "8.b.d.0.1.0.0.2.ip6.arpa.",
            "a.invalid.",
            "a.onion.",
        ];
        for name in names {
            assert_eq!(agent(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_too_long_for_another_label_has_no_agent() {
        let label = "a".repeat(63);
        let name = format!("{label}.{label}.{label}.{}.", "b".repeat(60));
        assert_eq!(agent(&name), None);
    }
}
