//! Looking a query up in the text index.
//!
//! Each segment is walked in pieces, by this thread and by helpers: all that match, the best of them, or
//! which of some runs do.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use parking_lot::Mutex;
use tantivy::columnar::ColumnValues;
use tantivy::schema::IndexRecordOption;
use tantivy::{
    DocAddress, DocId, DocSet, InvertedIndexReader, Searcher, SegmentReader, TERMINATED,
    TantivyDocument, TantivyError, Term,
};

use super::budget::Budget;
use super::engine::{Fields, Known, NO_START, key_text, known, told};
use super::query::Query;
use super::scan::{self, Plan, Planner, Scan};
use crate::history::{HistoryError, with_help};
use crate::model::{Millis, RunKey};

/// How many candidates are told apart by the clock's leave.
const STEPS: usize = 1024;
/// How many documents one thread looks through at once, at first and at most; in tests so few that
/// several do.
const PIECES: (DocId, DocId) = if cfg!(test) {
    (1, 4)
} else {
    (1 << 7, 1 << 14)
};

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the budget is spent")]
    Spent,
    #[error("{}", told(.0))]
    Index(#[from] TantivyError),
    #[error(transparent)]
    History(HistoryError),
}

impl From<HistoryError> for Fault {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::TooExpensive => Self::Spent,
            error => Self::History(error),
        }
    }
}

/// A document that matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// 0 where that is not asked for.
    pub(super) score: f32,
    /// As the index has it.
    pub(super) started: i64,
    at: DocAddress,
}

impl Candidate {
    /// When the run began.
    pub(super) fn start(&self) -> Option<Millis> {
        (self.started != NO_START).then_some(Millis(self.started))
    }

    /// What comes first is less.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        rank((other.score, other.started), (self.score, self.started))
    }
}

/// How the first fits, compared with the second; the newer is the greater of those that fit alike.
pub(super) fn rank(one: (f32, i64), other: (f32, i64)) -> Ordering {
    one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))
}

/// One segment, and what is looked for in it.
struct Part {
    plan: Plan,
    words: Arc<InvertedIndexReader>,
    keys: Arc<InvertedIndexReader>,
    starts: Arc<dyn ColumnValues<i64>>,
}

/// Some documents of a segment, which one thread looks through.
struct Piece<'l> {
    ord: u32,
    segment: &'l SegmentReader,
    part: &'l Part,
    docs: Range<DocId>,
}

/// The candidates that fit best, on the way.
struct Best {
    most: usize,
    found: Vec<Candidate>,
    /// The last of the best when they were told apart.
    last: Option<Candidate>,
    /// So many are told apart anew.
    room: usize,
}

impl Best {
    fn of(most: usize) -> Self {
        Self {
            most,
            found: Vec::new(),
            last: None,
            room: most.saturating_add(most / 4 + 8),
        }
    }

    /// Adds one; the last of the best, when they are told apart anew.
    fn add(&mut self, candidate: Candidate) -> Option<Candidate> {
        if self.last.is_some_and(|last| candidate.order(&last).is_gt()) {
            return None;
        }
        self.found.push(candidate);
        // often: the sooner it is known what is worth a look, the less is looked at
        (self.found.len() >= self.room && self.cut()).then_some(self.last)?
    }

    /// Keeps the best, and all that fit as well as the last of them; false where there are no others.
    fn cut(&mut self) -> bool {
        if self.found.len() <= self.most {
            return false;
        }
        let (_, last, _) = self
            .found
            .select_nth_unstable_by(self.most, Candidate::order);
        let last = *last;
        self.found
            .retain(|candidate| candidate.order(&last).is_le());
        self.last = Some(last);
        // what fits alike stays, however much it is
        self.room = self.found.len() + self.found.len() / 4 + 8;
        true
    }
}

/// The best of those up to one place and below another, which several threads find.
struct Bounded {
    from: Option<(f32, i64)>,
    below: Option<(f32, i64)>,
    best: Mutex<Best>,
    /// What fits no better than this is none of them. The bits of numbers that are not negative have
    /// their order.
    floor: AtomicU32,
}

impl Bounded {
    fn of(from: Option<(f32, i64)>, below: Option<(f32, i64)>, most: usize) -> Self {
        Self {
            from,
            below,
            best: Mutex::new(Best::of(most)),
            floor: AtomicU32::new(0),
        }
    }

    fn worth(&self) -> f32 {
        f32::from_bits(self.floor.load(Relaxed))
    }

    fn add(&self, candidate: Candidate) {
        let this = (candidate.score, candidate.started);
        if self.from.is_none_or(|from| rank(this, from).is_le())
            && self.below.is_none_or(|below| rank(this, below).is_lt())
            && let Some(last) = self.best.lock().add(candidate)
        {
            self.floor.fetch_max(last.score.max(0.0).to_bits(), Relaxed);
        }
    }

    fn into_found(self) -> Vec<Candidate> {
        let mut best = self.best.into_inner();
        best.cut();
        best.found.sort_unstable_by(Candidate::order);
        best.found
    }
}

/// What a walk found that was for all, as long as they are few.
pub(super) enum Gathered {
    All(Vec<Candidate>),
    Best(Vec<Candidate>),
}

