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
//! - Each watch that notify drops costs it a walk over all others, and whoever asks it for something
//!   waits meanwhile: seconds where thousands of projects are removed. So it is asked for nothing
//!   where a folder is gone: what comes there later is another one. What is left of such folders is
//!   dropped when everything is compared.
//! - What is queued under a watch is lost when it is renewed, so whoever follows looks afterwards:
//!   at the root and its projects after [`Watcher::follow_root`], into a project after its own.
//! - notify's own reading must not raise events, so only the kinds that matter are asked for. Above
//!   the root only names matter. Others write there, perhaps our own log, and notify goes on
//!   reading before it does anything else for as long as that lasts; so what is above is watched
//!   apart, without what is written.
//! - What is refused is tried again whenever it is followed. Folders are watched in the order in
//!   which they are asked for, so at the limit most projects are watched wholly or not at all.
//! - A folder on a remote file system is watched, which tells at once what this machine does there,
//!   and counts as unwatched all the same (see `remote`).
//! - The callback runs on notify's thread, which also serves `watch`: it never calls back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{EventKind, Flag, ModifyKind};
use notify::{
    Config, ErrorKind, EventKindMask, PathOp, RecommendedWatcher, RecursiveMode, WatchPathConfig,
    Watcher as _,
};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::folders::{self, Event, Renew};
use super::{Health, Hint, Reason, Unwatched, Watcher, remote};
use crate::model::ProjectId;

/// Which folder a name led to.
type Identity = (u64, u64);
/// No folder has it: that of what is gone, and may still be known to notify.
const GONE: Identity = (0, 0);

/// What the callback leaves for those who follow.
#[derive(Debug, Default)]
struct Heard {
    /// Folders whose watches notify may have dropped.
    suspect: HashSet<PathBuf>,
    all_suspect: bool,
    overflows: u64,
}

/// Those who watch. Each request of them waits for notify's thread, which may have much to do.
struct Watchers {
    watcher: RecommendedWatcher,
    /// Of what is above the root.
    above: RecommendedWatcher,
}

/// What is watched, as far as it is known; never held while anybody waits for notify.
struct Watches {
    held: HashMap<PathBuf, Identity>,
    /// Why the root's changes, and so new projects, are not all heard.
    root: Option<Reason>,
    /// Why the changes in these projects are not.
    unwatched: Arc<BTreeMap<ProjectId, Reason>>,
    /// What was logged since everything was watched last.
    told: BTreeSet<Reason>,
}

impl Watches {
    /// Logs why something is not watched, each reason once until all is well again.
    fn tell(&mut self, reason: &Reason) {
        if !self.told.contains(reason) {
            match reason {
                Reason::NotYet => return,
                Reason::Remote => tracing::info!("{reason}"),
                _ => tracing::warn!("{reason}"),
            }
            self.told.insert(reason.clone());
        }
    }

    fn tell_if_healed(&mut self) {
        if self.root.is_none() && self.unwatched.is_empty() && !self.told.is_empty() {
            tracing::info!("everything is watched");
            self.told.clear();
        }
    }
}

/// What came of renewing watches.
#[derive(Default)]
struct Renewed {
    fresh: HashMap<PathBuf, Identity>,
    refused: HashMap<PathBuf, Reason>,
}

impl Renewed {
    fn refuse(&mut self, path: PathBuf, reason: Reason) {
        self.fresh.remove(&path);
        self.refused.insert(path, reason);
    }
}

