//! Files of our own: temporary files and cookies, and the sweeping of those left behind.
//!
//! Section 6 of the protocol: a temporary file is locked while it is in use, so that one whose lock
//! can be had was abandoned by a process that died. A cookie is an empty file whose appearing tells
//! that the watcher has told everything before it. Both are hidden (no list shows them) and named
//! at random. What is kept beside a project's runs lies in a hidden folder of the project's, which
//! tells git to ignore it. The engine's `*.json.tmp` are not ours: nothing here looks at them.

use std::collections::hash_map::RandomState;
use std::ffi::CString;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

use super::layout::{
    self, ANYBODY, Obstacle, Opened, Root, Turn, executions_path, lstat, make_folder,
    make_folder_for, names, open_folder, permissions, sync_folder, unlink,
};
use super::stamp::{same_file, stamp_of};
use super::trash::Batch;
use super::{Problem, Store, StoreError, is_short};
use crate::model::layout::{EXECUTIONS, OWN, TRASH};
use crate::model::{ProblemKind, ProjectId, Stamp};

const TEMPORARY: Pattern = Pattern(".runlog-", ".tmp");
const COOKIE: Pattern = Pattern(crate::model::layout::COOKIE, "");
const MOVING: Pattern = Pattern(".runlog-moving-", "");

/// The folder in it of what is on its way to or from the trash: who looks for that lists no notes.
const ON_THE_WAY: &str = "moving";
/// The file in it that tells git to ignore what is there, itself included.
const IGNORE: &str = ".gitignore";

/// How often another name is tried. One is taken with a chance of 2^-64, or when a sweeper comes
/// between making a file and locking it.
const NAMES_TRIED: u32 = 16;

/// What our names begin and end with.
struct Pattern(&'static str, &'static str);

impl Pattern {
    fn matches(&self, name: &[u8]) -> bool {
        name.starts_with(self.0.as_bytes()) && name.ends_with(self.1.as_bytes())
    }

    /// A name that nobody has.
    fn draw(&self) -> String {
        format!("{}{:016x}{}", self.0, random(), self.1)
    }
}

/// A number that nobody has. The standard library's hash keys are seeded by the system and differ
/// with every call.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A file of ours, locked as long as this lives and then removed, unless it has been renamed.
#[derive(Debug)]
struct Locked<F: AsFd> {
    folder: F,
    name: String,
    file: File,
    renamed: bool,
}

impl<F: AsFd> Locked<F> {
    /// Makes the file; `None` if a sweeper came between making and locking it.
    fn create(folder: F, name: String, mode: Mode) -> Result<Option<Self>, Errno> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&folder, &name, flags, mode))?;
        let made = Self {
            folder,
            name,
            file: File::from(fd),
            renamed: false,
        };
        // A file system without locks refuses the sweeper's as well, so nothing is swept there.
        let contended = rustix::fs::flock(&made.file, FlockOperation::NonBlockingLockExclusive)
            == Err(Errno::WOULDBLOCK);
        Ok((!contended && made.is_named()?).then_some(made))
    }

    /// Whether the name still stands for this file.
    fn is_named(&self) -> Result<bool, Errno> {
        let own = stamp_of(&rustix::fs::fstat(&self.file)?);
        Ok(lstat(&self.folder, &self.name)?.is_some_and(|stat| same_file(&stamp_of(&stat), &own)))
    }
}

impl<F: AsFd> Drop for Locked<F> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is swept at the next start.
            let _ = unlink(&self.folder, self.name.as_str());
        }
    }
}

/// A file being written that is to become another; removed unless it did.
#[derive(Debug)]
pub(super) struct Temporary<F: AsFd>(Locked<F>);

