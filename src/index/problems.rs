//! What could not be read or does not fit: findings, not failures.
//!
//! `server/problems` of section 3. One entry a path and kind; an entry keeps its first date for
//! as long as it is found again. Paths are below the root.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Millis, ProblemKind};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// The file or folder, below the root.
    pub path: String,
    /// A stable word.
    pub kind: ProblemKind,
    /// For people.
    pub message: String,
    /// When it was first found.
    pub since: Millis,
}

/// How many findings are looked at while others wait.
const PATHS_AT_ONCE: usize = if cfg!(test) { 2 } else { 1024 };

/// All findings, in the order of their paths.
#[derive(Debug, Default)]
pub struct Problems {
    found: BTreeMap<(String, ProblemKind), Millis>,
}

impl Problems {
    /// Makes `kinds` exactly what is wrong with `path`; whether that is another finding.
    pub fn set(&mut self, path: &str, kinds: &[ProblemKind], now: Millis) -> bool {
        let mut changed = false;
        let from = (path.to_owned(), ProblemKind::Corrupt);
        let held: Vec<ProblemKind> = self
            .found
            .range(from..)
            .take_while(|((held, _), _)| held == path)
            .map(|((_, kind), _)| *kind)
            .collect();
        for kind in held {
            if !kinds.contains(&kind) {
                self.found.remove(&(path.to_owned(), kind));
                changed = true;
            }
        }
        for &kind in kinds {
            self.found
                .entry((path.to_owned(), kind))
                .or_insert_with(|| {
                    changed = true;
                    now
                });
        }
        changed
    }

    /// The findings after one, or all, with when each was first made.
    pub(super) fn after(
        &self,
        after: Option<&(String, ProblemKind)>,
    ) -> impl Iterator<Item = (&str, ProblemKind, Millis)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = after.map_or(Unbounded, Excluded);
        self.found
            .range::<(String, ProblemKind), _>((after, Unbounded))
            .map(|((path, kind), since)| (path.as_str(), *kind, *since))
    }

    /// Puts a finding back that was made before.
    pub(super) fn restore(&mut self, path: &str, kind: ProblemKind, since: Millis) {
        self.found.insert((path.to_owned(), kind), since);
    }

    /// Keeps the findings that `keep` is true for.
    pub(super) fn retain(&mut self, keep: impl Fn(&str, ProblemKind) -> bool) {
        self.found.retain(|(path, kind), _| keep(path, *kind));
    }

    /// Whether `path` has a finding of this kind.
    pub fn has(&self, path: &str, kind: ProblemKind) -> bool {
        self.found.contains_key(&(path.to_owned(), kind))
    }

    /// Since when `path` has a finding of this kind, if it has.
    pub fn since(&self, path: &str, kind: ProblemKind) -> Option<Millis> {
        self.found.get(&(path.to_owned(), kind)).copied()
    }

    /// The paths from `from` on that begin with `prefix` and have one of `kinds`, as far as some
    /// findings reach, and the one to go on from.
    pub fn paths(
        &self,
        prefix: &str,
        kinds: &[ProblemKind],
        from: &str,
    ) -> (Vec<String>, Option<String>) {
        let found = self
            .found
            .range((from.max(prefix).to_owned(), ProblemKind::Corrupt)..)
            .map(|((path, kind), _)| (path, *kind))
            .take_while(|(path, _)| path.starts_with(prefix));
        let (mut paths, mut last): (Vec<String>, _) = (Vec::new(), None);
        for (at, (path, kind)) in found.enumerate() {
            if at >= PATHS_AT_ONCE && last != Some(path) {
                return (paths, Some(path.clone()));
            }
            last = Some(path);
            if kinds.contains(&kind) && paths.last() != Some(path) {
                paths.push(path.clone());
            }
        }
        (paths, None)
    }

    /// How many findings there are.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// At most `limit` findings after `after`, of one project or all.
    pub fn page(
        &self,
        project: Option<&str>,
        after: Option<&(String, ProblemKind)>,
        limit: usize,
    ) -> Vec<Problem> {
        let below = project.map(|project| format!("{project}/"));
        self.after(after)
            .filter(|(path, ..)| {
                below
                    .as_ref()
                    .is_none_or(|below| path.starts_with(below) || Some(*path) == project)
            })
            .take(limit)
            .map(|(path, kind, since)| Problem {
                path: path.to_owned(),
                kind,
                message: kind.message().to_owned(),
                since,
            })
            .collect()
    }
}
