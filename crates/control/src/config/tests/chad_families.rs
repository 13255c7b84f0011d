use super::*;

/// `listen`, `pool` and one correspondent for each prefix.
fn served(listen: &str, pool: &str, correspondents: &[&str]) -> String {
    let correspondents: String = correspondents
        .iter()
        .map(|prefix| format!("[[correspondent]]\nprefix = \"{prefix}\"\n"))
        .collect();
    format!("[listen]\n{listen}\n[pool]\n{pool}\n{correspondents}")
}

#[test]
fn a_home_agent_of_ipv6_alone() {
    let text = served(
        "ipv6 = \"2001:db8::1\"",
        "ipv6 = [\"2001:db8:1::/64\"]",
        &["2001:db8:2::/64"],
    );
    let (config, warnings) = Files::new().chad(&text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.ipv4, None);
    assert_eq!(config.listen.ipv6, Some("2001:db8::1".parse().unwrap()));
    assert!(config.pool.ipv4.is_empty());
    assert!(!config.summary().contains("434"), "{}", config.summary());
    let peer = |text: &str| config.listen.toward(text.parse().unwrap());
    assert_eq!(
        peer("2001:db8:ffff::9"),
        Some("2001:db8::1".parse().unwrap())
    );
    assert_eq!(peer("203.0.113.9"), None);
}

#[test]
fn a_family_has_all_its_parts_or_none() {
    let files = Files::new();
    let both = "ipv4 = \"192.0.2.1\"\nipv6 = \"2001:db8::1\"";
    let v4 = "ipv4 = \"192.0.2.1\"";
    let pools = "ipv4 = [\"10.128.0.0/10\"]\nipv6 = [\"2001:db8:1::/64\"]";
    let v4_pool = "ipv4 = [\"10.128.0.0/10\"]";
    let (v4_server, v6_server) = ("198.51.100.0/24", "2001:db8:2::/64");
    refused(
        files.chad(&served(v4, pools, &[v4_server])),
        (5, 8),
        &[
            "IPv6 addresses are to be lent",
            "add to [listen] one of this host: ipv6 = ",
        ],
    );
    refused(
        files.chad(&served(v4, v4_pool, &[v4_server, v6_server])),
        (8, 10),
        &["IPv6 correspondents are to be served, but there is no IPv6 address to listen on"],
    );
    refused(
        files.chad(&served(both, v4_pool, &[v4_server, v6_server])),
        (4, 1),
        &[
            "there is no IPv6 address to lend",
            "ipv6 = [\"2001:db8:1::/64\"]",
        ],
    );
    let (_, warnings) = files.chad(&served(both, pools, &[v4_server])).unwrap();
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(warning.to_string().contains("nobody is served over IPv6"));

    // What is wrong with an address is said once.
    let bad = "ipv4 = \"192.0.2.1\"\nipv6 = \"fe80::1\"";
    refused(
        files.chad(&served(bad, pools, &[v4_server, v6_server])),
        (3, 8),
        &["fe80::1 is not a global address of one host"],
    );
}

#[test]
fn ipv6_pools_that_can_not_be() {
    let files = Files::new();
    let pool = |list: &str| {
        let listen = "ipv6 = \"2001:db8::1\"";
        files.chad(&served(
            listen,
            &format!("ipv6 = {list}"),
            &["2001:db8:2::/64"],
        ))
    };
    refused(
        pool("[\"2001:db8::/48\"]"),
        (4, 9),
        &["from a /64 to a /128"],
    );
    refused(
        pool("[\"2001:db8:1::1/64\"]"),
        (4, 9),
        &["write \"2001:db8:1::/64\" for the prefix"],
    );
    for unreachable in ["fe80::/64", "ff05::/64", "::ffff:10.0.0.0/104", "::/64"] {
        refused(
            pool(&format!("[\"{unreachable}\"]")),
            (4, 9),
            &["no host can be reached by"],
        );
    }
    refused(
        pool("[\"2001:db8:1::/64\", \"2001:db8:1::8000:0:0:0/65\"]"),
        (4, 28),
        &["overlaps 2001:db8:1::/64 above"],
    );
    refused(
        pool("[\"10.0.0.0/24\"]"),
        (4, 9),
        &["belongs into the list `ipv4`"],
    );
    refused(
        pool("[\"2001:db8:2::/64\"]"),
        (6, 10),
        &["overlaps the pool's", "VPN"],
    );
    let (_, warnings) = pool("[\"2001:db8::/64\"]").unwrap();
    assert!(warnings.first().unwrap().to_string().contains("never lent"));
}

#[test]
fn fixed_addresses_of_ipv6() {
    let files = Files::new();
    let with = |pool: &str, address: &str| {
        let text = served(
            "ipv6 = \"2001:db8:1::1\"",
            &format!("ipv6 = [\"{pool}\"]"),
            &["2001:db8:2::/64"],
        );
        files.chad(&format!(
            "{text}[[mobile-node]]\nidentity = \"a\"\naddress = \"{address}\"\nspi = 256\nkey-file = \"KEY\"\n"
        ))
    };
    let (pool, place) = ("2001:db8:1::/64", (9, 11));
    let last = "2001:db8:1::ffff:ffff:ffff:ffff";
    assert!(with(pool, last).is_ok(), "IPv6 has no broadcast");
    assert!(with("2001:db8:1::8/128", "2001:db8:1::8").is_ok());
    refused(
        with(pool, "2001:db8:1::"),
        place,
        &["is the Subnet-Router anycast address"],
    );
    refused(
        with(pool, "2001:db8:1::1"),
        place,
        &["is this home agent's own"],
    );
    refused(with(pool, "10.128.0.9"), place, &["is outside the pool"]);
}
