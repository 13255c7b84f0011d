//! Logs on standard error: with their time for people, with their priority for the journal.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged unless told otherwise: what a person notices (style: bindings coming and going),
/// and warnings only from the libraries that are not ours.
const DEFAULT_FILTER: &str = "info,netlink_proto=warn,netlink_packet_route=warn,rtnetlink=warn,hickory_resolver=warn,hickory_proto=warn";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `--log` or `RUST_LOG` can't be understood.
    #[error(
        "{origin} = \"{filter}\" is no log filter ({reason}); write a level, \"debug\", or \"info,dataplane=trace\""
    )]
    Filter {
        /// Where it came from.
        origin: &'static str,
        /// What it says.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is one already in this process.
    #[error("logging was set up twice")]
    Twice,
}

/// Starts logging, for `tracing` and for libraries that use `log`. The filter is `filter` (the
/// `--log` option), else the environment's `RUST_LOG`, else "info".
///
/// When standard error is the journal's, lines carry a priority and no time, since the journal
/// keeps both; otherwise they carry an RFC 3339 time.
///
/// # Errors
/// A filter that can't be understood, or a second call.
pub fn init(filter: Option<&str>) -> Result<(), LoggingError> {
    let filter = match (filter, std::env::var("RUST_LOG")) {
        (Some(filter), _) => parse("--log", filter)?,
        (None, Ok(filter)) if !filter.is_empty() => parse("RUST_LOG", &filter)?,
        (None, _) => parse("the default", DEFAULT_FILTER)?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if is_journal() {
        let format = Journal(
            Format::default()
                .compact()
                .without_time()
                .with_level(false)
                .with_ansi(false),
        );
        builder
            .with_ansi(false)
            .event_format(format)
            .finish()
            .try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr())
            && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colours).compact().finish().try_init()
    }
    .map_err(|_| LoggingError::Twice)
}

fn parse(origin: &'static str, filter: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(filter).map_err(|error| LoggingError::Filter {
        origin,
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

/// Whether standard error is the stream systemd made, as it says in JOURNAL_STREAM
/// (systemd.exec(5)): a child that redirected it inherits the variable but not the stream.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(metadata) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}

/// Lines with the priority prefix of sd-daemon(3).
struct Journal(Format<Compact, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_explained() {
        let error = parse("--log", "info,=,=loud").unwrap_err().to_string();
        assert!(
            error.starts_with("--log = \"info,=,=loud\" is no log filter"),
            "{error}"
        );
        assert!(parse("the default", DEFAULT_FILTER).is_ok());
    }
}
