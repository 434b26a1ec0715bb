//! The trash: where deleted files are, what is ours there, and kills at any instant.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::steps::{Step, killed_before, refusing};
use super::{Ground, in_time, listing, make_fifo, project, run, sweep, test_process};
use crate::model::{Annotation, Millis};
use crate::store::{
    Batch, EntryId, NoTrash, Removed, RestoreError, Sidecar, Sparing, Store, Turns, WriteError,
};

fn trash_of(ground: &Ground) -> PathBuf {
    ground.root().join("p/.runlog/trash")
}

/// Every entry of the project `p`, the latest first.
fn entries(store: &Store) -> Vec<EntryId> {
    let mut found = Vec::new();
    for batch in store.batches(&project("p")).unwrap() {
        let take = |entry: crate::store::Entry| {
            found.push(entry.id);
            true
        };
        let taken = store.each_trashed(&project("p"), batch, |_| true, take);
        taken.unwrap();
    }
    assert!(found.is_sorted());
    found
}

fn restore(store: &Store, id: &EntryId) -> Result<(), RestoreError> {
    let mut restoring = store.restoring(id.project(), id.batch())?;
    let done = restoring.restore(id);
    restoring.finish().unwrap();
    done
}

#[test]
fn what_is_deleted_is_the_same_file_elsewhere_and_comes_back_as_it_was() {
    let ground = Ground::new();
    let folder = ground.executions();
    fs::write(folder.join("x.json"), "not even JSON").unwrap();
    fs::write(folder.join("bad\\name.json"), "2").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"\xff.json");
    fs::write(folder.join(odd), "3").unwrap();
    symlink("x.json", folder.join("link.json")).unwrap();
    make_fifo(&folder.join("pipe.json"));
    fs::create_dir(folder.join("folder.json")).unwrap();
    fs::write(folder.join("notes.txt"), "").unwrap();
    let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
    let before = inode(&folder.join("x.json"));

    let first = Batch::new(Millis(7));
    assert!(ground.store.delete(&run("x"), Some(first)).unwrap());
    assert!(
        !ground
            .store
            .delete(&run("x"), Some(Batch::new(Millis(8))))
            .unwrap()
    );
    let ignore = fs::read_to_string(ground.root().join("p/.runlog/.gitignore")).unwrap();
    assert_eq!(ignore, "*\n");
    let path = trash_of(&ground).join(first.to_string()).join("x.json");
    assert_eq!(inode(&path), before);
    assert_eq!(
        listing(&trash_of(&ground)),
        [first.to_string()],
        "nothing made in vain"
    );

    // deleted twice: two entries
    fs::write(folder.join("x.json"), "another").unwrap();
    let second = Batch::new(Millis(9));
    let deleted = ground
        .store
        .delete_all(&project("p"), Some(second), || true)
        .unwrap();
    assert_eq!((deleted.count, deleted.failures.len()), (5, 0));
    assert_eq!(listing(&folder), ["folder.json", "notes.txt"]);
    let all = entries(&ground.store);
    let spelt: Vec<String> = all.iter().map(ToString::to_string).collect();
    let of = |batch: Batch, name: &str| format!("p/{batch}/{name}");
    assert_eq!(
        spelt,
        [
            of(second, "/bad%5Cname.json"),
            of(second, "link"),
            of(second, "pipe"),
            of(second, "x"),
            of(second, "/%FF.json"),
            of(first, "x"),
        ]
    );
    assert_eq!(
        ground.store.latest_deletion(&run("x")).unwrap(),
        Some(EntryId::of_run(&run("x"), second))
    );

    // also where the executions folder is gone
    fs::remove_dir_all(&folder).unwrap();
    for text in &spelt[..5] {
        let id = EntryId::parse(text).unwrap();
        let store = Store::new(ground.root());
        in_time(move || restore(&store, &id)).unwrap();
    }
    let back = listing(&folder);
    assert_eq!(back.len(), 5, "{back:?}");
    assert_eq!(
        fs::read_to_string(folder.join("x.json")).unwrap(),
        "another"
    );
    assert_eq!(
        fs::read_link(folder.join("link.json")).unwrap(),
        Path::new("x.json")
    );
    assert_eq!(fs::read(folder.join(odd)).unwrap(), b"3");
    let id = EntryId::of_run(&run("x"), first);
    assert!(matches!(
        restore(&ground.store, &id),
        Err(RestoreError::Occupied)
    ));
    fs::remove_file(folder.join("x.json")).unwrap();
    restore(&ground.store, &id).unwrap();
    assert_eq!(inode(&folder.join("x.json")), before);
    assert!(matches!(
        restore(&ground.store, &id),
        Err(RestoreError::NoEntry)
    ));
    assert_eq!(listing(&trash_of(&ground)), [""; 0], "empty folders go");
}

