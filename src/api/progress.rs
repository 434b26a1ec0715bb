//! How far a request has come, told by whoever works on it to whoever gave a token for it.
//!
//! A handler asks [`here`] once, at its beginning and on its own task, and may then tell from any
//! thread. Where nobody listens, telling costs nothing.

use tokio::sync::watch;

tokio::task_local! {
    static HERE: watch::Sender<Steps>;
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steps {
    /// So many are done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

impl Steps {
    /// Of a hundred.
    #[must_use]
    pub fn percentage(self) -> u8 {
        let hundredths = self.done.saturating_mul(100).checked_div(self.total);
        u8::try_from(hundredths.unwrap_or(100).min(100)).unwrap_or(100)
    }
}

/// Where a handler tells how far it has come.
#[derive(Debug, Clone)]
pub struct Teller(Option<watch::Sender<Steps>>);

impl Teller {
    /// Tells it; later words replace earlier ones that nobody has heard.
    pub fn tell(&self, steps: Steps) {
        if let Some(sender) = &self.0 {
            sender.send_replace(steps);
        }
    }
}

/// What a request is told through.
pub(crate) fn channel() -> (watch::Sender<Steps>, watch::Receiver<Steps>) {
    watch::channel(Steps::default())
}

/// Lets `work` tell how far it has come.
pub(crate) async fn scope<T>(to: watch::Sender<Steps>, work: impl Future<Output = T>) -> T {
    HERE.scope(to, work).await
}

/// Where the request that this task works on is told of.
#[must_use]
pub fn here() -> Teller {
    Teller(HERE.try_with(Clone::clone).ok())
}
