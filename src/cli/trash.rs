//! `runlog trash`: what was deleted, and having it back.

use std::collections::{BTreeSet, HashSet};

use clap::Args;
use serde_json::{Value, json};

use super::args::{CANDIDATES, JsonArgs, LimitArgs, Params, ZoneArgs, answered, which};
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
    #[command(flatten)]
    list: ListArgs,
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

#[derive(Debug, Args)]
#[command(after_help = "In a pipe, a line a deletion: deletedAt, sizeBytes, status, label, entry")]
struct ListArgs {
    #[command(flatten)]
    json: JsonArgs,
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects_with_trash())]
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
    /// What `trash list` calls ENTRY, or RUN where there is no room for that, or a run's id; of a run
    /// the latest deletion is meant
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
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects_with_trash())]
    project: Option<String>,
    /// Only what was deleted so long ago, as in 30d
    #[arg(long, value_name = "SPAN", value_parser = crate::model::read_span)]
    older_than: Option<std::time::Duration>,
    #[command(flatten)]
    sure: SureArgs,
}

pub(super) async fn run(args: &TrashArgs, client: &mut Client) -> Result<u8, Failure> {
    match &args.what {
        None => list(&args.list, client).await,
        Some(_) if !args.list.is_plain() => {
            let message = "say --json, --project, --timezone and --limit behind the command";
            Err(Failure::Usage(message.to_owned()))
        }
        Some(Trash::List(args)) => list(args, client).await,
        Some(Trash::Restore(args)) => restore(args, client).await,
        Some(Trash::Empty(args)) => empty(args, client).await,
    }
}

impl ListArgs {
    /// Whether nothing is said.
    fn is_plain(&self) -> bool {
        let Self {
            json,
            project,
            zone,
            limit,
        } = self;
        !json.wanted() && project.is_none() && zone.timezone.is_none() && !limit.is_given()
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
    params.insert("limit".into(), args.limit.count().into());
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
        let (shown, total) = (result.at("entries").items().len(), result.at("total"));
        let size = bytes(result.at("totalBytes").count());
        let all = format!("{} in the trash, {size}", grouped(&total.to_string()));
        if (shown as u64) < total.count() {
            let what = format!("{} of {all}", grouped(&shown.to_string()));
            let others = "-p says of which project";
            args.limit.tell_more(&what, others, out, &mut text);
        } else if out.is_terminal() {
            text.push_str(&format!("{all}\n"));
        }
        text
    })
    .await
}

/// Names the projects of which an answer has nothing; whether there are any.
pub(super) fn tell_unreadable(answer: &Json) -> bool {
    let unreadable = answer.at("unreadable").items();
    for project in unreadable {
        let project = visible(project.word());
        tell!("runlog: the trash of project {project} cannot be read");
    }
    !unreadable.is_empty()
}

/// All entries of the trash that are meant, the latest deletion first, and whether that is all, as far as
/// it is not told.
async fn entries(client: &mut Client, mut params: Params) -> Result<(Vec<Json>, bool), Failure> {
    params.insert("limit".into(), AT_ONCE.into());
    let (mut entries, mut is_all) = (Vec::new(), true);
    loop {
        let page = client.ask("trash/list", params.clone()).await?;
        if entries.is_empty() {
            is_all = !tell_unreadable(&page);
        }
        entries.extend_from_slice(page.at("entries").items());
        match page.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => return Ok((entries, is_all)),
        }
    }
}

