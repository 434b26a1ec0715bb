//! Ctrl-C while something goes, and what else asks for an end.
//!
//! What has not begun is taken back. What has begun stops between two runs, at the hands of whoever does
//! it, and so its answer is waited for: it says what went, and how to have it back. Once that is told
//! nothing is lost by an end, whatever is still printed to whomever: then a signal ends the process at
//! once. So does one that comes again, because whoever does it may never answer.

use std::process::exit;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use super::Failure;
use super::args::Params;
use super::client::Client;
use super::signals::{Signals, status_of};
use crate::api::ErrorKind;

/// What asks for an end; Ctrl-\ ends without delay as ever.
const ENDS: [SignalKind; 3] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
];

/// Those that come so soon after the first are of one wish: keys are hit twice, and a terminal that is
/// closed tells of it, as does its shell.
const AS_ONE: Duration = Duration::from_secs(1);

/// Signals that do not end this process while there is one of these, but are noted.
pub(super) struct Interrupts {
    /// The status to exit with.
    came: watch::Receiver<Option<u8>>,
}

impl Interrupts {
    /// Those from here on.
    pub(super) fn new() -> Self {
        let (sender, came) = watch::channel(None);
        let (ready, is_ready) = mpsc::channel();
        // it ends the process also while all others wait for whoever reads what is printed
        let listening = thread::Builder::new().name("runlog-signals".to_owned());
        let listening = listening.spawn(move || listen(&sender, &ready));
        if listening.is_ok() {
            // fails where they go on to end the process
            let _ = is_ready.recv();
        }
        Self { came }
    }

    /// Whether there was one.
    pub(super) fn came(&self) -> bool {
        self.came.borrow().is_some()
    }

    /// The status to exit with.
    pub(super) fn status(&self, status: u8) -> u8 {
        self.came.borrow().unwrap_or(status)
    }

    /// Waits for what changes nothing; none where an interrupt comes first.
    pub(super) async fn unless<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let mut came = self.came.clone();
        tokio::select! {
            Ok(_) = came.wait_for(Option::is_some) => None,
            answer = asked => Some(answer),
        }
    }

    /// Asks, and gives the result's own text; none where an interrupt took the request back.
    pub(super) async fn answer(
        &self,
        client: &mut Client,
        method: &str,
        params: Params,
    ) -> Result<Option<String>, Failure> {
        let mut came = self.came.clone();
        let interrupted = async {
            if came.wait_for(Option::is_some).await.is_err() {
                std::future::pending().await
            }
            tell!("runlog: interrupted; what was done by now is told");
        };
        match client.text_unless(method, params, interrupted).await {
            Err(failure) if failure.kind() == Some(ErrorKind::Cancelled) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

/// Notes signals for as long as there is somebody who heeds them, and ends the process by the next one,
/// or where one comes again.
fn listen(sender: &watch::Sender<Option<u8>>, ready: &mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut signals = Signals::new(&ENDS);
        let _ = ready.send(());
        let mut first = None;
        loop {
            let status = status_of(signals.next().await);
            let is_again = first.get_or_insert_with(Instant::now).elapsed() > AS_ONE;
            match sender.send(Some(status)) {
                Ok(()) if !is_again => continue,
                Ok(()) => tell!("runlog: ended without an answer; look what became of it"),
                Err(_) => {}
            }
            exit(status.into());
        }
    });
}
