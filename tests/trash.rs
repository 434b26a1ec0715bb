//! Deleting with undo, from outside: over a socket and through `--shared`, with things in the
//! trash's place that are not ours, and with a daemon that is killed meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::place::Mounts;
use support::{Client, Daemon, Root, record, runlog};

fn key(id: &str) -> Value {
    json!({ "projectId": "p", "executionId": id })
}

fn trash_of(root: &Root) -> PathBuf {
    root.path().join("p/.runlog/trash")
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The ids that are listed, in order.
fn listed(client: &mut Client) -> Vec<String> {
    let list = client.call("executions/list", &json!({ "limit": 1000 }));
    let mut ids: Vec<String> = list["executions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

/// Deleting, having back and emptying, whoever carries the messages.
fn exercise(root: &Root, client: &mut Client, follower: &mut Client) {
    for id in ["a", "b", "c"] {
        root.engine("p", id, &record("p", id, "completed"));
    }
    let list = client.call("executions/list", &json!({ "sync": true }));
    follower.call("executions/subscribe", &json!({ "since": list["clock"] }));
    assert_eq!(follower.change()["kind"], "current");
    let told = client.call("initialize", &json!({}));
    assert_eq!(told["capabilities"]["features"]["trash"], true);

    let file = root.file("p", "a");
    let (text, inode) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino());
    let deleted = client.call("executions/delete", &key("a"));
    assert_eq!(deleted["deleted"], true);
    assert!(!file.exists());
    let change = follower.change();
    assert_eq!(
        (&change["kind"], &change["executionId"]),
        (&json!("deleted"), &json!("a"))
    );
    assert_eq!(listed(client), ["b", "c"]);
    let again = client.call("executions/delete", &key("a"));
    assert_eq!(
        (&again["deleted"], again.get("entry")),
        (&json!(false), None)
    );

    let trash = client.call("trash/list", &json!({ "projectId": "p" }));
    assert_eq!(trash["total"], 1);
    assert_eq!(trash["totalBytes"], text.len());
    let entry = &trash["entries"][0];
    assert_eq!(entry["entry"], deleted["entry"]);
    assert_eq!(entry["summary"]["status"], "completed");
    let deleted_at = entry["deletedAt"].as_str().unwrap().to_owned();

    // onto an existing run: 409, and both stay
    client.call(
        "executions/save",
        &json!({ "projectId": "p", "execution": record("p", "a", "failed") }),
    );
    assert_eq!(follower.change()["summary"]["status"], "failed");
    let error = client.refused(
        "executions/restore",
        &json!({ "entries": [entry["entry"]] }),
    );
    assert_eq!(
        (&error["code"], &error["data"]["kind"]),
        (&json!(409), &json!("already-exists"))
    );
    let error = client.refused("executions/restore", &key("a"));
    assert_eq!(error["data"]["kind"], "already-exists");
    let permanent = json!({ "projectId": "p", "executionId": "a", "permanent": true });
    let gone = client.call("executions/delete", &permanent);
    assert_eq!((&gone["deleted"], gone.get("entry")), (&json!(true), None));
    assert_eq!(follower.change()["kind"], "deleted");

    let restored = client.call("executions/restore", &key("a"));
    assert_eq!(restored["restored"][0]["entry"], deleted["entry"]);
    assert_eq!(restored["restored"][0]["executionId"], "a");
    let change = follower.change();
    assert_eq!(change["kind"], "saved");
    assert_eq!(change["created"], true);
    assert_eq!(change["clock"], restored["clock"]);
    assert_eq!(fs::read(&file).unwrap(), text);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(listed(client), ["a", "b", "c"]);
    for params in [key("a"), json!({ "entries": [deleted["entry"]] })] {
        let error = client.refused("executions/restore", &params);
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(404), &json!("entry-not-found"))
        );
    }

    // all at once, and all back, where the folder itself is gone
    fs::write(root.path().join("p/executions/bad\\name.json"), "{").unwrap();
    let deleted = client.call("executions/deleteAll", &json!({ "projectId": "p" }));
    assert_eq!(deleted["deleted"], 4);
    for _ in 0..3 {
        assert_eq!(follower.change()["kind"], "deleted");
    }
    let page = client.call("trash/list", &json!({ "limit": 3 }));
    let rest = client.call(
        "trash/list",
        &json!({ "limit": 3, "cursor": page["nextCursor"] }),
    );
    assert_eq!(
        (&page["total"], &rest["nextCursor"]),
        (&json!(4), &Value::Null)
    );
    let ids = |page: &Value| -> Vec<String> {
        let entries = page["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["executionId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        [ids(&page), ids(&rest)].concat(),
        ["a", "b", "bad\\name", "c"]
    );
    // whoever looks for one reads no others
    for (begins, total) in [("b", 2), ("bad\\n", 1), ("", 4), ("x", 0)] {
        let of = json!({ "projectId": "p", "executionId": begins });
        let found = client.call("trash/list", &of);
        assert_eq!(found["total"], total, "{begins}: {found}");
        let begin = ids(&found).into_iter().all(|id| id.starts_with(begins));
        assert!(begin, "{begins}: {found}");
    }
    let of = |begins: &str, cursor: &Value| json!({ "limit": 1, "executionId": begins, "cursor": cursor });
    let first = client.call("trash/list", &of("b", &Value::Null));
    let other = client.refused("trash/list", &of("a", &first["nextCursor"]));
    assert_eq!(other["code"], -32602);
    let next = client.call("trash/list", &of("b", &first["nextCursor"]));
    assert_eq!(ids(&next), ["bad\\name"]);
    let bad = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["executionId"] == "bad\\name");
    assert!(bad.unwrap().get("summary").is_none());
    fs::remove_dir(root.path().join("p/executions")).unwrap();
    let restored = client.call("executions/restore", &json!({ "batch": deleted["batch"] }));
    assert_eq!(
        (&restored["count"], &restored["skippedCount"]),
        (&json!(4), &json!(0))
    );
    for _ in 0..3 {
        let change = follower.change();
        assert_eq!(
            (&change["kind"], &change["created"]),
            (&json!("saved"), &json!(true))
        );
    }
    let folder = root.path().join("p/executions");
    assert_eq!(
        listing(&folder),
        ["a.json", "b.json", "bad\\name.json", "c.json"]
    );
    fs::remove_file(folder.join("bad\\name.json")).unwrap();

    // emptying
    let one = client.call("executions/delete", &key("b"));
    let two = client.call("executions/delete", &key("c"));
    for _ in 0..2 {
        assert_eq!(follower.change()["kind"], "deleted");
    }
    let none = client.call("trash/empty", &json!({ "before": deleted_at }));
    assert_eq!(none, json!({ "emptied": 0, "freedBytes": 0 }));
    let emptied = client.call(
        "trash/empty",
        &json!({ "entries": [one["entry"], one["entry"]] }),
    );
    assert_eq!(emptied["emptied"], 1);
    assert_eq!(emptied["freedBytes"], text.len());
    let emptied = client.call("trash/empty", &json!({ "projectId": "p" }));
    assert_eq!(emptied["emptied"], 1);
    let error = client.refused("executions/restore", &json!({ "entries": [two["entry"]] }));
    assert_eq!(error["code"], 404);
    assert_eq!(listing(&trash_of(root)), [""; 0]);
    // none of it was ever seen as a run or a problem
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 1);
    assert_eq!(
        client.call("server/problems", &json!({ "sync": true }))["problems"],
        json!([])
    );
    client.call("executions/restore", &json!({ "entries": [] }));
}

