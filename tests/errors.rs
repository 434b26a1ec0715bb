//! Every kind of error and every limit of `initialize`, met from outside. Too many requests are met in
//! `overload.rs`; what only a defect or a slow start can bring (-32603, 503) and cancelling
//! (-32800) in `transport::connection`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use runlog::api::ErrorKind;
use serde_json::{Value, json};
use support::{Client, Daemon, Root, record, runlog};

/// What no message may hold: a part of each record, id-like or not.
const SECRET: &str = "tell-nobody";

/// The error is of that kind, says so as the reference does, and leaks nothing.
#[track_caller]
fn is(error: &Value, kind: ErrorKind, root: &Root) {
    assert_eq!(error["code"], kind.code(), "{error}");
    assert_eq!(error["data"]["kind"], kind.word(), "{error}");
    assert_eq!(error["data"]["retryable"], kind.retryable(), "{error}");
    assert!(
        error["message"].as_str().unwrap().len() > 10,
        "it says what to do: {error}"
    );
    let text = error.to_string();
    assert!(!text.contains(&*root.path().to_string_lossy()), "{error}");
    assert!(!text.contains(SECRET), "{error}");
}

/// The answer to a raw line, which has no id of ours.
#[track_caller]
fn line(client: &mut Client, text: &str) -> Value {
    client.send(text);
    let answer = client.next().expect("the connection lives");
    assert_eq!(answer["id"], Value::Null, "{answer}");
    answer["error"].clone()
}

/// The limits that `initialize` announces.
fn limits(client: &mut Client) -> Value {
    client.call("initialize", &json!({}))["capabilities"]["limits"].clone()
}

fn number(limit: &Value) -> u64 {
    limit.as_u64().expect("the limit is announced")
}

#[test]
fn what_is_no_request() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    for text in [
        "{",
        "{tell-nobody}",
        "[1,",
        "\u{1}",
        "nul",
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]"#,
    ] {
        is(&line(&mut client, text), ErrorKind::Parse, &root);
    }
    for text in [
        "[]",
        "1",
        "\"tell-nobody\"",
        "null",
        r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"id":null,"method":"ping"}"#,
    ] {
        is(&line(&mut client, text), ErrorKind::InvalidRequest, &root);
    }
    // the specification's batches
    client.send("[1]");
    let answers = client.next().unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 1);
    is(&answers[0]["error"], ErrorKind::InvalidRequest, &root);
    client.send("[1,2,3]");
    assert_eq!(client.next().unwrap().as_array().unwrap().len(), 3);
    client.send(
        r#"[{"jsonrpc":"2.0","method":"ping","id":"1"},{"jsonrpc":"2.0","method":"notify_hello","params":[7]},{"foo":"boo"},{"jsonrpc":"2.0","method":"foo.get","params":{"name":"myself"},"id":"5"},{"jsonrpc":"2.0","method":"executions/stats","id":"9"}]"#,
    );
    let answers = client.next().unwrap();
    let answers = answers.as_array().unwrap();
    let of = |id: &Value| answers.iter().find(|answer| answer["id"] == *id).unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!(of(&json!("1"))["result"], json!({}));
    assert_eq!(of(&json!("9"))["result"]["totalExecutions"], 0);
    is(&of(&json!("5"))["error"], ErrorKind::MethodNotFound, &root);
    is(&of(&Value::Null)["error"], ErrorKind::InvalidRequest, &root);
    // notifications alone have no answer, known ones or not
    client.send(r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"initialized"}]"#);
    client.send(r#"{"jsonrpc":"2.0","method":"executions/stats"}"#);
    client.call("ping", &json!({}));
    // after a shutdown only its end is welcome
    client.call("shutdown", &json!({}));
    let error = client.refused("executions/list", &json!({}));
    is(&error, ErrorKind::InvalidRequest, &root);
}

