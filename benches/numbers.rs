//! The numbers of the README: what runlog takes, beside the floor that it cannot go below.
//!
//! Each row measures the daemon from outside, over a Unix socket, and its floor in the same run on
//! the same machine: an echo of as many bytes over the same kind of socket, a reading of the same
//! files, a bare watch on the same folder, a bare durable write of the same bytes. What counts is
//! the ratio; the times are this machine's.
//!
//! `cargo bench --bench numbers` uses 100,000 runs of 14 kB (1.4 GB in the temporary folder);
//! `-- --runs N` another number, `-- --quick` only proves that the benches run. Nothing is
//! asserted about time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// How large a record is.
const RECORD_BYTES: usize = 14_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let named = arguments.iter().position(|argument| argument == "--runs");
    let named = named.and_then(|at| arguments.get(at + 1)?.parse().ok());
    let runs: usize = named.unwrap_or(if quick { 500 } else { 100_000 });
    let rounds = if quick { 50 } else { 2000 };

    let folder = tempfile::Builder::new().prefix("runlog-bench-").tempdir()?;
    let root = folder.path().join("projects");
    let threads = std::thread::available_parallelism()?.get();
    println!("{runs} runs of {RECORD_BYTES} bytes, {threads} threads\n");
    println!(
        "{:<34} {:>12} {:>12} {:>12} {:>7}",
        "what", "median", "99th", "floor", "ratio"
    );

    let empty = Daemon::start(&folder.path().join("none"))?;
    let empty_bytes = empty.resident_bytes()?;
    drop(empty);
    let files = generate(&root, runs)?;

    // page cache warm for both: the files were written just now, and are read once before
    read_all(&files, threads)?;
    let floor = read_all(&files, threads)?;
    let began = Instant::now();
    let mut daemon = Daemon::start(&root)?;
    daemon.client.call("executions/stats", &json!({}))?;
    row(
        "first index, to the first answer",
        &mut [began.elapsed()],
        floor,
    );

    let per_run = daemon.resident_bytes()?.saturating_sub(empty_bytes) / runs as u64;
    let echo = Echo::start(folder.path())?;
    let id = "exec-000001";
    for (name, method, params) in [
        ("ping", "ping", json!({})),
        ("list of 50", "executions/list", json!({})),
        (
            "list of 50 at the middle",
            "executions/list",
            json!({ "offset": runs / 2 }),
        ),
        (
            "list of 50 failed",
            "executions/list",
            json!({ "status": "failed" }),
        ),
        (
            "get of 14 kB",
            "executions/get",
            json!({ "projectId": "bench", "executionId": id }),
        ),
        ("stats", "executions/stats", json!({})),
    ] {
        let (mut times, bytes) = daemon.client.time(method, &params, rounds)?;
        row(name, &mut times, median(&mut echo.time(bytes, rounds)?));
    }

    let bench = root.join("bench/executions");
    let mut floor = bare_watch(&bench, rounds.min(500))?;
    let mut times = daemon.notifications(&bench, rounds.min(500))?;
    row(
        "engine's rename to notification",
        &mut times,
        median(&mut floor),
    );

    let mut floor = bare_saves(folder.path(), rounds.min(300))?;
    let mut times = daemon.saves(rounds.min(300))?;
    row("durable save of 14 kB", &mut times, median(&mut floor));

    println!("\nmemory: {per_run} bytes a run above the empty daemon's {empty_bytes}");
    drop(daemon);
    overload(folder.path(), if quick { 500 } else { 100_000 })
}

