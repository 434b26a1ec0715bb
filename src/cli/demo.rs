//! `runlog demo`: the main job on real files, in a minute.
//!
//! Lays out a few projects in a temporary folder, starts the daemon as an editor would and speaks
//! to it over stdio, then plays the engine and shows the change arriving. Every id, count and time
//! it prints comes from the answers. With `--keep` the samples stay where they can be tried on; with
//! `--projects` it reads somebody's own files and changes nothing.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::RootArgs;
use super::progress::Screen;
use crate::api::samples;
use crate::history::{Indexing, Progress};

/// How many runs are shown.
const SHOWN: usize = 5;
/// How often the daemon is asked how far its first index is.
const ASKED_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Lay the sample projects out in DIR/projects, where nothing may be, and leave them there
    #[arg(long, value_name = "DIR", conflicts_with = "projects")]
    keep: Option<PathBuf>,
}

/// Lays the samples out where they are to stay.
fn lay_out(folder: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let root = folder.canonicalize()?.join("projects");
    // what is there already is left alone
    std::fs::create_dir(&root)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", root.display())))?;
    samples::lay_out(&root)?;
    Ok(root)
}

/// Runs the demo.
pub(super) fn run(args: &DemoArgs, screen: &Screen) -> io::Result<()> {
    let mut show = Show::new();
    let projects = args.root.projects.as_deref();
    if let Some(folder) = &args.keep {
        let root = lay_out(folder)?;
        show.say(&format!(
            "A small root in {}, as the engine leaves it.",
            root.display()
        ))?;
        let mut daemon = Daemon::start(&root, None, screen)?;
        let clock = read(&mut show, &mut daemon)?;
        follow(&mut show, &mut daemon, &root, &clock)?;
        daemon.end(&mut show)?;
        return next(&mut show, Some(&root));
    }
    let Some(root) = projects else {
        let folder = tempfile::Builder::new().prefix("runlog-demo-").tempdir()?;
        let root = folder.path().join("projects");
        samples::lay_out(&root)?;
        show.say(&format!(
            "A small root in {}, as the engine leaves it.",
            root.display()
        ))?;
        // nothing of it is left: what the daemon keeps goes with the folder
        let mut daemon = Daemon::start(&root, Some(folder.path()), screen)?;
        let clock = read(&mut show, &mut daemon)?;
        follow(&mut show, &mut daemon, &root, &clock)?;
        daemon.end(&mut show)?;
        // the folder goes now; what is printed last is for the reader's own
        return next(&mut show, None);
    };
    if !projects.is_some_and(Path::is_dir) {
        let message = format!(
            "{} is not a folder; name one that holds projects",
            root.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    show.say(&format!(
        "Your own root, {}; nothing in it is changed.",
        root.display()
    ))?;
    let mut daemon = Daemon::start(root, None, screen)?;
    read(&mut show, &mut daemon)?;
    daemon.end(&mut show)?;
    next(&mut show, Some(root))
}

/// Asks what a panel would ask; the clock of the list.
fn read(show: &mut Show, daemon: &mut Daemon) -> io::Result<Value> {
    let client = json!({ "processId": std::process::id(), "clientInfo": { "name": "demo" } });
    let hello = daemon.ask(show, "initialize", &client)?;
    let server = &hello["serverInfo"];
    let methods = hello["capabilities"]["methods"]
        .as_array()
        .map_or(0, Vec::len);
    show.got(&format!(
        "{} {}, {methods} methods",
        word(&server["name"]),
        word(&server["version"])
    ))?;
    daemon.indexed()?;

    let projects = daemon.ask(show, "projects/list", &json!({}))?;
    for project in projects["projects"]
        .as_array()
        .into_iter()
        .flatten()
        .take(SHOWN)
    {
        show.got(&format!(
            "{:<20} {:>6} runs, {} failed, {} running, ${}",
            word(&project["id"]),
            project["executions"],
            project["failed"],
            project["running"],
            project["totalCostUSD"],
        ))?;
    }

    let list = daemon.ask(show, "executions/list", &json!({ "limit": SHOWN }))?;
    let runs = list["executions"].as_array().cloned().unwrap_or_default();
    for run in &runs {
        show.got(&format!(
            "{:<10} {} {:<9} {}",
            word(&run["status"]),
            word(&run["startedAt"]),
            run.get("costUSD")
                .map_or(String::new(), |cost| format!("${cost}")),
            word(run.get("label").unwrap_or(&run["id"])),
        ))?;
    }
    show.got(&format!(
        "{} of {} runs, at clock {}",
        runs.len(),
        list["total"],
        word(&list["clock"])
    ))?;

    if let Some(run) = runs
        .iter()
        .find(|run| run["status"] == "failed")
        .or(runs.first())
    {
        let key = json!({ "projectId": run["projectId"], "executionId": run["id"] });
        let whole = daemon.ask(show, "executions/get", &key)?;
        let record = &whole["execution"];
        let steps = record["steps"].as_array().map_or(0, Vec::len);
        show.got(&format!(
            "status {}, {steps} steps",
            word(&record["status"])
        ))?;
        for name in ["input", "output", "error"] {
            if let Some(text) = record[name].as_str() {
                show.got(&format!(
                    "{name}: {}",
                    text.lines().next().unwrap_or_default()
                ))?;
            }
        }
    }

    let stats = daemon.ask(show, "executions/stats", &json!({}))?;
    show.got(&format!(
        "{} runs: {} completed, {} failed, {} running; ${} for {} tokens",
        stats["totalExecutions"],
        stats["completed"],
        stats["failed"],
        stats["running"],
        stats["totalCostUSD"],
        stats["totalTokens"],
    ))?;
    Ok(list["clock"].clone())
}

/// Plays the engine and shows the change arriving.
fn follow(show: &mut Show, daemon: &mut Daemon, root: &Path, clock: &Value) -> io::Result<()> {
    daemon.ask(show, "executions/subscribe", &json!({ "since": clock }))?;
    while daemon.message()?["params"]["result"]["kind"] != "current" {}
    show.got("nothing has changed since the list")?;
    show.say("Now the engine saves a run: a temporary file, then a rename.")?;
    let folder = root.join("website/executions");
    let temporary = folder.join("demo.json.tmp");
    std::fs::write(&temporary, samples::NEW.trim_end())?;
    let renamed = Instant::now();
    std::fs::rename(&temporary, folder.join(format!("{}.json", samples::NEW_ID)))?;
    let told = daemon.message()?;
    let took = renamed.elapsed();
    let change = &told["params"]["result"];
    show.told(&format!(
        "{} {} {}: {}",
        word(&told["method"]),
        word(&change["kind"]),
        word(&change["summary"]["id"]),
        word(&change["summary"]["label"]),
    ))?;
    show.say(&format!(
        "It arrived {} µs after the rename.",
        took.as_micros()
    ))
}

fn next(show: &mut Show, root: Option<&Path>) -> io::Result<()> {
    let own = root.map_or("DIR".to_owned(), |root| root.display().to_string());
    // as the reader called it, so that each line can be typed as it stands
    let called = std::env::args_os().next().unwrap_or_default();
    let called = called.to_string_lossy();
    show.say("Next:")?;
    for command in [
        match root {
            Some(_) => format!("{called} socket --projects {own}"),
            None => format!("{called} demo --projects DIR"),
        },
        format!("{called} serve --socket --projects {own}"),
        format!("{called} reference"),
    ] {
        show.line(&format!("  {command}"))?;
    }
    Ok(())
}

/// A string as itself, anything else as JSON.
fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What the reader sees.
struct Show {
    colour: bool,
    width: usize,
}

impl Show {
    fn new() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let columns = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        Self {
            colour,
            width: columns.unwrap_or(100).max(40),
        }
    }

    fn line(&self, text: &str) -> io::Result<()> {
        // control characters of a record do nothing to the reader's terminal
        let clean = text.chars().filter(|c| !c.is_control());
        let mut cut: String = clean.clone().take(self.width).collect();
        if clean.count() > self.width {
            cut.pop();
            cut.push('…');
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{cut}")?;
        out.flush()
    }

    fn painted(&self, code: &str, sign: &str, text: &str) -> io::Result<()> {
        if self.colour {
            let mut out = io::stdout().lock();
            write!(out, "\x1b[{code}m{sign}\x1b[0m")?;
            return self.line(text);
        }
        self.line(&format!("{sign}{text}"))
    }

    fn say(&self, text: &str) -> io::Result<()> {
        // what is said is never cut
        let mut out = io::stdout().lock();
        writeln!(out, "\n{text}")?;
        out.flush()
    }

    fn asked(&self, text: &str) -> io::Result<()> {
        self.painted("36", "→ ", text)
    }

    fn got(&self, text: &str) -> io::Result<()> {
        self.painted("32", "← ", text)
    }

    fn told(&self, text: &str) -> io::Result<()> {
        self.painted("33", "⇐ ", text)
    }
}

/// The daemon as a subprocess, spoken to as an editor would.
struct Daemon {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Passes its log on.
    log: JoinHandle<()>,
    screen: Screen,
    id: u64,
}

impl Daemon {
    fn start(root: &Path, cache: Option<&Path>, screen: &Screen) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(cache) = cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        let mut child = command
            .arg("serve")
            .arg("--projects")
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // a bar of its own would be in the way of what is printed here
            .stderr(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("the daemon has no pipes");
        let input = child.stdin.take().ok_or_else(gone)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        let mut log = BufReader::new(child.stderr.take().ok_or_else(gone)?);
        let mut lines = screen.lines();
        let log = std::thread::spawn(move || {
            let mut line = Vec::new();
            while log
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                let _ = lines.write_all(&line);
                line.clear();
            }
        });
        Ok(Self {
            child,
            input,
            output,
            log,
            screen: screen.clone(),
            id: 0,
        })
    }

    fn send(&mut self, message: &Value) -> io::Result<()> {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        self.input.flush()
    }

    fn message(&mut self) -> io::Result<Value> {
        let mut length = 0;
        loop {
            let mut header = String::new();
            if self.output.read_line(&mut header)? == 0 {
                return Err(io::Error::other("the daemon ended; its log is above"));
            }
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("Content-Length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut text = vec![0; length];
        self.output.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Asks, shows what was asked, and gives the result.
    fn ask(&mut self, show: &Show, method: &str, params: &Value) -> io::Result<Value> {
        let shown = if params == &json!({}) {
            String::new()
        } else {
            format!(" {params}")
        };
        writeln!(io::stdout())?;
        show.asked(&format!("{method}{shown}"))?;
        self.call(method, params)
    }

    /// Waits for the first index. However long that takes, somebody sees that it goes on.
    fn indexed(&mut self) -> io::Result<()> {
        let progress = watch::Sender::new(Progress::default());
        let bar = self.screen.show(progress.subscribe());
        loop {
            let status = self.call("server/status", &json!({}))?;
            let indexing = &status["indexing"];
            let count = |name| {
                indexing[name]
                    .as_u64()
                    .and_then(|count| usize::try_from(count).ok())
            };
            let state = match indexing["state"].as_str() {
                Some("scanning") => Indexing::Scanning,
                Some("verifying") => Indexing::Verifying,
                _ => break,
            };
            progress.send_replace(Progress {
                state,
                done: count("done").unwrap_or_default(),
                total: count("total").unwrap_or_default(),
                ..Progress::default()
            });
            std::thread::sleep(ASKED_EVERY);
        }
        drop(bar);
        Ok(())
    }

    fn call(&mut self, method: &str, params: &Value) -> io::Result<Value> {
        self.id += 1;
        let id = self.id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        loop {
            let answer = self.message()?;
            if answer["id"] == id {
                return match answer.get("result") {
                    Some(result) => Ok(result.clone()),
                    None => Err(io::Error::other(word(&answer["error"]["message"]))),
                };
            }
        }
    }

    fn end(mut self, show: &mut Show) -> io::Result<()> {
        self.ask(show, "shutdown", &json!({}))?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "exit" }))?;
        drop(self.input);
        // its input has ended, so it does too
        self.child.wait()?;
        let _ = self.log.join();
        Ok(())
    }
}
