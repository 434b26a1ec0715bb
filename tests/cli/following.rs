//! `tail` and `watch`: what goes on while they wait.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::stage::{Done, Stage, terminal};
use crate::support::{PATIENCE, Root, record};

/// A command that goes on, and the lines that it prints.
struct Going {
    child: Child,
    lines: Receiver<String>,
}

impl Going {
    fn start(stage: &Stage, args: &[&str]) -> Self {
        let mut child = stage
            .runlog(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    fn ends(mut self) -> Done {
        let status = self.child.wait().unwrap();
        let mut err = String::new();
        let mut told = self.child.stderr.take().unwrap();
        told.read_to_string(&mut err).unwrap();
        Done {
            status: status.code().unwrap_or(-1),
            out: self.lines.iter().map(|line| line + "\n").collect(),
            err,
        }
    }
}

/// It waits for what may never come, and says so.
#[test]
fn a_status_that_no_run_has_is_told_of_though_one_may_come() {
    let stage = Stage::samples();
    let mut going = Going::start(&stage, &["tail", "-s", "Faild"]);
    let mut told = BufReader::new(going.child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let says = "runlog: `Faild` is none of the known statuses; did you mean `failed`?\n";
    assert_eq!(line, says);
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Saves runs until one is told: from then on everything is.
fn begun(stage: &Stage, tail: &Going) {
    let began = std::time::Instant::now();
    for number in 0.. {
        let id = format!("first-{number}");
        stage.root.engine("p", &id, &record("p", &id, "completed"));
        let wait = std::time::Duration::from_millis(50);
        if let Ok(line) = tail.lines.recv_timeout(wait) {
            assert!(line.contains("first-"), "{line}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is told");
    }
    // whatever else was told of them
    stage
        .root
        .engine("p", "begun", &record("p", "begun", "completed"));
    while !tail.line().contains("begun") {}
}

/// That a run goes on is no change of it, whether it was there at the beginning or not.
#[test]
fn tail_tells_no_heartbeat() {
    let stage = Stage::over(Root::empty());
    let run = record("p", "old", "running");
    stage.root.engine("p", "old", &run);
    let early = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let touch = |at| {
        let file = stage.root.file("p", "old");
        let file = std::fs::File::options().append(true).open(file).unwrap();
        file.set_modified(at).unwrap();
    };
    touch(early);
    let mut serve = stage.runlog(&["serve", "--socket", "--stale-after", "10s"]);
    let _daemon = Stage::served(&mut serve);
    let tail = Going::start(&stage, &["tail"]);
    begun(&stage, &tail);
    touch(std::time::SystemTime::now());
    stage.root.engine("p", "new", &record("p", "new", "failed"));
    assert!(tail.line().starts_with("saved\tp\tnew\tfailed"));
    let run = record("p", "old", "completed");
    stage.root.engine("p", "old", &run);
    assert!(tail.line().starts_with("saved\tp\told\tcompleted"));
}

#[test]
fn tail_tells_changes_with_filters_for_people_and_for_programs() {
    for served in [true, false] {
        let stage = Stage::over(Root::empty());
        stage.root.engine("p", "old", &record("p", "old", "failed"));
        let _daemon = served.then(|| stage.daemon());
        let all = Going::start(&stage, &["tail", "-L", "5"]);
        assert_eq!(
            all.line(),
            "saved\tp\told\tfailed\t2025-10-15T05:02:46.569Z\t\t0.001\tdo it"
        );
        begun(&stage, &all);
        let some = Going::start(
            &stage,
            &["tail", "-s", "failed", "-L", "1", "--json=kind,summary"],
        );
        let first: Value = serde_json::from_str(&some.line()).unwrap();
        assert_eq!(first["summary"]["id"], "old");
        // its subscription came before that line
        let good = record("p", "good", "completed");
        stage.root.engine("p", "good", &good);
        assert!(all.line().starts_with("saved\tp\tgood\tcompleted"));
        stage.root.engine("p", "bad", &record("p", "bad", "failed"));
        assert!(all.line().starts_with("saved\tp\tbad\tfailed"));
        std::fs::remove_file(stage.root.file("p", "good")).unwrap();
        assert_eq!(all.line(), "deleted\tp\tgood\t\t\t\t\t");
        let change: Value = serde_json::from_str(&some.line()).unwrap();
        let (kind, id) = (&change["kind"], &change["summary"]["id"]);
        assert_eq!((kind, id), (&json!("saved"), &json!("bad")));
        assert_eq!(change.as_object().unwrap().len(), 2);
        stage
            .root
            .engine("p", "bad", &record("p", "bad", "completed"));
        let change: Value = serde_json::from_str(&some.line()).unwrap();
        assert_eq!(change["kind"], "left");
        // a signal ends it as any program; an interrupt may be ignored by all that a script starts
        let pid = Pid::from_child(&some.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(some.ends().status, -1);
    }
}

/// Whoever has only what was printed knows what is there, however often the daemon is killed.
#[test]
fn tail_survives_the_death_of_its_daemon_without_a_gap() {
    for restarted in [false, true] {
        let stage = Stage::over(Root::empty());
        for number in 0..50 {
            let id = format!("old-{number}");
            stage.root.engine("p", &id, &record("p", &id, "completed"));
        }
        let mut daemon = stage.daemon();
        let mut tail = Going::start(&stage, &["tail", "--json"]);
        begun(&stage, &tail);
        let save = |from: usize, to: usize, status: &str| {
            for number in from..to {
                let id = format!("new-{number}");
                stage.root.engine("p", &id, &record("p", &id, status));
            }
        };
        save(0, 20, "running");
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
        // while nobody listens, or the next one only begins to
        save(10, 40, "completed");
        std::fs::remove_file(stage.root.file("p", "old-7")).unwrap();
        std::fs::remove_file(stage.root.file("p", "new-3")).unwrap();
        let next = restarted.then(|| stage.daemon());
        save(40, 60, "failed");
        stage
            .root
            .engine("p", "last", &record("p", "last", "completed"));
        let mut known = BTreeMap::new();
        let mut told = Vec::new();
        loop {
            let change: Value = serde_json::from_str(&tail.line()).unwrap();
            let kind = change["kind"].as_str().unwrap().to_owned();
            let (id, state) = match kind.as_str() {
                "saved" => (
                    change["summary"]["id"].as_str().unwrap().to_owned(),
                    Some(change["summary"]["status"].as_str().unwrap().to_owned()),
                ),
                "deleted" => (change["executionId"].as_str().unwrap().to_owned(), None),
                other => panic!("{other}"),
            };
            told.push((id.clone(), state.clone()));
            known.insert(id, state);
            // the last is told last of what was saved, but a comparison may tell deletions after it
            let there = |id: &str| known.contains_key(id);
            if there("last")
                && there("old-7")
                && there("new-59")
                && known.get("new-3").is_none_or(Option::is_none)
            {
                break;
            }
        }
        for number in 0..60 {
            let status = match number {
                3 => None,
                0..10 => Some("running"),
                10..40 => Some("completed"),
                _ => Some("failed"),
            };
            // one that came and went between two daemons need not be told
            let held = known
                .get(&format!("new-{number}"))
                .and_then(Option::as_deref);
            assert_eq!(held, status, "new-{number}");
        }
        assert_eq!(known["old-7"], None);
        let before = told.len();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), before, "something was told twice");
        // what did not change was not told
        assert!(!known.contains_key("old-8"));
        drop(next);
        // its death is told as everything is told a person, and by no line of a log
        tail.child.kill().unwrap();
        let said = tail.ends().err;
        let death = "runlog: the shared daemon is gone; going on with another one\n";
        assert!(said.contains(death), "{said}");
        let other = said.lines().find(|line| !line.starts_with("runlog: "));
        assert_eq!(other, None, "{said}");
    }
}

/// What happened while nobody could tell is told as whoever tells it at once would.
#[test]
fn tail_tells_what_left_its_filter_from_what_is_gone() {
    let stage = Stage::over(Root::empty());
    for id in ["ended", "gone", "stays"] {
        stage.root.engine("p", id, &record("p", id, "running"));
    }
    let mut daemon = stage.daemon();
    let tail = Going::start(&stage, &["tail", "-s", "running", "-L", "3", "--json"]);
    for _ in 0..3 {
        assert!(tail.line().contains("\"saved\""));
    }
    // the next one has not come as far as this by itself
    for number in 0..20 {
        let id = format!("other-{number}");
        stage.root.engine("p", &id, &record("p", &id, "failed"));
    }
    stage
        .root
        .engine("p", "last", &record("p", "last", "running"));
    while !tail.line().contains("last") {}
    kill_process(Pid::from_child(&daemon.0), Signal::STOP).unwrap();
    stage
        .root
        .engine("p", "ended", &record("p", "ended", "completed"));
    std::fs::remove_file(stage.root.file("p", "gone")).unwrap();
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    let mut told = BTreeMap::new();
    for _ in 0..2 {
        let change: Value = serde_json::from_str(&tail.line()).unwrap();
        let word = |name: &str| change[name].as_str().unwrap().to_owned();
        assert!(word("clock").starts_with("c:"), "{change}");
        told.insert(word("executionId"), word("kind"));
    }
    let told: Vec<(&str, &str)> = told.iter().map(|(id, kind)| (&**id, &**kind)).collect();
    assert_eq!(told, [("ended", "left"), ("gone", "deleted")]);
}

/// A run that is there already may have changed long ago.
#[test]
fn tail_says_of_what_is_there_when_it_changed() {
    let stage = Stage::over(Root::empty());
    stage.root.engine("p", "old", &record("p", "old", "failed"));
    aged(&stage, "old");
    let (master, line) = terminal(80, 24);
    let mut tail = stage
        .runlog(&["tail", "-L", "1"])
        .stdout(line)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    let mut screen = BufReader::new(master);
    screen.read_line(&mut shown).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(shown.contains("2025-10-15"), "{shown}");
}

/// Lets a run's file be of the 15th of October, 2025.
fn aged(stage: &Stage, id: &str) {
    let path = stage.root.file("p", id);
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_760_508_000);
    file.set_modified(at).unwrap();
}

/// However long nothing changes.
#[test]
fn tail_ends_when_nobody_reads_it_any_more() {
    let stage = Stage::over(Root::empty());
    stage.root.engine("p", "old", &record("p", "old", "failed"));
    let mut tail = stage
        .runlog(&["tail", "-L", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(tail.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert_eq!(tail.wait().unwrap().code(), Some(0));
}

/// Who waits for a run that nobody records any more is told so, and what ends it all the same.
#[test]
fn watch_says_that_nothing_is_heard_of_a_run() {
    for served in [true, false] {
        let stage = Stage::over(Root::empty());
        stage.root.engine("p", "a", &record("p", "a", "running"));
        aged(&stage, "a");
        let _daemon = served.then(|| stage.daemon());
        let mut watch = stage
            .runlog(&["watch", "a"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(watch.stderr.take().unwrap());
        let mut told = String::new();
        said.read_line(&mut told).unwrap();
        let what = "runlog: nothing is heard of p/a since 2025-10-15 06:00:00 UTC";
        assert!(told.starts_with(what), "{told}");
        stage.root.engine("p", "a", &record("p", "a", "failed"));
        assert_eq!(watch.wait().unwrap().code(), Some(3));
        // once
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn watch_waits_for_the_end_and_exits_by_it() {
    for served in [false, true] {
        let stage = Stage::over(Root::empty());
        for (id, end) in [
            ("good", "completed"),
            ("bad", "failed"),
            ("off", "cancelled"),
        ] {
            stage.root.engine("p", id, &record("p", id, "running"));
            stage
                .root
                .engine("p", &format!("{id}-over"), &record("p", id, end));
        }
        stage
            .root
            .engine("p", "gone", &record("p", "gone", "queued"));
        let _daemon = served.then(|| stage.daemon());
        for odd in [
            json!({}),
            json!({ "status": null }),
            json!({ "status": "odd" }),
        ] {
            stage.root.engine("p", "odd", &odd);
            let done = stage.piped(&["watch", "odd"]);
            assert_eq!((done.status, done.out.lines().count()), (5, 1), "{odd}");
        }
        for (id, status) in [("good-over", 0), ("bad-over", 3), ("off-over", 4)] {
            assert_eq!(stage.piped(&["watch", id]).status, status, "{id}");
        }
        assert_eq!(stage.piped(&["watch", "none"]).status, 1);
        let waits =
            |id: &str| Going::start(&stage, &["watch", &format!("p/{id}"), "--json=id,status"]);
        let (good, bad, off, gone) = (waits("good"), waits("bad"), waits("off"), waits("gone"));
        // a run that goes on is not the end
        stage
            .root
            .engine("p", "good", &record("p", "good", "paused"));
        for (id, end) in [
            ("good", "completed"),
            ("bad", "failed"),
            ("off", "cancelled"),
        ] {
            stage.root.engine("p", id, &record("p", id, end));
        }
        let ended = good.ends();
        assert_eq!(ended.out, "{\"id\":\"good\",\"status\":\"completed\"}\n");
        assert_eq!(ended.status, 0);
        assert_eq!(bad.ends().status, 3);
        assert_eq!(off.ends().status, 4);
        // it may not have looked yet: then it says that there is no such run
        let mut gone = gone;
        std::fs::remove_file(stage.root.file("p", "gone")).unwrap();
        let status = gone.child.wait().unwrap().code();
        assert!([Some(5), Some(1)].contains(&status), "{status:?}");
    }
}

#[test]
fn watch_waits_for_a_file_that_is_being_written_in_place() {
    for served in [false, true] {
        let stage = Stage::over(Root::empty());
        stage.root.engine("p", "a", &record("p", "a", "running"));
        let _daemon = served.then(|| stage.daemon());
        let seen = Going::start(&stage, &["tail", "--json"]);
        begun(&stage, &seen);
        // on a terminal it says when it has begun
        let (mut master, line) = terminal(80, 24);
        let mut watch = stage
            .runlog(&["watch", "p/a"])
            .stdout(line.try_clone().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut shown, mut bytes) = (String::new(), [0; 4096]);
        while !shown.contains("running") {
            let count = master.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        let file = stage.root.file("p", "a");
        std::fs::write(&file, "{ \"id\": \"a\", ").unwrap();
        // somebody else has seen it go
        while !seen.line().contains("\"deleted\"") {}
        std::fs::write(&file, record("p", "a", "failed").to_string()).unwrap();
        assert_eq!(watch.wait().unwrap().code(), Some(3), "{served}");
    }
}

/// That a file goes which holds no record is told to nobody.
#[test]
fn watch_ends_when_what_was_torn_is_removed() {
    for served in [false, true] {
        let stage = Stage::over(Root::empty());
        stage.root.engine("p", "a", &record("p", "a", "running"));
        let _daemon = served.then(|| stage.daemon());
        let (master, line) = terminal(80, 24);
        let mut watch = stage
            .runlog(&["watch", "p/a"])
            .stdout(line.try_clone().unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut screen = std::io::BufReader::new(master);
        let mut shown = String::new();
        while !shown.contains("running") {
            screen.read_line(&mut shown).unwrap();
        }
        std::fs::write(stage.root.file("p", "a"), "{").unwrap();
        let mut said = std::io::BufReader::new(watch.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("is no record; waiting for one"), "{line}");
        std::fs::remove_file(stage.root.file("p", "a")).unwrap();
        assert_eq!(watch.wait().unwrap().code(), Some(5), "{served}");
    }
}

/// Runs that do not pass a subscription's filter are told as having left it.
#[test]
fn watch_heeds_no_other_run() {
    let stage = Stage::over(Root::empty());
    for id in ["own", "other"] {
        stage.root.engine("p", id, &record("p", id, "running"));
    }
    let _daemon = stage.daemon();
    let watch = Going::start(&stage, &["watch", "p/own"]);
    let sessions = || -> Value {
        let status = stage.piped(&["call", "server/status"]).printed();
        serde_json::from_str::<Value>(&status).unwrap()["sessions"].clone()
    };
    // its own beside that of who asks
    while sessions() != 2 {}
    for number in 0..30 {
        let mut other = record("p", "other", "running");
        other["output"] = json!(number);
        stage.root.engine("p", "other", &other);
        stage.piped(&["list"]).printed();
    }
    stage
        .root
        .engine("p", "own", &record("p", "own", "completed"));
    assert_eq!(watch.ends().status, 0);
}

#[test]
fn watch_goes_on_when_its_daemon_dies() {
    let stage = Stage::over(Root::empty());
    stage.root.engine("p", "a", &record("p", "a", "running"));
    let mut daemon = stage.daemon();
    let watch = Going::start(&stage, &["watch", "a"]);
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    stage.root.engine("p", "a", &record("p", "a", "failed"));
    let ended = watch.ends();
    assert_eq!(ended.status, 3);
    assert!(
        ended.out.starts_with("saved\tp\ta\tfailed"),
        "{}",
        ended.out
    );
}
