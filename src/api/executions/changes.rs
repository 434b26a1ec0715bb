//! `executions/changes`: the same as a subscription, by asking.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, now};
use super::subscribe::{Told, VISIT, honoured};
use super::{Statuses, blocking, wait_for};
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::History;
use crate::index::{Change, Changed as Happened, Clock as IndexClock, Cursor};
use crate::model::ProjectId;

/// Since when, and of which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ChangesParams")]
pub struct Params {
    /// A clock from an earlier answer.
    pub since: String,
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter; a changed one that does not is told as left.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// At most so many changes.
    #[serde(default)]
    pub limit: Limit,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
}

/// What changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangesResult")]
pub struct Changed {
    /// The latest state of each run that changed, in order.
    pub changes: Vec<Told>,
    /// Pass it as `since` next time.
    pub clock: Clock,
    /// The clock could not be honoured: drop what you hold and list again.
    pub resync: bool,
    /// There are more; ask again at once.
    pub more: bool,
}

/// The next changes for a reader, dates being what they are now; `None` if it has missed some.
pub(super) async fn next(
    context: &Context,
    cursor: &mut Cursor,
    asked: &Asked,
    limit: usize,
    visit: usize,
) -> Result<(Option<Vec<Told>>, IndexClock), Error> {
    let query = Arc::new(asked.every(now()));
    let before = cursor.tick();
    let (found, clock) = if asked.has_filter() || context.history.lacks_older(cursor) {
        // both may take their time, and whoever answers everybody has none
        let (mut held, query) = (
            std::mem::replace(cursor, Cursor::after(0)),
            Arc::clone(&query),
        );
        let look = move |history: &History| {
            let done = history.changes_after(&mut held, &query, limit, visit);
            Ok((held, done))
        };
        let looked = blocking(context, look).await;
        // of what was not told nothing may be left out
        let (held, done) = looked.inspect_err(|_| *cursor = Cursor::after(before))?;
        *cursor = held;
        done
    } else {
        context.history.changes_after(cursor, &query, limit, visit)
    };
    let Some(mut found) = found else {
        return Ok((None, clock));
    };
    let is_open = |change: &Change| matches!(change.what, Happened::Undecided(_));
    if found.iter().any(is_open) {
        let decide = move |history: &History| history.decided(found, &query);
        let decided = blocking(context, decide).await;
        found = decided.inspect_err(|_| *cursor = Cursor::after(before))?;
    }
    Ok((
        Some(found.into_iter().filter_map(Told::of).collect()),
        clock,
    ))
}

/// The method.
pub struct Changes;

impl Method for Changes {
    const NAME: &'static str = "executions/changes";
    const SUMMARY: &'static str = "Gives what changed after a clock.";
    const DESCRIPTION: &'static str = "What a subscription since that clock would tell, in pieces. \
        A clock that cannot be honoured gives `resync: true` and the clock to go on from.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Storage];
    type Params = Params;
    type Result = Changed;

    async fn call(context: Arc<Context>, params: Params) -> Result<Changed, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let project = asked.plain.project.as_ref();
        if params.sync == Some(true) {
            wait_for(&context, project, params.sync).await?;
        }
        if honoured(&context, &params.since).is_none() {
            // what a former daemon kept may not have been read yet
            context.history.ready(project).await?;
        }
        let Some(since) = honoured(&context, &params.since) else {
            let clock = Clock(context.history.clock());
            return Ok(Changed {
                changes: Vec::new(),
                clock,
                resync: true,
                more: false,
            });
        };
        let mut cursor = Cursor::after(since.tick);
        let mut changes = Vec::new();
        loop {
            let room = params.limit.0 - changes.len();
            let (found, now) = next(&context, &mut cursor, &asked, room, VISIT).await?;
            let Some(found) = found else {
                return Ok(Changed {
                    changes: Vec::new(),
                    clock: Clock(now),
                    resync: true,
                    more: false,
                });
            };
            changes.extend(found);
            let more = cursor.tick() < now.tick;
            if changes.len() == params.limit.0 || !more {
                let clock = Clock(IndexClock {
                    instance: now.instance,
                    tick: cursor.tick(),
                });
                return Ok(Changed {
                    changes,
                    clock,
                    resync: false,
                    more,
                });
            }
            tokio::task::yield_now().await;
        }
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a clock of another daemon",
            params: json!({ "since": "c:0000000000000000:7" }),
            result: json!({
                "changes": [], "clock": samples::CLOCK, "resync": true, "more": false
            }),
        }]
    }
}
