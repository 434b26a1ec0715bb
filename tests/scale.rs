//! Bad input and much of it, from outside: it has a clear message, and nothing is lost.
//!
//! `RUNLOG_MANY` and `RUNLOG_PROJECT_COUNT` say how many files and projects there are (6,000 and
//! 2,000 unless set); what they cost is printed (`--nocapture`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::place::{Mounts, Place};
use support::{Client, Daemon, PATIENCE, Root, record};

fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "waiting: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn number_of(variable: &str, else_: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => else_,
    }
}

/// The names in a folder, and below its folders, but for the text index.
fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name == "search" || name == "search.lock" {
            continue;
        }
        if entry.path().is_dir() {
            let below = names(&entry.path());
            found.extend(below.into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Every kind of request is answered, and changes are told; leaves one run more.
fn serves(place: &Place, client: &mut Client, runs: u64) {
    let list = client.call("executions/list", &json!({ "sync": true, "limit": 1 }));
    assert_eq!(list["total"], runs);
    let id = client.request("executions/subscribe", &json!({ "since": list["clock"] }));
    let subscription = client.answer(id)["result"].clone();
    assert_eq!(client.change()["kind"], "current");
    let execution = record("p", "by-client", "running");
    let save = json!({ "projectId": "p", "execution": execution });
    assert_eq!(client.call("executions/save", &save)["created"], true);
    assert_eq!(client.change()["summary"]["id"], "by-client");
    place
        .root
        .engine("p", "by-engine", &record("p", "by-engine", "failed"));
    assert_eq!(client.change()["summary"]["id"], "by-engine");
    let key = |id| json!({ "projectId": "p", "executionId": id });
    let got = client.call("executions/get", &key("by-engine"));
    assert_eq!(got["execution"]["status"], "failed");
    assert_eq!(
        client.call("executions/delete", &key("by-client"))["deleted"],
        true
    );
    assert_eq!(client.change()["kind"], "deleted");
    client.call(
        "executions/unsubscribe",
        &json!({ "subscription": subscription }),
    );
    let stats = client.call("executions/stats", &json!({}));
    assert_eq!(stats["totalExecutions"], runs + 1);
    assert_eq!(
        client.call("server/problems", &json!({}))["problems"],
        json!([])
    );
    fs::remove_file(place.root.file("p", "by-engine")).unwrap();
    client.call("executions/list", &json!({ "sync": true, "limit": 1 }));
    place
        .root
        .engine("p", "last", &record("p", "last", "failed"));
    client.call("executions/list", &json!({ "sync": true, "limit": 1 }));
}

#[test]
fn a_full_cache_disk_is_told_once_and_costs_the_next_start_a_reading() {
    // the second has not even room for a folder
    for options in ["size=64k", "nr_inodes=1"] {
        let place = Place::new(1_000);
        let script = format!("mount -t tmpfs -o {options} none \"$1\"");
        let mounts = Mounts::new(&script, &place.cache());
        let mut runs = 1_000;
        for _ in 0..2 {
            let (mut daemon, mut client) = place.logging(&mut mounts.inside(&place.command()));
            until("it says so", || !place.logged().is_empty());
            serves(&place, &mut client, runs);
            runs += 1;
            let status = client.call("server/status", &json!({}));
            assert_eq!(status["restored"], false);
            // it tries again at the end
            client.close();
            assert_eq!(daemon.ends().0.code(), Some(0));
            let logged = place.logged();
            assert_eq!(logged.len(), 1, "{logged:?}");
            assert!(
                logged[0].contains("cannot be kept for the next start"),
                "{logged:?}"
            );
            assert!(logged[0].contains("No space left on device"), "{logged:?}");
            // nothing half written
            assert_eq!(names(&mounts.path(&place.cache())), [""; 0]);
            fs::remove_file(place.root.file("p", "last")).unwrap();
            runs -= 1;
        }
    }
}

#[test]
fn what_was_kept_before_the_disk_was_full_is_used_and_stays() {
    let place = Place::new(50);
    let script = "mount -t tmpfs -o size=64k none \"$1\"";
    let mounts = Mounts::new(script, &place.cache());
    let start = || {
        let (daemon, mut client) = place.logging(&mut mounts.inside(&place.command()));
        client.call("executions/list", &json!({ "sync": true }));
        (daemon, client)
    };
    let (mut daemon, mut client) = start();
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    client.close();
    daemon.ends();
    assert_eq!(place.logged(), [""; 0]);
    let file = mounts.path(&place.file());
    let before = fs::read(&file).unwrap();
    place.add(50..1_000);
    for _ in 0..2 {
        let (mut daemon, mut client) = start();
        until("it says so", || !place.logged().is_empty());
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], true);
        assert_eq!(status["executions"], 1_000);
        // in pages, so that the first clock is honoured from page to page
        let (mut since, mut told) = (clock.clone(), 0);
        loop {
            let page = client.call("executions/changes", &json!({ "since": since }));
            assert_eq!(page["resync"], false);
            told += page["changes"].as_array().unwrap().len();
            since = page["clock"].clone();
            if page["more"] == false {
                break;
            }
        }
        assert_eq!(told, 950);
        client.close();
        assert_eq!(daemon.ends().0.code(), Some(0));
        assert_eq!(place.logged().len(), 1, "{:?}", place.logged());
        assert_eq!(fs::read(&file).unwrap(), before);
        let kept = names(file.parent().unwrap());
        assert_eq!(kept, ["index", "siblings"]);
    }
}

