//! What questions over many runs take from each.
//!
//! Rows are given in parts, so that the index is never held long; those that changed meanwhile are
//! given again under the lock that the answer is true under. What is made of it needs no lock.

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
