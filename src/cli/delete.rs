//! `runlog delete` and `runlog prune`: what goes, and how to have it back.

use clap::Args;
use serde_json::{Value, json};

use super::args::{
    Common, FilterArgs, JsonArgs, Key, Params, WhichArgs, quoted, quoted_path, size, span,
    tell_near_status, trimmed, whole,
};
use super::ask::SureArgs;
use super::client::Client;
use super::config::{Fault, faults};
use super::interrupt::Interrupts;
use super::json::Json;
use super::root::{Place, find};
use super::terminal::{Out, fitted, visible};
use super::time::{bytes, grouped};
use super::trash::tell_unreadable;
use super::{Failure, RootArgs};
use crate::api::ErrorKind;
use crate::model::json::{elements, members};

/// How many of those that go are named before it is asked whether they may.
const NAMED: usize = 10;
/// And how many are asked for at once where only they are.
const PAGE: u64 = 10_000;
/// Where an answer names them.
const ROWS: &str = "executions";

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub common: Common,
    /// The runs: their ids, or `last`; otherwise those that the filter selects
    #[arg(value_name = "RUN", add = super::complete::runs())]
    runs: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
struct HowArgs {
    /// Only tell what would go: a run a line, as JSON with --json
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// For good, not to the trash
    #[arg(long)]
    permanent: bool,
    #[command(flatten)]
    sure: SureArgs,
}

pub(super) async fn delete(args: &DeleteArgs, client: &mut Client) -> Result<u8, Failure> {
    if !args.runs.is_empty() {
        if args.filter.narrows() {
            let message = "name runs or give a filter, not both".to_owned();
            return Err(Failure::Usage(message));
        }
        return each(args, client).await;
    }
    if !args.filter.narrows() {
        let message = "say what goes: runs by their ids, or a filter such as \
            --where 'startedAt < -90d'";
        return Err(Failure::Usage(message.to_owned()));
    }
    let params = args.filter.params()?;
    going(
        client,
        "executions/deleteMatching",
        params,
        (&args.how, &args.common),
        "match",
    )
    .await
}

