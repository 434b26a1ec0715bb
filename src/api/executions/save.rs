//! `executions/save`: what the engine does when it saves a run, durable before the answer.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::blocking;
use crate::api::params::{RecordText, member};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{ExecutionId, ProjectId, RunKey, Summary, Version, json as walk};
use crate::store::Expect;

/// What to store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SaveParams")]
pub struct Params {
    /// The project's folder; made if it is not there.
    pub project_id: ProjectId,
    /// The record; its `id` names the file.
    pub execution: RecordText,
    /// Store only over this version; `none`: only if there is no such run.
    pub if_version: Option<IfVersion>,
}

/// A version, or `none`.
#[derive(Debug, Clone)]
pub struct IfVersion(pub Expect);

impl<'de> Deserialize<'de> for IfVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Version::parse(&text) {
            Some(version) => Ok(Self(Expect::Version(version))),
            None if text == "none" => Ok(Self(Expect::Absent)),
            None => Err(serde::de::Error::custom(
                "must be a version that runlog gave, or \"none\"",
            )),
        }
    }
}

impl JsonSchema for IfVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IfVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "A version, or `none`." })
    }
}

/// What is stored now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SaveResult")]
pub struct Stored {
    /// The run as lists now show it.
    pub summary: Summary,
    /// Whether there was no such run before.
    pub created: bool,
    /// An opaque hash of the stored bytes.
    pub version: Version,
    /// The state that has it.
    pub clock: Clock,
}

/// The method.
pub struct Save;

impl Method for Save {
    const NAME: &'static str = "executions/save";
    const SUMMARY: &'static str = "Stores one whole record, durably.";
    const DESCRIPTION: &'static str = "Written beside the file, synced and renamed over it; after \
        a kill at any instant there is the old record or the new one, whole. Stored as Node's \
        JSON.stringify(execution, null, 2) would, with keys in the given order and numbers as spelt. \
        A record with repeated keys is refused.";
    const EFFECT: Effect = Effect::ChangeRun;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::VersionConflict,
        ErrorKind::TooLarge,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Stored;

    async fn call(context: Arc<Context>, params: Params) -> Result<Stored, Error> {
        let execution = params.execution.0;
        let id = id_of(execution.get())?;
        same_project(execution.get(), &params.project_id)?;
        let key = RunKey {
            project: params.project_id,
            execution: id,
        };
        let expect = params
            .if_version
            .map_or(Expect::Anything, |version| version.0);
        let saved = blocking(&context, move |history| {
            history.save(&key, execution.get(), &expect)
        })
        .await?;
        Ok(Stored {
            summary: saved.summary,
            created: saved.created,
            version: saved.version,
            clock: Clock(saved.clock),
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a new run",
            params: json!({ "projectId": "website", "execution": samples::new_record() }),
            result: json!({
                "summary": samples::new_summary(), "created": true,
                "version": samples::new_summary()["version"], "clock": samples::CLOCK
            }),
        }]
    }
}

/// The id that a record to be saved has.
fn id_of(execution: &str) -> Result<ExecutionId, Error> {
    given_id(execution)?.ok_or_else(|| Error::params("`execution.id`: expected a string"))
}

/// The id that a record has, if it has one.
pub(super) fn given_id(execution: &str) -> Result<Option<ExecutionId>, Error> {
    if !execution.trim_start().starts_with('{') {
        return Err(Error::params("`execution`: expected an object"));
    }
    let Some(id) = member(Some(execution), "id") else {
        return Ok(None);
    };
    if !id.starts_with('"') {
        return Err(Error::params("`execution.id`: expected a string"));
    }
    ExecutionId::parse(&walk::decode_string(id))
        .map(Some)
        .map_err(|error| Error::params(format!("`execution.id`: {error}")))
}

/// That a record says nothing else of its project.
pub(super) fn same_project(execution: &str, project: &ProjectId) -> Result<(), Error> {
    match member(Some(execution), "projectId") {
        Some(inside)
            if !inside.starts_with('"') || walk::decode_string(inside) != project.as_str() =>
        {
            Err(Error::params(
                "`execution.projectId` must be the same as `projectId`, or absent",
            ))
        }
        _ => Ok(()),
    }
}

/// The run that a save is about, as far as its params tell; for keeping saves in order.
#[must_use]
pub fn target(raw: Option<&str>) -> Option<RunKey> {
    let text = |raw: &str| {
        raw.starts_with('"')
            .then(|| walk::decode_string(raw).into_owned())
    };
    let project = ProjectId::parse(&text(member(raw, "projectId")?)?).ok()?;
    Some(RunKey {
        project,
        execution: id_of(member(raw, "execution")?).ok()?,
    })
}
