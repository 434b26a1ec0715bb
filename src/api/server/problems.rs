//! `server/problems`: what could not be read or does not fit.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::executions::blocking;
use crate::api::params::Limit;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Context, Error, ErrorKind};
use crate::history::History;
use crate::index::{Problem, ProblemKind};
use crate::model::ProjectId;

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
    /// `nextCursor` of the page before.
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
        let project = params.project_id.as_ref();
        crate::api::executions::prepare(&context, project, params.sync, None).await?;
        let is_there = |history: &History| {
            history.forget_temporaries();
            Ok(())
        };
        blocking(&context, is_there).await?;
        let after = params.cursor.as_deref().map(read_cursor).transpose()?;
        let limit = params.limit.0;
        let mut problems = context.history.problems(project, after.as_ref(), limit + 1);
        let more = problems.len() > limit;
        problems.truncate(limit);
        let next_cursor = problems.last().filter(|_| more).map(write_cursor);
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

fn write_cursor(last: &Problem) -> String {
    let kind = serde_json::to_value(last.kind).unwrap_or_default();
    format!("{}:{}", kind.as_str().unwrap_or_default(), last.path)
}

fn read_cursor(text: &str) -> Result<(String, ProblemKind), Error> {
    let refused = || Error::params("`cursor` is not one that runlog gave; list again without it");
    let (kind, path) = text.split_once(':').ok_or_else(refused)?;
    let kind = ProblemKind::ALL
        .into_iter()
        .find(|known| serde_json::to_value(known).is_ok_and(|word| word == kind))
        .ok_or_else(refused)?;
    Ok((path.to_owned(), kind))
}
