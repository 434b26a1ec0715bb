//! Questions to the index: pages, sums, projects and changes.
//!
//! Sections 4 and 5 of the protocol. Everything here reads; a page costs the page, a statistic
//! costs nothing, wherever it lies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::changes::{Cursor, Entry, LookBack};
use super::order::{Order, merge, split};
use super::place::Key;
use super::row::status_code;
use super::select::{Query, Undecided};
use super::{Clock, Index, Listed, Scope, Totals};
use crate::model::{CostSum, Millis, ProjectId, RunKey, Status, Summary, SummaryRef};

/// After so long no more changes are looked at: meanwhile nobody can make one.
const CHANGES_WITHIN: Duration = Duration::from_micros(250);

/// Which runs a list or a subscription is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only this project.
    pub project: Option<ProjectId>,
    /// Only runs with one of these statuses.
    pub statuses: Option<BTreeSet<Status>>,
}

/// Where a page begins.
#[derive(Debug, Clone)]
pub enum From {
    /// So many runs are skipped.
    Offset(usize),
    /// After the place of a run, which may have gone.
    After(Key),
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The runs, newest first.
    pub executions: Vec<Summary>,
    /// What else there is to know.
    pub at: PageAt,
}

/// Where a page stands in its list.
#[derive(Debug, Clone)]
pub struct PageAt {
    /// How many runs match.
    pub total: usize,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Key>,
    /// The state that the page is true at.
    pub clock: Clock,
}

/// One project.
#[derive(Debug, Clone)]
pub struct ProjectInfo {
    /// The folder.
    pub id: ProjectId,
    /// How many runs are listed.
    pub executions: u64,
    /// How many of them are running.
    pub running: u64,
    /// How many of them failed.
    pub failed: u64,
    /// When the latest began.
    pub last_started_at: Option<Millis>,
    /// What they cost together.
    pub total_cost: CostSum,
}

/// What happened to a run, for one reader of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is there and matches.
    Saved {
        /// Whether the latest save created it.
        created: bool,
        /// What it is now.
        summary: Box<Summary>,
    },
    /// It is gone.
    Deleted(RunKey),
    /// It is there and does not match.
    Left(RunKey),
    /// It is there, and its whole error decides whether it matches: see [`Index::decide_change`].
    Undecided(Undecided),
}

/// A change and the state it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The state after it.
    pub clock: Clock,
    /// What happened.
    pub what: Changed,
}

impl Filter {
    /// The statuses as the index names them: the engine's by number, others by text.
    fn orders<'a>(&self, scope: &'a Scope) -> Vec<&'a Order> {
        match &self.statuses {
            None => vec![&scope.all],
            Some(statuses) => statuses
                .iter()
                .filter_map(|status| match status {
                    Status::Other(text) => scope.other.get(text),
                    known => scope.by_status.get(usize::from(status_code(known))),
                })
                .collect(),
        }
    }
}

impl Index {
    pub(super) fn scope(&self, project: Option<&ProjectId>) -> Option<&Scope> {
        match project {
            None => Some(&self.everything),
            Some(id) => self.project_of(id).map(|project| &project.scope),
        }
    }

    /// One page of the runs that match, in list order. Costs the page and the logarithm of where
    /// it lies.
    #[must_use]
    pub fn page(&self, filter: &Filter, from: &From, limit: usize) -> Page {
        let mut executions = Vec::new();
        let at = self.visit(filter, from, limit, |run| {
            executions.extend(run.summary().to_owned());
        });
        Page { executions, at }
    }

    /// As [`Index::page`], each run given to `each`.
    pub fn visit(
        &self,
        filter: &Filter,
        from: &From,
        limit: usize,
        mut each: impl FnMut(Listed<'_>),
    ) -> PageAt {
        self.visit_rows(filter, from, limit, |number| {
            self.listed(number).into_iter().for_each(&mut each);
        })
    }

    /// The same, the number of each row given to `each`.
    pub(super) fn visit_rows(
        &self,
        filter: &Filter,
        from: &From,
        limit: usize,
        mut each: impl FnMut(u32),
    ) -> PageAt {
        let mut at = PageAt {
            total: 0,
            next: None,
            clock: self.clock(),
        };
        let Some(scope) = self.scope(filter.project.as_ref()) else {
            return at;
        };
        let places = self.places();
        let orders = filter.orders(scope);
        at.total = orders.iter().map(|order| order.len()).sum();
        let taken = match from {
            From::Offset(offset) if *offset >= at.total => return at,
            From::Offset(offset) => split(&orders, *offset, &places),
            From::After(key) => orders
                .iter()
                .map(|order| order.rank(&key.place(), true, &places))
                .collect(),
        };
        let end = taken.iter().sum::<usize>() + limit;
        let mut last = None;
        for number in merge(&orders, &taken, &places).take(limit) {
            last = Some(number);
            each(number);
        }
        let last = last.filter(|_| end < at.total);
        at.next = last.and_then(|number| Some(self.listed(number)?.key()));
        at
    }

    pub(super) fn summary(&self, number: u32) -> Option<SummaryRef<'_>> {
        self.listed(number).map(|run| run.summary())
    }

