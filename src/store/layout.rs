//! Where things lie, and how they are opened: always beneath the root, never through a symlink.
//!
//! Section 6 of the protocol: "Files are opened beneath a root opened once (and again when it is
//! replaced), without following symlinks, without blocking, and only if regular." Every folder on
//! the way is opened by itself, relative to the one above, so that nobody can swap a component for
//! a link between a check and its use. The path of the root itself is its user's own choice and may
//! hold links. This file opens and makes folders; it reads and writes no record.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

use super::Store;
use super::stamp::{same_file, stamp_of};
use crate::model::layout::{EXECUTIONS, SUFFIX};
use crate::model::{ExecutionId, ProjectId, Stamp};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A change of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    MakeFolder,
    Rename,
    Unlink,
    RemoveFolder,
    Sync,
    /// No change: a record's file is opened to be read.
    Open,
    /// No change: the names in a folder are read.
    List,
}

/// Comes before each; tests let it be refused.
#[cfg(not(test))]
pub(super) const fn step(_: Step) -> Result<(), Errno> {
    Ok(())
}

#[cfg(test)]
pub(super) use super::tests::steps::step;

/// A FIFO put in the file's place opens at once and is then refused, instead of blocking for ever.
pub(super) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What is in the way of opening a folder.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Nothing is there.
    Missing,
    /// A symlink, at this path below the root.
    Link(String),
    /// Something else that is no folder.
    NoFolder(String),
    /// The system refused.
    System(String, Errno),
}

impl Obstacle {
    /// What was opened, if there is such a folder: what is missing, a link or no folder is none.
    pub(super) fn or_none<T>(opened: Result<T, Self>) -> Result<Option<T>, Refused> {
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(Self::System(path, errno)) => Err(Refused { path, errno }),
            Err(Self::Missing | Self::Link(_) | Self::NoFolder(_)) => Ok(None),
        }
    }
}

/// The system refused to open a folder.
#[derive(Debug)]
pub(super) struct Refused {
    /// Relative to the root.
    pub(super) path: String,
    pub(super) errno: Errno,
}

/// The root, held open: as long as it is, its inode number is given to no other folder.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    stamp: Stamp,
    /// Whether its file system is known to ask no other machine or program.
    pub(super) local: bool,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One project's `executions` folder, held open: many runs of it are read without looking for it
/// again. It stays the folder that was opened, also when another one takes its place.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    project: ProjectId,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// A folder of runs of `project` that lies elsewhere.
    pub(super) fn elsewhere(fd: OwnedFd, project: ProjectId) -> Self {
        Self { fd, project }
    }

    /// The project whose runs these are.
    #[must_use]
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The path of a file in this folder, relative to the root.
    pub(super) fn path_of(&self, file_name: &str) -> String {
        path_of(&self.project, file_name)
    }

    pub(super) fn is_same_as(&self, other: &Self) -> Result<bool, Errno> {
        let stamp = |folder: &Self| rustix::fs::fstat(folder).map(|stat| stamp_of(&stat));
        Ok(same_file(&stamp(self)?, &stamp(other)?))
    }
}

pub(super) fn executions_path(project: &ProjectId) -> String {
    format!("{project}/{EXECUTIONS}")
}

pub(super) fn path_of(project: &ProjectId, file_name: &str) -> String {
    format!("{project}/{EXECUTIONS}/{file_name}")
}

pub(super) fn file_name(execution: &ExecutionId) -> String {
    [execution.as_str(), SUFFIX].concat()
}

