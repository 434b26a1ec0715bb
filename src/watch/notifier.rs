//! Watching with the notify crate.
//!
//! Watched, each by itself and not recursively: the root, the nearest folder above it that is
//! there, every project's folder, every executions folder. What must be right (notify 9, inotify):
//!
//! - A watch is on an inode, not on a name: after `mv a b` its events still come under `a`. So the
//!   inode of every watched folder is remembered, and what is not as remembered is unwatched
//!   before anything new is watched.
//! - notify drops its watches of a path and of everything below by itself when it reads that the
//!   path was moved or removed, which may be after another folder came there and was watched, or
//!   the same came back. So the folders at and below a name in an event are suspect, and their
//!   watches are renewed whatever their inodes.
//! - Lost events may have been such, so after an overflow every watch is renewed.
//! - What is queued under a watch is lost when it is renewed, so whoever follows looks afterwards:
//!   at the root and its projects after [`Watcher::follow_root`], into a project after its own.
//! - notify's own reading must not raise events, so only the kinds that matter are asked for.
//! - The callback runs on notify's thread, which also serves `watch`: it never calls back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{EventKind, Flag, ModifyKind};
use notify::{
    Config, ErrorKind, EventKindMask, PathOp, RecommendedWatcher, RecursiveMode, WatchPathConfig,
    Watcher as _,
};
use parking_lot::Mutex;

