//! The first index, and the thread that keeps it current from then on.
//!
//! The fourth way through the house. Projects are read one after the other; one that somebody
//! asks for comes first, also in the middle of another. Requests wait for what they need
//! (section 4 of the protocol) and see how far it has come.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::{History, HistoryError, Moment, READY_WITHIN};
use crate::model::ProjectId;
use crate::watch::{Mark, Unwatched};

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Indexing {
    /// Files are being read for the first time.
    #[default]
    Scanning,
    /// What a snapshot held is being compared with the files.
    Verifying,
    /// The index follows the files.
    Ready,
}

/// How far the first index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Progress {
    /// scanning, verifying or ready.
    pub state: Indexing,
    /// Files looked at.
    pub done: usize,
    /// Files found so far.
    pub total: usize,
    /// How much of the whole that is, about; it never falls, although more files are found.
    #[serde(skip)]
    pub percentage: u8,
}

/// What is left of the first index.
#[derive(Debug, Default)]
pub(super) struct First {
    /// The projects have been found.
    begun: bool,
    /// Projects that somebody waits for.
    wanted: VecDeque<ProjectId>,
    /// Projects not yet begun.
    queue: VecDeque<ProjectId>,
    /// Projects not yet whole.
    unfinished: HashSet<ProjectId>,
    /// How many there were.
    projects: usize,
}

impl First {
    /// How much is done when `done` of `total` files of one more project are, in percent.
    fn percentage(&self, done: usize, total: usize) -> u8 {
        let finished = self.projects.saturating_sub(self.unfinished.len());
        let within = done.min(total) * 100 / total.max(1);
        let all = (finished * 100 + within) / self.projects.max(1);
        u8::try_from(all.min(100)).unwrap_or(100)
    }

    /// Whether the project is still to be looked at.
    pub(super) fn awaits(&self, project: &ProjectId) -> bool {
        self.unfinished.contains(project)
    }

    fn ready(&self, project: Option<&ProjectId>) -> bool {
        self.begun
            && match project {
                Some(id) => !self.unfinished.contains(id),
                None => self.unfinished.is_empty(),
            }
    }
}

impl History {
    /// Keeps the index current until the daemon ends.
    pub(super) fn keep(self: Arc<Self>) {
        self.begin(Moment::now());
        let mut compared = Instant::now();
        let mut polled = compared;
        // found out once for each time: the cost of what is polled is a sum over it
        let mut poll_due = None;
        while !self.ending.load(Ordering::Acquire) {
            if self.pass(Moment::now()) || self.first_step() {
                continue;
            }
            let unwatched = self.health().unwatched;
            let snapshot = self.snapshot_due(Instant::now());
            if snapshot.is_some_and(|due| due <= Instant::now()) {
                self.write_aside();
                continue;
            }
            let now = Instant::now();
            let compare_due = {
                let costs = self.costs.lock();
                compared + costs.compare_every(&unwatched, self.options.reconcile_every)
            };
            if now >= compare_due {
                self.listen();
                // what may heal is waited for, see `poll`
                if unwatched.is_nothing() {
                    self.mark_quietly(Mark::Everything, now);
                } else {
                    self.mark(Mark::Everything, now);
                }
                (compared, polled, poll_due) = (now, now, None);
                continue;
            }
            poll_due = match &unwatched {
                Unwatched::Projects(projects) if !projects.is_empty() => poll_due.or_else(|| {
                    let polling = self.costs.lock().polling(projects)?;
                    Some(polled + polling.every)
                }),
                _ => None,
            };
            if let Unwatched::Projects(projects) = &unwatched
                && poll_due.is_some_and(|due| now >= due)
            {
                self.poll(projects);
                (polled, poll_due) = (now, None);
                continue;
            }
            let mut dirty = self.dirty.lock();
            let due = [dirty.next_due(), snapshot, poll_due]
                .into_iter()
                .flatten()
                .fold(compare_due, Instant::min);
            if due > Instant::now() && !self.ending.load(Ordering::Acquire) {
                self.marked.wait_until(&mut dirty, due);
            }
        }
        self.looked.send_modify(|count| *count += 1);
    }

