//! The first index, and the thread that keeps it current from then on.
//!
//! The fourth way through the house. Where a snapshot is, its runs are compared with their files, in
//! those folders whose names have not changed since they were all known. Other projects are listed
//! one after the other, and what differs is read by all threads while the next is listed; one that
//! somebody asks for comes first, also in the middle of another. One that is looked at or replaced
//! while it is read is listed once more, and whole only then. Requests wait for what they need
//! (section 4 of the protocol) and see how far it has come.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use schemars::JsonSchema;
use serde::Serialize;

use super::look::{BATCH, LATER, Names, note_unswept};
use super::{History, HistoryError, Moment, READY_WITHIN};
use crate::index::Index;
use crate::model::{ExecutionId, ProjectId, RunKey, Stamp};
use crate::store::{Folder, StoreError, Walk, is_short};
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
    /// What the last snapshot knew is known again, if there was one.
    restored: bool,
    /// Projects that somebody waits for.
    wanted: VecDeque<ProjectId>,
    /// Projects not yet begun.
    queue: VecDeque<ProjectId>,
    /// Projects not yet whole.
    unfinished: HashSet<ProjectId>,
    /// The one that is being listed.
    listing: Option<ProjectId>,
    /// Of those that are listed: how many of their files are read, and of how many.
    reading: HashMap<ProjectId, (usize, usize)>,
    /// Of those: what to note when all are read.
    names: HashMap<ProjectId, Names>,
    /// How many files there may be in those that are not listed, and in all of these; `None` until they
    /// are counted.
    unlisted: Option<(HashMap<ProjectId, usize>, usize)>,
    /// Those that were looked at or replaced after they had begun: they are listed once more when what
    /// was listed is read.
    outdated: HashSet<ProjectId>,
    /// What was found while the snapshot was read, of projects not looked at since.
    pub(super) ahead: HashMap<ProjectId, Ahead>,
}

impl First {
    /// How much is done, in percent, where `done` of the `total` files in listed projects are read.
    fn percentage(&self, done: usize, total: usize) -> u8 {
        let Some((_, unlisted)) = &self.unlisted else {
            return 0;
        };
        let all = done.saturating_mul(100).checked_div(total + unlisted);
        u8::try_from(all.unwrap_or(100).min(100)).unwrap_or(100)
    }

    /// A project is listed, and so many of its files are to be read.
    fn lists(&mut self, project: &ProjectId, found: usize) {
        self.listing = None;
        self.reading.insert(project.clone(), (0, found));
        if let Some((counts, all)) = &mut self.unlisted {
            *all -= counts.remove(project).unwrap_or_default();
        }
    }

    /// So many files there may be in each of these.
    fn counted(&mut self, mut counts: HashMap<ProjectId, usize>) {
        // some are listed meanwhile
        let (unfinished, reading) = (&self.unfinished, &self.reading);
        counts.retain(|id, _| unfinished.contains(id) && !reading.contains_key(id));
        let all = counts.values().sum();
        self.unlisted = Some((counts, all));
    }

    /// Takes in that `count` more files of a listed project are read; whether it is whole now.
    fn read(&mut self, project: &ProjectId, count: usize) -> bool {
        let Some((read, found)) = self.reading.get_mut(project) else {
            return false;
        };
        *read += count;
        if read != found {
            return false;
        }
        self.reading.remove(project);
        if self.outdated.remove(project) {
            self.names.remove(project);
            self.queue.push_front(project.clone());
            // perhaps somebody waits for it
            self.wanted.push_back(project.clone());
            return false;
        }
        self.unfinished.remove(project)
    }

    /// Turns the progress to ready if all is read; whether it was not before.
    fn turns_ready(&self, progress: &mut Progress) -> bool {
        let turns = self.ready(None) && progress.state != Indexing::Ready;
        if turns {
            progress.state = Indexing::Ready;
            tracing::info!(runs = progress.done, "the index is ready");
        }
        turns
    }

    /// Takes the one at this place of those not yet begun, to be listed.
    fn unqueue(&mut self, at: usize) -> Option<ProjectId> {
        self.listing = self.queue.remove(at);
        self.listing.clone()
    }

