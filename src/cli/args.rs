//! Arguments that several commands take, and what they say to the protocol.
//!
//! There is one filter, the protocol's: `--since` and `--until` become a part of `where`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::terminal::{Out, unless_unread, visible};
use super::time::Clock;
use super::{Failure, RootArgs, json};
use crate::api::{self, ErrorKind};
use crate::cli::client::Client;
use crate::filter::Where;
use crate::model::json::{elements, members};
use crate::model::{Status, nearest, read_span};

/// Which runs.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    pub project: Option<String>,
    /// Only runs with this status, or one of these
    #[arg(short, long, value_name = "STATUS", value_delimiter = ',', value_parser = trimmed,
        add = super::complete::statuses())]
    pub status: Vec<String>,
    /// Only runs that began since: a span (7d, 90m), a date (2025-10-15, 2025-10-15T07:00) or a
    /// word (today, yesterday, monday)
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only runs that began until then, a whole day included
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Only runs that pass this filter, as in `costUSD > 0.5 and error ~ "timeout"`
    #[arg(long = "where", value_name = "FILTER")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub zone: ZoneArgs,
}

/// A status as it is meant where blanks stand between several.
pub(super) fn trimmed(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.trim().to_owned())
}

/// Where nothing was found: that a status is none that is known but near one. Any may be asked for, by
/// a filter and by a policy's rules.
pub(super) fn tell_near_status(params: &Params) {
    let rules = params
        .get("policy")
        .and_then(|policy| policy["rules"].as_array());
    let of_rules = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("status"));
    let statuses = params.get("status").into_iter().chain(of_rules);
    let statuses = statuses.flat_map(|named| match named {
        Value::Array(several) => several.as_slice(),
        only => std::slice::from_ref(only),
    });
    let known = || Status::KNOWN.iter().map(Status::as_str);
    for status in statuses.filter_map(Value::as_str) {
        if !known().any(|known| known == status)
            && let Some(near) = nearest(status, known())
        {
            let status = visible(status);
            tell!("runlog: `{status}` is none of the known statuses; did you mean `{near}`?");
        }
    }
}

/// In which zone.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ZoneArgs {
    /// The time zone of dates, as in Europe/Berlin; otherwise this machine's
    #[arg(short = 'z', long, value_name = "ZONE")]
    pub timezone: Option<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct LimitArgs {
    /// At most so many, from 1 to 1000 [default: 30]
    #[arg(short = 'L', long, value_name = "COUNT", value_parser = count_from::<1>)]
    limit: Option<u32>,
}

/// More than so many are never printed.
pub(super) const LIMIT_MAX: u32 = 1000;
/// And so many where nobody says how many.
const LIMIT: u32 = 30;

/// How many are to be printed.
pub(super) fn count_from<const MIN: u32>(text: &str) -> Result<u32, String> {
    let count = text.parse().ok();
    let count = count.filter(|count| (MIN..=LIMIT_MAX).contains(count));
    count.ok_or_else(|| format!("expected a number from {MIN} to {LIMIT_MAX}"))
}

/// A count of whatever it is.
pub(super) fn whole(text: &str) -> Result<u64, String> {
    let count = text.parse();
    count.map_err(|_| "expected a whole number, without a unit".to_owned())
}

/// A size in bytes, as sizes are printed or as other programs write them.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let read = || {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit: u128 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" => 1000,
            "MB" => 1000_u128.pow(2),
            "GB" => 1000_u128.pow(3),
            "KiB" => 1024,
            "MiB" => 1024_u128.pow(2),
            "GiB" => 1024_u128.pow(3),
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let whole = u128::from(whole.parse::<u64>().ok()?);
        // three digits say all that those who print sizes say
        let len = u32::try_from(part.len()).ok().filter(|len| *len <= 3)?;
        let part = part.parse::<u128>().ok()? * unit / 10_u128.pow(len);
        u64::try_from(whole * unit + part).ok()
    };
    read().ok_or_else(|| "expected a number of bytes, as in 500000, 10kB, 1.5MB or 2GiB".to_owned())
}

