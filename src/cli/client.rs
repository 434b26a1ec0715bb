//! The client that every command is.
//!
//! It speaks the protocol to the root's daemon where one of this version listens, and to a session
//! in this process where none does: the same requests to the same code, so that the answers are the
//! same. A daemon that dies is replaced by this process in the middle of what a command does.
//!
//! A daemon knows the files as they were a moment ago, or longer where it has to poll them; this process
//! has just looked. So a daemon is asked to look as well before it first answers out of its index.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::ExitCode;

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::json::Json;
use super::link::{Arrived, Link};
use super::progress::{Screen, Work};
use super::serve::{self, shared};
use super::{Failure, RootArgs, USAGE};
use crate::api::executions::get::Get;
use crate::api::lifecycle::Ping;
use crate::api::table::{Method, entry};
use crate::api::{Error, ErrorKind};

/// What requests tell of themselves under; the answers of one command are never mixed up by it.
const TOKEN: &str = "\"workDoneToken\":\"here\",";
/// What asks for everything that was done to the files before.
const SYNC: &str = "\"sync\":true,";

/// A client of whoever serves the root.
pub(super) struct Client {
    link: Link,
    own: shared::Own,
    last: u64,
    /// Changes that came while an answer was awaited.
    told: VecDeque<Bytes>,
    screen: Screen,
    /// What a bar says while an answer is awaited.
    pub doing: &'static str,
    /// Whether a bar over several requests is shown.
    barred: bool,
    /// Whether what was done to the files before is in the answers, or is of no matter.
    synced: bool,
}

/// A bar over several requests.
#[derive(Debug)]
pub(super) struct Bar {
    progress: watch::Sender<Work>,
    _showing: Option<super::progress::Showing>,
}

impl Bar {
    /// So much is done.
    pub(super) fn reached(&self, done: u64) {
        self.progress.send_modify(|work| work.done = done);
    }
}

/// What a command needs beside the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it asks once, and need not be told what comes later.
    Index,
    /// The same, and soon: it stands in a prompt, or behind what is typed there.
    Glance,
    /// The events that tell what changes.
    Changes,
    /// The text index; it asks once as well.
    Search,
}

