//! The history: the one place where files, index and events meet.
//!
//! Everything the protocol answers comes from here, and every mutation passes through here. Reads
//! of the index never wait for IO. What changes the index is either a save or delete of our own
//! or a *look*: some part of the files is compared with the index and the differences become
//! changes (see `look`). Events only say where to look.
//!
//! Methods whose docs say that they block do file IO and belong on a thread that may block. It
//! knows neither sessions nor JSON-RPC.

mod annotations;
mod changes;
mod costs;
mod delete;
mod error;
mod export;
mod find;
mod help;
mod kept;
mod locks;
mod look;
mod pace;
mod patience;
mod prune;
mod recording;
mod select;
mod snapshot;
mod start;
pub(crate) mod thread;
mod told;
mod trash;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{oneshot, watch};

pub use costs::{Comparing, Polling};
pub use delete::{Choice, Chosen, Deleted, DeletedAll, DeletedMany, Deleting, Spared};
pub use error::HistoryError;
pub use export::{Exporting, Format, Rows, Written as RowsWritten};
pub(crate) use help::with_help;
#[cfg(feature = "search")]
pub(crate) use help::{QUICK, stand_back};
pub(crate) use look::LATER;
pub use patience::{Patience, Pause};
pub use prune::{Plan, Policy, Rule};
pub use select::{Stop, Wanted};
pub use snapshot::SNAPSHOT_FILES;
pub use start::{Indexing, Progress};
pub use told::Told;
pub use trash::{OfTrash, Restored, ToEmpty, TrashPage, TrashTotals, Trashed};

use crate::index::{
    Clock, Filter, From, Index, Instance, Listed, Liveness, Older, Page, PageAt, Problem,
    ProjectInfo, Totals,
};
use crate::model::{Millis, ProblemKind, ProjectId, RunKey, Summary, Version};
pub use crate::store::rewrite::check_names;
pub use crate::store::{Batch, EntryId, PieceQuery, Pieces, Record, RestoreError};
use crate::store::{Cache, Expect, Store, rewrite};
use crate::watch::{Dirty, Health, Hint, Mark, NotifyWatcher, Reason, Unwatched, Watcher};
use costs::Costs;
use kept::Kept;
use locks::PathLocks;
use recording::Recording;
use snapshot::Snapshots;
use start::First;
use thread::on_a_thread;
use told::Rehearsals;

/// How large a record may be, in bytes: what a frame holds, less room for what is around it.
pub const RECORD_LIMIT_BYTES: u64 = 63 * 1024 * 1024;
/// How long a request waits for the first index of its project.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long the watcher may take to show a cookie before a look at all stamps replaces it.
const COOKIE_WITHIN: Duration = Duration::from_secs(2);
/// A file this much older than its reading cannot have changed since without its stamp telling.
const RACY_FOR: Duration = Duration::from_millis(15);

/// Now, for everything that depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For waiting.
    pub instant: Instant,
    /// For dates.
    pub wall: SystemTime,
}

impl Moment {
    /// The real one.
    #[must_use]
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn millis(self) -> Millis {
        Millis::from_system(self.wall)
    }
}

/// What a history is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Silence after which a queued or running run is stale.
    pub stale_after: Duration,
    /// How often all stamps are compared, whatever the events said.
    pub reconcile_every: Duration,
    /// Compare all stamps in intervals instead of waiting for events.
    pub poll: bool,
    /// The user's folder for caches; without one every start reads all files.
    pub cache: Option<PathBuf>,
}

impl Options {
    fn liveness(&self) -> Liveness {
        Liveness {
            stale_after: self.stale_after,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(3600),
            reconcile_every: Duration::from_secs(300),
            poll: false,
            cache: None,
        }
    }
}

/// What a save did.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The run as it now is.
    pub summary: Summary,
    /// Whether there was no run before.
    pub created: bool,
    /// The hash of the stored bytes.
    pub version: Version,
    /// The state that has it.
    pub clock: Clock,
}