impl Store {
    /// The root as it is now; `None` if no folder is there. Costs one `stat` unless it was replaced.
    pub(super) fn open_root(&self) -> Result<Option<Arc<Root>>, Errno> {
        let now = match rustix::fs::stat(&self.path) {
            Ok(stat) => stamp_of(&stat),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                *self.held.lock() = None;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(held) = &*self.held.lock()
            && same_file(&held.stamp, &now)
        {
            return Ok(Some(Arc::clone(held)));
        }
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let fd = match retry_on_intr(|| rustix::fs::open(&self.path, flags, Mode::empty())) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                *self.held.lock() = None;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let stamp = stamp_of(&rustix::fs::fstat(&fd)?);
        let local = is_local(&fd);
        let root = Arc::new(Root { fd, stamp, local });
        *self.held.lock() = Some(Arc::clone(&root));
        Ok(Some(root))
    }

    /// Whether something stands where the root should be that is no folder.
    pub(super) fn is_obstructed(&self) -> bool {
        let stat = rustix::fs::stat(&self.path);
        stat.is_ok_and(|stat| file_type(&stat) != FileType::Directory)
    }

    /// The root, or what is in the way.
    pub(super) fn require_root(&self) -> Result<Arc<Root>, Obstacle> {
        self.open_root()
            .map_err(|errno| Obstacle::System(".".into(), errno))?
            .ok_or(Obstacle::Missing)
    }

    /// The project's `executions` folder as it is now.
    pub(super) fn open_executions(&self, project: &ProjectId) -> Result<Folder, Obstacle> {
        let root = self.require_root()?;
        let above = open_folder(&root, project.as_str(), || project.to_string())?;
        let fd = open_folder(&above, EXECUTIONS, || executions_path(project))?;
        Ok(Folder {
            fd,
            project: project.clone(),
        })
    }

    /// The project's `executions` folder; it, the project's and the root are made where they are
    /// missing, durably.
    pub(super) fn make_executions(&self, project: &ProjectId) -> Result<(Folder, Made), Obstacle> {
        let root = match self.require_root() {
            Err(Obstacle::Missing) => {
                make_root(&self.path).map_err(|error| {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    Obstacle::System(".".into(), errno)
                })?;
                self.require_root()?
            }
            other => other?,
        };
        let (above, is_new) =
            open_or_make(&root, project.as_str(), ANYBODY, || project.to_string())?;
        let mut made = Made {
            project: is_new.then(|| (root, project.clone())),
            executions: None,
        };
        let (fd, is_new) = open_or_make(&above, EXECUTIONS, ANYBODY, || executions_path(project))?;
        made.executions = is_new.then_some(above);
        let project = project.clone();
        Ok((Folder { fd, project }, made))
    }
}

/// The folders that were made for a file that is still to be written: what nothing is in is removed
/// again when this is dropped.
#[derive(Debug)]
pub(super) struct Made {
    project: Option<(Arc<Root>, ProjectId)>,
    /// The folder that it is in.
    executions: Option<OwnedFd>,
}

impl Made {
    /// Lets them stay.
    pub(super) fn keep(mut self) {
        (self.project, self.executions) = (None, None);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(above) = &self.executions {
            let _ = remove_folder(above, EXECUTIONS);
        }
        if let Some((root, project)) = &self.project {
            let _ = remove_folder(root, project.as_str());
        }
    }
}

/// ext2 to 4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS, bcachefs (linux/magic.h and theirs).
#[cfg(target_os = "linux")]
fn is_local(folder: impl AsFd) -> bool {
    const MAGIC: [u64; 8] = [
        0xEF53,
        0x5846_5342,
        0x9123_683E,
        0x0102_1994,
        0x794C_7630,
        0xF2F5_2010,
        0x2FC1_2FC1,
        0xCA45_1A4E,
    ];
    #[allow(clippy::cast_sign_loss)] // the type's sign differs from platform to platform
    rustix::fs::fstatfs(folder)
        .is_ok_and(|found| MAGIC.contains(&(found.f_type as u64 & 0xFFFF_FFFF)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: impl AsFd) -> bool {
    false
}

/// The folder `name` in `at`; `path` gives its path below the root, for the error.
pub(super) fn open_folder(
    at: impl AsFd,
    name: impl Arg + Copy,
    path: impl Fn() -> String,
) -> Result<OwnedFd, Obstacle> {
    match retry_on_intr(|| rustix::fs::openat(&at, name, FOLDER, Mode::empty())) {
        Ok(fd) => Ok(fd),
        Err(Errno::NOENT) => Err(Obstacle::Missing),
        // Which of the two a symlink gives differs from system to system.
        Err(Errno::NOTDIR | Errno::LOOP) => Err(match lstat(&at, name) {
            Ok(Some(stat)) if file_type(&stat) == FileType::Symlink => Obstacle::Link(path()),
            Ok(Some(_)) => Obstacle::NoFolder(path()),
            Ok(None) => Obstacle::Missing,
            Err(errno) => Obstacle::System(path(), errno),
        }),
        Err(errno) => Err(Obstacle::System(path(), errno)),
    }
}

/// The same; made, durably, if it is missing.
pub(super) fn make_folder(
    at: impl AsFd,
    name: &str,
    path: impl Fn() -> String,
) -> Result<OwnedFd, Obstacle> {
    make_folder_for(at, name, ANYBODY, path)
}

/// The same, for those whom `mode` less the umask lets in if it is missing.
pub(super) fn make_folder_for(
    at: impl AsFd,
    name: &str,
    mode: Mode,
    path: impl Fn() -> String,
) -> Result<OwnedFd, Obstacle> {
    open_or_make(at, name, mode, path).map(|(folder, _)| folder)
}

/// All whom the umask does not keep out.
pub(super) const ANYBODY: Mode = Mode::from_raw_mode(0o777);

/// The same, and whether it was made.
fn open_or_make(
    at: impl AsFd,
    name: &str,
    mode: Mode,
    path: impl Fn() -> String,
) -> Result<(OwnedFd, bool), Obstacle> {
    match open_folder(&at, name, &path) {
        Err(Obstacle::Missing) => {}
        found => return found.map(|folder| (folder, false)),
    }
    let failed = |errno| Obstacle::System(path(), errno);
    let made = match step(Step::MakeFolder).and_then(|()| rustix::fs::mkdirat(&at, name, mode)) {
        Ok(()) => true,
        // Somebody made it just now, and may not have made it durable yet.
        Err(Errno::EXIST) => false,
        Err(Errno::NOENT) => return Err(Obstacle::Missing),
        Err(errno) => return Err(failed(errno)),
    };
    let synced = sync_folder(&at).map_err(failed);
    if synced.is_err() && made {
        let _ = remove_folder(&at, name);
    }
    synced.and_then(|()| Ok((open_folder(at, name, path)?, made)))
}

/// Makes the root and what is missing above it, durably.
fn make_root(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    if missing.is_empty() && !path.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    for folder in missing.into_iter().rev() {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // a link that leads to nothing, as to a disk that is not there
            Err(_) if !folder.exists() => return Err(Errno::NOENT.into()),
            _ => {}
        }
        let above = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        sync_folder(File::open(above)?)?;
    }
    Ok(())
}

/// What stands at `name`, links not followed; `None` if nothing does.
pub(super) fn lstat(at: impl AsFd, name: impl Arg) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The bits of a mode that a save keeps: who may read, write and execute. Not set-user-id and the
/// like, which would be given to a file of another owner.
pub(super) fn permissions(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO)
}

/// The names in `folder` that are `wanted`, read in one go: what is done with them changes the
/// folder.
pub(super) fn names(
    folder: impl AsFd,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<CString>, Errno> {
    step(Step::List)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if wanted(entry.file_name().to_bytes()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// What a name turned out to be.
pub(super) enum Opened {
    /// A regular file, open for reading, and its stamp.
    File(File, Stamp),
    /// Something that was not opened, or was closed again unread.
    NotRegular,
    /// Nothing.
    Missing,
}

/// Opens `name` in `at` for reading if it is a regular file; never blocks on anything else.
pub(super) fn open_file(at: impl AsFd, name: impl Arg + Copy) -> Result<Opened, Errno> {
    // Opening a device can do things of its own: look first. What is opened is looked at again,
    // because it may be another by then.
    match lstat(&at, name)? {
        None => Ok(Opened::Missing),
        Some(stat) if file_type(&stat) != FileType::RegularFile => Ok(Opened::NotRegular),
        Some(_) => open_listed(at, name),
    }
}

/// The same for a name that the folder's listing has just told to be a regular file.
pub(super) fn open_listed(at: impl AsFd, name: impl Arg + Copy) -> Result<Opened, Errno> {
    let fd = match retry_on_intr(|| rustix::fs::openat(&at, name, FILE, Mode::empty())) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Opened::Missing),
        // A link; a socket.
        Err(Errno::LOOP | Errno::NXIO | Errno::OPNOTSUPP) => return Ok(Opened::NotRegular),
        Err(errno) => return Err(errno),
    };
    let stat = rustix::fs::fstat(&fd)?;
    if file_type(&stat) != FileType::RegularFile {
        return Ok(Opened::NotRegular);
    }
    Ok(Opened::File(File::from(fd), stamp_of(&stat)))
}

/// Renames, whatever has the new name unless it is a folder.
pub(super) fn rename(
    from: impl AsFd,
    name: impl Arg,
    to: impl AsFd,
    new_name: impl Arg,
) -> Result<(), Errno> {
    step(Step::Rename)?;
    rustix::fs::renameat(from, name, to, new_name)
}

/// Removes a name that is no folder's.
pub(super) fn unlink(folder: impl AsFd, name: impl Arg) -> Result<(), Errno> {
    step(Step::Unlink)?;
    rustix::fs::unlinkat(folder, name, AtFlags::empty())
}

/// Removes an empty folder.
pub(super) fn remove_folder(at: impl AsFd, name: impl Arg) -> Result<(), Errno> {
    step(Step::RemoveFolder)?;
    rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)
}

/// Renames if nothing has the new name, in one step where the file system can do that;
/// [`Errno::EXIST`] otherwise.
pub(super) fn rename_new(
    from: impl AsFd,
    name: impl Arg + Copy,
    to: impl AsFd,
    new_name: impl Arg + Copy,
) -> Result<(), Errno> {
    step(Step::Rename)?;
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return done,
        }
    }
    match lstat(&to, new_name)? {
        Some(_) => Err(Errno::EXIST),
        None => rustix::fs::renameat(from, name, to, new_name),
    }
}

