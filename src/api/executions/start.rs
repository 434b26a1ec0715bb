//! `executions/start`: a run is recorded from its beginning.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{blocking, save};
use crate::api::params::RecordText;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{ExecutionId, ProjectId, Summary, Version};

/// What begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartParams")]
pub struct Params {
    /// The project's folder; made if it is not there.
    pub project_id: ProjectId,
    /// What the record says beside or in place of what a new one says; its `id`, if it has one,
    /// names the file.
    pub execution: Option<RecordText>,
}

/// The run as it is stored now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartResult")]
pub struct Started {
    /// Its id, for updates.
    pub execution_id: ExecutionId,
    /// An opaque hash of the stored bytes.
    pub version: Version,
    /// The run as lists now show it.
    pub summary: Summary,
    /// The state that has it.
    pub clock: Clock,
}

/// The method.
pub struct Start;

impl Method for Start {
    const NAME: &'static str = "executions/start";
    const SUMMARY: &'static str = "Begins to record a run, durably.";
    const DESCRIPTION: &'static str = "Stores a record with `status` running, `startedAt` now, no \
        tokens, cost, retries and steps, overlaid with `execution`. Without an id it gets one as \
        the engine makes them: `exec-`, the milliseconds since 1970, and nine digits of base 36. \
        Go on with executions/update; where nothing is heard of a queued or running run for a \
        while, it counts as stale (`staleAt` in its summary).";
    const EFFECT: Effect = Effect::ChangeRun;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::AlreadyExists,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Started;

    async fn call(context: Arc<Context>, params: Params) -> Result<Started, Error> {
        let execution = params.execution.map(|record| record.0);
        let text = execution.as_ref().map(|record| record.get());
        let id = match text {
            None => None,
            Some(text) => save::id_given(text, &params.project_id)?,
        };
        let (key, saved) = blocking(&context, move |history| {
            let text = execution.as_ref().map(|record| record.get());
            history.start_run(params.project_id, id, text)
        })
        .await?;
        Ok(Started {
            execution_id: key.execution,
            version: saved.version,
            summary: saved.summary,
            clock: Clock(saved.clock),
        })
    }

    fn examples() -> Vec<Example> {
        let summary = samples::started_summary();
        vec![Example {
            name: "a run with an id and a name of its own",
            params: json!({
                "projectId": "docs",
                "execution": {
                    "id": samples::STARTED_ID, "name": "Index the manual",
                    "startedAt": "2025-10-15T07:06:40.000Z"
                }
            }),
            result: json!({
                "executionId": samples::STARTED_ID, "version": summary["version"],
                "summary": summary, "clock": samples::CLOCK
            }),
        }]
    }
}