/// Deletes runs that are named.
async fn each(args: &DeleteArgs, client: &mut Client) -> Result<u8, Failure> {
    let json = &args.common.json;
    match args.how.dry_run {
        true => json.check("executions/deleteMatching", Some(ROWS))?,
        false => json.check("executions/delete", None)?,
    }
    let meant = args.runs.iter().map(|run| WhichArgs {
        run: run.clone(),
        project: args.filter.project.clone(),
    });
    let meant: Vec<WhichArgs> = meant.collect();
    meant.iter().try_for_each(WhichArgs::check)?;
    let mut keys: Vec<Key> = Vec::new();
    let (mut rows, mut size) = (String::new(), 0);
    for which in &meant {
        let (key, of_run) = which.found_with_size(client).await?;
        if !keys.contains(&key) {
            let (project, execution) = (json!(key.project), json!(key.execution));
            let of_size =
                of_run.map_or(String::new(), |of_run| format!(r#","sizeBytes":{of_run}"#));
            rows.push_str(&json.row(&format!(
                r#"{{"projectId":{project},"executionId":{execution}{of_size}}}"#
            )));
            size += of_run.unwrap_or_default();
            keys.push(key);
        }
    }
    let out = Out::stdout();
    let names: String = keys.iter().map(|key| name(key, out)).collect();
    if args.how.dry_run {
        match json.wanted() {
            true => out.print_json(&rows)?,
            false => out.print(&names)?,
        }
        would_go(&runs(keys.len() as u64, size));
        return Ok(0);
    }
    let what = match keys.as_slice() {
        [only] => format!("run {}", visible(&only.to_string())),
        _ => {
            super::tell_all(&names);
            format!("these {} runs", keys.len())
        }
    };
    let what = match args.how.permanent {
        true => format!("Delete {what} for good, which cannot be undone"),
        false => format!("Move {what} to the trash"),
    };
    // what is asked about; nothing changes while nobody is asked
    let mut asked_about = Vec::new();
    if !args.how.sure.yes {
        for key in &keys {
            asked_about.push(key.listed(client, true).await?.0);
        }
    }
    if !args.how.sure.agreed(&what)? {
        return Ok(1);
    }
    let mut asked_about = asked_about.into_iter();
    let interrupts = Interrupts::new();
    let (mut answers, mut trashed, mut failed) = (Vec::new(), Vec::new(), None);
    // each is meant by its name: one that does not go is a failure
    let mut all_went = true;
    let mut rest = keys.into_iter();
    while !interrupts.came()
        && let Some(key) = rest.next()
    {
        if let Some(was) = asked_about.next() {
            match interrupts.unless(is_as_it_was(&key, was, client)).await {
                Some(Ok(true)) => {}
                Some(Ok(false)) => {
                    tell!("runlog: {} stays: changed", visible(&key.to_string()));
                    all_went = false;
                    continue;
                }
                Some(Err(failure)) => {
                    failed = Some(failure);
                    tell!("runlog: {} stays", visible(&key.to_string()));
                    break;
                }
                None => {
                    tell!("runlog: {} stays", visible(&key.to_string()));
                    break;
                }
            }
        }
        let mut params = key.params();
        params.insert("permanent".into(), args.how.permanent.into());
        let text = interrupts.answer(client, "executions/delete", params);
        let text = match text.await {
            Ok(Some(text)) => text,
            Ok(None) => {
                tell!("runlog: {} stays", visible(&key.to_string()));
                break;
            }
            Err(failure) => {
                if let Some(entry) = failure.says("entry") {
                    tell!("runlog: {} is in the trash", visible(&key.to_string()));
                    trashed.push(entry);
                } else if failure.count("deleted").is_some() {
                    tell!("runlog: {} is deleted", visible(&key.to_string()));
                } else if failure.says("outcome").is_some() {
                    tell_where_to_look(args.how.permanent);
                }
                failed = Some(failure);
                break;
            }
        };
        let answer = Json::read(&text);
        let key = visible(&key.to_string());
        match answer.at("entry").text() {
            _ if !answer.at("deleted").is_true() => {
                tell!("runlog: {key} was gone already");
                all_went = false;
            }
            Some(entry) => {
                tell!("runlog: {key} is in the trash");
                trashed.push(entry.to_owned());
            }
            None => tell!("runlog: {key} is deleted"),
        }
        answers.push(text);
    }
    for key in rest {
        tell!("runlog: {} stays", visible(&key.to_string()));
    }
    if !trashed.is_empty() {
        // a project may be called like a flag
        let flag = if trashed.iter().any(|entry| entry.starts_with('-')) {
            "-- "
        } else {
            ""
        };
        let quoted: Vec<_> = trashed.iter().map(|entry| quoted(entry)).collect();
        tell_undo(&args.common.root, &format!("{flag}{}", quoted.join(" ")));
    }
    let status = interrupts.status(u8::from(!all_went));
    drop(interrupts);
    // last: that nobody reads it stops nothing of what was agreed to
    let printed = answers
        .iter()
        .try_for_each(|text| json.print(text, None, |_| String::new()));
    match failed {
        Some(failure) => Err(failure),
        None => printed.map(|()| status),
    }
}

/// Whether a run is gone, or as a list said that it `was`.
async fn is_as_it_was(
    key: &Key,
    was: Option<String>,
    client: &mut Client,
) -> Result<bool, Failure> {
    let is = key.listed(client, true).await?.0;
    if is == was || is.is_some() {
        return Ok(is == was);
    }
    // what is no record any more is in no list
    let mut params = key.params();
    params.insert("fields".into(), json!(["/id"]));
    match client.text("executions/get", params).await {
        Err(failure) if failure.kind() == Some(ErrorKind::ExecutionNotFound) => Ok(true),
        answer => answer
            .map(|_| false)
            .or_else(|failure| match failure.kind() {
                Some(ErrorKind::CorruptExecution | ErrorKind::TooLarge) => Ok(false),
                _ => Err(failure),
            }),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without a limit on the command line, what [prune] in runlog.toml says. A run's \
    age counts from when it ended, else began, else was written last. Queued, running and paused runs go only where --status names them, queued and running ones \
    only if they are stale."
)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    pub common: Common,
    /// Runs older than this go, as in 90d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_age: Option<String>,
    /// The oldest go until there are so many
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    max_count: Option<u64>,
    /// The oldest go until they have so many bytes, as in 500MB or 2GiB
    #[arg(long, value_name = "BYTES", value_parser = size)]
    max_bytes: Option<u64>,
    /// Only runs of this project go
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    /// Only runs with this status, or one of these, go
    #[arg(short, long, value_name = "STATUS", value_delimiter = ',', value_parser = trimmed,
        add = super::complete::statuses())]
    status: Vec<String>,
    /// So many of the youngest runs of each project stay
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    keep_last: Option<u64>,
    /// Failed runs stay
    #[arg(long)]
    keep_failed: bool,
    /// Let the policy leave no run that has ended
    #[arg(long)]
    everything: bool,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) async fn prune(args: &PruneArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut params = Params::new();
    let limited = args.max_age.is_some() || args.max_count.is_some() || args.max_bytes.is_some();
    if limited {
        let mut rule = Params::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                rule.insert(name.to_owned(), value);
            }
        };
        put("maxAge", args.max_age.clone().map(Value::from));
        put("maxCount", args.max_count.map(Value::from));
        put("maxBytes", args.max_bytes.map(Value::from));
        put("projectId", args.project.clone().map(Value::from));
        put(
            "status",
            Some(json!(args.status)).filter(|_| !args.status.is_empty()),
        );
        let mut policy = json!({ "rules": [rule], "keepFailed": args.keep_failed });
        if let Some(last) = args.keep_last {
            policy["keepLast"] = last.into();
        }
        params.insert("policy".into(), policy);
    } else if args.keep_failed
        || args.keep_last.is_some()
        || args.project.is_some()
        || !args.status.is_empty()
    {
        let message = "say how much may stay: --max-age, --max-count or --max-bytes";
        return Err(Failure::Usage(message.to_owned()));
    }
    if args.everything {
        params.insert("everything".into(), true.into());
    }
    let done = going(
        client,
        "executions/prune",
        params,
        (&args.how, &args.common),
        "go by the policy",
    );
    let done = done.await;
    let is_refused = |failure: &Failure| failure.kind() == Some(ErrorKind::InvalidParams);
    if !limited && done.as_ref().is_err_and(is_refused) {
        tell_foreign(&args.common.root);
    }
    done
}

