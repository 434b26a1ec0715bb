//! `executions/restore`: what was deleted is put back.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::stopping;
use crate::api::params::Texts;
use crate::api::table::{Effect, Example, Method};
use crate::api::trash::{read_batch, read_entries};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{Batch, EntryId};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// How many entries an answer names.
const NAMED_MAX: usize = 1000;

/// What to put back: `entries`, or a `batch`, or a run's latest deletion.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RestoreParams")]
pub struct Params {
    /// What deletions and trash/list call `entry`, 1,000 at most.
    pub entries: Option<Texts>,
    /// All that one request deleted, in whatever projects.
    pub batch: Option<String>,
    /// The project's folder, beside `executionId`.
    pub project_id: Option<ProjectId>,
    /// The run whose latest deletion is put back, beside `projectId`.
    pub execution_id: Option<ExecutionId>,
}

/// A deletion.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredEntry {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The run; for a file whose name is no id, that without `.json`.
    pub execution_id: String,
    /// What it was, or is, in the trash.
    pub entry: String,
}

impl RestoredEntry {
    fn of(id: &EntryId) -> Self {
        Self {
            project_id: id.project().clone(),
            execution_id: id.stem(),
            entry: id.to_string(),
        }
    }

    fn some(ids: &[EntryId]) -> Vec<Self> {
        ids.iter().take(NAMED_MAX).map(Self::of).collect()
    }
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RestoreResult")]
pub struct Restored {
    /// What is back, the first 1,000.
    pub restored: Vec<RestoredEntry>,
    /// How many are back.
    pub count: usize,
    /// What stays in the trash because there is such a run by now, the first 1,000. Only with
    /// `batch`; otherwise that is an error.
    pub skipped: Vec<RestoredEntry>,
    /// How many stay.
    pub skipped_count: usize,
    /// Projects whose trash cannot be read, where there may be more of the `batch`.
    pub unreadable: Vec<ProjectId>,
    /// The state that has them.
    pub clock: Clock,
}

enum Asked {
    Entries(Vec<EntryId>),
    Batch(Batch),
    Latest(RunKey),
}

/// The method.
pub struct Restore;

impl Method for Restore {
    const NAME: &'static str = "executions/restore";
    const SUMMARY: &'static str = "Puts deleted runs back, byte for byte.";
    const DESCRIPTION: &'static str = "The files are the ones that were deleted, and durably back \
        before the answer. Of `entries` all are put back, or, where one of them is not in the \
        trash (404), there is such a run by now or two are of one run (409), none; what was \
        restored before something came between is told by `data.restored`. Nothing is overwritten. \
        Taken back, it stops: what is back by then is told, the rest stays in the trash.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::EntryNotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Restored;

    async fn call(context: Arc<Context>, params: Params) -> Result<Restored, Error> {
        let Params {
            entries,
            batch,
            project_id,
            execution_id,
        } = params;
        let asked = match (entries, batch, project_id, execution_id) {
            (Some(entries), None, None, None) => Asked::Entries(read_entries(&entries.0)?),
            (None, Some(batch), None, None) => Asked::Batch(read_batch(&batch)?),
            (None, None, Some(project), Some(execution)) => {
                Asked::Latest(RunKey { project, execution })
            }
            _ => {
                return Err(Error::params(
                    "expected either `entries`, or `batch`, or `projectId` and `executionId`",
                ));
            }
        };
        let done = stopping(&context, move |history, stop| match asked {
            Asked::Entries(entries) => history.restore_entries(&entries, stop),
            Asked::Batch(batch) => history.restore_batch(batch, stop),
            Asked::Latest(key) => history.restore_entries(&[history.latest_deletion(&key)?], stop),
        })
        .await?;
        Ok(Restored {
            restored: RestoredEntry::some(&done.entries),
            count: done.entries.len(),
            skipped: RestoredEntry::some(&done.occupied),
            skipped_count: done.occupied.len(),
            unreadable: done.unreadable,
            clock: Clock(done.clock),
        })
    }

    fn examples() -> Vec<Example> {
        let entry = format!("website/{}/{}", samples::BATCH, samples::NEW_ID);
        let run = json!({ "projectId": "website", "executionId": samples::NEW_ID });
        let back = json!({
            "restored": [
                { "projectId": "website", "executionId": samples::NEW_ID, "entry": entry }
            ],
            "count": 1, "skipped": [], "skippedCount": 0, "unreadable": [], "clock": samples::CLOCK
        });
        vec![
            Example {
                name: "an entry",
                params: json!({ "entries": [entry] }),
                result: back.clone(),
            },
            Example {
                name: "a run",
                params: run,
                result: back.clone(),
            },
            Example {
                name: "all that one request deleted",
                params: json!({ "batch": samples::BATCH }),
                result: back,
            },
        ]
    }
}