#[test]
fn a_read_only_cache_is_told_once_and_read_where_it_can_be() {
    let place = Place::new(50);
    let script = "mount -t tmpfs none \"$1\"\nmount -o remount,bind,ro \"$1\"";
    let mounts = Mounts::new(script, &place.cache());
    let start = || place.logging(&mut mounts.inside(&place.command()));
    for restored in [false, true] {
        let (mut daemon, mut client) = start();
        if !restored {
            until("it says so", || !place.logged().is_empty());
        }
        let list = client.call("executions/list", &json!({ "sync": true }));
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], restored);
        serves(&place, &mut client, 50);
        assert!(list["total"] == 50);
        client.close();
        assert_eq!(daemon.ends().0.code(), Some(0));
        let logged = place.logged();
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert!(logged[0].contains("Read-only file system"), "{logged:?}");
        fs::remove_file(place.root.file("p", "last")).unwrap();
        if !restored {
            assert_eq!(names(&mounts.path(&place.cache())), [""; 0]);
            mounts.run("mount -o remount,bind,rw \"$1\"", &place.cache());
            let (mut daemon, mut client) = start();
            client.call("executions/list", &json!({}));
            client.close();
            daemon.ends();
            assert_eq!(place.logged(), [""; 0]);
            mounts.run("mount -o remount,bind,ro \"$1\"", &place.cache());
        }
    }
}

/// What tells that somebody was at a file or folder.
fn traces(path: &Path) -> (u32, u32, i64, i64, Vec<String>) {
    let found = fs::metadata(path).unwrap();
    let names = if found.is_dir() { names(path) } else { vec![] };
    (
        found.uid(),
        found.mode(),
        found.ctime(),
        found.ctime_nsec(),
        names,
    )
}

#[test]
fn a_cache_of_somebody_else_is_told_once_and_neither_read_nor_changed() {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can give a folder to somebody else; run this as root, as CI does"
    );
    let nobody = 65534;
    let place = Place::new(20);
    place.said();
    let folder = place.file().parent().unwrap().to_owned();
    let ours = folder.parent().unwrap().to_owned();
    // what he put there would be a run that is not
    place
        .root
        .engine("p", "gone", &record("p", "gone", "completed"));
    place.said();
    fs::remove_file(place.root.file("p", "gone")).unwrap();
    for foreign in [&folder, &ours] {
        std::os::unix::fs::chown(foreign, Some(nobody), Some(nobody)).unwrap();
        let paths = [&ours, &folder, &place.file()];
        let before = paths.map(|path| traces(path));
        let (mut daemon, mut client) = place.logging(&mut place.command());
        serves(&place, &mut client, 20);
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], false);
        client.close();
        assert_eq!(daemon.ends().0.code(), Some(0));
        let logged = place.logged();
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert!(logged[0].contains("not private to this user"), "{logged:?}");
        assert_eq!(paths.map(|path| traces(path)), before);
        std::os::unix::fs::chown(foreign, Some(0), Some(0)).unwrap();
        fs::remove_file(place.root.file("p", "last")).unwrap();
    }
    // and is used again when it is ours again
    let (_daemon, mut client) = place.start();
    assert_eq!(client.call("server/status", &json!({}))["restored"], true);
    assert_eq!(client.call("executions/list", &json!({}))["total"], 20);
}

