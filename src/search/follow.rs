//! The thread that keeps the text index as the history is.
//!
//! It waits until the history is ready and reads the changes after the clock of its last commit, as a
//! subscription does; where that is not honoured, it compares every run's version with what the text
//! index holds first. What is new is put there and committed, at most four times a second, and each state is published with the tick that it
//! is true at. A daemon that does not hold the index's lock only looks whether what changed has been
//! put there by the one that does, and takes its place when that has ended. While nothing changes
//! nothing wakes it.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashbrown::DefaultHashBuilder;
use tokio::sync::watch;

use super::engine::{self, EngineError, Entry, View, Writer};
use super::front::Front;
use super::{Shared, Trouble};
use crate::history::{History, HistoryError, Indexing, stand_back};
use crate::index::{Change, Changed, Clock, Cursor, Filter, From, Key, Listed};
use crate::model::{ProjectId, RunKey, Summary, Version};
use crate::store::{Cache, ReadError, is_short};

/// Between two commits that somebody may wait for.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// A commit may take at most this part of the time.
const COMMIT_SHARE: u32 = 4;
/// Between two commits of what was not changed, but only found.
const BUILD_COMMIT_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How many changes, and how many ticks, are looked at under one lock.
const CHANGES: (usize, usize) = (256, 4096);
/// How many runs are compared between two looks for changes: few while some have to be put into
/// the index, which takes its time, and more and more while there are none.
const COMPARED: (usize, usize) = (64, 1024);
/// How often another daemon's index is looked into while something is missing there.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many runs are remembered that are missing there.
const MISSING_MAX: usize = 10_000;
/// How long the file of a listed run may be away before that is believed, and how often it is looked for
/// then at least.
const AWAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// How long nothing is tried after a failure, at first and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

pub(super) struct Follower {
    history: Weak<History>,
    cache: Cache,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
    ticks: watch::Receiver<u64>,
    /// Counts those who wait for the next state.
    urged: watch::Receiver<u64>,
    /// How much of that has been answered.
    answered: u64,
    /// Looks into the history for this thread, which stands back.
    front: Front,
}

/// Why following came to an end.
enum End {
    /// The history has gone.
    Over,
    /// The index has to be opened and compared again.
    Again,
    Failed(EngineError),
}