/// Runs what a command does with a client, and gives its exit status.
pub(super) fn run(
    root: &RootArgs,
    needs: Needs,
    screen: &Screen,
    command: impl AsyncFnOnce(&mut Client) -> Result<u8, Failure>,
) -> ExitCode {
    let runtime = match serve::runtime() {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    let status = runtime.block_on(async {
        let mut client = match Client::open(root, needs, screen) {
            Ok(client) => client,
            Err(status) => return status,
        };
        let done = command(&mut client).await;
        client.end();
        match done {
            Ok(status) => ExitCode::from(status),
            Err(failure) => failure.told(),
        }
    });
    // what still waits for the disk does not hold up the end
    runtime.shutdown_background();
    status
}

impl Client {
    fn open(root: &RootArgs, needs: Needs, screen: &Screen) -> Result<Self, ExitCode> {
        let (folder, found) = serve::find(root.projects.as_deref())?;
        let read = match found.exists {
            true => std::fs::read_dir(&folder).map(drop),
            false => folder.symlink_metadata().map(drop),
        };
        let shown = folder.display();
        match read {
            Ok(()) if found.exists => {}
            Ok(()) => {
                // none comes in its place
                tell!("runlog: {shown} is no folder");
                return Err(ExitCode::from(USAGE));
            }
            // whoever serves it lists nothing, which would read as if nothing were there
            Err(error) if found.exists || error.kind() == std::io::ErrorKind::PermissionDenied => {
                let error = format!("{shown} cannot be read ({error}); `runlog doctor` tells why");
                return Err(serve::failed(&error));
            }
            // whoever looks at a prompt has not asked
            Err(_) if needs == Needs::Glance => {}
            Err(_) => {
                tell!(
                    "runlog: there is no {shown}; `runlog root --json` tells where it was looked for"
                );
            }
        }
        Self::over(&folder, &found, needs, screen).map_err(|error| serve::failed(&error))
    }

    /// A client of whoever serves `folder`. Says nothing to anybody.
    pub(super) fn over(
        folder: &Path,
        found: &super::root::Found,
        needs: Needs,
        screen: &Screen,
    ) -> Result<Self, String> {
        let (stream, own) = shared::for_command(folder, found, needs)?;
        Ok(Self {
            link: Link::new(stream).map_err(|error| error.to_string())?,
            own,
            last: 0,
            told: VecDeque::new(),
            screen: screen.clone(),
            doing: "Waiting for the answer",
            barred: false,
            synced: needs == Needs::Glance,
        })
    }

    /// Keeps the index where this process has built or changed one.
    pub(super) fn end(&mut self) {
        if let Some(daemon) = self.own.lock().take() {
            daemon.end();
            // the process ends: what it holds goes at once then, and piece by piece otherwise
            std::mem::forget(daemon);
        }
    }

    /// Asks, and gives the result, read.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        params: Map<String, Value>,
    ) -> Result<Json, Failure> {
        Ok(Json::read(&self.text(method, params).await?))
    }

    /// Asks, and gives the result's own text.
    pub(super) async fn text(
        &mut self,
        method: &str,
        params: Map<String, Value>,
    ) -> Result<String, Failure> {
        self.text_unless(method, params, std::future::pending())
            .await
    }

    /// The same; the request is taken back when `stop` is there first, and answered all the same.
    pub(super) async fn text_unless(
        &mut self,
        method: &str,
        params: Map<String, Value>,
        stop: impl Future<Output = ()>,
    ) -> Result<String, Failure> {
        let sync = self.is_first(method, &params);
        let params = Value::Object(params).to_string();
        self.sent(method, &params, sync, stop).await
    }

    /// Asks what somebody has spelt: an object's text, which is sent as it is.
    pub(super) async fn call(&mut self, method: &str, params: &str) -> Result<String, Failure> {
        self.sent(method, params, false, std::future::pending())
            .await
    }

    /// Whether a request is the first that is answered out of an index, and does not say itself whether
    /// the files are to be looked at before.
    fn is_first(&mut self, method: &str, params: &Map<String, Value>) -> bool {
        let takes_it = |method| {
            entry(method).is_some_and(|entry| entry.known_params.iter().any(|name| name == "sync"))
        };
        if self.synced || !takes_it(method) {
            return false;
        }
        // a run that is named whole is read from its file, whatever the index says
        self.synced = method != Get::NAME || !params.contains_key("projectId");
        !params.contains_key("sync")
    }

    /// Whether a daemon answers, and not this process, which has just looked.
    pub(super) async fn is_daemons(&mut self) -> Result<bool, Failure> {
        self.call(Ping::NAME, "{}").await?;
        Ok(self.own.lock().is_none())
    }

    async fn sent(
        &mut self,
        method: &str,
        params: &str,
        mut sync: bool,
        stop: impl Future<Output = ()>,
    ) -> Result<String, Failure> {
        let progress = self.progress(0);
        let bar = match self.barred {
            true => None,
            false => self.screen.show(progress.subscribe()),
        };
        let token = match bar.is_some() && !params.contains("workDoneToken") {
            true => TOKEN,
            false => "",
        };
        // under the same bar
        let is_ours = sync && {
            let never = pin!(std::future::pending());
            let answer = self.asked(Ping::NAME, "{}", &progress, never).await?;
            answer.is_ok() && self.own.lock().is_some()
        };
        self.synced |= is_ours;
        sync &= !is_ours;
        let mut stop = pin!(stop.fuse());
        loop {
            let spelt = with([token, if sync { SYNC } else { "" }], params);
            let asked = self.asked(method, &spelt, &progress, stop.as_mut()).await?;
            match asked {
                Ok(text) => {
                    return String::from_utf8(text.to_vec())
                        .map_err(|_| Failure::Failed("the answer is no text".into()));
                }
                // the first index takes longer than one request waits for it; and a look at files that
                // cannot be read now may never end
                Err(error) if error.kind == ErrorKind::NotReady && !error.is_of_the_end() => {
                    sync = false;
                }
                Err(error) => return Err(Failure::refused(error, params)),
            }
        }
    }

    /// One request, and its answer.
    async fn asked(
        &mut self,
        method: &str,
        spelt: &str,
        progress: &watch::Sender<Work>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Result<Bytes, Error>, Failure> {
        self.last += 1;
        let number = self.last;
        self.link
            .request(number, method, Some(spelt.as_bytes()))
            .map_err(|error| Failure::refused(error, spelt))?;
        let mut stopped = false;
        loop {
            let arrived = tokio::select! {
                arrived = self.link.next() => arrived,
                () = &mut stop, if !stopped => {
                    stopped = true;
                    self.link.cancel(number);
                    continue;
                }
            };
            match arrived {
                Some(Arrived::Answer(of, answer)) if of == number => return Ok(answer),
                Some(Arrived::Answer(..)) => {}
                Some(Arrived::Told(result)) => self.told.push_back(result),
                Some(Arrived::Other(frame)) => self.reported(&frame, progress),
                None => return Err(gone()),
            }
        }
    }

    /// A bar over all requests from here on, which together do so much.
    pub(super) fn bar(&mut self, total: u64) -> Bar {
        self.barred = true;
        let progress = self.progress(total);
        let _showing = self.screen.show(progress.subscribe());
        Bar { progress, _showing }
    }

    fn progress(&self, total: u64) -> watch::Sender<Work> {
        watch::Sender::new(Work {
            what: self.doing.to_owned(),
            done: 0,
            total,
            note: None,
            over: false,
        })
    }

    /// How far a request has come, for the bar.
    fn reported(&self, frame: &Bytes, progress: &watch::Sender<Work>) {
        let text = std::str::from_utf8(frame).unwrap_or_default();
        let message = Json::read(text);
        let value = message.at("params").at("value");
        if message.at("method").word() != "$/progress" || value.at("kind").word() != "report" {
            return;
        }
        let note = value.at("message").word().to_owned();
        progress.send_modify(|work| {
            work.what = match note.strip_suffix(" runs read") {
                Some(_) => "Reading runs".to_owned(),
                None => self.doing.to_owned(),
            };
            work.done = value.at("percentage").count();
            work.total = 100;
            work.note = Some(note.trim_end_matches(" read").to_owned());
        });
    }

    /// The next change that a subscription tells of: its JSON text. Cancel-safe.
    pub(super) async fn change(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Ok(String::from_utf8_lossy(&told).into_owned());
            }
            match self.link.next().await {
                Some(Arrived::Told(result)) => self.told.push_back(result),
                Some(_) => {}
                None => return Err(gone()),
            }
        }
    }
}

/// The text of an object that has these members before its own.
fn with(members: [&str; 2], params: &str) -> String {
    let members = members.concat();
    match params.trim().strip_prefix('{') {
        // without members of its own it has no comma
        Some(rest) if rest.trim_start().starts_with('}') => {
            format!("{{{}{rest}", members.trim_end_matches(','))
        }
        Some(rest) => format!("{{{members}{rest}"),
        None => params.to_owned(),
    }
}

fn gone() -> Failure {
    Failure::Refused {
        error: Error::ending(),
        sent: String::new(),
    }
}
