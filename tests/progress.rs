//! The first index, watched from outside: `$/progress`, `server/status`, partial answers, what is
//! asked for comes first, and the bar on a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use support::{Client, Daemon, PATIENCE, Root, runlog};

/// Enough for an index that is still being built when it is asked for.
const MANY: usize = 20_000;

/// A root with one large project, and small ones before and behind it.
fn large() -> Root {
    let root = Root::empty();
    let folder = |project: &str| root.path().join(project).join("executions");
    for (project, count) in [("a", 3), ("large", MANY), ("z", 5)] {
        fs::create_dir_all(folder(project)).unwrap();
        let first = folder(project).join("run-0.json");
        fs::write(&first, r#"{ "status": "completed" }"#).unwrap();
        for number in 1..count {
            fs::hard_link(&first, folder(project).join(format!("run-{number}.json"))).unwrap();
        }
    }
    root
}

fn serve(root: &Root) -> Command {
    let mut command = runlog();
    command
        .args(["serve", "--projects"])
        .arg(root.path())
        .env("XDG_CACHE_HOME", root.beside("cache"));
    command
}

fn indexing(client: &mut Client) -> Value {
    client.call("server/status", &json!({}))["indexing"].clone()
}

#[test]
fn who_asks_for_progress_sees_the_index_being_built() {
    let root = large();
    let (_daemon, mut client) = Daemon::spawn(&mut serve(&root));
    let watched = client.request("executions/stats", &json!({ "workDoneToken": "first" }));
    let other = client.request("projects/list", &json!({ "workDoneToken": -7 }));
    let silent = client.request("executions/list", &json!({ "limit": 1 }));
    assert_eq!(indexing(&mut client)["state"], "scanning");

    // everything until the answers are there, in the order it came
    let mut told: Vec<Value> = Vec::new();
    let mut answered = Vec::new();
    while answered.len() < 3 {
        let message = client.next().unwrap();
        match message["id"].as_u64() {
            Some(id) => answered.push(id),
            None => {
                let token = &message["params"]["token"];
                let done = match token.as_str() {
                    Some(_) => watched,
                    None => other,
                };
                assert!(!answered.contains(&done), "told after the answer");
                told.push(message);
            }
        }
    }
    assert!(answered.contains(&silent));
    for token in [json!("first"), json!(-7)] {
        let values: Vec<&Value> = told
            .iter()
            .filter(|message| message["params"]["token"] == token)
            .inspect(|message| assert_eq!(message["method"], "$/progress"))
            .map(|message| &message["params"]["value"])
            .collect();
        let (first, last) = (values[0], values[values.len() - 1]);
        assert_eq!(first["kind"], "begin");
        assert_eq!(last["kind"], "end");
        let reports = &values[1..values.len() - 1];
        assert!(reports.len() > 10, "{reports:?}");
        for report in reports {
            assert_eq!(report["kind"], "report");
            let percentage = report["percentage"].as_u64().unwrap();
            let message = report["message"].as_str().unwrap();
            let numbers = message.strip_suffix(" runs read").unwrap();
            let (done, total) = numbers.split_once(" of ").unwrap();
            let (done, total): (u64, u64) = (done.parse().unwrap(), total.parse().unwrap());
            assert!(total > 0 && percentage <= 100, "{report}");
            // while the large project is read, it is what its numbers say
            if total > 1000 && percentage > 0 {
                assert!(percentage.abs_diff(done * 100 / total) <= 1, "{report}");
            }
        }
    }
    let all = MANY + 3 + 5;
    assert_eq!(
        indexing(&mut client),
        json!({ "state": "ready", "done": all, "total": all })
    );
    // it is built once
    let list = client.request(
        "executions/list",
        &json!({ "limit": 1, "workDoneToken": 1 }),
    );
    for kind in ["begin", "end"] {
        assert_eq!(client.next().unwrap()["params"]["value"]["kind"], kind);
    }
    assert_eq!(client.answer(list)["result"]["total"], all);
}

/// LSP asks for a steadily rising percentage; and thousands of messages tell nobody more than a few.
#[test]
fn progress_over_many_projects_rises_and_is_told_in_few_messages() {
    let root = Root::empty();
    for number in 0..1_000 {
        let project = format!("project-{number}");
        root.engine(&project, "run", &json!({ "status": "completed" }));
    }
    let (_daemon, mut client) = Daemon::spawn(&mut serve(&root));
    let list = client.request(
        "executions/list",
        &json!({ "limit": 1, "workDoneToken": 1 }),
    );
    let mut percentages = Vec::new();
    let answer = loop {
        let message = client.next().unwrap();
        if message["id"] == list {
            break message;
        }
        percentages.extend(message["params"]["value"]["percentage"].as_u64());
    };
    assert_eq!(answer["result"]["total"], 1_000);
    let falls = percentages
        .windows(2)
        .filter(|pair| pair[0] > pair[1])
        .count();
    assert!(percentages.len() <= 200, "{} reports", percentages.len());
    assert_eq!(falls, 0, "{percentages:?}");
}

#[test]
fn what_is_asked_for_comes_first_and_partial_answers_come_at_once() {
    let root = large();
    let (_daemon, mut client) = Daemon::spawn(&mut serve(&root));
    let partial = json!({ "allowPartial": true, "limit": 1 });
    let list = client.call("executions/list", &partial);
    assert_eq!(list["complete"], false);
    assert!(list["total"].as_u64().unwrap() < MANY as u64);
    for method in ["executions/stats", "projects/list"] {
        let answer = client.call(method, &json!({ "allowPartial": true }));
        assert_eq!(answer["complete"], false, "{method}");
    }
    // the last in order, while the large one is waited for or half read
    let small = client.call("executions/list", &json!({ "projectId": "z" }));
    assert_eq!(small["total"], 5);
    assert_eq!(small["complete"], true);
    assert_eq!(indexing(&mut client)["state"], "scanning");
    let missing = client.call("executions/list", &json!({ "projectId": "nowhere" }));
    assert_eq!(missing["total"], 0);
    assert_eq!(client.call("executions/list", &partial)["complete"], false);
    // a run saved meanwhile is there at once, and counted once
    let execution = json!({ "id": "new", "projectId": "z", "status": "failed" });
    client.call(
        "executions/save",
        &json!({ "projectId": "z", "execution": execution }),
    );
    let small = client.call("executions/list", &json!({ "projectId": "z" }));
    assert_eq!(small["total"], 6);
    assert_eq!(indexing(&mut client)["state"], "scanning");
    let whole = client.call("executions/list", &json!({ "limit": 1 }));
    assert_eq!(whole["complete"], true);
    assert_eq!(whole["total"], MANY + 3 + 6);
}

/// Wide enough for a line of the log.
const COLUMNS: u16 = 250;
const ROWS: u16 = 50;

/// A terminal that somebody looks at.
struct Terminal {
    /// The other end, held open so that what was written stays readable.
    line: File,
    screen: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let mut options = OpenOptions::new();
        let line = {
            use std::os::unix::fs::OpenOptionsExt;
            let no_controlling = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
            options
                .read(true)
                .write(true)
                .custom_flags(no_controlling)
                .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
                .unwrap()
        };
        let size = rustix::termios::Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (shown, kept) = (Arc::clone(&screen), Arc::clone(&raw));
        let mut master = File::from(master);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // ends when nobody has the line open any more
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
                kept.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { line, screen, raw }
    }

    /// As the stderr of a program.
    fn stderr(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    fn shows(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn shows_bar(&self) -> bool {
        let text = self.shows();
        text.contains("Reading runs [") && text.contains(" of 20,0")
    }

    /// Waits until it shows what `is` is true for.
    fn until(&self, is: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !is(&self.shows()) {
            assert!(began.elapsed() < PATIENCE, "it shows {:?}", self.shows());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Everything that was ever written to it.
    fn raw(&self) -> String {
        String::from_utf8(self.raw.lock().unwrap().clone()).unwrap()
    }
}

/// Runs a process as a much slower machine would, until `reached`.
fn slowly(pid: u32, mut reached: impl FnMut() -> bool) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    let began = Instant::now();
    while !reached() {
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        kill_process(pid, Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert!(began.elapsed() < PATIENCE, "it is not reached");
    }
}

#[test]
fn a_terminal_shows_a_bar_while_the_index_is_built_and_nothing_afterwards() {
    let root = large();
    let terminal = Terminal::open();
    let mut command = serve(&root);
    command
        .env("TERM", "xterm")
        .env("RUNLOG_LOG", "runlog::session=debug,runlog::history=info")
        .stderr(terminal.stderr());
    let (mut daemon, mut client) = Daemon::spawn(&mut command);
    // its answers are logged, above the bar
    slowly(daemon.pid(), || {
        client.call("ping", &json!({}));
        terminal.shows_bar()
    });
    client.call("executions/list", &json!({ "limit": 1 }));
    assert_eq!(indexing(&mut client)["state"], "ready");
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));
    // a line of the log each, whole, and no bar
    terminal.until(|text| text.contains("the index is ready"));
    let text = terminal.shows();
    assert!(!text.contains("Reading runs"), "{text}");
    assert!(text.lines().count() > 1);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        assert!(["INFO", "DEBUG"].contains(&words.next().unwrap()), "{line}");
    }
}

#[test]
fn without_anything_to_log_the_terminal_is_as_it_was() {
    let root = large();
    let terminal = Terminal::open();
    let mut command = serve(&root);
    command.env("TERM", "xterm").stderr(terminal.stderr());
    let (mut daemon, mut client) = Daemon::spawn(&mut command);
    slowly(daemon.pid(), || terminal.shows_bar());
    client.call("executions/list", &json!({ "limit": 1 }));
    terminal.until(str::is_empty);
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));
    terminal.until(str::is_empty);
    assert_eq!(
        terminal.screen.lock().unwrap().screen().cursor_position(),
        (0, 0)
    );

    // what takes no time is no reason for a bar
    let small = Root::samples();
    let quick = Terminal::open();
    let mut command = serve(&small);
    command.env("TERM", "xterm").stderr(quick.stderr());
    let (mut daemon, mut client) = Daemon::spawn(&mut command);
    client.call("executions/list", &json!({}));
    client.close();
    daemon.ends();
    assert_eq!(quick.raw(), "");
}

