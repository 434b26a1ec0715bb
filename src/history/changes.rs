//! What changed after a clock, for those who are told and those who ask.

use std::sync::Arc;

use super::pace::Pace;
use super::{History, HistoryError};
use crate::index::{Change, Changed, Clock, Cursor, Query, Undecided};

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

    /// The changes, of which undecided ones become what they are by their runs' records; those are left
    /// out that a later one tells. What cannot be read has left, and is told anew when it can be. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Read`] where the system is short of what reading takes.
    pub fn decided(
        &self,
        changes: Vec<Change>,
        query: &Query,
    ) -> Result<Vec<Change>, HistoryError> {
        let mut decided: Vec<Option<Change>> = Vec::with_capacity(changes.len());
        let mut undecided = Vec::new();
        for Change { clock, what } in changes {
            decided.push(match what {
                Changed::Undecided(one) => {
                    undecided.push((decided.len(), clock, one));
                    None
                }
                what => Some(Change { clock, what }),
            });
        }
        let mut unheard = Vec::new();
        let decide = |(at, clock, one): (usize, Clock, Undecided), record: Option<_>| {
            if record.is_none() {
                unheard.push(one.open().1.clone());
            }
            let what = self.index(|index| index.decide_change(one, query, record.as_ref()));
            if let Some(slot) = decided.get_mut(at) {
                *slot = what.map(|what| Change { clock, what });
            }
        };
        self.ask_records(
            undecided,
            |(.., one)| one.open(),
            &query.bound,
            &|| Ok(()),
            decide,
        )?;
        self.look_for_unheard(unheard);
        Ok(decided.into_iter().flatten().collect())
    }
}
