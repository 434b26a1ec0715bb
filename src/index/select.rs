//! Runs that pass a filter which no order answers.
//!
//! Every row is looked at once, some thousand at a time and fewer where that takes long, so that no lock
//! is held long; what changed meanwhile is looked at again at the end, under the lock that the answer is
//! given under, so that the answer is true at its clock. What passes is a bit a row. Where what is kept of
//! a record does not decide, or asking it would take long, the caller reads the record.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use chrono_tz::Tz;
use hashbrown::HashSet;

use super::changes::{Cursor, Entry};
use super::gather::Gather;
use super::place::Key;
use super::query::{Changed, Filter, From, PageAt};
use super::row::{Row, STATUS_OTHER, STATUS_UNKNOWN, key_of, status_code};
use super::steps::Kept;
use super::{Index, Listed};
use crate::filter::{
    Bound, ErrorText, Number, RecordTests, StatusText, Subject, Text, Verdict, Where, WithRecord,
};
use crate::model::{
    Annotation, Fingerprint, Millis, ProjectId, RunKey, Status, Step, Summary, Version,
};

/// What is asked for: the filter beside the plain one, at its moment.
#[derive(Debug, Clone)]
pub struct Query {
    /// What an order answers.
    pub plain: Filter,
    /// The rest.
    pub bound: Bound,
}

impl std::convert::From<Filter> for Query {
    /// What an order answers alone.
    fn from(plain: Filter) -> Self {
        let bound = Where::default().at(Millis(0), Tz::UTC);
        Self { plain, bound }
    }
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
    /// Rows that their records decide, as they were.
    open: Vec<(u32, RunKey, Version)>,
    /// What records have said, none where one could not be read; what is noted on a run may change while
    /// its record stays.
    heard: HashMap<(u32, Version), Option<RecordTests>>,
    /// The next row to gather from; those before it have been.
    gathered: u32,
    /// Rows that were asked again after they had been gathered from.
    again: Vec<u32>,
}

/// A run whose record of this version is to be asked.
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

    /// One for the same query that has looked at nothing, for rows that nobody else looks at.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            query: self.query.clone(),
            marks: Vec::new(),
            next: 0,
            changes: Cursor::after(self.changes.tick()),
            open: Vec::new(),
            heard: HashMap::new(),
            gathered: 0,
            again: Vec::new(),
        }
    }

    /// Takes in what `parts` have looked at, which together are the first `rows` rows.
    pub fn join(&mut self, rows: u32, parts: Vec<Self>) {
        for part in parts {
            if self.marks.len() < part.marks.len() {
                self.marks.resize(part.marks.len(), 0);
            }
            for (mark, of_part) in self.marks.iter_mut().zip(part.marks) {
                *mark |= of_part;
            }
            self.open.extend(part.open);
        }
        (self.next, self.gathered) = (rows, rows);
    }

    /// How many runs pass, when all have been looked at.
    #[must_use]
    pub fn total(&self) -> usize {
        let ones = self.marks.iter().map(|word| word.count_ones() as usize);
        ones.sum()
    }

    /// What each of [`Selection::take_open`] is to be asked, while no lock is held.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.query.bound
    }

    /// The rows whose records are to be asked now; each is to be given to [`Index::decide`].
    pub fn take_open(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.open)
    }
}

/// A change of a run whose record decides what the change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    open: Open,
    created: bool,
    summary: Box<Summary>,
}

impl Undecided {
    /// The run whose record is to be asked.
    #[must_use]
    pub fn open(&self) -> &Open {
        &self.open
    }
}

/// How many rows are asked together: so many are near while they are asked one thing after the other.
const TOGETHER: usize = if cfg!(test) { 2 } else { 512 };
/// More tests than these of so many rows are more than can be done before the clock is looked at.
const CHECKS: usize = 4 * TOGETHER;
/// How much may be done before that otherwise, in nodes that a test is asked of, about.
const WORK: usize = if cfg!(test) { 16 } else { 4096 };
/// A run that is more than this, some milliseconds, is asked by its record, while nobody waits for the
/// index.
const WORK_OF_RUN: usize = if cfg!(test) { 24 } else { 1 << 17 };
/// How many bytes of steps are about a node.
const NODE_BYTES: usize = 8;
/// Steps of more bytes than these are gone through once, however many tests are asked.
const LONG: usize = if cfg!(test) { 16 } else { 512 };

/// A row, to be asked by a filter.
struct Asked<'a> {
    index: &'a Index,
    number: u32,
    row: Row<'a>,
    /// Of long steps, once a test has asked.
    nodes: OnceCell<Box<Distinct>>,
}