#[test]
fn a_daemon_that_ends_before_its_index_is_built_takes_the_bar_along() {
    let root = large();
    for dumb in [false, true] {
        let terminal = Terminal::open();
        let mut command = serve(&root);
        command
            .env("TERM", if dumb { "dumb" } else { "xterm" })
            .env("XDG_CACHE_HOME", root.beside("none"))
            .stderr(terminal.stderr());
        let (mut daemon, _client) = Daemon::spawn(&mut command);
        let began = Instant::now();
        slowly(daemon.pid(), || {
            terminal.shows_bar() || dumb && began.elapsed() > Duration::from_secs(1)
        });
        daemon.signal(Signal::TERM);
        let (status, took) = daemon.ends();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(2), "{took:?}");
        terminal.until(str::is_empty);
        if dumb {
            assert_eq!(terminal.raw(), "");
        }
    }
}

#[test]
fn a_terminal_that_takes_nothing_holds_up_neither_requests_nor_the_end() {
    let root = large();
    let terminal = Terminal::open();
    rustix::termios::tcflow(&terminal.line, rustix::termios::Action::OOff).unwrap();
    let mut command = serve(&root);
    command.env("TERM", "xterm").stderr(terminal.stderr());
    let (mut daemon, mut client) = Daemon::spawn(&mut command);
    let began = Instant::now();
    slowly(daemon.pid(), || {
        client.call("ping", &json!({}));
        began.elapsed() > Duration::from_secs(1)
    });
    assert_eq!(
        client.call("executions/list", &json!({ "limit": 1 }))["total"],
        MANY + 3 + 5
    );
    client.close();
    let (status, took) = daemon.ends();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

#[test]
fn the_demo_shows_the_bar_and_prints_as_ever() {
    let root = large();
    let terminal = Terminal::open();
    let mut demo = runlog()
        .args(["demo", "--projects"])
        .arg(root.path())
        .env("XDG_CACHE_HOME", root.beside("cache"))
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(terminal.stderr())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let daemon = loop {
        if let Some(&pid) = children(demo.id()).first() {
            break pid;
        }
        assert!(began.elapsed() < PATIENCE, "the demo starts no daemon");
    };
    slowly(daemon, || terminal.shows_bar());
    let mut text = String::new();
    let mut output = demo.stdout.take().unwrap();
    output.read_to_string(&mut text).unwrap();
    assert!(demo.wait().unwrap().success());
    terminal.until(str::is_empty);
    let total = MANY + 3 + 5;
    assert!(text.contains(&format!("5 of {total} runs")), "{text}");
    assert!(!text.contains("server/status"), "{text}");
}

/// A log on a full disk, for instance.
#[test]
fn a_stderr_that_takes_nothing_is_no_reason_to_end() {
    let root = Root::empty();
    fs::remove_dir(root.path()).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = serve(&root);
    command.env("RUNLOG_LOG", "trace").stderr(full);
    let (mut daemon, mut client) = Daemon::spawn(&mut command);
    let list = client.call("executions/list", &json!({}));
    assert_eq!(list["total"], 0);
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));
}
