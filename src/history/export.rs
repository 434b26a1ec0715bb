//! Many runs as text for other programs: JSON Lines, JSON, or CSV.
//!
//! Which runs is decided at one state of the index, and each of them is one row, whatever happens
//! meanwhile: a record that cannot be given any more, because it has gone, is corrupt or too large,
//! is told by what is known of it. One that the system refuses to read ends the export. Records are read by several threads, some megabytes at a time,
//! and each stands on a line of its own. For those who take it in pieces it is kept which runs are
//! to come.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use super::patience::Pause;
use super::select::Stop;
use super::{History, HistoryError};
use crate::index::{Clock, Index, Instance, Key, Listed, Place, Query};
use crate::model::{Millis, RunKey, Summary};
use crate::store::{ReadError, Record};

/// So many bytes of records are read at a time, or one record.
const READ_BYTES: u64 = 8 << 20;
/// About what a summary has.
const SUMMARY_BYTES: u64 = 512;
/// And so many rows.
const READ_ROWS: usize = 512;
/// By so many threads at most.
const THREADS_MAX: usize = 8;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON value a line.
    Lines,
    /// One JSON array.
    Json,
    /// RFC 4180, with a header; what a spreadsheet would take for a formula begins with `'`.
    Csv,
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The whole record.
    Records,
    /// The summary.
    Summaries,
}

/// A run that is to be a row.
#[derive(Debug)]
pub struct Row {
    key: RunKey,
    started_at: Option<Millis>,
}

impl Row {
    /// Where it stands.
    #[must_use]
    pub fn key(&self) -> Key {
        self.place().to_key()
    }

    fn of(run: &Listed<'_>) -> Option<Self> {
        let started_at = run.started_at();
        run.run_key().map(|key| Self { key, started_at })
    }

    fn place(&self) -> Place<'_> {
        Place::of(self.started_at, &self.key)
    }

    /// About how many bytes it has now.
    fn bytes(&self, index: &Index, written: Written) -> u64 {
        let record = match written.rows {
            Rows::Records => index.stamp(&self.key).map(|(stamp, _)| stamp.size),
            Rows::Summaries => None,
        };
        let record = record.filter(|size| *size <= written.record_max_bytes);
        record.unwrap_or(SUMMARY_BYTES)
    }
}

/// The runs of an export.
#[derive(Debug)]
pub struct Exporting {
    /// In list order.
    pub rows: Vec<Row>,
    /// The state at which they were chosen.
    pub clock: Clock,
}

impl Exporting {
    /// The rows after the run at `after`.
    #[must_use]
    pub fn rest(&self, after: Option<&Key>) -> &[Row] {
        let is_past = |row: &Row| after.is_some_and(|after| row.place() <= after.place());
        let from = self.rows.partition_point(is_past);
        self.rows.get(from..).unwrap_or_default()
    }
}

/// The columns of a CSV file.
const COLUMNS: [&str; 20] = [
    "projectId",
    "id",
    "status",
    "label",
    "model",
    "startedAt",
    "completedAt",
    "duration",
    "costUSD",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "stepCount",
    "retryCount",
    "sizeBytes",
    "updatedAt",
    "error",
    "pinned",
    "tags",
    "note",
];

impl History {
    /// The runs that pass. Some hundred bytes a run. Blocks.
    ///
    /// # Errors
    /// Those of [`History::select`].
    pub fn rows(&self, query: &Query, stop: &Stop) -> Result<Exporting, HistoryError> {
        let take = |run: &Listed<'_>, rows: &mut Vec<_>| rows.extend(Row::of(run));
        let (mut rows, _, clock) = self.take(query, stop, take)?;
        rows.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        Ok(Exporting { rows, clock })
    }

    /// Keeps the runs of an export for its next piece; by what name.
    pub fn keep_export(&self, export: &Arc<Exporting>) -> String {
        let name = format!("{:016x}", Instance::random().0);
        let runs = export.rows.len();
        self.exports
            .keep(&name, Arc::clone(export), runs, Instant::now());
        name
    }

    /// The runs of the export that was kept by this name, if they still are.
    pub fn kept_export(&self, name: &str) -> Option<Arc<Exporting>> {
        self.exports.find(name, Instant::now())
    }

