//! The index from the blocks of a snapshot. Rows come in their order, page by page, so that each is
//! put at the end of its orders.
//!
//! What a block says is not trusted: whatever does not fit makes the whole snapshot void.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};

use super::apply::Moves;
use super::changes::Changes;
use super::order::Places;
use super::place::Place;
use super::row::{PAGE, Page, Row, STATUS_OTHER};
use super::snapshot::{ANNOTATIONS, PROBLEMS, PROJECTS, Rest, TOMBSTONES, UNLISTED};
use super::totals::{Amounts, Totals};
use super::{Index, key_of_path};
use crate::model::{Annotation, Millis, ProblemKind, ProjectId, RunKey};

/// A page of rows that is sound, and what is made of it.
pub(super) struct PageRead {
    projects: Vec<ProjectId>,
    nodes: Vec<Box<str>>,
    models: Vec<Box<str>>,
    /// Numbers of nodes, and how many steps are of them.
    steps: Vec<(u32, u32)>,
    /// By the places of rows: the heartbeats last told.
    beats: Vec<(u64, i64)>,
    page: Page,
    /// How many models are known if its rows are right.
    models_known: usize,
    /// The hashes of its runs' keys.
    hashes: Vec<u64>,
    /// What its runs add to each of its projects.
    totals: Vec<Totals>,
    last_tick: u64,
}

impl PageRead {
    /// What a block says, if that is sound by itself; `hasher` is the index's.
    pub(super) fn of(mut rest: Rest<'_>, hasher: &DefaultHashBuilder) -> Option<Self> {
        let projects = rest.many(Rest::project)?;
        let name = |rest: &mut Rest<'_>| rest.text().map(Box::from);
        let (nodes, models) = (rest.many(name)?, rest.many(name)?);
        let steps = rest.many(|rest| Some((rest.u32()?, rest.u32()?)))?;
        let beats = rest.many(|rest| Some((rest.u64()?, rest.i64()?)))?;
        let (page, models_known) = Page::read(rest)?;
        let mut totals = vec![Totals::default(); projects.len()];
        let mut hashes = Vec::with_capacity(PAGE);
        let mut last_tick = 0;
        let mut last: Option<Place<'_>> = None;
        for row in page.rows() {
            let project = row.project() as usize;
            let name = projects.get(project)?.as_str();
            let place = Place {
                started_at: row.started(),
                id: row.id(),
                project: name,
            };
            // each comes before the one that was written before it
            if last.is_some_and(|last| last <= place) {
                return None;
            }
            last = Some(place);
            hashes.push(hasher.hash_one((name, row.id())));
            totals.get_mut(project)?.take(&Amounts::of_row(row));
            last_tick = last_tick.max(row.tick());
        }
        Some(Self {
            projects,
            nodes,
            models,
            steps,
            beats,
            page,
            models_known,
            hashes,
            totals,
            last_tick,
        })
    }
}

impl Index {
    /// Makes room for so many runs, in an index that has none.
    pub(super) fn expect_runs(&mut self, runs: u64) {
        let runs = usize::try_from(runs).unwrap_or_default();
        self.by_key.reserve(runs, |_| 0);
    }

    /// Takes in a row, which comes before all others in list order and is in the totals; its run's key
    /// has this `hash`. A run that moved while the snapshot was written comes twice; the later one
    /// counts.
    fn put_restored(&mut self, hash: u64, number: u32) {
        let other = self.find_same(hash, number);
        self.key(hash, number);
        let Self {
            rows,
            projects,
            everything,
            ..
        } = self;
        let Some(row) = rows.get(number) else { return };
        let project = projects.get_mut(row.project() as usize);
        let project = project.and_then(Option::as_mut).map(|one| &mut one.scope);
        for scope in [Some(everything), project].into_iter().flatten() {
            scope.all.push(number);
            match row.status_text() {
                Some(text) if row.status() == STATUS_OTHER => {
                    scope.other.entry(text.into()).or_default().push(number);
                }
                _ => {
                    if let Some(order) = scope.by_status.get_mut(usize::from(row.status())) {
                        order.push(number);
                    }
                }
            }
        }
        if let Some(other) = other {
            let tick = |number| self.rows.get(number).map_or(0, Row::tick);
            let former = if tick(other) < tick(number) {
                other
            } else {
                number
            };
            self.drop_restored(hash, former);
        }
    }

    /// Another row of the run that the row `number` is of, whose key has this `hash`.
    fn find_same(&self, hash: u64, number: u32) -> Option<u32> {
        let same = |&other: &u32| {
            let both = self.rows.get(number).zip(self.rows.get(other));
            both.is_some_and(|(one, other)| {
                one.project() == other.project() && one.id() == other.id()
            })
        };
        self.by_key.find(hash, same).copied()
    }

    /// Takes out a row, of a run whose key has this `hash`.
    fn drop_restored(&mut self, hash: u64, number: u32) {
        let mut gone = HashMap::new();
        self.leave(number, Moves::ALL, &mut gone);
        self.reorder(gone, true);
        if let Ok(entry) = self.by_key.find_entry(hash, |&held| held == number) {
            entry.remove();
        }
        self.rows.remove(number);
        self.beats.remove(&number);
    }

