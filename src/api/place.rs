//! The places of requests that are under way at once, of which each weight has only so many.
//!
//! A read that its client takes back is answered at once, though a thread may go on with it for a
//! while. Whatever may outlive its request so holds the place that [`here`] gives, so that what it
//! takes stays counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

tokio::task_local! {
    static HERE: Option<Place>;
}

/// So many places, taken by one session.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicUsize,
    most: usize,
    left: Arc<Notify>,
}

impl Places {
    /// `most` of them; `left` is told when there is one again.
    pub(crate) fn new(most: usize, left: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            most,
            left: Arc::clone(left),
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Ordering::Acquire) >= self.most
    }

    /// The next one, whether there is one or not.
    pub(crate) fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        let taken = Taken(Arc::clone(self));
        Place {
            _taken: Arc::new(taken),
        }
    }
}

/// One of them, which is free when all its clones are gone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken(Arc<Places>);

impl Drop for Taken {
    fn drop(&mut self) {
        let Self(places) = self;
        if places.taken.fetch_sub(1, Ordering::AcqRel) == places.most {
            places.left.notify_one();
        }
    }
}

/// Lets `work` know its place, which it has until it ends.
pub(crate) async fn scope<T>(place: Option<Place>, work: impl Future<Output = T>) -> T {
    HERE.scope(place, work).await
}

/// The place of the request that this task works on.
pub(crate) fn here() -> Option<Place> {
    HERE.try_with(Clone::clone).ok().flatten()
}
