//! Reading records: all of one, or only what an index wants to know.
//!
//! Sections 1 and 6 of the protocol. Files are written by others while we read: a reading counts
//! only if the name stands for the same unchanged file before and after it, and is told as racy
//! where even that proves nothing. Nothing is interpreted here beyond "one JSON object".

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::time::SystemTime;

use rustix::fs::FileType;
use xxhash_rust::xxh3::Xxh3;

use super::layout::{
    FILE, Folder, Obstacle, Opened, Step, file_name, file_type, lstat, open_file, open_listed,
    path_of, step,
};
use super::pieces::Span;
use super::stamp::{is_racy, stamp_of, version_from, version_of};
use super::{ReadError, Store};
use crate::model::extract::{Beyond, beyond_stream, extract, extract_stream};
use crate::model::json::{self, Kind, WINDOW};
use crate::model::{ProjectId, RunKey, Seen, Stamp, Version};

pub use crate::model::json::RECORD_NESTING_MAX as NESTING_MAX;

/// How often a file that changes while it is read is read again. Whoever goes on writing for so
/// long will be heard of again; waiting for him is not ours.
const READINGS_MAX: u32 = 3;

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The file, byte for byte: one JSON object, with whitespace around it at most.
    pub json: Vec<u8>,
    /// The file as it was when it was read.
    pub stamp: Stamp,
    /// Of all its bytes.
    pub version: Version,
}

impl Record {
    /// The file as text, which JSON always is.
    #[must_use]
    pub fn text(&self) -> &str {
        simdutf8::basic::from_utf8(&self.json).unwrap_or_default()
    }
}

/// What was made of a file, and whether it was the same file throughout.
pub(super) struct Reading<T> {
    pub(super) value: T,
    pub(super) stamp: Stamp,
    pub(super) settled: bool,
    pub(super) begun: SystemTime,
}

/// How a file is opened.
pub(super) type Opener = fn(&Folder, &str) -> Result<Opened, rustix::io::Errno>;

pub(super) const LOOKING_FIRST: Opener = |folder, name| open_file(folder, name);

impl Store {
    /// The project's `executions` folder, to read many runs from; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError::NotRegular`] where a symlink is in the way, and what the system says.
    pub fn folder(&self, project: &ProjectId) -> Result<Option<Folder>, ReadError> {
        match self.open_executions(project) {
            Ok(folder) => Ok(Some(folder)),
            Err(Obstacle::Missing | Obstacle::NoFolder(_)) => Ok(None),
            Err(Obstacle::Link(path)) => Err(ReadError::NotRegular { path }),
            Err(Obstacle::System(path, errno)) => Err(ReadError::io(path, errno)),
        }
    }

    /// What an index wants to know about one run; `None` if there is no such file. For many runs
    /// of one project, [`Store::folder`] and [`Folder::scan_listed`] cost half the system calls.
    ///
    /// # Errors
    /// Any [`ReadError`] but [`ReadError::TooLarge`].
    pub fn scan(&self, key: &RunKey) -> Result<Option<Seen>, ReadError> {
        match self.folder(&key.project)? {
            Some(folder) => folder.scan_by(key, LOOKING_FIRST),
            None => Ok(None),
        }
    }

    /// The whole record of one run; `None` if there is no such file.
    ///
    /// # Errors
    /// Any [`ReadError`]; above `limit_bytes` it is [`ReadError::TooLarge`] before anything is
    /// read.
    pub fn read(&self, key: &RunKey, limit_bytes: u64) -> Result<Option<Record>, ReadError> {
        let Some(folder) = self.folder(&key.project)? else {
            return Ok(None);
        };
        let name = file_name(&key.execution);
        let reading = folder.read_settled(&name, |file, size_bytes| {
            let path = || folder.path_of(&name);
            if size_bytes > limit_bytes {
                return Err(ReadError::TooLarge {
                    path: path(),
                    size_bytes,
                    limit_bytes,
                });
            }
            let mut bytes = Vec::new();
            bytes
                .try_reserve_exact(usize::try_from(size_bytes).unwrap_or(usize::MAX))
                .map_err(|_| ReadError::io(path(), io::ErrorKind::OutOfMemory))?;
            file.read_to_end(&mut bytes)
                .map_err(|error| ReadError::io(path(), error))?;
            match json::check(&bytes, NESTING_MAX) {
                Ok((_, Kind::Object)) => {}
                Ok(_) => return Err(ReadError::NotAnObject { path: path() }),
                Err(error) => return Err(ReadError::json(path(), error)),
            }
            let version = version_of(&bytes);
            Ok((bytes, version))
        })?;
        Ok(reading.map(|reading| Record {
            json: reading.value.0,
            stamp: reading.stamp,
            version: reading.value.1,
        }))
    }

