//! Saving a record so that it cannot be lost.
//!
//! Section 6 of the protocol: a locked temporary file in the same folder; write, fsync, rename,
//! fsync of the folder; only then the answer. After a kill at any instant there is the old record
//! or the new one, whole. The text is stored as it is given: whether it is a record, and how it is
//! spelt, is decided before.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use super::layout::{
    Folder, Obstacle, Turn, executions_path, file_name, file_type, lstat, path_of, permissions,
    sync_folder,
};
use super::own::Temporary;
use super::read::Reading;
use super::stamp::{same_file, stamp_of, version_of};
use super::{ReadError, Store, WriteError};
use crate::model::{RunKey, Stamp, Version};

/// What must be stored for a save to go through. The engine knows no locks, so it is compared before
/// and after: `Absent` is one step with the rename, and a file that comes out in exchange for the new
/// one and is not the one expected is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever there is, if anything.
    Anything,
    /// Nothing.
    Absent,
    /// Exactly this.
    Version(Version),
}

/// A save that will survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The new file's.
    pub stamp: Stamp,
    /// The new record's.
    pub version: Version,
    /// Whether there was no such run before.
    pub created: bool,
}

/// Why an attempt at saving did not succeed.
enum Failure {
    /// For good.
    Final(WriteError),
    /// The folder was removed or replaced meanwhile, so that the record, if it was `placed`, is not where
    /// a reader would look for it.
    FolderGone { placed: bool },
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Final(error)
    }
}

impl Store {
    /// Stores `text` as the run's record, durably, and makes the folders that are missing. The old
    /// file's permissions are kept. A save that finds its folder removed or replaced is done
    /// again, once, in the one that is there then.
    ///
    /// # Errors
    /// Any [`WriteError`]; except as said there, what was stored is still stored.
    pub fn save(&self, key: &RunKey, text: &[u8], expect: &Expect) -> Result<Saved, WriteError> {
        self.save_through(key, version_of(text), expect, |file| file.write_all(text))
    }

    /// [`Store::save`] of whatever `fill` writes. Tests use it to let the disk be full.
    pub(super) fn save_through(
        &self,
        key: &RunKey,
        version: Version,
        expect: &Expect,
        mut fill: impl FnMut(&mut File) -> io::Result<()>,
    ) -> Result<Saved, WriteError> {
        let mut any_placed = false;
        for _ in 0..2 {
            match self.save_once(key, version, expect, &mut fill) {
                Ok(saved) => return Ok(saved),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::FolderGone { placed }) => any_placed |= placed,
            }
        }
        let path = executions_path(&key.project);
        let error = io::Error::new(
            io::ErrorKind::NotFound,
            "the folder was removed or replaced again and again during the save",
        );
        Err(match any_placed {
            true => WriteError::unsure(path, error),
            false => WriteError::refused(path, error),
        })
    }

    fn save_once(
        &self,
        key: &RunKey,
        version: Version,
        expect: &Expect,
        fill: &mut impl FnMut(&mut File) -> io::Result<()>,
    ) -> Result<Saved, Failure> {
        let name = file_name(&key.execution);
        let (folder, made) = match (expect, self.open_executions(&key.project)) {
            // Nothing is made for a save that cannot go through.
            (Expect::Version(_), Err(Obstacle::Missing)) => {
                let path = path_of(&key.project, &name);
                return Err(WriteError::Conflict {
                    path,
                    current: None,
                }
                .into());
            }
            (_, Err(Obstacle::Missing)) => {
                let (folder, made) = self.make_executions(&key.project)?;
                (folder, Some(made))
            }
            (_, found) => (found?, None),
        };
        let failed = |errno| folder.write_failure(&name, errno);

        let old = folder.target(&name)?;
        let kept = old.map(|stat| permissions(&stat));
        // Never more open than the old file, not even for a moment.
        let mode = kept.unwrap_or(Mode::from_raw_mode(0o666));
        let mut temporary = Temporary::create(&folder, mode).map_err(failed)?;
        fill(temporary.file())
            .map_err(|error| WriteError::refused(folder.path_of(&name), error))?;
        if let Some(mode) = kept {
            temporary.set_permissions(mode).map_err(failed)?;
        }
        temporary
            .file()
            .sync_all()
            .map_err(|error| WriteError::refused(folder.path_of(&name), error))?;
        let created = folder.place(&mut temporary, &name, expect)?;

        // From here on no error may say that nothing was changed.
        if let Some(made) = made {
            made.keep();
        }
        let unsure = |errno: Errno| WriteError::unsure(folder.path_of(&name), errno);
        sync_folder(&folder).map_err(unsure)?;
        let stamp = temporary.stamp().map_err(unsure)?;
        match self.open_executions(&key.project) {
            Ok(current) if folder.is_same_as(&current).map_err(unsure)? => Ok(Saved {
                stamp,
                version,
                created,
            }),
            Ok(_) | Err(Obstacle::Missing) => Err(Failure::FolderGone { placed: true }),
            Err(Obstacle::System(path, errno)) => Err(WriteError::unsure(path, errno).into()),
            Err(obstacle) => Err(obstacle.into()),
        }
    }
}

