//! `trash/…`: what was deleted and can be had back, until it is emptied.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::executions::asked::{Asked, foreign_cursor, now};
use super::executions::{blocking, stopping};
use super::params::{Limit, Texts};
use super::table::{Effect, Example, Method};
use super::{Context, Error, ErrorKind, samples};
use crate::history::{Batch, EntryId, History, OfTrash, Stop, ToEmpty, TrashTotals, Wanted};
use crate::model::{Millis, ProjectId, Summary};

/// How many entries a request may name.
const ENTRIES_MAX: usize = 1000;

/// The entries that are spelt so.
///
/// # Errors
/// -32602.
pub(super) fn read_entries(spelt: &[String]) -> Result<Vec<EntryId>, Error> {
    if spelt.len() > ENTRIES_MAX {
        let message = format!("`entries`: at most {ENTRIES_MAX} at once; or pass a `batch`");
        return Err(Error::params(message));
    }
    let read = |text: &String| {
        EntryId::parse(text).ok_or_else(|| {
            Error::params("`entries`: expected what deletions and trash/list call `entry`")
        })
    };
    spelt.iter().map(read).collect()
}

/// The batch that is spelt so.
///
/// # Errors
/// -32602.
pub(super) fn read_batch(spelt: &str) -> Result<Batch, Error> {
    Batch::parse(spelt).ok_or_else(|| {
        Error::params("`batch`: expected what deletions and trash/list call `batch`")
    })
}

/// Which deletions, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashListParams")]
pub struct ListParams {
    /// Only this project's; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only those whose `executionId` begins so: for whoever looks for one run.
    pub execution_id: Option<String>,
    /// The page's size.
    #[serde(default)]
    pub limit: Limit,
    /// `nextCursor` of the page before; `projectId` and `executionId` must be the same.
    pub cursor: Option<String>,
}

/// A deletion.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashEntry")]
pub struct Entry {
    /// What executions/restore and trash/empty take; opaque.
    pub entry: String,
    /// What the request that deleted it called all that it deleted.
    pub batch: String,
    /// The project's folder.
    pub project_id: ProjectId,
    /// The run; for a file whose name is no id, that without `.json`.
    pub execution_id: String,
    /// When it was deleted.
    pub deleted_at: Millis,
    /// The file's size.
    pub size_bytes: u64,
    /// The run as lists would show it; absent where the file is no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// One page.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashListResult")]
pub struct Page {
    /// The latest deletion first; what one request deleted by project and file name.
    pub entries: Vec<Entry>,
    /// How many there are, on all pages, as counted for the first.
    pub total: u64,
    /// How many bytes all of them have, counted likewise.
    pub total_bytes: u64,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Of all projects, those whose trash cannot be read; what is in it is not counted.
    pub unreadable: Vec<ProjectId>,
}

/// Where a page ends, in a cursor: what is told of all pages, and the page's last entry. No id holds a
/// slash.
fn write_place(totals: &TrashTotals, last: &EntryId) -> String {
    let TrashTotals {
        entries,
        bytes,
        unreadable,
    } = totals;
    let projects = unreadable.iter().map(|project| format!("{project}/"));
    let projects: String = projects.collect();
    format!("{entries}/{bytes}/{}/{projects}{last}", unreadable.len())
}

fn read_place(text: &str) -> Option<(TrashTotals, EntryId)> {
    let (entries, rest) = text.split_once('/')?;
    let (bytes, rest) = rest.split_once('/')?;
    let (projects, mut rest) = rest.split_once('/')?;
    let mut unreadable = Vec::new();
    for _ in 0..projects.parse::<usize>().ok()? {
        let project;
        (project, rest) = rest.split_once('/')?;
        unreadable.push(ProjectId::parse(project).ok()?);
    }
    let totals = TrashTotals {
        entries: entries.parse().ok()?,
        bytes: bytes.parse().ok()?,
        unreadable,
    };
    Some((totals, EntryId::parse(rest)?))
}

/// The method that lists.
pub struct List;

impl Method for List {
    const NAME: &'static str = "trash/list";
    const SUMMARY: &'static str = "Lists what was deleted and can be restored.";
    const DESCRIPTION: &'static str = "Each deletion is an entry of its own, the same run twice \
        included. Read from the trash's folders: the first page costs a look at each entry, those \
        after it one at their own, and each the reading of its records. Paging while entries come \
        and go shows every one that was there throughout exactly once.";
    const EFFECT: Effect = Effect::Read;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Storage];
    type Params = ListParams;
    type Result = Page;

