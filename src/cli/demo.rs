//! `runlog demo`: the main job on real files, in a minute.
//!
//! Lays out a few projects in a temporary folder, starts the daemon as an editor would and speaks
//! to it over stdio, then plays the engine and shows the change arriving. Every id, count and time
//! it prints comes from the answers. With `--keep` the samples stay where they can be tried on; with
//! `--projects` it reads somebody's own files and changes nothing.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::RootArgs;
use super::args::{in_one_line, quoted_path};
use super::failure::not_made;
use super::json::Json;
use super::progress::Screen;
use super::terminal::{Out, Paint, columns, fitted, visible};
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
    let made = std::fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
    let root = made
        .map_err(|error| not_made(folder, &error))?
        .join("projects");
    // what is there already is left alone
    std::fs::create_dir(&root).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::new(error.kind(), already_there(&folder.join("projects")))
        }
        _ => not_made(&root, &error),
    })?;
    samples::lay_out(&root)?;
    Ok(root)
}

/// That nothing was laid out, and how to go on.
fn already_there(root: &Path) -> String {
    let look = format!("{} demo --projects={}", called(), quoted_path(root));
    format!(
        "{} is there already, and stays as it is; name another folder, or look at it by\n  {}",
        shown(root),
        in_one_line(look)
    )
}

