use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod chad_families;
mod chad_toml;
mod mn_agent_toml;

const CHAD: &str = include_str!("../../../../config/chad.toml");
const MN_AGENT: &str = include_str!("../../../../config/mn-agent.toml");

/// A directory with a configuration file and a good key in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("good.key", "00112233445566778899aabbccddeeff\n", 0o600);
        files
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// `KEY` in the text stands for the good key's path.
    fn config(&self, text: &str) -> PathBuf {
        let key = self.0.path().join("good.key");
        self.write(
            "config.toml",
            &text.replace("KEY", &key.display().to_string()),
            0o644,
        )
    }

    fn chad(&self, text: &str) -> Result<(chad::Config, Vec<Warning>), ConfigErrors> {
        chad::Config::load(&self.config(text))
    }

    fn mn_agent(&self, text: &str) -> Result<(mn_agent::Config, Vec<Warning>), ConfigErrors> {
        mn_agent::Config::load(&self.config(text))
    }
}

#[test]
fn only_files_of_a_sensible_size_are_read() {
    let files = Files::new();
    let large = files.config(&"#".repeat(usize::try_from(MAXIMUM_FILE_SIZE).unwrap() + 1));
    let large = mn_agent::Config::load(&large).unwrap_err().to_string();
    assert!(large.contains("octets at most"), "{large}");
    for other in ["/dev/zero", "/"] {
        let other = chad::Config::load(Path::new(other))
            .unwrap_err()
            .to_string();
        assert!(other.contains("not a regular file"), "{other}");
    }
}

/// The annotated example with every commented key put into force.
fn everything(example: &str, name_of_key: &str) -> String {
    let lines = example.lines().map(|line| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_key = bare.starts_with("[[")
            || bare
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains([' ', '(']));
        if is_key { bare } else { line }
    });
    lines
        .map(|line| line.replace(name_of_key, "KEY") + "\n")
        .collect()
}

const MINIMAL: &str = "\
listen.ipv4 = \"192.0.2.1\"
pool.ipv4 = [\"10.128.0.0/10\"]
correspondent = [{ prefix = \"198.51.100.0/24\" }]
";

/// Asserts that exactly one complaint is made, at this place and with these words.
#[track_caller]
fn refused<C: std::fmt::Debug>(
    result: Result<(C, Vec<Warning>), ConfigErrors>,
    place: (usize, usize),
    words: &[&str],
) {
    let errors = result.unwrap_err();
    let shown = errors.to_string();
    assert_eq!(errors.iter().count(), 1, "{shown}");
    let first = errors.iter().next().unwrap();
    assert_eq!(
        (first.line(), first.column()),
        (Some(place.0), Some(place.1)),
        "{shown}"
    );
    for words in words {
        assert!(shown.contains(words), "{words:?} in:\n{shown}");
    }
}
