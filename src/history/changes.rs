//! What changed after a clock, for those who are told and those who ask.

use std::sync::Arc;
use std::time::Instant;

use super::History;
use super::pace::Pace;
use crate::index::{Change, Changed, Clock, Cursor, Query};

/// How many rows are looked at under one lock for older changes.
const PART: u32 = if cfg!(test) { 2 } else { 4096 };

impl History {
    /// Whether the next changes for a reader are to be looked up first, which takes its time.
    pub fn lacks_older(&self, cursor: &Cursor) -> bool {
        self.index(|index| index.lacks_older(cursor))
    }

    /// The next changes for a reader; `None` if it has missed some and must start over. Also
    /// gives the index's state then. Blocks where [`History::lacks_older`].
    pub fn changes_after(
        &self,
        cursor: &mut Cursor,
        query: &Query,
        limit: usize,
        visit: usize,
    ) -> (Option<Vec<Change>>, Clock) {
        if self.lacks_older(cursor) {
            self.look_back(cursor);
        }
        self.index(|index| {
            let found = index
                .follows(cursor)
                .then(|| index.changes_after(cursor, query, limit, visit));
            (found, index.clock())
        })
    }

    /// Gives a reader older changes: those that another one had, who was as far, or those that a
    /// look at all rows finds. Who comes meanwhile waits, being likely to want the same.
    fn look_back(&self, cursor: &mut Cursor) {
        let mut held = self.older.lock();
        if held.as_ref().is_some_and(|older| cursor.give(older)) {
            return;
        }
        let mut look = self.index(|index| index.look_back(cursor));
        let mut pace = Pace::new();
        while self.index(|index| index.look_back_some(&mut look, PART)) {
            pace.keep();
        }
        let older = Arc::new(look.finish());
        cursor.give(&older);
        *held = Some(older);
    }

    /// The changes, of which undecided ones become what they are by their runs' records as they are
    /// now; those are left out that a later one tells. Blocks.
    pub fn decided(&self, changes: Vec<Change>, query: &Query) -> Vec<Change> {
        let mut pace = Pace::fine_from(Instant::now());
        let decide = |Change { clock, what }| {
            let what = match what {
                Changed::Undecided(one) => {
                    pace.keep();
                    let record = self.ask_record(one.key(), &query.bound, &|| true);
                    self.index(|index| index.decide_change(one, query, &record))?
                }
                decided => decided,
            };
            Some(Change { clock, what })
        };
        changes.into_iter().filter_map(decide).collect()
    }
}