impl Folder {
    /// Renames a finished temporary file to `name` if what is stored there is what was expected;
    /// tells whether that was nothing.
    fn place(
        &self,
        temporary: &mut Temporary<&Folder>,
        name: &str,
        expect: &Expect,
    ) -> Result<bool, Failure> {
        let failed = |errno| self.write_failure(name, errno);
        let _turn = Turn::wait(self);
        let mut old = self.target(name)?;
        let mut compared = None;
        match expect {
            Expect::Version(version) => {
                let stored = self.stored_version(name).map_err(WriteError::from)?;
                // What changes while it is compared is not what was expected.
                let unchanged = stored
                    .as_ref()
                    .is_some_and(|stored| stored.settled && stored.value == *version);
                if !unchanged {
                    let current = stored.map(|stored| stored.value);
                    return Err(self.conflict(name, current).into());
                }
                compared = stored;
            }
            Expect::Anything if old.is_some() => {}
            Expect::Absent if old.is_some() => return Err(self.occupied(name)?.into()),
            Expect::Anything | Expect::Absent => match temporary.rename_new(name) {
                Ok(()) => return Ok(true),
                // Somebody was faster.
                Err(Errno::EXIST) if *expect == Expect::Absent => {
                    return Err(self.occupied(name)?.into());
                }
                Err(Errno::EXIST) => old = self.target(name)?,
                Err(errno) => return Err(failed(errno)),
            },
        }
        if let Some(stat) = old {
            // They were set before the fsync; this is for those that changed since.
            temporary
                .set_permissions(permissions(&stat))
                .map_err(failed)?;
        }
        match compared {
            Some(compared) => self.exchange(temporary, name, &compared)?,
            None => temporary.rename_over(name).map_err(failed)?,
        }
        Ok(false)
    }

    /// Puts a finished temporary file in the place of `name` if what comes out there is what was
    /// `compared` a moment ago.
    fn exchange(
        &self,
        temporary: &mut Temporary<&Folder>,
        name: &str,
        compared: &Reading<Version>,
    ) -> Result<(), Failure> {
        let failed = |errno| self.write_failure(name, errno);
        match temporary.exchange(name) {
            Ok(()) => {}
            // then it is a moment in which somebody's save is lost
            Err(Errno::NOTSUP) => return temporary.rename_over(name).map_err(failed),
            Err(errno) => return Err(failed(errno)),
        }
        // looked at first, because others may see ours until it is taken back
        let is_same = |stat: Stat| same_file(&stamp_of(&stat), &compared.stamp);
        let out = lstat(self, temporary.name());
        if matches!(out, Ok(None)) {
            // somebody removed it, who takes it for abandoned; it was the one expected a moment ago
            return Ok(());
        }
        if matches!(out, Ok(Some(stat)) if is_same(stat))
            && let Ok(Some(out)) = self.stored_version(temporary.name())
            && out.settled
            && out.value == compared.value
        {
            // what cannot be removed now is tried once more when the file is dropped
            let _ = temporary.discard_exchanged();
            return Ok(());
        }
        self.put_back(temporary, name)
            .map_err(|errno| WriteError::unsure(self.path_of(name), errno))?;
        let current = self.stored_version(name).ok().flatten();
        Err(self
            .conflict(name, current.map(|stored| stored.value))
            .into())
    }

