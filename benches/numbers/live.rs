//! What happens while the engine saves: how soon clients hear of it, what a minute of it costs,
//! and what a burst larger than the kernel's queue leaves.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::daemon::{Client, Daemon, Echo};
use crate::random::Random;
use crate::records;

/// 2026-01-01T00:00:00Z.
const STARTED_MS: u64 = 1_767_225_600_000;

/// Run `id` of `project`, of the usual size, and `number` tells one version from another.
pub fn text(project: &str, id: &str, number: usize) -> String {
    let mut random = Random::of(number as u64);
    records::record(
        &mut random,
        project,
        id,
        STARTED_MS + number as u64 % 1_000_000,
        crate::RECORD_BYTES,
    )
}

/// A run's text that becomes another version of it without being made anew, which would take longer
/// than all else that is done with it.
struct Template {
    text: String,
    started: Range<usize>,
}

impl Template {
    fn of(project: &str, id: &str, number: usize) -> Self {
        let text = text(project, id, number);
        let begin = text.find("\"startedAt\": \"").map_or(0, |at| at + 14);
        let end = begin + text[begin..].find('"').unwrap_or(0);
        Self {
            text,
            started: begin..end,
        }
    }

    /// When the run began, which no other version has.
    fn started(&self) -> &str {
        &self.text[self.started.clone()]
    }

    fn renumber(&mut self, number: usize) {
        let started = records::date(STARTED_MS + number as u64 % 1_000_000);
        self.text.replace_range(self.started.clone(), &started);
    }
}

/// Saves as the engine does; from just before the rename.
pub fn engine_saves(folder: &Path, id: &str, number: usize) -> Result<Instant, Failure> {
    save_text(folder, id, &text("live", id, number))
}

pub fn save_text(folder: &Path, id: &str, text: &str) -> Result<Instant, Failure> {
    let temporary = folder.join(format!("{id}.json.tmp"));
    fs::write(&temporary, text)?;
    let began = Instant::now();
    fs::rename(temporary, folder.join(format!("{id}.json")))?;
    Ok(began)
}

pub fn wait_until(due: Instant) {
    if let Some(early) = due.checked_duration_since(Instant::now()) {
        std::thread::sleep(early);
    }
}

/// From the engine's rename to the client's having the notification, one at a time.
pub fn notifications(
    daemon: &Daemon,
    folder: &Path,
    numbers: Range<usize>,
    pause: Duration,
) -> Result<Vec<Duration>, Failure> {
    let mut client = Client::connect(&daemon.socket)?;
    client.subscribe()?;
    let mut times = Vec::new();
    for number in numbers {
        std::thread::sleep(pause);
        let began = engine_saves(folder, &format!("live-{number:06}"), number)?;
        client.line()?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// What a subscriber has been told, and when.
struct Heard {
    held: HashMap<String, String>,
    times: Vec<(String, Instant)>,
}

/// What a minute of saves did.
pub struct Burst {
    /// From the rename, or from sending the request, to the notification.
    pub latencies: Vec<Duration>,
    pub saves_a_second: f64,
    /// More than before it, after it.
    pub grown_bytes: i64,
    /// Whether every subscriber holds what the files say.
    pub equal: bool,
}

/// Who saves in a burst.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    Engine,
    Clients,
}

const SUBSCRIBERS: usize = 10;
/// How many runs are saved in turn.
pub const IDS: usize = 2_000;

/// `rate` saves a second for `lasting`, with ten subscribers.
pub fn burst(
    daemon: &mut Daemon,
    root: &Path,
    by: By,
    rate: f64,
    lasting: Duration,
) -> Result<Burst, Failure> {
    let project = "burst";
    let folder = root.join(project).join("executions");
    fs::create_dir_all(&folder)?;
    // the runs are there before, so that the index has nothing to grow for
    let mut runs = Vec::with_capacity(IDS);
    for number in 0..IDS {
        let id = format!("run-{number:05}");
        let run = Template::of(project, &id, number);
        save_text(&folder, &id, &run.text)?;
        runs.push(run);
    }
    daemon
        .client
        .call("executions/list", &json!({ "sync": true, "limit": 1 }))?;
    std::thread::sleep(Duration::from_millis(500));
    let before = daemon.resident_bytes()?;

    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut client = Client::connect(&daemon.socket)?;
        client.subscribe()?;
        subscribers.push(std::thread::spawn(move || hear(client)));
    }
    let began = Instant::now();
    let mut sent: HashMap<String, Instant> = HashMap::new();
    let total = (rate * lasting.as_secs_f64()) as usize;
    let (pass, answered): (Sender<String>, Receiver<String>) = mpsc::channel();
    let saving = match by {
        By::Engine => None,
        By::Clients => Some(std::thread::spawn({
            let socket = daemon.socket.clone();
            move || save_as_clients(&socket, &answered)
        })),
    };
    for number in 0..total {
        wait_until(began + Duration::from_secs_f64(number as f64 / rate));
        let id = format!("run-{:05}", number % IDS);
        let run = &mut runs[number % IDS];
        run.renumber(number + IDS);
        let at = match by {
            By::Engine => save_text(&folder, &id, &run.text)?,
            By::Clients => {
                let at = Instant::now();
                pass.send(format!(
                    r#"{{"jsonrpc":"2.0","id":{number},"method":"executions/save","params":{{"projectId":"{project}","execution":{}}}}}"#,
                    run.text.replace('\n', " ")
                ))?;
                at
            }
        };
        // told apart by what it started at, which no other save of the run has
        sent.insert(format!("{id} {}", run.started()), at);
    }
    drop(pass);
    if let Some(saving) = saving {
        saving
            .join()
            .map_err(|_| "the savers ended early")?
            .map_err(|error| error.to_string())?;
    }
    let took = began.elapsed();
    // runs that were saved close together may be told in another order, so all are taken in first
    daemon
        .client
        .call("executions/list", &json!({ "sync": true, "limit": 1 }))?;
    // the last word of everybody: a run that ends it
    // another one each time, because a save that changes nothing is not told
    engine_saves(&folder, "the-end", total + by as usize)?;
    let mut heard = Vec::new();
    for subscriber in subscribers {
        heard.push(
            subscriber
                .join()
                .map_err(|_| "a subscriber ended early")?
                .map_err(|error| error.to_string())?,
        );
    }
    let listed = list(&mut daemon.client, project)?;
    let equal = heard.iter().all(|heard| {
        heard
            .held
            .iter()
            .all(|(id, version)| listed.get(id) == Some(version))
    }) && heard
        .iter()
        .all(|heard| heard.held.len() == total.min(IDS) + 1);
    let mut latencies: Vec<Duration> = heard
        .iter()
        .flat_map(|heard| &heard.times)
        .filter_map(|(what, at)| Some(at.duration_since(*sent.get(what)?)))
        .collect();
    latencies.sort_unstable();
    drop(heard);
    std::thread::sleep(Duration::from_secs(1));
    let after = daemon.resident_bytes()?;
    Ok(Burst {
        latencies,
        saves_a_second: total as f64 / took.as_secs_f64(),
        grown_bytes: after.cast_signed() - before.cast_signed(),
        equal,
    })
}