/// The history of one root.
pub struct History {
    store: Store,
    index: RwLock<Index>,
    /// The older changes that were looked up last.
    older: Mutex<Option<Arc<Older>>>,
    /// The latest tick, for those who tell changes.
    ticks: watch::Sender<u64>,
    locks: PathLocks,
    recording: Recording,
    dirty: Mutex<Dirty>,
    /// Somebody marked something, or it is time to end.
    marked: Condvar,
    /// Something was looked at.
    looked: watch::Sender<u64>,
    watcher: Mutex<Option<Arc<dyn Watcher>>>,
    /// Why there is no watcher.
    no_events: Mutex<Reason>,
    cookies: Mutex<HashMap<String, oneshot::Sender<u64>>>,
    first: Mutex<First>,
    progress: watch::Sender<Progress>,
    options: Options,
    snapshots: Option<Snapshots>,
    ending: AtomicBool,
    /// Files opened to be read into the index; a start without changes opens none.
    reads: AtomicU64,
    costs: Mutex<Costs>,
    /// What was told would go.
    rehearsals: Rehearsals,
    exports: Kept<Exporting>,
    /// Whether it was logged that the root cannot be read.
    root_unreadable: AtomicBool,
    /// Whether something was not looked at because a folder above it was closed. Of the root's own
    /// opening it is told no more than that it is another.
    closed: AtomicBool,
    /// Whether it was told that the system is short of what reading takes.
    shortage_told: AtomicBool,
    /// How many projects were gone at the last look at the root.
    projects_gone: AtomicUsize,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("root", &self.store.root())
            .finish_non_exhaustive()
    }
}

impl History {
    /// A history of `root` that nobody keeps current yet: [`History::start`] does, tests drive
    /// [`History::pass`] themselves.
    #[must_use]
    pub fn new(root: PathBuf, options: Options) -> Self {
        let liveness = options.liveness();
        let cache = options.cache.clone();
        let snapshots = cache.map(|base| Snapshots::new(Cache::of(base, &root)));
        Self {
            store: Store::new(root),
            index: RwLock::new(Index::new(Instance::random(), liveness)),
            older: Mutex::new(None),
            ticks: watch::Sender::new(0),
            locks: PathLocks::default(),
            recording: Recording::default(),
            dirty: Mutex::new(Dirty::default()),
            marked: Condvar::new(),
            looked: watch::Sender::new(0),
            watcher: Mutex::new(None),
            no_events: Mutex::new(if options.poll {
                Reason::Asked
            } else {
                Reason::NotYet
            }),
            cookies: Mutex::new(HashMap::new()),
            first: Mutex::new(First::default()),
            progress: watch::Sender::new(Progress::default()),
            options,
            snapshots,
            ending: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            costs: Mutex::new(Costs::default()),
            rehearsals: Rehearsals::default(),
            exports: Kept::default(),
            root_unreadable: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            shortage_told: AtomicBool::new(false),
            projects_gone: AtomicUsize::new(0),
        }
    }

