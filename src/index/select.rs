//! Runs that pass a filter which no order answers.
//!
//! Every row is looked at once, some thousand at a time, so that no lock is held long; what
//! changed meanwhile is looked at again at the end, under the lock that the answer is given under,
//! so that the answer is true at its clock. What passes is a bit a row. Where a run's error was cut
//! and the rest decides, the caller reads it.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::changes::{Cursor, Entry};
use super::gather::{Gather, Gathered};
use super::packed::Numbers;
use super::query::{Filter, From, Key, PageAt};
use super::row::{Place, Row, Rows, STATUS_OTHER, STATUS_UNKNOWN, key_of, status_code};
use super::{Clock, Index, Liveness, Totals};
use crate::filter::{Bound, ErrorText, Number, StatusText, Subject, Text, Verdict, WithError};
use crate::model::{Fingerprint, ProjectId, RunKey, Status, SummaryRef, Version};

/// What is asked for: the filter beside the plain one, at its moment.
#[derive(Debug, Clone)]
pub struct Query {
    /// What an order answers.
    pub plain: Filter,
    /// The rest.
    pub bound: Bound,
}

/// How far a query has come.
#[derive(Debug)]
pub struct Selection {
    query: Query,
    /// A bit a row.
    marks: Vec<u64>,
    /// The next row to look at.
    next: u32,
    /// What changed since it began.
    changes: Cursor,
    /// Rows that their whole error decides, as they were.
    open: Vec<(u32, RunKey, Version)>,
    /// What whole errors have decided.
    decided: HashMap<(u32, Version), bool>,
    /// The next row to gather from; those before it have been.
    gathered: u32,
    /// Rows that were asked again after they had been gathered from.
    again: Vec<u32>,
    /// Whether a run went since it began.
    gone: bool,
}

/// What the runs of a selection sum up to, and what of them is to be put in order.
#[derive(Debug, Clone)]
pub struct Sums {
    /// Counts and sums.
    pub totals: Totals,
    /// How long each took that says so, in millionths of a millisecond.
    pub durations: Vec<i64>,
    /// What each cost that says so, in nano-dollars.
    pub costs: Vec<i64>,
    /// The state that they are true at.
    pub clock: Clock,
}

/// A run whose whole error is to be read.
pub type Open = (u32, RunKey, Version);

impl Selection {
    fn mark(&mut self, number: u32, passes: bool) {
        let (word, bit) = (number as usize / 64, number % 64);
        if word >= self.marks.len() {
            if !passes {
                return;
            }
            self.marks.resize(word + 1, 0);
        }
        if let Some(word) = self.marks.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(passes) << bit;
        }
    }

    fn passes(&self, number: u32) -> bool {
        let word = self.marks.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// The rows whose errors are to be read now; each is to be given to [`Index::decide`].
    pub fn take_open(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.open)
    }
}

/// A row, to be asked by a filter.
struct Asked<'a> {
    rows: &'a Rows,
    number: u32,
    row: Row<'a>,
    project: &'a ProjectId,
    liveness: Liveness,
    numbers: OnceCell<Numbers>,
    summary: OnceCell<SummaryRef<'a>>,
}

impl<'a> Asked<'a> {
    fn numbers(&self) -> &Numbers {
        self.numbers.get_or_init(|| self.row.numbers())
    }

    fn summary(&self) -> &SummaryRef<'a> {
        self.summary
            .get_or_init(|| self.row.summary(self.project, self.liveness.stale_after))
    }
}

