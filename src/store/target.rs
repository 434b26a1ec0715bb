//! A file that somebody names to be written: there whole or not at all.
//!
//! Section 6 of the protocol: an export's target is the only file outside the root, the cache and
//! the config that is touched. Where the file system can do that, it has no name before it is
//! finished, so that a kill leaves nothing behind. Elsewhere it is a temporary file beside its
//! target, and the next one that is written there sweeps what was left.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::layout::{lstat, sync_folder};
use super::own::{Temporary, sweep};
use super::stamp::{same_file, stamp_of};
use crate::model::Stamp;

const MODE: Mode = Mode::from_raw_mode(0o666);

/// A file being written.
#[derive(Debug)]
pub struct Target {
    folder: Arc<OwnedFd>,
    name: OsString,
    file: Unfinished,
    claimed: Claimed,
}

#[derive(Debug)]
enum Unfinished {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(Temporary<Arc<OwnedFd>>),
}

/// Whether somebody still wants the file: as long as this lives. When it is dropped before the file
/// is kept, nothing is left of it from then on.
#[derive(Debug, Default)]
pub struct Claim(Claimed);

/// A claim as whoever writes the file sees it.
#[derive(Debug, Clone, Default)]
pub struct Claimed(Arc<Mutex<Claims>>);

#[derive(Debug, Default)]
struct Claims {
    given_up: bool,
    /// What there is of the file.
    named: Option<Named>,
}

/// A name of the file, removed again unless somebody keeps it.
#[derive(Debug)]
struct Named {
    folder: Arc<OwnedFd>,
    name: OsString,
    stamp: Stamp,
    kept: bool,
}

impl Target {
    /// A file that will be `path` if it is still wanted then.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` where there is something.
    pub fn create(path: &Path, claimed: &Claimed) -> io::Result<Self> {
        let (folder, name) = open_above(path)?;
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(&folder)? {
            let (file, claimed) = (Unfinished::Unnamed(file), claimed.clone());
            return Ok(Self {
                folder,
                name,
                file,
                claimed,
            });
        }
        Ok(Self::create_named(folder, name, claimed)?)
    }

    fn create_named(
        folder: Arc<OwnedFd>,
        name: OsString,
        claimed: &Claimed,
    ) -> Result<Self, Errno> {
        // what cannot be swept is no reason not to write
        let _ = sweep(&folder);
        let claimed = claimed.clone();
        let mut claims = claimed.0.lock();
        if claims.given_up {
            return Err(Errno::CANCELED);
        }
        let mut file = Temporary::create(Arc::clone(&folder), MODE)?;
        let stamp = stamp_of(&rustix::fs::fstat(file.file())?);
        let called = file.name().into();
        claims.named = Some(Named::new(&folder, called, stamp));
        drop(claims);
        let file = Unfinished::Named(file);
        Ok(Self {
            folder,
            name,
            file,
            claimed,
        })
    }

    /// Where to write.
    pub fn file(&mut self) -> &mut File {
        match &mut self.file {
            #[cfg(target_os = "linux")]
            Unfinished::Unnamed(file) => file,
            Unfinished::Named(file) => file.file(),
        }
    }

    /// Becomes what it was made for, durably, unless something is there by now or nobody wants it
    /// any more.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` where there is something.
    pub fn finish(mut self) -> io::Result<()> {
        self.file().sync_all()?;
        let stamp = stamp_of(&rustix::fs::fstat(self.file())?);
        let Self {
            folder,
            name,
            file,
            claimed,
        } = self;
        // whoever gives up waits for this, and then removes what became of it
        let mut claims = claimed.0.lock();
        if claims.given_up {
            return Ok(());
        }
        match file {
            #[cfg(target_os = "linux")]
            Unfinished::Unnamed(file) => {
                let (from, follow) = (by_number(&file), AtFlags::SYMLINK_FOLLOW);
                rustix::fs::linkat(rustix::fs::CWD, from, &folder, &name, follow)?;
            }
            Unfinished::Named(mut file) => file.rename_new(&name)?,
        }
        claims.named = Some(Named::new(&folder, name, stamp));
        Ok(sync_folder(&folder)?)
    }
}

impl Named {
    fn new(folder: &Arc<OwnedFd>, name: OsString, stamp: Stamp) -> Self {
        Self {
            folder: Arc::clone(folder),
            name,
            stamp,
            kept: false,
        }
    }
}

impl Claim {
    /// For whoever writes the file.
    #[must_use]
    pub fn claimed(&self) -> Claimed {
        self.0.clone()
    }

