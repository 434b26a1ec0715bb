//! Where log lines go: to stderr, because stdout belongs to the protocol.
//!
//! `RUNLOG_LOG` filters them in the syntax of tracing's EnvFilter. A request's lines carry its id
//! and method; no line carries params or records.

use tracing_subscriber::EnvFilter;

use super::LogFormat;

/// Begins to log.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("RUNLOG_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // a second subscriber is refused; then somebody else logs already
    let _ = match format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
