//! Where log lines go: to stderr, because stdout belongs to the protocol.
//!
//! `RUNLOG_LOG` filters them in the syntax of tracing's EnvFilter. A request's lines carry its id
//! and method; no line carries params or records. A command whose user asks for no log tells what is
//! logged as it tells everything else.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use super::progress::Screen;

/// The variable with the filter.
const VARIABLE: &str = "RUNLOG_LOG";
/// What a daemon logs where nobody says otherwise.
///
/// What was pruned by itself among it: the line has the batch that undoes it.
const OF_DAEMON: &str = "warn,runlog::cli::pruning=info";
/// And a command, whose user is not to mend what is mended by itself, and is told what fails.
const OF_COMMAND: &str = "warn,runlog::search=error,runlog::api::error=error";

/// Who logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logger {
    /// A daemon, and who stands between one and its client.
    Daemon,
    /// A command, which a person reads.
    Command,
}

/// Begins to log, above the bar that may be on `screen`.
pub(super) fn start(format: LogFormat, logger: Logger, screen: &Screen) {
    let screen = screen.clone();
    let default = match logger {
        Logger::Daemon => OF_DAEMON,
        Logger::Command => OF_COMMAND,
    };
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, refused) = match EnvFilter::try_new(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new(default), None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || screen.lines())
        .with_ansi(false);
    // a second subscriber is refused; then somebody else logs already
    let _ = match format {
        LogFormat::Text if logger == Logger::Command && wanted.is_empty() => {
            let fields = debug_fn(|writer, field, value| match field.name() {
                "message" => write!(writer, "{value:?}"),
                "error" => write!(writer, ": {value:?}"),
                name => write!(writer, "; {name}: {value:?}"),
            });
            log.fmt_fields(fields).event_format(Told).try_init()
        }
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if let Some(error) = refused {
        tracing::warn!(%error, "{VARIABLE} is not understood; logging {default}");
    }
}

/// As everything is told that is told a person on stderr.
struct Told;

impl<S, N> FormatEvent<S, N> for Told
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
        let mut said = "runlog: ".to_owned();
        context.format_fields(Writer::new(&mut said), event)?;
        writer.write_str(&super::fitted_lines(&said))
    }
}
