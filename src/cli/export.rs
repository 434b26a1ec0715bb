//! `runlog export`: many runs as JSON Lines, JSON or CSV, to a file or to stdout.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rustix::fs::{Mode, OFlags};
use serde_json::json;

use super::Failure;
use super::args::{Common, FilterArgs, JsonArgs, LIMIT_MAX, Params, tell_near_status};
use super::client::Client;
use super::interrupt::Interrupts;
use super::root::Place;
use super::terminal::{Out, visible, visible_lines};
use super::time::{bytes, grouped};
use crate::api::executions::export::PIECE_BYTES_MAX;
use crate::history::RECORD_LIMIT_BYTES;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub common: Common,
    /// The file to write, at which nothing may be; stdout if absent or `-`
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// How rows are written; otherwise as the file's name says, or JSON Lines
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What a row says; whole records if absent, but in CSV
    #[arg(long, value_enum)]
    rows: Option<Rows>,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Jsonl,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rows {
    /// What the files say
    Records,
    /// What lists say
    Summaries,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

pub(super) async fn run(args: &ExportArgs, client: &mut Client) -> Result<u8, Failure> {
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let named = file.and_then(Format::of);
    let format = args.format.or(named).unwrap_or(Format::Jsonl);
    let of_records = !matches!(
        (format, args.rows),
        (Format::Csv, _) | (_, Some(Rows::Summaries))
    );
    let mut params = args.filter.params()?;
    let filter = params.clone();
    params.insert("format".into(), format.word().into());
    if let Some(rows) = args.rows {
        let rows = match rows {
            Rows::Records => "records",
            Rows::Summaries => "summaries",
        };
        params.insert("rows".into(), rows.into());
    }
    client.doing = "Exporting";
    match file {
        Some(file) => {
            args.common.json.check("executions/export", None)?;
            let shown = visible(&file.display().to_string());
            if file.as_os_str().as_bytes().ends_with(b"/") || file.file_name().is_none() {
                return Err(Failure::Usage(format!("{shown} is no name of a file")));
            }
            if file
                .metadata()
                .is_ok_and(|found| !found.is_file() && !found.is_dir())
            {
                let what = "is no file; without FILE, or with `-`, rows go to stdout";
                return Err(Failure::Usage(format!("{shown} {what}")));
            }
            match to_file(file, params, &args.common.json, client).await? {
                0 if of_records => left_out(&filter, client).await,
                status => Ok(status),
            }
        }
        None if args.common.json.wanted() => Err(Failure::Usage(
            "--json tells of a FILE that was written; without one, the rows are the output: \
             say --format json or jsonl"
                .to_owned(),
        )),
        None => {
            // by itself first: in brackets it could be something else
            let count = client.ask("executions/count", filter.clone()).await?;
            if count.at("count").count() == 0 {
                tell_near_status(&filter);
            }
            // of these a piece says only what lists say
            if of_records && larger(PIECE_BYTES_MAX, 1, &filter, client).await? > 0 {
                return match by_file(params, client).await? {
                    0 => left_out(&filter, client).await,
                    status => Ok(status),
                };
            }
            to_stdout(format, params, count.at("count").count(), client).await
        }
    }
}

/// How many of the runs that pass `filter`, at most so many, have more bytes. The filter stays as it is:
/// with more in it it could be one too long.
async fn larger(
    size_bytes: u64,
    at_most: u32,
    filter: &Params,
    client: &mut Client,
) -> Result<usize, Failure> {
    let mut params = filter.clone();
    params.insert("sort".into(), "-sizeBytes".into());
    params.insert("fields".into(), json!(["sizeBytes"]));
    params.insert("limit".into(), at_most.into());
    let list = client.ask("executions/list", params).await?;
    let runs = list.at("executions").items().iter();
    let are_larger = runs.filter(|run| run.at("sizeBytes").count() > size_bytes);
    Ok(are_larger.count())
}

/// Says how many records are too large to be written, whose summaries stand in their place; the status
/// to exit with.
async fn left_out(filter: &Params, client: &mut Client) -> Result<u8, Failure> {
    let count = larger(RECORD_LIMIT_BYTES, LIMIT_MAX, filter, client).await?;
    let runs = if count == 1 { "run" } else { "runs" };
    if count > 0 {
        tell!(
            "runlog: records larger than {} are not written, but what lists say of them: {} {runs}",
            bytes(RECORD_LIMIT_BYTES),
            grouped(&count.to_string())
        );
    }
    Ok(u8::from(count > 0))
}

/// By way of a file of nobody else's: whole, however large its rows are. The status to exit with.
async fn by_file(mut params: Params, client: &mut Client) -> Result<u8, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rows");
    let Some(text) = path.to_str() else {
        return Err(Failure::Usage("TMPDIR is no UTF-8".to_owned()));
    };
    params.insert("path".into(), text.into());
    if let Err(status) = written(params, client).await? {
        return Ok(status);
    }
    let mut rows = BufReader::new(File::open(&path)?);
    // whatever ends this, nothing is left behind
    drop(folder);
    let (out, mut row) = (Out::stdout(), String::new());
    while rows.read_line(&mut row)? > 0 {
        out.print_json(&row)?;
        row.clear();
    }
    Ok(0)
}

