//! What is kept between two starts, from outside: nothing is read twice, clocks go on, and a cache
//! that is lost, damaged, foreign or not ours costs time and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::place::Place;
use support::{Client, Daemon, PATIENCE, record};

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
fn what_is_changed_first_thing_after_a_start_is_in_every_answer() {
    let place = Place::new(2000);
    place.said();
    for round in 0..40 {
        let (daemon, mut client) = Daemon::spawn(&mut place.command());
        let id = format!("first-{round}");
        let execution = record("p", &id, "failed");
        let save = json!({ "projectId": "p", "execution": execution });
        let note = json!({ "projectId": "p", "executionId": id, "pinned": true });
        let asked = [
            client.request("executions/save", &save),
            client.request("executions/annotate", &note),
            client.request("executions/list", &json!({ "limit": 1 })),
        ];
        let [saved, noted, list] = asked.map(|id| client.answer(id)["result"].clone());
        assert_eq!(saved["created"], true, "{saved}");
        assert_eq!(noted["summary"]["pinned"], true, "{noted}");
        assert_eq!(list["total"], 2001 + round, "{list}");
        drop(client);
        place.end(daemon);
    }
}

#[test]
fn what_is_wrong_with_files_is_known_after_every_start() {
    let place = Place::new(5);
    let file = |id: &str| place.root.file("p", id);
    fs::create_dir(file("folder")).unwrap();
    symlink("/etc/passwd", file("link")).unwrap();
    fs::write(file("cut"), "{").unwrap();
    fs::write(file("two\nlines"), "{}").unwrap();
    let no_utf8 = file("x").with_file_name(OsStr::from_bytes(b"a\xff.json"));
    fs::write(no_utf8, "{}").unwrap();
    let problems = |client: &mut Client| {
        let result = client.call("server/problems", &json!({ "sync": true }));
        result["problems"].as_array().unwrap().clone()
    };
    let began = Instant::now();
    let mut first = None;
    loop {
        let (daemon, mut client) = place.start();
        let found = problems(&mut client);
        assert_eq!(*first.get_or_insert(found.clone()), found);
        let status = client.call("server/status", &json!({}));
        drop(client);
        place.end(daemon);
        if status["restored"] == true && status["filesRead"] == 0 {
            break;
        }
        // files as young as the first start are read once more
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(first.unwrap().len(), 5);
    // while no daemon ran
    fs::remove_dir(file("folder")).unwrap();
    fs::remove_file(file("link")).unwrap();
    fs::write(file("link"), record("p", "link", "failed").to_string()).unwrap();
    let (_daemon, mut client) = place.start();
    assert_eq!(problems(&mut client).len(), 3);
    assert_eq!(client.call("executions/list", &json!({}))["total"], 6);
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
    // what is no file may never be read to its end
    fs::remove_file(place.file()).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(place.file())
        .status();
    assert!(made.unwrap().success());
    let said = place.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the snapshot is dropped"), "{said}");
    assert_eq!(place.said(), "");
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

/// A small generator of random numbers (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// What a client holds: a clock, and the version of each run at it.
struct Holding {
    clock: Value,
    runs: BTreeMap<String, String>,
}

impl Holding {
    fn of(client: &mut Client) -> Self {
        let list = client.call("executions/list", &json!({ "sync": true, "limit": 1000 }));
        assert_eq!(list["nextCursor"], Value::Null);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let runs = list["executions"].as_array().unwrap();
        Self {
            clock: list["clock"].clone(),
            runs: runs
                .iter()
                .map(|run| (text(&run["id"]), text(&run["version"])))
                .collect(),
        }
    }

    /// Goes on at another daemon, as the protocol says.
    fn rejoin(&mut self, client: &mut Client) {
        loop {
            let page = client.call("executions/changes", &json!({ "since": self.clock }));
            if page["resync"] == true {
                *self = Self::of(client);
                return;
            }
            for change in page["changes"].as_array().unwrap() {
                let summary = &change["summary"];
                match change["kind"].as_str().unwrap() {
                    "saved" => self.runs.insert(
                        summary["id"].as_str().unwrap().to_owned(),
                        summary["version"].as_str().unwrap().to_owned(),
                    ),
                    "deleted" => self.runs.remove(change["executionId"].as_str().unwrap()),
                    other => panic!("{other}"),
                };
            }
            self.clock = page["clock"].clone();
            if page["more"] == false {
                return;
            }
        }
    }
}

/// The version of each run, as the files tell.
fn stored(place: &Place) -> BTreeMap<String, String> {
    let folder = place.root.path().join("p/executions");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let id = name.strip_suffix(".json")?.to_owned();
            let bytes = fs::read(entry.path()).unwrap();
            Some((id, runlog::store::version_of(&bytes).to_string()))
        })
        .collect()
}

/// Three daemons work on one root and end in any order, killed or not, with saves in flight;
/// another one goes on from what they left, and so do their clients. `RUNLOG_SEQUENCES` for more.
#[test]
fn several_daemons_on_one_root_do_not_fight() {
    let place = Place::new(30);
    assert_eq!(place.said(), "");
    let seeds = std::env::var("RUNLOG_SEQUENCES").map_or(8, |text| text.parse().unwrap());
    for seed in 1..=seeds {
        let mut random = Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15) | 1);
        let mut alive: Vec<_> = (0..3)
            .map(|_| {
                let (daemon, mut client) = place.start();
                client.careless();
                let holding = Holding::of(&mut client);
                (daemon, client, holding)
            })
            .collect();
        let mut ended = Vec::new();
        let mut ending = Vec::new();
        while !alive.is_empty() {
            for _ in 0..random.below(12) {
                let which = random.below(alive.len());
                let (_, client, holding) = &mut alive[which];
                let id = format!("run-{}", random.below(40));
                if random.one_in(4) {
                    let key = json!({ "projectId": "p", "executionId": id });
                    client.call("executions/delete", &key);
                } else {
                    let status = ["completed", "failed", "paused"][random.below(3)];
                    let save = json!({ "projectId": "p", "execution": record("p", &id, status) });
                    client.call("executions/save", &save);
                }
                if random.one_in(4) {
                    *holding = Holding::of(client);
                }
            }
            let which = random.below(alive.len());
            let (mut daemon, mut client, holding) = alive.swap_remove(which);
            // not answered, perhaps not done
            let id = format!("last-{which}");
            let save = json!({ "projectId": "p", "execution": record("p", &id, "failed") });
            client.request("executions/save", &save);
            daemon.signal(match random.one_in(2) {
                true => Signal::TERM,
                false => Signal::KILL,
            });
            // sometimes the next one ends while this one does
            match random.one_in(2) {
                true => drop(daemon.ends()),
                false => ending.push(daemon),
            }
            ended.push(holding);
        }
        for mut daemon in ending {
            daemon.ends();
        }
        let (daemon, mut client) = place.start();
        let status = client.call("server/status", &json!({}));
        assert_eq!(status["restored"], true);
        let want = stored(&place);
        assert_eq!(Holding::of(&mut client).runs, want, "seed {seed}");
        for holding in &mut ended {
            holding.rejoin(&mut client);
            assert_eq!(holding.runs, want, "seed {seed}");
        }
        drop(client);
        place.end(daemon);
    }
    // what was killed while it wrote leaves its part, to be swept when it is old
    for entry in fs::read_dir(place.file().parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = ["index", "siblings", "search", "search.lock", "search.sound"];
        let known = known.contains(&name.as_str());
        assert!(known || name.starts_with(".index-"), "{name}");
    }
}
