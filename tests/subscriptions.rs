//! Live changes from outside (section 5 of the protocol): nothing is missed between a list and a
//! subscription, across reconnects, and past what is remembered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::{Client, Daemon, Root, record, runlog};

fn save(client: &mut Client, id: &str, status: &str) -> Value {
    let execution = record("p", id, status);
    let params = json!({ "projectId": "p", "execution": execution });
    client.call("executions/save", &params)
}

fn delete(client: &mut Client, id: &str) -> Value {
    client.call(
        "executions/delete",
        &json!({ "projectId": "p", "executionId": id }),
    )
}

fn subscribe(client: &mut Client, params: Value) -> Value {
    let id = client.request("executions/subscribe", &params);
    // the id comes before the first notification
    let answer = client.next().unwrap();
    assert_eq!(answer["id"], id, "{answer}");
    answer["result"].clone()
}

/// Kind and run of the next change.
fn told(client: &mut Client) -> (String, String) {
    let change = client.change();
    let run = match change["kind"].as_str().unwrap() {
        "saved" => &change["summary"]["id"],
        _ => &change["executionId"],
    };
    (
        change["kind"].as_str().unwrap().to_owned(),
        run.as_str().unwrap_or_default().to_owned(),
    )
}

fn is(told: (String, String), kind: &str, run: &str) {
    assert_eq!((told.0.as_str(), told.1.as_str()), (kind, run));
}

#[test]
fn a_clock_replays_what_came_after_it_then_goes_on() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut writer = daemon.connect();
    for id in ["a", "b", "c"] {
        save(&mut writer, id, "completed");
    }
    let list = writer.call("executions/list", &json!({}));
    // after the list, before the subscription
    save(&mut writer, "a", "failed");
    save(&mut writer, "d", "running");
    save(&mut writer, "d", "completed");
    delete(&mut writer, "b");
    delete(&mut writer, "never");

    let mut client = daemon.connect();
    subscribe(&mut client, json!({ "since": list["clock"] }));
    is(told(&mut client), "saved", "a");
    // the latest state only
    let change = client.change();
    assert_eq!(change["summary"]["status"], "completed");
    assert_eq!(change["created"], false);
    is(told(&mut client), "deleted", "b");
    let current = client.change();
    assert_eq!(current["kind"], "current");

    // the same by polling, in pieces
    let mut since = list["clock"].clone();
    let mut kinds = Vec::new();
    loop {
        let page = client.call("executions/changes", &json!({ "since": since, "limit": 1 }));
        assert_eq!(page["resync"], false);
        for change in page["changes"].as_array().unwrap() {
            kinds.push(change["kind"].clone());
        }
        since = page["clock"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(kinds, ["saved", "saved", "deleted"]);
    assert_eq!(since, current["clock"]);

    // live, in order, with clocks that an answer of the writer's has too
    let saved = save(&mut writer, "e", "completed");
    let change = client.change();
    assert_eq!(change["clock"], saved["clock"]);
    assert_eq!(change["created"], true);
    assert_eq!(change["summary"]["version"], saved["version"]);
    // the very same record again is no change
    save(&mut writer, "e", "completed");
    let deleted = delete(&mut writer, "e");
    assert_eq!(client.change()["clock"], deleted["clock"]);
}

#[test]
fn a_filtered_subscription_is_told_what_leaves_it() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut writer = daemon.connect();
    save(&mut writer, "a", "running");
    let mut client = daemon.connect();
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    subscribe(
        &mut client,
        json!({ "projectId": "p", "status": ["running", "queued"], "since": clock }),
    );
    assert_eq!(client.change()["kind"], "current");
    root.engine("q", "x", &record("q", "x", "running"));
    writer.call("executions/list", &json!({ "sync": true }));
    save(&mut writer, "a", "failed");
    is(told(&mut client), "left", "a");
    save(&mut writer, "b", "queued");
    is(told(&mut client), "saved", "b");
    delete(&mut writer, "b");
    is(told(&mut client), "deleted", "b");
}

