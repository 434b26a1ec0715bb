//! Queries that look at every run: in parts, with an end.
//!
//! Nothing else waits for them: each part holds the index for some 0.2 ms, and they run on threads
//! that may be busy, on the helpers that are free, and on threads of their own where they are long.
//! Whoever asks may take it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::help::quick_until;
use super::pace::Pace;
use super::{History, HistoryError, with_help};
use crate::filter::{Bound, RecordTests, Verdict};
use crate::index::{
    Clock, ErrorGroup, ErrorGroups, First, From, GATHERED_BYTES_MAX, Gather, Index, Key, Listed,
    NodeSteps, NodeSums, PageAt, Query, Selection, Sort, SortedFrom, SortedKey, Taken,
};
use crate::model::{Millis, RunKey, Summary};

/// How many rows are looked at under one lock, at most, …
const PART: u32 = if cfg!(test) { 2 } else { 1024 };
/// … and at least, …
const PART_MIN: u32 = if cfg!(test) { 1 } else { 16 };
/// … and for how long, about: a save, and all who come after it, wait for as long. A part that takes
/// longer is looked at under several locks.
const HELD: Duration = Duration::from_micros(200);
/// How many changes are looked at again under the lock that the answer is given under.
const CHANGES: usize = 4096;
/// How much of an error is looked into: as much as an answer could hold.
const ERROR_BYTES_MAX: usize = 64 << 20;
/// How long a query may take.
const QUERY_WITHIN: Duration = Duration::from_secs(2);

/// How many rows are looked at in [`HELD`], if `count` took so long.
fn fitting(count: u32, took: Duration) -> u32 {
    let fit = HELD.as_nanos() * u128::from(count) / took.as_nanos().max(1);
    u32::try_from(fit).unwrap_or(PART).clamp(PART_MIN, PART)
}

/// Groups of errors, each with the summary of its example.
pub type Examples = Vec<(ErrorGroup, Summary)>;

/// Values with the states that they were made with, how many runs they are of, and the state of the
/// index that this is true at.
pub type Chunks<S, T> = (Vec<(S, Vec<T>)>, usize, Clock);

/// Takes a query back when it is dropped.
#[derive(Debug, Default)]
pub struct Wanted(Arc<AtomicBool>);

