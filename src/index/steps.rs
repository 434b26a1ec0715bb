//! What is kept of each run beside its row: its steps, and which errors its own is like.
//!
//! Only questions about nodes and errors ask for it, so it lies apart from what lists need, and its
//! bytes are stated apart. A step names its node by a number; the names are kept once for all runs,
//! for as long as a step has them.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::model::steps::{Node, put_number, take_number};
use crate::model::{Facts, Fingerprint, Step, Steps};

/// The nodes that steps name.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    held: Vec<Held>,
    vacant: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// How many bytes the names have.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    name: Option<Arc<str>>,
    /// How many steps have it.
    steps: u64,
}

impl Nodes {
    /// The number of the node called `name`, for one step more.
    fn take(&mut self, name: &str) -> u32 {
        let Self {
            held,
            vacant,
            by_name,
            hasher,
            bytes,
        } = self;
        let named = |number: u32| {
            held.get(number as usize)
                .and_then(|held| held.name.as_deref())
        };
        let hash = hasher.hash_one(name);
        if let Some(&number) = by_name.find(hash, |&number| named(number) == Some(name)) {
            self.take_again(number);
            return number;
        }
        let number = vacant
            .pop()
            .unwrap_or_else(|| u32::try_from(held.len()).unwrap_or(u32::MAX));
        by_name.insert_unique(hash, number, |&number| {
            hasher.hash_one(named(number).unwrap_or_default())
        });
        let fresh = Held {
            name: Some(name.into()),
            steps: 1,
        };
        match held.get_mut(number as usize) {
            Some(slot) => *slot = fresh,
            None => held.push(fresh),
        }
        *bytes += name.len();
        number
    }

    /// The same for a node that a step has already.
    fn take_again(&mut self, number: u32) {
        if let Some(held) = self.held.get_mut(number as usize) {
            held.steps += 1;
        }
    }

    /// One step less has the node.
    fn release(&mut self, number: u32) {
        let Some(held) = self.held.get_mut(number as usize) else {
            return;
        };
        held.steps = held.steps.saturating_sub(1);
        if held.steps > 0 {
            return;
        }
        if let Some(name) = held.name.take() {
            let hash = self.hasher.hash_one(&*name);
            if let Ok(entry) = self.by_name.find_entry(hash, |&held| held == number) {
                entry.remove();
            }
            self.bytes -= name.len();
            self.vacant.push(number);
        }
    }

    /// What the node is called.
    pub(super) fn name(&self, number: u32) -> Option<&Arc<str>> {
        self.held.get(number as usize)?.name.as_ref()
    }

    /// Every name by its number. Costs a few nanoseconds each.
    pub(super) fn names(&self) -> Vec<Option<Arc<str>>> {
        self.held.iter().map(|held| held.name.clone()).collect()
    }

    /// Takes in the name of the next node; `None` if it is that of another.
    pub(super) fn restore(&mut self, name: &str) -> Option<()> {
        let next = self.held.len();
        let number = self.take(name) as usize;
        // its steps come with the rows
        self.held.get_mut(number)?.steps = 0;
        (number == next).then_some(())
    }

    /// Takes in that so many steps more have the node; `None` if there is no such node.
    pub(super) fn restore_steps(&mut self, number: u32, steps: u32) -> Option<()> {
        let held = self.held.get_mut(number as usize)?;
        held.steps = held.steps.saturating_add(steps.into());
        Some(())
    }

    /// Notes that the steps of `kept` are gone.
    pub(super) fn forget(&mut self, kept: Kept<'_>) {
        for (number, _) in kept.steps() {
            self.release(number);
        }
    }

    /// How many bytes are held.
    fn held_bytes(&self) -> usize {
        // an Arc has two counts before its text, and the table a byte beside each number
        self.bytes
            + self.by_name.len() * 16
            + self.held.capacity() * size_of::<Held>()
            + self.by_name.capacity() * (size_of::<u32>() + 1)
    }