/// The first of January 2100.
fn future() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(4_102_444_800)
}

fn set_time(path: &Path, time: SystemTime) {
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// The statuses of the listed runs.
fn statuses(client: &mut Client) -> BTreeMap<String, String> {
    let list = client.call("executions/list", &json!({ "sync": true, "limit": 1000 }));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let runs = list["executions"].as_array().unwrap();
    runs.iter()
        .map(|run| (text(&run["id"]), text(&run["status"])))
        .collect()
}

/// Before the clock was set back everything was stamped in what is the future now.
#[test]
fn a_clock_that_was_set_back_hides_no_change() {
    let place = Place::new(12);
    let file = |number: usize| place.root.file("p", &format!("run-{number}"));
    let text = |number: usize| fs::read_to_string(file(number)).unwrap();
    // as long as before, with the time of before
    let in_place = |number| {
        let changed = text(number).replace("completed", "cancelled");
        fs::write(file(number), changed).unwrap();
        set_time(&file(number), future());
    };
    let renamed = |number| {
        let aside = place.root.beside("aside");
        fs::write(&aside, text(number).replace("completed", "cancelled")).unwrap();
        set_time(&aside, future());
        fs::rename(aside, file(number)).unwrap();
    };
    let changed = |statuses: &BTreeMap<String, String>| -> Vec<String> {
        assert_eq!(statuses.len(), 12);
        let changed = statuses.iter().filter(|(_, status)| *status == "cancelled");
        changed.map(|(id, _)| id.clone()).collect()
    };
    for number in 0..12 {
        set_time(&file(number), future());
    }
    let (daemon, mut client) = place.start();
    let list = client.call("executions/list", &json!({ "limit": 1 }));
    assert_eq!(
        list["executions"][0]["updatedAt"],
        "2100-01-01T00:00:00.000Z"
    );
    in_place(1);
    renamed(2);
    assert_eq!(changed(&statuses(&mut client)), ["run-1", "run-2"]);
    drop(client);
    place.end(daemon);
    for time in [future(), UNIX_EPOCH] {
        set_time(&place.file(), time);
        let next = if time == UNIX_EPOCH { 5 } else { 3 };
        in_place(next);
        renamed(next + 1);
        let (daemon, mut client) = place.start();
        assert_eq!(client.call("server/status", &json!({}))["restored"], true);
        let expected: Vec<String> = (1..next + 2)
            .map(|number| format!("run-{number}"))
            .collect();
        assert_eq!(changed(&statuses(&mut client)), expected);
        drop(client);
        place.end(daemon);
        // a later state replaced it
        let age = fs::metadata(place.file()).unwrap().modified().unwrap();
        assert!(age > UNIX_EPOCH && age < future());
    }
    // a heartbeat with the clock as it is now
    place
        .root
        .engine("p", "live", &record("p", "live", "running"));
    set_time(&place.root.file("p", "live"), future());
    let (_daemon, mut client) = place.start();
    let list = client.call("executions/list", &json!({ "status": "running" }));
    client.call("executions/subscribe", &json!({ "since": list["clock"] }));
    assert_eq!(client.change()["kind"], "current");
    set_time(&place.root.file("p", "live"), SystemTime::now());
    let told = client.change();
    assert_eq!(told["summary"]["id"], "live");
    assert_eq!(told["summary"]["version"], list["executions"][0]["version"]);
    client.careless();
}

/// How long requests took, by what they were.
#[derive(Default)]
struct Times(BTreeMap<String, (usize, Duration)>);

impl Times {
    fn call(&mut self, client: &mut Client, method: &str, params: &Value) -> Value {
        let began = Instant::now();
        let result = client.call(method, params);
        let (count, longest) = self.0.entry(format!("{method} {params}")).or_default();
        *count += 1;
        *longest = began.elapsed().max(*longest);
        result
    }

    fn print(&self, when: &str) {
        for (what, (count, longest)) in &self.0 {
            eprintln!("  {when}: {what}: {count} times, at most {longest:?}");
        }
    }
}

/// Files that are no records, one of each sort in turn, and what is said of them.
const CORRUPT: [(&str, &str); 4] = [
    ("{ \"id\": \"x\", \"status\":", "corrupt"),
    ("[1]", "not-an-object"),
    ("", "corrupt"),
    ("{ \"status\": nothing }", "corrupt"),
];

/// All findings, page by page.
fn problems(client: &mut Client, times: &mut Times, project: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let began = Instant::now();
        let params = json!({ "projectId": project, "limit": 1000, "cursor": cursor });
        let page = client.call("server/problems", &params);
        let (count, longest) = times.0.entry("server/problems page".into()).or_default();
        *count += 1;
        *longest = began.elapsed().max(*longest);
        for problem in page["problems"].as_array().unwrap() {
            let text = |name: &str| problem[name].as_str().unwrap().to_owned();
            found.push((text("path"), text("kind")));
        }
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            return found;
        }
    }
}