/// Whether a query was taken back.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wanted {
    /// What the query looks at.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl History {
    /// What `answer` makes of the runs that pass, at one state of the index; it must not block.
    /// Blocks.
    ///
    /// # Errors
    /// [`HistoryError::TooExpensive`] after 2 s; [`HistoryError::Ending`] when it was taken back.
    pub fn select<T>(
        &self,
        query: &Query,
        stop: &Stop,
        answer: impl FnOnce(&Index, &Selection) -> T,
    ) -> Result<T, HistoryError> {
        let going = self.in_time(stop);
        let mut selection = self.look_at_all(query, &mut (), &going)?;
        self.gather(&mut selection, &mut (), &going, |index, selection, ()| {
            answer(index, selection)
        })
    }

    /// The values that `take` makes of each run that passes, in no order; how many runs do; and the
    /// state that this is true at. The values are held until all are there; `take` itself must not
    /// block. Blocks.
    ///
    /// # Errors
    /// As [`History::select`].
    pub fn take<T: Send + Sync>(
        &self,
        query: &Query,
        stop: &Stop,
        take: impl Fn(&Listed<'_>, &mut Vec<T>) + Clone + Send + Sync,
    ) -> Result<(Vec<T>, usize, Clock), HistoryError> {
        let take = |(): &mut (), run: &Listed<'_>, values: &mut Vec<T>| take(run, values);
        let (chunks, runs, clock) = self.take_with((), query, stop, take)?;
        let mut values = Vec::new();
        for ((), mut chunk) in chunks {
            values.append(&mut chunk);
        }
        Ok((values, runs, clock))
    }

    /// The same in chunks, each with the state that `take` made its values with, which began as
    /// `state`. Blocks.
    ///
    /// # Errors
    /// As [`History::select`].
    pub fn take_with<S: Clone + Send + Sync, T: Send + Sync>(
        &self,
        state: S,
        query: &Query,
        stop: &Stop,
        take: impl Fn(&mut S, &Listed<'_>, &mut Vec<T>) + Clone + Send + Sync,
    ) -> Result<Chunks<S, T>, HistoryError> {
        let going = self.in_time(stop);
        let mut taken = Taken::by(state, take);
        let mut selection = self.look_at_all(query, &mut taken, &going)?;
        let clock = |index: &Index, _: &_, _: &mut _| index.clock();
        let clock = self.gather(&mut selection, &mut taken, &going, clock)?;
        let (chunks, runs) = taken.into_chunks();
        Ok((chunks, runs, clock))
    }

    /// One page of the runs that pass, by `sort`, each given to `each`, which must not block; and
    /// the place to go on from. Blocks.
    ///
    /// # Errors
    /// As [`History::select`].
    pub fn sorted(
        &self,
        query: &Query,
        stop: &Stop,
        sort: Sort,
        from: &SortedFrom,
        limit: usize,
        each: impl FnMut(Listed<'_>),
    ) -> Result<(PageAt, Option<SortedKey>), HistoryError> {
        let going = self.in_time(stop);
        let mut first = First::of(sort, from.clone(), limit);
        let mut selection = self.look_at_all(query, &mut first, &going)?;
        let visit = |index: &Index, selection: &Selection, first: &mut First| {
            index.visit_sorted(selection, first, each)
        };
        self.gather(&mut selection, &mut first, &going, visit)
    }

    /// What the steps of the runs that pass sum up to, node by node; how many of the runs have more
    /// steps than are kept; and the state that this is true at. Blocks.
    ///
    /// # Errors
    /// As [`History::select`]; [`HistoryError::TooExpensive`] also for too many steps.
    pub fn node_sums(
        &self,
        query: &Query,
        stop: &Stop,
    ) -> Result<(Vec<NodeSums>, u64, Clock), HistoryError> {
        let going = self.in_time(stop);
        let mut steps = NodeSteps::default();
        let mut selection = self.look_at_all(query, &mut steps, &going)?;
        let state = |index: &Index, _: &_, _: &mut _| (index.node_names(), index.clock());
        let (names, clock) = self.gather(&mut selection, &mut steps, &going, state)?;
        let (sums, truncated) = steps.sums(&names, going)?;
        Ok((sums, truncated, clock))
    }

    /// The first `limit` groups of the errors of the runs that pass, each with its example; how
    /// many groups there are; and the state that this is true at. Blocks.
    ///
    /// # Errors
    /// As [`History::select`].
    pub fn error_groups(
        &self,
        query: &Query,
        limit: usize,
        stop: &Stop,
    ) -> Result<(Examples, usize, Clock), HistoryError> {
        let going = self.in_time(stop);
        let mut errors = ErrorGroups::default();
        let mut selection = self.look_at_all(query, &mut errors, &going)?;
        loop {
            let clock = |index: &Index, _: &_, _: &mut _| index.clock();
            let clock = self.gather(&mut selection, &mut errors, &going, clock)?;
            let groups = errors.groups();
            going()?;
            let with_example = |index: &Index, group: &ErrorGroup| {
                let example = index.example(group)?.to_owned()?;
                Some((*group, example))
            };
            let first = groups.iter().take(limit);
            let first: Option<Vec<_>> =
                self.index(|index| first.map(|group| with_example(index, group)).collect());
            // else one of them changed meanwhile, which they hardly do
            if let Some(first) = first {
                return Ok((first, groups.len(), clock));
            }
        }
    }

    /// Whether a query that begins now may go on; to be asked again and again.
    pub fn in_time<'a>(&'a self, stop: &'a Stop) -> impl Fn() -> Result<(), HistoryError> + 'a {
        let began = Instant::now();
        move || {
            self.going(stop)?;
            if began.elapsed() > QUERY_WITHIN {
                return Err(HistoryError::TooExpensive);
            }
            Ok(())
        }
    }

    /// Looks at all rows and gives those that pass to `gather`: on this thread and on helpers.
    fn look_at_all<G: Gather + Send + Sync>(
        &self,
        query: &Query,
        gather: &mut G,
        going: &(impl Fn() -> Result<(), HistoryError> + Sync),
    ) -> Result<Selection, HistoryError> {
        let select = |index: &Index| (index.select(query.clone()), index.rows());
        let (mut selection, rows) = self.index(select);
        let (next, bytes) = (AtomicU32::new(0), AtomicUsize::new(0));
        let size = AtomicU32::new(PART_MIN);
        // those that no thread works with
        let parts = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        with_help(quick_until(rows), |_| {
            if next.load(Ordering::Relaxed) >= rows {
                return false;
            }
            let part = parts.lock().pop();
            let (mut part, mut of_part) =
                part.unwrap_or_else(|| (selection.beside(), gather.beside()));
            // taken when the part is there, so that each is given its rows in ascending order
            let count = size.load(Ordering::Relaxed);
            let from = next.fetch_add(count, Ordering::Relaxed).min(rows);
            let upto = from.saturating_add(count).min(rows);
            let before = of_part.bytes();
            let (mut at, mut took) = (from, Duration::ZERO);
            while at < upto && going().is_ok() {
                (at, took) = self.index(|index| {
                    let began = Instant::now();
                    let until = began + HELD;
                    let at = index.select_part(&mut part, at..upto, &mut of_part, until);
                    (at, took + began.elapsed())
                });
            }
            size.store(fitting(count, took), Ordering::Relaxed);
            let more = of_part.bytes() - before;
            let bytes = bytes.fetch_add(more, Ordering::Relaxed) + more;
            parts.lock().push((part, of_part));
            let fault = going_within(bytes, going).err();
            let goes_on = fault.is_none();
            if let Some(fault) = fault {
                *failed.lock() = Some(fault);
            }
            goes_on
        });
        if let Some(fault) = failed.into_inner() {
            return Err(fault);
        }
        let (parts, of_parts): (Vec<_>, Vec<_>) = parts.into_inner().into_iter().unzip();
        selection.join(rows, parts);
        gather.join(of_parts);
        Ok(selection)
    }

    /// Looks at the rows that are still to be looked at.
    fn look(
        &self,
        selection: &mut Selection,
        going: &impl Fn() -> Result<(), HistoryError>,
    ) -> Result<(), HistoryError> {
        let until = || Instant::now() + HELD;
        while self.index(|index| index.select_some(selection, PART, until())) {
            going()?;
        }
        let mut pace = Pace::fine_from(Instant::now());
        for open in selection.take_open() {
            pace.keep();
            // it may be long, and asked a lot: not while others wait for the index
            let record = self.ask_record(&open.1, selection.bound(), &|| going().is_ok());
            self.index(|index| index.decide(selection, &open, record));
            going()?;
        }
        Ok(())
    }

    /// Brings `gather` to the index's state, of which `state` tells something; it must not block.
    fn gather<G: Gather, T>(
        &self,
        selection: &mut Selection,
        gather: &mut G,
        going: &impl Fn() -> Result<(), HistoryError>,
        state: impl FnOnce(&Index, &Selection, &mut G) -> T,
    ) -> Result<T, HistoryError> {
        loop {
            self.look(selection, going)?;
            while self.index(|index| index.gather_some(selection, PART, gather)) {
                going_within(gather.bytes(), going)?;
            }
            let index = self.index.read();
            if index.selected(selection, CHANGES).is_some() {
                index.gather_changed(selection, gather);
                let state = state(&index, selection, gather);
                drop(index);
                return going_within(gather.bytes(), going).map(|()| state);
            }
            drop(index);
            going_within(gather.bytes(), going)?;
        }
    }

    /// One run, if it passes; its record is read where that decides.
    pub fn passing(&self, query: &Query, key: &RunKey) -> Option<Summary> {
        let passes = |record: Option<&RecordTests>| {
            self.index(|index| {
                let verdict = index.passes(query, key, record)?;
                Some((verdict, index.summary_of(key)?))
            })
        };
        match passes(None)? {
            (Verdict::Passes, summary) => Some(summary),
            (Verdict::Fails, _) => None,
            (Verdict::NeedsRecord, _) => {
                let record = self.ask_record(key, &query.bound, &|| true);
                let (verdict, summary) = passes(Some(&record))?;
                (verdict == Verdict::Passes).then_some(summary)
            }
        }
    }

    /// The next `rows` runs that the plain filter means, in list order: those that pass with their
    /// starts, and the place to go on from, `None` at the end. Records are not read: a run that
    /// its own decides is given, to be asked by [`History::passing`]. They are fewer where `going` says that
    /// it does not go on.
    pub fn walk(
        &self,
        query: &Query,
        from: &From,
        rows: usize,
        going: &dyn Fn() -> bool,
    ) -> (Vec<(RunKey, Option<Millis>)>, Option<Key>) {
        let mut runs = Vec::new();
        let (mut from, mut left) = (from.clone(), rows);
        loop {
            let (looked, next) = self.index(|index| {
                let until = Instant::now() + HELD;
                let each = |key, started| runs.push((key, started));
                index.passing(query, &from, left, until, each)
            });
            left = left.saturating_sub(looked);
            match next {
                Some(next) if left > 0 && going() => from = From::After(next),
                next => return (runs, next),
            }
        }
    }

    /// What a run's record as it is now says to the tests of `bound`; no test holds if it cannot be
    /// read, or `going` lets it not be read to its end.
    pub(super) fn ask_record(
        &self,
        key: &RunKey,
        bound: &Bound,
        going: &dyn Fn() -> bool,
    ) -> RecordTests {
        let mut asking = bound.asking();
        match self.store.beyond(key, ERROR_BYTES_MAX, going, &mut asking) {
            Ok(true) => asking.tests(),
            Ok(false) | Err(_) => bound.asking().tests(),
        }
    }
}

/// Whether a query that holds so many bytes may go on.
fn going_within(
    bytes: usize,
    going: impl Fn() -> Result<(), HistoryError>,
) -> Result<(), HistoryError> {
    if bytes > GATHERED_BYTES_MAX {
        return Err(HistoryError::TooExpensive);
    }
    going()
}
