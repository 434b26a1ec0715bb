//! `runlog show`: one run, for a person.
//!
//! Long texts are folded on a terminal and the whole is paged there, as git does; in a pipe
//! everything is whole.

use std::io::Write;
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::args::{Common, Key, Params, WhichArgs, ZoneArgs};
use super::client::Client;
use super::json::Json;
use super::list::dollars;
use super::table::{Cell, Column, Table};
use super::terminal::{
    Out, Paint, columns, is_dumb, status_paint, visible, visible_lines, wrapped,
};
use super::time::{Clock, bytes, grouped, span};
use crate::api::ErrorKind;
use crate::history::RECORD_LIMIT_BYTES;
use crate::model::json::members;

/// How many lines of a text are shown before it is folded.
const FOLDED_LINES: usize = 12;
/// How much of a record is asked for, unless all of it is wanted: more than a terminal shows.
const ENOUGH_BYTES: u64 = 1 << 20;
/// Members that are shown in places of their own.
const KNOWN: [&str; 16] = [
    "id",
    "projectId",
    "status",
    "name",
    "input",
    "output",
    "error",
    "startedAt",
    "completedAt",
    "duration",
    "tokenUsage",
    "costUSD",
    "retryCount",
    "steps",
    "model",
    "sessionId",
];

#[derive(Debug, Args)]
#[command(
    mut_arg("run", |arg| arg
        .required(false)
        .default_value("last")
        .hide_default_value(true)
        .help("The run: its id, the beginning of it, or `last`; PROJECT/ID where several projects have it")),
    after_help = "In a pipe, durations are in milliseconds and sizes in bytes, and of the steps there \
    is a line a step: number, node, type, status, duration, tokenUsage.total, costUSD, error"
)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    /// Fold nothing, and show what the steps were given and gave
    #[arg(long)]
    full: bool,
}

pub(super) async fn run(args: &ShowArgs, client: &mut Client) -> Result<u8, Failure> {
    let out = Out::stdout();
    let clock = args.zone.clock()?;
    let json = &args.common.json;
    if json.wanted() {
        let fields = json.fields();
        let all = match args.which.asked(client, Params::new()).await {
            // these may have room where all of it has none
            Err(failure) if failure.kind() == Some(ErrorKind::TooLarge) && !fields.is_empty() => {
                in_pieces(args, client, &fields).await?
            }
            answer => answer?.1,
        };
        let text = match fields.as_slice() {
            [] => format!("{all}\n"),
            fields => {
                let all = with_what_is_beside(&all);
                // a record may have members that nobody knows
                let names = members(&all).map(|(name, _)| name);
                let known: Vec<_> = names.chain(KNOWN.map(Into::into)).collect();
                json.check_among(&known)?;
                format!("{}\n", super::json::picked(&all, fields))
            }
        };
        out.print_json(&text)?;
        return Ok(0);
    }
    let mut params = Params::new();
    if out.is_terminal() && !args.full {
        params.insert("maxBytes".into(), ENOUGH_BYTES.into());
    }
    let (key, text) = args.which.asked(client, params).await?;
    let record = Json::read(&text);
    let (summary, _) = key.listed(client, false).await?;
    let summary = summary.map_or(Json::Null, |run| Json::read(&run));
    let page = Page {
        out,
        clock,
        full: args.full || !out.is_terminal(),
        whole: "--full shows",
        text: String::new(),
    };
    paged(out, &page.of(&key, &record, &summary))?;
    Ok(0)
}

/// What an answer with the whole record would say of these members of it and beside it.
async fn in_pieces(
    args: &ShowArgs,
    client: &mut Client,
    names: &[String],
) -> Result<String, Failure> {
    let pointer = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let mut params = Params::new();
    let pointers: Vec<String> = names.iter().map(pointer).collect();
    params.insert("fields".into(), json!(pointers));
    let (_, text) = args.which.asked(client, params).await?;
    let of = |object: &str, wanted: &str| {
        let found = members(object).find(|(name, _)| name == wanted);
        found.map_or(String::new(), |(_, value)| value.to_owned())
    };
    let pieces = of(&text, "fields");
    let mut record = Vec::new();
    for name in names {
        let piece = of(&pieces, &pointer(name));
        let value = of(&piece, "value");
        if of(&piece, "truncated") == "true" {
            let name = visible(name);
            let message = format!("there is no room for all of `{name}`; the record's file has it");
            return Err(Failure::Failed(message));
        }
        if !value.is_empty() {
            record.push(format!("{}:{value}", json!(name)));
        }
    }
    let (record, version) = (record.join(","), of(&text, "version"));
    Ok(format!(
        r#"{{"execution":{{{record}}},"version":{version}}}"#
    ))
}

