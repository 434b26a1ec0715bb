//! Errors as clients see them: which kinds there are, and what those of the history become.
//!
//! Section 6 of the protocol. Each has a code, a stable word (`data.kind`), whether trying again
//! may help (`data.retryable`), and a message that says what to do. No message holds an absolute
//! path or a part of a record.

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use crate::filter::FilterError;
use crate::history::HistoryError;
use crate::model::kinds;
use crate::model::update::UpdateError;
use crate::store::{
    NoTrash, ReadError, RestoreError, RewriteError, StoreError, WriteError, own_part,
};

kinds! {
    /// What kind of error it is, in the order of the codes.
    ErrorKind,
    /// The JSON-RPC error code.
    code: i32;
    Parse = "parse-error", -32700,
        "The frame is not JSON.";
    InvalidRequest = "invalid-request", -32600,
        "The frame is JSON, but not a request that can be run now.";
    MethodNotFound = "method-not-found", -32601,
        "There is no such method.";
    InvalidParams = "invalid-params", -32602,
        "A parameter is missing, unknown or out of range.";
    Internal = "internal-error", -32603,
        "A defect of the daemon; its log has more under the request's id.";
    Cancelled = "request-cancelled", -32800,
        "The client took the request back.";
    ExecutionNotFound = "execution-not-found", 404,
        "There is no such execution.";
    EntryNotFound = "entry-not-found", 404,
        "There is no such entry in the trash.";
    Ambiguous = "ambiguous", 409,
        "The id, or its beginning, may mean several executions.";
    VersionConflict = "version-conflict", 409,
        "The execution is not what `ifVersion` says.";
    AlreadyExists = "already-exists", 409,
        "There is such an execution already.";
    AlreadyFinished = "already-finished", 409,
        "The execution has ended; it is not updated any more.";
    TooLarge = "too-large", 413,
        "A frame, record or answer is over the limit, or nested too deep.";
    CorruptExecution = "corrupt-execution", 422,
        "The file is there, but does not hold one JSON object.";
    QueryTooExpensive = "query-too-expensive", 422,
        "The query took longer than two seconds, or its answer would be too much.";
    Overloaded = "overloaded", 429,
        "Too many unanswered requests or subscriptions on the connection, or searches of all.";
    Storage = "storage", 500,
        "The file system refused; the log says why.";
    NotReady = "not-ready", 503,
        "The first index or the text index is being built, what was changed is still being \
         looked at, others write the same, or the daemon is ending.";
    DaemonLost = "daemon-lost", 503,
        "The shared daemon ended before it answered; where `outcome` is `unknown`, that of a \
         change is.";
    StorageFull = "storage-full", 507,
        "The disk is full; what is not told as done was not.";
}

impl ErrorKind {
    /// Whether the same request may succeed later; where the file system refuses, perhaps only after
    /// somebody has mended that or made room.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::NotReady
                | Self::DaemonLost
                | Self::StorageFull
                | Self::Storage
        )
    }
}

/// One error, ready for the wire.
#[derive(Debug, Clone)]
pub struct Error {
    /// Its kind.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    data: Map<String, Value>,
}

