//! Deleting runs: into the trash, or for good.
//!
//! Section 4 of the protocol. What one request deletes into the trash is one batch there.

use std::time::Instant;

use super::{History, HistoryError, Moment, RACY_FOR};
use crate::index::{Clock, Report};
use crate::model::{ProjectId, RunKey};
use crate::store::{Batch, EntryId};
use crate::watch::Mark;

/// What deleting a run did.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// Whether there was one.
    pub deleted: bool,
    /// What it is in the trash, if it is there.
    pub entry: Option<EntryId>,
    /// The state without it.
    pub clock: Clock,
}

/// What deleting all runs of a project did.
#[derive(Debug, Clone)]
pub struct DeletedAll {
    /// How many files there were.
    pub deleted: u64,
    /// What they are in the trash, if they are there.
    pub batch: Option<Batch>,
    /// The state without them.
    pub clock: Clock,
}

/// What is deleted now, and whether it can be had back.
fn batch(permanent: bool) -> Option<Batch> {
    (!permanent).then(|| Batch::new(Moment::now().millis()))
}

impl History {
    /// Deletes one run's file. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Write`].
    pub fn delete(&self, key: &RunKey, permanent: bool) -> Result<Deleted, HistoryError> {
        let batch = batch(permanent);
        let guard = self.locks.lock(key);
        let deleted = self.store.delete(key, batch).inspect_err(|_| {
            // the last step may have failed after the record was gone
            self.mark(Mark::Run(key.clone()), Instant::now());
        })?;
        let clock = {
            let mut index = self.index.write();
            index.note_problems_of(key, &[], Moment::now().millis());
            index.apply(vec![Report::Gone(key.clone())]);
            index.clock()
        };
        self.tell(clock.tick);
        self.mark_quietly(Mark::Run(key.clone()), Instant::now() + RACY_FOR);
        drop(guard);
        let entry = batch.filter(|_| deleted);
        Ok(Deleted {
            deleted,
            entry: entry.map(|batch| EntryId::of_run(key, batch)),
            clock,
        })
    }

    /// Deletes every `*.json` of a project. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Write`]; some may have been deleted by then, and the index knows.
    pub fn delete_all(
        &self,
        project: &ProjectId,
        permanent: bool,
    ) -> Result<DeletedAll, HistoryError> {
        let batch = batch(permanent);
        let deleted = self.store.delete_all(project, batch);
        // everything that is gone now, whoever deleted it
        self.look_at_project(project, Moment::now());
        let mut deleted = deleted?;
        match deleted.failures.pop() {
            Some(failure) => Err(failure.into()),
            None => Ok(DeletedAll {
                deleted: deleted.count,
                batch: batch.filter(|_| deleted.count > 0),
                clock: self.clock(),
            }),
        }
    }
}