#[test]
fn what_is_not_ours_is_neither_shown_nor_followed_nor_removed() {
    let ground = Ground::new();
    let folder = ground.executions();
    let batch = Batch::new(Millis(5));
    fs::write(folder.join("x.json"), "x").unwrap();
    ground.store.delete(&run("x"), Some(batch)).unwrap();

    let secret = ground.folder.path().join("secret");
    let elsewhere = secret.join("6-0000000000000000");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("x.json"), "secret").unwrap();
    let trash = trash_of(&ground);
    symlink(&elsewhere, trash.join("7-0000000000000000")).unwrap();
    symlink(&secret, trash.join("link")).unwrap();
    make_fifo(&trash.join("8-0000000000000000"));
    fs::write(trash.join("notes"), "").unwrap();
    fs::create_dir(trash.join("my-folder")).unwrap();
    fs::write(trash.join("my-folder/x.json"), "mine").unwrap();
    let ours = trash.join(batch.to_string());
    fs::write(ours.join("notes.txt"), "mine").unwrap();
    fs::write(ours.join(".hidden.json"), "mine").unwrap();
    fs::create_dir(ours.join("folder.json")).unwrap();
    symlink(&elsewhere, ours.join("out.json")).unwrap();

    let store = Store::new(ground.root());
    let found = in_time(move || entries(&store));
    let names: Vec<String> = found.iter().map(EntryId::stem).collect();
    assert_eq!(names, ["out", "x"]);
    let linked = EntryId::parse("p/7-0000000000000000/x").unwrap();
    assert!(matches!(
        restore(&ground.store, &linked),
        Err(RestoreError::NoEntry)
    ));
    let folder_entry = EntryId::of_run(&run("folder"), batch);
    assert!(matches!(
        restore(&ground.store, &folder_entry),
        Err(RestoreError::NoEntry)
    ));
    let store = Store::new(ground.root());
    let emptied = in_time(move || {
        let mut count = 0;
        for text in ["5", "7-0000000000000000", "8-0000000000000000"] {
            let batch = Batch::parse(text).unwrap_or(batch);
            let done = store.empty(
                &project("p"),
                batch,
                None,
                (&mut Turns::default(), Millis(5)),
                || true,
            );
            assert!(done.failures.is_empty(), "{:?}", done.failures);
            count += done.entries;
        }
        count
    });
    assert_eq!(emptied, 2, "the link itself, and the run");
    assert_eq!(listing(&ours), [".hidden.json", "folder.json", "notes.txt"]);
    assert_eq!(listing(&trash).len(), 6);
    assert_eq!(
        fs::read_to_string(elsewhere.join("x.json")).unwrap(),
        "secret"
    );
}

#[test]
fn without_a_trash_nothing_is_deleted() {
    let ground = Ground::new();
    let folder = ground.executions();
    for name in ["a.json", "b.json"] {
        fs::write(folder.join(name), "{}").unwrap();
    }
    let elsewhere = ground.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let own = ground.root().join("p/.runlog");
    let hinder: [(&str, &dyn Fn()); 5] = [
        ("a link as our folder", &|| {
            symlink(&elsewhere, &own).unwrap()
        }),
        ("a file as our folder", &|| fs::write(&own, "").unwrap()),
        ("a link as the trash", &|| {
            fs::create_dir(&own).unwrap();
            symlink(&elsewhere, own.join("trash")).unwrap();
        }),
        ("a pipe as the trash", &|| {
            fs::create_dir(&own).unwrap();
            make_fifo(&own.join("trash"));
        }),
        ("a file as the trash", &|| {
            fs::create_dir(&own).unwrap();
            fs::write(own.join("trash"), "").unwrap();
        }),
    ];
    for (what, hinder) in hinder {
        hinder();
        let store = Store::new(ground.root());
        let (one, all) = in_time(move || {
            let batch = Some(Batch::new(Millis(5)));
            (
                store.delete(&run("a"), batch),
                store.delete_all(&project("p"), batch, || true),
            )
        });
        let in_the_way = |error: &WriteError| {
            matches!(
                error,
                WriteError::NoTrash {
                    reason: NoTrash::InTheWay,
                    ..
                }
            )
        };
        assert!(one.is_err_and(|error| in_the_way(&error)), "{what}");
        let all = all.unwrap();
        assert_eq!((all.count, all.failures.len()), (0, 1), "{what}");
        assert!(in_the_way(&all.failures[0]), "{what}");
        assert_eq!(ground.store.batches(&project("p")).unwrap(), [], "{what}");
        assert_eq!(listing(&folder), ["a.json", "b.json"], "{what}");
        assert_eq!(listing(&elsewhere), [""; 0], "{what}");
        if fs::symlink_metadata(&own).unwrap().is_dir() {
            fs::remove_dir_all(&own).unwrap();
        } else {
            fs::remove_file(&own).unwrap();
        }
    }
    // for good is another matter
    fs::write(&own, "").unwrap();
    assert!(ground.store.delete(&run("a"), None).unwrap());
    assert_eq!(listing(&folder), ["b.json"]);
}

