//! How long a search may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A search that takes longer is ended.
pub const SEARCH_WITHIN: Duration = Duration::from_secs(2);

/// What is left to one search: time, and somebody who still wants to know.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    deadline: Instant,
    ended: Arc<AtomicBool>,
}

impl Budget {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            ended: Arc::default(),
        }
    }

    /// Whether it may go on; once it may not, never again.
    pub(super) fn lasts(&self) -> bool {
        if Instant::now() >= self.deadline {
            self.ended.store(true, Ordering::Relaxed);
        }
        !self.ended.load(Ordering::Relaxed)
    }

    /// Ends the search when this is dropped.
    pub(super) fn guard(&self) -> Guard {
        Guard(Arc::clone(&self.ended))
    }
}

/// Held by who waits for the search.
#[derive(Debug)]
pub(super) struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
