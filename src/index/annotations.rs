//! What people noted on runs.
//!
//! Few runs have an annotation, so it is kept beside the rows, by the run's key: also while the run
//! is not there, because its sidecar may come before it (a checkout, a copy) and stays when it goes.
//! A row has a bit that says whether to look here.

use std::collections::HashSet;

use hashbrown::{Equivalent, HashMap};

use super::Index;
use super::row::Row;
use crate::model::{Annotation, ExecutionId, ProjectId, RunKey};

/// An execution's id, hashed as [`ExecutionId`] is.
#[derive(Hash)]
struct Named<'a>(&'a str);

impl Equivalent<ExecutionId> for Named<'_> {
    fn equivalent(&self, id: &ExecutionId) -> bool {
        id.as_str() == self.0
    }
}

/// All annotations that say something, by project: they are looked at project by project.
#[derive(Debug, Default)]
pub(super) struct Annotations(HashMap<ProjectId, HashMap<ExecutionId, Annotation>>);

impl Annotations {
    /// What is noted on a run.
    pub(super) fn of(&self, key: &RunKey) -> Option<&Annotation> {
        self.0.get(&key.project)?.get(&key.execution)
    }

    /// Takes in what is noted on a run; whether that is something else.
    pub(super) fn set(&mut self, key: &RunKey, annotation: Annotation) -> bool {
        if self.of(key) == Some(&annotation) {
            return false;
        }
        if !annotation.is_empty() {
            let of_project = self.0.entry(key.project.clone()).or_default();
            of_project.insert(key.execution.clone(), annotation);
            return true;
        }
        let Some(of_project) = self.0.get_mut(&key.project) else {
            return false;
        };
        let held = of_project.remove(&key.execution);
        if of_project.is_empty() {
            self.0.remove(&key.project);
        }
        held.is_some()
    }

    /// The projects with any.
    pub(super) fn projects(&self) -> Vec<ProjectId> {
        self.0.keys().cloned().collect()
    }

    /// Each with its run, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (RunKey, &Annotation)> {
        self.0.keys().flat_map(|project| self.of_project(project))
    }

    /// The same for one project.
    fn of_project(&self, project: &ProjectId) -> impl Iterator<Item = (RunKey, &Annotation)> {
        let project = project.clone();
        let of_project = self.0.get(&project).into_iter().flatten();
        of_project.map(move |(execution, annotation)| {
            let (project, execution) = (project.clone(), execution.clone());
            (RunKey { project, execution }, annotation)
        })
    }
}

impl Index {
    /// What is noted on the run of a row.
    pub(super) fn annotation_of(&self, row: Row<'_>, project: &ProjectId) -> Option<&Annotation> {
        if !row.is_annotated() {
            return None;
        }
        self.annotations.0.get(project)?.get(&Named(row.id()))
    }

    /// What is noted on a run, whether it is there or not.
    #[must_use]
    pub fn annotation(&self, key: &RunKey) -> Option<&Annotation> {
        self.annotations.of(key)
    }

    /// The runs of a project on which something is noted, there or not, but these.
    #[must_use]
    pub fn annotated_but(&self, project: &ProjectId, these: &HashSet<&str>) -> Vec<RunKey> {
        let all = self.annotations.0.get(project).into_iter().flatten();
        let others = all.filter(|(execution, _)| !these.contains(execution.as_str()));
        let key = |execution: &ExecutionId| RunKey {
            project: project.clone(),
            execution: execution.clone(),
        };
        others.map(|(execution, _)| key(execution)).collect()
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
            .filter_map(|(key, _)| self.find(&key))
            .collect();
        for number in annotated {
            if let Some(row) = self.rows.fixed_mut(number) {
                row.set_annotated(true);
            }
        }
    }
}