#[test]
fn a_project_of_many_files_half_of_them_corrupt_is_served_and_told_exactly() {
    let many = number_of("RUNLOG_MANY", 6_000);
    let place = Place {
        root: Root::empty(),
    };
    let folder = place.root.path().join("p/executions");
    fs::create_dir_all(&folder).unwrap();
    let mut expected = Vec::new();
    for number in 0..many {
        let id = format!("run-{number:06}");
        let path = folder.join(format!("{id}.json"));
        if number % 2 == 0 {
            let text = record("p", &id, "completed").to_string();
            fs::write(path, text).unwrap();
        } else {
            let (text, kind) = CORRUPT[number / 2 % CORRUPT.len()];
            fs::write(path, text).unwrap();
            expected.push((format!("p/executions/{id}.json"), kind.to_owned()));
        }
    }
    fs::create_dir_all(place.root.path().join("z/executions")).unwrap();
    fs::write(place.root.file("z", "broken"), "{").unwrap();
    place
        .root
        .engine("z", "whole", &record("z", "whole", "failed"));
    let listed = (many.div_ceil(2) + 1) as u64;

    let began = Instant::now();
    let (mut daemon, mut client) = Daemon::spawn(&mut place.command());
    let all = client.request("executions/list", &json!({ "limit": 1 }));
    let mut times = Times::default();
    loop {
        times.call(&mut client, "ping", &json!({}));
        let partial = json!({ "limit": 50, "allowPartial": true });
        times.call(&mut client, "executions/list", &partial);
        times.call(&mut client, "executions/list", &json!({ "projectId": "z" }));
        let status = times.call(&mut client, "server/status", &json!({}));
        if status["indexing"]["state"] == "ready" {
            break;
        }
    }
    assert_eq!(client.answer(all)["result"]["total"], listed);
    eprintln!(
        "{many} files, half corrupt: ready after {:?}",
        began.elapsed()
    );
    times.print("building");

    let mut times = Times::default();
    assert_eq!(problems(&mut client, &mut times, "p"), expected);
    assert_eq!(problems(&mut client, &mut times, "z").len(), 1);
    let status = times.call(&mut client, "server/status", &json!({}));
    assert_eq!(status["problems"], expected.len() + 1);
    assert_eq!(status["executions"], listed);
    // the whole project is compared again and again, and nobody waits for that
    for number in 0..20 {
        set_time(&folder, SystemTime::now());
        let id = format!("saved-{}", number % 2);
        let save = json!({ "projectId": "z", "execution": record("z", &id, "failed") });
        let began = Instant::now();
        client.call("executions/save", &save);
        let (count, longest) = times.0.entry("executions/save".into()).or_default();
        *count += 1;
        *longest = began.elapsed().max(*longest);
        times.call(&mut client, "ping", &json!({}));
        times.call(&mut client, "executions/list", &json!({ "limit": 50 }));
        times.call(
            &mut client,
            "executions/list",
            &json!({ "limit": 1, "sync": true }),
        );
        times.call(&mut client, "executions/stats", &json!({}));
    }
    // one is mended, one breaks, one goes
    fs::write(
        folder.join("run-000001.json"),
        record("p", "run-000001", "failed").to_string(),
    )
    .unwrap();
    fs::write(folder.join("run-000002.json"), "{").unwrap();
    fs::remove_file(folder.join("run-000003.json")).unwrap();
    let list = client.call("executions/list", &json!({ "limit": 1, "sync": true }));
    assert_eq!(list["total"], listed + 2);
    expected.remove(0);
    expected.remove(0);
    expected.insert(
        0,
        (
            "p/executions/run-000002.json".to_owned(),
            "corrupt".to_owned(),
        ),
    );
    assert_eq!(problems(&mut client, &mut times, "p"), expected);
    times.print("ready");
    eprintln!(
        "  resident {} MB, at most {} MB",
        daemon.resident_bytes() >> 20,
        daemon.peak_bytes() >> 20
    );
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));

    // what was known to be corrupt is not opened again
    let began_all = Instant::now();
    loop {
        let began = Instant::now();
        let (mut daemon, mut client) = Daemon::spawn(&mut place.command());
        let list = client.call("executions/list", &json!({ "limit": 1 }));
        assert_eq!(list["total"], listed + 2);
        let took = began.elapsed();
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], true);
        assert_eq!(status["problems"], expected.len() + 1);
        assert_eq!(problems(&mut client, &mut Times::default(), "p"), expected);
        eprintln!(
            "  started again: {took:?}, {} files read",
            status["filesRead"]
        );
        eprintln!("  resident {} MB", daemon.resident_bytes() >> 20);
        client.close();
        assert_eq!(daemon.ends().0.code(), Some(0));
        if status["filesRead"] == 0 {
            break;
        }
        // those written last are young
        assert!(status["filesRead"].as_u64().unwrap() < 100, "{status}");
        assert!(began_all.elapsed() < PATIENCE);
    }
}