/// What is said of the file that was written; the status to exit with where somebody interrupted it:
/// whoever writes it takes back what is there.
async fn written(params: Params, client: &mut Client) -> Result<Result<String, u8>, Failure> {
    let interrupts = Interrupts::new();
    let answer = interrupts
        .answer(client, "executions/export", params)
        .await?;
    Ok(answer.ok_or_else(|| {
        tell!("runlog: nothing was written");
        interrupts.status(1)
    }))
}

async fn to_file(
    file: &std::path::Path,
    mut params: Params,
    json: &JsonArgs,
    client: &mut Client,
) -> Result<u8, Failure> {
    let here = Place::of_process(Some(file))?.here;
    let path = std::path::absolute(here.join(file))?;
    let Some(path) = path.to_str() else {
        return Err(Failure::Usage("the file's path is no UTF-8".to_owned()));
    };
    params.insert("path".into(), path.into());
    let answer = match written(params, client).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => return Ok(status),
        Err(failure) => return Err(failure.naming("`path`", &file.display().to_string())),
    };
    // where that cannot be it stays as whoever wrote it made it
    let _ = share(file);
    json.print(&answer, None, |_| String::new())?;
    let answer = super::json::Json::read(&answer);
    let rows = answer.at("rows");
    let runs = if rows.count() == 1 { "run" } else { "runs" };
    let rows = grouped(&rows.to_string());
    let size = bytes(answer.at("bytes").count());
    tell!("runlog: {rows} {runs}, {size}, in {path}");
    Ok(0)
}

/// Gives a file the mode that a new one of this process has: a daemon that wrote it has a umask of its
/// own.
fn share(file: &Path) -> std::io::Result<()> {
    // there is no other way to read it
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask);
    // no other that somebody put into its place
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(file, flags, Mode::empty())?;
    Ok(rustix::fs::fchmod(
        file,
        Mode::from_raw_mode(0o666) - umask,
    )?)
}

/// In pieces, so that neither side holds much.
async fn to_stdout(
    format: Format,
    mut params: Params,
    count: u64,
    client: &mut Client,
) -> Result<u8, Failure> {
    let out = Out::stdout();
    let bar = client.bar(count);
    let mut done = 0;
    loop {
        let piece = client.ask("executions/export", params.clone()).await?;
        let text = piece.at("text").word();
        match format {
            // what a terminal shows is not read back
            Format::Csv if out.is_terminal() => out.print(&visible_lines(text))?,
            Format::Csv => out.print(text)?,
            Format::Json | Format::Jsonl => out.print_json(text)?,
        }
        done += piece.at("rows").count();
        bar.reached(done);
        match piece.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => return Ok(0),
        }
    }
}
