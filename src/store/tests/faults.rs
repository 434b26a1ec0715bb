//! Saving while the disk is full, folders go away, and others save as well.

use std::fs;
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::steps::{Step, refusing};
use super::{Ground, disturbed, listing, run, sweep, test_process};
use crate::store::{Expect, Store, WriteError, version_of};

const LIMIT: u64 = 1 << 24;

#[test]
fn a_full_disk_leaves_the_old_record_and_nothing_else() {
    let ground = Ground::new();
    let folder = ground.executions();
    ground
        .store
        .save(&run("x"), b"old", &Expect::Anything)
        .unwrap();
    let full = |name, errno: rustix::io::Errno| {
        ground
            .store
            .save_through(&run(name), version_of(b"new"), &Expect::Anything, |file| {
                file.write_all(b"ne")?;
                Err(errno.into())
            })
    };
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
        for name in ["x", "y"] {
            let result = full(name, errno);
            assert!(matches!(result, Err(WriteError::Full { .. })), "{result:?}");
        }
    }
    let result = full("x", rustix::io::Errno::IO);
    assert!(
        matches!(result, Err(WriteError::Refused { .. })),
        "{result:?}"
    );
    assert_eq!(listing(&folder), ["x.json"]);
    assert_eq!(fs::read(folder.join("x.json")).unwrap(), b"old");
}

/// Folders that were made for a record that then has no room are not left.
#[test]
fn a_save_that_fails_leaves_no_folders_that_it_made() {
    let save = |ground: &Ground, full: bool| {
        ground.store.save_through(
            &run("x"),
            version_of(b"{}"),
            &Expect::Anything,
            |file| match full {
                true => Err(Errno::NOSPC.into()),
                false => file.write_all(b"{}"),
            },
        )
    };
    let full = |result: Result<_, WriteError>| matches!(result, Err(WriteError::Full { .. }));
    let ground = Ground::new();
    assert!(full(save(&ground, true)));
    assert_eq!(listing(&ground.root()), [""; 0]);
    for step in [Step::MakeFolder, Step::Sync] {
        for number in 0..2 {
            let (saved, met) = refusing((step, number), Errno::NOSPC, || save(&ground, false));
            assert!(met && full(saved));
            assert_eq!(listing(&ground.root()), [""; 0], "{step:?} {number}");
        }
    }
    // what was there stays, and so does what somebody else put there meanwhile
    fs::create_dir(ground.root().join("p")).unwrap();
    assert!(full(save(&ground, true)));
    assert_eq!(listing(&ground.root().join("p")), [""; 0]);
    let result = ground
        .store
        .save_through(&run("x"), version_of(b"{}"), &Expect::Anything, |_| {
            fs::write(ground.executions().join("theirs.json"), "{}")?;
            Err(Errno::NOSPC.into())
        });
    assert!(full(result));
    assert_eq!(listing(&ground.executions()), ["theirs.json"]);
}

/// The same with a kernel that says so: the size of files is limited in a process of its own.
#[test]
fn a_write_that_the_system_cuts_off_leaves_the_old_record() {
    let ground = Ground::new();
    let folder = ground.executions();
    ground
        .store
        .save(&run("x"), b"old", &Expect::Anything)
        .unwrap();
    let child = test_process("faults::child_of_limited_size");
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16 && exec \"$0\" \"$@\""])
        .arg(child.get_program())
        .args(child.get_args())
        .env("RUNLOG_TEST_ROOT", ground.root())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(listing(&folder), ["small.json", "x.json"]);
    assert_eq!(fs::read(folder.join("x.json")).unwrap(), b"old");
}

#[test]
#[ignore = "a process of another test's"]
fn child_of_limited_size() {
    let Some(root) = std::env::var_os("RUNLOG_TEST_ROOT") else {
        return;
    };
    let store = Store::new(root.into());
    let result = store.save(&run("x"), &[b' '; 1 << 16], &Expect::Anything);
    assert!(
        matches!(&result, Err(WriteError::Refused { source, .. }) if source.kind() == io::ErrorKind::FileTooLarge),
        "{result:?}"
    );
    store.save(&run("small"), b"{}", &Expect::Anything).unwrap();
}