/// A record's own members, and those of the answer that has it as far as it has none that are called
/// so.
fn with_what_is_beside(answer: &str) -> String {
    let record = members(answer).filter(|(name, _)| name == "execution");
    let record = record.last().map_or("{}", |(_, value)| value);
    let of_record: Vec<_> = members(record).collect();
    let is_new = |name: &str| of_record.iter().all(|(own, _)| own != name);
    let beside = members(answer).filter(|(name, _)| is_new(name));
    let all = of_record.iter().cloned().chain(beside);
    let all: Vec<String> = all
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    format!("{{{}}}", all.join(","))
}

/// What is shown of a run.
struct Page {
    out: Out,
    clock: Clock,
    full: bool,
    /// What has all of it.
    whole: &'static str,
    text: String,
}

impl Page {
    fn of(mut self, key: &Key, answer: &Json, summary: &Json) -> String {
        let record = answer.at("execution");
        if answer.at("sizeBytes").count() > RECORD_LIMIT_BYTES {
            self.whole = "the record's file has";
        }
        let status = summary.at("status").text().or(record.at("status").text());
        let status = status.unwrap_or("unknown");
        let head = visible(&key.to_string());
        let shown = visible(status);
        let wide = columns(&head) + 2 + columns(&shown);
        let paint = status_paint(status);
        if self.out.width().is_some_and(|width| wide > width) {
            let head = self.out.remark(&head, Paint::Bold);
            let status = self.out.remark(&shown, paint);
            self.push(&format!("{head}{status}"));
        } else {
            let head = self.out.paint(&head, Paint::Bold);
            let status = self.out.paint(&shown, paint);
            self.push(&format!("{head}  {status}\n"));
        }
        self.fact("name", &visible(record.at("name").word()));
        for (name, member) in [("started", "startedAt"), ("ended", "completedAt")] {
            if let Some(moment) = record.at(member).text() {
                let shown = self.moment(moment);
                self.fact(name, &shown);
            }
        }
        if let Some(at) = summary.at("staleAt").text() {
            let shown = self.moment(at);
            self.fact("stale", &format!("from {shown}"));
        }
        let took = record.at("duration");
        if let Some(millis) = took.number() {
            self.number("took", &span(millis), &took.to_string());
        }
        if record.at("costUSD").number().is_some() {
            // as lists spell it, where there is one
            let listed = summary.at("costUSD");
            let cost = listed.number().map_or(record.at("costUSD"), |_| listed);
            self.number("cost", &dollars(cost), &cost.to_string());
        }
        let usage = record.at("tokenUsage");
        self.number(
            "tokens",
            &tokens(usage, grouped),
            &tokens(usage, str::to_owned),
        );
        for (name, member) in [("model", "model"), ("session", "sessionId")] {
            self.fact(name, &visible(record.at(member).word()));
        }
        if record.at("retryCount").count() > 0 {
            self.fact("retries", &record.at("retryCount").to_string());
        }
        let size = match answer.at("sizeBytes") {
            Json::Null => summary.at("sizeBytes"),
            size => size,
        };
        self.number("size", &bytes(size.count()), &size.to_string());
        self.fact("version", answer.at("version").word());
        if summary.at("pinned").is_true() {
            self.fact("pinned", "yes");
        }
        let tags: Vec<String> = summary
            .at("tags")
            .items()
            .iter()
            .map(|tag| visible(tag.word()))
            .collect();
        self.fact("tags", &tags.join(", "));
        self.fact("note", &visible(summary.at("note").word()));
        for name in ["error", "input", "output"] {
            self.value(
                name,
                record.at(name),
                if name == "error" {
                    Paint::Red
                } else {
                    Paint::Bold
                },
            );
        }
        self.steps(record.at("steps"));
        if let Json::Object(members) = record {
            for (name, value) in members {
                if !has_a_place(name, value) {
                    self.value(&visible(name), value, Paint::Bold);
                }
            }
        }
        if answer.at("truncated").is_true() {
            let cut = answer.at("cut").items().len();
            let told = match cut {
                1 => format!("1 value is not shown whole; {} it", self.whole),
                _ => format!("{cut} values are not shown whole; {} them", self.whole),
            };
            let told = self.out.remark(&told, Paint::Dim);
            self.push(&format!("\n{told}"));
        }
        self.text
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn moment(&self, moment: &str) -> String {
        if self.out.is_terminal() {
            visible(&self.clock.both(moment))
        } else {
            visible(moment)
        }
    }

    /// A short line, unless there is nothing to say.
    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let fact = self.out.fact(name, 8, value);
            self.push(&fact);
        }
    }

    /// A number for a person, and as programs are given it.
    fn number(&mut self, name: &str, shown: &str, plain: &str) {
        let is_terminal = self.out.is_terminal();
        self.fact(name, if is_terminal { shown } else { plain });
    }

    /// A text below its name.
    fn value(&mut self, name: &str, value: &Json, paint: Paint) {
        if value.is_null() {
            return;
        }
        let heading = self.out.remark(name, paint);
        self.push(&format!("\n{heading}"));
        let text = self.folded(&value.to_string(), "  ");
        self.push(&text);
    }

    /// The lines of a text, not all of them if there are many.
    fn folded(&self, text: &str, indent: &str) -> String {
        let text = visible_lines(text.trim_end());
        let lines = match self.out.width() {
            Some(width) => wrapped(&text, width.saturating_sub(indent.len()).max(10)),
            None => text.split('\n').map(str::to_owned).collect(),
        };
        let shown = match self.full || lines.len() <= FOLDED_LINES + 1 {
            true => lines.len(),
            false => FOLDED_LINES,
        };
        let mut folded = String::new();
        for line in lines.iter().take(shown) {
            folded.push_str(format!("{indent}{line}").trim_end());
            folded.push('\n');
        }
        if shown < lines.len() {
            let more = lines.len() - shown;
            let more = format!("{indent}… {more} more lines; {} them", self.whole);
            folded.push_str(&self.out.remark(&more, Paint::Dim));
        }
        folded
    }

    fn steps(&mut self, steps: &Json) {
        if steps.items().is_empty() {
            return;
        }
        let heading = self.out.paint("steps", Paint::Bold);
        self.push(&format!("\n{heading}\n"));
        let mut table = Table::new([
            Column::numbers("#"),
            Column::new("NODE").cut_to(12),
            Column::new("TYPE").leaving(3),
            Column::new("STATUS").cut_to(9),
            Column::numbers("TOOK").leaving(1),
            Column::numbers("TOKENS").leaving(4),
            Column::numbers("COST").leaving(2),
            Column::new("ERROR").cut_to(12),
        ]);
        for (number, step) in steps.items().iter().enumerate() {
            let names = [step.at("nodeId"), step.at("name"), step.at("id")];
            let name = names
                .iter()
                .find_map(|name| name.text())
                .unwrap_or_default();
            let kinds = [step.at("nodeType"), step.at("type")];
            let kind = kinds
                .iter()
                .find_map(|kind| kind.text())
                .unwrap_or_default();
            let status = step.at("status").word();
            table.row([
                Cell::new(number.to_string()),
                Cell::new(name),
                Cell::new(kind),
                Cell::new(status).painted(status_paint(status)),
                super::list::took(step.at("duration")),
                super::list::counted(step.at("tokenUsage").at("total")),
                super::list::cost(step.at("costUSD")),
                Cell::new(step.at("error").word()).painted(Paint::Red),
            ]);
        }
        let text = table.text(self.out);
        self.push(&text);
        if !self.full {
            return;
        }
        for (number, step) in steps.items().iter().enumerate() {
            for name in ["error", "input", "output"] {
                self.value(&format!("step {number} {name}"), step.at(name), Paint::Bold);
            }
        }
    }
}

