//! Threads that help a search with what takes long.
//!
//! They wait for work, as one that is started for it may stay on its parent's processor, behind it, for
//! milliseconds while another one idles. All searches share them, in turns.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rayon::{ScopeFifo, ThreadPool, ThreadPoolBuilder};

use super::budget::{Budget, stand_back};

/// More threads than these do not help.
const THREADS_MAX: usize = 4;
/// After so long other searches have their turn.
const TURN: Duration = Duration::from_millis(2);

static HELPERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = threads.min(THREADS_MAX) - 1;
    let pool = ThreadPoolBuilder::new()
        .num_threads(helpers)
        .thread_name(|_| "search".to_owned())
        .start_handler(|_| stand_back());
    // where there are no threads to be had, each search does it all
    (helpers > 0).then(|| pool.build().ok()).flatten()
});

/// Takes steps until one says by `false` that none is left, on up to `threads` threads beside each
/// other, of which this is one.
pub(super) fn with_help(threads: usize, budget: &Budget, step: impl Fn(&Budget) -> bool + Sync) {
    let Some(pool) = HELPERS.as_ref().filter(|_| threads > 1) else {
        while step(budget) {}
        return;
    };
    let of_helper = budget.of_helper();
    pool.in_place_scope_fifo(|scope| {
        for _ in 0..pool.current_num_threads().min(threads - 1) {
            scope.spawn_fifo(|scope| turn(scope, &of_helper, &step));
        }
        while step(budget) {}
    });
}

fn turn<'s>(
    scope: &ScopeFifo<'s>,
    budget: &'s Budget,
    step: &'s (impl Fn(&Budget) -> bool + Sync),
) {
    let until = Instant::now() + TURN;
    while step(budget) {
        if Instant::now() >= until {
            return scope.spawn_fifo(move |scope| turn(scope, budget, step));
        }
    }
}
