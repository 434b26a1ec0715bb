//! `executions/deleteMatching`: the runs that pass a filter are deleted.

use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now};
use super::list::{read_cursor, write_place};
use super::{Statuses, choosing, stopping, wait_for};
use crate::api::params::Whole;
use crate::api::progress::{Steps, Teller, here};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{Chosen, DeletedMany, Deleting, History, HistoryError, Spared, Stop, Told};
use crate::index::{self, SortedKey};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// How many runs an answer names if nobody says.
const NAMED: usize = 100;
/// And at most: many pages are one answer's worth, whatever the ids.
const NAMED_MAX: usize = 10_000;

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
    /// How many runs are named, of those that go and of those that do not: 100 if absent, 10,000 at
    /// most.
    pub limit: Option<NamedLimit>,
    /// With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the other
    /// params must be the same.
    pub cursor: Option<String>,
    /// `plan` of an answer to `dryRun`: nothing goes but what that told. What came or changed since
    /// stays. Its `projectId`, `status`, `where` and `timezone` must be the same.
    pub plan: Option<String>,
    /// Whether they are deleted for good instead of being moved to the trash.
    pub permanent: Option<bool>,
    /// Everything done to the files before the request is taken into account.
    pub sync: Option<bool>,
}

/// How many runs are named.
pub type NamedLimit = Whole<1, NAMED_MAX, NAMED>;

/// Which of the runs an answer names.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) limit: NamedLimit,
    /// After this one.
    pub(super) after: Option<SortedKey>,
    /// What its cursor begins with.
    pub(super) mark: String,
    /// Whether the youngest go first, else they are in list order.
    pub(super) by_age: bool,
}

impl Naming {
    /// What `plan` begins with, and what was told.
    ///
    /// # Errors
    /// -32602 for anything else, with `dryRun`, and where it is not known any more what changed.
    pub(super) fn told<'p>(
        history: &History,
        plan: &'p str,
        dry_run: bool,
    ) -> Result<(&'p str, Arc<Told>), Error> {
        if dry_run {
            return Err(Error::params("`plan`: expected only without `dryRun`"));
        }
        let known = || {
            let (mark, _) = plan.rsplit_once('/')?;
            Some((mark, history.told(plan)?))
        };
        known().ok_or_else(|| {
            Error::params(
                "`plan`: what it told, or what changed since, is not known any more; rehearse it again",
            )
            .with("member", "plan")
        })
    }

    /// Refuses a cursor where runs go: those that it stands behind have not been chosen for that.
    pub(super) fn may_go_on(cursor: Option<&String>, dry_run: bool) -> Result<(), Error> {
        match cursor {
            Some(_) if !dry_run => Err(Error::params("`cursor`: expected only with `dryRun`")),
            _ => Ok(()),
        }
    }

    fn is_named(&self, one: &Chosen) -> bool {
        let Some(SortedKey { number, key }) = &self.after else {
            return true;
        };
        let age = Reverse(self.number(one)).cmp(&Reverse(*number));
        age.then_with(|| one.place().cmp(&key.place())).is_gt()
    }

    fn number(&self, one: &Chosen) -> Option<i64> {
        self.by_age.then(|| one.aged_from().0)
    }

    /// The runs to name, and the cursor for those after them.
    fn of(&self, chosen: &[Chosen]) -> (Vec<RunName>, Option<String>) {
        let rest = chosen.get(chosen.partition_point(|one| !self.is_named(one))..);
        let rest = rest.unwrap_or_default();
        let named = rest.get(..self.limit.0).unwrap_or(rest);
        let last = named.last().filter(|_| named.len() < rest.len());
        let cursor = last.map(|last| {
            let key = SortedKey {
                number: self.number(last),
                key: last.place().to_key(),
            };
            format!("{}/{}", self.mark, write_place(&key, self.by_age))
        });
        (named.iter().map(RunName::of).collect(), cursor)
    }
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunName {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// The file's size.
    pub size_bytes: u64,
}