/// A query in the state of the index that it began in.
pub(super) struct LookedFor<'b> {
    fields: Fields,
    scored: bool,
    searcher: Searcher,
    parts: Vec<Part>,
    budget: &'b Budget,
}

impl<'b> LookedFor<'b> {
    /// The plans for a query in each segment; `scored` if it is to be said how well each document fits.
    pub(super) fn of(
        searcher: Searcher,
        fields: Fields,
        query: &Query,
        scored: bool,
        budget: &'b Budget,
    ) -> Result<Self, Fault> {
        let weighers = match scored {
            true => scan::weighers(&searcher, fields.text, query)?,
            false => Vec::new(),
        };
        let mut parts = Vec::with_capacity(searcher.segment_readers().len());
        for segment in searcher.segment_readers() {
            let words = segment.inverted_index(fields.text)?;
            let plan = planner(&words, fields, segment.max_doc(), budget)
                .plan(query, &mut weighers.iter().cloned())?;
            parts.push(Part {
                plan,
                words,
                keys: segment.inverted_index(fields.key)?,
                starts: segment
                    .fast_fields()
                    .column_first_or_default::<i64>("started")?,
            });
        }
        Ok(Self {
            fields,
            scored,
            searcher,
            parts,
            budget,
        })
    }

    fn segments(&self) -> impl Iterator<Item = (u32, &SegmentReader, &Part)> {
        (0..)
            .zip(self.searcher.segment_readers())
            .zip(&self.parts)
            .map(|((ord, segment), part)| (ord, segment, part))
    }

    /// Gives every document of a piece that matches to `each`, until that returns false, which then is
    /// told. A document that cannot fit as well as `worth` says, which is asked again for each, may be
    /// passed over.
    ///
    /// # Errors
    /// [`Fault::Spent`] when that takes too long.
    fn each(
        &self,
        piece: &Piece<'_>,
        budget: &Budget,
        worth: impl Fn() -> f32,
        mut each: impl FnMut(Candidate) -> bool,
    ) -> Result<bool, Fault> {
        let Piece { segment, part, .. } = piece;
        let mut scan = self.scan(segment, part, piece.docs.end, budget)?;
        let alive = segment.alive_bitset();
        let mut next = piece.docs.start;
        let mut steps = 0;
        loop {
            let doc = scan.candidate(next, worth());
            if doc == TERMINATED {
                break;
            }
            next = doc + 1;
            steps += 1;
            if steps % STEPS == 0 && !budget.lasts() {
                return Err(Fault::Spent);
            }
            if alive.is_some_and(|alive| alive.is_deleted(doc))
                || (self.scored && scan.score_at_most(doc) < worth())
                || !scan.has(doc)
            {
                continue;
            }
            let candidate = Candidate {
                score: if self.scored { scan.score(doc) } else { 0.0 },
                started: part.starts.get_val(doc),
                at: DocAddress::new(piece.ord, doc),
            };
            if !each(candidate) {
                return Ok(false);
            }
        }
        // a walk may have come to an end before its time
        match budget.lasts() {
            true => Ok(true),
            false => Err(Fault::Spent),
        }
    }

