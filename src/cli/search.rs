//! `runlog search`: runs by what they were given and what they said.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Failure;
use super::args::{Common, FilterArgs, LimitArgs, tell_near_status};
use super::client::Client;
use super::json::Json;
use super::list::relative;
use super::terminal::{Out, Paint, columns, field, fitted, status_paint, visible};
use super::time::{Clock, grouped};
use crate::model::Status;
use crate::model::json::{elements, members};

/// How long the text index may stand still before it is no longer waited for: that of a daemon which
/// does not answer, and holds its lock, does for ever.
const STILL_FOR: Duration = Duration::from_secs(10);
/// How the hits are seen that are never printed beside so many.
const OTHERS: &str = "more words, or a filter, say which";

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a place, at most three a run: projectId, id, status, \
    path, snippet"
)]
#[command(mut_arg("json", |arg| arg.help("Print a hit a line as the protocol has it, of which \
    FIELDS chooses members, as in summary,score")))]
pub(super) struct SearchArgs {
    #[command(flatten)]
    pub common: Common,
    /// Words, "phrases", prefix*, AND, OR, NOT, parentheses; words beside each other must all be
    /// there. A word with - before it must not be: write it in quotes with the others, or behind --
    #[arg(value_name = "QUERY", required = true, num_args = 1..)]
    query: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    limit: LimitArgs,
}

pub(super) async fn run(args: &SearchArgs, client: &mut Client) -> Result<u8, Failure> {
    let out = Out::stdout();
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    if let Some((flag, value)) = misread(args, words) {
        let value = visible(&value);
        return Err(Failure::Usage(format!(
            "{flag}{value} may be {flag} {value}, or a word that must not be there: write the first, \
                or all words behind --"
        )));
    }
    args.common.json.check("executions/search", Some("hits"))?;
    let clock = args.filter.zone.clock()?;
    let mut params = args.filter.params()?;
    params.insert("query".into(), args.query.join(" ").into());
    params.insert("limit".into(), args.limit.count().into());
    let text = found(client, params.clone()).await?;
    let hits = members(&text).find(|(name, _)| name == "hits");
    let hits = hits.map_or("[]", |(_, hits)| hits);
    if elements(hits).next().is_none() {
        tell_near_status(&params);
    }
    if args.common.json.wanted() {
        let lines: String = elements(hits)
            .map(|row| args.common.json.row(row))
            .collect();
        out.print_json(&lines)?;
        let (out, mut nothing) = (Out::for_programs(), String::new());
        tell_more(&Json::read(&text), args.limit, out, &mut nothing);
        return Ok(0);
    }
    out.print(&shown(&Json::read(&text), out, &clock, args.limit))?;
    Ok(0)
}

/// What the search finds once the text index has everything, or where that does not go on any more, what
/// it finds by then.
async fn found(client: &mut Client, params: Map<String, Value>) -> Result<String, Failure> {
    const METHOD: &str = "executions/search";
    client.doing = "Searching";
    let mut synced = params.clone();
    synced.insert("sync".into(), true.into());
    let mut is_behind = client.is_daemons().await?;
    let mut before = None;
    loop {
        // it is waited for
        if is_behind && let Ok(text) = timeout(STILL_FOR, client.text(METHOD, synced.clone())).await
        {
            return text;
        }
        is_behind = true;
        let Ok(known) = timeout(STILL_FOR, client.text(METHOD, params.clone())).await else {
            let status = Json::read(&client.call("server/status", "{}").await?);
            if status.at("indexing").at("state").word() != "ready" {
                continue;
            }
            let text = "there is no text index yet, and whoever makes it does not go on; `runlog \
                doctor` may say who";
            return Err(Failure::Failed(text.into()));
        };
        let known = known?;
        if members(&known).any(|(name, value)| name == "complete" && value == "true") {
            return Ok(known);
        }
        let so_far = Some(Json::read(&known).at("indexing").at("done").count());
        if before == so_far {
            tell!(
                "runlog: not all runs are searched: the text index does not go on; `runlog doctor` \
                 may say why"
            );
            return Ok(known);
        }
        before = so_far;
    }
}

fn shown(result: &Json, out: Out, clock: &Clock, limit: LimitArgs) -> String {
    let hits = result.at("hits").items();
    let mut text = String::new();
    for hit in hits {
        match out.width() {
            Some(width) => text.push_str(&person(hit, out, clock, width)),
            None => text.push_str(&program(hit)),
        }
    }
    if out.is_terminal() && hits.is_empty() {
        text.push_str(&out.remark("nothing found", Paint::Dim));
    }
    tell_more(result, limit, out, &mut text);
    text
}