async fn restore(args: &RestoreArgs, client: &mut Client) -> Result<u8, Failure> {
    args.json.check("executions/restore", Some("restored"))?;
    client.doing = "Restoring";
    let one = |name: &str, value: Value| Params::from_iter([(name.to_owned(), value)]);
    let (asked, named) = match &args.batch {
        Some(batch) => (vec![one("batch", batch.as_str().into())], None),
        None => {
            let named = named(args, client).await?;
            let some = named.chunks(AT_ONCE);
            let asked = some.map(|some| one("entries", json!(some))).collect();
            (asked, Some(named.len() as u64))
        }
    };
    let interrupts = Interrupts::new();
    let (mut answers, mut back, mut stay, mut failed) = (Vec::new(), 0, 0, None);
    for params in asked {
        let answer = match interrupts.came() {
            true => Ok(None),
            false => {
                interrupts
                    .answer(client, "executions/restore", params)
                    .await
            }
        };
        match answer {
            Ok(Some(text)) => {
                let answer = Json::read(&text);
                stay += tell_restored(args, &answer)?;
                back += answer.at("count").count();
                answers.push(text);
            }
            Ok(None) => break,
            Err(failure) => {
                let back = failure.words("restored");
                for run in back.iter().take(CANDIDATES) {
                    tell!("runlog: {} is back", visible(run));
                }
                if back.len() > CANDIDATES {
                    tell_back_in_all(back.len() as u64);
                }
                if let Some(entry) = failure.says("entry") {
                    tell!("runlog: {} stays in the trash", visible(&entry));
                }
                failed = Some(failure);
                break;
            }
        }
    }
    if interrupts.came() && failed.is_none() {
        match named {
            // who knows how many there are
            None => tell!("runlog: the same command puts back what is not"),
            Some(named) if back < named => tell!("runlog: the rest stays in the trash"),
            Some(_) => {}
        }
    }
    let status = interrupts.status(u8::from(stay > 0));
    drop(interrupts);
    // last: what was done is told also where nobody reads this
    let printed = answers.iter().try_for_each(|text| {
        args.json.print(text, Some("restored"), |_| {
            let answer = Json::read(text);
            let restored = answer.at("restored").items().iter();
            restored.map(|run| format!("{}\n", name(run))).collect()
        })
    });
    match failed {
        Some(failure) => Err(failure),
        None => printed.map(|()| status),
    }
}

/// The entries that are named, by themselves or by their runs.
async fn named(args: &RestoreArgs, client: &mut Client) -> Result<Vec<String>, Failure> {
    // which is PROJECT/ID at most
    let is_run = |entry: &&String| entry.matches('/').count() < 2;
    let runs: Vec<&String> = args.entries.iter().filter(is_run).collect();
    // read once, and only where a run is named
    let held = match runs.as_slice() {
        [] => Vec::new(),
        [only] => entries(client, which(only, None)).await?.0,
        _ => entries(client, Params::new()).await?.0,
    };
    let mut named = Vec::new();
    for entry in &args.entries {
        let entry = match is_run(&entry) {
            true => latest(entry, &held)?,
            false => entry.clone(),
        };
        // who names it twice means it once
        if !named.contains(&entry) {
            named.push(entry);
        }
    }
    Ok(named)
}

fn name(run: &Json) -> String {
    visible(&format!(
        "{}/{}",
        run.at("projectId").word(),
        run.at("executionId").word()
    ))
}

/// Tells what an answer does not list as restored, and gives how many stay.
fn tell_restored(args: &RestoreArgs, answer: &Json) -> Result<u64, Failure> {
    tell_unreadable(answer);
    let listed = answer.at("restored").items().len() as u64;
    let count = answer.at("count").count();
    let stay = answer.at("skippedCount").count();
    if let (Some(batch), 0) = (&args.batch, count + stay) {
        let batch = visible(batch);
        return Err(Failure::Failed(format!("the trash has no batch {batch}")));
    }
    let skipped = answer.at("skipped").items();
    for run in skipped {
        tell!(
            "runlog: {} stays in the trash: there is such a run by now",
            name(run)
        );
    }
    if stay > skipped.len() as u64 {
        let stay = grouped(&stay.to_string());
        tell!("runlog: {stay} runs stay in the trash in all");
    }
    if count > listed {
        tell_back_in_all(count);
    }
    Ok(stay)
}

fn tell_back_in_all(count: u64) {
    let count = grouped(&count.to_string());
    tell!("runlog: {count} runs are back in all");
}

