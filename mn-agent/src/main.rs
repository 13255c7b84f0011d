//! `mn-agent`, the mobile node's daemon: answers name queries, binds to the home agents it finds that
//! way, and keeps their tunnels where the host is.

mod daemon;
mod looks;
mod state;
mod status;
mod waiting;

use clap::Parser;
use control::Request;
use control::cli::mn_agent::{Cli, Command};
use control::cli::{self, Exit, KeyedSide};
use control::supervision::random;

fn main() -> Exit {
    match Cli::parse().command {
        Command::Run { config, log } => {
            cli::run("mn-agent", config.load(), log.as_deref(), daemon::run)
        }
        Command::Check { config } => config.check(),
        Command::Keygen(keygen) => keygen.run(KeyedSide::MobileNode, random),
        Command::Status { config, json } => config.status(json),
        Command::Bind { config, name } => config.ask(&Request::Bind { name }),
        Command::Release { config, name } => config.ask(&Request::Release { name }),
    }
}
