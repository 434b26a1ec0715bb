//! Whether the client has taken a request back, for handlers that do not end by being dropped.
//!
//! What changes one thing goes on once it has begun, whoever still wants to know; what changes many
//! stops between two of them. A handler asks [`here`] once for each of its steps, at their beginning and
//! on its own task.

use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static HERE: CancellationToken;
}

/// Lets `work` know when its request is taken back.
pub(crate) async fn scope<T>(token: CancellationToken, work: impl Future<Output = T>) -> T {
    HERE.scope(token, work).await
}

/// Ready once the request that this task works on is taken back.
pub(crate) async fn here() {
    match HERE.try_with(Clone::clone) {
        Ok(token) => token.cancelled_owned().await,
        Err(_) => std::future::pending().await,
    }
}
