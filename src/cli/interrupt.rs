//! Ctrl-C while something goes.
//!
//! What has not begun is taken back. What has begun is done to its end by whoever does it, and so its
//! answer is waited for: it says what went, and how to have it back.

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::args::Params;
use super::client::Client;
use crate::api::ErrorKind;

/// As shells say of what an interrupt ended.
pub(super) const INTERRUPTED: u8 = 130;

/// Interrupts of this process, which end it no more once there is one of these.
pub(super) struct Interrupts {
    /// None where the system gives none: then they end the process.
    signal: Option<Signal>,
    came: bool,
}

impl Interrupts {
    /// Those from here on.
    pub(super) fn new() -> Self {
        Self {
            signal: signal(SignalKind::interrupt()).ok(),
            came: false,
        }
    }

    /// Whether there was one.
    pub(super) fn came(&self) -> bool {
        self.came
    }

    /// The status to exit with.
    pub(super) fn status(&self, status: u8) -> u8 {
        if self.came { INTERRUPTED } else { status }
    }

    /// Asks, and gives the result's own text; none where an interrupt took the request back.
    pub(super) async fn answer(
        &mut self,
        client: &mut Client,
        method: &str,
        params: Params,
    ) -> Result<Option<String>, Failure> {
        let Self { signal, came } = self;
        let interrupted = async {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
            *came = true;
            tell!("runlog: interrupted; what has begun is told when it is done");
        };
        let params = Value::Object(params).to_string();
        match client.call_unless(method, &params, interrupted).await {
            Err(failure) if failure.kind() == Some(ErrorKind::Cancelled) => Ok(None),
            answer => answer.map(Some),
        }
    }
}
