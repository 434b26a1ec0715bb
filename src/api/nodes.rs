//! `nodes/stats`: what the steps of runs say of the nodes that they ran at.

use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::executions::asked::{Asked, now};
use super::executions::stats::Distribution;
use super::executions::{Statuses, blocking, prepare};
use super::params::Limit;
use super::table::{Effect, Example, Method};
use super::{Clock, Context, Error, ErrorKind, samples};
use crate::history::Wanted;
use crate::index::NodeSums;
use crate::model::{CostSum, Milliseconds, ProjectId};

/// Over which runs, and in which order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NodesStatsParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter; of those, all steps count.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// Which nodes come first; `slowest` if absent.
    pub order_by: Option<OrderBy>,
    /// At most so many nodes.
    #[serde(default)]
    pub limit: Limit,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// Which nodes come first. Where two are equal, the order of their names' bytes decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NodesOrder")]
pub enum OrderBy {
    /// The longest p95 of `duration`; nodes without durations last.
    Slowest,
    /// The most `failures`.
    MostFailing,
    /// The most `steps`.
    MostUsed,
    /// The largest `costUSD`; nodes without costs last.
    MostExpensive,
}

/// One node.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NodeStats")]
pub struct Node {
    /// The `nodeId` of its steps, or their `name` where they have none.
    pub node_id: String,
    /// How many runs have a step of it.
    pub runs: u64,
    /// How many steps are of it: a loop has many in one run.
    pub steps: u64,
    /// How many of those have the status `failed`.
    pub failures: u64,
    /// How long the steps took that say so, in milliseconds: their `duration`, else the time from
    /// `startedAt` to `completedAt`.
    pub duration: Distribution<Milliseconds>,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// Tokens; input + output where a step has no total.
    pub total_tokens: i128,
    /// Cost in US dollars, exact; null if no step records one.
    #[serde(rename = "costUSD")]
    pub cost_usd: Option<CostSum>,
}

/// The nodes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NodesStatsResult")]
pub struct Nodes {
    /// In the order asked for.
    pub nodes: Vec<Node>,
    /// How many nodes there are, also beyond `limit`.
    pub total: usize,
    /// How many of the runs have steps that are not counted: of a run some 16 kB of step data and
    /// 256 nodes are kept, its first steps, and no step whose node has a name of over 250 bytes.
    pub truncated_runs: u64,
    /// The state that this is true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// The method.
pub struct Stats;

impl Method for Stats {
    const NAME: &'static str = "nodes/stats";
    const SUMMARY: &'static str = "Sums up the steps of runs, node by node.";
    const DESCRIPTION: &'static str = "A node is what the `nodeId` of a step names, or its `name` \
        where it has no `nodeId`; steps without either are not counted. Steps are read once, when a \
        run is; asking opens no file, but where a filter asks for \
        what is not kept of a record. Of the runs that match, every step is looked at.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Nodes;

    fn is_large(result: &Nodes) -> bool {
        result.nodes.len() > 256
    }

    async fn call(context: Arc<Context>, params: Params) -> Result<Nodes, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let query = asked.every(now());
        let order = params.order_by.unwrap_or(OrderBy::Slowest);
        // taken back when the request is
        let wanted = Wanted::default();
        let stop = wanted.stop();
        blocking(&context, move |history| {
            let (sums, truncated_runs, clock) = history.node_sums(&query, &stop)?;
            let mut nodes: Vec<Node> = sums.into_iter().map(Node::of).collect();
            let total = nodes.len();
            order.sort(&mut nodes);
            nodes.truncate(params.limit.0);
            Ok(Nodes {
                nodes,
                total,
                truncated_runs,
                clock: Clock(clock),
                complete,
            })
        })
        .await
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "the slowest nodes of a project",
                params: json!({ "projectId": "website", "limit": 2 }),
                result: samples::slowest_nodes(),
            },
            Example {
                name: "the nodes of what failed, by a filter",
                params: json!({ "where": "status = failed", "orderBy": "mostFailing" }),
                result: json!({
                    "nodes": [], "total": 0, "truncatedRuns": 0, "clock": samples::CLOCK,
                    "complete": true
                }),
            },
        ]
    }
}

impl Node {
    fn of(mut sums: NodeSums) -> Self {
        Self {
            node_id: sums.node.to_string(),
            runs: sums.runs,
            steps: sums.steps,
            failures: sums.failures,
            duration: Distribution::of(&mut sums.durations, |took| Some(Milliseconds(took))),
            input_tokens: sums.input_tokens,
            output_tokens: sums.output_tokens,
            total_tokens: sums.total_tokens,
            cost_usd: sums.cost,
        }
    }
}

impl OrderBy {
    fn sort(self, nodes: &mut [Node]) {
        nodes.sort_unstable_by(|a, b| a.node_id.cmp(&b.node_id));
        // stable from here on; none is less than any
        match self {
            Self::Slowest => nodes.sort_by_key(|node| Reverse(node.duration.p95)),
            Self::MostFailing => nodes.sort_by_key(|node| Reverse(node.failures)),
            Self::MostUsed => nodes.sort_by_key(|node| Reverse(node.steps)),
            Self::MostExpensive => nodes.sort_by_key(|node| Reverse(node.cost_usd)),
        }
    }
}