/// The latest deletion, of those that are `held`, of the run that somebody means: by its whole name,
/// because that which is not there may be the beginning of another's.
fn latest(run: &str, held: &[Json]) -> Result<String, Failure> {
    let wanted = which(run, None);
    let word = |name: &str| wanted.get(name).and_then(Value::as_str);
    let id = word("executionId").unwrap_or_default();
    if id.is_empty() {
        // which all ids begin with
        let message = "name a run; --batch puts back all of a deletion";
        return Err(Failure::Usage(message.to_owned()));
    }
    let project = word("projectId");
    let mut seen = HashSet::new();
    let (mut meant, mut begun) = (Vec::new(), None);
    for entry in held {
        let (of, name) = (entry.at("projectId").word(), entry.at("executionId").word());
        if project.is_some_and(|project| project != of) {
            continue;
        }
        if name == id && seen.insert(of) {
            meant.push((visible(&format!("{of}/{name}")), entry.at("entry").word()));
        } else if begun.is_none() && name.starts_with(id) {
            begun = Some(visible(&format!("{of}/{name}")));
        }
    }
    let run = visible(run);
    match meant.as_slice() {
        [(_, only)] => Ok((*only).to_owned()),
        [] => {
            let hint = begun.map(|begun| format!("; name {begun} whole if that is meant"));
            let hint = hint.unwrap_or_default();
            Err(Failure::Failed(format!("the trash has no run {run}{hint}")))
        }
        _ => {
            let shown = meant.iter().take(CANDIDATES);
            let mut names: Vec<String> = shown.map(|(key, _)| key.clone()).collect();
            let more = meant.len().saturating_sub(CANDIDATES);
            if more > 0 {
                names.push(format!("and {} more", grouped(&more.to_string())));
            }
            let names = names.join("\n  ");
            let message = format!("{run} may mean several runs:\n  {names}");
            Err(Failure::Failed(message))
        }
    }
}

async fn empty(args: &EmptyArgs, client: &mut Client) -> Result<u8, Failure> {
    args.json.check("trash/empty", None)?;
    let (found, is_all) = entries(client, of_project(args.project.as_deref())).await?;
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
        if is_all {
            tell!("runlog: nothing of that is in the trash");
        }
        args.json.print(&emptied(0, 0), None, |_| String::new())?;
        return Ok(u8::from(!is_all));
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
        let answer = match answer {
            Ok(answer) => answer.map_or(Json::Null, |text| Json::read(&text)),
            Err(failure) => {
                if let Some((count, freed)) = no_more_there(&going, client).await {
                    removed(count, freed);
                }
                return Err(failure);
            }
        };
        count += answer.at("emptied").count();
        freed += answer.at("freedBytes").count();
        if interrupts.came() {
            break;
        }
    }
    removed(count, freed);
    let status = interrupts.status(u8::from(!is_all));
    drop(interrupts);
    args.json
        .print(&emptied(count, freed), None, |_| String::new())?;
    Ok(status)
}

/// How many of these entries are not in the trash any more, and how many bytes they had, if that can
/// be told.
async fn no_more_there(entries_before: &[&Json], client: &mut Client) -> Option<(u64, u64)> {
    let word = |entry: &Json, name: &str| entry.at(name).word().to_owned();
    let projects = entries_before.iter().map(|entry| word(entry, "projectId"));
    let mut left = HashSet::new();
    for project in projects.collect::<BTreeSet<_>>() {
        // of one project it is an error if its trash cannot be read
        let (found, _) = entries(client, of_project(Some(&project))).await.ok()?;
        left.extend(found.iter().map(|entry| word(entry, "entry")));
    }
    let gone = entries_before.iter();
    let gone = gone.filter(|entry| !left.contains(entry.at("entry").word()));
    Some(gone.fold((0, 0), |(count, freed), entry| {
        (count + 1, freed + entry.at("sizeBytes").count())
    }))
}

fn removed(count: u64, freed: u64) {
    let count = grouped(&count.to_string());
    tell!("runlog: {count} removed, {} freed", bytes(freed));
}

/// What one request that removes so much would answer.
fn emptied(count: u64, freed: u64) -> String {
    json!({ "emptied": count, "freedBytes": freed }).to_string()
}
