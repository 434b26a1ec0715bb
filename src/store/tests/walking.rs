//! Listing, and what is left out of the lists.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use super::{Ground, disturbed, in_time, make_fifo, project, run};
use crate::model::ExecutionId;
use crate::model::ProblemKind;
use crate::store::{Problem, Store};

fn found(problems: &[Problem]) -> Vec<(&str, ProblemKind)> {
    let mut found: Vec<_> = problems
        .iter()
        .map(|problem| (problem.path.as_str(), problem.kind))
        .collect();
    found.sort();
    found
}

#[test]
fn what_is_missing_is_empty() {
    let ground = Ground::new();
    let nowhere = Store::new(ground.root().join("not/there"));
    let walk = nowhere
        .walk(&project("p"), SystemTime::now(), true)
        .unwrap();
    assert!(!walk.exists && !walk.has_executions && walk.runs.is_empty());
    let projects = nowhere.projects().unwrap();
    assert!(projects.projects.is_empty() && projects.problems.is_empty());

    fs::create_dir(ground.root().join("p")).unwrap();
    let walk = ground
        .store
        .walk(&project("p"), SystemTime::now(), true)
        .unwrap();
    assert!(walk.exists && !walk.has_executions && walk.problems.is_empty());
    ground.executions();
    let walk = ground
        .store
        .walk(&project("p"), SystemTime::now(), true)
        .unwrap();
    assert!(walk.has_executions && walk.runs.is_empty());
}

#[test]
fn projects_are_folders_whose_names_are_ids() {
    let ground = Ground::new();
    for name in ["b", "a", "über 7 日本", ".hidden", "back\\slash"] {
        fs::create_dir(ground.root().join(name)).unwrap();
    }
    fs::create_dir(ground.root().join(OsStr::from_bytes(b"\xff"))).unwrap();
    fs::write(ground.root().join("README.md"), "").unwrap();
    symlink("/", ground.root().join("link")).unwrap();
    let projects = ground.store.projects().unwrap();
    let ids: Vec<&str> = projects.projects.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "über 7 日本"]);
    assert_eq!(
        found(&projects.problems),
        [
            ("back\\slash", ProblemKind::InvalidName),
            ("link", ProblemKind::NotRegular),
            ("\u{fffd}", ProblemKind::InvalidName),
        ]
    );
    // A file of the root is no project and no problem.
    let walk = ground
        .store
        .walk(&project("README.md"), SystemTime::now(), true)
        .unwrap();
    assert!(!walk.exists && walk.problems.is_empty());
}

#[test]
fn runs_are_regular_files_whose_names_are_ids() {
    let ground = Ground::new();
    let folder = ground.executions();
    for name in [
        "b.json",
        "a.json",
        ".json",
        ".hidden.json",
        "notes.txt",
        "x\\y.json",
    ] {
        fs::write(folder.join(name), "not even JSON").unwrap();
    }
    fs::write(folder.join(".runlog-0123456789abcdef.tmp"), "").unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"\xff.json")), "").unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    symlink("a.json", folder.join("link.json")).unwrap();
    make_fifo(&folder.join("pipe.json"));
    let _socket = UnixListener::bind(folder.join("socket.json")).unwrap();
    let store = Store::new(ground.root());
    let mut walk = in_time(move || store.walk(&project("p"), SystemTime::now(), true).unwrap());
    walk.runs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let ids: Vec<&str> = walk.runs.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(Some(walk.runs[0].1), ground.store.stamp(&run("a")).unwrap());
    assert_eq!(
        found(&walk.problems),
        [
            ("p/executions/folder.json", ProblemKind::NotRegular),
            ("p/executions/link.json", ProblemKind::NotRegular),
            ("p/executions/pipe.json", ProblemKind::NotRegular),
            ("p/executions/socket.json", ProblemKind::NotRegular),
            ("p/executions/x\\y.json", ProblemKind::InvalidName),
            ("p/executions/\u{fffd}.json", ProblemKind::InvalidName),
        ]
    );
}

