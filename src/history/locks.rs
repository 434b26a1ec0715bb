//! One holder at a time for each run's file.
//!
//! House rule: a save's rename and its entry in the index happen under the path's lock, as do a
//! reading of a dirty path and its entry; so whoever touched the file last is what the index ends
//! with. Readers of the index never come here.

use hashbrown::HashSet;
use parking_lot::{Condvar, Mutex};

use crate::model::RunKey;

/// The runs that somebody is working on.
#[derive(Debug, Default)]
pub(super) struct PathLocks {
    held: Mutex<HashSet<RunKey>>,
    freed: Condvar,
}

/// Holds some runs until it is dropped.
#[derive(Debug)]
pub(super) struct PathGuard<'a> {
    locks: &'a PathLocks,
    keys: Vec<RunKey>,
}

impl PathLocks {
    /// Waits until nobody else holds `key`, then holds it.
    pub(super) fn lock(&self, key: &RunKey) -> PathGuard<'_> {
        let mut held = self.held.lock();
        while !held.insert(key.clone()) {
            self.freed.wait(&mut held);
        }
        PathGuard {
            locks: self,
            keys: vec![key.clone()],
        }
    }

    /// Holds those of `items` whose runs are free, waiting until at least one is, and gives back
    /// the others. Taking what there is, all at once, cannot deadlock and is not starved by busy
    /// runs.
    pub(super) fn lock_free<T>(
        &self,
        items: Vec<T>,
        key_of: impl Fn(&T) -> &RunKey,
    ) -> (PathGuard<'_>, Vec<T>, Vec<T>) {
        let mut held = self.held.lock();
        while !items.is_empty() && items.iter().all(|item| held.contains(key_of(item))) {
            self.freed.wait(&mut held);
        }
        let (mine, rest): (Vec<T>, Vec<T>) = items
            .into_iter()
            .partition(|item| held.insert(key_of(item).clone()));
        let keys = mine.iter().map(|item| key_of(item).clone()).collect();
        (PathGuard { locks: self, keys }, mine, rest)
    }
}

impl Drop for PathGuard<'_> {
    fn drop(&mut self) {
        let mut held = self.locks.held.lock();
        for key in &self.keys {
            held.remove(key);
        }
        self.locks.freed.notify_all();
    }
}
