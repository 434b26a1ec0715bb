//! `filter/check`: a filter while it is typed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::table::{Effect, Example, Method};
use super::{Context, Error, ErrorKind, samples};
use crate::filter::{Check as Checked, Field, Text, check};

/// What is to be checked.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CheckParams")]
pub struct Params {
    /// The filter, finished or not.
    pub text: String,
    /// The cursor, in UTF-16 units of the text; beyond its end means at its end. Completions are
    /// for what is written there.
    pub offset: Option<usize>,
}

/// The method.
pub struct Check;

impl Method for Check {
    const NAME: &'static str = "filter/check";
    const SUMMARY: &'static str = "Checks a filter, and says what could stand at the cursor.";
    const DESCRIPTION: &'static str = "A text that is no filter is an answer, not an error. \
        Completions are fields, operators, keywords, and the values that are known: statuses, \
        projects, dates. The language is described under \"Filters\" in the printed reference.";
    const EFFECT: Effect = Effect::None;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Params;
    type Result = Checked;

    async fn call(context: Arc<Context>, params: Params) -> Result<Checked, Error> {
        let values = |field| match field {
            Field::Text(Text::Project) => {
                let (projects, _) = context.history.projects(false);
                let names = projects.into_iter();
                names.map(|project| project.id.to_string()).collect()
            }
            _ => Vec::new(),
        };
        Ok(check(&params.text, params.offset, values))
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "a filter, and its canonical spelling",
                params: json!({ "text": "projectId=website and not error ~ 'Timeout'" }),
                result: json!({
                    "ok": true, "completions": [],
                    "canonical": "project = website and error !~ Timeout"
                }),
            },
            Example {
                name: "a slip",
                params: json!({ "text": "statsu = failed" }),
                result: json!({
                    "ok": false,
                    "error": {
                        "offset": 0, "end": 6, "found": "`statsu`",
                        "expected": "a field, `not` or `(`", "nearest": "status"
                    },
                    "completions": []
                }),
            },
            Example {
                name: "the cursor in a value that has begun",
                params: json!({ "text": "project = we", "offset": 12 }),
                result: samples::checked(),
            },
        ]
    }
}