    /// Watches the root and keeps the index current on a thread of its own, until
    /// [`History::end`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(root: PathBuf, options: Options) -> std::io::Result<Arc<Self>> {
        thread::make_readers()?;
        let history = Arc::new(Self::new(root, options));
        history.listen();
        let keeper = Arc::clone(&history);
        std::thread::Builder::new()
            .name("runlog-keeper".to_owned())
            .spawn(move || keeper.keep())?;
        Ok(history)
    }

    /// Listens to the system's events, if it should, does not and can. Nothing is watched before
    /// it is followed.
    fn listen(self: &Arc<Self>) {
        if self.options.poll || self.watcher.lock().is_some() {
            return;
        }
        let weak = Arc::downgrade(self);
        let hints = move |hint| {
            if let Some(history) = weak.upgrade() {
                history.hint(hint, Instant::now());
            }
        };
        match NotifyWatcher::start(self.store.root(), hints) {
            Ok(watcher) => *self.watcher.lock() = Some(Arc::new(watcher)),
            Err(reason) => {
                let before = std::mem::replace(&mut *self.no_events.lock(), reason.clone());
                if before != reason {
                    tracing::warn!("{reason}");
                }
            }
        }
    }

    /// Uses `watcher`, which may lose what it likes.
    pub fn watch_with(&self, watcher: Arc<dyn Watcher>) {
        *self.watcher.lock() = Some(watcher);
    }

    /// Stops following the files.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        // taken so that the keeper is not between its check and its wait
        drop(self.dirty.lock());
        self.marked.notify_all();
    }

    /// The folder whose projects are served.
    pub fn root(&self) -> &Path {
        self.store.root()
    }

    /// Whether the root is there now.
    pub fn root_exists(&self) -> bool {
        self.store.exists()
    }

    /// What the index answers; the closure must not block.
    fn index<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.index.read())
    }

    /// The state that answers given now are true at.
    pub fn clock(&self) -> Clock {
        self.index(Index::clock)
    }

    /// One page of the runs that match.
    pub fn page(&self, filter: &Filter, from: &From, limit: usize) -> Page {
        self.index(|index| index.page(filter, from, limit))
    }

    /// As [`History::page`], each run given to `each`, which must not block.
    pub fn visit(
        &self,
        filter: &Filter,
        from: &From,
        limit: usize,
        each: impl FnMut(Listed<'_>),
    ) -> PageAt {
        self.index(|index| index.visit(filter, from, limit, each))
    }

    /// One run, if it is listed.
    pub fn summary(&self, key: &RunKey) -> Option<Summary> {
        self.index(|index| index.summary_of(key))
    }

    /// What a run's file held when it was last read, if the run is listed.
    pub fn version(&self, key: &RunKey) -> Option<Version> {
        let held = self.index(|index| index.held(key));
        held.map(|(_, version, _)| version)
    }

    /// Sums over a project or everything, and the state they are true at.
    pub fn totals(&self, project: Option<&ProjectId>) -> (Totals, Clock) {
        self.index(|index| (index.totals(project), index.clock()))
    }

    /// All projects, and the state they are true at.
    pub fn projects(&self, empty: bool) -> (Vec<ProjectInfo>, Clock) {
        self.index(|index| (index.projects(empty), index.clock()))
    }

    /// How many runs, projects with runs, problems and tombstones there are.
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        self.index(|index| {
            let projects = index.projects(false).len();
            (
                index.runs(),
                projects,
                index.problems.count(),
                index.tombstones(),
            )
        })
    }

    /// How many bytes the index keeps of steps and errors, beside its rows.
    pub fn step_bytes(&self) -> usize {
        self.index(Index::step_bytes)
    }

    /// A page of the findings.
    pub fn problems(
        &self,
        project: Option<&ProjectId>,
        after: Option<&(String, ProblemKind)>,
        limit: usize,
    ) -> Vec<Problem> {
        self.index(|index| {
            index
                .problems
                .page(project.map(ProjectId::as_str), after, limit)
        })
    }

    /// Takes back what is said of temporary files that the engine left and that are gone by now: no event
    /// tells of them, as the engine makes one with each save. Blocks; costs a look at each.
    pub fn forget_temporaries(&self) {
        for path in self.problem_paths("", &[ProblemKind::AbandonedTemporary]) {
            if !self.store.has_temporary(&path) {
                let now = Moment::now().millis();
                self.index.write().note_problems(&path, &[], now);
            }
        }
    }

    /// Whether everything after `clock` can be told.
    pub fn honours(&self, clock: Clock) -> bool {
        self.index(|index| index.honours(clock))
    }

    /// As [`Index::lasting_clock`].
    pub fn lasting_clock(&self, tick: u64) -> Clock {
        self.index(|index| index.lasting_clock(tick))
    }

    /// Tells each new tick; late readers see only the latest.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// How well events tell what changes.
    pub fn health(&self) -> Health {
        match self.watcher() {
            Some(watcher) => watcher.health(),
            None => Health::without_events(self.no_events.lock().clone()),
        }
    }

    /// How files are compared with the index beside that.
    pub fn comparing(&self) -> Comparing {
        let unwatched = self.health().unwatched;
        let costs = self.costs.lock();
        costs.comparing(&unwatched, self.options.reconcile_every)
    }

    fn watcher(&self) -> Option<Arc<dyn Watcher>> {
        self.watcher.lock().clone()
    }

    /// How many files were opened to be read into the index.
    pub fn files_read(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// One record as its file holds it. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotFound`] and [`HistoryError::Read`].
    pub fn get(&self, key: &RunKey) -> Result<Record, HistoryError> {
        self.get_within(key, RECORD_LIMIT_BYTES)
    }

    fn get_within(&self, key: &RunKey, limit_bytes: u64) -> Result<Record, HistoryError> {
        self.store
            .read(key, limit_bytes)?
            .ok_or_else(|| HistoryError::NotFound(key.clone()))
    }

    /// The record of a run whose file is as the index knows it and no larger than `limit_bytes`, if that
    /// takes no longer than a look into memory; `None` says nothing. Does not block.
    pub fn get_cached(&self, key: &RunKey, limit_bytes: u64) -> Option<Record> {
        let (known, version) = self.index(|index| index.proven(key))?;
        let (json, stamp) = self.store.read_cached(key, limit_bytes)?;
        // the same stamp: the same bytes, which were a record when they were hashed
        (stamp == known).then_some(Record {
            json,
            stamp,
            version,
        })
    }

    /// As [`History::get`], but not checked anew where the file is as the index knows it. Blocks.
    ///
    /// # Errors
    /// Those of [`History::get`].
    pub fn get_known(&self, key: &RunKey) -> Result<Record, HistoryError> {
        self.get_known_within(key, RECORD_LIMIT_BYTES)
    }

    fn get_known_within(&self, key: &RunKey, limit_bytes: u64) -> Result<Record, HistoryError> {
        self.get_cached(key, limit_bytes)
            .map_or_else(|| self.get_within(key, limit_bytes), Ok)
    }

    /// The first `bytes_max` of a run's record, if its file is that version as the index knows it, and if
    /// that takes no longer than a look into memory; `None` says nothing. Does not block.
    #[must_use]
    pub fn beginning_cached(
        &self,
        key: &RunKey,
        version: Version,
        bytes_max: u64,
    ) -> Option<Vec<u8>> {
        let (known, present) = self.index(|index| index.proven(key))?;
        if present != version {
            return None;
        }
        let (json, stamp) = self.store.read_cached_beginning(key, bytes_max)?;
        (stamp == known).then_some(json)
    }

    /// Pieces of one record as its file holds it, whatever its size. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotFound`] and [`HistoryError::Read`]; [`HistoryError::TakenBack`] when it was
    /// taken back.
    pub fn pieces(
        &self,
        key: &RunKey,
        asked: &PieceQuery,
        stop: &Stop,
    ) -> Result<Pieces, HistoryError> {
        let pieces = self.store.pieces(key, asked, &|| self.going(stop).is_ok());
        self.going(stop)?;
        pieces?.ok_or_else(|| HistoryError::NotFound(key.clone()))
    }

    /// Stores `execution` durably, in the form that Node would give it. Blocks.
    ///
    /// # Errors
    /// All but [`HistoryError::NotFound`]; the file is untouched then.
    pub fn save(
        &self,
        key: &RunKey,
        execution: &str,
        expect: &Expect,
    ) -> Result<Saved, HistoryError> {
        let text = rewrite::pretty(execution, RECORD_LIMIT_BYTES)?;
        let guard = self.locks.lock(key);
        self.expect_echo(key);
        let saved = self.store.save(key, &text, expect).inspect_err(|_| {
            // the last step may have failed after the record was there
            self.mark(Mark::Run(key.clone()), Instant::now());
        })?;
        let entered = self.enter(key, &text, saved);
        drop(guard);
        drop(text);
        self.look_if_new(&key.project);
        entered
    }

    fn tell(&self, tick: u64) {
        self.ticks.send_if_modified(|held| {
            let newer = *held < tick;
            *held = tick.max(*held);
            newer
        });
    }

    fn mark(&self, mark: Mark, now: Instant) {
        self.note_dirty(|dirty| dirty.mark(mark, now));
    }

    fn mark_quietly(&self, mark: Mark, due: Instant) {
        self.note_dirty(|dirty| dirty.mark_quietly(mark, due));
    }

    /// Notes that this process is changing the run's file, or has just done so. The caller holds the
    /// run's lock.
    fn expect_echo(&self, key: &RunKey) {
        let due = Instant::now() + RACY_FOR;
        self.note_dirty(|dirty| dirty.put_off(Mark::Run(key.clone()), due));
    }

    /// Wakes the keeper if what is noted is due before all that it knows of.
    fn note_dirty(&self, note: impl FnOnce(&mut Dirty)) {
        let mut dirty = self.dirty.lock();
        let before = dirty.next_due();
        note(&mut dirty);
        let due = dirty.next_due();
        drop(dirty);
        if due.is_some_and(|due| before.is_none_or(|before| due < before)) {
            self.marked.notify_all();
        }
    }

    /// Takes a hint from the watcher.
    pub fn hint(&self, hint: Hint, now: Instant) {
        match hint {
            Hint::Run(key) => self.mark(Mark::Run(key), now),
            Hint::Project(id) => self.mark(Mark::Project(id), now),
            Hint::Annotation(key) => self.mark(Mark::Annotation(key), now),
            Hint::Annotations(id) => self.mark(Mark::Annotations(id), now),
            Hint::Root => self.mark(Mark::Root, now),
            Hint::Everything => {
                let rest = self.costs.lock().rest();
                self.mark(Mark::Everything, rest.map_or(now, |rest| now.max(rest)));
            }
            Hint::Cookie(name) => {
                let ticket = self.dirty.lock().ticket();
                if let Some(waiting) = self.cookies.lock().remove(&name) {
                    let _ = waiting.send(ticket);
                }
            }
        }
    }

    /// Returns when everything done to the files before the call is in the index.
    ///
    /// # Errors
    /// [`HistoryError::Behind`] after 30 s, [`HistoryError::Ending`].
    pub async fn sync(self: &Arc<Self>) -> Result<(), HistoryError> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        let ticket = match self.health().unwatched {
            Unwatched::Everything(_) => None,
            Unwatched::Projects(projects) => {
                // before the cookie is sent, so that its ticket is a later one
                self.poll(&projects);
                self.cookie().await
            }
        };
        let ticket = match ticket {
            Some(ticket) => ticket,
            None => {
                let mut dirty = self.dirty.lock();
                dirty.mark(Mark::Everything, Instant::now());
                dirty.ticket()
            }
        };
        self.dirty.lock().hurry(ticket, Instant::now());
        self.marked.notify_all();
        let mut looked = self.looked.subscribe();
        loop {
            looked.borrow_and_update();
            if self.dirty.lock().settled(ticket) {
                return Ok(());
            }
            if self.ending.load(Ordering::Acquire) {
                return Err(HistoryError::Ending);
            }
            tokio::time::timeout_at(deadline, looked.changed())
                .await
                .map_err(|_| HistoryError::Behind)?
                .map_err(|_| HistoryError::Ending)?;
        }
    }

    /// Marks what no event tells of.
    ///
    /// Who syncs waits for it, also where it is time that marked it: if the look succeeds in
    /// watching a project, events tell of what follows, but not of what this look has yet to see.
    fn poll(&self, projects: &BTreeMap<ProjectId, Reason>) {
        let now = Instant::now();
        self.note_dirty(|dirty| {
            for project in projects.keys() {
                dirty.mark(Mark::Project(project.clone()), now);
            }
        });
    }

    /// Sends a cookie through the root's watch; the ticket of everything hinted before it.
    async fn cookie(self: &Arc<Self>) -> Option<u64> {
        let history = Arc::clone(self);
        let made = on_a_thread(move || {
            let cookie = history.store.new_cookie_name();
            let (send, receive) = oneshot::channel();
            history.cookies.lock().insert(cookie.clone(), send);
            let made = history.store.cookie(&cookie);
            if made.is_err() {
                history.cookies.lock().remove(&cookie);
            }
            made.map(|held| (held, cookie, receive)).ok()
        })
        .await
        .ok()??;
        let (held, name, receive) = made;
        let seen = tokio::time::timeout(COOKIE_WITHIN, receive).await;
        self.cookies.lock().remove(&name);
        drop(held);
        if seen.is_err() {
            tracing::warn!("the watcher did not show a cookie in time; comparing all stamps");
        }
        seen.ok()?.ok()
    }
}
