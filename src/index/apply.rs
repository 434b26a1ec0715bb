//! What was found of runs, taken in: every order, total and count follows, and each change that
//! clients must hear of gets the next tick.
//!
//! The one way by which rows change. Whatever leaves an order leaves it before its row changes,
//! because orders are searched by the places that rows have.

use std::collections::HashSet;
use std::hash::BuildHasher;

use hashbrown::HashMap;

use super::order::{Order, RowPlaces};
use super::row::{Draft, Row, STATUS_OTHER};
use super::{Index, Scope, Totals};
use crate::model::{Annotation, RunKey, Seen, Stamp, Status};

/// What happened to one run, as the files tell.
#[derive(Debug, Clone)]
pub enum Report {
    /// The file was read.
    Seen(RunKey, Box<Seen>),
    /// There is no such file.
    Gone(RunKey),
    /// There is such a file, but it is no record; with its stamp if it has one.
    Unlisted(RunKey, Option<Stamp>),
    /// What people noted on the run, which may not be there; nothing if it is empty.
    Annotated(RunKey, Annotation),
}

/// A run to take in that is new, or not as it was.
struct Fresh {
    /// Its row, if it has one.
    held: Option<u32>,
    project: u32,
    key: RunKey,
    seen: Box<Seen>,
    moves: Moves,
}

/// Which orders a saved run leaves and enters anew; most saves change neither its place nor its
/// status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moves {
    all: bool,
    by_status: bool,
}

impl Moves {
    pub(super) const ALL: Self = Self {
        all: true,
        by_status: true,
    };

    fn of(self, name: &OrderName) -> bool {
        match name.status {
            None => self.all,
            Some(_) => self.by_status,
        }
    }
}

/// One of the orders of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct OrderName {
    project: Option<u32>,
    status: Option<(u8, Box<str>)>,
}

impl Index {
    /// Takes in what was found of some runs. Every change that clients must hear of gets a tick;
    /// returns how many did.
    ///
    /// A run may occur once in `batch`. Costs a few microseconds a run, hardly more where there
    /// are many.
    pub fn apply(&mut self, batch: Vec<Report>) -> u64 {
        let before = self.changes.now();
        let mut gone: HashMap<OrderName, Vec<u32>> = HashMap::new();
        let mut come: HashMap<OrderName, Vec<u32>> = HashMap::new();
        // Orders are searched by the places that rows have, so whatever leaves an order leaves
        // it before its row changes: first pass out, second pass in.
        let mut fresh: Vec<Fresh> = Vec::new();
        let mut annotated: Vec<RunKey> = Vec::new();
        let mut dead: Vec<(u32, RunKey)> = Vec::new();
        // looked at in the end: until then rows that are in no order hold on to their project
        let mut emptied: HashSet<u32> = HashSet::new();
        for change in batch {
            match change {
                Report::Annotated(key, annotation) => {
                    if self.annotations.set(&key, annotation) {
                        self.revision += 1;
                        annotated.push(key);
                    }
                }
                Report::Gone(key) => {
                    self.note_unlisted(&key, None);
                    emptied.extend(self.project_numbers.get(&key.project));
                    self.forget_complete(&key.project);
                    if let Some(number) = self.find(&key) {
                        self.leave(number, Moves::ALL, &mut gone);
                        dead.push((number, key));
                    }
                }
                Report::Unlisted(key, stamp) => {
                    self.note_unlisted(&key, Some(stamp.unwrap_or_default()));
                    if let Some(number) = self.find(&key) {
                        self.leave(number, Moves::ALL, &mut gone);
                        dead.push((number, key));
                    }
                }
                Report::Seen(key, seen) => {
                    self.note_unlisted(&key, None);
                    let held = self.find(&key);
                    if let Some(number) = held
                        && self
                            .rows
                            .get(number)
                            .is_some_and(|row| row.version() == seen.version)
                    {
                        self.touch(number, &key, &seen);
                        continue;
                    }
                    let project = self.intern(&key.project);
                    let moves = held.map_or(Moves::ALL, |number| self.moves(number, &seen));
                    if let Some(number) = held {
                        self.leave(number, moves, &mut gone);
                    }
                    fresh.push(Fresh {
                        held,
                        project,
                        key,
                        seen,
                        moves,
                    });
                }
            }
        }
        self.reorder(gone, true);
        for (number, key) in dead {
            let hash = self.hash(key.project.as_str(), key.execution.as_str());
            if let Ok(entry) = self.by_key.find_entry(hash, |&held| held == number) {
                entry.remove();
            }
            self.rows.remove(number);
            self.beats.remove(&number);
            self.unheard.get_mut().remove(&number);
            self.changes.removed(key, self.rows.live());
        }
        for one in fresh {
            let mut draft = Draft::new(one.project, &one.key.execution, &one.seen);
            draft.fixed.set_created(one.held.is_none());
            let annotated = self.annotations.of(&one.key).is_some();
            draft.fixed.set_annotated(annotated);
            let number = if let Some(number) = one.held {
                self.rows.replace(number, draft);
                self.beats.remove(&number);
                self.unheard.get_mut().remove(&number);
                number
            } else {
                self.insert(draft)
            };
            let tick = self.changes.saved(number, &one.key, self.rows.live());
            if let Some(row) = self.rows.fixed_mut(number) {
                row.tick = tick;
            }
            self.enter(number, one.moves, &mut come);
        }
        for key in annotated {
            self.mark_annotated(&key);
        }
        self.reorder(come, false);
        for project in emptied {
            self.forget_if_empty(project);
        }
        let told = self.changes.now() - before;
        self.revision += told;
        told
    }

    /// Gives a row a number and makes it known by its key; it is in no order yet.
    fn insert(&mut self, draft: Draft<'_>) -> u32 {
        let hash = self.hash(self.name(draft.fixed.project), draft.id());
        let number = self.rows.insert(draft);
        self.key(hash, number);
        number
    }

