//! What can go wrong between us and Linux.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use mobility_protocol::{Family, HomeAddress};

/// Why the data path could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a netlink request.
    #[error("can't {attempt}: {source}")]
    Netlink {
        /// What was attempted, as the rest of the sentence "can't ...".
        attempt: String,
        /// The kernel's answer, with its own words where it gave some.
        source: io::Error,
    },
    /// The kernel did not answer a netlink request in time.
    #[error("can't {attempt}: the kernel did not answer in time")]
    Timeout {
        /// What was attempted.
        attempt: String,
    },
    /// The task that reports events has ended; the report can't be trusted any longer.
    #[error("the reports of {0} have ended")]
    EventsEnded(&'static str),
    /// A capability or device file is missing.
    #[error(
        "not enough privileges: {missing}; needed are CAP_NET_ADMIN, CAP_NET_RAW and read and write access to /dev/net/tun"
    )]
    Privileges {
        /// What is missing.
        missing: String,
    },
    /// The kernel backend was asked for, and can't be used here.
    #[error("the kernel backend can't be used: {0}")]
    NoKernelBackend(Box<Error>),
    /// The kernel knows no such kind of device.
    #[error("this kernel has no module {0}")]
    TunnelModule(&'static str),
    /// The device that should be ours is something else.
    #[error("the device {0} is not a tunnel of ours: remove it (ip link del {0})")]
    DeviceTaken(String),
    /// The kernel has one `external` device for each namespace and protocol.
    #[error(
        "the device {0} takes the tunnelled packets of every address (external), and there can be only one such: \
         remove it (ip link del {0}) or use the userspace backend"
    )]
    ExternalDevice(String),
    /// The kernel does not take the rules of the packet filter.
    #[error("this kernel's packet filter (module nf_tables) does not take our rules: {0}")]
    NoPacketFilter(Box<Error>),
    /// The packet filter can't be told the rules.
    #[error(transparent)]
    PacketFilter(crate::nft::Error),
    /// One home agent serves the same correspondents to all its bindings.
    #[error("the bindings of a home agent share one list of correspondents, and this one differs")]
    CorrespondentsDiffer,
    /// What failed for several bindings at once.
    #[error("{0}")]
    Shared(std::sync::Arc<Error>),
    /// Two tunnels claim one correspondent; the one that has it keeps it.
    #[error(
        "{correspondent} is already reached through the tunnel of {holder}; the tunnel of {refused} can't have it too"
    )]
    CorrespondentTaken {
        /// The claimed prefix.
        correspondent: IpNet,
        /// The home address whose tunnel keeps it.
        holder: HomeAddress,
        /// The home address whose tunnel was refused.
        refused: HomeAddress,
    },
    /// A route of another program stands where ours must be.
    #[error("another program's route to {destination} in table {table} is in the way")]
    RouteTaken {
        /// The destination of the route.
        destination: IpNet,
        /// The routing table.
        table: u32,
    },
    /// A tunnel of a family that the kernel backend was not started for.
    #[error("the kernel backend was started without {0}")]
    FamilyNotCarried(Family),
    /// The kernel's tunnels wrap a family in itself.
    #[error(
        "a tunnel between {local} and {remote} can't carry {home_address}: the kernel backend wraps \
         IPv4 in IPv4 and IPv6 in IPv6"
    )]
    MixedFamilies {
        /// The home address of the tunnel.
        home_address: HomeAddress,
        /// Our outer address.
        local: IpAddr,
        /// The other end.
        remote: IpAddr,
    },
    /// A correspondent is of another family than the home address.
    #[error(
        "{correspondent} can't be reached from {home_address}: it is of the other family of IP"
    )]
    OtherFamily {
        /// The home address of the tunnel.
        home_address: HomeAddress,
        /// The correspondent.
        correspondent: IpNet,
    },
    /// A device that must exist does not.
    #[error("there is no device {0}")]
    NoDevice(String),
    /// A kernel setting could not be read or written.
    #[error("can't set {} to {value}: {source}", path.display())]
    Sysctl {
        /// The file below /proc/sys.
        path: PathBuf,
        /// What it should hold.
        value: String,
        /// Why not.
        source: io::Error,
    },
    /// The userspace backend failed.
    #[error("{}", Chain(.0))]
    Userspace(#[from] crate::userspace::Error),
    /// Several things failed; each was tried.
    #[error("{}", Sentences(.0))]
    Several(Vec<Error>),
}

/// A change of the data path that could not be made; the others of its batch were.
#[derive(Debug, thiserror::Error)]
#[error("the tunnel of {home_address}: {error}")]
pub struct Failure {
    /// The binding it is about.
    pub home_address: HomeAddress,
    /// Why not.
    #[source]
    pub error: Error,
}

impl Error {
    /// Whether the kernel said that something to be removed was not there.
    pub(crate) fn is_absent(&self) -> bool {
        // ESRCH: no such route; ENOENT: no such rule; ENODEV, EADDRNOTAVAIL, ENXIO: no such device or address.
        self.raw_os_error()
            .is_some_and(|code| [3, 2, 19, 99, 6].contains(&code))
    }

    /// Whether the kernel said that something to be added is there.
    pub(crate) fn is_present(&self) -> bool {
        self.raw_os_error() == Some(17)
    }

    pub(crate) fn raw_os_error(&self) -> Option<i32> {
        if let Self::Netlink { source, .. } = self {
            os_code(source)
        } else {
            None
        }
    }
}

/// Collects the errors of steps that are all taken, whatever becomes of the others.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<Error>);

impl Errors {
    pub(crate) fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_error())
        }
    }

    pub(crate) fn into_error(mut self) -> Error {
        match self.0.pop() {
            Some(only) if self.0.is_empty() => only,
            last => {
                self.0.extend(last);
                Error::Several(self.0)
            }
        }
    }
}

/// An error number together with what the kernel said about it (its extended acknowledgement).
#[derive(Debug, thiserror::Error)]
#[error("{error} ({words})")]
pub(crate) struct Explained {
    pub(crate) error: io::Error,
    pub(crate) words: String,
}

struct Sentences<'a>(&'a [Error]);

impl fmt::Display for Sentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// An error and what led to it, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

fn os_code(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Explained>())
            .and_then(|explained| explained.error.raw_os_error())
    })
}
