//! Full text: which runs say what somebody looks for.
//!
//! A text index lies in the root's cache folder and is kept as the history is by a thread of its own
//! ([`Search::start`]); it says which runs have the words of a query ([`query::Query`]). Which of them a
//! filter lets pass, and which is newer, the history says. What a hit shows, and whether it is one at all,
//! is decided by the record as it is now ([`matching`]), so that the text index may be behind, and says
//! how far, but is never wrong about what it shows. Everything here
//! can be made anew from the files.
//!
//! Built with the cargo feature `search`; without it [`Search::find`] says so.

pub mod matching;
pub mod query;
pub mod texts;
pub mod token;

#[cfg(feature = "search")]
mod budget;
#[cfg(feature = "search")]
mod engine;
#[cfg(feature = "search")]
mod finder;
#[cfg(feature = "search")]
mod folder;
#[cfg(feature = "search")]
mod follow;
#[cfg(feature = "search")]
mod front;
#[cfg(feature = "search")]
mod look;
#[cfg(feature = "search")]
mod scan;
#[cfg(feature = "search")]
mod sound;
#[cfg(test)]
#[cfg(feature = "search")]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::history::{History, HistoryError};
use crate::index::{self, Clock};
use crate::model::{Millis, RunKey, Summary};
use matching::Match;
use query::Query;

/// Whether this program can search.
pub const AVAILABLE: bool = cfg!(feature = "search");

/// What lies in the root's cache folder.
pub mod kept {
    /// The folder with the index.
    pub const FOLDER: &str = "search";
    /// Whose holder writes to it.
    pub const LOCK: &str = "search.lock";
    /// The file with what was found sound: which start of the machine it counts for, then the stamp and
    /// the name of each file, a line each. One that cannot be used is replaced.
    pub const SOUND: &str = "search.sound";
}

/// What hits are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Those that say it most come first (BM25); among equals the newest.
    Relevance,
    /// As lists are: newest first.
    Newest,
}

/// A hit's place in the order, to go on from.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// How well it fits; 0 under [`Sort::Newest`].
    pub score: f32,
    /// When the run began.
    pub started: Option<Millis>,
    /// The run.
    pub key: RunKey,
}

/// What is looked for.
#[derive(Debug)]
pub struct Wanted {
    /// Its words.
    pub query: Query,
    /// Among which runs, as the history knows them.
    pub filter: index::Query,
    /// The order of the hits.
    pub sort: Sort,
    /// Only hits after this place.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: usize,
}

/// A run that has what was looked for.
#[derive(Debug)]
pub struct Hit {
    /// The run.
    pub summary: Summary,
    /// Where it says so.
    pub matches: Vec<Match>,
    /// How well it fits; 0 under [`Sort::Newest`].
    pub score: f32,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// In their order.
    pub hits: Vec<Hit>,
    /// How many runs match, as the text index has it; `None` where more than [`COUNTED_MAX`] have what is
    /// looked for, which are not counted.
    pub total: Option<usize>,
    /// The place of the last hit, if others follow.
    pub next: Option<Place>,
    /// What it was found in.
    pub coverage: Coverage,
}

/// More runs than these are not counted.
pub const COUNTED_MAX: usize = 1000;

/// How far the text index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// How many runs it holds.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// The state of the history up to which it has every change.
    pub clock: Clock,
    /// It has everything that the history has now.
    pub complete: bool,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Built without it.
    #[error("this runlog was built without search")]
    Absent,
    /// It takes longer than [`SEARCH_WITHIN_SECS`].
    #[error("the search takes longer than {SEARCH_WITHIN_SECS} s")]
    TooExpensive,
    /// Others search, and take their time.
    #[error("too many searches at once")]
    Busy,
    /// There is no text index yet.
    #[error("the text index is being opened")]
    NotReady,
    /// There is no text index, and not for want of time.
    #[error("the text index cannot be kept")]
    Trouble(Trouble),
    /// A defect, or a damaged index, which is built anew.
    #[error("the search ended early")]
    Defect,
    /// The history cannot be waited for, or has nothing to read records with.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// After how many seconds a search is given up.
pub const SEARCH_WITHIN_SECS: u64 = 2;

