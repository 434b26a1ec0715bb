//! `executions/diff`: what tells two runs apart.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Named, blocking, read_named};
use crate::api::table::{Effect, Example, Method, Weight};
use crate::api::{Context, Error, ErrorKind, samples};
use crate::history::{Record, Wanted};
use crate::model::diff::{Diff, diff};
use crate::model::{ExecutionId, ProjectId, RunKey, Version};

/// Which two runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DiffParams")]
pub struct Params {
    /// The run that the other is compared with.
    pub a: Which,
    /// The other run.
    pub b: Which,
    /// Where a run is not called so: everything done to the files before the request counts.
    pub sync: Option<bool>,
}

/// A run, as `executions/get` takes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WhichExecution")]
pub struct Which {
    /// The project's folder; any if absent.
    pub project_id: Option<ProjectId>,
    /// The file's stem, its beginning, or `last`.
    pub execution_id: ExecutionId,
}

/// A run that was compared.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ComparedExecution")]
pub struct Compared {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// An opaque hash of the stored bytes.
    pub version: Version,
}

/// What tells `b` from `a`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DiffResult")]
pub struct Told {
    /// The run that the other was compared with.
    pub a: Compared,
    /// The other run.
    pub b: Compared,
    /// How they differ.
    #[serde(flatten)]
    pub diff: Diff,
}

/// The method.
pub struct Compare;

impl Method for Compare {
    const NAME: &'static str = "executions/diff";
    const SUMMARY: &'static str = "Tells two runs apart.";
    const DESCRIPTION: &'static str = "The runs are named as in `executions/get`. Members are \
        compared by what they mean: whitespace, the order of members and spellings make no \
        difference, numbers are compared digit by digit. Steps are aligned by `nodeId`, else \
        `name`, else `id`, and by how often that came before. Of a value 1,024 bytes are told, \
        with its size; of changes and steps as many as the result says, the rest counted. Costs a \
        reading of both records; one over the limit that `initialize` tells is refused, and so are \
        two whose comparison takes over 2 s.";
    const EFFECT: Effect = Effect::Read;
    const WEIGHT: Weight = Weight::Records;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::ExecutionNotFound,
        ErrorKind::Ambiguous,
        ErrorKind::CorruptExecution,
        ErrorKind::QueryTooExpensive,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Told;

    fn is_large(_result: &Told) -> bool {
        true
    }

    async fn call(context: Arc<Context>, params: Params) -> Result<Told, Error> {
        let (a_key, a) = read(&context, params.a, params.sync).await?;
        let (b_key, b) = read(&context, params.b, params.sync).await?;
        let wanted = Wanted::default();
        let stop = wanted.stop();
        blocking(&context, move |history| {
            let going = history.in_time(&stop);
            let diff = diff(a.text(), b.text(), &going)?;
            Ok(Told {
                a: Compared::of(a_key, a.version),
                b: Compared::of(b_key, b.version),
                diff,
            })
        })
        .await
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a failed run and the newest",
            params: json!({
                "a": { "projectId": "website", "executionId": samples::FAILED_ID },
                "b": { "executionId": "last" }
            }),
            result: samples::diff(),
        }]
    }
}

async fn read(
    context: &Context,
    which: Which,
    sync: Option<bool>,
) -> Result<(RunKey, Record), Error> {
    let named = Named {
        project: which.project_id,
        execution: which.execution_id,
    };
    read_named(context, named, sync, |history, key, _| history.get(key)).await
}

impl Compared {
    fn of(key: RunKey, version: Version) -> Self {
        Self {
            project_id: key.project,
            execution_id: key.execution,
            version,
        }
    }
}
