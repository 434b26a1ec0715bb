//! Recording live runs from outside: `executions/start` and `executions/update` (section 4 of the
//! protocol), alone, together, against an engine, and under kills of workers and daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runlog::api::ErrorKind;
use serde_json::{Value, json};
use support::place::Mounts;
use support::{Client, Daemon, PATIENCE, Root, record, runlog};

fn stored(root: &Root, project: &str, id: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root.file(project, id)).unwrap()).unwrap()
}

fn update(client: &mut Client, id: &str, what: Value) -> Value {
    client.call("executions/update", &params(id, what))
}

fn params(id: &str, mut what: Value) -> Value {
    what["projectId"] = "p".into();
    what["executionId"] = id.into();
    what
}

#[track_caller]
fn refused(client: &mut Client, id: &str, what: Value, kind: ErrorKind) -> Value {
    let error = client.refused("executions/update", &params(id, what));
    is(&error, kind);
    error
}

#[track_caller]
fn is(error: &Value, kind: ErrorKind) {
    assert_eq!(error["data"]["kind"], kind.word(), "{error}");
    assert_eq!(error["code"], kind.code(), "{error}");
}

#[test]
fn a_run_from_its_start_to_its_end_is_one_whole_record() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let started = client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "name": "Nightly", "input": "go" } }),
    );
    let id = started["executionId"].as_str().unwrap();
    let parts: Vec<&str> = id.split('-').collect();
    let [exec, millis, random] = parts[..] else {
        panic!("{id}");
    };
    assert_eq!(exec, "exec");
    let age = support::now_millis() - millis.parse::<i64>().unwrap();
    assert!((0..60_000).contains(&age), "{id}");
    assert_eq!(random.len(), 9);
    assert!(
        random
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    );
    let record = stored(&root, "p", id);
    assert_eq!(
        record,
        json!({
            "id": id, "projectId": "p", "status": "running", "startedAt": record["startedAt"],
            "tokenUsage": { "input": 0, "output": 0, "total": 0 }, "costUSD": 0, "steps": [],
            "retryCount": 0, "name": "Nightly", "input": "go"
        })
    );
    assert_eq!(started["summary"]["startedAt"], record["startedAt"]);
    assert!(started["summary"]["staleAt"].is_string());

    let first = update(
        &mut client,
        id,
        json!({
            "add": { "costUSD": 0.1, "tokenUsage": { "input": 10, "output": 1 } },
            "steps": [{ "id": "s1", "nodeId": "search", "status": "running" }],
            "ifVersion": started["version"]
        }),
    );
    update(
        &mut client,
        id,
        json!({
            "add": { "costUSD": 0.2, "tokenUsage": { "output": 4 } },
            "steps": [{ "id": "s1", "status": "completed", "output": [1, null] }, { "id": "s2" }],
            "set": { "output": "done", "input": null },
            "ifVersion": first["version"]
        }),
    );
    let ended = update(&mut client, id, json!({ "set": { "status": "completed" } }));
    let record = stored(&root, "p", id);
    assert_eq!(record["costUSD"].to_string(), "0.3");
    assert_eq!(
        record["tokenUsage"],
        json!({ "input": 10, "output": 5, "total": 15 })
    );
    assert_eq!(
        record["steps"],
        json!([
            { "id": "s1", "nodeId": "search", "status": "completed", "output": [1, null] },
            { "id": "s2" }
        ])
    );
    assert_eq!(record.get("input"), None);
    assert_eq!(record["output"], "done");
    assert_eq!(ended["summary"]["completedAt"], record["completedAt"]);
    assert_eq!(ended["summary"]["duration"], record["duration"]);
    assert_eq!(ended["summary"]["costUSD"], 0.3);
    assert_eq!(ended["summary"].get("staleAt"), None);
    // byte for byte what Node would write, and what the version is of
    let bytes = fs::read(root.file("p", id)).unwrap();
    let got = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": id }),
    );
    assert_eq!(got["version"], ended["version"]);
    assert_eq!(ended["summary"]["sizeBytes"], bytes.len());
    // nothing follows an end, not even a sign of life
    for what in [
        json!({}),
        json!({ "set": { "status": "running" } }),
        json!({ "ifVersion": first["version"], "add": { "costUSD": 1 } }),
    ] {
        let error = refused(&mut client, id, what, ErrorKind::AlreadyFinished);
        assert_eq!(error["data"]["status"], "completed");
    }
    assert_eq!(fs::read(root.file("p", id)).unwrap(), bytes);
    let error = client.refused(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": id } }),
    );
    is(&error, ErrorKind::AlreadyExists);
    assert_eq!(error["data"]["currentVersion"], ended["version"]);
    assert_eq!(fs::read(root.file("p", id)).unwrap(), bytes);
}

