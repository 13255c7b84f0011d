//! Making this host forward packets, and making it stop.
//!
//! A host that forwards IPv6 is a router, and a router does not learn from router advertisements: as
//! soon as forwarding is on, the kernel removes the default routes it has learnt and ignores further
//! advertisements, unless `accept_ra` is 2. So it is made 2 first wherever it was 1, and the
//! operator's default route stays.

use std::path::Path;

use mobility_protocol::Family;

use super::sysctl::Setting;
use crate::Error;
use crate::error::Errors;

/// Forwarding of a family that was off, and the settings that were changed along with it.
#[derive(Debug)]
pub(crate) struct Forwarding {
    family: Family,
    accepting: Vec<Setting>,
}

impl Forwarding {
    /// Makes this host forward; none when it did already.
    ///
    /// # Errors
    /// [`Error::Sysctl`].
    pub(crate) fn enable(family: Family) -> Result<Option<Self>, Error> {
        let setting = Setting::forwarding(family);
        if setting.is("1") {
            return Ok(None);
        }
        let mut enabled = Self {
            family,
            accepting: Vec::new(),
        };
        if family == Family::Ipv6 {
            for accept in advertisement_settings() {
                if accept.is("1") {
                    accept.set("2")?;
                    enabled.accepting.push(accept);
                }
            }
        }
        setting.set("1")?;
        let (name, further) = match family {
            Family::Ipv4 => ("net.ipv4.ip_forward", ""),
            Family::Ipv6 => (
                "net.ipv6.conf.all.forwarding",
                ", and accept_ra = 2 for each interface that learns its routes from advertisements",
            ),
        };
        tracing::warn!(
            "{name} was 0, and a home agent forwards packets: it is 1 until this daemon stops, and \
             stays 1 if the daemon is killed. To keep it, put \"{name} = 1\"{further} into \
             /etc/sysctl.d/50-chad.conf"
        );
        Ok(Some(enabled))
    }

    /// Puts everything back. Every step is tried.
    ///
    /// # Errors
    /// [`Error::Sysctl`].
    pub(crate) fn restore(self) -> Result<(), Error> {
        let mut errors = Errors::default();
        errors.note(Setting::forwarding(self.family).set("0"));
        for accept in self.accepting {
            // Unless its interface has gone, or somebody has changed it since.
            if accept.is("2") {
                errors.note(accept.set("1"));
            }
        }
        errors.into_result()
    }
}

/// Whether advertisements are accepted, for each interface and for those to come.
fn advertisement_settings() -> impl Iterator<Item = Setting> {
    let interfaces = std::fs::read_dir(Path::new("/proc/sys/net/ipv6/conf"))
        .into_iter()
        .flatten()
        .flatten();
    interfaces
        .filter_map(|interface| interface.file_name().into_string().ok())
        .filter(|name| name != "all")
        .map(|name| Setting::ipv6_device(&name, "accept_ra"))
}
