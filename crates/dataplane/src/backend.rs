//! Which backend carries the tunnels.

use std::fmt;

use crate::Error;

/// Which backend the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// The kernel's where it works, else user space.
    #[default]
    Auto,
    /// The kernel's tunnel devices.
    Kernel,
    /// A TUN device and raw sockets.
    Userspace,
}

/// What carries tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The kernel's tunnel devices.
    Kernel,
    /// A TUN device and raw sockets.
    Userspace,
}

/// A choice that was made, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What carries tunnels.
    pub carrier: Carrier,
    /// Why, in one line.
    pub reason: String,
}

impl Carrier {
    /// The name in configuration, status and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Userspace => "userspace",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl BackendChoice {
    /// Makes the choice, and logs it. `probe` says what the kernel backend misses.
    ///
    /// # Errors
    /// [`Error::NoKernelBackend`] when the kernel's was asked for and does not work.
    pub(crate) fn resolve(
        self,
        probe: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Chosen, Error> {
        let chosen = |carrier, reason: String| Chosen { carrier, reason };
        let chosen = match self {
            Self::Userspace => chosen(Carrier::Userspace, "configured".to_owned()),
            Self::Kernel => {
                probe().map_err(|error| Error::NoKernelBackend(Box::new(error)))?;
                chosen(Carrier::Kernel, "configured".to_owned())
            }
            Self::Auto => match probe() {
                Ok(()) => chosen(
                    Carrier::Kernel,
                    "the kernel has tunnels and a packet filter".to_owned(),
                ),
                Err(error) => chosen(Carrier::Userspace, error.to_string()),
            },
        };
        tracing::info!(backend = %chosen.carrier, reason = chosen.reason, "backend chosen");
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_choice_follows_the_probe_and_says_why() {
        let missing = || Err(Error::TunnelModule("ipip"));
        let chosen = BackendChoice::Auto.resolve(missing).unwrap();
        assert_eq!(chosen.carrier, Carrier::Userspace);
        assert!(chosen.reason.contains("module ipip"), "{}", chosen.reason);
        let chosen = BackendChoice::Auto.resolve(|| Ok(())).unwrap();
        assert_eq!(chosen.carrier, Carrier::Kernel);
    }

    #[test]
    fn a_configured_backend_is_taken_or_refused_in_one_sentence() {
        let never = || unreachable!("user space needs no probe");
        let chosen = BackendChoice::Userspace.resolve(never).unwrap();
        assert_eq!(chosen.carrier, Carrier::Userspace);
        let refused = BackendChoice::Kernel.resolve(|| Err(Error::TunnelModule("ipip")));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the kernel backend can't be used: this kernel has no module ipip"
        );
    }
}