/// Watches with the system's best interface.
pub struct NotifyWatcher {
    root: PathBuf,
    heard: Arc<Mutex<Heard>>,
    /// Locked before the others, by who changes what is watched.
    watchers: Mutex<Watchers>,
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
    ) -> Result<Self, Reason> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let on_hint = Arc::new(on_hint);
        let listening = |kinds| {
            let (root, heard) = (root.to_owned(), Arc::clone(&heard));
            let on_hint = Arc::clone(&on_hint);
            let config = Config::default()
                .with_follow_symlinks(false)
                .with_event_kinds(kinds);
            let listener = move |event| listen(&root, &heard, event, &*on_hint);
            let watcher = RecommendedWatcher::new(listener, config).map_err(no_events)?;
            if watcher.watched_paths().is_ok() {
                return Ok(watcher);
            }
            // notify does not say that there is no thread for it, and would panic where it is dropped
            std::mem::forget(watcher);
            Err(Reason::NoEvents("there is no thread for them".to_owned()))
        };
        let names = EventKindMask::CREATE
            | EventKindMask::REMOVE
            | EventKindMask::MODIFY_NAME
            | EventKindMask::MODIFY_META;
        let contents = EventKindMask::MODIFY_DATA | EventKindMask::ACCESS_CLOSE;
        let watchers = Watchers {
            watcher: listening(names | contents)?,
            above: listening(names)?,
        };
        let watches = Watches {
            held: HashMap::new(),
            root: Some(Reason::NotYet),
            unwatched: Arc::default(),
            told: BTreeSet::new(),
        };
        Ok(Self {
            root: root.to_owned(),
            heard,
            watchers: Mutex::new(watchers),
            watches: Mutex::new(watches),
        })
    }

    /// The root's own folders to watch: it, and the nearest one above it that is there.
    fn of_root(&self) -> Vec<PathBuf> {
        let above = self
            .root
            .ancestors()
            .skip(1)
            .find(|path| matches!(folder(path), Ok(Some(_))));
        above
            .map(Path::to_owned)
            .into_iter()
            .chain([self.root.clone()])
            .collect()
    }

    /// Whether what there is at each of these is watched already, or there is nothing to watch.
    fn is_current(&self, wanted: &[PathBuf]) -> bool {
        let now = wanted.iter().map(|path| identity(&self.root, path));
        let now: Vec<_> = now.collect();
        let mut watches = self.watches.lock();
        let heard = self.heard.lock();
        wanted.iter().zip(now).all(|(path, now)| {
            let held = watches.held.get_mut(path);
            match (held, now) {
                (_, Err(_)) => false,
                _ if heard.suspect.contains(path) => false,
                (held, Ok(None)) => {
                    held.into_iter().for_each(|held| *held = GONE);
                    true
                }
                (held, Ok(now)) => held.copied() == now,
            }
        })
    }

    /// Makes the watches of `wanted` equal to what is on disk, and drops those of `unwanted`.
    fn renew(&self, watchers: &mut Watchers, wanted: &[PathBuf], unwanted: &[PathBuf]) -> Renewed {
        let suspect: HashSet<PathBuf> = {
            let mut heard = self.heard.lock();
            wanted
                .iter()
                .filter(|path| heard.suspect.remove(*path))
                .cloned()
                .collect()
        };
        let mut renewed = Renewed::default();
        let there: Vec<Option<Identity>> = wanted
            .iter()
            .map(|path| {
                identity(&self.root, path).unwrap_or_else(|error| {
                    renewed.refuse(
                        path.clone(),
                        folders::refused(&self.root, path, error.to_string()),
                    );
                    None
                })
            })
            .collect();
        let mut former: Vec<PathBuf> = Vec::new();
        {
            let mut watches = self.watches.lock();
            for (path, now) in wanted.iter().zip(there) {
                if watches.held.get(path) == now.as_ref() && !suspect.contains(path) {
                    continue;
                }
                let Some(now) = now else {
                    watches
                        .held
                        .entry(path.clone())
                        .and_modify(|held| *held = GONE);
                    continue;
                };
                former.extend(watches.held.remove_entry(path).map(|(path, _)| path));
                renewed.fresh.insert(path.clone(), now);
            }
            let unwanted = unwanted.iter();
            former.extend(
                unwanted
                    .filter(|path| watches.held.remove(*path).is_some())
                    .cloned(),
            );
        }
        let is_above = |path: &Path| self.root != path && self.root.starts_with(path);
        for (watcher, of_above) in [(&mut watchers.above, true), (&mut watchers.watcher, false)] {
            let mut dropped: HashSet<PathBuf> = former
                .iter()
                .filter(|path| is_above(path) == of_above)
                .cloned()
                .collect();
            if !dropped.is_empty() {
                // what is gone notify has dropped by itself, and to be told so of each would cost a
                // walk over all
                let held = watcher.watched_paths().unwrap_or_default();
                let held: HashSet<PathBuf> = held.into_iter().map(|(path, _)| path).collect();
                dropped.retain(|path| held.contains(path));
            }
            let mut operations: Vec<PathOp> = dropped.into_iter().map(PathOp::unwatch).collect();
            // only now, because two names may lead to one inode and so to one watch
            let config =
                WatchPathConfig::new(RecursiveMode::NonRecursive).with_dereference_symlinks(false);
            let fresh = wanted
                .iter()
                .filter(|path| renewed.fresh.contains_key(*path));
            let fresh = fresh.filter(|path| is_above(path) == of_above);
            operations.extend(fresh.map(|path| PathOp::Watch(path.clone(), config.clone())));
            carry_out(&self.root, watcher, operations, &mut renewed);
        }
        for (path, identity_before) in &renewed.fresh {
            // what came between is heard, unless it came between these two lines: look again
            let now = identity(&self.root, path);
            if now.is_ok_and(|now| now == Some(*identity_before)) {
                let mut watches = self.watches.lock();
                watches.held.insert(path.clone(), *identity_before);
            } else {
                self.heard.lock().suspect.insert(path.clone());
            }
        }
        renewed
    }

    /// Notes which of `projects` are unwatched. Returns those whose watches are new, and those that
    /// were not unwatched before: what was queued under a watch that is no more is lost.
    fn note(&self, projects: &[ProjectId], renewed: &Renewed) -> Vec<ProjectId> {
        let mut watches = self.watches.lock();
        let device = |held: Option<&Identity>| {
            let held = held.filter(|held| **held != GONE);
            held.map(|(device, _)| *device)
        };
        let device_of_root = device(watches.held.get(&self.root));
        let mut changed = Vec::new();
        for project in projects {
            let folders = folders::of_project(&self.root, project);
            // the root's own file system was asked when it was followed
            let is_remote = |path: &PathBuf| {
                let here = device(watches.held.get(path));
                here.is_some() && here != device_of_root && remote::is_remote(path)
            };
            let refused = folders.iter().filter_map(|path| renewed.refused.get(path));
            let reason = refused
                .max()
                .cloned()
                .or_else(|| folders.iter().any(is_remote).then_some(Reason::Remote));
            let before = watches.unwatched.get(project);
            let is_fresh = folders.iter().any(|path| renewed.fresh.contains_key(path));
            if is_fresh || (reason.is_some() && before.is_none()) {
                changed.push(project.clone());
            }
            if before == reason.as_ref() {
                continue;
            }
            let unwatched = Arc::make_mut(&mut watches.unwatched);
            match reason {
                Some(reason) => {
                    unwatched.insert(project.clone(), reason.clone());
                    watches.tell(&reason);
                }
                None => drop(unwatched.remove(project)),
            }
        }
        watches.tell_if_healed();
        changed
    }

    /// Why the root is not watched, or the place where it will come, once `of_root` was renewed.
    fn root_unwatched(
        &self,
        watches: &Watches,
        of_root: &[PathBuf],
        renewed: &Renewed,
    ) -> Option<Reason> {
        let refused = of_root.iter().filter_map(|path| renewed.refused.get(path));
        if let Some(reason) = refused.max() {
            return Some(reason.clone());
        }
        let there = folder(&self.root).is_ok_and(|now| now.is_some());
        if !there && self.root.exists() {
            let why = "it is a link or a file".to_owned();
            return Some(folders::refused(&self.root, &self.root, why));
        }
        let wanted: Vec<&PathBuf> = of_root
            .iter()
            .filter(|path| there || **path != self.root)
            .collect();
        if !wanted.iter().all(|path| watches.held.contains_key(*path)) {
            return Some(Reason::NotYet);
        }
        let deepest = wanted.last()?;
        remote::is_remote(deepest).then_some(Reason::Remote)
    }
}