    /// Lets the file stay.
    pub fn keep(self) {
        if let Some(named) = &mut self.0.0.lock().named {
            named.kept = true;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.0.0.lock();
        claims.given_up = true;
        claims.named = None;
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let is_ours = || {
            let there = lstat(&self.folder, &self.name).ok().flatten();
            there.is_some_and(|stat| same_file(&stamp_of(&stat), &self.stamp))
        };
        if !self.kept && is_ours() {
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// The folder that `path` lies in, and its name there, which is free.
fn open_above(path: &Path) -> io::Result<(Arc<OwnedFd>, OsString)> {
    let name = path.file_name().map(OsStr::to_owned);
    let (Some(above), Some(name)) = (path.parent(), name) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = retry_on_intr(|| rustix::fs::open(above, flags, Mode::empty()))?;
    match lstat(&folder, &name)? {
        Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        None => Ok((Arc::new(folder), name)),
    }
}

/// A file without a name; `None` where there can be none, or none that gets one.
#[cfg(target_os = "linux")]
fn unnamed(folder: impl AsFd) -> Result<Option<File>, Errno> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    match retry_on_intr(|| rustix::fs::openat(&folder, c".", flags, MODE)) {
        Ok(fd) => {
            let file = File::from(fd);
            let nameable = std::fs::metadata(by_number(&file)).is_ok();
            Ok(nameable.then_some(file))
        }
        // old kernels see an attempt to write a folder
        Err(Errno::NOTSUP | Errno::NOSYS | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The path under which this process finds an open file, whether that has a name or not.
#[cfg(target_os = "linux")]
fn by_number(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn all(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Of both kinds.
    fn targets(path: &Path, claim: &Claim) -> [Target; 2] {
        let (folder, name) = open_above(path).unwrap();
        let claimed = claim.claimed();
        let named = Target::create_named(folder, name, &claimed).unwrap();
        [Target::create(path, &claimed).unwrap(), named]
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        for kind in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("all.csv");
            let take = |claim: &Claim| targets(&path, claim).into_iter().nth(kind).unwrap();
            let claim = Claim::default();
            let mut target = take(&claim);
            target.file().write_all(b"whole").unwrap();
            assert!(!path.exists());
            target.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole");
            // taken back when it is there, and while it is written
            drop(claim);
            assert_eq!(all(folder.path()), Vec::<String>::new());
            let claim = Claim::default();
            let mut target = take(&claim);
            target.file().write_all(b"half").unwrap();
            drop(claim);
            assert_eq!(all(folder.path()), Vec::<String>::new());
            target.finish().unwrap();
            assert_eq!(all(folder.path()), Vec::<String>::new());
            // given up by its writer
            let claim = Claim::default();
            drop(take(&claim));
            assert_eq!(all(folder.path()), Vec::<String>::new());
            // somebody else was faster
            let target = take(&claim);
            fs::write(&path, "theirs").unwrap();
            let refused = target.finish().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            drop(claim);
            assert_eq!(all(folder.path()), ["all.csv"]);
            fs::remove_file(&path).unwrap();
            // what took its place is not removed with it
            let claim = Claim::default();
            take(&claim).finish().unwrap();
            fs::write(folder.path().join("new"), "theirs").unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
            drop(claim);
            assert_eq!(fs::read(&path).unwrap(), b"theirs");
            fs::remove_file(&path).unwrap();
            // kept
            let claim = Claim::default();
            take(&claim).finish().unwrap();
            claim.keep();
            assert_eq!(all(folder.path()), ["all.csv"]);
        }
    }

    #[test]
    fn who_dies_leaves_nothing_or_what_the_next_one_sweeps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.csv");
        let claim = Claim::default();
        let [unnamed, named] = targets(&path, &claim);
        assert_eq!(all(folder.path()).len(), 1, "only one of them has a name");
        drop(unnamed);
        // as a kill does: locks go, files stay
        let left = folder.path().join(&all(folder.path())[0]);
        let kept = folder.path().join("kept");
        fs::hard_link(&left, &kept).unwrap();
        drop((named, claim));
        fs::rename(&kept, &left).unwrap();
        // the living stay
        let (one, other) = (Claim::default(), Claim::default());
        let [_, living] = targets(&path, &one);
        assert!(!left.exists());
        let [_, _other] = targets(&path, &other);
        assert_eq!(all(folder.path()).len(), 2);
        living.finish().unwrap();
        assert!(path.exists());
    }
}
