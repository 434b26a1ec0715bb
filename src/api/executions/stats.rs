//! `executions/stats`: GET /executions/stats, over all runs, however many.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, Taken, now, take};
use super::{Statuses, prepare};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::index::{Amounts, Listed, Totals};
use crate::model::{CostSum, Milliseconds, Money, ProjectId};

/// Over which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StatsParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// Counts and sums.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StatsResult")]
pub struct Sums {
    /// All runs.
    pub total_executions: u64,
    /// Runs that ended well.
    pub completed: u64,
    /// Runs that ended in an error.
    pub failed: u64,
    /// Runs being worked on.
    pub running: u64,
    /// Runs waiting to start.
    pub queued: u64,
    /// Runs held by somebody.
    pub paused: u64,
    /// Runs that somebody ended.
    pub cancelled: u64,
    /// Runs with another status, or none.
    pub other: u64,
    /// Cost in US dollars, exact.
    #[serde(rename = "totalCostUSD")]
    pub total_cost_usd: CostSum,
    /// Tokens; input + output where a run has no total.
    pub total_tokens: i128,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// completed / (completed + failed); null if none.
    pub success_rate: Option<f64>,
    /// Mean duration of the runs that have one, in whole milliseconds, halves up; null if none.
    pub average_duration: Option<i128>,
    /// completed + failed, of which `successRate` is a share; with a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate_of: Option<u64>,
    /// How long the runs took that say so, in milliseconds; with a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Distribution<Milliseconds>>,
    /// What the runs cost that say so, in US dollars; with a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Distribution<Money>>,
    /// The state that the sums are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// How some amounts are spread. A percentile is one of them: the smallest that at least so many of
/// a hundred do not exceed (nearest rank). All but the count are null where there are none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Distribution<T> {
    /// How many there are.
    pub count: usize,
    /// The smallest.
    pub min: Option<T>,
    /// The largest.
    pub max: Option<T>,
    /// Their mean, to the last place that a unit has, halves up.
    pub mean: Option<T>,
    /// Half of them are no larger.
    pub p50: Option<T>,
    /// Of ten, nine are no larger.
    pub p90: Option<T>,
    /// Of twenty, nineteen are no larger.
    pub p95: Option<T>,
    /// Of a hundred, ninety-nine are no larger.
    pub p99: Option<T>,
}

impl<T> Distribution<T> {
    /// How `amounts` are spread, each told as `unit` makes it. Costs putting them in their order, as
    /// far as that is needed: some looks at each.
    pub(in crate::api) fn of(amounts: &mut [i64], unit: impl Fn(i64) -> Option<T>) -> Self {
        let count = amounts.len();
        let sum: i128 = amounts.iter().copied().map(i128::from).sum();
        let halves = 2 * i128::try_from(count).unwrap_or(1);
        let mean = (count > 0).then(|| (2 * sum + halves / 2).div_euclid(halves));
        let min = amounts.iter().min().copied();
        // what is in its place parts the smaller from the larger, where the next ones are
        let (mut rest, mut before) = (amounts, 0);
        let mut at = |place: usize| {
            let (_, found, _) = match place.checked_sub(before) {
                Some(place) if place < rest.len() => rest.select_nth_unstable(place),
                _ => return None,
            };
            let found = *found;
            rest = std::mem::take(&mut rest).split_at_mut(place - before).1;
            before = place;
            Some(found)
        };
        let mut rank = |percent: usize| at((percent * count).div_ceil(100).saturating_sub(1));
        let [p50, p90, p95, p99] = [50, 90, 95, 99].map(&mut rank);
        let max = rest.iter().max().copied();
        let told = |amount: Option<i64>| amount.and_then(&unit);
        Self {
            count,
            min: told(min),
            max: told(max),
            mean: mean.and_then(|mean| unit(i64::try_from(mean).ok()?)),
            p50: told(p50),
            p90: told(p90),
            p95: told(p95),
            p99: told(p99),
        }
    }
}

/// The method.
pub struct Stats;