/// Does all that can be done; what cannot is taken out of the fresh ones.
fn carry_out(
    root: &Path,
    watcher: &mut RecommendedWatcher,
    mut operations: Vec<PathOp>,
    renewed: &mut Renewed,
) {
    // to be told nothing would be waited for as well, by every save
    while !operations.is_empty()
        && let Err(refused) = watcher.update_paths(std::mem::take(&mut operations))
    {
        let error = refused.source;
        let Some(operation) = refused.origin else {
            // notify's thread is gone, and nothing was done
            for path in std::mem::take(&mut renewed.fresh).into_keys() {
                let reason = folders::refused(root, &path, error.to_string());
                renewed.refuse(path, reason);
            }
            break;
        };
        let path = operation.as_path().to_owned();
        operations = refused.remaining;
        match (&operation, error.kind) {
            // notify had dropped it by itself
            (PathOp::Unwatch(_), _) => {}
            // gone meanwhile, which is heard above it
            (_, ErrorKind::PathNotFound) => drop(renewed.fresh.remove(&path)),
            (_, ErrorKind::MaxFilesWatch) => {
                // nor is there room for those that follow, and each would be asked for by itself
                let others = operations.drain(..).map(|other| other.as_path().to_owned());
                for path in std::iter::once(path).chain(others) {
                    renewed.refuse(path, Reason::Watches);
                }
            }
            (_, other) => {
                let why = match other {
                    ErrorKind::Io(error) => error.to_string(),
                    other => format!("{other:?}"),
                };
                let reason = folders::refused(root, &path, why);
                renewed.refuse(path, reason);
            }
        }
    }
}