#[test]
fn what_is_deleted_can_be_had_back_until_the_trash_is_emptied() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    exercise(&root, &mut daemon.connect(), &mut daemon.connect());
}

#[test]
fn the_same_through_a_shared_daemon() {
    let root = Root::empty();
    let runtime = root.beside("run");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    let window = || {
        let mut command = runlog();
        command
            .args(["serve", "--shared", "--projects"])
            .arg(root.path())
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("XDG_CACHE_HOME", root.beside("cache"))
            .stderr(Stdio::null());
        Daemon::spawn(&mut command)
    };
    let (mut one, mut client) = window();
    let (mut two, mut follower) = window();
    exercise(&root, &mut client, &mut follower);
    let daemon = client.call("server/status", &json!({}))["pid"].clone();
    client.close();
    follower.close();
    one.ends();
    two.ends();
    // nobody else's: its socket is in a folder of this test's
    let daemon = i32::try_from(daemon.as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(daemon).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn what_stands_in_the_trashs_place_is_left_alone_and_nothing_is_lost() {
    let root = Root::empty();
    let elsewhere = root.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    root.engine("p", "a", &record("p", "a", "completed"));
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let own = root.path().join("p/.runlog");
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let hinder: [&dyn Fn(); 4] = [
        &|| symlink(&elsewhere, &own).unwrap(),
        &|| fifo(&own),
        &|| {
            fs::create_dir(&own).unwrap();
            symlink(&elsewhere, own.join("trash")).unwrap();
        },
        &|| {
            fs::create_dir(&own).unwrap();
            fifo(&own.join("trash"));
        },
    ];
    for hinder in hinder {
        hinder();
        for (method, params) in [
            ("executions/delete", key("a")),
            ("executions/deleteAll", json!({ "projectId": "p" })),
        ] {
            let error = client.refused(method, &params);
            assert_eq!(error["data"]["kind"], "storage", "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("permanent: true"), "{message}");
            assert!(!error.to_string().contains(&*root.path().to_string_lossy()));
        }
        assert_eq!(client.call("trash/list", &json!({}))["total"], 0);
        assert_eq!(client.call("trash/empty", &json!({}))["emptied"], 0);
        assert_eq!(client.refused("executions/restore", &key("a"))["code"], 404);
        assert_eq!(listed(&mut client), ["a"]);
        assert!(root.file("p", "a").is_file());
        assert_eq!(listing(&elsewhere), [""; 0]);
        let _ = fs::remove_file(&own).or_else(|_| fs::remove_dir_all(&own));
    }
}

/// Every place in which a run of `p` is, with its text.
fn places(root: &Root) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut places: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut look = |folder: &Path| {
        for name in listing(folder) {
            let text = fs::read(folder.join(&name)).unwrap();
            places.entry(name).or_default().push(text);
        }
    };
    look(&root.path().join("p/executions"));
    if trash_of(root).exists() {
        for batch in listing(&trash_of(root)) {
            look(&trash_of(root).join(batch));
        }
    }
    places
}

#[test]
fn a_daemon_that_is_killed_leaves_each_run_in_one_place() {
    let root = Root::empty();
    for number in 0..60 {
        let id = format!("r{number}");
        root.engine("p", &id, &record("p", &id, "completed"));
    }
    let want = places(&root);
    for kill in 0..8 {
        let (mut daemon, mut client) = Daemon::stdio(&root.path());
        client.careless();
        client.call("executions/list", &json!({ "sync": true }));
        for number in 0..60 {
            let params = key(&format!("r{number}"));
            client.request("executions/delete", &params);
            if number % 3 == 0 {
                client.request("executions/restore", &params);
            }
        }
        let deleted = client.request("executions/deleteAll", &json!({ "projectId": "p" }));
        // at some point of it, later with each round
        for _ in 0..kill * 9 {
            client.next();
        }
        daemon.signal(Signal::KILL);
        daemon.ends();
        assert!(deleted > 0);
        let have = places(&root);
        assert!(
            have == want,
            "{:?}",
            have.values().map(Vec::len).collect::<Vec<_>>()
        );
    }
    // and all can be had back
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let trash = client.call("trash/list", &json!({ "limit": 1000 }));
    let entries: Vec<&Value> = trash["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["entry"])
        .collect();
    assert!(!entries.is_empty());
    client.call("executions/restore", &json!({ "entries": entries }));
    assert_eq!(listed(&mut client).len(), 60);
    assert_eq!(listing(&root.path().join("p/executions")).len(), 60);
}

/// Runs `old-0` to `old-9` and `new-0` to `new-9`, every third of them failed.
fn lay_out(root: &Root) {
    for number in 0..10 {
        for (age, started) in [("old", "2025-01-02"), ("new", "2026-01-02")] {
            let id = format!("{age}-{number}");
            let status = if number % 3 == 0 {
                "failed"
            } else {
                "completed"
            };
            let mut record = record("p", &id, status);
            record["startedAt"] = format!("{started}T00:00:0{number}.000Z").into();
            root.engine("p", &id, &record);
        }
    }
    root.engine("p", "live", &record("p", "live", "running"));
    root.engine("q", "other", &record("q", "other", "completed"));
}

#[test]
fn what_matches_goes_and_nothing_else() {
    let root = Root::empty();
    lay_out(&root);
    let daemon = Daemon::socket(&root);
    let (mut client, mut follower) = (daemon.connect(), daemon.connect());
    let list = client.call("executions/list", &json!({ "sync": true }));
    for params in [
        json!({}),
        json!({ "projectId": "p" }),
        json!({ "dryRun": true }),
    ] {
        let error = client.refused("executions/deleteMatching", &params);
        assert_eq!(error["code"], -32602);
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("executions/deleteAll")
        );
    }
    follower.call("executions/subscribe", &json!({ "since": list["clock"] }));
    assert_eq!(follower.change()["kind"], "current");
    let asked =
        json!({ "projectId": "p", "where": "startedAt < '2025-06-01' and status = 'failed'" });
    let mut rehearsed = asked.clone();
    rehearsed["dryRun"] = true.into();
    let would = client.call("executions/deleteMatching", &rehearsed);
    assert_eq!((&would["count"], would.get("batch")), (&json!(4), None));
    assert_eq!(client.call("trash/list", &json!({}))["total"], 0);
    let done = client.call("executions/deleteMatching", &asked);
    for member in ["count", "bytes", "executions", "skipped", "skippedCount"] {
        assert_eq!(done[member], would[member], "{member}");
    }
    for run in done["executions"].as_array().unwrap() {
        let change = follower.change();
        assert_eq!(
            (&change["kind"], &change["executionId"]),
            (&json!("deleted"), &run["executionId"])
        );
    }
    let left = listed(&mut client);
    assert_eq!(left.len(), 18);
    assert!(
        !left
            .iter()
            .any(|id| ["old-0", "old-3", "old-6", "old-9"].contains(&id.as_str()))
    );
    let trash = client.call("trash/list", &json!({}));
    assert_eq!(
        (&trash["total"], &trash["totalBytes"]),
        (&json!(4), &done["bytes"])
    );
    let again = client.call("executions/deleteMatching", &asked);
    assert_eq!((&again["count"], again.get("batch")), (&json!(0), None));

    // undone as a whole, but for what is there again
    root.engine("p", "old-3", &record("p", "old-3", "failed"));
    client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(follower.change()["kind"], "saved");
    let back = client.call("executions/restore", &json!({ "batch": done["batch"] }));
    assert_eq!(
        (&back["count"], &back["skippedCount"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(back["skipped"][0]["executionId"], "old-3");
    for _ in 0..3 {
        assert_eq!(follower.change()["kind"], "saved");
    }
    assert_eq!(listed(&mut client).len(), 22);
}

#[test]
fn a_policy_is_rehearsed_carried_out_and_refused() {
    let root = Root::empty();
    lay_out(&root);
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let prune = |policy: Value| json!({ "policy": policy });
    for wrong in [
        json!({}),
        prune(json!({})),
        prune(json!({ "rules": [{}] })),
        prune(json!({ "rules": [{ "maxAge": "7 weeks" }] })),
        prune(json!({ "rules": [{ "maxAge": "0d" }] })),
        prune(json!({ "rules": [{ "maxCount": -1 }] })),
        prune(json!({ "rules": [{ "maxCount": 1, "max_age": "1d" }] })),
        prune(json!({ "rules": [{ "maxCount": 1 }], "keepPinnd": true })),
        // of both projects nothing would be left, but for what is running
        prune(json!({ "rules": [{ "projectId": "q", "maxCount": 0 }] })),
        prune(json!({ "rules": [{ "maxCount": 0 }] })),
        prune(json!({ "rules": [{ "projectId": "p", "maxCount": 0 }] })),
    ] {
        let error = client.refused("executions/prune", &wrong);
        assert_eq!(error["code"], -32602, "{wrong}: {error}");
    }
    assert_eq!(listed(&mut client).len(), 22);
    let all = client.call(
        "executions/prune",
        &json!({ "policy": { "rules": [{ "projectId": "q", "maxCount": 0 }] }, "dryRun": true }),
    );
    assert_eq!(
        (&all["everything"], &all["count"]),
        (&json!(true), &json!(1))
    );

    let policy = json!({
        "rules": [{ "projectId": "p", "maxCount": 10 }, { "status": "failed", "maxAge": "1d" }],
        "keepLast": 2
    });
    let would = client.call(
        "executions/prune",
        &json!({ "policy": policy, "dryRun": true }),
    );
    assert_eq!(
        would["count"],
        10 + 3,
        "the ten old ones, and failed ones but for the last two"
    );
    // the same from a file above the root
    let file = root.beside("runlog.toml");
    for wrong in [
        "prune = 1",
        "[prune]\nrulez = []",
        "[prune]\nrules = [{ maxCount = 1, x = 2 }]",
        "[prune]\nkeepLast = 3",
        "[[prune]]\nrules = [{ maxCount = 1 }]",
        "other = 1",
    ] {
        fs::write(&file, wrong).unwrap();
        let error = client.refused("executions/prune", &json!({}));
        let message = error["message"].as_str().unwrap();
        let which = "the runlog.toml above the projects, ../runlog.toml from there: ";
        assert!(message.starts_with(which), "{message}");
    }
    let text = "projects = 'projects'\n[prune]\nkeepLast = 2\nrules = [\n  { projectId = 'p', maxCount = 10 },\n  { status = ['failed'], maxAge = '1d' },\n]\n";
    fs::write(&file, text).unwrap();
    let done = client.call("executions/prune", &json!({}));
    for member in ["count", "bytes", "executions", "skippedCount", "everything"] {
        assert_eq!(done[member], would[member], "{member}");
    }
    let mut left = listed(&mut client);
    left.retain(|id| id.starts_with("new"));
    assert_eq!(
        left,
        [
            "new-1", "new-2", "new-4", "new-5", "new-7", "new-8", "new-9"
        ]
    );
    // the trash's own age
    let trash = json!({ "policy": { "trash": { "maxAge": "1d" } } });
    assert_eq!(client.call("executions/prune", &trash)["emptied"], 0);
    let old = trash_of(&root).join("86400000-0000000000000000");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("x.json"), "12345").unwrap();
    let mut rehearsed = trash.clone();
    rehearsed["dryRun"] = true.into();
    for params in [rehearsed, trash] {
        let done = client.call("executions/prune", &params);
        assert_eq!(
            (&done["emptied"], &done["freedBytes"]),
            (&json!(1), &json!(5))
        );
        assert_eq!(done["count"], 0);
    }
    assert!(!old.exists());
    assert_eq!(client.call("trash/list", &json!({}))["total"], 13);
}

/// Nothing goes but what was told, and what was told and is left says why.
#[test]
fn what_is_carried_out_is_what_was_rehearsed() {
    let root = Root::empty();
    lay_out(&root);
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let old = |id: &str| {
        let mut record = record("p", id, "failed");
        record["startedAt"] = "2025-01-01T00:00:00.000Z".into();
        record
    };
    let policy = json!({ "rules": [{ "projectId": "p", "maxCount": 10 }] });
    for (method, asked, count) in [
        (
            "executions/deleteMatching",
            json!({ "status": "failed", "where": "startedAt < '2025-06-01'" }),
            4,
        ),
        ("executions/prune", json!({ "policy": policy }), 6),
    ] {
        let mut asked = asked;
        asked["dryRun"] = true.into();
        let would = client.call(method, &asked);
        assert_eq!(would["count"], count, "{would}");
        asked["plan"] = would["plan"].clone();
        assert_eq!(client.refused(method, &asked)["code"], -32602);
        asked["dryRun"] = false.into();
        // one comes, one is changed, one goes
        root.engine("p", "late", &old("late"));
        let of = |at: usize| {
            let name = &would["executions"][at]["executionId"];
            name.as_str().unwrap().to_owned()
        };
        let mut changed = old(&of(0));
        changed["error"] = "another".into();
        root.engine("p", &of(0), &changed);
        fs::remove_file(root.file("p", &of(1))).unwrap();
        client.call("executions/list", &json!({ "sync": true }));
        for (name, wrong) in [
            ("status", json!("completed")),
            ("policy", json!({ "rules": [{ "maxCount": 9 }] })),
            ("plan", json!("x")),
            ("plan", json!("0@0/c:0000000000000000:1")),
        ] {
            let mut other = asked.clone();
            other[name] = wrong;
            assert_eq!(client.refused(method, &other)["code"], -32602, "{name}");
        }
        let done = client.call(method, &asked);
        assert_eq!(done["count"], count - 2, "{done}");
        for run in done["executions"].as_array().unwrap() {
            assert!(would["executions"].as_array().unwrap().contains(run));
        }
        let skipped = done["skipped"].as_array().unwrap();
        let mut skipped: Vec<_> = skipped.iter().map(|run| &run["executionId"]).collect();
        skipped.sort_by_key(|id| id.to_string());
        // of the one that came nobody was told
        let mut left = [json!(of(0)), json!(of(1))];
        left.sort_by_key(Value::to_string);
        assert_eq!(skipped, left.iter().collect::<Vec<_>>(), "{done}");
        for run in done["skipped"].as_array().unwrap() {
            let gone = run["executionId"] == json!(of(1));
            assert_eq!(run["reason"], if gone { "gone" } else { "changed" });
        }
        for id in ["late", &of(0)] {
            fs::remove_file(root.file("p", id)).unwrap();
        }
        client.call("executions/list", &json!({ "sync": true }));
    }
}

/// Whatever becomes of the runs that were to stay, each that was told goes or says why not.
#[test]
fn what_was_told_goes_or_says_why_not() {
    type Change = fn(&Root, &mut Client);
    let changes: [(Change, &[&str], Value); 3] = [
        (
            |_, client| {
                let note = json!({ "projectId": "p", "executionId": "a", "note": "mine" });
                client.call("executions/annotate", &note);
            },
            &["b", "c", "d"],
            json!([]),
        ),
        // another is the youngest
        (
            |root, _| fs::remove_file(root.file("p", "a")).unwrap(),
            &["c", "d"],
            json!([{ "projectId": "p", "executionId": "b", "reason": "kept" }]),
        ),
        (
            |_, client| {
                let note = json!({ "projectId": "p", "executionId": "b", "note": "mine" });
                client.call("executions/annotate", &note);
            },
            &["c", "d"],
            json!([{ "projectId": "p", "executionId": "b", "reason": "changed" }]),
        ),
    ];
    for (change, want, skipped) in changes {
        let root = Root::empty();
        for (age, id) in ["a", "b", "c", "d"].iter().enumerate() {
            let mut record = record("p", id, "completed");
            record["startedAt"] = format!("2025-01-0{}T00:00:00.000Z", 9 - age).into();
            record.as_object_mut().unwrap().remove("completedAt");
            root.engine("p", id, &record);
        }
        let (_daemon, mut client) = Daemon::stdio(&root.path());
        let mut asked = json!({ "policy": { "rules": [{ "maxCount": 1 }] }, "sync": true });
        asked["dryRun"] = true.into();
        let would = client.call("executions/prune", &asked);
        assert_eq!(would["count"], 3, "{would}");
        change(&root, &mut client);
        asked["dryRun"] = false.into();
        asked["plan"] = would["plan"].clone();
        let done = client.call("executions/prune", &asked);
        let gone = done["executions"].as_array().unwrap().iter();
        let gone: Vec<_> = gone
            .map(|run| run["executionId"].as_str().unwrap())
            .collect();
        assert_eq!(gone, want, "{done}");
        assert_eq!(done["skipped"], skipped);
    }
}

/// A project whose trash cannot be is told with the others, wherever its name stands among theirs.
#[test]
fn one_project_that_cannot_holds_up_no_other() {
    for odd in ["a", "z"] {
        for (method, params) in [
            (
                "executions/deleteMatching",
                json!({ "status": "completed" }),
            ),
            (
                "executions/prune",
                json!({
                    "policy": { "rules": [{ "maxCount": 0 }], "keepPinned": false },
                    "everything": true
                }),
            ),
        ] {
            let root = Root::empty();
            for project in [odd, "m"] {
                root.engine(project, "x", &record(project, "x", "completed"));
            }
            let (_daemon, mut client) = Daemon::stdio(&root.path());
            client.call("executions/list", &json!({ "sync": true }));
            // since it was looked at
            fs::write(root.path().join(odd).join(".runlog"), "").unwrap();
            let done = client.call(method, &params);
            assert_eq!(done["count"], 1, "{method} {odd}: {done}");
            assert_eq!(done["executions"][0]["projectId"], "m");
            assert_eq!(done["skipped"][0]["projectId"], odd);
            assert!(root.file(odd, "x").exists());
            // where there is nothing else, it says why
            let refused = client.refused(method, &params);
            assert_eq!(refused["data"]["kind"], "storage", "{refused}");
        }
    }
}

/// Names come in pages, and count and bytes are those of all.
#[test]
fn what_would_go_is_told_page_by_page() {
    let root = Root::empty();
    lay_out(&root);
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let rules = json!([{ "perProject": true, "maxCount": 1 }]);
    for (method, asked) in [
        (
            "executions/deleteMatching",
            json!({ "where": "startedAt < today" }),
        ),
        ("executions/prune", json!({ "policy": { "rules": rules } })),
    ] {
        let mut rehearsed = asked.clone();
        rehearsed["dryRun"] = true.into();
        let whole = client.call(method, &rehearsed);
        let named = whole["executions"].as_array().unwrap().clone();
        assert_eq!(whole["count"], named.len());
        assert!(whole["nextCursor"].is_null());
        let bytes: u64 = named
            .iter()
            .map(|run| run["sizeBytes"].as_u64().unwrap())
            .sum();
        assert_eq!(whole["bytes"], bytes);
        for size in [1, 3, named.len(), 10_000] {
            let (mut pages, mut cursor) = (Vec::new(), Value::Null);
            loop {
                rehearsed["limit"] = size.into();
                rehearsed["cursor"] = cursor;
                let page = client.call(method, &rehearsed);
                for member in ["count", "bytes", "clock"] {
                    assert_eq!(page[member], whole[member]);
                }
                let part = page["executions"].as_array().unwrap();
                assert!(!part.is_empty() && part.len() <= size);
                pages.extend_from_slice(part);
                cursor = page["nextCursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            assert_eq!(pages, named, "{method} by {size}");
        }
        // a run that goes between two pages takes none with it
        rehearsed["limit"] = 2.into();
        rehearsed["cursor"] = Value::Null;
        let first = client.call(method, &rehearsed);
        let last = first["executions"][1].clone();
        let gone = json!({ "projectId": last["projectId"], "executionId": last["executionId"] });
        let entry = client.call("executions/delete", &gone)["entry"].clone();
        rehearsed["cursor"] = first["nextCursor"].clone();
        let next = client.call(method, &rehearsed);
        assert_eq!(next["executions"][0], named[2]);
        client.call("executions/restore", &json!({ "entries": [entry] }));
        // of another question, and where it is not only told
        for (member, value) in [
            ("where", json!("startedAt < yesterday")),
            ("policy", json!({ "rules": [{ "maxCount": 2 }] })),
            ("dryRun", json!(false)),
            ("cursor", json!("x")),
            ("limit", json!(0)),
            ("limit", json!(10_001)),
        ] {
            if member == "where" && method != "executions/deleteMatching"
                || member == "policy" && method != "executions/prune"
            {
                continue;
            }
            let mut wrong = rehearsed.clone();
            wrong[member] = value;
            assert_eq!(client.refused(method, &wrong)["code"], -32602, "{wrong}");
        }
    }
}

/// Where a trash cannot be, or has no room: nothing is deleted, the error says how it could be,
/// and for good it can.
#[test]
fn where_the_trash_cannot_take_it_nothing_is_deleted() {
    let mount = "mount -t tmpfs -o nr_inodes=40 none \"$1\"; mkdir -p \"$1/p/executions\"";
    let write = "echo '{}' > \"$1/p/executions/a.json\"; echo '{}' > \"$1/p/executions/b.json\"";
    let elsewhere = format!("{mount}; mount -t tmpfs none \"$1/p/executions\"; {write}");
    let full = format!(
        "{mount}; {write}; n=0; while mkdir \"$1/p/fill$n\" 2> /dev/null; do n=$((n + 1)); done"
    );
    let read_only = format!("{mount}; {write}; mount -o remount,ro \"$1\"");
    for (script, kind, says) in [
        (&elsewhere, "storage", "two file systems"),
        (&full, "storage-full", "no room"),
        (&read_only, "storage", "Read-only"),
    ] {
        let root = Root::empty();
        let mounts = Mounts::new(script, &root.path());
        let mut command = runlog();
        command.arg("serve").arg("--projects").arg(root.path());
        let (_daemon, mut client) = Daemon::spawn(&mut mounts.inside(&command));
        client.call("executions/list", &json!({ "sync": true }));
        for (method, params) in [
            ("executions/delete", key("a")),
            ("executions/deleteAll", json!({ "projectId": "p" })),
            (
                "executions/deleteMatching",
                json!({ "where": "id = 'a' or id = 'b'" }),
            ),
        ] {
            let error = client.refused(method, &params);
            assert_eq!(error["data"]["kind"], kind, "{script} {method}: {error}");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains(says) && message.contains("permanent: true"),
                "{message}"
            );
            assert!(!error.to_string().contains(&*root.path().to_string_lossy()));
            assert_eq!(listed(&mut client), ["a", "b"]);
        }
        let folder = mounts.path(&root.path().join("p/executions"));
        assert_eq!(listing(&folder), ["a.json", "b.json"]);
        if says.contains("ead-only") {
            let permanent = json!({ "projectId": "p", "executionId": "a", "permanent": true });
            let error = client.refused("executions/delete", &permanent);
            let message = error["message"].as_str().unwrap();
            let says = "changing the execution's file failed: Read-only file system";
            assert!(message.starts_with(says), "{message}");
            // that nothing was done is known
            assert_eq!(error["data"].get("outcome"), None, "{error}");
        }
        if kind == "storage-full" || says.starts_with("another") {
            let permanent = json!({ "projectId": "p", "executionId": "a", "permanent": true });
            assert_eq!(
                client.call("executions/delete", &permanent)["deleted"],
                true
            );
            assert_eq!(listing(&folder), ["b.json"]);
        }
    }
}

#[test]
fn pruning_by_itself_is_switched_on_by_the_user_alone_and_for_one_root() {
    let (root, other) = (Root::empty(), Root::empty());
    let start = |root: &Root, config: &str| {
        lay_out(root);
        let folder = root.beside("config/runlog");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("runlog.toml"), config).unwrap();
        let mut command = runlog();
        command
            .args(["serve", "--projects"])
            .arg(root.path())
            .env("XDG_CONFIG_HOME", root.beside("config"))
            .stderr(fs::File::create(root.beside("log")).unwrap());
        Daemon::spawn(&mut command)
    };
    let policy = "[prune]\nkeepLast = 2\nrules = [{ projectId = 'p', maxCount = 10 }]\n";
    let every = format!(
        "{policy}[[root]]\npath = '{}'\npruneEvery = '1s'\n",
        root.path().display()
    );
    let (_daemon, mut client) = start(&root, &every);
    // the same file, but another root
    let (_untouched, mut bystander) = start(&other, &every);
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let of_p = |client: &mut Client| {
        let count = json!({ "projectId": "p", "sync": true });
        // beside the one that is live
        client.call("executions/count", &count)["count"]
            .as_u64()
            .unwrap()
            .saturating_sub(1)
    };
    while of_p(&mut client) != 10 {
        assert!(std::time::Instant::now() < deadline, "nothing was pruned");
    }
    // and again when there is more
    root.engine("p", "newest", &record("p", "newest", "completed"));
    let before = of_p(&mut client);
    assert!(before == 10 || before == 11);
    while of_p(&mut client) != 10 {
        assert!(std::time::Instant::now() < deadline, "only once");
    }
    assert_eq!(of_p(&mut bystander), 20);
    // but the user's policy is there to be asked for
    let would = bystander.call("executions/prune", &json!({ "dryRun": true }));
    assert_eq!(would["count"], 10);
    // what went can be had back
    let trash = client.call("trash/list", &json!({}));
    assert!(trash["total"].as_u64().unwrap() >= 10);
    // by what is logged where nobody says how much is to be
    let entry = trash["entries"][0]["entry"].as_str().unwrap();
    let batch = entry.split('/').nth(1).unwrap();
    let is_told = || {
        let log = fs::read_to_string(root.beside("log")).unwrap();
        let mut lines = log.lines();
        lines.any(|line| line.contains("executions/restore") && line.contains(batch))
    };
    while !is_told() {
        assert!(std::time::Instant::now() < deadline, "nothing was logged");
    }
    // nor does a file end it that somebody is writing
    let file = root.beside("config/runlog/runlog.toml");
    fs::write(&file, "[prune").unwrap();
    let is_told = || {
        let log = fs::read_to_string(root.beside("log")).unwrap();
        log.matches("nothing is pruned meanwhile").count() == 1
    };
    while !is_told() {
        assert!(
            std::time::Instant::now() < deadline,
            "the file was not read"
        );
    }
    root.engine("p", "later", &record("p", "later", "completed"));
    fs::write(&file, &every).unwrap();
    while of_p(&mut client) != 10 {
        assert!(std::time::Instant::now() < deadline, "no more");
    }
    // nor one that is not there for a moment, or a root
    let (file_away, root_away) = (root.beside("file-away"), root.beside("root-away"));
    for (here, away) in [(&file, &file_away), (&root.path(), &root_away)] {
        fs::rename(here, away).unwrap();
        // so that it is missed at least once
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        fs::rename(away, here).unwrap();
    }
    while of_p(&mut client) != 10 {
        assert!(std::time::Instant::now() < deadline, "they are not back");
    }
    root.engine("p", "last", &record("p", "last", "completed"));
    while of_p(&mut client) != 10 {
        assert!(std::time::Instant::now() < deadline, "missed once");
    }
    // the user's file is told from the one beside the projects
    let user = other.beside("config/runlog/runlog.toml");
    fs::write(&user, "prunes = 1").unwrap();
    let error = bystander.refused("executions/prune", &json!({ "dryRun": true }));
    let message = error["message"].as_str().unwrap();
    let which = "the user's runlog.toml: line 1: unknown field `prunes`";
    assert!(message.starts_with(which), "{message}");
    fs::write(&user, &every).unwrap();
    // a file beside the projects cannot switch it on
    fs::write(other.beside("runlog.toml"), every).unwrap();
    let error = bystander.refused("executions/prune", &json!({ "dryRun": true }));
    assert!(error["message"].as_str().unwrap().contains("unknown field"));
}
