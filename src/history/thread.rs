//! Threads that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;

/// Why something was not done to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Nothing was begun: the system gives no thread just now.
    NoThread,
    /// A defect ended it, or the runtime.
    Ended,
}

/// What `work` gives, which is done on a thread that may block, whoever waits for it.
///
/// # Errors
/// [`Undone`].
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Undone> {
    #[cfg(test)]
    if tests::NONE.get() {
        return Err(Undone::NoThread);
    }
    let held = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&held);
    let run = move || {
        let work = theirs.lock().take();
        work.map(|work| work())
    };
    // where there is no thread and none can be made it panics, and keeps for the next one what it
    // was given
    let begun = catch_unwind(AssertUnwindSafe(|| spawn_blocking(run)));
    let Ok(thread) = begun else {
        let taken_back = held.lock().take();
        return Err(match taken_back {
            Some(_) => Undone::NoThread,
            None => Undone::Ended,
        });
    };
    match thread.await {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(Undone::Ended),
        Err(error) => {
            tracing::error!(%error, "what ran on a thread ended early");
            Err(Undone::Ended)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Whether whoever asks on this thread is given none.
        pub(crate) static NONE: Cell<bool> = const { Cell::new(false) };
    }
}