#[test]
fn ids_are_echoed_as_they_were_spelt() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
    let ids = [
        "0",
        "-1",
        "null",
        "123456789012345678901234567890",
        r#""""#,
        r#""\u0061\ud83d\ude00 \ud800""#,
    ];
    for id in ids {
        let text = format!(r#"{{"id": {id}, "jsonrpc":"2.0","method":"ping"}}"#);
        writeln!(stream, "{text}").unwrap();
        let mut answer =
            vec![0; format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).len() + 1];
        stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(
            answer,
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n")
        );
    }
}

#[test]
fn methods_and_parameters_that_are_not_there() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let error = client.refused("executions/lst", &json!({}));
    is(&error, ErrorKind::MethodNotFound, &root);
    assert_eq!(error["data"]["nearest"], "executions/list");
    let error = client.refused("nothing like it", &json!({}));
    is(&error, ErrorKind::MethodNotFound, &root);
    let message = "there is no such method; `rpc.discover` lists all of them";
    assert_eq!(error["message"], message);

    let error = client.refused("executions/list", &json!({ "limits": 3 }));
    is(&error, ErrorKind::InvalidParams, &root);
    assert_eq!(error["data"]["member"], "limits");
    assert_eq!(error["data"]["nearest"], "limit");

    let key = json!({ "projectId": "website", "executionId": "x" });
    let run = |execution: Value| json!({ "projectId": "website", "execution": execution });
    for (method, params) in [
        ("executions/list", json!({ "limit": 0 })),
        ("executions/list", json!({ "limit": 1001 })),
        ("executions/list", json!({ "limit": -1 })),
        ("executions/list", json!({ "limit": 1.5 })),
        ("executions/list", json!({ "limit": SECRET })),
        ("executions/list", json!({ "offset": -1 })),
        ("executions/list", json!({ "status": 7 })),
        ("executions/list", json!({ "status": [7] })),
        ("executions/list", json!({ "cursor": SECRET })),
        ("executions/list", json!({ "cursor": "x", "offset": 1 })),
        ("executions/list", json!({ "sync": "yes" })),
        ("executions/list", json!([1])),
        ("executions/list", json!("x")),
        ("executions/get", json!({})),
        ("executions/get", json!({ "projectId": "website" })),
        (
            "executions/get",
            json!({ "projectId": "website", "executionId": 1 }),
        ),
        ("executions/save", json!({ "projectId": "website" })),
        ("executions/save", run(json!({}))),
        ("executions/save", run(json!({ "id": 7 }))),
        ("executions/save", run(json!([1]))),
        (
            "executions/save",
            run(json!({ "id": "a", "projectId": "docs" })),
        ),
        (
            "executions/save",
            json!({ "projectId": "website", "execution": { "id": "a" }, "ifVersion": 3 }),
        ),
        (
            "executions/delete",
            json!({ "projectId": "website", "executionId": "x", "permanent": 1 }),
        ),
        ("executions/restore", json!({})),
        ("executions/restore", json!({ "projectId": "website" })),
        ("executions/restore", json!({ "batch": SECRET })),
        ("executions/restore", json!({ "entries": [SECRET] })),
        (
            "executions/restore",
            json!({ "entries": [], "batch": "1-0000000000000000" }),
        ),
        ("trash/list", json!({ "cursor": SECRET })),
        ("trash/empty", json!({ "before": "yesterday" })),
        ("trash/empty", json!({ "entries": ["website/../../x"] })),
        (
            "trash/empty",
            json!({ "projectId": "website", "batch": "1-0000000000000000" }),
        ),
        ("executions/deleteAll", json!({})),
        ("executions/changes", json!({})),
        ("executions/changes", json!({ "since": 4 })),
        ("executions/subscribe", json!({ "since": 4 })),
        ("executions/unsubscribe", json!({})),
        ("executions/unsubscribe", json!({ "subscription": {} })),
        ("filter/check", json!({})),
        ("filter/check", json!({ "text": 7 })),
        ("filter/check", json!({ "text": SECRET, "offset": -1 })),
        ("server/problems", json!({ "limit": 0 })),
        ("server/status", json!({ "what": 1 })),
    ] {
        let error = client.refused(method, &params);
        assert_eq!(error["code"], -32602, "{method} {params}: {error}");
        is(&error, ErrorKind::InvalidParams, &root);
    }
    let repeated = r#"{"jsonrpc":"2.0","id":"r","method":"executions/save","params":{"projectId":"website","execution":{"id":"a","a":{"tell-nobody":1,"tell-nobody":2}}}}"#;
    client.send(repeated);
    is(
        &client.next().unwrap()["error"],
        ErrorKind::InvalidParams,
        &root,
    );

    let long = "x".repeat(251);
    for id in [
        "", ".", "..", ".a", "a/b", "a\\b", "a\u{7f}", "a\nb", "\u{85}", &long,
    ] {
        for method in ["executions/get", "executions/delete"] {
            let error = client.refused(
                method,
                &json!({ "projectId": "website", "executionId": id }),
            );
            is(&error, ErrorKind::InvalidParams, &root);
        }
        let error = client.refused("executions/save", &run(json!({ "id": id })));
        is(&error, ErrorKind::InvalidParams, &root);
        if id.len() < 250 {
            let error = client.refused("executions/list", &json!({ "projectId": id }));
            is(&error, ErrorKind::InvalidParams, &root);
        }
    }
    // what is welcome: nothing, null, an empty array, null members
    for params in [
        "",
        r#","params":null"#,
        r#","params":[]"#,
        r#","params":{"limit":null,"status":null}"#,
    ] {
        client.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"n","method":"executions/list"{params}}}"#
        ));
        assert_eq!(client.next().unwrap()["result"]["total"], 4);
    }
    assert_eq!(client.refused("executions/get", &key)["code"], 404);
}

