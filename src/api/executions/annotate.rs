//! `executions/annotate`: a pin, tags and a note on a run, beside its file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::when_there;
use crate::api::params::Texts;
use crate::api::table::{Effect, Example, Method};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::History;
use crate::model::{AnnotationChange, ExecutionId, ProjectId, RunKey, Summary};

/// Which run, and what is noted on it from now on. What is absent stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AnnotateParams")]
pub struct Params {
    /// The project's folder.
    pub project_id: ProjectId,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// Whether it is pinned.
    pub pinned: Option<bool>,
    /// All its tags, instead of those that it has; 32 at most, of 64 characters at most.
    pub tags: Option<Texts>,
    /// Tags that it gets.
    pub add_tags: Option<Texts>,
    /// Tags that it loses; one that it does not have is no error.
    pub remove_tags: Option<Texts>,
    /// The note, 2,000 characters at most; an empty one removes it.
    #[schemars(length(max = crate::model::NOTE_MAX_CHARS))]
    pub note: Option<String>,
}

/// What a list says of the run now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnnotateResult")]
pub struct Annotated {
    /// The run, with what is noted on it.
    pub summary: Summary,
    /// The state that has it.
    pub clock: Clock,
}

/// The method.
pub struct Annotate;

impl Method for Annotate {
    const NAME: &'static str = "executions/annotate";
    const SUMMARY: &'static str = "Pins a run, tags it, notes something on it.";
    const DESCRIPTION: &'static str = "The run's own file is never touched: what is noted lies in a \
        small file of its own, `.runlog/{executionId}.json` in the project, which git is told to \
        ignore, durably before the answer. It stays when the run's file is written anew or the \
        project is renamed, goes into the trash with the run and comes back with it. Whoever \
        subscribes hears of it as `saved`, the version being the same. Filters ask for it by \
        `pinned`, `tag` and `note`.";
    const EFFECT: Effect = Effect::ChangeRun;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::ExecutionNotFound,
        ErrorKind::CorruptExecution,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Annotated;

    async fn call(context: Arc<Context>, params: Params) -> Result<Annotated, Error> {
        let key = RunKey {
            project: params.project_id,
            execution: params.execution_id,
        };
        let change = AnnotationChange {
            pinned: params.pinned,
            tags: params.tags.map(|tags| tags.0),
            add_tags: params.add_tags.unwrap_or_default().0,
            remove_tags: params.remove_tags.unwrap_or_default().0,
            note: params.note,
        };
        let annotate = move |history: &History, key: &RunKey| history.annotate(key, &change);
        let (summary, clock) = when_there(&context, key, annotate).await?;
        Ok(Annotated {
            summary,
            clock: Clock(clock),
        })
    }

    fn examples() -> Vec<Example> {
        let mut summary = samples::failed_summary();
        summary["pinned"] = json!(true);
        summary["tags"] = json!(["flaky", "ours"]);
        summary["note"] = json!("asked the search team");
        vec![Example {
            name: "a pin, two tags and a note",
            params: json!({
                "projectId": "website", "executionId": samples::FAILED_ID, "pinned": true,
                "addTags": ["ours", "flaky"], "note": "asked the search team"
            }),
            result: json!({ "summary": summary, "clock": samples::CLOCK }),
        }]
    }
}
