//! `server/problems`: what could not be read or does not fit.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::executions::asked::{Asked, foreign_cursor, now};
use crate::api::executions::{blocking, wait_for};
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Context, Error, ErrorKind};
use crate::history::History;
use crate::index::Problem;
use crate::model::{Millis, ProblemKind, ProjectId};

/// Which findings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProblemsParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// The page's size.
    #[serde(default)]
    pub limit: Limit,
    /// `nextCursor` of the page before; `projectId` must be the same.
    pub cursor: Option<String>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
}

/// One page of findings.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProblemsResult")]
pub struct Page {
    /// In the order of their paths.
    pub problems: Vec<Problem>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// The method.
pub struct Problems;

impl Method for Problems {
    const NAME: &'static str = "server/problems";
    const SUMMARY: &'static str = "Lists files and folders that cannot be read or do not fit.";
    const DESCRIPTION: &'static str =
        "Paths are below the root. A finding goes away when its cause does.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Params;
    type Result = Page;

    async fn call(context: Arc<Context>, params: Params) -> Result<Page, Error> {
        let (asked, now) = (Asked::of(params.project_id, None, None, None)?, now());
        let project = asked.plain.project.as_ref();
        let after = params.cursor.as_deref();
        let after = after.map(|cursor| read_cursor(cursor, &asked, now));
        let after = after.transpose()?;
        wait_for(&context, project, params.sync).await?;
        let forget = |history: &History| {
            history.forget_temporaries();
            Ok(())
        };
        blocking(&context, forget).await?;
        let limit = params.limit.0;
        let mut problems = context.history.problems(project, after.as_ref(), limit + 1);
        let more = problems.len() > limit;
        problems.truncate(limit);
        let last = problems.last().filter(|_| more);
        let next_cursor = last.map(|last| write_cursor(last, &asked, now));
        Ok(Page {
            problems,
            next_cursor,
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "nothing is wrong",
            params: json!({ "projectId": "website" }),
            result: json!({ "problems": [], "nextCursor": null }),
        }]
    }
}

fn write_cursor(last: &Problem, asked: &Asked, now: Millis) -> String {
    let place = format!("{}:{}", last.kind.word(), last.path);
    asked.cursor("", &place, now)
}

fn read_cursor(cursor: &str, asked: &Asked, now: Millis) -> Result<(String, ProblemKind), Error> {
    let (place, _) = asked.place("", cursor, now)?;
    let (kind, path) = place.split_once(':').ok_or_else(foreign_cursor)?;
    let kind = ProblemKind::of_word(kind).ok_or_else(foreign_cursor)?;
    Ok((path.to_owned(), kind))
}