/// That more is found than these hits.
fn tell_more(result: &Json, limit: LimitArgs, out: Out, text: &mut String) {
    let (shown, total) = (result.at("hits").items().len(), result.at("total"));
    let total = match total.is_null() {
        true => "more than 1,000".to_owned(),
        false if (shown as u64) < total.count() => grouped(&total.to_string()),
        false => return,
    };
    let shown = grouped(&shown.to_string());
    limit.tell_more(&format!("{shown} of {total} runs"), OTHERS, out, text);
}

/// A run, and below it where it says so.
fn person(hit: &Json, out: Out, clock: &Clock, width: usize) -> String {
    let run = hit.at("summary");
    let name = format!("{}/{}", run.at("projectId").word(), run.at("id").word());
    let (name, status) = (fitted(&visible(&name), width), run.at("status").word());
    let started = relative(clock, run.at("startedAt").word());
    let mut text = out.paint(&name, Paint::Bold);
    let mut taken = columns(&name);
    let label = visible(run.at("label").word());
    for (part, paint) in [
        (visible(status), status_paint(status)),
        (started, Paint::Dim),
        (label, Paint::Plain),
    ] {
        let room = width.saturating_sub(taken + 2);
        let part = fitted(&part, room);
        if part.is_empty() || room < 4 {
            continue;
        }
        taken += columns(&part) + 2;
        text.push_str("  ");
        text.push_str(&out.paint(&part, paint));
    }
    text.push('\n');
    for found in hit.at("matches").items() {
        let path = fitted(&visible(found.at("path").word()), width / 3);
        let room = width.saturating_sub(columns(&path) + 4);
        let line = format!(
            "  {}  {}",
            out.paint(&path, Paint::Dim),
            marked(found, out, room)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A line for each place: project, id, status, path and snippet.
fn program(hit: &Json) -> String {
    let run = hit.at("summary");
    let mut text = String::new();
    let head = [
        run.at("projectId").word(),
        run.at("id").word(),
        run.at("status").word(),
    ]
    .map(field)
    .join("\t");
    let places = hit.at("matches").items();
    if places.is_empty() {
        text.push_str(&format!("{head}\t\t\n"));
    }
    for found in places {
        let (path, snippet) = (found.at("path").word(), found.at("snippet").word());
        text.push_str(&format!("{head}\t{}\t{}\n", field(path), field(snippet)));
    }
    text
}

/// A snippet with what was found in it painted.
fn marked(found: &Json, out: Out, room: usize) -> String {
    let snippet = found.at("snippet").word();
    let ranges: Vec<(u64, u64)> = found
        .at("ranges")
        .items()
        .iter()
        .map(|range| (range.at("start").count(), range.at("end").count()))
        .collect();
    // runs of characters that are found, or are not
    let mut parts: Vec<(bool, String)> = Vec::new();
    let mut at = 0;
    for c in snippet.chars() {
        let inside = ranges
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at));
        at += c.len_utf16() as u64;
        // a snippet stays on its line
        let c = if c == '\n' { ' ' } else { c };
        match parts.last_mut() {
            Some((held, part)) if *held == inside => part.push(c),
            _ => parts.push((inside, c.to_string())),
        }
    }
    let mut text = String::new();
    let mut left = room;
    for (inside, part) in parts {
        let shown = fitted(&visible(&part), left);
        left = left.saturating_sub(columns(&shown));
        let cut = shown.ends_with('…') && !part.ends_with('…');
        text.push_str(&out.paint(&shown, if inside { Paint::Yellow } else { Paint::Plain }));
        if cut {
            break;
        }
    }
    text
}

/// A word behind the query's first that was taken for a status or a project, but may be a part of the
/// query: such as `-server`.
fn misread(
    args: &SearchArgs,
    words: impl Iterator<Item = String>,
) -> Option<(&'static str, String)> {
    let first = args.query.first()?;
    let is_status = |word: &str| Status::KNOWN.iter().any(|known| known.as_str() == word);
    let mut behind = words
        .take_while(|word| word != "--")
        .skip_while(|word| word != first);
    behind.find_map(|word| {
        let is_unclear = |value: &&str| !value.is_empty() && !value.starts_with('=');
        let attached = |flag| word.strip_prefix(flag).filter(is_unclear);
        let status = attached("-s").filter(|value| !value.split(',').map(str::trim).all(is_status));
        let status = status.map(|value| ("-s", value.to_owned()));
        status.or_else(|| Some(("-p", attached("-p")?.to_owned())))
    })
}
