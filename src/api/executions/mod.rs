//! `executions/…`: the runs.

pub mod annotate;
pub(in crate::api) mod asked;
pub mod changes;
pub mod count;
pub mod delete;
pub mod delete_all;
pub mod delete_matching;
pub mod diff;
pub mod export;
pub mod get;
pub mod list;
pub mod prune;
pub mod restore;
pub mod save;
pub mod search;
pub mod series;
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
use crate::history::{History, HistoryError, Patience, Stop, Wanted};
use crate::model::{ExecutionId, ProjectId, RunKey, Status};

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

/// Which run a request means: by its id, by a beginning of it that only one run has, or, if it is
/// called `last`, the newest.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// Only this project's; any if absent.
    pub project: Option<ProjectId>,
    /// The id, its beginning, or `last`.
    pub execution: ExecutionId,
}

impl Named {
    /// The run's own key, if it is one.
    fn key(&self) -> Option<RunKey> {
        Some(RunKey {
            project: self.project.clone()?,
            execution: self.execution.clone(),
        })
    }
}

/// What `read` makes of the run that `named` means, and which one that is. A file of just this
/// project and id is read whether the index has seen it or not; only where there is none is another
/// looked for, which waits for the index. The file of a listed run may be away for a moment. Taken back
/// when the request is.
///
/// # Errors
/// 404, 409 ambiguous, 503, and those of `read`.
pub(super) async fn read_named<T: Send + 'static>(
    context: &Context,
    named: Named,
    sync: Option<bool>,
    read: impl Fn(&History, &RunKey, &Stop) -> Result<T, HistoryError> + Send + Sync + 'static,
) -> Result<(RunKey, T), Error> {
    let wanted = Wanted::default();
    let (stop, read) = (wanted.stop(), Arc::new(read));
    let mut patience = Patience::default();
    let mut read_patiently = async |key: &RunKey| {
        loop {
            let (read, stop, named) = (Arc::clone(&read), stop.clone(), key.clone());
            let done = blocking(context, move |history| Ok(read(history, &named, &stop))).await?;
            match done {
                Err(error) if patience.lasts() && context.history.may_return(key, &error) => {
                    patience.wait().await;
                }
                done => return Ok::<_, Error>(done),
            }
        }
    };
    if let Some(key) = named.key() {
        match read_patiently(&key).await? {
            Err(HistoryError::NotFound(_)) => {}
            done => return Ok((key, done?)),
        }
    }
    prepare(context, named.project.as_ref(), sync, None).await?;
    let stopped = stop.clone();
    let key = blocking(context, move |history| {
        history.meant(named.project.as_ref(), &named.execution, &stopped)
    })
    .await?;
    let read = read_patiently(&key).await??;
    Ok((key, read))
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
