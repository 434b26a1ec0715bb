//! What is logged: each request by its id, nothing of what it carries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Root, runlog};

const SECRET: &str = "tell-nobody";

/// Sends lines to a daemon on stdio; what it logs until it ends.
fn logged(root: &Root, filter: &str, format: &str, lines: &[String]) -> String {
    let mut child = runlog()
        .args(["serve", "--log-format", format, "--projects"])
        .arg(root.path())
        .env("RUNLOG_LOG", filter)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", lines.join("\n")).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_request_is_followed_by_its_id_and_no_payload_is_logged() {
    let root = Root::empty();
    let line = |id: &str, method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
    };
    let execution = json!({ "id": "a", "input": SECRET, "steps": [{ "output": SECRET }] });
    let lines = [
        line(
            "the-save",
            "executions/save",
            json!({ "projectId": "p", "execution": execution }),
        ),
        line("the-list", "executions/list", json!({ "sync": true })),
        line(
            "the-get",
            "executions/get",
            json!({ "projectId": "p", "executionId": "a" }),
        ),
        line("refused", "executions/list", json!({ "limit": SECRET })),
        line("unknown", "executions/list", json!({ SECRET: 1 })),
        format!("{{{SECRET}"),
        format!(r#"{{"jsonrpc":"2.0","method":"{SECRET}","params":{{"a":"{SECRET}"}}}}"#),
    ];
    for format in ["text", "json"] {
        let text = logged(&root, "trace", format, &lines);
        assert!(!text.contains(SECRET), "{text}");
        for (id, word) in [
            ("the-save", "executions/save"),
            ("the-list", "executions/list"),
            ("the-get", "executions/get"),
            ("refused", "invalid-params"),
        ] {
            let followed = text
                .lines()
                .find(|line| line.contains(id) && line.contains(word));
            let followed = followed.unwrap_or_else(|| panic!("{id} in {text}"));
            assert!(followed.contains("micros"), "{followed}");
        }
        if format == "json" {
            for line in text.lines() {
                serde_json::from_str::<Value>(line)
                    .unwrap_or_else(|error| panic!("{error}: {line}"));
            }
        }
    }
}

#[test]
fn nothing_is_logged_where_nothing_is_wrong_and_a_bad_filter_is_told() {
    let root = Root::samples();
    assert_eq!(logged(&root, "", "text", &[]), "");
    let text = logged(&root, "runlog=loud", "text", &[]);
    assert!(text.contains("RUNLOG_LOG is not understood"), "{text}");
}

#[test]
fn a_log_that_lies_beside_what_is_watched_does_not_feed_itself() {
    let root = Root::empty();
    for path in [root.beside("runlog.log"), root.path().join("runlog.log")] {
        let mut child = runlog()
            .args(["serve", "--projects"])
            .arg(root.path())
            .env("RUNLOG_LOG", "trace")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&path).unwrap())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"executions/list","params":{"sync":true}}"#;
        writeln!(input, "{list}").unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["result"]["total"], 0, "{answer}");
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 1000, "{lines} lines");
        std::fs::remove_file(path).unwrap();
    }
}