#[test]
fn without_a_clock_only_what_comes_is_told_and_an_end_is_an_end() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let saved = save(&mut client, "old", "completed");
    let first = subscribe(&mut client, json!({}));
    let current = client.change();
    assert_eq!(current["kind"], "current");
    assert_eq!(current["clock"], saved["clock"]);
    let second = subscribe(&mut client, json!({}));
    assert_ne!(first, second);
    assert_eq!(client.change()["kind"], "current");
    for params in [json!({ "subscription": first }), json!([second])] {
        assert_eq!(client.call("executions/unsubscribe", &params), true);
        assert_eq!(client.call("executions/unsubscribe", &params), false);
    }
    save(&mut client, "new", "completed");
    // nothing more comes; the client fails where something is left unread
    client.call("ping", &json!({}));
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_was() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut writer = daemon.connect();
    let mut held: BTreeMap<String, Value> = BTreeMap::new();
    let mut clock = writer.call("executions/list", &json!({}))["clock"].clone();
    for round in 0..10 {
        let mut client = daemon.connect();
        subscribe(&mut client, json!({ "since": clock }));
        // some is read live, the rest is left behind with the connection
        for number in 0..20 {
            let id = format!("run-{}", (round * 7 + number * 3) % 25);
            if number % 4 == 3 {
                delete(&mut writer, &id);
            } else {
                save(&mut writer, &id, ["completed", "failed"][number % 2]);
            }
        }
        for _ in 0..7 {
            let change = client.change();
            clock = change["clock"].clone();
            match change["kind"].as_str().unwrap() {
                "saved" => {
                    let run = &change["summary"];
                    held.insert(run["id"].as_str().unwrap().into(), run["version"].clone());
                }
                "deleted" => drop(held.remove(change["executionId"].as_str().unwrap())),
                other => assert_eq!(other, "current"),
            }
        }
        client.careless();
    }
    let mut client = daemon.connect();
    subscribe(&mut client, json!({ "since": clock }));
    loop {
        let change = client.change();
        match change["kind"].as_str().unwrap() {
            "saved" => {
                let run = &change["summary"];
                held.insert(run["id"].as_str().unwrap().into(), run["version"].clone());
            }
            "deleted" => drop(held.remove(change["executionId"].as_str().unwrap())),
            "current" => break,
            other => panic!("{other}"),
        }
    }
    let list = client.call("executions/list", &json!({ "limit": 1000 }));
    let listed: BTreeMap<String, Value> = list["executions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            (
                run["id"].as_str().unwrap().to_owned(),
                run["version"].clone(),
            )
        })
        .collect();
    assert_eq!(held, listed);
}

#[test]
fn a_clock_that_cannot_be_honoured_is_never_a_silent_hole() {
    let root = Root::empty();
    let clock = {
        // what it keeps for the next start is lost
        let mut first = runlog();
        first.args(["serve", "--projects"]).arg(root.path());
        first.env("XDG_CACHE_HOME", root.beside("lost"));
        let (_daemon, mut client) = Daemon::spawn(&mut first);
        save(&mut client, "a", "completed")["clock"].clone()
    };
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let now = client.call("executions/list", &json!({}))["clock"].clone();
    let ahead = format!("{}9", now.as_str().unwrap());
    for since in [
        clock,
        json!(ahead),
        json!("c:0123456789abcdef:1"),
        json!("no clock"),
    ] {
        let id = subscribe(&mut client, json!({ "since": since }));
        let change = client.change();
        assert_eq!(change["kind"], "resync", "{since}");
        assert_eq!(change["clock"], now);
        let page = client.call("executions/changes", &json!({ "since": since }));
        assert_eq!(page["resync"], true);
        assert_eq!(page["clock"], now);
        client.call("executions/unsubscribe", &json!({ "subscription": id }));
    }
}