    /// How many steps have each node.
    #[cfg(test)]
    pub(super) fn counts(&self) -> std::collections::BTreeMap<String, u64> {
        assert_eq!(self.by_name.len() + self.vacant.len(), self.held.len());
        let named = self
            .held
            .iter()
            .filter_map(|held| Some((held.name.as_ref()?.to_string(), held.steps)));
        named.collect()
    }
}

/// What is to be kept of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'a> {
    head: Head,
    steps: &'a Steps,
}

/// What is kept of a run beside its steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Which errors its own is like.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Whether there were steps that are not kept, …
    pub(super) truncated: bool,
    /// … and nodes among theirs that are not.
    pub(super) lacks_nodes: bool,
}

/// A number before everything else: the length of the steps, and three flags.
const HAS_FINGERPRINT: u64 = 1;
const TRUNCATED: u64 = 2;
const LACKS_NODES: u64 = 4;
const FLAGS: u32 = 3;

impl Head {
    fn put(self, length: usize, out: &mut Vec<u8>) {
        let mut head = (length as u64) << FLAGS;
        for (flag, is_set) in [
            (HAS_FINGERPRINT, self.fingerprint.is_some()),
            (TRUNCATED, self.truncated),
            (LACKS_NODES, self.lacks_nodes),
        ] {
            head |= if is_set { flag } else { 0 };
        }
        put_number(head, out);
        if let Some(Fingerprint(bits)) = self.fingerprint {
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }

    /// It, and how many bytes of steps follow.
    fn take(bytes: &mut &[u8]) -> Option<(Self, usize)> {
        let head = take_number(bytes)?;
        let mut fingerprint = None;
        if head & HAS_FINGERPRINT != 0 {
            let (bits, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            fingerprint = Some(Fingerprint(u64::from_le_bytes(*bits)));
        }
        let own = Self {
            fingerprint,
            truncated: head & TRUNCATED != 0,
            lacks_nodes: head & LACKS_NODES != 0,
        };
        Some((own, usize::try_from(head >> FLAGS).ok()?))
    }
}

impl<'a> Draft<'a> {
    pub(super) fn of(facts: &'a Facts) -> Self {
        Self {
            head: Head {
                fingerprint: facts.fingerprint,
                truncated: facts.steps.truncated(),
                lacks_nodes: facts.steps.lacks_nodes(),
            },
            steps: &facts.steps,
        }
    }

    /// Makes of it, in `scratch`, what a [`Kept`] is read from; nothing if there is nothing to keep.
    fn pack(&self, nodes: &mut Nodes, scratch: &mut Scratch) {
        let Scratch {
            all,
            steps,
            numbers,
        } = scratch;
        steps.clear();
        numbers.clear();
        for (node, packed) in self.steps.packed() {
            let number = match node {
                Node::New(name) => {
                    let number = nodes.take(name);
                    numbers.push(number);
                    Some(number)
                }
                Node::Again(local) => numbers
                    .get(local as usize)
                    .copied()
                    .inspect(|&number| nodes.take_again(number)),
            };
            if let Some(number) = number {
                put_number(number.into(), steps);
                steps.extend_from_slice(packed);
            }
        }
        if !steps.is_empty() || self.head != Head::default() {
            self.head.put(steps.len(), all);
            all.extend_from_slice(steps);
        }
    }
}

/// Buffers that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    all: Vec<u8>,
    steps: Vec<u8>,
    numbers: Vec<u32>,
}

/// Steps one after the other: the number of a node, and the step packed.
struct Numbered<'a>(&'a [u8]);

impl<'a> Iterator for Numbered<'a> {
    type Item = (u32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let number = u32::try_from(take_number(&mut self.0)?).ok()?;
        Some((number, Step::take_packed(&mut self.0)?))
    }
}

/// What is kept of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept<'a> {
    /// What is beside its steps.
    pub(super) head: Head,
    /// Its steps: the number of each one's node, and the step, packed.
    pub(super) packed: &'a [u8],
}

impl<'a> Kept<'a> {
    /// Its steps: the number of each one's node, and the step, packed.
    pub(super) fn steps(self) -> impl Iterator<Item = (u32, &'a [u8])> {
        Numbered(self.packed)
    }