#[test]
fn what_cannot_be_is_refused_and_the_record_stays() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    root.engine("p", "a", &record("p", "a", "running"));
    let bytes = fs::read(root.file("p", "a")).unwrap();
    for what in [
        json!({ "steps": [{ "nodeId": "n" }] }),
        json!({ "steps": [{ "id": "s" }, { "id": 7 }] }),
        json!({ "steps": [{ "id": "" }] }),
        json!({ "steps": ["s"] }),
        json!({ "steps": { "id": "s" } }),
        json!({ "add": { "costUSD": -0.01 } }),
        json!({ "add": { "costUSD": "0.01" } }),
        json!({ "add": { "costUSD": 1e-40 } }),
        json!({ "add": { "costUSD": 9_000_000_000u64 } }),
        json!({ "add": { "tokenUsage": { "input": -1 } } }),
        json!({ "add": { "tokenUsage": { "input": 1.5 } } }),
        json!({ "add": { "tokenUsage": { "total": 1 } } }),
        json!({ "add": { "tokenUsage": 1 } }),
        json!({ "add": { "cost": 1 } }),
        json!({ "add": 1 }),
        json!({ "set": { "id": "b" } }),
        json!({ "set": { "projectId": "q" } }),
        json!({ "set": { "steps": [] } }),
        json!({ "set": [] }),
        json!({ "set": "status" }),
        json!({ "ifVersion": "none" }),
        json!({ "ifVersion": 1 }),
        json!({ "sets": {} }),
    ] {
        let error = refused(&mut client, "a", what.clone(), ErrorKind::InvalidParams);
        assert!(error["message"].as_str().unwrap().len() > 12, "{error}");
        assert_eq!(fs::read(root.file("p", "a")).unwrap(), bytes, "{what}");
    }
    for raw in [
        r#"{"projectId":"p","executionId":"a","set":{"name":"a","name":"b"}}"#,
        r#"{"projectId":"p","executionId":"a","set":{"\u0069d":"b"}}"#,
        r#"{"projectId":"p","executionId":"a","steps":[{"id":"s","x":{"a":1,"a":2}}]}"#,
    ] {
        client.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"raw","method":"executions/update","params":{raw}}}"#
        ));
        is(&client.next().unwrap()["error"], ErrorKind::InvalidParams);
    }
    let other = json!({ "ifVersion": "0".repeat(32), "add": { "costUSD": 1 } });
    let error = refused(&mut client, "a", other, ErrorKind::VersionConflict);
    let version = runlog::store::version_of(&bytes).to_string();
    assert_eq!(error["data"]["currentVersion"], version);
    // what is stored may be worse than what is sent
    refused(
        &mut client,
        "missing",
        json!({}),
        ErrorKind::ExecutionNotFound,
    );
    let add = json!({ "add": { "costUSD": 1 } });
    refused(
        &mut client,
        "missing",
        add.clone(),
        ErrorKind::ExecutionNotFound,
    );
    assert!(!root.file("p", "missing").exists());
    for (id, text, kind) in [
        ("torn", "{\"id\":", ErrorKind::CorruptExecution),
        ("list", "[]", ErrorKind::CorruptExecution),
        ("words", r#"{"costUSD":"a lot"}"#, ErrorKind::InvalidParams),
    ] {
        fs::write(root.file("p", id), text).unwrap();
        refused(&mut client, id, add.clone(), kind);
        assert_eq!(fs::read_to_string(root.file("p", id)).unwrap(), text);
    }
    fs::write(root.file("p", "odd"), r#"{"steps":{"s":1}}"#).unwrap();
    let step = json!({ "steps": [{ "id": "s" }] });
    refused(&mut client, "odd", step, ErrorKind::CorruptExecution);
    // a name that the file says twice is no reason not to end the run
    fs::write(
        root.file("p", "twice"),
        r#"{"x":1,"status":"queued","x":2,"status":"running"}"#,
    )
    .unwrap();
    update(
        &mut client,
        "twice",
        json!({ "set": { "status": "cancelled" } }),
    );
    let text = fs::read_to_string(root.file("p", "twice")).unwrap();
    assert!(text.starts_with("{\n  \"x\": 1,\n  \"status\": \"cancelled\",\n  \"x\": 2,\n"));
    for execution in [
        json!({ "id": 1 }),
        json!({ "id": "a/b" }),
        json!({ "projectId": "q" }),
        json!([]),
    ] {
        let error = client.refused(
            "executions/start",
            &json!({ "projectId": "p", "execution": execution }),
        );
        is(&error, ErrorKind::InvalidParams);
    }
}

#[test]
fn a_heartbeat_changes_the_time_of_the_file_alone() {
    let root = Root::empty();
    root.engine("p", "a", &record("p", "a", "running"));
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    let file = fs::File::options().append(true).open(root.file("p", "a"));
    file.unwrap().set_modified(old).unwrap();
    let bytes = fs::read(root.file("p", "a")).unwrap();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let list = client.call("executions/list", &json!({ "sync": true }));
    let stale_at = |summary: &Value| summary["staleAt"].as_str().unwrap().to_owned();
    let before = stale_at(&list["executions"][0]);
    let inode = fs::metadata(root.file("p", "a")).unwrap().ino();
    let beaten = update(&mut client, "a", json!({}));
    assert_eq!(fs::metadata(root.file("p", "a")).unwrap().ino(), inode);
    assert_eq!(fs::read(root.file("p", "a")).unwrap(), bytes);
    assert_eq!(beaten["version"], list["executions"][0]["version"]);
    assert!(stale_at(&beaten["summary"]) > before);
    // it was stale, so the sign of life is told
    assert_ne!(beaten["clock"], list["clock"]);
    let again = update(&mut client, "a", json!({ "set": {}, "steps": [] }));
    assert_eq!(again["clock"], beaten["clock"]);
    // anybody may end a run whose recorder is silent
    let ended = update(
        &mut client,
        "a",
        json!({ "set": { "status": "cancelled" } }),
    );
    assert_eq!(ended["summary"]["status"], "cancelled");
}

#[test]
fn every_write_starts_from_the_file_as_it_then_is() {
    let root = Root::empty();
    // events come too late, so that only the file tells
    let mut command = runlog();
    command
        .args(["serve", "--watch", "poll", "--projects"])
        .arg(root.path());
    let (_daemon, mut client) = Daemon::spawn(&mut command);
    client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": "a" } }),
    );
    for number in 1..50 {
        let mut text = stored(&root, "p", "a");
        text["engine"] = number.into();
        root.engine("p", "a", &text);
        update(&mut client, "a", json!({ "add": { "costUSD": 0.01 } }));
        assert_eq!(stored(&root, "p", "a")["engine"], number);
    }
    assert_eq!(stored(&root, "p", "a")["costUSD"].to_string(), "0.49");
    // a run that somebody deleted stays deleted
    fs::remove_file(root.file("p", "a")).unwrap();
    let add = json!({ "add": { "costUSD": 0.01 } });
    refused(&mut client, "a", add, ErrorKind::ExecutionNotFound);
    assert!(!root.file("p", "a").exists());
}