use super::folders::{self, Event, Renew};
use super::{Health, Hint, Watcher, remote};
use crate::model::ProjectId;

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no file events: {0}")]
pub struct WatchError(#[from] notify::Error);

/// Which folder a name led to.
type Identity = (u64, u64);

/// What the callback leaves for those who follow.
#[derive(Debug, Default)]
struct Heard {
    /// Folders whose watches notify may have dropped.
    suspect: HashSet<PathBuf>,
    all_suspect: bool,
    overflows: u64,
    message: Option<String>,
}

struct Watches {
    watcher: RecommendedWatcher,
    held: HashMap<PathBuf, Identity>,
    /// Folders that could not be watched.
    refused: BTreeSet<PathBuf>,
}

/// Watches with the system's best interface.
pub struct NotifyWatcher {
    root: PathBuf,
    heard: Arc<Mutex<Heard>>,
    watches: Mutex<Watches>,
}

impl std::fmt::Debug for NotifyWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyWatcher")
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl NotifyWatcher {
    /// Begins to listen; nothing is watched before it is followed. `on_hint` must be quick.
    ///
    /// # Errors
    /// When the system has no more instances to give, or no interface at all.
    pub fn start(
        root: &Path,
        on_hint: impl Fn(Hint) + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let config = Config::default()
            .with_follow_symlinks(false)
            .with_event_kinds(
                EventKindMask::CREATE
                    | EventKindMask::REMOVE
                    | EventKindMask::MODIFY_NAME
                    | EventKindMask::MODIFY_META
                    | EventKindMask::ACCESS_CLOSE,
            );
        let listener = {
            let (root, heard) = (root.to_owned(), Arc::clone(&heard));
            move |event| listen(&root, &heard, event, &on_hint)
        };
        let watcher = RecommendedWatcher::new(listener, config)?;
        let watches = Watches {
            watcher,
            held: HashMap::new(),
            refused: BTreeSet::new(),
        };
        Ok(Self {
            root: root.to_owned(),
            heard,
            watches: Mutex::new(watches),
        })
    }

    /// The root's own folders to watch: it, and the nearest one above it that is there.
    fn of_root(&self) -> Vec<PathBuf> {
        let above = self
            .root
            .ancestors()
            .skip(1)
            .find(|folder| identity(folder).is_some());
        above
            .map(Path::to_owned)
            .into_iter()
            .chain([self.root.clone()])
            .collect()
    }

    /// Makes the watches of `wanted` equal to what is on disk, and drops those of `unwanted`.
    /// Returns the folders whose watches are new.
    fn renew(&self, wanted: &[PathBuf], unwanted: &[PathBuf]) -> HashSet<PathBuf> {
        let mut watches = self.watches.lock();
        let suspect: HashSet<PathBuf> = {
            let mut heard = self.heard.lock();
            wanted
                .iter()
                .filter(|path| heard.suspect.remove(*path))
                .cloned()
                .collect()
        };
        let mut operations = Vec::new();
        let mut fresh: HashMap<PathBuf, Identity> = HashMap::new();
        for path in wanted {
            let now = identity(path);
            if watches.held.get(path) == now.as_ref() && !suspect.contains(path) {
                continue;
            }
            if watches.held.remove(path).is_some() {
                operations.push(PathOp::unwatch(path));
            }
            if let Some(now) = now {
                fresh.insert(path.clone(), now);
            }
        }
        for path in unwanted {
            if watches.held.remove(path).is_some() {
                operations.push(PathOp::unwatch(path));
            }
            watches.refused.remove(path);
        }
        // only now, because two names may lead to one inode and so to one watch
        let config =
            WatchPathConfig::new(RecursiveMode::NonRecursive).with_dereference_symlinks(false);
        operations.extend(
            fresh
                .keys()
                .map(|path| PathOp::Watch(path.clone(), config.clone())),
        );
        for path in wanted {
            watches.refused.remove(path);
        }
        self.carry_out(&mut watches, operations, &mut fresh);
        for (path, identity_before) in &fresh {
            // what came between is heard, unless it came between these two lines: look again
            if identity(path) == Some(*identity_before) {
                watches.held.insert(path.clone(), *identity_before);
            } else {
                self.heard.lock().suspect.insert(path.clone());
            }
        }
        fresh.into_keys().collect()
    }

    /// Does all that can be done; what cannot is taken out of `fresh`.
    fn carry_out(
        &self,
        watches: &mut Watches,
        mut operations: Vec<PathOp>,
        fresh: &mut HashMap<PathBuf, Identity>,
    ) {
        while let Err(refused) = watches
            .watcher
            .update_paths(std::mem::take(&mut operations))
        {
            let Some(operation) = refused.origin else {
                break;
            };
            let path = operation.as_path().to_owned();
            operations = refused.remaining;
            match (&operation, &refused.source.kind) {
                // notify had dropped it by itself
                (PathOp::Unwatch(_), _) => {}
                // gone meanwhile, which is heard above it
                (_, ErrorKind::PathNotFound) => {
                    fresh.remove(&path);
                }
                (_, kind) => {
                    fresh.remove(&path);
                    let message = match kind {
                        ErrorKind::MaxFilesWatch => "the system's limit of watches is reached; \
                            raise fs.inotify.max_user_watches. What is not watched is polled"
                            .to_owned(),
                        other => format!("a folder cannot be watched and is polled: {other:?}"),
                    };
                    tracing::warn!(message, "watching");
                    self.heard.lock().message = Some(message);
                    watches.refused.insert(path);
                }
            }
        }
    }
}

impl Watcher for NotifyWatcher {
    fn follow_all(&self, projects: &[ProjectId]) -> Vec<ProjectId> {
        let of_root = self.of_root();
        let mut wanted = Vec::with_capacity(projects.len() * 2);
        for project in projects {
            wanted.extend(folders::of_project(&self.root, project));
        }
        let unwanted: Vec<PathBuf> = {
            let keep: HashSet<&PathBuf> = wanted.iter().chain(&of_root).collect();
            let watches = self.watches.lock();
            watches
                .held
                .keys()
                .chain(&watches.refused)
                .filter(|path| !keep.contains(path))
                .cloned()
                .collect()
        };
        let fresh = self.renew(&wanted, &unwanted);
        let is_fresh = |project: &&ProjectId| {
            folders::of_project(&self.root, project)
                .iter()
                .any(|path| fresh.contains(path))
        };
        projects.iter().filter(is_fresh).cloned().collect()
    }

    fn follow(&self, project: &ProjectId) -> bool {
        !self
            .renew(&folders::of_project(&self.root, project), &[])
            .is_empty()
    }

    fn follow_root(&self) -> bool {
        if std::mem::take(&mut self.heard.lock().all_suspect) {
            let held: Vec<PathBuf> = self.watches.lock().held.keys().cloned().collect();
            self.heard.lock().suspect.extend(held);
        }
        let wanted = self.of_root();
        let unwanted: Vec<PathBuf> = {
            let watches = self.watches.lock();
            let above = |path: &&PathBuf| self.root.starts_with(path) && !wanted.contains(path);
            watches.held.keys().filter(above).cloned().collect()
        };
        !self.renew(&wanted, &unwanted).is_empty()
    }

    fn health(&self) -> Health {
        let watches = self.watches.lock();
        let heard = self.heard.lock();
        let remote = remote::is_remote(&self.root);
        let message = if remote {
            Some("the file system does not tell what others change; it is polled".to_owned())
        } else {
            heard.message.clone()
        };
        let root = if identity(&self.root).is_some() {
            watches.held.contains_key(&self.root)
        } else {
            !self.root.exists()
        };
        Health {
            backend: if cfg!(target_os = "linux") {
                "inotify"
            } else {
                "fsevents"
            },
            folders: watches.held.len(),
            overflows: heard.overflows,
            unwatched: watches.refused.len(),
            root_watched: root && !remote,
            message,
        }
    }
}

/// The folder that `path` names, if it is one and no link.
fn identity(path: &Path) -> Option<Identity> {
    let found = path.symlink_metadata().ok()?;
    found.is_dir().then(|| (found.dev(), found.ino()))
}

/// On notify's thread: notes what may have to be renewed, then hints.
fn listen(
    root: &Path,
    heard: &Mutex<Heard>,
    event: notify::Result<notify::Event>,
    on_hint: &impl Fn(Hint),
) {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, "watching");
            heard.lock().all_suspect = true;
            on_hint(Hint::Everything);
            return;
        }
    };
    if event.attrs.flag() == Some(Flag::Rescan) {
        tracing::info!("the system lost file events; comparing everything");
        let mut heard = heard.lock();
        heard.all_suspect = true;
        heard.overflows += 1;
        drop(heard);
        on_hint(Hint::Everything);
        return;
    }
    let what = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            Event::Name
        }
        _ => Event::Content,
    };
    for path in &event.paths {
        let (hint, renew) = folders::hint(root, path, what);
        match renew {
            Renew::Nothing => {}
            Renew::All => heard.lock().all_suspect = true,
            Renew::Folder => heard.lock().suspect.extend(folders::at_and_below(path)),
        }
        if let Some(hint) = hint {
            on_hint(hint);
        }
    }
}
