//! `executions/prune`: what a policy lets go is deleted.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::asked::now;
use super::delete_matching::{Gone, NamedLimit, Naming, carry_out, rehearse};
use super::list::read_place;
use super::{Statuses, blocking, choosing, stopping, wait_for};
use crate::api::params::AtMost;
use crate::api::progress::here;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Context, Error, ErrorKind, samples};
use crate::history::{self, Deleting, HistoryError, Spared, ToEmpty, TrashTotals};
use crate::model::{Millis, ProjectId, read_span};

/// A span of time on the wire: `90s`, `30m`, `12h`, `30d`, `2w`.
#[derive(Debug, Clone, Copy)]
pub struct Age(Duration);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read_span(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Age {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Age".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A number and a unit: `90s`, `30m`, `12h`, `30d` or `2w`."
        })
    }
}

/// What goes: of the runs that the rule is about, the oldest ones over any of its limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneRule {
    /// Only this project's runs; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these. If absent, all but queued, running and paused
    /// ones. Queued and running runs go only if they are stale.
    pub status: Option<Statuses>,
    /// Whether `maxCount` and `maxBytes` are those of each project by itself.
    #[serde(default)]
    pub per_project: bool,
    /// How old they may be. Age counts from `completedAt`, else `startedAt`, else `updatedAt`.
    pub max_age: Option<Age>,
    /// How many there may be.
    pub max_count: Option<u64>,
    /// How many bytes their files may have.
    pub max_bytes: Option<u64>,
}

/// What the trash may hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneTrash {
    /// How long ago it may have been deleted; what is older is removed for good.
    pub max_age: Age,
}

/// What may stay. A run goes if a rule says so and nothing keeps it; what is kept counts in
/// `maxCount` and `maxBytes` all the same.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrunePolicy {
    /// What goes.
    #[serde(default)]
    pub rules: AtMost<PruneRule, RULES_MAX>,
    /// So many of the youngest runs of each project stay in any case, of whatever status. As for
    /// the rules, age counts from `completedAt`, else `startedAt`, else `updatedAt`.
    #[serde(default)]
    pub keep_last: u64,
    /// Whether failed runs stay in any case.
    #[serde(default)]
    pub keep_failed: bool,
    /// Whether pinned runs stay in any case; they do unless this is false. So do those of which it
    /// cannot be read whether they are.
    #[serde(default = "yes")]
    pub keep_pinned: bool,
    /// How long deleted runs can be had back; for ever if absent.
    pub trash: Option<PruneTrash>,
}

fn yes() -> bool {
    true
}

/// How many rules a policy may have: each is held against every run.
const RULES_MAX: usize = 100;

impl PrunePolicy {
    /// What it lets go.
    ///
    /// # Errors
    /// -32602 for one that can let nothing go.
    pub(crate) fn rules(&self) -> Result<history::Policy, Error> {
        let rule = |rule: &PruneRule| {
            if rule.max_age.is_none() && rule.max_count.is_none() && rule.max_bytes.is_none() {
                return Err(Error::params(
                    "`policy`: a rule needs `maxAge`, `maxCount` or `maxBytes`",
                ));
            }
            let statuses: Option<&Statuses> = rule.status.as_ref();
            Ok(history::Rule {
                project: rule.project_id.clone(),
                statuses: statuses.map(|named| named.0.clone()),
                per_project: rule.per_project,
                max_age: rule.max_age.map(|age| age.0),
                max_count: rule.max_count,
                max_bytes: rule.max_bytes,
            })
        };
        let AtMost(rules) = &self.rules;
        if rules.is_empty() && self.trash.is_none() {
            return Err(Error::params("`policy`: expected `rules` or `trash`"));
        }
        let rules: Result<Vec<_>, Error> = rules.iter().map(rule).collect();
        Ok(history::Policy {
            rules: rules?,
            keep_last: self.keep_last,
            keep_failed: self.keep_failed,
            keep_pinned: self.keep_pinned,
        })
    }
}

/// By which policy, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PruneParams")]
pub struct Params {
    /// What may stay; if absent, what `[prune]` says, in the same words, in the nearest
    /// `runlog.toml` above the projects that has it, or in the user's own.
    pub policy: Option<PrunePolicy>,
    /// Only tell what would go.
    pub dry_run: Option<bool>,
    /// How many runs are named, of those that go and of those that do not: 100 if absent, 10,000 at
    /// most.
    pub limit: Option<NamedLimit>,
    /// With `dryRun`: `nextCursor` of the answer before, for the runs that it did not name; the other
    /// params must be the same.
    pub cursor: Option<String>,
    /// `plan` of an answer to `dryRun`: nothing goes but what that told, of the trash either. What
    /// came or changed since stays. The policy must be the same.
    pub plan: Option<String>,
    /// Whether runs are deleted for good instead of being moved to the trash.
    pub permanent: Option<bool>,
    /// Whether the policy may leave no run in the projects that its rules are about, but queued,
    /// running and paused ones that no rule means.
    pub everything: Option<bool>,
    /// Everything done to the files before the request is taken into account.
    pub sync: Option<bool>,
}

