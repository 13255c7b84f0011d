//! Who owns protocol 4 in this network namespace.
//!
//! A kernel tunnel device that is up decapsulates each packet itself, beside our raw socket. A
//! tunnel module that is merely loaded finds no device for it and answers with an ICMP error, which
//! would tell the other end that the tunnel is dead. So: never beside the former, and quiet about
//! the latter.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrLike;

use super::Error;

/// Whether the userspace backend may have protocol 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody else wants it.
    Free,
    /// A tunnel module is loaded; the kernel must be kept from answering each packet.
    Contested,
}

/// Asks who owns protocol 4 in the caller's network namespace.
///
/// # Errors
/// [`Error::KernelTunnelUp`] when a kernel tunnel device is up, [`Error::Interfaces`] when the
/// devices can't be listed.
pub fn probe() -> Result<Ownership, Error> {
    let mut present = false;
    for (name, up) in tunnel_devices().map_err(Error::Interfaces)? {
        if up {
            return Err(Error::KernelTunnelUp { device: name });
        }
        present = true;
    }
    Ok(if present || module_loaded() {
        Ownership::Contested
    } else {
        Ownership::Free
    })
}

/// The nftables table that keeps the kernel quiet.
#[derive(Debug)]
pub(super) struct Guard(());

impl Guard {
    /// Puts the table in place, instead of one that an earlier run may have left.
    pub(super) fn install() -> Result<Self, Error> {
        nft(&format!(
            "table ip {TABLE}\ndelete table ip {TABLE}\n{RULES}"
        ))
        .map(|()| Self(()))
    }

    pub(super) fn remove(self) -> Result<(), Error> {
        nft(&format!("table ip {TABLE}\ndelete table ip {TABLE}\n"))
    }
}

const TABLE: &str = "cha_userspace";

/// Port and protocol unreachable are all that the kernel says of a protocol nobody handles; 136 bits
/// into the ICMP message stands the protocol of the packet it complains about.
const RULES: &str = "table ip cha_userspace {
    chain output {
        type filter hook output priority 0; policy accept;
        icmp type destination-unreachable icmp code { 2, 3 } @th,136,8 4 counter drop
    }
}
";

/// `ARPHRD_TUNNEL`: what ipip and vti devices are, the two that take protocol 4.
const ARPHRD_TUNNEL: u16 = 768;

/// `nft` takes milliseconds; one that waits for a lock is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kernel's devices for protocol 4, and whether each is up.
fn tunnel_devices() -> io::Result<BTreeMap<String, bool>> {
    Ok(nix::ifaddrs::getifaddrs()?
        .filter(|interface| {
            interface
                .address
                .as_ref()
                .filter(|address| address.family().is_some())
                .and_then(|address| address.as_link_addr())
                .is_some_and(|link| link.hatype() == ARPHRD_TUNNEL)
        })
        .map(|interface| {
            (
                interface.interface_name,
                interface.flags.contains(InterfaceFlags::IFF_UP),
            )
        })
        .collect())
}

fn module_loaded() -> bool {
    let in_sysfs = ["/sys/module/ipip", "/sys/module/tunnel4"]
        .iter()
        .any(|path| Path::new(path).exists());
    in_sysfs
        || std::fs::read_to_string("/proc/modules").is_ok_and(|modules| {
            modules
                .lines()
                .any(|line| matches!(line.split(' ').next(), Some("ipip" | "tunnel4")))
        })
}

fn nft(rules: &str) -> Result<(), Error> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::NftMissing)?;
    // A broken pipe means that nft has ended; its exit status says why.
    let _ = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(rules.as_bytes()));
    let status = wait(&mut child).map_err(Error::NftMissing)?;
    let mut reason = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut reason);
    }
    match status {
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(Error::NftRefused {
            reason: reason.trim().to_owned(),
        }),
        None => Err(Error::NftRefused {
            reason: "it did not end in time".to_owned(),
        }),
    }
}

/// The child's status, or none when it had to be killed.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
mod tests;
