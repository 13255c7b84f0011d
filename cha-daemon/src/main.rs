//! `chad`, the Corresponding Home Agent: stands beside a correspondent, lends addresses to mobile
//! nodes and carries their sessions through a tunnel that follows them.

mod daemon;
mod decode;
mod secret;
mod status;

use clap::Parser;
use control::Request;
use control::cli::chad::{Cli, Command};
use control::cli::{self, Exit, KeyedSide};
use control::supervision::random;

fn main() -> Exit {
    match Cli::parse().command {
        Command::Run { config, log } => {
            cli::run("chad", config.load(), log.as_deref(), daemon::run)
        }
        Command::Check { config } => config.check(),
        Command::Keygen(keygen) => keygen.run(KeyedSide::HomeAgent, random),
        Command::Status { config, json } => config.status(json),
        Command::Revoke {
            config,
            home_address,
        } => config.ask(&Request::Revoke { home_address }),
        Command::Decode { input, json } => decode::run(&input, json),
    }
}