#[test]
fn only_the_file_that_was_meant_is_removed() {
    let ground = Ground::new();
    let folder = ground.executions();
    fs::write(folder.join("x.json"), "old").unwrap();
    let stamp = ground.store.stamp(&run("x")).unwrap().unwrap();
    fs::write(folder.join("new"), "newer").unwrap();
    fs::rename(folder.join("new"), folder.join("x.json")).unwrap();
    let mut removal = ground.store.removal(&project("p"), None).unwrap().unwrap();
    let mut remove = |name, stamp| {
        let execution = run(name).execution;
        removal.remove(&execution, stamp, Sparing::Nothing).unwrap()
    };
    assert_eq!(remove("x", Some(&stamp)), Removed::Changed);
    assert_eq!(remove("y", Some(&stamp)), Removed::Missing);
    let stamp = ground.store.stamp(&run("x")).unwrap().unwrap();
    assert_eq!(remove("x", Some(&stamp)), Removed::Gone);
    assert_eq!(remove("x", None), Removed::Missing);
}

/// Somebody empties the trash all the time: deletions make their folders again, and what is
/// deleted is either there or was emptied.
#[test]
fn deleting_and_emptying_at_once_loses_nothing() {
    let ground = Ground::new();
    let folder = ground.executions();
    let mut emptied = 0;
    let other = Store::new(ground.root());
    let mut gone = 0;
    super::disturbed(
        || {
            for batch in other.batches(&project("p")).unwrap() {
                emptied += other
                    .empty(
                        &project("p"),
                        batch,
                        None,
                        (&mut Turns::default(), Millis(0)),
                        || true,
                    )
                    .entries;
            }
        },
        || {
            for number in 0..300 {
                let name = format!("n{number}");
                fs::write(folder.join(format!("{name}.json")), "{}").unwrap();
                let batch = Batch::new(Millis(number));
                gone += u64::from(ground.store.delete(&run(&name), Some(batch)).unwrap());
            }
        },
    );
    assert_eq!(gone, 300);
    assert_eq!(listing(&folder), [""; 0]);
    assert_eq!(emptied + entries(&ground.store).len() as u64, 300);
}

fn note(text: &str) -> Annotation {
    Annotation {
        note: Some(text.to_owned()),
        ..Annotation::default()
    }
}

#[test]
fn what_is_deleted_or_noted_is_for_no_more_people_than_its_run() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    let (store, key) = (&ground.store, run("x"));
    let path = ground.executions().join("x.json");
    fs::write(&path, "1").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    fs::set_permissions(ground.executions(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    store.annotate(&key, &note("private")).unwrap();
    let own = ground.root().join("p/.runlog");
    assert_eq!(mode(&own), 0o700);
    assert_eq!(mode(&own.join("x.json")), 0o600);
    store.delete(&key, Some(Batch::new(Millis(1)))).unwrap();
    let ids = entries(store);
    restore(store, &ids[0]).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&own.join("x.json")), 0o600);
}

