//! What rehearsals told would go: what is done afterwards is that, or says of each why not. What is not
//! known any more has to be rehearsed again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use xxhash_rust::xxh3::Xxh3;

use super::kept::Kept;
use super::{Choice, Chosen, History, Spared};
use crate::index::Clock;
use crate::model::{Millis, RunKey};

pub(super) type Rehearsals = Kept<Told>;

/// What would go at one state of the index.
#[derive(Debug)]
pub struct Told {
    pub(super) clock: Clock,
    /// When each was written last: that somebody touched a run is told by no clock.
    runs: HashMap<RunKey, Millis>,
}

impl Told {
    /// What was told.
    pub(super) fn keys(&self) -> HashSet<&RunKey> {
        self.runs.keys().collect()
    }

    /// Whether that is a run that was told, and is as it was then. The clock must be one that the index
    /// honours.
    pub(super) fn still_has(&self, one: &Chosen) -> bool {
        let written = self.runs.get(one.key());
        !one.is_after(self.clock) && written == Some(&one.updated_at())
    }
}

/// What tells apart what is told of the same question at one clock, where files were touched between.
fn hash(clock: Clock, chosen: &[Chosen]) -> String {
    let mut hash = Xxh3::new();
    hash.update(clock.to_string().as_bytes());
    for one in chosen {
        let RunKey { project, execution } = one.key();
        // no name has a slash
        for text in [project.as_str(), execution.as_str()] {
            hash.update(text.as_bytes());
            hash.update(b"/");
        }
        hash.update(&one.updated_at().0.to_le_bytes());
    }
    format!("{:016x}", hash.digest())
}

impl History {
    /// Remembers what a rehearsal of the question `mark` told at `clock`; the name of that plan.
    pub fn remember_told(&self, mark: &str, clock: Clock, chosen: &[Chosen]) -> String {
        let now = Instant::now();
        let plan = format!("{mark}/{}", hash(clock, chosen));
        // told page by page
        if self.rehearsals.find(&plan, now).is_some() {
            return plan;
        }
        let written = |one: &Chosen| (one.key().clone(), one.updated_at());
        let runs = chosen.iter().map(written).collect();
        let told = Arc::new(Told { clock, runs });
        self.rehearsals.keep(&plan, told, chosen.len(), now);
        plan
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
        let mut left = told.keys();
        let undecided = choice.undecided.iter().filter(|key| left.remove(*key));
        let mut spared: Vec<_> = undecided
            .map(|key| (key.clone(), Spared::Refused))
            .collect();
        choice.chosen.retain(|one| {
            let was_told = left.remove(one.key());
            let stays = !told.still_has(one);
            // what came since nobody was told of
            if was_told && stays {
                spared.push((one.key().clone(), Spared::Changed));
            }
            !stays
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