    /// What was found of a project is of no use after another look at it, or where its folder is another
    /// one.
    ///
    /// Nor is a look enough while threads read what was listed before: what they take in after it may
    /// come from the former folder, and the look could not compare what was not known yet.
    pub(super) fn outdate(&mut self, project: &ProjectId) {
        self.ahead.remove(project);
        let has_begun =
            self.listing.as_ref() == Some(project) || self.reading.contains_key(project);
        // before the projects are found, what is found ahead is still to come
        if has_begun || !self.begun {
            self.outdated.insert(project.clone());
        }
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

/// What was found of a project while the snapshot was read.
#[derive(Debug)]
pub(super) enum Ahead {
    /// Its folder was listed.
    Walked(Walk),
    /// Its folder has the names that it had, and these runs are not as the snapshot has them; each
    /// with whether it is there as a regular file.
    Compared(Vec<(RunKey, bool)>),
}

/// Adds a run to `differing` unless its file is as it was when its stamp was `before`.
fn compare(folder: &Folder, id: &str, before: Option<Stamp>, differing: &mut Vec<(RunKey, bool)>) {
    let now = folder.regular(id);
    if (now.is_none() || now != before)
        && let Ok(execution) = ExecutionId::parse(id)
    {
        let project = folder.project().clone();
        differing.push((RunKey { project, execution }, now.is_some()));
    }
}

/// What of a project is still to be read.
struct Listed {
    project: ProjectId,
    runs: std::vec::IntoIter<(RunKey, bool)>,
    /// Whether somebody waits for it.
    wanted: bool,
}

/// How many runs are handed out before they are read, at most: more than the threads read while a large
/// project is listed, …
const AHEAD: usize = 2 * BATCH;
/// … but what somebody waits for comes after them: no more than are read in so long, …
const AHEAD_FOR: Duration = Duration::from_millis(100);
/// … and enough for each thread.
const AHEAD_MIN: usize = 128;

/// How many runs are walked, at least, before the snapshot that they are compared with is read.
const WALKED_AHEAD: usize = 1 << 17;

/// Bounds how many runs are handed out.
struct Room {
    began: Instant,
    threads: usize,
    handed: Mutex<Handed>,
    freed: Condvar,
}

#[derive(Default)]
struct Handed {
    /// How many are handed out.
    out: usize,
    /// How many have been read.
    read: usize,
}

/// The place of some runs, until it is dropped.
struct Place<'a> {
    room: &'a Room,
    runs: usize,
}

impl Room {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            threads: rayon::current_num_threads(),
            handed: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    fn take(&self, runs: usize) -> Place<'_> {
        let mut handed = self.handed.lock();
        while handed.out >= ahead(handed.read, self.began.elapsed(), self.threads) {
            self.freed.wait(&mut handed);
        }
        handed.out += runs;
        Place { room: self, runs }
    }
}

/// How many runs are to be handed out ahead, if `read` were read in `took` by so many threads.
fn ahead(read: usize, took: Duration, threads: usize) -> usize {
    // the first few may be there while the others are far away
    let soon = read as u128 * AHEAD_FOR.as_nanos() / took.max(AHEAD_FOR).as_nanos();
    let soon = usize::try_from(soon).unwrap_or(AHEAD).min(AHEAD);
    soon.max(AHEAD_MIN * threads)
}

/// Puts one where it is gone on with: before those that nobody waits for, behind who was there sooner.
fn put(listed: &mut Vec<Listed>, one: Listed) {
    let at = match one.wanted {
        true => listed.iter().position(|other| other.wanted),
        false => None,
    };
    listed.insert(at.unwrap_or(listed.len()), one);
}

