//! The examples of the method table, run against the real program: what the OpenRPC document and
//! the printed reference show is what is answered, and what is answered, also of records with
//! something odd about them, is what the document says that answers are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;

use runlog::api::openrpc;
use runlog::api::samples::{lay_out_trash, save_as_engine};
use runlog::api::table::table;
use serde_json::{Value, json};
use support::{Daemon, Root, compare};

#[test]
fn every_example_is_answered_as_it_is_shown() {
    for entry in table() {
        for example in (entry.examples)() {
            let root = Root::samples();
            lay_out_trash(&root.path()).unwrap();
            let (_daemon, mut client) = Daemon::stdio(&root.path());
            // the index is complete, so that counts are
            client.call("executions/list", &json!({ "sync": true }));
            let answered = client.call(entry.name, &example.params);
            let at = format!("{}: {}", entry.name, example.name);
            match entry.name {
                // the example shows one member of many
                "rpc.discover" => assert_eq!(answered["openrpc"], example.result["openrpc"]),
                "executions/subscribe" => {
                    assert!(answered.is_u64(), "{at}");
                    assert_eq!(client.change()["kind"], "current");
                }
                _ => compare(&at, &example.result, &answered),
            }
        }
    }
}

/// What the OpenRPC document says of values, to the letter: there is nothing that it does not know,
/// either.
struct Document(Value);

impl Document {
    fn new() -> Self {
        Self(Value::Object(openrpc::document()))
    }

    /// Of a method's or notification's `part`, by its name.
    fn entry(&self, list: &str, name: &str) -> &Value {
        let mut all = self.0[list].as_array().unwrap().iter();
        all.find(|entry| entry["name"] == name).unwrap()
    }

    /// What is wrong with a method's params or the answer to them.
    fn exchange(&self, method: &str, params: &Value, answer: &Value) -> Result<(), String> {
        let entry = self.entry("methods", method);
        let known = entry["params"].as_array().unwrap();
        for (name, value) in params.as_object().unwrap() {
            let param = known.iter().find(|param| param["name"] == **name);
            let param = param.ok_or_else(|| format!("{method} has no param {name}"))?;
            self.holds(&format!("{method}({name})"), &param["schema"], value)?;
        }
        let mut answer = answer.clone();
        // the rows of a list have those members that `fields` asks for
        if method == "executions/list" && params.get("fields").is_some() {
            for row in answer["executions"].as_array_mut().unwrap() {
                let mut whole = json!({
                    "id": "a", "projectId": "p", "updatedAt": "2025-10-15T05:02:46.569Z",
                    "sizeBytes": 2, "stepCount": 0, "version": "0".repeat(32)
                });
                let asked = row.as_object_mut().unwrap();
                whole.as_object_mut().unwrap().append(asked);
                *row = whole;
            }
        }
        self.holds(method, &entry["result"]["schema"], &answer)
    }

    /// What is wrong with a change that is told.
    fn change(&self, told: &Value) -> Result<(), String> {
        let entry = self.entry("x-notifications", "executions/changed");
        self.holds("changed", &entry["params"][1]["schema"], told)
    }