/// Tells which files say nothing to this user, because another wrote them.
fn tell_foreign(root: &RootArgs) {
    let place = Place::of_process(root.projects.as_deref());
    let found = place.ok().and_then(|place| find(&place).ok());
    let folder = found.and_then(|found| found.root).unwrap_or_default();
    for (file, fault) in faults(&folder, &folder) {
        if let Fault::Foreign(uid) = fault {
            tell!(
                "runlog: {} belongs to user {uid}, and is not used",
                file.display()
            );
        }
    }
}

/// Tells what goes, asks, lets it go, and tells how to have it back.
async fn going(
    client: &mut Client,
    method: &str,
    mut params: Params,
    (how, common): (&HowArgs, &Common),
    why: &str,
) -> Result<u8, Failure> {
    let json = &common.json;
    json.check(method, Some(ROWS))?;
    client.doing = "Choosing runs";
    let mut looked = params.clone();
    looked.insert("dryRun".into(), true.into());
    if how.dry_run {
        return rehearsed(client, method, looked, json).await;
    }
    let planned = client.text(method, looked).await?;
    let plan = Json::read(&planned);
    let (count, emptied) = (plan.at("count").count(), plan.at("emptied").count());
    if count == 0 && emptied == 0 {
        json.print(&planned, Some(ROWS), |_| String::new())?;
        tell!("runlog: no runs {why}");
        tell_in_doubt(&plan);
        tell_near_status(&params);
        return Ok(u8::from(tell_unreadable(&plan)));
    }
    if plan.at("everything").is_true() && !may_leave_none(&params) {
        let message = "the policy would leave no run that has ended, so nothing was done; if that \
            is meant, say --everything";
        return Err(Failure::Failed(message.to_owned()));
    }
    let shown = plan.at(ROWS).items().iter().take(NAMED);
    let names: Vec<String> = shown.map(|run| visible(&key_of(run).to_string())).collect();
    if count > 0 {
        tell!("{}", names.join("\n"));
    }
    if count > names.len() as u64 {
        let more = count - names.len() as u64;
        tell!("and {} more", grouped(&more.to_string()));
    }
    tell_in_doubt(&plan);
    let is_all = !tell_unreadable(&plan);
    let what = match how.permanent {
        true => format!("Delete {} for good, which cannot be undone", sum(&plan)),
        false => format!("Move {} to the trash", sum(&plan)),
    };
    let what = match (count, emptied) {
        (_, 0) => what,
        (0, _) => format!("Remove {} for good", trashed(&plan)),
        _ => format!("{what}, and remove {} for good", trashed(&plan)),
    };
    if !how.sure.agreed(&what)? {
        return Ok(1);
    }
    client.doing = "Deleting";
    // what came or changed while it was asked was not agreed to
    params.insert("plan".into(), plan.at("plan").word().into());
    params.insert("permanent".into(), how.permanent.into());
    let interrupts = Interrupts::new();
    let text = match interrupts.answer(client, method, params).await {
        Ok(Some(text)) => text,
        Ok(None) => {
            tell!("runlog: nothing was done");
            return Ok(interrupts.status(1));
        }
        Err(failure) if failure.says("member").as_deref() == Some("plan") => {
            let why = "nothing was done: who knew what was asked about has ended; run it again";
            return Err(Failure::Failed(why.to_owned()));
        }
        Err(failure) => {
            tell_some(&common.root, &failure, how.permanent);
            return Err(failure);
        }
    };
    let done = Json::read(&text);
    if count > 0 {
        tell!("runlog: {} gone", sum(&done));
    }
    if emptied > 0 {
        tell!("runlog: {} removed for good", trashed(&done));
    }
    let left = emptied.saturating_sub(done.at("emptied").count());
    if left > 0 {
        let left = grouped(&left.to_string());
        let why = match interrupts.came() {
            true => "",
            false => ": the daemon's log says why",
        };
        tell!("runlog: {left} more of the trash were restored, or stay{why}");
    }
    let skipped = done.at("skippedCount").count();
    let mut refused = false;
    for run in done.at("skipped").items() {
        let reason = visible(run.at("reason").word());
        refused |= reason == "refused";
        let key = visible(&key_of(run).to_string());
        match reason.as_str() {
            // they are counted
            "stopped" => {}
            "gone" => tell!("runlog: {key} was gone already"),
            reason => tell!("runlog: {key} stays: {reason}"),
        }
    }
    if interrupts.came() && skipped > 0 || skipped > done.at("skipped").items().len() as u64 {
        tell!("runlog: {} stay in all", grouped(&skipped.to_string()));
    }
    if let Some(batch) = done.at("batch").text() {
        tell_undo(&common.root, &format!("--batch {}", quoted(batch)));
    }
    // others were changed or deleted by somebody, which is no failure
    let status = interrupts.status(u8::from(refused || !is_all));
    drop(interrupts);
    // last: what was done is told also where nobody reads this
    json.print(&text, Some(ROWS), |_| String::new())?;
    Ok(status)
}

