//! The numbers of the README: what runlog takes, beside the floor that it cannot go below.
//!
//! Each row measures the daemon from outside, over a Unix socket, and its floor in the same run on
//! the same machine: an echo of as many bytes over the same kind of socket, a reading of the same
//! files, a bare watch on the same folder, a bare durable write of the same bytes. What counts is
//! the ratio; the times are this machine's. "At most" is what the design asks for; ✗ marks what
//! exceeds it. Nothing is asserted.
//!
//! `cargo bench --bench numbers` lays out 100,000 runs of some 14 kB (1.4 GB), then up to 1,000,000
//! of 1 kB, in the temporary folder. `-- --runs N` changes the first number, `-- --quick` only
//! proves that the benches run, `-- --only WORD` runs the parts whose name begins so, `-- --seconds N`
//! makes the bursts shorter than a minute, and
//! `-- --at DIR` keeps the first data for the next time.

mod daemon;
mod floors;
mod growth;
mod live;
mod one_core;
mod questions;
mod random;
mod records;
mod rivals;
mod search;
mod shell;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use daemon::{Client, Daemon, Echo, Window};
use live::By;

/// Whatever ended a measurement early.
pub type Failure = Box<dyn std::error::Error>;

/// How large, about, a single record is where one is measured.
pub const RECORD_BYTES: usize = 14_000;

struct Plan {
    runs: usize,
    rounds: usize,
    quick: bool,
    only: Option<String>,
    /// How long a burst lasts.
    seconds: u64,
    folder: PathBuf,
}

impl Plan {
    fn wants(&self, part: &str) -> bool {
        self.only
            .as_deref()
            .is_none_or(|only| part.starts_with(only))
    }

    fn pick<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let named = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(socket) = named("--relay") {
        return daemon::relay(&socket);
    }
    if let Some(socket) = named("--echo") {
        return daemon::echo(&socket);
    }
    let made = tempfile::Builder::new().prefix("runlog-bench-").tempdir()?;
    let kept = named("--at").map(PathBuf::from);
    let plan = Plan {
        runs: named("--runs")
            .and_then(|runs| runs.parse().ok())
            .unwrap_or(if quick { 500 } else { 100_000 }),
        rounds: if quick { 50 } else { 2000 },
        quick,
        only: named("--only"),
        seconds: named("--seconds")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(if quick { 2 } else { 60 }),
        folder: kept.clone().unwrap_or_else(|| made.path().to_owned()),
    };
    let threads = std::thread::available_parallelism()?.get();
    // what a run that was ended early left
    for name in [
        "live", "saves", "bulk", "bursts", "growth", "rivals", "empty", "large",
    ] {
        let _ = fs::remove_dir_all(plan.folder.join(name));
        let _ = fs::remove_dir_all(plan.folder.join(name).with_extension("cache"));
    }
    let root = plan.folder.join("projects");
    let files = match fs::read_to_string(plan.folder.join("files")) {
        Ok(kept) => kept.lines().map(PathBuf::from).collect(),
        Err(_) => {
            let files = records::lay_out(&root, plan.runs, 1.0)?;
            if kept.is_some() {
                let lines: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
                fs::write(plan.folder.join("files"), lines.join("\n"))?;
            }
            files
        }
    };
    let bytes: u64 = files
        .iter()
        .filter_map(|file| Some(fs::metadata(file).ok()?.len()))
        .sum();
    println!(
        "{} runs of {} bytes on average, {threads} threads\n",
        files.len(),
        bytes / files.len().max(1) as u64
    );
    table::head();
    if plan.wants("start") {
        starts(&plan, &root, &files)?;
    }
    if plan.wants("requests") {
        requests(&plan, &root)?;
    }
    if plan.wants("questions") {
        questions::ask(&plan, &root, &files)?;
    }
    if plan.wants("search") {
        search::show(&root, &plan.folder, bytes, plan.rounds)?;
    }
    if plan.wants("shell") {
        let rounds = plan.pick(1, 21);
        shell::show(&root, &plan.folder, &files, rounds)?;
    }
    if plan.wants("memory") {
        memory(&plan, &root, files.len())?;
    }
    if plan.wants("live") {
        live_changes(&plan)?;
    }
    if plan.wants("saves") {
        saves(&plan)?;
    }
    if plan.wants("bulk") {
        bulk(&plan)?;
    }
    if plan.wants("burst") {
        bursts(&plan)?;
    }
    if plan.wants("overload") {
        overload(&plan)?;
    }
    if plan.wants("growth") {
        growth::show(&plan.folder.join("growth"), plan.quick)?;
    }
    if plan.wants("rivals") {
        let count = plan.pick(200, 10_000);
        let root = plan.folder.join("rivals");
        records::lay_out(&root, count, 1.0)?;
        rivals::compare(&root, &plan.folder, count, plan.rounds)?;
        fs::remove_dir_all(root)?;
    }
    Ok(())
}