impl<F: AsFd + Clone> Temporary<F> {
    /// An empty file in `folder`, with `mode` less the umask.
    pub(super) fn create(folder: F, mode: Mode) -> Result<Self, Errno> {
        for _ in 0..NAMES_TRIED {
            match Locked::create(folder.clone(), TEMPORARY.draw(), mode) {
                Ok(Some(file)) => return Ok(Self(file)),
                Ok(None) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EXIST)
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.0.file
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Sets the permissions, which creation made less by the umask.
    pub(super) fn set_permissions(&self, mode: Mode) -> Result<(), Errno> {
        // Not where they are right: there are file systems that refuse to set any.
        if permissions(&rustix::fs::fstat(&self.0.file)?) == mode {
            return Ok(());
        }
        rustix::fs::fchmod(&self.0.file, mode)
    }

    pub(super) fn stamp(&self) -> Result<Stamp, Errno> {
        rustix::fs::fstat(&self.0.file).map(|stat| stamp_of(&stat))
    }

    /// Takes the place of `name`, whatever that is unless it is a folder.
    pub(super) fn rename_over(&mut self, name: &str) -> Result<(), Errno> {
        let folder = &self.0.folder;
        layout::rename(folder, self.0.name.as_str(), folder, name)?;
        self.0.renamed = true;
        Ok(())
    }

    /// Changes places with `name`: what stood there has this file's former name then, and is removed
    /// with it. [`Errno::NOTSUP`] where the file system cannot do that in one step.
    pub(super) fn exchange(&self, name: &str) -> Result<(), Errno> {
        layout::exchange(&self.0.folder, &self.0.name, name)
    }

    /// Removes what this file has changed places with.
    pub(super) fn discard_exchanged(&mut self) -> Result<(), Errno> {
        unlink(&self.0.folder, self.0.name.as_str())?;
        self.0.renamed = true;
        Ok(())
    }

    /// Becomes `name` if nothing has that name, in one step where the file system can do that;
    /// [`Errno::EXIST`] otherwise.
    pub(super) fn rename_new(&mut self, name: impl Arg + Copy) -> Result<(), Errno> {
        let folder = &self.0.folder;
        layout::rename_new(folder, &self.0.name, folder, name)?;
        self.0.renamed = true;
        Ok(())
    }
}

/// An empty file in the folder for that in a project's, as long as what is noted on runs is on its way to or
/// from a batch of the trash: what a process that died has left between is found by it.
#[derive(Debug)]
pub(super) struct Moving(Locked<OwnedFd>);

impl Moving {
    pub(super) fn create(own: impl AsFd, batch: Batch) -> Result<Self, Errno> {
        let folder = make_folder(own, ON_THE_WAY, String::new);
        let folder = folder.map_err(|obstacle| match obstacle {
            Obstacle::System(_, errno) => errno,
            Obstacle::Missing => Errno::NOENT,
            Obstacle::Link(_) | Obstacle::NoFolder(_) => Errno::NOTDIR,
        })?;
        let name = format!("{}{batch}-{:016x}", MOVING.0, random());
        let made = Locked::create(folder, name, Mode::RUSR | Mode::WUSR)?;
        made.ok_or(Errno::AGAIN).map(Self)
    }

    /// The files, and the folder that they are in, as far as it is there and open to us.
    fn all(own: &OwnedFd) -> Result<Option<(OwnedFd, Vec<CString>)>, Errno> {
        match open_folder(own, ON_THE_WAY, String::new) {
            Ok(folder) => {
                let found = names(&folder, |name| MOVING.matches(name))?;
                Ok(Some((folder, found)))
            }
            Err(Obstacle::System(_, errno)) if errno != Errno::ACCESS => Err(errno),
            Err(_) => Ok(None),
        }
    }

    /// Whether a file in a project's folder of ours is about this batch.
    pub(super) fn is_of(own: &OwnedFd, batch: Batch) -> Result<bool, Errno> {
        let found = Self::all(own)?.map_or_else(Vec::new, |(_, found)| found);
        Ok(found.iter().any(|name| Self::batch_of(name) == Some(batch)))
    }

    /// Leaves it to the next start, which puts right what could not be.
    pub(super) fn leave(mut self) {
        self.0.renamed = true;
    }

    /// The batch that the file of this name is about.
    fn batch_of(name: &CString) -> Option<Batch> {
        let (batch, _) = name
            .to_str()
            .ok()?
            .strip_prefix(MOVING.0)?
            .rsplit_once('-')?;
        Batch::parse(batch)
    }
}

/// An empty file in the root, removed when this is dropped: when the watcher tells of it, it has
/// told of everything that was done before.
#[derive(Debug)]
pub struct Cookie(Locked<Arc<Root>>);

impl Cookie {
    /// The file's name, directly below the root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many abandoned files were removed.
    pub removed: usize,
    /// What could not be looked at or removed; it is tried again at the next start.
    pub failures: Vec<StoreError>,
}

impl Store {
    /// A name for the next cookie, to be waited for before it is there.
    #[must_use]
    pub fn new_cookie_name(&self) -> String {
        COOKIE.draw()
    }

    /// Puts the cookie `name`, which [`Store::new_cookie_name`] gave, into the root.
    ///
    /// # Errors
    /// What the system says, for instance of a root that is missing or read-only; and if another
    /// daemon's sweep comes between.
    pub fn cookie(&self, name: &str) -> Result<Cookie, StoreError> {
        let failed = |errno| StoreError::io(".", errno);
        if name.contains('/') || !COOKIE.matches(name.as_bytes()) {
            return Err(failed(Errno::INVAL));
        }
        let root = self.open_root().map_err(failed)?;
        let root = root.ok_or_else(|| failed(Errno::NOENT))?;
        Locked::create(root, name.to_owned(), Mode::RUSR | Mode::WUSR)
            .and_then(|made| made.ok_or(Errno::AGAIN))
            .map(Cookie)
            .map_err(failed)
    }

    /// Removes the cookies that processes of ours left behind when they died; those of the living
    /// stay.
    ///
    /// # Errors
    /// If the root cannot be read.
    pub fn sweep_cookies(&self) -> Result<Swept, StoreError> {
        let failed = |errno| StoreError::io(".", errno);
        let mut swept = Swept::default();
        if let Some(root) = self.open_root().map_err(failed)? {
            let cookies = names(&root, |name| COOKIE.matches(name)).map_err(failed)?;
            swept.remove(&root, &cookies, ".");
        }
        Ok(swept)
    }

    /// Removes those of a project's temporary files, which a walk `found`, that processes of ours left
    /// behind when they died.
    pub fn sweep_temporaries(&self, project: &ProjectId, found: &[CString]) -> Swept {
        let mut swept = Swept::default();
        match Obstacle::or_none(self.open_executions(project)) {
            Ok(None) => {}
            Ok(Some(folder)) => {
                // what has changed places with one that is in use has its name, and no lock
                let _turn = Turn::wait(&folder);
                swept.remove(&folder, found, &executions_path(project));
            }
            Err(refused) => swept.failures.push(refused.into()),
        }
        swept
    }

    /// Removes what processes of ours that died left in the project's folder of ours; what was noted on a run and is on its way to or
    /// from the trash without it goes to where that is.
    pub fn sweep_own(&self, project: &ProjectId) -> Swept {
        let mut swept = Swept::default();
        let Ok(own) = self.open_own(project) else {
            // what is wrong with it is a finding of its own
            return swept;
        };
        let temporary = names(&own, |name| TEMPORARY.matches(name)).unwrap_or_default();
        let moving = Moving::all(&own).ok().flatten();
        let moving = moving.filter(|(_, found)| !found.is_empty());
        if temporary.is_empty() && moving.is_none() {
            return swept;
        }
        // what is on its way has it
        let _turn = self.turn_of(project);
        let path = own_path(project);
        swept.remove(&own, &temporary, &path);
        let Some((folder, found)) = moving else {
            return swept;
        };
        for name in found {
            match self.settle_moving(project, &own, (&folder, &name)) {
                Ok(done) => swept.removed += usize::from(done),
                Err(errno) => swept.failures.push(StoreError::io(path.as_str(), errno)),
            }
        }
        swept
    }

    /// Gives back what processes of ours that died left on its way to or from a project's trash. The
    /// caller has the turn. What lies in a folder that is closed to us waits there. Costs nothing for
    /// each note, because it comes before every change of one.
    pub(super) fn settle_abandoned(&self, project: &ProjectId, own: &OwnedFd) -> Result<(), Errno> {
        let Some((folder, found)) = Moving::all(own)? else {
            return Ok(());
        };
        for name in found {
            match self.settle_moving(project, own, (&folder, &name)) {
                Ok(_) | Err(Errno::ACCESS) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn settle_moving(
        &self,
        project: &ProjectId,
        own: &OwnedFd,
        (folder, name): (&OwnedFd, &CString),
    ) -> Result<bool, Errno> {
        let Some(_lock) = abandoned(folder, name)? else {
            return Ok(false);
        };
        if let Some(batch) = Moving::batch_of(name) {
            let from = Obstacle::or_none(self.open_batch(project, batch));
            if let Some(from) = from.map_err(|refused| refused.errno)? {
                if !self.give_back(&from, own)? {
                    // it is known by this once they are back
                    return Ok(false);
                }
                self.remove_batch(project, batch)?;
            }
        }
        remove(folder, name)
    }
}

pub(super) fn own_path(project: &ProjectId) -> String {
    format!("{project}/{OWN}")
}

/// What of ours in a project's folder lies at `path` below the root, in words for people; `None` if
/// nothing of ours does.
#[must_use]
pub fn own_part(path: &str) -> Option<&'static str> {
    let mut parts = path.split('/').skip(1);
    if parts.next() != Some(OWN) {
        return None;
    }
    Some(match parts.next() {
        None => "the project's .runlog folder, which holds its trash and what is noted on its runs",
        Some(TRASH) => "the project's trash, .runlog/trash",
        Some(_) => "the execution's annotation, its file in the project's .runlog folder",
    })
}

/// The folders of ours in a project's, below the root.
#[must_use]
pub fn own_folders(project: &ProjectId) -> [String; 2] {
    let own = own_path(project);
    let trash = format!("{own}/{TRASH}");
    [own, trash]
}

impl Store {
    /// What is wrong with the folders of ours in a project's, as far as they are there. What is
    /// wrong with the project's own folder is told by [`Store::walk`].
    ///
    /// # Errors
    /// Where the system is short of what it takes to see that.
    pub fn own_faults(&self, project: &ProjectId) -> Result<Vec<Problem>, StoreError> {
        let [of_own, of_trash] = own_folders(project);
        let own = self.open_own(project);
        let trash = match &own {
            Ok(own) => open_folder(own, TRASH, || of_trash.clone()),
            Err(_) => Err(Obstacle::Missing),
        };
        let mut faults = Vec::new();
        for (path, opened) in [(of_own, own), (of_trash, trash)] {
            let kind = match opened {
                Ok(folder) if is_closed(&folder) => ProblemKind::Unwritable,
                Ok(_) | Err(Obstacle::Missing) => continue,
                Err(Obstacle::Link(at) | Obstacle::NoFolder(at)) if at == path => {
                    ProblemKind::NotRegular
                }
                Err(Obstacle::System(at, errno)) => match io::Error::from(errno) {
                    source if is_short(&source) => return Err(StoreError::io(at, source)),
                    _ if at == path => ProblemKind::Unreadable,
                    _ => continue,
                },
                Err(_) => continue,
            };
            faults.push(Problem { path, kind });
        }
        Ok(faults)
    }

    /// The folder of ours in a project's.
    pub(super) fn open_own(&self, project: &ProjectId) -> Result<OwnedFd, Obstacle> {
        let root = self.require_root()?;
        let above = open_folder(&root, project.as_str(), || project.to_string())?;
        open_folder(above, OWN, || own_path(project))
    }

    /// The same; made, durably, if it is missing. The project's is not.
    pub(super) fn make_own(&self, project: &ProjectId) -> Result<OwnedFd, Obstacle> {
        let root = self.require_root()?;
        let above = open_folder(&root, project.as_str(), || project.to_string())?;
        let failed = |errno| Obstacle::System(own_path(project), errno);
        // what is deleted or noted is for no more people than the runs are
        let runs = lstat(&above, EXECUTIONS).map_err(failed)?;
        let mode = runs.map_or(ANYBODY, |runs| permissions(&runs));
        let own = make_folder_for(above, OWN, mode, || own_path(project))?;
        if lstat(&own, IGNORE).map_err(failed)?.is_none() {
            ignore(&own).map_err(failed)?;
        }
        Ok(own)
    }
}

/// Whether permissions keep this process from writing into a folder, on a file system that can be
/// written to.
fn is_closed(folder: impl AsFd) -> bool {
    use rustix::fs::{Access, accessat};
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    accessat(folder, c".", wanted, AtFlags::empty()) == Err(Errno::ACCESS)
}

/// Lets git ignore `folder` and what is in it.
fn ignore(folder: impl AsFd) -> Result<(), Errno> {
    // whoever died doing this
    sweep(&folder)?;
    let mut file = Temporary::create(&folder, Mode::from_raw_mode(0o666))?;
    let written = file.file().write_all(b"*\n");
    let written = written.and_then(|()| file.file().sync_all());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    match file.rename_new(IGNORE) {
        Ok(()) | Err(Errno::EXIST) => sync_folder(&folder),
        Err(errno) => Err(errno),
    }
}

/// Removes the temporary files of ours in `folder` whose makers died.
pub(super) fn sweep(folder: impl AsFd) -> Result<(), Errno> {
    for name in names(&folder, |name| TEMPORARY.matches(name))? {
        remove_abandoned(&folder, &name)?;
    }
    Ok(())
}

/// Whether a file of this name is a temporary one of ours.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    TEMPORARY.matches(name)
}

impl Swept {
    fn remove(&mut self, folder: impl AsFd, names: &[CString], path: &str) {
        for name in names {
            match remove_abandoned(&folder, name) {
                Ok(true) => self.removed += 1,
                Ok(false) => {}
                Err(errno) => self.failures.push(StoreError::io(path, errno)),
            }
        }
    }
}

fn remove_abandoned(folder: impl AsFd, name: &CString) -> Result<bool, Errno> {
    match abandoned(&folder, name)? {
        Some(_lock) => remove(folder, name),
        None => Ok(false),
    }
}

/// A file of ours that nobody uses, whose lock is had as long as this is open.
fn abandoned(folder: impl AsFd, name: &CString) -> Result<Option<File>, Errno> {
    let (file, stamp) = match layout::open_file(&folder, name.as_c_str())? {
        Opened::File(file, stamp) => (file, stamp),
        Opened::NotRegular | Opened::Missing => return Ok(None),
    };
    // Shared is enough to be refused by the owner's exclusive lock, and network file systems give
    // it to a file that is open for reading only.
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
        return Ok(None);
    }
    // With the lock held, the name can go to no other file of ours but through another sweeper.
    let there = lstat(&folder, name.as_c_str())?;
    let is_same = there.is_some_and(|stat| same_file(&stamp_of(&stat), &stamp));
    Ok(is_same.then_some(file))
}

/// Removes a name; whether it was there.
fn remove(folder: impl AsFd, name: &CString) -> Result<bool, Errno> {
    match unlink(folder, name.as_c_str()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::tests::sweep;

    #[test]
    fn a_file_is_ours_from_its_making_on_whoever_sweeps() {
        let folder = tempfile::tempdir().unwrap();
        let executions = folder.path().join("p/executions");
        std::fs::create_dir_all(&executions).unwrap();
        let store = Store::new(folder.path().to_path_buf());
        let project = ProjectId::parse("p").unwrap();
        let folder = store.folder(&project).unwrap().unwrap();
        let made = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !made.load(Ordering::Relaxed) {
                    sweep(&store);
                }
            });
            let named = |_| Temporary::create(&folder, Mode::RWXU)?.0.is_named();
            let named: Vec<_> = (0..2_000).map(named).collect();
            made.store(true, Ordering::Relaxed);
            // a sweeper without pause may come between every time
            let ours = |named: &_| matches!(named, Ok(true) | Err(Errno::EXIST));
            assert!(named.iter().all(ours), "{named:?}");
            assert!(named.contains(&Ok(true)));
        });
    }
}
