//! What a reading of a run's file gives.

use super::{Facts, Stamp, Version};

/// What a reading of a run's file gave; what the index is fed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The file as it was when it was read.
    pub stamp: Stamp,
    /// Of all its bytes.
    pub version: Version,
    /// What the record says.
    pub facts: Facts,
    /// The same stamp later on does not prove that the file is still the one read: read it again.
    pub racy: bool,
}
