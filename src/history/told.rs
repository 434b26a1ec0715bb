//! What rehearsals told would go: what is done afterwards is that, or says of each why not.
//!
//! Kept in memory, by the names that the answers gave their plans, until it is carried out or nobody
//! can be expected to do so any more. What is not known any more has to be rehearsed again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Chosen, History, Spared};
use crate::index::Clock;
use crate::model::RunKey;

/// How many runs are remembered, some hundred bytes each, besides those that were told last.
const RUNS_MAX: usize = 100_000;
/// How many rehearsals, whatever they told.
const PLANS_MAX: usize = 64;
/// How long, at least: whoever is asked whether he agrees may take his time.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// The latest comes last.
#[derive(Debug, Default)]
pub(super) struct Rehearsals(Mutex<VecDeque<Rehearsal>>);

#[derive(Debug)]
struct Rehearsal {
    plan: String,
    at: Instant,
    told: Arc<Told>,
}

/// What would go at one state of the index.
#[derive(Debug)]
pub struct Told {
    pub(super) clock: Clock,
    pub(super) runs: HashSet<RunKey>,
}

impl Rehearsals {
    fn find(&self, plan: &str) -> Option<Arc<Told>> {
        let kept = self.0.lock();
        let found = kept.iter().find(|one| one.plan == plan)?;
        Some(Arc::clone(&found.told))
    }

    fn remember(&self, plan: &str, told: Told, now: Instant) {
        self.drop_old(now);
        // freed when others may come again
        let mut dropped = Vec::new();
        let mut kept = self.0.lock();
        let mut others: usize = kept.iter().map(|one| one.told.runs.len()).sum();
        while (others > RUNS_MAX || kept.len() >= PLANS_MAX)
            && let Some(oldest) = kept.pop_front()
        {
            others -= oldest.told.runs.len();
            dropped.push(oldest);
        }
        kept.push_back(Rehearsal {
            plan: plan.to_owned(),
            at: now,
            told: Arc::new(told),
        });
    }

    /// Forgets what was told long ago.
    pub(super) fn drop_old(&self, now: Instant) {
        let mut dropped = Vec::new();
        let mut kept = self.0.lock();
        while let Some(oldest) = kept.pop_front_if(|one| now.duration_since(one.at) > KEPT_FOR) {
            dropped.push(oldest);
        }
    }
}

impl History {
    /// Remembers what a rehearsal told at `clock`, under the name that it gave its plan.
    pub fn remember_told(&self, plan: &str, clock: Clock, chosen: &[Chosen]) {
        // told page by page
        if self.rehearsals.find(plan).is_some() {
            return;
        }
        let runs = chosen.iter().map(|one| one.key().clone()).collect();
        let told = Told { clock, runs };
        self.rehearsals.remember(plan, told, Instant::now());
    }

    /// What was told under this name, if that and what has changed since are still known.
    pub fn told(&self, plan: &str) -> Option<Arc<Told>> {
        let told = self.rehearsals.find(plan)?;
        self.honours(told.clock).then_some(told)
    }

    /// Forgets what was told and has been carried out.
    pub fn forget_told(&self, told: &Arc<Told>) {
        let mut kept = self.rehearsals.0.lock();
        kept.retain(|one| !Arc::ptr_eq(&one.told, told));
    }

    /// Leaves of what was chosen by the question that was rehearsed what was told and is as it was;
    /// gives the rest, and what was told and would not be chosen again.
    pub fn hold_to(&self, told: &Told, chosen: &mut Vec<Chosen>) -> Vec<(RunKey, Spared)> {
        let mut left: HashSet<&RunKey> = told.runs.iter().collect();
        let mut spared = Vec::new();
        chosen.retain(|one| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Instance;
    use crate::model::{ExecutionId, ProjectId};

    fn told(count: usize) -> Told {
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
    }

    fn known(rehearsals: &Rehearsals) -> Vec<String> {
        let kept = rehearsals.0.lock();
        kept.iter().map(|one| one.plan.clone()).collect()
    }

    #[test]
    fn the_latest_is_remembered_whatever_its_size() {
        let (rehearsals, now) = (Rehearsals::default(), Instant::now());
        for plan in ["a", "b"] {
            rehearsals.remember(plan, told(RUNS_MAX / 2), now);
        }
        rehearsals.remember("c", told(RUNS_MAX + 1), now);
        assert_eq!(known(&rehearsals), ["a", "b", "c"]);
        rehearsals.remember("d", told(1), now);
        assert_eq!(known(&rehearsals), ["d"]);
    }

    #[test]
    fn what_told_nothing_weighs_something_and_nothing_stays_for_ever() {
        let (rehearsals, now) = (Rehearsals::default(), Instant::now());
        for number in 0..10 * PLANS_MAX {
            rehearsals.remember(&format!("{number}"), told(0), now);
        }
        assert_eq!(known(&rehearsals).len(), PLANS_MAX);
        let later = now + KEPT_FOR;
        rehearsals.remember("late", told(0), later);
        assert_eq!(known(&rehearsals).len(), PLANS_MAX);
        rehearsals.drop_old(later + Duration::from_secs(1));
        assert_eq!(known(&rehearsals), ["late"]);
    }
}