/// What a subscriber that never reads costs the daemon and another client.
fn overload(folder: &Path, changes: usize) -> Result<(), Failure> {
    let mut measured = Vec::new();
    for stalled in [false, true] {
        let root = folder.join(format!("overload-{stalled}"));
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
        median(&mut times);
        let late = times.get(times.len() * 99 / 100).copied();
        measured.push((late.unwrap_or_default(), daemon.resident_bytes()?));
    }
    let [(floor, without), (late, with)] = measured[..] else {
        return Err("two are compared".into());
    };
    println!(
        "a subscriber that never reads, after {changes} changes: {} bytes more, another client's \
         99th percentile {:.2} times as long ({late:.1?} beside {floor:.1?})",
        with.saturating_sub(without),
        late.as_secs_f64() / floor.as_secs_f64().max(1e-9)
    );
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn row(name: &str, times: &mut [Duration], floor: Duration) {
    let middle = median(times);
    let late = times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default();
    let ratio = middle.as_secs_f64() / floor.as_secs_f64().max(1e-9);
    println!("{name:<34} {middle:>12.1?} {late:>12.1?} {floor:>12.1?} {ratio:>7.2}");
}

fn record(number: usize) -> String {
    let status = ["completed", "completed", "completed", "failed", "running"][number % 5];
    let second = number % 60;
    let minute = number / 60 % 60;
    let step = json!({
        "id": "step-1", "nodeId": "write", "nodeType": "agent", "status": "completed",
        "output": "The quick brown fox jumps over the lazy dog. ".repeat(RECORD_BYTES / 60)
    });
    let record = json!({
        "id": format!("exec-{number:06}"), "projectId": "bench", "status": status,
        "input": "Summarise the open pull requests", "duration": number % 9000,
        "startedAt": format!("2025-10-15T05:{minute:02}:{second:02}.{:03}Z", number % 1000),
        "tokenUsage": { "input": 100, "output": 50, "total": 150 }, "costUSD": 0.001,
        "steps": [step], "retryCount": 0, "output": ""
    });
    let mut text = serde_json::to_string_pretty(&record).unwrap_or_default();
    let missing = RECORD_BYTES.saturating_sub(text.len());
    text = text.replacen(
        "\"output\": \"\"",
        &format!("\"output\": \"{}\"", "x".repeat(missing)),
        1,
    );
    text
}

fn generate(root: &Path, runs: usize) -> Result<Vec<PathBuf>, Failure> {
    let folder = root.join("bench/executions");
    fs::create_dir_all(&folder)?;
    let mut files = Vec::with_capacity(runs);
    for number in 0..runs {
        let file = folder.join(format!("exec-{number:06}.json"));
        fs::write(&file, record(number))?;
        files.push(file);
    }
    Ok(files)
}

/// How long it takes to read all files with as many threads, without looking at them.
fn read_all(files: &[PathBuf], threads: usize) -> Result<Duration, Failure> {
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let readers: Vec<_> = files
            .chunks(files.len().div_ceil(threads).max(1))
            .map(|part| {
                scope.spawn(move || -> std::io::Result<()> {
                    let mut buffer = Vec::new();
                    for file in part {
                        buffer.clear();
                        fs::File::open(file)?.read_to_end(&mut buffer)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for reader in readers {
            reader.join().map_err(|_| "a reader ended early")??;
        }
        Ok(())
    })?;
    Ok(began.elapsed())
}

/// A client that speaks lines.
struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    id: u64,
}

impl Client {
    fn connect(path: &Path) -> Result<Self, Failure> {
        let writer = UnixStream::connect(path)?;
        Ok(Self {
            reader: BufReader::new(writer.try_clone()?),
            writer,
            id: 0,
        })
    }

    fn request(&mut self, method: &str, params: &Value) -> String {
        self.id += 1;
        let id = self.id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        format!("{request}\n")
    }

    fn send(&mut self, method: &str, params: &Value) -> Result<(), Failure> {
        let request = self.request(method, params);
        Ok(self.writer.write_all(request.as_bytes())?)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the daemon closed the connection".into());
        }
        Ok(line)
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        self.send(method, params)?;
        let answer: Value = serde_json::from_str(&self.line()?)?;
        answer
            .get("result")
            .cloned()
            .ok_or_else(|| answer["error"].to_string().into())
    }

    /// How long each of `rounds` requests takes, and how many bytes an answer has.
    fn time(
        &mut self,
        method: &str,
        params: &Value,
        rounds: usize,
    ) -> Result<(Vec<Duration>, usize), Failure> {
        let mut times = Vec::with_capacity(rounds);
        let mut bytes = 0;
        for _ in 0..rounds {
            let request = self.request(method, params);
            let began = Instant::now();
            self.writer.write_all(request.as_bytes())?;
            bytes = self.line()?.len();
            times.push(began.elapsed());
        }
        Ok((times, bytes))
    }
}

struct Daemon {
    child: Child,
    client: Client,
    socket: PathBuf,
}

impl Daemon {
    fn start(root: &Path) -> Result<Self, Failure> {
        let socket = root.with_extension("sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_runlog"))
            .arg("serve")
            .arg("--projects")
            .arg(root)
            .arg(format!("--socket={}", socket.display()))
            .env("XDG_CACHE_HOME", root.with_extension("cache"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        let client = Client::connect(&socket)?;
        Ok(Self {
            child,
            client,
            socket,
        })
    }

    fn resident_bytes(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .ok_or("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib * 1024)
    }

    fn notifications(&self, folder: &Path, rounds: usize) -> Result<Vec<Duration>, Failure> {
        let mut client = Client::connect(&self.socket)?;
        client.call("executions/subscribe", &json!({}))?;
        client.line()?;
        let mut times = Vec::new();
        for number in 0..rounds {
            let began = engine_saves(folder, &format!("live-{number:06}"))?;
            client.line()?;
            times.push(began.elapsed());
        }
        Ok(times)
    }

    fn saves(&mut self, rounds: usize) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::new();
        for number in 0..rounds {
            let mut execution: Value = serde_json::from_str(&record(number))?;
            execution["id"] = json!(format!("saved-{number:06}"));
            let params = json!({ "projectId": "bench", "execution": execution });
            let request = self.client.request("executions/save", &params);
            let began = Instant::now();
            self.client.writer.write_all(request.as_bytes())?;
            self.client.line()?;
            times.push(began.elapsed());
        }
        Ok(times)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Saves as the engine does; from just before the rename.
fn engine_saves(folder: &Path, id: &str) -> Result<Instant, Failure> {
    let temporary = folder.join(format!("{id}.json.tmp"));
    fs::write(&temporary, record(1).replace("exec-000001", id))?;
    let began = Instant::now();
    fs::rename(temporary, folder.join(format!("{id}.json")))?;
    Ok(began)
}

/// From a rename to the callback of a bare watch on the same folder.
fn bare_watch(folder: &Path, rounds: usize) -> Result<Vec<Duration>, Failure> {
    use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
    let (send, receive) = mpsc::channel();
    let config =
        Config::default().with_event_kinds(EventKindMask::MODIFY_NAME | EventKindMask::CREATE);
    let mut watcher = RecommendedWatcher::new(
        move |event: notify::Result<notify::Event>| {
            let ours = event.is_ok_and(|event| {
                event
                    .paths
                    .iter()
                    .any(|path| path.extension().is_some_and(|end| end == "json"))
            });
            if ours {
                let _ = send.send(Instant::now());
            }
        },
        config,
    )?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let mut times = Vec::new();
    for number in 0..rounds {
        while receive.try_recv().is_ok() {}
        let began = engine_saves(folder, &format!("bare-{number:06}"))?;
        times.push(
            receive
                .recv_timeout(Duration::from_secs(10))?
                .duration_since(began),
        );
    }
    Ok(times)
}

/// Writes, syncs, renames and syncs the folder, of a record's bytes.
fn bare_saves(folder: &Path, rounds: usize) -> Result<Vec<Duration>, Failure> {
    let folder = folder.join("bare");
    fs::create_dir_all(&folder)?;
    let mut times = Vec::new();
    for number in 0..rounds {
        let text = record(number);
        let began = Instant::now();
        let temporary = folder.join("temporary");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(format!("{number}.json")))?;
        fs::File::open(&folder)?.sync_all()?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Answers every line with as many bytes as it was asked for.
struct Echo {
    path: PathBuf,
}

impl Echo {
    fn start(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("echo.sock");
        let listener = UnixListener::bind(&path)?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        Ok(Self { path })
    }

    fn time(&self, bytes: usize, rounds: usize) -> Result<Vec<Duration>, Failure> {
        let mut client = Client::connect(&self.path)?;
        let request = format!("{bytes:<100}\n");
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            client.writer.write_all(request.as_bytes())?;
            client.line()?;
            times.push(began.elapsed());
        }
        Ok(times)
    }
}

fn answer(stream: UnixStream) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut text = Vec::new();
    while reader.read_line(&mut line)? > 0 {
        let bytes: usize = line.trim().parse().unwrap_or(1);
        text.resize(bytes, b'x');
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        writer.write_all(&text)?;
        text.fill(b'x');
        line.clear();
    }
    Ok(())
}
