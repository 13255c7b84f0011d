use super::*;

#[test]
fn the_example_is_right_as_it_stands() {
    let (config, warnings) = Files::new().chad(CHAD).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.ipv4, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(config.listen.ipv6, None);
    assert_eq!(config.control, Path::new("/run/chad/control.sock"));
    assert_eq!(config.state, Path::new("/var/lib/chad"));
    assert_eq!(config.pool.hold_down, Duration::from_secs(240));
    assert_eq!(config.pool.reachability, chad::Reachability::Routed);
    assert_eq!(config.lifetime.default, Duration::from_secs(600));
    assert_eq!(config.lifetime.max, Duration::from_secs(3600));
    assert_eq!(config.security.mode, chad::SecurityMode::Open);
    assert!(!config.security.legacy_open);
    assert_eq!(config.backend, BackendChoice::Auto);
    assert!(config.summary().contains("192.0.2.1 port 434"));
}

#[test]
fn the_example_shows_every_key_and_its_default() {
    let files = Files::new();
    let text = everything(CHAD, "/etc/chad/laptop.key");
    let (config, warnings) = files.chad(&text).unwrap();
    let (plain, _) = files.chad(CHAD).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let own: Vec<String> = config
        .listen
        .addresses()
        .map(|address| address.to_string())
        .collect();
    assert_eq!(own, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(config.pool.ipv6, ["2001:db8:1::/64".parse().unwrap()]);
    assert_eq!(config.correspondents.len(), 2, "one of each family");
    let summary = config.summary();
    for words in [
        "registrations on 192.0.2.1 port 434 and Binding Updates on 2001:db8::1",
        "10.128.0.0/10 and 2001:db8:1::/64",
        "198.51.100.0/24 and 2001:db8:2::/64",
    ] {
        assert!(summary.contains(words), "{words:?} in:\n{summary}");
    }
    assert_eq!(
        format!("{:?}", config.lifetime),
        format!("{:?}", plain.lifetime)
    );
    assert_eq!(
        format!("{:?}", config.security),
        format!("{:?}", plain.security)
    );
    assert_eq!(
        (&config.control, &config.state),
        (&plain.control, &plain.state)
    );
    assert_eq!(
        (config.backend, config.pool.hold_down),
        (plain.backend, plain.pool.hold_down)
    );
    let node = config.mobile_nodes.first().unwrap();
    assert_eq!(node.identity.to_string(), "laptop@example.org");
    assert_eq!(node.address, Some("10.128.0.9".parse().unwrap()));
    assert_eq!(node.association.spi, 256);
    let contract = [
        "control",
        "state",
        "[listen]",
        "ipv4",
        "ipv6",
        "[pool]",
        "hold-down",
        "exclude",
        "reachability",
        "[lifetime]",
        "default",
        "max",
        "[[correspondent]]",
        "prefix",
        "[security]",
        "mode",
        "legacy-open",
        "[dataplane]",
        "backend",
        "[[mobile-node]]",
        "identity",
        "address",
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
fn complains_about_everything_at_once_in_order() {
    let text = "\
[listen]
ipv4 = \"192.0.2.300\"
[pool]
ipv4 = [\"10.128.0.0/10\", \"10.200.0.1/16\"]
hold_down = \"4m\"
[lifetime]
default = 600
[dataplane]
backend = \"kernal\"
";
    let errors = Files::new().chad(text).unwrap_err();
    let shown = errors.to_string();
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.line().unwrap(), error.column().unwrap()))
        .collect();
    assert_eq!(
        places,
        [(1, 1), (2, 8), (4, 26), (5, 1), (7, 11), (9, 11)],
        "{shown}"
    );
    for words in [
        "nobody would be served: there is no [[correspondent]]",
        "\"192.0.2.300\" is not an IPv4 address",
        "write \"10.200.0.0/16\" for the prefix, \"10.200.0.1/32\" for the one address",
        "unknown key `hold_down` in [pool]\n   |\n 5 | hold_down = \"4m\"\n   | ^^^^^^^^^\n   = did you mean `hold-down`?",
        "write: \"600s\" for seconds",
        "\"kernal\" is none of its values\n   |\n 9 | backend = \"kernal\"\n   |           ^^^^^^^^\n   = did you mean \"kernel\"?",
    ] {
        assert!(shown.contains(words), "{words:?} in:\n{shown}");
    }
}

#[test]
fn the_first_line_of_an_error_stands_alone() {
    let files = Files::new();
    let shown = files
        .chad(&format!("{MINIMAL}colour = 1\n"))
        .unwrap_err()
        .to_string();
    let file = files.0.path().join("config.toml");
    let first = shown.lines().next().unwrap();
    assert_eq!(
        first,
        format!(
            "{}:4:1: unknown key `colour` in the top level",
            file.display()
        )
    );
}

#[test]
fn what_is_missing() {
    let files = Files::new();
    refused(
        files.chad(
            "pool.ipv4 = [\"10.0.0.0/8\"]\ncorrespondent = [{ prefix = \"198.51.100.0/24\" }]",
        ),
        (1, 1),
        &["there is no address to listen on", "ipv6 = \"2001:db8::1\""],
    );
    refused(
        files.chad(
            "listen.ipv4 = \"192.0.2.1\"\ncorrespondent = [{ prefix = \"198.51.100.0/24\" }]",
        ),
        (1, 1),
        &["there is no IPv4 address to lend"],
    );
    refused(files.chad("listen.ipv4 = \"192.0.2.1\"\n[pool]\nipv4 = []\n[[correspondent]]\nprefix = \"198.51.100.0/24\""), (2, 1), &["there is no IPv4 address to lend"]);
    let nowhere = chad::Config::load(Path::new("/nowhere/chad.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        nowhere.starts_with("/nowhere/chad.toml: No such file"),
        "{nowhere}"
    );
}

#[test]
fn pools_that_can_not_be() {
    let files = Files::new();
    let pool = |list: &str| files.chad(&MINIMAL.replace("[\"10.128.0.0/10\"]", list));
    refused(pool("[\"11.0.0.0/7\"]"), (2, 14), &["has bits set beyond"]);
    refused(pool("[\"12.0.0.0/7\"]"), (2, 14), &["from a /8 to a /32"]);
    refused(
        pool("[\"224.0.0.0/8\"]"),
        (2, 14),
        &["no host can be reached by"],
    );
    refused(
        pool("[\"10.0.0.0/9\", \"10.1.0.0/16\"]"),
        (2, 28),
        &["10.1.0.0/16 overlaps 10.0.0.0/9 above"],
    );
    refused(
        pool("[\"2001:db8::/64\"]"),
        (2, 14),
        &["belongs into the list `ipv6`"],
    );
    refused(
        pool("\"10.0.0.0/8\""),
        (2, 13),
        &["`ipv4` is a list, this is a string"],
    );
    refused(
        pool("[\"198.51.0.0/16\"]"),
        (3, 29),
        &["overlaps the pool's 198.51.0.0/16", "VPN"],
    );
    refused(
        pool("[\"10.0.0.0/24\"]\npool.exclude = [\"10.0.0.0/8\"]"),
        (3, 17),
        &["leaves nothing"],
    );
    refused(
        pool("[\"192.0.2.1/32\"]"),
        (2, 14),
        &["192.0.2.1 is the listen address"],
    );
    let (_, warnings) = pool("[\"192.0.2.0/24\"]").unwrap();
    assert!(warnings.first().unwrap().to_string().contains("never lent"));
}

#[test]
fn lifetimes_and_reachability() {
    let files = Files::new();
    let with = |line: &str| files.chad(&format!("{MINIMAL}{line}\n"));
    refused(
        with("lifetime.default = \"2h\""),
        (4, 20),
        &["longer than the longest one, 1h"],
    );
    refused(
        with("lifetime.max = \"5m\""),
        (4, 16),
        &["the default lifetime 10m is longer"],
    );
    refused(
        with("lifetime.max = \"19h\""),
        (4, 16),
        &["between \"1s\" and \"18h12m14s\""],
    );
    refused(
        with("lifetime.default = \"1500ms\""),
        (4, 20),
        &["whole seconds"],
    );
    refused(
        with("lifetime.default = \"-1s\""),
        (4, 20),
        &["out of bounds"],
    );
    refused(
        with("pool.hold-down = \"4x\""),
        (4, 18),
        &["\"4x\" is not a duration", "\"300ms\""],
    );
    refused(
        with("pool.hold-down = \"30d\""),
        (4, 18),
        &["not a duration"],
    );
    refused(
        with("pool.reachability = \"on-link\""),
        (4, 21),
        &["isn't implemented", "\"routed\""],
    );
    refused(
        with("pool.reachability = \"routd\""),
        (4, 21),
        &["did you mean \"routed\"?"],
    );
    refused(
        with("control = \"run/chad.sock\""),
        (4, 11),
        &["not an absolute path"],
    );
}

#[test]
fn mobile_nodes() {
    let files = Files::new();
    let node = |identity: &str, address: &str| {
        format!(
            "[[mobile-node]]\nidentity = \"{identity}\"\naddress = \"{address}\"\nspi = 256\nkey-file = \"KEY\"\n"
        )
    };
    let with = |text: String| files.chad(&format!("{MINIMAL}{text}"));
    let two = with(node("a", "10.128.0.9") + &node("b", "10.128.0.10"))
        .unwrap()
        .0;
    assert_eq!(
        two.mobile_nodes.len(),
        2,
        "an SPI is of a pair of nodes: two nodes may have the same"
    );
    let second = |address| node("a", address).replace("256", "300");
    let (two, _) = with(node("a", "10.128.0.9") + &second("10.128.0.9")).unwrap();
    let spis: Vec<u32> = two
        .mobile_nodes
        .iter()
        .map(|node| node.association.spi)
        .collect();
    assert_eq!(spis, [256, 300], "a key is being changed");
    assert!(two.mobile_nodes.iter().all(|node| node.proves_moves));
    let believed = with(node("a", "10.128.0.9") + "proves-moves = false\n").unwrap();
    assert!(!believed.0.mobile_nodes[0].proves_moves);
    refused(
        with(node("a", "10.128.0.9") + &node("a", "10.128.0.9")),
        (12, 7),
        &["a appears twice with the SPI 256"],
    );
    refused(
        with(node("a", "10.128.0.9") + &second("10.128.0.10")),
        (11, 11),
        &["not with the same address", "address = \"10.128.0.9\""],
    );
    let bare = second("10.128.0.9").replace("address = \"10.128.0.9\"\n", "");
    refused(
        with(node("a", "10.128.0.9") + &bare),
        (10, 12),
        &["not with the same address"],
    );
    refused(
        with(bare + &node("a", "10.128.0.9")),
        (10, 11),
        &["not with the same address", "or in none"],
    );
    refused(
        with(node("a", "10.128.0.9") + &node("b", "10.128.0.9")),
        (11, 11),
        &["10.128.0.9 appears twice"],
    );
    refused(
        with(node("a", "10.0.0.9")),
        (6, 11),
        &["is outside the pool"],
    );
    refused(
        with(node("a", "10.128.0.0")),
        (6, 11),
        &["network or broadcast"],
    );
    refused(with(node("", "10.128.0.9")), (5, 12), &["1 to 255 octets"]);
    refused(
        with(node("a", "10.128.0.9").replace("256", "255")),
        (7, 7),
        &["no usable SPI"],
    );
    refused(
        with(node("a", "10.128.0.9").replace("256", "0x43484100")),
        (7, 7),
        &["open mode"],
    );
    refused(
        with("[security]\nmode = \"authenticated\"\n".to_owned()),
        (5, 8),
        &["nobody could register"],
    );
}

#[test]
fn key_files() {
    let files = Files::new();
    let with = |name: &str| {
        let path = files.0.path().join(name);
        let text = format!(
            "{MINIMAL}[[mobile-node]]\nidentity = \"a\"\nspi = 256\nkey-file = \"{}\"\n",
            path.display()
        );
        files.chad(&text)
    };
    files.write("open.key", "00112233445566778899aabbccddeeff", 0o640);
    refused(with("open.key"), (7, 12), &["has mode 0640", "chmod 600"]);
    refused(with("none.key"), (7, 12), &["No such file", "chad keygen"]);
    for (name, content, words) in [
        ("empty.key", "\n", "is empty"),
        (
            "text.key",
            "not hexadecimal at all, is it?",
            "is not hexadecimal",
        ),
        (
            "odd.key",
            "00112233445566778899aabbccddeeff0",
            "is not hexadecimal",
        ),
        (
            "lines.key",
            "00112233445566778899aabbccddeeff\n00\n",
            "more than one line",
        ),
        ("short.key", "00112233", "has 4 octets, fewer than 16"),
    ] {
        files.write(name, content, 0o600);
        refused(with(name), (7, 12), &[words]);
        let shown = with(name).unwrap_err().to_string();
        assert!(
            content.trim().is_empty() || !shown.contains(content.trim()),
            "{shown}"
        );
    }
    let (config, _) = with("good.key").unwrap();
    assert!(
        !format!("{config:?}").contains("0011"),
        "keys stay out of Debug"
    );
}

#[test]
fn the_control_path_needs_no_readable_key() {
    let files = Files::new();
    let path = files.config(&format!(
        "control = \"/run/x.sock\"\n{MINIMAL}[[mobile-node]]\nkey-file = \"/nowhere\"\n"
    ));
    assert_eq!(
        control_path::<chad::Config>(&path, false).unwrap(),
        Path::new("/run/x.sock")
    );
    let missing = Path::new("/nowhere/chad.toml");
    assert_eq!(
        control_path::<chad::Config>(missing, true).unwrap(),
        Path::new("/run/chad/control.sock")
    );
    assert!(control_path::<chad::Config>(missing, false).is_err());
}

#[test]
fn what_is_not_toml_shows_where() {
    let errors = Files::new()
        .chad("[listen\nipv4 = \"192.0.2.1\"\n")
        .unwrap_err();
    let first = errors.iter().next().unwrap();
    assert_eq!(first.line(), Some(1), "{errors}");
    assert!(first.message().starts_with("not TOML: "), "{errors}");
}
