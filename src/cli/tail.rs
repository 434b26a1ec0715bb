//! `runlog tail`: changes of runs, as they happen.
//!
//! A subscription, which goes on over the death of its daemon. Where the next one cannot say what
//! happened since (`resync`), all runs are listed again and compared with what was known, so that
//! nothing is left out and nothing told twice: for that the versions of all runs that match are
//! kept.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Stdout, stdout};

use clap::Args;
use serde_json::{Value, json};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Failure;
use super::args::{Common, FilterArgs, Key, Params, count_from, tell_near_status};
use super::client::Client;
use super::json::Json;
use super::terminal::{Out, Paint, columns, field, fitted, status_paint, visible};
use super::time::{Clock, span};
use crate::api::executions::subscribe::Subscribe;
use crate::api::table::Method;
use crate::index;
use crate::model::json::{elements, members};

/// How many runs are listed at once.
const PAGE: u32 = 1000;
/// What tells one state of a run from another.
const STATE: [&str; 4] = ["version", "pinned", "tags", "note"];

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a change: kind, projectId, id, status, startedAt, duration, \
    costUSD, label"
)]
#[command(mut_arg("json", |arg| arg.help("Print a change a line as the protocol has it, of which \
    FIELDS chooses members, as in kind,summary")))]
pub(super) struct TailArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin with so many runs that are there already
    #[arg(short = 'L', long, value_name = "COUNT", default_value_t = 0,
        value_parser = count_from::<0>)]
    limit: u32,
}

pub(super) async fn run(args: &TailArgs, client: &mut Client) -> Result<u8, Failure> {
    args.common
        .json
        .check("executions/changes", Some("changes"))?;
    let mut tail = Tail {
        args,
        out: Out::stdout(),
        clock: args.filter.zone.clock()?,
        params: args.filter.params()?,
        known: HashMap::new(),
        begun: None,
    };
    // what was done before is no change
    client.ask("projects/list", Params::new()).await?;
    let subscription = Value::Object(tail.params.clone()).to_string();
    client.call(Subscribe::NAME, &subscription).await?;
    tail.begin(client).await?;
    let reader = Reader::of_stdout();
    loop {
        let change = tokio::select! {
            change = client.change() => change?,
            () = reader.gone() => return Ok(0),
        };
        tail.clock = args.filter.zone.clock()?;
        // its terminal may be wider or narrower by now
        tail.out = Out::stdout();
        tail.told(client, &change).await?;
    }
}

/// Who reads what is printed, where it can be told that nobody does any more: of a file it cannot.
struct Reader(Option<AsyncFd<Stdout>>);

impl Reader {
    // deprecated because a type may hand out a descriptor that does not stay open; stdout's does
    #[allow(deprecated)]
    fn of_stdout() -> Self {
        Self(AsyncFd::with_interest(stdout(), Interest::ERROR).ok())
    }

    /// Until nobody does. Cancel-safe.
    async fn gone(&self) {
        match &self.0 {
            Some(stdout) => drop(stdout.ready(Interest::ERROR).await),
            None => std::future::pending().await,
        }
    }
}

/// A run that is there.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: u64,
    /// Whether that state was printed.
    printed: bool,
}

struct Tail<'a> {
    args: &'a TailArgs,
    out: Out,
    clock: Clock,
    params: Params,
    known: HashMap<Key, Known>,
    /// The state up to which changes may be both known from the beginning and yet to be printed.
    begun: Option<index::Clock>,
}