/// Whether a member is shown in a place of its own: one of an unexpected type is not.
fn has_a_place(name: &str, value: &Json) -> bool {
    match name {
        "input" | "output" | "error" => true,
        "duration" | "costUSD" => matches!(value, Json::Number(_)),
        // that there was none is not worth a line
        "retryCount" => value.count() > 0 || value.to_string() == "0",
        "tokenUsage" => !tokens(value, str::to_owned).is_empty(),
        "steps" => matches!(value, Json::List(_)),
        _ => KNOWN.contains(&name) && matches!(value, Json::Text(_)),
    }
}

fn tokens(usage: &Json, shown: impl Fn(&str) -> String) -> String {
    let parts = [("input", "in"), ("output", "out"), ("total", "in all")];
    let told: Vec<String> = parts
        .iter()
        .filter(|(member, _)| usage.at(member).number().is_some())
        .map(|(member, name)| format!("{} {name}", shown(&usage.at(member).to_string())))
        .collect();
    told.join(", ")
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Prints it through the pager where a person reads more than one screen.
fn paged(out: Out, text: &str) -> Result<(), Failure> {
    let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| size.ws_row);
    let pager = std::env::var("PAGER").ok();
    let fits = text.lines().count() < usize::from(rows.max(1));
    // one that nobody has asked for need not be there
    let is_there = pager.is_some() || is_on_path("less");
    let pager = pager.unwrap_or_else(|| "less".to_owned());
    let no_pager = pager.trim().is_empty() || pager == "cat" || is_dumb() || !is_there;
    if !out.is_terminal() || fits || no_pager {
        return Ok(out.print(text)?);
    }
    let mut command = Command::new("sh");
    command.args(["-c", &pager]).stdin(Stdio::piped());
    // colours; and where nobody says how, no clearing of what was there, and no paging of one screen
    let less = std::env::var("LESS").map_or("FRX".to_owned(), |less| format!("-R {less}"));
    command.env("LESS", less);
    // the pager decides what an interrupt means
    let _held = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let Ok(mut pager) = command.spawn() else {
        return Ok(out.print(text)?);
    };
    if let Some(mut pipe) = pager.stdin.take() {
        // who leaves early has read enough
        let _ = pipe.write_all(text.as_bytes());
    }
    if pager.wait()?.code() == Some(127) {
        out.print(text)?;
    }
    Ok(())
}
