//! `server/status`: how the daemon is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::executions::wait_for;
use crate::api::lifecycle::Root;
use crate::api::table::{Effect, Example, Method, Weight};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::{Indexing, Progress};

/// At which moment.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "StatusParams")]
pub struct Params {
    /// Everything done to the files before the request is in the answer, which then waits for the
    /// first index, too.
    pub sync: Option<bool>,
}

/// How the daemon is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StatusResult")]
pub struct State {
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// For how long it has been up, in milliseconds.
    pub uptime_ms: u64,
    /// Which root is served.
    pub root: Root,
    /// How many projects have runs.
    pub projects: usize,
    /// How many runs are listed.
    pub executions: usize,
    /// How far the first index has come.
    pub indexing: Progress,
    /// Whether the index went on from what an earlier daemon kept.
    pub restored: bool,
    /// How changes of files are noticed.
    pub watcher: Watching,
    /// How many connections there are.
    pub sessions: usize,
    /// How many findings `server/problems` lists.
    pub problems: usize,
    /// How many deletions are remembered for `since`.
    pub tombstones: usize,
    /// How many files were opened to be read into the index.
    pub files_read: u64,
    /// Memory.
    pub memory: Memory,
    /// The state of the index.
    pub clock: Clock,
}

/// How changes of files are noticed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watching {
    /// The system's interface for file events, or `poll`.
    pub backend: String,
    /// Whether events come for every folder; if not, what they do not tell is polled: its files'
    /// stamps are compared every few seconds.
    pub healthy: bool,
    /// How many folders are watched.
    pub folders: usize,
    /// How often the system lost events; each time everything was compared.
    pub overflows: u64,
    /// How often all stamps are compared, whatever events tell, in milliseconds.
    pub compare_every_ms: u64,
    /// How long that took last, in milliseconds, without reading what differed.
    pub compare_took_ms: u64,
    /// How often all stamps were compared since the start.
    pub compares: u64,
    /// How many projects are polled.
    pub unwatched: usize,
    /// How often they are, in milliseconds; absent where nothing is polled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_every_ms: Option<u64>,
    /// How long that took last, in milliseconds, without reading what differed; absent where
    /// nothing is polled. It takes a tenth of the time at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_took_ms: Option<u64>,
    /// After how long at most a change is noticed in what is polled, in milliseconds: the sum of
    /// the two. Absent where nothing is polled: events tell of every change at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed_within_ms: Option<u64>,
    /// Why something is polled, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Memory.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// What the process has in memory, in bytes; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// What of it is kept of the steps and errors of runs, in bytes: about that much more than the
    /// index would take without.
    pub step_data_bytes: usize,
}

/// The method.
pub struct Status;

impl Method for Status {
    const NAME: &'static str = "server/status";
    const SUMMARY: &'static str = "Tells how the daemon is.";
    const DESCRIPTION: &'static str = "Answers also while the first index is being built.";
    const EFFECT: Effect = Effect::Read;
    const WEIGHT: Weight = Weight::Light;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Params;
    type Result = State;

    async fn call(context: Arc<Context>, params: Params) -> Result<State, Error> {
        if params.sync == Some(true) {
            wait_for(&context, None, params.sync).await?;
        }
        let history = &context.history;
        let (executions, projects, problems, tombstones) = history.sizes();
        Ok(State {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(context.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            root: Root::of(&context),
            projects,
            executions,
            indexing: indexing(*history.progress().borrow(), executions),
            restored: history.was_restored(),
            watcher: watching(&context),
            sessions: context.sessions.load(Ordering::Relaxed),
            problems,
            tombstones,
            files_read: history.files_read(),
            memory: Memory {
                resident_bytes: resident_bytes(),
                step_data_bytes: history.step_bytes(),
            },
            clock: Clock(history.clock()),
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "a small root",
            params: json!({}),
            result: samples::status(),
        }]
    }
}

/// Once it is ready, all that is listed has been looked at.
fn indexing(progress: Progress, executions: usize) -> Progress {
    match progress.state {
        Indexing::Ready => Progress {
            done: executions,
            total: executions,
            ..progress
        },
        _ => progress,
    }
}

fn watching(context: &Context) -> Watching {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let health = context.history.health();
    let comparing = context.history.comparing();
    let polling = comparing.polling;
    let poll_every_ms = polling.map(|polling| millis(polling.every));
    let poll_took_ms = polling.map(|polling| millis(polling.took));
    Watching {
        backend: health.backend.to_owned(),
        healthy: health.unwatched.is_nothing(),
        folders: health.folders,
        overflows: health.overflows,
        compare_every_ms: millis(comparing.every),
        compare_took_ms: millis(comparing.took),
        compares: comparing.times,
        unwatched: polling.map_or(0, |polling| polling.projects),
        poll_every_ms,
        poll_took_ms,
        noticed_within_ms: poll_every_ms
            .zip(poll_took_ms)
            .map(|(every, took)| every.saturating_add(took)),
        message: health.unwatched.reason().map(ToString::to_string),
    }
}

/// The second field of /proc/self/statm, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