impl Tail<'_> {
    /// Learns what there is, and prints the newest of it.
    async fn begin(&mut self, client: &mut Client) -> Result<(), Failure> {
        let (runs, clock) = self.all(client, &["id", "projectId"]).await?;
        self.begun = clock;
        // what it waits for may never come
        if runs.is_empty() {
            tell_near_status(&self.params);
        }
        for (key, state) in runs {
            let printed = false;
            self.known.insert(key, Known { state, printed });
        }
        if self.args.limit == 0 {
            return Ok(());
        }
        let mut params = self.params.clone();
        params.insert("limit".into(), self.args.limit.into());
        let list = client.text("executions/list", params).await?;
        let clock = members(&list).find(|(name, _)| name == "clock");
        let clock = clock.map_or("null", |(_, clock)| clock);
        let runs = members(&list).find(|(name, _)| name == "executions");
        let runs: Vec<&str> = elements(runs.map_or("[]", |(_, runs)| runs)).collect();
        for run in runs.into_iter().rev() {
            let (text, change) = self.taken_in(run, clock, false);
            let changed = change.at("summary").at("updatedAt").word();
            self.print(&text, &change, &self.clock.time_or_date(changed))?;
        }
        Ok(())
    }

    /// All runs that match, with their states, and the clock of the last of them.
    async fn all(
        &self,
        client: &mut Client,
        names: &[&str],
    ) -> Result<(Vec<(Key, u64)>, Option<index::Clock>), Failure> {
        let annotated = crate::api::table::entry("executions/annotate").is_some();
        let states = if annotated { &STATE[..] } else { &STATE[..1] };
        let fields: Vec<&str> = names.iter().chain(states).copied().collect();
        let mut params = self.params.clone();
        params.insert("limit".into(), PAGE.into());
        params.insert("fields".into(), json!(fields));
        let mut runs = Vec::new();
        loop {
            let page = client.ask("executions/list", params.clone()).await?;
            for run in page.at("executions").items() {
                runs.push((key(run), state(run)));
            }
            match page.at("nextCursor").text() {
                Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
                None => return Ok((runs, clock_of(&page))),
            }
        }
    }

    /// Takes in a change.
    async fn told(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        let change = Json::read(text);
        match change.at("kind").word() {
            "saved" => {
                let summary = change.at("summary");
                let (key, state) = (key(summary), state(summary));
                let held = self.known.insert(
                    key,
                    Known {
                        state,
                        printed: true,
                    },
                );
                let is_of_the_beginning = || {
                    let (begun, clock) = (self.begun?, clock_of(&change)?);
                    Some(begun.instance == clock.instance && clock.tick <= begun.tick)
                };
                let is_told = |held: Known| {
                    held.state == state && (held.printed || is_of_the_beginning() != Some(true))
                };
                // a heartbeat, or what was printed when everything was compared
                if !held.is_some_and(is_told) {
                    self.print(text, &change, &self.clock.time_of_day())?;
                }
            }
            "deleted" | "left" => {
                let key = Key {
                    project: change.at("projectId").word().to_owned(),
                    execution: change.at("executionId").word().to_owned(),
                };
                if self.known.remove(&key).is_some() {
                    self.print(text, &change, &self.clock.time_of_day())?;
                }
            }
            "resync" => self.compare(client).await?,
            _ => {}
        }
        Ok(())
    }

    /// Lists everything again, and prints what is not as it was known.
    async fn compare(&mut self, client: &mut Client) -> Result<(), Failure> {
        let (runs, _) = self.all(client, &["id", "projectId"]).await?;
        let mut gone: BTreeSet<Key> = self.known.keys().cloned().collect();
        for (key, state) in runs.into_iter().rev() {
            gone.remove(&key);
            let held = self.known.get(&key).copied();
            if held.is_some_and(|held| held.state == state) {
                continue;
            }
            let mut params = self.params.clone();
            params.insert("limit".into(), 1.into());
            params.insert("projectId".into(), key.project.as_str().into());
            params.remove("status");
            params.insert(
                "where".into(),
                format!("id = {}", json!(key.execution)).into(),
            );
            let list = client.text("executions/list", params).await?;
            let part = |name: &str| {
                let found = members(&list).find(|(held, _)| held == name);
                found.map_or("null", |(_, value)| value)
            };
            // gone by now: that is told next
            if let Some(run) = elements(part("executions")).next() {
                let (text, change) = self.taken_in(run, part("clock"), held.is_none());
                self.print(&text, &change, &self.clock.time_of_day())?;
            }
        }
        for key in gone {
            self.known.remove(&key);
            // one that is there is only none of those that are asked for any more
            let (there, clock) = key.listed(client, false).await?;
            let kind = there.map_or("deleted", |_| "left");
            let (project, execution) = (json!(key.project), json!(key.execution));
            let text = format!(
                r#"{{"kind":"{kind}","clock":{clock},"projectId":{project},"executionId":{execution}}}"#
            );
            self.print(&text, &Json::read(&text), &self.clock.time_of_day())?;
        }
        Ok(())
    }

    /// A listed run told as if it had just been saved, which is to be printed.
    fn taken_in(&mut self, run: &str, clock: &str, created: bool) -> (String, Json) {
        let text =
            format!(r#"{{"kind":"saved","clock":{clock},"created":{created},"summary":{run}}}"#);
        let change = Json::read(&text);
        let summary = change.at("summary");
        let known = Known {
            state: state(summary),
            printed: true,
        };
        self.known.insert(key(summary), known);
        (text, change)
    }

    fn print(&self, text: &str, change: &Json, when: &str) -> Result<(), Failure> {
        if self.args.common.json.wanted() {
            return Ok(self.out.print_json(&self.args.common.json.row(text))?);
        }
        Ok(self.out.print(&line(change, when, self.out))?)
    }
}

