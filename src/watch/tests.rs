//! Watching at the limits of the system: real ones, in a user namespace of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// Set in the process that runs in the namespace.
const INSIDE: &str = "RUNLOG_TEST_INSIDE";

/// Whether this process may set the limits of inotify. If not, `test` is run by itself in a process
/// that may, and this fails if that does.
pub(crate) fn may_limit(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is needed (Debian: util-linux)");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "in a user namespace, which the system must allow (unshare --user --map-root-user):\n{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(said.contains("1 passed"), "there is no test {test}");
    false
}

/// Allows so many watches in this process's namespace.
pub(crate) fn limit_watches(most: usize) {
    fs::write("/proc/sys/user/max_inotify_watches", most.to_string()).unwrap();
}

fn limit_watchers(most: usize) {
    fs::write("/proc/sys/user/max_inotify_instances", most.to_string()).unwrap();
}

struct Place {
    folder: tempfile::TempDir,
    projects: Vec<ProjectId>,
}

impl Place {
    fn new(projects: &[&str]) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            projects: projects.iter().map(|name| id(name)).collect(),
        };
        for project in projects {
            fs::create_dir_all(place.root().join(project).join("executions")).unwrap();
        }
        place
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("projects")
    }

    fn watcher(&self) -> NotifyWatcher {
        NotifyWatcher::start(&self.root(), |_| {}).unwrap()
    }
}

fn id(name: &str) -> ProjectId {
    ProjectId::parse(name).unwrap()
}

fn only(projects: &[(&str, Reason)]) -> Unwatched {
    let projects = projects
        .iter()
        .map(|(name, reason)| (id(name), reason.clone()));
    Unwatched::Projects(Arc::new(projects.collect()))
}

#[test]
fn what_finds_no_room_is_named_until_there_is_room() {
    if !may_limit("watch::tests::what_finds_no_room_is_named_until_there_is_room") {
        return;
    }
    let place = Place::new(&["a", "b", "c"]);
    let watcher = place.watcher();
    let unwatched = || watcher.health().unwatched;
    assert_eq!(unwatched(), Unwatched::Everything(Reason::NotYet));
    // the root, the folder above it, all of a, half of b
    limit_watches(5);
    watcher.follow_root();
    assert!(unwatched().is_nothing(), "nothing else was asked for");
    assert_eq!(
        watcher.follow_all(&place.projects),
        place.projects,
        "a is new, and what happened in the others before now was not told"
    );
    let limit = Reason::Watches;
    assert_eq!(
        unwatched(),
        only(&[("b", limit.clone()), ("c", limit.clone())])
    );
    assert_eq!(watcher.health().folders, 5);
    assert!(!watcher.follow(&id("c")), "nothing is new");
    assert_eq!(watcher.follow_all(&place.projects), []);
    // one that lost its room
    fs::rename(place.root().join("a"), place.folder.path().join("aside")).unwrap();
    fs::create_dir_all(place.root().join("a/executions")).unwrap();
    limit_watches(3);
    assert!(watcher.follow(&id("a")), "look at what was not told");
    assert_eq!(
        unwatched(),
        only(&[
            ("a", limit.clone()),
            ("b", limit.clone()),
            ("c", limit.clone())
        ])
    );
    limit_watches(7);
    assert!(watcher.follow(&id("c")));
    assert_eq!(
        unwatched(),
        only(&[("a", limit.clone()), ("b", limit.clone())])
    );
    // what is gone is not missed
    fs::remove_dir_all(place.root().join("b")).unwrap();
    assert_eq!(watcher.follow_all(&[id("a"), id("c")]), [id("a")]);
    assert!(unwatched().is_nothing());
    assert_eq!(unwatched().reason(), None);
}

#[test]
fn without_room_for_the_root_everything_is_unwatched() {
    if !may_limit("watch::tests::without_room_for_the_root_everything_is_unwatched") {
        return;
    }
    let place = Place::new(&["a"]);
    let watcher = place.watcher();
    for limit in [0, 1] {
        limit_watches(limit);
        watcher.follow_root();
        assert_eq!(
            watcher.health().unwatched,
            Unwatched::Everything(Reason::Watches)
        );
    }
    limit_watches(100);
    assert!(watcher.follow_root());
    assert!(watcher.health().unwatched.is_nothing());
    // where it will come is heard, unless there is no room for that
    fs::remove_dir_all(place.root()).unwrap();
    watcher.follow_root();
    assert!(watcher.health().unwatched.is_nothing());
    let nowhere = NotifyWatcher::start(&place.root(), |_| {}).unwrap();
    limit_watches(1);
    nowhere.follow_root();
    assert_eq!(
        nowhere.health().unwatched,
        Unwatched::Everything(Reason::Watches)
    );
}

#[test]
fn without_room_for_a_watcher_there_is_none() {
    if !may_limit("watch::tests::without_room_for_a_watcher_there_is_none") {
        return;
    }
    limit_watchers(0);
    let refused = NotifyWatcher::start(Path::new("/tmp"), |_| {});
    assert_eq!(refused.unwrap_err(), Reason::Instances);
}

#[test]
fn a_root_that_is_no_folder_is_unwatched() {
    let place = Place::new(&[]);
    std::os::unix::fs::symlink("/tmp", place.root()).unwrap();
    let watcher = place.watcher();
    watcher.follow_root();
    let unwatched = watcher.health().unwatched;
    assert!(
        matches!(&unwatched, Unwatched::Everything(Reason::Refused { .. })),
        "{unwatched:?}"
    );
}

#[test]
fn a_link_takes_no_event_of_the_project_that_it_leads_to() {
    let place = Place::new(&["p"]);
    std::os::unix::fs::symlink("p", place.root().join("q")).unwrap();
    let (sender, hints) = std::sync::mpsc::channel();
    let watcher = NotifyWatcher::start(&place.root(), move |hint| drop(sender.send(hint))).unwrap();
    watcher.follow_root();
    watcher.follow_all(&[id("p"), id("q")]);
    fs::write(place.root().join("p/executions/x.json"), "{}").unwrap();
    let told = hints.iter().find_map(|hint| match hint {
        Hint::Run(run) => Some(run.project),
        _ => None,
    });
    assert_eq!(told, Some(id("p")));
}

#[test]
fn what_can_be_mended_best_is_said_first() {
    let unwatched = only(&[
        ("a", Reason::Watches),
        ("b", Reason::Remote),
        (
            "c",
            Reason::Refused {
                what: "a project's folder",
                why: "Permission denied".into(),
            },
        ),
    ]);
    assert_eq!(unwatched.reason(), Some(&Reason::Watches));
    assert!(!unwatched.is_nothing());
}
