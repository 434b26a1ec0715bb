//! `executions/export`: many runs as text for other programs.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, foreign_cursor, now};
use super::list::{read_place, write_place};
use super::{Statuses, blocking, prepare};
use crate::api::progress::{Steps, here};
use crate::api::table::{Effect, Example, Method, Weight};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{self, HistoryError, RECORD_LIMIT_BYTES, RowsWritten, Wanted};
use crate::index::{Key, SortedKey};
use crate::model::Millis;
use crate::model::ProjectId;
use crate::store::{Claim, Target};

/// How large a piece is if nobody says.
const PIECE_BYTES: u64 = 1 << 20;
/// And at most.
pub(crate) const PIECE_BYTES_MAX: u64 = 16 << 20;
/// How many rows a piece has at most.
const PIECE_ROWS: usize = 1000;

/// Which runs, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExportParams")]
pub struct Params {
    /// How rows are written.
    pub format: Format,
    /// What a row says: `records` where that is absent, but in CSV.
    pub rows: Option<Rows>,
    /// The file to write, absolute; nothing may be there. If absent, the answer holds a piece of
    /// the text.
    pub path: Option<PathBuf>,
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// How large a piece is, in bytes of its text: 1 MiB if absent, 16 MiB at most. A row is given
    /// whatever its size, but a record of more than 16 MiB is told by its summary in a piece.
    #[schemars(range(min = 1, max = PIECE_BYTES_MAX))]
    pub max_bytes: Option<u64>,
    /// `nextCursor` of the piece before; the other params must be the same.
    pub cursor: Option<String>,
    /// Everything done to the files before the request is in the answer.
    pub sync: Option<bool>,
    /// Answer at once while the first index is being built.
    pub allow_partial: Option<bool>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ExportFormat")]
pub enum Format {
    /// JSON Lines: a JSON value a line.
    Jsonl,
    /// One JSON array.
    Json,
    /// RFC 4180 with a header; a cell that a spreadsheet would take for a formula begins with an
    /// apostrophe. `pinned` is `true` or empty, `tags` is a JSON array or empty.
    Csv,
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ExportRows")]
pub enum Rows {
    /// The whole record, as its file has it.
    Records,
    /// The summary.
    Summaries,
}

/// What was written.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExportResult")]
pub struct Exported {
    /// How many runs it holds. In a file: all that match at `clock`.
    pub rows: usize,
    /// How many bytes it has.
    pub bytes: u64,
    /// A piece; those of all answers, one after the other, are the whole. Without `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Pass it as `cursor` for the next piece; null at the end.
    pub next_cursor: Option<String>,
    /// The state at which the runs were chosen. That of all pieces, unless the daemon had to choose
    /// anew: then those of the pieces before may be of another.
    pub clock: Clock,
    /// False only with `allowPartial`, while runs may be missing.
    pub complete: bool,
}

/// The method.
pub struct Export;

impl Method for Export {
    const NAME: &'static str = "executions/export";
    const SUMMARY: &'static str = "Writes many runs as JSON Lines, JSON or CSV.";
    const DESCRIPTION: &'static str = "To a file, which is there whole or not at all, with \
        `$/progress`; or in pieces over the wire. In list order. Which runs is decided at one \
        clock, the answer's, at which `rows`, of all pieces together, is what executions/count \
        counts. For the next piece it is remembered for a quarter of an hour, of many exports at \
        once the latest; where it is not any more, as after a new start of the daemon, the next \
        piece goes on from the place of the one before with the runs of then, and says so by \
        another `clock`. A record that cannot be given any more is told by its summary. Costs \
        reading the records.";
    const EFFECT: Effect = Effect::Read;
    const WEIGHT: Weight = Weight::Records;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::QueryTooExpensive,
        ErrorKind::AlreadyExists,
        ErrorKind::StorageFull,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Exported;

    async fn call(context: Arc<Context>, params: Params) -> Result<Exported, Error> {
        let asked = Asked::of(
            params.project_id,
            params.status,
            params.filter.as_deref(),
            params.timezone.as_deref(),
        )?;
        let format = match params.format {
            Format::Jsonl => history::Format::Lines,
            Format::Json => history::Format::Json,
            Format::Csv => history::Format::Csv,
        };
        let rows = match (params.rows, params.format) {
            (Some(Rows::Records), Format::Csv) => {
                let message = "`rows`: a CSV file has summaries; take jsonl for whole records";
                return Err(Error::params(message));
            }
            (Some(Rows::Summaries), _) | (None, Format::Csv) => history::Rows::Summaries,
            (Some(Rows::Records) | None, _) => history::Rows::Records,
        };
        let piece = params.max_bytes.unwrap_or(PIECE_BYTES);
        if !(1..=PIECE_BYTES_MAX).contains(&piece) {
            let message = format!("`maxBytes`: expected 1 to {PIECE_BYTES_MAX}");
            return Err(Error::params(message));
        }
        if let Some(path) = &params.path {
            if params.cursor.is_some() || params.max_bytes.is_some() {
                let message = "`path`: a file is written whole; drop `cursor` and `maxBytes`";
                return Err(Error::params(message));
            }
            if !path.is_absolute() || path.file_name().is_none() {
                return Err(Error::params("`path`: expected an absolute path of a file"));
            }
        }
        let project = asked.plain.project.as_ref();
        let complete = prepare(&context, project, params.sync, params.allow_partial).await?;
        let written = RowsWritten {
            format,
            rows,
            after_others: params.cursor.is_some(),
            record_max_bytes: match params.path {
                Some(_) => RECORD_LIMIT_BYTES,
                None => PIECE_BYTES_MAX,
            },
            bytes_max: match params.path {
                Some(_) => u64::MAX,
                None => piece,
            },
        };
        match params.path {
            Some(path) => to_file(&context, &asked, written, path, complete).await,
            None => a_piece(&context, &asked, written, params.cursor, complete).await,
        }
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "the summaries of a project's cancelled runs, of which there are none",
                params: json!({ "format": "csv", "projectId": "docs", "status": "cancelled" }),
                result: samples::exported(),
            },
            Example {
                name: "no run at all",
                params: json!({ "format": "json", "projectId": "nowhere" }),
                result: json!({
                    "rows": 0, "bytes": 5, "text": "[\n\n]\n", "nextCursor": null,
                    "clock": samples::CLOCK, "complete": true
                }),
            },
        ]
    }
}