    fn holds(&self, at: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
        let Value::Object(words) = schema else {
            return if *schema == true {
                Ok(())
            } else {
                wrong("unexpected")
            };
        };
        let object = value.as_object();
        for (word, says) in words {
            let each = || says.as_array().unwrap().iter();
            let fits = |schema| self.holds(at, schema, value);
            match word.as_str() {
                // for people, and what a number's type says anyway
                "title" | "description" | "default" | "format" | "pattern" => {}
                // its members may be anything, as its description says
                "$ref" if says == "#/components/schemas/ExecutionRecord" && object.is_some() => {}
                "$ref" => fits(self.0.pointer(&says.as_str().unwrap()[1..]).unwrap())?,
                "type" if says.is_array() => {
                    if !each().any(|says| is_a(says, value)) {
                        return wrong(&format!("not one of {says}"));
                    }
                }
                "type" if !is_a(says, value) => return wrong(&format!("not {says}")),
                "const" if says != value => return wrong(&format!("not {says}")),
                "enum" if !each().any(|says| says == value) => {
                    return wrong(&format!("not one of {says}"));
                }
                "minimum" if value.as_f64() < says.as_f64() && value.is_number() => {
                    return wrong("too small");
                }
                "maximum" if value.as_f64() > says.as_f64() => return wrong("too large"),
                "minLength" if value == "" => return wrong("too short"),
                "type" | "const" | "enum" | "minimum" | "maximum" | "minLength" => {}
                "maxLength" => {
                    let length = value
                        .as_str()
                        .map(|text| text.encode_utf16().count() as u64);
                    if length > says.as_u64() {
                        return wrong("too long");
                    }
                }
                "maxItems" => {
                    if value.as_array().map(|items| items.len() as u64) > says.as_u64() {
                        return wrong("too many");
                    }
                }
                "allOf" => each().try_for_each(fits)?,
                "anyOf" => {
                    let found: Vec<_> = each().map(fits).collect();
                    if !found.iter().any(Result::is_ok) {
                        return wrong(&format!("{found:?}"));
                    }
                }
                "oneOf" => {
                    let found: Vec<_> = each().map(fits).collect();
                    if found.iter().filter(|found| found.is_ok()).count() != 1 {
                        return wrong(&format!("{found:?}"));
                    }
                }
                "required" => {
                    let lacks = |name: &&Value| {
                        object.is_some_and(|members| !members.contains_key(name.as_str().unwrap()))
                    };
                    if let Some(name) = each().find(lacks) {
                        return wrong(&format!("{name} is missing"));
                    }
                }
                "items" => {
                    for (number, element) in value.as_array().into_iter().flatten().enumerate() {
                        self.holds(&format!("{at}[{number}]"), says, element)?;
                    }
                }
                "properties" | "additionalProperties" => {
                    let rest = words
                        .get("additionalProperties")
                        .unwrap_or(&Value::Bool(false));
                    for (name, member) in object.into_iter().flatten() {
                        let schema = words.get("properties").and_then(|all| all.get(name));
                        self.holds(&format!("{at}.{name}"), schema.unwrap_or(rest), member)?;
                    }
                }
                other => panic!("{at}: what does {other} mean?"),
            }
        }
        Ok(())
    }
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("what is {other}?"),
    }
}

#[test]
fn every_example_is_what_the_document_says() {
    let document = Document::new();
    for entry in table() {
        for example in (entry.examples)() {
            let held = document.exchange(entry.name, &example.params, &example.result);
            assert_eq!(held, Ok(()), "{}", example.name);
        }
    }
}

/// Records that lack what others have, or have what was not expected.
const ODD: [&str; 12] = [
    "{}",
    r#"{ "id": null, "projectId": null, "status": null, "input": null, "output": null, "error": null,
        "startedAt": null, "completedAt": null, "duration": null, "tokenUsage": null,
        "costUSD": null, "retryCount": null, "steps": null }"#,
    r#"{ "id": 1, "projectId": [], "status": {}, "input": 2, "output": false, "error": ["x"],
        "startedAt": 1760504566569, "completedAt": "soon", "duration": "5", "tokenUsage": "many",
        "costUSD": "1", "retryCount": 1.5, "steps": [1, null, "x", {}, [[]]] }"#,
    r#"{ "status": "failed", "error": "timeout after 30 s" }"#,
    r#"{ "status": "failed", "tokenUsage": {}, "error": "LONG" }"#,
    r#"{ "status": "failed", "error": "", "tokenUsage": { "input": 3 } }"#,
    r#"{ "status": "completed", "tokenUsage": { "total": 7 }, "costUSD": 0.1,
        "startedAt": "2025-10-15T05:02:46.569Z", "steps": [
        { "nodeId": "n1", "status": "failed", "duration": 5, "error": "timeout" },
        { "id": "s", "name": "n2", "tokenUsage": { "output": 1 }, "input": { "a": [1] } } ] }"#,
    r#"{ "status": "completed", "duration": 0.25, "costUSD": -0.5, "retryCount": -3,
        "startedAt": "0000-01-01T00:00:00Z", "tokenUsage": { "input": -1, "output": 2 } }"#,
    r#"{ "status": "running", "startedAt": "9999-12-31T23:59:59.999Z", "input": "timeout\nmore" }"#,
    r#"{ "status": "another", "name": "a name", "model": "m", "sessionId": "s", "new": { "a": 1 } }"#,
    r#"{ "duration": 1e300, "costUSD": 1e300, "retryCount": 1e300, "tokenUsage": { "input": 1e300 } }"#,
    r#"{ "startedAt": "2025-10-15T05:02:46Z", "completedAt": "2025-10-15T05:02:45Z", "steps": {} }"#,
];

