//! Sums over a set of runs, kept through every change and exact.
//!
//! `executions/stats` reads them; nothing is added up when somebody asks. All sums are integers,
//! so that taking a run out undoes putting it in, digit for digit.

use super::Listed;
use super::row::{Row, STATUS_OTHER, STATUS_UNKNOWN};
use crate::model::{CostSum, Money};

/// What one run adds to sums.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    input_tokens: i64,
    output_tokens: i64,
    /// Where a run has no total, its input and output.
    tokens: i128,
    /// What it cost, in nano-dollars.
    pub cost: Option<i64>,
    /// How long it took, in millionths of a millisecond.
    pub duration: Option<i64>,
    status: u8,
}

impl Amounts {
    /// Those of a run.
    #[must_use]
    pub fn of(run: &Listed<'_>) -> Self {
        Self::of_row(run.row())
    }

    fn of_row(row: Row<'_>) -> Self {
        let numbers = row.numbers();
        let tokens = numbers.tokens;
        let (input, output) = (tokens.input.unwrap_or(0), tokens.output.unwrap_or(0));
        let sum = i128::from(input) + i128::from(output);
        Self {
            input_tokens: input,
            output_tokens: output,
            tokens: tokens.total.map_or(sum, i128::from),
            cost: numbers.cost,
            duration: numbers.duration.map(|took| took.0),
            status: row.status(),
        }
    }
}

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
        self.fold(&Amounts::of_row(row), 1);
    }

    pub(super) fn remove(&mut self, row: Row<'_>) {
        self.fold(&Amounts::of_row(row), -1);
    }

    fn fold(&mut self, amounts: &Amounts, sign: i64) {
        let step = |count: &mut u64| *count = count.saturating_add_signed(sign);
        if let Some(count) = self.counts.get_mut(usize::from(amounts.status)) {
            step(count);
        }
        if let Some(cost) = amounts.cost.and_then(Money::from_nanos) {
            if sign > 0 {
                self.cost.add(cost);
            } else {
                self.cost.sub(cost);
            }
        }
        let sign = i128::from(sign);
        self.input_tokens += sign * i128::from(amounts.input_tokens);
        self.output_tokens += sign * i128::from(amounts.output_tokens);
        self.tokens += sign * amounts.tokens;
        if let Some(took) = amounts.duration {
            self.durations += sign * i128::from(took);
            step(&mut self.timed);
        }
    }

    /// Takes in what a run adds.
    pub fn take(&mut self, amounts: &Amounts) {
        self.fold(amounts, 1);
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