impl Subject for Asked<'_> {
    fn status(&self) -> StatusText<'_> {
        match self.row.status() {
            STATUS_UNKNOWN => StatusText::Unknown,
            STATUS_OTHER => StatusText::Other(self.row.status_text().unwrap_or_default()),
            known => StatusText::Known(known - 1),
        }
    }

    fn number(&self, which: Number) -> Option<i64> {
        let tokens = || self.numbers().tokens;
        match which {
            Number::StartedAt => self.row.started().map(|at| at.0),
            Number::CompletedAt => self.numbers().completed.map(|at| at.0),
            Number::UpdatedAt => Some(self.row.mtime_ns().div_euclid(1_000_000)),
            Number::StaleAt => self.summary().stale_at.map(|at| at.0),
            Number::Duration => self.numbers().duration.map(|took| took.0),
            Number::Cost => self.numbers().cost,
            Number::SizeBytes => i64::try_from(self.numbers().stamp.size).ok(),
            Number::Steps => Some(self.numbers().steps.into()),
            Number::Retries => self.numbers().retries,
            Number::Tokens => {
                let tokens = tokens();
                tokens
                    .total
                    .or_else(|| match (tokens.input, tokens.output) {
                        (None, None) => None,
                        (input, output) => input.unwrap_or(0).checked_add(output.unwrap_or(0)),
                    })
            }
            Number::InputTokens => tokens().input,
            Number::OutputTokens => tokens().output,
        }
    }

    fn text(&self, which: Text) -> Option<&str> {
        match which {
            Text::Id => Some(self.row.id()),
            Text::Project => Some(self.project.as_str()),
            Text::Label => self.summary().label,
            Text::Model => self.summary().model,
            Text::Note => None,
        }
    }

    fn error(&self) -> ErrorText<'_> {
        let summary = self.summary();
        match summary.error {
            None => ErrorText::None,
            Some(error) if summary.error_truncated => ErrorText::Cut(error),
            Some(error) => ErrorText::Whole(error),
        }
    }

    fn version(&self) -> Version {
        self.row.version()
    }

    fn error_group(&self) -> Option<Fingerprint> {
        self.rows.kept(self.number).fingerprint
    }

    fn any_node(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        let nodes = self.rows.nodes();
        let mut before = None;
        self.rows.kept(self.number).steps().any(|(node, _)| {
            // a loop at one node is asked once
            before.replace(node) != Some(node) && nodes.name(node).is_some_and(|name| test(name))
        })
    }
}

impl Filter {
    /// Whether a row is one of those that the plain filter means.
    pub(super) fn takes(&self, row: Row<'_>, project: &ProjectId) -> bool {
        self.project.as_ref().is_none_or(|id| id == project)
            && self.statuses.as_ref().is_none_or(|statuses| {
                statuses.iter().any(|status| {
                    status_code(status) == row.status()
                        && (row.status() != STATUS_OTHER
                            || row.status_text() == Some(Status::as_str(status)))
                })
            })
    }
}

impl Index {
    /// Begins to look for what passes.
    #[must_use]
    pub fn select(&self, query: Query) -> Selection {
        Selection {
            query,
            marks: Vec::with_capacity(self.rows.numbers() / 64 + 1),
            next: 0,
            changes: Cursor::after(self.clock().tick),
            open: Vec::new(),
            decided: HashMap::new(),
            gathered: 0,
            again: Vec::new(),
            gone: false,
        }
    }

    /// Looks at so many rows more; false when all have been looked at.
    pub fn select_some(&self, selection: &mut Selection, rows: u32) -> bool {
        let end = u32::try_from(self.rows.numbers()).unwrap_or(u32::MAX);
        let upto = selection.next.saturating_add(rows).min(end);
        for number in selection.next..upto {
            self.ask(selection, number);
        }
        selection.next = upto;
        upto < end
    }

    /// Looks again at what changed since; `None` if there is more than that to do first: rows that
    /// are open, or more changes than `visit`, or changes that are not remembered.
    pub fn selected(&self, selection: &mut Selection, visit: usize) -> Option<()> {
        if !self.follows(&selection.changes) {
            (selection.next, selection.gathered) = (0, 0);
            selection.changes = Cursor::after(self.clock().tick);
            return None;
        }
        let mut left = visit;
        let mut changes = std::mem::replace(&mut selection.changes, Cursor::after(0));
        while let Some((_, entry)) = changes.next(&self.changes, &self.rows, &mut left) {
            match entry {
                Entry::Row(number) => self.ask(selection, number),
                Entry::Gone(_) => selection.gone = true,
            }
        }
        selection.changes = changes;
        let done = selection.changes.tick() == self.clock().tick;
        (done && selection.open.is_empty()).then_some(())
    }

    /// Gives so many rows more to `gather`, all of them having been looked at; false when all have
    /// been given.
    pub fn gather_some(
        &self,
        selection: &mut Selection,
        rows: u32,
        gather: &mut impl Gather,
    ) -> bool {
        let end = u32::try_from(self.rows.numbers()).unwrap_or(u32::MAX);
        let upto = selection.gathered.saturating_add(rows).min(end);
        for number in selection.gathered..upto {
            self.gather(selection, number, gather);
        }
        selection.gathered = upto.max(selection.gathered);
        upto < end
    }

    /// Gives those rows to `gather` anew that were asked again since, and those that came. To be
    /// called under one lock with [`Index::selected`], which has said that it is done.
    pub fn gather_changed(&self, selection: &mut Selection, gather: &mut impl Gather) {
        for number in std::mem::take(&mut selection.again) {
            self.gather(selection, number, gather);
        }
        if std::mem::take(&mut selection.gone) {
            // a change tells whose row went, not which it was
            for &number in self.rows.vacant() {
                gather.put(number, None);
            }
        }
        self.gather_some(selection, u32::MAX, gather);
    }