impl Error {
    /// An error with nothing but its kind and a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            data: Map::new(),
        }
    }

    /// This error with another member in `data`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Parameters that do not fit.
    pub fn params(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParams, message)
    }

    /// What the answer to a request says that was taken back.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the request was cancelled")
    }

    /// What is refused because the daemon ends.
    #[must_use]
    pub fn ending() -> Self {
        Self::new(
            ErrorKind::NotReady,
            "the daemon is ending; connect to another one",
        )
        .with("ending", true)
    }

    /// What a connection cannot be answered that its client has ended.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(
            ErrorKind::NotReady,
            "the connection ended before this was answered; keep it until the answer is there",
        )
    }

    /// What is wrong with a request that may say `allowPartial`.
    #[must_use]
    pub fn or_partial(error: HistoryError) -> Self {
        let may_help = matches!(error, HistoryError::NotReady);
        let mut error = Self::from(error);
        if may_help {
            error.message.push_str(", or pass allowPartial");
        }
        error
    }

    /// What a second `initialize` is answered.
    #[must_use]
    pub fn initialized() -> Self {
        Self::new(
            ErrorKind::InvalidRequest,
            "the connection is initialized already",
        )
    }

    /// Whether it is the daemon's end that it tells of.
    #[must_use]
    pub fn is_of_the_end(&self) -> bool {
        self.data.get("ending") == Some(&Value::Bool(true))
    }

    /// An error object as [`Error::to_value`] writes it, read back.
    #[must_use]
    pub fn from_wire(object: &str) -> Self {
        let value: Value = serde_json::from_str(object).unwrap_or_default();
        let word = value["data"]["kind"].as_str();
        let kind = word.and_then(ErrorKind::of_word);
        let kind = kind.unwrap_or(ErrorKind::Internal);
        let mut error = Self::new(kind, value["message"].as_str().unwrap_or_default());
        for (name, value) in value["data"].as_object().into_iter().flatten() {
            if name != "kind" && name != "retryable" {
                error = error.with(name, value.clone());
            }
        }
        error
    }

    /// Something over a limit, both in bytes.
    #[must_use]
    pub fn too_large(what: &str, size_bytes: u64, limit_bytes: u64) -> Self {
        let message = format!("{what} has {size_bytes} bytes; the limit is {limit_bytes}");
        Self::new(ErrorKind::TooLarge, message)
            .with("sizeBytes", size_bytes)
            .with("limitBytes", limit_bytes)
    }

    /// The error object on the wire.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut data = Map::new();
        data.insert("kind".to_owned(), self.kind.word().into());
        data.insert("retryable".to_owned(), self.kind.retryable().into());
        data.extend(self.data.clone());
        json!({ "code": self.kind.code(), "message": self.message, "data": data })
    }
}

impl From<Error> for ErrorObjectOwned {
    fn from(error: Error) -> Self {
        let value = error.to_value();
        Self::owned(error.kind.code(), error.message, value.get("data"))
    }
}

/// What the system says, which names no path; of any other error only its kind.
pub(crate) fn words(error: &std::io::Error) -> String {
    let Some(code) = error.raw_os_error() else {
        return error.kind().to_string();
    };
    let text = std::io::Error::from_raw_os_error(code).to_string();
    let of_code = format!(" (os error {code})");
    text.strip_suffix(&of_code).unwrap_or(&text).to_owned()
}

/// An error of the file system: its reason goes to the log, never its path to the client.
fn storage(error: &std::io::Error, doing: &str) -> Error {
    tracing::warn!(%error, doing, "the file system refused");
    let reason = words(error);
    Error::new(
        ErrorKind::Storage,
        format!("{doing} failed: {reason}; see the daemon's log, mend the cause and try again"),
    )
}

/// The same after the change was made, which may be lost if the power fails now.
fn unsure(error: &std::io::Error, what: &str) -> Error {
    tracing::warn!(%error, what, "the file system refused the last step");
    let reason = words(error);
    let message = format!(
        "{what} was changed, but it cannot be told whether that will last: {reason}; see the \
         daemon's log, mend the cause and look whether it is as it should be"
    );
    Error::new(ErrorKind::Storage, message).with("outcome", "unknown")
}

