//! What waits to be sent on one connection.
//!
//! The session puts messages in, the transport's one writer task takes them out. Answers are
//! always taken, because the session starts no request while too many are unsent; notifications
//! wait for room with whoever makes them. So a client that does not read costs a bounded number
//! of bytes (house rule: every queue is bounded in bytes).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Notifications wait with their makers while so many bytes of them are unsent.
const NOTIFICATIONS_MAX_BYTES: usize = 256 * 1024;
/// A client that takes nothing for so long while an answer waits is cut off.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A message as the parts that it is the concatenation of.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// One JSON value.
    pub parts: Vec<Bytes>,
    /// What to say to [`Outbox::sent`] afterwards.
    pub size: Size,
}

/// What a message counts for while it is unsent.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    bytes: usize,
    answer: bool,
}

impl Outbound {
    fn new(parts: Vec<Bytes>, answer: bool) -> Self {
        let bytes = parts.iter().map(Bytes::len).sum();
        Self {
            parts,
            size: Size { bytes, answer },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Outbound>,
    answer_bytes: usize,
    notification_bytes: usize,
    /// Since when answers have been waiting without the client taking a byte.
    waiting_since: Option<Instant>,
    /// The client is another's, who looks to its being taken from himself.
    relayed: bool,
    /// The writer is to look whether the client is there at all.
    look: bool,
    /// Nothing more will be put in.
    finished: bool,
    /// Nobody takes anything out any more.
    broken: bool,
}

/// The queue between a session and its writer.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    drained: Notify,
}

impl Outbox {
    /// Puts an answer in.
    pub fn answer(&self, parts: Vec<Bytes>) {
        self.put(Outbound::new(parts, true));
    }

    /// Puts a notification in when there is room for it; false if the connection is gone.
    pub async fn notify(&self, text: Bytes) -> bool {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // registered before looking, so that no room is missed
            drained.as_mut().enable();
            {
                let state = self.state.lock();
                if state.broken || state.finished {
                    return false;
                }
                if state.notification_bytes < NOTIFICATIONS_MAX_BYTES {
                    drop(state);
                    self.put(Outbound::new(vec![text], false));
                    return true;
                }
            }
            drained.await;
        }
    }

    /// Puts a notification in if there is room for it now.
    pub fn try_notify(&self, text: Bytes) {
        if self.state.lock().notification_bytes < NOTIFICATIONS_MAX_BYTES {
            self.put(Outbound::new(vec![text], false));
        }
    }

    fn put(&self, message: Outbound) {
        let mut state = self.state.lock();
        if state.broken {
            return;
        }
        let Size { bytes, answer } = message.size;
        if answer {
            state.answer_bytes += bytes;
            state.waiting_since.get_or_insert_with(Instant::now);
        } else {
            state.notification_bytes += bytes;
        }
        state.queue.push_back(message);
        drop(state);
        self.filled.notify_one();
    }

    /// How many bytes of answers are unsent.
    pub fn unsent_answers(&self) -> usize {
        self.state.lock().answer_bytes
    }

    /// Returns when something was sent after this call, whether it was polled by then or not.
    pub fn drained(&self) -> Notified<'_> {
        self.drained.notified()
    }

    /// Says that nothing more will be put in.
    pub fn finish(&self) {
        self.state.lock().finished = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Whether nobody takes anything out any more.
    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Whoever takes from this passes it on, and waits for his own client to take it: he is waited for.
    pub fn leave_patience(&self) {
        self.state.lock().relayed = true;
    }

    /// Lets the writer look whether the client is there at all, and break off if not.
    pub fn look(&self) {
        self.state.lock().look = true;
        self.filled.notify_one();
    }

    /// For the writer: whether it is to look, once.
    pub fn is_to_look(&self) -> bool {
        std::mem::take(&mut self.state.lock().look)
    }

    /// For the writer: the next message, at once or not at all.
    pub fn try_next(&self) -> Option<Outbound> {
        self.state.lock().queue.pop_front()
    }

    /// For the writer: returns when there is something to do, or, with false, when there will be
    /// nothing more.
    pub async fn wait(&self) -> bool {
        loop {
            {
                let state = self.state.lock();
                if !state.queue.is_empty() || state.look {
                    return true;
                }
                if state.finished || state.broken {
                    return false;
                }
            }
            self.filled.notified().await;
        }
    }

    /// For the writer: the client took some bytes.
    pub fn progressed(&self) {
        let mut state = self.state.lock();
        if state.waiting_since.is_some() {
            state.waiting_since = Some(Instant::now());
        }
    }

    /// For the writer: everything taken out so far was sent.
    pub fn sent(&self, messages: &[Size]) {
        let mut state = self.state.lock();
        for &Size { bytes, answer } in messages {
            if answer {
                state.answer_bytes -= bytes;
            } else {
                state.notification_bytes -= bytes;
            }
        }
        if state.answer_bytes == 0 {
            state.waiting_since = None;
        }
        drop(state);
        self.drained.notify_waiters();
    }

    /// For the writer: until when it waits for the client to take a byte before it looks whether that
    /// [is late](Self::is_late).
    pub fn look_again_at(&self) -> Instant {
        let state = self.state.lock();
        let since = state.waiting_since.filter(|_| !state.relayed);
        since.unwrap_or_else(Instant::now) + PATIENCE
    }

    /// For the writer, to which nothing was taken for so long: whether the client is to be cut off.
    pub fn is_late(&self) -> bool {
        let state = self.state.lock();
        !state.relayed
            && match state.waiting_since {
                // it may have been put in only while a notification was waiting, …
                Some(since) => since + PATIENCE <= Instant::now(),
                // … which nothing hurries before the end
                None => state.finished,
            }
    }

    /// For the writer: it cannot go on.
    pub fn break_off(&self) {
        let mut state = self.state.lock();
        state.broken = true;
        state.queue.clear();
        drop(state);
        self.drained.notify_waiters();
    }
}