/// Runs the demo.
pub(super) fn run(args: &DemoArgs, screen: &Screen) -> io::Result<()> {
    let mut show = Show(Out::stdout());
    let projects = args.root.projects.as_deref();
    if let Some(folder) = &args.keep {
        let root = lay_out(folder)?;
        show.say(&format!(
            "A small root in {}, as the engine leaves it.",
            shown(&root)
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
            shown(&root)
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
        shown(root)
    ))?;
    let mut daemon = Daemon::start(root, None, screen)?;
    read(&mut show, &mut daemon)?;
    daemon.end(&mut show)?;
    next(&mut show, Some(root))
}

/// Asks what a panel would ask; the clock of the list.
fn read(show: &mut Show, daemon: &mut Daemon) -> io::Result<String> {
    let client = json!({ "processId": std::process::id(), "clientInfo": { "name": "demo" } });
    let hello = daemon.ask(show, "initialize", &client)?;
    let server = hello.at("serverInfo");
    show.got(&format!(
        "{} {}, {} methods",
        server.at("name"),
        server.at("version"),
        hello.at("capabilities").at("methods").items().len(),
    ))?;
    daemon.indexed()?;

    let projects = daemon.ask(show, "projects/list", &json!({}))?;
    for project in projects.at("projects").items().iter().take(SHOWN) {
        show.got(&format!(
            "{:<20} {:>6} runs, {} failed, {} running, ${}",
            project.at("id").word(),
            project.at("executions").count(),
            project.at("failed"),
            project.at("running"),
            project.at("totalCostUSD"),
        ))?;
    }

    let list = daemon.ask(show, "executions/list", &json!({ "limit": SHOWN }))?;
    let runs = list.at("executions").items();
    for run in runs {
        let cost = match run.at("costUSD") {
            Json::Null => String::new(),
            cost => format!("${cost}"),
        };
        let name = run.at("label").text();
        show.got(&format!(
            "{:<10} {} {cost:<9} {}",
            run.at("status").word(),
            run.at("startedAt"),
            name.unwrap_or(run.at("id").word()),
        ))?;
    }
    show.got(&format!(
        "{} of {} runs, at clock {}",
        runs.len(),
        list.at("total"),
        list.at("clock")
    ))?;

    let failed = runs.iter().find(|run| run.at("status").word() == "failed");
    if let Some(run) = failed.or(runs.first()) {
        let key = json!({
            "projectId": run.at("projectId").word(),
            "executionId": run.at("id").word(),
        });
        let whole = daemon.ask(show, "executions/get", &key)?;
        let record = whole.at("execution");
        let steps = record.at("steps").items().len();
        show.got(&format!("status {}, {steps} steps", record.at("status")))?;
        for name in ["input", "output", "error"] {
            if let Some(text) = record.at(name).text() {
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
        stats.at("totalExecutions"),
        stats.at("completed"),
        stats.at("failed"),
        stats.at("running"),
        stats.at("totalCostUSD"),
        stats.at("totalTokens"),
    ))?;
    Ok(list.at("clock").word().to_owned())
}

/// Plays the engine and shows the change arriving.
fn follow(show: &mut Show, daemon: &mut Daemon, root: &Path, clock: &str) -> io::Result<()> {
    daemon.ask(show, "executions/subscribe", &json!({ "since": clock }))?;
    let kind_of = |told: &Json| told.at("params").at("result").at("kind").word().to_owned();
    while kind_of(&daemon.message()?) != "current" {}
    show.got("nothing has changed since the list")?;
    show.say("Now the engine saves a run: a temporary file, then a rename.")?;
    let folder = root.join("website/executions");
    let temporary = folder.join("demo.json.tmp");
    std::fs::write(&temporary, samples::NEW.trim_end())?;
    let renamed = Instant::now();
    std::fs::rename(&temporary, folder.join(format!("{}.json", samples::NEW_ID)))?;
    let told = daemon.message()?;
    let took = renamed.elapsed();
    let change = told.at("params").at("result");
    show.told(&format!(
        "{} {} {}: {}",
        told.at("method"),
        change.at("kind"),
        change.at("summary").at("id"),
        change.at("summary").at("label"),
    ))?;
    show.say(&format!(
        "It arrived {} µs after the rename.",
        took.as_micros()
    ))
}

/// A path as a person reads it.
fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

/// This program as the reader called it, so that a line with it can be typed as it stands.
fn called() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    quoted_path(Path::new(&called))
}

fn next(show: &mut Show, root: Option<&Path>) -> io::Result<()> {
    let own = root.map_or("DIR".to_owned(), quoted_path);
    let called = called();
    let first = match root {
        Some(_) => "socket",
        None => "demo",
    };
    let next = [
        format!("{called} {first} --projects={own}"),
        format!("{called} serve --socket --projects={own}"),
        format!("{called} reference"),
    ];
    let next = next.map(|command| format!("\n  {}", in_one_line(command)));
    show.say(&format!("Next:{}", next.concat()))
}

/// What the reader sees.
struct Show(Out);

impl Show {
    /// One line, fitted to a terminal.
    fn line(&self, sign: &str, paint: Paint, text: &str) -> io::Result<()> {
        let text = visible(text);
        let text = match self.0.width() {
            Some(width) => fitted(&text, width.saturating_sub(columns(sign))),
            None => text,
        };
        let sign = self.0.paint(sign, paint);
        self.0.print(&format!("{sign}{text}\n"))
    }

    /// What is never cut.
    fn say(&self, text: &str) -> io::Result<()> {
        self.0.print(&format!("\n{text}\n"))
    }

    fn asked(&self, text: &str) -> io::Result<()> {
        self.line("→ ", Paint::Cyan, text)
    }

    fn got(&self, text: &str) -> io::Result<()> {
        self.line("← ", Paint::Green, text)
    }

    fn told(&self, text: &str) -> io::Result<()> {
        self.line("⇐ ", Paint::Yellow, text)
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
        // as one word, whatever it begins with
        let mut named = OsString::from("--projects=");
        named.push(root);
        if let Some(cache) = cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        let mut child = command
            .arg("serve")
            .arg(named)
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

    fn message(&mut self) -> io::Result<Json> {
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
        Ok(Json::read(&String::from_utf8_lossy(&text)))
    }

    /// Asks, shows what was asked, and gives the result.
    fn ask(&mut self, show: &Show, method: &str, params: &Value) -> io::Result<Json> {
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
            let indexing = status.at("indexing");
            let count = |name| usize::try_from(indexing.at(name).count()).unwrap_or_default();
            let state = match indexing.at("state").word() {
                "scanning" => Indexing::Scanning,
                "verifying" => Indexing::Verifying,
                _ => break,
            };
            progress.send_replace(Progress {
                state,
                done: count("done"),
                total: count("total"),
                ..Progress::default()
            });
            std::thread::sleep(ASKED_EVERY);
        }
        drop(bar);
        Ok(())
    }

    fn call(&mut self, method: &str, params: &Value) -> io::Result<Json> {
        self.id += 1;
        let id = self.id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        loop {
            let answer = self.message()?;
            if answer.at("id").count() == id {
                return match answer.at("error") {
                    Json::Null => Ok(answer.at("result").clone()),
                    error => Err(io::Error::other(error.at("message").to_string())),
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
