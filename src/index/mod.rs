//! What is known of all runs, in memory.
//!
//! The index is fed with what was read and answers by structure: newest-first orders, totals and
//! counts are kept through every change, for everything and for each project, whole and by
//! status. It gives each change the next tick and tells what changed after one (sections 4 and 5
//! of the protocol). It does no IO. Callers guard it by a lock; two small ones of its own are for
//! what readers note. The time that runs are judged by comes in as a parameter.
//!
//! **Invariant:** after any changes, its answers are those of an index built anew from the same
//! runs. The property tests below hold this.

mod annotations;
mod apply;
mod changes;
mod clock;
mod errors;
mod find;
mod gather;
mod nodes;
mod order;
mod packed;
mod place;
mod problems;
mod query;
mod restore;
mod row;
mod select;
mod snapshot;
mod sorted;
mod steps;
mod totals;
mod written;

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use parking_lot::Mutex;

pub use apply::Report;
pub use changes::{Changes, Cursor, LookBack, Older, RING};
pub use clock::{Clock, Instance};
pub use errors::{ErrorGroup, ErrorGroups};
pub use find::{Beginning, CANDIDATES, Candidates};
pub use gather::{GATHERED_BYTES_MAX, Gather, Taken};
pub use nodes::{NodeSteps, NodeSums};
pub use place::{Key, Place};
pub use problems::{Problem, Problems};
pub use query::{Change, Changed, Filter, From, Page, PageAt, ProjectInfo};
pub use row::Rows;
pub use select::{Open, Query, Selection, Undecided};
pub use snapshot::{Saving, Snapshot, SnapshotError};
pub use sorted::{First, Sort, SortedFrom, SortedKey};
pub use totals::{Amounts, Totals};
pub use written::Listed;

use annotations::Annotations;
use clock::Lineage;
use order::{Order, Places, RowPlaces};
use row::Row;
use written::Written;

use crate::model::layout::{EXECUTIONS, SUFFIX};
use crate::model::{ExecutionId, Millis, ProblemKind, ProjectId, RunKey, Stamp, Version};

#[cfg(test)]
mod tests;

/// What is known of one set of runs: all of them, or a project's.
#[derive(Debug, Default)]
struct Scope {
    all: Order,
    /// By status number; strings that the engine does not write are in `other`.
    by_status: [Order; 8],
    other: HashMap<Box<str>, Order>,
    totals: Totals,
}

#[derive(Debug)]
struct Project {
    id: ProjectId,
    scope: Scope,
    /// Whether the folder is there; a project without runs is known only while it is.
    on_disk: bool,
    /// The folder's stamp when all that it names was known here: as long as it is the same, there
    /// are no other names.
    complete: Option<Stamp>,
    /// Files that are no records, as they were when that was found.
    unlisted: HashMap<ExecutionId, Stamp>,
}

impl Project {
    /// How many of its files are known, listed or not.
    fn files(&self) -> usize {
        self.scope.all.len() + self.unlisted.len()
    }
}

/// When a touched file of a live run is worth telling.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// Silence after which a queued or running run is stale.
    pub stale_after: Duration,
}

impl Liveness {
    /// A heartbeat is told at most this often: a tenth of the time after which a run is stale.
    fn beat_ns(self) -> i64 {
        i64::try_from(self.stale_after.as_nanos() / 10).unwrap_or(i64::MAX)
    }
}

/// The index.
#[derive(Debug)]
pub struct Index {
    instance: Instance,
    /// Whose states this one goes on from.
    lineage: Lineage,
    liveness: Liveness,
    rows: Rows,
    projects: Vec<Option<Project>>,
    project_numbers: HashMap<ProjectId, u32>,
    vacant_projects: Vec<u32>,
    by_key: HashTable<u32>,
    hasher: DefaultHashBuilder,
    everything: Scope,
    changes: Changes,
    /// The modification time last told of each live run that was touched since it was saved.
    beats: HashMap<u32, i64>,
    /// The rows of which was said that they do not pass because their records, which decide, could not
    /// be read. They are told anew when they can be: nothing else may have changed by then.
    unheard: Mutex<HashSet<u32>>,
    /// What is wrong with files and folders.
    pub problems: Problems,
    revision: u64,
    written: Written,
    annotations: Annotations,
}

/// The path of a run's file below the root.
fn path_of(key: &RunKey) -> String {
    format!("{}/{EXECUTIONS}/{}{SUFFIX}", key.project, key.execution)
}