    /// Tells `beyond` of the record of one run, whatever its size, but no more than `error_max` bytes of
    /// its error; the stamp of the file that says so, `None` if there is no such file, or none that is the
    /// same from the beginning to the end. It ends early where `going` says no.
    ///
    /// # Errors
    /// Any [`ReadError`] but [`ReadError::TooLarge`]; [`ReadError::Io`] where it was ended. What was told
    /// is void then.
    pub fn beyond(
        &self,
        key: &RunKey,
        error_max: usize,
        going: &dyn Fn() -> bool,
        beyond: &mut impl Beyond,
    ) -> Result<Option<Stamp>, ReadError> {
        let Some(folder) = self.folder(&key.project)? else {
            return Ok(None);
        };
        let reading = folder.read_settled(&file_name(&key.execution), |file, size_bytes| {
            let source = Span {
                file: file.get_ref(),
                going,
                at: 0,
                end: size_bytes,
            };
            BUFFER
                .with_borrow_mut(|buffer| beyond_stream(source, buffer, error_max, beyond))
                .map_err(|error| ReadError::of_extract(key, error.into()))
        })?;
        let settled = reading.filter(|reading| reading.settled);
        Ok(settled.map(|reading| reading.stamp))
    }

    /// What the file of one run that is known to be a regular file holds, unchecked, if it is no
    /// larger than `limit_bytes` and the system has all of it in memory. Never waits for a disk, so
    /// that it may be called where nothing may block: in place of two changes of threads, which take
    /// longer than it does for a small one. `None` says nothing: ask [`Store::read`] then.
    #[must_use]
    #[cfg(target_os = "linux")]
    pub fn read_cached(&self, key: &RunKey, limit_bytes: u64) -> Option<(Vec<u8>, Stamp)> {
        self.read_cached_part(key, limit_bytes, u64::MAX)
    }

    /// As [`Store::read_cached`], but at most the first `bytes_max` of a file of whatever size.
    #[must_use]
    #[cfg(target_os = "linux")]
    pub fn read_cached_beginning(&self, key: &RunKey, bytes_max: u64) -> Option<(Vec<u8>, Stamp)> {
        self.read_cached_part(key, u64::MAX, bytes_max)
    }

    #[cfg(target_os = "linux")]
    fn read_cached_part(
        &self,
        key: &RunKey,
        limit_bytes: u64,
        bytes_max: u64,
    ) -> Option<(Vec<u8>, Stamp)> {
        use rustix::fs::{Mode, ResolveFlags, fstat, openat2};
        use rustix::io::{ReadWriteFlags, preadv2};

        step(Step::Open).ok()?;
        // elsewhere even a look at a name may be a question to another machine
        self.held.lock().as_ref().filter(|root| root.local)?;
        let root = self.require_root().ok().filter(|root| root.local)?;
        let path = path_of(&key.project, &file_name(&key.execution));
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::CACHED;
        let file = openat2(&root, path, FILE, Mode::empty(), resolve).ok()?;
        let stat = fstat(&file).ok()?;
        let stamp = stamp_of(&stat);
        if file_type(&stat) != FileType::RegularFile || stamp.size > limit_bytes {
            return None;
        }
        let mut json = vec![0; usize::try_from(stamp.size.min(bytes_max)).ok()?];
        let mut filled = 0;
        while filled < json.len() {
            let room = io::IoSliceMut::new(json.get_mut(filled..)?);
            match preadv2(&file, &mut [room], filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(count) if count > 0 => filled += count,
                _ => return None,
            }
        }
        (stamp_of(&fstat(&file).ok()?) == stamp).then_some((json, stamp))
    }

    /// Nothing: this system does not tell what it has in memory.
    #[must_use]
    #[cfg(not(target_os = "linux"))]
    pub fn read_cached(&self, _: &RunKey, _: u64) -> Option<(Vec<u8>, Stamp)> {
        None
    }

    /// Nothing either.
    #[must_use]
    #[cfg(not(target_os = "linux"))]
    pub fn read_cached_beginning(&self, _: &RunKey, _: u64) -> Option<(Vec<u8>, Stamp)> {
        None
    }

    /// The file's stamp, without opening it; `None` if there is no such file.
    ///
    /// # Errors
    /// [`ReadError::NotRegular`], and what the system says.
    pub fn stamp(&self, key: &RunKey) -> Result<Option<Stamp>, ReadError> {
        match self.folder(&key.project)? {
            Some(folder) => folder.current_stamp(&file_name(&key.execution)),
            None => Ok(None),
        }
    }
}

impl Folder {
    /// What an index wants to know about one run of this folder, which its listing has just told
    /// to be a regular file; `None` if there is no such file any more. Memory is bounded whatever
    /// the file's size.
    ///
    /// # Errors
    /// Any [`ReadError`] but [`ReadError::TooLarge`].
    pub fn scan_listed(&self, key: &RunKey) -> Result<Option<Seen>, ReadError> {
        self.scan_by(key, |folder, name| open_listed(folder, name))
    }

