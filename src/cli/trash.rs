//! `runlog trash`: what was deleted, and having it back.

use clap::Args;
use serde_json::{Value, json};

use super::args::{JsonArgs, LimitArgs, Params, ZoneArgs, answered, which};
use super::ask::SureArgs;
use super::client::Client;
use super::interrupt::Interrupts;
use super::json::Json;
use super::table::{Cell, Column, Table};
use super::terminal::{status_paint, visible};
use super::time::{bytes, grouped};
use super::{Failure, RootArgs};

/// How many entries are named in one request.
const AT_ONCE: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct TrashArgs {
    #[command(flatten)]
    pub root: RootArgs,
    // without one, what was deleted is listed
    #[command(subcommand)]
    what: Option<Trash>,
}

#[derive(Debug, clap::Subcommand)]
enum Trash {
    /// List what was deleted and can be restored, the latest first
    List(ListArgs),
    /// Put deleted runs back
    Restore(RestoreArgs),
    /// Remove what was deleted for good
    Empty(EmptyArgs),
}

#[derive(Debug, Default, Args)]
struct ListArgs {
    #[command(flatten)]
    json: JsonArgs,
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    #[command(flatten)]
    json: JsonArgs,
    /// What `trash list` calls ENTRY, or RUN where there is no room for that, or a run's id or the
    /// beginning of it; of a run the latest deletion is meant
    #[arg(
        value_name = "ENTRY",
        required_unless_present = "batch",
        conflicts_with = "batch",
        add = super::complete::trashed()
    )]
    entries: Vec<String>,
    /// All that one command deleted
    #[arg(long, value_name = "BATCH", add = super::complete::batches())]
    batch: Option<String>,
}

#[derive(Debug, Args)]
struct EmptyArgs {
    #[command(flatten)]
    json: JsonArgs,
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    /// Only what was deleted so long ago, as in 30d
    #[arg(long, value_name = "SPAN", value_parser = crate::model::read_span)]
    older_than: Option<std::time::Duration>,
    #[command(flatten)]
    sure: SureArgs,
}

pub(super) async fn run(args: &TrashArgs, client: &mut Client) -> Result<u8, Failure> {
    match &args.what {
        None => list(&ListArgs::default(), client).await,
        Some(Trash::List(args)) => list(args, client).await,
        Some(Trash::Restore(args)) => restore(args, client).await,
        Some(Trash::Empty(args)) => empty(args, client).await,
    }
}

fn of_project(project: Option<&str>) -> Params {
    let mut params = Params::new();
    if let Some(project) = project {
        params.insert("projectId".into(), project.into());
    }
    params
}

async fn list(args: &ListArgs, client: &mut Client) -> Result<u8, Failure> {
    let clock = args.zone.clock()?;
    let mut params = of_project(args.project.as_deref());
    params.insert("limit".into(), args.limit.limit.into());
    let (json, rows) = (&args.json, Some("entries"));
    answered(client, "trash/list", params, json, rows, |result, out| {
        let mut table = Table::new([
            Column::new("DELETED"),
            Column::numbers("SIZE").leaving(2),
            Column::new("STATUS").cut_to(9).leaving(3),
            Column::new("LABEL").cut_to(12).leaving(1),
            Column::new("ENTRY"),
            // of which the latest deletion is meant
            Column::new("RUN").standing_in(),
        ]);
        for entry in result.at("entries").items() {
            let (deleted, size) = (entry.at("deletedAt").word(), entry.at("sizeBytes"));
            let run = entry.at("summary");
            let status = run.at("status").word();
            table.row([
                Cell::both(super::list::relative(&clock, deleted), deleted),
                Cell::both(bytes(size.count()), size.to_string()),
                Cell::new(status).painted(status_paint(status)),
                Cell::new(run.at("label").word()),
                Cell::new(entry.at("entry").word()),
                Cell::new(format!(
                    "{}/{}",
                    entry.at("projectId").word(),
                    entry.at("executionId").word()
                )),
            ]);
        }
        tell_unreadable(result);
        let mut text = table.text(out);
        if out.is_terminal() {
            let total = grouped(&result.at("total").to_string());
            let size = bytes(result.at("totalBytes").count());
            text.push_str(&format!("{total} in the trash, {size}\n"));
        }
        text
    })
    .await
}

/// Names the projects of which an answer has nothing.
fn tell_unreadable(answer: &Json) {
    for project in answer.at("unreadable").items() {
        let project = visible(project.word());
        tell!("runlog: the trash of project {project} cannot be read");
    }
}

/// All entries of the trash, the latest deletion first.
async fn entries(client: &mut Client, project: Option<&str>) -> Result<Vec<Json>, Failure> {
    let mut params = of_project(project);
    params.insert("limit".into(), AT_ONCE.into());
    let mut entries = Vec::new();
    loop {
        let page = client.ask("trash/list", params.clone()).await?;
        if entries.is_empty() {
            tell_unreadable(&page);
        }
        entries.extend_from_slice(page.at("entries").items());
        match page.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => return Ok(entries),
        }
    }
}

