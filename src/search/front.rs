//! A thread that looks into the history for one that stands back behind all others.
//!
//! Whoever holds the history's index keeps those waiting who change it. A thread that the system lets
//! run last must not do that: it could be interrupted in the middle, and everybody would wait for
//! its next turn.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// Does what it is asked to, at once.
pub(super) struct Front(Sender<Job>);

impl Front {
    /// Starts the thread, as important as the one that calls this.
    pub(super) fn start() -> io::Result<Self> {
        let (send, jobs) = channel::<Job>();
        thread::Builder::new()
            .name("runlog-changes".to_owned())
            .spawn(move || {
                for job in jobs {
                    // whoever asked gets no answer
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })?;
        Ok(Self(send))
    }

    /// What `job` gives.
    ///
    /// # Errors
    /// If it panicked, which is a defect.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (send, receive) = sync_channel(1);
        let job = move || drop(send.send(job()));
        let sent = self.0.send(Box::new(job));
        sent.ok()
            .and_then(|()| receive.recv().ok())
            .ok_or_else(|| io::Error::other("a defect"))
    }
}