    /// Goes on from the last snapshot, sweeps what an earlier daemon left, sets the watches and
    /// finds the projects.
    pub fn begin(&self, now: Moment) {
        self.restore();
        match self.store.sweep() {
            Ok(swept) => {
                for failure in swept.failures {
                    tracing::warn!(%failure, "an abandoned file could not be removed");
                }
            }
            Err(error) => tracing::warn!(%error, "abandoned files were not looked for"),
        }
        let watcher = self.watcher();
        if let Some(watcher) = &watcher {
            watcher.follow_root();
        }
        let projects = match self.store.projects() {
            Ok(found) => found.projects,
            Err(error) => {
                tracing::warn!(%error, "the root cannot be read");
                Vec::new()
            }
        };
        if let Some(watcher) = watcher {
            watcher.follow_all(&projects);
        }
        // projects that a snapshot knew and that are gone are looked at as well
        let known = self.index(|index| index.project_ids());
        let there: HashSet<ProjectId> = projects.iter().cloned().collect();
        let mut projects = projects;
        projects.extend(known.into_iter().filter(|id| !there.contains(id)));
        {
            let mut first = self.first.lock();
            first.unfinished = projects.iter().cloned().collect();
            first.projects = projects.len();
            first.queue = projects.into();
            first.begun = true;
        }
        // finds the folder-level problems, and what came since
        self.mark(Mark::Root, now.instant);
        self.progress.send_modify(|_| {});
    }

    /// Reads one project for the first time, the most wanted one. Returns whether there was one.
    pub fn first_step(&self) -> bool {
        let next = {
            let mut first = self.first.lock();
            let wanted = loop {
                let Some(id) = first.wanted.pop_front() else {
                    break None;
                };
                if let Some(at) = first.queue.iter().position(|queued| *queued == id) {
                    first.queue.remove(at);
                    break Some(id);
                }
            };
            wanted.or_else(|| first.queue.pop_front())
        };
        if let Some(project) = next {
            self.first_look(&project);
            return true;
        }
        let ready = self.first.lock().ready(None);
        self.progress.send_if_modified(|progress| {
            let turned = ready && progress.state != Indexing::Ready;
            if turned {
                progress.state = Indexing::Ready;
                tracing::info!(runs = progress.done, "the index is ready");
            }
            turned
        });
        false
    }

    fn first_look(&self, project: &ProjectId) {
        let began = Instant::now();
        let differing = self.differing(project, Moment::now());
        self.costs.lock().note(project, began.elapsed());
        let found = differing.len();
        self.progress
            .send_modify(|progress| progress.total += found);
        let mut read = 0;
        let mut differing = differing.into_iter();
        loop {
            let now = Moment::now();
            let count = self.look_at_runs(&mut differing, now);
            if count == 0 || self.ending.load(Ordering::Acquire) {
                break;
            }
            read += count;
            let percentage = self.first.lock().percentage(read, found);
            self.progress.send_modify(|progress| {
                progress.done += count;
                progress.percentage = progress.percentage.max(percentage);
            });
            // what changes meanwhile, and what somebody waits for, does not wait for the rest
            self.pass(now);
            if !self.first.lock().wanted.is_empty() {
                self.first_wanted();
            }
        }
        let percentage = {
            let mut first = self.first.lock();
            first.unfinished.remove(project);
            first.percentage(0, 0)
        };
        self.progress.send_modify(|progress| {
            progress.percentage = progress.percentage.max(percentage);
        });
    }

    /// Reads the projects that somebody waits for and that nobody has begun.
    fn first_wanted(&self) {
        loop {
            let wanted = {
                let mut first = self.first.lock();
                let Some(id) = first.wanted.pop_front() else {
                    return;
                };
                let queued = first.queue.iter().position(|queued| *queued == id);
                queued.and_then(|at| first.queue.remove(at))
            };
            if let Some(project) = wanted {
                self.first_look(&project);
            }
        }
    }

    /// How far the first index has come, and every step from there.
    pub fn progress(&self) -> tokio::sync::watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether the first index has a project, or everything.
    pub fn is_ready(&self, project: Option<&ProjectId>) -> bool {
        self.first.lock().ready(project)
    }

    /// Returns when the first index has the project, or everything; asks for it to come first.
    ///
    /// # Errors
    /// [`HistoryError::NotReady`] after 30 s, [`HistoryError::Ending`].
    pub async fn ready(&self, project: Option<&ProjectId>) -> Result<(), HistoryError> {
        if self.is_ready(project) {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        if let Some(id) = project {
            self.first.lock().wanted.push_back(id.clone());
            self.marked.notify_all();
        }
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while !self.is_ready(project) {
            if self.ending.load(Ordering::Acquire) {
                return Err(HistoryError::Ending);
            }
            tokio::time::timeout_at(deadline, progress.changed())
                .await
                .map_err(|_| HistoryError::NotReady)?
                .map_err(|_| HistoryError::Ending)?;
        }
        Ok(())
    }
}