#[test]
fn of_many_runs_each_is_there_with_its_own_stamp() {
    let ground = Ground::new();
    let folder = ground.executions();
    let mut ids = HashSet::new();
    for n in 0..2500 {
        let id = format!("run-{n}");
        fs::write(folder.join(format!("{id}.json")), "x".repeat(n % 7)).unwrap();
        ids.insert(id);
        if n % 100 == 0 {
            symlink("run-0.json", folder.join(format!("link-{n}.json"))).unwrap();
        }
    }
    let walk = ground.store.walk(&project("p"), SystemTime::now(), true);
    let walk = walk.unwrap();
    assert_eq!(walk.problems.len(), 25);
    assert_eq!(walk.runs.len(), ids.len());
    for (id, stamp) in walk.runs {
        assert!(ids.remove(id.as_str()), "{id} twice");
        assert_eq!(Some(stamp), ground.store.stamp(&run(id.as_str())).unwrap());
    }
}

#[test]
fn links_and_files_in_place_of_folders_are_problems() {
    let ground = Ground::new();
    let walk = || {
        ground
            .store
            .walk(&project("p"), SystemTime::now(), true)
            .unwrap()
    };
    let outside = ground.folder.path().join("outside/executions");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("x.json"), "{}").unwrap();

    symlink(
        ground.folder.path().join("outside"),
        ground.root().join("p"),
    )
    .unwrap();
    assert!(!walk().exists && walk().runs.is_empty());
    assert_eq!(found(&walk().problems), [("p", ProblemKind::NotRegular)]);

    fs::remove_file(ground.root().join("p")).unwrap();
    fs::create_dir(ground.root().join("p")).unwrap();
    symlink(&outside, ground.root().join("p/executions")).unwrap();
    assert!(walk().exists && !walk().has_executions && walk().runs.is_empty());
    assert_eq!(
        found(&walk().problems),
        [("p/executions", ProblemKind::NotRegular)]
    );

    fs::remove_file(ground.root().join("p/executions")).unwrap();
    fs::write(ground.root().join("p/executions"), "").unwrap();
    assert_eq!(
        found(&walk().problems),
        [("p/executions", ProblemKind::NotRegular)]
    );
}

#[test]
fn temporary_files_of_the_engine_are_problems_once_they_are_old() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json.tmp");
    let file = File::create(&path).unwrap();
    let written = SystemTime::now();
    file.set_modified(written).unwrap();
    let at = |now| {
        let walk = ground.store.walk(&project("p"), now, true).unwrap();
        assert!(walk.runs.is_empty());
        walk.problems
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(at(written + hour), []);
    assert_eq!(
        found(&at(written + hour + Duration::from_millis(1))),
        [("p/executions/x.json.tmp", ProblemKind::AbandonedTemporary)]
    );
    assert_eq!(at(SystemTime::UNIX_EPOCH), []);
    assert!(path.exists());
}

#[test]
fn a_temporary_file_is_gone_only_where_its_path_can_tell() {
    let ground = Ground::new();
    for name in [&b"x.json.tmp"[..], b"\xff.json.tmp"] {
        let file = ground.executions().join(OsStr::from_bytes(name));
        fs::write(&file, "").unwrap();
        let later = SystemTime::now() + Duration::from_secs(2 * 3600);
        let walk = ground.store.walk(&project("p"), later, true).unwrap();
        let [problem] = &walk.problems[..] else {
            panic!("{:?}", walk.problems);
        };
        assert!(ground.store.has_temporary(&problem.path), "{problem:?}");
        fs::remove_file(&file).unwrap();
        let told = std::str::from_utf8(name).is_err();
        assert_eq!(ground.store.has_temporary(&problem.path), told);
    }
}