impl<E: Into<EngineError>> std::convert::From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Follower {
    pub(super) fn new(
        history: &Arc<History>,
        cache: Cache,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            history: Arc::downgrade(history),
            cache,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()?,
            ticks: history.ticks(),
            urged: shared.urge.subscribe(),
            front: Front::start()?,
            answered: 0,
            shared,
        })
    }

    /// Follows until the history has gone.
    pub(super) fn run(mut self) {
        // no further: on a busy machine who stands back behind all others finds no run for seconds
        stand_back();
        let mut retry_after = RETRY_AFTER.0;
        let mut said = None;
        loop {
            let began = Instant::now();
            let end = catch_unwind(AssertUnwindSafe(|| self.follow()));
            if began.elapsed() > RETRY_AFTER.1 {
                (retry_after, said) = (RETRY_AFTER.0, None);
            }
            let (trouble, error) = match end {
                Ok(End::Over) => return,
                Ok(End::Again) => (None, String::new()),
                Ok(End::Failed(EngineError::Elsewhere)) => {
                    (Some(Trouble::Elsewhere), EngineError::Elsewhere.to_string())
                }
                Ok(End::Failed(error)) if error.is_full() => {
                    (Some(Trouble::Full), error.to_string())
                }
                // it was whole, and now cannot be used: it is built anew at once
                Ok(End::Failed(error)) if self.shared.state.borrow().whole => {
                    tracing::warn!(%error, "the text index is opened again");
                    (None, String::new())
                }
                Ok(End::Failed(error)) => (Some(Trouble::Failed), error.to_string()),
                Err(_) => {
                    self.shared.suspect.store(true, Ordering::Relaxed);
                    (Some(Trouble::Failed), "a defect".to_owned())
                }
            };
            // once, however often it is tried again
            if trouble.is_some() && said.is_none() {
                match trouble {
                    // as it should be where several daemons begin at once
                    Some(Trouble::Elsewhere) => tracing::info!(error, "the text index waits"),
                    _ => tracing::warn!(error, "the text index stands still"),
                }
                said = trouble;
            }
            self.shared.state.send_modify(|state| {
                state.whole = false;
                state.trouble = trouble;
            });
            if trouble.is_some() {
                let over = self.runtime.block_on(async {
                    tokio::time::sleep(retry_after).await;
                    self.history.strong_count() == 0
                });
                if over {
                    return;
                }
                retry_after = (retry_after * 2).min(RETRY_AFTER.1);
            }
        }
    }

    fn wait_until_ready(&mut self) -> bool {
        let Some(history) = self.history.upgrade() else {
            return false;
        };
        let mut progress = history.progress();
        drop(history);
        self.runtime
            .block_on(progress.wait_for(|progress| progress.state == Indexing::Ready))
            .is_ok()
    }

    /// The next changes after `cursor`; `None` if some were missed. Also the state that they lead to.
    fn changes(
        &self,
        history: &Arc<History>,
        cursor: &mut Cursor,
    ) -> Result<(Option<Vec<Change>>, Clock), End> {
        let history = Arc::clone(history);
        let mut from = std::mem::replace(cursor, Cursor::after(0));
        let (found, from) = self
            .front
            .ask(move || {
                let all = Filter::default().into();
                let found = history.changes_after(&mut from, &all, CHANGES.0, CHANGES.1);
                (found, from)
            })
            .map_err(EngineError::from)?;
        *cursor = from;
        Ok(found)
    }

    fn history(&self) -> Result<Arc<History>, End> {
        self.history.upgrade().ok_or(End::Over)
    }

    fn lasting_clock(&self, tick: u64) -> Result<Clock, End> {
        Ok(self.history()?.lasting_clock(tick))
    }

    /// Waits for a change, for somebody who waits, or until `due`.
    fn wait(&mut self, due: Option<Instant>) -> Result<(), End> {
        let Self {
            runtime,
            ticks,
            urged,
            ..
        } = self;
        runtime.block_on(async {
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = ticks.changed() => changed.map_err(|_| End::Over),
                changed = urged.changed() => changed.map_err(|_| End::Over),
                () = due => Ok(()),
            }
        })
    }

    fn follow(&mut self) -> End {
        let suspect = self.shared.suspect.swap(false, Ordering::Relaxed);
        let opened = match engine::open(&self.cache, suspect) {
            Ok(opened) => opened,
            Err(error) => return End::Failed(error),
        };
        // the history comes to be known meanwhile
        if !self.wait_until_ready() {
            return End::Over;
        }
        let followed = match opened.writer {
            Some(mut writer) => {
                let end = self.write(&opened.view, &mut writer);
                end.map_err(|end| match end {
                    End::Failed(EngineError::Index(error)) => {
                        End::Failed(writer.cause(error).into())
                    }
                    other => other,
                })
            }
            None => {
                self.show(&opened.view);
                self.look_on(&opened.view)
            }
        };
        match followed {
            Ok(never) => never,
            Err(end) => end,
        }
    }

    /// Gives searches what they look into.
    fn show(&self, view: &Arc<View>) {
        *self.shared.view.write() = Some(Arc::clone(view));
        self.shared.state.send_modify(|state| state.trouble = None);
    }

    fn publish(&self, view: &View, tick: u64, whole: bool) {
        self.shared.state.send_modify(|state| {
            state.tick = tick;
            state.whole = whole;
            state.runs = view.runs();
        });
    }

    /// Puts into the index what is not there.
    fn write(&mut self, view: &Arc<View>, writer: &mut Writer) -> Result<End, End> {
        let history = self.history()?;
        let mut pace = Pace::new();
        let known = view.clock()?.filter(|clock| history.honours(*clock));
        // whoever waits for the view is told at once that nothing is missing
        let now = history.clock();
        if known.is_some_and(|clock| clock.tick >= now.tick) {
            self.publish(view, now.tick, true);
        }
        self.show(view);
        let (mut cursor, mut comparison) = match known {
            Some(clock) => (Cursor::after(clock.tick), None),
            None => {
                let cursor = Cursor::after(history.clock().tick);
                let remove = |gone| writer.remove(&gone);
                (cursor, Some(Comparison::of(view, &history, remove)?))
            }
        };
        drop(history);
        let mut lacking = Lacking::default();
        loop {
            if self.shared.suspect.load(Ordering::Relaxed) {
                return Err(End::Again);
            }
            let history = self.history()?;
            let (changes, now) = self.changes(&history, &mut cursor)?;
            let Some(changes) = changes else {
                return Err(End::Again);
            };
            if let Some(runs) = &mut comparison {
                // it may come to one of them, or once more to one that has moved
                runs.held |= !changes.is_empty();
            }
            for change in changes {
                pace.changed += 1;
                match change.what {
                    Changed::Deleted(key) | Changed::Left(key) => lacking.remove(writer, &key),
                    Changed::Saved { summary, .. } => {
                        lacking.put(&history, writer, &summary, true, Instant::now())?;
                    }
                    // nothing is asked that an error would decide
                    Changed::Undecided(_) => {}
                }
            }
            let behind = cursor.tick() < now.tick;
            if !behind && let Some(runs) = &mut comparison {
                match runs
                    .next(&history, &self.front)
                    .map_err(EngineError::from)?
                {
                    Some(summaries) => {
                        for summary in summaries {
                            pace.found += 1;
                            let now = Instant::now();
                            lacking.put(&history, writer, &summary, runs.held, now)?;
                        }
                    }
                    None => {
                        // the end is soon seen, and the next start need not compare
                        pace.changed += 1;
                        comparison = None;
                    }
                }
            }
            if !behind {
                pace.changed += lacking.try_again(&history, writer, Instant::now())?;
            }
            drop(history);
            let urged = *self.urged.borrow_and_update();
            let waited_for = urged != self.answered;
            let whole = comparison.is_none() && !lacking.is_waited_for();
            if pace.is_due(waited_for && !behind) {
                let clock = (comparison.is_none() && lacking.is_empty())
                    .then(|| self.lasting_clock(cursor.tick()))
                    .transpose()?;
                pace.commit(|| {
                    writer.commit(clock)?;
                    view.reload()
                })?;
                self.publish(view, cursor.tick(), whole);
            } else if !pace.is_behind() {
                self.publish(view, cursor.tick(), whole);
            }
            if !behind && !pace.is_behind() && !lacking.is_waited_for() {
                self.answered = urged;
            }
            if !behind && comparison.is_none() {
                let due = [pace.due(), lacking.due()];
                self.wait(due.into_iter().flatten().min())?;
            }
        }
    }

    /// Sees what another daemon puts into the index.
    fn look_on(&mut self, view: &View) -> Result<End, End> {
        let history = self.history()?;
        let generation = view.generation()?;
        let mut cursor = Cursor::after(history.clock().tick);
        let mut missing: HashMap<RunKey, Option<Version>> = HashMap::new();
        let mut comparison = Comparison::of(view, &history, |gone| {
            missing.insert(gone, None);
        })?;
        let mut too_many = false;
        while let Some(summaries) = comparison
            .next(&history, &self.front)
            .map_err(EngineError::from)?
        {
            if missing.len() > MISSING_MAX {
                too_many = true;
                break;
            }
            missing.extend(
                summaries
                    .into_iter()
                    .map(|summary| (key_of(&summary), Some(summary.version))),
            );
        }
        drop((history, comparison));
        let looked = Instant::now();
        loop {
            let history = self.history()?;
            let (changes, now) = self.changes(&history, &mut cursor)?;
            drop(history);
            for change in changes.ok_or(End::Again)? {
                match change.what {
                    Changed::Deleted(key) | Changed::Left(key) => missing.insert(key, None),
                    Changed::Saved { summary, .. } => {
                        missing.insert(key_of(&summary), Some(summary.version))
                    }
                    Changed::Undecided(_) => continue,
                };
            }
            too_many |= missing.len() > MISSING_MAX;
            if too_many || !missing.is_empty() {
                if engine::is_free(&self.cache)? || view.generation()? != generation {
                    return Err(End::Again);
                }
                view.reload()?;
            }
            if too_many {
                missing.clear();
                if looked.elapsed() > BUILD_COMMIT_EVERY.0 * COMMIT_SHARE {
                    return Err(End::Again);
                }
            }
            let mut still = HashMap::new();
            for (key, version) in missing {
                if view.version_of(&key)? != version {
                    still.insert(key, version);
                }
            }
            missing = still;
            if cursor.tick() < now.tick {
                continue;
            }
            let whole = missing.is_empty() && !too_many;
            self.publish(view, cursor.tick(), whole);
            let urged = *self.urged.borrow_and_update();
            if whole {
                self.answered = urged;
            }
            self.wait((!whole).then(|| Instant::now() + LOOK_EVERY))?;
        }
    }
}

