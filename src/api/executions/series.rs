//! `executions/series`: sums of the hours, days, weeks or months that runs began in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now, take};
use super::count::Spans;
use super::stats::Distribution;
use super::{Statuses, prepare};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::Unit;
use crate::index::{Amounts, Listed, Totals};
use crate::model::{CostSum, Millis, Milliseconds, ProjectId};

/// How many buckets an answer has at most: more than a year of hours.
const BUCKETS_MAX: usize = 10_000;
/// How many groups all its buckets have together at most.
const GROUPS_MAX: usize = 50_000;

/// Of which runs, and in what pieces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SeriesParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter. If it says from when on, or until when, the buckets reach
    /// so far; else to the first and the last run.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the buckets and of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// How long a bucket is.
    #[serde(default)]
    pub bucket: Bucket,
    /// Tells each bucket's sums by this, too.
    pub by: Option<By>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// A span of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Bucket {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight: 23 or 25 hours where clocks change.
    #[default]
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first day of a month to its last.
    Month,
}

/// What sums are told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SeriesBy")]
pub enum By {
    /// As the record spells it.
    Status,
    /// The folder.
    Project,
}

/// The sums of some runs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SeriesSums")]
pub struct Sums {
    /// All of them.
    pub executions: u64,
    /// Those that ended well.
    pub completed: u64,
    /// Those that ended in an error.
    pub failed: u64,
    /// Those being worked on.
    pub running: u64,
    /// Those waiting to start.
    pub queued: u64,
    /// Those held by somebody.
    pub paused: u64,
    /// Those that somebody ended.
    pub cancelled: u64,
    /// Those with another status, or none.
    pub other: u64,
    /// Cost in US dollars, exact.
    #[serde(rename = "totalCostUSD")]
    pub total_cost_usd: CostSum,
    /// Tokens; input + output where a run has no total.
    pub total_tokens: i128,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// completed / (completed + failed); null if none.
    pub success_rate: Option<f64>,
}

/// The runs that began within a span.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SeriesBucket")]
pub struct Span {
    /// Its first moment.
    pub start: Millis,
    /// The first moment after it.
    pub end: Millis,
    /// Their sums.
    #[serde(flatten)]
    pub sums: Sums,
    /// How long those took that say so, in milliseconds.
    pub duration: Distribution<Milliseconds>,
    /// The same sums by status or project, in the order of the keys; with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
}

/// The runs of a bucket that have something in common.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SeriesGroup")]
pub struct Group {
    /// What they have; null where they have none.
    pub key: Option<String>,
    /// Their sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// One bucket after the other.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SeriesResult")]
pub struct Series {
    /// The oldest first, none left out.
    pub buckets: Vec<Span>,
    /// The runs of which nobody knows when they began; the buckets' sums and these are those of
    /// all runs that match.
    pub undated: Sums,
    /// The state that the sums are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// What is added up for a bucket.
#[derive(Debug, Default)]
struct Adding {
    totals: Totals,
    durations: Vec<i64>,
    groups: BTreeMap<Option<Arc<str>>, Totals>,
}

/// What is taken from a run: when it began, what it adds, and to which group.
type Part = (Option<Millis>, Amounts, Option<Arc<str>>);

/// The method.
pub struct SeriesOf;

impl Method for SeriesOf {
    const NAME: &'static str = "executions/series";
    const SUMMARY: &'static str = "Sums runs by the hour, day, week or month that they began in.";
    const DESCRIPTION: &'static str = "At most 10,000 buckets, empty ones told as well. Where the \
        filter says from when on, the buckets begin there and reach to the present or to the last \
        run, whichever is later. Costs a look at every run.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotReady, ErrorKind::QueryTooExpensive];
    type Params = Params;
    type Result = Series;

