//! Clocks: which state of the index somebody has seen.
//!
//! Section 5 of the protocol. A clock is opaque to clients; here it is an instance of the daemon
//! and a tick of its index. Only what the index can prove is honoured, all else is a `resync`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// One life of one index; a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(pub u64);

impl Instance {
    /// An instance that nobody had before.
    #[must_use]
    pub fn random() -> Self {
        // RandomState is seeded by the operating system; time and process tell apart what was
        // forked from one seed
        let now = std::time::SystemTime::now();
        Self(RandomState::new().hash_one((now, std::process::id())))
    }
}

/// A state of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clock {
    /// Whose ticks these are.
    pub instance: Instance,
    /// The last change that is part of the state.
    pub tick: u64,
}

impl Clock {
    /// Reads what [`Display`](fmt::Display) prints; anything else is no clock.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (instance, tick) = text.strip_prefix("c:")?.split_once(':')?;
        let digits = |text: &str, radix: u32| text.chars().all(|c| c.is_digit(radix));
        if instance.len() != 16 || !digits(instance, 16) || !digits(tick, 10) {
            return None;
        }
        Some(Self {
            instance: Instance(u64::from_str_radix(instance, 16).ok()?),
            tick: tick.parse().ok()?,
        })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c:{:016x}:{}", self.instance.0, self.tick)
    }
}

/// How many earlier instances are remembered.
const LINEAGE_MAX: usize = 1_000;

/// Earlier instances whose states this index goes on from, each with the last tick up to which
/// that is so. A clock of theirs is as good as one of this instance's.
#[derive(Debug, Clone, Default)]
pub(super) struct Lineage(Vec<(Instance, u64)>);

impl Lineage {
    /// The lineage of an index that goes on from `parent`, whose own is `pairs`.
    pub(super) fn of(mut pairs: Vec<(Instance, u64)>, parent: (Instance, u64)) -> Self {
        pairs.push(parent);
        let surplus = pairs.len().saturating_sub(LINEAGE_MAX);
        pairs.drain(..surplus);
        Self(pairs)
    }

    pub(super) fn parent(&self) -> Option<Clock> {
        let &(instance, tick) = self.0.last()?;
        Some(Clock { instance, tick })
    }

    /// Puts `siblings` before the parent, each up to its tick: whatever changed while the snapshot was
    /// written, they may have gone on from another one that began with the same state.
    pub(super) fn add_siblings(&mut self, siblings: &[Instance]) {
        let Some(Clock { tick, .. }) = self.parent() else {
            return;
        };
        let siblings = siblings.iter().map(|sibling| (*sibling, tick));
        let at = self.0.len().saturating_sub(1);
        self.0.splice(at..at, siblings);
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (Instance, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether `clock` is of a state that this index goes on from.
    pub(super) fn holds(&self, clock: Clock) -> bool {
        self.0
            .iter()
            .any(|&(instance, upto)| instance == clock.instance && clock.tick <= upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reads_back_as_printed_and_nothing_else_does() {
        let clock = Clock {
            instance: Instance(255),
            tick: 7,
        };
        assert_eq!(Clock::parse(&clock.to_string()), Some(clock));
        for text in [
            "",
            "c:",
            "c:ff:1",
            "c:00000000000000ff:-1",
            "c:00000000000000ff:+1",
            "7",
        ] {
            assert_eq!(Clock::parse(text), None, "{text}");
        }
    }
}
