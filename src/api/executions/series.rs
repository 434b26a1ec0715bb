//! `executions/series`: sums of the hours, days, weeks or months that runs began in.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, Taken, now, take};
use super::stats::Distribution;
use super::{Statuses, prepare};
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::{Spans, Unit};
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
    /// so far; else to the first and the last run. A `not` says neither.
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "SeriesGroup")]
pub struct Group {
    /// What they have; null where they have none.
    pub key: Option<Box<str>>,
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
    /// The runs of which nobody knows when they began; the buckets' sums, these and those `outside` are
    /// those of all runs that match.
    pub undated: Sums,
    /// The runs that began before the first bucket or after the last one; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Sums>,
    /// The state that the sums are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// What is kept while runs are looked at.
#[derive(Clone)]
struct Looking {
    spans: Spans,
    by: Option<By>,
    /// Each key once: there are few.
    keys: Vec<Option<Box<str>>>,
    numbers: HashMap<Option<Box<str>>, u32>,
}

/// What is taken from a run.
struct Part {
    /// The number of the span that it began in.
    span: Option<u32>,
    /// The number of the key that it is told by; 0 where it is by none.
    key: u32,
    amounts: Amounts,
}

impl Looking {
    fn take(&mut self, run: &Listed<'_>) -> Part {
        let key = match self.by {
            None => 0,
            Some(By::Status) => self.key(run.status()),
            Some(By::Project) => self.key(Some(run.project().as_str())),
        };
        Part {
            span: run.started_at().map(|at| self.spans.number(at)),
            key,
            amounts: Amounts::of(run),
        }
    }

    /// Gives `parts`, which another one took, this one's numbers.
    fn adopt(&mut self, other: &Self, parts: &mut [Part]) {
        let spans = (0..).map_while(|number| other.spans.span(number));
        let spans: Vec<u32> = spans.map(|(start, _)| self.spans.number(start)).collect();
        let keys = other.keys.iter().map(|key| self.key(key.as_deref()));
        let keys: Vec<u32> = keys.collect();
        for part in parts {
            part.span = part.span.and_then(|span| spans.get(span as usize).copied());
            part.key = keys.get(part.key as usize).copied().unwrap_or(0);
        }
    }

    fn key(&mut self, key: Option<&str>) -> u32 {
        if let Some(number) = self.numbers.get(&Key(key)) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let key: Option<Box<str>> = key.map(Into::into);
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }
}

/// A key to be looked up without a copy.
#[derive(Hash)]
struct Key<'a>(Option<&'a str>);

impl Equivalent<Option<Box<str>>> for Key<'_> {
    fn equivalent(&self, key: &Option<Box<str>>) -> bool {
        self.0 == key.as_deref()
    }
}

/// What is added up for a bucket.
#[derive(Debug, Default, Clone)]
struct Adding {
    totals: Totals,
    /// How many of the runs say how long they took.
    timed: usize,
    groups: Vec<Group>,
}

/// How long runs took, those of a span side by side: put there, not sorted.
struct Durations {
    all: Vec<i64>,
    /// Behind the last of each span.
    ends: Vec<usize>,
}

impl Durations {
    /// Those of `parts`, of which `found` says how many there are of each span.
    fn of<'a>(found: &[Adding], parts: impl Iterator<Item = &'a Part>) -> Self {
        let mut begin = 0;
        let begins = found.iter().map(|adding| {
            let here = begin;
            begin += adding.timed;
            here
        });
        // where the next one goes, and so the end when all are there
        let mut ends: Vec<usize> = begins.collect();
        let mut all = vec![0; begin];
        for part in parts {
            let end = part.span.and_then(|span| ends.get_mut(span as usize));
            if let (Some(took), Some(end)) = (part.amounts.duration(), end)
                && let Some(slot) = all.get_mut(*end)
            {
                *slot = took;
                *end += 1;
            }
        }
        Self { all, ends }
    }

    fn of_span(&mut self, span: u32) -> &mut [i64] {
        let span = span as usize;
        let begin = span.checked_sub(1).and_then(|before| self.ends.get(before));
        let begin = begin.copied().unwrap_or(0);
        let end = self.ends.get(span).copied().unwrap_or(begin);
        self.all.get_mut(begin..end).unwrap_or_default()
    }
}

/// The method.
pub struct SeriesOf;

impl Method for SeriesOf {
    const NAME: &'static str = "executions/series";
    const SUMMARY: &'static str = "Sums runs by the hour, day, week or month that they began in.";
    const DESCRIPTION: &'static str = "At most 10,000 buckets, empty ones told as well. Where the \
        filter says from when on, the buckets begin there and reach to the present or to the last \
        run, whichever is later. Where it does not say from when on or until when, and a bucket for every \
        run would be one too many, they end with the last run that has begun by now and reach back to the \
        first that they can reach; the runs beyond them are summed up as `outside`. Costs a look at every \
        run.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Series;

