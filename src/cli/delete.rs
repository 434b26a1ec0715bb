//! `runlog delete` and `runlog prune`: what goes, and how to have it back.

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::args::{Common, FilterArgs, JsonArgs, Params, quoted};
use super::ask::SureArgs;
use super::client::Client;
use super::json::Json;
use super::terminal::{Out, visible};
use super::time::{bytes, grouped};

/// How many of those that go are named.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub common: Common,
    /// The runs: ids, beginnings of ids, or `last`; otherwise those that the filter selects
    #[arg(value_name = "RUN", add = super::complete::runs())]
    runs: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
struct HowArgs {
    /// Only tell what would go
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
        (&args.how, &args.common.json),
        "match",
    )
    .await
}

/// Deletes runs that are named.
async fn each(args: &DeleteArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut keys = Vec::new();
    for run in &args.runs {
        let which = super::args::WhichArgs {
            run: run.clone(),
            project: args.filter.project.clone(),
        };
        let key = which.found(client).await?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let out = Out::stdout();
    let names: String = keys
        .iter()
        .map(|key| format!("{}\n", visible(&key.to_string())))
        .collect();
    if args.how.dry_run {
        out.print(&names)?;
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
    if !args.how.sure.agreed(&what)? {
        return Ok(1);
    }
    for key in keys {
        let mut params = key.params();
        params.insert("permanent".into(), args.how.permanent.into());
        let answer = client.text("executions/delete", params).await?;
        args.common.json.print(&answer, None, |_| String::new())?;
        let answer = Json::read(&answer);
        let key = visible(&key.to_string());
        match answer.at("entry").text() {
            _ if !answer.at("deleted").is_true() => tell!("runlog: {key} was gone already"),
            Some(entry) => tell!(
                "runlog: {key} is in the trash; undo: runlog trash restore {}",
                quoted(&visible(entry))
            ),
            None => tell!("runlog: {key} is deleted"),
        }
    }
    Ok(0)
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without a limit on the command line, what [prune] in runlog.toml says. \
    Queued, running and paused runs go only where --status names them, queued and running ones \
    only if they are stale."
)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    pub common: Common,
    /// Runs older than this go, as in 90d
    #[arg(long, value_name = "SPAN")]
    max_age: Option<String>,
    /// The oldest go until there are so many
    #[arg(long, value_name = "COUNT")]
    max_count: Option<u64>,
    /// The oldest go until they have so many bytes
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Only runs of this project go
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    /// Only runs with this status, or one of these, go
    #[arg(short, long, value_name = "STATUS", value_delimiter = ',', add = super::complete::statuses())]
    status: Vec<String>,
    /// So many of the newest runs of each project stay
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<u64>,
    /// Failed runs stay
    #[arg(long)]
    keep_failed: bool,
    /// Let the policy leave no run at all
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
    going(
        client,
        "executions/prune",
        params,
        (&args.how, &args.common.json),
        "go by the policy",
    )
    .await
}

/// Tells what goes, asks, lets it go, and tells how to have it back.
async fn going(
    client: &mut Client,
    method: &str,
    mut params: Params,
    (how, json): (&HowArgs, &JsonArgs),
    why: &str,
) -> Result<u8, Failure> {
    client.doing = "Choosing runs";
    let mut looked = params.clone();
    looked.insert("dryRun".into(), true.into());
    let planned = client.text(method, looked).await?;
    let plan = Json::read(&planned);
    let (count, emptied) = (plan.at("count").count(), plan.at("emptied").count());
    let runs = named(&plan);
    if how.dry_run {
        json.print(&planned, Some("executions"), |_| runs)?;
        tell!("runlog: {} would go; nothing was done", sum(&plan));
        return Ok(0);
    }
    if count == 0 && emptied == 0 {
        json.print(&planned, Some("executions"), |_| String::new())?;
        tell!("runlog: no runs {why}");
        return Ok(0);
    }
    let may_all = params.get("everything") == Some(&Value::Bool(true));
    if plan.at("everything").is_true() && !may_all {
        let message = "the policy would leave no run at all, so nothing was done; if that is meant, \
            say --everything";
        return Err(Failure::Failed(message.to_owned()));
    }
    let shown: Vec<&str> = runs.lines().take(NAMED).collect();
    tell!("{}", shown.join("\n"));
    if count > shown.len() as u64 {
        tell!(
            "and {} more",
            grouped(&(count - shown.len() as u64).to_string())
        );
    }
    let what = match how.permanent {
        true => format!("Delete {} for good, which cannot be undone", sum(&plan)),
        false => format!("Move {} to the trash", sum(&plan)),
    };
    let what = match emptied {
        0 => what,
        _ => format!(
            "{what}, and remove {} deleted runs, {}, for good",
            grouped(&emptied.to_string()),
            bytes(plan.at("freedBytes").count())
        ),
    };
    if !how.sure.agreed(&what)? {
        return Ok(1);
    }
    client.doing = "Deleting";
    params.insert("permanent".into(), how.permanent.into());
    let done = client.text(method, params).await?;
    json.print(&done, Some("executions"), |_| String::new())?;
    let done = Json::read(&done);
    tell!("runlog: {} gone", sum(&done));
    let skipped = done.at("skippedCount").count();
    for run in done.at("skipped").items() {
        let reason = visible(run.at("reason").word());
        let key = format!(
            "{}/{}",
            run.at("projectId").word(),
            run.at("executionId").word()
        );
        tell!("runlog: {} stays: {reason}", visible(&key));
    }
    if skipped > done.at("skipped").items().len() as u64 {
        tell!("runlog: {} stay in all", grouped(&skipped.to_string()));
    }
    if let Some(batch) = done.at("batch").text() {
        tell!(
            "runlog: undo: runlog trash restore --batch {}",
            quoted(batch)
        );
    }
    Ok(0)
}

/// How many, and how large.
fn sum(answer: &Json) -> String {
    let count = answer.at("count").count();
    let runs = if count == 1 { "run" } else { "runs" };
    let count = grouped(&count.to_string());
    format!("{count} {runs}, {}", bytes(answer.at("bytes").count()))
}

/// Those that are told, a line each.
fn named(answer: &Json) -> String {
    let runs = answer.at("executions").items().iter();
    runs.map(|run| {
        let key = format!(
            "{}/{}",
            run.at("projectId").word(),
            run.at("executionId").word()
        );
        format!("{}\n", visible(&key))
    })
    .collect()
}
