//! Looking: comparing files with the index and taking in what differs.
//!
//! The second and fourth way through the house. A look at one run reads its file; a look at a
//! project compares the stamps of its files and reads those that differ; a look at the root
//! compares the set of projects. Whatever caused a look, its outcome depends on the files alone.
//!
//! A listed run that is missing or unreadable is looked at again after [`MOMENT`] before that is
//! believed: in-place writes and backup-and-rename leave such states for an instant. One that is no
//! whole record is looked at again until it has been [`STILL`], unless somebody waits for what it
//! shows: `jq … > run.json` takes its time.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use rayon::prelude::*;

use super::costs::read_in_vain;
use super::pace::Pace;
use super::start::Ahead;
use super::{History, Moment};
use crate::index::{Clock, Index, Report};
use crate::model::layout::{EXECUTIONS, SUFFIX};
use crate::model::{
    ExecutionId, Facts, Finding, Millis, ProblemKind, ProjectId, RunKey, Seen, Stamp,
};
use crate::store::{
    Folder, Problem, ReadError, StoreError, Swept, is_racy, is_short, own_part, settles_after,
};
use crate::watch::{Mark, Taken};

/// How long a file may be missing or unreadable before that is believed.
pub(super) const MOMENT: Duration = Duration::from_millis(50);
/// How long a file that is no whole record has not been written to, if nobody is writing it.
const STILL: Duration = Duration::from_secs(1);
/// How soon such a file is looked at again, …
pub(super) const STILL_LOOKED_AT: Duration = Duration::from_millis(100);
/// … and how often, as somebody may be writing it for ever.
const STILL_TRIED: u8 = 30;
/// How soon the system may have what it was short of.
pub(crate) const LATER: Duration = Duration::from_millis(500);
/// How soon a disk or a server may be well again that has just failed.
const WELL_AGAIN: Duration = Duration::from_secs(1);
/// How soon the root may be open again that may not be entered; of the folders above it nobody tells.
const OPEN_AGAIN: Duration = Duration::from_secs(10);
/// How soon more projects may be gone where some are.
const GOING_ON: Duration = Duration::from_millis(250);
/// How many runs are looked at before somebody else has a turn.
pub(super) const BATCH: usize = 2048;
/// How many runs a thread reads and takes in at a time; bounds how long readers wait for the index.
const PART: usize = 128;
/// Taking runs in costs a little for each run that is known already (the orders' tails move), so
/// a part is at least this part of them, …
const PART_OF_KNOWN: usize = 1024;
/// … but never more than this.
const PART_MAX: usize = 1024;
/// How many runs are compared with the index at a time.
const COMPARED: usize = 4096;
/// From how many runs on a folder is opened once for all of them.
const MANY: usize = 8;

/// A file whose times are further ahead than this is not waited for.
const RACY_AT_MOST: Duration = Duration::from_secs(1);

/// A run to look at, on whose behalf, and whether to believe what is seen.
struct Look<'a> {
    key: RunKey,
    taken: Option<&'a Taken>,
    believe: bool,
    /// Whether its folder was listed just now and has it as a regular file, if it has it.
    listed: bool,
}

/// What tells later, without listing a project's folder, that it has the same names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    stamp: Stamp,
    files: usize,
}

impl Names {
    /// Notes it, after all these files were taken in.
    pub(super) fn note(self, project: &ProjectId, index: &mut Index) {
        index.note_complete(project, self.stamp, self.files);
    }
}

/// What a file showed.
enum Sight {
    Seen(Box<Seen>),
    Missing,
    Bad(ProblemKind, Option<BadStamp>),
    /// A disk or a server failed, and nobody tells when it is well again.
    Failing,
    /// The system has nothing to read it with now.
    Later,
    /// A folder on the way to it may not be entered, which does not say that it is gone; when it may
    /// be, all that is below it is looked at.
    Closed,
}

/// The stamp of a file that shows no record, as it was before the file was read, and whether it proves
/// as little as that of a record may.
struct BadStamp {
    stamp: Stamp,
    racy: bool,
}

