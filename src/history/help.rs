//! Threads that help with what takes long: questions to every run, and searches.
//!
//! They wait for work, as one that is started for it may stay on its parent's processor, behind it, for
//! milliseconds while another one idles. Whoever finds one free has it for a turn; nobody waits for one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::pace::Pace;

/// More threads than these do not help.
const THREADS_MAX: usize = 4;
/// What takes no longer than this is done before anybody has woken up.
const ALONE: Duration = Duration::from_micros(if cfg!(test) { 0 } else { 50 });
/// What takes longer than this is not what somebody looks at while it comes.
const QUICK: Duration = Duration::from_millis(10);
/// After so long another one may have the helper.
const TURN: Duration = Duration::from_millis(2);
/// How far those stand back who work long.
const NICENESS: i32 = 5;

/// Lets this thread stand back behind lists, saves and the watcher.
pub fn stand_back() {
    // a system that refuses lets it be as important as the rest
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

struct Helpers {
    pool: ThreadPool,
    free: AtomicUsize,
}

static HELPERS: LazyLock<Option<Helpers>> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = threads.min(THREADS_MAX) - 1;
    if count == 0 {
        return None;
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|_| "helper".to_owned())
        .start_handler(|_| stand_back());
    // where there are no threads to be had, everybody does it all
    Some(Helpers {
        pool: pool.build().ok()?,
        free: AtomicUsize::new(count),
    })
});

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
/// that are free; each is told whether it is a helper's. Between them who works on takes breaks, as
/// saves, the watcher and other clients wait behind it: no step may hold anything beyond its end.
pub fn with_help(step: impl Fn(bool) -> bool + Sync) {
    let began = Instant::now();
    let (alone_until, long_from) = (began + ALONE, began + QUICK);
    let mut pace = Pace::fine_from(long_from);
    while step(false) {
        pace.keep();
        if Instant::now() >= alone_until
            && let Some(helpers) = HELPERS.as_ref()
        {
            return go_on(helpers, &step, long_from);
        }
    }
}

fn go_on(helpers: &Helpers, step: &(impl Fn(bool) -> bool + Sync), long_from: Instant) {
    let mut pace = Pace::fine_from(long_from);
    helpers.pool.in_place_scope(|scope| {
        loop {
            while let Some(taken) = helpers.take() {
                scope.spawn(move |_| {
                    let _taken = taken;
                    let until = Instant::now() + TURN;
                    let mut pace = Pace::fine_from(long_from);
                    while step(true) && Instant::now() < until {
                        pace.keep();
                    }
                });
            }
            if !step(false) {
                return;
            }
            pace.keep();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn each_step_is_taken_once_by_however_many_ask() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let next = AtomicUsize::new(0);
                    let taken: Mutex<Vec<u32>> = Mutex::new(vec![0; 1000]);
                    with_help(|_| {
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
        with_help(|_| {
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
                with_help(move |_| {
                    let _ = entered.send(());
                    // until all is done, here and in each helper
                    may_leave.lock().unwrap().recv().is_ok()
                });
            });
            has_entered.recv().unwrap();
            let next = AtomicUsize::new(0);
            with_help(|_| next.fetch_add(1, Relaxed) < 100);
            assert!(next.into_inner() > 100);
            drop(leave);
        });
    }
}