    /// A walk through the documents before `end`.
    fn scan<'p>(
        &self,
        segment: &SegmentReader,
        part: &'p Part,
        end: DocId,
        budget: &Budget,
    ) -> Result<Scan<'p>, Fault> {
        let planner = planner(&part.words, self.fields, end, budget);
        Ok(Scan::of(&part.plan, &planner, segment)?)
    }

    /// All documents, in pieces: small ones first, so that it is soon known whether many match, and
    /// what is worth a look.
    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let (mut size, most) = PIECES;
        for (ord, segment, part) in self.segments() {
            let mut from = 0;
            while from < segment.max_doc() {
                let to = from.saturating_add(size).min(segment.max_doc());
                size = most.min(size * 2);
                pieces.push(Piece {
                    ord,
                    segment,
                    part,
                    docs: from..to,
                });
                from = to;
            }
        }
        pieces
    }

    /// Gives every document of all pieces that matches to `each`, on this thread and on helpers, until
    /// that returns false; otherwise as [`LookedFor::each`].
    ///
    /// # Errors
    /// [`Fault::Spent`] when that takes too long.
    fn each_of_all(
        &self,
        worth: impl Fn() -> f32 + Sync,
        each: impl Fn(Candidate) -> bool + Sync,
    ) -> Result<(), Fault> {
        let pieces = self.pieces();
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let of_helper = self.budget.of_helper();
        with_help(self.budget.long_from(), |helps| {
            let budget = if helps { &of_helper } else { self.budget };
            let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) else {
                return false;
            };
            match self.each(piece, budget, &worth, &each) {
                Ok(goes_on) => goes_on,
                Err(fault) => {
                    *failed.lock() = Some(fault);
                    false
                }
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Whether more documents than `most` match, as far as that is known without a look at any.
    pub(super) fn are_surely_more(&self, most: usize) -> bool {
        let at_least = |(_, segment, part): (u32, &SegmentReader, &Part)| {
            let documents = part.plan.documents_at_least(segment.max_doc());
            documents.saturating_sub(segment.num_deleted_docs()) as usize
        };
        self.segments().map(at_least).sum::<usize>() > most
    }

    /// All that match, in no order; `None` if there are more than `most`.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn few(&self, most: usize) -> Result<Option<Vec<Candidate>>, Fault> {
        if self.are_surely_more(most) {
            return Ok(None);
        }
        let found = Mutex::new(Vec::new());
        let add = |candidate| {
            let mut found = found.lock();
            found.push(candidate);
            found.len() <= most
        };
        self.each_of_all(|| f32::MIN, add)?;
        Ok(Some(found.into_inner()).filter(|found| found.len() <= most))
    }

    /// All that match, in no order, if there are no more than `few`; otherwise as [`LookedFor::best`], in
    /// the same walk.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn few_or_best(
        &self,
        few: usize,
        from: Option<(f32, i64)>,
        most: usize,
    ) -> Result<Gathered, Fault> {
        let all = Mutex::new(Some(Vec::new()));
        let best = Bounded::of(from, None, most);
        // nothing is passed over while it counts
        let counts = AtomicBool::new(true);
        let worth = || match counts.load(Relaxed) {
            true => f32::MIN,
            false => best.worth(),
        };
        self.each_of_all(worth, |candidate| {
            best.add(candidate);
            if counts.load(Relaxed) {
                let mut all = all.lock();
                if let Some(found) = &mut *all {
                    found.push(candidate);
                    if found.len() > few {
                        *all = None;
                        counts.store(false, Relaxed);
                    }
                }
            }
            true
        })?;
        Ok(match all.into_inner() {
            Some(found) => Gathered::All(found),
            None => Gathered::Best(best.into_found()),
        })
    }

    /// The `most` that fit best of those up to `from` and below `below`, in their order, with all
    /// that fit as well as the last of them.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn best(
        &self,
        from: Option<(f32, i64)>,
        below: Option<(f32, i64)>,
        most: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let best = Bounded::of(from, below, most);
        self.each_of_all(
            || best.worth(),
            |candidate| {
                best.add(candidate);
                true
            },
        )?;
        Ok(best.into_found())
    }

    /// Which run a document is.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn run(&self, candidate: &Candidate) -> Result<Option<Known>, Fault> {
        let document: TantivyDocument = self.searcher.doc(candidate.at)?;
        Ok(known(self.fields, &document))
    }

    /// Which of these runs match, and how well; `None` for one that does not.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn among<'k>(
        &self,
        keys: impl ExactSizeIterator<Item = &'k RunKey>,
    ) -> Result<Vec<Option<f32>>, Fault> {
        let mut scores = vec![None; keys.len()];
        let mut at = Vec::with_capacity(keys.len());
        let mut nearest = 0;
        for (number, key) in keys.enumerate() {
            at.extend(self.document(key, &mut nearest)?.map(|at| (at, number)));
            if number % STEPS == STEPS - 1 && !self.budget.lasts() {
                return Err(Fault::Spent);
            }
        }
        at.sort_unstable();
        let mut at = at.into_iter().peekable();
        for (ord, segment, part) in self.segments() {
            if at.peek().is_none_or(|(at, _)| at.segment_ord != ord) {
                continue;
            }
            let mut scan = self.scan(segment, part, segment.max_doc(), self.budget)?;
            while let Some((at, number)) = at.next_if(|(at, _)| at.segment_ord == ord) {
                if scan.has(at.doc_id)
                    && let Some(score) = scores.get_mut(number)
                {
                    *score = Some(match self.scored {
                        true => scan.score(at.doc_id),
                        false => 0.0,
                    });
                }
            }
        }
        match self.budget.lasts() {
            true => Ok(scores),
            false => Err(Fault::Spent),
        }
    }

    /// Where a run is. `nearest` is the segment to look into first, which then is that of the run:
    /// runs of one time often lie together.
    fn document(&self, key: &RunKey, nearest: &mut usize) -> Result<Option<DocAddress>, Fault> {
        let term = Term::from_field_text(self.fields.key, &key_text(key));
        let segments = self.searcher.segment_readers();
        for step in 0..segments.len() {
            let ord = (*nearest + step) % segments.len();
            let (Some(segment), Some(part)) = (segments.get(ord), self.parts.get(ord)) else {
                continue;
            };
            let found = part.keys.read_postings(&term, IndexRecordOption::Basic);
            let Some(mut found) = found.map_err(TantivyError::from)? else {
                continue;
            };
            while found.doc() != TERMINATED {
                if !segment.is_deleted(found.doc()) {
                    *nearest = ord;
                    let ord = u32::try_from(ord).unwrap_or(u32::MAX);
                    return Ok(Some(DocAddress::new(ord, found.doc())));
                }
                found.advance();
            }
        }
        Ok(None)
    }
}

fn planner<'s>(
    words: &'s InvertedIndexReader,
    fields: Fields,
    max_doc: DocId,
    budget: &'s Budget,
) -> Planner<'s> {
    Planner {
        index: words,
        field: fields.text,
        max_doc,
        budget,
    }
}
