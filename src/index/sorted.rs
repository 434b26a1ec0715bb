//! The page of a list in another order than the usual one.
//!
//! Rows are given in parts. What may stand on the page is kept of them, and some more, so that
//! rows that change meanwhile leave enough; what stands behind those is only counted. So the lock
//! that the answer is given under is held for what is kept, not for every row.

use std::collections::HashMap;

use super::gather::Gather;
use super::order::Places;
use super::place::Key;
use super::query::PageAt;
use super::{Index, Listed, Selection};
use crate::filter::Number;

/// How many rows are kept beside those of the page.
const SPARE: usize = if cfg!(test) { 2 } else { 4096 };

/// An order of a list beside the usual one: by a number, where there is none last; the same ones
/// in the usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    /// By which number.
    pub by: Number,
    /// The largest first.
    pub descending: bool,
}

/// The place of a run in a sorted list, to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedKey {
    /// Its number.
    pub number: Option<i64>,
    /// Its place among those that have the same.
    pub key: Key,
}

/// Where a page of a sorted list begins.
#[derive(Debug, Clone)]
pub enum SortedFrom {
    /// So many runs are skipped.
    Offset(usize),
    /// After the place of a run, which may have gone.
    After(SortedKey),
}

/// A row and what it is sorted by; its id and its project tell the same ones apart.
#[derive(Debug, Clone, Copy)]
struct Entry {
    rank: Rank,
    row: u32,
}

/// Whether there is no number, the number and the start, the last two so that what comes first is
/// less.
type Rank = (bool, i64, i64);

impl Sort {
    fn rank(self, number: Option<i64>, started: Option<i64>) -> Rank {
        let ranked = match number {
            Some(number) if self.descending => !number,
            other => other.unwrap_or_default(),
        };
        // the newest first, unknown last
        let started = started.map_or(i64::MAX, |at| !at);
        (number.is_none(), ranked, started)
    }
}

/// What may stand on a page, as far as rows have been looked at.
#[derive(Debug)]
pub struct First {
    sort: Sort,
    from: SortedFrom,
    limit: usize,
    /// How many entries are kept at least.
    keep: usize,
    /// How many there may be before they are cut.
    room: usize,
    found: Vec<Entry>,
    /// What ranks behind this was left out.
    edge: Option<Rank>,
    /// The next row to look at.
    next: u32,
    /// Rows that were given again.
    again: HashMap<u32, Option<Entry>>,
}

impl First {
    /// Nothing yet of the `limit` runs from `from` on.
    #[must_use]
    pub fn of(sort: Sort, from: SortedFrom, limit: usize) -> Self {
        let mut first = Self {
            sort,
            from,
            limit,
            keep: 0,
            room: 0,
            found: Vec::new(),
            edge: None,
            next: 0,
            again: HashMap::new(),
        };
        first.keep = first.end().saturating_add(1 + SPARE);
        first.room = first.keep.saturating_mul(2);
        first
    }

    fn skip(&self) -> usize {
        match self.from {
            SortedFrom::Offset(offset) => offset,
            SortedFrom::After(_) => 0,
        }
    }

    /// How many runs there are up to the page's end.
    fn end(&self) -> usize {
        self.skip().saturating_add(self.limit)
    }

    /// What is kept of a run; none if it does not come after where the page begins.
    fn entry(&self, run: &Listed<'_>) -> Option<Entry> {
        let started = run.started_at().map(|at| at.0);
        let rank = self.sort.rank(run.value(self.sort.by), started);
        if self.edge.is_some_and(|edge| rank > edge) {
            return None;
        }
        if let SortedFrom::After(SortedKey { number, key }) = &self.from {
            let after = self.sort.rank(*number, key.started_at.map(|at| at.0));
            let later = rank.cmp(&after).then_with(|| {
                let place = (run.row().id().as_bytes(), run.project().as_str().as_bytes());
                place.cmp(&(key.id.as_bytes(), key.project.as_bytes()))
            });
            if later.is_le() {
                return None;
            }
        }
        let row = run.number();
        Some(Entry { rank, row })
    }

    /// Leaves out what no page can reach.
    fn cut(&mut self) {
        let Some(last) = self.keep.checked_sub(1) else {
            return;
        };
        let (_, edge, _) = self
            .found
            .select_nth_unstable_by_key(last, |entry| entry.rank);
        let edge = edge.rank;
        // what ranks the same stays, however much it is
        self.found.retain(|entry| entry.rank <= edge);
        self.room = self.room.max(self.found.len().saturating_mul(2));
        self.edge = Some(edge);
    }

    /// Puts rows that were given again in their places.
    fn settle(&mut self) {
        let again = std::mem::take(&mut self.again);
        if !again.is_empty() {
            self.found.retain(|entry| !again.contains_key(&entry.row));
            self.found.extend(again.into_values().flatten());
        }
    }
}

impl Gather for First {
    fn beside(&self) -> Self {
        Self::of(self.sort, self.from.clone(), self.limit)
    }

    fn join(&mut self, parts: Vec<Self>) {
        for part in parts {
            self.found.extend(part.found);
            self.next = self.next.max(part.next);
            let edges = [self.edge, part.edge].into_iter().flatten();
            self.edge = edges.min();
        }
        // what was left out of one is left out of all
        if let Some(edge) = self.edge {
            self.found.retain(|entry| entry.rank <= edge);
        }
        self.room = self.room.max(self.found.len().saturating_mul(2));
    }

    fn put(&mut self, number: u32, run: Option<Listed<'_>>) {
        let entry = run.and_then(|run| self.entry(&run));
        if number < self.next {
            self.again.insert(number, entry);
            return;
        }
        self.next = number.saturating_add(1);
        self.found.extend(entry);
        if self.found.len() > self.room {
            self.cut();
        }
    }
}

impl Index {
    /// The page that `first` was gathered for from all rows of `selection`, each run given to
    /// `each`. Costs the sorting of what is kept.
    pub fn visit_sorted(
        &self,
        selection: &Selection,
        first: &mut First,
        mut each: impl FnMut(Listed<'_>),
    ) -> (PageAt, Option<SortedKey>) {
        first.settle();
        if first.edge.is_some() && first.found.len() <= first.end() {
            // more of them went than there were to spare, which hardly ever happens
            (first.keep, first.room, first.edge) = (usize::MAX, usize::MAX, None);
            first.found.clear();
            first.next = 0;
            self.gather_all(selection, first);
        }
        let at = PageAt {
            total: selection.total(),
            next: None,
            clock: self.clock(),
        };
        let places = self.places();
        let order = |one: &Entry, other: &Entry| {
            let place = |entry: &Entry| places.place(entry.row);
            let by_place = || place(one).cmp(&place(other));
            one.rank.cmp(&other.rank).then_with(by_place)
        };
        let skip = first.skip().min(first.found.len());
        let mut page = &mut first.found[..];
        if 0 < skip && skip < page.len() {
            page.select_nth_unstable_by(skip, order);
        }
        page = page.get_mut(skip..).unwrap_or_default();
        let more = page.len() > first.limit;
        if more && let Some(last) = first.limit.checked_sub(1) {
            page.select_nth_unstable_by(last, order);
        }
        page = page.split_at_mut(first.limit.min(page.len())).0;
        page.sort_unstable_by(order);
        let mut last = None;
        for entry in page {
            if let Some(run) = self.listed(entry.row) {
                last = Some(run);
                each(run);
            }
        }
        let next = last.filter(|_| more).map(|run| SortedKey {
            number: run.value(first.sort.by),
            key: run.key(),
        });
        (at, next)
    }
}
