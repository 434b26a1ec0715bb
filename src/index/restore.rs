//! The index from the blocks of a snapshot: their rows as they come, then orders and totals.
//!
//! What a block says is not trusted: whatever does not fit makes the whole snapshot void.

use super::changes::Changes;
use super::order::{Places, RowPlaces};
use super::problems::ProblemKind;
use super::row::{Draft, Row, STATUS_OTHER};
use super::snapshot::{
    ANNOTATIONS, END, PROBLEMS, PROJECTS, ROWS, Rest, Rows, TOMBSTONES, UNLISTED,
};
use super::totals::Amounts;
use super::{Index, key_of_path};
use crate::model::{Annotation, Millis, RunKey};

impl Index {
    /// Makes room for so many runs, in an index that has none.
    pub(super) fn expect_runs(&mut self, runs: u64) {
        let runs = usize::try_from(runs).unwrap_or_default();
        self.by_key.reserve(runs, |_| 0);
    }

    /// Takes in a row of a snapshot. A run that moved while the snapshot was written may come
    /// twice; the later one counts.
    fn put_restored(&mut self, project: u32, mut draft: Draft<'_>, beat: Option<i64>) {
        draft.fixed.project = project;
        let hash = self.hash(self.name(project), draft.id());
        let number = match self.find_by(hash, project, draft.id()) {
            Some(number) => {
                let tick = self.rows.get(number).map_or(0, Row::tick);
                if tick < draft.fixed.tick {
                    self.rows.replace(number, draft);
                }
                number
            }
            None => self.insert_by(hash, draft),
        };
        if let Some(beat) = beat {
            self.beats.insert(number, beat);
        }
    }

    /// All blocks of a snapshot are in: what was deleted while it was written goes.
    fn end_restoring(&mut self, now: u64, floor: u64, mut gone: Vec<(u64, RunKey)>) -> Option<()> {
        gone.retain(|(tick, key)| {
            let Some(number) = self.find(key) else {
                return true;
            };
            if self.rows.get(number).is_some_and(|row| row.tick() > *tick) {
                return false;
            }
            let hash = self.hash(key.project.as_str(), key.execution.as_str());
            if let Ok(entry) = self.by_key.find_entry(hash, |&held| held == number) {
                entry.remove();
            }
            self.rows.remove(number);
            self.beats.remove(&number);
            true
        });
        if self.rows.iter().any(|(_, row)| row.tick() > now) {
            return None;
        }
        self.changes = Changes::restored(now, floor, gone)?;
        // a run that came while the snapshot was written may be missing from it; it is found as a
        // new one, if it is there, and nobody would take back what was wrong with it
        let mut problems = std::mem::take(&mut self.problems);
        problems.retain(|path| key_of_path(path).is_none_or(|key| self.stamp(&key).is_some()));
        self.problems = problems;
        Some(())
    }

    /// Makes the orders and totals of restored rows.
    pub(super) fn settle_restored(&mut self) {
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
            let amounts = Amounts::of_row(row);
            for scope in [Some(&mut *everything), project].into_iter().flatten() {
                scope.totals.take(&amounts);
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
    pub(super) index: Index,
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

    /// Takes in one block; whether it was the last.
    pub(super) fn block(&mut self, kind: u8, mut rest: Rest<'_>) -> Option<bool> {
        if kind == END {
            let (now, floor) = (rest.u64()?, rest.u64()?);
            self.index
                .end_restoring(now, floor, std::mem::take(&mut self.gone))?;
            return Some(true);
        }
        if kind == ROWS {
            let mut rows = Rows::of(rest)?;
            let nodes = self.index.rows.nodes_mut().hold(&rows.nodes);
            let numbers: Vec<u32> = rows
                .projects
                .iter()
                .map(|id| self.index.intern(id))
                .collect();
            while let Some(mut row) = rows.next()? {
                let project = *numbers.get(row.u32()? as usize)?;
                let (draft, beat) = Draft::read(&mut row, &nodes)?;
                self.index.put_restored(project, draft, beat);
            }
            self.index.rows.nodes_mut().let_go(&nodes);
            return Some(false);
        }
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
        Some(false)
    }
}
