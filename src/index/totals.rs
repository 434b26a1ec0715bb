//! Sums over a set of runs, kept through every change and exact.
//!
//! `executions/stats` reads them; nothing is added up when somebody asks. All sums are integers,
//! so that taking a run out undoes putting it in, digit for digit.

use super::Listed;
use super::row::{Row, STATUS_OTHER, STATUS_UNKNOWN};
use crate::model::{CostSum, Money};

/// The sums of one scope: a project, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// By status number; the engine's six, unknown ones at 0 and other strings at 7.
    counts: [u64; 8],
    /// Cost of all runs that have one.
    pub cost: CostSum,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// Tokens; where a run has no total, its input and output.
    pub tokens: i128,
    /// Durations, in millionths of a millisecond.
    durations: i128,
    timed: u64,
}

impl Totals {
    pub(super) fn add(&mut self, row: Row<'_>) {
        self.fold(row, 1);
    }

    pub(super) fn remove(&mut self, row: Row<'_>) {
        self.fold(row, -1);
    }

    fn fold(&mut self, row: Row<'_>, sign: i64) {
        let numbers = row.numbers();
        let step = |count: &mut u64| *count = count.saturating_add_signed(sign);
        if let Some(count) = self.counts.get_mut(usize::from(row.status())) {
            step(count);
        }
        if let Some(cost) = numbers.cost.and_then(Money::from_nanos) {
            if sign > 0 {
                self.cost.add(cost);
            } else {
                self.cost.sub(cost);
            }
        }
        let sign = i128::from(sign);
        let tokens = numbers.tokens;
        let input = i128::from(tokens.input.unwrap_or(0));
        let output = i128::from(tokens.output.unwrap_or(0));
        self.input_tokens += sign * input;
        self.output_tokens += sign * output;
        self.tokens += sign * tokens.total.map_or(input + output, i128::from);
        if let Some(took) = numbers.duration {
            self.durations += sign * i128::from(took.0);
            step(&mut self.timed);
        }
    }

    /// Takes in a run of a page.
    pub fn take(&mut self, run: &Listed<'_>) {
        self.add(run.row());
    }

    /// Runs with status number `code`.
    pub(super) fn count(&self, code: u8) -> u64 {
        self.counts.get(usize::from(code)).copied().unwrap_or(0)
    }

    /// All runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Runs whose status is none that the engine writes.
    #[must_use]
    pub fn other(&self) -> u64 {
        self.count(STATUS_UNKNOWN) + self.count(STATUS_OTHER)
    }

    /// completed / (completed + failed).
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a ratio; counts stay below 2^53
    pub fn success_rate(&self) -> Option<f64> {
        let (completed, failed) = (self.count(4), self.count(5));
        let ended = completed + failed;
        (ended > 0).then(|| completed as f64 / ended as f64)
    }

    /// The mean duration of the runs that have one, in whole milliseconds, halves up.
    #[must_use]
    pub fn average_duration(&self) -> Option<i128> {
        let scale = 1_000_000 * i128::from(self.timed);
        (self.timed > 0).then(|| (2 * self.durations + scale).div_euclid(2 * scale))
    }
}