impl Place<'_> {
    /// They have been read: how many they were.
    // to name a field would leave the place itself where the work was handed out
    fn leave(self) -> usize {
        self.runs
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut handed = self.room.handed.lock();
        handed.out -= self.runs;
        handed.read += self.runs;
        drop(handed);
        self.room.freed.notify_one();
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
                if let Some(watcher) = self.watcher() {
                    watcher.drop_others(&self.index(|index| index.project_ids()));
                }
                self.rehearsals.drop_old(now);
                self.exports.drop_old(now);
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

    /// Sweeps the root of what an earlier daemon left, sets the watches, finds the projects and
    /// goes on from the last snapshot.
    pub fn begin(&self, now: Moment) {
        match self.store.sweep_cookies() {
            Ok(swept) => note_unswept(&swept),
            Err(error) => tracing::warn!(%error, "abandoned files were not looked for"),
        }
        if let Some(watcher) = self.watcher() {
            watcher.follow_root();
        }
        let mut projects = loop {
            match self.store.projects() {
                Ok(found) => break found.projects,
                // nobody is answered before it is known what there is
                Err(StoreError::Io { source, .. }) if is_short(&source) => {
                    self.tell_shortage();
                    if !self.may_wait() {
                        break Vec::new();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the root cannot be read");
                    break Vec::new();
                }
            }
        };
        let ahead = self.restore_and_compare(&projects, now);
        // projects that a snapshot knew and that are gone are looked at as well
        let known = self.index(|index| index.project_ids());
        let there: HashSet<ProjectId> = projects.iter().cloned().collect();
        projects.extend(known.into_iter().filter(|id| !there.contains(id)));
        {
            let mut first = self.first.lock();
            first.unfinished = projects.iter().cloned().collect();
            first.queue = projects.into();
            first.ahead = ahead;
            for looked_at in std::mem::take(&mut first.outdated) {
                first.ahead.remove(&looked_at);
            }
            first.begun = true;
        }
        // finds the folder-level problems, and what came since
        self.mark(Mark::Root, now.instant);
        self.progress.send_modify(|_| {});
    }

    /// Waits until the system may have what it was short of; false if it is time to end.
    fn may_wait(&self) -> bool {
        let mut dirty = self.dirty.lock();
        if !self.ending.load(Ordering::Acquire) {
            self.marked.wait_for(&mut dirty, LATER);
        }
        !self.ending.load(Ordering::Acquire)
    }

    /// Watches the projects, goes on from the last snapshot, if there is one, and compares what can
    /// be compared without a list of the files; returns what was found.
    fn restore_and_compare(
        &self,
        projects: &[ProjectId],
        now: Moment,
    ) -> HashMap<ProjectId, Ahead> {
        // watched first, then read
        let follow = || {
            if let Some(watcher) = self.watcher() {
                watcher.follow_all(projects);
            }
        };
        let Some(snapshot) = self.open_snapshot() else {
            self.note_restored();
            follow();
            return HashMap::new();
        };
        let complete = snapshot.complete().to_vec();
        let restored = AtomicBool::new(false);
        let found = Mutex::new((Vec::new(), HashMap::new()));
        rayon::in_place_scope(|scope| {
            let (found, restored) = (&found, &restored);
            scope.spawn(move |_| {
                follow();
                let unchanged = self.unchanged(projects, complete);
                let known: HashSet<&ProjectId> = unchanged.iter().map(Folder::project).collect();
                let others = projects.iter().filter(|id| !known.contains(id));
                let walked = self.walk_ahead(others, now, restored);
                *found.lock() = (unchanged, walked);
            });
            self.restore(snapshot);
            restored.store(true, Ordering::Release);
            self.note_restored();
        });
        let (mut unchanged, walked) = found.into_inner();
        // what the index says only where the snapshot had every run of them
        unchanged.retain(|folder| self.index(|index| index.is_complete(folder.project())));
        let walked = walked
            .into_iter()
            .map(|(project, walk)| (project, Ahead::Walked(walk)));
        let differing = self.compare(&unchanged);
        let compared = unchanged
            .iter()
            .zip(differing)
            .map(|(folder, differing)| (folder.project().clone(), Ahead::Compared(differing)));
        walked.chain(compared).collect()
    }

    /// The runs in each of `folders` that are not as the index has them. Nothing is listed or looked
    /// up: the folders have the names that are known.
    fn compare(&self, folders: &[Folder]) -> Vec<Vec<(RunKey, bool)>> {
        let projects: Vec<ProjectId> = folders.iter().map(Folder::project).cloned().collect();
        let all: Vec<Mutex<Vec<_>>> = projects.iter().map(|_| Mutex::default()).collect();
        let parts = self.index(Index::parts);
        (0..parts).into_par_iter().for_each(|part| {
            // the index is not held while the files are asked for
            let (mut ids, mut runs) = (String::new(), Vec::new());
            self.index(|index| {
                index.each_stamp(part, &projects, |which, id, before| {
                    ids.push_str(id);
                    runs.push((which, ids.len(), before));
                });
            });
            let mut differing = vec![Vec::new(); projects.len()];
            let mut begin = 0;
            for (which, end, before) in runs {
                let id = ids.get(begin..end).unwrap_or_default();
                begin = end;
                if let (Some(folder), Some(differing)) =
                    (folders.get(which), differing.get_mut(which))
                {
                    compare(folder, id, before, differing);
                }
            }
            for (all, differing) in all.iter().zip(differing) {
                if !differing.is_empty() {
                    all.lock().extend(differing);
                }
            }
        });
        let of_folder = |(folder, all): (&Folder, Mutex<Vec<_>>)| {
            let mut differing = all.into_inner();
            for (id, before) in self.index(|index| index.unlisted_of(folder.project())) {
                compare(folder, id.as_str(), Some(before), &mut differing);
            }
            differing
        };
        folders.iter().zip(all).map(of_folder).collect()
    }

    /// The folders of those of `complete` that are among `projects` and have the names that they had.
    fn unchanged(
        &self,
        projects: &[ProjectId],
        mut complete: Vec<(ProjectId, Stamp)>,
    ) -> Vec<Folder> {
        let there: HashSet<&ProjectId> = projects.iter().collect();
        complete.retain(|(project, _)| there.contains(project));
        let unchanged = complete
            .iter()
            .filter_map(|(project, stamp)| self.store.folder_as_listed(project, stamp));
        unchanged.collect()
    }

    /// Walks some of `projects`, until the snapshot that they will be compared with is there.
    fn walk_ahead<'a>(
        &self,
        projects: impl Iterator<Item = &'a ProjectId>,
        now: Moment,
        restored: &AtomicBool,
    ) -> HashMap<ProjectId, Walk> {
        let (mut ahead, mut walked) = (HashMap::new(), 0);
        for project in projects {
            if walked >= WALKED_AHEAD || restored.load(Ordering::Acquire) {
                break;
            }
            // what cannot be read is walked again, and told then
            let Ok(walk) = self.store.walk(project, now.wall, true) else {
                continue;
            };
            walked += walk.runs.len();
            ahead.insert(project.clone(), walk);
        }
        ahead
    }

    /// Reads what the first index still lacks: this thread lists, the others read what it has
    /// listed. Returns whether there was anything.
    pub fn first_step(&self) -> bool {
        let room = Room::new();
        let mut any = false;
        let uncounted = {
            let first = self.first.lock();
            first.unlisted.is_none().then(|| first.unfinished.clone())
        };
        rayon::in_place_scope(|scope| {
            if let Some(projects) = uncounted {
                scope.spawn(|_| self.count_ahead(projects));
            }
            let mut listed = Vec::new();
            while !self.ending.load(Ordering::Acquire) && self.first_choose(&mut listed) {
                any = true;
                let Some(Listed { project, runs, .. }) = listed.last_mut() else {
                    break;
                };
                let part: Vec<_> = runs.by_ref().take(self.part()).collect();
                if part.is_empty() {
                    listed.pop();
                    continue;
                }
                let (project, place) = (project.clone(), room.take(part.len()));
                scope.spawn(move |_| {
                    self.look_at_runs(part, Moment::now());
                    self.first_read(&project, place.leave());
                });
                // what changes meanwhile does not wait for the rest
                self.pass(Moment::now());
            }
        });
        if any {
            return true;
        }
        // where there was no project
        let first = self.first.lock();
        self.progress
            .send_if_modified(|progress| first.turns_ready(progress));
        false
    }

    /// Counts the files of the projects that are still to be listed, so that those who watch see how much
    /// all of it is.
    fn count_ahead(&self, projects: HashSet<ProjectId>) {
        let count = |project: ProjectId| {
            // of what is known, few files are read again
            let known = self.index(|index| index.files_of(&project)) > 0;
            let count = match known {
                true => 1,
                false => self.store.entries(&project),
            };
            (project, count)
        };
        let counts = projects.into_iter().map(count).collect();
        self.first.lock().counted(counts);
    }

    /// Makes the project to go on with the last of `listed`, those that are waited for in their order;
    /// false if there is none.
    fn first_choose(&self, listed: &mut Vec<Listed>) -> bool {
        let (next, wanted) = {
            let mut first = self.first.lock();
            loop {
                let Some(wanted) = first.wanted.pop_front() else {
                    let next = listed.is_empty().then(|| first.unqueue(0));
                    break (next.flatten(), false);
                };
                // first, as what is left of an earlier list may be there as well
                if let Some(at) = first.queue.iter().position(|queued| queued == &wanted) {
                    break (first.unqueue(at), true);
                }
                if let Some(at) = listed.iter().position(|one| one.project == wanted) {
                    if !listed.get(at).is_some_and(|one| one.wanted) {
                        let one = listed.remove(at);
                        put(
                            listed,
                            Listed {
                                wanted: true,
                                ..one
                            },
                        );
                    }
                    break (None, true);
                }
            }
        };
        if let Some(project) = next {
            let (project, runs) = self.first_list(project);
            let one = Listed {
                project,
                runs,
                wanted,
            };
            put(listed, one);
        }
        !listed.is_empty()
    }

    fn first_list(&self, project: ProjectId) -> (ProjectId, std::vec::IntoIter<(RunKey, bool)>) {
        let began = Instant::now();
        // before the runs, which so come with what is noted on them
        self.look_at_annotations(&project, None, Moment::now());
        let mut ahead = self.first.lock().ahead.remove(&project);
        let (differing, names) = loop {
            match self.differing(&project, ahead.take(), Moment::now()) {
                Ok(found) => break found,
                // nor of the project before it is known what is in it
                Err(_) if self.may_wait() => {}
                Err(_) => break (Vec::new(), None),
            }
        };
        self.costs.lock().note(&project, began.elapsed());
        let found = differing.len();
        {
            let mut first = self.first.lock();
            first.lists(&project, found);
            first
                .names
                .extend(names.map(|names| (project.clone(), names)));
            self.progress
                .send_modify(|progress| progress.total += found);
        }
        self.first_read(&project, 0);
        (project, differing.into_iter())
    }

    /// `count` more files of a project are read.
    fn first_read(&self, project: &ProjectId, count: usize) {
        // held until all is told: who sees that a project is whole sees the progress as well
        let mut first = self.first.lock();
        let whole = first.read(project, count);
        if whole && let Some(names) = first.names.remove(project) {
            names.note(project, &mut self.index.write());
        }
        self.progress.send_if_modified(|progress| {
            let batches = progress.done / BATCH;
            progress.done += count;
            let percentage = first.percentage(progress.done, progress.total);
            // nobody wants to be told of every part
            let news = whole || percentage > progress.percentage || progress.done / BATCH > batches;
            progress.percentage = progress.percentage.max(percentage);
            first.turns_ready(progress) || news
        });
    }

    /// How far the first index has come, and every step from there.
    pub fn progress(&self) -> tokio::sync::watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Whether the first index has a project, or everything.
    pub fn is_ready(&self, project: Option<&ProjectId>) -> bool {
        self.first.lock().ready(project)
    }

    /// Returns when what was known before this start is known again. What is changed sooner would be
    /// forgotten: the index is another one then.
    pub async fn restored(&self) {
        let mut progress = self.progress.subscribe();
        while !self.first.lock().restored {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets those go on who wait in [`History::restored`]: whatever is still to be compared.
    fn note_restored(&self) {
        self.first.lock().restored = true;
        self.progress.send_modify(|_| {});
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::Options;
    use super::super::tests::{assert_as_scanned, until_old, with_cache};
    use super::*;
    use crate::store::tests::steps::before_opening;
    use crate::watch::{Hint, NotifyWatcher};

    #[test]
    fn no_more_is_handed_out_than_is_read_in_a_moment() {
        let second = Duration::from_secs(1);
        // 100, 20,000 and a million files a second
        assert_eq!(ahead(100, second, 2), 2 * AHEAD_MIN);
        assert_eq!(ahead(100, second, 64), 64 * AHEAD_MIN);
        assert_eq!(ahead(20_000, second, 2), 2_000);
        assert_eq!(ahead(1_000_000, second, 2), AHEAD);
        assert_eq!(ahead(0, Duration::ZERO, 2), 2 * AHEAD_MIN);
        assert_eq!(ahead(100, Duration::from_micros(100), 2), 2 * AHEAD_MIN);
    }

    /// Nothing is listed that is far from being read: who asks then would come after it.
    #[test]
    fn what_is_listed_waits_for_what_is_read() {
        const RUNS: usize = 512;
        let threads = rayon::current_num_threads();
        let root = tempfile::tempdir().unwrap();
        for project in 0..8 {
            let folder = root.path().join(format!("p{project}/executions"));
            std::fs::create_dir_all(&folder).unwrap();
            for run in 0..RUNS {
                std::fs::write(folder.join(format!("{run}.json")), "{}").unwrap();
            }
        }
        let history = History::new(root.path().to_owned(), Options::default());
        history.begin(Moment::now());
        std::thread::scope(|scope| {
            scope.spawn(|| while history.first_step() {});
            while !history.is_ready(None) {
                let Progress { done, total, .. } = *history.progress().borrow();
                // of one project, what is handed out, and what each thread is about to tell
                let ahead = RUNS + AHEAD_MIN + 3 * AHEAD_MIN * threads;
                assert!(total <= 2 * done + ahead, "{done} of {total}");
                std::thread::yield_now();
            }
        });
        assert_eq!(history.progress().borrow().done, 8 * RUNS);
    }

    #[test]
    fn who_waits_comes_first_and_in_turn() {
        let one = |name: &str, wanted| Listed {
            project: ProjectId::parse(name).unwrap(),
            runs: Vec::new().into_iter(),
            wanted,
        };
        let mut listed = Vec::new();
        for (name, wanted) in [("a", false), ("b", true), ("c", true), ("d", true)] {
            put(&mut listed, one(name, wanted));
        }
        let order: Vec<_> = std::iter::from_fn(|| listed.pop())
            .map(|one| one.project.to_string())
            .collect();
        assert_eq!(order, ["b", "c", "d", "a"]);
    }

    /// When a project's folder is replaced by another one.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum When {
        /// After the projects were found, and perhaps looked at ahead.
        Found,
        /// After it was listed, and so many parts of it were read.
        Read(usize),
        /// While this part is read, before the file with this number in it is.
        Reads(usize, u32),
    }

    /// How it is replaced.
    type Replace = fn(&Path, &History);

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
    }

    /// Looks at what the events that were heard tell of.
    fn hear(history: &History, hints: &[Hint]) {
        let mut now = Moment::now();
        for hint in hints {
            history.hint(hint.clone(), now.instant);
        }
        // what is not believed at first is looked at once more
        for _ in 0..3 {
            while history.pass(now) {}
            now.instant += Duration::from_secs(1);
        }
    }

    /// As [`History::first_step`], but one part after the other. Whether it came to `when`.
    fn steps(
        history: &Arc<History>,
        when: When,
        replace: impl FnOnce() + Clone + Send + 'static,
    ) -> bool {
        const PART: usize = 16;
        let (mut listed, mut parts, mut done) = (Vec::new(), 0, false);
        while history.first_choose(&mut listed) {
            let Listed { project, runs, .. } = listed.last_mut().unwrap();
            if project.as_str() == "p" && !done && when == When::Read(parts) {
                done = true;
                replace.clone()();
            }
            let part: Vec<_> = runs.by_ref().take(PART).collect();
            if part.is_empty() {
                listed.pop();
                continue;
            }
            let count = part.len();
            let look = || history.look_at_runs(part, Moment::now());
            match when {
                When::Reads(which, file) if project.as_str() == "p" && which == parts && !done => {
                    done = true;
                    let replace = replace.clone();
                    // the keeper is another thread than those that read
                    let happens = || std::thread::spawn(replace).join().unwrap();
                    before_opening(file, happens, look);
                }
                _ => look(),
            }
            parts += usize::from(project.as_str() == "p");
            history.first_read(project, count);
        }
        done
    }

    /// House rule: events are hints, files are truth, also while the index is made. Whatever was found,
    /// listed or read of a project before its folder became another one, the index is ready with what is
    /// there now, and was not made twice.
    #[test]
    fn a_project_that_is_replaced_during_the_start_is_taken_in_as_it_is() {
        const RUNS: usize = 40;
        let replaces: [(&str, Replace); 5] = [
            ("project", |root, history| {
                fs::rename(root.join("p"), root.join(".away")).unwrap();
                fs::rename(root.join("q"), root.join("p")).unwrap();
                hear(history, &[Hint::Root]);
            }),
            ("swapped", |root, history| {
                fs::rename(root.join("p"), root.join(".away")).unwrap();
                fs::rename(root.join("q"), root.join("p")).unwrap();
                fs::rename(root.join(".away"), root.join("q")).unwrap();
                hear(history, &[Hint::Root]);
            }),
            ("executions", |root, history| {
                let (of_p, of_q) = (root.join("p/executions"), root.join("q/executions"));
                fs::rename(&of_p, root.join(".away")).unwrap();
                fs::rename(of_q, of_p).unwrap();
                hear(
                    history,
                    &["p", "q"].map(|name| Hint::Project(project(name))),
                );
            }),
            ("gone", |root, history| {
                fs::rename(root.join("p"), root.join(".away")).unwrap();
                hear(history, &[Hint::Root]);
            }),
            ("back", |root, history| {
                // what is looked at between does not count in the end
                fs::rename(root.join("p"), root.join(".away")).unwrap();
                std::os::unix::fs::symlink(root.join(".away"), root.join("p")).unwrap();
                hear(history, &[Hint::Root]);
                fs::remove_file(root.join("p")).unwrap();
                fs::rename(root.join(".away"), root.join("p")).unwrap();
                hear(history, &[Hint::Root]);
            }),
        ];
        let whens = [
            When::Found,
            When::Read(0),
            When::Read(1),
            When::Reads(0, 5),
            When::Reads(0, 15),
            When::Read(3),
        ];
        // a start without a snapshot, with one whose folders have the names that they had, with one that
        // knows fewer runs, and the same where the folder was listed ahead
        let cold_and_warm = ["cold", "same", "more", "walked"];
        for (name, replace) in replaces {
            for when in whens {
                for kind in cold_and_warm {
                    replaced(RUNS, kind, when, replace, name);
                }
            }
        }
    }

    fn replaced(runs: usize, kind: &str, when: When, replace: Replace, name: &str) {
        let case = format!("{kind}, {when:?}, {name}");
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("projects");
        let cache = folder.path().join("cache");
        let write = |project: &str, run: usize| {
            let folder = root.join(project).join("executions");
            fs::create_dir_all(&folder).unwrap();
            let text = format!("{{\"status\":\"{project}\",\"x\":{run}}}");
            fs::write(folder.join(format!("run-{run}.json")), text).unwrap();
        };
        if kind != "cold" {
            (0..4).for_each(|run| write("p", run));
            (3..6).for_each(|run| write("q", run));
            until_old(&root);
            let first = with_cache(&root, &cache);
            first.begin(Moment::now());
            while first.first_step() {}
            assert!(first.write_snapshot(None));
        }
        if kind != "same" {
            // none that is known: who looks waits for what is being read
            let known = if kind == "cold" { 0 } else { 4 };
            (known..runs).for_each(|run| write("p", run));
            (runs - 2..runs + 3).for_each(|run| write("q", run));
        }
        let history = Arc::new(with_cache(&root, &cache));
        // it watches; what it hears is told by hand
        let watcher = NotifyWatcher::start(&root, |_| {}).unwrap();
        history.watch_with(Arc::new(watcher));
        history.begin(Moment::now());
        if kind == "walked" {
            for name in ["p", "q"] {
                let id = project(name);
                let walk = history.store.walk(&id, Moment::now().wall, true).unwrap();
                history.first.lock().ahead.insert(id, Ahead::Walked(walk));
            }
        }
        hear(&history, &[]);
        let replace = {
            let (root, history) = (root.clone(), Arc::clone(&history));
            move || replace(&root, &history)
        };
        let came = match when {
            When::Found => {
                replace();
                !steps(&history, when, || ())
            }
            _ => steps(&history, when, replace),
        };
        assert!(came || kind == "same", "{case}");
        assert!(history.is_ready(None), "{case}");
        if came {
            assert_as_scanned(&history, &root, &case);
        }
        // and nothing else was left to do
        let reads = history.files_read();
        assert!(!history.first_step(), "{case}");
        assert_eq!(history.files_read(), reads, "{case}");
    }
}