/// What is wrong inside a record that is listed all the same.
pub(super) fn kinds_of(facts: &Facts) -> Vec<ProblemKind> {
    facts
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::IdMismatch => ProblemKind::IdMismatch,
            Finding::ProjectMismatch => ProblemKind::ProjectMismatch,
            Finding::BadCost => ProblemKind::InvalidCost,
            Finding::BadDate => ProblemKind::InvalidDate,
        })
        .collect()
}

/// How many paths' findings are noted while others wait.
const NOTED_AT_ONCE: usize = 128;

impl History {
    /// Looks at what is due, at most a batch of it. Returns whether there was anything.
    pub fn pass(&self, now: Moment) -> bool {
        let due = self.dirty.lock().take(now.instant, BATCH);
        if due.is_empty() {
            return false;
        }
        let (mut runs, mut swept) = (Vec::new(), HashSet::new());
        for taken in &due {
            tracing::debug!(mark = ?taken.mark, attempt = taken.attempt, "looking");
            match &taken.mark {
                Mark::Run(key) => runs.push(Look {
                    key: key.clone(),
                    taken: Some(taken),
                    believe: taken.attempt > 0,
                    listed: false,
                }),
                // in the order of the marks: what was hinted first is looked at first
                other => {
                    self.settle(std::mem::take(&mut runs), now);
                    match other {
                        Mark::Project(id) => self.look_at(id, Some(taken), taken.attempt > 0, now),
                        Mark::Annotation(key) => {
                            self.look_at_annotation(key, Some(taken), &mut swept, now);
                        }
                        Mark::Annotations(id) => {
                            // watched first, then read
                            let watcher = self.watcher();
                            if watcher.is_some_and(|watcher| watcher.follow(id)) {
                                self.look_at(id, Some(taken), false, now);
                            } else {
                                self.look_at_annotations(id, Some(taken), now);
                            }
                        }
                        Mark::Everything => self.look_at_root(true, taken, now),
                        _ => self.look_at_root(false, taken, now),
                    }
                }
            }
        }
        self.settle(runs, now);
        let mut dirty = self.dirty.lock();
        for taken in &due {
            dirty.done(taken);
        }
        drop(dirty);
        self.looked.send_modify(|count| *count += 1);
        true
    }

