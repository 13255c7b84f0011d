//! Keys that two sides share.

use std::path::Path;
use std::process::Command;

use lab::{Failure, ensure};

/// What `chad keygen` printed.
pub(crate) struct Sections {
    /// For chad.toml; more keys of `[[mobile-node]]` may follow.
    pub(crate) home_agent: String,
    /// For mn-agent.toml.
    pub(crate) mobile_node: String,
}

/// Makes a key in a new file, which both sides read, with such protection against replay.
pub(crate) fn keygen(
    identity: &str,
    spi: u32,
    replay: &str,
    key: &Path,
) -> Result<Sections, Failure> {
    let printed = Command::new(lab::programs::daemon("chad")?)
        .args(["keygen", "--identity", identity])
        .args(["--spi", &spi.to_string(), "--replay", replay])
        .args(["--cha", "cha.server.example", "--key-file"])
        .arg(key)
        .arg("--other-key-file")
        .arg(key)
        .output()?;
    let said = String::from_utf8_lossy(&printed.stderr);
    ensure(printed.status.success(), || format!("keygen: {said}"))?;
    let text = String::from_utf8(printed.stdout)?;
    let section = |heading: &str| {
        let from = text.find(heading).and_then(|start| text.get(start..));
        let section: String = from
            .unwrap_or_default()
            .lines()
            .take_while(|line| !line.is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        ensure(!section.is_empty(), || format!("no {heading} in {text}")).map(|()| section)
    };
    Ok(Sections {
        home_agent: section("[[mobile-node]]")?,
        mobile_node: section("[[security-association]]")?,
    })
}
