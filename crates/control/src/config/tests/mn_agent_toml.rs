use super::*;
use crate::config::mn_agent::{Cha, DnsMode, Policy};

#[test]
fn an_empty_file_and_the_example_are_the_same() {
    let files = Files::new();
    let (empty, no_warnings) = files.mn_agent("").unwrap();
    let (example, warnings) = files.mn_agent(MN_AGENT).unwrap();
    assert!(no_warnings.is_empty() && warnings.is_empty());
    assert_eq!(format!("{empty:?}"), format!("{example:?}"));
    assert_eq!(empty.control, Path::new("/run/mn-agent/control.sock"));
    assert_eq!(empty.state, Path::new("/var/lib/mn-agent"));
    assert_eq!(empty.dns.listen, "127.0.0.153:53".parse().unwrap());
    assert_eq!(empty.dns.mode, DnsMode::ResolvConf);
    assert_eq!(empty.dns.hold, Duration::from_millis(300));
    assert_eq!(empty.dns.lookup_window, Duration::from_millis(50));
    assert_eq!(empty.session.linger, Duration::from_secs(5));
    assert_eq!(empty.session.inactivity, Duration::from_secs(60));
    assert_eq!(empty.session.unused, Duration::from_secs(10));
    let (at_once, _) = Files::new().mn_agent("session.linger = \"0s\"").unwrap();
    assert_eq!(at_once.session.linger, Duration::ZERO);
    assert_eq!(empty.policy, Policy::Any);
    assert!(empty.summary().contains("127.0.0.153:53"));
}

#[test]
fn the_example_shows_every_key_and_its_default() {
    let files = Files::new();
    let text = everything(MN_AGENT, "/etc/mn-agent/server.key");
    let (config, warnings) = files.mn_agent(&text).unwrap();
    let (empty, _) = files.mn_agent("").unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(format!("{:?}", config.dns), format!("{:?}", empty.dns));
    assert_eq!(
        format!("{:?}", config.session),
        format!("{:?}", empty.session)
    );
    assert_eq!(
        (&config.control, &config.state),
        (&empty.control, &empty.state)
    );
    assert_eq!(
        (&config.policy, config.backend),
        (&empty.policy, empty.backend)
    );
    let contract = [
        "control",
        "state",
        "identity",
        "[dns]",
        "mode",
        "listen",
        "upstream",
        "hold",
        "lookup-window",
        "[session]",
        "linger",
        "inactivity",
        "unused",
        "[policy]",
        "trust",
        "allow",
        "trust-anchor",
        "[dataplane]",
        "backend",
        "[[home-agent]]",
        "key",
        "[[security-association]]",
        "cha",
        "spi",
        "algorithm",
        "replay",
        "key-file",
    ];
    for key in contract {
        let is_there = |line: &str| {
            line.starts_with(key)
                && (key.starts_with('[') || line.starts_with(&format!("{key} = ")))
        };
        assert!(text.lines().any(is_there), "{key}");
    }
}

#[test]
fn the_key_of_a_home_agent() {
    let digits = "5bd6ed0693f72f6af02cf426770224a78c721d6c14c96da4cef1c420abb18e02";
    let known =
        |cha: &str, key: &str| format!("[[home-agent]]\ncha = \"{cha}\"\nkey = \"{key}\"\n");
    let files = Files::new();
    let text = known("cha.server.com", digits);
    let (config, warnings) = files.mn_agent(&text).unwrap();
    assert!(warnings.is_empty());
    let pinned = |name, address: &str| config.pinned_key(name, address.parse().unwrap());
    let key = pinned("CHA.server.com.", "192.0.2.1").map(|key| key.to_string());
    assert_eq!(key.as_deref(), Some(digits));
    assert_eq!(pinned("cha.other.com", "192.0.2.1"), None);
    refused(
        files.mn_agent(&known("cha.server.com", "5bd6ed06...")),
        (3, 7),
        &["is not a public key", "chad status"],
    );
    refused(
        files.mn_agent(&format!("{text}{}", known("cha.server.com", digits))),
        (5, 7),
        &["appears twice"],
    );
    let keyed = "identity = \"a\"\n[[security-association]]\ncha = \"cha.server.com\"\nspi = 300\nkey-file = \"KEY\"\n";
    let (_, warnings) = files.mn_agent(&format!("{keyed}{text}")).unwrap();
    assert_eq!(warnings.len(), 1, "one of them has no effect");
}

#[test]
fn the_association_of_a_home_agent() {
    let association = |cha: &str, spi| {
        format!("[[security-association]]\ncha = \"{cha}\"\nspi = {spi}\nkey-file = \"KEY\"\n")
    };
    let text = format!(
        "identity = \"a\"\n{}{}",
        association("CHA.Server.com.", 300),
        association("192.0.2.9", 301)
    );
    let files = Files::new();
    let (config, warnings) = files.mn_agent(&text).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(
        config.associations.first().unwrap().cha,
        Cha::Name("cha.server.com".to_owned())
    );
    let spi = |name, address: &str| {
        let found = config.associations(name, address.parse().unwrap());
        found.map(|found| found.spi).collect::<Vec<_>>()
    };
    assert_eq!(spi("cha.server.com.", "192.0.2.1"), [300]);
    assert_eq!(
        spi("Cha.server.com", "192.0.2.9"),
        [301],
        "the address has precedence"
    );
    assert!(spi("cha.other.com", "192.0.2.1").is_empty());
    refused(
        files.mn_agent(&format!("{text}{}", association("cha.server.COM", 300))),
        (11, 7),
        &["appears twice with the SPI 300"],
    );
    let (config, _) = files
        .mn_agent(&format!("{text}{}", association("cha.server.COM", 302)))
        .unwrap();
    let found = config.associations("cha.server.com", "192.0.2.1".parse().unwrap());
    let found: Vec<_> = found.map(|found| found.spi).collect();
    assert_eq!(found, [300, 302], "the first is preferred");
    let (_, warnings) = files.mn_agent(&association("192.0.2.9", 301)).unwrap();
    assert!(
        warnings
            .first()
            .unwrap()
            .message()
            .contains("without `identity`")
    );
}

