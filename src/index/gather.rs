//! What questions over many runs take from each.
//!
//! Rows are given in parts, so that the index is never held long; those that changed meanwhile are
//! given again under the lock that the answer is true under. What is made of it needs no lock.

use std::collections::{HashMap, HashSet};

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
    pub(super) kept: Kept<'a>,
}

impl Gathered<'_> {
    /// When it was seen: its start, else when its file was last written.
    pub(super) fn seen_at(&self) -> Millis {
        let written = self.row.mtime_ns().div_euclid(1_000_000);
        self.row.started().unwrap_or(Millis(written))
    }
}

/// What `take` makes of each run, whatever that is.
#[derive(Debug)]
pub struct Taken<T, F> {
    take: F,
    /// By row, in their order.
    first: Vec<(u32, T)>,
    /// Of rows that were given again.
    again: HashMap<u32, Option<T>>,
}

impl<T, F: FnMut(&Listed<'_>) -> T> Taken<T, F> {
    /// Nothing yet.
    pub fn by(take: F) -> Self {
        Self {
            take,
            first: Vec::new(),
            again: HashMap::new(),
        }
    }

    /// What was made of the runs as they are now, in no order.
    pub fn into_values(self) -> Vec<T> {
        let Self { first, again, .. } = self;
        let (numbers, latest): (HashSet<u32>, Vec<Option<T>>) = again.into_iter().unzip();
        let first = first
            .into_iter()
            .filter(move |(number, _)| numbers.is_empty() || !numbers.contains(number))
            .map(|(_, value)| value);
        first.chain(latest.into_iter().flatten()).collect()
    }
}

impl<T, F: FnMut(&Listed<'_>) -> T> Gather for Taken<T, F> {
    fn put(&mut self, number: u32, run: Option<Gathered<'_>>) {
        let value = run.map(|run| (self.take)(&run.run));
        let is_next = self.first.last().is_none_or(|(last, _)| *last < number);
        match value {
            Some(value) if is_next && self.again.is_empty() => self.first.push((number, value)),
            // one that never was there
            None if is_next && !self.again.contains_key(&number) => {}
            value => drop(self.again.insert(number, value)),
        }
    }

    /// It holds what the caller asked for, of each run some dozen bytes.
    fn is_too_much(&self) -> bool {
        false
    }
}