/// The nodes of a run, each once, in the order of their steps.
struct Distinct {
    all: Vec<u32>,
    failed: Vec<u32>,
}

impl Distinct {
    fn of(kept: Kept<'_>) -> Self {
        let (mut seen, mut seen_failed) = (HashSet::new(), HashSet::new());
        let (mut all, mut failed) = (Vec::new(), Vec::new());
        for (node, step) in kept.steps() {
            if seen.insert(node) {
                all.push(node);
            }
            if Step::has_failed(step) && seen_failed.insert(node) {
                failed.push(node);
            }
        }
        Self { all, failed }
    }
}

impl Asked<'_> {
    fn annotation(&self) -> Option<&Annotation> {
        let project = self.index.project(self.row.project())?;
        self.index.annotation_of(self.row, &project.id)
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
        self.row.number(which, self.index.liveness.stale_after)
    }

    fn text(&self, which: Text) -> Option<&str> {
        match which {
            Text::Id => Some(self.row.id()),
            Text::Project => Some(self.index.name(self.row.project())),
            Text::Label => self.row.label(),
            Text::Model => self.row.model(),
            Text::Note => self.annotation()?.note.as_deref(),
        }
    }

    fn error(&self) -> ErrorText<'_> {
        match self.row.error() {
            (None, _) => ErrorText::None,
            (Some(error), true) => ErrorText::Cut(error),
            (Some(error), false) => ErrorText::Whole(error),
        }
    }

    fn error_bytes(&self) -> &[u8] {
        self.row.error_bytes()
    }

    fn version(&self) -> Version {
        self.row.version()
    }

    fn error_group(&self) -> Option<Fingerprint> {
        self.index.rows.kept(self.number).head.fingerprint
    }

    fn any_tag(&self, test: impl FnMut(&str) -> bool) -> bool {
        let tags = self.annotation().map_or(&[][..], |of| &of.tags);
        tags.iter().map(String::as_str).any(test)
    }

    fn pinned(&self) -> bool {
        self.annotation()
            .is_some_and(|annotation| annotation.pinned)
    }

    fn any_node(&self, failed: bool, mut test: impl FnMut(&str) -> bool) -> Option<bool> {
        let nodes = self.index.rows.nodes();
        let mut has = |node: u32| nodes.name(node).is_some_and(|name| test(name));
        let kept = self.index.rows.kept(self.number);
        let found = if kept.packed.len() > LONG {
            let nodes = self.nodes.get_or_init(|| Box::new(Distinct::of(kept)));
            let mut nodes = if failed { &nodes.failed } else { &nodes.all }.iter();
            nodes.any(|node| has(*node))
        } else {
            let mut before = None;
            let mut steps = kept
                .steps()
                .filter(|(_, step)| !failed || Step::has_failed(step));
            // a loop at one node is asked once
            steps.any(|(node, _)| before.replace(node) != Some(node) && has(node))
        };
        (found || !kept.head.lacks_nodes).then_some(found)
    }
}

/// Whether a row passes that its record decides. Of one that could not be read nothing is known, which no
/// `not` makes true.
fn passes_with(bound: &Bound, subject: &Asked<'_>, record: Option<&RecordTests>) -> bool {
    record.is_some_and(|record| bound.matches(&WithRecord { subject, record }) == Verdict::Passes)
}

impl Filter {
    /// Whether a row is one of those that the plain filter means.
    pub(super) fn takes(&self, row: Row<'_>, project: &ProjectId) -> bool {
        self.project.as_ref().is_none_or(|id| id == project) && self.takes_status(row)
    }

