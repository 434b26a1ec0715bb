//! `runlog run`: any command is a run, seen by a daemon while it goes on, whatever ends it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use support::{Daemon, PATIENCE, Root, runlog};

fn command(root: &Root, words: &[&str]) -> Command {
    let mut command = runlog();
    command
        .args(["run", "--project", "shell", "--projects"])
        .arg(root.path())
        .arg("--")
        .args(words)
        .stdin(Stdio::null());
    command
}

/// The only run that there is.
fn only(root: &Root) -> Value {
    let folder = fs::read_dir(root.path().join("shell/executions")).unwrap();
    // it may just be written
    let is_record = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    };
    let files: Vec<PathBuf> = folder
        .map(|entry| entry.unwrap().path())
        .filter(is_record)
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    serde_json::from_str(&fs::read_to_string(&files[0]).unwrap()).unwrap()
}

/// When it was written.
fn written_millis(root: &Root, record: &Value) -> i64 {
    let file = root.file("shell", record["id"].as_str().unwrap());
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    let since = modified.duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn millis(date: &Value) -> i64 {
    let date = chrono::DateTime::parse_from_rfc3339(date.as_str().unwrap());
    date.unwrap().timestamp_millis()
}

fn run(words: &[&str]) -> (Root, Output, Value) {
    let root = Root::empty();
    let output = command(&root, words).output().unwrap();
    let record = only(&root);
    (root, output, record)
}

#[test]
fn a_command_that_succeeds() {
    let (_root, output, record) = run(&["sh", "-c", "echo out; echo err >&2; echo 'two  words'"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"out\ntwo  words\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("err\nrunlog: completed after "), "{said}");
    let id = record["id"].as_str().unwrap();
    assert!(
        said.trim_end()
            .ends_with(&format!("recorded as shell/{id}"))
    );
    assert_eq!(record["status"], "completed");
    assert_eq!(record["exitCode"], 0);
    assert_eq!(record["name"], "sh");
    assert_eq!(
        record["input"],
        r"sh -c 'echo out; echo err >&2; echo '\''two  words'\'''"
    );
    let output = record["output"].as_str().unwrap();
    for line in ["out\n", "err\n", "two  words\n"] {
        assert!(output.contains(line), "{output}");
    }
    assert!(record["duration"].is_u64());
    assert!(record["completedAt"].as_str() >= record["startedAt"].as_str());
}

#[test]
fn commands_that_fail() {
    let (_root, output, record) = run(&["sh", "-c", "exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(record["status"], "failed");
    assert_eq!(record["exitCode"], 3);
    assert_eq!(record["error"], "the command ended with status 3");
    assert_eq!(record.get("output"), None);

    let (_root, output, record) = run(&["sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137));
    assert_eq!(record["status"], "failed");
    assert_eq!(record["signal"], 9);

    // whoever is read by no one in particular is read by the shell, as everywhere
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("script");
    fs::write(&script, "echo $1; exit 4").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    for name in [script.to_str().unwrap(), "script"] {
        let root = Root::empty();
        let output = command(&root, &[name, "word"])
            .env("PATH", place.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert_eq!(
            (output.stdout, &only(&root)["output"]),
            (b"word\n".to_vec(), &json!("word\n"))
        );
    }

    let (_root, output, record) = run(&["/no/such/command"]);
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(record["status"], "failed");
    assert!(record["error"].as_str().unwrap().contains("No such file"));
}

#[test]
fn what_is_not_recorded_is_not_run() {
    let root = Root::empty();
    fs::write(root.path().join("shell"), "in the way").unwrap();
    let mark = root.beside("mark");
    let output = command(&root, &["touch", mark.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!mark.exists());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("was not begun")
    );
    let status = command(&root, &[]).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// A command that has begun.
fn going(root: &Root, script: &str) -> Child {
    going_by(&mut command(root, &["sh", "-c", script]))
}

/// The same with the signals as `env` sets them, however this test was started.
fn going_with(root: &Root, signals: &str, script: &str) -> Child {
    going_by(&mut under(&["env", signals], root, script))
}

/// `script`, to be run by `words`.
fn under(words: &[&str], root: &Root, script: &str) -> Command {
    let run = command(root, &["sh", "-c", script]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn going_by(command: &mut Command) -> Child {
    going_from(command.stdin(Stdio::piped()))
}

/// The same with an input of its own.
fn going_from(command: &mut Command) -> Child {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    child.stdout = Some(output.into_inner());
    child
}

#[test]
fn a_daemon_sees_it_while_it_goes_on() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let list = client.call("executions/list", &json!({ "sync": true }));
    let mut child = going(&root, "echo begun; read line; echo \"$line\"");
    client.call("executions/subscribe", &json!({ "since": list["clock"] }));
    // its beginning, and soon what it has printed so far
    loop {
        let change = client.change();
        if change["kind"] != "saved" {
            continue;
        }
        assert_eq!(change["summary"]["status"], "running");
        if only(&root)["output"] == "begun\n" {
            break;
        }
    }
    child.stdin.take().unwrap().write_all(b"on\n").unwrap();
    let mut rest = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut rest)
        .unwrap();
    assert_eq!(rest, "on\n");
    assert!(child.wait().unwrap().success());
    while client.change()["summary"]["status"] != "completed" {}
    client.careless();
    assert_eq!(only(&root)["output"], "begun\non\n");
}

#[test]
fn whoever_interrupts_it_cancels_it() {
    for (signal, trap, code, status) in [
        (Signal::INT, "", 130, "cancelled"),
        (Signal::TERM, "", 143, "cancelled"),
        (Signal::QUIT, "", 131, "cancelled"),
        (Signal::HUP, "exit 7' HUP", 7, "cancelled"),
        (Signal::TERM, "exit 0' TERM", 0, "cancelled"),
        (Signal::INT, "exit 0' INT", 0, "cancelled"),
    ] {
        let root = Root::empty();
        let script = match trap {
            "" => "echo begun; exec sleep 100".to_owned(),
            // a shell handles a trap when what it waits for in front has ended, and `wait` at once
            trap => format!("trap 'kill $!; {trap}; echo begun; sleep 100 >&- 2>&- & wait"),
        };
        let mut child = going_with(&root, "--default-signal=INT,QUIT,TERM,HUP", &script);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
        let record = only(&root);
        assert_eq!(record["status"], status, "{record}");
        assert!(record["completedAt"].is_string());
    }
}

/// As batch systems tell what they began that its time is nearly over.
#[test]
fn what_only_the_command_knows_the_meaning_of_is_handed_on() {
    for signal in [Signal::USR1, Signal::USR2] {
        let root = Root::empty();
        let script = "trap 'echo heard; exit 3' USR1 USR2; echo begun; \
            sleep 100 >&- 2>&- & wait";
        let mut child = going(&root, script);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3), "{signal:?}");
        let record = only(&root);
        assert_eq!(record["status"], "failed", "{record}");
        assert_eq!(record["output"], "begun\nheard\n");
    }
}

/// However far it has come.
#[test]
fn whoever_interrupts_it_as_it_is_recorded_cancels_it() {
    let root = Root::empty();
    let mut command = under(&["env", "--default-signal=INT"], &root, SLEEPS);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let folder = root.path().join("shell/executions");
    let is_record = |path: PathBuf| path.extension().is_some_and(|kind| kind == "json");
    let is_there = || {
        fs::read_dir(&folder).is_ok_and(|mut all| all.any(|entry| is_record(entry.unwrap().path())))
    };
    while !is_there() {
        assert!(child.try_wait().unwrap().is_none());
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let record = only(&root);
    assert_eq!(record["status"], "cancelled");
    assert!(record["completedAt"].is_string(), "{record}");
}

#[test]
fn whoever_stops_reading_does_not_stop_it() {
    let root = Root::empty();
    let mut child = going(&root, "echo begun; yes line | head -n 20000");
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let record = only(&root);
    assert_eq!(record["status"], "completed");
    let output = record["output"].as_str().unwrap();
    assert!(output.starts_with("begun\nline\n") && output.ends_with("line\n"));
}

#[test]
fn what_its_starter_ignores_does_not_interrupt_it() {
    let root = Root::empty();
    let script = "echo begun; read line; echo \"$line\"";
    let mut child = going_with(&root, "--ignore-signal=HUP", script);
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    child.stdin.take().unwrap().write_all(b"on\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(only(&root)["status"], "completed");

    // whose command has a status all the same
    let root = Root::empty();
    let mut child = going_with(&root, "--ignore-signal=CHLD", "echo begun; exit 3");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(only(&root)["exitCode"], 3);
}

/// Without a shell between that outlives the signal.
const SLEEPS: &str = "echo begun; exec sleep 100";

#[test]
fn who_interrupts_all_of_them_cancels_it() {
    for _ in 0..10 {
        let root = Root::empty();
        let mut command = under(
            &["env", "--default-signal=INT,QUIT,TERM,HUP"],
            &root,
            SLEEPS,
        );
        let mut child = going_by(command.process_group(0));
        kill_process_group(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(only(&root)["status"], "cancelled");
    }
}

/// A terminal, and the command that `script` is, in front on it.
fn on_terminal(root: &Root, script: &str) -> (File, Child) {
    on_terminal_by(root, &[], script)
}

/// The same, started by these words.
fn on_terminal_by(root: &Root, by: &[&str], script: &str) -> (File, Child) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let line = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let words = [
        "setsid",
        "--ctty",
        "env",
        "--default-signal=INT,QUIT,TERM,HUP",
    ];
    let words = [&words[..], by].concat();
    let child = going_from(under(&words, root, script).stdin(line));
    (File::from(terminal), child)
}

#[test]
fn a_ctrl_c_cancels_it_and_reaches_it_once() {
    for number in 0..10 {
        let root = Root::empty();
        let (mut terminal, mut child) = on_terminal(&root, SLEEPS);
        let (typed, code) = [(b"\x03", 130), (b"\x1c", 131)][number % 2];
        terminal.write_all(typed).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(only(&root)["status"], "cancelled");
    }
    // a second one would end it
    let script = "trap 'trap - INT; echo once; sleep 1; kill $!; exit 5' INT; \
        sleep 100 >&- 2>&- & echo begun; wait";
    let elsewhere = ["sh", "-c", "exec \"$@\" </dev/null", "sh"];
    for by in [&[], &elsewhere[..]] {
        let root = Root::empty();
        let (mut terminal, mut child) = on_terminal_by(&root, by, script);
        terminal.write_all(b"\x03").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
        assert_eq!(only(&root)["status"], "cancelled");
        assert_eq!(only(&root)["output"], "begun\nonce\n");
    }
}

#[test]
fn what_is_sent_to_it_alone_on_a_terminal_is_handed_on() {
    for (signal, code) in [
        (Signal::INT, 130),
        (Signal::QUIT, 131),
        (Signal::HUP, 129),
        (Signal::TERM, 143),
    ] {
        let root = Root::empty();
        let (_terminal, mut child) = on_terminal(&root, SLEEPS);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
        assert_eq!(only(&root)["status"], "cancelled");
    }
    // also to one that would not end of a typed one either
    for signal in [Signal::INT, Signal::QUIT] {
        let root = Root::empty();
        let script = "trap 'kill $!; exit 5' INT QUIT; sleep 100 >&- 2>&- & echo begun; wait";
        let (_terminal, mut child) = on_terminal(&root, script);
        let began = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5), "{signal:?}");
        assert!(began.elapsed() < PATIENCE, "{signal:?} was not handed on");
        assert_eq!(only(&root)["status"], "cancelled");
    }
}

/// Waits until the record is as `wanted`.
fn until(root: &Root, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let record = only(root);
        if wanted(&record) {
            return record;
        }
        assert!(began.elapsed() < PATIENCE, "{}", record["status"]);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn whoever_does_not_read_holds_up_neither_the_record_nor_signals() {
    let root = Root::empty();
    let script = "echo begun; head -c 250000 /dev/zero | tr '\\0' x; exit 3";
    let mut child = going(&root, script);
    let record = until(&root, |record| record["status"] == "failed");
    assert_eq!(record["output"].as_str().unwrap().len(), 6 + 250_000);
    let mut rest = String::new();
    let mut output = child.stdout.take().unwrap();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.len() == 250_000 && rest.bytes().all(|byte| byte == b'x'));
    assert_eq!(child.wait().unwrap().code(), Some(3));

    let root = Root::empty();
    let mut child = going(&root, "echo begun; exec yes");
    until(&root, |record| {
        let output = record["output"].as_str();
        output.is_some_and(|output| output.len() > 200_000)
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(only(&root)["status"], "cancelled");

    // and one that has ended is waited for until somebody asks for the end
    let root = Root::empty();
    let mut child = going(&root, script);
    until(&root, |record| record["status"] == "failed");
    assert_eq!(child.try_wait().unwrap(), None);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn an_output_that_does_not_wait_is_waited_for() {
    let root = Root::empty();
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    let script = "echo begun; head -c 250000 /dev/zero; exit 3";
    let mut command = command(&root, &["sh", "-c", script]);
    let mut child = command.stdout(writer).spawn().unwrap();
    // the other end of the pipe
    drop(command);
    reader.read_exact(&mut [0; 6]).unwrap();
    until(&root, |record| record["status"] == "failed");
    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();
    assert_eq!(output.len(), 250_000);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn an_output_that_fails_is_told_of_once() {
    let root = Root::empty();
    let mut command = command(&root, &["sh", "-c", "yes line | head -n 20000; exit 3"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.matches("not passed on: No space left").count(),
        1,
        "{said}"
    );
    let record = only(&root);
    assert!(record["output"].as_str().unwrap().ends_with("line\n"));
}

#[test]
fn a_long_output_is_recorded_in_whole_characters() {
    let (_root, output, record) = run(&["sh", "-c", "yes 'é€' | head -n 60000"]);
    assert_eq!(output.stdout, "é€\n".repeat(60_000).as_bytes());
    let recorded = record["output"].as_str().unwrap();
    assert!(recorded.contains(" bytes left out …]\n"));
    assert!(!recorded.contains(char::REPLACEMENT_CHARACTER));
}

#[test]
fn what_it_leaves_behind_does_not_make_it_take_longer() {
    let root = Root::empty();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = command(&root, &["sh", "-c", "exec 3<&0; cat <&3 & exit 0"]);
    let mut child = command.stdin(reader).stdout(Stdio::null()).spawn().unwrap();
    drop(command);
    assert!(child.wait().unwrap().success());
    drop(writer);
    let record = only(&root);
    assert_eq!(record["status"], "completed");
    // what may still come is waited for before it is written, but after its end
    let waited = written_millis(&root, &record) - millis(&record["completedAt"]);
    assert!(waited >= 150, "{waited} ms");
    let took = millis(&record["completedAt"]) - millis(&record["startedAt"]);
    assert_eq!(record["duration"], took);
}

#[test]
fn what_goes_to_one_place_comes_there_in_its_order() {
    let root = Root::empty();
    let script = "for i in $(seq 300); do echo out $i; echo err $i >&2; done";
    let printed: String = (1..=300)
        .map(|number| format!("out {number}\nerr {number}\n"))
        .collect();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = command(&root, &["sh", "-c", script]);
    let mut child = command
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    // the other ends of the pipe
    drop(command);
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    assert!(child.wait().unwrap().success());
    let rest = all.strip_prefix(&printed);
    assert!(
        rest.is_some_and(|rest| rest.starts_with("runlog: ")),
        "{all}"
    );
    assert_eq!(only(&root)["output"], printed);
}

#[test]
fn what_it_leaves_behind_prints_on_to_where_it_would_have() {
    for (to, print) in [("out", "echo late"), ("err", "echo late >&2")] {
        let root = Root::empty();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let alive = root.beside("alive");
        let script = format!(
            "exec 3<&0; (read line <&3; {print}; echo \"$line\" > {}) & echo out; echo err >&2",
            alive.display()
        );
        let mut command = command(&root, &["sh", "-c", &script]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.stdin(reader).spawn().unwrap();
        drop(command);
        // it has not been waited for
        assert!(child.wait().unwrap().success());
        assert_eq!(only(&root)["status"], "completed");
        writer.write_all(b"on\n").unwrap();
        // and whoever reads, reads to its end
        let (mut out, mut err) = (String::new(), String::new());
        child.stdout.unwrap().read_to_string(&mut out).unwrap();
        child.stderr.unwrap().read_to_string(&mut err).unwrap();
        let late = |which| if to == which { "late\n" } else { "" };
        assert_eq!(out, format!("out\n{}", late("out")));
        assert!(err.starts_with("err\nrunlog: completed after "), "{err}");
        assert!(err.ends_with(&format!("\n{}", late("err"))), "{err}");
        assert_eq!(fs::read_to_string(alive).unwrap(), "on\n");
        let recorded = only(&root);
        let recorded = recorded["output"].as_str().unwrap();
        assert!(
            ["out\nerr\n", "err\nout\n"].contains(&recorded),
            "{recorded}"
        );
    }
}