/// A span, as it is written.
pub(super) fn span(text: &str) -> Result<String, String> {
    read_span(text).map(|_| text.to_owned())
}

impl LimitArgs {
    /// How many.
    pub(super) fn count(self) -> u32 {
        self.limit.unwrap_or(LIMIT)
    }

    /// Whether somebody says so.
    pub(super) fn is_given(self) -> bool {
        self.limit.is_some()
    }

    /// Tells that these are not all, as in `30 of 40 runs`, and how to see more; `others` is how where
    /// more cannot be asked for. A program that has said how many it wants has them.
    pub(super) fn tell_more(self, what: &str, others: &str, out: Out, text: &mut String) {
        let is_most = self.count() == LIMIT_MAX;
        if self.is_given() && !is_most && !out.is_terminal() {
            return;
        }
        let how = if is_most { others } else { "-L shows more" };
        out.aside(&format!("{what}; {how}"), text);
    }
}

/// For programs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct JsonArgs {
    /// Print the protocol's result, of which FIELDS chooses members, as in id,status: of each row
    /// where there are rows, else of the result
    #[arg(long, value_name = "FIELDS", num_args = 0..=1, require_equals = true,
        value_delimiter = ',', default_missing_value = "", hide_default_value = true)]
    json: Option<Vec<String>>,
}

/// How many runs are named that a beginning may mean.
pub(super) const CANDIDATES: usize = 10;

/// What is asked for.
pub(super) type Params = Map<String, Value>;

/// What every command that asks has.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub root: RootArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

impl ZoneArgs {
    /// Now, in the zone.
    pub(super) fn clock(&self) -> Result<Clock, Failure> {
        Clock::new(self.timezone.as_deref()).map_err(Failure::Usage)
    }
}

impl FilterArgs {
    /// Whether anything but a project is asked for; an empty filter asks for nothing.
    pub(super) fn narrows(&self) -> bool {
        let filter = self.filter.as_deref().unwrap_or_default();
        !self.status.is_empty()
            || self.since.is_some()
            || self.until.is_some()
            || !filter.trim().is_empty()
    }

    /// The params that say so.
    pub(super) fn params(&self) -> Result<Params, Failure> {
        let mut params = Params::new();
        if let Some(project) = &self.project {
            params.insert("projectId".into(), project.as_str().into());
        }
        match self.status.as_slice() {
            [] => {}
            [only] => drop(params.insert("status".into(), only.as_str().into())),
            several => drop(params.insert("status".into(), json!(several))),
        }
        let mut spans = Vec::new();
        for (flag, operator, when) in [
            ("--since", ">=", &self.since),
            ("--until", "<=", &self.until),
        ] {
            let Some(when) = when else { continue };
            let span = began(operator, when);
            if Where::parse(&span).is_err() {
                return Err(Failure::Usage(format!(
                    "{flag}: {} is no span of at least 1s, such as 7d or 90m, no date such as 2025-10-15 \
                        or 2025-10-15T07:00, and no word such as today, yesterday or monday",
                    visible(when)
                )));
            }
            spans.push(span);
        }
        let parts: Vec<String> = match &self.filter {
            Some(filter) if self.since.is_none() && self.until.is_none() => vec![filter.clone()],
            // blanks are the filter that every run passes
            Some(filter) if !filter.trim().is_empty() => {
                // what it is by itself: in brackets it could be something else
                if let Err(error) = Where::parse(filter) {
                    let sent = json!({ "where": filter }).to_string();
                    return Err(Failure::refused(error.into(), &sent));
                }
                std::iter::once(format!("({filter})"))
                    .chain(spans)
                    .collect()
            }
            _ => spans,
        };
        if !parts.is_empty() {
            params.insert("where".into(), parts.join(" and ").into());
        }
        let clock = self.zone.clock()?;
        if clock.zone != chrono_tz::Tz::UTC {
            params.insert("timezone".into(), clock.zone.name().into());
        }
        Ok(params)
    }
}

