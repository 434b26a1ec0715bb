//! `projects/list`: the folders with runs.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::{Effect, Example, Method};
use super::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{CostSum, Millis, ProjectId};

/// Which projects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProjectsParams")]
pub struct Params {
    /// Folders without runs as well; false if absent.
    pub include_empty: Option<bool>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// One project.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Project")]
pub struct Project {
    /// The folder's name.
    pub id: ProjectId,
    /// How many runs it has.
    pub executions: u64,
    /// How many of them are running.
    pub running: u64,
    /// How many of them failed.
    pub failed: u64,
    /// When the latest began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_started_at: Option<Millis>,
    /// What they cost together in US dollars, exact.
    #[serde(rename = "totalCostUSD")]
    pub total_cost_usd: CostSum,
}

/// All projects.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectsResult")]
pub struct Projects {
    /// Those with the latest activity first.
    pub projects: Vec<Project>,
    /// The state that they are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// The method.
pub struct List;

impl Method for List {
    const NAME: &'static str = "projects/list";
    const SUMMARY: &'static str = "Lists projects, those with the latest activity first.";
    const DESCRIPTION: &'static str = "Activity is the latest `startedAt`.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Params;
    type Result = Projects;

    fn is_large(result: &Projects) -> bool {
        result.projects.len() > 1024
    }

    async fn call(context: Arc<Context>, params: Params) -> Result<Projects, Error> {
        let complete =
            super::executions::prepare(&context, None, params.sync, params.allow_partial).await?;
        let (found, clock) = context.history.projects(params.include_empty == Some(true));
        let projects = found
            .into_iter()
            .map(|project| Project {
                id: project.id,
                executions: project.executions,
                running: project.running,
                failed: project.failed,
                last_started_at: project.last_started_at,
                total_cost_usd: project.total_cost,
            })
            .collect();
        Ok(Projects {
            projects,
            clock: Clock(clock),
            complete,
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "all projects",
            params: serde_json::json!({}),
            result: samples::projects(),
        }]
    }
}
