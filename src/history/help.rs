//! Threads that help with what takes long: questions to every run, and searches.
//!
//! They wait for work, as starting one takes as long as much of what it would help with. The system may
//! wake one on the processor of who asks, behind it, for milliseconds while another one idles. Having it
//! wake elsewhere does not do: where something else runs there, who asks has long done all by itself, and
//! waits for one that has not begun. Whoever finds one free has it for a turn; nobody waits for one.
//!
//! What turns out to be long is left to other threads, one fewer than there are processors, on which
//! each long question has its turn while who asked it sleeps: however many there are, and however they
//! are asked, a processor is left to lists, saves and the watcher.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::pace::Pace;

/// More threads than these do not help.
const THREADS_MAX: usize = 4;
/// What takes no longer than this is done before anybody has woken up.
const ALONE: Duration = Duration::from_micros(if cfg!(test) { 0 } else { 50 });
/// A question that takes longer than this is long, be it to few runs, …
pub const QUICK: Duration = Duration::from_millis(10);
/// … or longer than this for each run that it is to.
const QUICK_OF_RUN: Duration = Duration::from_nanos(100);
/// After so long another one may have the helper.
const TURN: Duration = Duration::from_millis(2);
/// How far those stand back who work long.
const NICENESS: i32 = 5;

/// Lets this thread stand back behind lists, saves and the watcher.
pub fn stand_back() {
    // a system that refuses lets it be as important as the rest
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Threads that stand back, one fewer than there are processors; none where that is none, or there are
/// none to be had.
fn threads(name: &'static str) -> Option<ThreadPool> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = threads.min(THREADS_MAX) - 1;
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(move |_| name.to_owned())
        .start_handler(|_| stand_back());
    (count > 0).then(|| pool.build().ok()).flatten()
}

struct Helpers {
    pool: ThreadPool,
    free: AtomicUsize,
}

static HELPERS: LazyLock<Option<Helpers>> = LazyLock::new(|| {
    let pool = threads("helper")?;
    let free = AtomicUsize::new(pool.current_num_threads());
    Some(Helpers { pool, free })
});

/// Who works on long questions, and nobody else does: one processor is left to the rest.
static LONG: LazyLock<Option<ThreadPool>> = LazyLock::new(|| threads("long"));

/// Until when a question is no long one that begins now and is to so many runs.
pub(super) fn quick_until(runs: u32) -> Instant {
    Instant::now() + QUICK.max(QUICK_OF_RUN * runs)
}

/// One of the helpers, free again when this is dropped.
struct Taken<'h>(&'h Helpers);

impl Helpers {
    fn take(&self) -> Option<Taken<'_>> {
        let less = |free: usize| free.checked_sub(1);
        let taken = self.free.fetch_update(Relaxed, Relaxed, less);
        taken.ok().map(|_| Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Relaxed);
    }
}

/// Takes steps until one says by `false` that none is left: alone at first, then with the helpers
/// that are free, and what is not done by `quick_until` on the threads that all long questions
/// share; each is told whether it is on another thread than this. Between them who works on takes
/// breaks, as saves, the watcher and other clients wait behind it: no step may hold anything beyond
/// its end.
pub fn with_help(quick_until: Instant, step: impl Fn(bool) -> bool + Sync) {
    let alone_until = Instant::now() + ALONE;
    let mut pace = Pace::fine_from(quick_until);
    while step(false) {
        pace.keep();
        let now = Instant::now();
        if now >= alone_until
            && let Some(helpers) = HELPERS.as_ref()
            && !helped(helpers, &step, quick_until)
        {
            return;
        }
        if now >= quick_until
            && let Some(threads) = LONG.as_ref()
        {
            return in_turns(threads, &step);
        }
    }
}

/// Goes on with helpers for as long as that is quick; whether anything is left.
fn helped(helpers: &Helpers, step: &(impl Fn(bool) -> bool + Sync), quick_until: Instant) -> bool {
    let left = AtomicBool::new(true);
    helpers.pool.in_place_scope(|scope| {
        let mut pace = Pace::new();
        while Instant::now() < quick_until {
            // one that comes when nothing is left is free again at once, and would be woken again
            while left.load(Relaxed)
                && let Some(taken) = helpers.take()
            {
                let left = &left;
                scope.spawn(move |_| {
                    let _taken = taken;
                    let until = quick_until.min(Instant::now() + TURN);
                    let mut pace = Pace::new();
                    while Instant::now() < until {
                        if !step(true) {
                            return left.store(false, Relaxed);
                        }
                        pace.keep();
                    }
                });
            }
            if !step(false) {
                return false;
            }
            pace.keep();
        }
        true
    })
}