/// A test of when runs began; a span means so long ago.
fn began(operator: &str, when: &str) -> String {
    let sign = if read_span(when).is_ok() { "-" } else { "" };
    let value = format!("{sign}{when}");
    format!("startedAt {operator} {}", Value::from(value))
}

/// A word as one would type it in a shell, of whatever it consists.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if visible(text) == text {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    spelt(text.as_bytes())
}

/// A path as one would type it in a shell, of whatever bytes it consists.
pub(super) fn quoted_path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    match path.to_str() {
        Some(text) => quoted(text),
        None => spelt(path.as_os_str().as_bytes()),
    }
}

/// A word in which what would act on the terminal is spelt, and what is no text; line ends at its very
/// end stand as they are, because a shell takes them from what a command prints.
fn spelt(word: &[u8]) -> String {
    let ends = word.iter().rev().take_while(|byte| **byte == b'\n').count();
    let (word, ends) = word.split_at(word.len() - ends);
    let mut spelt = String::new();
    let octal = |bytes: &[u8]| -> String {
        let bytes = bytes.iter();
        bytes.map(|byte| format!(r"\0{byte:03o}")).collect()
    };
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            // a shell that is typed into takes `!` for its history in there
            if "'\\!".contains(c) || visible(&c.to_string()) != c.to_string() {
                spelt.push_str(&octal(c.encode_utf8(&mut [0; 4]).as_bytes()));
            } else {
                spelt.push(c);
            }
        }
        spelt.push_str(&octal(chunk.invalid()));
    }
    format!("\"$(printf %b '{spelt}'){}\"", "\n".repeat(ends.len()))
}

/// A command that takes one line, whatever its words hold.
pub(super) fn in_one_line(command: String) -> String {
    match command.contains('\n') {
        true => format!("eval {}", spelt(command.as_bytes())),
        false => command,
    }
}

impl JsonArgs {
    /// Whether a program reads it.
    pub(super) fn wanted(&self) -> bool {
        self.json.is_some()
    }

    /// The members that it wants; all where this is empty.
    pub(super) fn fields(&self) -> Vec<String> {
        let fields = self.json.iter().flatten();
        fields.filter(|field| !field.is_empty()).cloned().collect()
    }

    /// Refuses what no answer of `method` has, or no element of its array `rows`.
    pub(super) fn check(&self, method: &str, rows: Option<&str>) -> Result<(), Failure> {
        if self.fields().is_empty() {
            return Ok(());
        }
        self.check_among(&api::members::of_answer(method, rows))
    }

    /// Refuses what is not known.
    pub(super) fn check_among(&self, known: &[impl AsRef<str>]) -> Result<(), Failure> {
        let known = || known.iter().map(AsRef::as_ref);
        let fields = self.fields();
        let Some(unknown) = fields
            .iter()
            .find(|field| !known().any(|name| name == *field))
        else {
            return Ok(());
        };
        let hint = match nearest(unknown, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let mut names: Vec<&str> = Vec::new();
                for name in known() {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                format!("there are {}", names.join(", "))
            }
        };
        Err(Failure::Usage(format!(
            "--json: nothing is called `{}`; {hint}",
            visible(unknown)
        )))
    }

    /// The result as it is to be printed.
    pub(super) fn of(&self, result: &str, rows: Option<&str>) -> String {
        let fields = self.fields();
        if fields.is_empty() {
            format!("{result}\n")
        } else {
            format!("{}\n", json::chosen(result, rows, &fields))
        }
    }

    /// Prints the result if a program reads it, else what `shown` makes of it.
    pub(super) fn print(
        &self,
        result: &str,
        rows: Option<&str>,
        shown: impl FnOnce(Out) -> String,
    ) -> Result<(), Failure> {
        let out = Out::stdout();
        match self.wanted() {
            true => unless_unread(out.print_json(&self.of(result, rows)))?,
            false => unless_unread(out.print(&shown(out)))?,
        }
        Ok(())
    }

