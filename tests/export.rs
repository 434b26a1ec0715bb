//! Exports read back with what people use, and equal to the files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::place::{Mounts, Place};
use support::{Client, Daemon, Root};

/// Runs whose texts are hard on every format.
fn lay_out(root: &Root) -> BTreeMap<String, Value> {
    let texts = [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2",
        "@SUM(A1)",
        "\tx",
        "a,b;\"c\"\r\nd",
        "plain",
        "😀 日本語 \u{2028}",
        "",
    ];
    let mut all = BTreeMap::new();
    for (number, text) in texts.iter().cycle().take(60).enumerate() {
        let id = format!("run-{number:03}");
        let record = json!({
            "id": id, "projectId": "p", "status": if number % 3 == 0 { "failed" } else { "completed" },
            "name": text, "error": text, "output": text.repeat(number * 20),
            "startedAt": format!("2026-11-{:02}T10:00:00.000Z", number % 28 + 1),
            "duration": number, "costUSD": number as f64 / 1000.0,
            "tokenUsage": { "input": number, "output": 1, "total": number + 1 }, "steps": []
        });
        root.engine("p", &id, &record);
        all.insert(id, record);
    }
    all
}

/// What Python makes of a file.
fn python(script: &str, path: &Path) -> Value {
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .expect("python3 is needed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn by_id(rows: &Value) -> BTreeMap<String, Value> {
    let rows = rows.as_array().unwrap();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    rows.iter().map(|row| (id(row), row.clone())).collect()
}

/// All pieces.
fn pieces(client: &mut Client, params: &Value) -> (String, u64, usize) {
    let (mut text, mut rows, mut count, mut cursor) = (String::new(), 0, 0, Value::Null);
    loop {
        let mut params = params.clone();
        params["cursor"] = cursor;
        let piece = client.call("executions/export", &params);
        let part = piece["text"].as_str().unwrap();
        assert_eq!(piece["bytes"], part.len());
        text.push_str(part);
        rows += piece["rows"].as_u64().unwrap();
        count += 1;
        cursor = piece["nextCursor"].clone();
        if cursor.is_null() {
            return (text, rows, count);
        }
    }
}

#[test]
fn what_is_exported_reads_back_as_it_was() {
    let root = Root::empty();
    let all = lay_out(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let count = client.call("executions/count", &json!({}))["count"].clone();
    for (format, read) in [
        (
            "jsonl",
            "import json,sys; print(json.dumps([json.loads(l) for l in open(sys.argv[1], newline='\\n')]))",
        ),
        (
            "json",
            "import json,sys; print(json.dumps(json.load(open(sys.argv[1]))))",
        ),
    ] {
        let path = root.beside(&format!("all.{format}"));
        let told = client.call(
            "executions/export",
            &json!({ "format": format, "path": path }),
        );
        assert_eq!(told["rows"], count);
        assert_eq!(told["bytes"], fs::metadata(&path).unwrap().len());
        assert_eq!(by_id(&python(read, &path)), all, "{format}");
        // the same in pieces of any size
        for size in [1, 700, 5_000, 1 << 20] {
            let params = json!({ "format": format, "maxBytes": size });
            let (text, rows, pieces) = pieces(&mut client, &params);
            assert_eq!(rows, count.as_u64().unwrap());
            assert!(
                text == fs::read_to_string(&path).unwrap(),
                "{format} by {size}"
            );
            assert_eq!(
                pieces,
                match size {
                    1 => 60,
                    700 | 5_000 => pieces,
                    _ => 1,
                }
            );
        }
    }
    let listed = client.call("executions/list", &json!({ "limit": 1000 }));
    let path = root.beside("summaries.jsonl");
    client.call(
        "executions/export",
        &json!({ "format": "jsonl", "rows": "summaries", "path": path }),
    );
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(Value::from(rows), listed["executions"]);
}

#[test]
fn a_spreadsheet_finds_cells_and_no_formula() {
    let root = Root::empty();
    let all = lay_out(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let path = root.beside("all.csv");
    let told = client.call(
        "executions/export",
        &json!({ "format": "csv", "path": path, "status": "failed" }),
    );
    let failed = all.values().filter(|run| run["status"] == "failed").count();
    assert_eq!(told["rows"], failed);
    let read = "import csv,json,sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
    let rows = by_id(&python(read, &path));
    assert_eq!(rows.len(), failed);
    for (id, row) in &rows {
        let record = &all[id];
        let error = record["error"].as_str().unwrap();
        let formula = error.starts_with(['=', '+', '-', '@', '\t']);
        let expected = if formula {
            format!("'{error}")
        } else {
            error.to_owned()
        };
        assert_eq!(row["error"], expected);
        assert_eq!(row["duration"], record["duration"].to_string());
        assert_eq!(
            row["inputTokens"],
            record["tokenUsage"]["input"].to_string()
        );
        assert_eq!(row["startedAt"], record["startedAt"]);
        let cost: f64 = row["costUSD"].as_str().unwrap().parse().unwrap();
        assert!((cost - record["costUSD"].as_f64().unwrap()).abs() < 1e-9);
    }
    let (text, _, pieces) = pieces(
        &mut client,
        &json!({ "format": "csv", "status": "failed", "maxBytes": 2_000 }),
    );
    assert_eq!(text, fs::read_to_string(&path).unwrap());
    assert!(pieces > 1);
    // what is noted on a run, in columns of its own and as JSON has it
    let id = rows.keys().next().unwrap();
    let tags = json!(["=cmd|x", "a;b, \"c\"", "später"]);
    let noted = json!({
        "projectId": "p", "executionId": id, "pinned": true, "tags": tags, "note": "=1+1\nask Bob"
    });
    client.call("executions/annotate", &noted);
    let csv = root.beside("noted.csv");
    let lines = root.beside("noted.jsonl");
    for (format, path) in [("csv", &csv), ("jsonl", &lines)] {
        let rows = "summaries";
        client.call(
            "executions/export",
            &json!({ "format": format, "rows": rows, "path": path }),
        );
    }
    let all_rows = by_id(&python(read, &csv));
    let text = fs::read_to_string(&lines).unwrap();
    for line in text.lines() {
        let summary: Value = serde_json::from_str(line).unwrap();
        let row = &all_rows[summary["id"].as_str().unwrap()];
        let of_row: Value = match row["tags"].as_str().unwrap() {
            "" => Value::Null,
            tags => serde_json::from_str(tags).unwrap(),
        };
        assert_eq!(summary["tags"], of_row);
        assert_eq!(summary["pinned"] == true, row["pinned"] == "true");
        if summary["id"] == *id {
            assert_eq!(of_row, tags);
            assert_eq!(row["note"], "'=1+1\nask Bob");
        } else {
            assert_eq!((&row["pinned"], &row["note"]), (&json!(""), &json!("")));
        }
    }
    // SQLite takes it as well
    let counted = python(
        "import csv,json,sqlite3,sys\n\
         rows = list(csv.reader(open(sys.argv[1], newline='')))\n\
         db = sqlite3.connect(':memory:')\n\
         db.execute('create table runs (%s)' % ','.join('\"%s\"' % name for name in rows[0]))\n\
         db.executemany('insert into runs values (%s)' % ','.join('?' * len(rows[0])), rows[1:])\n\
         print(json.dumps(db.execute('select count(*), sum(duration) from runs').fetchone()))",
        &path,
    );
    let took: u64 = all
        .values()
        .filter(|run| run["status"] == "failed")
        .map(|run| run["duration"].as_u64().unwrap())
        .sum();
    assert_eq!(counted[0], failed);
    assert_eq!(counted[1].as_f64().unwrap(), took as f64);
}

#[test]
fn a_target_that_cannot_be_written_is_refused_and_nothing_is_lost() {
    let root = Root::empty();
    lay_out(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let taken = root.beside("taken");
    fs::write(&taken, "precious").unwrap();
    let link = root.beside("link");
    std::os::unix::fs::symlink(root.beside("nowhere"), &link).unwrap();
    for (path, kind) in [
        (taken.clone(), "already-exists"),
        (link, "already-exists"),
        (root.beside("missing/file"), "storage"),
        ("relative".into(), "invalid-params"),
        ("/".into(), "invalid-params"),
    ] {
        let error = client.refused(
            "executions/export",
            &json!({ "format": "json", "path": path }),
        );
        assert_eq!(error["data"]["kind"], kind, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            !message.contains("taken") && !message.contains("/tmp"),
            "{message}"
        );
    }
    assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
    for params in [
        json!({ "format": "xml" }),
        json!({ "format": "csv", "rows": "records" }),
        json!({ "format": "json", "maxBytes": 0 }),
        json!({ "format": "json", "maxBytes": 1 << 30 }),
        json!({ "format": "json", "cursor": "x" }),
        json!({ "format": "json", "path": root.beside("new"), "cursor": "x" }),
        json!({ "format": "json", "where": "nothing = 1" }),
    ] {
        assert_eq!(
            client.refused("executions/export", &params)["code"],
            -32602,
            "{params}"
        );
    }
    assert!(!root.beside("new").exists());
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let place = Place::new(2_000);
    let target = place.root.beside("target");
    let mounts = Mounts::new("mount -t tmpfs -o size=64k none \"$1\"", &target);
    let (_daemon, mut client) = place.logging(&mut mounts.inside(&place.command()));
    client.call("executions/stats", &json!({}));
    let error = client.refused(
        "executions/export",
        &json!({ "format": "jsonl", "path": target.join("all.jsonl") }),
    );
    assert_eq!(error["data"]["kind"], "storage-full", "{error}");
    assert_eq!(fs::read_dir(mounts.path(&target)).unwrap().count(), 0);
}

/// Whatever comes, goes or moves between two pieces: they are the runs of one clock. A daemon that was
/// started since goes on from the same place, and says so by another one.
#[test]
fn pieces_are_of_one_clock() {
    let root = Root::empty();
    let record = |id: &str, second: usize| {
        let started = format!("2026-01-01T00:00:{second:02}Z");
        json!({ "id": id, "status": "completed", "startedAt": started })
    };
    for number in 0..20 {
        let id = format!("r{number:02}");
        root.engine("p", &id, &record(&id, number));
    }
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let mut params = json!({ "format": "jsonl", "maxBytes": 1 });
    let ask = |client: &mut Client, params: &mut Value| {
        let piece = client.call("executions/export", params);
        let row: Value = serde_json::from_str(piece["text"].as_str().unwrap()).unwrap();
        params["cursor"] = piece["nextCursor"].clone();
        (
            row["id"].as_str().unwrap().to_owned(),
            piece["clock"].clone(),
        )
    };
    let count = client.call("executions/count", &json!({}));
    assert_eq!(count["count"], 20);
    let mut ids = Vec::new();
    for number in 0..10 {
        let (id, clock) = ask(&mut client, &mut params);
        assert_eq!(clock, count["clock"]);
        ids.push(id);
        // one further down goes, one comes there, and one moves up past the place
        let of = |name: String| json!({ "projectId": "p", "executionId": name });
        if number < 4 {
            client.call("executions/delete", &of(format!("r{number:02}")));
        }
        for (id, second) in [
            (format!("n{number}"), 0),
            (format!("r{:02}", 9 - number), 59),
        ] {
            let params = json!({ "projectId": "p", "execution": record(&id, second) });
            client.call("executions/save", &params);
        }
    }
    let mut others = params.clone();
    for _ in 10..20 {
        let (id, clock) = ask(&mut client, &mut params);
        assert_eq!(clock, count["clock"]);
        ids.push(id);
    }
    assert!(params["cursor"].is_null());
    let all: Vec<String> = (0..20)
        .rev()
        .map(|number| format!("r{number:02}"))
        .collect();
    assert_eq!(ids, all);
    drop((client, daemon));
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let (id, clock) = ask(&mut client, &mut others);
    assert_eq!(id, "n0", "what comes after the tenth by now");
    assert_ne!(clock, count["clock"]);
    let (id, same) = ask(&mut client, &mut others);
    assert_eq!((id.as_str(), same), ("n1", clock));
}

/// An export that is under way: some of its rows are written. The request's id.
fn under_way(client: &mut Client, path: &Path) -> u64 {
    let params = json!({ "format": "jsonl", "path": path, "workDoneToken": "t" });
    let id = client.request("executions/export", &params);
    loop {
        let message = client.next().unwrap();
        assert_eq!(message["method"], "$/progress", "{message}");
        if message["params"]["value"]["kind"] == "report" {
            return id;
        }
    }
}

/// So many runs that an export of them takes a while.
fn many() -> Place {
    let place = Place::new(0);
    let folder = place.root.path().join("p/executions");
    fs::create_dir_all(&folder).unwrap();
    let first = folder.join("run-0.json");
    fs::write(&first, r#"{ "status": "completed" }"#).unwrap();
    for number in 1..20_000 {
        fs::hard_link(&first, folder.join(format!("run-{number}.json"))).unwrap();
    }
    place
}

/// Takes exports into `folder` back until that came in time thrice; `has` looks whether so many files
/// are there then.
fn cancelled(client: &mut Client, folder: &Path, has: impl Fn(usize)) {
    client.careless();
    client.call("executions/stats", &json!({}));
    let (mut cancelled, mut whole) = (0, 0);
    while cancelled < 3 {
        let id = under_way(client, &folder.join(format!("{whole}.jsonl")));
        client.send(&format!(
            r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#
        ));
        let answer = client.answer(id);
        match answer["error"]["code"].as_i64() {
            Some(-32800) => cancelled += 1,
            // it was faster
            None => whole += 1,
            Some(_) => panic!("{answer}"),
        }
        has(whole);
        assert!(whole < 20, "nothing can be cancelled");
    }
}

/// Whoever takes an export back, or dies in the middle of it, finds nothing of it.
#[test]
fn what_is_cancelled_or_killed_leaves_nothing_behind() {
    let place = many();
    let target = place.root.beside("target");
    fs::create_dir(&target).unwrap();
    let left = || fs::read_dir(&target).unwrap().count();
    let (mut daemon, mut client) = place.start();
    cancelled(&mut client, &target, |whole| assert_eq!(left(), whole));
    let path = target.join("killed.jsonl");
    let before = left();
    under_way(&mut client, &path);
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ends();
    match fs::read_to_string(&path) {
        Ok(text) => assert_eq!((left(), text.lines().count()), (before + 1, 20_000)),
        Err(_) => assert_eq!(left(), before),
    }
}

/// Another file system, for as long as this lives.
struct Bound<'m>(&'m Mounts, &'m Path);

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        self.0.run("umount \"$1\"", self.1);
    }
}

/// Where a file cannot be without a name, the next export sweeps what a kill left.
#[test]
fn on_other_file_systems_what_was_left_is_swept() {
    let place = many();
    let target = place.root.beside("target");
    let mount = "mkdir \"$1.under\"; bindfs \"$1.under\" \"$1\"";
    let mounts = Mounts::new(mount, &target);
    let _bound = Bound(&mounts, &target);
    let there = mounts.path(&target);
    let left = || fs::read_dir(&there).unwrap().count();
    let start = || Daemon::spawn(&mut mounts.inside(&place.command()));
    let (mut daemon, mut client) = start();
    cancelled(&mut client, &target, |whole| {
        let began = std::time::Instant::now();
        // FUSE keeps what is removed under another name until it is closed
        while left() != whole {
            assert!(began.elapsed() < support::PATIENCE, "something is left");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    let before = left();
    // a kill in the middle leaves a file
    under_way(&mut client, &target.join("killed.jsonl"));
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ends();
    let whole = usize::from(there.join("killed.jsonl").exists());
    assert!(left() <= before + 1);
    let (_daemon, mut client) = start();
    let params = json!({ "format": "jsonl", "path": target.join("next.jsonl") });
    assert_eq!(client.call("executions/export", &params)["rows"], 20_000);
    assert_eq!(left(), before + whole + 1);
}

#[test]
fn a_file_that_is_written_is_as_open_as_others_of_its_owner() {
    use std::os::unix::fs::MetadataExt;
    let root = Root::empty();
    lay_out(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let path = root.beside("all.csv");
    client.call(
        "executions/export",
        &json!({ "format": "csv", "path": path }),
    );
    let usual = root.beside("usual");
    fs::write(&usual, "").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().mode();
    assert_eq!(mode(&path), mode(&usual));
}

#[test]
fn progress_is_told_to_whoever_gave_a_token() {
    let root = Root::empty();
    lay_out(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    client.call("executions/stats", &json!({}));
    let path = root.beside("all.jsonl");
    let id = client.request(
        "executions/export",
        &json!({ "format": "jsonl", "path": path, "workDoneToken": "t" }),
    );
    let mut kinds = Vec::new();
    loop {
        let message = client.next().unwrap();
        if message["id"] == id {
            assert_eq!(message["result"]["rows"], 60);
            break;
        }
        assert_eq!(message["method"], "$/progress");
        kinds.push(
            message["params"]["value"]["kind"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(kinds.first().map(String::as_str), Some("begin"));
    assert_eq!(kinds.last().map(String::as_str), Some("end"));
}