    fn gather(&self, selection: &Selection, number: u32, gather: &mut impl Gather) {
        let row = self
            .rows
            .get(number)
            .filter(|_| selection.passes(number))
            .map(|row| Gathered {
                row,
                kept: self.rows.kept(number),
            });
        gather.put(number, row);
    }

    fn ask(&self, selection: &mut Selection, number: u32) {
        if number < selection.gathered {
            selection.again.push(number);
        }
        let Some(row) = self.rows.get(number) else {
            selection.mark(number, false);
            return;
        };
        let Some(project) = self.project(row.project()).map(|project| &project.id) else {
            return;
        };
        let passes = selection.query.plain.takes(row, project)
            && match selection
                .query
                .bound
                .matches(&self.asked(number, row, project))
            {
                Verdict::Passes => true,
                Verdict::Fails => false,
                Verdict::NeedsError => {
                    let version = row.version();
                    match selection.decided.get(&(number, version)) {
                        Some(passes) => *passes,
                        None => {
                            let key = key_of(row, project);
                            selection.open.extend(key.map(|key| (number, key, version)));
                            false
                        }
                    }
                }
            };
        selection.mark(number, passes);
    }

    fn asked<'a>(&'a self, number: u32, row: Row<'a>, project: &'a ProjectId) -> Asked<'a> {
        Asked {
            rows: &self.rows,
            number,
            row,
            project,
            liveness: self.liveness,
            numbers: OnceCell::new(),
            summary: OnceCell::new(),
        }
    }

    /// Takes in the whole error of a row that was open, if it still is what it was.
    pub fn decide(&self, selection: &mut Selection, open: &Open, error: Option<&str>) {
        let (number, _, version) = open;
        let row = self
            .rows
            .get(*number)
            .filter(|row| row.version() == *version);
        let Some((row, project)) = row.and_then(|row| Some((row, self.project(row.project())?)))
        else {
            // it changed, and is asked again as such
            return;
        };
        let subject = self.asked(*number, row, &project.id);
        let whole = WithError {
            subject: &subject,
            error,
        };
        let passes = selection.query.bound.matches(&whole) == Verdict::Passes;
        selection.decided.insert((*number, *version), passes);
        selection.mark(*number, passes);
        if *number < selection.gathered {
            selection.again.push(*number);
        }
    }

    /// The sums over a finished selection.
    #[must_use]
    pub fn sums_of_selected(&self, selection: &Selection) -> Sums {
        let mut sums = Sums {
            totals: Totals::default(),
            durations: Vec::new(),
            costs: Vec::new(),
            clock: self.clock(),
        };
        let scope = self.scope(selection.query.plain.project.as_ref());
        let rows = scope.into_iter().flat_map(|scope| scope.all.from(0));
        for number in rows.filter(|number| selection.passes(*number)) {
            let Some(row) = self.rows.get(number) else {
                continue;
            };
            sums.totals.add(row);
            let numbers = row.numbers();
            sums.durations.extend(numbers.duration.map(|took| took.0));
            sums.costs.extend(numbers.cost);
        }
        sums
    }

    /// One page of a finished selection, each run given to `each`.
    pub fn visit_selected(
        &self,
        selection: &Selection,
        from: &From,
        limit: usize,
        mut each: impl FnMut(SummaryRef<'_>),
    ) -> PageAt {
        let mut at = PageAt {
            total: 0,
            next: None,
            clock: self.clock(),
        };
        let Some(scope) = self.scope(selection.query.plain.project.as_ref()) else {
            return at;
        };
        let places = self.places();
        // of all runs, and of those that pass
        let (rank, offset) = match from {
            From::Offset(offset) => (0, *offset),
            From::After(key) => {
                let place = Place {
                    started_at: key.started_at,
                    id: &key.id,
                    project: &key.project,
                };
                (scope.all.rank(&place, true, &places), 0)
            }
        };
        let (mut skipped, mut taken, mut more) = (0, 0, false);
        let mut last = None;
        for (position, number) in scope.all.from(0).enumerate() {
            if !selection.passes(number) {
                continue;
            }
            at.total += 1;
            if position < rank {
                continue;
            }
            if skipped < offset {
                skipped += 1;
            } else if taken < limit {
                taken += 1;
                if let Some(summary) = self.summary(number) {
                    last = Some(summary);
                    each(summary);
                }
            } else {
                more = true;
            }
        }
        at.next = last.filter(|_| more).map(|last| Key {
            started_at: last.started_at,
            id: last.id.to_owned(),
            project: last.project_id.to_string(),
        });
        at
    }
}
