//! What changed after a tick, told from the index itself and queued for nobody.
//!
//! Section 5 of the protocol. Every change has a tick. A ring remembers, for the last
//! [`RING`] ticks, which row each was about; a row knows its own last tick, so an entry that a
//! later change superseded is recognised and skipped. Older ticks are found by looking at all
//! rows, some at a time, so that no lock is held long. What went is kept as a tombstone for as long as the ring reaches and, beyond it, while
//! there are not too many of them; a reader who comes from before the oldest lost tombstone is
//! told to start over.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::row::Rows;
use crate::model::RunKey;

/// How many ticks the ring holds.
pub const RING: usize = 262_144;
/// How many tombstones older than the ring are always kept.
const TOMBSTONES: usize = 10_000;
/// How many surplus ones go with a tick: nobody waits for all of them.
const DROPPED_MAX: usize = 64;
/// A ring entry that is about a tombstone.
const GONE: u32 = u32::MAX;

/// The memory of changes.
#[derive(Debug)]
pub struct Changes {
    /// The last tick given out.
    now: u64,
    /// What the last ticks were about; the back is `now`.
    ring: VecDeque<u32>,
    ring_max: usize,
    tombstones_max: usize,
    gone: BTreeMap<u64, RunKey>,
    gone_at: HashMap<RunKey, u64>,
    /// How many of `gone` are older than the ring.
    old_gone: usize,
    /// Deletions up to this tick may be forgotten.
    floor: u64,
}

impl Changes {
    /// A memory that begins after tick `now`.
    pub(super) fn new(now: u64) -> Self {
        Self::with_limits(now, RING, TOMBSTONES)
    }

    pub(super) fn with_limits(now: u64, ring_max: usize, tombstones_max: usize) -> Self {
        Self {
            now,
            ring: VecDeque::new(),
            ring_max,
            tombstones_max,
            gone: BTreeMap::new(),
            gone_at: HashMap::new(),
            old_gone: 0,
            floor: now,
        }
    }

    /// The last tick given out.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// A memory restored: `gone` may hold anything, `now` and `floor` are as they were.
    pub(super) fn restored(now: u64, floor: u64, gone: Vec<(u64, RunKey)>) -> Option<Self> {
        let mut changes = Self::new(now);
        changes.floor = floor;
        for (tick, key) in gone {
            if tick > now {
                return None;
            }
            // what came and went while the snapshot was written is there twice
            if let Some(before) = changes.gone_at.insert(key.clone(), tick) {
                changes.gone.remove(&before);
            }
            changes.gone.insert(tick, key);
        }
        changes.old_gone = changes.gone.len();
        (floor <= now).then_some(changes)
    }

    /// Deletions up to this tick may be forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The remembered deletions after `tick`, in their order.
    pub(super) fn gone_after(&self, tick: u64) -> impl Iterator<Item = (u64, &RunKey)> {
        self.gone.range(tick + 1..).map(|(&tick, key)| (tick, key))
    }

    /// The tick before the ring's first.
    fn ring_start(&self) -> u64 {
        self.now - self.ring.len() as u64
    }

    /// How many deletions are remembered.
    pub fn tombstones(&self) -> usize {
        self.gone.len()
    }

    fn tick(&mut self, about: u32, runs: usize) -> u64 {
        self.now += 1;
        if self.ring.len() == self.ring_max {
            self.ring.pop_front();
            if self.gone.contains_key(&(self.now - self.ring_max as u64)) {
                self.old_gone += 1;
            }
        }
        self.ring.push_back(about);
        // after a start all that were kept count as old
        for _ in 0..DROPPED_MAX {
            if self.old_gone <= self.tombstones_max.max(runs / 10) {
                break;
            }
            self.old_gone -= 1;
            if let Some((tick, key)) = self.gone.pop_first() {
                self.gone_at.remove(&key);
                self.floor = tick;
            }
        }
        self.now
    }

    /// The tick of a change of the row numbered `number`, which is a run known as `key`; `runs`
    /// is how many there are.
    pub(super) fn saved(&mut self, number: u32, key: &RunKey, runs: usize) -> u64 {
        if let Some(tick) = self.gone_at.remove(key)
            && self.gone.remove(&tick).is_some()
            && tick <= self.ring_start()
        {
            self.old_gone -= 1;
        }
        self.tick(number, runs)
    }

    /// The tick of the removal of `key`; `runs` is how many are left.
    pub(super) fn removed(&mut self, key: RunKey, runs: usize) -> u64 {
        let tick = self.tick(GONE, runs);
        self.gone_at.insert(key.clone(), tick);
        self.gone.insert(tick, key);
        tick
    }

    /// Whether everything after `tick` can be told.
    pub fn honours(&self, tick: u64) -> bool {
        self.floor <= tick && tick <= self.now
    }
}

/// One remembered change: a row's, or a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Row(u32),
    Gone(RunKey),
}

