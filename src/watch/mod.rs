//! Hints that something changed.
//!
//! Events of the file system become [`Hint`]s: where to look, never what happened. Whatever is
//! lost, doubled or misordered here costs a look, not a wrong answer. This room never reads a
//! record and knows neither the index nor a session; everything that only one operating system
//! needs is in here.

mod dirty;
mod folders;
mod notifier;
mod remote;

pub use dirty::{Dirty, Mark, Taken};
pub use notifier::{NotifyWatcher, WatchError};

use crate::model::{ProjectId, RunKey};

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// At one run's file.
    Run(RunKey),
    /// At a project's folders, and the files in them.
    Project(ProjectId),
    /// At the root and the set of projects.
    Root,
    /// At everything: events were lost.
    Everything,
    /// Nowhere, but everything hinted before this was done before the cookie was made.
    Cookie(String),
}

/// How well the watching works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The system's interface.
    pub backend: &'static str,
    /// How many folders are watched.
    pub folders: usize,
    /// How often the system lost events.
    pub overflows: u64,
    /// Projects of which not every folder could be watched.
    pub unwatched: usize,
    /// Whether the root is watched, or where it will come.
    pub root_watched: bool,
    /// What is wrong, and what to do; for people.
    pub message: Option<String>,
}

impl Health {
    /// Whether every change will be hinted.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.root_watched && self.unwatched == 0
    }
}

/// Watches folders. Hints come on a thread of its own, in the order of the events; the methods
/// are for other threads.
pub trait Watcher: Send + Sync {
    /// Makes the watches equal to what is on disk for `projects`, which are all there are.
    /// Returns those whose watches are new: look at them after this, because what happened in
    /// them before was not hinted.
    fn follow_all(&self, projects: &[ProjectId]) -> Vec<ProjectId>;

    /// The same for one project; whether its watches are new.
    fn follow(&self, project: &ProjectId) -> bool;

    /// Checks the watch of the root and of the folder above it; whether one is new. Look for the
    /// root's projects after this, and follow them then.
    fn follow_root(&self) -> bool;

    /// How well it works.
    fn health(&self) -> Health;
}
