//! Kills at any instant: a process that saves without end is killed, again and again.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::Mode;

use super::{Ground, listing, project, run, sweep, test_process};
use crate::store::own::Temporary;
use crate::store::{Expect, Store};

const KILLS: usize = 25;

/// A record whose parts must fit each other, of a size that takes a while to write.
fn record(n: u64) -> String {
    let length = (n as usize * 7919) % 400_000;
    format!(
        "{{\"n\":{n},\"pad\":\"{}\",\"end\":{n}}}",
        "x".repeat(length)
    )
}

/// Even saves replace one run, odd ones each create their own.
fn name_of(n: u64) -> String {
    if n.is_multiple_of(2) {
        "same".into()
    } else {
        format!("new-{n:06}")
    }
}

#[test]
#[ignore = "a process of another test's"]
fn child() {
    let Some(root) = std::env::var_os("RUNLOG_TEST_ROOT") else {
        return;
    };
    let first: u64 = std::env::var("RUNLOG_TEST_FIRST").unwrap().parse().unwrap();
    let store = Store::new(root.into());
    let mut out = std::io::stdout();
    writeln!(out, "\nbegun").unwrap();
    for n in first.. {
        store
            .save(&run(&name_of(n)), record(n).as_bytes(), &Expect::Anything)
            .unwrap();
        writeln!(out, "saved {n}").unwrap();
    }
}

#[test]
fn what_was_answered_survives_and_nothing_is_torn() {
    let ground = Ground::new();
    let folder = ground.executions();
    fs::write(folder.join("engine.json.tmp"), "{").unwrap();
    let held = ground.store.folder(&project("p")).unwrap().unwrap();
    let living = Temporary::create(&held, Mode::RWXU).unwrap();

    let (mut next, mut same) = (1, None::<u64>);
    for _ in 0..KILLS {
        let answered = kill_a_child(&ground, next);
        // The save that was under way may have come to its end, or not.
        let possible = answered + 1;
        for n in next..=possible {
            if n % 2 == 0 {
                continue;
            }
            match fs::read_to_string(folder.join(format!("{}.json", name_of(n)))) {
                Ok(text) => assert_eq!(text, record(n)),
                Err(error) => assert!(n == possible, "{n} was answered: {error}"),
            }
        }
        let latest = (next..=answered).rfind(|n| n % 2 == 0).or(same);
        let stored = fs::read_to_string(folder.join("same.json")).ok();
        let stored_as = [latest, Some(possible).filter(|n| n % 2 == 0)]
            .into_iter()
            .find(|n| n.map(record) == stored);
        same = stored_as.expect("the record is neither the old one nor the new one");
        next = possible + 1;

        let left = listing(&folder)
            .iter()
            .filter(|name| name.starts_with(".runlog-"))
            .count();
        let swept = sweep(&ground.store);
        assert_eq!(swept.removed, left - 1, "all but the living one");
    }
    let names = listing(&folder);
    assert!(names.contains(&"engine.json.tmp".to_owned()));
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with(".runlog-"))
            .count(),
        1
    );
    drop(living);
}

/// Lets a child save until it is killed at some instant; the last save that it has answered.
fn kill_a_child(ground: &Ground, first: u64) -> u64 {
    let mut child = test_process("kill::child")
        .env("RUNLOG_TEST_ROOT", ground.root())
        .env("RUNLOG_TEST_FIRST", first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = lines.by_ref().any(|line| line.unwrap() == "begun");
    assert!(begun, "the child does not run");
    // When is up to chance, not to a clock that a result would depend on.
    let random = RandomState::new().hash_one(first);
    let instant = Instant::now() + Duration::from_micros(random % 20_000);
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
        .map_while(|line| line.ok()?.strip_prefix("saved ")?.parse().ok())
        .last()
        .unwrap_or(first - 1)
}