impl Params {
    /// By the policy that is configured, into the trash.
    #[must_use]
    pub fn configured() -> Self {
        Self {
            policy: None,
            dry_run: None,
            limit: None,
            cursor: None,
            plan: None,
            permanent: None,
            everything: None,
            sync: None,
        }
    }
}

/// What went, or with `dryRun` would go.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PruneResult")]
pub struct Pruned {
    /// The runs.
    #[serde(flatten)]
    pub gone: Gone,
    /// Whether no run is left in the projects that the rules are about, but queued, running and
    /// paused ones that no rule means.
    pub everything: bool,
    /// How many entries of the trash are gone, or would be.
    pub emptied: u64,
    /// How many bytes they had.
    pub freed_bytes: u64,
    /// Projects whose trash cannot be read; there may be more in it that is old.
    pub unreadable: Vec<ProjectId>,
}

impl Pruned {
    fn of(gone: Gone, everything: bool, of_trash: TrashTotals) -> Self {
        Self {
            gone,
            everything,
            emptied: of_trash.entries,
            freed_bytes: of_trash.bytes,
            unreadable: of_trash.unreadable,
        }
    }
}

/// What tells a policy from others.
fn hash(asked: &PrunePolicy) -> String {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{asked:?}").as_bytes());
    format!("{hash:016x}")
}

/// The moment that ages count to, of a `mark` that belongs to the policy of this hash.
fn moment(hash: &str, mark: &str) -> Option<Millis> {
    let (of, moment) = mark.split_once('@')?;
    moment.parse().ok().filter(|_| of == hash).map(Millis)
}

/// Which of the runs an answer names, and the moment that ages count to: that of the first page, or
/// else of the answer whose mark is `told`.
fn naming(
    hash: &str,
    limit: Option<NamedLimit>,
    cursor: Option<&str>,
    told: Option<&str>,
) -> Result<(Naming, Millis), Error> {
    let by_age = true;
    let (mut now, mut after) = (now(), None);
    if let Some(mark) = told {
        now = moment(hash, mark)
            .ok_or_else(|| Error::params("`plan` belongs to another policy; rehearse this one"))?;
    }
    if let Some(cursor) = cursor {
        let read = || {
            let (mark, place) = cursor.split_once('/')?;
            Some((moment(hash, mark)?, read_place(place, by_age)?))
        };
        let key;
        (now, key) = read().ok_or_else(|| {
            Error::params("`cursor` belongs to another policy; ask again without it")
        })?;
        after = Some(key);
    }
    let naming = Naming {
        limit: limit.unwrap_or_default(),
        after,
        mark: format!("{hash}@{}", now.0),
        by_age,
    };
    Ok((naming, now))
}

/// The policy of the user's file.
async fn configured(context: &Arc<Context>) -> Result<PrunePolicy, Error> {
    let of_root = context.policy;
    let found = blocking(context, move |history| Ok(of_root(history.root()))).await?;
    match found {
        Ok(Some(policy)) => Ok(policy),
        Ok(None) => Err(Error::params(
            "expected `policy`, or [prune] in a runlog.toml above the projects or the user's own",
        )),
        Err(wrong) => Err(Error::params(wrong)),
    }
}

/// The method.
pub struct Prune;

impl Method for Prune {
    const NAME: &'static str = "executions/prune";
    const SUMMARY: &'static str = "Deletes the runs that a policy lets go.";
    const DESCRIPTION: &'static str = "They are chosen at one clock, the youngest \
        staying; with `dryRun`, `count` and `bytes` are those of all of them, which are named page \
        by page. Queued, \
        running and paused runs go only where a rule names their status, queued and running ones \
        only if they are stale. Each is compared once more before it goes; what was saved, touched, \
        pinned or deleted meanwhile is skipped and told. With `plan` of a rehearsal's answer nothing \
        goes but what that told, however much came or changed meanwhile. The files go to the trash, together as one batch, \
        from where executions/restore puts them back, unless `permanent` says otherwise; what lies \
        in the trash for longer than the policy's `trash.maxAge` is removed for good. A policy that \
        would leave no run in the projects that its rules are about, but queued, running and paused \
        ones that no rule means, is refused (-32602) unless \
        `everything` says so; with `dryRun` it is told.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueryTooExpensive,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Pruned;

