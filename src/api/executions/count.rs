//! `executions/count`: how many runs there are, and of which kinds.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now, select};
use super::{Statuses, prepare};
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::Unit;
use crate::index::{From, Index, Listed, Selection};
use crate::model::{Millis, ProjectId};

/// By how many properties runs are grouped at most.
const GROUP_BY_MAX: usize = 2;

/// Which runs, and how they are grouped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CountParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates and of the groups' hours, days, weeks and months;
    /// UTC if absent.
    pub timezone: Option<String>,
    /// By what to group: none, one or two.
    #[serde(default)]
    pub group_by: Vec<GroupBy>,
    /// At most so many groups.
    #[serde(default)]
    pub limit: Limit,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// A property that runs are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GroupBy {
    /// As the record spells it.
    Status,
    /// The folder.
    Project,
    /// The model that the record names.
    Model,
    /// The hour that the run began in.
    Hour,
    /// The day, likewise.
    Day,
    /// The week from Monday on, likewise.
    Week,
    /// The month, likewise.
    Month,
}

/// How many there are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CountResult")]
pub struct Counted {
    /// How many runs match.
    pub count: u64,
    /// The groups, the largest first, the same ones by their keys; with `groupBy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// How many groups there are, told or not; with `groupBy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_groups: Option<usize>,
    /// The state that the counts are true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// Runs that have something in common.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group {
    /// What they have, in the order of `groupBy`; null where they have none. An hour, a day, a week
    /// or a month is the moment that it begins at.
    pub key: Vec<Option<String>>,
    /// How many there are.
    pub count: u64,
}

/// A part of a group's key, while runs are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    None,
    Text(Box<str>),
    Start(i64),
}

/// Finds the spans that runs began in; those that follow each other are mostly of the same.
#[derive(Debug)]
pub(super) struct Spans {
    unit: Unit,
    zone: chrono_tz::Tz,
    last: (Millis, Millis),
}

impl Spans {
    pub(super) fn of(unit: Unit, zone: chrono_tz::Tz) -> Self {
        let last = (Millis(0), Millis(0));
        Self { unit, zone, last }
    }

    /// The first moment of the span that `at` lies in.
    pub(super) fn start(&mut self, at: Millis) -> Millis {
        if at < self.last.0 || at >= self.last.1 {
            self.last = self.unit.around(at, self.zone);
        }
        self.last.0
    }
}

/// How a run's part of a key is found.
enum Look {
    Status,
    Project,
    Model,
    Span(Spans),
}

impl Look {
    fn of(by: GroupBy, asked: &Asked) -> Self {
        let unit = match by {
            GroupBy::Status => return Self::Status,
            GroupBy::Project => return Self::Project,
            GroupBy::Model => return Self::Model,
            GroupBy::Hour => Unit::Hour,
            GroupBy::Day => Unit::Day,
            GroupBy::Week => Unit::Week,
            GroupBy::Month => Unit::Month,
        };
        Self::Span(Spans::of(unit, asked.zone()))
    }

    fn part(&mut self, run: &Listed<'_>) -> Part {
        let text = |text: Option<&str>| text.map_or(Part::None, |text| Part::Text(text.into()));
        match self {
            Self::Status => text(run.status()),
            Self::Project => text(Some(run.project().as_str())),
            Self::Model => text(run.summary().model),
            Self::Span(spans) => run
                .started_at()
                .map_or(Part::None, |at| Part::Start(spans.start(at).0)),
        }
    }
}

/// The method.
pub struct Count;

impl Method for Count {
    const NAME: &'static str = "executions/count";
    const SUMMARY: &'static str = "Counts runs, by what they have in common.";
    const DESCRIPTION: &'static str = "Groups that have no run are not told. Costs nothing for a \
        project and statuses alone; with `groupBy` or another `where`, a look at every run.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotReady, ErrorKind::QueryTooExpensive];
    type Params = Params;
    type Result = Counted;

    async fn call(context: Arc<Context>, params: Params) -> Result<Counted, Error> {
        if params.group_by.len() > GROUP_BY_MAX {
            let message = format!("`groupBy`: expected at most {GROUP_BY_MAX} properties");
            return Err(Error::params(message));
        }
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let now = now();
        if params.group_by.is_empty() {
            let none = From::Offset(0);
            let page = match asked.query(now) {
                None => context.history.visit(&asked.plain, &none, 0, |_| {}),
                Some(query) => {
                    let count = move |index: &Index, selection: &Selection| {
                        index.visit_selected(selection, &none, 0, |_| {})
                    };
                    select(&context, query, count, |page| page).await?
                }
            };
            return Ok(Counted {
                count: page.total as u64,
                groups: None,
                total_groups: None,
                clock: Clock(page.clock),
                complete,
            });
        }
        let mut looks: Vec<Look> = params
            .group_by
            .iter()
            .map(|by| Look::of(*by, &asked))
            .collect();
        let count = move |index: &Index, selection: &Selection| {
            let mut groups: HashMap<Vec<Part>, u64> = HashMap::new();
            let mut key = Vec::new();
            index.each_selected(selection, |run| {
                key.clear();
                key.extend(looks.iter_mut().map(|look| look.part(&run)));
                match groups.get_mut(&key) {
                    Some(count) => *count += 1,
                    None => {
                        groups.insert(key.clone(), 1);
                    }
                }
            });
            (groups, index.clock())
        };
        let limit = params.limit.0;
        select(&context, asked.every(now), count, move |(groups, clock)| {
            let mut groups: Vec<_> = groups.into_iter().collect();
            groups.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Counted {
                count: groups.iter().map(|(_, count)| count).sum(),
                total_groups: Some(groups.len()),
                groups: Some(groups.into_iter().take(limit).map(Group::of).collect()),
                clock: Clock(clock),
                complete,
            }
        })
        .await
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "runs of a project that have ended",
                params: json!({ "projectId": "website", "where": "completedAt is not null" }),
                result: json!({ "count": 2, "clock": samples::CLOCK, "complete": true }),
            },
            Example {
                name: "by project and month, as in Berlin",
                params: json!({
                    "groupBy": ["project", "month"], "timezone": "Europe/Berlin"
                }),
                result: json!({
                    "count": 4,
                    "groups": [
                        { "key": ["website", "2025-09-30T22:00:00.000Z"], "count": 3 },
                        { "key": ["docs", "2025-09-30T22:00:00.000Z"], "count": 1 }
                    ],
                    "totalGroups": 2, "clock": samples::CLOCK, "complete": true
                }),
            },
        ]
    }
}

impl Group {
    fn of((key, count): (Vec<Part>, u64)) -> Self {
        let spelt = |part| match part {
            Part::None => None,
            Part::Text(text) => Some(String::from(text)),
            Part::Start(at) => Some(String::from_utf8_lossy(&Millis(at).date()).into_owned()),
        };
        let key = key.into_iter().map(spelt).collect();
        Self { key, count }
    }
}