impl From<HistoryError> for Error {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NotFound(key) => Self::new(
                ErrorKind::ExecutionNotFound,
                format!("project {} has no execution {}", key.project, key.execution),
            )
            .with("projectId", key.project.as_str())
            .with("executionId", key.execution.as_str()),
            HistoryError::NoMatch(id) => Self::new(
                ErrorKind::ExecutionNotFound,
                format!("no project has an execution whose id is, or begins with, {id}"),
            )
            .with("executionId", id.as_str()),
            HistoryError::Ambiguous {
                id,
                candidates,
                total,
            } => {
                let told: Vec<Value> = candidates
                    .iter()
                    .map(|key| {
                        let (project, execution) = (key.project.as_str(), key.execution.as_str());
                        json!({ "projectId": project, "executionId": execution })
                    })
                    .collect();
                let message = format!("{id} may mean {total} executions; name one of them");
                Self::new(ErrorKind::Ambiguous, message)
                    .with("candidates", told)
                    .with("total", total)
            }
            HistoryError::Read(error) => error.into(),
            HistoryError::Write(error) => error.into(),
            HistoryError::DeletedSome {
                deleted,
                entry,
                batch,
                why,
            } => {
                let error = match *why {
                    WriteError::Full { .. } => Self::new(
                        ErrorKind::StorageFull,
                        "the disk is full; not all was deleted. Make room and try again",
                    ),
                    why => why.into(),
                };
                let undo = [
                    ("entry", entry.map(|entry| entry.to_string())),
                    ("batch", batch.map(|batch| batch.to_string())),
                ];
                let told = undo.into_iter().filter_map(|(name, id)| Some((name, id?)));
                told.fold(error.with("deleted", deleted), |error, (name, id)| {
                    error.with(name, id)
                })
            }
            HistoryError::Trash(StoreError::Io { path, source }) => {
                storage(&source, &format!("reading {path}"))
            }
            HistoryError::NotTrashed(key) => Self::new(
                ErrorKind::EntryNotFound,
                format!(
                    "the trash of project {} has no execution {}",
                    key.project, key.execution
                ),
            )
            .with("projectId", key.project.as_str())
            .with("executionId", key.execution.as_str()),
            HistoryError::NotRestored {
                entry,
                why,
                restored,
            } => {
                let error = match why {
                    RestoreError::NoEntry => Self::new(
                        ErrorKind::EntryNotFound,
                        "the trash has no such entry; list the trash again",
                    ),
                    RestoreError::Occupied => Self::new(
                        ErrorKind::AlreadyExists,
                        "there is such an execution by now; delete it first, or keep it",
                    ),
                    RestoreError::Twice => Self::new(
                        ErrorKind::AlreadyExists,
                        "two of the entries are of one execution, which can be only one of them; \
                         name that one",
                    ),
                    RestoreError::Write(WriteError::Refused { path, source }) => {
                        let from = own_part(&path).map(|part| format!(" from {part},"));
                        let doing = format!("restoring it{}", from.unwrap_or_default());
                        storage(&source, &doing)
                    }
                    RestoreError::Write(WriteError::Full { .. }) => Self::new(
                        ErrorKind::StorageFull,
                        "the disk is full; it is still in the trash. Make room and try again",
                    ),
                    RestoreError::Write(error) => error.into(),
                };
                let restored: Vec<String> = restored.iter().map(ToString::to_string).collect();
                error
                    .with("entry", entry.to_string())
                    .with("restored", restored)
            }
            HistoryError::Exists(current) => Self::new(
                ErrorKind::AlreadyExists,
                "the execution exists already; update it, or start one with another id",
            )
            .with("currentVersion", current.map(|version| version.to_string())),
            HistoryError::Update(error) => error.into(),
            HistoryError::Annotation(error) => Self::params(error.to_string()),
            HistoryError::CorruptAnnotation(_) => Self::new(
                ErrorKind::CorruptExecution,
                "the execution's annotation, its file in the project's .runlog folder, cannot be \
                 read and is left alone; restore that file, or move it away and try again",
            ),
            HistoryError::Version { current } => {
                let message = "the execution is not what ifVersion says; read it and decide again";
                Self::new(ErrorKind::VersionConflict, message)
                    .with("currentVersion", current.to_string())
            }
            HistoryError::Busy => Self::new(
                ErrorKind::NotReady,
                "somebody else writes this execution again and again; try again",
            ),
            HistoryError::TooExpensive => Self::new(
                ErrorKind::QueryTooExpensive,
                "the query takes longer than two seconds; ask for a project, a status or a span of \
                 time, or for less of the errors",
            ),
            HistoryError::Export(error) => {
                let (kind, message) = match error.kind() {
                    std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidFilename => (
                        ErrorKind::InvalidParams,
                        "`path`: no file can be called so".into(),
                    ),
                    std::io::ErrorKind::AlreadyExists => (
                        ErrorKind::AlreadyExists,
                        "`path`: something is there already; it was left alone, name another"
                            .into(),
                    ),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => (
                        ErrorKind::Storage,
                        "`path`: the folder that it names is not there; make it, or name another"
                            .into(),
                    ),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => (
                        ErrorKind::StorageFull,
                        "there is no room for the export; nothing was left behind".into(),
                    ),
                    _ => (
                        ErrorKind::Storage,
                        format!("`path`: cannot be written: {}", words(&error)),
                    ),
                };
                Self::new(kind, message)
            }
            HistoryError::Record(RewriteError::TooLarge {
                size_bytes,
                limit_bytes,
            }) => Self::too_large("the record", size_bytes, limit_bytes),
            HistoryError::Record(error) => Self::params(format!("`execution`: {error}")),
            HistoryError::NotReady => Self::new(
                ErrorKind::NotReady,
                "the index is still being built; try again",
            ),
            HistoryError::Behind => Self::new(
                ErrorKind::NotReady,
                "what was done to the files is still being looked at; try again, or without `sync`",
            ),
            HistoryError::TakenBack => Self::cancelled(),
            HistoryError::NoThread => Self::new(
                ErrorKind::Overloaded,
                "the system gives the daemon no thread just now, and nothing was done; try again, \
                 or raise the limit of processes (`ulimit -u`, or the container's)",
            ),
            HistoryError::Ending => Self::ending(),
        }
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        let refused = Self::params(format!("`where`: {error}"))
            .with("offset", error.offset)
            .with("end", error.end)
            .with("found", error.found)
            .with("expected", error.expected);
        match error.nearest {
            Some(nearest) => refused.with("nearest", nearest),
            None => refused,
        }
    }
}

