//! The index from the blocks of a snapshot: pages of rows as they come, then what is made of all.
//!
//! What a block says is not trusted: whatever does not fit makes the whole snapshot void.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::changes::Changes;
use super::order::{Places, RowPlaces};
use super::problems::ProblemKind;
use super::row::{Columns, PAGE, Page, STATUS_OTHER};
use super::snapshot::{ANNOTATIONS, PROBLEMS, PROJECTS, Rest, TOMBSTONES, UNLISTED};
use super::totals::{Amounts, Totals};
use super::{Index, key_of_path};
use crate::model::{Annotation, Millis, ProjectId, RunKey};

/// A page of rows that nobody has looked at yet.
pub(super) struct PageDraft {
    columns: Columns,
    projects: Vec<(u32, ProjectId)>,
    models: usize,
    beats: Vec<(u64, i64)>,
    hasher: DefaultHashBuilder,
}

/// A page of rows, and what the index makes of them.
pub(super) struct PageRead {
    page: Page,
    /// The hashes of its runs' keys.
    hashes: Vec<u64>,
    /// What its runs add to each project.
    totals: Vec<(u32, Totals)>,
    /// By the places of rows: the heartbeats last told.
    beats: Vec<(u64, i64)>,
    last_tick: u64,
}

impl PageDraft {
    /// The page, if it is sound.
    pub(super) fn read(self) -> Option<PageRead> {
        let mut page = self.columns.page(self.models)?;
        let mut totals = vec![Totals::default(); self.projects.len()];
        let mut hashes = Vec::with_capacity(PAGE);
        let mut last_tick = 0;
        for row in page.rows() {
            let project = row.project() as usize;
            let (_, name) = self.projects.get(project)?;
            hashes.push(self.hasher.hash_one((name.as_str(), row.id())));
            totals.get_mut(project)?.take(&Amounts::of_row(row));
            last_tick = last_tick.max(row.tick());
        }
        let numbers: Vec<u32> = self.projects.iter().map(|(number, _)| *number).collect();
        page.number_projects(&numbers)?;
        Some(PageRead {
            page,
            hashes,
            totals: numbers.into_iter().zip(totals).collect(),
            beats: self.beats,
            last_tick,
        })
    }
}

impl Index {
    /// Takes in the pages of an index that has no rows yet.
    fn put_restored(&mut self, pages: Vec<PageRead>) -> Option<()> {
        let mut keys = Vec::with_capacity(pages.iter().map(|page| page.hashes.len()).sum());
        for page in pages {
            let first = self.rows.adopt(page.page);
            keys.extend(page.hashes.into_iter().zip(first..));
            for (at, beat) in page.beats {
                let number = first.checked_add(u32::try_from(at).ok()?)?;
                self.rows.get(number)?;
                self.beats.insert(number, beat);
            }
            for (number, totals) in page.totals {
                self.everything.totals.join(&totals);
                let project = self.projects.get_mut(number as usize)?.as_mut()?;
                project.scope.totals.join(&totals);
            }
        }
        self.by_key.reserve(keys.len(), |_| 0);
        // in the order of their places there: a table of this size is not in the processor's cache
        // as a whole, the part that is being filled is
        let mask = self.by_key.capacity().next_power_of_two() as u64 - 1;
        keys.sort_unstable_by_key(|&(hash, _)| hash & mask);
        for (hash, number) in keys {
            let row = self.rows.get(number);
            let tick = row.map_or(0, |row| row.tick());
            let same = |&held: &u32| {
                let held = self.rows.get(held);
                let both = held.zip(row);
                both.is_some_and(|(one, other)| {
                    one.project() == other.project() && one.id() == other.id()
                })
            };
            match self.by_key.find(hash, same).copied() {
                // a run that moved while the snapshot was written; the later one counts
                Some(other) if self.rows.get(other).is_some_and(|row| row.tick() < tick) => {
                    self.drop_restored(hash, other);
                    self.by_key.insert_unique(hash, number, |_| 0);
                }
                Some(_) => self.drop_restored(hash, number),
                None => {
                    self.by_key.insert_unique(hash, number, |_| 0);
                }
            }
        }
        Some(())
    }

    /// Takes out a row that is in no order yet, of a run whose key has this `hash`.
    fn drop_restored(&mut self, hash: u64, number: u32) {
        if let Ok(entry) = self.by_key.find_entry(hash, |&held| held == number) {
            entry.remove();
        }
        if let Some(row) = self.rows.get(number) {
            self.everything.totals.remove(row);
            if let Some(Some(project)) = self.projects.get_mut(row.project() as usize) {
                project.scope.totals.remove(row);
            }
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
        // new one, if it is there, and nobody would take back what was wrong with it
        let mut problems = std::mem::take(&mut self.problems);
        problems.retain(|path| key_of_path(path).is_none_or(|key| self.stamp(&key).is_some()));
        self.problems = problems;
        Some(())
    }

    /// Makes the orders of restored rows.
    fn settle_restored(&mut self) {
        let mut numbers: Vec<u32> = self.rows.iter().map(|(number, _)| number).collect();
        let places = RowPlaces {
            rows: &self.rows,
            name: |project| self.name(project),
        };
        // they were written in this order, so this has little to do
        numbers.sort_by(|&a, &b| places.place(b).cmp(&places.place(a)));
        let Self {
            rows,
            projects,
            everything,
            ..
        } = self;
        for number in numbers {
            let Some(row) = rows.get(number) else {
                continue;
            };
            let project = projects.get_mut(row.project() as usize);
            let project = project.and_then(Option::as_mut).map(|one| &mut one.scope);
            for scope in [Some(&mut *everything), project].into_iter().flatten() {
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
        }
        self.mark_restored_annotations();
        for number in 0..self.projects.len() {
            self.forget_if_empty(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }
}

/// An index that a snapshot is being read into.
pub(super) struct Restoring {
    index: Index,
    gone: Vec<(u64, RunKey)>,
}

impl Restoring {
    /// Nothing has been read into `index`.
    pub(super) fn of(index: Index) -> Self {
        Self {
            index,
            gone: Vec::new(),
        }
    }

    /// Takes in what a block says of the rows of `columns`, and gives the page to be read.
    pub(super) fn rows(&mut self, mut rest: Rest<'_>, columns: Columns) -> Option<PageDraft> {
        let index = &mut self.index;
        let mut projects = Vec::new();
        for _ in 0..rest.u64()? {
            let id = rest.project()?;
            projects.push((index.intern(&id), id));
        }
        for _ in 0..rest.u64()? {
            index.rows.nodes_mut().restore(rest.text()?)?;
        }
        for _ in 0..rest.u64()? {
            index.rows.restore_model(rest.text()?)?;
        }
        for _ in 0..rest.u64()? {
            let (node, steps) = (rest.u32()?, rest.u32()?);
            index.rows.nodes_mut().restore_steps(node, steps)?;
        }
        let mut beats = Vec::new();
        for _ in 0..rest.u64()? {
            beats.push((rest.u64()?, rest.i64()?));
        }
        Some(PageDraft {
            columns,
            projects,
            models: index.rows.models(),
            beats,
            hasher: index.hasher.clone(),
        })
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
                        self.index.note_project(&id, true);
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

    /// The index, of `pages` and the ticks that the last block says.
    pub(super) fn end(self, pages: Vec<PageRead>, now: u64, floor: u64) -> Option<Index> {
        let Self { mut index, gone } = self;
        if pages.iter().any(|page| page.last_tick > now) {
            return None;
        }
        index.put_restored(pages)?;
        index.end_restoring(now, floor, gone)?;
        index.settle_restored();
        Some(index)
    }
}