    pub(super) fn scan_by(&self, key: &RunKey, open: Opener) -> Result<Option<Seen>, ReadError> {
        let name = file_name(&key.execution);
        let failed = |error| ReadError::io(self.path_of(&name), error);
        let reading = BUFFER.with_borrow_mut(|buffer| {
            self.read_settled_by(open, &name, |file, size_bytes| {
                // most records are read in one go, and then looked through as a whole
                buffer.resize(WINDOW, 0);
                let size = usize::try_from(size_bytes).unwrap_or(usize::MAX);
                if let Some(room) = buffer.get_mut(..size) {
                    let read = read_into(file, room).map_err(failed)?;
                    let facts = extract(read, key);
                    let facts = facts.map_err(|error| ReadError::of_extract(key, error))?;
                    return Ok((facts, version_of(read)));
                }
                let mut hashing = Hashing::new(file);
                let facts = extract_stream(&mut hashing, buffer, key)
                    .map_err(|error| ReadError::of_extract(key, error))?;
                Ok((facts, hashing.finish().map_err(failed)?))
            })
        })?;
        Ok(reading.map(|reading| Seen {
            stamp: reading.stamp,
            racy: !reading.settled || is_racy(&reading.stamp, reading.begun),
            version: reading.value.1,
            facts: reading.value.0,
        }))
    }

    /// The version stored under `name`, whatever the content.
    pub(super) fn stored_version(&self, name: &str) -> Result<Option<Reading<Version>>, ReadError> {
        self.read_settled(name, |file, _| {
            Hashing::new(file)
                .finish()
                .map_err(|error| ReadError::io(self.path_of(name), error))
        })
    }

    /// Gives the file and its size to `read` until the name stands for the same unchanged file
    /// before and after, but not for ever. `read` never sees more bytes than the size it is told:
    /// a file that grows as fast as it is read would have no end.
    pub(super) fn read_settled<T>(
        &self,
        name: &str,
        read: impl FnMut(&mut io::Take<&File>, u64) -> Result<T, ReadError>,
    ) -> Result<Option<Reading<T>>, ReadError> {
        self.read_settled_by(LOOKING_FIRST, name, read)
    }

    fn read_settled_by<T>(
        &self,
        open: Opener,
        name: &str,
        mut read: impl FnMut(&mut io::Take<&File>, u64) -> Result<T, ReadError>,
    ) -> Result<Option<Reading<T>>, ReadError> {
        let mut reading = 1;
        loop {
            let opened = step(Step::Open).and_then(|()| open(self, name));
            let (file, stamp) = match opened {
                Ok(Opened::File(file, stamp)) => (file, stamp),
                Ok(Opened::Missing) => return Ok(None),
                Ok(Opened::NotRegular) => return Err(self.not_regular(name)),
                Err(errno) => return Err(ReadError::io(self.path_of(name), errno)),
            };
            // Before the reading: what is written during it is younger than this.
            let begun = SystemTime::now();
            let value = read(&mut (&file).take(stamp.size), stamp.size);
            // A file that was replaced, renamed or removed meanwhile has another ctime.
            let after = rustix::fs::fstat(&file).map(|stat| stamp_of(&stat));
            let settled = after == Ok(stamp);
            if settled || reading == READINGS_MAX {
                return value.map(|value| {
                    Some(Reading {
                        value,
                        stamp,
                        settled,
                        begun,
                    })
                });
            }
            reading += 1;
        }
    }

    fn current_stamp(&self, name: &str) -> Result<Option<Stamp>, ReadError> {
        match lstat(self, name) {
            Ok(Some(stat)) if file_type(&stat) == FileType::RegularFile => {
                Ok(Some(stamp_of(&stat)))
            }
            Ok(Some(_)) => Err(self.not_regular(name)),
            Ok(None) => Ok(None),
            Err(errno) => Err(ReadError::io(self.path_of(name), errno)),
        }
    }

    fn not_regular(&self, name: &str) -> ReadError {
        ReadError::NotRegular {
            path: self.path_of(name),
        }
    }
}

thread_local! {
    /// What records are read through; a thread reads many, one after the other.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads until `room` is full or the end is reached; what was read.
fn read_into(mut source: impl Read, room: &mut [u8]) -> io::Result<&[u8]> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(room.get(..filled).unwrap_or_default())
}

/// Hashes what passes through it.
pub(super) struct Hashing<R> {
    source: R,
    hash: Xxh3,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            hash: Xxh3::new(),
        }
    }

    /// The version of everything, also of what nobody has read yet.
    pub(super) fn finish(mut self) -> io::Result<Version> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(version_from(self.hash.digest128()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
