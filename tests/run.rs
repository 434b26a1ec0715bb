//! `runlog run`: any command is a run, seen by a daemon while it goes on, whatever ends it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Daemon, Root, runlog};

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
    let run = command(root, &["sh", "-c", script]);
    let mut env = Command::new("env");
    env.arg(signals).arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => env.env(name, value),
            None => env.env_remove(name),
        };
    }
    going_by(&mut env)
}

fn going_by(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
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
        (Signal::HUP, "exit 7' HUP", 7, "cancelled"),
        (Signal::TERM, "exit 0' TERM", 0, "completed"),
    ] {
        let root = Root::empty();
        let script = match trap {
            "" => "echo begun; exec sleep 100".to_owned(),
            // a shell handles a trap when what it waits for in front has ended, and `wait` at once
            trap => format!("trap 'kill $!; {trap}; echo begun; sleep 100 >&- 2>&- & wait"),
        };
        let mut child = going_with(&root, "--default-signal=INT,TERM,HUP", &script);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal:?}");
        let record = only(&root);
        assert_eq!(record["status"], status, "{record}");
        assert!(record["completedAt"].is_string());
    }
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
}
