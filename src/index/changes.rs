//! What changed after a tick, told from the index itself and queued for nobody.
//!
//! Section 5 of the protocol. Every change has a tick. A ring remembers, for the last
//! [`RING`] ticks, which row each was about; a row knows its own last tick, so an entry that a
//! later change superseded is recognised and skipped. Older ticks are found by looking at all
//! rows. What went is kept as a tombstone for as long as the ring reaches and, beyond it, while
//! there are not too many of them; a reader who comes from before the oldest lost tombstone is
//! told to start over.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::row::Rows;
use crate::model::RunKey;

/// How many ticks the ring holds.
pub const RING: usize = 262_144;
/// How many tombstones older than the ring are always kept.
const TOMBSTONES: usize = 10_000;
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
        while self.old_gone > self.tombstones_max.max(runs / 10) {
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

/// A reader's place in the sequence of changes. Its memory is bounded: a tick, and for a reader
/// from before the ring a slice of at most `SLICE` older ticks.
#[derive(Debug)]
pub struct Cursor {
    tick: u64,
    /// Ticks before the ring and what they are about, latest first, so that the next is popped.
    older: Vec<(u64, u32)>,
    /// `older` holds everything up to this tick.
    older_upto: u64,
}

/// How many older changes a reader from before the ring looks up at a time.
const SLICE: usize = 16_384;

impl Cursor {
    /// Begins after `tick`.
    #[must_use]
    pub fn after(tick: u64) -> Self {
        Self {
            tick,
            older: Vec::new(),
            older_upto: tick,
        }
    }

    /// Everything up to this tick has been handed out.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The next change, superseded ones skipped; `None` when there is none or `visit` steps were
    /// taken without finding one (then `tick` has moved on all the same).
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
            let start = changes.ring_start();
            if self.tick >= start && self.older.is_empty() {
                let position = usize::try_from(self.tick - start).ok()?;
                let about = *changes.ring.get(position)?;
                self.tick += 1;
                if let Some(entry) = entry(self.tick, about, changes, rows) {
                    return Some((self.tick, entry));
                }
                continue;
            }
            if self.older.is_empty() {
                if self.older_upto <= self.tick {
                    self.look_back(changes, rows, start);
                }
                if self.older.is_empty() {
                    self.tick = self.tick.max(self.older_upto);
                    continue;
                }
            }
            if let Some((tick, about)) = self.older.pop() {
                self.tick = if self.older.is_empty() {
                    self.older_upto
                } else {
                    tick
                };
                if let Some(entry) = entry(tick, about, changes, rows) {
                    return Some((tick, entry));
                }
            }
        }
    }

    /// Collects the oldest [`SLICE`] changes after `self.tick` and not after `start`.
    fn look_back(&mut self, changes: &Changes, rows: &Rows, start: u64) {
        let mut found = std::collections::BinaryHeap::with_capacity(SLICE + 1);
        let offer = |found: &mut std::collections::BinaryHeap<(u64, u32)>, tick: u64, row: u32| {
            if tick > self.tick && tick <= start {
                if found.len() < SLICE {
                    found.push((tick, row));
                } else if found.peek().is_some_and(|&(newest, _)| tick < newest) {
                    found.pop();
                    found.push((tick, row));
                }
            }
        };
        for (number, row) in rows.iter() {
            offer(&mut found, row.tick(), number);
        }
        for (&tick, _) in changes.gone.range(self.tick + 1..=start) {
            offer(&mut found, tick, GONE);
        }
        let full = found.len() == SLICE;
        let sorted = found.into_sorted_vec();
        self.older_upto = match sorted.last() {
            Some(&(newest, _)) if full => newest,
            _ => start,
        };
        self.older = sorted;
        self.older.reverse();
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
