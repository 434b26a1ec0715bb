//! `executions/count`: how many runs there are, and of which kinds.

use std::sync::Arc;

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, Taken, now, select, take};
use super::{Statuses, prepare};
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::{Spans, Unit};
use crate::index::{From, Index, Listed, Selection};
use crate::model::{Fingerprint, Millis, ProjectId};

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
    #[schemars(length(max = GROUP_BY_MAX))]
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
    /// The model that the record names, as in the summary.
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
    /// has steps of, as far as they are kept: `truncatedRuns`.
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
    /// How many of the runs have steps whose nodes are not counted, as in nodes/stats; with `groupBy`
    /// by `node`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated_runs: Option<u64>,
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

/// How a run's part of a key is found, and the parts that were: each once, a number stands for it.
#[derive(Clone)]
struct Look {
    by: GroupBy,
    spans: Spans,
    /// But of spans; the first is that of runs which have none.
    parts: Vec<Part>,
    texts: HashMap<Box<str>, u32>,
    error_groups: HashMap<Fingerprint, u32>,
    /// By the index's numbers.
    nodes: Vec<Option<Node>>,
    /// How many runs have been looked at for their nodes.
    runs: u64,
    /// How many of them have others than those that are kept.
    truncated: u64,
}

/// How a run's keys are found.
#[derive(Clone)]
struct Looking {
    looks: Vec<Look>,
    /// The parts of one run, by look.
    found: [Vec<u32>; GROUP_BY_MAX],
}

impl Looking {
    /// Appends the keys of a run.
    fn take(&mut self, run: &Listed<'_>, keys: &mut Vec<Key>) {
        for (look, found) in self.looks.iter_mut().zip(&mut self.found) {
            look.look(run, found);
        }
        let [first, second] = &self.found;
        // where there is one look, the second part is always the same
        let second = if second.is_empty() { &[0] } else { &second[..] };
        for &first in first {
            keys.extend(second.iter().map(|&second| [first, second]));
        }
    }
}

/// A node that a step is of.
#[derive(Clone)]
struct Node {
    /// Held, so that no other name comes to lie where it is.
    name: Arc<str>,
    part: u32,
    /// The last run that was met with it.
    met: u64,
}

/// A group's key, by the numbers of its parts.
type Key = [u32; GROUP_BY_MAX];

impl Look {
    fn of(by: GroupBy, asked: &Asked) -> Self {
        let unit = match by {
            GroupBy::Hour => Unit::Hour,
            GroupBy::Week => Unit::Week,
            GroupBy::Month => Unit::Month,
            // of the others none is asked for
            _ => Unit::Day,
        };
        Self {
            by,
            spans: Spans::of(unit, asked.zone()),
            parts: vec![Part::None],
            texts: HashMap::new(),
            error_groups: HashMap::new(),
            nodes: Vec::new(),
            runs: 0,
            truncated: 0,
        }
    }

    /// The numbers of the run's parts: one, but of nodes as many as it has.
    fn look(&mut self, run: &Listed<'_>, found: &mut Vec<u32>) {
        found.clear();
        let part = match self.by {
            GroupBy::Status => run.status().map(|text| self.text(text)),
            GroupBy::Project => Some(self.text(run.project().as_str())),
            GroupBy::Model => run.model().map(|text| self.text(text)),
            GroupBy::Hour | GroupBy::Day | GroupBy::Week | GroupBy::Month => {
                // behind the first of the parts, in their order
                run.started_at().map(|at| self.spans.number(at) + 1)
            }
            GroupBy::ErrorGroup => run.error_group().map(|group| {
                let parts = &mut self.parts;
                let number = self.error_groups.entry(group);
                *number.or_insert_with(|| put(parts, Part::Text(group.to_string().into())))
            }),
            GroupBy::Node => {
                self.runs += 1;
                self.truncated += u64::from(run.leaves_out_steps());
                run.each_node(|number, name| found.extend(self.node(number, name)));
                found.first().copied()
            }
        };
        if found.is_empty() {
            found.push(part.unwrap_or(0));
        }
    }

    /// The parts by their numbers.
    fn into_parts(self) -> Vec<Part> {
        let Self {
            mut parts, spans, ..
        } = self;
        let starts = (0..).map_while(|number| spans.span(number));
        parts.extend(starts.map(|(start, _)| Part::Start(start.0)));
        parts
    }

    fn text(&mut self, text: &str) -> u32 {
        let parts = &mut self.parts;
        let number = self.texts.entry_ref(text);
        *number.or_insert_with(|| put(parts, Part::Text(text.into())))
    }

