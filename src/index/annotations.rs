//! What people noted on runs.
//!
//! Few runs have an annotation, so it is kept beside the rows, by the run's key: also while the run
//! is not there, because its sidecar may come before it (a checkout, a copy) and stays when it goes.
//! A row has a bit that says whether to look here.

use hashbrown::{Equivalent, HashMap};

use super::Index;
use super::row::Row;
use crate::model::{Annotation, ProjectId, RunKey};

/// A run's key by its parts, hashed as [`RunKey`] is.
#[derive(Hash)]
struct Named<'a> {
    project: &'a str,
    execution: &'a str,
}

impl Equivalent<RunKey> for Named<'_> {
    fn equivalent(&self, key: &RunKey) -> bool {
        key.execution.as_str() == self.execution && key.project.as_str() == self.project
    }
}

/// All annotations that say something.
#[derive(Debug, Default)]
pub(super) struct Annotations(HashMap<RunKey, Annotation>);

impl Annotations {
    /// What is noted on a run.
    pub(super) fn of(&self, key: &RunKey) -> Option<&Annotation> {
        self.0.get(key)
    }

    /// Takes in what is noted on a run; whether that is something else.
    pub(super) fn set(&mut self, key: &RunKey, annotation: Annotation) -> bool {
        if annotation.is_empty() {
            return self.0.remove(key).is_some();
        }
        match self.0.get_mut(key) {
            Some(held) if *held == annotation => false,
            Some(held) => {
                *held = annotation;
                true
            }
            None => {
                self.0.insert(key.clone(), annotation);
                true
            }
        }
    }

    /// Each with its run, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&RunKey, &Annotation)> {
        self.0.iter()
    }
}

impl Index {
    /// What is noted on the run of a row.
    pub(super) fn annotation_of(&self, row: Row<'_>, project: &ProjectId) -> Option<&Annotation> {
        if !row.is_annotated() {
            return None;
        }
        self.annotations.0.get(&Named {
            project: project.as_str(),
            execution: row.id(),
        })
    }

    /// What is noted on a run, whether it is there or not.
    #[must_use]
    pub fn annotation(&self, key: &RunKey) -> Option<&Annotation> {
        self.annotations.of(key)
    }

    /// The runs of a project on which something is noted, there or not.
    #[must_use]
    pub fn annotated_of(&self, project: &ProjectId) -> Vec<(RunKey, Annotation)> {
        let all = self.annotations.all();
        all.filter(|(key, _)| key.project == *project)
            .map(|(key, annotation)| (key.clone(), annotation.clone()))
            .collect()
    }

    /// Tells that what is noted on a run is something else, if the run is there.
    pub(super) fn mark_annotated(&mut self, key: &RunKey) {
        let Some(number) = self.find(key) else { return };
        let annotated = self.annotations.of(key).is_some();
        let tick = self.changes.saved(number, key, self.rows.live());
        if let Some(row) = self.rows.fixed_mut(number) {
            row.set_annotated(annotated);
            row.set_created(false);
            row.tick = tick;
        }
    }

    /// Lets the rows of a snapshot know of its annotations.
    pub(super) fn mark_restored_annotations(&mut self) {
        let annotated: Vec<u32> = self
            .annotations
            .all()
            .filter_map(|(key, _)| self.find(key))
            .collect();
        for number in annotated {
            if let Some(row) = self.rows.fixed_mut(number) {
                row.set_annotated(true);
            }
        }
    }
}
