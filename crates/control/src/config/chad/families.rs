//! What each of the two address families needs: an address to register with, addresses to lend, and
//! somebody to serve. A family with none of them isn't served.

use std::ops::Range;

use ipnet::IpNet;

use super::super::document::{Located, Report, Section};

/// What the file has of one family, good or bad, and where.
struct Family<'a> {
    /// What people call it.
    name: &'static str,
    /// What the file calls it.
    key: &'static str,
    /// An address a host could have and a prefix of such, for help.
    examples: [&'static str; 2],
    /// The home agent's own address.
    listen: Option<Range<usize>>,
    /// The addresses to lend.
    pool: Option<Range<usize>>,
    /// The first one to serve.
    correspondent: Option<&'a Located<IpNet>>,
}

/// Reports what a family lacks of which the file has other parts.
pub(super) fn complete(
    report: &Report<'_>,
    listen: &Section<'_>,
    pool: &Section<'_>,
    correspondents: &[Located<IpNet>],
) {
    let first = |is_of: fn(&IpNet) -> bool| correspondents.iter().find(|one| is_of(&one.value));
    let families = [
        Family {
            name: "IPv4",
            key: "ipv4",
            examples: ["192.0.2.1", "10.128.0.0/10"],
            listen: listen.place("ipv4"),
            pool: pool.place("ipv4").filter(|_| pool.has_elements("ipv4")),
            correspondent: first(|prefix| matches!(prefix, IpNet::V4(_))),
        },
        Family {
            name: "IPv6",
            key: "ipv6",
            examples: ["2001:db8::1", "2001:db8:1::/64"],
            listen: listen.place("ipv6"),
            pool: pool.place("ipv6").filter(|_| pool.has_elements("ipv6")),
            correspondent: first(|prefix| matches!(prefix, IpNet::V6(_))),
        },
    ];
    if families.iter().all(|family| family.listen.is_none()) {
        let [ipv4, ipv6] = families.map(|family| family.listen_line());
        let help = format!(
            "add to [listen] an address of this host, or one of each family: {ipv4}, {ipv6}"
        );
        report.error(listen.span(), "there is no address to listen on", help);
        return;
    }
    for family in families {
        family.complete(report, pool, !correspondents.is_empty());
    }
}

impl Family<'_> {
    fn complete(&self, report: &Report<'_>, pool: &Section<'_>, are_correspondents_known: bool) {
        let Self { name, key, .. } = self;
        let Some(listen) = &self.listen else {
            return self.without_listen(report);
        };
        if self.pool.is_none() {
            let [_, prefix] = self.examples;
            report.error(
                pool.span(),
                &format!("there is no {name} address to lend"),
                format!(
                    "write the prefixes whose addresses may be lent, in [pool]: {key} = [\"{prefix}\"]"
                ),
            );
        }
        if self.correspondent.is_none() && are_correspondents_known {
            report.warn(
                listen,
                &format!("nobody is served over {name}: no [[correspondent]] has an {name} prefix"),
                format!("add one, or leave {key} out of [listen] and [pool]"),
            );
        }
    }

    fn without_listen(&self, report: &Report<'_>) {
        let (place, what) = match (&self.pool, self.correspondent) {
            (Some(pool), _) => (pool, "addresses are to be lent"),
            (None, Some(correspondent)) => (&correspondent.span, "correspondents are to be served"),
            (None, None) => return,
        };
        let Self { name, .. } = self;
        report.error(
            place,
            &format!("{name} {what}, but there is no {name} address to listen on"),
            format!("add to [listen] one of this host: {}", self.listen_line()),
        );
    }

    fn listen_line(&self) -> String {
        let [address, _] = self.examples;
        format!("{} = \"{address}\"", self.key)
    }
}