/// Two daemons serve one root where windows do not share one: neither knows what the other does.
#[test]
fn what_two_daemons_add_to_one_run_at_once_is_all_added() {
    const EACH: u32 = 150;
    let root = Root::empty();
    let pairs = [0, 1].map(|_| Daemon::stdio(&root.path()));
    let (_daemons, mut clients): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let start = json!({ "projectId": "p", "execution": { "id": "x" } });
    clients[0].call("executions/start", &start);
    std::thread::scope(|scope| {
        for (which, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..EACH {
                    let step = json!({ "id": format!("{which}-{number}") });
                    let what = json!({ "add": { "costUSD": 1 }, "steps": [step] });
                    client.call("executions/update", &params("x", what));
                }
            });
        }
    });
    let held = stored(&root, "p", "x");
    assert_eq!(held["costUSD"], 2 * EACH);
    assert_eq!(held["steps"].as_array().unwrap().len(), 2 * EACH as usize);
    let folder = root.file("p", "x").parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn updates_that_arrive_during_a_write_share_the_next_one() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": "a" } }),
    );
    let ids: Vec<u64> = (0..300)
        .map(|number| {
            let step =
                json!({ "steps": [{ "id": format!("s{number}") }], "add": { "costUSD": 0.1 } });
            client.request("executions/update", &params("a", step))
        })
        .collect();
    // what comes after them sees them all
    let read = client.request(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "a" }),
    );
    let mut versions = BTreeSet::new();
    for id in ids {
        let answer = client.answer(id);
        versions.insert(answer["result"]["version"].as_str().unwrap().to_owned());
    }
    assert!(versions.len() < 300, "{}", versions.len());
    let execution = &client.answer(read)["result"]["execution"];
    let steps: Vec<String> = execution["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["id"].as_str().unwrap().to_owned())
        .collect();
    let sent: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    assert_eq!(steps, sent, "in the order they were sent");
    assert_eq!(execution["costUSD"].to_string(), "30");

    // each against the version that it expects, of which one can be right
    let version = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "a" }),
    )["version"]
        .clone();
    let mut others: Vec<Client> = (0..8).map(|_| daemon.connect()).collect();
    let what = json!({ "add": { "costUSD": 0.5 }, "ifVersion": version });
    let ids: Vec<u64> = others
        .iter_mut()
        .map(|client| client.request("executions/update", &params("a", what.clone())))
        .collect();
    let mut went_through = 0;
    for (client, id) in others.iter_mut().zip(ids) {
        let answer = client.answer(id);
        match answer.get("result") {
            Some(_) => went_through += 1,
            None => is(&answer["error"], ErrorKind::VersionConflict),
        }
    }
    assert_eq!(went_through, 1);
    assert_eq!(stored(&root, "p", "a")["costUSD"].to_string(), "30.5");
}