async fn to_file(
    context: &Context,
    asked: &Asked,
    written: RowsWritten,
    path: PathBuf,
    complete: bool,
) -> Result<Exported, Error> {
    let query = asked.every(now());
    let teller = here();
    let wanted = Wanted::default();
    let stop = wanted.stop();
    // who is told that it was cancelled finds no file
    let claim = Claim::default();
    let claimed = claim.claimed();
    let exported = blocking(context, move |history| {
        // refused before anything is read
        let mut target = Target::create(&path, &claimed).map_err(HistoryError::Export)?;
        let export = history.rows(&query, &stop)?;
        let total = export.rows.len() as u64;
        let mut out = BufWriter::with_capacity(1 << 18, target.file());
        let put = |out: &mut dyn Write, text: &str| {
            out.write_all(text.as_bytes()).map_err(HistoryError::Export)
        };
        put(&mut out, &written.format.head())?;
        history.write_rows(&export.rows, written, &mut out, &stop, |done| {
            let done = done as u64;
            teller.tell(Steps { done, total });
            ControlFlow::Continue(())
        })?;
        put(&mut out, written.format.tail())?;
        out.flush().map_err(HistoryError::Export)?;
        drop(out);
        let bytes = target
            .file()
            .metadata()
            .map_err(HistoryError::Export)?
            .len();
        target.finish().map_err(HistoryError::Export)?;
        Ok(Exported {
            rows: export.rows.len(),
            bytes,
            text: None,
            next_cursor: None,
            clock: Clock(export.clock),
            complete,
        })
    })
    .await?;
    claim.keep();
    Ok(exported)
}

async fn a_piece(
    context: &Context,
    asked: &Asked,
    written: RowsWritten,
    cursor: Option<String>,
    complete: bool,
) -> Result<Exported, Error> {
    let (mut now, mut name, mut after) = (now(), None, None);
    if let Some(cursor) = cursor {
        let (kept, key);
        (kept, key, now) = read_piece_cursor(&cursor, asked, written, now)?;
        (name, after) = (Some(kept), Some(key));
    }
    let query = asked.every(now);
    let wanted = Wanted::default();
    let stop = wanted.stop();
    let (text, rows, next, clock) = blocking(context, move |history| {
        let kept = name.and_then(|name| Some((history.kept_export(&name)?, name)));
        let (export, name) = match kept {
            Some((export, name)) => (export, Some(name)),
            None => (Arc::new(history.rows(&query, &stop)?), None),
        };
        let rest = export.rest(after.as_ref());
        let most = rest.get(..PIECE_ROWS).unwrap_or(rest);
        let mut text = Vec::new();
        if !written.after_others {
            text.extend_from_slice(written.format.head().as_bytes());
        }
        let count = history.write_rows(most, written, &mut text, &stop, |_| {
            ControlFlow::Continue(())
        })?;
        let last = rest.get(..count).and_then(<[_]>::last);
        let next = match last.filter(|_| count < rest.len()) {
            Some(last) => {
                let name = name.unwrap_or_else(|| history.keep_export(&export));
                Some((name, last.key()))
            }
            None => {
                text.extend_from_slice(written.format.tail().as_bytes());
                history.forget_export(&export);
                None
            }
        };
        Ok((text, count, next, export.clock))
    })
    .await?;
    Ok(Exported {
        rows,
        bytes: text.len() as u64,
        // records and summaries are UTF-8, and rows are cut nowhere else
        text: Some(String::from_utf8(text).unwrap_or_default()),
        next_cursor: next.map(|(name, key)| write_piece_cursor(&name, key, asked, written, now)),
        clock: Clock(clock),
        complete,
    })
}

/// What tells a piece's cursors from those of pieces that are written in another way.
fn mark(written: RowsWritten) -> String {
    format!("!{:?}.{:?}", written.format, written.rows)
}

/// Where the next piece begins, of the runs that are kept by this name.
fn write_piece_cursor(
    name: &str,
    key: Key,
    asked: &Asked,
    written: RowsWritten,
    now: Millis,
) -> String {
    let place = write_place(&SortedKey { number: None, key }, false);
    format!("{name}/{}", asked.cursor(&mark(written), &place, now))
}

fn read_piece_cursor(
    cursor: &str,
    asked: &Asked,
    written: RowsWritten,
    now: Millis,
) -> Result<(String, Key, Millis), Error> {
    let (name, rest) = cursor.split_once('/').ok_or_else(foreign_cursor)?;
    let (place, moment) = asked.place(&mark(written), rest, now)?;
    let key = read_place(place, false).ok_or_else(foreign_cursor)?;
    Ok((name.to_owned(), key.key, moment))
}