impl Method for Stats {
    const NAME: &'static str = "executions/stats";
    const SUMMARY: &'static str = "Counts and sums runs.";
    const DESCRIPTION: &'static str = "Over all runs, without a cap; a missing project counts as \
        zero. Kept with every change, so that asking costs nothing. With `status` or `where` every \
        run is looked at, and the answer tells how durations and costs are spread.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Sums;

    async fn call(context: Arc<Context>, params: Params) -> Result<Sums, Error> {
        let filtered = params.status.is_some() || params.filter.is_some();
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        if !filtered {
            let (totals, clock) = context.history.totals(project);
            return Ok(Sums::of(&totals, Clock(clock), complete));
        }
        let amounts = |_: &mut (), run: &Listed<'_>, all: &mut Vec<_>| all.push(Amounts::of(run));
        let sum = move |all: Taken<(), Amounts>| {
            let amounts = || all.chunks.iter().flat_map(|((), amounts)| amounts);
            let mut totals = Totals::default();
            amounts().for_each(|amounts| totals.take(amounts));
            let mut durations: Vec<i64> = amounts().filter_map(Amounts::duration).collect();
            let mut costs: Vec<i64> = amounts().filter_map(Amounts::cost).collect();
            let milliseconds = |took| Some(Milliseconds(took));
            Sums {
                success_rate_of: Some(totals.completed() + totals.failed()),
                duration: Some(Distribution::of(&mut durations, milliseconds)),
                cost: Some(Distribution::of(&mut costs, Money::from_nanos)),
                ..Sums::of(&totals, Clock(all.clock), complete)
            }
        };
        take(&context, asked.every(now()), (), amounts, sum).await
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "one project",
                params: json!({ "projectId": "website" }),
                result: samples::stats(),
            },
            Example {
                name: "what ended, by a filter",
                params: json!({ "projectId": "website", "where": "completedAt is not null" }),
                result: samples::filtered_stats(),
            },
        ]
    }
}

impl Sums {
    fn of(totals: &Totals, clock: Clock, complete: bool) -> Self {
        Self {
            total_executions: totals.runs(),
            completed: totals.completed(),
            failed: totals.failed(),
            running: totals.running(),
            queued: totals.queued(),
            paused: totals.paused(),
            cancelled: totals.cancelled(),
            other: totals.other(),
            total_cost_usd: totals.cost,
            total_tokens: totals.tokens,
            input_tokens: totals.input_tokens,
            output_tokens: totals.output_tokens,
            success_rate: totals.success_rate(),
            average_duration: totals.average_duration(),
            success_rate_of: None,
            duration: None,
            cost: None,
            clock,
            complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_spread_over_nothing() {
        let none = Distribution::of(&mut [], Some);
        assert_eq!(
            (none.count, none.min, none.mean, none.p99),
            (0, None, None, None)
        );
        let one = Distribution::of(&mut [7], Some);
        assert_eq!(
            (one.min, one.max, one.mean, one.p50, one.p99),
            (Some(7), Some(7), Some(7), Some(7), Some(7))
        );
        assert_eq!(Distribution::of(&mut [1, 2], Some).mean, Some(2));
        assert_eq!(Distribution::of(&mut [-1, -2], Some).mean, Some(-1));
    }

    proptest! {
        /// By the definition: the smallest that at least so many do not exceed.
        #[test]
        fn percentiles_are_nearest_ranks(amounts in proptest::collection::vec(-50i64..50, 1..300)) {
            let spread = Distribution::of(&mut amounts.clone(), Some);
            for (percent, found) in
                [(50, spread.p50), (90, spread.p90), (95, spread.p95), (99, spread.p99)]
            {
                let enough = |limit: i64| {
                    let below = amounts.iter().filter(|amount| **amount <= limit).count();
                    below * 100 >= percent * amounts.len()
                };
                let expected = amounts.iter().copied().filter(|amount| enough(*amount)).min();
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(spread.min, amounts.iter().min().copied());
            prop_assert_eq!(spread.max, amounts.iter().max().copied());
        }
    }
}
