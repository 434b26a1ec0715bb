//! The lock file beside a socket, which makes looking at the socket, removing a stale one and
//! binding a new one a single step (house rules, "Unix sockets").
//!
//! The lock is the kernel's (flock) and ends with its holder; the file only carries it, and the
//! holder's process id for whoever finds it held. The file is removed while the lock is held, so
//! whoever gets a lock must see that its file is still the one at the path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use rustix::io::Errno;

/// How often a lock file may vanish between being opened and being locked, each time because
/// another daemon came and went in between.
const ATTEMPTS: usize = 100;

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Another process has it: this one, if its file already says so.
    Held {
        /// The holder's process id.
        pid: Option<u32>,
    },
    /// The file could not be used.
    Failed {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A lock that is held; dropping it removes its file.
#[derive(Debug)]
pub(super) struct SocketLock {
    file: File,
    path: PathBuf,
}

impl SocketLock {
    /// Takes the lock of a socket path, without waiting.
    pub(super) fn take(socket: &Path) -> Result<Self, NotLocked> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        Self::take_file(&path).map_err(|error| match error {
            TakeError::Held { pid } => NotLocked::Held { pid },
            TakeError::Io(source) => NotLocked::Failed { path, source },
        })
    }

    fn take_file(path: &Path) -> Result<Self, TakeError> {
        for _ in 0..ATTEMPTS {
            // Not blocking: a FIFO of that name must not hold us up.
            let flags = OFlags::RDWR
                | OFlags::CREATE
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::CLOEXEC;
            let file = File::from(open(path, flags, Mode::RUSR | Mode::WUSR)?);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(TakeError::Held { pid: pid_in(&file) }),
                Err(error) => return Err(error.into()),
            }
            if !is_at(&file, path)? {
                continue;
            }
            // Anything else at the path (somebody's file, a second name of one of ours) is not to
            // be written to.
            let found = file.metadata()?;
            let own = found.uid() == rustix::process::geteuid().as_raw();
            if !found.is_file() || !own || found.nlink() != 1 {
                return Err(io::Error::other("it is not a lock file of this user's").into());
            }
            let lock = Self {
                file,
                path: path.to_owned(),
            };
            fchmod(&lock.file, Mode::RUSR | Mode::WUSR)?;
            lock.file.set_len(0)?;
            let pid = format!("{}\n", std::process::id());
            lock.file.write_all_at(pid.as_bytes(), 0)?;
            return Ok(lock);
        }
        Err(TakeError::Held { pid: None })
    }
}

impl Drop for SocketLock {
    fn drop(&mut self) {
        if let Ok(true) = is_at(&self.file, &self.path) {
            // Left behind, it would only be a file that the next daemon locks again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[derive(Debug)]
enum TakeError {
    Held { pid: Option<u32> },
    Io(io::Error),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for TakeError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn pid_in(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let count = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..count])
        .ok()?
        .trim()
        .parse()
        .ok()
}