    /// Makes the row `number` known by its run's key, which has this `hash`.
    pub(super) fn key(&mut self, hash: u64, number: u32) {
        let Self {
            by_key,
            hasher,
            rows,
            projects,
            ..
        } = self;
        by_key.insert_unique(hash, number, |&number| {
            let Some(row) = rows.get(number) else {
                return 0;
            };
            let project = projects.get(row.project() as usize);
            let project = project.and_then(Option::as_ref);
            hasher.hash_one((project.map_or("", |p| p.id.as_str()), row.id()))
        });
    }

    /// Takes in that a file was read again and held the same bytes. That is a change only for a
    /// live run, as a heartbeat, and not too often; and for one whose record could not be read when it
    /// mattered.
    fn touch(&mut self, number: u32, key: &RunKey, seen: &Seen) {
        let runs = self.rows.live();
        let Some(row) = self.rows.get(number) else {
            return;
        };
        let told = self.beats.get(&number).copied();
        let told = told.unwrap_or_else(|| row.mtime_ns());
        let beats = row.beats();
        if (row.stamp(), row.is_racy()) != (seen.stamp, seen.racy) {
            self.revision += 1;
            self.rows.restamp(number, seen.stamp, seen.racy);
        }
        let unheard = self.unheard.get_mut().remove(&number);
        if !unheard && (!beats || told == seen.stamp.mtime_ns) {
            return;
        }
        // a clock set back is a change as well: a stale run may be so no more, or now be one
        let since = seen.stamp.mtime_ns.saturating_sub(told).saturating_abs();
        if !unheard && since < self.liveness.beat_ns() {
            self.beats.entry(number).or_insert(told);
            return;
        }
        if beats {
            self.beats.insert(number, seen.stamp.mtime_ns);
        }
        let tick = self.changes.saved(number, key, runs);
        if let Some(row) = self.rows.fixed_mut(number) {
            row.set_created(false);
            row.tick = tick;
        }
    }

    /// Which orders a known run leaves and enters anew when it is saved as `seen`.
    fn moves(&self, number: u32, seen: &Seen) -> Moves {
        let Some(row) = self.rows.get(number) else {
            return Moves::ALL;
        };
        let place = row.started() != seen.facts.started_at;
        let status = seen.facts.status.as_ref();
        Moves {
            all: place,
            by_status: place || row.status_text() != status.map(Status::as_str),
        }
    }

    fn order_names(&self, number: u32) -> [OrderName; 4] {
        let row = self.rows.get(number);
        let project = row.map(Row::project);
        let status = row.map(|row| {
            let text = match row.status() {
                STATUS_OTHER => row.status_text().unwrap_or("").into(),
                _ => Box::from(""),
            };
            (row.status(), text)
        });
        [
            OrderName {
                project: None,
                status: None,
            },
            OrderName {
                project: None,
                status: status.clone(),
            },
            OrderName {
                project,
                status: None,
            },
            OrderName { project, status },
        ]
    }

    /// Notes which orders a row is to leave, and takes it out of the totals.
    pub(super) fn leave(
        &mut self,
        number: u32,
        moves: Moves,
        gone: &mut HashMap<OrderName, Vec<u32>>,
    ) {
        self.shift(number, moves, gone, Totals::remove);
    }

    /// Notes which orders a row is to enter, and puts it into the totals.
    fn enter(&mut self, number: u32, moves: Moves, come: &mut HashMap<OrderName, Vec<u32>>) {
        self.shift(number, moves, come, Totals::add);
    }

    fn shift(
        &mut self,
        number: u32,
        moves: Moves,
        orders: &mut HashMap<OrderName, Vec<u32>>,
        count: fn(&mut Totals, Row<'_>),
    ) {
        let names = self.order_names(number).into_iter();
        for name in names.filter(|name| moves.of(name)) {
            orders.entry(name).or_default().push(number);
        }
        let Some(row) = self.rows.get(number) else {
            return;
        };
        count(&mut self.everything.totals, row);
        if let Some(Some(project)) = self.projects.get_mut(row.project() as usize) {
            count(&mut project.scope.totals, row);
        }
    }

    pub(super) fn reorder(&mut self, changed: HashMap<OrderName, Vec<u32>>, out: bool) {
        for (name, numbers) in changed {
            // taken out while it is changed, because its rows' places need the rest of the index
            let Some(mut order) = self.order_mut(&name).map(std::mem::take) else {
                continue;
            };
            let places = RowPlaces {
                rows: &self.rows,
                name: |project| self.name(project),
            };
            if out {
                order.change(&numbers, Vec::new(), &places);
            } else {
                order.change(&[], numbers, &places);
            }
            let empty = order.len() == 0;
            if let Some(slot) = self.order_mut(&name) {
                *slot = order;
            }
            if let Some((STATUS_OTHER, text)) = &name.status
                && empty
                && let Some(scope) = self.scope_mut(name.project)
            {
                scope.other.remove(text);
            }
        }
    }

    fn scope_mut(&mut self, project: Option<u32>) -> Option<&mut Scope> {
        match project {
            None => Some(&mut self.everything),
            Some(number) => self
                .projects
                .get_mut(number as usize)?
                .as_mut()
                .map(|project| &mut project.scope),
        }
    }

    fn order_mut(&mut self, name: &OrderName) -> Option<&mut Order> {
        let scope = self.scope_mut(name.project)?;
        match &name.status {
            None => Some(&mut scope.all),
            Some((STATUS_OTHER, text)) => Some(scope.other.entry(text.clone()).or_default()),
            Some((code, _)) => scope.by_status.get_mut(usize::from(*code)),
        }
    }
}