#[test]
fn a_large_record_is_written_once_a_second_at_most() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let input = "x".repeat(1_100_000);
    client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": "a", "input": input } }),
    );
    let began = Instant::now();
    let mut writes = BTreeSet::new();
    for number in 0..3 {
        // two share a write, the next two another one
        let ids = [0, 1].map(|half| {
            let step = json!({ "steps": [{ "id": format!("{number}-{half}") }] });
            client.request("executions/update", &params("a", step))
        });
        for (half, id) in ids.into_iter().enumerate() {
            let answer = client.answer(id);
            writes.insert(answer["result"]["version"].as_str().unwrap().to_owned());
            // durable when it is answered
            let steps = stored(&root, "p", "a")["steps"].to_string();
            assert!(steps.contains(&format!("{number}-{half}")));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // a handful
    let most = seconds + 1.0;
    assert!(
        writes.len() as f64 <= most,
        "{} in {seconds} s",
        writes.len()
    );
    assert_eq!(
        stored(&root, "p", "a")["steps"].as_array().unwrap().len(),
        6
    );
}

#[test]
fn an_update_that_waits_for_its_write_can_be_taken_back() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let input = "x".repeat(1_100_000);
    client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": "a", "input": input } }),
    );
    let step = |name: &str| params("a", json!({ "steps": [{ "id": name }] }));
    client.call("executions/update", &step("first"));
    // within the second of the first
    let waiting = client.request("executions/update", &step("taken back"));
    let other = client.request("executions/update", &step("last"));
    client.send(&format!(
        r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{waiting}}}}}"#
    ));
    is(&client.answer(waiting)["error"], ErrorKind::Cancelled);
    let answer = client.answer(other);
    assert!(answer["result"]["version"].is_string(), "{answer}");
    let steps = stored(&root, "p", "a")["steps"].clone();
    assert_eq!(steps, json!([{ "id": "first" }, { "id": "last" }]));
    // and one that is done is not undone
    client.send(&format!(
        r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{other}}}}}"#
    ));
    client.call("ping", &json!({}));
    assert_eq!(stored(&root, "p", "a")["steps"], steps);
}

