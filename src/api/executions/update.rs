//! `executions/update`: what a run's recorder has to tell while it goes on.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::save::IfVersion;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples, taking_back};
use crate::history::{HistoryError, check_names};
use crate::model::decimal::Exact;
use crate::model::json::{decode_string, spelt_members};
use crate::model::update::{Add, NOT_SET, Update as Changes, step_id};
use crate::model::{ExecutionId, ProjectId, RunKey, Summary, Version};
use crate::store::Expect;

/// What is to be changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UpdateParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The run's id.
    pub execution_id: ExecutionId,
    /// New values of top-level members; null removes one. Not `id`, `projectId` and `steps`.
    pub set: Option<Set>,
    /// What comes on top of the record's amounts, after `set`.
    pub add: Option<AddParams>,
    /// Steps: one that the record has, by `id`, is overlaid, another one is appended.
    pub steps: Option<Vec<Step>>,
    /// Only on top of this version.
    pub if_version: Option<IfVersion>,
}

/// Members, their names and values as they were spelt.
#[derive(Debug)]
pub struct Set(Vec<(Box<str>, Box<str>)>);

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = object(deserializer)?;
        let mut members = Vec::new();
        for (name, value) in spelt_members(raw.get()) {
            if let Some(name) = NOT_SET.iter().find(|held| **held == decode_string(name)) {
                return Err(D::Error::custom(format!("`{name}` cannot be set")));
            }
            members.push((name.into(), value.into()));
        }
        Ok(Self(members))
    }
}

impl JsonSchema for Set {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Set".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "New values of top-level members; null removes one.",
            "additionalProperties": true
        })
    }
}

/// A step as it was spelt.
#[derive(Debug)]
pub struct Step(Box<str>);

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = object(deserializer)?;
        if step_id(raw.get()).is_none_or(|id| id.is_empty()) {
            return Err(D::Error::custom("every step must have an `id`, a string"));
        }
        Ok(Self(raw.get().into()))
    }
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StepUpdate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A step, or what is new of one; `id` says which.",
            "properties": {
                "id": { "type": "string" },
                "nodeId": { "type": "string" },
                "nodeType": { "type": "string" },
                "name": { "type": "string" },
                "parentId": { "type": "string" },
                "status": { "type": "string" },
                "startedAt": { "type": "string", "format": "date-time" },
                "completedAt": { "type": "string", "format": "date-time" },
                "duration": { "type": "number", "description": "milliseconds" },
                "input": {},
                "output": {},
                "error": { "type": "string" },
                "model": { "type": "string" },
                "tokenUsage": { "type": "object" },
                "costUSD": { "type": "number" }
            },
            "required": ["id"],
            "additionalProperties": true
        })
    }
}

/// An object in which no member comes twice.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    if !raw.get().starts_with('{') {
        return Err(D::Error::custom("must be an object"));
    }
    check_names(raw.get()).map_err(D::Error::custom)?;
    Ok(raw)
}

/// Amounts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpdateAdd")]
pub struct AddParams {
    /// US dollars.
    #[serde(rename = "costUSD")]
    pub cost_usd: Option<Cost>,
    /// Tokens; the total follows.
    #[serde(rename = "tokenUsage")]
    pub token_usage: Option<AddTokens>,
}

/// Tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpdateAddTokens")]
pub struct AddTokens {
    /// Tokens read.
    pub input: Option<Count>,
    /// Tokens written.
    pub output: Option<Count>,
}

/// An amount of money to be added, exactly as it was spelt.
#[derive(Debug, Clone, Copy)]
pub struct Cost(Exact);

/// A number of tokens to be added.
#[derive(Debug, Clone, Copy)]
pub struct Count(Exact);

