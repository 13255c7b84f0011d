//! Where the programs that stories use come from.

use std::path::{Path, PathBuf};

use crate::LabError;

/// Programs and the Debian packages that bring them.
const PACKAGES: [(&str, &str); 11] = [
    ("curl", "curl"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("iperf3", "iperf3"),
    ("nc", "netcat-openbsd"),
    ("ping", "iputils-ping"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
];

/// The Debian package of the first of `programs` that is not installed.
#[must_use]
pub fn missing_package(programs: &[&str]) -> Option<String> {
    programs
        .iter()
        .find(|program| installed(program).is_none())
        .map(|program| {
            PACKAGES
                .iter()
                .find(|(name, _)| name == program)
                .map_or(*program, |(_, package)| *package)
                .to_owned()
        })
}

/// The path of an installed program.
#[must_use]
pub fn installed(program: &str) -> Option<PathBuf> {
    [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .map(|directory| Path::new(directory).join(program))
    .find(|path| path.is_file())
}

/// The path of one of our daemons: in `LAB_BIN_DIR`, else beside (or one or two directories above) this program.
pub fn daemon(name: &str) -> Result<PathBuf, LabError> {
    if let Some(directory) = std::env::var_os("LAB_BIN_DIR") {
        let path = Path::new(&directory).join(name);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(LabError::Other(format!(
                "{} does not exist: build it first",
                path.display()
            )))
        };
    }
    let this = std::env::current_exe().map_err(LabError::io("find this program"))?;
    this.ancestors()
        .skip(1)
        .take(3)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            LabError::Other(format!(
                "no {name} near {}: `cargo build` first, or set LAB_BIN_DIR",
                this.display()
            ))
        })
}