fn key(run: &Json) -> Key {
    Key {
        project: run.at("projectId").word().to_owned(),
        execution: run.at("id").word().to_owned(),
    }
}

fn clock_of(answer: &Json) -> Option<index::Clock> {
    index::Clock::parse(answer.at("clock").word())
}

fn state(run: &Json) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in STATE {
        run.at(name).to_string().hash(&mut hasher);
    }
    hasher.finish()
}

/// A change's line, which says `when` it was to a person. In a pipe: kind, project, id, status,
/// beginning, duration, cost, label.
pub(super) fn line(change: &Json, when: &str, out: Out) -> String {
    let kind = change.at("kind").word();
    let run = change.at("summary");
    let name = |project: &str, id: &str| (change.at(project).word(), change.at(id).word());
    let (project, id) = match kind {
        "saved" => (run.at("projectId").word(), run.at("id").word()),
        _ => name("projectId", "executionId"),
    };
    let Some(width) = out.width() else {
        let plain = |value: &Json| match value {
            Json::Null => String::new(),
            value => field(&value.to_string()),
        };
        let fields = ["status", "startedAt", "duration", "costUSD", "label"];
        let fields = fields.map(|member| plain(run.at(member)));
        return format!(
            "{kind}\t{}\t{}\t{}\n",
            field(project),
            field(id),
            fields.join("\t")
        );
    };
    let status = match kind {
        "saved" => run.at("status").word(),
        kind => kind,
    };
    let took = run.at("duration").number().map(span).unwrap_or_default();
    let cost = match run.at("costUSD").number() {
        Some(_) => super::list::dollars(run.at("costUSD")),
        None => String::new(),
    };
    let paint = match kind {
        "saved" => status_paint(status),
        _ => Paint::Dim,
    };
    let mut text = String::new();
    let mut taken = 0;
    for (part, paint) in [
        (when.to_owned(), Paint::Dim),
        (format!("{:<9}", visible(status)), paint),
        (visible(&format!("{project}/{id}")), Paint::Bold),
        (took, Paint::Plain),
        (cost, Paint::Plain),
        (visible(run.at("label").word()), Paint::Plain),
    ] {
        let gap = if taken == 0 { 0 } else { 2 };
        let part = fitted(&part, width.saturating_sub(taken + gap));
        if part.trim().is_empty() {
            continue;
        }
        taken += columns(&part) + gap;
        text.push_str(&" ".repeat(gap));
        text.push_str(&out.paint(&part, paint));
    }
    format!("{}\n", text.trim_end())
}
