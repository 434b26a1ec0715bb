//! What questions over many runs take from each.
//!
//! Rows are given in parts, so that the index is never held long; those that changed meanwhile are
//! given again under the lock that the answer is true under. What is made of it needs no lock.

use std::collections::HashMap;

use super::Listed;

/// Takes something from each run that passes a filter.
///
/// Rows are given once each, ascending, maybe some to one and some to another that was made
/// [`beside`](Self::beside) it; when these have been joined, rows may be given again.
pub trait Gather: Sized {
    /// One like this that nothing was given to.
    #[must_use]
    fn beside(&self) -> Self;

    /// Takes what `parts` were given, to which no row was given twice.
    fn join(&mut self, parts: Vec<Self>);

    /// Takes what row `number` says now, in the place of what it said before; `None` if it does not
    /// pass, or is no run.
    fn put(&mut self, number: u32, run: Option<Listed<'_>>);

    /// How many bytes it holds, if that is more than what the caller asked for and some dozen a run.
    fn bytes(&self) -> usize {
        0
    }
}

/// How many bytes may be held for one question: some ten million steps.
pub const GATHERED_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 128 << 20 };

/// Takes nothing.
impl Gather for () {
    fn beside(&self) {}

    fn join(&mut self, _: Vec<()>) {}

    fn put(&mut self, _: u32, _: Option<Listed<'_>>) {}
}

/// What `take` makes of each run: some values, whatever they are, and a state to make them with, of
/// which each thread has its own.
#[derive(Debug)]
pub struct Taken<S, T, F> {
    take: F,
    /// What `take` begins with.
    state: S,
    /// The first is that of this thread.
    chunks: Vec<Chunk<S, T>>,
    /// The latest span in the first of them of each row that was given again.
    again: HashMap<u32, usize>,
    /// Rows before this have been given to one or the other.
    next: u32,
}

/// What was made on one thread.
#[derive(Debug)]
struct Chunk<S, T> {
    state: S,
    values: Vec<T>,
    /// Whose they are, in the order in which they were taken.
    spans: Vec<Span>,
}

/// The values of one row.
#[derive(Debug)]
struct Span {
    row: u32,
    /// Whether a run passed; else there are none.
    passed: bool,
    /// Behind the last of them; the first is behind those of the span before.
    end: usize,
}

impl<S, T> Chunk<S, T> {
    fn new(state: S) -> Self {
        Self {
            state,
            values: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Leaves only the values of spans that are `latest`; how many runs these are of.
    fn settle(&mut self, latest: impl Fn(usize, &Span) -> bool) -> usize {
        let mut runs = 0;
        let (spans, values) = (&self.spans, &mut self.values);
        let mut keep = spans.iter().enumerate().flat_map(|(at, span)| {
            let begin = at.checked_sub(1).and_then(|before| spans.get(before));
            let latest = latest(at, span);
            runs += usize::from(latest && span.passed);
            std::iter::repeat_n(latest, span.end - begin.map_or(0, |before| before.end))
        });
        values.retain(|_| keep.next() == Some(true));
        // rows of which nothing was made come last, maybe
        keep.for_each(drop);
        runs
    }
}

impl<S: Clone, T, F: Fn(&mut S, &Listed<'_>, &mut Vec<T>)> Taken<S, T, F> {
    /// Nothing yet.
    pub fn by(state: S, take: F) -> Self {
        Self {
            take,
            chunks: vec![Chunk::new(state.clone())],
            state,
            again: HashMap::new(),
            next: 0,
        }
    }

    /// What was made of the runs as they are now, in no order, each with its state; and how many
    /// runs these are.
    pub fn into_chunks(mut self) -> (Vec<(S, Vec<T>)>, usize) {
        let again = &self.again;
        let mut runs = 0;
        for (number, chunk) in self.chunks.iter_mut().enumerate() {
            runs += if again.is_empty() {
                chunk.spans.len()
            } else {
                let latest = |at: usize, span: &Span| {
                    let last = again.get(&span.row);
                    last.is_none_or(|last| number == 0 && *last == at)
                };
                chunk.settle(latest)
            };
        }
        let chunks = self.chunks.into_iter();
        let chunks = chunks.map(|chunk| (chunk.state, chunk.values)).collect();
        (chunks, runs)
    }
}

impl<S, T, F> Gather for Taken<S, T, F>
where
    S: Clone,
    F: Fn(&mut S, &Listed<'_>, &mut Vec<T>) + Clone,
{
    fn beside(&self) -> Self {
        Self::by(self.state.clone(), self.take.clone())
    }

    fn join(&mut self, parts: Vec<Self>) {
        for part in parts {
            self.chunks.extend(part.chunks);
            self.next = self.next.max(part.next);
        }
    }

    fn put(&mut self, number: u32, run: Option<Listed<'_>>) {
        let Some(chunk) = self.chunks.first_mut() else {
            return;
        };
        let again = number < self.next;
        if again {
            self.again.insert(number, chunk.spans.len());
        } else {
            self.next = number.saturating_add(1);
            if run.is_none() {
                return;
            }
        }
        if let Some(run) = &run {
            (self.take)(&mut chunk.state, run, &mut chunk.values);
        }
        chunk.spans.push(Span {
            row: number,
            passed: run.is_some(),
            end: chunk.values.len(),
        });
    }
}
