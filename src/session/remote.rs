//! Another daemon that answers in place of the methods here.
//!
//! A session over a remote keeps everything that is between it and its client (framing, ids,
//! batches, order, limits, cancelling, the end) and hands each request on. What the other side
//! tells by itself goes into the session's outbox.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::outbox::Outbox;
use crate::api::Error;
use crate::api::table::Entry;

/// The other daemon, for one session.
pub trait Remote: std::fmt::Debug + Send + Sync {
    /// Where notifications go from now on.
    fn attach(&self, outbox: Arc<Outbox>);

    /// Sends a request on, at once, and gives what is answered. The params are as the client sent
    /// them; those of an unsubscribing are the subscription's id alone. Dropping the future takes
    /// the request back.
    fn call(
        &self,
        entry: &'static Entry,
        params: Option<&str>,
    ) -> BoxFuture<'static, Result<Answer, Error>>;
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The result's JSON text.
    pub text: Bytes,
    /// Dropped when the client's answer is on its way: what must not come before it follows then.
    pub told: Option<oneshot::Sender<()>>,
}
