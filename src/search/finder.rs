//! From a query to a page of hits.
//!
//! What few runs say is gathered, and put in order. Of what many say no more is looked at than a page
//! takes: newest first, the history's own order is gone along, some runs at a time, each asked whether
//! it is among those that the text index means; by relevance, the best are kept.

use std::cmp;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::budget::Budget;
use super::engine::{Known, View, start};
use super::look::{Candidate, Fault, Gathered, LookedFor, rank};
use super::matching::{Going, Match, Matcher};
use super::{COUNTED_MAX, Hit, Place, Sort, Wanted};
use crate::history::{History, HistoryError, Pause, with_help};
use crate::index::{From, Key};
use crate::model::{RunKey, Summary, Version};

/// What a hit shows.
type Shown = (Summary, Vec<Match>);

/// How many runs are asked at once, at least.
const ROWS_MIN: usize = 64;

/// Of a large record this much is looked at first, which mostly tells.
const BEGINNING_BYTES: u64 = 128 << 10;

/// A run that is looked at.
struct Likely {
    place: Place,
    /// As in [`Known`].
    plain: Option<Version>,
}

/// Up to how many runs everything is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// So many that have the words are counted and put in order.
    pub(super) counted: usize,
    /// So many are asked at once.
    pub(super) rows: usize,
}

/// As searches have it.
pub(super) const BOUNDS: Bounds = Bounds {
    counted: COUNTED_MAX,
    rows: 4096,
};

/// One page.
pub(super) struct Page {
    pub(super) hits: Vec<Hit>,
    pub(super) total: Option<usize>,
    /// The place of the last hit, if others follow.
    pub(super) next: Option<Place>,
}

/// Searches. Blocks.
///
/// # Errors
/// [`Fault::Spent`] when that takes too long.
pub(super) fn search(
    view: &View,
    history: &History,
    wanted: &Wanted,
    bounds: Bounds,
    budget: &Budget,
) -> Result<Page, Fault> {
    let scored = wanted.sort == Sort::Relevance;
    let looked_for = view.looked_for(&wanted.query, scored, budget)?;
    let mut finder = Finder {
        history,
        wanted,
        bounds,
        budget,
        matcher: Matcher::new(&wanted.query),
        hits: Vec::new(),
        last: None,
        more: false,
        pause: Pause::default(),
    };
    let total = match scored {
        true => finder.fitting(&looked_for)?,
        false => finder.newest(&looked_for)?,
    };
    Ok(Page {
        hits: finder.hits,
        total,
        next: finder.last.filter(|_| finder.more),
    })
}

struct Finder<'w> {
    history: &'w History,
    wanted: &'w Wanted,
    bounds: Bounds,
    budget: &'w Budget,
    matcher: Matcher<'w>,
    hits: Vec<Hit>,
    last: Option<Place>,
    /// There is more than the page shows.
    more: bool,
    /// For files that are away.
    pause: Pause,
}

