//! `chad`, the Corresponding Home Agent: stands beside a correspondent, lends addresses to mobile
//! nodes and carries their sessions through a tunnel that follows them.

mod daemon;
mod decode;
mod signalling;
mod status;

use clap::Parser;
use control::Request;
use control::cli::chad::{Cli, Command, ConfigFile};
use control::cli::{Exit, fail};

fn main() -> Exit {
    match Cli::parse().command {
        Command::Run { config, log } => run(&config, log.as_deref()),
        Command::Check { config } => config.check(),
        Command::Status { config, json } => config.status(json),
        Command::Revoke {
            config,
            home_address,
        } => config.ask(&Request::Revoke { home_address }),
        Command::Decode { input, json } => decode::run(&input, json),
    }
}

fn run(config: &ConfigFile, log: Option<&str>) -> Exit {
    let config = match config.load() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if let Err(error) = control::logging::init(log) {
        return fail(error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("chad: can't start: {error}")),
    };
    match runtime.block_on(daemon::run(config)) {
        Ok(()) => Exit::Success,
        Err(error) => fail(format_args!("chad: {error}")),
    }
}
