//! Where a run stands in lists: newest first, then by its id and its project.

use std::cmp::Ordering;

use crate::model::{Millis, RunKey};

/// A row's place in every list: newest first, unknown starts last, then by id and project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// When the run began.
    pub started_at: Option<Millis>,
    /// The execution's id.
    pub id: &'a str,
    /// The project's id.
    pub project: &'a str,
}

impl<'a> Place<'a> {
    /// That of a run which began then.
    #[must_use]
    pub fn of(started_at: Option<Millis>, key: &'a RunKey) -> Self {
        Self {
            started_at,
            id: key.execution.as_str(),
            project: key.project.as_str(),
        }
    }
}

impl Place<'_> {
    /// The place, for longer than whose it is.
    #[must_use]
    pub fn to_key(&self) -> Key {
        Key {
            started_at: self.started_at,
            id: self.id.to_owned(),
            project: self.project.to_owned(),
        }
    }
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // None is the smallest start, and reversed the last
        other
            .started_at
            .map(|at| at.0)
            .cmp(&self.started_at.map(|at| at.0))
            .then_with(|| self.id.as_bytes().cmp(other.id.as_bytes()))
            .then_with(|| self.project.as_bytes().cmp(other.project.as_bytes()))
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The place of a run in list order, to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// When the run began.
    pub started_at: Option<Millis>,
    /// The execution's id.
    pub id: String,
    /// The project's id.
    pub project: String,
}

impl Key {
    /// The key, borrowed.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            started_at: self.started_at,
            id: &self.id,
            project: &self.project,
        }
    }
}
