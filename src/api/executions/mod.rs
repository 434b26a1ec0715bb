//! `executions/…`: the runs.

pub(in crate::api) mod asked;
pub mod changes;
pub mod delete;
pub mod delete_all;
pub mod get;
pub mod list;
pub mod save;
pub mod start;
pub mod stats;
pub mod subscribe;
pub mod update;

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Context, Error, ErrorKind};
use crate::history::{History, HistoryError};
use crate::model::{ProjectId, Status};

/// One status or several, any strings.
#[derive(Debug, Clone)]
pub struct Statuses(pub BTreeSet<Status>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Statuses;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a status or an array of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Statuses, E> {
                Ok(Statuses(BTreeSet::from([Status::from_text(text)])))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Statuses, A::Error> {
                let mut statuses = BTreeSet::new();
                while let Some(text) = seq.next_element::<String>()? {
                    statuses.insert(Status::from_text(&text));
                }
                Ok(Statuses(statuses))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One status or several; any strings.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } }
            ]
        })
    }
}

/// Waits for what a read needs: with `sync`, everything done to the files before it, else the
/// first index of its project. Returns whether the index is complete for it.
///
/// # Errors
/// 503 when it takes too long.
pub(super) async fn prepare(
    context: &Context,
    project: Option<&ProjectId>,
    sync: Option<bool>,
    allow_partial: Option<bool>,
) -> Result<bool, Error> {
    let history = &context.history;
    if allow_partial == Some(true) && !history.is_ready(project) {
        return Ok(false);
    }
    history.ready(project).await?;
    if sync == Some(true) {
        history.sync().await?;
    }
    Ok(true)
}

/// Runs what does file IO where that may block.
pub(in crate::api) async fn blocking<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Error> {
    let history = Arc::clone(&context.history);
    match tokio::task::spawn_blocking(move || work(&history)).await {
        Ok(done) => Ok(done?),
        Err(error) => {
            tracing::error!(%error, "a handler ended early");
            Err(Error::new(
                ErrorKind::Internal,
                "the request ended early; this is a defect of runlog",
            ))
        }
    }
}
