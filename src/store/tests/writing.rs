//! Saving: what is stored, what is kept, and what is not replaced.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use super::{Ground, in_time, listing, make_fifo, project, run, test_process};
use crate::store::{Expect, Store, WriteError, version_of};

const LIMIT: u64 = 1 << 24;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_save_makes_what_is_missing_and_tells_the_files_stamp() {
    let ground = Ground::new();
    let store = Store::new(ground.root().join("not/there"));
    let saved = store.save(&run("x"), b"{}", &Expect::Anything).unwrap();
    assert!(saved.created);
    assert_eq!(saved.version, version_of(b"{}"));
    assert_eq!(store.stamp(&run("x")).unwrap(), Some(saved.stamp));
    assert_eq!(
        listing(&ground.root().join("not/there/p/executions")),
        ["x.json"]
    );
    let again = store.save(&run("x"), b"{ }", &Expect::Anything).unwrap();
    assert!(!again.created);
    assert_eq!(store.stamp(&run("x")).unwrap(), Some(again.stamp));
    let record = store.read(&run("x"), LIMIT).unwrap().unwrap();
    assert_eq!((record.text(), record.version), ("{ }", again.version));
}

#[test]
fn a_relative_root_is_made_too() {
    let ground = Ground::new();
    let status = test_process("writing::child_with_a_relative_root")
        .env("RUNLOG_TEST_ROOT", "not/there")
        .current_dir(ground.root())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let made = ground.root().join("not/there/p/executions");
    assert_eq!(listing(&made), ["x.json"]);
}

#[test]
#[ignore = "a process of another test's"]
fn child_with_a_relative_root() {
    let Some(root) = std::env::var_os("RUNLOG_TEST_ROOT") else {
        return;
    };
    let store = Store::new(root.into());
    store.save(&run("x"), b"{}", &Expect::Anything).unwrap();
}