async fn restore(args: &RestoreArgs, client: &mut Client) -> Result<u8, Failure> {
    args.json.check("executions/restore", Some("restored"))?;
    client.doing = "Restoring";
    let mut params = Params::new();
    match &args.batch {
        Some(batch) => drop(params.insert("batch".into(), batch.as_str().into())),
        None => {
            let mut named = Vec::new();
            for entry in &args.entries {
                // a run is PROJECT/ID at most
                named.push(match entry.matches('/').count() {
                    0 | 1 => latest(entry, client).await?,
                    _ => entry.clone(),
                });
            }
            params.insert("entries".into(), json!(named));
        }
    }
    let result = client.text("executions/restore", params).await?;
    let answer = Json::read(&result);
    let name = |run: &Json| {
        visible(&format!(
            "{}/{}",
            run.at("projectId").word(),
            run.at("executionId").word()
        ))
    };
    tell_unreadable(&answer);
    let restored = answer.at("restored").items();
    let count = answer.at("count").count();
    let stay = answer.at("skippedCount").count();
    if let (Some(batch), 0) = (&args.batch, count + stay) {
        let batch = visible(batch);
        return Err(Failure::Failed(format!("the trash has no batch {batch}")));
    }
    for run in answer.at("skipped").items() {
        tell!(
            "runlog: {} stays in the trash: there is such a run by now",
            name(run)
        );
    }
    if count > restored.len() as u64 {
        tell!(
            "runlog: {} runs are back in all",
            grouped(&count.to_string())
        );
    }
    // last: what was done is told also where nobody reads this
    args.json.print(&result, Some("restored"), |_| {
        let lines = restored.iter().map(|run| format!("{}\n", name(run)));
        lines.collect()
    })?;
    Ok(u8::from(stay > 0))
}

/// The latest deletion of the run that somebody means.
async fn latest(run: &str, client: &mut Client) -> Result<String, Failure> {
    let wanted = which(run, None);
    let word = |name: &str| wanted.get(name).and_then(Value::as_str);
    let id = word("executionId").unwrap_or_default();
    let entries = entries(client, word("projectId")).await?;
    let mut meant: Vec<(String, &Json)> = Vec::new();
    for entry in &entries {
        let name = entry.at("executionId").word();
        let key = format!("{}/{name}", entry.at("projectId").word());
        if name.starts_with(id) && !meant.iter().any(|(held, _)| *held == key) {
            meant.push((key, entry));
        }
    }
    let exact = |(key, _): &&(String, &Json)| key.rsplit('/').next() == Some(id);
    let exact: Vec<_> = meant.iter().filter(exact).collect();
    match (exact.as_slice(), meant.as_slice()) {
        ([(_, only)], _) | ([], [(_, only)]) => Ok(only.at("entry").word().to_owned()),
        (_, []) => Err(Failure::Failed(format!(
            "the trash has no run whose id is, or begins with, {id}"
        ))),
        _ => {
            let names: Vec<String> = meant.iter().map(|(key, _)| visible(key)).collect();
            let message = format!("{id} may mean several runs:\n  {}", names.join("\n  "));
            Err(Failure::Failed(message))
        }
    }
}

async fn empty(args: &EmptyArgs, client: &mut Client) -> Result<u8, Failure> {
    args.json.check("trash/empty", None)?;
    let found = entries(client, args.project.as_deref()).await?;
    let before = args.older_than.and_then(|span| {
        let now = std::time::SystemTime::now();
        let at = crate::model::Millis::from_system(now.checked_sub(span)?);
        Some(String::from_utf8_lossy(&at.date()).into_owned())
    });
    let goes = |entry: &&Json| match &before {
        // both are spelt alike
        Some(before) => entry.at("deletedAt").word() < before.as_str(),
        None => true,
    };
    let going: Vec<&Json> = found.iter().filter(goes).collect();
    if going.is_empty() {
        tell!("runlog: nothing of that is in the trash");
        args.json.print(&emptied(0, 0), None, |_| String::new())?;
        return Ok(0);
    }
    let size: u64 = going
        .iter()
        .map(|entry| entry.at("sizeBytes").count())
        .sum();
    let runs = if going.len() == 1 { "run" } else { "runs" };
    let count = grouped(&going.len().to_string());
    let what = format!("Remove {count} deleted {runs}, {}, for good", bytes(size));
    if !args.sure.agreed(&what)? {
        return Ok(1);
    }
    let (mut count, mut freed) = (0, 0);
    let interrupts = Interrupts::new();
    // by their names: what was deleted while it was asked was not agreed to
    for some in going.chunks(AT_ONCE) {
        let named: Vec<&str> = some.iter().map(|entry| entry.at("entry").word()).collect();
        let mut params = Params::new();
        params.insert("entries".into(), json!(named));
        let answer = interrupts.answer(client, "trash/empty", params).await;
        let answer = answer.inspect_err(|_| removed(count, freed))?;
        let answer = answer.map_or(Json::Null, |text| Json::read(&text));
        count += answer.at("emptied").count();
        freed += answer.at("freedBytes").count();
        if interrupts.came() {
            break;
        }
    }
    removed(count, freed);
    let status = interrupts.status(0);
    drop(interrupts);
    args.json
        .print(&emptied(count, freed), None, |_| String::new())?;
    Ok(status)
}

fn removed(count: u64, freed: u64) {
    let count = grouped(&count.to_string());
    tell!("runlog: {count} removed, {} freed", bytes(freed));
}

/// What one request that removes so much would answer.
fn emptied(count: u64, freed: u64) -> String {
    json!({ "emptied": count, "freedBytes": freed }).to_string()
}