#[test]
fn what_is_restored_brings_its_own_note_whatever_was_left_there() {
    let ground = Ground::new();
    let (store, key) = (&ground.store, run("x"));
    let path = ground.executions().join("x.json");
    let noted = |key| match store.annotation(key).unwrap() {
        Sidecar::Is(annotation) => annotation.note,
        Sidecar::Corrupt(_) => panic!("it is one of ours"),
    };
    let first = Annotation {
        pinned: true,
        ..note("first")
    };
    fs::write(&path, "1").unwrap();
    store.annotate(&key, &first).unwrap();
    let batch = Batch::new(Millis(5));
    assert!(store.delete(&key, Some(batch)).unwrap());
    assert_eq!(noted(&key), None);

    // while somebody else's run is there, both are kept
    fs::write(&path, "2").unwrap();
    store.annotate(&key, &note("second")).unwrap();
    let id = EntryId::of_run(&key, batch);
    assert!(matches!(restore(store, &id), Err(RestoreError::Occupied)));
    assert_eq!(noted(&key).as_deref(), Some("second"));
    fs::remove_file(&path).unwrap();
    restore(store, &id).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    assert_eq!(store.annotation(&key).unwrap(), Sidecar::Is(first));
    assert_eq!(listing(&trash_of(&ground)), [""; 0]);

    // an entry that has none takes nothing away
    store.annotate(&key, &Annotation::default()).unwrap();
    let batch = Batch::new(Millis(6));
    assert!(store.delete(&key, Some(batch)).unwrap());
    store.annotate(&key, &note("left")).unwrap();
    restore(store, &EntryId::of_run(&key, batch)).unwrap();
    assert_eq!(noted(&key).as_deref(), Some("left"));
}

/// A run with a note, in its place or in the trash, and what is done with it.
struct Scene {
    ground: Ground,
    batch: Batch,
}

/// What is done in a [`Scene`].
type Deed = fn(&Scene) -> Result<(), WriteError>;

impl Scene {
    fn new(trashed: bool) -> Self {
        let ground = Ground::new();
        fs::write(ground.executions().join("x.json"), "x").unwrap();
        ground.store.annotate(&run("x"), &note("first")).unwrap();
        let batch = Batch::new(Millis(5));
        if trashed {
            assert!(ground.store.delete(&run("x"), Some(batch)).unwrap());
        }
        Self { ground, batch }
    }

    fn delete(&self, batch: Option<Batch>) -> Result<(), WriteError> {
        self.ground.store.delete(&run("x"), batch).map(drop)
    }