impl From<UpdateError> for Error {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Finished { status } => Self::new(
                ErrorKind::AlreadyFinished,
                "the execution has ended; start another one, or save the record whole",
            )
            .with("status", status.as_str()),
            UpdateError::NotAnAmount { member } => Self::params(format!(
                "`add`: the record's `{member}` is nothing that can be added to; set it first"
            )),
            UpdateError::Inexact { member } => Self::params(format!(
                "`add`: the sum of `{member}` is too large, or has too many digits, to be exact"
            )),
            UpdateError::NoSteps => Self::new(
                ErrorKind::CorruptExecution,
                "the record's `steps` is no array; save the record whole",
            ),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge {
                size_bytes,
                limit_bytes,
                ..
            } => {
                let mut error = Self::too_large("the record", size_bytes, limit_bytes);
                error
                    .message
                    .push_str("; executions/get gives it in pieces, by `fields` or `maxBytes`");
                error
            }
            ReadError::TooDeep { limit, .. } => Self::new(
                ErrorKind::TooLarge,
                format!("the record is nested deeper than {limit} levels; read its file instead"),
            )
            .with("limitNesting", limit),
            ReadError::Io { source, .. } => storage(&source, "reading the execution's file"),
            ReadError::NotRegular { path } => {
                let message = match place(&path) {
                    Some(part) => format!("a link is in the place of {part}, and is not followed"),
                    None => {
                        "the execution's path is not a regular file, and is not followed".to_owned()
                    }
                };
                Self::new(ErrorKind::CorruptExecution, message)
            }
            ReadError::NotAnObject { .. } => Self::new(
                ErrorKind::CorruptExecution,
                "the execution's file holds JSON, but not an object; restore or delete it",
            ),
            ReadError::Corrupt { source, .. } => Self::new(
                ErrorKind::CorruptExecution,
                format!("the execution's file is not valid JSON ({source}); restore or delete it"),
            ),
        }
    }
}