#[test]
fn a_full_disk_leaves_the_last_good_record() {
    let root = Root::empty();
    let mounts = Mounts::new("mount -t tmpfs -o size=256k none \"$1\"", &root.path());
    let mut command = runlog();
    command.args(["serve", "--projects"]).arg(root.path());
    let (_daemon, mut client) = Daemon::spawn(&mut mounts.inside(&command));
    let started = client.call(
        "executions/start",
        &json!({ "projectId": "p", "execution": { "id": "a" } }),
    );
    let large = json!({ "set": { "output": "x".repeat(400_000) } });
    let small = json!({ "add": { "costUSD": 0.25 } });
    // one that fits is not kept from it by one that does not, though they may share a write
    let ids: Vec<u64> = [&small, &large, &small, &large, &small]
        .into_iter()
        .map(|what| client.request("executions/update", &params("a", what.clone())))
        .collect();
    for (place, id) in ids.into_iter().enumerate() {
        let answer = client.answer(id);
        if place % 2 == 0 {
            assert!(answer["result"]["version"].is_string(), "{answer}");
        } else {
            is(&answer["error"], ErrorKind::StorageFull);
        }
    }
    let got = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "a" }),
    );
    assert_ne!(got["version"], started["version"]);
    assert_eq!(got["execution"]["costUSD"].to_string(), "0.75");
    assert_eq!(got["execution"].get("output"), None);
    // and no folder for what was not begun
    let input = "x".repeat(400_000);
    let start = json!({ "projectId": "new", "execution": { "input": input } });
    is(
        &client.refused("executions/start", &start),
        ErrorKind::StorageFull,
    );
    assert!(!mounts.path(&root.path().join("new")).exists());
}

/// How many updates each of the twenty workers sends.
const UPDATES: u64 = 60;
const WORKERS: u64 = 20;
const RUNS: u64 = 200;

/// A worker's connection; lost, and made again, whenever the daemon dies.
struct Link {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Link {
    /// The answer, or nothing if the connection was lost.
    fn ask(&mut self, method: &str, params: &Value) -> Option<Value> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = UnixStream::connect(&self.socket).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                BufReader::new(stream)
            }
        };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        writeln!(stream.get_mut(), "{request}").ok()?;
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(length) if length > 0 && line.ends_with('\n') => {
                self.stream = Some(stream);
                Some(serde_json::from_str(&line).unwrap())
            }
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The same of what may be asked again and again.
    fn read(&mut self, method: &str, params: &Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.ask(method, params) {
                return answer["result"].clone();
            }
            assert!(Instant::now() < deadline, "nobody serves");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What became of an update: by run, what its step says that it added.
#[derive(Default)]
struct Ledger {
    answered: BTreeSet<(String, String)>,
    sent: BTreeSet<(String, String)>,
}

/// Sends updates until all are answered, repeating those of unknown outcome as the protocol says,
/// and dies now and then with one in flight.
fn work(worker: u64, socket: &Path, ledger: &Mutex<Ledger>, sent: &AtomicU64) {
    let mut random = worker * 0x9e37_79b9 + 12345;
    let mut below = move |end: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % end
    };
    let mut link = Link {
        socket: socket.to_owned(),
        stream: None,
    };
    for number in 0..UPDATES {
        let run = format!("run-{}", below(RUNS));
        let step = format!("{worker}-{number}");
        let entry = (run.clone(), step.clone());
        ledger.lock().unwrap().sent.insert(entry.clone());
        let (cents, input, output) = (below(100), below(1000), below(1000));
        sent.fetch_add(1, Ordering::Relaxed);
        if below(12) == 0 {
            // this worker is killed before it hears the answer, and another takes its place
            let what = json!({
                "steps": [{ "id": step, "cents": cents, "input": input, "output": output }],
                "add": { "costUSD": cents as f64 / 100.0, "tokenUsage": { "input": input, "output": output } }
            });
            let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "executions/update", "params": params(&run, what) });
            if let Ok(mut stream) = UnixStream::connect(socket) {
                let _ = writeln!(stream, "{request}");
            }
            continue;
        }
        loop {
            let get = json!({ "projectId": "p", "executionId": run });
            let got = link.read("executions/get", &get);
            let steps = got["execution"]["steps"].as_array().unwrap();
            if steps.iter().any(|held| held["id"] == step.as_str()) {
                // the try whose answer was lost went through
                break;
            }
            let what = json!({
                "steps": [{ "id": step, "cents": cents, "input": input, "output": output }],
                "add": {
                    "costUSD": cents as f64 / 100.0,
                    "tokenUsage": { "input": input, "output": output }
                },
                "ifVersion": got["version"]
            });
            match link.ask("executions/update", &params(&run, what)) {
                Some(answer) if answer.get("result").is_some() => break,
                Some(answer) => {
                    let kind = answer["error"]["data"]["kind"].as_str().unwrap();
                    assert!(
                        ["version-conflict", "not-ready"].contains(&kind),
                        "{answer}"
                    );
                }
                // unknown: the next look tells
                None => {}
            }
        }
        ledger.lock().unwrap().answered.insert(entry);
    }
}