    /// Drops them: the last piece is given.
    pub fn forget_export(&self, export: &Arc<Exporting>) {
        self.exports.forget(export);
    }

    /// Writes `rows` to `out`, or the first of them that have about as many bytes as may be written; how
    /// many. What stands before, between and after them is the caller's. `each` is told how many rows
    /// have been written and may end it. Blocks.
    ///
    /// # Errors
    /// Those of `out`, [`HistoryError::TakenBack`] when it was taken back, and [`HistoryError::Read`] where
    /// the system refuses to read a record.
    pub fn write_rows(
        &self,
        rows: &[Row],
        written: Written,
        out: &mut impl Write,
        stop: &Stop,
        mut each: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<usize, HistoryError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(THREADS_MAX);
        let (mut done, mut left) = (0, written.bytes_max);
        while done < rows.len() {
            self.going(stop)?;
            let rest = rows.get(done..).unwrap_or_default();
            let mut bytes = 0;
            let count = self.index(|index| {
                let some = rest.iter().take(READ_ROWS).take_while(|row| {
                    let first = bytes == 0;
                    let with = bytes + row.bytes(index, written).max(1);
                    let fits = first || with <= READ_BYTES.min(left);
                    bytes = if fits { with } else { bytes };
                    fits
                });
                some.count().max(1)
            });
            if done > 0 && bytes > left {
                break;
            }
            let part = rest.get(..count).unwrap_or_default();
            let texts: Vec<Vec<u8>> = if written.rows == Rows::Summaries {
                vec![self.text_of(part, written, stop)?]
            } else {
                std::thread::scope(|scope| {
                    let workers: Vec<_> = part
                        .chunks(count.div_ceil(threads))
                        .map(|few| scope.spawn(move || self.text_of(few, written, stop)))
                        .collect();
                    let texts = workers.into_iter().map(|worker| {
                        let text = worker.join();
                        text.unwrap_or(Err(HistoryError::Ending))
                    });
                    texts.collect::<Result<_, _>>()
                })?
            };
            let mut len = 0;
            for (at, text) in texts.iter().enumerate() {
                if written.format == Format::Json && (written.after_others || done > 0 || at > 0) {
                    out.write_all(b",\n").map_err(HistoryError::Export)?;
                }
                out.write_all(text).map_err(HistoryError::Export)?;
                len += text.len() as u64;
            }
            done += count;
            left = left.saturating_sub(bytes.max(len));
            if left == 0 || each(done).is_break() {
                break;
            }
        }
        Ok(done)
    }

    /// The rows of some runs.
    fn text_of(
        &self,
        rows: &[Row],
        written: Written,
        stop: &Stop,
    ) -> Result<Vec<u8>, HistoryError> {
        let mut out = Vec::new();
        let summaries: Vec<Option<Summary>> = if written.rows == Rows::Summaries {
            self.index(|index| rows.iter().map(|row| index.summary_of(&row.key)).collect())
        } else {
            vec![None; rows.len()]
        };
        for (at, (row, summary)) in rows.iter().zip(summaries).enumerate() {
            if written.format == Format::Csv {
                csv_line(&row.key, summary.as_ref(), &mut out);
                continue;
            }
            if at > 0 && written.format == Format::Json {
                out.extend_from_slice(b",\n");
            }
            let record = match written.rows {
                Rows::Records => self.record_of(&row.key, written.record_max_bytes, stop)?,
                Rows::Summaries => None,
            };
            match record {
                Some(record) => on_one_line(&record.json, &mut out),
                None => {
                    let known = summary.or_else(|| self.index(|index| index.summary_of(&row.key)));
                    put_summary(&row.key, known.as_ref(), &mut out);
                }
            }
            if written.format == Format::Lines {
                out.push(b'\n');
            }
        }
        Ok(out)
    }

