//! The option that names a configuration file, and what is done with one.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::Exit;
use crate::Request;
use crate::config::{Configuration, control_path};

/// `--config FILE`, the default path without it.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFile<C: Configuration> {
    #[doc = "Which file."]
    #[arg(
        long = "config",
        value_name = "FILE",
        help = format!("The configuration file [default: {}]", C::DEFAULT_PATH)
    )]
    explicit: Option<PathBuf>,
    #[clap(skip)]
    of: PhantomData<C>,
}

impl<C: Configuration> ConfigFile<C> {
    /// Which file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.explicit
            .as_deref()
            .unwrap_or(Path::new(C::DEFAULT_PATH))
    }

    /// Where the daemon of this configuration is to be asked. Key files need not be readable, and
    /// the default file need not exist.
    ///
    /// # Errors
    /// [`Exit::Failure`], after the reason was printed.
    pub fn control(&self) -> Result<PathBuf, Exit> {
        control_path::<C>(self.path(), self.explicit.is_none()).map_err(super::fail)
    }

    /// `check`.
    pub fn check(&self) -> Exit {
        super::check(self.path(), C::load(self.path()), C::summary)
    }

    /// `status`.
    pub fn status(&self, json: bool) -> Exit {
        self.control()
            .map_or_else(|exit| exit, |control| super::status(&control, json))
    }

    /// `bind`, `release`, `revoke`.
    pub fn ask(&self, request: &Request) -> Exit {
        self.control()
            .map_or_else(|exit| exit, |control| super::ask(&control, request))
    }

    /// The configuration to run with, after its warnings were printed on standard error.
    ///
    /// # Errors
    /// [`Exit::Failure`], after everything wrong with it was printed.
    pub fn load(&self) -> Result<C, Exit> {
        super::explain(C::load(self.path()))
    }
}
