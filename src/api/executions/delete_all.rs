//! `executions/deleteAll`: DELETE /executions, a project's whole history.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::stopping;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{History, Stop};
use crate::model::ProjectId;

/// Which project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteAllParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// Whether they are deleted for good instead of being moved to the trash.
    pub permanent: Option<bool>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeleteAllResult")]
pub struct Deleted {
    /// How many files there were.
    pub deleted: u64,
    /// What they are in the trash, for executions/restore; absent if they are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// The state without them.
    pub clock: Clock,
}

/// The method.
pub struct DeleteAll;

impl Method for DeleteAll {
    const NAME: &'static str = "executions/deleteAll";
    const SUMMARY: &'static str = "Deletes every run of a project.";
    const DESCRIPTION: &'static str = "Every `*.json` of the project's executions folder, corrupt \
        ones too, but for hidden ones (`.x.json`), which are no runs. A missing project deletes nothing, and one that is a link is refused (422). The files go to the trash of the project, together \
        as one batch, from where executions/restore puts them back, unless `permanent` says \
        otherwise. Taken back, it stops: what had gone by then is told, the rest stays.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Deleted;

    async fn call(context: Arc<Context>, params: Params) -> Result<Deleted, Error> {
        let permanent = params.permanent == Some(true);
        let project = params.project_id;
        let delete =
            move |history: &History, stop: &Stop| history.delete_all(&project, permanent, stop);
        let done = stopping(&context, delete).await?;
        Ok(Deleted {
            deleted: done.deleted,
            batch: done.batch.map(|batch| batch.to_string()),
            clock: Clock(done.clock),
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a project",
            params: json!({ "projectId": "website" }),
            result: json!({ "deleted": 3, "batch": samples::BATCH, "clock": samples::CLOCK }),
        }]
    }
}
