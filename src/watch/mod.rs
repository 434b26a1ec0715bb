//! Hints that something changed.
//!
//! Events of the file system become [`Hint`]s: where to look, never what happened. Whatever is
//! lost, doubled or misordered here costs a look, not a wrong answer. This room never reads a
//! record and knows neither the index nor a session; everything that only one operating system
//! needs is in here.
//!
//! Where events do not tell everything (another machine's file system, a limit of the system), what
//! they leave out is [`Unwatched`]. It has to be compared in intervals, which history does; each time
//! it follows the folders for that, watching them is tried again, so a raised limit heals by itself.

mod dirty;
mod folders;
mod notifier;
mod remote;
#[cfg(test)]
pub(crate) mod tests;

pub use dirty::{Dirty, Mark, Taken};
pub use notifier::NotifyWatcher;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ProjectId, RunKey};

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// At one run's file.
    Run(RunKey),
    /// At a project's folders, and the files in them.
    Project(ProjectId),
    /// At what is noted on one run.
    Annotation(RunKey),
    /// At what is noted on any run of a project.
    Annotations(ProjectId),
    /// At the root and the set of projects.
    Root,
    /// At everything: events were lost.
    Everything,
    /// Nowhere, but everything hinted before this was done before the cookie was made.
    Cookie(String),
}

/// Why events do not tell of everything, and what to do; the last ones can be mended best.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// The root was not followed since the watcher was started, or since the root was replaced.
    #[error("the root is not watched yet")]
    NotYet,
    /// Events are not wanted.
    #[error("polling was asked for: files are compared in intervals")]
    Asked,
    /// Other machines, or a program behind FUSE, may change files unheard.
    #[error(
        "the file system (a network's, or FUSE) does not tell what others change, so it is polled; \
         run runlog where the files are stored if that is too slow"
    )]
    Remote,
    /// The system refused something else.
    #[error("{what} cannot be watched and is polled, until this is mended: {why}")]
    Refused {
        /// Which folder, by what it is: clients are told no absolute path, and the log one line of
        /// a thousand projects.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// The system gives no events at all.
    #[error("the system gives no file events, so everything is polled: {0}")]
    NoEvents(String),
    /// There may not be more watches.
    #[error(
        "the system's limit of watches is reached and what is not watched is polled; \
         raise it: sysctl fs.inotify.max_user_watches"
    )]
    Watches,
    /// There may not be more watchers, or open files.
    #[error(
        "the system's limit of watchers or of open files is reached, so everything is polled; \
         raise it: sysctl fs.inotify.max_user_instances, or ulimit -n"
    )]
    Instances,
}

/// What events do not tell of, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwatched {
    /// The root, and so everything.
    Everything(Reason),
    /// These projects; none where every change is hinted.
    Projects(Arc<BTreeMap<ProjectId, Reason>>),
}

impl Unwatched {
    /// Whether every change is hinted.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Projects(projects) if projects.is_empty())
    }

    /// What to do first so that more is watched.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Everything(reason) => Some(reason),
            Self::Projects(projects) => projects.values().max(),
        }
    }
}

/// How well the watching works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The system's interface, or `poll` where there is none.
    pub backend: &'static str,
    /// How many folders are watched.
    pub folders: usize,
    /// How often the system lost events.
    pub overflows: u64,
    /// What has to be polled.
    pub unwatched: Unwatched,
}

impl Health {
    /// That of no watcher at all.
    #[must_use]
    pub fn without_events(reason: Reason) -> Self {
        Self {
            backend: "poll",
            folders: 0,
            overflows: 0,
            unwatched: Unwatched::Everything(reason),
        }
    }
}

/// Watches folders. Hints come on a thread of its own, in the order of the events; the methods
/// are for other threads.
pub trait Watcher: Send + Sync {
    /// Makes the watches of `projects`, which are all there are, equal to what is on disk; what
    /// is left of others stays until [`Watcher::drop_others`]. Returns those whose watches are new,
    /// or have become too few: look at them after this, because what happened in them before was
    /// not hinted.
    fn follow_all(&self, projects: &[ProjectId]) -> Vec<ProjectId>;

    /// Drops what is left of the watches of other projects than `projects`. May take seconds where
    /// thousands have gone.
    fn drop_others(&self, projects: &[ProjectId]);

    /// The same for one project; whether it is one of those.
    fn follow(&self, project: &ProjectId) -> bool;

    /// Checks the watch of the root and of the folder above it; whether one is new. Look for the
    /// root's projects after this, and follow them then.
    fn follow_root(&self) -> bool;

    /// How well it works, and what it leaves out. Touches no file.
    fn health(&self) -> Health;
}