/// Why the text index stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no folder to keep it in.
    NoCache,
    /// The disk with the cache is full.
    Full,
    /// Another daemon builds it, and has not come so far that it can be read.
    Elsewhere,
    /// Something else; the log says what.
    Failed,
}

#[cfg(feature = "search")]
pub use on::Search;

#[cfg(not(feature = "search"))]
pub use off::Search;

#[cfg(feature = "search")]
use on::Shared;

#[cfg(feature = "search")]
mod on {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use parking_lot::RwLock;
    use tokio::sync::{Semaphore, oneshot, watch};

    use super::budget::{Budget, SEARCH_WITHIN};
    use super::engine::View;
    use super::finder::{BOUNDS, search};
    use super::follow::Follower;
    use super::look::Fault;
    use super::{
        Arc, Clock, Coverage, Found, History, HistoryError, PathBuf, SearchError, Trouble, Wanted,
    };
    use crate::store::Cache;

    /// How many searches run at once.
    const LANES: usize = 4;
    /// How long a request waits for the text index.
    const READY_WITHIN: Duration = Duration::from_secs(30);

    /// The search over one history.
    pub struct Search {
        history: Arc<History>,
        shared: Arc<Shared>,
    }

    /// What the follower and the searches share.
    pub(super) struct Shared {
        pub(super) view: RwLock<Option<Arc<View>>>,
        pub(super) state: watch::Sender<State>,
        /// Counts those who wait for the next state.
        pub(super) urge: watch::Sender<u64>,
        /// A search failed in a way that only a damaged index explains.
        pub(super) suspect: AtomicBool,
        lanes: Semaphore,
        searches: AtomicU64,
    }

    /// How far the text index has come.
    #[derive(Debug, Clone, Copy, Default)]
    pub(super) struct State {
        /// Every change up to this tick is in it.
        pub(super) tick: u64,
        /// So is what did not change.
        pub(super) whole: bool,
        pub(super) runs: u64,
        pub(super) trouble: Option<Trouble>,
    }

    impl State {
        /// Whether it is of no use to wait for the text index; another daemon's comes by itself.
        fn is_in_vain(&self) -> bool {
            self.trouble
                .is_some_and(|trouble| trouble != Trouble::Elsewhere)
        }
    }

