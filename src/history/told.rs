//! What rehearsals told would go: what is done afterwards is that, or says of each why not. What is not
//! known any more has to be rehearsed again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::kept::Kept;
use super::{Choice, Chosen, History, Spared};
use crate::index::Clock;
use crate::model::RunKey;

pub(super) type Rehearsals = Kept<Told>;

/// What would go at one state of the index.
#[derive(Debug)]
pub struct Told {
    pub(super) clock: Clock,
    pub(super) runs: HashSet<RunKey>,
}

impl History {
    /// Remembers what a rehearsal told at `clock`, under the name that it gave its plan.
    pub fn remember_told(&self, plan: &str, clock: Clock, chosen: &[Chosen]) {
        let now = Instant::now();
        // told page by page
        if self.rehearsals.find(plan, now).is_some() {
            return;
        }
        let runs = chosen.iter().map(|one| one.key().clone()).collect();
        let told = Arc::new(Told { clock, runs });
        self.rehearsals.keep(plan, told, chosen.len(), now);
    }

    /// What was told under this name, if that and what has changed since are still known.
    pub fn told(&self, plan: &str) -> Option<Arc<Told>> {
        let told = self.rehearsals.find(plan, Instant::now())?;
        self.honours(told.clock).then_some(told)
    }

    /// Forgets what was told and has been carried out.
    pub fn forget_told(&self, told: &Arc<Told>) {
        self.rehearsals.forget(told);
    }

    /// Leaves of what was chosen by the question that was rehearsed what was told and is as it was;
    /// gives the rest, and what was told and would not be chosen again.
    pub fn hold_to(&self, told: &Told, choice: &mut Choice) -> Vec<(RunKey, Spared)> {
        let mut left: HashSet<&RunKey> = told.runs.iter().collect();
        let undecided = choice.undecided.iter().filter(|key| left.remove(*key));
        let mut spared: Vec<_> = undecided
            .map(|key| (key.clone(), Spared::Refused))
            .collect();
        choice.chosen.retain(|one| {
            let was_told = left.remove(one.key());
            let is_after = one.is_after(told.clock);
            // what came since nobody was told of
            if was_told && is_after {
                spared.push((one.key().clone(), Spared::Changed));
            }
            was_told && !is_after
        });
        spared.extend(self.missing_of(left));
        spared
    }

    /// What became of runs that are not chosen again.
    pub(super) fn missing_of(&self, some: HashSet<&RunKey>) -> Vec<(RunKey, Spared)> {
        let mut some: Vec<&RunKey> = some.into_iter().collect();
        some.sort_unstable();
        self.index(|index| {
            let why = |key: &RunKey| match index.stamp(key) {
                Some(_) => Spared::Changed,
                None => Spared::Gone,
            };
            let why = some.into_iter().map(|key| (key.clone(), why(key)));
            why.collect()
        })
    }
}
