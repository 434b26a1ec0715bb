//! What is kept between two starts, from outside: nothing is read twice, clocks go on, and a cache
//! that is lost, damaged, foreign or not ours costs time and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Client, Daemon, PATIENCE, Root, record, runlog};

struct Place {
    root: Root,
}

impl Place {
    fn new(runs: usize) -> Self {
        let root = Root::empty();
        for number in 0..runs {
            let id = format!("run-{number}");
            root.engine("p", &id, &record("p", &id, "completed"));
        }
        Self { root }
    }

    fn cache(&self) -> PathBuf {
        self.root.beside("cache")
    }

    /// The file that the index is kept in.
    fn file(&self) -> PathBuf {
        let hash = runlog::store::root_hash(&self.root.path());
        self.cache().join("runlog").join(hash).join("index")
    }

    fn start(&self) -> (Daemon, Client) {
        let (daemon, mut client) = Daemon::spawn(
            runlog()
                .args(["serve", "--projects"])
                .arg(self.root.path())
                .env("XDG_CACHE_HOME", self.cache()),
        );
        client.call("executions/list", &json!({ "sync": true }));
        (daemon, client)
    }

    fn end(&self, mut daemon: Daemon) {
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ends().0.code(), Some(0));
    }

    /// What a daemon says on stderr until its input ends.
    fn said(&self) -> String {
        let mut child = runlog()
            .args(["serve", "--projects"])
            .arg(self.root.path())
            .env("XDG_CACHE_HOME", self.cache())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(
            input,
            r#"{{"jsonrpc":"2.0","id":1,"method":"executions/stats"}}"#
        )
        .unwrap();
        drop(input);
        let mut answer = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut answer)
            .unwrap();
        assert!(answer.contains("\"totalExecutions\":"), "{answer}");
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_second_start_reads_nothing_and_goes_on_from_the_clocks_of_the_first() {
    let place = Place::new(50);
    let began = Instant::now();
    let mut clock = Value::Null;
    loop {
        let (daemon, mut client) = place.start();
        let status = client.call("server/status", &json!({}));
        let list = client.call("executions/list", &json!({ "limit": 1 }));
        assert_eq!(list["total"], 50);
        if status["restored"] == true {
            let changes = client.call("executions/changes", &json!({ "since": clock }));
            assert_eq!(changes["resync"], false);
            assert_eq!(changes["changes"], json!([]));
            assert_ne!(changes["clock"], clock);
        }
        clock = list["clock"].clone();
        drop(client);
        place.end(daemon);
        if status["restored"] == true && status["filesRead"] == 0 {
            break;
        }
        // files as young as the first start are read once more
        assert!(began.elapsed() < PATIENCE);
    }
    // while no daemon ran
    fs::remove_file(place.root.file("p", "run-7")).unwrap();
    place.root.engine("p", "new", &record("p", "new", "failed"));
    let (daemon, mut client) = place.start();
    let changes = client.call("executions/changes", &json!({ "since": clock }));
    let mut kinds: Vec<(String, String)> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let run = change["summary"]["id"]
                .as_str()
                .or(change["executionId"].as_str());
            (
                change["kind"].as_str().unwrap().to_owned(),
                run.unwrap().to_owned(),
            )
        })
        .collect();
    kinds.sort();
    let expected = [("deleted", "run-7"), ("saved", "new")];
    assert_eq!(
        kinds,
        expected.map(|(kind, run)| (kind.to_owned(), run.to_owned()))
    );
    drop(client);
    drop(daemon);
}

#[test]
fn after_a_kill_a_clock_is_honoured_or_refused_and_never_wrong() {
    let place = Place::new(20);
    let (daemon, client) = place.start();
    drop(client);
    place.end(daemon);
    let (mut daemon, mut client) = place.start();
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    place
        .root
        .engine("p", "later", &record("p", "later", "completed"));
    let later = client.call("executions/list", &json!({ "sync": true }))["clock"].clone();
    daemon.signal(Signal::KILL);
    daemon.ends();
    drop(client);
    let (_daemon, mut client) = place.start();
    // who has not seen the last run is told of it
    for (since, seen) in [(clock, false), (later, true)] {
        let page = client.call("executions/changes", &json!({ "since": since }));
        let told = page["changes"].as_array().unwrap();
        let tells = told.iter().any(|change| change["summary"]["id"] == "later");
        assert!(page["resync"] == true || tells || seen, "{page}");
    }
    assert_eq!(client.call("executions/list", &json!({}))["total"], 21);
}

#[test]
fn a_cache_that_is_damaged_or_gone_costs_one_line_and_a_reading() {
    let place = Place::new(5);
    assert_eq!(place.said(), "");
    let whole = fs::read(place.file()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut newer = whole.clone();
    newer[13 + 8] ^= 0xff; // the format, behind the block's head and the magic word
    for bytes in [
        &flipped[..],
        &whole[..whole.len() - 1],
        &newer,
        b"",
        b"junk",
    ] {
        fs::write(place.file(), bytes).unwrap();
        let said = place.said();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("the snapshot is dropped"), "{said}");
        // and is whole again
        assert_eq!(place.said(), "");
    }
    fs::remove_dir_all(place.cache()).unwrap();
    assert_eq!(place.said(), "");
    // another root's
    let other = Place::new(1);
    other.said();
    fs::copy(place.file(), other.file()).unwrap();
    assert!(other.said().contains("of another root"));
}

#[test]
fn a_cache_that_cannot_be_used_is_told_once_and_not_used() {
    let place = Place::new(5);
    place.said();
    let ours = place.cache().join("runlog");
    // others may write to it
    fs::set_permissions(&ours, Permissions::from_mode(0o777)).unwrap();
    let said = place.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("not private"), "{said}");
    // a file in its place
    fs::remove_dir_all(place.cache()).unwrap();
    fs::write(place.cache(), "").unwrap();
    let said = place.said();
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn two_daemons_on_one_root_do_not_fight() {
    let place = Place::new(30);
    let (one, mut first) = place.start();
    let (other, mut second) = place.start();
    for number in 0..20 {
        let id = format!("more-{number}");
        let params = json!({ "projectId": "p", "execution": record("p", &id, "completed") });
        let client = if number % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        client.call("executions/save", &params);
    }
    for client in [&mut first, &mut second] {
        assert_eq!(
            client.call("executions/list", &json!({ "sync": true }))["total"],
            50
        );
    }
    drop((first, second));
    place.end(one);
    place.end(other);
    let (_daemon, mut client) = place.start();
    let status = client.call("server/status", &json!({}));
    assert_eq!(status["restored"], true);
    assert_eq!(client.call("executions/list", &json!({}))["total"], 50);
}