    /// A row of a stream as it is to be printed: a line of its own.
    pub(super) fn row(&self, row: &str) -> String {
        let fields = self.fields();
        if fields.is_empty() {
            format!("{row}\n")
        } else {
            format!("{}\n", json::picked(row, &fields))
        }
    }
}

/// Asks, and prints the result for a program, or what `shown` makes of it for a person.
pub(super) async fn answered(
    client: &mut Client,
    method: &str,
    params: Params,
    json: &JsonArgs,
    rows: Option<&str>,
    shown: impl FnOnce(&json::Json, Out) -> String,
) -> Result<u8, Failure> {
    json.check(method, rows)?;
    let text = client.text(method, params.clone()).await?;
    let of = |wanted: &str| {
        let found = members(&text).find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value)
    };
    let is_empty = || match rows {
        Some(rows) => elements(of(rows)).next().is_none(),
        None => of("totalExecutions") == "0",
    };
    if params.contains_key("status") && is_empty() {
        tell_near_status(&params);
    }
    json.print(&text, rows, |out| shown(&json::Json::read(&text), out))?;
    Ok(0)
}

/// One run.
#[derive(Debug, Clone, Args)]
pub(super) struct WhichArgs {
    /// The run: its id, or `last`; PROJECT/ID where several projects have it
    #[arg(value_name = "RUN", add = super::complete::runs())]
    pub run: String,
    /// Of this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    pub project: Option<String>,
}

/// The params that name a run, as it is written on the command line.
pub(super) fn which(run: &str, project: Option<&str>) -> Params {
    let (project, run) = match run.split_once('/') {
        Some((project, run)) => (Some(project), run),
        None => (project, run),
    };
    let mut params = Params::new();
    if let Some(project) = project {
        params.insert("projectId".into(), project.into());
    }
    params.insert("executionId".into(), run.into());
    params
}

/// Project and id of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// The project.
    pub project: String,
    /// The run's id.
    pub execution: String,
}

impl Key {
    /// As params name it.
    pub(super) fn params(&self) -> Params {
        which(&self.execution, Some(&self.project))
    }

    /// Params that only this run passes.
    pub(super) fn filter(&self) -> Params {
        let mut params = Params::new();
        params.insert("projectId".into(), self.project.as_str().into());
        let id = format!("id = {}", json!(self.execution));
        params.insert("where".into(), id.into());
        params
    }

    /// What lists say of the run, if it is there, and the state at which they do: JSON texts.
    pub(super) async fn listed(
        &self,
        client: &mut Client,
        sync: bool,
    ) -> Result<(Option<String>, String), Failure> {
        let mut params = self.filter();
        params.insert("limit".into(), 1.into());
        if sync {
            params.insert("sync".into(), true.into());
        }
        let list = client.text("executions/list", params).await?;
        let of = |wanted: &str| members(&list).find(|(name, _)| name == wanted);
        let runs = of("executions").map_or("[]", |(_, runs)| runs);
        let clock = of("clock").map_or("null", |(_, clock)| clock);
        let run = elements(runs).next();
        Ok((run.map(str::to_owned), clock.to_owned()))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.execution)
    }
}

