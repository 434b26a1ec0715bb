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
use super::patience::Pause;
use super::{History, HistoryError, with_help};
use crate::filter::{Bound, RecordTests, Verdict};
use crate::index::{
    Clock, ErrorGroup, ErrorGroups, First, From, GATHERED_BYTES_MAX, Gather, Index, Key, Listed,
    NodeSteps, NodeSums, Open, PageAt, Query, Selection, Sort, SortedFrom, SortedKey, Taken,
};
use crate::model::{Millis, RunKey, Stamp, Summary, Version};
use crate::watch::Mark;

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

/// Whether something was taken back.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes it back.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

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
        self.stop().set();
    }
}

impl History {
    /// What `answer` makes of the runs that pass, at one state of the index; it must not block.
    /// Blocks.
    ///
    /// # Errors
    /// [`HistoryError::TooExpensive`] after 2 s; [`HistoryError::TakenBack`] when it was taken back;
    /// [`HistoryError::Read`] where the system is short of what reading a record takes.
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

    /// As [`History::take`], but in chunks, each with the state that `take` made its values with, which began as
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
        let ((chunks, runs), clock) =
            self.take_beside(state, query, stop, take, |index, _| index.clock())?;
        Ok((chunks, runs, clock))
    }

    /// The values in chunks and how many runs they are of; and what `beside` makes of the state that they
    /// are true at, which must not block.
    #[allow(clippy::type_complexity)] // two results made in one walk
    pub(super) fn take_beside<S: Clone + Send + Sync, T: Send + Sync, U>(
        &self,
        state: S,
        query: &Query,
        stop: &Stop,
        take: impl Fn(&mut S, &Listed<'_>, &mut Vec<T>) + Clone + Send + Sync,
        beside: impl FnOnce(&Index, &Selection) -> U,
    ) -> Result<((Vec<(S, Vec<T>)>, usize), U), HistoryError> {
        let going = self.in_time(stop);
        let mut taken = Taken::by(state, take);
        let mut selection = self.look_at_all(query, &mut taken, &going)?;
        let beside = |index: &Index, selection: &Selection, _: &mut _| beside(index, selection);
        let beside = self.gather(&mut selection, &mut taken, &going, beside)?;
        Ok((taken.into_chunks(), beside))
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
        let (open, bound) = (selection.take_open(), selection.bound().clone());
        let decide =
            |open: Open, record| self.index(|index| index.decide(selection, &open, record));
        self.ask_records(open, |open| open, &bound, going, decide)
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
                let unheard = index.note_unheard(selection);
                drop(index);
                self.look_for_unheard(unheard);
                return going_within(gather.bytes(), going).map(|()| state);
            }
            drop(index);
            going_within(gather.bytes(), going)?;
        }
    }

    /// Looks at runs whose records could not be read: their files may have come back before the index
    /// knew that it is to tell of it.
    pub(super) fn look_for_unheard(&self, runs: Vec<RunKey>) {
        let now = Instant::now();
        for key in runs {
            self.mark(Mark::Run(key), now);
        }
    }

    /// One run, if it passes; its record is read where that decides.
    ///
    /// # Errors
    /// Those of [`History::get`], of which [`History::may_return`] says whether to ask again, and those of
    /// `going`.
    pub fn passing(
        &self,
        query: &Query,
        key: &RunKey,
        going: &dyn Fn() -> Result<(), HistoryError>,
    ) -> Result<Option<Summary>, HistoryError> {
        let passes = |record: Option<&RecordTests>| {
            self.index(|index| {
                let verdict = index.passes(query, key, record)?;
                Some((verdict, index.held(key)?.1, index.summary_of(key)?))
            })
        };
        let passing = match passes(None) {
            Some((Verdict::NeedsRecord, version, _)) => {
                let record = self.ask_record(key, version, &query.bound, going)?;
                // else it changed meanwhile, and that was not asked
                passes(Some(&record)).filter(|(_, now, _)| *now == version)
            }
            known => known,
        };
        let passing = passing.filter(|(verdict, ..)| *verdict == Verdict::Passes);
        Ok(passing.map(|(.., summary)| summary))
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

    /// What their records say to the tests of `bound`, given to `each` with those that were to be asked;
    /// none of what is not there, and not after a moment either.
    ///
    /// # Errors
    /// Those of `going`; [`HistoryError::Read`] where the system is short of what reading takes.
    pub(super) fn ask_records<T>(
        &self,
        mut left: Vec<T>,
        open: impl Fn(&T) -> &Open,
        bound: &Bound,
        going: &dyn Fn() -> Result<(), HistoryError>,
        mut each: impl FnMut(T, Option<RecordTests>),
    ) -> Result<(), HistoryError> {
        let mut pace = Pace::fine_from(Instant::now());
        let mut pause = Pause::default();
        loop {
            let (mut away, mut short) = (Vec::new(), None);
            for one in left {
                pace.keep();
                let (_, key, version) = open(&one);
                // it may be long, and asked a lot: not while others wait for the index
                match self.ask_record(key, *version, bound, going) {
                    Ok(record) => each(one, Some(record)),
                    Err(error @ (HistoryError::Read(_) | HistoryError::NotFound(_))) => {
                        // else it changed, and that is told by itself
                        match error.is_short() || self.version(key) == Some(*version) {
                            true => away.push(one),
                            false => each(one, None),
                        }
                        short = short.or(error.is_short().then_some(error));
                    }
                    Err(error) => return Err(error),
                }
                going()?;
            }
            if away.is_empty() {
                return Ok(());
            }
            if !pause.wait() {
                if let Some(error) = short {
                    return Err(error);
                }
                away.into_iter().for_each(|one| each(one, None));
                return Ok(());
            }
            left = away;
        }
    }

    /// What a run's record says to the tests of `bound`, if it is of this version. Where it is not, the
    /// run is looked at.
    ///
    /// # Errors
    /// [`HistoryError::Read`], [`HistoryError::NotFound`] also of another version, and those of `going`.
    fn ask_record(
        &self,
        key: &RunKey,
        version: Version,
        bound: &Bound,
        going: &dyn Fn() -> Result<(), HistoryError>,
    ) -> Result<RecordTests, HistoryError> {
        let mut asking = bound.asking();
        let lasts = || going().is_ok();
        let read = self.store.beyond(key, ERROR_BYTES_MAX, &lasts, &mut asking);
        // ended, it says nothing of the file
        going()?;
        let stamp = read.as_ref().ok().copied().flatten();
        if stamp.is_some_and(|stamp| self.is_of_version(key, stamp, version)) {
            return Ok(asking.tests());
        }
        self.mark(Mark::Run(key.clone()), Instant::now());
        read?;
        Err(HistoryError::NotFound(key.clone()))
    }

    /// Whether the file with this stamp holds this version of a run that is listed as such.
    fn is_of_version(&self, key: &RunKey, stamp: Stamp, version: Version) -> bool {
        match self.index(|index| index.held(key)) {
            Some((_, held, _)) if held != version => false,
            Some((known, _, false)) if known == stamp => true,
            Some(_) => {
                let found = self.store.scan(key).ok().flatten();
                found.is_some_and(|found| (found.stamp, found.version) == (stamp, version))
            }
            None => false,
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::PathBuf;

    use chrono_tz::Tz;
    use rustix::io::Errno;

    use super::*;
    use crate::filter::Where;
    use crate::history::{Moment, Options};
    use crate::index::{Change, Changed, Cursor, Filter};
    use crate::model::{ExecutionId, ProjectId};
    use crate::store::Expect;
    use crate::store::tests::steps::refusing_to_open;

    /// A failed run, whose record has to be asked what its error says.
    struct Ground {
        _root: tempfile::TempDir,
        history: History,
        key: RunKey,
        file: PathBuf,
    }

    fn record(error: &str) -> String {
        format!(
            r#"{{"id":"x","status":"failed","error":"{} {error}"}}"#,
            "-".repeat(10_000)
        )
    }

    impl Ground {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let history = History::new(root.path().to_owned(), Options::default());
            let key = RunKey {
                project: ProjectId::parse("p").unwrap(),
                execution: ExecutionId::parse("x").unwrap(),
            };
            history
                .save(&key, &record("needle"), &Expect::Anything)
                .unwrap();
            let file = root.path().join("p/executions/x.json");
            Self {
                _root: root,
                history,
                key,
                file,
            }
        }

        /// How many runs pass, and of how many that is not known.
        fn choose(&self, filter: &str) -> (usize, usize) {
            let wanted = Wanted::default();
            let choice = self.history.choose(&query(filter), &wanted.stop());
            let choice = choice.unwrap();
            (choice.chosen.len(), choice.undecided.len())
        }
    }

    fn query(filter: &str) -> Query {
        Query {
            plain: Filter::default(),
            bound: Where::parse(filter).unwrap().at(Millis(0), Tz::UTC),
        }
    }

    #[test]
    fn what_cannot_be_read_passes_no_test_and_no_negated_one() {
        let ground = Ground::new();
        let kept = std::fs::read(&ground.file).unwrap();
        assert_eq!(ground.choose("error ~ needle"), (1, 0));
        assert_eq!(ground.choose("not error ~ needle"), (0, 0));
        for torn in [true, false] {
            match torn {
                true => std::fs::write(&ground.file, "{").unwrap(),
                false => std::fs::remove_file(&ground.file).unwrap(),
            }
            assert_eq!(ground.choose("error ~ needle"), (0, 1));
            assert_eq!(ground.choose("not error ~ needle"), (0, 1));
            // what its row says decides
            assert_eq!(
                ground.choose("status = failed or not error ~ needle"),
                (1, 0)
            );
            assert_eq!(
                ground.choose("status = queued and not error ~ needle"),
                (0, 0)
            );
            let going = || Ok(());
            let key = &ground.key;
            let one = ground
                .history
                .passing(&query("not error ~ needle"), key, &going);
            assert!(ground.history.may_return(key, &one.unwrap_err()));
            let query = query("not error ~ needle");
            let (changes, _) = ground
                .history
                .changes_after(&mut Cursor::after(0), &query, 10, 100);
            let told = ground.history.decided(changes.unwrap(), &query).unwrap();
            assert!(only_left(&told), "{told:?}");
            std::fs::write(&ground.file, &kept).unwrap();
            assert_eq!(ground.choose("not error ~ needle"), (0, 0));
        }
    }

    #[test]
    fn who_has_nothing_to_read_records_with_is_not_answered() {
        let ground = Ground::new();
        let query = query("not error ~ needle");
        let wanted = Wanted::default();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            let choice = refusing_to_open(errno, || ground.history.choose(&query, &wanted.stop()));
            assert!(choice.unwrap_err().is_short());
            let mut cursor = Cursor::after(0);
            let (changes, _) = ground.history.changes_after(&mut cursor, &query, 10, 100);
            let decide = || ground.history.decided(changes.unwrap(), &query);
            assert!(refusing_to_open(errno, decide).unwrap_err().is_short());
            let passing = || ground.history.passing(&query, &ground.key, &|| Ok(()));
            assert!(refusing_to_open(errno, passing).unwrap_err().is_short());
        }
        let choose = || ground.choose("not error ~ needle");
        assert_eq!(refusing_to_open(Errno::IO, choose), (0, 1));
    }

    fn only_left(told: &[Change]) -> bool {
        matches!(told, [one] if matches!(one.what, Changed::Left(_)))
    }

    /// It has not changed, so that nothing else would tell it.
    #[test]
    fn what_could_not_be_read_is_told_when_it_can_be() {
        let ground = Ground::new();
        let aside = ground.file.with_extension("aside");
        let all = query("error ~ needle");
        let told_after = |clock: Clock| {
            while ground.history.pass(Moment::now()) {}
            let mut cursor = Cursor::after(clock.tick);
            let (changes, _) = ground.history.changes_after(&mut cursor, &all, 10, 100);
            let told = ground.history.decided(changes.unwrap(), &all).unwrap();
            let told = told.into_iter().map(|change| match change.what {
                Changed::Saved { .. } => "saved",
                Changed::Left(_) => "left",
                _ => "something else",
            });
            told.collect::<Vec<_>>()
        };
        assert!(told_after(ground.history.clock()).is_empty());
        // to one who lists, and goes on from there
        std::fs::rename(&ground.file, &aside).unwrap();
        let wanted = Wanted::default();
        let listed = ground
            .history
            .take(&all, &wanted.stop(), |_, _: &mut Vec<()>| {});
        let (_, total, clock) = listed.unwrap();
        assert_eq!(total, 0);
        std::fs::rename(&aside, &ground.file).unwrap();
        assert_eq!(told_after(clock), ["saved"]);
        assert!(told_after(ground.history.clock()).is_empty());
        // and to one who is told
        std::fs::rename(&ground.file, &aside).unwrap();
        let mut cursor = Cursor::after(0);
        let (changes, clock) = ground.history.changes_after(&mut cursor, &all, 10, 100);
        let told = ground.history.decided(changes.unwrap(), &all).unwrap();
        assert!(only_left(&told), "{told:?}");
        std::fs::rename(&aside, &ground.file).unwrap();
        assert_eq!(told_after(clock), ["saved"]);
        assert!(told_after(ground.history.clock()).is_empty());
    }

    #[test]
    fn a_file_that_is_torn_for_a_moment_is_read_again() {
        let ground = Ground::new();
        let kept = std::fs::read(&ground.file).unwrap();
        std::fs::write(&ground.file, "{").unwrap();
        let version = ground.history.version(&ground.key).unwrap();
        let asked = Cell::new(0);
        // asked as it is read, and after that
        let going = || {
            asked.set(asked.get() + 1);
            if asked.get() == 4 {
                std::fs::write(&ground.file, &kept).unwrap();
            }
            Ok(())
        };
        let bound = query("error ~ needle").bound;
        let open = (0, ground.key.clone(), version);
        let mut heard = Vec::new();
        let each = |_, record: Option<RecordTests>| heard.push(record.is_some());
        let asked_all = ground
            .history
            .ask_records(vec![open], |open| open, &bound, &going, each);
        asked_all.unwrap();
        assert_eq!(heard, [true]);
        assert!(asked.get() > 4);
    }

    #[test]
    fn another_record_than_the_one_that_is_known_decides_nothing() {
        let ground = Ground::new();
        std::fs::write(&ground.file, record("hay")).unwrap();
        assert_eq!(ground.choose("not error ~ needle"), (0, 1));
        // it was marked
        while ground.history.pass(Moment::now()) {}
        assert_eq!(ground.choose("not error ~ needle"), (1, 0));
    }
}