/// What is said of params goes for the objects in them, too.
#[test]
fn objects_within_params_are_held_to_what_params_are() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let prune = |policy: Value| {
        (
            "executions/prune",
            json!({ "policy": policy, "dryRun": true }),
        )
    };
    let last = json!({ "executionId": "last" });
    let diff = |a: Value| ("executions/diff", json!({ "a": a, "b": last }));
    let get = |range: Value| {
        let fields = ["/input"];
        let params = json!({ "executionId": "last", "fields": fields, "range": range });
        ("executions/get", params)
    };
    let running = json!({ "id": "live" });
    client.call(
        "executions/start",
        &json!({ "projectId": "website", "execution": running }),
    );
    let update = |add: Value| {
        let params = json!({ "projectId": "website", "executionId": "live", "add": add });
        ("executions/update", params)
    };
    // never by position
    for ((method, params), at) in [
        (get(json!([0, 2])), "range"),
        (diff(json!(["website", "last"])), "a"),
        (prune(json!([[], 0, false, true, null])), "policy"),
        (
            prune(json!({ "rules": [[null, null, false, "30d", null, null]] })),
            "policy.rules[0]",
        ),
        (prune(json!({ "trash": ["3d"] })), "policy.trash"),
        (update(json!([0.5, null])), "add"),
        (update(json!({ "tokenUsage": [1, 2] })), "add.tokenUsage"),
    ] {
        let error = client.refused(method, &params);
        is(&error, ErrorKind::InvalidParams, &root);
        let message = format!("`{at}`: expected an object");
        assert_eq!(error["message"], message, "{method} {params}");
    }
    // unknown members are named, and the nearest known one
    for ((method, params), member, nearest) in [
        (
            prune(json!({ "rules": [{ "maxCount": 1 }, { "maxagee": "30d" }] })),
            "policy.rules[1].maxagee",
            json!("policy.rules[1].maxAge"),
        ),
        (
            prune(json!({ "keeplast": 1 })),
            "policy.keeplast",
            json!("policy.keepLast"),
        ),
        (
            prune(json!({ "trash": { "age": "3d" } })),
            "policy.trash.age",
            json!("policy.trash.maxAge"),
        ),
        (
            prune(json!({ "trash": null, "workDoneToken": 1 })),
            "policy.workDoneToken",
            Value::Null,
        ),
        (diff(json!({ "foo": 1 })), "a.foo", Value::Null),
        (
            get(json!({ "start": 0, "ends": 1 })),
            "range.ends",
            json!("range.end"),
        ),
        (
            update(json!({ "costusd": 1 })),
            "add.costusd",
            json!("add.costUSD"),
        ),
    ] {
        let error = client.refused(method, &params);
        is(&error, ErrorKind::InvalidParams, &root);
        assert_eq!(error["data"]["member"], member, "{error}");
        assert_eq!(error["data"]["nearest"], nearest, "{error}");
        let begin = format!("unknown parameter `{member}`; ");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&begin), "{error}");
    }
    // what else is wrong is said of its place
    for ((method, params), message) in [
        (
            prune(json!({ "rules": [{ "maxAge": "30d", "perProject": 1 }] })),
            "`policy.rules[0].perProject`: expected a boolean",
        ),
        (
            prune(json!({ "rules": [null] })),
            "`policy.rules[0]`: expected an object",
        ),
        (
            diff(json!({ "executionId": null })),
            "`a`: missing parameter `executionId`",
        ),
        (
            get(json!({ "start": 0, "end": -1 })),
            "`range.end`: expected a whole number of 0 or more",
        ),
    ] {
        let error = client.refused(method, &params);
        is(&error, ErrorKind::InvalidParams, &root);
        assert_eq!(error["message"], message);
    }
    let sorted = json!({ "query": "x", "sort": { "relevance": null } });
    let error = client.refused("executions/search", &sorted);
    assert_eq!(error["message"], "`sort`: expected a string");
    // null says nothing
    let rule = json!({
        "maxAge": "30d", "perProject": null, "maxCount": null, "projectId": null, "status": null
    });
    let policy = json!({
        "rules": [rule], "keepFailed": null, "keepLast": null, "keepPinned": null, "trash": null
    });
    let (method, params) = prune(policy);
    assert_eq!(client.call(method, &params)["count"], 3);
    let (method, params) = diff(json!({ "projectId": null, "executionId": "last" }));
    client.call(method, &params);
    let (method, params) = update(json!({ "costUSD": null, "tokenUsage": { "input": null } }));
    client.call(method, &params);
    // of repeated members the last
    client.send(
        r#"{"jsonrpc":"2.0","id":"r","method":"executions/prune","params":{"dryRun":true,"policy":{"keepLast":"x","keepLast":9,"rules":[{"maxCount":0}]}}}"#,
    );
    assert_eq!(client.next().unwrap()["result"]["count"], 0);
}