/// The first index, and a start after which nothing has changed.
fn starts(plan: &Plan, root: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    // page cache warm for both: everything is read once before
    floors::read_all(files)?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.pick(1, 5) {
        let _ = fs::remove_dir_all(root.with_extension("cache"));
        floors.push(floors::read_all(files)?);
        let (daemon, took) = Daemon::start_whole(root)?;
        times.push(took);
        daemon.end()?;
    }
    let floor = table::median(&mut floors);
    table::row("first index", &mut times, floor, Some(2.0));
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.pick(1, 5) {
        floors.push(floors::stat_all(files)?);
        let (daemon, took) = Daemon::start_whole(root)?;
        times.push(took);
        daemon.end()?;
    }
    let floor = table::median(&mut floors);
    table::row(
        "start from a snapshot, nothing changed",
        &mut times,
        floor,
        Some(2.0),
    );
    Ok(())
}

fn requests(plan: &Plan, root: &Path) -> Result<(), Failure> {
    let _one = one_core::take()?;
    let mut daemon = Daemon::start_settled(root)?;
    let echo = Echo::start(&plan.folder)?;
    let newest = daemon
        .client
        .call("executions/list", &json!({ "limit": 200 }))?;
    let usual = newest["executions"]
        .as_array()
        .and_then(|runs| {
            let far = |run: &&serde_json::Value| {
                run["sizeBytes"]
                    .as_u64()
                    .unwrap_or(0)
                    .abs_diff(RECORD_BYTES as u64)
            };
            runs.iter().min_by_key(far)
        })
        .cloned()
        .unwrap_or_default();
    let key = json!({ "projectId": usual["projectId"], "executionId": usual["id"] });
    let get = format!("get of {} bytes", usual["sizeBytes"]);
    let middle = json!({ "offset": plan.runs / 2 });
    let failed = json!({ "status": "failed" });
    let mixed = json!({ "status": ["failed", "cancelled", "running"] });
    for (name, method, params, at_most) in [
        ("ping", "ping", &json!({}), None),
        ("list of 50", "executions/list", &json!({}), Some(2.0)),
        (
            "list of 50 at the middle",
            "executions/list",
            &middle,
            Some(2.0),
        ),
        ("list of 50 failed", "executions/list", &failed, Some(2.0)),
        (
            "list of 50 of three statuses",
            "executions/list",
            &mixed,
            Some(2.0),
        ),
        (&*get, "executions/get", &key, Some(2.0)),
        ("stats", "executions/stats", &json!({}), Some(2.0)),
    ] {
        let (mut times, mut floors) = (Vec::new(), Vec::new());
        // in turns, so that a change of the machine's speed meets both
        for _ in 0..10 {
            let (some, bytes) = daemon.client.time(method, params, plan.rounds / 10)?;
            times.extend(some);
            floors.extend(echo.time(bytes, plan.rounds / 10)?);
        }
        let floor = table::median(&mut floors);
        table::row(
            &format!("{name} / echo of as many bytes"),
            &mut times,
            floor,
            at_most,
        );
    }
    forwarded(
        plan,
        root,
        &echo,
        [
            ("ping", "ping", &json!({})),
            ("list of 50", "executions/list", &json!({})),
            (&*get, "executions/get", &key),
        ],
    )?;
    let seconds = plan.pick(1, 20);
    // threads that are kept for a while end
    std::thread::sleep(Duration::from_secs(plan.pick(0, 12)));
    let before = daemon.wake_ups()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let woken = daemon.wake_ups()?.saturating_sub(before);
    table::fact(
        &format!("wake-ups of all threads in {seconds} idle seconds"),
        &woken.to_string(),
        "0",
    );
    Ok(())
}

