//! `executions/search`: full text over what the runs were given and what they said.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use super::Statuses;
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::History;
use crate::index::Filter;
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Status, Summary};
use crate::search::matching::Match;
use crate::search::query::{Query, QueryError};
use crate::search::{Coverage, Place, SEARCH_WITHIN_SECS, SearchError, Sort, Trouble, Wanted};

/// What is looked for, and which page of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SearchParams")]
pub struct Params {
    /// Words, `"phrases"`, `prefix*`, `AND`, `OR`, `NOT` or `-`, parentheses; words beside each
    /// other must all be there.
    pub query: String,
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// The page's size.
    #[serde(default)]
    pub limit: Limit,
    /// `nextCursor` of the page before; the other params must be the same.
    pub cursor: Option<String>,
    /// The order of the hits.
    #[serde(default)]
    pub sort: Order,
    /// Everything done to the files before the request is found.
    pub sync: Option<bool>,
}

/// The order of the hits.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SearchOrder")]
pub enum Order {
    /// Those first that say it most; among equals the newest.
    #[default]
    Relevance,
    /// As lists are.
    Newest,
}

/// One page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SearchResult")]
pub struct Page {
    /// The runs that have what was looked for.
    pub hits: Vec<Hit>,
    /// How many runs match, on all pages, as the text index has it.
    pub total: usize,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// The state up to which every change is in the text index.
    pub clock: Clock,
    /// How far the text index has come.
    pub indexing: Indexing,
    /// Whether the text index has everything that lists have now.
    pub complete: bool,
}

/// How far the text index has come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchIndexing")]
pub struct Indexing {
    /// How many runs are in it.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// A run that has what was looked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SearchHit")]
pub struct Hit {
    /// The run.
    pub summary: Summary,
    /// The first texts of it that have what was looked for, at most three; none if it was only
    /// looked for what is not there.
    pub matches: Vec<Match>,
    /// How well it fits, compared with the other hits; absent when the newest come first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}

/// The method.
pub struct Search;

impl Method for Search {
    const NAME: &'static str = "executions/search";
    const SUMMARY: &'static str = "Finds runs by what they were given and what they said.";
    const DESCRIPTION: &'static str = "Searches every string and number of `id`, `name`, `input`, \
        `output` and `error`, and of each step's `nodeId`, `name`, `input`, `output` and `error`. \
        Case and accents make no difference; what is neither letter nor digit stands between words, \
        and words joined by it (`exec-17605`) are looked for side by side. Scripts without spaces \
        are searched by any part. A `*` stands for any end of a word. A match's `path` is a JSON \
        pointer into the record; offsets count UTF-16 units of the decoded string. A run is found \
        within a second of its save; until the text index has everything, `complete` is false. What \
        is shown is the record as it is now. By relevance, pages shift a little while runs come and \
        go; newest first they do not. Records beyond the limits of `executions/get` are not \
        searched. A search that takes two seconds is given up.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueryTooExpensive,
        ErrorKind::NotReady,
        ErrorKind::Overloaded,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
        ErrorKind::MethodNotFound,
    ];
    type Params = Params;
    type Result = Page;

