use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::config::{Configuration, KeyFileError, chad, make_key_file, mn_agent};

const SITE: &str = "\
listen.ipv4 = \"192.0.2.1\"
pool.ipv4 = [\"10.128.0.0/10\"]
correspondent = [{ prefix = \"198.51.100.0/24\" }]
security.mode = \"authenticated\"
";
const CHA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Both ends with a key of their own making.
struct Ends {
    directory: tempfile::TempDir,
    shared: SharedKey,
}

impl Ends {
    fn new(identity: &str, algorithm: Algorithm, replay: ReplayProtection) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(directory.path().join(name).display().to_string());
        let shared = SharedKey {
            identity: identity.to_owned(),
            spi: 4711,
            algorithm,
            replay,
            cha: Cha::Name("cha.server.com".to_owned()),
            home_agent_file: file("home-agent.key"),
            mobile_node_file: file("mobile-node.key"),
        };
        for file in [shared.home_agent_file(), shared.mobile_node_file()] {
            make_key_file(file.as_ref(), &[0xa5; KEY_LENGTH]).unwrap();
        }
        Self { directory, shared }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn home_agent(&self) -> chad::Config {
        let text = format!("{SITE}\n{}", self.shared.mobile_node());
        let loaded = chad::Config::load(&self.write("chad.toml", &text));
        let (config, warnings) = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(warnings.len(), 0, "{text}");
        config
    }

    fn mobile_node(&self) -> mn_agent::Config {
        let (top, end) = (
            self.shared.identity_line(),
            self.shared.security_association(),
        );
        let text = format!("{top}\n{end}");
        let loaded = mn_agent::Config::load(&self.write("mn-agent.toml", &text));
        let (config, warnings) = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(warnings.len(), 0, "{text}");
        config
    }
}

#[test]
fn both_ends_read_the_same_association() {
    let styles = ReplayProtection::ALL;
    for (algorithm, replay) in Algorithm::ALL.into_iter().zip(styles.into_iter().cycle()) {
        for identity in ["laptop@example.org", "\"quoted\\ #and\ttabbed", "zürich"] {
            let ends = Ends::new(identity, algorithm, replay);
            let (home_agent, mobile_node) = (ends.home_agent(), ends.mobile_node());
            let known = &home_agent.mobile_nodes[0];
            assert_eq!(known.identity.as_bytes(), identity.as_bytes());
            assert_eq!(mobile_node.identity.as_ref(), Some(&known.identity));
            assert_eq!(
                mobile_node.associations("cha.server.com", CHA).next(),
                Some(&known.association)
            );
            assert_eq!(known.association.algorithm, algorithm);
            assert_eq!(known.association.replay, replay);
            assert_eq!(known.association.spi, 4711);
            assert_eq!(known.association.key.as_bytes(), [0xa5; KEY_LENGTH]);
        }
    }
}

#[test]
fn files_have_names_that_tell_keys_apart() {
    let shared = SharedKey {
        identity: "../a b@c.org".to_owned(),
        spi: 300,
        algorithm: Algorithm::HmacSha256,
        replay: ReplayProtection::Timestamps,
        cha: Cha::Address("2001:db8::1".parse().unwrap()),
        home_agent_file: None,
        mobile_node_file: None,
    };
    assert_eq!(shared.home_agent_file(), "/etc/chad/.._a_b@c.org-300.key");
    assert_eq!(
        shared.mobile_node_file(),
        "/etc/mn-agent/2001_db8__1-300.key"
    );
}

#[test]
fn a_key_is_its_owners_and_never_overwritten() {
    let ends = Ends::new(
        "laptop@example.org",
        Algorithm::HmacSha256,
        ReplayProtection::Timestamps,
    );
    let path = PathBuf::from(ends.shared.home_agent_file());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "a5".repeat(KEY_LENGTH) + "\n");
    let again = make_key_file(&path, &[7; KEY_LENGTH]);
    assert!(matches!(again, Err(KeyFileError::Exists(exists)) if exists == path));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let link = ends.directory.path().join("link.key");
    std::os::unix::fs::symlink(ends.directory.path().join("elsewhere"), &link).unwrap();
    assert!(make_key_file(&link, &[7; KEY_LENGTH]).is_err());
    assert!(!ends.directory.path().join("elsewhere").exists());
    let nowhere = make_key_file("/nowhere/a.key".as_ref(), &[7; KEY_LENGTH]);
    assert!(matches!(nowhere, Err(KeyFileError::Io { .. })));
}