#[test]
fn a_folder_that_goes_is_told_run_by_run() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let clock = client.call("executions/list", &json!({ "sync": true }))["clock"].clone();
    let folder = root.path().join("p/executions");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..300 {
        fs::write(folder.join(format!("{number}.json")), "{}").unwrap();
    }
    client.call("executions/list", &json!({ "sync": true }));
    fs::remove_dir_all(&folder).unwrap();
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 0);
    // within the memory: all are told as gone, page by page
    let mut since = clock;
    let mut deleted = 0;
    loop {
        let page = client.call(
            "executions/changes",
            &json!({ "since": since, "limit": 100 }),
        );
        assert_eq!(page["resync"], false);
        for change in page["changes"].as_array().unwrap() {
            assert_eq!(change["kind"], "deleted");
            deleted += 1;
        }
        since = page["clock"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(deleted, 300);
}

#[test]
fn touching_a_running_run_is_a_heartbeat_and_other_touches_tell_nothing() {
    let root = Root::empty();
    root.engine("p", "live", &record("p", "live", "running"));
    root.engine("p", "done", &record("p", "done", "completed"));
    let (_daemon, mut client) = Daemon::spawn(
        runlog()
            .args(["serve", "--stale-after", "10s", "--projects"])
            .arg(root.path()),
    );
    let list = client.call("executions/list", &json!({ "sync": true }));
    let of = |list: &Value, id: &str| {
        let runs = list["executions"].as_array().unwrap();
        runs.iter().find(|run| run["id"] == id).unwrap().clone()
    };
    assert!(of(&list, "done").get("staleAt").is_none());
    let before = of(&list, "live");
    subscribe(&mut client, json!({ "since": list["clock"] }));
    assert_eq!(client.change()["kind"], "current");
    // a tenth of ten seconds has to lie between two heartbeats that are told
    let touch = |id: &str, ahead: u64| {
        let time = SystemTime::now() + Duration::from_secs(ahead);
        let file = File::options()
            .write(true)
            .open(root.file("p", id))
            .unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    };
    touch("done", 5);
    touch("live", 5);
    let change = client.change();
    assert_eq!(change["kind"], "saved");
    assert_eq!(change["created"], false);
    let after = &change["summary"];
    assert_eq!(after["id"], "live");
    assert_eq!(after["version"], before["version"]);
    assert!(after["updatedAt"].as_str() > before["updatedAt"].as_str());
    let seconds = |value: &Value| {
        let text = value.as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_millis()
    };
    assert_eq!(
        seconds(&after["staleAt"]) - seconds(&after["updatedAt"]),
        10_000
    );
    client.call("executions/list", &json!({ "sync": true }));
}

/// Clients save through the daemon while the engine renames over the same run.
#[test]
fn saves_by_clients_and_by_the_engine_on_one_run_end_with_the_file() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut follower = daemon.connect();
    subscribe(&mut follower, json!({}));
    assert_eq!(follower.change()["kind"], "current");
    std::thread::scope(|scope| {
        for client in 0..2 {
            let mut connection = daemon.connect();
            scope.spawn(move || {
                for number in 0..100 {
                    let mut execution = record("p", "same", "running");
                    execution["note"] = json!(format!("client {client}, {number}"));
                    let params = json!({ "projectId": "p", "execution": execution });
                    connection.call("executions/save", &params);
                }
            });
        }
        scope.spawn(|| {
            for number in 0..300 {
                let mut execution = record("p", "same", "running");
                execution["note"] = json!(format!("engine, {number}"));
                root.engine("p", "same", &execution);
            }
        });
    });
    let mut client = daemon.connect();
    let list = client.call("executions/list", &json!({ "sync": true }));
    let text = fs::read(root.file("p", "same")).unwrap();
    let version = runlog::store::version_of(&text).to_string();
    assert_eq!(list["total"], 1);
    assert_eq!(list["executions"][0]["version"], version);
    // the follower ends there too, and is never told one version twice in a row
    let mut last = Value::Null;
    while last != version {
        let change = follower.change();
        assert_eq!(change["kind"], "saved");
        assert_ne!(change["summary"]["version"], last);
        last = change["summary"]["version"].clone();
    }
    let clock = follower.call("executions/list", &json!({}))["clock"].clone();
    assert_eq!(clock, list["clock"]);
}