#[test]
fn a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own() {
    let ground = Ground::new();
    let folder = ground.executions();
    // What the umask makes of 0666.
    let usual = mode(&{
        let path = ground.root().join("usual");
        File::create(&path).unwrap();
        path
    });
    ground
        .store
        .save(&run("x"), b"{}", &Expect::Anything)
        .unwrap();
    assert_eq!(mode(&folder.join("x.json")), usual);
    for kept in [0o600, 0o666, 0o640, 0o400, 0o777] {
        let path = folder.join("x.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
        ground
            .store
            .save(&run("x"), b"{}", &Expect::Anything)
            .unwrap();
        assert_eq!(mode(&path), kept);
    }
    // Set-user-id is not for a file that another user may own now.
    let path = folder.join("x.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    ground
        .store
        .save(&run("x"), b"{}", &Expect::Anything)
        .unwrap();
    assert_eq!(mode(&path), 0o755);
}

#[test]
fn a_private_file_is_private_while_it_is_written() {
    let ground = Ground::new();
    let folder = ground.executions();
    ground
        .store
        .save(&run("x"), b"{}", &Expect::Anything)
        .unwrap();
    fs::set_permissions(folder.join("x.json"), fs::Permissions::from_mode(0o600)).unwrap();
    ground
        .store
        .save_through(&run("x"), version_of(b"{}"), &Expect::Anything, |file| {
            assert_eq!(file.metadata()?.mode() & 0o7777, 0o600);
            file.write_all(b"{}")
        })
        .unwrap();
    // Also where it becomes private, or comes to be, during the writing.
    for name in ["x", "y"] {
        let path = folder.join(format!("{name}.json"));
        ground
            .store
            .save_through(&run(name), version_of(b"{}"), &Expect::Anything, |file| {
                fs::write(&path, "theirs")?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?;
                file.write_all(b"{}")
            })
            .unwrap();
        assert_eq!(mode(&path), 0o400);
    }
}

#[test]
fn expectations_are_compared() {
    let ground = Ground::new();
    let save = |text: &[u8], expect| ground.store.save(&run("x"), text, &expect);
    let conflict = |result: Result<_, WriteError>| match result {
        Err(WriteError::Conflict { current, path }) => {
            assert_eq!(path, "p/executions/x.json");
            current
        }
        other => panic!("{other:?}"),
    };
    // Nothing is made for a save that cannot go through.
    assert_eq!(
        conflict(save(b"1", Expect::Version(version_of(b"0")))),
        None
    );
    assert_eq!(listing(&ground.root()), [""; 0]);
    ground.executions();
    assert_eq!(
        conflict(save(b"1", Expect::Version(version_of(b"0")))),
        None
    );

    assert!(save(b"1", Expect::Absent).unwrap().created);
    assert_eq!(conflict(save(b"2", Expect::Absent)), Some(version_of(b"1")));
    assert_eq!(
        conflict(save(b"2", Expect::Version(version_of(b"0")))),
        Some(version_of(b"1"))
    );
    let saved = save(b"2", Expect::Version(version_of(b"1"))).unwrap();
    assert!(!saved.created);
    assert_eq!(fs::read(ground.executions().join("x.json")).unwrap(), b"2");
    assert_eq!(listing(&ground.executions()), ["x.json"]);
}

#[test]
fn expectations_are_compared_after_the_writing() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    let meanwhile = |expect| {
        ground
            .store
            .save_through(&run("x"), version_of(b"ours"), &expect, |file| {
                fs::write(&path, "theirs")?;
                file.write_all(b"ours")
            })
    };
    for expect in [Expect::Absent, Expect::Version(version_of(b"before"))] {
        fs::write(&path, "before").unwrap();
        if expect == Expect::Absent {
            fs::remove_file(&path).unwrap();
        }
        let result = meanwhile(expect);
        assert!(
            matches!(result, Err(WriteError::Conflict { current: Some(current), .. }) if current == version_of(b"theirs")),
            "{result:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }
    assert!(!meanwhile(Expect::Anything).unwrap().created);
    assert_eq!(listing(&ground.executions()), ["x.json"]);
}

#[test]
fn nothing_but_a_regular_file_is_replaced() {
    let ground = Ground::new();
    let folder = ground.executions();
    fs::write(ground.root().join("secret"), "secret").unwrap();
    symlink(ground.root().join("secret"), folder.join("link.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    make_fifo(&folder.join("pipe.json"));
    let before = listing(&folder);
    for name in ["link", "folder", "pipe"] {
        for expect in [
            Expect::Anything,
            Expect::Absent,
            Expect::Version(version_of(b"secret")),
        ] {
            let store = Store::new(ground.root());
            let result = in_time(move || store.save(&run(name), b"{}", &expect));
            assert!(
                matches!(result, Err(WriteError::NotRegular { .. })),
                "{name}: {result:?}"
            );
        }
    }
    assert_eq!(listing(&folder), before);
    assert_eq!(fs::read(ground.root().join("secret")).unwrap(), b"secret");

    // What comes to stand there during the writing is not replaced either.
    let result =
        ground
            .store
            .save_through(&run("late"), version_of(b"{}"), &Expect::Anything, |file| {
                fs::create_dir(folder.join("late.json"))?;
                file.write_all(b"{}")
            });
    assert!(
        matches!(result, Err(WriteError::NotRegular { .. })),
        "{result:?}"
    );
}

#[test]
fn no_save_goes_through_a_symlink() {
    let ground = Ground::new();
    let outside = ground.folder.path().join("outside");
    fs::create_dir_all(outside.join("executions")).unwrap();
    fs::write(outside.join("executions/x.json"), "theirs").unwrap();
    let refused = || {
        let save = ground.store.save(&run("x"), b"{}", &Expect::Anything);
        let delete = ground.store.delete(&run("x"), None);
        let delete_all = ground.store.delete_all(&project("p"), None, || true);
        assert!(
            matches!(save, Err(WriteError::NotRegular { .. })),
            "{save:?}"
        );
        assert!(
            matches!(delete, Err(WriteError::NotRegular { .. })),
            "{delete:?}"
        );
        assert!(
            matches!(delete_all, Err(WriteError::NotRegular { .. })),
            "{delete_all:?}"
        );
    };
    symlink(&outside, ground.root().join("p")).unwrap();
    refused();
    fs::remove_file(ground.root().join("p")).unwrap();
    fs::create_dir(ground.root().join("p")).unwrap();
    symlink(
        outside.join("executions"),
        ground.root().join("p/executions"),
    )
    .unwrap();
    refused();
    assert_eq!(listing(&outside.join("executions")), ["x.json"]);
    // A plain file in the way is left alone as well.
    fs::write(ground.root().join("q"), "read me").unwrap();
    let key = crate::model::RunKey {
        project: project("q"),
        ..run("x")
    };
    let save = ground.store.save(&key, b"{}", &Expect::Anything);
    assert!(
        matches!(save, Err(WriteError::NotRegular { .. })),
        "{save:?}"
    );
}

#[test]
fn what_comes_between_comparing_and_renaming_is_not_replaced() {
    const ROUNDS: u32 = 1_500;
    let ground = Ground::new();
    let store = Store::new(ground.root());
    let (path, aside) = ("x.json", ".engine.tmp");
    let text_of_engine = |round: u32| format!("{{\"by\":\"engine\",\"round\":{round}}}");
    let first = text_of_engine(0);
    store
        .save(&run("x"), first.as_bytes(), &Expect::Anything)
        .unwrap();
    let executions = ground.executions();
    let began = Instant::now();
    for _ in 0..20 {
        store
            .save(
                &run("x"),
                first.as_bytes(),
                &Expect::Version(version_of(first.as_bytes())),
            )
            .unwrap();
    }
    let takes = began.elapsed() / 20;
    let barrier = Barrier::new(2);
    let engine = |round: u32| {
        fs::write(executions.join(aside), text_of_engine(round)).unwrap();
        barrier.wait();
        // a moment later in each round, for longer than a save takes
        let due = Instant::now() + takes * (round % 100) / 66;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        fs::rename(executions.join(aside), executions.join(path)).unwrap();
        barrier.wait();
    };
    let ours = |round| {
        let version = store.read(&run("x"), LIMIT).unwrap().unwrap().version;
        let text = format!("{{\"by\":\"us\",\"round\":{}}}", round - 1);
        barrier.wait();
        let saved = store.save(&run("x"), text.as_bytes(), &Expect::Version(version));
        barrier.wait();
        let there = fs::read_to_string(executions.join(path)).unwrap();
        // told at the end, because the other thread would wait for ever
        let lost = (there != text_of_engine(round)).then_some((round, there));
        (matches!(saved, Err(WriteError::Conflict { .. })), lost)
    };
    let (conflicts, lost): (Vec<bool>, Vec<_>) = std::thread::scope(|scope| {
        scope.spawn(|| (1..=ROUNDS).for_each(engine));
        (1..=ROUNDS).map(ours).unzip()
    });
    assert_eq!(lost.into_iter().flatten().next(), None);
    assert!(conflicts.contains(&true) && conflicts.contains(&false));
    assert_eq!(listing(&executions), [path]);
}

#[test]
fn who_counts_in_one_file_from_two_processes_loses_nothing() {
    const EACH: u32 = 300;
    let ground = Ground::new();
    let count = |store: &Store| -> u32 {
        let (mut done, mut text) = (0, String::new());
        while done < EACH {
            let record = store.read(&run("x"), LIMIT).unwrap().unwrap();
            let held: u32 = record.text()[8..].trim_end_matches('}').parse().unwrap();
            text.clear();
            write!(text, "{{\"sum\": {}}}", held + 1).unwrap();
            match store.save(&run("x"), text.as_bytes(), &Expect::Version(record.version)) {
                Ok(_) => done += 1,
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        done
    };
    // as processes have them: each its own, which know nothing of each other
    let stores = [Store::new(ground.root()), Store::new(ground.root())];
    stores[0]
        .save(&run("x"), b"{\"sum\": 0}", &Expect::Anything)
        .unwrap();
    // a third begins again and again, and removes what it takes for abandoned
    let third = Store::new(ground.root());
    let over = AtomicBool::new(false);
    let sweep = || {
        while !over.load(Ordering::Relaxed) {
            let walk = third.walk(&project("p"), SystemTime::now(), false).unwrap();
            third.sweep_temporaries(&project("p"), &walk.temporaries);
        }
    };
    let done: u32 = std::thread::scope(|scope| {
        scope.spawn(sweep);
        let threads = stores.each_ref().map(|store| scope.spawn(|| count(store)));
        let done = threads.map(std::thread::ScopedJoinHandle::join);
        // the third ends also where one of them has failed
        over.store(true, Ordering::Relaxed);
        done.map(Result::unwrap).iter().sum()
    });
    let there = stores[0].read(&run("x"), LIMIT).unwrap().unwrap();
    assert_eq!(there.text(), format!("{{\"sum\": {done}}}"));
}