impl RunName {
    fn of(one: &Chosen) -> Self {
        Self {
            project_id: one.key().project.clone(),
            execution_id: one.key().execution.clone(),
            size_bytes: one.size_bytes(),
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
    /// `changed`: was saved, touched or noted on after it was chosen or told; `gone`: deleted
    /// by somebody else; `kept`: others changed or went, so that the policy keeps it by now; `refused`
    /// by the file system, be it to read the record that says whether it is meant; `maybe-pinned`: what
    /// is noted on it cannot be read, and the policy keeps pinned runs; `stopped`: the request was taken
    /// back before its turn came.
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
    /// The first of them, `limit` at most.
    pub executions: Vec<RunName>,
    /// With `dryRun`: pass it as `cursor` for those that are not named; null at the end.
    pub next_cursor: Option<String>,
    /// With `dryRun`: pass it as `plan` for nothing else to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What they are in the trash, for executions/restore; absent if they are not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// What was to go and did not, `limit` at most.
    pub skipped: Vec<SkippedRun>,
    /// How many did not.
    pub skipped_count: usize,
    /// The state without them; with `dryRun` the one at which they were chosen.
    pub clock: Clock,
}

impl Gone {
    /// What would go.
    pub(super) fn would(chosen: &[Chosen], clock: index::Clock, naming: &Naming) -> Self {
        let (executions, next_cursor) = naming.of(chosen);
        Self {
            count: chosen.len(),
            bytes: chosen.iter().map(Chosen::size_bytes).sum(),
            executions,
            next_cursor,
            plan: None,
            batch: None,
            skipped: Vec::new(),
            skipped_count: 0,
            clock: Clock(clock),
        }
    }

    fn did(done: &DeletedMany, naming: &Naming) -> Self {
        let mut did = Self {
            batch: done.batch.map(|batch| batch.to_string()),
            // there is no second page of what is gone
            next_cursor: None,
            ..Self::would(&done.deleted, done.clock, naming)
        };
        did.skip(&done.spared, naming.limit);
        did
    }

    /// The same, with some that were to go and do not.
    pub(super) fn skip(&mut self, some: &[(RunKey, Spared)], limit: NamedLimit) {
        for (key, why) in some {
            self.skipped_count += 1;
            if self.skipped.len() < limit.0 {
                self.skipped.push(SkippedRun {
                    project_id: key.project.clone(),
                    execution_id: key.execution.clone(),
                    reason: match why {
                        Spared::Gone => "gone",
                        Spared::Changed => "changed",
                        Spared::Refused => "refused",
                        Spared::MaybePinned => "maybe-pinned",
                        Spared::Kept => "kept",
                        Spared::Stopped => "stopped",
                    },
                });
            }
        }
    }
}

/// Why runs stay of which it could not be read whether they are meant.
fn refused(undecided: Vec<RunKey>) -> Vec<(RunKey, Spared)> {
    let refused = |key| (key, Spared::Refused);
    undecided.into_iter().map(refused).collect()
}

/// Tells what would go, and remembers that.
pub(super) fn rehearse(
    history: &History,
    chosen: &[Chosen],
    clock: index::Clock,
    naming: &Naming,
) -> Gone {
    Gone {
        plan: Some(history.remember_told(&naming.mark, clock, chosen)),
        ..Gone::would(chosen, clock, naming)
    }
}

/// Deletes what was chosen until it is taken back, and tells how far it has come.
///
/// # Errors
/// Those of [`History::delete_chosen`].
pub(super) fn carry_out(
    history: &History,
    chosen: Vec<Chosen>,
    how: Deleting,
    naming: &Naming,
    (teller, stop): (&Teller, &Stop),
) -> Result<Gone, HistoryError> {
    let total = chosen.len() as u64;
    let tell = |done: usize| {
        let done = done as u64;
        teller.tell(Steps { done, total });
    };
    let done = history.delete_chosen(chosen, how, stop, tell)?;
    Ok(Gone::did(&done, naming))
}

/// The method.
pub struct DeleteMatching;

impl Method for DeleteMatching {
    const NAME: &'static str = "executions/deleteMatching";
    const SUMMARY: &'static str = "Deletes the runs that pass a filter.";
    const DESCRIPTION: &'static str = "They are chosen at one clock, by `projectId`, `status`, `where` \
        and `timezone` as in executions/list, of which `status` or `where` must be given; with `dryRun`, `count` and \
        `bytes` are those of all of them, which are named page by page. Each is compared once more \
        before it goes; what was saved, touched or deleted meanwhile is skipped and told. With \
        `plan` of a rehearsal's answer nothing goes but what that told, however much came or \
        changed meanwhile. The files \
        go to the trash, together as one batch, from where executions/restore puts them back, \
        unless `permanent` says otherwise. Subscribers are told of each. Taken back, it stops: what had \
        gone by then is told, the rest is skipped.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueryTooExpensive,
        ErrorKind::CorruptExecution,
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
        let dry_run = params.dry_run == Some(true);
        Naming::may_go_on(params.cursor.as_ref(), dry_run)?;
        let (mut now, mut after) = (now(), None);
        if let Some(cursor) = &params.cursor {
            let key;
            (key, now) = read_cursor(cursor, &asked, None, now)?;
            after = Some(key);
        }
        let mut told = None;
        if let Some(plan) = &params.plan {
            let (mark, known) = Naming::told(&context.history, plan, dry_run)?;
            now = asked.moment(mark, now).ok_or_else(|| {
                Error::params("`plan` belongs to another question; rehearse this one")
            })?;
            told = Some(known);
        }
        let naming = Naming {
            limit: params.limit.unwrap_or_default(),
            after,
            mark: asked.mark(now),
            by_age: false,
        };
        wait_for(&context, asked.plain.project.as_ref(), params.sync).await?;
        let query = asked.every(now);
        let how = Deleting {
            permanent: params.permanent == Some(true),
            keep_doubtful: false,
        };
        let teller = here();
        if dry_run {
            return choosing(&context, move |history, stop| {
                let choice = history.choose(&query, stop)?;
                let mut would = rehearse(history, &choice.chosen, choice.clock, &naming);
                would.skip(&refused(choice.undecided), naming.limit);
                Ok(would)
            })
            .await;
        }
        let chosen = choosing(&context, move |history, stop| history.choose(&query, stop));
        let mut choice = chosen.await?;
        stopping(&context, move |history, stop| {
            let spared = match &told {
                Some(told) => history.hold_to(told, &mut choice),
                None => refused(choice.undecided),
            };
            let mut gone = carry_out(history, choice.chosen, how, &naming, (&teller, stop))?;
            if let Some(told) = &told {
                history.forget_told(told);
            }
            gone.skip(&spared, naming.limit);
            Ok(gone)
        })
        .await
    }

    fn examples() -> Vec<Example> {
        let bytes = samples::RUNS[0].2.trim_end().len();
        let failed = json!({
            "projectId": "website", "executionId": samples::FAILED_ID, "sizeBytes": bytes
        });
        vec![
            Example {
                name: "what would go",
                params: json!({ "where": "status = 'failed' and costUSD = 0", "dryRun": true }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [failed], "nextCursor": null,
                    "plan": samples::PLAN, "skipped": [], "skippedCount": 0, "clock": samples::CLOCK
                }),
            },
            Example {
                name: "a project's failed runs",
                params: json!({ "projectId": "website", "status": "failed" }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [failed], "nextCursor": null,
                    "batch": samples::BATCH, "skipped": [], "skippedCount": 0, "clock": samples::CLOCK
                }),
            },
        ]
    }
}
