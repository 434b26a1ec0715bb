//! `executions/get` by a beginning of an id, as the last, and in pieces; `executions/diff`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::Stdio;

use runlog::api::samples;
use serde_json::{Value, json};
use support::{Daemon, Root, record, runlog};

const MIB: u64 = 1024 * 1024;

/// What the long texts below are made of, over and over, as JSON spells it.
fn spelt() -> String {
    let odd = r#"日本 é, \n\"quoted\" \u00e9 😀\ud83d\ude00|"#;
    format!("{odd}{}", "plain words, ".repeat(80))
}

/// The units that it stands for.
fn units() -> Vec<u16> {
    let text: String = serde_json::from_str(&format!("\"{}\"", spelt())).unwrap();
    text.encode_utf16().collect()
}

/// Writes a record of some 100 MB: a long output, many steps and a long step.
fn large(root: &Root, id: &str, times: usize, steps: usize) {
    let path = root.file("big", id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    let spelt = spelt();
    let text = |file: &mut BufWriter<File>, times: usize| {
        file.write_all(b"\"").unwrap();
        for _ in 0..times {
            file.write_all(spelt.as_bytes()).unwrap();
        }
        file.write_all(b"\"").unwrap();
    };
    write!(
        file,
        "{{\n  \"id\": \"{id}\", \"a/b~c\": 1.50e0, \"output\": "
    )
    .unwrap();
    text(&mut file, times);
    file.write_all(b", \"steps\": [").unwrap();
    for number in 0..steps {
        write!(file, "{{\"id\": \"s{number}\", \"n\": {number}}}, ").unwrap();
    }
    file.write_all(b"{\"id\": \"long\", \"output\": ").unwrap();
    text(&mut file, times / 2);
    file.write_all(b"}], \"status\": \"completed\"\n}").unwrap();
    file.flush().unwrap();
}

#[test]
fn a_large_record_is_read_piece_by_piece_in_little_memory() {
    let (times, steps) = (60_000, 300_000);
    let root = Root::empty();
    large(&root, "large", times, steps);
    let size = fs::metadata(root.file("big", "large")).unwrap().len();
    assert!(size > 100_000_000, "{size}");
    let (daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let before = daemon.peak_bytes();
    let which = |more: Value| {
        let mut params = json!({ "projectId": "big", "executionId": "large" });
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    let whole = client.refused("executions/get", &which(json!({})));
    assert_eq!(whole["data"]["kind"], "too-large");
    assert_eq!(whole["data"]["sizeBytes"], size);

    let found = client.call("executions/get", &which(json!({ "maxBytes": 65_536 })));
    assert!(found["execution"].to_string().len() < 65_536);
    assert_eq!(
        (&found["sizeBytes"], &found["truncated"]),
        (&json!(size), &json!(true))
    );
    assert_eq!(found["execution"]["status"], "completed");
    assert_eq!(found["execution"]["steps"][1]["id"], "s1");
    let cuts = found["cut"].as_array().unwrap();
    let output = &cuts[0];
    let length = (units().len() * times) as u64;
    assert_eq!(
        (&output["pointer"], &output["length"]),
        (&json!("/output"), &json!(length))
    );
    assert_eq!(output["sizeBytes"], (spelt().len() * times + 2) as u64);
    let given = found["execution"]["output"].as_str().unwrap();
    assert_eq!(given.encode_utf16().count() as u64, output["given"]);
    assert_eq!(
        (&cuts[1]["pointer"], &cuts[1]["length"]),
        (&json!("/steps"), &json!(steps + 1))
    );

    let fields = json!([
        "/a~1b~0c",
        "/steps/299999/n",
        "/steps/300000/output",
        "/steps/300001"
    ]);
    let params = which(json!({ "fields": fields, "maxBytes": 4_096 }));
    let found = client.call("executions/get", &params);
    assert!(found.get("execution").is_none());
    let fields = &found["fields"];
    assert_eq!(fields["/a~1b~0c"]["value"].to_string(), "1.5");
    assert_eq!(fields["/steps/299999/n"]["value"], 299_999);
    assert_eq!(fields["/steps/300001"]["kind"], "missing");
    let long = &fields["/steps/300000/output"];
    assert_eq!(long["length"], (units().len() * times / 2) as u64);
    let text = long["value"].as_str().unwrap();
    assert!(
        (3_500..4_096).contains(&serde_json::to_string(text).unwrap().len()),
        "{}",
        text.len()
    );
    assert_eq!(long["range"]["end"], text.encode_utf16().count());

    // also between the halves of characters
    let cycle = units();
    for start in [17, length / 2 + 3, length - 40, length + 5] {
        let range = json!({ "start": start, "end": start + 101 });
        let params = which(json!({ "fields": ["/output"], "range": range }));
        let piece = client.call("executions/get", &params)["fields"]["/output"].clone();
        let bound = |at: u64| {
            let low = |at: u64| {
                (0xdc00..0xe000).contains(&cycle[usize::try_from(at).unwrap() % cycle.len()])
            };
            if at < length && low(at) {
                at - 1
            } else {
                at.min(length)
            }
        };
        let (start, end) = (bound(start), bound(start + 101));
        assert_eq!(piece["range"], json!({ "start": start, "end": end }));
        let expected: Vec<u16> = (start..end)
            .map(|at| cycle[usize::try_from(at).unwrap() % cycle.len()])
            .collect();
        let value: Vec<u16> = piece["value"].as_str().unwrap().encode_utf16().collect();
        assert_eq!(value, expected);
    }

    // taken back, it ends at once
    let id = client.request("executions/get", &which(json!({ "fields": ["/status"] })));
    client.send(
        &json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } })
            .to_string(),
    );
    assert_eq!(client.answer(id)["error"]["code"], -32800);

    let grown = daemon.peak_bytes() - before;
    assert!(grown < 24 * MIB, "{grown}");
    let sides = json!({ "a": which(json!({})), "b": which(json!({})) });
    let refused = client.refused("executions/diff", &sides);
    assert_eq!(refused["data"]["kind"], "too-large");
}

