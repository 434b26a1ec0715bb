//! Whatever is done to the files by other programs: list, statistics and subscribers agree with
//! them, without a restart (issue: watching; house rule: events are hints, files are truth).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Client, Daemon, Root, record};

/// A daemon, a client that asks and one that follows.
struct Watched {
    root: Root,
    _daemon: Daemon,
    client: Client,
    follower: Client,
    held: BTreeMap<String, Value>,
}

fn name(project: &Value, id: &Value) -> String {
    format!("{}/{}", project.as_str().unwrap(), id.as_str().unwrap())
}

impl Watched {
    fn start(root: Root) -> Self {
        let daemon = Daemon::socket(&root);
        let mut client = daemon.connect();
        let mut follower = daemon.connect();
        let list = client.call("executions/list", &json!({ "limit": 1000, "sync": true }));
        let runs = list["executions"].as_array().unwrap().iter();
        let held = runs.map(|run| (name(&run["projectId"], &run["id"]), run["version"].clone()));
        let held = held.collect();
        follower.call("executions/subscribe", &json!({ "since": list["clock"] }));
        assert_eq!(follower.change()["kind"], "current");
        Self {
            root,
            _daemon: daemon,
            client,
            follower,
            held,
        }
    }

    /// Compares everything that is told with what is on disk.
    fn agrees(&mut self, after: &str) {
        let mut files = BTreeMap::new();
        for project in fs::read_dir(self.root.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            for file in fs::read_dir(project.path().join("executions"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let id = file.file_name().into_string().unwrap();
                if let Some(id) = id.strip_suffix(".json") {
                    let project = project.file_name().into_string().unwrap();
                    files.insert(format!("{project}/{id}"), fs::read(file.path()).unwrap());
                }
            }
        }
        let list = self
            .client
            .call("executions/list", &json!({ "limit": 1000, "sync": true }));
        let listed: BTreeMap<String, Value> = list["executions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| (name(&run["projectId"], &run["id"]), run["version"].clone()))
            .collect();
        let expected: BTreeMap<String, Value> = files
            .iter()
            .map(|(name, bytes)| {
                (
                    name.clone(),
                    runlog::store::version_of(bytes).to_string().into(),
                )
            })
            .collect();
        assert_eq!(listed, expected, "after {after}");
        let stats = self.client.call("executions/stats", &json!({}));
        assert_eq!(stats["totalExecutions"], files.len(), "after {after}");
        assert_eq!(
            stats["totalCostUSD"].as_f64().unwrap(),
            files.len() as f64 / 1000.0
        );
        while self.held != listed {
            let change = self.follower.change();
            match change["kind"].as_str().unwrap() {
                "saved" => {
                    let run = &change["summary"];
                    self.held
                        .insert(name(&run["projectId"], &run["id"]), run["version"].clone());
                }
                "deleted" => {
                    self.held
                        .remove(&name(&change["projectId"], &change["executionId"]));
                }
                other => panic!("{other} after {after}"),
            }
        }
    }

    fn save(&self, project: &str, id: &str, status: &str) {
        self.root.engine(project, id, &record(project, id, status));
    }
}

#[test]
fn one_file_at_a_time() {
    let mut it = Watched::start(Root::empty());
    it.save("p", "a", "running");
    it.agrees("the engine's first rename");
    it.save("p", "a", "completed");
    it.agrees("the engine's second rename");
    let file = it.root.file("p", "a");
    fs::write(&file, record("p", "a", "failed").to_string()).unwrap();
    it.agrees("a plain write in place");
    fs::rename(&file, file.with_extension("json~")).unwrap();
    fs::write(&file, record("p", "a", "paused").to_string()).unwrap();
    it.agrees("an editor's backup and write");
    fs::remove_file(&file).unwrap();
    it.agrees("rm");
}

#[test]
fn whole_folders() {
    let mut it = Watched::start(Root::samples());
    it.client
        .call("executions/deleteAll", &json!({ "projectId": "website" }));
    it.client
        .call("executions/deleteAll", &json!({ "projectId": "docs" }));
    it.agrees("deleteAll");
    for number in 0..50 {
        it.save("new", &format!("run-{number}"), "completed");
    }
    it.agrees("a project folder created and filled at once");
    let root = it.root.path();
    fs::rename(root.join("new"), root.join("old")).unwrap();
    it.agrees("a project renamed");
    it.save("new", "run-1", "failed");
    it.save("old", "run-1", "failed");
    it.agrees("saves into both names");
    let aside = it.root.beside("aside");
    fs::rename(root.join("old"), &aside).unwrap();
    it.agrees("a project taken away");
    fs::rename(&aside, root.join("old")).unwrap();
    it.agrees("a project restored");
    fs::remove_dir_all(root.join("old")).unwrap();
    it.agrees("rm -r of a project");
    fs::remove_dir_all(&root).unwrap();
    it.agrees("the root removed");
    it.save("again", "run-1", "completed");
    it.agrees("the root made again");
    it.save("again", "run-2", "completed");
    it.agrees("another save there");
}

#[test]
fn other_programs() {
    let mut it = Watched::start(Root::empty());
    let root = it.root.path();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program)
            .args(arguments)
            .current_dir(&root)
            .output();
        let done = done.unwrap_or_else(|_| panic!("{program} is needed"));
        assert!(
            done.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        run("git", &[&identity[..], arguments].concat());
    };
    git(&["init", "-q", "-b", "main"]);
    for number in 0..300 {
        it.save("p", &format!("run-{number}"), "completed");
    }
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    it.agrees("git commit");
    git(&["checkout", "-qb", "other"]);
    for number in 100..400 {
        it.save("p", &format!("run-{number}"), "failed");
    }
    fs::remove_dir_all(root.join("p/executions")).unwrap();
    for number in 350..400 {
        it.save("q", &format!("run-{number}"), "failed");
    }
    git(&["add", "-A"]);
    git(&["commit", "-qm", "two"]);
    it.agrees("a commit that moves everything");
    git(&["checkout", "-q", "main"]);
    it.agrees("git checkout of hundreds of files");
    git(&["checkout", "-q", "other"]);
    it.agrees("git checkout back");

    let copy = it.root.beside("copy");
    fs::create_dir_all(copy.join("r/executions")).unwrap();
    for number in 0..40 {
        let id = format!("run-{number}");
        let text = record("r", &id, "completed").to_string();
        fs::write(copy.join(format!("r/executions/{id}.json")), text).unwrap();
    }
    let (from, to) = (
        format!("{}/", copy.display()),
        format!("{}/", root.display()),
    );
    run("rsync", &["-a", "--exclude=.git", "--delete", &from, &to]);
    it.agrees("rsync -a --delete");
}

/// The system has one event for a file of which all times are set, as `touch` does, and another
/// where only the time of its last change is, as a program may do.
#[test]
fn a_heartbeat_is_seen_whichever_times_are_set() {
    let root = Root::empty();
    root.engine("p", "live", &record("p", "live", "running"));
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let file = fs::File::open(root.file("p", "live")).unwrap();
    let time = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    let both = FileTimes::new().set_accessed(time(0)).set_modified(time(0));
    let one = FileTimes::new().set_modified(time(3600));
    for (times, shown) in [
        (both, "2023-11-14T22:13:20.000Z"),
        (one, "2023-11-14T23:13:20.000Z"),
    ] {
        client.call("executions/list", &json!({ "sync": true }));
        file.set_times(times).unwrap();
        let list = client.call("executions/list", &json!({ "sync": true }));
        assert_eq!(list["executions"][0]["updatedAt"], shown);
    }
}

/// A program that keeps its file open has written all the same.
#[test]
fn what_is_written_in_place_is_seen_before_the_file_is_closed() {
    let root = Root::empty();
    root.engine("p", "live", &record("p", "live", "running"));
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &json!({ "sync": true }));
    let text = fs::read_to_string(root.file("p", "live")).unwrap();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(root.file("p", "live"))
        .unwrap();
    std::io::Write::write_all(&mut file, text.replace("running", "stopped").as_bytes()).unwrap();
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["executions"][0]["status"], "stopped");
    drop(file);
}

