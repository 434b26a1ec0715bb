//! Where what can be made anew is kept between two starts: a private folder a root.
//!
//! `$XDG_CACHE_HOME/runlog/<hash of the root>/`. A folder that somebody else owns, or may
//! write to, is not used: what is read from it would be answered to clients. Nothing here is
//! durable, and need not be: a file cut off by a power failure is recognised by who reads it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

const TEMPORARY: &str = ".index-";
/// A temporary file this old, or as far ahead of a clock that was set back, that nobody holds locked was
/// left by a process that died. It is locked once it is made.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);

/// The first 16 hex digits of the SHA-256 of a canonical root's bytes: its name outside itself.
#[must_use]
pub fn root_hash(canonical_root: &Path) -> String {
    let digest = Sha256::digest(canonical_root.as_os_str().as_bytes());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

/// Why the cache is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others could have put there what they like.
    #[error("it is no folder, or not private to this user")]
    Untrusted,
    /// Something else is in the file's place, which might never be read to its end.
    #[error("in its place is no regular file")]
    NotAFile,
}

/// The cache of one root.
#[derive(Debug)]
pub struct Cache {
    /// The user's folder for caches.
    base: PathBuf,
    hash: String,
}

impl Cache {
    /// The cache of `canonical_root` below the user's folder for caches. Touches nothing.
    #[must_use]
    pub fn of(base: PathBuf, canonical_root: &Path) -> Self {
        Self {
            base,
            hash: root_hash(canonical_root),
        }
    }