fn key_of(summary: &Summary) -> RunKey {
    RunKey {
        project: summary.project_id.clone(),
        execution: summary.id.clone(),
    }
}

/// Listed runs that should be in the index and whose files cannot be read.
#[derive(Default)]
pub(super) struct Lacking {
    /// Each with when that was seen first; none when its moment is over, and that is believed.
    runs: HashMap<RunKey, Option<Instant>>,
    /// When they are tried again, …
    due: Option<Instant>,
    /// … and how long after that.
    after: Duration,
    /// Some are not remembered; the next start may find them.
    too_many: bool,
}

impl Lacking {
    /// Whether some may be there in a moment.
    pub(super) fn is_waited_for(&self) -> bool {
        self.runs.values().any(Option::is_some)
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.too_many
    }

    fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.runs.is_empty())
    }

    fn remove(&mut self, writer: &Writer, key: &RunKey) {
        self.runs.remove(key);
        writer.remove(key);
    }

    /// Puts a run into the index as its file is now, or as it will be.
    pub(super) fn put(
        &mut self,
        history: &History,
        writer: &Writer,
        summary: &Summary,
        replaces: bool,
        now: Instant,
    ) -> Result<(), EngineError> {
        let key = key_of(summary);
        if put(history, writer, summary, replaces)? {
            self.runs.remove(&key);
        } else if self.runs.len() < MISSING_MAX || self.runs.contains_key(&key) {
            // what the index has of it stays until it is known what it is now
            self.runs.insert(key, Some(now));
            let soon = now + AWAY.0;
            self.due = Some(self.due().map_or(soon, |due| due.min(soon)));
            self.after = AWAY.0;
        } else {
            writer.remove(&key);
            self.too_many = true;
        }
        Ok(())
    }

    /// Tries those again if it is time; for how many of them the index is another then.
    pub(super) fn try_again(
        &mut self,
        history: &History,
        writer: &Writer,
        now: Instant,
    ) -> Result<usize, EngineError> {
        if self.due().is_none_or(|due| now < due) {
            return Ok(0);
        }
        let mut others = 0;
        let mut still = HashMap::new();
        for (key, since) in std::mem::take(&mut self.runs) {
            let there = match history.summary(&key) {
                Some(summary) => put(history, writer, &summary, true)?,
                // which is a change that is told
                None => true,
            };
            if there {
                others += 1;
                continue;
            }
            let waits = since.filter(|since| now.duration_since(*since) < AWAY.0);
            if since.is_some() && waits.is_none() {
                writer.remove(&key);
                others += 1;
            }
            still.insert(key, waits);
        }
        self.runs = still;
        self.after = match self.is_waited_for() {
            true => AWAY.0,
            false => (self.after * 2).min(AWAY.1),
        };
        self.due = Some(now + self.after);
        Ok(others)
    }
}

