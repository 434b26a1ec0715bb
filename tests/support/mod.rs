//! Drives the real program: starts it, speaks to it, ends it, plays the engine.
//!
//! A client here waits for what must come with a deadline, and fails when it is dropped while a
//! message is left unread, so that no answer comes twice unseen.

#![allow(dead_code)] // each test file uses a part of it
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

pub mod place;
pub mod tools;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test.
pub fn runlog() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runlog"));
    command
        .env_remove("RUNLOG_PROJECTS")
        .env_remove("RUNLOG_LOG")
        .env("XDG_CACHE_HOME", cache())
        // what the user of this machine has configured is no test's
        .env("XDG_CONFIG_HOME", cache().join("none"));
    command
}

/// Where the program under test keeps its indexes.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// Milliseconds since 1970.
pub fn now_millis() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A root in a folder of its own, removed in the end.
pub struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    /// An empty root.
    pub fn empty() -> Self {
        let root = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(root.path()).unwrap();
        root
    }

    /// The sample projects.
    pub fn samples() -> Self {
        let root = Self::empty();
        runlog::api::samples::lay_out(&root.path()).unwrap();
        root
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("projects")
    }

    /// A path beside the root.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, project: &str, id: &str) -> PathBuf {
        self.path()
            .join(project)
            .join("executions")
            .join(format!("{id}.json"))
    }

    /// Saves as the engine does.
    pub fn engine(&self, project: &str, id: &str, record: &Value) {
        let text = serde_json::to_string_pretty(record).unwrap();
        runlog::api::samples::save_as_engine(&self.path(), project, id, &text).unwrap();
    }
}

/// A record with nothing special.
pub fn record(project: &str, id: &str, status: &str) -> Value {
    json!({
        "id": id, "projectId": project, "status": status, "input": "do it",
        "startedAt": "2025-10-15T05:02:46.569Z", "costUSD": 0.001, "steps": [], "retryCount": 0,
        "tokenUsage": { "input": 100, "output": 50, "total": 150 }
    })
}

/// A daemon and, unless it serves a socket, the client on its pipes.
pub struct Daemon {
    child: Child,
    pub socket: Option<PathBuf>,
}

impl Daemon {
    /// Serves `root` on stdio.
    pub fn stdio(root: &Path) -> (Self, Client) {
        Self::spawn(runlog().arg("serve").arg("--projects").arg(root))
    }