#[test]
fn ids_as_long_as_can_be_are_ids_like_others() {
    let place = Place {
        root: Root::empty(),
    };
    let project = "p".repeat(255);
    let ids = [
        "a".repeat(250),
        "é".repeat(125),
        format!("{}z", "a".repeat(249)),
    ];
    let record = |id: &str, status: &str| record(&project, id, status);
    // the engine's own temporary name would be too long, so it is another program that renames
    let rename = |id: &str, text: &str| {
        fs::create_dir_all(place.root.path().join(&project).join("executions")).unwrap();
        let aside = place.root.beside("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, place.root.file(&project, id)).unwrap();
    };
    rename(&ids[0], &record(&ids[0], "completed").to_string());
    let (daemon, mut client) = place.start();
    let list = client.call("executions/list", &json!({ "projectId": project }));
    assert_eq!(list["executions"][0]["id"], ids[0]);
    client.call("executions/subscribe", &json!({ "since": list["clock"] }));
    assert_eq!(client.change()["kind"], "current");
    rename(&ids[1], &record(&ids[1], "failed").to_string());
    assert_eq!(client.change()["summary"]["id"], ids[1]);
    let save = json!({ "projectId": project, "execution": record(&ids[2], "running") });
    let saved = client.call("executions/save", &save);
    assert_eq!(saved["created"], true);
    assert_eq!(client.change()["summary"]["id"], ids[2]);
    // page by page, in the order of their bytes
    let mut paged = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let params = json!({ "projectId": project, "limit": 1, "cursor": cursor });
        let page = client.call("executions/list", &params);
        paged.push(page["executions"][0]["id"].as_str().unwrap().to_owned());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(paged, sorted);
    for id in &ids {
        let key = json!({ "projectId": project, "executionId": id });
        let got = client.call("executions/get", &key);
        assert_eq!(got["execution"]["id"], *id);
    }
    // one byte more
    let longer = json!({ "projectId": project, "execution": record(&"a".repeat(251), "failed") });
    assert_eq!(client.refused("executions/save", &longer)["code"], -32602);
    let longer = json!({ "projectId": "p".repeat(256), "executionId": "x" });
    assert_eq!(client.refused("executions/get", &longer)["code"], -32602);
    // a finding with the longest of paths
    rename(&ids[1], "{");
    assert_eq!(client.change()["kind"], "deleted");
    let found = client.call(
        "server/problems",
        &json!({ "projectId": project, "limit": 1 }),
    );
    let path = format!("{project}/executions/{}.json", ids[1]);
    assert_eq!(found["problems"][0]["path"], path);
    assert_eq!(found["nextCursor"], Value::Null);
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    drop(client);
    place.end(daemon);

    let (daemon, mut client) = place.start();
    let status = client.call("server/status", &json!({}));
    assert_eq!(status["restored"], true);
    assert_eq!(status["problems"], 1);
    let changes = client.call("executions/changes", &json!({ "since": clock }));
    assert_eq!(changes["resync"], false);
    assert_eq!(changes["changes"], json!([]));
    for (id, deleted) in [(&ids[0], true), (&ids[2], true), (&ids[0], false)] {
        let key = json!({ "projectId": project, "executionId": id });
        assert_eq!(client.call("executions/delete", &key)["deleted"], deleted);
    }
    drop(client);
    place.end(daemon);
    let (_daemon, mut client) = place.start();
    // their tombstones were kept as well
    let changes = client.call("executions/changes", &json!({ "since": clock }));
    let gone: BTreeSet<&str> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["executionId"].as_str().unwrap())
        .collect();
    assert_eq!(gone, BTreeSet::from([ids[0].as_str(), ids[2].as_str()]));
    assert_eq!(client.call("executions/list", &json!({}))["total"], 0);
}

