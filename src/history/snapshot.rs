//! Keeping the index for the next start.
//!
//! The beginning of the fourth way through the house: what a snapshot held is compared with the
//! files like anything else that is known, so a wrong one costs time and never truth. It is
//! written aside, at intervals while there is something new, and at a clean end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::pace::Pace;
use super::{History, Indexing};
use crate::index::{Clock, Index, Instance, Saving, Snapshot};
use crate::store::{Cache, CacheError};

/// The file with the index.
const INDEX: &str = "index";
/// The file with the instances that went on from it: its clock, then theirs, a line each.
const SIBLINGS: &str = "siblings";
/// All that is kept in the root's cache folder. A file that cannot be used is replaced.
pub const SNAPSHOT_FILES: [&str; 2] = [INDEX, SIBLINGS];
/// How many of them are remembered, and how large that file may be.
const SIBLINGS_MAX: usize = 200;
const SIBLINGS_MAX_BYTES: u64 = 64 << 10;
/// How often the index is written while it changes.
const EVERY: Duration = Duration::from_secs(60);
/// Writing may take at most this part of the time.
const SHARE: u32 = 50;

/// The snapshots of one root.
#[derive(Debug)]
pub(super) struct Snapshots {
    cache: Cache,
    state: Mutex<State>,
    /// Nobody writes any more.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The revision of the index that was written last.
    revision: u64,
    /// When that was, and how long it took.
    written: Option<(Instant, Duration)>,
    writing: bool,
    warned: bool,
    restored: bool,
}

impl Snapshots {
    pub(super) fn new(cache: Cache) -> Self {
        Self {
            cache,
            state: Mutex::new(State::default()),
            idle: Condvar::new(),
        }
    }

    /// Notes that nobody writes, and what `note` notes.
    fn idle<T>(&self, note: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        state.writing = false;
        let noted = note(&mut state);
        self.idle.notify_all();
        noted
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }
}

impl History {
    /// The last snapshot, if there is one.
    pub(super) fn open_snapshot(&self) -> Option<Snapshot<File>> {
        let snapshots = self.snapshots.as_ref()?;
        let file = match snapshots.cache.open(INDEX) {
            Ok(file) => file,
            Err(error @ CacheError::NotAFile) => {
                Self::drop_snapshot(&error);
                None
            }
            Err(error) => {
                snapshots.state.lock().warned = true;
                tracing::warn!(%error, "the cache cannot be used; every start reads all files");
                None
            }
        };
        let owner = self.store.root().as_os_str().as_bytes();
        let opened = Snapshot::open(file?, owner);
        opened.inspect_err(|error| Self::drop_snapshot(error)).ok()
    }

    /// Says why a snapshot is of no use.
    fn drop_snapshot(error: &dyn std::fmt::Display) {
        tracing::warn!(%error, "the snapshot is dropped and the index built anew");
    }

    /// Goes on from a snapshot, if it fits.
    pub(super) fn restore(&self, snapshot: Snapshot<File>) {
        let Some(snapshots) = &self.snapshots else {
            return;
        };
        let (instance, liveness) = (self.clock().instance, self.options.liveness());
        match snapshot.restore(instance, liveness) {
            Ok(mut index) => {
                self.join_siblings(&snapshots.cache, &mut index);
                let tick = index.clock().tick;
                let runs = index.runs();
                {
                    let mut state = snapshots.state.lock();
                    state.revision = index.revision();
                    state.restored = true;
                }
                *self.index.write() = index;
                *self.older.lock() = None;
                self.progress
                    .send_modify(|progress| progress.state = Indexing::Verifying);
                self.tell(tick);
                tracing::debug!(runs, "the index goes on from its snapshot");
            }
            Err(error) => Self::drop_snapshot(&error),
        }
    }

