//! Kernel settings below /proc/sys/net, of the network namespace of the calling thread.

use std::path::{Path, PathBuf};

use mobility_protocol::Family;

use crate::Error;

/// A setting below `/proc/sys/net`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting(PathBuf);

impl Setting {
    /// A setting of one IPv4 device.
    pub(crate) fn ipv4_device(device: &str, name: &str) -> Self {
        Self(Path::new("/proc/sys/net/ipv4/conf").join(device).join(name))
    }

    /// A setting of one IPv6 device.
    pub(crate) fn ipv6_device(device: &str, name: &str) -> Self {
        Self(Path::new("/proc/sys/net/ipv6/conf").join(device).join(name))
    }

    /// Whether this host forwards.
    pub(crate) fn forwarding(family: Family) -> Self {
        Self(PathBuf::from(match family {
            Family::Ipv4 => "/proc/sys/net/ipv4/ip_forward",
            Family::Ipv6 => "/proc/sys/net/ipv6/conf/all/forwarding",
        }))
    }

    /// What it holds, if that is a number.
    pub(crate) fn number(&self) -> Option<u32> {
        std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }

    /// Whether it is so.
    pub(crate) fn is(&self, value: &str) -> bool {
        std::fs::read_to_string(&self.0).is_ok_and(|present| present.trim() == value)
    }

    /// Sets it unless it is so; tells whether it had to.
    pub(crate) fn set(&self, value: &str) -> Result<bool, Error> {
        let failed = |source| Error::Sysctl {
            path: self.0.clone(),
            value: value.to_owned(),
            source,
        };
        let present = std::fs::read_to_string(&self.0).map_err(failed)?;
        if present.trim() == value {
            return Ok(false);
        }
        std::fs::write(&self.0, value).map_err(failed)?;
        Ok(true)
    }
}