/// Puts a run into the index as its file is now; false if the run is listed, and its file cannot be read,
/// which may be so for a moment only.
fn put(
    history: &History,
    writer: &Writer,
    summary: &Summary,
    replaces: bool,
) -> Result<bool, EngineError> {
    let key = key_of(summary);
    let record = match history.get_known(&key) {
        Ok(record) => Some(record),
        // known, but without a word: so it need not be tried again at the next start
        Err(HistoryError::Read(ReadError::TooLarge { .. } | ReadError::TooDeep { .. })) => None,
        // nothing can be read now
        Err(HistoryError::Read(ReadError::Io { source, .. })) if is_short(&source) => {
            return Err(source.into());
        }
        Err(error) if history.may_return(&key, &error) => {
            tracing::debug!(%error, "a run is left out of the text index");
            return Ok(false);
        }
        // that is a change, and told
        Err(_) => {
            writer.remove(&key);
            return Ok(true);
        }
    };
    let entry = Entry {
        key: &key,
        version: record
            .as_ref()
            .map_or(summary.version, |record| record.version),
        started: summary.started_at,
        record: record.as_ref().map(|record| record.text()),
        replaces,
    };
    writer.put(&entry)?;
    Ok(true)
}

/// A walk through the history for what the text index does not hold.
struct Comparison {
    fresh: Arc<Fresh>,
    /// The text index holds something, so that what is put there replaces what may be.
    held: bool,
    after: Option<Key>,
    /// How many runs are compared next.
    limit: usize,
    over: bool,
}