    /// Appends it as a page of a snapshot has it; how many bytes that are.
    pub(super) fn write(self, local: &mut Local<'_>, out: &mut Vec<u8>) -> usize {
        if self.packed.is_empty() && self.head == Head::default() {
            return 0;
        }
        let before = out.len();
        let mut steps = Vec::with_capacity(self.packed.len() + 8);
        for (number, packed) in self.steps() {
            put_number(local.of(number).into(), &mut steps);
            steps.extend_from_slice(packed);
        }
        self.head.put(steps.len(), out);
        out.extend_from_slice(&steps);
        out.len() - before
    }
}

/// The numbers that nodes have in a snapshot: those of the order in which its rows name them, so that
/// they are the same for whoever reads it.
pub(super) type Numbering = HashMap<Arc<str>, u32>;

/// The nodes that the rows of one page of a snapshot name.
pub(super) struct Local<'a> {
    nodes: &'a Nodes,
    numbering: &'a mut Numbering,
    /// By its number among `nodes`: each one's number in the snapshot, and how many steps name it.
    named: HashMap<u32, (u32, u32)>,
    /// Those that no page before named, in the order of their numbers.
    pub(super) fresh: Vec<Arc<str>>,
    /// How many bytes they have.
    pub(super) bytes: usize,
}

impl<'a> Local<'a> {
    /// None yet of `nodes`.
    pub(super) fn of_page(nodes: &'a Nodes, numbering: &'a mut Numbering) -> Self {
        Self {
            nodes,
            numbering,
            named: HashMap::new(),
            fresh: Vec::new(),
            bytes: 0,
        }
    }

    /// The number in the snapshot of the node numbered `number`, for one step.
    fn of(&mut self, number: u32) -> u32 {
        let Self {
            nodes,
            numbering,
            named,
            fresh,
            bytes,
        } = self;
        let (local, steps) = named.entry(number).or_insert_with(|| {
            let name = nodes.name(number).cloned().unwrap_or_else(|| "".into());
            let next = u32::try_from(numbering.len()).unwrap_or(u32::MAX);
            let local = *numbering.entry(name).or_insert_with_key(|name| {
                fresh.push(Arc::clone(name));
                *bytes += name.len();
                next
            });
            (local, 0)
        });
        *steps += 1;
        *local
    }

    /// Each one's number in the snapshot, and how many steps name it.
    pub(super) fn named(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.named.values().copied()
    }
}

/// What is kept of the runs of one page.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Where that of each row begins; [`NOWHERE`] if there is nothing.
    at: Vec<u32>,
    bytes: Vec<u8>,
    /// How many bytes no row needs any more.
    garbage: usize,
}

const NOWHERE: u32 = u32::MAX;

impl Apart {
    /// What is kept of the row at `at`, and how many bytes that are.
    fn entry(&self, at: usize) -> Option<(Kept<'_>, usize)> {
        let begin = self.at.get(at).filter(|begin| **begin != NOWHERE)?;
        let all = self.bytes.get(*begin as usize..)?;
        let mut rest = all;
        let (head, length) = Head::take(&mut rest)?;
        let kept = Kept {
            head,
            packed: rest.get(..length)?,
        };
        Some((kept, all.len() - rest.len() + length))
    }

    /// What is kept of the rows of a page of a snapshot, which are told of one after the other.
    pub(super) fn restoring(bytes: Vec<u8>) -> Restoring {
        Restoring {
            apart: Self {
                at: Vec::new(),
                bytes,
                garbage: 0,
            },
            begin: 0,
        }
    }

