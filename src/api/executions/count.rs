//! `executions/count`: how many runs there are, and of which kinds.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now, select, take};
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
    /// The node of a step: its `nodeId`, else its `name`. A run counts once for each node that it
    /// has steps of.
    Node,
    /// The fingerprint that errors/groups tells of the error.
    ErrorGroup,
}

/// How many there are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CountResult")]
pub struct Counted {
    /// How many runs match; where a run is in several groups, less than they have together.
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
    Node,
    ErrorGroup,
}

/// The parts of keys, each once: there are few, and a number stands for it.
#[derive(Debug, Default)]
struct Parts {
    numbers: HashMap<Part, u32>,
    parts: Vec<Part>,
}

impl Parts {
    fn number(&mut self, part: Part) -> u32 {
        *self.numbers.entry(part).or_insert_with_key(|part| {
            self.parts.push(part.clone());
            u32::try_from(self.parts.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// A group's key, by the numbers of its parts; of one part twice the same.
type Key = [u32; GROUP_BY_MAX];

/// The groups that a run is in: nearly always one.
#[derive(Debug)]
struct Keys {
    first: Option<Key>,
    others: Vec<Key>,
}

impl Keys {
    fn of(first: &[u32], second: &[u32]) -> Self {
        let mut all = first
            .iter()
            .flat_map(|&first| second.iter().map(move |&second| [first, second]));
        Self {
            first: all.next(),
            others: all.collect(),
        }
    }
}

impl Look {
    fn of(by: GroupBy, asked: &Asked) -> Self {
        let unit = match by {
            GroupBy::Status => return Self::Status,
            GroupBy::Project => return Self::Project,
            GroupBy::Model => return Self::Model,
            GroupBy::Node => return Self::Node,
            GroupBy::ErrorGroup => return Self::ErrorGroup,
            GroupBy::Hour => Unit::Hour,
            GroupBy::Day => Unit::Day,
            GroupBy::Week => Unit::Week,
            GroupBy::Month => Unit::Month,
        };
        Self::Span(Spans::of(unit, asked.zone()))
    }

    /// The numbers of the run's parts: one, but of nodes as many as it has.
    fn parts(&mut self, run: &Listed<'_>, parts: &mut Parts, found: &mut Vec<u32>) {
        found.clear();
        let text = |text: Option<&str>| text.map_or(Part::None, |text| Part::Text(text.into()));
        let part = match self {
            Self::Status => text(run.status()),
            Self::Project => text(Some(run.project().as_str())),
            Self::Model => text(run.model()),
            Self::Span(spans) => run
                .started_at()
                .map_or(Part::None, |at| Part::Start(spans.start(at).0)),
            Self::ErrorGroup => {
                let group = run.error_group().map(|group| group.to_string());
                text(group.as_deref())
            }
            Self::Node => {
                run.each_node(|node| found.push(parts.number(Part::Text(node.into()))));
                if !found.is_empty() {
                    return;
                }
                Part::None
            }
        };
        found.push(parts.number(part));
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
        let by_two = params.group_by.len() == GROUP_BY_MAX;
        let mut looks: Vec<Look> = params
            .group_by
            .iter()
            .map(|by| Look::of(*by, &asked))
            .collect();
        let parts = Arc::new(Mutex::new(Parts::default()));
        let finding = Arc::clone(&parts);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let keys = move |run: &Listed<'_>| {
            let mut parts = finding.lock();
            let mut looks = looks.iter_mut();
            if let Some(look) = looks.next() {
                look.parts(run, &mut parts, &mut first);
            }
            match looks.next() {
                Some(look) => {
                    look.parts(run, &mut parts, &mut second);
                    Keys::of(&first, &second)
                }
                None => Keys::of(&first, &[0]),
            }
        };
        let limit = params.limit.0;
        let count = move |runs: Vec<Keys>, clock| {
            let mut groups: HashMap<Key, u64> = HashMap::new();
            for run in &runs {
                for key in run.first.iter().chain(&run.others) {
                    *groups.entry(*key).or_default() += 1;
                }
            }
            let parts = parts.lock();
            let part = |number: u32| parts.parts.get(number as usize).unwrap_or(&Part::None);
            let mut groups: Vec<(Key, u64)> = groups.into_iter().collect();
            groups.sort_unstable_by(|(a, more), (b, less)| {
                let place = || a.map(part).cmp(&b.map(part));
                less.cmp(more).then_with(place)
            });
            let spelt = |(key, count): (Key, u64)| Group {
                key: key
                    .iter()
                    .take(if by_two { 2 } else { 1 })
                    .map(|number| part(*number).spelt())
                    .collect(),
                count,
            };
            Counted {
                count: runs.len() as u64,
                total_groups: Some(groups.len()),
                groups: Some(groups.into_iter().take(limit).map(spelt).collect()),
                clock: Clock(clock),
                complete,
            }
        };
        take(&context, asked.every(now), keys, count).await
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

impl Part {
    fn spelt(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Text(text) => Some(text.to_string()),
            Self::Start(at) => Some(String::from_utf8_lossy(&Millis(*at).date()).into_owned()),
        }
    }
}