    /// All rows are in: what was deleted while the snapshot was written goes.
    fn end_restoring(&mut self, now: u64, floor: u64, mut gone: Vec<(u64, RunKey)>) -> Option<()> {
        gone.retain(|(tick, key)| {
            let Some(number) = self.find(key) else {
                return true;
            };
            if self.rows.get(number).is_some_and(|row| row.tick() > *tick) {
                return false;
            }
            let hash = self.hash(key.project.as_str(), key.execution.as_str());
            self.drop_restored(hash, number);
            true
        });
        self.changes = Changes::restored(now, floor, gone)?;
        // a run that came while the snapshot was written may be missing from it; it is found as a
        // new one, if it is there, and nobody would take back what was wrong with it; what is no
        // regular file, or whose name is no id (and may look like one, where it is no UTF-8), is no
        // run, and the next list of its folder takes it back
        let mut problems = std::mem::take(&mut self.problems);
        problems.retain(|path, kind| {
            matches!(kind, ProblemKind::NotRegular | ProblemKind::InvalidName)
                || key_of_path(path).is_none_or(|key| self.stamp(&key).is_some())
        });
        self.problems = problems;
        Some(())
    }

    /// Notes what only the whole of a snapshot tells.
    fn settle_restored(&mut self) {
        self.mark_restored_annotations();
        for number in 0..self.projects.len() {
            self.forget_if_empty(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }
}

/// An index that a snapshot is being read into.
pub(super) struct Restoring {
    index: Index,
    /// The row that came last, and the latest tick of all.
    last: Option<u32>,
    last_tick: u64,
    gone: Vec<(u64, RunKey)>,
}

impl Restoring {
    /// Nothing has been read into `index`.
    pub(super) fn of(index: Index) -> Self {
        Self {
            index,
            last: None,
            last_tick: 0,
            gone: Vec::new(),
        }
    }

    /// What makes the hashes of keys.
    pub(super) fn hasher(&self) -> DefaultHashBuilder {
        self.index.hasher.clone()
    }

    /// Takes in the next page.
    pub(super) fn page(&mut self, mut read: PageRead) -> Option<()> {
        let index = &mut self.index;
        for name in read.nodes {
            index.rows.nodes_mut().restore(&name)?;
        }
        for (node, steps) in read.steps {
            index.rows.nodes_mut().restore_steps(node, steps)?;
        }
        for name in read.models {
            index.rows.restore_model(&name)?;
        }
        if read.models_known > index.rows.models() {
            return None;
        }
        let projects = read.projects.iter().map(|id| index.intern(id));
        let projects: Vec<u32> = projects.collect();
        for (&number, totals) in projects.iter().zip(&read.totals) {
            index.everything.totals.join(totals);
            let project = index.projects.get_mut(number as usize)?.as_mut()?;
            project.scope.totals.join(totals);
        }
        read.page.number_projects(&projects)?;
        let first = index.rows.adopt(read.page);
        let places = index.places();
        let newer = |last| places.place(first) < places.place(last);
        if !self.last.is_none_or(newer) {
            return None;
        }
        drop(places);
        for (at, beat) in read.beats {
            let number = first.checked_add(u32::try_from(at).ok()?)?;
            index.rows.get(number)?;
            index.beats.insert(number, beat);
        }
        for (hash, number) in read.hashes.into_iter().zip(first..) {
            index.put_restored(hash, number);
            self.last = Some(number);
        }
        self.last_tick = self.last_tick.max(read.last_tick);
        Some(())
    }

    /// Takes in a block that is neither the last nor about rows.
    pub(super) fn block(&mut self, kind: u8, mut rest: Rest<'_>) -> Option<()> {
        for _ in 0..rest.u64()? {
            match kind {
                TOMBSTONES => {
                    let tick = rest.u64()?;
                    let (project, execution) = (rest.project()?, rest.execution()?);
                    self.gone.push((tick, RunKey { project, execution }));
                }
                PROJECTS => {
                    let id = rest.project()?;
                    // one that is gone is known by its runs, if it has any
                    if rest.u8()? == 1 {
                        self.index.note_project(&id, true, None);
                    }
                }
                UNLISTED => {
                    let (project, execution) = (rest.project()?, rest.execution()?);
                    let stamp = rest.stamp()?;
                    self.index
                        .note_unlisted(&RunKey { project, execution }, Some(stamp));
                }
                PROBLEMS => {
                    let path = rest.text()?;
                    let kind = *ProblemKind::ALL.get(usize::from(rest.u8()?))?;
                    let since = Millis(rest.i64()?);
                    self.index.problems.restore(path, kind, since);
                }
                ANNOTATIONS => {
                    let (project, execution) = (rest.project()?, rest.execution()?);
                    let annotation = Annotation::read(rest.bytes()?)?;
                    let key = RunKey { project, execution };
                    self.index.annotations.set(&key, annotation);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// The index, all of whose blocks are in; the last says these ticks.
    pub(super) fn end(self, now: u64, floor: u64) -> Option<Index> {
        let Self {
            mut index,
            last_tick,
            gone,
            ..
        } = self;
        if last_tick > now {
            return None;
        }
        index.end_restoring(now, floor, gone)?;
        index.settle_restored();
        Some(index)
    }
}
