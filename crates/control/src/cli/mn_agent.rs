//! `mn-agent`'s command line.

use clap::{Parser, Subcommand};

use super::{ConfigFile, Keygen};
use crate::config::mn_agent::Config;

/// The mobile node's agent: sessions with servers that have a Corresponding Home Agent survive a
/// change of network.
///
/// It answers this host's name queries, and where `cha.NAME` exists for a NAME it binds to that home
/// agent before the application connects. All other traffic is left alone: this is not a VPN.
#[derive(Debug, Parser)]
#[command(name = "mn-agent", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  mn-agent check --config ./mn-agent.toml  is this file right, and what would it do?
  mn-agent run                             serve, as /etc/mn-agent/mn-agent.toml says
  mn-agent status                          bindings, home agents, care-of address, handovers
  mn-agent bind server.com && ssh server.com
  mn-agent release server.com

Exit status: 0 done, 1 not done, 2 bad usage, 3 the daemon isn't running.";

/// What mn-agent can be told.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to stop (SIGTERM), then remove everything that was added
    Run {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        #[doc = "What to log."]
        #[arg(long, value_name = "FILTER", help = super::LOG_HELP)]
        log: Option<String>,
    },
    /// Check a configuration and say what it would do
    Check {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
    },
    /// Show bindings, home agents and counters of the running daemon
    Status {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        /// One JSON object instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Make a key for a mobile node and a home agent, and say what to write on both sides
    #[command(after_help = KEYGEN_EXAMPLES)]
    Keygen(Keygen),
    /// Bind to the home agent of a server now, and wait until that has succeeded or failed
    Bind {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        /// The server's name
        name: String,
    },
    /// Give up the binding for a server
    Release {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        /// The server's name
        name: String,
    },
}

const KEYGEN_EXAMPLES: &str = "\
The key is 32 random octets in a new file that only its owner can read. It is shown nowhere. What
chad.toml and mn-agent.toml need is printed on standard output, ready to paste.

Example:
  mn-agent keygen --identity laptop@example.org --cha cha.server.com
  chown mn-agent /etc/mn-agent/cha.server.com-256.key
  scp /etc/mn-agent/cha.server.com-256.key cha:/etc/chad/laptop@example.org-256.key

Any way that nobody else can read will do to take the file across; scp does. The key is in force
when both daemons have been started again. `check` on both sides says whether the files are right.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::config::Configuration;
    use clap::CommandFactory;

    #[test]
    fn the_commands_of_the_contract() {
        Cli::command().debug_assert();
        for line in [
            "mn-agent run --config f",
            "mn-agent check --config f",
            "mn-agent keygen --identity a@b --cha cha.server.com --spi 300 --algorithm hmac-sha1",
            "mn-agent status --json",
            "mn-agent bind server.com",
            "mn-agent release server.com --config f",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn bad_usage_exits_2() {
        for line in ["mn-agent", "mn-agent bind", "mn-agent revoke 10.128.0.9"] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
    }

    #[test]
    fn the_help_names_the_default_path() {
        let help = Cli::try_parse_from(["mn-agent", "run", "--help"])
            .unwrap_err()
            .to_string();
        assert!(help.contains(Config::DEFAULT_PATH), "{help}");
    }
}