#[test]
fn many_projects_are_listed_followed_and_kept() {
    let count = number_of("RUNLOG_PROJECT_COUNT", 2_000);
    let place = Place {
        root: Root::empty(),
    };
    let project = |number: usize| format!("project-{number:05}");
    for number in 0..count {
        let text = json!({
            "id": "run", "projectId": project(number), "status": "completed", "costUSD": 0.01,
            "startedAt": format!("2025-10-15T{:02}:{:02}:00Z", number / 60 % 24, number % 60),
        });
        place.root.engine(&project(number), "run", &text);
    }
    let began = Instant::now();
    let (mut daemon, mut client) = Daemon::spawn(&mut place.command());
    let mut times = Times::default();
    let first = times.call(&mut client, "executions/list", &json!({ "limit": 50 }));
    assert_eq!(first["total"], count);
    eprintln!("{count} projects: listed after {:?}", began.elapsed());
    let projects = times.call(&mut client, "projects/list", &json!({}));
    assert_eq!(projects["projects"].as_array().unwrap().len(), count);
    let starts: Vec<&str> = projects["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["lastStartedAt"].as_str().unwrap())
        .collect();
    assert!(starts.is_sorted_by(|one, next| one >= next));
    let status = times.call(&mut client, "server/status", &json!({}));
    assert_eq!(status["projects"], count);
    eprintln!(
        "  resident {} MB, {} folders watched, all compared every {} ms, in {} ms",
        status["memory"]["residentBytes"].as_u64().unwrap() >> 20,
        status["watcher"]["folders"],
        status["watcher"]["compareEveryMs"],
        status["watcher"]["compareTookMs"],
    );

    client.call("executions/subscribe", &json!({ "since": first["clock"] }));
    assert_eq!(client.change()["kind"], "current");
    let last = project(count - 1);
    let began = Instant::now();
    place
        .root
        .engine(&last, "by-engine", &record(&last, "by-engine", "failed"));
    assert_eq!(client.change()["summary"]["projectId"], last);
    eprintln!("  told of a save after {:?}", began.elapsed());
    let save = json!({ "projectId": project(0), "execution": record(&project(0), "x", "failed") });
    client.call("executions/save", &save);
    assert_eq!(client.change()["summary"]["projectId"], project(0));
    // one comes, one goes
    let began = Instant::now();
    place
        .root
        .engine("new", "run", &record("new", "run", "running"));
    assert_eq!(client.change()["summary"]["projectId"], "new");
    eprintln!("  told of a new project after {:?}", began.elapsed());
    let began = Instant::now();
    fs::remove_dir_all(place.root.path().join(project(1))).unwrap();
    let gone = client.change();
    assert_eq!(
        (&gone["kind"], &gone["projectId"]),
        (&json!("deleted"), &json!(project(1)))
    );
    eprintln!("  told that one is gone after {:?}", began.elapsed());
    for _ in 0..10 {
        times.call(&mut client, "ping", &json!({}));
        times.call(&mut client, "projects/list", &json!({}));
        times.call(
            &mut client,
            "executions/list",
            &json!({ "limit": 1, "sync": true }),
        );
    }
    times.call(
        &mut client,
        "executions/list",
        &json!({ "projectId": last }),
    );
    times.print("ready");
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));

    let began_all = Instant::now();
    loop {
        let began = Instant::now();
        let (mut daemon, mut client) = Daemon::spawn(&mut place.command());
        let list = client.call("executions/list", &json!({ "limit": 1 }));
        assert_eq!(list["total"], count + 2);
        let took = began.elapsed();
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], true);
        assert_eq!(status["projects"], count);
        eprintln!(
            "  started again: {took:?}, {} files read",
            status["filesRead"]
        );
        client.close();
        assert_eq!(daemon.ends().0.code(), Some(0));
        if status["filesRead"] == 0 {
            break;
        }
        assert!(began_all.elapsed() < PATIENCE);
    }
}

