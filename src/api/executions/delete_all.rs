//! `executions/deleteAll`: DELETE /executions, a project's whole history.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::blocking;
use super::delete::only_permanent;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::ProjectId;

/// Which project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteAllParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// Deletions are permanent; only true is accepted.
    pub permanent: Option<bool>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeleteAllResult")]
pub struct Deleted {
    /// How many files there were.
    pub deleted: u64,
    /// The state without them.
    pub clock: Clock,
}

/// The method.
pub struct DeleteAll;

impl Method for DeleteAll {
    const NAME: &'static str = "executions/deleteAll";
    const SUMMARY: &'static str = "Deletes every run of a project.";
    const DESCRIPTION: &'static str = "Every `*.json` of the project's executions folder, corrupt \
        ones too. A missing project deletes nothing. The deletion is permanent.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Storage];
    type Params = Params;
    type Result = Deleted;

    async fn call(context: Arc<Context>, params: Params) -> Result<Deleted, Error> {
        only_permanent(params.permanent)?;
        let project = params.project_id;
        let (deleted, clock) =
            blocking(&context, move |history| history.delete_all(&project)).await?;
        Ok(Deleted {
            deleted,
            clock: Clock(clock),
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a project",
            params: json!({ "projectId": "website" }),
            result: json!({ "deleted": 3, "clock": samples::CLOCK }),
        }]
    }
}