/// The number that stands there, if nothing is lost by adding it.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Exact, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    if !raw
        .get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    {
        return Err(D::Error::custom("amounts to be added must be numbers"));
    }
    let exact = Exact::parse(raw.get()).ok_or_else(|| {
        D::Error::custom("amounts to be added may have 38 digits, 30 of them after the point")
    })?;
    if exact.is_negative() {
        return Err(D::Error::custom("amounts to be added must not be negative"));
    }
    Ok(exact)
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        amount(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let exact = amount(deserializer)?;
        if !exact.is_whole() {
            return Err(D::Error::custom("tokens to be added must be whole numbers"));
        }
        Ok(Self(exact))
    }
}

impl JsonSchema for Cost {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cost".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0 })
    }
}

impl JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0 })
    }
}

/// The run as it is stored now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UpdateResult")]
pub struct Updated {
    /// An opaque hash of the stored bytes.
    pub version: Version,
    /// The run as lists now show it.
    pub summary: Summary,
    /// The state that has it.
    pub clock: Clock,
}

/// The method.
pub struct Update;

impl Method for Update {
    const NAME: &'static str = "executions/update";
    const SUMMARY: &'static str = "Changes a run that has not ended, durably.";
    const DESCRIPTION: &'static str = "`set` first, then `add`, then `steps`; the rest of the \
        record stays as it is spelt. Setting a status of completed, failed or cancelled ends the \
        run: `completedAt` and `duration` are filled in where absent, and later updates get 409 \
        already-finished. With nothing but the ids it is a heartbeat: only the file's time \
        changes. Updates of a run that arrive while it is written share the next write; a record \
        over 1 MB is written once a second at most. Where the answer does not come, repeat an \
        `add` only with the `ifVersion` that was answered last.";
    const EFFECT: Effect = Effect::UpdateRun;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::ExecutionNotFound,
        ErrorKind::VersionConflict,
        ErrorKind::AlreadyFinished,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Updated;

    async fn call(context: Arc<Context>, params: Params) -> Result<Updated, Error> {
        let if_version = match params.if_version {
            None => None,
            Some(IfVersion(Expect::Version(version))) => Some(version),
            Some(IfVersion(Expect::Absent | Expect::Anything)) => {
                let message = "`ifVersion`: a run that is updated exists; use executions/start";
                return Err(Error::params(message));
            }
        };
        let add = params.add.unwrap_or_default();
        let tokens = add.token_usage.unwrap_or_default();
        let changes = Changes {
            set: params.set.map_or_else(Vec::new, |set| set.0),
            add: Add {
                cost: add.cost_usd.map(|cost| cost.0),
                input: tokens.input.map(|count| count.0),
                output: tokens.output.map(|count| count.0),
            },
            steps: params
                .steps
                .unwrap_or_default()
                .into_iter()
                .map(|step| step.0)
                .collect(),
            if_version,
        };
        let key = RunKey {
            project: params.project_id,
            execution: params.execution_id,
        };
        // in its place among the updates of the run when this is first polled: nothing waits before
        let saved = match context
            .history
            .update(key, changes, taking_back::here())
            .await
        {
            // it may have been under way
            Err(error @ HistoryError::Ending) => {
                return Err(Error::from(error).with("outcome", "unknown"));
            }
            saved => saved?,
        };
        Ok(Updated {
            version: saved.version,
            summary: saved.summary,
            clock: Clock(saved.clock),
        })
    }

    fn examples() -> Vec<Example> {
        let summary = samples::updated_summary();
        vec![Example {
            name: "a step has ended, and so has the run",
            params: json!({
                "projectId": "website", "executionId": samples::RUNNING_ID,
                "set": {
                    "status": "completed", "completedAt": "2025-10-15T07:02:55.310Z"
                },
                "add": { "costUSD": 0.0021, "tokenUsage": { "input": 120, "output": 80 } },
                "steps": [{ "id": "step-1", "status": "completed" }]
            }),
            result: json!({
                "version": summary["version"], "summary": summary, "clock": samples::CLOCK
            }),
        }]
    }
}
