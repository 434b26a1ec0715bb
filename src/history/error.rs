//! What can go wrong with a run, for the one place that turns it into protocol errors.

use crate::model::update::UpdateError;
use crate::model::{AnnotationError, ExecutionId, RunKey, Version};
use crate::store::{
    Batch, EntryId, ReadError, RestoreError, RewriteError, StoreError, WriteError, is_short,
};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is no such run.
    #[error("there is no execution {} in project {}", .0.execution, .0.project)]
    NotFound(RunKey),
    /// No run is called that, or has an id that begins with it.
    #[error("no execution is called, or begins with, {0}")]
    NoMatch(ExecutionId),
    /// Several runs are called that, or have an id that begins with it.
    #[error("several executions are called, or begin with, {id}")]
    Ambiguous {
        /// What was asked for.
        id: ExecutionId,
        /// Some of the runs, newest first.
        candidates: Vec<RunKey>,
        /// How many there are.
        total: usize,
    },
    /// The file is there, but cannot be given.
    #[error("the execution's file cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The file could not be written or deleted.
    #[error("the execution's file cannot be written: {0}")]
    Write(#[from] WriteError),
    /// Something was deleted, and then something failed.
    #[error("{deleted} were deleted, and then: {why}")]
    DeletedSome {
        /// How many.
        deleted: u64,
        /// What the only one is in the trash, if it is there.
        entry: Option<EntryId>,
        /// What several are there.
        batch: Option<Batch>,
        /// What failed; what was deleted may not be so durably.
        why: Box<WriteError>,
    },
    /// The trash could not be looked at.
    #[error("the trash cannot be read: {0}")]
    Trash(#[from] StoreError),
    /// A run is not in the trash.
    #[error("execution {} of project {} is not in the trash", .0.execution, .0.project)]
    NotTrashed(RunKey),
    /// Something was not restored.
    #[error("{entry} was not restored: {why}")]
    NotRestored {
        /// What.
        entry: EntryId,
        /// Why not.
        why: RestoreError,
        /// What the same request did restore.
        restored: Vec<EntryId>,
    },
    /// The record to save is no record.
    #[error("the record cannot be stored: {0}")]
    Record(#[from] RewriteError),
    /// The update cannot be applied to what is stored.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// There is such a run; with its version, if it can be read.
    #[error("there is such an execution")]
    Exists(Option<Version>),
    /// The run is not what was expected.
    #[error("the execution is another version")]
    Version {
        /// What it is.
        current: Version,
    },
    /// What was to be noted on the run cannot be.
    #[error(transparent)]
    Annotation(#[from] AnnotationError),
    /// What is noted on the run cannot be read, and would be lost by noting something else.
    #[error("the file of what is noted on execution {} of project {} holds something else", .0.execution, .0.project)]
    CorruptAnnotation(RunKey),
    /// Somebody else writes the run again and again.
    #[error("somebody else writes this execution again and again")]
    Busy,
    /// An export's target could not be written.
    #[error("the export cannot be written: {0}")]
    Export(std::io::Error),
    /// The query took too long.
    #[error("the query takes too long")]
    TooExpensive,
    /// The first index is still being built.
    #[error("the index of this project is still being built")]
    NotReady,
    /// So much was changed that it could not all be looked at in time.
    #[error("what was done to the files is still being looked at")]
    Behind,
    /// Whoever asked for it has taken it back, and nothing was done.
    #[error("the request was cancelled")]
    TakenBack,
    /// The system gives no thread to do it on; nothing was done.
    #[error("the system gives no thread just now")]
    NoThread,
    /// The daemon is ending.
    #[error("the daemon is ending")]
    Ending,
}

impl HistoryError {
    /// Whether the system is short of what every reading takes.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Read(ReadError::Io { source, .. }) if is_short(source))
    }
}