impl WhichArgs {
    /// Refuses what names no run, and a run that is written with another project than that of
    /// `--project`.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.run.is_empty() || self.run.ends_with('/') {
            let message = "name a run: its id, or `last`";
            return Err(Failure::Usage(message.to_owned()));
        }
        let of = self.run.split_once('/').map(|(project, _)| project);
        match (of, &self.project) {
            (Some(of), Some(project)) if of != project => {
                let (run, project) = (visible(&self.run), visible(project));
                let message = format!("{run} is not of the project {project} that --project says");
                Err(Failure::Usage(message))
            }
            _ => Ok(()),
        }
    }

    /// The params that name it.
    pub(super) fn params(&self) -> Params {
        which(&self.run, self.project.as_deref())
    }

    /// The run as it is written, if its project is.
    pub(super) fn named(&self) -> Option<Key> {
        let params = self.params();
        let of = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Key {
            project: of("projectId")?,
            execution: of("executionId")?,
        })
    }

    /// Asks for the run that is meant, perhaps by the beginning of its id, and for `more`: which it is,
    /// and the answer.
    pub(super) async fn asked(
        &self,
        client: &mut Client,
        more: Params,
    ) -> Result<(Key, String), Failure> {
        self.answered(client, more).await.map_err(|(_, why)| why)
    }

    /// The same, and of the record as little as can be.
    pub(super) async fn begun(&self, client: &mut Client) -> Result<Key, Failure> {
        Ok(self.asked(client, id_only()).await?.0)
    }

    /// The same; with why there is no answer which run it is, if that is known all the same.
    async fn answered(
        &self,
        client: &mut Client,
        more: Params,
    ) -> Result<(Key, String), (Option<Key>, Failure)> {
        const METHOD: &str = "executions/get";
        self.check().map_err(|why| (None, why))?;
        let mut params = self.params();
        params.extend(more);
        let mut named = self.named();
        let mut answer = client.text(METHOD, params.clone()).await;
        // of a project's runs the daemon takes none by its beginning
        if let (Err(failure), Some(written)) = (&answer, &named)
            && failure.kind() == Some(ErrorKind::ExecutionNotFound)
        {
            let begun = begun(client, written).await;
            if let Some(key) = begun.map_err(|why| (None, why))? {
                params.extend(key.params());
                named = Some(key);
                answer = client.text(METHOD, params).await;
            }
        }
        let text = answer.map_err(|why| (named.clone(), why))?;
        let key = named.unwrap_or_default();
        let answer = json::Json::read(&text);
        // absent where it was given
        let of = |name: &str, given: &str| answer.at(name).text().unwrap_or(given).to_owned();
        let key = Key {
            project: of("projectId", &key.project),
            execution: of("executionId", &key.execution),
        };
        Ok((key, text))
    }

    /// Which run it is, of which the daemon decides, where something is done to it: by its whole name,
    /// because that which is gone may be the beginning of another's.
    pub(super) async fn found(&self, client: &mut Client) -> Result<Key, Failure> {
        let key = self.begun(client).await.map_err(of_whole)?;
        self.whole(key)
    }

    /// The run, if all of its name was written.
    fn whole(&self, key: Key) -> Result<Key, Failure> {
        let written = self.params();
        let written = written.get("executionId").and_then(Value::as_str);
        if written == Some(key.execution.as_str()) || written == Some("last") {
            return Ok(key);
        }
        let (run, key) = (visible(&self.run), visible(&key.to_string()));
        let message = format!("there is no run {run}; name {key} whole if that is meant");
        Err(Failure::Failed(message))
    }

    /// The same as `found`, and how many bytes it has; none where that cannot be read, or is no record.
    pub(super) async fn found_with_size(
        &self,
        client: &mut Client,
    ) -> Result<(Key, Option<u64>), Failure> {
        use ErrorKind::{CorruptExecution, Storage};
        match self.answered(client, id_only()).await {
            Ok((key, text)) => {
                let size = json::Json::read(&text).at("sizeBytes").count();
                Ok((self.whole(key)?, Some(size)))
            }
            // it can only be meant by its whole name
            Err((named, why)) if matches!(why.kind(), Some(CorruptExecution | Storage)) => {
                let key = named.ok_or_else(|| {
                    let run = visible(&self.run);
                    let what = "is no record that can be read; say PROJECT/ID to delete it";
                    Failure::Failed(format!("{run} {what}"))
                });
                Ok((key?, None))
            }
            Err((_, why)) => Err(of_whole(why)),
        }
    }
}

/// What is said of a run that is not there, of one that is meant by its whole name.
fn of_whole(why: Failure) -> Failure {
    why.naming("whose id is, or begins with,", "called")
}

/// Of a record no more than what says which it is.
fn id_only() -> Params {
    let mut only = Params::new();
    only.insert("fields".into(), json!(["/id"]));
    only
}