/// A disk that is really full, which only a superuser can provide.
#[test]
#[ignore = "mounts a tmpfs: run as root"]
#[cfg(target_os = "linux")]
fn a_real_full_disk() {
    let ground = Ground::new();
    let mount = |program: &str, args: &[&str]| {
        let status = Command::new(program)
            .args(args)
            .arg(ground.root())
            .status()
            .unwrap();
        assert!(status.success(), "{program} needs a superuser");
    };
    mount("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs"]);
    let checks = std::panic::catch_unwind(AssertUnwindSafe(|| {
        ground
            .store
            .save(&run("x"), b"old", &Expect::Anything)
            .unwrap();
        let result = ground
            .store
            .save(&run("x"), &[b' '; 1 << 20], &Expect::Anything);
        assert!(matches!(result, Err(WriteError::Full { .. })), "{result:?}");
        assert_eq!(listing(&ground.executions()), ["x.json"]);
        assert_eq!(
            fs::read(ground.executions().join("x.json")).unwrap(),
            b"old"
        );
        ground
            .store
            .save(&run("x"), b"new", &Expect::Anything)
            .unwrap();
    }));
    // Lazily, because the store holds its root open.
    mount("umount", &["-l"]);
    checks.unwrap();
}

#[test]
fn a_save_lands_in_the_folder_that_is_there_at_its_end() {
    for (what, replace) in [
        (
            "the folder is removed",
            (|ground| fs::remove_dir_all(ground.executions())) as fn(&Ground) -> io::Result<()>,
        ),
        ("the folder is renamed", |ground| {
            fs::rename(ground.executions(), ground.root().join("p/old"))
        }),
        ("the folder is replaced", |ground| {
            fs::rename(ground.executions(), ground.root().join("p/old"))?;
            fs::create_dir(ground.root().join("p/executions"))
        }),
        ("the project is removed", |ground| {
            fs::remove_dir_all(ground.root().join("p"))
        }),
        ("the root is replaced", |ground| {
            fs::rename(ground.root(), ground.folder.path().join("old"))?;
            fs::create_dir(ground.root())
        }),
        ("the temporary file is removed", |ground| {
            let folder = ground.executions();
            let [only] = &listing(&folder)[..] else {
                panic!("one temporary file");
            };
            fs::remove_file(folder.join(only))
        }),
    ] {
        let ground = Ground::new();
        ground.executions();
        let mut tries = 0;
        let saved = ground
            .store
            .save_through(&run("x"), version_of(b"{}"), &Expect::Absent, |file| {
                file.write_all(b"{}")?;
                tries += 1;
                if tries == 1 { replace(&ground) } else { Ok(()) }
            })
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(tries, 2, "{what}");
        assert!(saved.created, "{what}");
        assert_eq!(
            ground.store.stamp(&run("x")).unwrap(),
            Some(saved.stamp),
            "{what}"
        );
        assert_eq!(listing(&ground.executions()), ["x.json"], "{what}");
    }
}

#[test]
fn a_folder_that_goes_again_and_again_is_an_error() {
    let ground = Ground::new();
    let result =
        ground
            .store
            .save_through(&run("x"), version_of(b"{}"), &Expect::Anything, |file| {
                file.write_all(b"{}")?;
                fs::remove_dir_all(ground.root().join("p"))
            });
    assert!(
        matches!(result, Err(WriteError::Refused { .. })),
        "{result:?}"
    );
}

#[test]
fn many_saves_of_one_run_leave_one_of_them_whole() {
    let ground = Ground::new();
    let created = AtomicUsize::new(0);
    let absent = AtomicUsize::new(0);
    let save = |n: usize| {
        for round in 0..10 {
            let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(round * 4096));
            let saved = ground
                .store
                .save(&run("x"), text.as_bytes(), &Expect::Anything)
                .unwrap();
            created.fetch_add(usize::from(saved.created), Ordering::Relaxed);
            let new = run(&format!("new-{round}"));
            if ground.store.save(&new, b"{}", &Expect::Absent).is_ok() {
                absent.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    // Sweeping and reading all the while: what is in use stays, and what is read is whole.
    let disturb = || {
        assert!(sweep(&ground.store).failures.is_empty());
        if let Some(record) = ground.store.read(&run("x"), LIMIT).unwrap() {
            assert!(record.text().ends_with("\"}"));
        }
    };
    disturbed(disturb, || {
        std::thread::scope(|scope| {
            for n in 0..4 {
                let save = &save;
                scope.spawn(move || save(n));
            }
        });
    });
    assert_eq!(created.into_inner(), 1, "created once");
    assert_eq!(absent.into_inner(), 10, "each created once");
    assert!(ground.store.read(&run("x"), LIMIT).unwrap().is_some());
    assert_eq!(listing(&ground.executions()).len(), 11);
}