/// Has it all done by these threads, each question having its turn.
fn in_turns(threads: &ThreadPool, step: &(impl Fn(bool) -> bool + Sync)) {
    let goes_on = AtomicBool::new(true);
    while goes_on.load(Relaxed) {
        threads.in_place_scope_fifo(|scope| {
            for _ in 0..threads.current_num_threads() {
                scope.spawn_fifo(|_| {
                    let until = Instant::now() + TURN;
                    let mut pace = Pace::fine_from(Instant::now());
                    while Instant::now() < until {
                        if !step(true) {
                            return goes_on.store(false, Relaxed);
                        }
                        pace.keep();
                    }
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn each_step_is_taken_once_by_however_many_ask() {
        std::thread::scope(|scope| {
            for number in 0..8 {
                // half of them are long from the beginning
                let quick = if number % 2 == 0 {
                    QUICK
                } else {
                    Duration::ZERO
                };
                scope.spawn(move || {
                    let next = AtomicUsize::new(0);
                    let taken: Mutex<Vec<u32>> = Mutex::new(vec![0; 1000]);
                    with_help(Instant::now() + quick, |_| {
                        let at = next.fetch_add(1, Relaxed);
                        let mut taken = taken.lock().unwrap();
                        taken.get_mut(at).map(|taken| *taken += 1).is_some()
                    });
                    assert_eq!(taken.into_inner().unwrap(), vec![1; 1000]);
                });
            }
        });
    }

    #[test]
    fn nobody_is_woken_for_what_is_done() {
        let (steps, in_vain) = (AtomicUsize::new(0), AtomicUsize::new(0));
        with_help(Instant::now() + Duration::from_secs(60), |helps| {
            if helps {
                in_vain.fetch_add(1, Relaxed);
                return false;
            }
            // time for one to come
            let (before, began) = (in_vain.load(Relaxed), Instant::now());
            while in_vain.load(Relaxed) == before && began.elapsed() < Duration::from_millis(1) {
                std::thread::yield_now();
            }
            steps.fetch_add(1, Relaxed) < 100
        });
        // each finds out by itself, and one may be on its way when another has
        assert!(in_vain.into_inner() <= 2 * THREADS_MAX);
    }

    #[test]
    fn who_asks_what_is_long_works_no_longer() {
        let (steps, own) = (AtomicUsize::new(0), AtomicUsize::new(0));
        with_help(Instant::now(), |elsewhere| {
            own.fetch_add(usize::from(!elsewhere), Relaxed);
            steps.fetch_add(1, Relaxed) < 10_000
        });
        let alone = std::thread::available_parallelism().map_or(1, usize::from) == 1;
        assert!(alone || own.into_inner() == 1);
    }

    #[test]
    fn who_works_for_long_lets_others_pass() {
        let given_up = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let before = given_up();
        let end = Instant::now() + Duration::from_millis(50);
        with_help(quick_until(0), |_| {
            let step = Instant::now();
            while step.elapsed() < Duration::from_micros(100) {}
            Instant::now() < end
        });
        assert!(given_up() - before > 5);
    }

    #[test]
    fn nobody_waits_for_a_helper_that_another_has() {
        let (entered, has_entered) = channel();
        let (leave, may_leave) = channel::<()>();
        let may_leave = Mutex::new(may_leave);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                with_help(quick_until(0), move |_| {
                    let _ = entered.send(());
                    // until all is done, here and in each helper
                    may_leave.lock().unwrap().recv().is_ok()
                });
            });
            has_entered.recv().unwrap();
            let next = AtomicUsize::new(0);
            with_help(quick_until(0), |_| next.fetch_add(1, Relaxed) < 100);
            assert!(next.into_inner() > 100);
            drop(leave);
        });
    }
}
