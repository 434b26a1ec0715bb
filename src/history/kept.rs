//! What is kept from one request to the next: what a rehearsal told, and which runs an export in pieces
//! is of.
//!
//! In memory, by the names that the answers gave them, until it is of no more use or nobody can be
//! expected to come back. What is to be done for who does so later is said where it is asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many runs are kept, some hundred bytes each, besides those that were kept last.
const RUNS_MAX: usize = 100_000;
/// And how many lists of them, however short.
const LISTS_MAX: usize = 64;
/// How long, at least, after it was last asked for: whoever is asked whether he agrees may take his
/// time.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// Lists of runs; the one that was asked for latest comes last.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<VecDeque<One<T>>>);

#[derive(Debug)]
struct One<T> {
    name: String,
    at: Instant,
    runs: usize,
    value: Arc<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// What is kept by this name, and is from now on as long as if it were new.
    pub(super) fn find(&self, name: &str, now: Instant) -> Option<Arc<T>> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|one| one.name == name)?;
        let mut found = kept.remove(at)?;
        found.at = now;
        let value = Arc::clone(&found.value);
        kept.push_back(found);
        Some(value)
    }

    /// Keeps `value`, which is about so many runs.
    pub(super) fn keep(&self, name: &str, value: Arc<T>, runs: usize, now: Instant) {
        self.drop_old(now);
        // freed when others may come again
        let mut dropped = Vec::new();
        let mut kept = self.0.lock();
        let mut others: usize = kept.iter().map(|one| one.runs).sum();
        while (others > RUNS_MAX || kept.len() >= LISTS_MAX)
            && let Some(oldest) = kept.pop_front()
        {
            others -= oldest.runs;
            dropped.push(oldest);
        }
        kept.push_back(One {
            name: name.to_owned(),
            at: now,
            runs,
            value,
        });
    }

    /// Drops what is of no more use.
    pub(super) fn forget(&self, value: &Arc<T>) {
        let mut kept = self.0.lock();
        kept.retain(|one| !Arc::ptr_eq(&one.value, value));
    }

    /// Drops what was asked for long ago.
    pub(super) fn drop_old(&self, now: Instant) {
        let mut dropped = Vec::new();
        let mut kept = self.0.lock();
        while let Some(oldest) = kept.pop_front_if(|one| now.duration_since(one.at) > KEPT_FOR) {
            dropped.push(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(kept: &Kept<usize>) -> Vec<String> {
        let kept = kept.0.lock();
        kept.iter().map(|one| one.name.clone()).collect()
    }

    fn keep(kept: &Kept<usize>, name: &str, runs: usize, now: Instant) {
        kept.keep(name, Arc::new(runs), runs, now);
    }

    #[test]
    fn the_latest_is_kept_whatever_its_size() {
        let (kept, now) = (Kept::default(), Instant::now());
        for name in ["a", "b"] {
            keep(&kept, name, RUNS_MAX / 2, now);
        }
        keep(&kept, "c", RUNS_MAX + 1, now);
        assert_eq!(known(&kept), ["a", "b", "c"]);
        keep(&kept, "d", 1, now);
        assert_eq!(known(&kept), ["d"]);
    }

    #[test]
    fn what_is_empty_weighs_something_and_nothing_stays_for_ever() {
        let (kept, now) = (Kept::default(), Instant::now());
        for number in 0..10 * LISTS_MAX {
            keep(&kept, &number.to_string(), 0, now);
        }
        assert_eq!(known(&kept).len(), LISTS_MAX);
        let later = now + KEPT_FOR;
        keep(&kept, "late", 0, later);
        assert_eq!(known(&kept).len(), LISTS_MAX);
        kept.drop_old(later + Duration::from_secs(1));
        assert_eq!(known(&kept), ["late"]);
    }

    #[test]
    fn what_is_asked_for_stays_longer() {
        let (kept, now) = (Kept::default(), Instant::now());
        for name in ["a", "b"] {
            keep(&kept, name, 0, now);
        }
        let later = now + KEPT_FOR;
        assert!(kept.find("a", later).is_some());
        kept.drop_old(later + Duration::from_secs(1));
        assert_eq!(known(&kept), ["a"]);
        let value = kept.find("a", later).unwrap();
        kept.forget(&value);
        assert!(kept.find("a", later).is_none());
    }
}
