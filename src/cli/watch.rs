//! `runlog watch`: waits for the end of a run, and exits by how it ended.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::args::{Common, Key, WhichArgs, ZoneArgs};
use super::client::Client;
use super::json::Json;
use super::tail::line;
use super::terminal::{Out, unless_unread, visible};
use super::time::Clock;
use crate::api::ErrorKind;
use crate::api::executions::subscribe::Subscribe;
use crate::api::table::Method;
use crate::model::Millis;
use crate::model::json::members;

/// How often a file that holds no record is looked at: that it goes is told of nobody.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The run failed.
pub(super) const FAILED: u8 = 3;
/// Somebody cancelled it.
pub(super) const CANCELLED: u8 = 4;
/// It is gone, or ended in another way.
pub(super) const OTHERWISE: u8 = 5;

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a change: kind, projectId, id, status, startedAt, duration, \
    costUSD, label\n\nExit status: 0 completed, 3 failed, 4 cancelled, 5 deleted or ended \
    otherwise; 1 and 2 as everywhere."
)]
#[command(mut_arg("json", |arg| arg.help("Print the run as lists have it once it has ended, of which \
    FIELDS chooses members, as in status,costUSD")))]
pub(super) struct WatchArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    zone: ZoneArgs,
}

pub(super) async fn run(args: &WatchArgs, client: &mut Client) -> Result<u8, Failure> {
    let out = Out::stdout();
    args.common
        .json
        .check("executions/list", Some("executions"))?;
    let key = args.which.found(client).await?;
    // a run that is read may have changed long ago
    let print = |text: &str, change: &Json, is_read: bool| match args.common.json.wanted() {
        true => {
            let summary = members(text).find(|(name, _)| name == "summary");
            summary.map_or(Ok(()), |(_, run)| {
                unless_unread(out.print_json(&args.common.json.row(run)))
            })
        }
        false => args.zone.clock().map_or(Ok(()), |clock| {
            let changed = change.at("summary").at("updatedAt").word();
            let when = match is_read {
                true => clock.time_or_date(changed),
                false => clock.time_of_day(),
            };
            unless_unread(out.print(&line(change, &when, out)))
        }),
    };
    let params = Value::Object(key.filter()).to_string();
    client.call(Subscribe::NAME, &params).await?;
    let mut shown = None;
    let (mut look, mut is_torn) = (true, false);
    let mut silence = Silence::default();
    loop {
        let is_read = std::mem::take(&mut look);
        let text = match is_read {
            true => listed(client, &key).await?,
            false => tokio::select! {
                change = client.change() => change?,
                () = tokio::time::sleep(LOOK_EVERY), if is_torn => deleted(&key),
                () = silence.is_too_long() => {
                    silence.tell(&key, &args.zone.clock()?);
                    continue;
                }
            },
        };
        let change = Json::read(&text);
        match change.at("kind").word() {
            "saved" => {
                is_torn = false;
                let status = change.at("summary").at("status").word().to_owned();
                let ended = ended(&status);
                // each status once, for whoever looks on; a program wants the end
                let news = ended.is_some() || (out.is_terminal() && !args.common.json.wanted());
                if news && shown.as_ref() != Some(&status) {
                    print(&text, &change, is_read)?;
                }
                silence.heard(change.at("summary"));
                shown = Some(status);
                if let Some(code) = ended {
                    return Ok(code);
                }
            }
            // others that do not pass are told as well, in case that they did
            "deleted" if is_of(&change, &key) => {
                let shown = visible(&key.to_string());
                if is_gone(client, &key).await? {
                    tell!("runlog: {shown} was deleted before it ended");
                    return Ok(OTHERWISE);
                }
                if !std::mem::replace(&mut is_torn, true) {
                    tell!("runlog: what is in the file of {shown} is no record; waiting for one");
                }
            }
            // what came meanwhile is not known
            "resync" => look = true,
            _ => {}
        }
    }
}

/// Since when nothing is heard of a run that has not ended.
#[derive(Debug, Default)]
struct Silence {
    /// When it was heard of last.
    since: String,
    /// From when on it may be dead; none where that is told, or where it cannot be silent.
    stale_at: Option<Millis>,
    /// Until when it was told.
    told: Option<Millis>,
}

impl Silence {
    /// Takes in what lists say of the run.
    fn heard(&mut self, summary: &Json) {
        self.since = summary.at("updatedAt").word().to_owned();
        let stale_at = summary.at("staleAt").text();
        let stale_at = stale_at.and_then(Millis::parse_rfc3339);
        self.stale_at = stale_at.filter(|at| Some(*at) != self.told);
    }

    /// Until it may be dead. Cancel-safe.
    async fn is_too_long(&self) {
        let Some(at) = self.stale_at else {
            return std::future::pending().await;
        };
        let left =
            at.0.saturating_sub(Millis::from_system(SystemTime::now()).0);
        tokio::time::sleep(Duration::from_millis(left.max(0).unsigned_abs())).await;
    }

    fn tell(&mut self, key: &Key, clock: &Clock) {
        let (key, since) = (visible(&key.to_string()), clock.both(&self.since));
        tell!("runlog: nothing is heard of {key} since {since}: whoever records it may be dead");
        self.told = self.stale_at.take();
    }
}

/// The run as it is, told as a change would be.
async fn listed(client: &mut Client, key: &Key) -> Result<String, Failure> {
    let (run, _) = key.listed(client, true).await?;
    Ok(match run {
        Some(run) => format!(r#"{{"kind":"saved","summary":{run}}}"#),
        None => deleted(key),
    })
}

/// That the run is gone, as a change tells it.
fn deleted(key: &Key) -> String {
    let mut deleted = key.params();
    deleted.insert("kind".into(), "deleted".into());
    Value::Object(deleted).to_string()
}

/// Whether there is no such file: one that is being written in place is no run for a moment, and then
/// told as saved.
async fn is_gone(client: &mut Client, key: &Key) -> Result<bool, Failure> {
    let mut params = key.params();
    params.insert("fields".into(), json!(["/id"]));
    match client.text("executions/get", params).await {
        Ok(_) => Ok(false),
        Err(failure) => match failure.kind() {
            Some(ErrorKind::ExecutionNotFound) => Ok(true),
            Some(ErrorKind::CorruptExecution) => Ok(false),
            _ => Err(failure),
        },
    }
}

/// Whether a change that is no save is one of this run.
fn is_of(change: &Json, key: &Key) -> bool {
    change.at("projectId").word() == key.project && change.at("executionId").word() == key.execution
}

/// The exit status of a run that has ended so; none of one that goes on.
fn ended(status: &str) -> Option<u8> {
    match status {
        "queued" | "running" | "paused" => None,
        "completed" => Some(0),
        "failed" => Some(FAILED),
        "cancelled" => Some(CANCELLED),
        _ => Some(OTHERWISE),
    }
}
