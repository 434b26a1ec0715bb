//! Errors of many runs, grouped by what they are like.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::gather::Gather;
use super::row::Row;
use super::{Index, Listed};
use crate::model::{Fingerprint, Millis, SummaryRef};

/// The errors of runs: for each row which errors its own is like, and when that was seen.
#[derive(Debug, Default)]
pub struct ErrorGroups(HashMap<u32, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    fingerprint: Fingerprint,
    at: Millis,
    /// When the run last changed.
    tick: u64,
}

/// Some errors that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorGroup {
    /// What they have in common.
    pub fingerprint: Fingerprint,
    /// How many runs have one.
    pub count: u64,
    /// When the first of those runs was seen.
    pub first_seen: Millis,
    /// When the last one was.
    pub last_seen: Millis,
    /// The first tick at which one of those runs changed last: before it, none of them was as it
    /// is.
    pub first_tick: u64,
    /// The run that was seen last, and of several of them the one that changed last.
    example: u32,
    example_tick: u64,
}

impl Gather for ErrorGroups {
    fn beside(&self) -> Self {
        Self::default()
    }

    fn join(&mut self, parts: Vec<Self>) {
        self.0.extend(parts.into_iter().flat_map(|part| part.0));
    }

    fn put(&mut self, number: u32, run: Option<Listed<'_>>) {
        let seen = run.and_then(|run| {
            Some(Seen {
                fingerprint: run.kept().head.fingerprint?,
                at: seen_at(run.row()),
                tick: run.tick(),
            })
        });
        match seen {
            Some(seen) => {
                self.0.insert(number, seen);
            }
            None if self.0.is_empty() => {}
            None => {
                self.0.remove(&number);
            }
        }
    }
}

/// When a run was seen: its start, else when its file was last written.
fn seen_at(row: Row<'_>) -> Millis {
    let written = row.mtime_ns().div_euclid(1_000_000);
    row.started().unwrap_or(Millis(written))
}

impl ErrorGroups {
    /// All of them: those that most runs have first, then those that were seen last. Costs some
    /// 50 ns a run.
    #[must_use]
    pub fn groups(&self) -> Vec<ErrorGroup> {
        let mut groups: HashMap<Fingerprint, ErrorGroup> = HashMap::new();
        for (&number, seen) in &self.0 {
            let fresh = ErrorGroup {
                fingerprint: seen.fingerprint,
                count: 0,
                first_seen: seen.at,
                last_seen: seen.at,
                first_tick: seen.tick,
                example: number,
                example_tick: seen.tick,
            };
            let group = groups.entry(seen.fingerprint).or_insert(fresh);
            group.count += 1;
            group.first_seen = group.first_seen.min(seen.at);
            group.first_tick = group.first_tick.min(seen.tick);
            if (seen.at, seen.tick) > (group.last_seen, group.example_tick) {
                group.last_seen = seen.at;
                (group.example, group.example_tick) = (number, seen.tick);
            }
        }
        let mut groups: Vec<ErrorGroup> = groups.into_values().collect();
        groups.sort_unstable_by_key(|group| {
            (
                Reverse(group.count),
                Reverse(group.last_seen),
                group.fingerprint,
            )
        });
        groups
    }
}

impl Index {
    /// The run that is the example of `group`; `None` if it is not any more what it was then.
    #[must_use]
    pub fn example(&self, group: &ErrorGroup) -> Option<SummaryRef<'_>> {
        let row = self.rows.get(group.example)?;
        (row.tick() == group.example_tick).then(|| self.summary(group.example))?
    }
}
