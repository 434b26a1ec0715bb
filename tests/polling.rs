//! Where the system does not tell what changes, from outside: polling on request, at the limits of
//! inotify and on FUSE. The limits and the file systems are real ones, in namespaces of the tests'
//! own, so the machine must allow user namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Client, Daemon, PATIENCE, Root, cache, record, runlog};

/// What shell commands are run in: a user namespace …
const USER: &[&str] = &["--user", "--map-root-user"];
/// … and one whose mounts and processes end with it.
const MOUNTS: &[&str] = &[
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
];

/// A shell in namespaces of its own; `$0` is the program under test, `$1` and so on are `args`.
fn unshare(namespaces: &[&str], script: &str, args: &[&std::path::Path]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args(["--", "sh", "-euc", script, env!("CARGO_BIN_EXE_runlog")])
        .args(args)
        .env_remove("RUNLOG_PROJECTS")
        .env_remove("RUNLOG_LOG")
        .env("XDG_CACHE_HOME", cache());
    command
}

/// Fails, naming what is `needed`, unless `command` succeeds.
fn succeeds(command: &mut Command, needed: &str) {
    let Output { status, stderr, .. } = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; needed: {needed}"));
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}; needed: {needed}");
}

/// A daemon that may have so many of `limit`, one of user_namespaces(7)'s files; what it logs goes to
/// a file beside the root.
fn limited(root: &Root, limit: &str, most: usize) -> (Daemon, Client) {
    let script = format!("echo {most} > /proc/sys/user/{limit}");
    succeeds(
        &mut unshare(USER, &script, &[]),
        "user namespaces with limits of their own (unshare, Debian: util-linux)",
    );
    let script = format!("{script}; exec \"$0\" serve --projects \"$1\"");
    let log = File::create(root.beside("log")).unwrap();
    Daemon::spawn(unshare(USER, &script, &[&root.path()]).stderr(log))
}

/// Sets the limit from outside, while the daemon runs.
fn set_limit(daemon: &Daemon, limit: &str, most: usize) {
    let script = format!("echo {most} > /proc/sys/user/{limit}");
    succeeds(
        Command::new("nsenter")
            .args(["--preserve-credentials", "--user", "--target"])
            .arg(daemon.pid().to_string())
            .args(["sh", "-euc", &script]),
        "nsenter (Debian: util-linux)",
    );
}

fn watcher(client: &mut Client) -> Value {
    client.call("server/status", &json!({}))["watcher"].clone()
}

