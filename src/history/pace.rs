//! Breaks: how work on many files, or a question to many runs, leaves the processors to who waits for
//! an answer.
//!
//! A thread that never waits is taken off its processor only when the clock ticks, every 4 ms on many
//! systems. A request that comes to stand behind one, here or in its client, waits until then, and
//! twice or three times that if it meets several. A thread that sleeps for an instant now and then
//! lets pass who stands behind it, and is hardly later for it.
//!
//! Yielding does not do: it gives up a part of the thread's share as well, and who stands back behind
//! all others may get that, until the next tick. Nor does a niceness, which changes shares and not
//! how soon a thread goes. What the system itself does after many renames (it frees what they left
//! behind, for milliseconds at a time) nothing here shortens.

use std::time::{Duration, Instant};

/// For so long a thread works without a break, …
const STRETCH: Duration = Duration::from_millis(1);
/// … and for so long where few notice how long it takes.
const FINE_STRETCH: Duration = Duration::from_micros(200);
/// How long a break is; the system makes some 60 µs of it.
const BREAK: Duration = Duration::from_micros(1);

/// The breaks of one thread.
#[derive(Debug)]
pub(super) struct Pace {
    fine_from: Option<Instant>,
    since: Instant,
}

impl Pace {
    /// From here on.
    pub(super) fn new() -> Self {
        Self {
            fine_from: None,
            since: Instant::now(),
        }
    }

    /// From here on, with more breaks after that instant.
    pub(super) fn fine_from(instant: Instant) -> Self {
        Self {
            fine_from: Some(instant),
            since: Instant::now(),
        }
    }

    /// Takes a break if it is time for one. Whoever holds the index must not.
    pub(super) fn keep(&mut self) {
        let now = Instant::now();
        let fine = self.fine_from.is_some_and(|instant| now >= instant);
        let stretch = if fine { FINE_STRETCH } else { STRETCH };
        if now - self.since >= stretch {
            std::thread::sleep(BREAK);
            self.since = Instant::now();
        }
    }
}