    pub(super) fn get(&self, at: usize) -> Kept<'_> {
        self.entry(at).map(|(kept, _)| kept).unwrap_or_default()
    }

    /// Puts what `draft` says in the place of what was kept of the row at `at`; `None` keeps
    /// nothing.
    pub(super) fn set(
        &mut self,
        at: usize,
        draft: Option<&Draft<'_>>,
        nodes: &mut Nodes,
        scratch: &mut Scratch,
    ) {
        scratch.all.clear();
        // before the old ones go: most nodes stay
        if let Some(draft) = draft {
            draft.pack(nodes, scratch);
        }
        let old = self.entry(at).map_or(0, |(kept, length)| {
            nodes.forget(kept);
            length
        });
        let fresh = &scratch.all;
        if fresh.is_empty() && old == 0 {
            return;
        }
        if self.at.len() <= at {
            self.at.resize(at + 1, NOWHERE);
        }
        let Some(place) = self.at.get_mut(at) else {
            return;
        };
        if old == fresh.len()
            && let Some(slot) = self.bytes.get_mut(*place as usize..*place as usize + old)
        {
            slot.copy_from_slice(fresh);
            return;
        }
        self.garbage += old;
        *place = NOWHERE;
        if !fresh.is_empty() {
            *place = u32::try_from(self.bytes.len()).unwrap_or(NOWHERE);
            let more = fresh.len();
            if self.bytes.capacity() - self.bytes.len() < more {
                self.bytes.reserve_exact(more.max(self.bytes.len() / 8));
            }
            self.bytes.extend_from_slice(fresh);
        }
        self.tidy();
    }

    /// Drops what no row needs, if that is more than a quarter of all.
    fn tidy(&mut self) {
        if self.garbage <= self.bytes.len() / 4 {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        let mut places = Vec::with_capacity(self.at.len());
        for at in 0..self.at.len() {
            places.push(match self.entry(at) {
                Some((_, length)) => {
                    let begin = self.at.get(at).map_or(0, |begin| *begin as usize);
                    let held = self.bytes.get(begin..begin + length).unwrap_or_default();
                    let place = u32::try_from(bytes.len()).unwrap_or(NOWHERE);
                    bytes.extend_from_slice(held);
                    place
                }
                None => NOWHERE,
            });
        }
        *self = Self {
            at: places,
            bytes,
            garbage: 0,
        };
    }

    /// Gives back what is not used: no row comes after those that there are.
    pub(super) fn end(&mut self) {
        self.bytes.shrink_to_fit();
        self.at.shrink_to_fit();
    }

    /// Room for as much as `other` holds.
    pub(super) fn like(other: &Self) -> Self {
        Self {
            at: Vec::with_capacity(other.at.len()),
            bytes: Vec::with_capacity(other.bytes.len()),
            garbage: 0,
        }
    }

    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.at.capacity() * size_of::<u32>()
    }

    /// Panics where there is not what the rows need and little else.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let needed: usize = (0..self.at.len())
            .filter_map(|at| Some(self.entry(at)?.1))
            .sum();
        assert_eq!(self.garbage, self.bytes.len() - needed);
        assert!(self.garbage <= self.bytes.len() / 4);
    }
}

/// An [`Apart`] of which not all rows have been told.
pub(super) struct Restoring {
    apart: Apart,
    begin: usize,
}

impl Restoring {
    /// Takes in that `length` bytes are kept of the next row; whether there are so many. Its steps
    /// are not looked at: whoever asks for them takes whatever they are.
    pub(super) fn restore(&mut self, length: usize) -> bool {
        let Self { apart, begin } = self;
        if length == 0 {
            apart.at.push(NOWHERE);
            return true;
        }
        let at = apart.at.len();
        apart.at.push(u32::try_from(*begin).unwrap_or(NOWHERE));
        *begin += length;
        apart.entry(at).is_some_and(|(_, held)| held == length)
    }

    /// What all rows have; `None` if something is left over.
    pub(super) fn restored(mut self) -> Option<Apart> {
        if self.apart.bytes.is_empty() {
            self.apart.at = Vec::new();
        }
        (self.begin == self.apart.bytes.len()).then_some(self.apart)
    }
}

/// How many bytes all of it takes.
pub(super) fn held_bytes<'a>(pages: impl Iterator<Item = &'a Apart>, nodes: &Nodes) -> usize {
    pages.map(Apart::held_bytes).sum::<usize>() + nodes.held_bytes()
}
