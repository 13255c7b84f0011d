//! From the document to the configuration of mn-agent, and what must hold between its parts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mobility_protocol::security::{PublicKey, SecurityAssociation};

use super::super::document::{Document, Report, Section};
use super::super::{Configuration, common, values};
use super::trust_anchor::trust_anchor;
use super::{Cha, ChaAssociation, Config, DEFAULT_STATE, Dns, DnsMode, PinnedCha, Policy, Session};

const DNS_PORT: u16 = 53;
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 153)), DNS_PORT);
const DEFAULT_HOLD: Duration = Duration::from_millis(300);
const DEFAULT_LOOKUP_WINDOW: Duration = Duration::from_millis(50);
/// Stub resolvers ask again after 5 seconds and give up after the second time (resolv.conf(5)).
const LONGEST_HOLD: Duration = Duration::from_secs(10);
const SHORTEST_DURATION: Duration = Duration::from_millis(1);
const LONGEST_SESSION_TIMER: Duration = Duration::from_secs(24 * 3600);

pub(super) fn parse(document: &Document<'_>) -> Option<Config> {
    let report = document.report();
    let root = document.root();
    let (control, state) = common::places(&root, Config::DEFAULT_CONTROL, DEFAULT_STATE);
    let identity = root
        .optional("identity", values::identity)
        .map(|identity| identity.value);
    let dns = dns(report, root.table("dns"));
    let session = session(root.table("session"));
    let policy = policy(report, root.table("policy"));
    let backend = common::backend(root.table("dataplane"));
    let sections = root.tables("security-association");
    if let Some(first) = sections.first().filter(|_| !root.has("identity")) {
        let help =
            "write at the top the identity the home agent knows: identity = \"laptop@example.org\"";
        report.warn(
            first.span(),
            "an association without `identity`: the home agent finds keys by it",
            help,
        );
    }
    let associations: Vec<_> = sections.into_iter().map(association).collect();
    let home_agents: Vec<_> = root
        .tables("home-agent")
        .into_iter()
        .map(home_agent)
        .collect();
    root.finish();

    let mut seen = BTreeSet::new();
    for (span, cha, association) in associations.iter().flatten() {
        let spi = association.spi;
        if !seen.insert((cha, spi)) {
            let message = format!("{cha} appears twice with the SPI {spi}");
            report.error(span, &message, "another SPI for each key with a home agent");
        }
    }
    let mut seen = BTreeSet::new();
    for (span, cha, _) in home_agents.iter().flatten() {
        if !seen.insert(cha) {
            let help = "one [[home-agent]] for each, with the key it has";
            report.error(span, &format!("{cha} appears twice"), help);
        }
        if associations
            .iter()
            .flatten()
            .any(|(_, keyed, _)| keyed == cha)
        {
            let help = "leave one of the two out: where a key is shared, none is agreed on";
            report.warn(span, &format!("{cha} has a [[security-association]]"), help);
        }
    }
    let associations = associations
        .into_iter()
        .map(|one| one.map(|(_, cha, association)| ChaAssociation { cha, association }))
        .collect::<Option<_>>()?;
    let home_agents = home_agents
        .into_iter()
        .map(|one| one.map(|(_, cha, key)| PinnedCha { cha, key }))
        .collect::<Option<_>>()?;
    Some(Config {
        control,
        state,
        identity,
        dns,
        session,
        policy,
        backend,
        associations,
        home_agents,
    })
}

