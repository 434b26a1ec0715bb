//! What can go wrong with the files.
//!
//! Section 6 of the protocol: every error knows the path it is about, always relative to the root,
//! so that no message can hold an absolute path. Turning these into codes is `api`'s.

use std::io;

use rustix::io::Errno;

use super::layout::{Refused, file_name, path_of};
use crate::model::extract::ExtractError;
use crate::model::json::JsonError;
use crate::model::{RunKey, Version};

/// Why the root, or a folder below it, could not be looked at or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// Relative to the root; `.` is the root itself.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
}

/// Whether the system is short of what every reading takes: descriptors, or memory. What cannot be
/// read for that reason is neither bad nor gone.
#[must_use]
pub fn is_short(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE)) || error.kind() == io::ErrorKind::OutOfMemory
}

/// Why a record that is there could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A symlink, folder, pipe, socket or device stands where a file, or a folder on the way to
    /// it, should be; it was not opened.
    #[error("{path} is not a regular file, or leads through a link; it is not followed")]
    NotRegular {
        /// Relative to the root.
        path: String,
    },
    /// Not JSON.
    #[error("{path} is not valid JSON: {source}")]
    Corrupt {
        /// Relative to the root.
        path: String,
        /// What is wrong, and where.
        source: JsonError,
    },
    /// JSON, but not an object.
    #[error("{path} does not hold a JSON object")]
    NotAnObject {
        /// Relative to the root.
        path: String,
    },
    /// Larger than asked for; nothing was read.
    #[error("{path} has {size_bytes} bytes; at most {limit_bytes} can be read at once")]
    TooLarge {
        /// Relative to the root.
        path: String,
        /// The file's size.
        size_bytes: u64,
        /// The most that was asked for.
        limit_bytes: u64,
    },
    /// Nested deeper than a record may be.
    #[error("{path} is nested deeper than {limit} levels")]
    TooDeep {
        /// Relative to the root.
        path: String,
        /// The deepest nesting allowed.
        limit: usize,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// Relative to the root.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
}

/// Why a record was not saved or deleted. What was there before is still there, whole, unless the
/// variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another version is stored than the one expected.
    #[error("{path} is stored in another version than expected; read it again")]
    Conflict {
        /// Relative to the root.
        path: String,
        /// What is stored; `None` if nothing is, or if it could not be read.
        current: Option<Version>,
    },
    /// No space left, or the user's quota is used up.
    #[error("{path}: no space left to write it")]
    Full {
        /// Relative to the root.
        path: String,
    },
    /// A symlink, folder, pipe, socket or device stands where the file, or a folder on the way to
    /// it, should be.
    #[error("{path} is not a regular file, or leads through a link; it is left alone")]
    NotRegular {
        /// Relative to the root.
        path: String,
    },
    /// The trash cannot take what was to be deleted, which is still where it was.
    #[error("{path}: the trash cannot take it: {reason}")]
    NoTrash {
        /// Relative to the root.
        path: String,
        /// Why not.
        reason: NoTrash,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Refused {
        /// Relative to the root.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
    /// The system refused the last step, which makes durable what was done: what is there is the new
    /// state, or, after a power failure, the old one.
    #[error("{path}: {source}")]
    Io {
        /// Relative to the root.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
}

/// Why the trash cannot take something.
#[derive(Debug, thiserror::Error)]
pub enum NoTrash {
    /// A file cannot be renamed from one file system to another.
    #[error("it is on another file system than the trash")]
    OtherFileSystem,
    /// A symlink, or something that is no folder.
    #[error("something else is in the place of the trash's folder")]
    InTheWay,
    /// No space left, or the user's quota is used up.
    #[error("there is no space left for a folder")]
    Full,
    /// What the system says.
    #[error("{0}")]
    System(io::Error),
}

/// Why something was not restored; it is still in the trash.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not in the trash, or not any more.
    #[error("there is no such entry")]
    NoEntry,
    /// Something has its name by now.
    #[error("there is such a file")]
    Occupied,
    /// Another one that is to be restored with it is of the same file.
    #[error("another entry is of the same file")]
    Twice,
    /// The system refused. After a [`WriteError::Io`] it may be back already.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl StoreError {
    pub(super) fn io(path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.into(),
            source: source.into(),
        }
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::io(refused.path, refused.errno)
    }
}

impl From<Refused> for WriteError {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.path, refused.errno)
    }
}

impl ReadError {
    pub(super) fn io(path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.into(),
            source: source.into(),
        }
    }

    /// What `extract` says about the record of `key`.
    #[must_use]
    pub fn of_extract(key: &RunKey, error: ExtractError) -> Self {
        let path = path_of(&key.project, &file_name(&key.execution));
        match error {
            ExtractError::Json(error) => Self::json(path, error),
            ExtractError::NotAnObject => Self::NotAnObject { path },
        }
    }

    pub(super) fn json(path: String, error: JsonError) -> Self {
        match error {
            JsonError::Io(source) => Self::Io { path, source },
            JsonError::Depth { limit } => Self::TooDeep { path, limit },
            source => Self::Corrupt { path, source },
        }
    }
}

impl WriteError {
    pub(super) fn no_trash(path: impl Into<String>, errno: Errno) -> Self {
        let reason = match errno {
            Errno::XDEV => NoTrash::OtherFileSystem,
            Errno::NOSPC | Errno::DQUOT => NoTrash::Full,
            Errno::EXIST | Errno::NOTDIR | Errno::LOOP => NoTrash::InTheWay,
            errno => NoTrash::System(errno.into()),
        };
        let path = path.into();
        Self::NoTrash { path, reason }
    }

    /// Before anything was changed.
    pub(super) fn refused(path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), source.into());
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { path },
            _ => Self::Refused { path, source },
        }
    }

    /// After it was: of no such error it may be said that nothing is changed.
    pub(super) fn unsure(path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.into(),
            source: source.into(),
        }
    }
}