#[test]
fn a_folder_that_may_not_be_read_is_a_problem() {
    let ground = Ground::new();
    fs::write(ground.executions().join("x.json"), "{}").unwrap();
    let allow = |path: &str, mode| {
        let path = ground.root().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::set_permissions(ground.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let unreadable = |expected: &str| {
        as_nobody(ground.root(), |store| {
            let walk = store.walk(&project("p"), SystemTime::now(), true).unwrap();
            (walk.problems, store.projects().unwrap().problems)
        })
        .iter()
        .any(|problems| found(problems) == [(expected, ProblemKind::Unreadable)])
    };
    allow("p/executions", 0o000);
    assert!(unreadable("p/executions"));
    // May be listed, but what is in it may not be looked at.
    allow("p/executions", 0o444);
    assert!(unreadable("p/executions"));
    allow("p", 0o000);
    assert!(unreadable("p"));
    allow("", 0o000);
    assert!(unreadable("."));
    for path in ["", "p", "p/executions"] {
        allow(path, 0o755);
    }
}

#[test]
fn folders_of_ours_that_may_not_be_written_to_are_problems() {
    let ground = Ground::new();
    ground.executions();
    fs::set_permissions(ground.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let trash = ground.root().join("p/.runlog/trash");
    fs::create_dir_all(&trash).unwrap();
    let found = |own: u32, of_trash: u32| {
        fs::set_permissions(&trash, fs::Permissions::from_mode(of_trash)).unwrap();
        let above = trash.parent().unwrap();
        fs::set_permissions(above, fs::Permissions::from_mode(own)).unwrap();
        let faults = |store: Store| (store.own_faults(&project("p")).unwrap(), Vec::new());
        let [faults, _] = as_nobody(ground.root(), faults);
        let told = faults.into_iter().map(|fault| (fault.path, fault.kind));
        told.collect::<Vec<_>>()
    };
    let (own, of_trash) = ("p/.runlog".to_owned(), "p/.runlog/trash".to_owned());
    assert_eq!(found(0o777, 0o777), []);
    assert_eq!(
        found(0o555, 0o777),
        [(own.clone(), ProblemKind::Unwritable)]
    );
    assert_eq!(
        found(0o777, 0o555),
        [(of_trash.clone(), ProblemKind::Unwritable)]
    );
    assert_eq!(
        found(0o555, 0o555),
        [
            (own.clone(), ProblemKind::Unwritable),
            (of_trash, ProblemKind::Unwritable)
        ]
    );
    assert_eq!(found(0o700, 0o777), [(own, ProblemKind::Unreadable)]);
    assert_eq!(found(0o777, 0o777), []);
}

/// What `work` gives to somebody for whom permissions count, which they do not for a superuser.
fn as_nobody(
    root: std::path::PathBuf,
    work: impl FnOnce(Store) -> (Vec<Problem>, Vec<Problem>) + Send + 'static,
) -> [Vec<Problem>; 2] {
    let (one, two) = in_time(move || {
        #[cfg(target_os = "linux")]
        if rustix::process::geteuid().is_root() {
            // Of this thread only.
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        work(Store::new(root))
    });
    [one, two]
}

#[test]
fn a_large_folder_is_listed_whole_while_it_changes() {
    let ground = Ground::new();
    let folder = ground.executions();
    for n in 0..500 {
        fs::write(folder.join(format!("{n}.json")), "{}").unwrap();
    }
    let mut numbers = (0..500).cycle();
    let replace = || {
        let n = numbers.next().unwrap();
        fs::write(folder.join("new"), "{}").unwrap();
        fs::rename(folder.join("new"), folder.join(format!("{n}.json"))).unwrap();
        fs::write(folder.join("passing.json"), "{}").unwrap();
        fs::remove_file(folder.join("passing.json")).unwrap();
    };
    disturbed(replace, || {
        for _ in 0..50 {
            let walk = ground
                .store
                .walk(&project("p"), SystemTime::now(), true)
                .unwrap();
            let lasting = walk.runs.iter().filter(|(id, _)| id.as_str() != "passing");
            assert_eq!(lasting.count(), 500);
            let ids: HashSet<&ExecutionId> = walk.runs.iter().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), walk.runs.len());
        }
    });
}
