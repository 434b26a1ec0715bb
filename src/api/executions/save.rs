//! `executions/save`: what the engine does when it saves a run, durable before the answer.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::{blocking, when_there};
use crate::api::params::{RecordText, member, members_named, text_of};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::History;
use crate::model::{ExecutionId, ProjectId, RunKey, Summary, Version};
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
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Stored;

    async fn call(context: Arc<Context>, params: Params) -> Result<Stored, Error> {
        let execution = params.execution.0;
        let id = id_given(execution.get(), &params.project_id)?;
        let id = id.ok_or_else(|| Error::params("`execution.id`: expected a string"))?;
        let key = RunKey {
            project: params.project_id,
            execution: id,
        };
        let expect = params
            .if_version
            .map_or(Expect::Anything, |version| version.0);
        let is_anything = matches!(expect, Expect::Anything);
        let save =
            move |history: &History, key: &RunKey| history.save(key, execution.get(), &expect);
        let saved = match is_anything {
            true => blocking(&context, move |history| save(history, &key)).await?,
            false => when_there(&context, key, save).await?,
        };
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

/// The id that a record of `project` has, if it has one.
///
/// # Errors
/// -32602 where the record is no object, its id is none, or it says that it is of another project.
pub(super) fn id_given(execution: &str, project: &ProjectId) -> Result<Option<ExecutionId>, Error> {
    if !execution.trim_start().starts_with('{') {
        return Err(Error::params("`execution`: expected an object"));
    }
    let [id, inside] = members_named(Some(execution), ["id", "projectId"]);
    let id = id.map(parse_id).transpose()?;
    let is_other =
        |spelt| !matches!(ProjectId::parse_spelt(spelt), Ok(inside) if inside == *project);
    match inside {
        Some(spelt) if !spelt.starts_with('"') || is_other(spelt) => Err(Error::params(
            "`execution.projectId` must be the same as `projectId`, or absent",
        )),
        _ => Ok(id),
    }
}

fn parse_id(spelt: &str) -> Result<ExecutionId, Error> {
    if !spelt.starts_with('"') {
        return Err(Error::params("`execution.id`: expected a string"));
    }
    ExecutionId::parse_spelt(spelt)
        .map_err(|error| Error::params(format!("`execution.id`: {error}")))
}

/// The run that a save is about, from its project and record as they are spelt; for keeping saves in
/// order.
#[must_use]
pub fn target((project, execution): (&str, &str)) -> Option<RunKey> {
    Some(RunKey {
        project: ProjectId::parse(&text_of(project)?).ok()?,
        execution: parse_id(member(Some(execution), "id")?).ok()?,
    })
}
