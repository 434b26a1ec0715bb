//! The files: one folder a project, one JSON file a run.
//!
//! Sections 1 and 6 of the protocol: where records lie, what is read tolerantly, and what must
//! not be lost. Everything is opened beneath a root that is opened once, one component at a time
//! and never through a symlink; see `layout.rs`. All calls block; none keeps a file open.
//!
//! The store knows no index and no method, remembers nothing about any file, and takes no lock
//! that outlives a call: who wants a comparison and a save to be one step among the callers of
//! one process serialises them (`history` does, by run).

mod annotations;
mod cache;
mod delete;
mod error;
mod layout;
mod own;
mod pieces;
mod read;
pub mod rewrite;
mod stamp;
mod target;
mod touch;
mod trash;
mod walk;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use annotations::{Sidecar, annotated_at, annotation_path};
pub use cache::{Cache, CacheError, root_hash};
pub use delete::{DeletedAll, Removal, Removed, Sparing};
pub use error::{NoTrash, ReadError, RestoreError, StoreError, WriteError, is_short};
pub use layout::{Folder, Turns};
pub use own::{Cookie, Swept, own_folders, own_part};
pub use pieces::{PieceQuery, Pieces};
pub use read::{NESTING_MAX, Record};
pub use rewrite::RewriteError;
pub use stamp::{is_racy, settled_stamp, settles_after, version_of};
pub use target::{Claim, Target};
pub use trash::{Batch, Emptied, Entry, EntryId, Restoring};
pub use walk::{Problem, ProjectsFound, Walk};
pub use write::{Expect, Saved};

/// The files below one root. Shared by reference between any number of threads.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// What stood at `path` when it was last looked at.
    held: Mutex<Option<Arc<layout::Root>>>,
    /// Where pieces lie that were asked for lately.
    places: pieces::Places,
}

impl Store {
    /// The store at `root`, which need not exist yet and may be a symlink. Touches nothing.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            path: root,
            held: Mutex::new(None),
            places: pieces::Places::default(),
        }
    }

    /// The root as it was given.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Whether the root is a folder that can be opened now.
    #[must_use]
    pub fn exists(&self) -> bool {
        matches!(self.open_root(), Ok(Some(_)))
    }
}