    impl std::fmt::Debug for Search {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Search").finish_non_exhaustive()
        }
    }

    impl Search {
        /// A search over `history`, kept current by a thread of its own for as long as that lives;
        /// its index lies below the user's folder for caches.
        #[must_use]
        pub fn start(history: &Arc<History>, caches: Option<PathBuf>) -> Self {
            let search = Self::without_index(history);
            let Some(caches) = caches else { return search };
            search
                .shared
                .state
                .send_modify(|state| state.trouble = None);
            let cache = Cache::of(caches, history.root());
            let started =
                Follower::new(history, cache, Arc::clone(&search.shared)).and_then(|follower| {
                    std::thread::Builder::new()
                        .name("runlog-search".to_owned())
                        .spawn(move || follower.run())
                });
            if let Err(error) = started {
                tracing::warn!(%error, "no thread to keep the text index");
                search
                    .shared
                    .state
                    .send_modify(|state| state.trouble = Some(Trouble::Failed));
            }
            search
        }

        fn without_index(history: &Arc<History>) -> Self {
            Self {
                history: Arc::clone(history),
                shared: Arc::new(Shared {
                    view: RwLock::new(None),
                    state: watch::Sender::new(State {
                        trouble: Some(Trouble::NoCache),
                        ..State::default()
                    }),
                    urge: watch::Sender::new(0),
                    suspect: AtomicBool::new(false),
                    lanes: Semaphore::new(LANES),
                    searches: AtomicU64::new(0),
                }),
            }
        }

        /// How far the text index has come.
        #[must_use]
        pub fn coverage(&self) -> Coverage {
            let state = *self.shared.state.borrow();
            let now = self.history.clock();
            Coverage {
                done: state.runs,
                total: self.history.sizes().0 as u64,
                clock: Clock {
                    instance: now.instance,
                    tick: state.tick.min(now.tick),
                },
                complete: state.whole && state.tick >= now.tick,
            }
        }

        /// Returns when everything done to the files before the call can be found.
        ///
        /// # Errors
        /// Those of [`History::sync`], [`SearchError::Trouble`], [`SearchError::NotReady`] after 30 s.
        pub async fn sync(&self) -> Result<(), SearchError> {
            self.history.sync().await?;
            let tick = self.history.clock().tick;
            let mut state = self.shared.state.subscribe();
            self.shared.urge.send_modify(|count| *count += 1);
            let there =
                state.wait_for(|state| state.is_in_vain() || (state.whole && state.tick >= tick));
            let state = tokio::time::timeout(READY_WITHIN, there).await;
            match state.map(|state| state.map(|state| state.trouble)) {
                Ok(Ok(None)) => Ok(()),
                Ok(Ok(Some(trouble))) => Err(SearchError::Trouble(trouble)),
                Ok(Err(_)) => Err(HistoryError::Ending.into()),
                Err(_) => Err(SearchError::NotReady),
            }
        }

        /// The view, once there is one.
        async fn view(&self) -> Result<Arc<View>, SearchError> {
            let held = || self.shared.view.read().clone();
            if let Some(view) = held() {
                return Ok(view);
            }
            let mut state = self.shared.state.subscribe();
            let there = state.wait_for(|state| state.is_in_vain() || held().is_some());
            let state = tokio::time::timeout(READY_WITHIN, there).await;
            match (held(), state.map(|state| state.map(|state| state.trouble))) {
                (Some(view), _) => Ok(view),
                (None, Ok(Ok(Some(trouble)))) => Err(SearchError::Trouble(trouble)),
                (None, _) => Err(SearchError::NotReady),
            }
        }

        /// Searches. A search that is dropped is ended.
        ///
        /// # Errors
        /// [`SearchError`].
        pub async fn find(&self, wanted: Wanted) -> Result<Found, SearchError> {
            let view = self.view().await?;
            let lane = tokio::time::timeout(SEARCH_WITHIN, self.shared.lanes.acquire()).await;
            let _lane = lane
                .map_err(|_| SearchError::Busy)?
                .map_err(|_| SearchError::Busy)?;
            let coverage = self.coverage();
            let budget = Budget::until(Instant::now() + SEARCH_WITHIN);
            let guard = budget.guard();
            let (send, receive) = oneshot::channel();
            let number = self.shared.searches.fetch_add(1, Ordering::Relaxed);
            let thread = std::thread::Builder::new().name(format!("runlog-find-{number}"));
            let history = Arc::clone(&self.history);
            let spawned = thread.spawn(move || {
                let _ = send.send(search(&view, &history, &wanted, BOUNDS, &budget));
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for a search");
                return Err(SearchError::Busy);
            }
            let outcome = receive.await;
            drop(guard);
            match outcome {
                Ok(Ok(page)) => Ok(Found {
                    hits: page.hits,
                    total: page.total,
                    next: page.next,
                    coverage,
                }),
                Ok(Err(Fault::Spent)) => Err(SearchError::TooExpensive),
                Ok(Err(Fault::History(error))) => Err(error.into()),
                Ok(Err(Fault::Index(error))) => {
                    tracing::warn!(%error, "a search failed");
                    self.distrust();
                    Err(SearchError::Defect)
                }
                // it panicked
                Err(_) => {
                    self.distrust();
                    Err(SearchError::Defect)
                }
            }
        }

        /// Has the index built anew.
        fn distrust(&self) {
            self.shared.suspect.store(true, Ordering::Relaxed);
            self.shared.urge.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(not(feature = "search"))]
mod off {
    use super::{Arc, Found, History, PathBuf, SearchError, Wanted};

    /// In the place of a search that was not built.
    #[derive(Debug)]
    pub struct Search;

    impl Search {
        /// Starts nothing.
        #[must_use]
        pub fn start(_: &Arc<History>, _: Option<PathBuf>) -> Self {
            Self
        }

        /// Finds nothing.
        ///
        /// # Errors
        /// [`SearchError::Absent`].
        #[allow(clippy::unused_async)] // as the other one
        pub async fn sync(&self) -> Result<(), SearchError> {
            Err(SearchError::Absent)
        }

        /// Finds nothing.
        ///
        /// # Errors
        /// [`SearchError::Absent`].
        #[allow(clippy::unused_async)] // as the other one
        pub async fn find(&self, _: Wanted) -> Result<Found, SearchError> {
            Err(SearchError::Absent)
        }
    }
}
