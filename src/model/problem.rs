//! What can be wrong with a file or folder, as `server/problems` tells it.

use super::kinds;

kinds! {
    /// What is wrong with a file or folder.
    ProblemKind,
    /// What it means for a reader and what to do.
    message: &'static str;
    Corrupt = "corrupt",
        "not valid JSON; the run is not listed. Restore or delete the file",
        "The file does not hold JSON.";
    NotAnObject = "not-an-object",
        "valid JSON, but not an object; the run is not listed. Restore or delete the file",
        "The file holds JSON, but no object.";
    NotRegular = "not-regular",
        "a link, folder, pipe or device; never opened. Put a regular file or folder in its place \
         or remove it",
        "A link, folder, pipe or device where a file or folder should be; it is not opened.";
    InvalidName = "invalid-name",
        "the name is not an id; rename it",
        "The name is no id.";
    Unreadable = "unreadable",
        "cannot be opened; check its permissions",
        "The file or folder cannot be opened.";
    IdMismatch = "id-mismatch",
        "`id` inside differs from the file's name, which is what counts",
        "The record's `id` is not the file's name.";
    ProjectMismatch = "project-mismatch",
        "`projectId` inside differs from the folder's name, which is what counts",
        "The record's `projectId` is not the folder's name.";
    InvalidCost = "invalid-cost",
        "`costUSD` is not a number below nine billion; the cost counts as unknown",
        "`costUSD` is not a number below nine billion.";
    InvalidDate = "invalid-date",
        "`startedAt` or `completedAt` is no date as in 2025-10-15T05:02:46.569Z, with a zone; it \
         counts as unknown",
        "`startedAt` or `completedAt` is there and no date.";
    AbandonedTemporary = "abandoned-temporary",
        "a temporary file of the engine, older than an hour: a save that was cut off. runlog \
         never touches it",
        "A temporary file of the engine, older than an hour.";
    CorruptAnnotation = "corrupt-annotation",
        "not a pin, tags and a note; the run counts as without, but is not pruned where pinned \
         runs are kept. Restore the file or move it away",
        "The file that holds a run's pin, tags and note does not hold them.";
    Unwritable = "unwritable",
        "may not be written to, so that nothing can be noted on runs, deleted into the trash or \
         restored; check its permissions",
        "The project's folder for annotations and the trash may not be written to.";
}