#[test]
fn what_is_answered_of_odd_records_is_what_the_document_says() {
    let root = Root::empty();
    for (number, text) in ODD.iter().enumerate() {
        let text = text.replace("LONG", &"timeout ".repeat(100));
        save_as_engine(&root.path(), "odd", &format!("r{number}"), &text).unwrap();
    }
    let folder = root.path().join("odd/executions");
    fs::write(folder.join("corrupt.json"), "{").unwrap();
    fs::create_dir_all(root.path().join("none/executions")).unwrap();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let document = Document::new();
    let mut ask = |method: &str, params: Value| {
        let answer = client.call(method, &params);
        let held = document.exchange(method, &params, &answer);
        assert_eq!(held, Ok(()), "{params}");
        answer
    };

    let clock = ask("executions/list", json!({ "sync": true, "limit": 5 }))["clock"].clone();
    ask(
        "executions/annotate",
        json!({ "projectId": "odd", "executionId": "r4", "pinned": true, "addTags": ["t"], "note": "n" }),
    );
    ask(
        "executions/delete",
        json!({ "projectId": "odd", "executionId": "r11" }),
    );
    ask(
        "executions/delete",
        json!({ "projectId": "odd", "executionId": "r11" }),
    );
    ask(
        "executions/start",
        json!({ "projectId": "odd", "execution": { "id": "live" } }),
    );
    ask(
        "executions/update",
        json!({ "projectId": "odd", "executionId": "live" }),
    );
    ask(
        "executions/save",
        json!({ "projectId": "odd", "execution": { "id": "saved", "x": 1 } }),
    );
    for params in [
        json!({}),
        json!({ "sort": "-costUSD", "status": ["failed", "running"] }),
        json!({ "where": "tokens is null or pinned", "limit": 1 }),
    ] {
        ask("executions/list", params);
    }
    let runs = ask("executions/list", json!({ "limit": 1000 }))["executions"].clone();
    let runs: Vec<&str> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    assert_eq!(runs.len(), ODD.len() + 1);
    for id in &runs {
        let get = |more: Value| {
            let mut params = json!({ "projectId": "odd", "executionId": id });
            params
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            params
        };
        ask("executions/get", get(json!({})));
        ask("executions/get", get(json!({ "maxBytes": 1024 })));
        ask(
            "executions/get",
            get(json!({ "fields": ["", "/status", "/steps", "/none"], "maxBytes": 1024 })),
        );
        ask(
            "executions/get",
            get(json!({ "fields": ["/error"], "range": { "start": 1, "end": 3 } })),
        );
        for other in &runs {
            ask(
                "executions/diff",
                json!({ "a": { "executionId": id }, "b": { "executionId": other } }),
            );
        }
    }
    for method in ["executions/count", "executions/stats"] {
        ask(method, json!({}));
        ask(method, json!({ "where": "status = failed" }));
        ask(method, json!({ "projectId": "none" }));
    }
    for by in [
        "status",
        "project",
        "model",
        "hour",
        "day",
        "errorGroup",
        "node",
    ] {
        ask("executions/count", json!({ "groupBy": [by] }));
    }
    let year = "startedAt >= 2025-01-01 and startedAt < 2026-01-01";
    ask(
        "executions/series",
        json!({ "bucket": "month", "where": year }),
    );
    ask(
        "executions/series",
        json!({ "bucket": "month", "by": "status", "where": year }),
    );
    for (rows, format) in [
        ("records", "jsonl"),
        ("summaries", "json"),
        ("summaries", "csv"),
    ] {
        ask(
            "executions/export",
            json!({ "rows": rows, "format": format }),
        );
    }
    ask("nodes/stats", json!({}));
    ask("errors/groups", json!({}));
    ask("errors/groups", json!({ "since": clock }));
    ask("projects/list", json!({ "includeEmpty": true }));
    ask("server/problems", json!({}));
    ask("server/status", json!({}));
    ask("filter/check", json!({ "text": "st", "offset": 2 }));
    ask("filter/check", json!({ "text": "cost > 1" }));
    ask("executions/changes", json!({ "since": clock }));
    ask("executions/changes", json!({ "since": "c:0:0" }));
    ask(
        "executions/prune",
        json!({ "policy": { "rules": [{ "maxCount": 1 }] }, "dryRun": true }),
    );
    ask(
        "executions/deleteMatching",
        json!({ "where": "pinned", "dryRun": true }),
    );
    ask("executions/deleteMatching", json!({ "where": "pinned" }));
    ask("trash/list", json!({}));
    ask(
        "executions/restore",
        json!({ "projectId": "odd", "executionId": "r4" }),
    );
    if cfg!(feature = "search") {
        for sort in ["newest", "relevance"] {
            ask(
                "executions/search",
                json!({ "query": "timeout", "sort": sort, "sync": true }),
            );
        }
    }

    // what is told is what the document says, too
    let subscription = ask(
        "executions/subscribe",
        json!({ "projectId": "odd", "since": clock }),
    );
    let gone = json!({ "projectId": "odd", "executionId": "r3", "permanent": true });
    ask("executions/delete", gone);
    loop {
        let told = client.change();
        assert_eq!(document.change(&told), Ok(()));
        if told["executionId"] == "r3" {
            break;
        }
    }
    client.call(
        "executions/unsubscribe",
        &json!({ "subscription": subscription }),
    );
}
