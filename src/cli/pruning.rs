//! Pruning at intervals, where the user's own file says so.
//!
//! It is `executions/prune` by the configured policy, at the start and then each time; what went is
//! logged with what brings it back. A daemon that finds nothing of it in the file, at its start or
//! later, does not look there again: it has nothing to wake up for. A file that is not there for once,
//! or a root, is looked for again.

use std::sync::Arc;
use std::time::Duration;

use super::failure::in_words;
use crate::api::Context;
use crate::api::executions::delete_matching::{Gone, SkippedRun};
use crate::api::executions::prune::{Params, Prune};
use crate::api::table::Method;

/// The user's file, read again and again.
struct Read {
    /// How often it was to be done when that was last to be read.
    last: Duration,
    /// What was wrong with the file then, which is told once.
    wrong: Option<String>,
}

impl Default for Read {
    fn default() -> Self {
        Self {
            last: Duration::from_secs(60),
            wrong: None,
        }
    }
}

impl Read {
    /// How often it is to be done, if at all; `None` where the file cannot be read now, or is not there,
    /// perhaps because somebody is writing it.
    fn every(&mut self, context: &Context) -> Option<Option<Duration>> {
        match super::config::prune_every(context.history.root()) {
            Ok(None) if !super::config::user_says() => None,
            Ok(every) => {
                self.wrong = None;
                self.last = every.unwrap_or(self.last);
                Some(every)
            }
            Err(wrong) => {
                if self.wrong.as_ref() != Some(&wrong) {
                    tracing::warn!("the user's runlog.toml: {wrong}; nothing is pruned meanwhile");
                    self.wrong = Some(wrong);
                }
                None
            }
        }
    }
}

/// Prunes the context's root as long as the user's file says so. Must be called where tokio runs.
pub(super) fn start(context: &Arc<Context>) {
    if super::config::prune_every(context.history.root()) == Ok(None) {
        return;
    }
    let mut read = Read::default();
    let weak = Arc::downgrade(context);
    tokio::spawn(async move {
        loop {
            let Some(context) = weak.upgrade() else {
                return;
            };
            // it may have changed
            match read.every(&context) {
                Some(Some(_)) => {}
                Some(None) => return,
                None => {
                    drop(context);
                    tokio::time::sleep(read.last).await;
                    continue;
                }
            }
            match Prune::call(Arc::clone(&context), Params::configured()).await {
                Ok(pruned) => {
                    let (runs, batch) = (pruned.gone.count, &pruned.gone.batch);
                    if runs > 0 {
                        tracing::info!(
                            runs,
                            batch,
                            "pruned; executions/restore with the batch undoes it"
                        );
                    }
                    tell_what_stays(&pruned.gone);
                    let (emptied, bytes) = (pruned.emptied, pruned.freed_bytes);
                    if emptied > 0 {
                        tracing::info!(emptied, bytes, "removed from the trash for good");
                    }
                }
                Err(error) => {
                    let file = super::config::policy_file(context.history.root());
                    let file = file.map(|file| file.display().to_string());
                    let why = in_words(&error.message);
                    tracing::warn!(file, "nothing was pruned: {why}");
                }
            }
            drop(context);
            tokio::time::sleep(read.last).await;
        }
    });
}

/// Logs what was to go and does not, for as long as nobody mends that.
fn tell_what_stays(gone: &Gone) {
    for reason in ["refused", "maybe-pinned"] {
        let is_it = |run: &&SkippedRun| run.reason == reason;
        let Some(run) = gone.skipped.iter().find(is_it) else {
            continue;
        };
        let (project, execution) = (run.project_id.as_str(), run.execution_id.as_str());
        let runs = gone.skipped_count;
        tracing::warn!(
            runs,
            reason,
            project,
            execution,
            "runs stay that were to go"
        );
    }
}