/// Reads notifications until the run that ends it.
fn hear(mut client: Client) -> Result<Heard, Box<dyn std::error::Error + Send + Sync>> {
    let mut heard = Heard {
        held: HashMap::new(),
        times: Vec::new(),
    };
    loop {
        let line = client.line().map_err(|error| error.to_string())?;
        let at = Instant::now();
        let message: Value = serde_json::from_str(&line)?;
        let change = &message["params"]["result"];
        let run = &change["summary"];
        let (Some(id), Some(version)) = (run["id"].as_str(), run["version"].as_str()) else {
            return Err(format!("not a save: {change}").into());
        };
        let started = run["startedAt"].as_str().unwrap_or("");
        heard.times.push((format!("{id} {started}"), at));
        heard.held.insert(id.to_owned(), version.to_owned());
        if id == "the-end" {
            return Ok(heard);
        }
    }
}

/// Sends what it is given over four connections, each waiting for its answer before the next.
fn save_as_clients(
    socket: &Path,
    requests: &Receiver<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let failed = |error: Failure| error.to_string();
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for _ in 0..4 {
            let (send, receive) = mpsc::sync_channel::<String>(1024);
            let mut client = Client::connect(socket).map_err(failed)?;
            let lane = scope.spawn(move || -> Result<(), String> {
                for request in receive {
                    client.write(&format!("{request}\n")).map_err(failed)?;
                    let answer = client.line().map_err(failed)?;
                    if !answer.contains("\"result\"") {
                        return Err(answer);
                    }
                }
                Ok(())
            });
            lanes.push((send, lane));
        }
        for (number, request) in requests.iter().enumerate() {
            lanes[number % 4].0.send(request)?;
        }
        for (send, lane) in lanes {
            drop(send);
            lane.join().map_err(|_| "a saver ended early")??;
        }
        Ok(())
    })
}

/// Every run of a project with its version.
pub fn list(client: &mut Client, project: &str) -> Result<HashMap<String, String>, Failure> {
    let mut listed = HashMap::new();
    let mut params = json!({ "projectId": project, "limit": 1000, "sync": true });
    loop {
        let page = client.call("executions/list", &params)?;
        for run in page["executions"].as_array().into_iter().flatten() {
            if let (Some(id), Some(version)) = (run["id"].as_str(), run["version"].as_str()) {
                listed.insert(id.to_owned(), version.to_owned());
            }
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => {
                params = json!({ "projectId": project, "limit": 1000, "cursor": cursor })
            }
            None => return Ok(listed),
        }
    }
}

/// What a change of many runs costs those who read meanwhile.
pub struct Waits {
    /// The longest for a list, …
    pub list: Duration,
    /// … and for an echo by a process that has nothing to do with it, asked for in turn.
    pub echo: Duration,
    /// Until every reader sees the change.
    pub took: Duration,
}

/// How long readers wait while `work` is done and taken in.
pub fn longest_wait(
    daemon: &mut Daemon,
    echo: &Echo,
    work: impl FnOnce() -> Result<(), Failure> + Send,
) -> Result<Waits, Failure> {
    let mut client = Client::connect(&daemon.socket)?;
    let mut other = echo.connect()?;
    let (done, is_done) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || -> Result<[Duration; 2], String> {
            let mut longest = [Duration::ZERO; 2];
            while is_done.try_recv().is_err() {
                let (times, _) = client
                    .time("executions/list", &json!({ "limit": 1 }), 1)
                    .map_err(|error| error.to_string())?;
                let answered = Echo::once(&mut other, "x\n").map_err(|error| error.to_string())?;
                longest = [longest[0].max(times[0]), longest[1].max(answered)];
            }
            Ok(longest)
        });
        let began = Instant::now();
        let worked = scope
            .spawn(move || work().map_err(|error| error.to_string()))
            .join();
        daemon
            .client
            .call("executions/list", &json!({ "sync": true, "limit": 1 }))?;
        let took = began.elapsed();
        let _ = done.send(());
        worked.map_err(|_| "the work ended early")??;
        let [list, echo] = reader.join().map_err(|_| "the reader ended early")??;
        Ok(Waits { list, echo, took })
    })
}