    async fn call(context: Arc<Context>, params: Params) -> Result<Page, Error> {
        let query = Query::parse(&params.query)?;
        let filter = Filter {
            project: params.project_id,
            statuses: params.status.map(|statuses| statuses.0),
        };
        let sort = match params.sort {
            Order::Relevance => Sort::Relevance,
            Order::Newest => Sort::Newest,
        };
        let mark = query_mark(&params.query, &filter, sort);
        let cursor = params.cursor.as_deref();
        let wanted = Wanted {
            query,
            project: filter.project.clone(),
            statuses: filter.statuses.clone(),
            sort,
            after: cursor.map(|text| read_cursor(text, &mark)).transpose()?,
            limit: params.limit.0,
        };
        if params.sync == Some(true) {
            context.search.sync().await?;
        }
        let history = Arc::clone(&context.history);
        let look = move |key: &RunKey| {
            let summary = admitted(&history, key, &filter)?;
            let record = history.get_cached(key);
            let record = record.or_else(|| history.get(key).ok())?;
            Some((summary, record))
        };
        let found = context.search.find(wanted, look).await?;
        let Coverage {
            done,
            total,
            clock,
            complete,
        } = found.coverage;
        let hits = found.hits.into_iter().map(|hit| Hit {
            summary: hit.run,
            matches: hit.matches,
            score: (sort == Sort::Relevance).then_some(hit.score),
        });
        Ok(Page {
            hits: hits.collect(),
            total: found.total,
            next_cursor: found.next.map(|place| write_cursor(&place, &mark)),
            clock: Clock(clock),
            indexing: Indexing { done, total },
            complete,
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "a phrase in the errors of a project",
                params: json!({
                    "query": "\"at least one node\"", "projectId": "website", "sort": "newest",
                    "sync": true
                }),
                result: json!({
                    "hits": [{
                        "summary": samples::failed_summary(),
                        "matches": [{
                            "path": "/error",
                            "snippet": "w validation failed: Workflow must have at least one \
                                        node; Workflow must have exactly one agent node",
                            "offset": 7,
                            "ranges": [{ "start": 40, "end": 57 }]
                        }]
                    }],
                    "total": 1, "nextCursor": null, "clock": samples::CLOCK,
                    "indexing": { "done": 4, "total": 4 }, "complete": true
                }),
            },
            Example {
                name: "nothing says so",
                params: json!({ "query": "xylophone OR (zebra -crossing)", "sync": true }),
                result: json!({
                    "hits": [], "total": 0, "nextCursor": null, "clock": samples::CLOCK,
                    "indexing": { "done": 4, "total": 4 }, "complete": true
                }),
            },
        ]
    }
}

/// The run as it is now, if it is one that hits are restricted to. The text index may be behind;
/// this is the one place that decides.
fn admitted(history: &History, key: &RunKey, filter: &Filter) -> Option<Summary> {
    let summary = history.summary(key)?;
    let project = filter.project.as_ref();
    let statuses = filter.statuses.as_ref();
    let admitted = project.is_none_or(|project| *project == summary.project_id)
        && statuses.is_none_or(|statuses| {
            summary
                .status
                .as_ref()
                .is_some_and(|status| statuses.contains(&Status::from_text(status)))
        });
    admitted.then_some(summary)
}

/// Binds a cursor to its query.
fn query_mark(query: &str, filter: &Filter, sort: Sort) -> String {
    let hasher = BuildHasherDefault::<Xxh3>::default();
    format!(
        "{:08x}",
        hasher.hash_one((query, filter, sort)) & 0xffff_ffff
    )
}

fn write_cursor(place: &Place, mark: &str) -> String {
    let started = place.started.map_or("-".to_owned(), |at| at.0.to_string());
    // ids hold no slash
    format!(
        "{mark}/{:08x}/{started}/{}/{}",
        place.score.to_bits(),
        place.key.project,
        place.key.execution
    )
}

fn read_cursor(text: &str, mark: &str) -> Result<Place, Error> {
    let read = || {
        let mut parts = text.split('/');
        if parts.next()? != mark {
            return None;
        }
        let score = f32::from_bits(u32::from_str_radix(parts.next()?, 16).ok()?);
        let started = match parts.next()? {
            "-" => None,
            digits => Some(Millis(digits.parse().ok()?)),
        };
        let key = RunKey {
            project: ProjectId::parse(parts.next()?).ok()?,
            execution: ExecutionId::parse(parts.next()?).ok()?,
        };
        (parts.next().is_none() && score.is_finite()).then_some(Place {
            score,
            started,
            key,
        })
    };
    read().ok_or_else(|| {
        Error::params(
            "`cursor` belongs to another query or another version; search again without it",
        )
    })
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::params(format!("`query`: {error}"))
            .with("offset", error.offset)
            .with("end", error.end)
            .with("found", error.found)
            .with("expected", error.expected)
    }
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Absent => Self::new(
                ErrorKind::MethodNotFound,
                "this runlog was built without search; build it with the feature `search`",
            ),
            SearchError::TooExpensive => Self::new(
                ErrorKind::QueryTooExpensive,
                format!(
                    "the search takes longer than {SEARCH_WITHIN_SECS} s; look for rarer or longer \
                     words, or in one project"
                ),
            ),
            SearchError::Busy => Self::new(
                ErrorKind::Overloaded,
                "too many searches at once; try again",
            ),
            SearchError::NotReady | SearchError::Trouble(Trouble::Elsewhere) => Self::new(
                ErrorKind::NotReady,
                "the text index is still being built; try again",
            ),
            SearchError::Trouble(Trouble::NoCache) => Self::new(
                ErrorKind::Storage,
                "there is no folder for the text index; set XDG_CACHE_HOME or HOME and start again",
            ),
            SearchError::Trouble(Trouble::Full) => Self::new(
                ErrorKind::StorageFull,
                "the disk with the text index is full; make room and try again",
            ),
            SearchError::Trouble(Trouble::Failed) => Self::new(
                ErrorKind::Storage,
                "the text index cannot be kept; the daemon's log says why. Try again",
            ),
            SearchError::Defect => Self::new(
                ErrorKind::Internal,
                "the search ended early; the text index is built anew. Try again",
            ),
            SearchError::History(error) => error.into(),
        }
    }
}
