//! `runlog list`: runs, newest first.

use clap::Args;

use super::Failure;
use super::args::{Common, FilterArgs, LimitArgs, answered};
use super::client::Client;
use super::json::Json;
use super::table::{Cell, Column, Table};
use super::terminal::{Out, Paint, status_paint};
use super::time::{Clock, grouped, span};
use crate::model::Money;

/// A shorter id is not cut, because `pin` and its like take whole ones only: the engine's have 28
/// characters, a UUID 36.
const ID_COLUMNS: usize = 36;

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a run: id, status, startedAt, duration, costUSD, \
    projectId, label"
)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    limit: LimitArgs,
}

pub(super) async fn run(args: &ListArgs, client: &mut Client) -> Result<u8, Failure> {
    let clock = args.filter.zone.clock()?;
    let mut params = args.filter.params()?;
    params.insert("limit".into(), args.limit.count().into());
    let json = &args.common.json;
    let fields = json.fields();
    if !fields.is_empty() {
        // no more than is printed
        params.insert("fields".into(), fields.into());
    }
    let rows = Some("executions");
    answered(
        client,
        "executions/list",
        params,
        json,
        rows,
        |result, out| listed(result, out, &clock, args),
    )
    .await
}

/// A list's lines.
fn listed(result: &Json, out: Out, clock: &Clock, args: &ListArgs) -> String {
    let runs = result.at("executions").items();
    let mut text = summaries(runs, out, clock, args.filter.project.is_none());
    let (shown, total) = (runs.len(), result.at("total").count());
    if out.is_terminal() && shown == 0 {
        text.push_str(&out.remark("no runs", Paint::Dim));
    }
    if (shown as u64) < total {
        let [shown, total] = [shown as u64, total].map(|count| grouped(&count.to_string()));
        let what = format!("{shown} of {total} runs");
        let others = "`runlog export` writes all of them";
        args.limit.tell_more(&what, others, out, &mut text);
    }
    text
}

/// A table of runs: the fields of `list` in a pipe.
pub(super) fn summaries(runs: &[Json], out: Out, clock: &Clock, projects: bool) -> String {
    let mut table = Table::new([
        Column::new("ID").cut_to(ID_COLUMNS),
        Column::new("STATUS").cut_to(9),
        Column::new("STARTED").leaving(2),
        Column::numbers("TOOK").leaving(5),
        Column::numbers("COST").leaving(4),
        Column::new("PROJECT")
            .cut_to(8)
            .leaving(if projects { 3 } else { 6 }),
        Column::new("LABEL").cut_to(16).leaving(1),
    ]);
    for run in runs {
        let cells = cells(run, clock);
        let [id, status, started, took, cost, project, label] = cells;
        let project = match projects {
            true => project,
            // everything is of one project, as whoever asks knows
            false => Cell::both("", run.at("projectId").word()),
        };
        table.row([id, status, started, took, cost, project, label]);
    }
    table.text(out)
}

/// A run's id, status, beginning, duration, cost, project and label.
pub(super) fn cells(run: &Json, clock: &Clock) -> [Cell; 7] {
    let status = run.at("status").word();
    let stale = run.at("staleAt").text().is_some_and(|at| {
        crate::model::Millis::parse_rfc3339(at).is_some_and(|at| at <= clock.now)
    });
    let shown = match stale {
        true => format!("{status} (stale)"),
        false => status.to_owned(),
    };
    let started = run.at("startedAt").word();
    let label = run.at("label").text().unwrap_or_default();
    [
        Cell::new(run.at("id").word()),
        Cell::both(shown, status).painted(match stale {
            true => Paint::Yellow,
            false => status_paint(status),
        }),
        Cell::both(relative(clock, started), started),
        took(run.at("duration")),
        cost(run.at("costUSD")),
        Cell::new(run.at("projectId").word()),
        Cell::both(marked(run, label), label),
    ]
}

/// A label behind what somebody noted on the run.
fn marked(run: &Json, label: &str) -> String {
    let mut text = String::new();
    if run.at("pinned").is_true() {
        text.push_str("★ ");
    }
    for tag in run.at("tags").items() {
        text.push_str(&format!("#{} ", tag.word()));
    }
    text.push_str(label);
    text
}

/// A moment for a person, or nothing.
pub(super) fn relative(clock: &Clock, moment: &str) -> String {
    match moment {
        "" => String::new(),
        moment => clock.relative(moment),
    }
}

/// A duration in milliseconds.
pub(super) fn took(millis: &Json) -> Cell {
    match millis.number() {
        Some(number) => Cell::both(span(number), millis.to_string()),
        None => Cell::new(""),
    }
}

/// An amount in US dollars.
pub(super) fn cost(amount: &Json) -> Cell {
    match amount.number() {
        Some(_) => Cell::both(dollars(amount), amount.to_string()),
        None => Cell::new(""),
    }
}

/// An amount in US dollars, for a person.
pub(super) fn dollars(amount: &Json) -> String {
    let spelling = amount.to_string();
    // a record's own may be spelt in any way
    let spelling = match Money::from_spelling(&spelling) {
        Some(amount) => amount.to_string(),
        None => spelling,
    };
    match spelling.strip_prefix('-') {
        Some(rest) => format!("-${rest}"),
        None => format!("${spelling}"),
    }
}

/// A count for a person and a program.
pub(super) fn counted(count: &Json) -> Cell {
    match count {
        Json::Number(spelling) => Cell::both(grouped(spelling), spelling.clone()),
        _ => Cell::new(""),
    }
}
