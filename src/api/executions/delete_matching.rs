//! `executions/deleteMatching`: the runs that pass a filter are deleted.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now};
use super::{Statuses, blocking, prepare};
use crate::api::progress::{Steps, Teller, here};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{Chosen, DeletedMany, History, HistoryError, Spared, Wanted};
use crate::index;
use crate::model::{ExecutionId, ProjectId, RunKey};

/// How many runs an answer names.
pub(super) const NAMED_MAX: usize = 100;

/// Which runs, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteMatchingParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter, for example `startedAt < -30d and status = 'failed'`.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// Only tell what would go.
    pub dry_run: Option<bool>,
    /// Whether they are deleted for good instead of being moved to the trash.
    pub permanent: Option<bool>,
    /// Everything done to the files before the request is taken into account.
    pub sync: Option<bool>,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunName {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
}

impl RunName {
    fn of(key: &RunKey) -> Self {
        Self {
            project_id: key.project.clone(),
            execution_id: key.execution.clone(),
        }
    }
}

/// A run that was to go and did not.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkippedRun {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// `changed`: saved or touched after it was chosen; `gone`: deleted by somebody else;
    /// `refused` by the file system; `maybe-pinned`: what is noted on it cannot be read, and the
    /// policy keeps pinned runs.
    pub reason: &'static str,
}

/// What went, or with `dryRun` would go.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeleteMatchingResult")]
pub struct Gone {
    /// How many runs.
    pub count: usize,
    /// How many bytes their files have.
    pub bytes: u64,
    /// The first 100 of them.
    pub executions: Vec<RunName>,
    /// What they are in the trash, for executions/restore; absent if they are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// What was to go and did not, the first 100.
    pub skipped: Vec<SkippedRun>,
    /// How many did not.
    pub skipped_count: usize,
    /// The state without them; with `dryRun` the one at which they were chosen.
    pub clock: Clock,
}

impl Gone {
    /// What would go.
    pub(super) fn would(chosen: &[Chosen], clock: index::Clock) -> Self {
        let some = chosen.iter().take(NAMED_MAX);
        Self {
            count: chosen.len(),
            bytes: chosen.iter().map(Chosen::size_bytes).sum(),
            executions: some.map(|one| RunName::of(one.key())).collect(),
            batch: None,
            skipped: Vec::new(),
            skipped_count: 0,
            clock: Clock(clock),
        }
    }

    fn did(done: &DeletedMany) -> Self {
        let mut did = Self {
            batch: done.batch.map(|batch| batch.to_string()),
            ..Self::would(&done.deleted, done.clock)
        };
        did.skip(done.spared.iter().map(|(key, why)| (key, *why)));
        did
    }

    /// The same, with some that were to go and do not.
    pub(super) fn skip<'k>(&mut self, some: impl Iterator<Item = (&'k RunKey, Spared)>) {
        for (key, why) in some {
            self.skipped_count += 1;
            if self.skipped.len() < NAMED_MAX {
                self.skipped.push(SkippedRun {
                    project_id: key.project.clone(),
                    execution_id: key.execution.clone(),
                    reason: match why {
                        Spared::Gone => "gone",
                        Spared::Changed => "changed",
                        Spared::Refused => "refused",
                        Spared::MaybePinned => "maybe-pinned",
                    },
                });
            }
        }
    }
}

/// Deletes what was chosen, and tells how far it has come.
///
/// # Errors
/// Those of [`History::delete_chosen`].
pub(super) fn carry_out(
    history: &History,
    chosen: Vec<Chosen>,
    permanent: bool,
    teller: &Teller,
) -> Result<Gone, HistoryError> {
    let total = chosen.len() as u64;
    let tell = |done: usize| {
        let done = done as u64;
        teller.tell(Steps { done, total });
    };
    let done = history.delete_chosen(chosen, permanent, tell)?;
    Ok(Gone::did(&done))
}

/// The method.
pub struct DeleteMatching;

impl Method for DeleteMatching {
    const NAME: &'static str = "executions/deleteMatching";
    const SUMMARY: &'static str = "Deletes the runs that pass a filter.";
    const DESCRIPTION: &'static str = "They are chosen at one clock, by the same params as in \
        executions/list, of which `status` or `where` must be given. Each is compared once more \
        before it goes; what was saved, touched or deleted meanwhile is skipped and told. The files \
        go to the trash, together as one batch, from where executions/restore puts them back, \
        unless `permanent` says otherwise. Subscribers are told of each.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::NotReady,
        ErrorKind::QueryTooExpensive,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Gone;

    async fn call(context: Arc<Context>, params: Params) -> Result<Gone, Error> {
        // a filter with nothing in it would select every run
        let filter = params.filter.as_deref().unwrap_or_default();
        if params.status.is_none() && filter.trim().is_empty() {
            return Err(Error::params(
                "expected `status` or `where`; executions/deleteAll deletes all runs of a project",
            ));
        }
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        prepare(&context, asked.plain.project.as_ref(), params.sync, None).await?;
        let query = asked.every(now());
        let dry_run = params.dry_run == Some(true);
        let permanent = params.permanent == Some(true);
        let teller = here();
        let wanted = Wanted::default();
        let stop = wanted.stop();
        blocking(&context, move |history| {
            let (chosen, clock) = history.choose(&query, &stop)?;
            if dry_run {
                return Ok(Gone::would(&chosen, clock));
            }
            carry_out(history, chosen, permanent, &teller)
        })
        .await
    }

    fn examples() -> Vec<Example> {
        let failed = json!({ "projectId": "website", "executionId": samples::FAILED_ID });
        let bytes = samples::RUNS[0].2.trim_end().len();
        vec![
            Example {
                name: "what would go",
                params: json!({ "where": "status = 'failed' and costUSD = 0", "dryRun": true }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [failed], "skipped": [],
                    "skippedCount": 0, "clock": samples::CLOCK
                }),
            },
            Example {
                name: "a project's failed runs",
                params: json!({ "projectId": "website", "status": "failed" }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [failed], "batch": samples::BATCH,
                    "skipped": [], "skippedCount": 0, "clock": samples::CLOCK
                }),
            },
        ]
    }
}