/// How many older changes are looked up at a time.
const SLICE: usize = if cfg!(test) { 4 } else { 16_384 };

/// All changes in a stretch of ticks from before the ring that none has superseded.
#[derive(Debug)]
pub struct Older {
    after: u64,
    upto: u64,
    /// Their ticks and what they are about, in order.
    entries: Vec<(u64, u32)>,
}

/// A look at all rows for the changes that a reader from before the ring is told next.
///
/// What changes meanwhile gets a tick that is later than those that are looked for.
#[derive(Debug)]
pub struct LookBack {
    found: Older,
    /// The next row to look at.
    next: u32,
}

impl LookBack {
    /// For a reader who was told everything up to `after`.
    pub(super) fn new(after: u64, changes: &Changes) -> Self {
        let upto = changes.ring_start();
        // one more tells that there are more
        let gone = changes.gone.range(after + 1..=upto).take(SLICE + 1);
        let found = Older {
            after,
            upto,
            entries: gone.map(|(&tick, _)| (tick, GONE)).collect(),
        };
        Self { found, next: 0 }
    }

    /// Looks at so many rows more; false when all have been looked at.
    pub(super) fn look(&mut self, rows: &Rows, count: u32) -> bool {
        let end = u32::try_from(rows.end()).unwrap_or(u32::MAX);
        let upto = self.next.saturating_add(count).min(end);
        for number in self.next..upto {
            let tick = rows.get(number).map_or(0, |row| row.tick());
            if self.found.after < tick && tick <= self.found.upto {
                self.found.entries.push((tick, number));
                if self.found.entries.len() >= 2 * SLICE {
                    self.keep_first();
                }
            }
        }
        self.next = upto;
        upto < end
    }

    /// Leaves the earliest [`SLICE`] of what was found.
    fn keep_first(&mut self) {
        let Older { entries, upto, .. } = &mut self.found;
        if entries.len() > SLICE {
            let (_, &mut (tick, _), _) = entries.select_nth_unstable(SLICE - 1);
            entries.truncate(SLICE);
            *upto = tick;
        }
    }

    /// What was found, all rows having been looked at.
    #[must_use]
    pub fn finish(mut self) -> Older {
        self.keep_first();
        self.found.entries.sort_unstable();
        self.found
    }
}

/// A reader's place in the sequence of changes: a tick, and for one from before the ring some of
/// the older changes, which readers share.
#[derive(Debug)]
pub struct Cursor {
    tick: u64,
    /// Older changes, and which of them is next.
    older: Option<(Arc<Older>, usize)>,
}

impl Cursor {
    /// Begins after `tick`.
    #[must_use]
    pub fn after(tick: u64) -> Self {
        Self { tick, older: None }
    }

    /// Everything up to this tick has been handed out.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether it is from before the ring and has been given nothing to go on with.
    pub(super) fn lacks_older(&self, changes: &Changes) -> bool {
        self.older.is_none() && self.tick < changes.ring_start()
    }

    /// Goes on with these; false if its place is not among them.
    pub fn give(&mut self, older: &Arc<Older>) -> bool {
        let among = older.after <= self.tick && self.tick < older.upto;
        if among {
            let entries = &older.entries;
            let at = entries.partition_point(|(tick, _)| *tick <= self.tick);
            self.older = Some((Arc::clone(older), at));
        }
        among
    }

    /// The next change, superseded ones skipped; `None` when there is none, or `visit` steps were
    /// taken without finding one (then `tick` has moved on all the same), or it lacks older ones.
    pub(super) fn next(
        &mut self,
        changes: &Changes,
        rows: &Rows,
        visit: &mut usize,
    ) -> Option<(u64, Entry)> {
        loop {
            if self.tick >= changes.now || *visit == 0 {
                return None;
            }
            *visit -= 1;
            let about = if let Some((older, at)) = &mut self.older {
                let about = older.entries.get(*at).copied();
                *at += 1;
                self.tick = match about {
                    Some((tick, _)) if *at < older.entries.len() => tick,
                    _ => older.upto,
                };
                if self.tick == older.upto {
                    self.older = None;
                }
                about
            } else {
                // before the ring's first, if it lacks older ones
                let position = self.tick.checked_sub(changes.ring_start())?;
                let about = *changes.ring.get(usize::try_from(position).ok()?)?;
                self.tick += 1;
                Some((self.tick, about))
            };
            let Some((tick, about)) = about else { continue };
            if let Some(entry) = entry(tick, about, changes, rows) {
                return Some((tick, entry));
            }
        }
    }
}

fn entry(tick: u64, about: u32, changes: &Changes, rows: &Rows) -> Option<Entry> {
    if about == GONE {
        return changes.gone.get(&tick).cloned().map(Entry::Gone);
    }
    rows.get(about)
        .filter(|row| row.tick() == tick)
        .map(|_| Entry::Row(about))
}