impl Finder<'_> {
    /// Puts those on the page that are hits as they are now, in this order; false when it is full.
    fn take(&mut self, runs: impl IntoIterator<Item = Likely>) -> Result<bool, Fault> {
        let mut runs = runs.into_iter();
        loop {
            let room = self.wanted.limit - self.hits.len();
            if room == 0 {
                self.more |= runs.next().is_some();
                return Ok(!self.more);
            }
            let some: Vec<Likely> = runs.by_ref().take(room).collect();
            if some.is_empty() {
                return Ok(true);
            }
            if !self.budget.lasts() {
                return Err(Fault::Spent);
            }
            let found = self.look(&some)?;
            if self.budget.is_over() {
                return Err(Fault::Spent);
            }
            for (Likely { place, .. }, found) in some.into_iter().zip(found) {
                let Some((summary, matches)) = found else {
                    continue;
                };
                self.hits.push(Hit {
                    summary,
                    matches,
                    score: place.score,
                });
                self.last = Some(place);
            }
        }
    }

    /// What each of these runs shows, if it is a hit as it is now. What is away is waited for.
    fn look(&mut self, runs: &[Likely]) -> Result<Vec<Option<Shown>>, Fault> {
        let mut found = vec![None; runs.len()];
        let mut left: Vec<(usize, &Likely)> = runs.iter().enumerate().collect();
        loop {
            // the largest first, so that nobody waits for who comes to one last
            left.sort_by_cached_key(|(_, run)| {
                let run = self.history.summary(&run.place.key);
                cmp::Reverse(run.map(|run| run.size_bytes))
            });
            let mut away = Vec::new();
            for ((at, run), shown) in left.iter().zip(self.look_once(&left)) {
                match (shown, found.get_mut(*at)) {
                    (Some(Ok(shown)), Some(slot)) => *slot = shown,
                    (Some(Err(error)), _) => away.push(((*at, *run), error)),
                    _ => {}
                }
            }
            left = self.wait_for_away(away, |(_, run)| &run.place.key)?;
            if left.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The same as it is now; nothing of those that the budget does not last for. Reading their records
    /// is most of what a search costs, so others help.
    #[allow(clippy::type_complexity)] // what each came to, if it was come to
    fn look_once(
        &self,
        runs: &[(usize, &Likely)],
    ) -> Vec<Option<Result<Option<Shown>, HistoryError>>> {
        let found: Vec<_> = runs.iter().map(|_| None).collect();
        let found = Mutex::new(found);
        let next = AtomicUsize::new(0);
        let of_helper = self.budget.of_helper();
        with_help(self.budget.long_from(), |helps| {
            let budget = if helps { &of_helper } else { self.budget };
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, run)) = runs.get(at).filter(|_| !budget.is_over()) else {
                return false;
            };
            let shown = self.look_at(run, budget);
            if let Some(slot) = found.lock().get_mut(at) {
                *slot = Some(shown);
            }
            true
        });
        found.into_inner()
    }

    /// What a run shows, if it is a hit and the budget lasts to the end of the look.
    fn look_at(&self, run: &Likely, budget: &Budget) -> Result<Option<Shown>, HistoryError> {
        let lasts = || budget.lasts();
        let key = &run.place.key;
        let id = key.execution.as_str();
        let Some(summary) = self.passing(key, budget)? else {
            return Ok(None);
        };
        let known = run.plain.and_then(|version| {
            let beginning = self
                .history
                .beginning_cached(key, version, BEGINNING_BYTES)?;
            let beginning = whole_characters(&beginning);
            self.matcher.matches_once(id, beginning, Going::on(&lasts))
        });
        let matches = match known {
            Some(matches) => matches,
            None => {
                let record = self.history.get_known(key)?;
                self.matcher.matches(id, record.text(), Going::on(&lasts))
            }
        };
        Ok(matches.map(|matches| (summary, matches)))
    }

    fn passing(&self, key: &RunKey, budget: &Budget) -> Result<Option<Summary>, HistoryError> {
        let going = || match budget.lasts() {
            true => Ok(()),
            false => Err(HistoryError::TooExpensive),
        };
        self.history.passing(&self.wanted.filter, key, &going)
    }

    /// Those of `failed` whose files may be back by now, after a while; none when the moment is over that
    /// the search waits. What cannot be read then is no hit.
    fn wait_for_away<T>(
        &mut self,
        failed: Vec<(T, HistoryError)>,
        key: impl Fn(&T) -> &RunKey,
    ) -> Result<Vec<T>, Fault> {
        let (mut away, mut short) = (Vec::new(), None);
        for (one, error) in failed {
            match error {
                HistoryError::TooExpensive => return Err(Fault::Spent),
                error if error.is_short() => {
                    short = Some(error);
                    away.push(one);
                }
                error if self.history.may_return(key(&one), &error) => away.push(one),
                _ => {}
            }
        }
        if away.is_empty() || self.pause.wait() {
            return Ok(away);
        }
        match short {
            Some(error) => Err(error.into()),
            None => Ok(Vec::new()),
        }
    }

    /// The same for those that are not on a page before.
    fn take_all(&mut self, runs: impl IntoIterator<Item = Likely>) -> Result<bool, Fault> {
        let after = self.wanted.after.as_ref();
        let seen = |run: &Likely| after.is_some_and(|after| run.place.order(after).is_le());
        self.take(runs.into_iter().filter(|run| !seen(run)))
    }

    /// Takes the newest until the page is full; how many there are, if they are few.
    fn newest(&mut self, looked_for: &LookedFor<'_>) -> Result<Option<usize>, Fault> {
        if let Some(found) = looked_for.few(self.bounds.counted)? {
            return self.sort_found(looked_for, &found).map(Some);
        }
        self.walk(looked_for)?;
        Ok(None)
    }

    /// Takes those that fit best until the page is full; how many there are, if they are few.
    fn fitting(&mut self, looked_for: &LookedFor<'_>) -> Result<Option<usize>, Fault> {
        let from = self.wanted.after.as_ref();
        let from = from.map(|place| (place.score, start(place.started)));
        let counted = self.bounds.counted;
        // some may be no hits any more
        let most = self.wanted.limit.saturating_add(self.wanted.limit / 4 + 1);
        let mut best = None;
        if !looked_for.are_surely_more(counted) {
            match looked_for.few_or_best(counted, from, most)? {
                Gathered::All(found) => return self.sort_found(looked_for, &found).map(Some),
                Gathered::Best(found) => best = Some(found),
            }
        }
        if let Some(runs) = self.all_of_few(looked_for)? {
            return self.sort(runs).map(Some);
        }
        let best = best.map_or_else(|| looked_for.best(from, None, most), Ok)?;
        self.best(looked_for, from, most, best)?;
        Ok(None)
    }

    fn sort_found(
        &mut self,
        looked_for: &LookedFor<'_>,
        found: &[Candidate],
    ) -> Result<usize, Fault> {
        let mut runs = Vec::with_capacity(found.len());
        for candidate in found {
            let run = looked_for.run(candidate)?;
            runs.extend(run.map(|run| (run, candidate.score)));
        }
        self.sort(runs)
    }

    /// Takes those of `runs` that pass, in their order; how many there are.
    fn sort(&mut self, mut runs: Vec<(Known, f32)>) -> Result<usize, Fault> {
        let mut likely = Vec::with_capacity(runs.len());
        while !runs.is_empty() {
            let mut away = Vec::new();
            for (run, score) in runs {
                if !self.budget.lasts() {
                    return Err(Fault::Spent);
                }
                let summary = match self.passing(&run.key, self.budget) {
                    Ok(summary) => summary,
                    Err(error) => {
                        away.push(((run, score), error));
                        continue;
                    }
                };
                let Known { key, plain } = run;
                likely.extend(summary.map(|summary| Likely {
                    place: Place {
                        score,
                        started: summary.started_at,
                        key,
                    },
                    plain,
                }));
            }
            runs = self.wait_for_away(away, |(run, _)| &run.key)?;
        }
        let total = likely.len();
        likely.sort_unstable_by(Likely::order);
        self.take_all(likely)?;
        Ok(total)
    }

    /// Goes along the history's order until the page is full.
    fn walk(&mut self, looked_for: &LookedFor<'_>) -> Result<(), Fault> {
        let filter = &self.wanted.filter;
        let mut from = match &self.wanted.after {
            Some(place) => From::After(place.list_key()),
            None => From::Offset(0),
        };
        let mut rows = self.wanted.limit.saturating_mul(2).max(ROWS_MIN);
        let (mut seen, mut had) = (0_usize, 0_usize);
        loop {
            rows = rows.min(self.bounds.rows);
            let lasts = || self.budget.lasts();
            let (runs, next) = self.history.walk(filter, &from, rows, &lasts);
            let found = looked_for.among(runs.iter().map(|(key, _)| key))?;
            seen += runs.len();
            had += found.iter().flatten().count();
            let found = runs
                .into_iter()
                .zip(found)
                .filter(|(_, found)| found.is_some());
            let runs = found.map(|((key, started), _)| Likely {
                place: Place {
                    score: 0.0,
                    started,
                    key,
                },
                plain: None,
            });
            if !self.take(runs)? {
                return Ok(());
            }
            let Some(next) = next else { return Ok(()) };
            from = From::After(next);
            // half as many again as have the rest, if there are as many among them as so far
            let rest = self.wanted.limit + 1 - self.hits.len();
            let likely = (seen + seen / 2).saturating_mul(rest).checked_div(had);
            let more = rows.saturating_mul(4);
            rows = likely.map_or(more, |likely| likely.max(ROWS_MIN).min(more));
        }
    }

    /// Which runs match, if the plain filter means so few that each can be asked.
    fn all_of_few(&self, looked_for: &LookedFor<'_>) -> Result<Option<Vec<(Known, f32)>>, Fault> {
        let filter = &self.wanted.filter;
        let none = From::Offset(usize::MAX);
        let runs = self.history.visit(&filter.plain, &none, 0, |_| {}).total;
        if runs > self.bounds.rows {
            return Ok(None);
        }
        let lasts = || self.budget.lasts();
        let (runs, _) = self.history.walk(filter, &From::Offset(0), runs, &lasts);
        let found = looked_for.among(runs.iter().map(|(key, _)| key))?;
        let runs = runs.into_iter().zip(found);
        let known = |key| Known { key, plain: None };
        let found = runs.filter_map(|((key, _), score)| Some((known(key), score?)));
        Ok(Some(found.collect()))
    }

    /// Takes the best until the page is full; `found` are the `most` best of those up to `from`.
    fn best(
        &mut self,
        looked_for: &LookedFor<'_>,
        from: Option<(f32, i64)>,
        mut most: usize,
        mut found: Vec<Candidate>,
    ) -> Result<(), Fault> {
        loop {
            let mut runs = Vec::new();
            for alike in found.chunk_by(|one, other| one.order(other).is_eq()) {
                let before = runs.len();
                for candidate in alike {
                    if !self.budget.lasts() {
                        return Err(Fault::Spent);
                    }
                    let run = looked_for.run(candidate)?;
                    runs.extend(run.map(|Known { key, plain }| Likely {
                        place: Place {
                            score: candidate.score,
                            started: candidate.start(),
                            key,
                        },
                        plain,
                    }));
                }
                if let Some(alike) = runs.get_mut(before..) {
                    alike.sort_unstable_by(Likely::order);
                }
                let enough = self.wanted.limit - self.hits.len();
                if runs.len() > enough && !self.take_all(std::mem::take(&mut runs))? {
                    return Ok(());
                }
            }
            if !self.take_all(runs)? {
                return Ok(());
            }
            let below = match found.last() {
                Some(last) if found.len() > most => (last.score, last.started),
                _ => return Ok(()),
            };
            most = most.saturating_mul(4);
            found = looked_for.best(from, Some(below), most)?;
        }
    }
}

impl Likely {
    /// What comes first is less.
    fn order(&self, other: &Self) -> cmp::Ordering {
        self.place.order(&other.place)
    }
}

/// What is text of bytes that are cut somewhere, perhaps within a character.
fn whole_characters(bytes: &[u8]) -> &str {
    let ends = (0..char::MAX_LEN_UTF8).filter_map(|cut| bytes.len().checked_sub(cut));
    let mut texts = ends.filter_map(|end| simdutf8::basic::from_utf8(bytes.get(..end)?).ok());
    texts.next().unwrap_or_default()
}

impl Place {
    /// What comes first is less.
    fn order(&self, other: &Self) -> cmp::Ordering {
        let this = (self.score, start(self.started));
        let by = |one: &str, other: &str| one.as_bytes().cmp(other.as_bytes());
        rank((other.score, start(other.started)), this)
            .then_with(|| by(self.key.execution.as_str(), other.key.execution.as_str()))
            .then_with(|| by(self.key.project.as_str(), other.key.project.as_str()))
    }

    fn list_key(&self) -> Key {
        Key {
            started_at: self.started,
            id: self.key.execution.to_string(),
            project: self.key.project.to_string(),
        }
    }
}