#[test]
fn runs_that_are_missing_changed_or_corrupt() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let get = |client: &mut Client, id: &str| {
        client.refused(
            "executions/get",
            &json!({ "projectId": "website", "executionId": id }),
        )
    };
    is(
        &get(&mut client, "none"),
        ErrorKind::ExecutionNotFound,
        &root,
    );
    let error = client.refused(
        "executions/get",
        &json!({ "projectId": "none", "executionId": "x" }),
    );
    is(&error, ErrorKind::ExecutionNotFound, &root);

    let save = |version: &str| {
        let execution = json!({ "id": "a", "note": SECRET, "n": version.len() });
        json!({ "projectId": "website", "execution": execution, "ifVersion": version })
    };
    let gone = "0".repeat(32);
    is(
        &client.refused("executions/save", &save(&gone)),
        ErrorKind::VersionConflict,
        &root,
    );
    let saved = client.call("executions/save", &save("none"));
    for version in ["none", &gone] {
        let error = client.refused("executions/save", &save(version));
        is(&error, ErrorKind::VersionConflict, &root);
        assert_eq!(error["data"]["currentVersion"], saved["version"]);
    }
    client.call("executions/save", &save(saved["version"].as_str().unwrap()));

    let folder = root.path().join("website/executions");
    let elsewhere = root.beside("elsewhere.json");
    fs::write(&elsewhere, r#"{"id":"link","note":"tell-nobody"}"#).unwrap();
    symlink(&elsewhere, folder.join("link.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(folder.join("fifo.json"))
            .status()
            .unwrap()
            .success()
    );
    for (id, text) in [
        ("empty", ""),
        ("cut", r#"{"id":"cut","note":"tell-nobody"#),
        ("two", "{}{}"),
        ("text", "tell-nobody"),
        ("array", "[1]"),
        ("number", "1"),
        ("bom", "\u{feff}{}"),
    ] {
        fs::write(folder.join(format!("{id}.json")), text).unwrap();
    }
    fs::write(folder.join("latin.json"), b"{\"a\":\"\xe9\"}").unwrap();
    let bad = [
        "link", "folder", "fifo", "empty", "cut", "two", "text", "array", "number", "latin",
    ];
    for id in bad {
        is(&get(&mut client, id), ErrorKind::CorruptExecution, &root);
    }
    // each is a problem, none is listed, and none hides the others
    let problems = client.call("server/problems", &json!({ "sync": true }))["problems"].clone();
    for id in bad {
        let path = format!("website/executions/{id}.json");
        let found = problems
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["path"] == path);
        let found = found.unwrap_or_else(|| panic!("{id} in {problems}"));
        assert!(!found.to_string().contains(SECRET), "{found}");
    }
    let list = client.call(
        "executions/list",
        &json!({ "sync": true, "projectId": "website" }),
    );
    for run in list["executions"].as_array().unwrap() {
        assert!(!bad.contains(&run["id"].as_str().unwrap()), "{run}");
    }
    for id in ["link", "folder", "fifo"] {
        let params = json!({ "projectId": "website", "execution": { "id": id } });
        is(
            &client.refused("executions/save", &params),
            ErrorKind::CorruptExecution,
            &root,
        );
    }
    assert!(fs::read_to_string(elsewhere).unwrap().contains(SECRET));
}

#[test]
fn frames_and_batches_over_their_limits() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let limits = limits(&mut client);
    let [frame, nesting, entries] =
        ["frameBytes", "nesting", "batchEntries"].map(|name| number(&limits[name]));

    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":"{}"}}"#,
        "x".repeat(frame as usize)
    );
    let error = line(&mut client, &long);
    is(&error, ErrorKind::TooLarge, &root);
    assert_eq!(error["data"]["limitBytes"], frame);

    let nested = |levels: u64| {
        let levels = levels as usize - 2; // the request and its params are two
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"jsonrpc":"2.0","id":null,"method":"initialize","params":{{"x":{value}}}}}"#)
    };
    is(
        &line(&mut client, &nested(nesting + 1)),
        ErrorKind::TooLarge,
        &root,
    );
    let mut other = daemon.connect();
    other.send(&nested(nesting));
    assert_eq!(other.next().unwrap()["result"]["protocolVersion"], 1);
    // deeper than any stack
    is(
        &line(&mut client, &"[".repeat(10_000_000)),
        ErrorKind::TooLarge,
        &root,
    );

    let batch = |count: u64| format!("[{}1]", "1,".repeat(count as usize - 1));
    is(
        &line(&mut client, &batch(entries + 1)),
        ErrorKind::InvalidRequest,
        &root,
    );
    client.send(&batch(entries));
    assert_eq!(
        client.next().unwrap().as_array().unwrap().len() as u64,
        entries
    );
    drop(client);

    // the other framing: told at once, skipped, and the connection lives
    let mut stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
    write!(stream, "Content-Length: {}\r\n\r\n", frame + 1).unwrap();
    let error = framed(&mut stream)["error"].clone();
    is(&error, ErrorKind::TooLarge, &root);
    assert_eq!(error["data"]["sizeBytes"], frame + 1);
    stream.write_all(&vec![b' '; frame as usize + 1]).unwrap();
    let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    write!(
        stream,
        "Content-Type: x; charset=utf8\r\ncontent-length:{}\r\n\r\n{ping}",
        ping.len()
    )
    .unwrap();
    assert_eq!(framed(&mut stream)["id"], 7);
    // what is no header block ends the connection
    write!(stream, "Content-Length: seven\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

fn framed(stream: &mut UnixStream) -> Value {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        header.push(byte[0]);
    }
    let header = String::from_utf8(header).unwrap();
    let length = header.trim().strip_prefix("Content-Length: ").unwrap();
    let mut text = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn records_and_answers_over_their_limits() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let limits = limits(&mut client);
    let bytes = number(&limits["recordBytes"]);
    let nesting = number(&limits["nesting"]) as usize;
    let folder = root.path().join("p/executions");
    fs::create_dir_all(&folder).unwrap();
    let file = |id: &str, text: String| fs::write(folder.join(format!("{id}.json")), text).unwrap();
    let around = r#"{"output":""}"#.len() as u64;
    file(
        "over",
        format!(
            r#"{{"output":"{}"}}"#,
            "x".repeat((bytes - around + 1) as usize)
        ),
    );
    let deep = |levels: usize| {
        format!(
            r#"{{"x":{}{}}}"#,
            "[".repeat(levels - 1),
            "]".repeat(levels - 1)
        )
    };
    file("deep", deep(nesting + 1));
    file("fits", deep(nesting));
    let get = |id: &str| json!({ "projectId": "p", "executionId": id });

    let error = client.refused("executions/get", &get("over"));
    is(&error, ErrorKind::TooLarge, &root);
    assert_eq!(error["data"]["sizeBytes"], bytes + 1);
    assert_eq!(error["data"]["limitBytes"], bytes);
    let error = client.refused("executions/get", &get("deep"));
    is(&error, ErrorKind::TooLarge, &root);
    // both are listed all the same; a record is one level deeper in its answer than in its file
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 3, "{list}");

    // a save above the limit touches nothing
    let text = "x".repeat((bytes - around + 1) as usize);
    let params = json!({ "projectId": "p", "execution": { "id": "new", "output": text } });
    let error = client.refused("executions/save", &params);
    is(&error, ErrorKind::TooLarge, &root);
    assert!(!folder.join("new.json").exists());

    // entries whose answers go past the limit of the whole are refused one by one
    file(
        "half",
        format!(r#"{{"output":"{}"}}"#, "x".repeat(40 << 20)),
    );
    client.send(&format!(
        "[{}]",
        (1..=3)
            .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "executions/get", "params": get("half") }).to_string())
            .collect::<Vec<_>>()
            .join(",")
    ));
    let answers = client.next().unwrap();
    let refused: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|answer| answer.get("error"))
        .collect();
    assert_eq!(refused.len(), 2);
    is(refused[0], ErrorKind::TooLarge, &root);
}

