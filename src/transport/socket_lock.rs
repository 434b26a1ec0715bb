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
    /// Another daemon has it.
    Held {
        /// Its process id, once it has written that into the file.
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

/// The lock file of a socket path.
pub(crate) fn lock_of(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
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
        let path = lock_of(socket);
        Self::take_file(&path).map_err(|error| match error {
            TakeError::Held { pid } => NotLocked::Held { pid },
            TakeError::Io(source) => NotLocked::Failed { path, source },
        })
    }

    /// The process that holds the lock of a socket path; none where nobody does, or does not say so.
    pub(super) fn holder(socket: &Path) -> Option<u32> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(lock_of(socket), flags, Mode::empty()).ok()?);
        let held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
        held.then(|| pid_in(&file)).flatten()
    }

    /// Whether its file is where others look for it.
    pub(super) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
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
        if self.is_in_place() {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn socket_in(folder: &tempfile::TempDir) -> (PathBuf, PathBuf) {
        let socket = folder.path().join("x.sock");
        let lock = folder.path().join("x.sock.lock");
        (socket, lock)
    }

    #[test]
    fn one_holds_it_and_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, path) = socket_in(&folder);
        let lock = SocketLock::take(&socket).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o600);
        let own = std::process::id();
        match SocketLock::take(&socket) {
            Err(NotLocked::Held { pid }) => assert_eq!(pid, Some(own)),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert!(!path.exists());
        SocketLock::take(&socket).unwrap();
    }

    #[test]
    fn a_lock_file_left_behind_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, path) = socket_in(&folder);
        fs::write(&path, "1234567890\n").unwrap();
        let _lock = SocketLock::take(&socket).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_lock_file_in_the_place_of_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, path) = socket_in(&folder);
        let lock = SocketLock::take(&socket).unwrap();
        fs::remove_file(&path).unwrap();
        let other = SocketLock::take(&socket).unwrap();
        drop(lock);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_lock_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, path) = socket_in(&folder);
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();

        symlink(&precious, &path).unwrap();
        assert!(matches!(
            SocketLock::take(&socket),
            Err(NotLocked::Failed { .. })
        ));
        fs::remove_file(&path).unwrap();
        fs::hard_link(&precious, &path).unwrap();
        assert!(matches!(
            SocketLock::take(&socket),
            Err(NotLocked::Failed { .. })
        ));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            SocketLock::take(&socket),
            Err(NotLocked::Failed { .. })
        ));
        fs::remove_dir(&path).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        assert!(matches!(
            SocketLock::take(&socket),
            Err(NotLocked::Failed { .. })
        ));
        assert!(path.exists());
    }
}