    /// Gives `name` back to the file that came out in exchange for ours, although it was not the one
    /// expected. Who saves there meanwhile replaces the one that is there: that comes out then in its
    /// turn, unless it is the one that was put there last, so that the latest of theirs stays.
    fn put_back(&self, temporary: &Temporary<&Folder>, name: &str) -> Result<(), Errno> {
        let stamp = |name: &str| Ok(lstat(self, name)?.map(|stat| stamp_of(&stat)));
        let mut there = Some(temporary.stamp()?);
        loop {
            let back = stamp(temporary.name())?;
            match temporary.exchange(name) {
                // somebody deleted the run, and means what was there
                Err(Errno::NOENT) => return Ok(()),
                done => done?,
            }
            let out = stamp(temporary.name())?;
            if out
                .zip(there)
                .is_some_and(|(out, there)| same_file(&out, &there))
            {
                return Ok(());
            }
            there = back;
        }
    }

    /// The regular file that a save to `name` would replace; nothing else is replaced.
    fn target(&self, name: &str) -> Result<Option<Stat>, WriteError> {
        match lstat(self, name) {
            Ok(Some(stat)) if file_type(&stat) != FileType::RegularFile => {
                Err(WriteError::NotRegular {
                    path: self.path_of(name),
                })
            }
            Ok(found) => Ok(found),
            Err(errno) => Err(WriteError::refused(self.path_of(name), errno)),
        }
    }

    /// The conflict with what stands at `name`, where nothing was expected.
    fn occupied(&self, name: &str) -> Result<WriteError, WriteError> {
        self.target(name)?;
        let current = self.stored_version(name).ok().flatten();
        Ok(self.conflict(name, current.map(|stored| stored.value)))
    }

    fn conflict(&self, name: &str, current: Option<Version>) -> WriteError {
        WriteError::Conflict {
            path: self.path_of(name),
            current,
        }
    }

    fn write_failure(&self, name: &str, errno: Errno) -> Failure {
        match errno {
            // Nothing can be made in a removed folder, and what was made there is gone with it.
            Errno::NOENT | Errno::STALE => Failure::FolderGone { placed: false },
            // A folder has come to stand in the way.
            Errno::ISDIR | Errno::NOTEMPTY => Failure::Final(WriteError::NotRegular {
                path: self.path_of(name),
            }),
            errno => Failure::Final(WriteError::refused(self.path_of(name), errno)),
        }
    }
}

impl From<Obstacle> for Failure {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Missing => Self::FolderGone { placed: false },
            Obstacle::Link(path) | Obstacle::NoFolder(path) => {
                Self::Final(WriteError::NotRegular { path })
            }
            Obstacle::System(path, errno) => Self::Final(WriteError::refused(path, errno)),
        }
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotRegular { path } => Self::NotRegular { path },
            ReadError::Io { path, source } => Self::refused(path, source),
            ReadError::Corrupt { ref path, .. }
            | ReadError::NotAnObject { ref path }
            | ReadError::TooLarge { ref path, .. }
            | ReadError::TooDeep { ref path, .. } => Self::refused(
                path.clone(),
                io::Error::new(io::ErrorKind::InvalidData, error),
            ),
        }
    }
}