#[test]
fn listening_where_nobody_can_ask() {
    let files = Files::new();
    let dns = |lines: &str| files.mn_agent(&format!("[dns]\n{lines}\n"));
    refused(
        dns("listen = \"127.0.0.153:5353\""),
        (2, 10),
        &["can't be named in resolv.conf", "manual"],
    );
    refused(
        dns("listen = \"127.0.0.153\""),
        (2, 10),
        &["not an address and a port"],
    );
    refused(
        dns("mode = \"manual\"\nlisten = \"0.0.0.0:5300\""),
        (3, 10),
        &["no address that can answer"],
    );
    refused(
        dns("mode = \"resolved\""),
        (2, 8),
        &[
            "isn't implemented in this release",
            "\"auto\" or \"resolv-conf\" or \"manual\"",
        ],
    );
    refused(
        dns("hold = \"11s\""),
        (2, 8),
        &["between \"0s\" and \"10s\""],
    );
    refused(
        dns("upstream = [\"127.0.0.153\"]"),
        (2, 13),
        &["would ask itself"],
    );
    refused(
        dns("upstream = [\"192.0.2.53\", \"ns.example\"]"),
        (2, 27),
        &["\"ns.example\" is not the address of a name server"],
    );
    let (config, warnings) = dns("mode = \"manual\"\nlisten = \"192.0.2.8:5353\"\nupstream = [\"192.0.2.53\", \"192.0.2.53:54\", \"2001:db8::53\", \"[2001:db8::53]\", \"[2001:db8::53]:55\"]").unwrap();
    let upstream: Vec<String> = config
        .dns
        .upstream
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        upstream,
        [
            "192.0.2.53:53",
            "192.0.2.53:54",
            "[2001:db8::53]:53",
            "[2001:db8::53]:53",
            "[2001:db8::53]:55"
        ]
    );
    assert!(
        warnings
            .first()
            .unwrap()
            .message()
            .contains("answers other hosts")
    );
}

#[test]
fn an_allow_list_means_whole_domains() {
    let files = Files::new();
    let (config, _) = files
        .mn_agent("[policy]\ntrust = \"allow-list\"\nallow = [\"Server.com\"]\n")
        .unwrap();
    for (name, allowed) in [
        ("server.com", true),
        ("www.SERVER.com.", true),
        ("myserver.com", false),
        ("com", false),
    ] {
        assert_eq!(config.policy.allows(name), allowed, "{name}");
    }
    refused(
        files.mn_agent("[policy]\ntrust = \"allow-list\"\n"),
        (2, 9),
        &["would allow nothing"],
    );
    refused(
        files.mn_agent("[policy]\ntrust = \"allow-list\"\nallow = [\"*.server.com\"]\n"),
        (3, 10),
        &["write \"server.com\""],
    );
    let (_, warnings) = files
        .mn_agent("[policy]\nallow = [\"server.com\"]\n")
        .unwrap();
    assert!(
        warnings
            .first()
            .unwrap()
            .as_warning()
            .contains(":2:10: warning: `allow` has no effect")
    );
}

#[test]
fn signed_names_go_back_to_the_root_or_to_a_file() {
    let files = Files::new();
    let trust = |lines: &str| files.mn_agent(&format!("[policy]\n{lines}\n"));
    let (config, warnings) = trust("trust = \"dnssec\"").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.policy, Policy::Dnssec { anchor: None });
    assert!(config.policy.allows("any.example"));
    assert!(config.summary().contains("signed down from the root"));
    let anchor = |file: &str| trust(&format!("trust = \"dnssec\"\ntrust-anchor = \"{file}\""));
    let record = "example. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n";
    let written = |text: &str| {
        let path = files.write("root.key", text, 0o644);
        path.display().to_string()
    };
    let (config, _) = anchor(&written(record)).unwrap();
    assert!(matches!(
        config.policy,
        Policy::Dnssec { anchor: Some(text) } if text == record
    ));
    refused(
        anchor(&written(&format!("; ours\n{record}rubbish\n"))),
        (3, 16),
        &["root.key, line 3: ", "IN DNSKEY 257 3 13"],
    );
    refused(
        anchor(&written("; nothing\n")),
        (3, 16),
        &["root.key names no key"],
    );
    refused(
        anchor("/nowhere/root.key"),
        (3, 16),
        &["/nowhere/root.key can't be read", "DNSKEY"],
    );
    let file = written(record);
    let (_, warnings) = trust(&format!("trust-anchor = \"{file}\"")).unwrap();
    let warning = warnings.first().unwrap().as_warning();
    assert!(
        warning.contains("`trust-anchor` has no effect"),
        "{warning}"
    );
}

#[test]
fn tables_of_the_wrong_shape() {
    let files = Files::new();
    refused(
        files.mn_agent("dns = 5\n"),
        (1, 7),
        &["`dns` is a table, this is an integer"],
    );
    refused(
        files.mn_agent("[security-association]\nspi = 256\n"),
        (1, 1),
        &["write [[security-association]]"],
    );
    refused(
        files.mn_agent("identity = 5\n"),
        (1, 12),
        &["a string is needed, this is an integer"],
    );
}