/// Nobody reads the trash before somebody asks for it, but whether it is one is told at once.
#[test]
fn what_stands_in_the_place_of_the_trash_is_told_for_as_long_as_it_does() {
    let root = Root::empty();
    root.engine("p", "x", &record("p", "x", "completed"));
    let trash = root.path().join("p/.runlog/trash");
    fs::create_dir(trash.parent().unwrap()).unwrap();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let mut told = || {
        let result = client.call("server/problems", &json!({ "sync": true }));
        let problems = result["problems"].as_array().unwrap().clone();
        let told = problems
            .into_iter()
            .map(|one| (one["path"].clone(), one["kind"].clone()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(), []);
    std::os::unix::fs::symlink("/etc", &trash).unwrap();
    assert_eq!(told(), [(json!("p/.runlog/trash"), json!("not-regular"))]);
    fs::remove_file(&trash).unwrap();
    fs::create_dir(&trash).unwrap();
    assert_eq!(told(), []);
    fs::remove_dir(&trash).unwrap();
    fs::write(&trash, "").unwrap();
    assert_eq!(told().len(), 1);
}

#[test]
fn what_is_written_while_the_root_is_closed_is_seen_when_it_is_open() {
    let root = Root::empty();
    root.engine("p", "x", &record("p", "x", "running"));
    // for somebody to whom a folder can be closed
    let binary = root.beside("runlog");
    fs::copy(env!("CARGO_BIN_EXE_runlog"), &binary).unwrap();
    let mut command = Command::new(&binary);
    command
        .args(["serve", "--projects"])
        .arg(root.path())
        .env("XDG_CACHE_HOME", root.beside("cache"));
    if rustix::process::geteuid().is_root() {
        let all = root.beside("");
        let given = Command::new("chown")
            .args(["-R", "65534"])
            .arg(all)
            .status();
        assert!(given.unwrap().success());
        command.uid(65534);
    }
    let (_daemon, mut client) = Daemon::spawn(&mut command);
    let mut label = || {
        let list = client.call("executions/list", &json!({ "sync": true }));
        list["executions"][0]["label"].clone()
    };
    label();
    let folder = File::open(root.path().join("p/executions")).unwrap();
    let within = format!("/proc/self/fd/{}/x.json", folder.as_raw_fd());
    let mode = |mode| fs::set_permissions(root.path(), Permissions::from_mode(mode)).unwrap();
    for number in 0..300 {
        let mut saved = record("p", "x", "completed");
        saved["name"] = json!(format!("number {number}"));
        fs::write(&within, saved.to_string()).unwrap();
        mode(0o000);
        // closed while the file is looked at, but not while the root is, or neither, or both
        let opens = Instant::now() + Duration::from_micros(number % 20 * 50);
        while Instant::now() < opens {
            std::hint::spin_loop();
        }
        mode(0o755);
        assert_eq!(label(), saved["name"]);
    }
}