/// The watcher's status once every change is told by events.
fn healed(client: &mut Client) -> Value {
    let began = Instant::now();
    loop {
        let watcher = watcher(client);
        if watcher["healthy"] == true {
            return watcher;
        }
        assert!(began.elapsed() < PATIENCE, "{watcher}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn says(watcher: &Value, what: &str) {
    let message = watcher["message"].as_str().unwrap();
    assert!(message.contains(what), "{message}");
}

/// However often it was tried again.
fn is_logged_once(root: &Root, what: &str) {
    let log = fs::read_to_string(root.beside("log")).unwrap();
    assert_eq!(log.matches(what).count(), 1, "{log}");
}

/// How often what is polled is, as `server/status` says it.
fn says_how_often(watcher: &Value) {
    let millis = |name: &str| watcher[name].as_u64().unwrap();
    let (every, took) = (millis("pollEveryMs"), millis("pollTookMs"));
    assert!(every >= 2000 && every >= 10 * took, "{watcher}");
    assert_eq!(millis("noticedWithinMs"), every + took);
}

fn subscribe(client: &mut Client) {
    let list = client.call("executions/list", &json!({}));
    client.call("executions/subscribe", &json!({ "since": list["clock"] }));
    assert_eq!(client.change()["kind"], "current");
}

/// Ten projects with a run each.
fn ten() -> (Root, Vec<String>) {
    let root = Root::empty();
    let names: Vec<String> = (0..10).map(|number| format!("p{number}")).collect();
    for name in &names {
        root.engine(name, "first", &record(name, "first", "completed"));
    }
    (root, names)
}

/// The engine saves a run in each project, and the client is told of each once.
fn all_are_told(root: &Root, names: &[String], client: &mut Client, id: &str) {
    for name in names {
        root.engine(name, id, &record(name, id, "failed"));
    }
    let told: BTreeSet<String> = names
        .iter()
        .map(|_| {
            let change = client.change();
            assert_eq!(change["summary"]["id"], id, "{change}");
            change["summary"]["projectId"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(told, names.iter().cloned().collect());
}

#[test]
fn polling_finds_every_change_without_events() {
    let root = Root::empty();
    for number in 0..5 {
        let id = format!("run-{number}");
        root.engine("p", &id, &record("p", &id, "completed"));
    }
    let (_daemon, mut client) = Daemon::spawn(
        runlog()
            .args(["serve", "--watch", "poll", "--projects"])
            .arg(root.path()),
    );
    subscribe(&mut client);
    let before = watcher(&mut client);
    assert_eq!(before["backend"], "poll");
    assert_eq!(before["healthy"], false);
    assert_eq!(before["unwatched"], 1);
    assert_eq!(before["compareEveryMs"], before["pollEveryMs"]);
    says_how_often(&before);
    root.engine("q", "new", &record("q", "new", "failed"));
    assert_eq!(client.change()["summary"]["id"], "new");
    fs::remove_file(root.file("p", "run-1")).unwrap();
    assert_eq!(client.change()["executionId"], "run-1");
    // and at once where it is asked for
    root.engine("q", "asked", &record("q", "asked", "failed"));
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 6);
    assert_eq!(client.change()["summary"]["id"], "asked");
    let after = watcher(&mut client);
    assert_eq!(after["unwatched"], 2);
    assert!(after["compares"].as_u64() > before["compares"].as_u64());
}

#[test]
fn at_the_limit_of_watches_only_what_is_left_out_is_polled_until_it_is_raised() {
    let (root, names) = ten();
    // the root and the folder above it, then two for a project
    let (daemon, mut client) = limited(&root, "max_inotify_watches", 2 + 5 * 2);
    subscribe(&mut client);
    let before = watcher(&mut client);
    assert_eq!(before["backend"], "inotify");
    assert_eq!(before["healthy"], false);
    assert_eq!(before["folders"], 12);
    assert_eq!(before["unwatched"], 5);
    says_how_often(&before);
    says(&before, "max_user_watches");
    // whatever is done in whichever project is told
    all_are_told(&root, &names, &mut client, "second");
    for name in &names {
        fs::remove_file(root.file(name, "second")).unwrap();
    }
    let told: BTreeSet<String> = names
        .iter()
        .map(|_| client.change()["projectId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, names.iter().cloned().collect());
    // a project that comes now finds no room either
    root.engine("late", "first", &record("late", "first", "completed"));
    assert_eq!(client.change()["summary"]["projectId"], "late");
    root.engine("late", "second", &record("late", "second", "completed"));
    assert_eq!(client.change()["summary"]["id"], "second");
    assert_eq!(watcher(&mut client)["unwatched"], 6);
    // at once where it is asked for: more often than it is polled
    for round in 0..5 {
        for name in &names {
            let id = format!("asked-{round}");
            root.engine(name, &id, &record(name, &id, "completed"));
            let params = json!({ "projectId": name, "sync": true });
            let list = client.call("executions/list", &params);
            assert_eq!(list["total"], 2 + round, "{name}");
            assert_eq!(client.change()["summary"]["id"], id);
        }
    }
    // more room
    set_limit(&daemon, "max_inotify_watches", 1000);
    let after = healed(&mut client);
    assert_eq!(after["unwatched"], 0);
    assert_eq!(after["folders"], 2 + 11 * 2);
    for name in ["message", "pollEveryMs", "pollTookMs", "noticedWithinMs"] {
        assert_eq!(after[name], Value::Null, "{name}");
    }
    all_are_told(&root, &names, &mut client, "third");
    // nothing of this took a look at everything
    assert_eq!(watcher(&mut client)["compares"], 0);
    is_logged_once(&root, "max_user_watches");
}

#[test]
fn without_a_watcher_everything_is_polled_until_there_may_be_one() {
    let (root, names) = ten();
    let (daemon, mut client) = limited(&root, "max_inotify_instances", 0);
    subscribe(&mut client);
    let before = watcher(&mut client);
    assert_eq!(before["backend"], "poll");
    assert_eq!(before["healthy"], false);
    assert_eq!(before["unwatched"], 10);
    says_how_often(&before);
    says(&before, "max_user_instances");
    all_are_told(&root, &names, &mut client, "second");
    all_are_told(&root, &names, &mut client, "third");
    set_limit(&daemon, "max_inotify_instances", 100);
    let after = healed(&mut client);
    assert_eq!(after["backend"], "inotify");
    assert_eq!(after["unwatched"], 0);
    assert_eq!(after["message"], Value::Null);
    // the look at everything that set the watches is the last one
    client.call("executions/list", &json!({ "limit": 1, "sync": true }));
    let compares = watcher(&mut client)["compares"].clone();
    all_are_told(&root, &names, &mut client, "fourth");
    assert_eq!(watcher(&mut client)["compares"], compares);
    is_logged_once(&root, "max_user_instances");
}

/// A daemon whose `mount`, in the tests' own folder, shows through FUSE what is in `behind`.
fn on_fuse(root: &Root, behind: &str, mount: &str) -> (Daemon, Client) {
    let (behind, mount) = (root.beside(behind), root.beside(mount));
    fs::create_dir_all(&behind).unwrap();
    fs::create_dir_all(&mount).unwrap();
    let mut script = "bindfs \"$1\" \"$2\"".to_owned();
    let args = [&*behind, &*mount, &*root.beside("projects")];
    succeeds(
        &mut unshare(MOUNTS, &script, &args),
        "FUSE in a user namespace (/dev/fuse; unshare, Debian: util-linux; bindfs, Debian: bindfs)",
    );
    // not in its place: whoever is the first process in a namespace has no parent
    script += "; \"$0\" serve --projects \"$3\"";
    Daemon::spawn(&mut unshare(MOUNTS, &script, &args))
}

/// Saves a run as the engine does, in a folder that is not the root.
fn behind(root: &Root, folder: &str, project: &str, id: &str) {
    let text = record(project, id, "completed").to_string();
    runlog::api::samples::save_as_engine(&root.beside(folder), project, id, &text).unwrap();
}

#[test]
fn a_root_on_fuse_is_polled() {
    let root = Root::empty();
    behind(&root, "behind", "p", "first");
    let (_daemon, mut client) = on_fuse(&root, "behind", "projects");
    subscribe(&mut client);
    let before = watcher(&mut client);
    assert_eq!(before["healthy"], false);
    assert_eq!(before["unwatched"], 1);
    assert_eq!(before["compareEveryMs"], before["pollEveryMs"]);
    says_how_often(&before);
    says(&before, "FUSE");
    // nobody tells the daemon's kernel of what happens behind FUSE's back
    behind(&root, "behind", "p", "second");
    assert_eq!(client.change()["summary"]["id"], "second");
    behind(&root, "behind", "q", "third");
    assert_eq!(client.change()["summary"]["id"], "third");
    fs::remove_file(root.beside("behind/p/executions/first.json")).unwrap();
    assert_eq!(client.change()["executionId"], "first");
}

#[test]
fn a_project_on_fuse_is_polled_and_the_others_are_not() {
    let root = Root::empty();
    behind(&root, "projects", "here", "first");
    behind(&root, "behind", "there", "first");
    let (_daemon, mut client) = on_fuse(&root, "behind/there", "projects/there");
    subscribe(&mut client);
    let before = watcher(&mut client);
    assert_eq!(before["healthy"], false);
    assert_eq!(before["unwatched"], 1);
    assert_eq!(before["compareEveryMs"], 300_000);
    says_how_often(&before);
    says(&before, "FUSE");
    for id in ["second", "third"] {
        behind(&root, "behind", "there", id);
        let change = client.change();
        assert_eq!(change["summary"]["projectId"], "there");
        assert_eq!(change["summary"]["id"], id);
        behind(&root, "projects", "here", id);
        let change = client.change();
        assert_eq!(change["summary"]["projectId"], "here");
        assert_eq!(change["summary"]["id"], id);
    }
    assert_eq!(watcher(&mut client)["compares"], 0);
}