    async fn call(context: Arc<Context>, params: Params) -> Result<Pruned, Error> {
        let asked = match params.policy {
            Some(policy) => policy,
            None => configured(&context).await?,
        };
        let policy = asked.rules()?;
        let dry_run = params.dry_run == Some(true);
        let permanent = params.permanent == Some(true);
        let may_all = params.everything == Some(true);
        Naming::may_go_on(params.cursor.as_ref(), dry_run)?;
        let told = params.plan.as_deref();
        let told = told.map(|plan| Naming::told(&context.history, plan, dry_run));
        let (mark, told) = told.transpose()?.unzip();
        let (naming, now) = naming(&hash(&asked), params.limit, params.cursor.as_deref(), mark)?;
        wait_for(&context, None, params.sync).await?;
        // what lies in the trash since before then goes for good
        let old = asked.trash.map(|trash| {
            let age = i64::try_from(trash.max_age.0.as_millis()).unwrap_or(i64::MAX);
            Millis(now.0.saturating_sub(age))
        });
        let keep_doubtful = policy.keep_pinned;
        if dry_run {
            return choosing(&context, move |history, stop| {
                let plan = history.plan(&policy, now, None, stop)?;
                let mut gone = rehearse(history, &plan.chosen, plan.clock, &naming);
                gone.skip(&plan.spared, naming.limit);
                let of_trash = old.map(|old| history.trashed_before(old, stop));
                let of_trash = of_trash.transpose()?.unwrap_or_default();
                Ok(Pruned::of(gone, plan.everything, of_trash))
            })
            .await;
        }
        let known = told.clone();
        let plan = choosing(&context, move |history, stop| {
            history.plan(&policy, now, known.as_deref(), stop)
        });
        let plan = plan.await?;
        if plan.everything && !may_all {
            return Err(Error::params(
                "`policy`: leaves no run that has ended in the projects that its rules are about; \
                 mend it, or pass everything: true",
            )
            .with("count", plan.chosen.len()));
        }
        let how = Deleting {
            permanent,
            keep_doubtful,
        };
        let teller = here();
        stopping(&context, move |history, stop| {
            let mut of_trash = TrashTotals::default();
            // first, as it may be what makes room for the rest
            if let Some(old) = old {
                // what goes beside it must be told, whatever becomes of this
                let old = ToEmpty::Before(None, Some(old));
                let emptied = history.empty_trash(&old, stop);
                let failed = match emptied {
                    Ok((emptied, failed)) => {
                        of_trash = TrashTotals {
                            entries: emptied.entries,
                            bytes: emptied.freed_bytes,
                            unreadable: emptied.unreadable,
                        };
                        failed
                    }
                    Err(error) => Some(error),
                };
                if let Some(error) = failed {
                    tracing::warn!(%error, "not all that is old was removed from the trash");
                }
            }
            let (emptied, bytes) = (of_trash.entries, of_trash.bytes);
            let stopped = plan.chosen.iter().filter(|_| emptied > 0);
            let stopped: Vec<_> = stopped
                .map(|one| (one.key().clone(), Spared::Stopped))
                .collect();
            let mut gone = match carry_out(history, plan.chosen, how, &naming, (&teller, stop)) {
                // taken back, it has done something all the same
                Err(HistoryError::TakenBack) if emptied > 0 => {
                    let mut none = Gone::would(&[], history.clock(), &naming);
                    none.skip(&stopped, naming.limit);
                    none
                }
                Err(error) if emptied > 0 => {
                    tracing::info!(emptied, bytes, "removed from the trash for good");
                    return Err(error);
                }
                gone => gone?,
            };
            if let Some(told) = &told {
                history.forget_told(told);
            }
            gone.skip(&plan.spared, naming.limit);
            Ok(Pruned::of(gone, plan.everything, of_trash))
        })
        .await
    }

    fn examples() -> Vec<Example> {
        let bytes = samples::RUNS[0].2.trim_end().len();
        let gone =
            |id: &str| json!({ "projectId": "website", "executionId": id, "sizeBytes": bytes });
        vec![
            Example {
                name: "what would go if each project kept one run that has ended",
                params: json!({
                    "policy": { "rules": [{ "perProject": true, "maxCount": 1 }] }, "dryRun": true
                }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [gone(samples::FAILED_ID)],
                    "nextCursor": null, "plan": samples::PLAN, "skipped": [], "skippedCount": 0,
                    "clock": samples::CLOCK, "everything": false, "emptied": 0, "freedBytes": 0,
                    "unreadable": []
                }),
            },
            Example {
                name: "failed runs go after 30 days, and the trash is emptied after 90",
                params: json!({ "policy": {
                    "rules": [{ "status": "failed", "maxAge": "30d" }],
                    "trash": { "maxAge": "90d" }
                } }),
                result: json!({
                    "count": 1, "bytes": bytes, "executions": [gone(samples::FAILED_ID)],
                    "nextCursor": null, "batch": samples::BATCH, "skipped": [], "skippedCount": 0,
                    "clock": samples::CLOCK, "everything": false, "emptied": 1,
                    "freedBytes": samples::NEW.trim_end().len(), "unreadable": []
                }),
            },
        ]
    }
}