/// The run of the project whose id begins so, if there is one.
async fn begun(client: &mut Client, named: &Key) -> Result<Option<Key>, Failure> {
    let id = &named.execution;
    let mut params = Params::new();
    params.insert("projectId".into(), named.project.as_str().into());
    // what is contained, of which those that begin with it are taken
    params.insert("where".into(), format!("id ~ {}", json!(id)).into());
    params.insert("fields".into(), json!(["id"]));
    params.insert("limit".into(), 1000.into());
    let mut found: Vec<Key> = Vec::new();
    loop {
        let page = client.ask("executions/list", params.clone()).await?;
        let runs = page.at("executions").items().iter();
        let ids = runs.map(|run| run.at("id").word());
        let begun = ids.filter(|run| run.starts_with(id.as_str()));
        found.extend(begun.map(|run| Key {
            project: named.project.clone(),
            execution: run.to_owned(),
        }));
        match page.at("nextCursor").text() {
            Some(cursor) if found.len() < 2 => {
                params.insert("cursor".into(), cursor.into());
            }
            _ => break,
        }
    }
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let shown = found.iter().take(CANDIDATES);
    let mut names: Vec<String> = shown.map(|key| visible(&key.to_string())).collect();
    if found.len() > CANDIDATES {
        names.push("and more".to_owned());
    }
    let (id, names) = (visible(id), names.join("\n  "));
    let message = format!("{id} may mean several runs; name one of them\n  {names}");
    Err(Failure::Failed(message))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_what_is_printed_or_what_others_write() {
        for (text, bytes) in [
            ("0", 0),
            ("500000", 500_000),
            ("12 B", 12),
            ("10kB", 10_000),
            ("588.0 kB", 588_000),
            ("1.5MB", 1_500_000),
            ("2GB", 2_000_000_000),
            ("1KiB", 1024),
            ("0.5MiB", 1 << 19),
            ("2GiB", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "B",
            "-1",
            "+1",
            "1.",
            ".5kB",
            "1.2.3MB",
            "1.+5MB",
            "1.2345MB",
            "1k",
            "1G",
            "1mb",
            "1 TB x",
            "18446744073709551616",
            "99999999999GiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        for bytes in [7, 588_000, 1_500_000, 2_100_000_000] {
            assert_eq!(size(&crate::cli::time::bytes(bytes)), Ok(bytes));
        }
    }

    /// What shells make of a name that is typed as it is printed, in a command of its own as well.
    fn is_given_back(name: &[u8]) -> Result<(), TestCaseError> {
        let word = quoted_path(Path::new(OsStr::from_bytes(name)));
        let line = in_one_line(format!("printf '%s\\0' {word} {word}"));
        prop_assert_eq!(visible(&line), line.as_str(), "it acts on a terminal");
        let twice = [name, b"\0", name, b"\0"].concat();
        for shell in ["sh", "bash"] {
            let script = format!("printf '%s\\0' {word} {word}");
            for script in [&script, &line] {
                let done = Command::new(shell).args(["-c", script]).output();
                let printed = done.expect("sh and bash are needed").stdout;
                prop_assert_eq!(&printed, &twice, "{}: {}", shell, script);
            }
        }
        Ok(())
    }

    #[test]
    fn a_name_that_ends_a_line_is_no_other() {
        for name in [
            &b"/a/p\n"[..],
            b"/a/p\n\n",
            b"\n",
            b"/a/\xff\n",
            b"/a/it's\\\n",
            b"-n\n",
            b"",
        ] {
            is_given_back(name).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn a_shell_gives_back_exactly_the_name_that_is_printed(
            name in prop::collection::vec(
                prop_oneof![prop::sample::select(b"\n'\"\\%-$`! \t0\xc3\xa9".as_slice()), 1u8..],
                0..12,
            ),
            ends in 0usize..3,
        ) {
            let name = [name, vec![b'\n'; ends]].concat();
            is_given_back(&name)?;
        }
    }
}
