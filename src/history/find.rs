//! Which run is meant by an id, its beginning, or `last`.

use std::sync::atomic::Ordering;

use super::{History, HistoryError, Stop};
use crate::index::{Beginning, Candidates};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// What the newest run is called, unless one has this very id.
const LAST: &str = "last";

/// How many rows are looked at under one lock.
const PART: u32 = 4096;

impl History {
    /// The run of `project`, or of any project, that `id` means: the one called so, else, if that
    /// is `last`, the first of the list, else, in any project, the one whose id begins with it.
    /// Whether `project` has a file called so is the caller's to look at: who names a project and
    /// an id means no other. A beginning costs a look at every row. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotFound`] or, without a project, [`HistoryError::NoMatch`];
    /// [`HistoryError::Ambiguous`]; [`HistoryError::TakenBack`] when it was taken back.
    pub fn meant(
        &self,
        project: Option<&ProjectId>,
        id: &ExecutionId,
        stop: &Stop,
    ) -> Result<RunKey, HistoryError> {
        let mut found = match project {
            Some(_) => Candidates::default(),
            None => self.index(|index| index.called(id)),
        };
        if found.total() == 0 {
            if id.as_str() == LAST {
                let newest = self.index(|index| index.newest(project));
                return newest.ok_or_else(|| nothing(project, id));
            }
            if project.is_some() {
                return Err(nothing(project, id));
            }
            let mut beginning = Beginning::of(id.clone());
            while self.index(|index| index.look_for(&mut beginning, PART)) {
                self.going(stop)?;
            }
            found = beginning.found();
        }
        let total = found.total();
        let mut candidates: Vec<RunKey> = found.into_newest().collect();
        match (total, candidates.pop()) {
            (1, Some(key)) => Ok(key),
            (_, None) => Err(nothing(project, id)),
            (_, Some(last)) => {
                candidates.push(last);
                Err(HistoryError::Ambiguous {
                    id: id.clone(),
                    candidates,
                    total,
                })
            }
        }
    }

    /// That the work is still wanted, and the history not at its end.
    pub fn going(&self, stop: &Stop) -> Result<(), HistoryError> {
        if stop.is_set() {
            return Err(HistoryError::TakenBack);
        }
        match self.ending.load(Ordering::Acquire) {
            true => Err(HistoryError::Ending),
            false => Ok(()),
        }
    }
}

fn nothing(project: Option<&ProjectId>, id: &ExecutionId) -> HistoryError {
    match project {
        Some(project) => HistoryError::NotFound(RunKey {
            project: project.clone(),
            execution: id.clone(),
        }),
        None => HistoryError::NoMatch(id.clone()),
    }
}
