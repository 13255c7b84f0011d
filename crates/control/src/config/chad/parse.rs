//! From the document to the configuration of chad.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mobility_protocol::Identity;
use mobility_protocol::home_agent::{Quotas, Rates};

use super::super::document::{Complaint, Document, Located, Report, Section};
use super::super::{Configuration, common, values};
use super::checks::{self, Available};
use super::families;
use super::{
    Config, DEFAULT_STATE, LifetimeLimits, Listen, MobileNode, Pool, Reachability, Security,
    SecurityMode,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest finite lifetime of the Lifetime field (RFC 5944, section 3.3): 65,534 seconds.
const LONGEST_LIFETIME: Duration = Duration::from_secs(0xfffe);
/// One unit of the Lifetime field in IPv6 (RFC 6275, section 6.1.7).
const SHORTEST_FIRST: Duration = Duration::from_secs(4);
const LONGEST_HOLD_DOWN: Duration = Duration::from_secs(24 * 3600);
/// A pool prefix is between these.
const POOL_LENGTHS: (u8, u8) = (8, 32);
const IPV6_POOL_LENGTHS: (u8, u8) = (64, 128);

pub(super) fn parse(document: &Document<'_>) -> Option<Config> {
    let report = document.report();
    let root = document.root();
    let (control, state) = common::places(&root, Config::DEFAULT_CONTROL, DEFAULT_STATE);
    let (listen_section, pool_section) = (root.table("listen"), root.table("pool"));
    let (listen, own_addresses) = listen(&listen_section);
    let (pool, pool_prefixes) = pool(report, &pool_section);
    let lifetime = lifetime(report, root.table("lifetime"));
    let correspondents = correspondents(report, root.tables("correspondent"));
    families::complete(report, &listen_section, &pool_section, &correspondents);
    listen_section.finish();
    pool_section.finish();
    let security = security(root.table("security"));
    let backend = common::backend(root.table("dataplane"));
    let mobile_nodes = mobile_nodes(report, root.tables("mobile-node"));
    root.finish();

    checks::correspondents_are_not_lent(report, &correspondents, &pool_prefixes);
    for address in &own_addresses {
        checks::listen_address_in_pool(report, address, &pool_prefixes);
    }
    let available = Available {
        pool: &pool_prefixes,
        exclude: &pool.exclude,
        listen: &own_addresses,
    };
    let fixed: Vec<_> = mobile_nodes
        .iter()
        .filter_map(|node| node.address.as_ref())
        .collect();
    checks::fixed_addresses(report, &fixed, &available);
    checks::modes_and_mobile_nodes(
        report,
        &security.mode,
        &security.legacy_open,
        mobile_nodes.is_empty(),
    );

    let secret_file = security
        .secret_file
        .map_or_else(|| state.join("secret.key"), |path| path.value);
    Some(Config {
        control,
        state,
        listen,
        pool,
        lifetime,
        correspondents: correspondents.into_iter().map(|one| one.value).collect(),
        security: Security {
            mode: security.mode.value,
            legacy_open: security.legacy_open.value,
            secret_file,
            quotas: Quotas {
                first_lifetime: lifetime.first,
                ..security.quotas
            },
        },
        backend,
        mobile_nodes: mobile_nodes
            .into_iter()
            .map(|node| node.node)
            .collect::<Option<_>>()?,
    })
}

/// The home agent's own addresses: by family, and where they stand.
fn listen(section: &Section<'_>) -> (Listen, Vec<Located<IpAddr>>) {
    let ipv4 = section.optional("ipv4", values::ipv4_host);
    let ipv6 = section.optional("ipv6", values::ipv6_host);
    let listen = Listen {
        ipv4: ipv4.as_ref().map(|address| address.value),
        ipv6: ipv6.as_ref().map(|address| address.value),
    };
    let ipv4 = ipv4.map(|address| address.map(IpAddr::V4));
    let ipv6 = ipv6.map(|address| address.map(IpAddr::V6));
    (listen, ipv4.into_iter().chain(ipv6).collect())
}

fn pool(report: &Report<'_>, section: &Section<'_>) -> (Pool, Vec<Located<IpNet>>) {
    let ipv4 = section.list("ipv4", pool_prefix);
    let ipv6 = section.list("ipv6", ipv6_pool_prefix);
    let exclude = section.list("exclude", values::prefix_or_address);
    let hold_down = section
        .or("hold-down", 4 * MINUTE, |value| {
            values::duration(value, Duration::ZERO..=LONGEST_HOLD_DOWN)
        })
        .value;
    let reachability = section
        .or("reachability", Reachability::Routed, |value| {
            values::word(value, &[("routed", Reachability::Routed)], &["on-link"])
        })
        .value;
    let prefixes: Vec<Located<IpNet>> = ipv4
        .iter()
        .map(|prefix| prefix.clone().map(IpNet::V4))
        .chain(ipv6.iter().map(|prefix| prefix.clone().map(IpNet::V6)))
        .collect();
    checks::no_overlaps(
        report,
        &prefixes,
        "write it once, or prefixes that are apart",
    );
    checks::excluded(report, &exclude, &prefixes);
    let pool = Pool {
        ipv4: ipv4.into_iter().map(|prefix| prefix.value).collect(),
        ipv6: ipv6.into_iter().map(|prefix| prefix.value).collect(),
        hold_down,
        exclude: exclude.into_iter().map(|prefix| prefix.value).collect(),
        reachability,
    };
    (pool, prefixes)
}

fn pool_prefix(value: &toml::de::DeValue<'_>) -> values::Parsed<Ipv4Net> {
    let prefix = values::ipv4_prefix(value)?;
    let (shortest, longest) = POOL_LENGTHS;
    if !(shortest..=longest).contains(&prefix.prefix_len()) {
        let message = format!("\"{prefix}\" is no size for a pool");
        return Err(Complaint::new(
            message,
            format!("write prefixes from a /{shortest} to a /{longest}"),
        ));
    }
    let network = prefix.network();
    let first = network.octets()[0];
    if network.is_loopback() || first == 0 || first >= 224 {
        let message = format!("\"{prefix}\" holds addresses no host can be reached by");
        return Err(Complaint::new(
            message,
            "write a private or a global prefix: \"10.128.0.0/10\"",
        ));
    }
    Ok(prefix)
}

fn ipv6_pool_prefix(value: &toml::de::DeValue<'_>) -> values::Parsed<Ipv6Net> {
    let prefix = values::ipv6_prefix(value)?;
    let (shortest, longest) = IPV6_POOL_LENGTHS;
    if !(shortest..=longest).contains(&prefix.prefix_len()) {
        let message = format!("\"{prefix}\" is no size for a pool");
        return Err(Complaint::new(
            message,
            format!("write prefixes from a /{shortest} to a /{longest}"),
        ));
    }
    let network = prefix.network();
    // ::/8 holds loopback and what stands for IPv4 addresses.
    if network.octets()[0] == 0 || network.is_multicast() || network.is_unicast_link_local() {
        let message = format!("\"{prefix}\" holds addresses no host can be reached by");
        return Err(Complaint::new(
            message,
            "write a global or a unique local prefix: \"2001:db8:1::/64\"",
        ));
    }
    Ok(prefix)
}

fn lifetime(report: &Report<'_>, section: Section<'_>) -> LifetimeLimits {
    let bounds = Duration::from_secs(1)..=LONGEST_LIFETIME;
    let default = section.or("default", 10 * MINUTE, |value| {
        values::lifetime(value, bounds.clone())
    });
    let max = section.or("max", HOUR, |value| values::lifetime(value, bounds.clone()));
    if default.value > max.value {
        let (shown, limit) = (values::shown(default.value), values::shown(max.value));
        let message =
            format!("the default lifetime {shown} is longer than the longest one, {limit}");
        let place = if section.has("default") {
            &default.span
        } else {
            &max.span
        };
        report.error(
            place,
            &message,
            format!("write default = \"{limit}\" or less, or raise max"),
        );
    }
    let first = section.or("first", MINUTE, |value| {
        values::lifetime(value, SHORTEST_FIRST..=LONGEST_LIFETIME)
    });
    section.finish();
    LifetimeLimits {
        default: default.value,
        max: max.value,
        first: first.value,
    }
}

fn correspondents(report: &Report<'_>, sections: Vec<Section<'_>>) -> Vec<Located<IpNet>> {
    if sections.is_empty() {
        let help = "add whom this home agent serves:\n     [[correspondent]]\n     prefix = \"198.51.100.0/24\"";
        report.error(
            &(0..0),
            "nobody would be served: there is no [[correspondent]]",
            help,
        );
    }
    let prefixes: Vec<_> = sections
        .into_iter()
        .filter_map(|section| {
            let prefix = section.required(
                "prefix",
                "write: prefix = \"198.51.100.0/24\"",
                values::prefix,
            );
            section.finish();
            prefix
        })
        .collect();
    checks::no_overlaps(report, &prefixes, "write only the wider one");
    prefixes
}

struct LocatedSecurity {
    mode: Located<SecurityMode>,
    legacy_open: Located<bool>,
    secret_file: Option<Located<PathBuf>>,
    quotas: Quotas,
}

fn security(section: Section<'_>) -> LocatedSecurity {
    let modes = [
        ("open", SecurityMode::Open),
        ("authenticated", SecurityMode::Authenticated),
    ];
    let mode = section.or("mode", SecurityMode::Open, |value| {
        values::word(value, &modes, &[])
    });
    let legacy_open = section.or("legacy-open", false, values::boolean);
    let secret_file = section.optional("secret-file", values::path);
    let usual = Quotas::default();
    let quotas = Quotas {
        host: section.or("host-quota", usual.host, values::quota).value,
        site: section.or("site-quota", usual.site, values::quota).value,
        rates: Rates {
            host: section
                .or("host-rate", usual.rates.host, values::quota)
                .value,
            site: section
                .or("site-rate", usual.rates.site, values::quota)
                .value,
            all: section.or("rate", usual.rates.all, values::quota).value,
        },
        ..usual
    };
    section.finish();
    LocatedSecurity {
        quotas,
        mode,
        legacy_open,
        secret_file,
    }
}

/// A `[[mobile-node]]`; `node` is missing when something about it was reported.
pub(super) struct LocatedNode {
    pub(super) identity: Option<Located<Identity>>,
    pub(super) address: Option<Located<IpAddr>>,
    /// Where its SPI stands.
    pub(super) spi: Option<Range<usize>>,
    pub(super) node: Option<MobileNode>,
}

fn mobile_nodes(report: &Report<'_>, sections: Vec<Section<'_>>) -> Vec<LocatedNode> {
    let nodes: Vec<_> = sections.into_iter().map(mobile_node).collect();
    checks::keys_and_addresses(report, &nodes);
    nodes
}

fn mobile_node(section: Section<'_>) -> LocatedNode {
    let identity = section.required(
        "identity",
        "write: identity = \"laptop@example.org\"",
        values::identity,
    );
    let address = section.optional("address", values::address);
    let association = common::association(&section, "/etc/chad/laptop.key");
    let spi = section.place("spi");
    let proves_moves = section.or("proves-moves", true, values::boolean).value;
    section.finish();
    let node = identity
        .as_ref()
        .zip(association)
        .map(|(identity, association)| MobileNode {
            identity: identity.value.clone(),
            address: address.as_ref().map(|address| address.value),
            association,
            proves_moves,
        });
    LocatedNode {
        identity,
        address,
        spi,
        node,
    }
}