    /// Notes beside the snapshot that this instance went on from it, and learns who else did, so
    /// that clocks of daemons that changed nothing are honoured by the next.
    fn join_siblings(&self, cache: &Cache, index: &mut Index) {
        let Some(parent) = index.parent() else { return };
        let mut text = String::new();
        let held = cache.open(SIBLINGS).ok().flatten();
        let read = held.map(|file| file.take(SIBLINGS_MAX_BYTES).read_to_string(&mut text));
        let mut lines = text.lines();
        let same = lines.next() == Some(parent.to_string().as_str());
        let mut siblings: Vec<Instance> = lines
            .filter(|_| same && matches!(read, Some(Ok(_))))
            .filter_map(Clock::parse)
            .map(|clock| clock.instance)
            .collect();
        siblings.truncate(SIBLINGS_MAX);
        index.add_siblings(&siblings);
        siblings.insert(0, index.clock().instance);
        let clocks = siblings
            .into_iter()
            .map(|instance| Clock { instance, ..parent });
        let text: String = std::iter::once(parent)
            .chain(clocks)
            .map(|clock| format!("{clock}\n"))
            .collect();
        // without it a client lists again; the snapshot itself will tell of a full disk
        let _ = cache.replace(SIBLINGS, |file| {
            file.write_all(text.as_bytes()).map(|()| true)
        });
    }

    /// Whether this index went on from a snapshot.
    pub fn was_restored(&self) -> bool {
        self.snapshots
            .as_ref()
            .is_some_and(|snapshots| snapshots.state.lock().restored)
    }

    /// When the index should be written next; `None` while there is nothing new.
    pub(super) fn snapshot_due(&self, now: Instant) -> Option<Instant> {
        let snapshots = self.snapshots.as_ref()?;
        if self.progress.borrow().state != Indexing::Ready {
            return None;
        }
        let state = snapshots.state.lock();
        if state.writing || self.index(|index| index.revision()) == state.revision {
            return None;
        }
        Some(
            state
                .written
                .map_or(now, |(at, took)| at + EVERY.max(took * SHARE)),
        )
    }

    /// Writes the index on a thread of its own.
    pub(super) fn write_aside(self: &Arc<Self>) {
        if let Some(snapshots) = &self.snapshots {
            snapshots.state.lock().writing = true;
        }
        let history = Arc::clone(self);
        let writing = std::thread::Builder::new()
            .name("runlog-snapshot".to_owned())
            .spawn(move || {
                let mut pace = Pace::new();
                history.write(|| {
                    pace.keep();
                    // the last one is written by who ends the history
                    !history.ending.load(Ordering::Acquire)
                });
                // the keeper may have waited for longer than until the next one is due
                drop(history.dirty.lock());
                history.marked.notify_all();
            });
        if let (Err(error), Some(snapshots)) = (writing, &self.snapshots) {
            tracing::warn!(%error, "no thread to write the snapshot");
            snapshots.idle(|state| state.written = Some((Instant::now(), Duration::ZERO)));
        }
    }

    /// Writes the index if there is anything new, unless that takes beyond `deadline`; whether it
    /// was written. Waits for who else writes it. Blocks.
    pub fn write_snapshot(&self, deadline: Option<Instant>) -> bool {
        let is_over = || deadline.is_some_and(|deadline| Instant::now() > deadline);
        if let Some(snapshots) = &self.snapshots {
            let mut state = snapshots.state.lock();
            while state.writing && !is_over() {
                match deadline {
                    Some(deadline) => drop(snapshots.idle.wait_until(&mut state, deadline)),
                    None => snapshots.idle.wait(&mut state),
                }
            }
        }
        self.write(|| !is_over())
    }

    /// The same, as long as `goes_on` says so after each slice.
    fn write(&self, mut goes_on: impl FnMut() -> bool) -> bool {
        let Some(snapshots) = &self.snapshots else {
            return false;
        };
        let began = Instant::now();
        let revision = self.index(|index| index.revision());
        if revision == snapshots.state.lock().revision {
            snapshots.idle(|_| ());
            return false;
        }
        let mut saving = Saving::of(self.store.root().as_os_str().as_bytes());
        let written = snapshots.cache.replace(INDEX, |file| {
            let mut slice = Vec::new();
            while self.index(|index| saving.next(index, &mut slice)) {
                file.write_all(&slice)?;
                slice.clear();
                if !goes_on() {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        snapshots.idle(|state| {
            state.written = Some((Instant::now(), began.elapsed()));
            match written {
                Ok(done) => {
                    if done {
                        state.revision = revision;
                    }
                    done
                }
                Err(error) => {
                    // said once: the next start takes longer, and nothing else is lost
                    if !std::mem::replace(&mut state.warned, true) {
                        tracing::warn!(%error, "the index cannot be kept for the next start");
                    }
                    false
                }
            }
        })
    }
}
