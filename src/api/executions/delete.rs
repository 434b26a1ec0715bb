//! `executions/delete`: DELETE /executions/:id, idempotent.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::when_there;
use crate::api::params::text_of;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::History;
use crate::model::{ExecutionId, ProjectId, RunKey};

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// Whether it is deleted for good instead of being moved to the trash.
    pub permanent: Option<bool>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeleteResult")]
pub struct Deleted {
    /// Whether there was such a file.
    pub deleted: bool,
    /// What it is in the trash, for executions/restore; absent if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The state without it.
    pub clock: Clock,
}

/// The method.
pub struct Delete;

impl Method for Delete {
    const NAME: &'static str = "executions/delete";
    const SUMMARY: &'static str = "Deletes one run.";
    const DESCRIPTION: &'static str = "A missing run is no error. The file goes to the trash of \
        its project, from where executions/restore puts it back, unless `permanent` says otherwise.";
    const EFFECT: Effect = Effect::ChangeRun;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Deleted;

    async fn call(context: Arc<Context>, params: Params) -> Result<Deleted, Error> {
        let permanent = params.permanent == Some(true);
        let key = RunKey {
            project: params.project_id,
            execution: params.execution_id,
        };
        let delete = move |history: &History, key: &RunKey| history.delete(key, permanent);
        let done = when_there(&context, key, delete).await?;
        Ok(Deleted {
            deleted: done.deleted,
            entry: done.entry.map(|entry| entry.to_string()),
            clock: Clock(done.clock),
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "a run",
                params: json!({ "projectId": "website", "executionId": samples::FAILED_ID }),
                result: json!({
                    "deleted": true, "clock": samples::CLOCK,
                    "entry": format!("website/{}/{}", samples::BATCH, samples::FAILED_ID)
                }),
            },
            Example {
                name: "a run, for good",
                params: json!({
                    "projectId": "website", "executionId": samples::FAILED_ID, "permanent": true
                }),
                result: json!({ "deleted": true, "clock": samples::CLOCK }),
            },
            Example {
                name: "a run that is not there",
                params: json!({ "projectId": "website", "executionId": "nothing" }),
                result: json!({ "deleted": false, "clock": samples::CLOCK }),
            },
        ]
    }
}

/// The run that a deletion is about, from its project and id as they are spelt; for keeping it in
/// order.
#[must_use]
pub fn target((project, execution): (&str, &str)) -> Option<RunKey> {
    Some(RunKey {
        project: ProjectId::parse(&text_of(project)?).ok()?,
        execution: ExecutionId::parse(&text_of(execution)?).ok()?,
    })
}