impl Watcher for NotifyWatcher {
    fn follow_all(&self, projects: &[ProjectId]) -> Vec<ProjectId> {
        let mut watchers = self.watchers.lock();
        let of_projects = projects.iter();
        let wanted = of_projects.flat_map(|project| folders::of_project(&self.root, project));
        let renewed = self.renew(&mut watchers, &wanted.collect::<Vec<_>>(), &[]);
        let mut watches = self.watches.lock();
        if !watches.unwatched.is_empty() {
            let there: HashSet<&ProjectId> = projects.iter().collect();
            Arc::make_mut(&mut watches.unwatched).retain(|project, _| there.contains(project));
        }
        drop(watches);
        self.note(projects, &renewed)
    }

    fn drop_others(&self, projects: &[ProjectId]) {
        let mut watchers = self.watchers.lock();
        let keep: HashSet<PathBuf> = projects
            .iter()
            .flat_map(|project| folders::of_project(&self.root, project))
            .chain(self.of_root())
            .collect();
        let others: Vec<PathBuf> = {
            let watches = self.watches.lock();
            let held = watches.held.iter();
            let others =
                held.filter(|(path, identity)| !keep.contains(*path) || **identity == GONE);
            others.map(|(path, _)| path.clone()).collect()
        };
        self.heard.lock().suspect.retain(|path| keep.contains(path));
        self.renew(&mut watchers, &[], &others);
    }

    fn follow(&self, project: &ProjectId) -> bool {
        let wanted = folders::of_project(&self.root, project);
        let is_watched = || !self.watches.lock().unwatched.contains_key(project);
        if self.is_current(&wanted) && is_watched() {
            return false;
        }
        let mut watchers = self.watchers.lock();
        let renewed = self.renew(&mut watchers, &wanted, &[]);
        let projects = std::slice::from_ref(project);
        !self.note(projects, &renewed).is_empty()
    }

    fn follow_root(&self) -> bool {
        let mut watchers = self.watchers.lock();
        if std::mem::take(&mut self.heard.lock().all_suspect) {
            let held: Vec<PathBuf> = self.watches.lock().held.keys().cloned().collect();
            self.heard.lock().suspect.extend(held);
        }
        let mut is_fresh = false;
        let (wanted, renewed) = loop {
            let wanted = self.of_root();
            let unwanted: Vec<PathBuf> = {
                let above = |path: &&PathBuf| self.root.starts_with(path) && !wanted.contains(path);
                let watches = self.watches.lock();
                watches.held.keys().filter(above).cloned().collect()
            };
            let renewed = self.renew(&mut watchers, &wanted, &unwanted);
            is_fresh |= !renewed.fresh.is_empty();
            // who makes a folder on the way to the root before it is heard there goes on in that one
            if self.of_root() == wanted {
                break (wanted, renewed);
            }
        };
        let mut watches = self.watches.lock();
        watches.root = self.root_unwatched(&watches, &wanted, &renewed);
        if let Some(reason) = watches.root.clone() {
            watches.tell(&reason);
        }
        watches.tell_if_healed();
        is_fresh
    }

    fn health(&self) -> Health {
        let watches = self.watches.lock();
        Health {
            backend: if cfg!(target_os = "linux") {
                "inotify"
            } else {
                "fsevents"
            },
            folders: watches.held.values().filter(|held| **held != GONE).count(),
            overflows: self.heard.lock().overflows,
            unwatched: match &watches.root {
                Some(reason) => Unwatched::Everything(reason.clone()),
                None => Unwatched::Projects(Arc::clone(&watches.unwatched)),
            },
        }
    }
}

/// Why there is no watcher.
fn no_events(error: notify::Error) -> Reason {
    match error.kind {
        ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            Reason::Instances
        }
        ErrorKind::Io(error) => Reason::NoEvents(error.to_string()),
        other => Reason::NoEvents(format!("{other:?}")),
    }
}

/// The folder that `path` names, if it is one and no link, nor in a project that is one: what that
/// leads to may be another project's, and the system has one watch for both.
///
/// # Errors
/// Those that do not say that there is none, such as of a server that does not answer: whether
/// there is one is unknown then, and nothing will tell when that ends.
fn identity(root: &Path, path: &Path) -> io::Result<Option<Identity>> {
    let project = path.parent().filter(|above| above.parent() == Some(root));
    match project.map(folder).transpose()? {
        Some(None) => Ok(None),
        _ => folder(path),
    }
}

fn folder(path: &Path) -> io::Result<Option<Identity>> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(Some((found.dev(), found.ino()))),
        Ok(_) => Ok(None),
        Err(error) => match error.kind() {
            // a folder above it will tell of each
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied => Ok(None),
            _ => Err(error),
        },
    }
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