/// Where the shared daemon of `root` listens.
fn shared_socket(root: &Path, runtime: &Path) -> Result<PathBuf, Failure> {
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_runlog"))
        .args(["socket", "--projects"])
        .arg(root)
        .env("XDG_RUNTIME_DIR", runtime)
        .output()?;
    Ok(String::from_utf8(told.stdout)?.trim().into())
}

/// What `serve --shared` adds to requests to the daemon behind it, beside an echo of as many bytes.
fn forwarded(
    plan: &Plan,
    root: &Path,
    echo: &Echo,
    requests: [(&str, &str, &serde_json::Value); 3],
) -> Result<(), Failure> {
    let runtime = plan.folder.join("runtime");
    fs::create_dir_all(&runtime)?;
    let mut shared = Window::start(root, &runtime, &["--shared", "--idle-exit", "1s"])?;
    shared.client.call("executions/stats", &json!({}))?;
    let greeting = shared.client.call("initialize", &json!({}))?;
    if greeting["shared"]["active"] != true {
        return Err("there is no shared daemon".into());
    }
    let socket = shared_socket(root, &runtime)?;
    let mut direct = Client::connect(&socket)?;
    let mut copied = Window::copying(&socket)?;
    for (name, method, params) in requests {
        let (mut without, mut with, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        let mut least = Vec::new();
        for _ in 0..10 {
            let rounds = plan.rounds / 10;
            let (some, bytes) = direct.time(method, params, rounds)?;
            without.extend(some);
            with.extend(shared.client.time(method, params, rounds)?.0);
            least.extend(copied.client.time(method, params, rounds)?.0);
            floors.extend(echo.time(bytes, rounds)?);
        }
        let floor = table::median(&mut floors);
        let without = table::median(&mut without);
        let middle = table::median(&mut with);
        let added = middle.saturating_sub(without);
        table::ratio_row(
            &format!("{name} through serve --shared, {without:.1?} at its daemon"),
            Some(middle),
            Some(table::late(&with)),
            floor,
            table::ratio(added, floor),
            Some(1.0),
        );
        let middle = table::median(&mut least);
        table::ratio_row(
            &format!("{name} through a relay that only copies"),
            Some(middle),
            Some(table::late(&least)),
            floor,
            table::ratio(middle.saturating_sub(without), floor),
            None,
        );
    }
    Ok(())
}

fn memory(plan: &Plan, root: &Path, runs: usize) -> Result<(), Failure> {
    // both after a first index, and asked once
    let settled = |daemon: &Daemon| {
        std::thread::sleep(Duration::from_millis(plan.pick(100, 3000)));
        daemon.resident_bytes()
    };
    let (mut empty, _) = Daemon::start_whole(&plan.folder.join("empty"))?;
    empty.client.call("executions/list", &json!({}))?;
    let before = settled(&empty)?;
    drop(empty);
    // whoever holds its lock builds the text index, and here nobody does
    Daemon::start_settled(root)?.end()?;
    let _lock = only_lock(&root.with_extension("cache"))?;
    let (mut daemon, _) = Daemon::start_whole(root)?;
    let texts = texts_bytes(&mut daemon.client)?;
    let status = daemon.client.call("server/status", &json!({}))?;
    let steps = status["memory"]["stepDataBytes"].as_u64().unwrap_or(0) / runs as u64;
    let held = settled(&daemon)?.saturating_sub(before) / runs as u64;
    daemon.end()?;
    let daemon = Daemon::start_whole(root)?.0;
    let restored = settled(&daemon)?.saturating_sub(before) / runs as u64;
    daemon.end()?;
    let text = texts / runs as u64;
    let allowed = format!("{}", 250 + text + steps);
    table::fact(
        "memory a run after a first index, without text index, bytes",
        &held.to_string(),
        &allowed,
    );
    table::fact(
        "memory a run after a start from a snapshot, bytes",
        &restored.to_string(),
        &allowed,
    );
    table::fact(
        "… of which label and stored error text",
        &text.to_string(),
        "",
    );
    table::fact(
        "… of which step data and error groups",
        &steps.to_string(),
        "",
    );
    table::fact("the empty daemon, bytes", &before.to_string(), "");
    Ok(())
}

/// The lock of the text index below `cache`, held; everything else there is gone.
fn only_lock(cache: &Path) -> Result<fs::File, Failure> {
    for entry in fs::read_dir(cache.join("runlog"))? {
        let folder = entry?.path();
        let lock = folder.join("search.lock");
        if !lock.is_file() {
            continue;
        }
        for other in fs::read_dir(&folder)? {
            let other = other?.path();
            match other.is_dir() {
                true => fs::remove_dir_all(&other)?,
                false if other != lock => fs::remove_file(&other)?,
                false => {}
            }
        }
        let lock = fs::File::options().write(true).open(lock)?;
        lock.lock()?;
        return Ok(lock);
    }
    Err("there is no text index".into())
}

/// How many bytes of labels and errors the index holds.
fn texts_bytes(client: &mut Client) -> Result<u64, Failure> {
    let mut bytes = 0;
    let mut params = json!({ "limit": 1000 });
    loop {
        let page = client.call("executions/list", &params)?;
        for run in page["executions"].as_array().into_iter().flatten() {
            let length = |name: &str| run[name].as_str().map_or(0, str::len) as u64;
            bytes += length("label") + length("error");
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => params = json!({ "limit": 1000, "cursor": cursor }),
            None => return Ok(bytes),
        }
    }
}

fn live_changes(plan: &Plan) -> Result<(), Failure> {
    let root = plan.folder.join("live");
    let folder = root.join("live/executions");
    fs::create_dir_all(&folder)?;
    let daemon = Daemon::start_settled(&root)?;
    let rounds = plan.pick(20, 1000);
    let pause = Duration::from_millis(1);
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for part in 0..4 {
        floors.extend(floors::bare_watch(&folder, rounds / 4, pause)?);
        // a save that changes nothing is not told
        let numbers = part * rounds / 4..(part + 1) * rounds / 4;
        times.extend(live::notifications(&daemon, &folder, numbers, pause)?);
    }
    let floor = table::median(&mut floors);
    table::row(
        "engine's rename to notification / bare watch",
        &mut times,
        floor,
        Some(5.0),
    );
    drop(daemon);
    fs::remove_dir_all(root)?;
    Ok(())
}

fn saves(plan: &Plan) -> Result<(), Failure> {
    let root = plan.folder.join("saves");
    fs::create_dir_all(&root)?;
    let mut daemon = Daemon::start_settled(&root)?;
    // beside the daemon's: what a file system takes to make a file depends on its folder's neighbours
    let bare = root.join("saves/bare");
    fs::create_dir_all(&bare)?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    // in turns, because a disk is quick and slow by turns
    for number in 0..plan.pick(20, 1000) {
        let id = format!("run-{number:05}");
        let text = live::text("saves", &id, number);
        floors.push(floors::bare_save(&bare, &id, &text)?);
        let execution: serde_json::Value = serde_json::from_str(&text)?;
        let params = json!({ "projectId": "saves", "execution": execution });
        let request = daemon.client.request("executions/save", &params);
        let began = Instant::now();
        daemon.client.write(&request)?;
        daemon.client.line()?;
        times.push(began.elapsed());
    }
    let floor = table::median(&mut floors);
    table::row(
        "durable save of 14 kB / write, fsync, rename, fsync",
        &mut times,
        floor,
        Some(1.3),
    );
    drop(daemon);
    fs::remove_dir_all(root)?;
    Ok(())
}

/// A folder with half the runs goes, and comes again.
fn bulk(plan: &Plan) -> Result<(), Failure> {
    let root = plan.folder.join("bulk");
    let count = plan.pick(500, 100_000);
    records::lay_out(&root, count, 0.1)?;
    let mut daemon = Daemon::start_settled(&root)?;
    let echo = Echo::start(&plan.folder)?;
    let (project, aside) = (root.join(records::PROJECTS[0]), root.join(".aside"));
    let half = daemon.client.call(
        "executions/stats",
        &json!({ "projectId": records::PROJECTS[0] }),
    )?;
    for (what, from, to) in [
        ("removed", &project, &aside),
        ("restored", &aside, &project),
    ] {
        let work = || Ok(fs::rename(from, to)?);
        let waits = live::longest_wait(&mut daemon, &echo, work)?;
        table::longest(
            &format!(
                "{} of {count} runs {what}: longest wait for a list / for an echo",
                half["totalExecutions"]
            ),
            waits.list,
            waits.echo,
            Duration::from_millis(20),
        );
        table::fact(
            "… and until every reader sees it",
            &format!("{:.1?}", waits.took),
            "",
        );
    }
    let mut pruner = daemon::Client::connect(&daemon.socket)?;
    let mut pruned = 0;
    let waits = live::longest_wait(&mut daemon, &echo, || {
        let rule = json!({ "projectId": records::PROJECTS[0], "maxCount": 1 });
        let params = json!({ "policy": { "rules": [rule] } });
        pruned = pruner.call("executions/prune", &params)?["count"]
            .as_u64()
            .unwrap_or_default();
        Ok(())
    })?;
    table::longest(
        &format!("{pruned} of {count} runs pruned: longest wait for a list / for an echo"),
        waits.list,
        waits.echo,
        Duration::from_millis(10),
    );
    table::fact(
        "… and until they are in the trash",
        &format!("{:.1?}", waits.took),
        "",
    );
    drop(daemon);
    fs::remove_dir_all(root)?;
    Ok(())
}

fn bursts(plan: &Plan) -> Result<(), Failure> {
    let root = plan.folder.join("bursts");
    fs::create_dir_all(root.join("live/executions"))?;
    let lasting = Duration::from_secs(plan.seconds);
    let mut daemon = Daemon::start_settled(&root)?;
    let bare = root.join("burst/bare");
    fs::create_dir_all(&bare)?;
    let mut floors = floors::busy_watch(&bare, 1000.0, lasting / 4)?;
    let usual = table::median(&mut floors);
    let floor = table::late(&floors);
    let mut times = Vec::new();
    for number in 0..plan.pick(20, 500) {
        let id = format!("run-{number}");
        times.push(floors::bare_save(
            &bare,
            &id,
            &live::text("bare", &id, number),
        )?);
    }
    let durable = 1.0 / table::median(&mut times).as_secs_f64();
    for (by, who, rate) in [
        (By::Engine, "engine", 1000.0),
        (By::Clients, "clients", (durable / 2.0).min(1000.0)),
    ] {
        let mut burst = live::burst(&mut daemon, &root, by, rate, lasting)?;
        let late = table::late(&burst.latencies);
        let middle = table::median(&mut burst.latencies);
        let name = format!(
            "{:.0} saves a second by the {who}, ten subscribers",
            burst.saves_a_second
        );
        let (floor, most) = match by {
            By::Engine => (floor, 20.0),
            By::Clients => (Duration::from_secs_f64(1.0 / durable), 20.0),
        };
        let ratio = table::ratio(late, floor);
        table::ratio_row(&name, Some(middle), Some(late), floor, ratio, Some(most));
        if by == By::Engine {
            // late ones beside the usual one of a watch alone, and the usual ones
            let ratio = table::ratio(late, usual);
            table::ratio_row("… beside its median", None, Some(late), usual, ratio, None);
            let ratio = table::ratio(middle, usual);
            table::ratio_row("… the medians", Some(middle), None, usual, ratio, Some(5.0));
        }
        table::fact(
            "… memory afterwards, more than before, bytes",
            &burst.grown_bytes.to_string(),
            "",
        );
        table::fact(
            "… every subscriber equal to the files",
            if burst.equal { "yes" } else { "NO" },
            "yes",
        );
    }
    overflow(plan, &mut daemon, &root)?;
    drop(daemon);
    fs::remove_dir_all(root)?;
    Ok(())
}

/// More files at once than the kernel's queue has room for, while the daemon cannot listen.
fn overflow(plan: &Plan, daemon: &mut Daemon, root: &Path) -> Result<(), Failure> {
    let count = plan.pick(20_000, 50_000);
    let before = daemon.client.call("server/status", &json!({}))?;
    daemon.stop_for_now(true)?;
    let folder = root.join("live/executions");
    for number in 0..count {
        fs::write(
            folder.join(format!("checkout-{number}.json")),
            r#"{"status":"completed"}"#,
        )?;
    }
    daemon.stop_for_now(false)?;
    let began = Instant::now();
    let listed = live::list(&mut daemon.client, "live")?;
    let took = began.elapsed();
    let checked_out = listed
        .keys()
        .filter(|id| id.starts_with("checkout"))
        .count();
    std::thread::sleep(Duration::from_secs(plan.pick(1, 10)));
    let after = daemon.client.call("server/status", &json!({}))?;
    let more = |name: &str| {
        let of = |status: &serde_json::Value| status["watcher"][name].as_u64().unwrap_or(0);
        (of(&after) - of(&before)).to_string()
    };
    table::fact(
        &format!("{checked_out} of {count} files past the event queue, all listed after"),
        &format!("{took:.1?}"),
        "",
    );
    table::fact("… times that events were lost", &more("overflows"), "");
    table::fact(
        "… times that everything was compared",
        &more("compares"),
        "",
    );
    Ok(())
}

/// What a subscriber that never reads costs the daemon and another client.
fn overload(plan: &Plan) -> Result<(), Failure> {
    let changes = plan.pick(500, 100_000);
    let mut measured = Vec::new();
    for stalled in [false, true] {
        let root = plan.folder.join(format!("overload-{stalled}"));
        let executions = root.join("p/executions");
        fs::create_dir_all(&executions)?;
        let mut daemon = Daemon::start(&root)?;
        let _never_read = if stalled {
            let mut client = Client::connect(&daemon.socket)?;
            client.call("executions/subscribe", &json!({}))?;
            Some(client)
        } else {
            None
        };
        let mut times = Vec::new();
        for number in 0..changes {
            let id = format!("run-{:04}", number % 5000);
            let temporary = executions.join("temporary.json.tmp");
            fs::write(&temporary, format!(r#"{{"id":"{id}","input":"{number}"}}"#))?;
            fs::rename(temporary, executions.join(format!("{id}.json")))?;
            if number % 20 == 0 {
                times.extend(daemon.client.time("executions/list", &json!({}), 1)?.0);
            }
        }
        daemon
            .client
            .call("executions/list", &json!({ "sync": true }))?;
        times.sort_unstable();
        measured.push((table::late(&times), daemon.resident_bytes()?));
        drop(daemon);
        fs::remove_dir_all(root)?;
    }
    let [(floor, without), (late, with)] = measured[..] else {
        return Err("two are compared".into());
    };
    let name = "a list's 99th beside a subscriber that never reads";
    table::ratio_row(
        name,
        None,
        Some(late),
        floor,
        table::ratio(late, floor),
        Some(2.0),
    );
    table::fact(
        &format!("… and what it costs after {changes} changes, bytes"),
        &with.saturating_sub(without).to_string(),
        "32 MiB",
    );
    Ok(())
}
