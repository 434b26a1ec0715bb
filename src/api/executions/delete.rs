//! `executions/delete`: DELETE /executions/:id, idempotent.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::blocking;
use crate::api::params::member;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{ExecutionId, ProjectId, RunKey, json as walk};

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// Deletions are permanent; only true is accepted.
    pub permanent: Option<bool>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeleteResult")]
pub struct Deleted {
    /// Whether there was such a file.
    pub deleted: bool,
    /// The state without it.
    pub clock: Clock,
}

/// The method.
pub struct Delete;

impl Method for Delete {
    const NAME: &'static str = "executions/delete";
    const SUMMARY: &'static str = "Deletes one run.";
    const DESCRIPTION: &'static str = "A missing run is no error. The deletion is permanent.";
    const EFFECT: Effect = Effect::ChangeRun;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::CorruptExecution, ErrorKind::Storage];
    type Params = Params;
    type Result = Deleted;

    async fn call(context: Arc<Context>, params: Params) -> Result<Deleted, Error> {
        only_permanent(params.permanent)?;
        let key = RunKey {
            project: params.project_id,
            execution: params.execution_id,
        };
        let (deleted, clock) = blocking(&context, move |history| history.delete(&key)).await?;
        Ok(Deleted {
            deleted,
            clock: Clock(clock),
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "a run",
                params: json!({ "projectId": "website", "executionId": samples::FAILED_ID }),
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

/// Refuses to keep what it cannot keep.
pub(super) fn only_permanent(permanent: Option<bool>) -> Result<(), Error> {
    if permanent == Some(false) {
        return Err(Error::params(
            "`permanent`: there is no trash yet; deletions are permanent",
        ));
    }
    Ok(())
}

/// The run that a deletion is about, as far as its params tell; for keeping it in order.
#[must_use]
pub fn target(raw: Option<&str>) -> Option<RunKey> {
    let text = |name: &str| {
        let raw = member(raw, name)?;
        raw.starts_with('"')
            .then(|| walk::decode_string(raw).into_owned())
    };
    Some(RunKey {
        project: ProjectId::parse(&text("projectId")?).ok()?,
        execution: ExecutionId::parse(&text("executionId")?).ok()?,
    })
}