/// What belongs at `path` below the root, in words for people; `None` if that is an execution's file.
fn place(path: &str) -> Option<&'static str> {
    own_part(path).or(match path.split('/').count() {
        1 => Some("the project's folder"),
        2 => Some("the project's executions folder"),
        _ => None,
    })
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict { current, .. } => {
                let message = match current {
                    Some(_) => "the execution is not what ifVersion says; read it and decide again",
                    None => "the execution is not there any more; save it with ifVersion \"none\"",
                };
                Self::new(ErrorKind::VersionConflict, message)
                    .with("currentVersion", current.map(|version| version.to_string()))
            }
            WriteError::Full { .. } => Self::new(
                ErrorKind::StorageFull,
                "the disk is full; nothing was changed. Make room and try again",
            ),
            WriteError::NotRegular { path } => {
                let message = match place(&path) {
                    Some(part) => format!(
                        "a link, or something else that does not belong there, is in the place of \
                         {part}; move it away and try again"
                    ),
                    None => "the execution's path is not a regular file; remove what is there"
                        .to_owned(),
                };
                Self::new(ErrorKind::CorruptExecution, message)
            }
            WriteError::NoTrash { path, reason } => {
                let (kind, why) = match reason {
                    NoTrash::OtherFileSystem => (
                        ErrorKind::Storage,
                        "the executions folder and the trash, `.runlog/trash` beside it, are on two file \
                         systems, so that nothing can be moved from one to the other"
                            .to_owned(),
                    ),
                    NoTrash::InTheWay => {
                        let place = own_part(&path).unwrap_or("the project's folder");
                        let why = format!("something else is in the place of {place}");
                        (ErrorKind::Storage, why)
                    }
                    NoTrash::Full => (
                        ErrorKind::StorageFull,
                        "there is no room for the trash's folder".to_owned(),
                    ),
                    NoTrash::System(error) => {
                        tracing::warn!(%error, "moving to the trash failed");
                        let why = format!("moving to the trash failed: {}", words(&error));
                        (ErrorKind::Storage, why)
                    }
                };
                let what = "what could not be moved was not deleted. Mend that, or pass permanent: \
                            true, which cannot be undone";
                Self::new(kind, format!("{why}; {what}"))
            }
            WriteError::Refused { path, source } => {
                let what = own_part(&path).map(|part| format!("changing {part},"));
                let what = what.unwrap_or_else(|| "changing the execution's file".to_owned());
                storage(&source, &what)
            }
            WriteError::Io { path, source } => {
                let what = own_part(&path).map(|part| format!("{part},"));
                unsure(&source, what.as_deref().unwrap_or("the execution's file"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::store::EntryId;

    #[test]
    fn every_error_tells_its_kind_and_whether_to_try_again() {
        for kind in ErrorKind::ALL {
            let value = Error::new(kind, "what to do").to_value();
            assert_eq!(value["code"], kind.code());
            assert_eq!(value["data"]["kind"], kind.word());
            assert_eq!(value["data"]["retryable"], kind.retryable());
        }
    }

    #[test]
    fn what_the_system_says_is_told_in_its_words_and_without_paths() {
        let io = |errno: Errno| std::io::Error::from(errno);
        let told = |error: HistoryError| {
            let value = Error::from(error).to_value();
            let message = value["message"].as_str().unwrap().to_owned();
            (message, value["data"].clone())
        };
        let (message, _) = told(HistoryError::Trash(StoreError::Io {
            path: "a/.runlog".into(),
            source: io(Errno::IO),
        }));
        assert!(
            message.starts_with("reading a/.runlog failed: Input/output error; "),
            "{message}"
        );
        let path = || "p/executions/x.json".to_owned();
        // nothing was done, and that is known
        let (message, data) = told(HistoryError::Write(WriteError::Refused {
            path: path(),
            source: io(Errno::ROFS),
        }));
        assert!(
            message.contains("failed: Read-only file system"),
            "{message}"
        );
        assert_eq!(data.get("outcome"), None);
        // of an error of our own only the kind
        let own = std::io::Error::new(std::io::ErrorKind::InvalidData, "/a/secret");
        let (message, _) = told(HistoryError::Write(WriteError::Refused {
            path: path(),
            source: own,
        }));
        assert!(message.contains("failed: invalid data;"), "{message}");
        // a folder that is none is no file
        for (path, place) in [
            ("p", "the project's folder"),
            ("p/executions", "the project's executions folder"),
            ("p/executions/x.json", "not a regular file"),
            ("p/.runlog", "the project's .runlog folder"),
        ] {
            let path = path.to_owned();
            let read = HistoryError::Read(ReadError::NotRegular { path: path.clone() });
            let write = HistoryError::Write(WriteError::NotRegular { path });
            for (message, _) in [told(read), told(write)] {
                assert!(message.contains(place), "{message}");
            }
        }
        // it was done, and the disk is full
        let why = Box::new(WriteError::Io {
            path: path(),
            source: io(Errno::NOSPC),
        });
        let (message, data) = told(HistoryError::DeletedSome {
            deleted: 1,
            entry: EntryId::parse("p/5-00ff8a1be2d49377/x"),
            batch: None,
            why,
        });
        assert!(message.contains("No space left on device"), "{message}");
        assert!(!message.contains("nothing was changed"), "{message}");
        assert_eq!(data["kind"], "storage");
        assert_eq!(data["outcome"], "unknown");
        assert_eq!(data["entry"], "p/5-00ff8a1be2d49377/x");
    }
}