#[test]
fn surrogates_that_stand_alone_and_numbers_come_as_they_are_spelt() {
    let root = Root::empty();
    let text = r#"{"id":"odd","lone":"a\ud83dz\udE00","n":1.0E+2,"n":-0.0,"pair":"\ud83d\ude00"}"#;
    samples::save_as_engine(&root.path(), "p", "odd", text).unwrap();
    let mut child = runlog()
        .args(["serve", "--projects"])
        .arg(root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut ask = |params: &str| {
        let params = format!(r#""projectId":"p","executionId":"odd",{params}"#);
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"executions/get","params":{{{params}}}}}"#
        );
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    let whole = ask(r#""fields":["/lone","/n","/pair"]"#);
    for part in [
        r#""value":"a\ud83dz\udE00""#,
        r#""value":-0.0"#,
        r#""value":"\ud83d\ude00""#,
    ] {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    assert!(whole.contains(r#""length":4,"#), "{whole}");
    let part = ask(r#""fields":["/lone"],"range":{"start":1,"end":4}"#);
    assert!(part.contains(r#""value":"\ud83dz\ude00""#), "{part}");
    let split = ask(r#""fields":["/pair"],"range":{"start":0,"end":1}"#);
    assert!(split.contains(r#""value":"""#), "{split}");
    assert!(split.contains(r#""range":{"start":0,"end":0}"#), "{split}");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_run_is_meant_by_its_id_its_beginning_or_as_the_last() {
    let root = Root::empty();
    let save = |project: &str, id: &str, day: u32| {
        let mut run = record(project, id, "completed");
        run["startedAt"] = format!("2025-10-{day:02}T00:00:00.000Z").into();
        root.engine(project, id, &run);
    };
    for (project, id, day) in [
        ("p", "run", 1),
        ("p", "run-a", 2),
        ("p", "run-b", 3),
        ("q", "run-a", 4),
        ("q", "other", 5),
    ] {
        save(project, id, day);
    }
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let mut meant = |params: Value| {
        let found = client.call("executions/get", &params);
        let run = &found["execution"];
        if found.get("projectId").is_some() {
            assert_eq!(found["projectId"], run["projectId"]);
            assert_eq!(found["executionId"], run["id"]);
        }
        format!(
            "{}/{}",
            run["projectId"].as_str().unwrap(),
            run["id"].as_str().unwrap()
        )
    };
    // just so before a beginning, and only in this project
    assert_eq!(
        meant(json!({ "projectId": "p", "executionId": "run" })),
        "p/run"
    );
    assert_eq!(meant(json!({ "executionId": "run" })), "p/run");
    assert_eq!(meant(json!({ "executionId": "run-b" })), "p/run-b");
    assert_eq!(meant(json!({ "executionId": "o" })), "q/other");
    assert_eq!(meant(json!({ "executionId": "last" })), "q/other");
    assert_eq!(
        meant(json!({ "projectId": "p", "executionId": "last" })),
        "p/run-b"
    );
    // a run that is saved is the last at once where everything before is wanted
    save("p", "newest", 6);
    assert_eq!(
        meant(json!({ "executionId": "last", "sync": true })),
        "p/newest"
    );
    // unless one is called so
    save("p", "last", 1);
    assert_eq!(
        meant(json!({ "executionId": "last", "sync": true })),
        "p/last"
    );

    let several = client.refused("executions/get", &json!({ "executionId": "run-a" }));
    assert_eq!(
        (&several["code"], &several["data"]["kind"]),
        (&json!(409), &json!("ambiguous"))
    );
    let candidate = |project: &str, id: &str| json!({ "projectId": project, "executionId": id });
    assert_eq!(
        several["data"]["candidates"],
        json!([candidate("q", "run-a"), candidate("p", "run-a")])
    );
    let several = client.refused("executions/get", &json!({ "executionId": "run-" }));
    assert_eq!(
        several["data"]["candidates"],
        json!([
            candidate("q", "run-a"),
            candidate("p", "run-b"),
            candidate("p", "run-a")
        ])
    );
    for number in 0..50 {
        save("many", &format!("many-{number:02}"), 7);
    }
    let several = client.refused(
        "executions/get",
        &json!({ "executionId": "many", "sync": true }),
    );
    assert_eq!(several["data"]["total"], 50);
    let told = several["data"]["candidates"].as_array().unwrap();
    assert_eq!((told.len(), &told[19]), (20, &candidate("many", "many-19")));
    for params in [
        json!({ "executionId": "nobody" }),
        json!({ "projectId": "p", "executionId": "nobody" }),
        // who names both means no other
        json!({ "projectId": "q", "executionId": "r" }),
        json!({ "projectId": "p", "executionId": "run-" }),
        json!({ "projectId": "nobody", "executionId": "last" }),
    ] {
        let refused = client.refused("executions/get", &params);
        assert_eq!(
            refused["data"]["kind"], "execution-not-found",
            "{params}: {refused}"
        );
    }
    // what is no record is not passed over
    fs::write(root.file("q", "broken"), "{").unwrap();
    let refused = client.refused(
        "executions/get",
        &json!({ "executionId": "broken", "sync": true }),
    );
    assert_eq!(refused["data"]["kind"], "corrupt-execution");
    let same = client.call(
        "executions/diff",
        &json!({ "a": { "executionId": "o" }, "b": candidate("q", "other") }),
    );
    assert_eq!(
        (&same["equal"], &same["a"]["version"]),
        (&json!(true), &same["b"]["version"])
    );
}

#[test]
fn params_that_do_not_fit_are_refused_by_name() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    for (params, member) in [
        (json!({ "fields": ["id"] }), "fields"),
        (json!({ "fields": ["/a~"] }), "fields"),
        (json!({ "fields": "id" }), "fields"),
        (
            json!({ "fields": vec![format!("/{}", "x".repeat(70_000))] }),
            "fields",
        ),
        (
            json!({ "fields": (0..300).map(|number| format!("/{number}")).collect::<Vec<_>>() }),
            "fields",
        ),
        (json!({ "range": { "start": 0, "end": 1 } }), "range"),
        (
            json!({ "fields": ["/id", "/error"], "range": { "start": 0, "end": 1 } }),
            "range",
        ),
        (
            json!({ "fields": ["/id"], "range": { "start": 2, "end": 1 } }),
            "range",
        ),
        (
            json!({ "fields": ["/id"], "range": { "start": -1, "end": 1 } }),
            "range.start",
        ),
        (
            json!({ "fields": ["/id"], "range": { "start": 0 } }),
            "range",
        ),
        (json!({ "maxBytes": 10 }), "maxBytes"),
        (json!({ "maxBytes": 64 * MIB }), "maxBytes"),
    ] {
        let mut asked = json!({ "projectId": "website", "executionId": samples::FAILED_ID });
        asked
            .as_object_mut()
            .unwrap()
            .extend(params.as_object().unwrap().clone());
        let refused = client.refused("executions/get", &asked);
        assert_eq!(refused["code"], -32602, "{params}");
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("`{member}`")),
            "{params}: {message}"
        );
    }
    // a range of what is no text is told, and a pointer twice is one
    let params = json!({
        "projectId": "website", "executionId": samples::FAILED_ID,
        "fields": ["/steps", "/steps"], "range": { "start": 0, "end": 1 }
    });
    let piece = client.call("executions/get", &params)["fields"]["/steps"].clone();
    assert_eq!(
        piece,
        json!({ "kind": "array", "sizeBytes": 2, "length": 0, "truncated": true })
    );
}