    async fn call(context: Arc<Context>, params: Params) -> Result<Series, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let (now, zone, by) = (now(), asked.zone(), params.by);
        let unit = match params.bucket {
            Bucket::Hour => Unit::Hour,
            Bucket::Day => Unit::Day,
            Bucket::Week => Unit::Week,
            Bucket::Month => Unit::Month,
        };
        let began = asked.began(now);
        // each key once: there are few
        let mut keys: HashSet<Arc<str>> = HashSet::new();
        let part = move |run: &Listed<'_>| {
            let key: Option<&str> = match by {
                None => None,
                Some(By::Status) => run.status(),
                Some(By::Project) => Some(run.project().as_str()),
            };
            let key = key.map(|key| match keys.get(key) {
                Some(held) => Arc::clone(held),
                None => {
                    let key = Arc::<str>::from(key);
                    keys.insert(Arc::clone(&key));
                    key
                }
            });
            (run.started_at(), Amounts::of(run), key)
        };
        let finish = move |mut runs: Vec<Part>, clock| {
            // so those of a bucket follow each other
            runs.sort_unstable_by_key(|(started_at, ..)| *started_at);
            let mut spans = Spans::of(unit, zone);
            let mut found: HashMap<Option<Millis>, Adding> = HashMap::new();
            let (mut last, mut adding) = (None, Adding::default());
            for (started_at, amounts, key) in runs {
                let start = started_at.map(|at| spans.start(at));
                if start != last {
                    merge(&mut found, last, std::mem::take(&mut adding));
                    last = start;
                }
                adding.totals.take(&amounts);
                adding.durations.extend(amounts.duration);
                if by.is_some() {
                    adding.groups.entry(key).or_default().take(&amounts);
                }
            }
            merge(&mut found, last, adding);
            let told = by.is_some();
            let undated = found.remove(&None).unwrap_or_default();
            let undated = Sums::of(&undated.totals);
            let groups: usize = found.values().map(|adding| adding.groups.len()).sum();
            if groups > GROUPS_MAX {
                let message = format!(
                    "the answer would have more than {GROUPS_MAX} groups; ask for fewer buckets, \
                     or without `by`"
                );
                return Err(Error::new(ErrorKind::QueryTooExpensive, message));
            }
            let first = found.keys().flatten().min().copied();
            let last = found.keys().flatten().max().copied();
            let mut buckets = Vec::new();
            if let Some((from, to)) = reach(began, first, last, now) {
                let mut at = from;
                while at <= to {
                    if buckets.len() == BUCKETS_MAX {
                        return Err(too_many());
                    }
                    let (start, end) = unit.around(at, zone);
                    let adding = found.remove(&Some(start)).unwrap_or_default();
                    buckets.push(Span::of(start, end, adding, told));
                    at = end;
                }
            }
            Ok(Series {
                buckets,
                undated,
                clock: Clock(clock),
                complete,
            })
        };
        take(&context, asked.every(now), part, finish).await?
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "three days, as in Berlin",
            params: json!({
                "bucket": "day", "timezone": "Europe/Berlin",
                "where": "startedAt between 2025-10-01 and 2025-10-03"
            }),
            result: samples::days(),
        }]
    }
}

/// Adds a piece to the bucket that it belongs to, which is nearly always new.
fn merge(found: &mut HashMap<Option<Millis>, Adding>, start: Option<Millis>, piece: Adding) {
    if piece.totals.runs() > 0 {
        found.insert(start, piece);
    }
}

/// From where to where buckets reach: as the filter says, or to the runs that are there. Not
/// before the year 1900 nor after 2200, unless a run began then.
fn reach(
    asked: Option<RangeInclusive<Millis>>,
    first: Option<Millis>,
    last: Option<Millis>,
    now: Millis,
) -> Option<(Millis, Millis)> {
    const WRITTEN: RangeInclusive<i64> = -2_208_988_800_000..=7_258_118_400_000;
    let asked_from = asked.as_ref().map(|range| *range.start());
    let asked_to = asked.as_ref().map(|range| *range.end());
    let known = |at: &Millis| WRITTEN.contains(&at.0);
    let from = asked_from.filter(known);
    let to = asked_to.filter(known);
    let begin = from.or(first)?;
    let end = to.or(if from.is_some() {
        last.max(Some(now.max(begin)))
    } else {
        last
    })?;
    Some((begin, end))
}

fn too_many() -> Error {
    let message = format!(
        "the answer would have more than {BUCKETS_MAX} buckets; ask for longer ones, or for a \
         shorter time by `where`"
    );
    Error::new(ErrorKind::QueryTooExpensive, message)
}

impl Span {
    fn of(start: Millis, end: Millis, adding: Adding, told: bool) -> Self {
        let groups = adding.groups.into_iter().map(|(key, totals)| Group {
            key: key.as_deref().map(str::to_owned),
            sums: Sums::of(&totals),
        });
        Self {
            start,
            end,
            sums: Sums::of(&adding.totals),
            duration: Distribution::of(adding.durations, |took| Some(Milliseconds(took))),
            groups: told.then(|| groups.collect()),
        }
    }
}

impl Sums {
    fn of(totals: &Totals) -> Self {
        Self {
            executions: totals.runs(),
            completed: totals.completed(),
            failed: totals.failed(),
            running: totals.running(),
            queued: totals.queued(),
            paused: totals.paused(),
            cancelled: totals.cancelled(),
            other: totals.other(),
            total_cost_usd: totals.cost,
            total_tokens: totals.tokens,
            input_tokens: totals.input_tokens,
            output_tokens: totals.output_tokens,
            success_rate: totals.success_rate(),
        }
    }
}