#[test]
fn more_subscriptions_than_a_connection_may_have() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let limits = limits(&mut client);
    let subscriptions = number(&limits["subscriptions"]);
    let mut ids = Vec::new();
    for _ in 0..subscriptions {
        ids.push(client.call("executions/subscribe", &json!({})));
        assert_eq!(client.change()["kind"], "current");
    }
    let error = client.refused("executions/subscribe", &json!({}));
    is(&error, ErrorKind::Overloaded, &root);
    let end = json!({ "subscription": ids[0] });
    assert_eq!(client.call("executions/unsubscribe", &end), true);
    assert_eq!(client.call("executions/unsubscribe", &end), false);
    client.call("executions/subscribe", &json!({}));
    assert_eq!(client.change()["kind"], "current");
}

#[test]
fn a_file_system_that_refuses() {
    let root = Root::empty();
    root.engine("p", "old", &record("p", "old", "completed"));
    let old = fs::read(root.file("p", "old")).unwrap();
    // no file may become larger than 64 kB, which a signal tells of that would end the daemon
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -f 64 && exec \"$0\" \"$@\""])
        .arg(runlog().get_program())
        .args(["serve", "--projects"])
        .arg(root.path())
        .env_remove("RUNLOG_PROJECTS")
        .env("XDG_CACHE_HOME", support::cache())
        .stderr(Stdio::null());
    let (_daemon, mut client) = Daemon::spawn(&mut command);
    let text = SECRET.repeat(100_000);
    let params = json!({ "projectId": "p", "execution": { "id": "old", "output": text } });
    let error = client.refused("executions/save", &params);
    is(&error, ErrorKind::Storage, &root);
    assert_eq!(fs::read(root.file("p", "old")).unwrap(), old);
    assert_eq!(
        fs::read_dir(root.path().join("p/executions"))
            .unwrap()
            .count(),
        1
    );
}