    /// The daemon that `command` starts on stdio.
    pub fn spawn(command: &mut Command) -> (Self, Client) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runlog starts");
        let input = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        (
            Self {
                child,
                socket: None,
            },
            Client::over(Box::new(input), output),
        )
    }

    /// Serves `root` on a socket beside it.
    pub fn socket(root: &Root) -> Self {
        let path = root.beside("s.sock");
        let mut child = runlog()
            .arg("serve")
            .arg("--projects")
            .arg(root.path())
            .arg(format!("--socket={}", path.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runlog starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("one line when it is ready");
        assert_eq!(ready["socket"], path.display().to_string());
        assert_eq!(ready["pid"], child.id());
        Self {
            child,
            socket: Some(path),
        }
    }

    /// A new client of a socket daemon.
    pub fn connect(&self) -> Client {
        Client::connect(self.socket.as_ref().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// What it has in memory.
    pub fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// The most it ever had in memory.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// How it ends, and how long that took from now.
    pub fn ends(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that speaks lines.
pub struct Client {
    input: Option<Box<dyn Write + Send>>,
    messages: Receiver<Value>,
    /// Read, but not asked for yet.
    kept: VecDeque<Value>,
    id: u64,
    /// Whether unread messages are a mistake of the test.
    strict: bool,
}

impl Client {
    /// Of whatever daemon is there.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        Self::over(Box::new(stream.try_clone().unwrap()), stream)
    }

    fn over(input: Box<dyn Write + Send>, output: impl Read + Send + 'static) -> Self {
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                let message = serde_json::from_str(&line).expect("each line is one JSON value");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            input: Some(input),
            messages,
            kept: VecDeque::new(),
            id: 0,
            strict: true,
        }
    }

    /// Leaves what is unread unread.
    pub fn careless(&mut self) {
        self.strict = false;
    }

    /// Puts a message back that was read too early.
    pub fn keep(&mut self, message: Value) {
        self.kept.push_back(message);
    }

    /// Sends one line.
    pub fn send(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{text}\n").as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Sends a request; its id.
    pub fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.id += 1;
        let id = self.id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request.to_string());
        id
    }

    fn next_within(&mut self, time: Duration) -> Option<Value> {
        match self.messages.recv_timeout(time) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came within {time:?}"),
        }
    }

    /// The next message; `None` when the daemon has closed the connection.
    pub fn next(&mut self) -> Option<Value> {
        self.kept.pop_front().or_else(|| self.next_within(PATIENCE))
    }

    /// The whole answer to request `id`; what else comes is kept.
    pub fn answer(&mut self, id: u64) -> Value {
        if let Some(at) = self.kept.iter().position(|message| message["id"] == id) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let message = self
                .next_within(PATIENCE)
                .expect("an answer comes before the end");
            if message["id"] == id {
                return message;
            }
            self.kept.push_back(message);
        }
    }

    /// Asks, and gives the result.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        let answer = self.answer(id);
        answer
            .get("result")
            .unwrap_or_else(|| panic!("{method}: {}", answer["error"]))
            .clone()
    }

    /// Asks, and gives the error.
    pub fn refused(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        let answer = self.answer(id);
        answer
            .get("error")
            .unwrap_or_else(|| panic!("{method}: {}", answer["result"]))
            .clone()
    }

    /// The next notification of a subscription.
    pub fn change(&mut self) -> Value {
        let at = self
            .kept
            .iter()
            .position(|message| message.get("method").is_some());
        let message = match at {
            Some(at) => self.kept.remove(at).unwrap(),
            None => self
                .next_within(PATIENCE)
                .expect("a notification comes before the end"),
        };
        assert_eq!(message["method"], "executions/changed", "{message}");
        message["params"]["result"].clone()
    }

    /// Closes our end.
    pub fn close(&mut self) {
        self.input = None;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.strict && !std::thread::panicking() {
            let unread: Vec<Value> = self
                .kept
                .drain(..)
                .chain(self.messages.try_iter())
                .collect();
            assert!(unread.is_empty(), "left unread: {unread:?}");
        }
    }
}

/// Members that differ from run to run; only their types are compared.
const VOLATILE: [&str; 14] = [
    "clock",
    "plan",
    "updatedAt",
    "staleAt",
    "pid",
    "uptimeMs",
    "residentBytes",
    "stepDataBytes",
    "path",
    "nextCursor",
    "filesRead",
    "compareTookMs",
    "entry",
    "batch",
];

/// The kind of a value, for members whose content differs.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Fails where `answered` is not what is `shown`, but for members that differ from run to run.
pub fn compare(at: &str, shown: &Value, answered: &Value) {
    match (shown, answered) {
        (Value::Object(shown), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(shown), names(answered), "{at}");
            for (name, value) in shown {
                let at = format!("{at}.{name}");
                if VOLATILE.contains(&name.as_str()) {
                    assert_eq!(kind(value), kind(&answered[name]), "{at}");
                } else {
                    compare(&at, value, &answered[name]);
                }
            }
        }
        (Value::Array(shown), Value::Array(answered)) => {
            assert_eq!(shown.len(), answered.len(), "{at}: {answered:?}");
            for (number, (one, other)) in shown.iter().zip(answered).enumerate() {
                compare(&format!("{at}[{number}]"), one, other);
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{at}");
        }
        _ => assert_eq!(shown, answered, "{at}"),
    }
}
