//! Pruning at intervals, where the user's own file says so.
//!
//! It is `executions/prune` by the configured policy, at the start and then each time; what went is
//! logged with what brings it back. A daemon that finds nothing of it in the file, at its start or
//! later, has nothing to wake up for, and looks there again when a client comes. A file that is not
//! there for once, or a root, is looked for again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::failure::in_words;
use crate::api::Context;
use crate::api::executions::delete_matching::{Gone, SkippedRun};
use crate::api::executions::prune::{Params, Prune};
use crate::api::table::Method;
use crate::history::HistoryError;
use crate::history::thread::on_a_thread;

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

/// Prunes the context's root whenever the user's file says so; `came` is told of clients that come. Must
/// be called where tokio runs.
pub(super) fn start(context: &Arc<Context>, came: Arc<Notify>) {
    let root = context.history.root().to_owned();
    let weak = Arc::downgrade(context);
    tokio::spawn(async move {
        while weak.strong_count() > 0 {
            let root = root.clone();
            // who comes does not wait for the disks of all roots that it names
            let found = on_a_thread(move || super::config::prune_every(&root)).await;
            match found {
                Ok(Ok(None)) | Err(_) => came.notified().await,
                Ok(_) => prune_as_long_as_it_says_so(&weak).await,
            }
        }
    });
}

async fn prune_as_long_as_it_says_so(weak: &Weak<Context>) {
    let mut read = Read::default();
    while let Some(context) = weak.upgrade() {
        // it may have changed
        match read.every(&context) {
            Some(Some(_)) => prune(&context).await,
            Some(None) => return,
            None => {}
        }
        drop(context);
        tokio::time::sleep(read.last).await;
    }
}

async fn prune(context: &Arc<Context>) {
    // a first index that takes long does not cost it an interval, which may be a day
    while let Err(HistoryError::NotReady) = context.history.ready(None).await {}
    match Prune::call(Arc::clone(context), Params::configured()).await {
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