    /// A run's record, if there is one that can be given; if the file of a listed run is away, it is waited
    /// for a moment first.
    fn record_of(
        &self,
        key: &RunKey,
        bytes_max: u64,
        stop: &Stop,
    ) -> Result<Option<Record>, HistoryError> {
        let mut pause = Pause::default();
        loop {
            let error = match self.get_known_within(key, bytes_max) {
                Ok(record) => return Ok(Some(record)),
                Err(error) => error,
            };
            if !self.may_return(key, &error) || !pause.wait() {
                return match error {
                    HistoryError::Read(ReadError::Io { .. }) => Err(error),
                    HistoryError::Read(_) | HistoryError::NotFound(_) => Ok(None),
                    error => Err(error),
                };
            }
            self.going(stop)?;
        }
    }
}

/// How rows are written, and whether others stand before them.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The form.
    pub format: Format,
    /// What they say.
    pub rows: Rows,
    /// Whether rows were written before.
    pub after_others: bool,
    /// Larger records are told by their summaries.
    pub record_max_bytes: u64,
    /// About so many bytes are written, but a row if there is any.
    pub bytes_max: u64,
}

impl Format {
    /// What stands before the first row.
    #[must_use]
    pub fn head(self) -> String {
        match self {
            Self::Lines => String::new(),
            Self::Json => "[\n".to_owned(),
            Self::Csv => format!("{}\r\n", COLUMNS.join(",")),
        }
    }

    /// What stands after the last.
    #[must_use]
    pub fn tail(self) -> &'static str {
        match self {
            Self::Json => "\n]\n",
            Self::Lines | Self::Csv => "",
        }
    }
}

/// Appends a JSON text without its line ends and what indents its lines, which in JSON stand
/// between tokens only.
fn on_one_line(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json.trim_ascii();
    out.reserve(rest.len());
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (line, after) = rest.split_at(at);
        out.extend_from_slice(line);
        rest = after.trim_ascii_start();
    }
    out.extend_from_slice(rest);
}

fn put_summary(key: &RunKey, summary: Option<&Summary>, out: &mut Vec<u8>) {
    let written = match summary {
        Some(summary) => serde_json::to_writer(&mut *out, summary),
        None => serde_json::to_writer(
            &mut *out,
            &serde_json::json!({
                "id": key.execution.as_str(), "projectId": key.project.as_str()
            }),
        ),
    };
    debug_assert!(written.is_ok(), "it is written to memory");
}

/// What a spreadsheet may take for the beginning of a formula; the wide ones where people write East
/// Asian languages.
const FORMULAS: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// A cell that no spreadsheet takes for a formula, and no reader for the end of the text.
fn safe(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    match text.starts_with(FORMULAS) {
        true => format!("'{text}"),
        false => text,
    }
}