    /// The summary of one run.
    #[must_use]
    pub fn summary_of(&self, key: &RunKey) -> Option<Summary> {
        self.summary(self.find(key)?)?.to_owned()
    }

    /// The sums of a project or of everything. Costs nothing.
    #[must_use]
    pub fn totals(&self, project: Option<&ProjectId>) -> Totals {
        self.scope(project)
            .map(|scope| scope.totals.clone())
            .unwrap_or_default()
    }

    /// All projects, those with the latest start first; `empty` includes folders without runs.
    #[must_use]
    pub fn projects(&self, empty: bool) -> Vec<ProjectInfo> {
        let mut found: Vec<ProjectInfo> = self
            .projects
            .iter()
            .flatten()
            .filter(|project| empty || project.scope.all.len() > 0)
            .map(|project| {
                let totals = &project.scope.totals;
                ProjectInfo {
                    id: project.id.clone(),
                    executions: totals.runs(),
                    running: totals.running(),
                    failed: totals.failed(),
                    last_started_at: project
                        .scope
                        .all
                        .at(0)
                        .and_then(|number| self.rows.get(number)?.started()),
                    total_cost: totals.cost,
                }
            })
            .collect();
        found.sort_by(|a, b| {
            b.last_started_at
                .map(|at| at.0)
                .cmp(&a.last_started_at.map(|at| at.0))
                .then_with(|| a.id.cmp(&b.id))
        });
        found
    }

    /// Whether everything that changed after `clock` can be told.
    #[must_use]
    pub fn honours(&self, clock: Clock) -> bool {
        (clock.instance == self.instance || self.lineage.holds(clock))
            && self.changes.honours(clock.tick)
    }

    /// Whether a reader who has got to `cursor` misses nothing.
    #[must_use]
    pub fn follows(&self, cursor: &Cursor) -> bool {
        self.changes.honours(cursor.tick())
    }

    /// Whether a reader is from before the last changes, which alone are told at once. He is to be
    /// given what a [`LookBack`] finds.
    #[must_use]
    pub fn lacks_older(&self, cursor: &Cursor) -> bool {
        cursor.lacks_older(&self.changes)
    }

    /// Begins to look for what such a reader is told next.
    #[must_use]
    pub fn look_back(&self, cursor: &Cursor) -> LookBack {
        LookBack::new(cursor.tick(), &self.changes)
    }

    /// Looks at so many rows more; false when all have been looked at.
    pub fn look_back_some(&self, look: &mut LookBack, rows: u32) -> bool {
        look.look(&self.rows, rows)
    }

    /// The next changes for a reader, at most `limit`; looks at no more than `visit` ticks, so
    /// that a lock is held shortly. Fewer than `limit` does not mean that there are no more:
    /// compare the cursor's tick with the clock's.
    #[must_use]
    pub fn changes_after(
        &self,
        cursor: &mut Cursor,
        query: &Query,
        limit: usize,
        mut visit: usize,
    ) -> Vec<Change> {
        let mut found = Vec::new();
        // some filters take their time with each run
        let until = Instant::now() + CHANGES_WITHIN;
        let mut looked = false;
        while found.len() < limit
            && (!std::mem::replace(&mut looked, true) || Instant::now() < until)
            && let Some((tick, entry)) = cursor.next(&self.changes, &self.rows, &mut visit)
        {
            if let Some(what) = self.changed(entry, query) {
                found.push(Change {
                    clock: Clock {
                        instance: self.instance,
                        tick,
                    },
                    what,
                });
            }
        }
        found
    }

    fn changed(&self, entry: Entry, query: &Query) -> Option<Changed> {
        match entry {
            Entry::Gone(key) => {
                let asked = query.plain.project.as_ref();
                asked
                    .is_none_or(|id| *id == key.project)
                    .then_some(Changed::Deleted(key))
            }
            Entry::Row(number) => self.changed_row(number, query),
        }
    }
}
