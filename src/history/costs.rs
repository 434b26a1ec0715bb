//! What comparing costs, and so how often it is done.
//!
//! Comparing means asking for every stamp; reading what differs is not a part of it, because that
//! has to be done however it is noticed. Reading what has not changed is: a stamp that proves nothing
//! (a clock was set back) does so at each comparison. Each look at a project notes what it took, so the sum is
//! that of comparing everything now, whether the looks came one by one or all at once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::model::ProjectId;
use crate::watch::{Reason, Unwatched};

/// How often stamps are compared where no events come.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// Comparing stamps may take at most this part of the time where no events come, …
const POLL_SHARE: u32 = 10;
/// … and this part where they do.
const RECONCILE_SHARE: u32 = 500;

/// How files are compared with the index, whatever events tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparing {
    /// How often everything is compared.
    pub every: Duration,
    /// What that takes.
    pub took: Duration,
    /// How often it was done since the start.
    pub times: u64,
    /// What is compared because no event tells of it.
    pub polling: Option<Polling>,
}

/// What is compared because no event tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// How many projects.
    pub projects: usize,
    /// How often.
    pub every: Duration,
    /// What that takes.
    pub took: Duration,
}

/// What comparing took last.
#[derive(Debug, Default)]
pub(super) struct Costs {
    root: Duration,
    projects: HashMap<ProjectId, Duration>,
    /// That of all projects.
    sum: Duration,
    compared: Option<Instant>,
    times: u64,
}

impl Costs {
    /// A look at everything began at `began` by looking at the root, which took `took`; those at
    /// the projects are noted one by one.
    pub(super) fn note_everything(&mut self, began: Instant, took: Duration) {
        self.root = took;
        self.compared = Some(began);
        self.times += 1;
    }

    /// Comparing a project took `took`.
    pub(super) fn note(&mut self, project: &ProjectId, took: Duration) {
        self.sum += took;
        match self.projects.get_mut(project) {
            Some(before) => self.sum -= std::mem::replace(before, took),
            None => drop(self.projects.insert(project.clone(), took)),
        }
    }

    /// Forgets the projects that are not there.
    pub(super) fn retain(&mut self, there: impl Fn(&ProjectId) -> bool) {
        let sum = &mut self.sum;
        self.projects.retain(|project, took| {
            let stays = there(project);
            if !stays {
                *sum -= *took;
            }
            stays
        });
    }

    fn everything(&self) -> Duration {
        self.root + self.sum
    }

    /// How often everything is compared where `unwatched` is, and every `reconcile_every` at most
    /// where events come.
    pub(super) fn compare_every(
        &self,
        unwatched: &Unwatched,
        reconcile_every: Duration,
    ) -> Duration {
        match unwatched {
            Unwatched::Everything(_) => POLL_EVERY.max(self.everything() * POLL_SHARE),
            Unwatched::Projects(_) => reconcile_every.max(self.everything() * RECONCILE_SHARE),
        }
    }

    /// How `projects` are compared because no event tells of them, if there are any.
    pub(super) fn polling(&self, projects: &BTreeMap<ProjectId, Reason>) -> Option<Polling> {
        let took = projects.keys().filter_map(|id| self.projects.get(id)).sum();
        (!projects.is_empty()).then(|| Polling {
            projects: projects.len(),
            every: POLL_EVERY.max(took * POLL_SHARE),
            took,
        })
    }

    /// All of that.
    pub(super) fn comparing(&self, unwatched: &Unwatched, reconcile_every: Duration) -> Comparing {
        let every = self.compare_every(unwatched, reconcile_every);
        let took = self.everything();
        let polling = match unwatched {
            Unwatched::Everything(_) => Some(Polling {
                projects: self.projects.len(),
                every,
                took,
            }),
            Unwatched::Projects(projects) => self.polling(projects),
        };
        Comparing {
            every,
            took,
            times: self.times,
            polling,
        }
    }

    /// Until when not to compare everything again, though events were lost: comparing as often as
    /// that can be done would leave time for nothing else.
    pub(super) fn rest(&self) -> Option<Instant> {
        self.compared.map(|began| began + 2 * self.everything())
    }
}

/// What part of `took`, in which `files` were read, was for those that had not changed; `changed` or
/// fewer had.
pub(super) fn read_in_vain(took: Duration, files: usize, changed: u64) -> Duration {
    let files = u64::try_from(files).unwrap_or(u64::MAX);
    let same = files.saturating_sub(changed);
    let nanos = u128::from(same) * took.as_nanos() / u128::from(files.max(1));
    u64::try_from(nanos).map_or(took, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn reading_counts_as_comparing_as_far_as_nothing_had_changed() {
        let second = Duration::from_secs(1);
        assert_eq!(read_in_vain(second, 1000, 0), second);
        assert_eq!(read_in_vain(second, 1000, 250), second * 3 / 4);
        assert_eq!(read_in_vain(second, 1000, 1000), Duration::ZERO);
        // one change may count more than once
        assert_eq!(read_in_vain(second, 1000, 3000), Duration::ZERO);
        assert_eq!(read_in_vain(second, 0, 0), Duration::ZERO);
    }

    #[test]
    fn what_is_polled_is_compared_for_at_most_a_tenth_of_the_time() {
        let id = |name: &str| ProjectId::parse(name).unwrap();
        let seconds = Duration::from_secs;
        let mut costs = Costs::default();
        let unwatched = |names: &[&str]| {
            let reasons = names.iter().map(|name| (id(name), Reason::Watches));
            Unwatched::Projects(Arc::new(reasons.collect()))
        };
        let everything = Unwatched::Everything(Reason::Asked);
        let polling = |costs: &Costs, what: &Unwatched| costs.comparing(what, seconds(300)).polling;
        // nothing is known to take anything
        assert_eq!(polling(&costs, &everything).unwrap().every, POLL_EVERY);
        costs.note(&id("a"), seconds(5));
        costs.note(&id("a"), seconds(1));
        costs.note(&id("b"), seconds(2));
        costs.note_everything(Instant::now(), seconds(1));
        assert_eq!(polling(&costs, &unwatched(&[])), None);
        assert_eq!(
            polling(&costs, &unwatched(&["b", "new"])),
            Some(Polling {
                projects: 2,
                every: seconds(20),
                took: seconds(2)
            })
        );
        let all = costs.comparing(&everything, seconds(300));
        assert_eq!((all.every, all.took), (seconds(40), seconds(4)));
        assert_eq!(all.polling.unwrap().every, all.every);
        // everything is compared rarely, however few of it are polled
        let rare = costs.comparing(&unwatched(&["b"]), seconds(300));
        assert_eq!((rare.every, rare.took), (seconds(2000), seconds(4)));
        costs.retain(|project| *project == id("a"));
        assert_eq!(costs.comparing(&everything, seconds(300)).took, seconds(2));
        assert_eq!(polling(&costs, &everything).unwrap().projects, 1);
    }
}