    /// Compares the projects' folders with what is known of them; `all` looks into every one.
    fn look_at_root(&self, all: bool, taken: &Taken, now: Moment) {
        let began = Instant::now();
        let watcher = self.watcher();
        if let Some(watcher) = &watcher {
            watcher.follow_root();
        }
        let found = match self.store.projects() {
            Ok(found) => found,
            Err(StoreError::Io { source, .. }) if is_short(&source) => {
                return self.look_later(Some(taken), taken.mark.clone(), now);
            }
            Err(error) => {
                // it is polled then, and said once
                if !self.root_unreadable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the root cannot be read");
                }
                return;
            }
        };
        self.root_unreadable.store(false, Ordering::Relaxed);
        let is_closed =
            |found: &Problem| found.path == "." && found.kind == ProblemKind::Unreadable;
        let closed = found.problems.iter().any(is_closed);
        let all = self.closed.swap(closed, Ordering::Relaxed) && !closed || all;
        if all {
            self.shortage_told.store(false, Ordering::Relaxed);
        }
        let fresh = watcher.map_or_else(Vec::new, |watcher| watcher.follow_all(&found.projects));
        let known: HashSet<ProjectId> =
            self.index(|index| index.project_ids().into_iter().collect());
        let there: HashSet<&ProjectId> = found.projects.iter().collect();
        self.costs.lock().retain(|id| there.contains(id));
        let gone = known.iter().filter(|id| !there.contains(id));
        let mut todo: Vec<&ProjectId> = gone.collect();
        let go = todo.len();
        let go_on = self.projects_gone.swap(go, Ordering::Relaxed) != go && go > 0;
        if all {
            todo.extend(&found.projects);
        } else {
            let fresh: HashSet<&ProjectId> = fresh.iter().collect();
            let mut first = self.first.lock();
            first.ahead.retain(|id, _| there.contains(id));
            todo.extend(found.projects.iter().filter(|id| {
                let replaced = fresh.contains(id);
                // what the first index has still to come to, it comes to in its own order
                let awaited = first.awaits(id);
                if replaced && awaited {
                    first.outdate(id);
                }
                (replaced || !known.contains(*id)) && !awaited
            }));
        }
        {
            let mut dirty = self.dirty.lock();
            for id in todo {
                dirty.follow_up(taken, Mark::Project(id.clone()), now.instant);
            }
            if go_on {
                // where thousands go the events come late: each costs notify a walk over all watches
                dirty.mark_quietly(Mark::Root, now.instant + GOING_ON);
            }
            if closed {
                dirty.mark_quietly(Mark::Root, now.instant + OPEN_AGAIN);
            }
        }
        self.note_folder_problems(None, &found.problems, now);
        if all {
            self.costs.lock().note_everything(began, began.elapsed());
        }
    }

    /// Makes the folder-level findings equal to `found`: those of `project`, or of the root.
    fn note_folder_problems(&self, project: Option<&ProjectId>, found: &[Problem], now: Moment) {
        const OF_ENTRIES: [ProblemKind; 3] = [
            ProblemKind::NotRegular,
            ProblemKind::InvalidName,
            ProblemKind::AbandonedTemporary,
        ];
        let mut kinds: HashMap<&str, Vec<ProblemKind>> = HashMap::new();
        for Problem { path, kind } in found {
            kinds.entry(path).or_default().push(*kind);
        }
        let below = project.map_or(String::new(), |project| format!("{project}/"));
        let folders = match project {
            Some(project) => vec![project.to_string(), format!("{project}/{EXECUTIONS}")],
            None => vec![".".to_owned()],
        };
        let mut gone = self.problem_paths(&below, &OF_ENTRIES);
        gone.retain(|path| match project {
            // what is ours is looked at by itself
            Some(_) => own_part(path).is_none(),
            None => !path.contains('/'),
        });
        gone.extend(folders);
        gone.retain(|path| !kinds.contains_key(path.as_str()));
        let gone = gone.iter().map(|path| (path.as_str(), Vec::new()));
        let all: Vec<(&str, Vec<ProblemKind>)> = gone.chain(kinds).collect();
        for some in all.chunks(NOTED_AT_ONCE) {
            let mut index = self.index.write();
            for (path, kinds) in some {
                let of_entry =
                    path.ends_with(SUFFIX) && index.problems.has(path, ProblemKind::Unreadable);
                if !kinds.is_empty() || !of_entry {
                    index.note_problems(path, kinds, now.millis());
                }
            }
        }
    }

    /// The paths below `below` that have a finding of one of these kinds.
    pub(super) fn problem_paths(&self, below: &str, kinds: &[ProblemKind]) -> Vec<String> {
        let (mut all, mut next) = (Vec::new(), Some(String::new()));
        while let Some(from) = next {
            let some;
            (some, next) = self.index(|index| index.problems.paths(below, kinds, &from));
            all.extend(some);
        }
        all
    }

    /// Watches a project's folders anew if they are others than before, and then looks at it.
    pub(super) fn look_if_new(&self, project: &ProjectId) {
        self.while_others_wait(project, |taken| {
            let watcher = self.watcher();
            let is_new = watcher.is_some_and(|watcher| watcher.follow(project));
            if is_new {
                self.look_at(project, Some(taken), true, Moment::now());
            }
            is_new
        });
    }

    /// Looks at a project on behalf of a caller who believes what the files show now.
    pub(super) fn look_at_project(&self, project: &ProjectId, now: Moment) {
        self.while_others_wait(project, |taken| {
            self.look_at(project, Some(taken), true, now);
            true
        });
    }

    /// Who syncs meanwhile waits for the look, because it may be the first to see what was done
    /// before the project was watched. It says whether it has looked.
    fn while_others_wait(&self, project: &ProjectId, look: impl FnOnce(&Taken) -> bool) {
        let mark = Mark::Project(project.clone());
        let taken = self.dirty.lock().begin(mark.clone());
        let looked = look(&taken);
        self.note_dirty(|dirty| {
            // what it took in may come from a folder that was moved meanwhile, which the keeper may
            // have compared before anything of it was known
            if looked {
                dirty.follow_up(&taken, mark, Instant::now());
            }
            dirty.done(&taken);
        });
        self.looked.send_modify(|count| *count += 1);
    }

    /// Compares the stamps of a project's files with the index and looks at those that differ.
    fn look_at(&self, project: &ProjectId, taken: Option<&Taken>, believe: bool, now: Moment) {
        let began = Instant::now();
        // watched first, then read: what comes between is hinted
        if let Some(watcher) = self.watcher() {
            watcher.follow(project);
        }
        self.look_at_annotations(project, taken, now);
        self.first.lock().outdate(project);
        let Ok((differing, names)) = self.differing(project, None, now) else {
            return self.look_later(taken, Mark::Project(project.clone()), now);
        };
        let compared = began.elapsed();
        self.costs.lock().note(project, compared);
        let certain = believe || differing.is_empty();
        let (found, before) = (differing.len(), self.index(Index::revision));
        let mut looks = differing.into_iter().map(|(key, listed)| Look {
            key,
            taken,
            believe,
            listed,
        });
        while self.settle_some(&mut looks, now) > 0 {}
        let changed = self.index(Index::revision).saturating_sub(before);
        let in_vain = read_in_vain(began.elapsed() - compared, found, changed);
        self.costs.lock().note(project, compared + in_vain);
        if certain && let Some(names) = names {
            names.note(project, &mut self.index.write());
        }
    }

    /// Looks at runs and believes what their files show; [`History::part`] says at how many.
    pub(super) fn look_at_runs(&self, runs: Vec<(RunKey, bool)>, now: Moment) {
        let look = |(key, listed)| Look {
            key,
            taken: None,
            believe: true,
            listed,
        };
        self.settle_part(runs.into_iter().map(look).collect(), now);
    }

    fn settle_some<'a>(&self, looks: &mut impl Iterator<Item = Look<'a>>, now: Moment) -> usize {
        let batch: Vec<_> = looks.take(BATCH).collect();
        let count = batch.len();
        self.settle(batch, now);
        count
    }

    /// Looks again when the system may have what it is short of; who waits for `taken` waits on.
    pub(super) fn look_later(&self, taken: Option<&Taken>, mark: Mark, now: Moment) {
        self.tell_shortage();
        self.note_dirty(|dirty| match taken {
            Some(taken) => dirty.again(taken, mark, now.instant + LATER),
            None => dirty.mark(mark, now.instant + LATER),
        });
    }

    /// Says what is waited for, once until everything is compared again.
    pub(super) fn tell_shortage(&self) {
        if !self.shortage_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the system is short of open files (ulimit -n) or memory; what cannot be read for \
                 that is waited for"
            );
        }
    }

    /// The runs of a project whose files are not as the index has them, each with whether its
    /// folder has it as a regular file, and the names to note when they are all taken in. `ahead`
    /// is what was found of it before.
    ///
    /// # Errors
    /// Where the system is short of what it takes to see that.
    #[allow(clippy::type_complexity)] // the runs are most of it
    pub(super) fn differing(
        &self,
        project: &ProjectId,
        ahead: Option<Ahead>,
        now: Moment,
    ) -> Result<(Vec<(RunKey, bool)>, Option<Names>), StoreError> {
        let ahead = match ahead {
            Some(Ahead::Compared(differing)) => return Ok((differing, None)),
            Some(Ahead::Walked(walk)) => Some(walk),
            None => None,
        };
        // of a project that nothing is known of, every run is read
        let stamps = self.index(|index| index.files_of(project)) > 0;
        let walk = match ahead.map_or_else(|| self.store.walk(project, now.wall, stamps), Ok) {
            Ok(walk) => walk,
            Err(StoreError::Io { path, source }) if is_short(&source) => {
                return Err(StoreError::Io { path, source });
            }
            Err(error) => {
                tracing::warn!(%error, "a project cannot be read");
                return Ok((Vec::new(), None));
            }
        };
        // what an earlier daemon left when it died
        if !walk.temporaries.is_empty() && self.first.lock().awaits(project) {
            note_unswept(&self.store.sweep_temporaries(project, &walk.temporaries));
        }
        let (mut differing, mut known) = (Vec::new(), 0);
        if stamps {
            // in parts: whoever waits to change the index makes all who come after him wait
            let parts = walk.runs.par_chunks(COMPARED);
            let compared: Vec<_> = parts
                .map(|part| self.index(|index| index.differing(project, part)))
                .collect();
            for (found, held) in compared {
                differing.extend(found.into_iter().map(|key| (key, true)));
                known += held;
            }
        } else {
            let key = |execution: &ExecutionId| RunKey {
                project: project.clone(),
                execution: execution.clone(),
            };
            differing.reserve_exact(walk.runs.len());
            differing.extend(
                walk.runs
                    .iter()
                    .map(|(execution, _)| (key(execution), true)),
            );
        }
        // a folder that cannot be read does not say that its runs are gone
        let unreadable = walk
            .problems
            .iter()
            .any(|found| found.kind == ProblemKind::Unreadable);
        if !unreadable && known < self.index(|index| index.files_of(project)) {
            let there: HashSet<&ExecutionId> = walk.runs.iter().map(|(run, _)| run).collect();
            let (listed, unlisted) =
                self.index(|index| (index.runs_of(project), index.unlisted_of(project)));
            let unlisted = unlisted.into_iter().map(|(execution, _)| execution);
            let gone = listed.into_iter().chain(unlisted);
            differing.extend(gone.filter(|id| !there.contains(id)).map(|execution| {
                let project = project.clone();
                (RunKey { project, execution }, false)
            }));
        }
        // as they are listed, nearly: so they are read, and taken in, at least cost
        differing.par_sort_unstable_by(|(a, _), (b, _)| a.execution.cmp(&b.execution));
        self.index
            .write()
            .note_project(project, walk.exists, walk.listed);
        self.note_folder_problems(Some(project), &walk.problems, now);
        let names = walk.listed.map(|stamp| Names {
            stamp,
            files: walk.runs.len(),
        });
        // whoever has time frees what many runs were called
        rayon::spawn(move || drop(walk));
        Ok((differing, names))
    }

    /// How many runs a thread should read and take in at a time.
    pub(super) fn part(&self) -> usize {
        (self.index(Index::runs) / PART_OF_KNOWN).clamp(PART, PART_MAX)
    }

    /// Reads runs and takes in what they are, each under its path's lock. Many are shared by the
    /// threads there are: one reads while another takes in.
    fn settle(&self, looks: Vec<Look<'_>>, now: Moment) {
        let part = self.part();
        if looks.len() <= part {
            return self.settle_part(looks, now);
        }
        let mut looks = looks.into_iter();
        let parts = std::iter::from_fn(|| {
            let part: Vec<_> = looks.by_ref().take(part).collect();
            (!part.is_empty()).then_some(part)
        });
        let parts: Vec<_> = parts.collect();
        parts
            .into_par_iter()
            .for_each(|part| self.settle_part(part, now));
    }

    fn settle_part(&self, looks: Vec<Look<'_>>, now: Moment) {
        let mut rest = looks;
        while !rest.is_empty() {
            let (guard, mine, others) = self.locks.lock_free(rest, |look| &look.key);
            rest = others;
            let many = mine.len() >= MANY;
            // one at a time: there may be as many projects as runs, and not as many descriptors
            let mut open: Option<(&ProjectId, Option<Folder>)> = None;
            let mut pace = Pace::new();
            let mut sights = Vec::with_capacity(mine.len());
            for Look {
                key, taken, listed, ..
            } in &mine
            {
                // nobody lists before the first index is there
                if taken.is_some() {
                    pace.keep();
                }
                let mut folder = None;
                if many && *listed {
                    let held = open.take().filter(|(project, _)| *project == &key.project);
                    let held = held.unwrap_or_else(|| {
                        let folder = self.store.folder(&key.project);
                        (&key.project, folder.ok().flatten())
                    });
                    folder = open.insert(held).1.as_ref();
                }
                sights.push(self.see(key, folder));
            }
            drop(open);
            let clock = self.take_in(mine, sights, now);
            drop(guard);
            self.tell(clock.tick);
        }
    }

    /// Looks at runs whose locks the caller holds, and believes what their files show; the state
    /// that has it is still to be told.
    pub(super) fn look_at_held(&self, runs: Vec<RunKey>, now: Moment) -> Clock {
        let mut pace = Pace::new();
        let see = |key| {
            pace.keep();
            self.see(key, None)
        };
        let sights = runs.iter().map(see).collect();
        let look = |key| Look {
            key,
            taken: None,
            believe: true,
            listed: false,
        };
        self.take_in(runs.into_iter().map(look).collect(), sights, now)
    }

    fn take_in(&self, looks: Vec<Look<'_>>, sights: Vec<Sight>, now: Moment) -> Clock {
        let (changes, problems) = self.judge(looks, sights, now);
        let mut index = self.index.write();
        for (key, kinds) in problems {
            index.note_problems_of(&key, &kinds, now.millis());
        }
        index.apply(changes);
        index.clock()
    }

    /// Reads a run's file, from its folder if that is open already.
    fn see(&self, key: &RunKey, folder: Option<&Folder>) -> Sight {
        let scan = || {
            self.reads.fetch_add(1, Ordering::Relaxed);
            match folder {
                Some(folder) => folder.scan_listed(key),
                None => self.store.scan(key),
            }
        };
        let mut stamp = None;
        loop {
            match scan() {
                Err(ReadError::Io { source, .. }) if is_short(&source) => {
                    self.tell_shortage();
                    return Sight::Later;
                }
                Err(ReadError::Io { path, source })
                    if is_folder(&path) && source.kind() == io::ErrorKind::PermissionDenied =>
                {
                    return Sight::Closed;
                }
                // whoever may not read it now may later, and its stamp need not tell
                Err(ReadError::Io { source, .. }) if stamp.is_some() => {
                    return match source.kind() {
                        io::ErrorKind::PermissionDenied => {
                            Sight::Bad(ProblemKind::Unreadable, None)
                        }
                        _ => Sight::Failing,
                    };
                }
                Ok(Some(seen)) => return Sight::Seen(Box::new(seen)),
                Ok(None) => return Sight::Missing,
                // its folder is a link, which is told of the folder
                Err(ReadError::NotRegular { path }) if is_folder(&path) => {
                    return Sight::Missing;
                }
                // what is remembered of a file that cannot be read must not be newer than the
                // reading: it is read again after its stamp was taken
                Err(_) if stamp.is_none() => {
                    let before = self.store.stamp(key).ok().flatten();
                    stamp = Some(before.map(|stamp| BadStamp {
                        racy: is_racy(&stamp, SystemTime::now()),
                        stamp,
                    }));
                }
                Err(error) => return Sight::Bad(kind_of(&error), stamp.flatten()),
            }
        }
    }

    /// What to take in of what was seen; what is not believed yet is put back.
    #[allow(clippy::type_complexity)] // two lists made in one walk
    fn judge(
        &self,
        looks: Vec<Look<'_>>,
        sights: Vec<Sight>,
        now: Moment,
    ) -> (Vec<Report>, Vec<(RunKey, Vec<ProblemKind>)>) {
        let is_torn = |sight: &Sight| matches!(sight, Sight::Bad(ProblemKind::Corrupt, Some(_)));
        // whether somebody would miss it; of no interest where what is seen is believed anyway
        let missed = |index: &Index, look: &Look<'_>, sight: &Sight| {
            (!look.believe || is_torn(sight)) && index.contains(&look.key)
        };
        let since = |index: &Index, look: &Look<'_>, sight: &Sight| match sight {
            Sight::Failing => index.unreadable_since(&look.key),
            _ => None,
        };
        let held: Vec<(bool, Option<Millis>)> = self.index(|index| {
            let looks = looks.iter().zip(&sights);
            let held =
                looks.map(|(look, sight)| (missed(index, look, sight), since(index, look, sight)));
            held.collect()
        });
        let (mut changes, mut problems) = (Vec::with_capacity(looks.len()), Vec::new());
        let any_known = self.index(|index| index.problems.count() > 0);
        // read after the files were: a file is racy for so long after its reading
        let read = Instant::now().max(now.instant);
        // of a file of the future (a clock set back) that time never comes; it stays racy, and is read
        // whenever its project is compared
        let soon = Millis::from_system(now.wall + RACY_AT_MOST);
        let soon = soon.0.saturating_mul(1_000_000);
        let settled = |stamp: &Stamp| {
            let settles = stamp.ctime_ns <= soon;
            settles.then(|| read + settles_after(stamp))
        };
        let mut closed = false;
        self.note_dirty(|dirty| {
            for ((look, sight), (listed, since)) in looks.into_iter().zip(sights).zip(held) {
                let Look {
                    key,
                    taken,
                    believe,
                    ..
                } = look;
                match sight {
                    Sight::Seen(seen) => {
                        if seen.racy
                            && let Some(settled) = settled(&seen.stamp)
                        {
                            dirty.mark_quietly(Mark::Run(key.clone()), settled);
                        }
                        if any_known || !seen.facts.findings.is_empty() {
                            problems.push((key.clone(), kinds_of(&seen.facts)));
                        }
                        changes.push(Report::Seen(key, seen));
                    }
                    Sight::Missing if believe || !listed => {
                        problems.push((key.clone(), Vec::new()));
                        changes.push(Report::Gone(key));
                    }
                    Sight::Bad(ProblemKind::Corrupt, Some(bad))
                        if believe && listed && is_being_written(taken, &bad.stamp, now) =>
                    {
                        if let Some(taken) = taken {
                            let again = now.instant + STILL_LOOKED_AT;
                            dirty.again(taken, Mark::Run(key), again);
                        }
                    }
                    Sight::Bad(kind, bad) if believe => {
                        if let Some(bad) = &bad
                            && bad.racy
                            && let Some(settled) = settled(&bad.stamp)
                        {
                            dirty.mark_quietly(Mark::Run(key.clone()), settled);
                        }
                        problems.push((key.clone(), vec![kind]));
                        // what proves nothing is not remembered
                        let proven = bad.filter(|bad| !bad.racy).map(|bad| bad.stamp);
                        changes.push(Report::Unlisted(key, proven));
                    }
                    Sight::Failing if believe || !listed => {
                        // the longer it fails, the longer it is left alone: a failing disk takes its
                        // time over each file
                        let failing = since.map_or(0, |since| now.millis().0 - since.0);
                        let failing = Duration::from_millis(u64::try_from(failing).unwrap_or(0));
                        let most = self.options.reconcile_every.max(WELL_AGAIN);
                        let again = now.instant + failing.clamp(WELL_AGAIN, most);
                        dirty.mark_quietly(Mark::Run(key.clone()), again);
                        problems.push((key.clone(), vec![ProblemKind::Unreadable]));
                        changes.push(Report::Unlisted(key, None));
                    }
                    Sight::Missing | Sight::Bad(..) | Sight::Failing => match taken {
                        Some(taken) => dirty.again(taken, Mark::Run(key), now.instant + MOMENT),
                        None => dirty.mark(Mark::Run(key), now.instant),
                    },
                    // what is known of it is as good as it was
                    Sight::Closed => closed = true,
                    Sight::Later => match taken {
                        Some(taken) => dirty.again(taken, Mark::Run(key), now.instant + LATER),
                        None => dirty.mark(Mark::Run(key), now.instant + LATER),
                    },
                }
            }
        });
        if closed {
            self.closed.store(true, Ordering::Relaxed);
            let rest = self.costs.lock().rest();
            let again = now.instant + WELL_AGAIN;
            self.mark_quietly(Mark::Everything, rest.map_or(again, |rest| again.max(rest)));
        }
        (changes, problems)
    }
}

/// Whether a file may be no whole record only because somebody is writing it.
pub(super) fn is_being_written(taken: Option<&Taken>, stamp: &Stamp, now: Moment) -> bool {
    let changed = i128::from(now.millis().0) * 1_000_000 - i128::from(stamp.ctime_ns);
    let still = u128::try_from(changed).is_ok_and(|changed| changed >= STILL.as_nanos());
    taken.is_some_and(|taken| taken.attempt < STILL_TRIED && !taken.awaited) && !still
}

/// Says what could not be swept.
pub(super) fn note_unswept(swept: &Swept) {
    for failure in &swept.failures {
        tracing::warn!(%failure, "an abandoned file could not be removed");
    }
}

/// Whether what lies at `path` below the root is on the way to runs, and none.
fn is_folder(path: &str) -> bool {
    path.split('/').count() < 3
}

fn kind_of(error: &ReadError) -> ProblemKind {
    match error {
        ReadError::NotRegular { .. } => ProblemKind::NotRegular,
        ReadError::NotAnObject { .. } => ProblemKind::NotAnObject,
        ReadError::Io { .. } => ProblemKind::Unreadable,
        _ => ProblemKind::Corrupt,
    }
}