/// The records that a daemon opened from its start until its input ended, as the system saw it.
fn opened(place: &Place) -> (usize, u64) {
    let trace = place.root.beside("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&trace);
    let command = place.command();
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let mut child = strace
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("strace is needed (Debian: strace)");
    let mut input = child.stdin.take().unwrap();
    for (method, params) in [
        ("executions/list", json!({})),
        ("executions/stats", json!({})),
        // the text index is whole when it is answered
        (
            "executions/search",
            json!({ "query": "nosuchword", "sync": true }),
        ),
        ("server/status", json!({})),
    ] {
        let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
        std::io::Write::write_all(&mut input, format!("{request}\n").as_bytes()).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "strace must be allowed to trace");
    let answers = String::from_utf8(output.stdout).unwrap();
    let status = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|answer| answer["id"] == "server/status")
        .unwrap();
    let text = fs::read_to_string(trace).unwrap();
    assert!(text.contains("executions"), "nothing was traced");
    let of_text_index = |line: &str| line.contains("meta.json") || line.contains(".managed.json");
    let records = text
        .lines()
        .filter(|line| line.contains(".json\"") && !of_text_index(line));
    (
        records.count(),
        status["result"]["filesRead"].as_u64().unwrap(),
    )
}

#[test]
fn a_start_with_nothing_changed_opens_no_record() {
    let place = Place::new(300);
    fs::write(place.root.file("p", "broken"), "{").unwrap();
    let (first, _) = opened(&place);
    assert!(first >= 301, "the control: {first}");
    let began = Instant::now();
    loop {
        let (records, counted) = opened(&place);
        if records == 0 {
            break;
        }
        // files as young as the first start are read once more
        assert!(counted > 0, "opened {records} and counted none");
        assert!(began.elapsed() < PATIENCE);
    }
    place.root.engine("p", "new", &record("p", "new", "failed"));
    let (records, _) = opened(&place);
    // once more for its words
    assert!((1..=4).contains(&records), "only what is new: {records}");
}
