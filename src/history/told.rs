//! What rehearsals told would go: what is done afterwards is that, or says of each why not.
//!
//! Kept in memory, by the names that the answers gave their plans. What is not known any more has to
//! be rehearsed again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Chosen, History, Spared};
use crate::index::Clock;
use crate::model::RunKey;

/// How many runs are remembered, some hundred bytes each, besides those that were told last.
const RUNS_MAX: usize = 100_000;

/// The latest comes last.
#[derive(Debug, Default)]
pub(super) struct Rehearsals(Mutex<VecDeque<(String, Arc<Told>)>>);

/// What would go at one state of the index.
#[derive(Debug)]
pub struct Told {
    pub(super) clock: Clock,
    pub(super) runs: HashSet<RunKey>,
}

impl Rehearsals {
    fn remember(&self, plan: &str, told: impl FnOnce() -> Told) {
        let mut kept = self.0.lock();
        // told page by page
        if kept.iter().any(|(known, _)| known == plan) {
            return;
        }
        let mut others: usize = kept.iter().map(|(_, told)| told.runs.len()).sum();
        while others > RUNS_MAX
            && let Some((_, oldest)) = kept.pop_front()
        {
            others -= oldest.runs.len();
        }
        kept.push_back((plan.to_owned(), Arc::new(told())));
    }
}

impl History {
    /// Remembers what a rehearsal told at `clock`, under the name that it gave its plan.
    pub fn remember_told(&self, plan: &str, clock: Clock, chosen: &[Chosen]) {
        let runs = || chosen.iter().map(|one| one.key().clone()).collect();
        let told = || Told {
            clock,
            runs: runs(),
        };
        self.rehearsals.remember(plan, told);
    }

    /// What was told under this name, if that and what has changed since are still known.
    pub fn told(&self, plan: &str) -> Option<Arc<Told>> {
        let told = {
            let kept = self.rehearsals.0.lock();
            let (_, told) = kept.iter().find(|(known, _)| known == plan)?;
            Arc::clone(told)
        };
        self.honours(told.clock).then_some(told)
    }

    /// Leaves of what was chosen by the question that was rehearsed what was told and is as it was;
    /// gives the rest, and what was told and would not be chosen again.
    pub fn hold_to(&self, told: &Told, chosen: &mut Vec<Chosen>) -> Vec<(RunKey, Spared)> {
        let mut left: HashSet<&RunKey> = told.runs.iter().collect();
        let mut spared = Vec::new();
        chosen.retain(|one| {
            let was_told = left.remove(one.key());
            let is_after = one.is_after(told.clock);
            if is_after {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Instance;
    use crate::model::{ExecutionId, ProjectId};

    #[test]
    fn the_latest_is_remembered_whatever_its_size() {
        let told = |count: usize| {
            let key = |number| RunKey {
                project: ProjectId::parse("p").unwrap(),
                execution: ExecutionId::parse(&format!("r{number}")).unwrap(),
            };
            Told {
                clock: Clock {
                    instance: Instance(1),
                    tick: 1,
                },
                runs: (0..count).map(key).collect(),
            }
        };
        let rehearsals = Rehearsals::default();
        let known = || -> Vec<String> {
            let kept = rehearsals.0.lock();
            kept.iter().map(|(plan, _)| plan.clone()).collect()
        };
        for plan in ["a", "b", "b"] {
            rehearsals.remember(plan, || told(RUNS_MAX / 2));
        }
        rehearsals.remember("c", || told(RUNS_MAX + 1));
        assert_eq!(known(), ["a", "b", "c"]);
        rehearsals.remember("d", || told(1));
        assert_eq!(known(), ["d"]);
    }
}