/// Tells what went before something failed, and how to have it back.
fn tell_some(root: &RootArgs, failure: &Failure, permanent: bool) {
    match failure.count("deleted") {
        Some(deleted) => {
            let runs = if deleted == 1 { "run" } else { "runs" };
            tell!("runlog: {} {runs} gone", grouped(&deleted.to_string()));
        }
        None if failure.says("outcome").is_some() => tell_where_to_look(permanent),
        None => {}
    }
    if let Some(batch) = failure.says("batch") {
        tell_undo(root, &format!("--batch {}", quoted(&batch)));
    }
}

/// Tells where to see what went, if that is not known.
fn tell_where_to_look(permanent: bool) {
    match permanent {
        true => tell!("runlog: some may be gone: `runlog list` lists what is there"),
        false => tell!("runlog: what went is in the trash: `runlog trash list` lists it"),
    }
}

/// Tells the command that puts `what` back, for the root that was meant.
fn tell_undo(root: &RootArgs, what: &str) {
    let named = root.projects.clone().or_else(super::root::of_environment);
    let of_root = named.map_or(String::new(), |folder| {
        format!("--projects={} ", quoted_path(&folder))
    });
    super::tell_undo(&format!("runlog trash restore {of_root}{what}"));
}

/// Prints all that would go, a run a line, and tells how much that is.
async fn rehearsed(
    client: &mut Client,
    method: &str,
    mut params: Params,
    json: &JsonArgs,
) -> Result<u8, Failure> {
    let out = Out::stdout();
    params.insert("limit".into(), PAGE.into());
    let mut clock = None;
    loop {
        let text = client.text(method, params.clone()).await?;
        let plan = Json::read(&text);
        if json.wanted() {
            let rows = members(&text).find(|(name, _)| name == ROWS);
            let rows = elements(rows.map_or("[]", |(_, rows)| rows));
            let lines: String = rows.map(|row| json.row(row)).collect();
            out.print_json(&lines)?;
        } else {
            let rows = plan.at(ROWS).items().iter();
            let names: String = rows.map(|run| name(&key_of(run), out)).collect();
            out.print(&names)?;
        }
        let changed = clock.is_some_and(|clock| clock != *plan.at("clock"));
        match plan.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => {
                would_go(&sum(&plan));
                tell_in_doubt(&plan);
                if plan.at("count").count() == 0 {
                    tell_near_status(&params);
                }
                let emptied = plan.at("emptied").count();
                if emptied > 0 {
                    tell!("runlog: {} would be removed for good", trashed(&plan));
                }
                tell_unreadable(&plan);
                if plan.at("everything").is_true() && !may_leave_none(&params) {
                    tell!("runlog: that leaves no run that has ended, which needs --everything");
                }
                if changed {
                    tell!("runlog: runs came or went while they were told; say it again");
                }
                return Ok(0);
            }
        }
        clock = Some(plan.at("clock").clone());
    }
}