/// The run whose file `path` is, below the root.
fn key_of_path(path: &str) -> Option<RunKey> {
    let (project, path) = path.split_once('/')?;
    let file = path.strip_prefix(EXECUTIONS)?.strip_prefix('/')?;
    Some(RunKey {
        project: ProjectId::parse(project).ok()?,
        execution: ExecutionId::parse(file.strip_suffix(SUFFIX)?).ok()?,
    })
}

impl Index {
    /// An empty index in a new life.
    #[must_use]
    pub fn new(instance: Instance, liveness: Liveness) -> Self {
        Self {
            instance,
            lineage: Lineage::default(),
            liveness,
            rows: Rows::default(),
            projects: Vec::new(),
            project_numbers: HashMap::new(),
            vacant_projects: Vec::new(),
            by_key: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            everything: Scope::default(),
            changes: Changes::new(0),
            beats: HashMap::new(),
            unheard: Mutex::default(),
            problems: Problems::default(),
            revision: 0,
            written: Written::default(),
            annotations: Annotations::default(),
        }
    }

    /// An index whose memory of changes is short, for tests.
    #[cfg(test)]
    fn forgetful(instance: Instance, liveness: Liveness, ring: usize, tombstones: usize) -> Self {
        let mut index = Self::new(instance, liveness);
        index.changes = Changes::with_limits(0, ring, tombstones);
        index
    }

