//! What steps say of nodes and errors of each other, from outside: `nodes/stats` and
//! `errors/groups` equal what is counted by hand, also after a start from what was kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;

use serde_json::{Value, json};
use support::place::Place;
use support::{Daemon, Root, record};

/// A run with these steps.
fn run_of(id: &str, steps: &[Value]) -> Value {
    let mut run = record("p", id, "completed");
    run["steps"] = steps.into();
    run
}

fn step(node: &str, status: &str, duration: u64) -> Value {
    json!({ "nodeId": node, "status": status, "duration": duration, "input": { "nodeId": "no" },
            "tokenUsage": { "input": 10, "output": 1 } })
}

fn failed(id: &str, started: &str, error: &str) -> Value {
    let mut run = record("p", id, "failed");
    run["startedAt"] = started.into();
    run["error"] = error.into();
    run
}

fn cheap_step() -> Value {
    json!({ "nodeId": "cheap", "costUSD": 0.02 })
}

/// The nodes in the order of an answer.
fn names(answer: &Value) -> Vec<&str> {
    let nodes = answer["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["nodeId"].as_str().unwrap()).collect()
}

#[test]
fn nodes_are_summed_up_over_the_runs_that_match() {
    let root = Root::empty();
    let looped: Vec<Value> = (1..=100).map(|n| step("loop", "completed", n)).collect();
    root.engine("p", "a", &run_of("a", &looped));
    let dear = json!({ "name": "dear", "status": "failed", "costUSD": 0.1,
        "startedAt": "2025-10-15T05:02:46.569Z", "completedAt": "2025-10-15T05:02:47.069Z",
        "tokenUsage": { "input": 10, "output": 1, "total": 12 } });
    let cheap = cheap_step();
    let steps = [
        dear.clone(),
        dear,
        cheap,
        step("loop", "failed", 7),
        json!({ "duration": 1 }),
    ];
    root.engine("p", "b", &run_of("b", &steps));
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let mut ask = |params: Value| client.call("nodes/stats", &params);

    let slowest = ask(json!({}));
    assert_eq!(names(&slowest), ["dear", "loop", "cheap"]);
    assert_eq!(
        (&slowest["total"], &slowest["truncatedRuns"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        slowest["nodes"][0],
        json!({
            "nodeId": "dear", "runs": 1, "steps": 2, "failures": 2,
            "duration": { "count": 2, "min": 500, "max": 500, "mean": 500, "p50": 500, "p90": 500,
                          "p95": 500, "p99": 500 },
            "inputTokens": 20, "outputTokens": 2, "totalTokens": 24, "costUSD": 0.2
        })
    );
    assert_eq!(
        slowest["nodes"][1],
        json!({
            "nodeId": "loop", "runs": 2, "steps": 101, "failures": 1,
            "duration": { "count": 101, "min": 1, "max": 100, "mean": 50.069_307, "p50": 50,
                          "p90": 90, "p95": 95, "p99": 99 },
            "inputTokens": 1010, "outputTokens": 101, "totalTokens": 1111, "costUSD": null
        })
    );
    assert_eq!(slowest["nodes"][2]["duration"]["p50"], Value::Null);
    for (order, expected) in [
        ("mostFailing", ["dear", "loop", "cheap"]),
        ("mostUsed", ["loop", "dear", "cheap"]),
        ("mostExpensive", ["dear", "cheap", "loop"]),
    ] {
        assert_eq!(
            names(&ask(json!({ "orderBy": order }))),
            expected,
            "{order}"
        );
    }
    let first = ask(json!({ "orderBy": "mostUsed", "limit": 1 }));
    assert_eq!((names(&first), &first["total"]), (vec!["loop"], &json!(3)));
    // of the runs that match, every step counts
    let with = ask(json!({ "where": "nodeId = cheap", "projectId": "p" }));
    assert_eq!(names(&with), ["dear", "loop", "cheap"]);
    assert_eq!(with["nodes"][1]["steps"], 1);
    assert_eq!(ask(json!({ "where": "nodeId !~ loop" }))["total"], 0);
    assert_eq!(ask(json!({ "projectId": "missing" }))["total"], 0);
    // what was saved before counts, what went does not
    root.engine("p", "a", &run_of("a", &looped[..1]));
    std::fs::remove_file(root.file("p", "b")).unwrap();
    let after = ask(json!({ "sync": true }));
    assert_eq!(
        (names(&after), &after["nodes"][0]["steps"]),
        (vec!["loop"], &json!(1))
    );
    // by node a run counts wherever it was, once
    root.engine(
        "p",
        "b",
        &run_of("b", &[step("loop", "failed", 7), cheap_step()]),
    );
    root.engine("p", "c", &record("p", "c", "failed"));
    let mut count = |by: Value| {
        let params = json!({ "groupBy": by, "sync": true });
        let counted = client.call("executions/count", &params);
        assert_eq!(counted["count"], 3);
        assert_eq!(
            counted["totalGroups"],
            counted["groups"].as_array().unwrap().len()
        );
        counted["groups"].clone()
    };
    assert_eq!(
        count(json!(["node"])),
        json!([
            { "key": ["loop"], "count": 2 },
            { "key": [null], "count": 1 },
            { "key": ["cheap"], "count": 1 }
        ])
    );
    assert_eq!(
        count(json!(["node", "status"])),
        json!([
            { "key": ["loop", "completed"], "count": 2 },
            { "key": [null, "failed"], "count": 1 },
            { "key": ["cheap", "completed"], "count": 1 }
        ])
    );
    // more nodes than are kept of a run
    let many: Vec<Value> = (0..300)
        .map(|number| step(&format!("n{number}"), "completed", 1))
        .collect();
    let ask = json!({ "groupBy": ["node"], "sync": true });
    assert_eq!(client.call("executions/count", &ask)["truncatedRuns"], 0);
    root.engine("p", "d", &run_of("d", &many));
    let counted = client.call("executions/count", &ask);
    assert_eq!(counted["truncatedRuns"], 1);
    assert_eq!(counted["totalGroups"], 3 + 256);
    let by_status = json!({ "groupBy": ["status"] });
    let counted = client.call("executions/count", &by_status);
    assert!(counted.get("truncatedRuns").is_none());
    let error = client.refused("nodes/stats", &json!({ "orderBy": "slow" }));
    assert_eq!(error["code"], -32602);
}

#[test]
fn a_record_of_any_size_costs_bounded_step_data_and_says_so() {
    let root = Root::empty();
    let many: Vec<Value> = (0..100_000)
        .map(|n| json!({ "nodeId": format!("node-{n}"), "duration": n }))
        .collect();
    root.engine("p", "many", &run_of("many", &many));
    let long = json!({ "nodeId": "n".repeat(1_000_000), "duration": 1 });
    root.engine(
        "p",
        "long",
        &run_of("long", &[long, step("a", "completed", 1)]),
    );
    root.engine("p", "usual", &run_of("usual", &[step("a", "completed", 3)]));
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let nodes = client.call("nodes/stats", &json!({ "orderBy": "mostUsed" }));
    assert_eq!(nodes["truncatedRuns"], 2);
    assert_eq!(nodes["total"], 257);
    assert_eq!(nodes["nodes"][0]["nodeId"], "a");
    assert_eq!(nodes["nodes"][0]["steps"], 2);
    // filters see the nodes of all steps: where those that are kept do not decide, the record is read
    let mut count = |text: &str| {
        let params = json!({ "where": text, "sync": true });
        client.call("executions/count", &params)["count"].clone()
    };
    assert_eq!(count("nodeId = 'node-99999'"), 1);
    assert_eq!(count("nodeId != 'node-99999'"), 2);
    assert_eq!(count("nodeId ~ 9999 or nodeId = a"), 3);
    assert_eq!(count("failedNode ~ node"), 0);
    // as they are those that have too long a name
    let name = "n".repeat(300);
    let long = json!({ "nodeId": name, "status": "failed" });
    root.engine("p", "lone", &run_of("lone", &[long]));
    for (text, expected) in [
        ("nodeId is null", 0),
        ("nodeId is not null", 1),
        ("nodeId ~ nnn", 1),
        ("nodeId !~ nnn", 0),
        ("failedNode is null", 0),
        ("failedNode ~ nnn", 1),
        (&format!("nodeId = '{name}'"), 1),
        (&format!("nodeId = '{name}n'"), 0),
        (&format!("failedNode != '{name}'"), 0),
    ] {
        assert_eq!(
            count(&format!("({text}) and id = lone")),
            expected,
            "{text}"
        );
    }
    fs::remove_file(root.file("p", "lone")).unwrap();
    let last = json!([{ "nodeId": "node-99999", "status": "failed" }]);
    let steps: Vec<Value> = many
        .iter()
        .chain(last.as_array().unwrap())
        .cloned()
        .collect();
    root.engine("p", "many", &run_of("many", &steps));
    assert_eq!(count("failedNode = 'node-99999'"), 1);
    assert_eq!(count("not failedNode = 'node-99999'"), 2);
    let status = client.call("server/status", &json!({}));
    let kept = status["memory"]["stepDataBytes"].as_u64().unwrap();
    assert!((1..64 * 1024).contains(&kept), "{kept}");
}

#[test]
fn errors_are_grouped_and_told_apart_from_those_known_before() {
    let place = Place::new(0);
    let engine = |id: &str, started: &str, error: &str| {
        place.root.engine("p", id, &failed(id, started, error));
    };
    let long = "word ".repeat(100);
    engine(
        "t1",
        "2025-10-15T05:00:00.000Z",
        "Execution exec-1 timed out after 5000ms",
    );
    engine(
        "t2",
        "2025-10-17T05:00:00.000Z",
        "Execution exec-2 timed out after 31ms",
    );
    engine(
        "t3",
        "2025-10-16T05:00:00.000Z",
        "Execution exec-3 timed out after 7ms",
    );
    engine("m1", "2025-10-18T05:00:00.000Z", &format!("{long} alpha 1"));
    engine("m2", "2025-10-18T06:00:00.000Z", &format!("{long} alpha 2"));
    engine("m3", "2025-10-18T07:00:00.000Z", &format!("{long} beta"));
    engine("none", "2025-10-18T07:00:00.000Z", "");
    let (daemon, mut client) = place.start();
    let groups = client.call("errors/groups", &json!({ "since": "2025-10-18" }));
    let told = |groups: &Value| -> Vec<(u64, String, Value)> {
        let all = groups["groups"].as_array().unwrap().iter();
        let told = all.map(|group| {
            let example = group["example"]["executionId"].as_str().unwrap();
            (
                group["count"].as_u64().unwrap(),
                example.to_owned(),
                group["new"].clone(),
            )
        });
        told.collect()
    };
    let group = |count, example: &str, new: Value| (count, example.to_owned(), new);
    assert_eq!(
        told(&groups),
        [
            group(3, "t2", json!(false)),
            group(2, "m2", json!(true)),
            group(1, "m3", json!(true))
        ]
    );
    assert_eq!(groups["total"], 3);
    let first = &groups["groups"][0];
    assert_eq!(first["pattern"], "Execution exec-<n> timed out after <n>ms");
    assert_eq!(first["firstSeenAt"], "2025-10-15T05:00:00.000Z");
    assert_eq!(first["lastSeenAt"], "2025-10-17T05:00:00.000Z");
    assert_eq!(
        first["example"]["error"],
        "Execution exec-2 timed out after 31ms"
    );
    assert_eq!(groups["groups"][2]["example"]["errorTruncated"], true);
    // the same by the filter
    let fingerprint = first["fingerprint"].as_str().unwrap().to_owned();
    let where_group = format!("errorGroup = {fingerprint}");
    let list = client.call("executions/list", &json!({ "where": where_group }));
    assert_eq!(list["total"], 3);
    let only = client.call(
        "errors/groups",
        &json!({ "where": where_group, "limit": 1 }),
    );
    assert_eq!(told(&only), [group(3, "t2", Value::Null)]);

    // new since a clock: another run of a known group is not, and an old one mended does not hide
    let clock = groups["clock"].clone();
    engine(
        "t4",
        "2025-10-19T05:00:00.000Z",
        "Execution exec-4 timed out after 1ms",
    );
    engine("n1", "2025-10-01T05:00:00.000Z", "disk full");
    engine("m3", "2025-10-18T07:00:00.000Z", "disk full");
    let since = json!({ "since": clock, "sync": true });
    let now = client.call("errors/groups", &since);
    let expected = [
        group(4, "t4", json!(false)),
        group(2, "m3", json!(true)),
        group(2, "m2", json!(false)),
    ];
    assert_eq!(told(&now), expected);

    // after a start from what was kept: the same, and the clock goes on
    drop(client);
    place.end(daemon);
    let (daemon, mut client) = place.start();
    let status = client.call("server/status", &json!({}));
    assert_eq!(status["restored"], true);
    let again = client.call("errors/groups", &since);
    assert_eq!(told(&again), expected);
    assert_eq!(again["groups"][0]["fingerprint"], fingerprint.as_str());

    for wrong in ["c:0123456789abcdef:7", "c:nonsense", "last week", ""] {
        let error = client.refused("errors/groups", &json!({ "since": wrong }));
        assert_eq!(error["code"], -32602, "{wrong}");
        assert!(error["message"].as_str().unwrap().starts_with("`since`: "));
    }
    drop(client);
    drop(daemon);
}
