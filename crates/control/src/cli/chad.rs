//! `chad`'s command line.

use clap::{Parser, Subcommand};
use std::net::IpAddr;

use super::{ConfigFile, Keygen};
use crate::config::chad::Config;

/// The Corresponding Home Agent: keeps the sessions of mobile nodes alive while they move.
///
/// It stands beside the servers it serves, lends each mobile node a home address, and tunnels
/// between that and wherever the mobile node is. The servers notice nothing.
#[derive(Debug, Parser)]
#[command(name = "chad", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  chad check --config ./chad.toml          is this file right, and what would it do?
  chad run                                 serve, as /etc/chad/chad.toml says
  chad status                              who is here, how much went through, what was dropped
  chad status --json | jq .bindings        the same for programs
  chad decode capture.pcap                 explain the signalling in a capture

Exit status: 0 done, 1 not done, 2 bad usage, 3 the daemon isn't running.";

/// What chad can be told.
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
    /// Show bindings, pool and counters of the running daemon
    Status {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        /// One JSON object instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Take a home address back from its mobile node (this release has no message for that, and refuses)
    Revoke {
        /// Which configuration
        #[command(flatten)]
        config: ConfigFile<Config>,
        /// The home address lent, as `status` shows it
        #[arg(value_name = "CHOA")]
        home_address: IpAddr,
    },
    /// Make a key for a mobile node and a home agent, and say what to write on both sides
    #[command(after_help = KEYGEN_EXAMPLES)]
    Keygen(Keygen),
    /// Explain signalling messages: every field, extension and authenticator, or why one is refused
    #[command(after_help = DECODE_EXAMPLES)]
    Decode {
        /// A message in hexadecimal, a pcap or pcapng file, or - for either on standard input
        #[arg(value_name = "HEX|FILE")]
        input: String,
        /// One JSON object a line for each message
        #[arg(long)]
        json: bool,
    },
}

const KEYGEN_EXAMPLES: &str = "\
The key is 32 random octets in a new file that only its owner can read. It is shown nowhere. What
chad.toml and mn-agent.toml need is printed on standard output, ready to paste.

Example:
  chad keygen --identity laptop@example.org --cha cha.server.com
  chown chad /etc/chad/laptop@example.org-256.key
  scp /etc/chad/laptop@example.org-256.key laptop:/etc/mn-agent/cha.server.com-256.key

Any way that nobody else can read will do to take the file across; scp does. The key is in force
when both daemons have been started again. `check` on both sides says whether the files are right.";

const DECODE_EXAMPLES: &str = "\
Examples:
  chad decode 01:22:ff:ff:00:00:00:00:...   colons, blanks, 0x and hexdump offsets don't matter
  tcpdump -w - -c 4 'udp port 434 or udp port 4191 or ip6 proto 135' | chad decode -
  chad decode story.pcap --json | jq .type

Exit status: 1 when any message is refused.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::config::Configuration;
    use clap::{CommandFactory, error::ErrorKind};

    #[test]
    fn the_commands_of_the_contract() {
        Cli::command().debug_assert();
        for line in [
            "chad run --config f",
            "chad check --config f",
            "chad status",
            "chad keygen --identity a@b --cha cha.server.com --spi 300 --algorithm hmac-sha1",
            "chad status --json --config f",
            "chad revoke 10.128.0.9",
            "chad decode 0122 --json",
            "chad decode -",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn bad_usage_exits_2() {
        for line in [
            "chad",
            "chad fly",
            "chad revoke laptop",
            "chad run --config",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
            assert_ne!(error.kind(), ErrorKind::DisplayVersion);
        }
    }

    #[test]
    fn the_help_names_the_default_path() {
        let help = Cli::try_parse_from(["chad", "run", "--help"])
            .unwrap_err()
            .to_string();
        assert!(help.contains(Config::DEFAULT_PATH), "{help}");
    }
}
