//! What this process must be allowed to do.

use std::fs::{OpenOptions, read_to_string};

use crate::Error;

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// Says in one sentence what is missing.
///
/// # Errors
/// [`Error::Privileges`].
pub(crate) fn check() -> Result<(), Error> {
    // Where the file can't be read, the steps that need the capabilities will say so themselves.
    let status = read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut missing = missing_capabilities(&status);
    if let Err(error) = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        missing.push(format!("/dev/net/tun can't be opened ({error})"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Privileges {
        missing: missing.join(", "),
    })
}

fn missing_capabilities(status: &str) -> Vec<String> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    [
        (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
        (CAP_NET_RAW, "CAP_NET_RAW"),
    ]
    .into_iter()
    .filter(|(bit, _)| effective & (1 << bit) == 0)
    .map(|(_, name)| format!("no {name}"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::missing_capabilities;

    #[test]
    fn each_missing_capability_is_named() {
        let status = |set: &str| format!("Name:\tmn-agent\nCapPrm:\t0\nCapEff:\t{set}\n");
        assert!(missing_capabilities(&status("0000000000003000")).is_empty());
        assert_eq!(
            missing_capabilities(&status("0000000000001000")),
            ["no CAP_NET_RAW"]
        );
        assert_eq!(
            missing_capabilities(&status("0000000000000000")),
            ["no CAP_NET_ADMIN", "no CAP_NET_RAW"]
        );
    }
}