    fn is_large(result: &Series) -> bool {
        let groups = |bucket: &Span| bucket.groups.as_ref().map_or(0, Vec::len);
        result.buckets.len() + result.buckets.iter().map(groups).sum::<usize>() > 256
    }

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
        let looking = Looking {
            spans: Spans::of(unit, zone),
            by,
            keys: Vec::new(),
            numbers: HashMap::new(),
        };
        let mut all = looking.clone();
        let part = |looking: &mut Looking, run: &Listed<'_>, parts: &mut Vec<Part>| {
            parts.push(looking.take(run));
        };
        let finish = move |taken: Taken<Looking, Part>| {
            let mut chunks = taken.chunks;
            for (looking, parts) in &mut chunks {
                all.adopt(looking, parts);
            }
            let parts = || chunks.iter().flat_map(|(_, parts)| parts);
            let mut found = vec![Adding::default(); all.spans.count()];
            let mut undated = Totals::default();
            let mut groups: HashMap<(u32, u32), Totals> = HashMap::new();
            for Part { span, key, amounts } in parts() {
                let adding = span.and_then(|span| found.get_mut(span as usize));
                let (Some(span), Some(adding)) = (*span, adding) else {
                    undated.take(amounts);
                    continue;
                };
                adding.totals.take(amounts);
                adding.timed += usize::from(amounts.duration().is_some());
                if by.is_some() {
                    groups.entry((span, *key)).or_default().take(amounts);
                }
            }
            if groups.len() > GROUPS_MAX {
                let message = format!(
                    "the answer would have more than {GROUPS_MAX} groups; ask for fewer buckets, \
                     or without `by`"
                );
                return Err(Error::new(ErrorKind::QueryTooExpensive, message));
            }
            for ((span, key), totals) in groups {
                if let Some(adding) = found.get_mut(span as usize) {
                    adding.groups.push(Group {
                        key: all.keys.get(key as usize).cloned().flatten(),
                        sums: Sums::of(&totals),
                    });
                }
            }
            let mut durations = Durations::of(&found, parts());
            // a span may have been met without a run that began in it
            let met = (0..)
                .zip(&found)
                .filter(|(_, adding)| adding.totals.runs() > 0);
            let starts = met.filter_map(|(number, _)| Some(all.spans.span(number)?.0));
            let starts: Vec<Millis> = starts.collect();
            let (first, last) = (starts.iter().min().copied(), starts.iter().max().copied());
            let mut listed = Some(Vec::new());
            if let Some((from, to)) = reach(began.as_ref(), first, last, now) {
                listed = between(&mut all.spans, from, to);
                if listed.is_none()
                    && let Some((from, to)) = nearer(&mut all.spans, began.as_ref(), &starts, now)
                {
                    listed = between(&mut all.spans, from, to);
                }
            }
            let mut buckets = Vec::new();
            for (number, (start, end)) in listed.ok_or_else(too_many)? {
                let adding = found.get_mut(number as usize).map(std::mem::take);
                let mut adding = adding.unwrap_or_default();
                adding.groups.sort_unstable_by(|a, b| a.key.cmp(&b.key));
                let took = durations.of_span(number);
                buckets.push(Span {
                    start,
                    end,
                    sums: Sums::of(&adding.totals),
                    duration: Distribution::of(took, |took| Some(Milliseconds(took))),
                    groups: by.map(|_| adding.groups),
                });
            }
            let mut outside = Totals::default();
            found.iter().for_each(|rest| outside.join(&rest.totals));
            Ok(Series {
                buckets,
                undated: Sums::of(&undated),
                outside: (outside.runs() > 0).then(|| Sums::of(&outside)),
                clock: Clock(taken.clock),
                complete,
            })
        };
        take(&context, asked.every(now), looking, part, finish).await?
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

/// From where to where buckets reach: as the filter says, or to the runs that are there.
fn reach(
    asked: Option<&RangeInclusive<Millis>>,
    first: Option<Millis>,
    last: Option<Millis>,
    now: Millis,
) -> Option<(Millis, Millis)> {
    let (from, to) = said(asked);
    let begin = from.or(first)?;
    let end = to.or(if from.is_some() {
        last.max(Some(now.max(begin)))
    } else {
        last
    })?;
    Some((begin, end))
}

/// From when on and until when, as far as the filter says so.
fn said(asked: Option<&RangeInclusive<Millis>>) -> (Option<Millis>, Option<Millis>) {
    let from = asked.map(|range| *range.start());
    let to = asked.map(|range| *range.end());
    (
        from.filter(|from| from.0 != i64::MIN),
        to.filter(|to| to.0 != i64::MAX),
    )
}

/// The same where [`reach`] goes too far: one run with a wrong date must not keep all others from being
/// seen. `starts` are those of the spans that runs began in. `None` where the filter says from when on and until when.
fn nearer(
    spans: &mut Spans,
    asked: Option<&RangeInclusive<Millis>>,
    starts: &[Millis],
    now: Millis,
) -> Option<(Millis, Millis)> {
    let (from, to) = said(asked);
    if let Some(from) = from {
        return to.is_none().then(|| (from, now.max(from)));
    }
    let begun = starts.iter().filter(|start| **start <= now).max();
    let to = begun.or(starts.iter().max()).copied()?;
    let mut first = to;
    for _ in 0..BUCKETS_MAX {
        let number = spans.number(first);
        first = Millis(spans.span(number)?.0.0 - 1);
    }
    let within = starts.iter().filter(|start| **start > first);
    Some((within.min().copied()?, to))
}

/// Every span from one moment to another, with its number; `None` if there are too many.
fn between(spans: &mut Spans, from: Millis, to: Millis) -> Option<Vec<(u32, (Millis, Millis))>> {
    let mut found = Vec::new();
    let mut at = from;
    while at <= to {
        if found.len() == BUCKETS_MAX {
            return None;
        }
        let number = spans.number(at);
        let span = spans.span(number)?;
        found.push((number, span));
        at = span.1;
    }
    Some(found)
}

fn too_many() -> Error {
    let message = format!(
        "the answer would have more than {BUCKETS_MAX} buckets; ask for longer ones, or for a \
         shorter time by `where`"
    );
    Error::new(ErrorKind::QueryTooExpensive, message)
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