fn dns(report: &Report<'_>, section: Section<'_>) -> Dns {
    let modes = [
        ("auto", DnsMode::ResolvConf),
        ("resolv-conf", DnsMode::ResolvConf),
        ("manual", DnsMode::Manual),
    ];
    let mode = section
        .or("mode", DnsMode::ResolvConf, |value| {
            values::word(value, &modes, &["resolved"])
        })
        .value;
    let listen = section.or("listen", DEFAULT_LISTEN, values::socket_address);
    let upstream = section.list("upstream", values::upstream);
    let hold = section
        .or("hold", DEFAULT_HOLD, |value| {
            values::duration(value, Duration::ZERO..=LONGEST_HOLD)
        })
        .value;
    let lookup_window = section
        .or("lookup-window", DEFAULT_LOOKUP_WINDOW, |value| {
            values::duration(value, Duration::ZERO..=LONGEST_HOLD)
        })
        .value;
    let address = listen.value;
    if mode == DnsMode::ResolvConf && address.port() != DNS_PORT {
        let message = format!(
            "`listen`: port {} can't be named in resolv.conf",
            address.port()
        );
        let help =
            format!("write port {DNS_PORT}, or mode = \"manual\" and see to the queries yourself");
        report.error(&listen.span, &message, help);
    }
    if address.ip().is_unspecified() {
        let message = format!("`listen`: {} is no address that can answer", address.ip());
        report.error(&listen.span, &message, "write: listen = \"127.0.0.153:53\"");
    } else if !address.ip().is_loopback() {
        let message = format!("`listen`: {address} answers other hosts too");
        report.warn(
            &listen.span,
            &message,
            "write a loopback address unless that is wanted: \"127.0.0.153:53\"",
        );
    }
    for server in &upstream {
        if server.value == address {
            let help = "write the servers that know, or [] for the system's";
            report.error(&server.span, "`upstream`: the relay would ask itself", help);
        }
    }
    section.finish();
    Dns {
        mode,
        listen: address,
        upstream: upstream.into_iter().map(|server| server.value).collect(),
        hold,
        lookup_window,
    }
}

fn session(section: Section<'_>) -> Session {
    let timer = |key, seconds, shortest| {
        let bounds = shortest..=LONGEST_SESSION_TIMER;
        section
            .or(key, Duration::from_secs(seconds), |value| {
                values::duration(value, bounds)
            })
            .value
    };
    let session = Session {
        linger: timer("linger", 5, Duration::ZERO),
        inactivity: timer("inactivity", 60, SHORTEST_DURATION),
        unused: timer("unused", 10, SHORTEST_DURATION),
    };
    section.finish();
    session
}

/// The words of `trust`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Any,
    AllowList,
    Dnssec,
}

fn policy(report: &Report<'_>, section: Section<'_>) -> Policy {
    let trusts = [
        ("any", Trust::Any),
        ("allow-list", Trust::AllowList),
        ("dnssec", Trust::Dnssec),
    ];
    let trust = section.or("trust", Trust::Any, |value| {
        values::word(value, &trusts, &[])
    });
    let allow = section.list("allow", values::domain);
    let anchor = section.or("trust-anchor", None, trust_anchor);
    let lists = trust.value == Trust::AllowList;
    if lists && allow.is_empty() && !section.has_elements("allow") {
        let help = "write in [policy] the domains to trust: allow = [\"example.org\"]";
        report.error(&trust.span, "an empty allow-list would allow nothing", help);
    }
    if let Some(first) = allow.first().filter(|_| !lists) {
        report.warn(
            &first.span,
            "`allow` has no effect without trust = \"allow-list\"",
            "write trust = \"allow-list\"",
        );
    }
    if anchor.value.is_some() && trust.value != Trust::Dnssec {
        report.warn(
            &anchor.span,
            "`trust-anchor` has no effect without trust = \"dnssec\"",
            "write trust = \"dnssec\"",
        );
    }
    section.finish();
    match trust.value {
        Trust::Any => Policy::Any,
        Trust::AllowList => {
            Policy::AllowList(allow.into_iter().map(|domain| domain.value).collect())
        }
        Trust::Dnssec => Policy::Dnssec {
            anchor: anchor.value,
        },
    }
}

/// What a section says of a home agent, and where that is named.
type AboutCha<T> = (std::ops::Range<usize>, Cha, T);

fn home_agent(section: Section<'_>) -> Option<AboutCha<PublicKey>> {
    let cha = section.required("cha", "write: cha = \"cha.server.com\"", cha);
    let key = section.required(
        "key",
        "write the key that `chad status` of that home agent shows: key = \"5bd6ed06...\"",
        values::public_key,
    );
    section.finish();
    let cha = cha?;
    Some((cha.span, cha.value, key?.value))
}

fn association(section: Section<'_>) -> Option<AboutCha<SecurityAssociation>> {
    let cha = section.required("cha", "write: cha = \"cha.server.com\"", cha);
    let association = common::association(&section, "/etc/mn-agent/server.key");
    section.finish();
    let cha = cha?;
    Some((cha.span, cha.value, association?))
}

/// A home agent's name or address.
pub(in crate::config) fn cha(value: &toml::de::DeValue<'_>) -> values::Parsed<Cha> {
    match value.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
        Some(address) => Ok(Cha::Address(address)),
        None => values::domain(value).map(Cha::Name),
    }
}
