//! Threads that may block, and those that read the files.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;
use rayon::{ThreadBuilder, ThreadPoolBuilder};
use tokio::task::spawn_blocking;

/// Why something was not done to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Nothing was begun: the system gives no thread just now.
    NoThread,
    /// A defect ended it, or the runtime.
    Ended,
}

/// What `work` gives, which is done on a thread that may block, whoever waits for it.
///
/// # Errors
/// [`Undone`].
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Undone> {
    #[cfg(test)]
    if tests::NONE.get() {
        return Err(Undone::NoThread);
    }
    let held = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&held);
    let run = move || {
        let work = theirs.lock().take();
        work.map(|work| work())
    };
    // where there is no thread and none can be made it panics, and keeps for the next one what it
    // was given
    let begun = catch_unwind(AssertUnwindSafe(|| spawn_blocking(run)));
    let Ok(thread) = begun else {
        let taken_back = held.lock().take();
        return Err(match taken_back {
            Some(_) => Undone::NoThread,
            None => Undone::Ended,
        });
    };
    match thread.await {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(Undone::Ended),
        Err(error) => {
            tracing::error!(%error, "what ran on a thread ended early");
            Err(Undone::Ended)
        }
    }
}

/// Makes the threads that read the files, one for each processor, before anybody needs them: made when
/// they are needed first, one that the system refuses would leave everybody without any for good.
///
/// # Errors
/// When the system gives none. Where it gives fewer, those do.
pub(super) fn make_readers() -> io::Result<()> {
    let wanted = thread::available_parallelism().map_or(1, usize::from);
    let (count, hand_over) = readers(wanted, |wait| {
        let thread = thread::Builder::new().name("runlog-reader".to_owned());
        thread.spawn(wait).map(drop)
    })?;
    let pool = ThreadPoolBuilder::new().num_threads(count);
    // another history of this process may have made them
    let _ = pool.spawn_handler(hand_over).build_global();
    Ok(())
}

/// How many of the `wanted` threads could be made, at least one; what gives each of them what it is to
/// run, and lets them end when it is dropped.
fn readers(
    wanted: usize,
    mut make: impl FnMut(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) -> io::Result<(usize, impl FnMut(ThreadBuilder) -> io::Result<()>)> {
    let (give, take) = mpsc::channel::<ThreadBuilder>();
    let take = Arc::new(Mutex::new(take));
    let mut made = 0;
    while made < wanted {
        let take = Arc::clone(&take);
        let wait = move || {
            let given = take.lock().recv();
            if let Ok(thread) = given {
                thread.run();
            }
        };
        match make(Box::new(wait)) {
            Ok(()) => made += 1,
            Err(error) if made == 0 => return Err(error),
            Err(error) => {
                tracing::warn!(%error, made, wanted, "the system gives fewer threads to read with");
                break;
            }
        }
    }
    let hand_over = move |thread| {
        give.send(thread)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    };
    Ok((made, hand_over))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn whoever_is_given_fewer_threads_than_wanted_reads_with_those() {
        for given in [1, 3, 8] {
            let mut left = given;
            let made = readers(8, |wait| {
                if left == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                left -= 1;
                thread::Builder::new().spawn(wait).map(drop)
            });
            let (count, hand_over) = made.unwrap();
            assert_eq!(count, given);
            let pool = ThreadPoolBuilder::new().num_threads(count);
            let pool = pool.spawn_handler(hand_over).build().unwrap();
            assert_eq!(pool.broadcast(|_| ()).len(), given);
        }
        let refused = readers(8, |_| Err(io::ErrorKind::WouldBlock.into()));
        assert!(refused.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    }

    thread_local! {
        /// Whether whoever asks on this thread is given none.
        pub(crate) static NONE: Cell<bool> = const { Cell::new(false) };
    }
}
