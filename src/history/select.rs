//! Queries that look at every run: in parts, with an end.
//!
//! Nothing else waits for them: each part holds the index for well under a millisecond, and they
//! run on threads that may be busy. Whoever asks may take it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{History, HistoryError, RECORD_LIMIT_BYTES};
use crate::filter::Verdict;
use crate::index::{Changed, From, Index, Key, Query, Selection, Undecided};
use crate::model::json::{decode_string, members};
use crate::model::{Millis, RunKey, Summary};

/// How many rows are looked at under one lock.
const PART: u32 = 4096;
/// How many changes are looked at again under the lock that the answer is given under.
const CHANGES: usize = 4096;
/// How long a query may take.
const QUERY_WITHIN: Duration = Duration::from_secs(2);

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
        let began = Instant::now();
        let going = || {
            self.going(stop)?;
            if began.elapsed() > QUERY_WITHIN {
                return Err(HistoryError::TooExpensive);
            }
            Ok(())
        };
        let mut selection = self.index(|index| index.select(query.clone()));
        loop {
            while self.index(|index| index.select_some(&mut selection, PART)) {
                going()?;
            }
            for open in selection.take_open() {
                let error = self.whole_error(&open.1);
                self.index(|index| index.decide(&mut selection, &open, error.as_deref()));
                going()?;
            }
            let index = self.index.read();
            if index.selected(&mut selection, CHANGES).is_some() {
                return Ok(answer(&index, &selection));
            }
            drop(index);
            going()?;
        }
    }

    /// The change that an undecided one is, by the run's error as its file has it now; `None` if a
    /// later one tells it. Blocks.
    pub fn decide_change(&self, undecided: Undecided, query: &Query) -> Option<Changed> {
        let error = self.whole_error(undecided.key());
        self.index(|index| index.decide_change(undecided, query, error.as_deref()))
    }

    /// One run, if it passes; its whole error is read where that decides.
    pub fn passing(&self, query: &Query, key: &RunKey) -> Option<Summary> {
        let passes = |error: Option<Option<&str>>| {
            self.index(|index| {
                let verdict = index.passes(query, key, error)?;
                Some((verdict, index.summary_of(key)?))
            })
        };
        match passes(None)? {
            (Verdict::Passes, summary) => Some(summary),
            (Verdict::Fails, _) => None,
            (Verdict::NeedsError, _) => {
                let error = self.whole_error(key);
                let (verdict, summary) = passes(Some(error.as_deref()))?;
                (verdict == Verdict::Passes).then_some(summary)
            }
        }
    }

    /// The next `rows` runs that the plain filter means, in list order: those that pass with their
    /// starts, and the place to go on from, `None` at the end. Whole errors are not read: a run that
    /// its own decides is given, to be asked by [`History::passing`].
    pub fn walk(
        &self,
        query: &Query,
        from: &From,
        rows: usize,
    ) -> (Vec<(RunKey, Option<Millis>)>, Option<Key>) {
        let mut runs = Vec::new();
        let next = self.index(|index| {
            index.passing(query, from, rows, |key, started| runs.push((key, started)))
        });
        (runs, next)
    }

    /// A run's error as its file has it now.
    fn whole_error(&self, key: &RunKey) -> Option<String> {
        let record = self.store.read(key, RECORD_LIMIT_BYTES).ok()??;
        let (_, error) = members(record.text())
            .filter(|(name, _)| name == "error")
            .last()?;
        error
            .starts_with('"')
            .then(|| decode_string(error).into_owned())
    }
}
