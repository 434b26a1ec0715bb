//! Pins, tags and notes, from outside: told live, filtered by, kept through whatever happens to
//! the files, shared by two daemons, and never in a run's own file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;

use serde_json::{Value, json};
use support::place::Place;
use support::{Client, Daemon, Root, record};

fn annotate(client: &mut Client, id: &str, what: Value) -> Value {
    let mut params = what;
    params["projectId"] = json!("p");
    params["executionId"] = json!(id);
    client.call("executions/annotate", &params)
}

fn ids(client: &mut Client, filter: &str) -> Vec<String> {
    let asked = json!({ "where": filter, "sync": true });
    let list = client.call("executions/list", &asked);
    let runs = list["executions"].as_array().unwrap();
    let mut ids: Vec<String> = runs
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn run(client: &mut Client, project: &str, id: &str) -> Value {
    let asked = json!({ "projectId": project, "sync": true });
    let list = client.call("executions/list", &asked);
    let runs = list["executions"].as_array().unwrap();
    runs.iter().find(|run| run["id"] == id).unwrap().clone()
}

fn fill(root: &Root) {
    for id in ["a", "b", "c"] {
        root.engine("p", id, &record("p", id, "completed"));
    }
}

#[test]
fn what_is_noted_is_told_filtered_by_and_kept_out_of_the_run() {
    let root = Root::empty();
    fill(&root);
    let daemon = Daemon::socket(&root);
    let (mut client, mut follower) = (daemon.connect(), daemon.connect());
    let list = client.call("executions/list", &json!({ "sync": true }));
    let before = list["executions"][0].clone();
    let pinned = json!({ "since": list["clock"], "where": "pinned" });
    follower.call("executions/subscribe", &pinned);
    assert_eq!(follower.change()["kind"], "current");
    let text = fs::read(root.file("p", "a")).unwrap();

    let what = json!({ "pinned": true, "addTags": ["b", "ä ö"], "note": "asked \"Bob\"\n<b>" });
    let done = annotate(&mut client, "a", what);
    let summary = &done["summary"];
    assert_eq!(summary["pinned"], true);
    assert_eq!(summary["tags"], json!(["b", "ä ö"]));
    assert_eq!(summary["note"], "asked \"Bob\"\n<b>");
    assert_eq!(summary["version"], before["version"]);
    let told = follower.change();
    assert_eq!(
        (&told["kind"], &told["created"]),
        (&json!("saved"), &json!(false))
    );
    assert_eq!(&told["summary"], summary);
    assert_eq!(told["clock"], done["clock"]);

    assert_eq!(ids(&mut client, "pinned"), ["a"]);
    assert_eq!(ids(&mut client, "not pinned"), ["b", "c"]);
    assert_eq!(ids(&mut client, "tag = \"ä ö\""), ["a"]);
    assert_eq!(ids(&mut client, "note ~ \"BOB\""), ["a"]);
    assert_eq!(ids(&mut client, "note is null"), ["b", "c"]);
    // the engine knows nothing of it
    assert_eq!(fs::read(root.file("p", "a")).unwrap(), text);
    let own = root.path().join("p/.runlog");
    assert_eq!(fs::read_to_string(own.join(".gitignore")).unwrap(), "*\n");

    // nothing new is nothing told; taking all of it away leaves no file
    let clock = annotate(&mut client, "a", json!({ "pinned": true }))["clock"].clone();
    assert_eq!(clock, done["clock"]);
    let nothing = json!({ "pinned": false, "tags": [], "note": "" });
    let done = annotate(&mut client, "a", nothing);
    assert_eq!(done["summary"], run(&mut client, "p", "a"));
    assert_eq!(done["summary"].get("tags"), None);
    assert!(!own.join("a.json").exists());
    let told = follower.change();
    assert_eq!(
        (&told["kind"], &told["executionId"]),
        (&json!("left"), &json!("a"))
    );
}

#[test]
fn what_cannot_be_noted_says_why() {
    let root = Root::empty();
    fill(&root);
    root.engine("p", "broken", &json!(1));
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let mut refused = |id: &str, what: Value| {
        let mut params = what;
        params["projectId"] = json!("p");
        params["executionId"] = json!(id);
        let error = client.refused("executions/annotate", &params);
        let message = error["message"].as_str().unwrap().to_owned();
        (error["code"].as_i64().unwrap(), message)
    };
    assert_eq!(refused("nothing", json!({ "pinned": true })).0, 404);
    assert_eq!(refused("broken", json!({ "pinned": true })).0, 422);
    assert_eq!(refused("../a", json!({ "pinned": true })).0, -32602);
    let (code, message) = refused("a", json!({ "addTags": [" x"] }));
    assert_eq!(code, -32602);
    assert!(message.contains("a tag has"), "{message}");
    assert_eq!(refused("a", json!({ "note": "x".repeat(2001) })).0, -32602);
    // where our folder should be is a link to somewhere else
    std::os::unix::fs::symlink(root.beside("elsewhere"), root.path().join("p/.runlog")).unwrap();
    fs::create_dir(root.beside("elsewhere")).unwrap();
    assert_eq!(refused("a", json!({ "pinned": true })).0, 422);
    assert_eq!(fs::read_dir(root.beside("elsewhere")).unwrap().count(), 0);
}

/// Whatever is wrong with what is ours is not said of the run's file, which is well.
#[test]
fn what_is_wrong_with_the_folder_of_ours_is_said_of_it() {
    let root = Root::empty();
    fill(&root);
    let daemon = Daemon::socket(&root);
    let (mut client, mut reader) = (daemon.connect(), daemon.connect());
    reader.call("executions/list", &json!({ "sync": true }));
    let own = root.path().join("p/.runlog");
    let elsewhere = root.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut refused = |method: &str, what: Value| {
        let mut params = what;
        params["projectId"] = json!("p");
        params["executionId"] = json!("a");
        let error = client.refused(method, &params);
        let told = error.to_string();
        assert!(!told.contains(&*root.path().to_string_lossy()), "{told}");
        assert!(!told.contains("a secret"), "{told}");
        assert!(!told.contains("execution's path"), "{told}");
        assert!(!told.contains("execution's file"), "{told}");
        error["message"].as_str().unwrap().to_owned()
    };
    let note = || json!({ "note": "a secret" });
    let folder = "in the place of the project's .runlog folder";
    let hinder: [&dyn Fn(); 2] = [
        &|| std::os::unix::fs::symlink(&elsewhere, &own).unwrap(),
        &|| fs::write(&own, "").unwrap(),
    ];
    for hinder in hinder {
        hinder();
        let sync = json!({ "sync": true });
        let problems = reader.call("server/problems", &sync)["problems"].clone();
        assert_eq!(problems[0]["path"], "p/.runlog", "{problems}");
        assert_eq!(problems[0]["kind"], "not-regular");
        // nobody knows what is pinned
        let rehearsal = json!({ "policy": { "rules": [{ "maxCount": 0 }] }, "dryRun": true });
        let would = reader.call("executions/prune", &rehearsal);
        assert_eq!(
            (&would["count"], &would["skippedCount"]),
            (&json!(0), &json!(3))
        );
        for (method, params) in [
            ("executions/annotate", note()),
            ("executions/delete", json!({})),
        ] {
            let message = refused(method, params);
            assert!(message.contains(folder), "{method}: {message}");
        }
        fs::remove_file(&own).unwrap();
        let problems = reader.call("server/problems", &sync)["problems"].clone();
        assert_eq!(problems, json!([]));
    }
    fs::create_dir_all(own.join("a.json/x")).unwrap();
    let message = refused("executions/annotate", note());
    assert!(message.contains("the execution's annotation"), "{message}");
    fs::remove_dir_all(&own).unwrap();
    fs::create_dir(&own).unwrap();
    fs::write(own.join("trash"), "").unwrap();
    let message = refused("executions/delete", json!({}));
    let trash = "in the place of the project's trash, .runlog/trash";
    assert!(message.contains(trash), "{message}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

/// A run of which it cannot be told whether it is pinned is kept like one that is, and what is left
/// of the file is nobody's to overwrite.
#[test]
fn a_damaged_annotation_keeps_its_run_and_is_kept() {
    let root = Root::empty();
    fill(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    annotate(&mut client, "b", json!({ "pinned": true }));
    let own = root.path().join("p/.runlog");
    let damaged = "{ \"pinned\": tr";
    fs::write(own.join("b.json"), damaged).unwrap();
    assert_eq!(ids(&mut client, "pinned"), [""; 0]);
    let refused = client.refused(
        "executions/annotate",
        &json!({ "projectId": "p", "executionId": "b", "note": "new" }),
    );
    assert_eq!(refused["code"], 422);
    assert_eq!(fs::read_to_string(own.join("b.json")).unwrap(), damaged);

    let policy = |keep: bool| {
        let rules = json!([{ "maxCount": 0 }]);
        json!({ "rules": rules, "keepPinned": keep, "keepLast": 0 })
    };
    for dry_run in [true, false] {
        let params = json!({ "policy": policy(true), "dryRun": dry_run, "everything": true });
        let done = client.call("executions/prune", &params);
        assert_eq!(
            (&done["count"], &done["everything"]),
            (&json!(2), &json!(false))
        );
        let skipped = json!([
            { "projectId": "p", "executionId": "b", "reason": "maybe-pinned" }
        ]);
        assert_eq!(
            (&done["skipped"], &done["skippedCount"]),
            (&skipped, &json!(1))
        );
    }
    assert_eq!(ids(&mut client, "not pinned"), ["b"]);
    // where pinned runs go, so does this one
    let params = json!({ "policy": policy(false), "everything": true });
    let done = client.call("executions/prune", &params);
    assert_eq!(
        (&done["count"], &done["skippedCount"]),
        (&json!(1), &json!(0))
    );
}

/// The files that hold no annotation and should.
fn corrupt(client: &mut Client) -> Vec<String> {
    let problems = client.call("server/problems", &json!({}));
    let found = problems["problems"].as_array().unwrap().iter();
    let found = found.filter(|found| found["kind"] == "corrupt-annotation");
    found
        .map(|found| found["path"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn whatever_becomes_of_the_files_the_notes_stay_with_their_runs() {
    let root = Root::empty();
    fill(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    annotate(&mut client, "a", json!({ "pinned": true, "note": "first" }));
    annotate(&mut client, "b", json!({ "addTags": ["t"] }));
    // saved anew by the engine, and by a client
    root.engine("p", "a", &record("p", "a", "failed"));
    assert_eq!(run(&mut client, "p", "a")["note"], "first");
    let execution = record("p", "a", "completed");
    client.call(
        "executions/save",
        &json!({ "projectId": "p", "execution": execution }),
    );
    assert_eq!(run(&mut client, "p", "a")["pinned"], true);
    // removed by somebody, and copied back
    let file = root.file("p", "a");
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(ids(&mut client, "pinned"), Vec::<String>::new());
    fs::write(&file, text).unwrap();
    assert_eq!(ids(&mut client, "pinned"), ["a"]);
    // deleted and restored
    let params = json!({ "projectId": "p", "executionId": "a" });
    let entry = client.call("executions/delete", &params)["entry"].clone();
    assert!(!root.path().join("p/.runlog/a.json").exists());
    root.engine("p", "a", &record("p", "a", "failed"));
    // another run of that name has nothing of it
    assert_eq!(run(&mut client, "p", "a").get("note"), None);
    client.call("executions/delete", &params);
    client.call("executions/restore", &json!({ "entries": [entry] }));
    assert_eq!(run(&mut client, "p", "a")["note"], "first");
    // the project is renamed
    fs::rename(root.path().join("p"), root.path().join("q")).unwrap();
    assert_eq!(run(&mut client, "q", "a")["note"], "first");
    assert_eq!(run(&mut client, "q", "b")["tags"], json!(["t"]));
    // another daemon, and a hand
    let (_other, mut second) = Daemon::stdio(&root.path());
    assert_eq!(run(&mut second, "q", "a")["note"], "first");
    let at = |id: &str| root.path().join(format!("q/.runlog/{id}.json"));
    fs::write(at("c"), r#"{ "tags": ["by hand"] }"#).unwrap();
    for client in [&mut client, &mut second] {
        assert_eq!(run(client, "q", "c")["tags"], json!(["by hand"]));
    }
    let params = json!({ "projectId": "q", "executionId": "c", "pinned": true });
    second.call("executions/annotate", &params);
    assert_eq!(run(&mut client, "q", "c")["pinned"], true);
    // a file that is none of ours is a finding, until it is mended
    for text in ["<<<<<<< HEAD", "[]", r#"[true, ["by hand"], "note"]"#] {
        fs::write(at("c"), text).unwrap();
        assert_eq!(run(&mut client, "q", "c").get("tags"), None);
        assert_eq!(corrupt(&mut client), ["q/.runlog/c.json"]);
    }
    fs::remove_file(at("c")).unwrap();
    run(&mut client, "q", "c");
    assert_eq!(corrupt(&mut client), Vec::<String>::new());
}

#[test]
fn what_changed_while_nobody_looked_is_told_after_the_next_start() {
    let place = Place::new(3);
    let (daemon, mut client) = place.start();
    let list = client.call("executions/list", &json!({ "sync": true }));
    let run = &list["executions"][0];
    let params = |note: &str| json!({ "projectId": run["projectId"], "executionId": run["id"], "note": note });
    client.call("executions/annotate", &params("kept"));
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    place.end(daemon);

    let (daemon, mut client) = place.start();
    let changes = client.call(
        "executions/changes",
        &json!({ "since": clock, "sync": true }),
    );
    assert_eq!(
        (&changes["changes"], &changes["resync"]),
        (&json!([]), &json!(false))
    );
    let list = client.call("executions/list", &json!({ "where": "note = \"kept\"" }));
    assert_eq!(list["total"], 1);
    let clock = list["clock"].clone();
    place.end(daemon);

    let project = run["projectId"].as_str().unwrap();
    let file = format!("{project}/.runlog/{}.json", run["id"].as_str().unwrap());
    fs::write(place.root.path().join(file), r#"{ "note": "changed" }"#).unwrap();
    let (daemon, mut client) = place.start();
    let changes = client.call(
        "executions/changes",
        &json!({ "since": clock, "sync": true }),
    );
    assert_eq!(changes["changes"][0]["summary"]["note"], "changed");
    assert_eq!(changes["changes"].as_array().unwrap().len(), 1);
    place.end(daemon);
}

/// A command line without a daemon, and a daemon: each is a process that knows nothing of the other.
#[test]
fn what_two_processes_note_at_once_is_all_noted() {
    let root = Root::empty();
    fill(&root);
    let pairs = [0, 1].map(|_| Daemon::stdio(&root.path()));
    let (_daemons, mut clients): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    for client in &mut clients {
        client.call("executions/list", &json!({ "sync": true }));
    }
    std::thread::scope(|scope| {
        for (which, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..15 {
                    let tag = format!("{which}-{number}");
                    annotate(client, "a", json!({ "addTags": [tag] }));
                }
            });
        }
    });
    for client in &mut clients {
        assert_eq!(run(client, "p", "a")["tags"].as_array().unwrap().len(), 30);
    }
}

/// Who prunes may not have heard yet of what another process pinned.
#[test]
fn what_another_process_has_pinned_just_now_stays() {
    let root = Root::empty();
    for project in ["p", "q"] {
        for id in ["a", "b"] {
            root.engine(project, id, &record(project, id, "completed"));
        }
    }
    let (_one, mut one) = Daemon::stdio(&root.path());
    let mut command = support::runlog();
    let command = command.args(["serve", "--watch", "poll", "--projects"]);
    let (_other, mut other) = Daemon::spawn(command.arg(root.path()));
    for client in [&mut one, &mut other] {
        client.call("executions/list", &json!({ "sync": true }));
    }
    annotate(&mut one, "a", json!({ "pinned": true }));
    let policy = json!({ "rules": [{ "projectId": "p", "maxCount": 0 }] });
    let done = other.call(
        "executions/prune",
        &json!({ "policy": policy, "everything": true }),
    );
    // whether it has heard by now or not
    let only = |id: &str, done: &Value| {
        assert_eq!(done["count"], 1, "{done}");
        assert_eq!(done["executions"][0]["executionId"], id);
    };
    only("b", &done);
    let pin = json!({ "projectId": "q", "executionId": "b", "pinned": true });
    one.call("executions/annotate", &pin);
    let matching = json!({ "projectId": "q", "status": "completed" });
    only("a", &other.call("executions/deleteMatching", &matching));
    // and so does one of which it cannot be read
    root.engine("p", "b", &record("p", "b", "completed"));
    other.call("executions/list", &json!({ "sync": true }));
    fs::write(root.path().join("p/.runlog/b.json"), "{").unwrap();
    let policy = json!({ "rules": [{ "projectId": "p", "maxCount": 0 }] });
    let done = other.call(
        "executions/prune",
        &json!({ "policy": policy, "everything": true }),
    );
    assert_eq!(done["count"], 0, "{done}");
    let reasons = done["skipped"].as_array().unwrap().iter();
    let reasons: Vec<_> = reasons.map(|run| &run["reason"]).collect();
    assert!(reasons.contains(&&json!("maybe-pinned")), "{done}");
}

/// What a process left in the folder of ours when it died goes at the next start.
#[test]
fn what_was_being_written_when_a_process_died_is_swept() {
    let root = Root::empty();
    fill(&root);
    let own = root.path().join("p/.runlog");
    fs::create_dir_all(own.join("trash/5-00ff8a1be2d49377")).unwrap();
    fs::write(own.join(".gitignore"), "*\n").unwrap();
    fs::write(own.join(".runlog-0123456789abcdef.tmp"), "{ \"no").unwrap();
    // on its way to the trash, and the run not yet
    fs::create_dir_all(own.join("moving")).unwrap();
    let moving = "moving/.runlog-moving-5-00ff8a1be2d49377-0123456789abcdef";
    fs::write(own.join(moving), "").unwrap();
    let along = own.join("trash/5-00ff8a1be2d49377/a.note");
    fs::write(along, r#"{ "pinned": true }"#).unwrap();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    assert_eq!(ids(&mut client, "pinned"), ["a"]);
    let left = fs::read_dir(&own).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".gitignore", "a.json", "moving", "trash"]);
    assert_eq!(fs::read_dir(own.join("moving")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(own.join("trash")).unwrap().count(), 0);
}

/// While the project's runs are away, nobody can tell whose note it is: it waits for them.
#[test]
fn a_note_that_was_on_its_way_waits_for_runs_that_are_away() {
    let root = Root::empty();
    fill(&root);
    let own = root.path().join("p/.runlog");
    fs::create_dir_all(own.join("trash/5-00ff8a1be2d49377")).unwrap();
    fs::create_dir_all(own.join("moving")).unwrap();
    let moving = own.join("moving/.runlog-moving-5-00ff8a1be2d49377-0123456789abcdef");
    fs::write(&moving, "").unwrap();
    let along = own.join("trash/5-00ff8a1be2d49377/a.note");
    fs::write(&along, r#"{ "pinned": true }"#).unwrap();
    let [there, away] = ["executions", "elsewhere"].map(|name| root.path().join("p").join(name));
    fs::rename(&there, &away).unwrap();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    assert!(ids(&mut client, "pinned").is_empty());
    client.call("trash/empty", &json!({}));
    assert!(moving.exists() && along.exists());
    drop((client, daemon));
    fs::rename(&away, &there).unwrap();
    let daemon = Daemon::socket(&root);
    assert_eq!(ids(&mut daemon.connect(), "pinned"), ["a"]);
    assert!(!moving.exists() && !along.exists());
}

/// So it is with one that dies while another goes on serving the folder.
#[test]
fn a_note_that_was_on_its_way_when_another_process_died_comes_back() {
    let root = Root::empty();
    fill(&root);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    // all of them are known, …
    assert!(ids(&mut client, "pinned").is_empty());
    let noted = annotate(&mut client, "a", json!({ "pinned": true }));
    // … and nobody looks any more at a folder that is new
    assert_eq!(ids(&mut client, "pinned"), ["a"]);
    let own = root.path().join("p/.runlog");
    fs::create_dir_all(own.join("trash/5-00ff8a1be2d49377")).unwrap();
    fs::create_dir_all(own.join("moving")).unwrap();
    let moving = "moving/.runlog-moving-5-00ff8a1be2d49377-0123456789abcdef";
    fs::write(own.join(moving), "").unwrap();
    let along = own.join("trash/5-00ff8a1be2d49377/a.note");
    fs::rename(own.join("a.json"), along).unwrap();
    assert_eq!(ids(&mut client, "pinned"), ["a"]);
    let since = json!({ "since": noted["clock"] });
    let told = client.call("executions/changes", &since);
    assert_eq!(told["changes"], json!([]), "{told}");
}