fn csv_line(key: &RunKey, summary: Option<&Summary>, out: &mut Vec<u8>) {
    fn spelt(value: Option<impl std::fmt::Display>) -> String {
        value.map_or(String::new(), |value| value.to_string())
    }
    let date = |at: Option<crate::model::Millis>| {
        at.map_or(String::new(), |at| {
            String::from_utf8_lossy(&at.date()).into_owned()
        })
    };
    let text = |text: Option<&String>| text.map_or(String::new(), |text| safe(text));
    let mut cells = vec![safe(key.project.as_str()), safe(key.execution.as_str())];
    if let Some(summary) = summary {
        let tokens = summary.token_usage;
        cells.extend([
            text(summary.status.as_ref()),
            text(summary.label.as_ref()),
            text(summary.model.as_ref()),
            date(summary.started_at),
            date(summary.completed_at),
            spelt(
                summary
                    .duration
                    .map(|took| took.spelling().as_str().to_owned()),
            ),
            spelt(summary.cost_usd),
            spelt(tokens.input),
            spelt(tokens.output),
            spelt(tokens.total),
            summary.step_count.to_string(),
            spelt(summary.retry_count),
            summary.size_bytes.to_string(),
            date(Some(summary.updated_at)),
            text(summary.error.as_ref()),
            spelt(summary.pinned.then_some(true)),
            // a tag may hold any sign that could stand between two
            match summary.tags.as_slice() {
                [] => String::new(),
                tags => serde_json::to_string(tags).unwrap_or_default(),
            },
            text(summary.note.as_ref()),
        ]);
    }
    cells.resize(COLUMNS.len(), String::new());
    let mut line = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out);
    let written = line.write_record(&cells).and_then(|()| Ok(line.flush()?));
    debug_assert!(written.is_ok(), "it is written to memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::io::Errno;

    use super::*;
    use crate::history::{Options, Wanted};
    use crate::index::Filter;
    use crate::model::{ExecutionId, ProjectId};
    use crate::store::Expect;
    use crate::store::tests::steps::refusing_to_open;

    #[test]
    fn a_cell_is_no_formula_and_has_no_zero_byte() {
        for (text, cell) in [
            ("a=1", "a=1"),
            ("=1", "'=1"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\u{ff0b}1", "'\u{ff0b}1"),
            ("\u{ff0d}1", "'\u{ff0d}1"),
            ("\u{ff20}x", "'\u{ff20}x"),
            ("a\0b", "a\u{fffd}b"),
            ("\0=1", "\u{fffd}=1"),
        ] {
            assert_eq!(safe(text), cell, "{text:?}");
        }
    }

    fn ground(runs: usize) -> (tempfile::TempDir, History) {
        let root = tempfile::tempdir().unwrap();
        let history = History::new(root.path().to_owned(), Options::default());
        for at in 0..runs {
            history
                .save(&key(at), &record(10), &Expect::Anything)
                .unwrap();
        }
        (root, history)
    }

    fn key(at: usize) -> RunKey {
        RunKey {
            project: ProjectId::parse("p").unwrap(),
            execution: ExecutionId::parse(&format!("x{at}")).unwrap(),
        }
    }

    fn record(bytes: usize) -> String {
        format!(r#"{{"output":"{}"}}"#, "-".repeat(bytes))
    }

    const PIECE: Written = Written {
        format: Format::Lines,
        rows: Rows::Records,
        after_others: false,
        record_max_bytes: 10_000,
        bytes_max: 25_000,
    };

    fn lines(history: &History, rows: &[Row]) -> Result<Vec<String>, HistoryError> {
        let (mut out, wanted) = (Vec::new(), Wanted::default());
        let go_on = |_| ControlFlow::Continue(());
        let count = history.write_rows(rows, PIECE, &mut out, &wanted.stop(), go_on)?;
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
        assert_eq!(lines.len(), count);
        Ok(lines)
    }

    fn rows(history: &History) -> Vec<Row> {
        let wanted = Wanted::default();
        let all = Filter::default().into();
        history.rows(&all, &wanted.stop()).unwrap().rows
    }

    #[test]
    fn a_piece_has_as_many_bytes_as_it_may_however_its_records_grew() {
        let (_root, history) = ground(20);
        let rows = rows(&history);
        assert_eq!(lines(&history, &rows).unwrap().len(), 20);
        for at in 0..20 {
            let bytes = if at == 0 { 20_000 } else { 9_000 };
            history
                .save(&key(at), &record(bytes), &Expect::Anything)
                .unwrap();
        }
        let grown = lines(&history, &rows).unwrap();
        // the first is told by its summary
        assert!(grown[0].contains("\"sizeBytes\":20"), "{}", grown[0]);
        let bytes: usize = grown.iter().map(String::len).sum();
        assert!((15_000..25_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_the_system_does_not_give_ends_an_export() {
        let (root, history) = ground(1);
        let rows = rows(&history);
        let file = root.path().join("p/executions/x0.json");
        // what is no record is told by its summary
        std::fs::write(&file, "{").unwrap();
        let torn = lines(&history, &rows).unwrap();
        assert!(torn[0].contains("\"sizeBytes\""), "{}", torn[0]);
        std::fs::write(&file, record(10)).unwrap();
        let wanted = Wanted::default();
        for errno in [Errno::MFILE, Errno::IO] {
            let text = || history.text_of(&rows, PIECE, &wanted.stop());
            let refused = refusing_to_open(errno, text);
            assert!(matches!(refused, Err(HistoryError::Read(_))), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn a_record_on_one_line_says_the_same(text in "\\PC{0,30}|[\\x00-\\x7f]{0,30}", number: i64) {
            let value = serde_json::json!({ "a": [{ "b": text, "c": [number, {}] }], "d": [] });
            let pretty = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n\t ");
            let mut line = Vec::new();
            on_one_line(format!(" {pretty}\n").as_bytes(), &mut line);
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