    /// The state that answers given now are true at.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock {
            instance: self.instance,
            tick: self.changes.now(),
        }
    }

    /// The state at `tick` by the name that is known longest: that of the snapshot which this goes on
    /// from, if nothing has changed since.
    #[must_use]
    pub fn lasting_clock(&self, tick: u64) -> Clock {
        let parent = self.lineage.parent();
        let parent = parent.filter(|parent| tick <= parent.tick);
        let instance = parent.map_or(self.instance, |parent| parent.instance);
        Clock { instance, tick }
    }

    /// How many runs there are.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.rows.live()
    }

    /// How many bytes what is kept of steps and errors takes, beside the rows.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        self.rows.step_bytes()
    }

    /// Grows with everything that a snapshot would hold otherwise.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many deletions are remembered.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.changes.tombstones()
    }

    fn name(&self, project: u32) -> &str {
        self.project(project)
            .map_or("", |project| project.id.as_str())
    }

    /// Where the rows stand in lists.
    fn places(&self) -> impl Places + '_ {
        RowPlaces {
            rows: &self.rows,
            name: |project| self.name(project),
        }
    }

    fn project(&self, number: u32) -> Option<&Project> {
        self.projects.get(number as usize)?.as_ref()
    }

    fn project_of(&self, id: &ProjectId) -> Option<&Project> {
        self.project(*self.project_numbers.get(id)?)
    }

    fn hash(&self, project: &str, id: &str) -> u64 {
        self.hasher.hash_one((project, id))
    }

    fn find(&self, key: &RunKey) -> Option<u32> {
        self.find_of(&key.project, &key.execution)
    }

    fn find_of(&self, project: &ProjectId, execution: &ExecutionId) -> Option<u32> {
        let project = self.project_numbers.get(project)?;
        self.find_in(*project, execution.as_str())
    }

    /// The row of a run of the project numbered `project`.
    fn find_in(&self, project: u32, id: &str) -> Option<u32> {
        let hash = self.hash(self.name(project), id);
        let same = |&number: &u32| {
            let row = self.rows.get(number);
            row.is_some_and(|row| row.project() == project && row.id() == id)
        };
        self.by_key.find(hash, same).copied()
    }

    fn row(&self, key: &RunKey) -> Option<Row<'_>> {
        self.row_of(&key.project, &key.execution)
    }

    fn row_of(&self, project: &ProjectId, execution: &ExecutionId) -> Option<Row<'_>> {
        self.rows.get(self.find_of(project, execution)?)
    }

    /// Whether the run is listed.
    #[must_use]
    pub fn contains(&self, key: &RunKey) -> bool {
        self.find(key).is_some()
    }

    /// Whether the file was no record when it was last read.
    #[must_use]
    pub fn is_unlisted(&self, key: &RunKey) -> bool {
        let project = self.project_of(&key.project);
        project.is_some_and(|project| project.unlisted.contains_key(&key.execution))
    }

    /// The stamp of a file when it was last read, listed or not, and whether it must be read
    /// again before that stamp proves anything.
    #[must_use]
    pub fn stamp(&self, key: &RunKey) -> Option<(Stamp, bool)> {
        self.stamp_in(*self.project_numbers.get(&key.project)?, &key.execution)
    }

    fn stamp_in(&self, project: u32, execution: &ExecutionId) -> Option<(Stamp, bool)> {
        let number = self.find_in(project, execution.as_str());
        if let Some(row) = number.and_then(|number| self.rows.get(number)) {
            return Some((row.stamp(), row.is_racy()));
        }
        let unlisted = &self.project(project)?.unlisted;
        unlisted.get(execution).map(|stamp| (*stamp, false))
    }

    /// Which of `runs`, all of `project`, are not as they were when they were last read, or could not be
    /// when it mattered; and how many of them are known.
    #[must_use]
    pub fn differing(
        &self,
        project: &ProjectId,
        runs: &[(ExecutionId, Stamp)],
    ) -> (Vec<RunKey>, usize) {
        let (mut differing, mut known) = (Vec::new(), 0);
        let number = self.project_numbers.get(project);
        let any_unheard = !self.unheard.lock().is_empty();
        let is_unheard = |execution: &ExecutionId| {
            let row = number.and_then(|number| self.find_in(*number, execution.as_str()));
            row.is_some_and(|row| self.unheard.lock().contains(&row))
        };
        for (execution, stamp) in runs {
            let held = number.and_then(|number| self.stamp_in(*number, execution));
            known += usize::from(held.is_some());
            if held != Some((*stamp, false)) || (any_unheard && is_unheard(execution)) {
                differing.push(RunKey {
                    project: project.clone(),
                    execution: execution.clone(),
                });
            }
        }
        (differing, known)
    }

    /// In how many parts [`each_stamp`](Self::each_stamp) gives all runs.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.rows.pages()
    }

    /// Gives each run in a part of them that is of one of `projects`: which one, its id, and the
    /// stamp of its file when it was last read; none if that proves nothing.
    pub fn each_stamp(
        &self,
        part: usize,
        projects: &[ProjectId],
        mut each: impl FnMut(usize, &str, Option<Stamp>),
    ) {
        let numbers = projects.iter().map(|id| self.project_numbers.get(id));
        let which: HashMap<u32, usize> = numbers
            .enumerate()
            .filter_map(|(which, number)| Some((*number?, which)))
            .collect();
        for (_, row) in self.rows.of_page(part) {
            if let Some(&which) = which.get(&row.project()) {
                each(which, row.id(), (!row.is_racy()).then(|| row.stamp()));
            }
        }
    }

    /// How many files of a project are known, listed or not.
    #[must_use]
    pub fn files_of(&self, project: &ProjectId) -> usize {
        self.project_of(project).map_or(0, Project::files)
    }

    /// The stamp of a listed run's file when it was last read, its version then, and whether that
    /// stamp proves nothing.
    #[must_use]
    pub fn held(&self, key: &RunKey) -> Option<(Stamp, Version, bool)> {
        let row = self.row(key)?;
        Some((row.stamp(), row.version(), row.is_racy()))
    }

    /// The tick of the last change of a listed run that was told.
    #[must_use]
    pub fn tick_of(&self, key: &RunKey) -> Option<u64> {
        Some(self.row(key)?.tick())
    }

    /// The stamp of a listed run's file and the version that a file has whose stamp is the same;
    /// `None` if the stamp proves nothing, or the record is nested too deep to be given.
    #[must_use]
    pub fn proven(&self, key: &RunKey) -> Option<(Stamp, Version)> {
        self.row(key)?.proven()
    }

    /// The files of a project that are no records, as they were when that was found.
    #[must_use]
    pub fn unlisted_of(&self, project: &ProjectId) -> Vec<(ExecutionId, Stamp)> {
        let unlisted = self.project_of(project).map(|project| &project.unlisted);
        let unlisted = unlisted.into_iter().flatten();
        unlisted.map(|(id, stamp)| (id.clone(), *stamp)).collect()
    }

    /// Every run of a project, in list order.
    #[must_use]
    pub fn runs_of(&self, project: &ProjectId) -> Vec<ExecutionId> {
        let Some(project) = self.project_of(project) else {
            return Vec::new();
        };
        let all = project.scope.all.from(0);
        all.filter_map(|number| ExecutionId::parse(self.rows.get(number)?.id()).ok())
            .collect()
    }

    /// Every project that has runs or a folder.
    #[must_use]
    pub fn project_ids(&self) -> Vec<ProjectId> {
        self.projects
            .iter()
            .flatten()
            .map(|project| project.id.clone())
            .collect()
    }

    /// Notes that a project's folder is there, or is not, and with which stamp it was listed: all its
    /// names are known no more, nor what is wrong with them, if that is not the one that they had.
    pub fn note_project(&mut self, id: &ProjectId, on_disk: bool, listed: Option<Stamp>) {
        if self.complete_of(id) != listed {
            self.forget_complete(id);
        }
        if on_disk {
            let number = self.intern(id);
            if let Some(Some(project)) = self.projects.get_mut(number as usize) {
                self.revision += u64::from(!project.on_disk);
                project.on_disk = true;
            }
        } else if let Some(&number) = self.project_numbers.get(id) {
            if let Some(Some(project)) = self.projects.get_mut(number as usize) {
                self.revision += u64::from(project.on_disk);
                project.on_disk = false;
            }
            self.forget_if_empty(number);
        }
    }

    /// Notes that the `files` that a project's folder named when its stamp was `stamp` are those
    /// that are known here, unless there are more or fewer. A folder that was moved away and back
    /// has the stamp that it had.
    pub fn note_complete(&mut self, id: &ProjectId, stamp: Stamp, files: usize) {
        if let Some(&number) = self.project_numbers.get(id)
            && let Some(Some(project)) = self.projects.get_mut(number as usize)
            && project.files() == files
            && project.complete.replace(stamp) != Some(stamp)
        {
            self.revision += 1;
        }
    }

    fn forget_complete(&mut self, id: &ProjectId) {
        if let Some(&number) = self.project_numbers.get(id)
            && let Some(Some(project)) = self.projects.get_mut(number as usize)
        {
            project.complete = None;
        }
    }

    /// The projects all of whose names are known, as long as their folders' stamps are these.
    pub fn complete(&self) -> impl Iterator<Item = (&ProjectId, Stamp)> {
        let projects = self.projects.iter().flatten();
        projects.filter_map(|project| Some((&project.id, project.complete?)))
    }

    /// Whether all names of the project's folder are known, as long as its stamp is as it was.
    #[must_use]
    pub fn is_complete(&self, id: &ProjectId) -> bool {
        self.complete_of(id).is_some()
    }

    fn complete_of(&self, id: &ProjectId) -> Option<Stamp> {
        self.project_of(id)?.complete
    }

    fn intern(&mut self, id: &ProjectId) -> u32 {
        if let Some(&number) = self.project_numbers.get(id) {
            return number;
        }
        let project = Project {
            id: id.clone(),
            scope: Scope::default(),
            on_disk: false,
            complete: None,
            unlisted: HashMap::new(),
        };
        let number = if let Some(number) = self.vacant_projects.pop() {
            self.projects[number as usize] = Some(project);
            number
        } else {
            self.projects.push(Some(project));
            u32::try_from(self.projects.len() - 1).unwrap_or(u32::MAX)
        };
        self.project_numbers.insert(id.clone(), number);
        number
    }

    fn forget_if_empty(&mut self, number: u32) {
        let Some(project) = self.project(number) else {
            return;
        };
        if !project.on_disk && project.scope.all.len() == 0 && project.unlisted.is_empty() {
            self.project_numbers.remove(&project.id.clone());
            self.projects[number as usize] = None;
            self.vacant_projects.push(number);
        }
    }

    /// Whose state this index went on from, and at which tick.
    #[must_use]
    pub fn parent(&self) -> Option<Clock> {
        self.lineage.parent()
    }

    /// Takes in that other instances went on from the parent's state as well: up to its tick their
    /// clocks are as good.
    pub fn add_siblings(&mut self, siblings: &[Instance]) {
        self.lineage.add_siblings(siblings);
    }

    fn note_unlisted(&mut self, key: &RunKey, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            let number = self.intern(&key.project);
            if let Some(Some(project)) = self.projects.get_mut(number as usize) {
                let before = project.unlisted.insert(key.execution.clone(), stamp);
                self.revision += u64::from(before != Some(stamp));
            }
        } else if let Some(&number) = self.project_numbers.get(&key.project)
            && let Some(Some(project)) = self.projects.get_mut(number as usize)
        {
            let before = project.unlisted.remove(&key.execution);
            self.revision += u64::from(before.is_some());
        }
    }

    /// Notes what is wrong with the file of one run, and only that.
    pub fn note_problems_of(&mut self, key: &RunKey, kinds: &[ProblemKind], now: Millis) {
        // nothing is wrong with most of them, and a path is dearer than that
        if !kinds.is_empty() || self.problems.count() > 0 {
            self.note_problems(&path_of(key), kinds, now);
        }
    }

    /// Since when a run's file is known to be unreadable, if it is.
    #[must_use]
    pub fn unreadable_since(&self, key: &RunKey) -> Option<Millis> {
        self.problems.since(&path_of(key), ProblemKind::Unreadable)
    }

    /// Notes what is wrong with one file or folder, and only that.
    pub fn note_problems(&mut self, path: &str, kinds: &[ProblemKind], now: Millis) {
        self.revision += u64::from(self.problems.set(path, kinds, now));
    }
}
