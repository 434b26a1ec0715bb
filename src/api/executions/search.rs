//! `executions/search`: full text over what the runs were given and what they said.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use super::Statuses;
use super::asked::{Asked, now};
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Summary};
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
    /// Only runs that pass this filter, for example `costUSD > 0.5 and startedAt >= -7d`.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
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
    /// As lists are.
    #[default]
    Newest,
    /// Those first that say it most; among equals the newest.
    Relevance,
}

/// One page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SearchResult")]
pub struct Page {
    /// The runs that have what was looked for.
    pub hits: Vec<Hit>,
    /// How many runs match, on all pages, as the text index has it; absent where more than 1,000 runs
    /// have what is looked for, which are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
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
    const DESCRIPTION: &'static str = "Searches the id and every string and number of `name`, `input`, \
        `output` and `error`, and of each step's `nodeId`, `name`, `input`, `output` and `error`. \
        Case, accents and what is not seen (a soft hyphen, a zero-width space) make no difference; \
        what else is neither letter nor digit stands between words, and words joined by it \
        (`exec-17605`) are looked for side by side. Scripts without spaces are searched by any part. A `*` stands for any end of a word; \
        words whose first 64 bytes are the same are one. A match's `path` is a JSON \
        pointer into the record; offsets count UTF-16 units of the decoded string. A run is found \
        within a second of its save; until the text index has everything, `complete` is false. What \
        is shown is the record as it is now. Newest first, a page costs the page; by relevance, a look at \
        every run that has the words, and pages shift a little while runs come and go. With a `where`, \
        relative dates are those of the first page. Records beyond the limits of `executions/get` are not \
        searched. A search that takes two seconds is given up.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueryTooExpensive,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
        ErrorKind::MethodNotFound,
    ];
    type Params = Params;
    type Result = Page;

    async fn call(context: Arc<Context>, params: Params) -> Result<Page, Error> {
        let query = Query::parse(&params.query)?;
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let sort = match params.sort {
            Order::Relevance => Sort::Relevance,
            Order::Newest => Sort::Newest,
        };
        let mut now = now();
        let mut after = None;
        if let Some(cursor) = &params.cursor {
            let place;
            (place, now) = read_cursor(cursor, &params.query, sort, &asked, now)?;
            after = Some(place);
        }
        let wanted = Wanted {
            query,
            filter: asked.every(now),
            sort,
            after,
            limit: params.limit.0,
        };
        if params.sync == Some(true) {
            context.search.sync().await?;
        }
        let found = context.search.find(wanted).await?;
        let Coverage {
            done,
            total,
            clock,
            complete,
        } = found.coverage;
        let hits = found.hits.into_iter().map(|hit| Hit {
            summary: hit.summary,
            matches: hit.matches,
            score: (sort == Sort::Relevance).then_some(hit.score),
        });
        let next = found.next;
        Ok(Page {
            hits: hits.collect(),
            total: found.total,
            next_cursor: next.map(|at| write_cursor(&at, &params.query, sort, &asked, now)),
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
                    "query": "\"at least one node\"", "projectId": "website", "sync": true
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

/// What of a query the filter does not say.
fn query_mark(query: &str, sort: Sort) -> String {
    let hasher = BuildHasherDefault::<Xxh3>::default();
    format!("{:08x}", hasher.hash_one((query, sort)) & 0xffff_ffff)
}

/// Binds a cursor to its query, so that it is refused under another.
fn write_cursor(place: &Place, query: &str, sort: Sort, asked: &Asked, now: Millis) -> String {
    let started = place.started.map_or("-".to_owned(), |at| at.0.to_string());
    // ids hold no slash
    format!(
        "{}/{}/{:08x}/{started}/{}/{}",
        asked.mark(now),
        query_mark(query, sort),
        place.score.to_bits(),
        place.key.project,
        place.key.execution
    )
}

fn read_cursor(
    text: &str,
    query: &str,
    sort: Sort,
    asked: &Asked,
    now: Millis,
) -> Result<(Place, Millis), Error> {
    let read = || {
        let mut parts = text.split('/');
        let moment = asked.moment(parts.next()?, now)?;
        if parts.next()? != query_mark(query, sort) {
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
        let place = Place {
            score,
            started,
            key,
        };
        (parts.next().is_none() && score.is_finite()).then_some((place, moment))
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
                "the text index cannot be kept in the cache; mend what `runlog doctor` finds there, or \
                 set XDG_CACHE_HOME to a folder that can be written to, and start again",
            ),
            SearchError::Defect => Self::new(
                ErrorKind::Internal,
                "the search ended early; the text index is built anew. Try again",
            ),
            SearchError::History(error) => error.into(),
        }
    }
}
