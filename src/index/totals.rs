//! Sums over a set of runs, kept through every change and exact.
//!
//! `executions/stats` reads them; nothing is added up when somebody asks. All sums are integers,
//! so that taking a run out undoes putting it in, digit for digit.

use super::Listed;
use super::row::{Row, STATUS_OTHER, STATUS_UNKNOWN, status_code};
use crate::model::{CostSum, Milliseconds, Money, Status};

/// What one run adds to sums. Small: a question holds those of every run.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    input_tokens: i64,
    output_tokens: i64,
    total_tokens: i64,
    cost: i64,
    duration: i64,
    status: u8,
    /// Which of the three before the status there are.
    known: u8,
}

const TOTAL: u8 = 1;
const COST: u8 = 2;
const DURATION: u8 = 4;

impl Amounts {
    /// Those of a run.
    #[must_use]
    pub fn of(run: &Listed<'_>) -> Self {
        Self::of_row(run.row())
    }

    pub(super) fn of_row(row: Row<'_>) -> Self {
        let numbers = row.numbers();
        let tokens = numbers.tokens;
        let duration = numbers.duration.map(|took| took.0);
        let mut known = 0;
        let mut value = |which: u8, value: Option<i64>| {
            if value.is_some() {
                known |= which;
            }
            value.unwrap_or(0)
        };
        Self {
            input_tokens: tokens.input.unwrap_or(0),
            output_tokens: tokens.output.unwrap_or(0),
            total_tokens: value(TOTAL, tokens.total),
            cost: value(COST, numbers.cost),
            duration: value(DURATION, duration),
            status: row.status(),
            known,
        }
    }

    fn known(&self, which: u8, value: i64) -> Option<i64> {
        (self.known & which != 0).then_some(value)
    }

    /// What it cost, in nano-dollars.
    #[must_use]
    pub fn cost(&self) -> Option<i64> {
        self.known(COST, self.cost)
    }

    /// How long it took, in millionths of a millisecond.
    #[must_use]
    pub fn duration(&self) -> Option<i64> {
        self.known(DURATION, self.duration)
    }

    /// Its tokens; where it has no total, its input and output.
    fn tokens(&self) -> i128 {
        let total = self.known(TOTAL, self.total_tokens).map(i128::from);
        total.unwrap_or(i128::from(self.input_tokens) + i128::from(self.output_tokens))
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
        if let Some(cost) = amounts.cost().and_then(Money::from_nanos) {
            if sign > 0 {
                self.cost.add(cost);
            } else {
                self.cost.sub(cost);
            }
        }
        let sign = i128::from(sign);
        self.input_tokens += sign * i128::from(amounts.input_tokens);
        self.output_tokens += sign * i128::from(amounts.output_tokens);
        self.tokens += sign * amounts.tokens();
        if let Some(took) = amounts.duration() {
            self.durations += sign * i128::from(took);
            step(&mut self.timed);
        }
    }

    /// Takes in what a run adds.
    pub fn take(&mut self, amounts: &Amounts) {
        self.fold(amounts, 1);
    }

    /// Takes in the sums of other runs.
    pub fn join(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.cost.join(other.cost);
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.tokens += other.tokens;
        self.durations += other.durations;
        self.timed += other.timed;
    }

    /// Runs with status number `code`.
    fn count(&self, code: u8) -> u64 {
        self.counts.get(usize::from(code)).copied().unwrap_or(0)
    }

    /// All runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Runs waiting to start.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.count(status_code(&Status::Queued))
    }

    /// Runs being worked on.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.count(status_code(&Status::Running))
    }

    /// Runs held by somebody.
    #[must_use]
    pub fn paused(&self) -> u64 {
        self.count(status_code(&Status::Paused))
    }

    /// Runs that ended well.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.count(status_code(&Status::Completed))
    }

    /// Runs that ended in an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.count(status_code(&Status::Failed))
    }

    /// Runs that somebody ended.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.count(status_code(&Status::Cancelled))
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
        let (completed, failed) = (self.completed(), self.failed());
        let ended = completed + failed;
        (ended > 0).then(|| completed as f64 / ended as f64)
    }

    /// The mean duration of the runs that have one, in whole milliseconds, halves up.
    #[must_use]
    pub fn average_duration(&self) -> Option<i128> {
        let scale = i128::from(Milliseconds::UNIT) * i128::from(self.timed);
        (self.timed > 0).then(|| (2 * self.durations + scale).div_euclid(2 * scale))
    }
}
