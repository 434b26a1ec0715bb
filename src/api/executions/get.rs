//! `executions/get`: GET /executions/:id, the file's own JSON.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::blocking;
use crate::api::params::RecordText;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Context, Error, ErrorKind, samples};
use crate::history::HistoryError;
use crate::model::{ExecutionId, ProjectId, RunKey, Version};

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
}

/// A whole record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GetResult")]
pub struct Whole {
    /// The file's own JSON: unknown members, number spellings and lone surrogates untouched.
    pub execution: RecordText,
    /// An opaque hash of the stored bytes; `ifVersion` takes it.
    pub version: Version,
}

/// The method.
pub struct Get;

impl Method for Get {
    const NAME: &'static str = "executions/get";
    const SUMMARY: &'static str = "Gives one whole record.";
    const DESCRIPTION: &'static str = "Reads the file, whether the index has seen it or not. \
        A record over the limit that `initialize` tells is refused with its size, before it is read.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::ExecutionNotFound,
        ErrorKind::TooLarge,
        ErrorKind::CorruptExecution,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Whole;

    async fn call(context: Arc<Context>, params: Params) -> Result<Whole, Error> {
        let key = RunKey {
            project: params.project_id,
            execution: params.execution_id,
        };
        blocking(&context, move |history| {
            let record = history.get(&key)?;
            let version = record.version;
            // the store has checked it; only its whitespace around goes
            let execution =
                RawValue::from_string(record.text).map_err(|_| HistoryError::NotFound(key))?;
            Ok(Whole {
                execution: RecordText(execution),
                version,
            })
        })
        .await
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a failed run",
            params: json!({ "projectId": "website", "executionId": samples::FAILED_ID }),
            result: json!({
                "execution": samples::failed_record(),
                "version": samples::failed_summary()["version"]
            }),
        }]
    }
}
