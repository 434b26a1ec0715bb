//! Where log lines go: to stderr, because stdout belongs to the protocol.
//!
//! `RUNLOG_LOG` filters them in the syntax of tracing's EnvFilter. A request's lines carry its id
//! and method; no line carries params or records.

use tracing_subscriber::EnvFilter;

use super::LogFormat;
use super::progress::Screen;

/// The variable with the filter.
const VARIABLE: &str = "RUNLOG_LOG";
/// What a daemon logs where nobody says otherwise.
///
/// What was pruned by itself among it: the line has the batch that undoes it.
pub(super) const OF_DAEMON: &str = "warn,runlog::cli::pruning=info";
/// And a command, whose user is not to mend what is mended by itself, and is told what fails.
pub(super) const OF_COMMAND: &str = "warn,runlog::search=error,runlog::api::error=error";

/// Begins to log, above the bar that may be on `screen`.
pub(super) fn start(format: LogFormat, default: &str, screen: &Screen) {
    let screen = screen.clone();
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, refused) = match EnvFilter::try_new(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, None),
        Ok(_) => (EnvFilter::new(default), None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || screen.lines());
    // a second subscriber is refused; then somebody else logs already
    let _ = match format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if let Some(error) = refused {
        tracing::warn!(%error, "{VARIABLE} is not understood; logging {default}");
    }
}
