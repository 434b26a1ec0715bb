//! `errors/groups`: errors that are alike, and which of them are new.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::executions::asked::{Asked, now, zone};
use super::executions::{Statuses, blocking, prepare};
use super::params::Limit;
use super::table::{Effect, Example, Method};
use super::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::{Kind, moment};
use crate::history::Wanted;
use crate::index::{Clock as IndexClock, ErrorGroup};
use crate::model::{ExecutionId, Fingerprint, Millis, ProjectId, Summary, pattern};

/// Of which runs, and since when groups are new.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ErrorsGroupsParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of dates; UTC if absent.
    pub timezone: Option<String>,
    /// Groups are `new` that came later: a clock from an earlier answer, or a date as filters have
    /// them, for example `-1d` or `2025-10-15`. It leaves no group out.
    pub since: Option<String>,
    /// At most so many groups.
    #[serde(default)]
    pub limit: Limit,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// Errors that are alike.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ErrorGroup")]
pub struct Group {
    /// What tells it from other groups; the filter's `errorGroup` takes it. It stays the same while
    /// the daemon's version does.
    pub fingerprint: Fingerprint,
    /// What its errors have in common, with `<id>`, `<n>`, `<path>`, `<text>` and `<time>` where
    /// they differ; made of the example's error as it is here, so it may end early.
    pub pattern: String,
    /// How many runs have such an error.
    pub count: u64,
    /// When the first of those runs began, or was last written if it does not say.
    pub first_seen_at: Millis,
    /// The same of the last one.
    pub last_seen_at: Millis,
    /// The last one; of several the one that changed last.
    pub example: Failed,
    /// With `since`, whether the group is new. For a clock: every run of it changed after that
    /// clock. For a date: `firstSeenAt` is not before it, a day counting from its beginning. Only
    /// runs that match are considered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<bool>,
}

/// A run with its error.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FailedRun")]
pub struct Failed {
    /// The project.
    pub project_id: ProjectId,
    /// The run.
    pub execution_id: ExecutionId,
    /// Its error, cut at 256 bytes as in the summary.
    pub error: String,
    /// Present and true where `error` was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default, extend("const" = true))]
    pub error_truncated: bool,
}

/// The groups.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorsGroupsResult")]
pub struct Groups {
    /// The most frequent first, of equals the one that was seen last.
    pub groups: Vec<Group>,
    /// How many groups there are, also beyond `limit`.
    pub total: usize,
    /// The state that this is true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// From when on groups are new.
#[derive(Debug, Clone, Copy)]
enum Since {
    Tick(u64),
    Moment(Millis),
}

impl Since {
    fn of(text: &str, context: &Context, timezone: Option<&str>) -> Result<Self, Error> {
        if !text.starts_with("c:") {
            let found = moment(text, now(), zone(timezone)?);
            return found.map(Self::Moment).ok_or_else(|| {
                let date = Kind::Date.expected();
                Error::params(format!("`since`: expected a clock, or {date}"))
            });
        }
        IndexClock::parse(text)
            .filter(|clock| context.history.honours(*clock))
            .map(|clock| Self::Tick(clock.tick))
            .ok_or_else(|| {
                Error::params(
                    "`since`: what changed after this clock is not known any more; give a date, or \
                     ask without it and keep the answer's clock",
                )
            })
    }

    fn is_before(self, group: &ErrorGroup) -> bool {
        match self {
            Self::Tick(tick) => group.first_tick > tick,
            Self::Moment(moment) => group.first_seen >= moment,
        }
    }
}

/// The method.
pub struct ByKind;

impl Method for ByKind {
    const NAME: &'static str = "errors/groups";
    const SUMMARY: &'static str = "Groups the errors of runs by what they have in common.";
    const DESCRIPTION: &'static str = "Errors that differ only in ids, numbers, paths, quoted \
        parts, times and blanks are of one group; their first 2048 bytes count. Every run with an \
        error that is not empty is in one group, whatever its status. Groups are told apart once, \
        when a run is read; asking opens no file, but where a filter asks for what is not kept of a \
        record.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Groups;

    fn is_large(result: &Groups) -> bool {
        result.groups.len() > 128
    }

    async fn call(context: Arc<Context>, params: Params) -> Result<Groups, Error> {
        let timezone = params.timezone.as_deref();
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            timezone,
        )?;
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let since = params.since.as_deref();
        let since = since
            .map(|text| Since::of(text, &context, timezone))
            .transpose()?;
        let query = asked.every(now());
        // taken back when the request is
        let wanted = Wanted::default();
        let stop = wanted.stop();
        blocking(&context, move |history| {
            let (found, total, clock) = history.error_groups(&query, params.limit.0, &stop)?;
            let groups = found.into_iter();
            Ok(Groups {
                groups: groups
                    .map(|(group, example)| Group::of(&group, example, since))
                    .collect(),
                total,
                clock: Clock(clock),
                complete,
            })
        })
        .await
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "the errors of a project, and which are new",
                params: json!({ "projectId": "website", "since": "2025-10-15" }),
                result: samples::error_groups(),
            },
            Example {
                name: "nothing is grouped where nothing failed",
                params: json!({ "projectId": "docs" }),
                result: json!({
                    "groups": [], "total": 0, "clock": samples::CLOCK, "complete": true
                }),
            },
        ]
    }
}

impl Group {
    fn of(group: &ErrorGroup, example: Summary, since: Option<Since>) -> Self {
        let error = example.error.unwrap_or_default();
        Self {
            fingerprint: group.fingerprint,
            pattern: pattern(&error),
            count: group.count,
            first_seen_at: group.first_seen,
            last_seen_at: group.last_seen,
            example: Failed {
                project_id: example.project_id,
                execution_id: example.id,
                error,
                error_truncated: example.error_truncated,
            },
            new: since.map(|since| since.is_before(group)),
        }
    }
}
