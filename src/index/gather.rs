//! What questions over many runs take from each.
//!
//! Rows are given in parts, so that the index is never held long; those that changed meanwhile are
//! given again under the lock that the answer is true under. What is made of it needs no lock.

use std::collections::HashMap;

use super::Listed;
use super::row::Row;
use super::steps::Kept;
use crate::model::Millis;

/// Takes something from each run that passes a filter.
pub trait Gather {
    /// Takes what row `number` says now, in the place of what it said before; `None` if it does not
    /// pass, or is no run.
    fn put(&mut self, number: u32, run: Option<Gathered<'_>>);

    /// Whether that is more than may be held.
    fn is_too_much(&self) -> bool;
}

/// A run that passes.
#[derive(Debug, Clone, Copy)]
pub struct Gathered<'a> {
    pub(super) run: Listed<'a>,
    pub(super) row: Row<'a>,
}

impl<'a> Gathered<'a> {
    /// What is kept of its steps and its error.
    pub(super) fn kept(&self) -> Kept<'a> {
        self.run.kept()
    }

    /// When it was seen: its start, else when its file was last written.
    pub(super) fn seen_at(&self) -> Millis {
        let written = self.row.mtime_ns().div_euclid(1_000_000);
        self.row.started().unwrap_or(Millis(written))
    }
}

/// What `take` makes of each run: some values, whatever they are.
#[derive(Debug)]
pub struct Taken<T, F> {
    take: F,
    values: Vec<T>,
    /// Whose they are, in the order in which they were taken.
    spans: Vec<Span>,
    /// The latest span of each row that was given again.
    again: HashMap<u32, usize>,
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

impl<T, F: FnMut(&Listed<'_>, &mut Vec<T>)> Taken<T, F> {
    /// Nothing yet.
    pub fn by(take: F) -> Self {
        Self {
            take,
            values: Vec::new(),
            spans: Vec::new(),
            again: HashMap::new(),
        }
    }

    /// What was made of the runs as they are now, in no order; and how many runs these are.
    pub fn into_values(self) -> (Vec<T>, usize) {
        let Self {
            mut values,
            spans,
            again,
            ..
        } = self;
        if again.is_empty() {
            return (values, spans.len());
        }
        let latest = |at: usize, span: &Span| again.get(&span.row).is_none_or(|&last| last == at);
        let mut runs = 0;
        let mut keep = spans.iter().enumerate().flat_map(|(at, span)| {
            let begin = at.checked_sub(1).and_then(|before| spans.get(before));
            let latest = latest(at, span);
            runs += usize::from(latest && span.passed);
            std::iter::repeat_n(latest, span.end - begin.map_or(0, |before| before.end))
        });
        values.retain(|_| keep.next() == Some(true));
        // rows of which nothing was made come last, maybe
        keep.for_each(drop);
        (values, runs)
    }
}

impl<T, F: FnMut(&Listed<'_>, &mut Vec<T>)> Gather for Taken<T, F> {
    fn put(&mut self, number: u32, run: Option<Gathered<'_>>) {
        let is_next = self.spans.last().is_none_or(|last| last.row < number);
        let is_next = is_next && self.again.is_empty();
        if is_next && run.is_none() {
            return;
        }
        if !is_next {
            self.again.insert(number, self.spans.len());
        }
        if let Some(run) = &run {
            (self.take)(&run.run, &mut self.values);
        }
        self.spans.push(Span {
            row: number,
            passed: run.is_some(),
            end: self.values.len(),
        });
    }

    /// It holds what the caller asked for, of each run some dozen bytes.
    fn is_too_much(&self) -> bool {
        false
    }
}
