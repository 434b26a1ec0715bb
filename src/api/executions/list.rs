//! `executions/list`: GET /executions, for one project or all.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now, select};
use super::{Statuses, prepare};
use crate::api::params::Limit;
use crate::api::table::{Answer, Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::index::{From, Index, Key, Listed, Selection};
use crate::model::{Millis, ProjectId, Summary};

/// Which runs, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListParams")]
pub struct Params {
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
    /// How many runs to skip; not beside `cursor`.
    pub offset: Option<u64>,
    /// `nextCursor` of the page before; the other params must be the same.
    pub cursor: Option<String>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// One page.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ListResult", rename_all = "camelCase")]
pub struct Page {
    /// The runs, newest first.
    #[schemars(with = "Vec<Summary>")]
    pub executions: Written,
    /// How many runs match, on all pages.
    pub total: usize,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// The state that the page is true at.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// An array of summaries as JSON text, `{"executions":` before it and the closing bracket still to
/// come, so that the answer needs no copy of it.
#[derive(Debug)]
pub struct Written(Vec<u8>);

/// How much room a run's text is given.
const RUN_BYTES: usize = 512;

impl Written {
    fn with_room_for(runs: usize) -> Self {
        let mut text = Vec::with_capacity((runs + 1) * RUN_BYTES);
        text.extend_from_slice(b"{\"executions\":[");
        Self(text)
    }

    fn push(&mut self, run: Listed<'_>) {
        if !self.0.ends_with(b"[") {
            self.0.push(b',');
        }
        run.write(&mut self.0);
    }
}

impl Answer for Page {
    fn text(self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Rest {
            total: usize,
            next_cursor: Option<String>,
            clock: Clock,
            complete: bool,
        }
        let Written(mut text) = self.executions;
        text.extend_from_slice(b"],");
        // the rest's own brace is not wanted
        let at = text.len();
        serde_json::to_writer(
            &mut text,
            &Rest {
                total: self.total,
                next_cursor: self.next_cursor,
                clock: self.clock,
                complete: self.complete,
            },
        )?;
        text.remove(at);
        Ok(text)
    }
}

/// The method.
pub struct List;

impl Method for List {
    const NAME: &'static str = "executions/list";
    const SUMMARY: &'static str = "Lists runs, newest first.";
    const DESCRIPTION: &'static str = "Order: `startedAt` newest first, unknown last; then id, \
        then projectId. A missing project lists as empty. Paging by `cursor` while runs come and \
        go shows every run that was there throughout exactly once. Costs the page, wherever it \
        lies; with a `where` that asks for more than statuses and a project, a look at every run. \
        Its relative dates are those of the first page.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::NotReady, ErrorKind::QueryTooExpensive];
    type Params = Params;
    type Result = Page;

    async fn call(context: Arc<Context>, params: Params) -> Result<Page, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let mut now = now();
        let from = match (&params.cursor, params.offset) {
            (Some(_), Some(_)) => {
                return Err(Error::params(
                    "`offset` cannot stand beside `cursor`; drop one",
                ));
            }
            (Some(cursor), None) => {
                let key;
                (key, now) = read_cursor(cursor, &asked, now)?;
                From::After(key)
            }
            (None, offset) => {
                From::Offset(usize::try_from(offset.unwrap_or(0)).unwrap_or(usize::MAX))
            }
        };
        let complete = prepare(
            &context,
            asked.plain.project.as_ref(),
            params.sync,
            params.allow_partial,
        )
        .await?;
        let limit = params.limit.0;
        let mut runs = Written::with_room_for(limit);
        let page = match asked.query(now) {
            None => {
                let history = &context.history;
                history.visit(&asked.plain, &from, limit, |run| runs.push(run))
            }
            Some(query) => {
                let visit = move |index: &Index, selection: &Selection| {
                    let page = index.visit_selected(selection, &from, limit, |run| runs.push(run));
                    (runs, page)
                };
                let page;
                (runs, page) = select(&context, query, visit, |found| found).await?;
                page
            }
        };
        Ok(Page {
            executions: runs,
            total: page.total,
            next_cursor: page.next.map(|key| write_cursor(&key, &asked, now)),
            clock: Clock(page.clock),
            complete,
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "the newest failed run of a project",
                params: json!({ "projectId": "website", "status": "failed", "limit": 1 }),
                result: json!({
                    "executions": [samples::failed_summary()],
                    "total": 1, "nextCursor": null, "clock": samples::CLOCK, "complete": true
                }),
            },
            Example {
                name: "a project that is not there",
                params: json!({ "projectId": "nowhere" }),
                result: json!({
                    "executions": [], "total": 0, "nextCursor": null,
                    "clock": samples::CLOCK, "complete": true
                }),
            },
            Example {
                name: "what failed for a reason, by a filter",
                params: json!({ "where": "error ~ 'workflow validation' and costUSD < 0.5" }),
                result: json!({
                    "executions": [samples::failed_summary()],
                    "total": 1, "nextCursor": null, "clock": samples::CLOCK, "complete": true
                }),
            },
        ]
    }
}

/// Binds a cursor to its query, so that it is refused under another, and to the moment that the
/// query began at, where that matters.
fn write_cursor(key: &Key, asked: &Asked, now: Millis) -> String {
    let moment = asked
        .query(now)
        .map_or(String::new(), |_| format!("@{}", now.0));
    let started = key.started_at.map_or("-".to_owned(), |at| at.0.to_string());
    // ids hold no slash
    format!(
        "{}{moment}/{started}/{}/{}",
        asked.mark(),
        key.project,
        key.id
    )
}

fn read_cursor(text: &str, asked: &Asked, now: Millis) -> Result<(Key, Millis), Error> {
    let refused = || {
        Error::params("`cursor` belongs to another query or another version; list again without it")
    };
    let mut parts = text.splitn(4, '/');
    let mut next = || parts.next().ok_or_else(refused);
    let (query, started, project, id) = (next()?, next()?, next()?, next()?);
    let (mark, moment) = match query.split_once('@') {
        Some((mark, moment)) => (mark, Some(moment)),
        None => (query, None),
    };
    if mark != asked.mark() || moment.is_some() != asked.query(now).is_some() {
        return Err(refused());
    }
    let millis = |digits: &str| digits.parse().map(Millis).map_err(|_| refused());
    let started_at = match started {
        "-" => None,
        digits => Some(millis(digits)?),
    };
    let key = Key {
        started_at,
        id: id.to_owned(),
        project: project.to_owned(),
    };
    Ok((key, moment.map_or(Ok(now), millis)?))
}