#[test]
fn under_kills_of_workers_and_daemon_nothing_is_lost_or_counted_twice() {
    let root = Root::empty();
    for number in 0..RUNS {
        let id = format!("run-{number}");
        let mut run = record("p", &id, "running");
        run["costUSD"] = 0.into();
        run["tokenUsage"] = json!({ "input": 0, "output": 0, "total": 0 });
        root.engine("p", &id, &run);
    }
    let mut daemon = Daemon::socket(&root);
    let socket = daemon.socket.clone().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let sent = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (socket, ledger, sent) = (socket.clone(), Arc::clone(&ledger), Arc::clone(&sent));
            std::thread::spawn(move || work(worker, &socket, &ledger, &sent))
        })
        .collect();
    // the daemon is killed whenever so many more updates were begun
    let mut next = 100;
    while !workers.iter().all(std::thread::JoinHandle::is_finished) {
        if sent.load(Ordering::Relaxed) >= next {
            drop(daemon);
            daemon = Daemon::socket(&root);
            next += 100;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for worker in workers {
        worker.join().unwrap();
    }
    // what dead workers sent has happened, or will not
    let mut client = daemon.connect();
    client.call("executions/list", &json!({ "sync": true }));
    drop(client);
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.ends().0.success());

    let ledger = ledger.lock().unwrap();
    let mut held: BTreeMap<(String, String), ()> = BTreeMap::new();
    for number in 0..RUNS {
        let run = format!("run-{number}");
        let record = stored(&root, "p", &run);
        let (mut cents, mut input, mut output) = (0, 0, 0);
        for step in record["steps"].as_array().unwrap() {
            let id = step["id"].as_str().unwrap().to_owned();
            let twice = held.insert((run.clone(), id), ()).is_some();
            assert!(!twice, "{run}: {step} is there twice");
            cents += step["cents"].as_u64().unwrap();
            input += step["input"].as_u64().unwrap();
            output += step["output"].as_u64().unwrap();
        }
        let cost = runlog::model::Money::from_nanos(i64::try_from(cents).unwrap() * 10_000_000);
        assert_eq!(
            record["costUSD"].to_string(),
            cost.unwrap().to_string(),
            "{run}"
        );
        assert_eq!(
            record["tokenUsage"],
            json!({ "input": input, "output": output, "total": input + output }),
            "{run}"
        );
    }
    for entry in &ledger.answered {
        assert!(
            held.contains_key(entry),
            "{entry:?} was answered and is lost"
        );
    }
    for entry in held.keys() {
        assert!(ledger.sent.contains(entry), "{entry:?} came from nowhere");
    }
    assert!(ledger.answered.len() > 800, "{}", ledger.answered.len());
}
