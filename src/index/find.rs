//! Runs by their id alone, or by its beginning.
//!
//! `executions/get` and `executions/diff` of section 4 of the protocol. No structure is kept for
//! it: an id in whatever project is one look a project; a beginning is a look at every row, some
//! thousand at a time, so that no lock is held long.

use super::place::Place;
use super::row::key_of;
use super::{Filter, From, Index};
use crate::model::{ExecutionId, Millis, ProjectId, RunKey};

/// How many of the runs that an id may mean are told.
pub const CANDIDATES: usize = 20;

/// The runs that an id may mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The first of them, in list order.
    newest: Vec<(Option<Millis>, RunKey)>,
    total: usize,
}

impl Candidates {
    fn add(&mut self, started_at: Option<Millis>, key: RunKey) {
        self.total += 1;
        let place = Place::of(started_at, &key);
        let at = self
            .newest
            .partition_point(|(held, other)| Place::of(*held, other) < place);
        if at < CANDIDATES {
            self.newest.insert(at, (started_at, key));
            self.newest.truncate(CANDIDATES);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The newest of them, at most [`CANDIDATES`].
    pub fn into_newest(self) -> impl Iterator<Item = RunKey> {
        self.newest.into_iter().map(|(_, key)| key)
    }
}

/// How far a look for a beginning has come.
#[derive(Debug)]
pub struct Beginning {
    text: ExecutionId,
    /// The next row to look at.
    next: u32,
    found: Candidates,
}

impl Beginning {
    /// The runs whose id begins with `text`.
    #[must_use]
    pub fn of(text: ExecutionId) -> Self {
        Self {
            text,
            next: 0,
            found: Candidates::default(),
        }
    }

    /// What was found.
    #[must_use]
    pub fn found(self) -> Candidates {
        self.found
    }
}

impl Index {
    /// The runs called `id` in whatever project, those whose file is no record too. Costs a look a
    /// project.
    #[must_use]
    pub fn called(&self, id: &ExecutionId) -> Candidates {
        let mut found = Candidates::default();
        for project in self.projects.iter().flatten() {
            let row = self.row_of(&project.id, id);
            if row.is_some() || project.unlisted.contains_key(id) {
                let key = RunKey {
                    project: project.id.clone(),
                    execution: id.clone(),
                };
                found.add(row.and_then(|row| row.started()), key);
            }
        }
        found
    }

    /// The first run of the list, of a project or of all.
    #[must_use]
    pub fn newest(&self, project: Option<&ProjectId>) -> Option<RunKey> {
        let filter = Filter {
            project: project.cloned(),
            statuses: None,
        };
        let first = self.page(&filter, &From::Offset(0), 1).executions.pop()?;
        Some(RunKey {
            project: first.project_id,
            execution: first.id,
        })
    }

    /// Looks at so many rows more; false when all have been looked at. A run that was there
    /// throughout is found once, whatever changes meanwhile.
    pub fn look_for(&self, beginning: &mut Beginning, rows: u32) -> bool {
        let end = u32::try_from(self.rows.end()).unwrap_or(u32::MAX);
        let upto = beginning.next.saturating_add(rows).min(end);
        for row in (beginning.next..upto).filter_map(|number| self.rows.get(number)) {
            if !row.id().starts_with(beginning.text.as_str()) {
                continue;
            }
            let project = self.project(row.project()).map(|project| &project.id);
            if let Some(key) = project.and_then(|id| key_of(row, id)) {
                beginning.found.add(row.started(), key);
            }
        }
        beginning.next = upto;
        upto < end
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::index::{Instance, Liveness, Report};
    use crate::model::{Facts, Seen, Stamp, Version};

    /// An index of these runs: the project, the id and the second in which it began.
    fn index_of(runs: &[(String, String, Option<i64>)]) -> Index {
        let liveness = Liveness {
            stale_after: Duration::from_secs(100),
        };
        let mut index = Index::new(Instance(1), liveness);
        let seen = |started: Option<i64>| Seen {
            stamp: Stamp::default(),
            version: Version::default(),
            facts: Facts {
                started_at: started.map(Millis),
                ..Facts::default()
            },
            racy: false,
        };
        let reports = runs
            .iter()
            .map(|(project, id, started)| Report::Seen(key(project, id), Box::new(seen(*started))));
        index.apply(reports.collect());
        index
    }

    fn key(project: &str, id: &str) -> RunKey {
        RunKey {
            project: ProjectId::parse(project).unwrap(),
            execution: ExecutionId::parse(id).unwrap(),
        }
    }

    proptest! {
        /// By way of a list that is sorted anew.
        #[test]
        fn runs_are_found_as_by_brute_force(
            runs in prop::collection::btree_map(("[pq]", "[ab]{1,4}"), prop::option::of(0..9i64), 0..60),
            asked in "[ab]{1,3}", project in prop::option::of("[pqr]"), part in 1..9u32,
        ) {
            let mut all: Vec<_> = runs.into_iter().map(|((project, id), at)| (project, id, at)).collect();
            let index = index_of(&all);
            all.sort_by_key(|(project, id, at)| (std::cmp::Reverse(*at), id.clone(), project.clone()));
            let here = |held: &str| project.as_ref().is_none_or(|project| project == held);
            let found = |wanted: &dyn Fn(&str, &str) -> bool| -> Vec<RunKey> {
                let wanted = all.iter().filter(|(project, id, _)| wanted(project, id));
                wanted.map(|(project, id, _)| key(project, id)).collect()
            };
            let text = ExecutionId::parse(&asked).unwrap();
            let project_id = project.as_ref().map(|id| ProjectId::parse(id).unwrap());

            let called = index.called(&text);
            let expected = found(&|_, id| id == asked);
            prop_assert_eq!(called.total(), expected.len());
            prop_assert_eq!(called.into_newest().collect::<Vec<_>>(), expected);

            let mut beginning = Beginning::of(text);
            while index.look_for(&mut beginning, part) {}
            let begun = beginning.found();
            let mut expected = found(&|_, id| id.starts_with(&asked));
            prop_assert_eq!(begun.total(), expected.len());
            expected.truncate(CANDIDATES);
            prop_assert_eq!(begun.into_newest().collect::<Vec<_>>(), expected);

            let newest = found(&|project, _| here(project)).into_iter().next();
            prop_assert_eq!(index.newest(project_id.as_ref()), newest);
        }
    }
}
