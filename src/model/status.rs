//! The status of a run, as it stands in the record.

use std::fmt;

/// The statuses that the engine writes, and room for any other string a recorder may use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waiting to start.
    Queued,
    /// Being worked on.
    Running,
    /// Held by somebody.
    Paused,
    /// Ended well.
    Completed,
    /// Ended in an error.
    Failed,
    /// Ended by somebody.
    Cancelled,
    /// A string that the engine does not write.
    Other(Box<str>),
}

impl Status {
    /// The six statuses of the engine.
    pub const KNOWN: [Status; 6] = [
        Status::Queued,
        Status::Running,
        Status::Paused,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The status spelt `text`; never fails.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "queued" => Status::Queued,
            "running" => Status::Running,
            "paused" => Status::Paused,
            "completed" => Status::Completed,
            "failed" => Status::Failed,
            "cancelled" => Status::Cancelled,
            other => Status::Other(other.into()),
        }
    }

    /// The spelling in the record.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Other(text) => text,
        }
    }

    /// Whether somebody is expected to write again soon, so that silence makes the run stale.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Status::Queued | Status::Running)
    }

    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
