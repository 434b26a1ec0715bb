//! How long a search may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::history::{QUICK, stand_back};

/// A search that takes longer is ended.
pub const SEARCH_WITHIN: Duration = Duration::from_secs(2);

/// What is left to one search: time, and somebody who still wants to know.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    deadline: Instant,
    ended: Arc<AtomicBool>,
    long_from: Instant,
    is_long: Arc<AtomicBool>,
}

impl Budget {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            ended: Arc::default(),
            long_from: Instant::now() + QUICK,
            is_long: Arc::default(),
        }
    }

    /// From when on it stands back behind lists, saves and the watcher.
    pub(super) fn long_from(&self) -> Instant {
        self.long_from
    }

    /// Whether it may go on; once it may not, never again. Asked by the search's own thread.
    pub(super) fn lasts(&self) -> bool {
        let now = Instant::now();
        if now >= self.deadline {
            self.ended.store(true, Ordering::Relaxed);
        }
        if now >= self.long_from && !self.is_long.swap(true, Ordering::Relaxed) {
            stand_back();
        }
        !self.ended.load(Ordering::Relaxed)
    }

    /// The same for one who helps, and stands back already.
    pub(super) fn of_helper(&self) -> Self {
        Self {
            is_long: Arc::new(AtomicBool::new(true)),
            ..self.clone()
        }
    }

    /// Whether it may not go on, for those who help the search's own thread.
    pub(super) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || Instant::now() >= self.deadline
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