/// Lets two names change places in one step; [`Errno::NOTSUP`] where the file system cannot do that.
pub(super) fn exchange(folder: impl AsFd, one: &str, other: &str) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(&folder, one, &folder, other, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            done => return done,
        }
    }
    let _ = (folder, one, other);
    Err(Errno::NOTSUP)
}

/// How long somebody's turn in a folder is waited for: it lasts as long as a file is compared and
/// renamed, an annotation written, or what the dead left swept, unless who has it was stopped.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to have it, at first and at most.
const TURN_TRIED: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(2));

/// The turn of one process of ours among those that compare what is in a folder and replace it; the
/// engine knows none. It ends when this is dropped.
#[derive(Debug)]
pub struct Turn<F: AsFd> {
    folder: F,
    /// Whether somebody else still has it as well.
    shared: bool,
}

impl<F: AsFd> Turn<F> {
    /// Waits until nobody else has it. Where the file system has no locks everybody has, and so it is
    /// if it takes too long.
    pub(super) fn wait(folder: F) -> Self {
        let end = Instant::now() + TURN_WITHIN;
        let mut pause = TURN_TRIED.0;
        let taken = || rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive);
        let mut shared = false;
        while taken() == Err(Errno::WOULDBLOCK) {
            shared = Instant::now() >= end;
            if shared {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(TURN_TRIED.1);
        }
        Self { folder, shared }
    }
}

/// Who takes one turn after the other, and waits in vain for one of them at most.
#[derive(Debug, Default)]
pub struct Turns {
    /// Whether one was waited for in vain.
    in_vain: bool,
}

impl Turns {
    pub(super) fn next<F: AsFd>(&mut self, folder: F) -> Option<Turn<F>> {
        let turn = (!self.in_vain).then(|| Turn::wait(folder))?;
        self.in_vain = turn.shared;
        Some(turn)
    }
}

impl<F: AsFd> Drop for Turn<F> {
    fn drop(&mut self) {
        // closing the folder ends it as well, but it may be open for longer
        let _ = rustix::fs::flock(&self.folder, FlockOperation::Unlock);
    }
}

/// Makes what was created, renamed or removed in a folder durable.
pub(super) fn sync_folder(folder: impl AsFd) -> Result<(), Errno> {
    step(Step::Sync)?;
    match retry_on_intr(|| rustix::fs::fsync(&folder)) {
        // File systems whose folders cannot be synced have nothing to sync.
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        done => done,
    }
}
