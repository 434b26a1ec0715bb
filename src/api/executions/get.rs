//! `executions/get`: GET /executions/:id, the file's own JSON.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::api::params::RecordText;
use crate::api::table::{Answer, Effect, Example, Method};
use crate::api::{Context, Error, ErrorKind, samples};
use crate::history::Record;
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
#[derive(Debug, JsonSchema)]
#[schemars(rename = "GetResult")]
pub struct Whole {
    /// The file's own JSON: unknown members, number spellings and lone surrogates untouched.
    #[schemars(with = "RecordText")]
    pub execution: Vec<u8>,
    /// An opaque hash of the stored bytes; `ifVersion` takes it.
    pub version: Version,
}

impl From<Record> for Whole {
    fn from(record: Record) -> Self {
        Self {
            execution: record.json,
            version: record.version,
        }
    }
}

impl Answer for Whole {
    fn text(self) -> serde_json::Result<Vec<u8>> {
        // the store has checked it; only its whitespace around goes
        let record = self.execution.trim_ascii();
        Ok([
            b"{\"execution\":",
            record,
            b",\"version\":\"",
            &self.version.digits(),
            b"\"}",
        ]
        .concat())
    }
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
        if let Some(record) = context.history.get_cached(&key) {
            return Ok(record.into());
        }
        blocking(&context, move |history| Ok(history.get(&key)?.into())).await
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