    /// The part of a node, the first time that the run is met with it.
    fn node(&mut self, number: u32, name: &Arc<str>) -> Option<u32> {
        let at = number as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, None);
        }
        let slot = self.nodes.get_mut(at)?;
        // another one may have got the number meanwhile
        if slot
            .as_ref()
            .is_none_or(|node| !Arc::ptr_eq(&node.name, name))
        {
            let parts = &mut self.parts;
            let part = self.texts.entry_ref(&**name);
            *slot = Some(Node {
                name: Arc::clone(name),
                part: *part.or_insert_with(|| put(parts, Part::Text((&**name).into()))),
                met: 0,
            });
        }
        let node = slot.as_mut()?;
        (std::mem::replace(&mut node.met, self.runs) != self.runs).then_some(node.part)
    }
}

/// The parts that were found on any thread, each once.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    numbers: HashMap<Part, u32>,
}

impl Parts {
    /// The numbers of those that were found on one.
    fn numbers(&mut self, found: Vec<Part>) -> Vec<u32> {
        let number = |part: Part| match self.numbers.get(&part) {
            Some(number) => *number,
            None => {
                let number = put(&mut self.parts, part.clone());
                self.numbers.insert(part, number);
                number
            }
        };
        found.into_iter().map(number).collect()
    }
}

fn put(parts: &mut Vec<Part>, part: Part) -> u32 {
    parts.push(part);
    u32::try_from(parts.len() - 1).unwrap_or(u32::MAX)
}

/// The method.
pub struct Count;

impl Method for Count {
    const NAME: &'static str = "executions/count";
    const SUMMARY: &'static str = "Counts runs, by what they have in common.";
    const DESCRIPTION: &'static str = "Groups that have no run are not told. Costs nothing for a \
        project and statuses alone; with `groupBy` or another `where`, a look at every run.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Counted;

    fn is_large(result: &Counted) -> bool {
        result
            .groups
            .as_ref()
            .is_some_and(|groups| groups.len() > 1024)
    }

    async fn call(context: Arc<Context>, params: Params) -> Result<Counted, Error> {
        if params.group_by.len() > GROUP_BY_MAX {
            let message = format!("`groupBy`: expected at most {GROUP_BY_MAX} properties");
            return Err(Error::params(message));
        }
        // every node of a run with every other would be many groups that nobody means
        if matches!(params.group_by.as_slice(), [one, other] if one == other) {
            return Err(Error::params("`groupBy`: expected each property once"));
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
                truncated_runs: None,
                clock: Clock(page.clock),
                complete,
            });
        }
        let looks: Vec<Look> = params
            .group_by
            .iter()
            .map(|by| Look::of(*by, &asked))
            .collect();
        let looking = Looking {
            looks,
            found: Default::default(),
        };
        let (limit, by) = (params.limit.0, params.group_by.len());
        let by_node = params.group_by.contains(&GroupBy::Node);
        let count = move |taken: Taken<Looking, Key>| {
            let mut groups: HashMap<Key, u64> = HashMap::new();
            let mut all: [Parts; GROUP_BY_MAX] = Default::default();
            let mut truncated = 0;
            for (looking, keys) in taken.chunks {
                let mut counts: HashMap<Key, u64> = HashMap::new();
                for key in keys {
                    *counts.entry(key).or_default() += 1;
                }
                truncated += looking.looks.iter().map(|look| look.truncated).sum::<u64>();
                let looks = looking.looks.into_iter().zip(&mut all);
                let numbers: Vec<Vec<u32>> = looks
                    .map(|(look, all)| all.numbers(look.into_parts()))
                    .collect();
                for (mut key, count) in counts {
                    for (part, numbers) in key.iter_mut().zip(&numbers) {
                        *part = numbers.get(*part as usize).copied().unwrap_or(0);
                    }
                    *groups.entry(key).or_default() += count;
                }
            }
            let parts = all.map(|all| all.parts);
            let parts = parts.get(..by).unwrap_or_default();
            let spelt = |key: Key| {
                let parts = parts.iter().zip(key);
                parts.map(|(parts, number)| parts.get(number as usize).unwrap_or(&Part::None))
            };
            let mut groups: Vec<(Key, u64)> = groups.into_iter().collect();
            let total = groups.len();
            let order = |(a, more): &(Key, u64), (b, less): &(Key, u64)| {
                less.cmp(more).then_with(|| spelt(*a).cmp(spelt(*b)))
            };
            // of more than are told only those are put in order
            if limit < total {
                groups.select_nth_unstable_by(limit, order);
                groups.truncate(limit);
            }
            groups.sort_unstable_by(order);
            let first = groups.iter().map(|(key, count)| Group {
                key: spelt(*key).map(Part::spelt).collect(),
                count: *count,
            });
            Counted {
                count: taken.runs as u64,
                groups: Some(first.collect()),
                total_groups: Some(total),
                truncated_runs: by_node.then_some(truncated),
                clock: Clock(taken.clock),
                complete,
            }
        };
        take(&context, asked.every(now), looking, Looking::take, count).await
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
