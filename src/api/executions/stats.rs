//! `executions/stats`: GET /executions/stats, over all runs, however many.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::prepare;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{CostSum, ProjectId};

/// Over which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StatsParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
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
    /// The state that the sums are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// The method.
pub struct Stats;

impl Method for Stats {
    const NAME: &'static str = "executions/stats";
    const SUMMARY: &'static str = "Counts and sums runs.";
    const DESCRIPTION: &'static str = "Over all runs, without a cap; a missing project counts as \
        zero. Kept with every change, so that asking costs nothing.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotReady];
    type Params = Params;
    type Result = Sums;

    async fn call(context: Arc<Context>, params: Params) -> Result<Sums, Error> {
        let project = params.project_id.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let (totals, clock) = context.history.totals(project);
        Ok(Sums {
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
            clock: Clock(clock),
            complete,
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "one project",
            params: json!({ "projectId": "website" }),
            result: samples::stats(),
        }]
    }
}