    /// The next start. A process that another test starts holds the locks of this one, too, until it
    /// is another program.
    fn begin_again(&self) {
        let end = Instant::now() + super::PATIENCE;
        loop {
            let swept = sweep(&Store::new(self.ground.root()));
            assert!(swept.failures.is_empty(), "{:?}", swept.failures);
            let is_ours = |(path, _): &(String, String)| path.contains("/.runlog-");
            if !self.files().iter().any(is_ours) || Instant::now() > end {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Somebody else's.
    fn store(&self) -> Store {
        Store::new(self.ground.root())
    }

    /// As it says of [`Scene::begin_again`].
    fn wait_for_locks(&self) {
        let own = self.ground.root().join("p/.runlog");
        let end = Instant::now() + super::PATIENCE;
        for name in listing(&own) {
            if name.starts_with(".runlog-") {
                let file = fs::File::open(own.join(name)).unwrap();
                while file.try_lock_shared().is_err() && Instant::now() < end {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// What there is, the folders and git's file aside: where, and what it holds.
    fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let mut folders = vec![self.ground.root()];
        while let Some(folder) = folders.pop() {
            for name in listing(&folder) {
                let path = folder.join(&name);
                if path.is_dir() {
                    folders.push(path);
                } else if name != ".gitignore" {
                    let text = fs::read_to_string(&path).unwrap();
                    let path = path.strip_prefix(self.ground.root()).unwrap();
                    let path = path.to_string_lossy().replace(&self.batch.to_string(), "B");
                    files.push((path, text));
                }
            }
        }
        files.sort();
        files
    }

    /// Where the run is, and where its note.
    fn places(&self) -> (&'static str, &'static str) {
        let files = self.files();
        let place = |of: [&'static str; 2]| {
            let there = |path: &&&str| files.iter().any(|(found, _)| found == **path);
            let found: Vec<_> = of.iter().filter(there).collect();
            assert!(found.len() < 2, "{files:?}");
            match found.first() {
                Some(path) if path.contains("trash") => "trash",
                Some(_) => "here",
                None => "gone",
            }
        };
        let of_run = place(["p/executions/x.json", "p/.runlog/trash/B/x.json"]);
        let of_note = place(["p/.runlog/x.json", "p/.runlog/trash/B/x.note"]);
        let count = [of_run, of_note].iter().filter(|at| **at != "gone").count();
        assert_eq!(files.len(), count, "nothing else is left: {files:?}");
        (of_run, of_note)
    }
}

const DEEDS: [(&str, bool, Deed); 4] = [
    ("delete", false, |scene| scene.delete(Some(scene.batch))),
    ("delete for good", false, |scene| scene.delete(None)),
    ("restore", true, |scene| {
        let id = EntryId::of_run(&run("x"), scene.batch);
        let restoring = scene.ground.store.restoring(id.project(), id.batch());
        let written = |error| match error {
            RestoreError::Write(error) => error,
            error => panic!("{error}"),
        };
        let mut restoring = restoring.map_err(written)?;
        restoring.restore(&id).map_err(written)?;
        restoring.finish()
    }),
    ("empty", true, |scene| {
        let emptied = scene.ground.store.empty(
            &project("p"),
            scene.batch,
            None,
            (&mut Turns::default(), Millis(5)),
            || true,
        );
        let failed = emptied.failures.into_iter().next();
        failed.map_or_else(|| scene.ground.store.sync_trash(&project("p")), Err)
    }),
];

/// Whenever a process dies: after the next start a note is with its run, or gone with it, and never
/// waits for another run of that name. Of what was emptied it is gone when the trash is emptied next.
#[test]
fn after_a_kill_before_any_step_a_note_is_where_its_run_is() {
    for (what, trashed, deed) in DEEDS {
        let mut ends = Vec::new();
        for number in 0.. {
            let scene = Scene::new(trashed);
            let killed = killed_before(number, || drop(deed(&scene)));
            scene.begin_again();
            let places = scene.places();
            match places {
                (of_run, of_note) if of_run == of_note => {}
                ("gone", "trash") if what == "empty" => {
                    fs::write(scene.ground.executions().join("x.json"), "another").unwrap();
                    deed(&scene).unwrap();
                    assert_eq!(scene.places(), ("here", "gone"), "{what} {number}");
                }
                _ => panic!("{what}, killed before {number}: {places:?}"),
            }
            ends.push(places.0);
            if !killed {
                break;
            }
        }
        ends.dedup();
        assert_eq!(ends.len(), 2, "{what}: {ends:?}");
    }
}

/// So it is whatever is done first, by the next start or by somebody who was there all the time.
#[test]
fn what_is_done_first_after_a_kill_loses_no_note() {
    let seconds: [(&str, &str, Deed); 3] = [
        ("empty", "here", |scene| {
            let emptied = scene.store().empty(
                &project("p"),
                scene.batch,
                None,
                (&mut Turns::default(), Millis(5)),
                || true,
            );
            emptied.failures.into_iter().next().map_or(Ok(()), Err)
        }),
        ("delete", "trash", |scene| {
            scene.store().delete(&run("x"), Some(scene.batch)).map(drop)
        }),
        ("note", "here", |scene| {
            let _turn = scene.store().turn_to_note(&project("p")).unwrap();
            let noted = scene.store().annotation(&run("x")).unwrap();
            assert_eq!(noted, Sidecar::Is(note("first")));
            Ok(())
        }),
    ];
    for (what, place, second) in seconds {
        let mut parted = 0;
        for number in 0.. {
            let mut scene = Scene::new(false);
            let killed = killed_before(number, || drop(scene.delete(Some(scene.batch))));
            if !killed {
                break;
            }
            let files = scene.files();
            let there = |path: &str| files.iter().any(|(found, _)| found == path);
            if there("p/executions/x.json") && there("p/.runlog/trash/B/x.note") {
                parted += 1;
                scene.wait_for_locks();
                if what == "delete" {
                    scene.batch = Batch::new(Millis(6));
                }
                second(&scene).unwrap();
                scene.begin_again();
                assert_eq!(
                    scene.places(),
                    (place, place),
                    "{what}, killed before {number}"
                );
            }
        }
        assert!(parted > 0, "{what}");
    }
}

/// A note that could not go with its run, or come with it, does not part from it.
#[test]
fn a_step_that_is_refused_parts_no_note_from_its_run() {
    for (what, trashed, deed) in DEEDS {
        for step in [Step::Rename, Step::Unlink] {
            for number in 0.. {
                let scene = Scene::new(trashed);
                let (done, met) = refusing((step, number), Errno::IO, || deed(&scene));
                if !met {
                    break;
                }
                // what is only to be swept
                scene.begin_again();
                let (of_run, of_note) = scene.places();
                assert_eq!(of_run, of_note, "{what} {step:?} {number}: {done:?}");
                let stays = (of_run == "trash") == trashed && of_run != "gone";
                assert_eq!(done.is_err(), stays, "{what} {step:?} {number}: {done:?}");
            }
        }
    }
}

/// The disk may be full at each step: it is never said that nothing was changed where something was.
#[test]
fn what_is_done_is_not_said_to_be_undone() {
    let noted: [(&str, bool, Deed); 2] = [
        ("note", false, |scene| {
            scene.ground.store.annotate(&run("x"), &note("second"))
        }),
        ("no note", false, |scene| {
            scene
                .ground
                .store
                .annotate(&run("x"), &Annotation::default())
        }),
    ];
    for (what, trashed, deed) in DEEDS.into_iter().chain(noted) {
        let mut unsure = 0;
        for step in [
            Step::Sync,
            Step::RemoveFolder,
            Step::MakeFolder,
            Step::Unlink,
        ] {
            for number in 0.. {
                let scene = Scene::new(trashed);
                let before = scene.files();
                let (done, met) = refusing((step, number), Errno::NOSPC, || deed(&scene));
                if !met {
                    break;
                }
                scene.begin_again();
                let changed = scene.files() != before;
                let said = match &done {
                    Ok(()) => true,
                    Err(WriteError::Io { .. }) => {
                        unsure += 1;
                        true
                    }
                    Err(_) => false,
                };
                assert_eq!(changed, said, "{what} {step:?} {number}: {done:?}");
                if step == Step::RemoveFolder {
                    assert!(
                        done.is_ok(),
                        "{what}: an empty folder is no failure: {done:?}"
                    );
                }
            }
        }
        assert!(unsure > 0, "{what}");
    }
}

const KILLS: usize = 25;
const RUNS: usize = 40;

#[test]
#[ignore = "a process of another test's"]
fn child() {
    let Some(root) = std::env::var_os("RUNLOG_TEST_ROOT") else {
        return;
    };
    let store = Store::new(root.into());
    let mut out = std::io::stdout();
    writeln!(out, "\nbegun").unwrap();
    for round in 0_i64.. {
        match round % 3 {
            0 => {
                for number in (0..RUNS).step_by(2) {
                    let batch = Batch::new(Millis(round));
                    store
                        .delete(&run(&format!("r{number}")), Some(batch))
                        .unwrap();
                }
            }
            1 => {
                let batch = Batch::new(Millis(round));
                store
                    .delete_all(&project("p"), Some(batch), || true)
                    .unwrap();
            }
            _ => {
                for id in entries(&store) {
                    // what was noted on a run that somebody's `rm` removed since
                    let key = id.key().unwrap();
                    let none = Sidecar::Is(Annotation::default());
                    if store.annotation(&key).unwrap() == none {
                        store.annotate(&key, &note("left behind")).unwrap();
                    }
                    restore(&store, &id).unwrap();
                }
            }
        }
    }
}

#[test]
fn after_a_kill_each_run_is_in_exactly_one_place() {
    let ground = Ground::new();
    let folder = ground.executions();
    for number in 0..RUNS {
        fs::write(folder.join(format!("r{number}.json")), format!("{number}")).unwrap();
        let key = run(&format!("r{number}"));
        let note = note(&number.to_string());
        ground.store.annotate(&key, &note).unwrap();
    }
    let own = trash_of(&ground).parent().unwrap().to_owned();
    let mut in_trash = 0;
    for kill in 0..KILLS {
        let mut child = test_process("trash::child")
            .env("RUNLOG_TEST_ROOT", ground.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().any(|line| line.unwrap() == "begun"));
        let random = RandomState::new().hash_one(kill);
        let instant = Instant::now() + Duration::from_micros(random % 30_000);
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // as the next start does
        let swept = sweep(&ground.store);
        assert!(swept.failures.is_empty(), "{:?}", swept.failures);
        // not what was noted on another run of that name
        let is_own = |run: &str, path: &Path| {
            let noted = Annotation::read(&fs::read(path).unwrap()).unwrap();
            noted.note.as_deref() == run.strip_prefix('r')
        };
        // every place in which a run may be
        let mut places: Vec<(String, String)> = Vec::new();
        // the runs whose notes went with them into a folder
        let mut gone_along: Vec<String> = Vec::new();
        let mut look = |folder: &Path| {
            let names = listing(folder);
            for name in &names {
                if let Some(run) = name.strip_suffix(".note") {
                    assert!(names.contains(&format!("{run}.json")), "{run} is not there");
                    assert!(is_own(run, &folder.join(name)), "{run}");
                    gone_along.push(run.to_owned());
                    continue;
                }
                let text = fs::read_to_string(folder.join(name)).unwrap();
                places.push((name.clone(), text));
            }
        };
        look(&folder);
        let here = listing(&folder).len();
        if trash_of(&ground).exists() {
            for batch in listing(&trash_of(&ground)) {
                look(&trash_of(&ground).join(batch));
            }
        }
        places.sort();
        let mut want: Vec<(String, String)> = (0..RUNS)
            .map(|number| (format!("r{number}.json"), number.to_string()))
            .collect();
        want.sort();
        assert_eq!(places, want);
        // each note is where its run will look for it, or where a restoring finds it
        let stayed = listing(&own).into_iter();
        let stayed = stayed.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
        let stayed = stayed.filter(|run| is_own(run, &own.join(format!("{run}.json"))));
        let mut noted: Vec<String> = stayed.chain(gone_along).collect();
        noted.sort();
        let mut runs: Vec<String> = (0..RUNS).map(|number| format!("r{number}")).collect();
        runs.sort();
        assert_eq!(noted, runs, "each note in one place");
        assert_eq!(
            entries(&ground.store).len(),
            RUNS - here,
            "all can be had back"
        );
        in_trash += RUNS - here;
    }
    assert!(
        in_trash > 0,
        "no kill came while something was in the trash"
    );
}

/// However many notes there are, changing one and taking one to the trash lists none of them.
#[test]
fn a_note_and_a_deletion_list_no_notes() {
    let ground = Ground::new();
    let own = ground.root().join("p/.runlog");
    for name in ["x", "y"] {
        fs::write(ground.executions().join(format!("{name}.json")), "{}").unwrap();
    }
    let pinned = Annotation {
        pinned: true,
        ..Annotation::default()
    };
    let note = || {
        let turn = ground.store.turn_to_note(&project("p")).unwrap();
        ground.store.annotate(&run("x"), &pinned).unwrap();
        drop(turn);
    };
    note();
    let ((), listed) = refusing((Step::List, 0), Errno::IO, note);
    assert!(!listed, "nothing was ever on its way");
    let delete = |name: &str, batch| ground.store.delete(&run(name), Some(Batch::new(batch)));
    let (gone, listed) = refusing((Step::List, 0), Errno::IO, || delete("x", Millis(7)));
    assert!(gone.unwrap() && !listed);
    // by now there is a place for what is on its way, which holds nothing of what is not
    ground.store.annotate(&run("y"), &pinned).unwrap();
    assert_eq!(listing(&own.join("moving")), Vec::<String>::new());
    let (gone, listed) = refusing((Step::List, 1), Errno::IO, || delete("y", Millis(8)));
    assert!(gone.unwrap() && !listed, "it alone is listed, once");
    assert_eq!(listing(&own.join("moving")), Vec::<String>::new());
    assert_eq!(entries(&ground.store).len(), 2);
}

/// What was done by then is durable, and the rest is where it was.
#[test]
fn what_is_done_with_many_stops_where_it_is_told_to() {
    let ground = Ground::new();
    let folder = ground.executions();
    for name in ["a", "b", "c", "d", "e"] {
        fs::write(folder.join(format!("{name}.json")), "{}").unwrap();
    }
    let after = |mut count: u32| {
        move || {
            let goes_on = count > 0;
            count = count.saturating_sub(1);
            goes_on
        }
    };
    let batch = Batch::new(Millis(5));
    let done = ground
        .store
        .delete_all(&project("p"), Some(batch), after(3));
    let done = done.unwrap();
    assert_eq!((done.count, done.failures.len()), (3, 0));
    assert_eq!(
        (listing(&folder).len(), entries(&ground.store).len()),
        (2, 3)
    );
    let turns = (&mut Turns::default(), Millis(5));
    let done = ground
        .store
        .empty(&project("p"), batch, None, turns, after(1));
    assert_eq!((done.entries, done.failures.len()), (1, 0));
    assert_eq!(
        (listing(&folder).len(), entries(&ground.store).len()),
        (2, 2)
    );
}
