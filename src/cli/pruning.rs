//! Pruning at intervals, where the user's own file says so.
//!
//! It is `executions/prune` by the configured policy, at the start and then each time; what went is
//! logged with what brings it back.

use std::sync::Arc;

use crate::api::Context;
use crate::api::executions::prune::{Params, Prune};
use crate::api::table::Method;

/// Prunes the context's root as long as the user's file says so. Must be called where tokio runs.
pub(super) fn start(context: &Arc<Context>) {
    let every = |context: &Context| match super::config::prune_every(context.history.root()) {
        Ok(every) => every,
        Err(wrong) => {
            tracing::warn!("the user's runlog.toml: {wrong}; nothing is pruned by itself");
            None
        }
    };
    if every(context).is_none() {
        return;
    }
    let weak = Arc::downgrade(context);
    tokio::spawn(async move {
        loop {
            let Some(context) = weak.upgrade() else {
                return;
            };
            // it may have changed
            let Some(every) = every(&context) else { return };
            match Prune::call(context, Params::configured()).await {
                Ok(pruned) => {
                    let (runs, batch) = (pruned.gone.count, pruned.gone.batch);
                    if runs > 0 {
                        tracing::info!(
                            runs,
                            batch,
                            "pruned; executions/restore with the batch undoes it"
                        );
                    }
                    let (emptied, bytes) = (pruned.emptied, pruned.freed_bytes);
                    if emptied > 0 {
                        tracing::info!(emptied, bytes, "removed from the trash for good");
                    }
                }
                Err(error) => tracing::warn!("nothing was pruned: {}", error.message),
            }
            tokio::time::sleep(every).await;
        }
    });
}
