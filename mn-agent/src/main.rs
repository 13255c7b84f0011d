//! `mn-agent`, the mobile node's daemon: answers name queries, binds to the home agents it finds that
//! way, and keeps their tunnels where the host is.

mod daemon;
mod signalling;
mod state;
mod status;
mod waiting;

use clap::Parser;
use control::Request;
use control::cli::mn_agent::{Cli, Command, ConfigFile};
use control::cli::{Exit, fail};

fn main() -> Exit {
    match Cli::parse().command {
        Command::Run { config, log } => run(&config, log.as_deref()),
        Command::Check { config } => config.check(),
        Command::Status { config, json } => config.status(json),
        Command::Bind { config, name } => config.ask(&Request::Bind { name }),
        Command::Release { config, name } => config.ask(&Request::Release { name }),
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
        Err(error) => return fail(format_args!("mn-agent: can't start: {error}")),
    };
    match runtime.block_on(daemon::run(config)) {
        Ok(()) => Exit::Success,
        Err(error) => fail(format_args!("mn-agent: {error}")),
    }
}