    /// The folder of this root, made where it is not there; private to this user.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn folder(&self) -> Result<PathBuf, CacheError> {
        if !self.base.exists() {
            // as the XDG base directory specification asks
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.base)?;
        }
        for folder in self.folders() {
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error.into());
                }
                // even a folder just made: only what is there now matters
                _ => check(&folder)?,
            }
        }
        let [_, folder] = self.folders();
        Ok(folder)
    }

    /// The folder of all roots and in it that of this one, made or not.
    #[must_use]
    pub fn folders(&self) -> [PathBuf; 2] {
        let ours = self.base.join("runlog");
        let folder = ours.join(&self.hash);
        [ours, folder]
    }

    /// Opens what was kept as `name`; `None` if nothing was.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(&self, name: &str) -> Result<Option<File>, CacheError> {
        for folder in self.folders() {
            match check(&folder) {
                Ok(()) => {}
                Err(CacheError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        let [_, folder] = self.folders();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(folder.join(name), flags, Mode::empty()) {
            Ok(file) => {
                let file = File::from(file);
                let is_file = file.metadata()?.is_file();
                is_file.then_some(Some(file)).ok_or(CacheError::NotAFile)
            }
            Err(Errno::NOENT) => Ok(None),
            // a link, a socket
            Err(Errno::LOOP | Errno::NXIO) => Err(CacheError::NotAFile),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Keeps what `write` writes as `name`, in the place of what was kept before, all or nothing; nothing
    /// too if `write` gives false. Returns whether it was kept.
    ///
    /// # Errors
    /// [`CacheError`]; what was kept before is there still.
    pub fn replace(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> io::Result<bool>,
    ) -> Result<bool, CacheError> {
        let folder = self.folder()?;
        sweep(&folder);
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&folder)?;
        // where there are no locks, it must be written as soon as it may be swept
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        if !write(file.as_file_mut())? {
            return Ok(false);
        }
        file.as_file_mut().flush()?;
        file.persist(folder.join(name))
            .map_err(|error| error.error)?;
        Ok(true)
    }
}

fn check(folder: &Path) -> Result<(), CacheError> {
    let found = fs::symlink_metadata(folder)?;
    let own = found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o077 == 0;
    if own {
        Ok(())
    } else {
        Err(CacheError::Untrusted)
    }
}

/// Removes what dead processes left. Failing is no matter.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .as_bytes()
            .starts_with(TEMPORARY.as_bytes());
        let old = entry
            .metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|at| {
                let age = SystemTime::now().duration_since(at);
                age.unwrap_or_else(|ahead| ahead.duration()) > ABANDONED_AFTER
            });
        let abandoned = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty());
            file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockShared).is_ok())
        };
        if ours && old && abandoned(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const FILE: &str = "index";

    fn keep(cache: &Cache, text: &str) -> Result<bool, CacheError> {
        cache.replace(FILE, |file| file.write_all(text.as_bytes()).map(|()| true))
    }

    fn kept(cache: &Cache) -> Option<String> {
        let mut text = String::new();
        cache
            .open(FILE)
            .unwrap()?
            .read_to_string(&mut text)
            .unwrap();
        Some(text)
    }

    #[test]
    fn what_is_kept_is_private_and_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::of(place.path().join("new/cache"), Path::new("/srv/projects"));
        assert_eq!(kept(&cache), None);
        assert!(keep(&cache, "one").unwrap());
        assert!(keep(&cache, "two").unwrap());
        assert_eq!(kept(&cache).as_deref(), Some("two"));
        // given up, or failed: the former one stays, and nothing else
        assert!(
            !cache
                .replace(FILE, |file| file.write_all(b"half").map(|()| false))
                .unwrap()
        );
        let failed = cache.replace(FILE, |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(matches!(failed, Err(CacheError::Io(_))));
        assert_eq!(kept(&cache).as_deref(), Some("two"));
        for folder in cache.folders() {
            assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        }
        let [_, folder] = cache.folders();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let file = fs::metadata(folder.join(FILE)).unwrap();
        assert_eq!(file.mode() & 0o777, 0o600);
        // another root has another folder
        let other = Cache::of(cache.base.clone(), Path::new("/srv/other"));
        assert_eq!(kept(&other), None);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::of(place.path().to_owned(), Path::new("/srv/projects"));
        keep(&cache, "one").unwrap();
        for folder in cache.folders() {
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
            assert!(matches!(cache.open(FILE), Err(CacheError::Untrusted)));
            assert!(matches!(keep(&cache, "two"), Err(CacheError::Untrusted)));
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        }
        let [_, folder] = cache.folders();
        let away = place.path().join("away");
        fs::rename(&folder, &away).unwrap();
        symlink(&away, &folder).unwrap();
        assert!(matches!(cache.open(FILE), Err(CacheError::Untrusted)));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for_and_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::of(place.path().to_owned(), Path::new("/srv/projects"));
        let path = cache.folder().unwrap().join(FILE);
        let away = place.path().join("away");
        fs::write(&away, "somebody's").unwrap();
        let fifo = || {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        };
        let link = || symlink(&away, &path).unwrap();
        let socket = || drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        for put in [&fifo as &dyn Fn(), &link, &socket] {
            put();
            assert!(matches!(cache.open(FILE), Err(CacheError::NotAFile)));
            assert!(keep(&cache, "anew").unwrap());
            assert_eq!(kept(&cache).as_deref(), Some("anew"));
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read_to_string(&away).unwrap(), "somebody's");
    }

    #[test]
    fn what_dead_processes_left_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::of(place.path().to_owned(), Path::new("/srv/projects"));
        keep(&cache, "one").unwrap();
        let [_, folder] = cache.folders();
        let (now, longer) = (SystemTime::now(), ABANDONED_AFTER * 2);
        let made = [
            (".index-old", now - longer),
            (".index-ahead", now + longer),
            (".index-new", now),
            (".index-held", now - longer),
        ]
        .map(|(name, time)| {
            let file = File::create(folder.join(name)).unwrap();
            file.set_modified(time).unwrap();
            file
        });
        flock(&made[3], FlockOperation::NonBlockingLockExclusive).unwrap();
        keep(&cache, "two").unwrap();
        assert!(!folder.join(".index-old").exists());
        assert!(!folder.join(".index-ahead").exists());
        assert!(folder.join(".index-new").exists());
        assert!(folder.join(".index-held").exists());
    }
}
