//! The store on real folders: one file a subject, and what they share.

mod faults;
mod kill;
mod model;
mod pieces;
mod reading;
mod removing;
pub(crate) mod steps;
mod trash;
mod walking;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::{Store, Swept};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// Long enough for the slowest machine, short enough to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store whose root is a temporary folder.
struct Ground {
    store: Store,
    folder: tempfile::TempDir,
}

impl Ground {
    /// The root exists and is empty.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        Self {
            store: Store::new(folder.path().join("root")),
            folder,
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder of the project `p`, made if missing.
    fn executions(&self) -> PathBuf {
        let path = self.root().join("p/executions");
        fs::create_dir_all(&path).unwrap();
        path
    }
}

/// What a start sweeps: the root, and each project's folder once it was walked.
pub(super) fn sweep(store: &Store) -> Swept {
    let mut swept = store.sweep_cookies().unwrap();
    for project in store.projects().unwrap().projects {
        let walk = store.walk(&project, SystemTime::now(), false).unwrap();
        let own = store.sweep_own(&project);
        let more = store.sweep_temporaries(&project, &walk.temporaries);
        swept.removed += own.removed + more.removed;
        swept.failures.extend(own.failures);
        swept.failures.extend(more.failures);
    }
    swept
}

fn project(name: &str) -> ProjectId {
    ProjectId::parse(name).unwrap()
}

/// A run of the project `p`.
fn run(name: &str) -> RunKey {
    RunKey {
        project: project("p"),
        execution: ExecutionId::parse(name).unwrap(),
    }
}

/// Everything in a folder, hidden files too, in order.
fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// By a command: the system call that does it beneath a folder is not everywhere.
fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What `work` gives; fails, instead of hanging, if it blocks.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(PATIENCE).expect("it blocks")
}

/// Does `work` while another thread does `disturb` over and over.
fn disturbed(mut disturb: impl FnMut() + Send, work: impl FnOnce()) {
    /// Ends the disturbing also when the work fails.
    struct Ending<'a>(&'a AtomicBool);
    impl Drop for Ending<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                disturb();
            }
        });
        let _ending = Ending(&ended);
        work();
    });
}

/// One ignored test of this binary, to run in a process of its own; `name` as in `kill::child`.
fn test_process(name: &str) -> Command {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        &format!("{module}::{name}"),
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    command
}