    async fn call(context: Arc<Context>, params: ListParams) -> Result<Page, Error> {
        let (asked, now) = (Asked::of(params.project_id, None, None, None)?, now());
        let begins = params.execution_id.as_ref().map(String::as_bytes);
        // an id may hold whatever ends a cursor's mark
        let also = begins.map_or_else(String::new, |begins| format!("~{:016x}", xxh3_64(begins)));
        let from = params.cursor.as_deref().map(|cursor| {
            let (place, _) = asked.place(&also, cursor, now)?;
            read_place(place).ok_or_else(foreign_cursor)
        });
        let from = from.transpose()?;
        let what = OfTrash {
            project: asked.plain.project.clone(),
            begins: params.execution_id,
        };
        let wanted = Wanted::default();
        let stop = wanted.stop();
        let limit = params.limit.0;
        let page = blocking(&context, move |history| {
            history.trash(&what, from, limit, &stop)
        })
        .await?;
        let last = page.entries.last().filter(|_| page.more);
        let place = last.map(|last| write_place(&page.totals, &last.id));
        let next_cursor = place.map(|place| asked.cursor(&also, &place, now));
        let entries = page.entries.into_iter().map(|found| Entry {
            entry: found.id.to_string(),
            batch: found.id.batch().to_string(),
            project_id: found.id.project().clone(),
            execution_id: found.id.stem(),
            deleted_at: found.id.batch().deleted_at(),
            size_bytes: found.size_bytes,
            summary: found.summary,
        });
        Ok(Page {
            entries: entries.collect(),
            total: page.totals.entries,
            total_bytes: page.totals.bytes,
            next_cursor,
            unreadable: page.totals.unreadable,
        })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "all of it",
                params: json!({}),
                result: samples::trash(),
            },
            Example {
                name: "the deletions of a run",
                params: json!({ "projectId": "website", "executionId": samples::NEW_ID }),
                result: samples::trash(),
            },
            Example {
                name: "a project whose trash is empty",
                params: json!({ "projectId": "docs" }),
                result: json!({
                    "entries": [], "total": 0, "totalBytes": 0, "nextCursor": null,
                    "unreadable": []
                }),
            },
        ]
    }
}

/// What is to go: everything if nothing is said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashEmptyParams")]
pub struct EmptyParams {
    /// Only this project's; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only what was deleted before this moment (RFC 3339).
    pub before: Option<String>,
    /// Only these, 1,000 at most; not beside another param.
    #[schemars(length(max = ENTRIES_MAX))]
    pub entries: Option<Texts>,
    /// Only what one request deleted; not beside another param.
    pub batch: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TrashEmptyResult")]
pub struct Emptied {
    /// How many entries are gone.
    pub emptied: u64,
    /// How many bytes they had.
    pub freed_bytes: u64,
}

/// The method that empties.
pub struct Empty;

impl Method for Empty {
    const NAME: &'static str = "trash/empty";
    const SUMMARY: &'static str = "Removes what was deleted for good.";
    const DESCRIPTION: &'static str = "All of it, or what the params say. What is not there is no \
        error. Only what deletions put there is removed; no link is followed. An error is about \
        what is left: the rest has been removed. Taken back, it stops: what had gone by then is \
        told.";
    const EFFECT: Effect = Effect::ChangeMany;
    const ERRORS: &'static [ErrorKind] = &[ErrorKind::Storage];
    type Params = EmptyParams;
    type Result = Emptied;

    async fn call(context: Arc<Context>, params: EmptyParams) -> Result<Emptied, Error> {
        let before = params.before.map(|text| {
            Millis::parse_rfc3339(&text).ok_or_else(|| {
                Error::params("`before`: expected a date and time as in 2026-01-31T00:00:00Z")
            })
        });
        let before = before.transpose()?;
        let plain = params.project_id.is_none() && before.is_none();
        let what = match (params.entries, params.batch) {
            (None, None) => ToEmpty::Before(params.project_id, before),
            (Some(entries), None) if plain => ToEmpty::Entries(read_entries(&entries.0)?),
            (None, Some(batch)) if plain => ToEmpty::Batch(read_batch(&batch)?),
            _ => {
                return Err(Error::params(
                    "`entries` or `batch` stands alone; drop the other params",
                ));
            }
        };
        let empty = move |history: &History, stop: &Stop| match history.empty_trash(&what, stop)? {
            (done, None) => Ok(done),
            (_, Some(failed)) => Err(failed),
        };
        let done = stopping(&context, empty).await?;
        Ok(Emptied {
            emptied: done.entries,
            freed_bytes: done.freed_bytes,
        })
    }

    fn examples() -> Vec<Example> {
        let bytes = samples::NEW.trim_end().len();
        vec![
            Example {
                name: "all of it",
                params: json!({}),
                result: json!({ "emptied": 1, "freedBytes": bytes }),
            },
            Example {
                name: "what was deleted long ago",
                params: json!({ "projectId": "website", "before": "2025-01-01T00:00:00Z" }),
                result: json!({ "emptied": 0, "freedBytes": 0 }),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written() {
        let last = "a b/1760512600000-00ff8a1be2d49377//x%5Cy.json";
        for projects in [&[][..], &["a b", "1"]] {
            let unreadable = projects.iter().map(|one| ProjectId::parse(one).unwrap());
            let totals = TrashTotals {
                entries: 3,
                bytes: 7,
                unreadable: unreadable.collect(),
            };
            let place = (totals, EntryId::parse(last).unwrap());
            let text = write_place(&place.0, &place.1);
            assert_eq!(read_place(&text), Some(place));
            let beginnings = text.char_indices().map(|(at, _)| &text[..at]);
            let read = beginnings.map(read_place).filter(Option::is_some);
            assert_eq!(read.count(), 0);
        }
        assert_eq!(read_place(&format!("3/7/1/{last}")), None);
    }
}