/// A disk of 256 kB: a file system in memory, in a mount namespace of the daemon's own.
#[test]
fn a_disk_that_is_full() {
    let root = Root::empty();
    let script = "mount -t tmpfs -o size=256k none \"$1\" && exec \"$0\" serve --projects \"$1\"";
    let separate = |user: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(user).arg("--mount");
        command
    };
    // a superuser needs no user namespace, and may not have any
    let user: &[&str] = &["--user", "--map-root-user"];
    let user = [&[], user]
        .into_iter()
        .find(|user| {
            let tried = separate(user)
                .args(["mount", "-t", "tmpfs", "none"])
                .arg(root.path())
                .stderr(Stdio::null())
                .status();
            tried
                .expect("unshare is needed (Debian: util-linux)")
                .success()
        })
        .expect("mount namespaces are needed: run as root, or allow user namespaces");
    let mut command = separate(user);
    command
        .args(["sh", "-c", script])
        .arg(runlog().get_program())
        .arg(root.path())
        .env_remove("RUNLOG_PROJECTS")
        .env("XDG_CACHE_HOME", support::cache());
    let (_daemon, mut client) = Daemon::spawn(&mut command);
    let save = |id: &str, length: usize| {
        let execution = json!({ "id": id, "output": SECRET.repeat(length) });
        json!({ "projectId": "p", "execution": execution })
    };
    client.call("executions/save", &save("kept", 10));
    let version = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "kept" }),
    )["version"]
        .clone();
    for id in ["kept", "new"] {
        let error = client.refused("executions/save", &save(id, 100_000));
        is(&error, ErrorKind::StorageFull, &root);
    }
    let kept = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "kept" }),
    );
    assert_eq!(kept["version"], version);
    assert_eq!(
        client.call("executions/list", &json!({ "sync": true }))["total"],
        1
    );
    // room is made by what failed, so what fits goes in
    client.call("executions/save", &save("small", 10));
}

/// JSON can spell it, and no file can be called so.
#[test]
fn half_of_a_surrogate_pair_is_in_no_id() {
    let root = Root::empty();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    for (method, params) in [
        ("save", r#""projectId":"p","execution":{"id":"\ud800"}"#),
        ("start", r#""projectId":"p","execution":{"id":"a\udc00"}"#),
        ("save", r#""projectId":"\ud800","execution":{"id":"x"}"#),
        (
            "save",
            r#""projectId":"\ufffd","execution":{"id":"x","projectId":"\ud800"}"#,
        ),
        ("get", r#""projectId":"p","executionId":"\ud800\ud800""#),
        ("delete", r#""projectId":"p","executionId":"\ud800""#),
    ] {
        client.send(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"executions/{method}","params":{{{params}}}}}"#
        ));
        let answer = client.next().unwrap();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        let is_clear = [
            "half of a surrogate pair",
            "must be the same as `projectId`",
        ];
        assert!(
            is_clear.iter().any(|part| message.contains(part)),
            "{answer}"
        );
    }
    assert_eq!(
        client.call("projects/list", &json!({ "sync": true }))["projects"],
        json!([])
    );
}
