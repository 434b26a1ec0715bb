//! `executions/list`: GET /executions, for one project or all.

use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, foreign_cursor, now, select};
use super::{Statuses, blocking, prepare};
use crate::api::params::{Limit, Texts};
use crate::api::table::{Answer, Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::filter::{Field, Number, known};
use crate::history::Wanted;
use crate::index::{From, Index, Key, Listed, Selection, Sort, SortedFrom, SortedKey};
use crate::model::json::spelt_members;
use crate::model::{Millis, ProjectId, Summary, nearest};

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
    /// By which number or date to sort, the smallest first; with a minus before it, as in
    /// `-costUSD`, the largest. Runs without it come last, and the same ones newest first.
    pub sort: Option<String>,
    /// Only these members of each summary.
    pub fields: Option<Texts>,
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
    /// The runs, newest first; with `fields` only those members of each.
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
pub struct Written {
    text: Vec<u8>,
    /// Which members; all if none.
    fields: Option<Vec<String>>,
    /// Where a run's text is written that only a part of is wanted.
    whole: Vec<u8>,
}

/// How much room a run's text is given.
const RUN_BYTES: usize = 512;

impl Written {
    fn with_room_for(runs: usize, fields: Option<Vec<String>>) -> Self {
        let mut text = Vec::with_capacity((runs + 1) * RUN_BYTES);
        text.extend_from_slice(b"{\"executions\":[");
        Self {
            text,
            fields,
            whole: Vec::new(),
        }
    }

    fn push(&mut self, run: Listed<'_>) {
        let out = &mut self.text;
        if !out.ends_with(b"[") {
            out.push(b',');
        }
        let Some(fields) = &self.fields else {
            return run.write(out);
        };
        self.whole.clear();
        run.write(&mut self.whole);
        let whole = std::str::from_utf8(&self.whole).unwrap_or_default();
        out.push(b'{');
        let mut first = true;
        for (name, value) in spelt_members(whole) {
            if fields.iter().any(|field| *field == name.trim_matches('"')) {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                for part in [name, ":", value] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
        out.push(b'}');
    }
}

/// The members of a summary that may be asked for.
fn known_fields(asked: Option<Texts>) -> Result<Option<Vec<String>>, Error> {
    static KNOWN: OnceLock<Vec<String>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<Summary>();
        let members = schema.get("properties").and_then(|all| all.as_object());
        members
            .map(|all| all.keys().cloned().collect())
            .unwrap_or_default()
    });
    let mut asked = asked.map(|asked| asked.0);
    if let Some(asked) = &mut asked {
        // named once or a thousand times, a member is given once
        asked.sort_unstable();
        asked.dedup();
    }
    for name in asked.iter().flatten() {
        if !known.contains(name) {
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let error = Error::params(format!("`fields`: a summary has no such member{hint}"));
            return Err(match near {
                Some(near) => error.with("nearest", near),
                None => error,
            });
        }
    }
    Ok(asked)
}

/// The order that `sort` names; none if that is the usual one.
fn sorted(sort: Option<&str>) -> Result<Option<Sort>, Error> {
    let Some(text) = sort else { return Ok(None) };
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let numbers = || known().filter(|named| matches!(named.field, Field::Number(_)));
    let Some(Field::Number(by)) = Field::from_name(name) else {
        let near = nearest(name, numbers().map(|named| named.name));
        let hint = near.map_or("for example -costUSD".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        let error = Error::params(format!(
            "`sort`: expected a number or a date of a run, with a minus for the largest first; {hint}"
        ));
        return Err(match near {
            Some(near) => error.with("nearest", near),
            None => error,
        });
    };
    let usual = by == Number::StartedAt && descending;
    Ok((!usual).then_some(Sort { by, descending }))
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
        let Written { mut text, .. } = self.executions;
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
        lies; with `sort`, or a `where` that asks for more than statuses and a project, a look at \
        every run. Its relative dates are those of the first page.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::QueryTooExpensive, ErrorKind::Storage];
    type Params = Params;
    type Result = Page;

    async fn call(context: Arc<Context>, params: Params) -> Result<Page, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let sort = sorted(params.sort.as_deref())?;
        let fields = known_fields(params.fields)?;
        let mut now = now();
        let mut after = None;
        if let Some(cursor) = &params.cursor {
            if params.offset.is_some() {
                return Err(Error::params(
                    "`offset` cannot stand beside `cursor`; drop one",
                ));
            }
            let key;
            (key, now) = read_cursor(cursor, &asked, sort, now)?;
            after = Some(key);
        }
        let offset = usize::try_from(params.offset.unwrap_or(0)).unwrap_or(usize::MAX);
        let complete = prepare(
            &context,
            asked.plain.project.as_ref(),
            params.sync,
            params.allow_partial,
        )
        .await?;
        let limit = params.limit.0;
        let mut runs = Written::with_room_for(limit, fields);
        if let Some(sort) = sort {
            let from = after.map_or(SortedFrom::Offset(offset), SortedFrom::After);
            let (query, wanted) = (asked.every(now), Wanted::default());
            let stop = wanted.stop();
            let sorted = blocking(&context, move |history| {
                let each = |run: Listed<'_>| runs.push(run);
                let (page, next) = history.sorted(&query, &stop, sort, &from, limit, each)?;
                Ok((runs, page, next))
            });
            let (runs, page, next) = sorted.await?;
            return Ok(Page {
                executions: runs,
                total: page.total,
                next_cursor: next.map(|key| write_cursor(&key, &asked, Some(sort), now)),
                clock: Clock(page.clock),
                complete,
            });
        }
        let from = after.map_or(From::Offset(offset), |after| From::After(after.key));
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
        let next = page.next.map(|key| SortedKey { number: None, key });
        Ok(Page {
            executions: runs,
            total: page.total,
            next_cursor: next.map(|key| write_cursor(&key, &asked, None, now)),
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
                name: "the most expensive runs, and no more of them than is shown",
                params: json!({ "sort": "-costUSD", "fields": ["id", "costUSD"] }),
                result: samples::most_expensive(),
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

/// What tells a sorted list's cursors from others'.
fn mark(sort: Option<Sort>) -> String {
    sort.map_or(String::new(), |Sort { by, descending }| {
        format!("!{by:?}.{descending}")
    })
}

/// Binds a cursor to its query, so that it is refused under another.
pub(super) fn write_cursor(
    key: &SortedKey,
    asked: &Asked,
    sort: Option<Sort>,
    now: Millis,
) -> String {
    asked.cursor(&mark(sort), &write_place(key, sort.is_some()), now)
}

/// A place as cursors spell it, `numbered` in a list that is sorted by a number.
pub(super) fn write_place(key: &SortedKey, numbered: bool) -> String {
    let spelt = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let number = match numbered {
        true => format!("{}/", spelt(key.number)),
        false => String::new(),
    };
    let started = spelt(key.key.started_at.map(|at| at.0));
    // ids hold no slash
    format!("{number}{started}/{}/{}", key.key.project, key.key.id)
}

pub(super) fn read_place(text: &str, numbered: bool) -> Option<SortedKey> {
    let mut parts = text.split('/');
    let number = |digits: &str| match digits {
        "-" => Some(None),
        digits => digits.parse().map(Some).ok(),
    };
    let sorted = match numbered {
        true => number(parts.next()?)?,
        false => None,
    };
    let (started, project, id) = (number(parts.next()?)?, parts.next()?, parts.next()?);
    let key = Key {
        started_at: started.map(Millis),
        id: id.to_owned(),
        project: project.to_owned(),
    };
    let number = sorted;
    Some(SortedKey { number, key })
}

pub(super) fn read_cursor(
    text: &str,
    asked: &Asked,
    sort: Option<Sort>,
    now: Millis,
) -> Result<(SortedKey, Millis), Error> {
    let (place, moment) = asked.place(&mark(sort), text, now)?;
    let key = read_place(place, sort.is_some()).ok_or_else(foreign_cursor)?;
    Ok((key, moment))
}