/// Runs that the text index holds as they are.
#[derive(Default)]
struct Fresh {
    runs: HashSet<u64>,
    hasher: DefaultHashBuilder,
}

impl Fresh {
    fn hash(&self, project: &ProjectId, id: &str) -> u64 {
        self.hasher.hash_one((project.as_str(), id))
    }

    fn insert(&mut self, key: &RunKey) {
        let hash = self.hash(&key.project, key.execution.as_str());
        self.runs.insert(hash);
    }

    fn has(&self, run: &Listed<'_>) -> bool {
        self.runs.contains(&self.hash(run.project(), run.id()))
    }
}

impl Comparison {
    /// What `view` holds; runs that it should not hold any more go to `gone`.
    fn of(view: &View, history: &History, mut gone: impl FnMut(RunKey)) -> tantivy::Result<Self> {
        let mut fresh = Fresh::default();
        let mut held = false;
        view.each_run(|key, version| {
            held = true;
            match history.version(&key) {
                Some(now) if Some(now) == version => fresh.insert(&key),
                Some(_) => {}
                None => gone(key),
            }
        })?;
        Ok(Self {
            fresh: Arc::new(fresh),
            held,
            after: None,
            limit: COMPARED.0,
            over: false,
        })
    }

    /// The next runs, newest first, that are not as they should be; `None` after the last.
    ///
    /// # Errors
    /// Those of [`Front::ask`].
    fn next(&mut self, history: &Arc<History>, front: &Front) -> io::Result<Option<Vec<Summary>>> {
        if self.over {
            return Ok(None);
        }
        let from = match self.after.take() {
            Some(key) => From::After(key),
            None => From::Offset(0),
        };
        let (asked, fresh, limit) = (Arc::clone(history), Arc::clone(&self.fresh), self.limit);
        let (runs, next) = front.ask(move || {
            let mut runs = Vec::new();
            let at = asked.visit(&Filter::default(), &from, limit, |run| {
                if !fresh.has(&run) {
                    runs.extend(run.summary().to_owned());
                }
            });
            (runs, at.next)
        })?;
        self.over = next.is_none();
        self.after = next;
        self.limit = match runs.is_empty() {
            true => (limit * 2).min(COMPARED.1),
            false => COMPARED.0,
        };
        Ok(Some(runs))
    }
}

/// When to commit.
struct Pace {
    began: Instant,
    committed: Option<Instant>,
    took: Duration,
    /// Changes that somebody may wait for.
    changed: usize,
    /// Runs that were only found missing.
    found: usize,
}

impl Pace {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            committed: None,
            took: Duration::ZERO,
            changed: 0,
            found: 0,
        }
    }

    fn is_behind(&self) -> bool {
        self.changed + self.found > 0
    }

    /// When the next commit is due; `None` if there is nothing to be committed.
    fn due(&self) -> Option<Instant> {
        let after = if self.changed > 0 {
            COMMIT_EVERY
        } else if self.found > 0 {
            let (least, most) = BUILD_COMMIT_EVERY;
            self.began.elapsed().clamp(least, most)
        } else {
            return None;
        };
        let last = self.committed.unwrap_or(self.began);
        Some(last + after.max(self.took * COMMIT_SHARE))
    }

    fn is_due(&self, waited_for: bool) -> bool {
        (waited_for && self.is_behind()) || self.due().is_some_and(|due| due <= Instant::now())
    }

    fn commit(&mut self, work: impl FnOnce() -> tantivy::Result<()>) -> tantivy::Result<()> {
        let began = Instant::now();
        work()?;
        self.took = began.elapsed();
        self.committed = Some(Instant::now());
        (self.changed, self.found) = (0, 0);
        Ok(())
    }
}