/// Whether somebody has said that no run need be left that has ended.
fn may_leave_none(params: &Params) -> bool {
    params.get("everything") == Some(&Value::Bool(true))
}

/// Tells how many runs a policy would let go if somebody could say that they are not pinned: that is
/// the only reason that a plan has for what stays.
fn tell_in_doubt(plan: &Json) {
    let count = plan.at("skippedCount").count();
    if count == 0 {
        return;
    }
    let (runs, they) = match count {
        1 => ("run stays", "it is"),
        _ => ("runs stay", "they are"),
    };
    let count = grouped(&count.to_string());
    tell!(
        "runlog: {count} {runs}: whether {they} pinned cannot be read; `runlog problems` names the \
         files"
    );
}

fn would_go(what: &str) {
    tell!("runlog: {what} would go; nothing was done");
}

/// What is removed from the trash.
fn trashed(plan: &Json) -> String {
    let emptied = plan.at("emptied").count();
    format!(
        "{} of the trash,",
        runs(emptied, plan.at("freedBytes").count())
    )
}

/// How many, and how large.
fn sum(answer: &Json) -> String {
    runs(answer.at("count").count(), answer.at("bytes").count())
}

fn runs(count: u64, size: u64) -> String {
    let runs = if count == 1 { "run" } else { "runs" };
    let count = grouped(&count.to_string());
    format!("{count} {runs}, {}", bytes(size))
}

fn key_of(run: &Json) -> Key {
    Key {
        project: run.at("projectId").word().to_owned(),
        execution: run.at("executionId").word().to_owned(),
    }
}

/// A run's line.
fn name(key: &Key, out: Out) -> String {
    let name = visible(&key.to_string());
    match out.width() {
        Some(width) => format!("{}\n", fitted(&name, width)),
        None => format!("{name}\n"),
    }
}