    fn takes_status(&self, row: Row<'_>) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| {
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
            marks: Vec::with_capacity(self.rows.end() / 64 + 1),
            next: 0,
            changes: Cursor::after(self.clock().tick),
            open: Vec::new(),
            heard: HashMap::new(),
            gathered: 0,
            again: Vec::new(),
        }
    }

    /// How many rows there are to look at.
    #[must_use]
    pub fn rows(&self) -> u32 {
        u32::try_from(self.rows.end()).unwrap_or(u32::MAX)
    }

    /// Looks at some rows for the part of a selection, and gives those that pass to `gather`; up to
    /// which it came, as it ends at about `until`.
    pub fn select_part(
        &self,
        part: &mut Selection,
        rows: Range<u32>,
        gather: &mut impl Gather,
        until: Instant,
    ) -> u32 {
        let stopped = self.ask(part, rows.clone(), Some(until));
        let end = stopped.unwrap_or(rows.end);
        for number in rows.start..end {
            self.gather(part, number, gather);
        }
        end
    }

    /// Looks at so many rows more, or at fewer, as it ends at about `until`; false when all have been
    /// looked at.
    pub fn select_some(&self, selection: &mut Selection, rows: u32, until: Instant) -> bool {
        let end = self.rows();
        let upto = selection.next.saturating_add(rows).min(end);
        let rows = selection.next..upto;
        let upto = self.ask(selection, rows, Some(until)).unwrap_or(upto);
        selection.next = upto;
        upto < end
    }

    /// Looks again at what changed since; `None` if there is more than that to do first: rows that
    /// are open, or more changes than `visit`, or changes that are not remembered.
    pub fn selected(&self, selection: &mut Selection, visit: usize) -> Option<()> {
        if !self.follows(&selection.changes) || self.lacks_older(&selection.changes) {
            (selection.next, selection.gathered) = (0, 0);
            selection.changes = Cursor::after(self.clock().tick);
            return None;
        }
        let mut left = visit;
        let mut changes = std::mem::replace(&mut selection.changes, Cursor::after(0));
        let (mut changed, mut gone) = (Vec::new(), false);
        while let Some((_, entry)) = changes.next(&self.changes, &self.rows, &mut left) {
            match entry {
                Entry::Row(number) => {
                    let work = self.work(&selection.query.bound, number);
                    left = left.saturating_sub(work / NODE_BYTES);
                    changed.push(number);
                }
                Entry::Gone(_) => gone = true,
            }
        }
        if gone {
            // a change tells whose row went, not which it was
            for &number in self.rows.vacant() {
                if selection.passes(number) {
                    selection.mark(number, false);
                    let again = number < selection.gathered;
                    selection.again.extend(again.then_some(number));
                }
            }
        }
        self.ask(selection, changed.into_iter(), None);
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
        let end = self.rows();
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
        self.gather_some(selection, u32::MAX, gather);
    }

    /// Gives all rows to `gather`, whether it has had them or not.
    pub(super) fn gather_all(&self, selection: &Selection, gather: &mut impl Gather) {
        for number in 0..self.rows() {
            self.gather(selection, number, gather);
        }
    }

    fn gather(&self, selection: &Selection, number: u32, gather: &mut impl Gather) {
        let run = selection.passes(number).then(|| self.listed(number));
        gather.put(number, run.flatten());
    }

    /// Looks at some rows; at which it has stopped, if it is `until` before all have been looked at.
    fn ask(
        &self,
        selection: &mut Selection,
        numbers: impl Iterator<Item = u32> + Clone,
        until: Option<Instant>,
    ) -> Option<u32> {
        let gathered = selection.gathered;
        let again = numbers.clone().filter(|number| *number < gathered);
        selection.again.extend(again);
        let project = selection.query.plain.project.as_ref();
        let project = project.map(|id| self.project_numbers.get(id).copied());
        let bound = selection.query.bound.clone();
        let together = (CHECKS / bound.checks().max(1)).clamp(1, TOGETHER);
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        let mut numbers = numbers.peekable();
        let mut left: Vec<(Asked<'_>, bool)> = Vec::new();
        let mut few: Vec<(Asked<'_>, bool)> = Vec::new();
        while numbers.peek().is_some() {
            let plain = &selection.query.plain;
            let some = numbers.clone().take(together);
            left.extend(some.clone().filter_map(|number| {
                let row = self.rows.get(number)?;
                let of_project = project.is_none_or(|wanted| wanted == Some(row.project()));
                let meant = of_project && plain.takes_status(row);
                meant.then(|| (self.asked(number, row), false))
            }));
            bound.sift(&mut left);
            some.for_each(|number| selection.mark(number, false));
            if bound.costly() == 0 {
                self.mark_all(selection, &mut left);
            }
            let mut rest = left.drain(..).peekable();
            while rest.peek().is_some() {
                let (mut work, mut long) = (0, None);
                while work < WORK
                    && long.is_none()
                    && let Some(next) = rest.next()
                {
                    let own = self.work(&bound, next.0.number);
                    work += own;
                    match own > WORK_OF_RUN {
                        true => long = Some((next.0, true)),
                        false => few.push(next),
                    }
                }
                bound.sift_costly(&mut few);
                few.extend(long);
                self.mark_all(selection, &mut few);
                if let Some((next, _)) = rest.peek()
                    && is_over()
                {
                    return Some(next.number);
                }
            }
            numbers.nth(together - 1);
            if let Some(next) = numbers.peek()
                && is_over()
            {
                return Some(*next);
            }
        }
        None
    }

    /// Marks rows that pass, or that their records decide.
    fn mark_all(&self, selection: &mut Selection, rows: &mut Vec<(Asked<'_>, bool)>) {
        for (asked, open) in rows.drain(..) {
            let passes = !open || self.is_decided(selection, &asked);
            selection.mark(asked.number, passes);
        }
    }

    /// How much the costly tests of a row are, about: of how many nodes, or what takes as long, a test is
    /// asked.
    fn work(&self, bound: &Bound, number: u32) -> usize {
        let nodes = match bound.asks_nodes() {
            true => self.rows.kept(number).packed.len() / NODE_BYTES,
            false => 0,
        };
        bound.costly() * (NODE_BYTES + nodes)
    }

    /// What a row says; it needs its record also where that would take long.
    fn matches(&self, bound: &Bound, asked: &Asked<'_>) -> Verdict {
        match self.work(bound, asked.number) > WORK_OF_RUN {
            true => Verdict::NeedsRecord,
            false => bound.matches(asked),
        }
    }

    /// Whether a row passes that its record decides; if that is not known, it is to be asked.
    fn is_decided(&self, selection: &mut Selection, asked: &Asked<'_>) -> bool {
        let (number, version) = (asked.number, asked.row.version());
        if let Some(record) = selection.heard.get(&(number, version)) {
            return passes_with(&selection.query.bound, asked, record.as_ref());
        }
        let key = self.listed(number).and_then(|run| run.run_key());
        selection.open.extend(key.map(|key| (number, key, version)));
        false
    }

    /// Whether one run passes; `None` if it is not there. `record` is what its record says, if that is
    /// known.
    #[must_use]
    pub fn passes(
        &self,
        query: &Query,
        key: &RunKey,
        record: Option<&RecordTests>,
    ) -> Option<Verdict> {
        self.verdict(query, self.find(key)?, record)
    }

    /// The next `rows` runs that the plain filter means, in list order, or fewer, as it ends at about
    /// `until`; each that the rest does not exclude is given to `each` with its start. How many they are,
    /// and the place to go on from, `None` at the end.
    pub fn passing(
        &self,
        query: &Query,
        from: &From,
        rows: usize,
        until: Instant,
        mut each: impl FnMut(RunKey, Option<Millis>),
    ) -> (usize, Option<Key>) {
        let bound = &query.bound;
        let (mut looked, mut last) = (0, None);
        // what was done since the clock was looked at; `None` when it is time
        let mut work = Some(0);
        let mut left = false;
        let page = self.visit_rows(&query.plain, from, rows, |number| {
            let Some(done) = work else {
                left = true;
                return;
            };
            let done = done + NODE_BYTES + bound.checks() + self.work(bound, number);
            (looked, last) = (looked + 1, Some(number));
            let verdict = self.verdict(query, number, None);
            let row = self.rows.get(number);
            if verdict.is_some_and(|verdict| verdict != Verdict::Fails)
                && let Some(row) = row
                && let Some(project) = self.project(row.project())
                && let Some(key) = key_of(row, &project.id)
            {
                each(key, row.started());
            }
            work = match done < WORK {
                true => Some(done),
                false => (Instant::now() < until).then_some(0),
            };
        });
        let last = last.filter(|_| left);
        let next = match last {
            Some(last) => self.listed(last).map(|run| run.key()),
            None => page.next,
        };
        (looked, next)
    }

    /// What a row is to a query, looked at alone.
    fn verdict(&self, query: &Query, number: u32, record: Option<&RecordTests>) -> Option<Verdict> {
        let row = self.rows.get(number)?;
        let project = &self.project(row.project())?.id;
        if !query.plain.takes(row, project) {
            return Some(Verdict::Fails);
        }
        let subject = self.asked(number, row);
        Some(match record {
            None => self.matches(&query.bound, &subject),
            Some(record) => query.bound.matches(&WithRecord {
                subject: &subject,
                record,
            }),
        })
    }

    fn asked<'a>(&'a self, number: u32, row: Row<'a>) -> Asked<'a> {
        Asked {
            index: self,
            number,
            row,
            nodes: OnceCell::new(),
        }
    }

    /// Takes in what the record of a row says that was open, if that still is what it was; none if it
    /// cannot be read.
    pub fn decide(&self, selection: &mut Selection, open: &Open, record: Option<RecordTests>) {
        let (number, _, version) = open;
        let row = self.rows.get(*number);
        let Some(row) = row.filter(|row| row.version() == *version) else {
            // it changed, and is asked again as such
            return;
        };
        let subject = self.asked(*number, row);
        let passes = passes_with(&selection.query.bound, &subject, record.as_ref());
        selection.heard.insert((*number, *version), record);
        selection.mark(*number, passes);
        if *number < selection.gathered {
            selection.again.push(*number);
        }
    }

    /// The runs of a finished selection that are left out because their records, which decide, could not
    /// be read.
    pub fn undecided<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = Listed<'a>> {
        let unread = selection.heard.iter().filter(|(_, heard)| heard.is_none());
        let open = unread.filter(|((number, version), _)| {
            let row = self.rows.get(*number);
            row.is_some_and(|row| row.version() == *version)
                && self.verdict(&selection.query, *number, None) == Some(Verdict::NeedsRecord)
        });
        open.filter_map(|((number, _), _)| self.listed(*number))
    }

    /// Those of [`Index::undecided`], which are told anew when they can be read: a reader goes on from the
    /// state that this is called at.
    pub fn note_unheard(&self, selection: &Selection) -> Vec<RunKey> {
        let mut unheard = self.unheard.lock();
        let note = |run: Listed<'_>| {
            unheard.insert(run.number());
            run.run_key()
        };
        self.undecided(selection).filter_map(note).collect()
    }

    /// What a change of a row is to a reader who asked `query`.
    pub(super) fn changed_row(&self, number: u32, query: &Query) -> Option<Changed> {
        let run = self.listed(number)?;
        let (row, project) = (run.row(), run.project());
        if query.plain.project.as_ref().is_some_and(|id| id != project) {
            return None;
        }
        let verdict = if query.plain.takes(row, project) {
            self.matches(&query.bound, &self.asked(number, row))
        } else {
            Verdict::Fails
        };
        let summary = || run.summary().to_owned().map(Box::new);
        let created = row.created();
        Some(match verdict {
            Verdict::Fails => Changed::Left(key_of(row, project)?),
            Verdict::Passes => Changed::Saved {
                created,
                summary: summary()?,
            },
            Verdict::NeedsRecord => Changed::Undecided(Undecided {
                open: (number, key_of(row, project)?, row.version()),
                created,
                summary: summary()?,
            }),
        })
    }

    /// What a change that was undecided is to a reader who asked `query`, with what the record says, none
    /// if it cannot be read, which makes that another change; `None` if the run is not as it was, and the
    /// change that made it so is told by itself.
    #[must_use]
    pub fn decide_change(
        &self,
        undecided: Undecided,
        query: &Query,
        record: Option<&RecordTests>,
    ) -> Option<Changed> {
        let Undecided {
            open: (number, key, version),
            created,
            summary,
        } = undecided;
        let run = self.listed(number)?;
        if run.row().version() != version || run.row().id() != key.execution.as_str() {
            return None;
        }
        if record.is_none() {
            self.unheard.lock().insert(number);
        }
        let subject = self.asked(run.number(), run.row());
        Some(match passes_with(&query.bound, &subject, record) {
            true => Changed::Saved { created, summary },
            false => Changed::Left(key),
        })
    }

    /// One page of a finished selection, each run given to `each`. Costs a look at the mark of each
    /// run up to the page's end.
    pub fn visit_selected(
        &self,
        selection: &Selection,
        from: &From,
        limit: usize,
        mut each: impl FnMut(Listed<'_>),
    ) -> PageAt {
        let mut at = PageAt {
            total: selection.total(),
            next: None,
            clock: self.clock(),
        };
        let Some(scope) = self.scope(selection.query.plain.project.as_ref()) else {
            return at;
        };
        // of all runs, and of those that pass
        let (rank, offset) = match from {
            From::Offset(offset) => (0, *offset),
            From::After(key) => (scope.all.rank(&key.place(), true, &self.places()), 0),
        };
        if offset >= at.total {
            return at;
        }
        let numbers = scope.all.from(rank);
        let mut numbers = numbers
            .filter(|number| selection.passes(*number))
            .skip(offset);
        let mut last = None;
        for run in numbers
            .by_ref()
            .take(limit)
            .filter_map(|number| self.listed(number))
        {
            last = Some(run);
            each(run);
        }
        if let Some(last) = last
            && numbers.next().is_some()
        {
            at.next = Some(last.key());
        }
        at
    }
}
