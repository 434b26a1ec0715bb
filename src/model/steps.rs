//! What the steps of a run say of the nodes that they ran at.
//!
//! Read once, with the record, and kept as bytes: a step takes some four to twelve of them, however
//! long its input and output are. What is kept of one run is bounded, whatever its record holds:
//! the first steps count, and that there were more is noted.

use super::{Milliseconds, Money, Tokens};

/// A step at a node with a longer name is not kept.
pub const NODE_BYTES_MAX: usize = 250;
/// How many different nodes of one run are kept.
pub const NODES_MAX: usize = 256;
/// How many bytes are kept of one run, the names of its nodes included.
pub const STEPS_BYTES_MAX: usize = 16 * 1024;

/// One execution of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Whether its status is `failed`.
    pub failed: bool,
    /// How long it took.
    pub duration: Option<Milliseconds>,
    /// Tokens used.
    pub tokens: Tokens,
    /// What it cost.
    pub cost: Option<Money>,
}

/// Which node a step ran at, among those of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node<'a> {
    /// One that no step before it ran at; they are numbered in the order in which they come.
    New(&'a str),
    /// The one with this number.
    Again(u32),
}

/// The steps of a run that name a node, in their order, packed. A node's number comes first, behind
/// the first mention of it its name, and then what [`Step::pack`] makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    packed: Vec<u8>,
    truncated: bool,
    lacks_nodes: bool,
}

impl Steps {
    /// Whether there were steps that are not kept.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Whether any of those ran at a node, or failed at one, that none does which is kept.
    #[must_use]
    pub fn lacks_nodes(&self) -> bool {
        self.lacks_nodes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Every step with its node, the step being packed.
    pub fn packed(&self) -> impl Iterator<Item = (Node<'_>, &[u8])> {
        let mut rest = self.packed.as_slice();
        let mut nodes = 0;
        std::iter::from_fn(move || {
            let number = take_number(&mut rest)?;
            let node = if number == nodes {
                nodes += 1;
                let length = usize::try_from(take_number(&mut rest)?).ok()?;
                let (name, after) = rest.split_at_checked(length)?;
                rest = after;
                Node::New(std::str::from_utf8(name).ok()?)
            } else {
                Node::Again(u32::try_from(number).ok()?)
            };
            Some((node, Step::take_packed(&mut rest)?))
        })
    }
}

/// Steps on their way from a record.
#[derive(Debug)]
pub struct Taking {
    steps: Steps,
    /// Where the name of each node is among the packed steps, and how long.
    names: [(u16, u8); NODES_MAX],
    nodes: usize,
    /// At which of them a step has failed.
    failed: [bool; NODES_MAX],
    /// Nothing more is kept.
    full: bool,
}

// what says where a name is must reach everywhere
const _: () = assert!(STEPS_BYTES_MAX <= u16::MAX as usize && NODE_BYTES_MAX <= u8::MAX as usize);

impl Default for Taking {
    fn default() -> Self {
        Self {
            steps: Steps::default(),
            names: [(0, 0); NODES_MAX],
            nodes: 0,
            failed: [false; NODES_MAX],
            full: false,
        }
    }
}

impl Taking {
    /// Whether what comes makes no difference.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full && self.steps.lacks_nodes
    }

    /// Notes that there is a step that cannot be kept, nor can its node.
    pub fn leave_out(&mut self) {
        (self.steps.truncated, self.steps.lacks_nodes) = (true, true);
    }

    /// Takes the next step, if there is room; if not, it is the end.
    pub fn take(&mut self, node: &str, step: &Step) {
        if node.len() > NODE_BYTES_MAX {
            return self.leave_out();
        }
        let packed = &self.steps.packed;
        let named = |&(at, length): &(u16, u8)| {
            usize::from(length) == node.len()
                && packed.get(usize::from(at)..usize::from(at) + node.len())
                    == Some(node.as_bytes())
        };
        let known = self.names.iter().take(self.nodes).position(named);
        let new = if known.is_none() { node.len() } else { 0 };
        if self.full
            || packed.len() + new + STEP_BYTES_MAX > STEPS_BYTES_MAX
            || (known.is_none() && self.nodes == NODES_MAX)
        {
            self.full = true;
            let failed = known.is_some_and(|at| self.failed.get(at) == Some(&true));
            self.steps.lacks_nodes |= known.is_none() || (step.failed && !failed);
            self.steps.truncated = true;
            return;
        }
        let at = known.unwrap_or(self.nodes);
        if let Some(failed) = self.failed.get_mut(at) {
            *failed |= step.failed;
        }
        let packed = &mut self.steps.packed;
        put_number(at as u64, packed);
        if known.is_none() {
            put_number(node.len() as u64, packed);
            #[allow(clippy::cast_possible_truncation)] // asserted above
            let place = (packed.len() as u16, node.len() as u8);
            if let Some(slot) = self.names.get_mut(self.nodes) {
                *slot = place;
            }
            self.nodes += 1;
            packed.extend_from_slice(node.as_bytes());
        }
        step.pack(packed);
    }

    /// Keeps nothing more, as if there were no room.
    #[cfg(test)]
    pub(crate) fn end(&mut self) {
        self.full = true;
    }

    /// What was taken.
    #[must_use]
    pub fn steps(self) -> Steps {
        self.steps
    }
}

const FAILED: u8 = 1;
const DURATION: u8 = 2;
/// The duration is in millionths of a millisecond, not in whole ones.
const FRACTION: u8 = 4;
const NEGATIVE: u8 = 8;
const INPUT: u8 = 16;
const OUTPUT: u8 = 32;
const TOTAL: u8 = 64;
const COST: u8 = 128;

/// How many of a duration's units are one millisecond, of which nearly every one is a multiple.
const UNIT: u64 = Milliseconds::UNIT.unsigned_abs();

/// A number takes at most so many bytes.
const NUMBER_BYTES_MAX: usize = 10;
/// A step has at most so many, its node and the length of that's name included.
const STEP_BYTES_MAX: usize = 1 + 7 * NUMBER_BYTES_MAX;

impl Step {
    /// Appends it: a byte that says what there is, then that.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let at = out.len();
        let mut head = if self.failed { FAILED } else { 0 };
        out.push(0);
        if let Some(took) = self.duration {
            let size = took.0.unsigned_abs();
            head |= DURATION;
            if took.0 < 0 {
                head |= NEGATIVE;
            }
            if size.is_multiple_of(UNIT) {
                put_number(size / UNIT, out);
            } else {
                head |= FRACTION;
                put_number(size, out);
            }
        }
        let Tokens {
            input,
            output,
            total,
        } = self.tokens;
        // nearly always zero
        let total = total.map(|total| total.wrapping_sub(sum(input, output)));
        let cost = self.cost.map(Money::nanos);
        for (flag, value) in [
            (INPUT, input),
            (OUTPUT, output),
            (TOTAL, total),
            (COST, cost),
        ] {
            if let Some(value) = value {
                head |= flag;
                put_number(zigzag(value), out);
            }
        }
        if let Some(slot) = out.get_mut(at) {
            *slot = head;
        }
    }

    /// What [`Step::pack`] appended, from the front of `bytes`.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let head = take_byte(bytes)?;
        let has = |flag| head & flag != 0;
        let mut step = Self {
            failed: has(FAILED),
            ..Self::default()
        };
        if has(DURATION) {
            let size = take_number(bytes)?;
            let size = if has(FRACTION) {
                size
            } else {
                size.wrapping_mul(UNIT)
            };
            let size = size.cast_signed();
            let took = if has(NEGATIVE) {
                size.wrapping_neg()
            } else {
                size
            };
            step.duration = Some(Milliseconds(took));
        }
        let mut next = |flag| -> Option<Option<i64>> {
            if has(flag) {
                return Some(Some(unzigzag(take_number(bytes)?)));
            }
            Some(None)
        };
        let (input, output) = (next(INPUT)?, next(OUTPUT)?);
        let total = next(TOTAL)?.map(|more| sum(input, output).wrapping_add(more));
        step.tokens = Tokens {
            input,
            output,
            total,
        };
        step.cost = next(COST)?.and_then(Money::from_nanos);
        Some(step)
    }

    /// Whether the step failed that these bytes are.
    pub fn has_failed(packed: &[u8]) -> bool {
        packed.first().is_some_and(|head| head & FAILED != 0)
    }

    /// Takes a step, as the bytes that it is.
    pub fn take_packed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let begin = *bytes;
        let head = take_byte(bytes)?;
        for _ in 0..(head & (DURATION | INPUT | OUTPUT | TOTAL | COST)).count_ones() {
            take_number(bytes)?;
        }
        begin.get(..begin.len() - bytes.len())
    }
}

fn sum(input: Option<i64>, output: Option<i64>) -> i64 {
    input.unwrap_or(0).wrapping_add(output.unwrap_or(0))
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

/// Appends `number` in as few bytes as it has sevens of bits, the least first; all but the last
/// have their highest bit set.
pub fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 128 {
        #[allow(clippy::cast_possible_truncation)] // the low bits are meant
        out.push(number as u8 | 128);
        number >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)] // it is below 128
    out.push(number as u8);
}

/// What [`put_number`] appended, from the front of `bytes`.
#[inline]
pub fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

/// Numbers near zero become small ones, whatever their sign.
fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As likely small as large; never the one that stands for "unknown".
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(number, shift)| (number >> shift).max(i64::MIN + 1))
    }

    /// Any step.
    pub fn steps() -> impl Strategy<Value = Step> {
        let some = || prop::option::of(number());
        let duration = prop_oneof![
            some(),
            prop::option::of((0..1_000_000i64).prop_map(|ms| ms * 1_000_000))
        ];
        (any::<bool>(), duration, some(), some(), some(), some()).prop_map(
            |(failed, duration, input, output, total, cost)| Step {
                failed,
                duration: duration.map(Milliseconds),
                tokens: Tokens {
                    input,
                    output,
                    total,
                },
                cost: cost.and_then(Money::from_nanos),
            },
        )
    }

    /// The steps with the names of their nodes.
    pub fn named(steps: &Steps) -> Vec<(String, Step)> {
        let mut names: Vec<String> = Vec::new();
        let named = steps.packed().map(|(node, mut packed)| {
            let name = match node {
                Node::New(name) => {
                    names.push(name.to_owned());
                    name.to_owned()
                }
                Node::Again(number) => names[number as usize].clone(),
            };
            (name, Step::take(&mut packed).unwrap())
        });
        named.collect()
    }

    proptest! {
        #[test]
        fn steps_come_out_as_they_went_in(
            all in prop::collection::vec(("[a-d]{0,2}|é{120}", steps()), 0..60)
        ) {
            let mut taking = Taking::default();
            for (node, step) in &all {
                taking.take(node, step);
            }
            let kept = taking.steps();
            prop_assert!(!kept.truncated());
            prop_assert_eq!(named(&kept), all);
        }

        #[test]
        fn a_step_knows_its_length(step in steps(), after in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = Vec::new();
            step.pack(&mut bytes);
            let length = bytes.len();
            bytes.extend(&after);
            let mut rest = &bytes[..];
            prop_assert_eq!(Step::take(&mut rest), Some(step));
            prop_assert_eq!(rest, &after[..]);
            let mut rest = &bytes[..];
            prop_assert_eq!(Step::take_packed(&mut rest), Some(&bytes[..length]));
            prop_assert_eq!(rest, &after[..]);
            // what is cut off is no step
            prop_assert_eq!(Step::take(&mut &bytes[..length - 1]), None);
        }

        #[test]
        fn a_number_is_taken_as_it_was_put(number in any::<u64>(), shift in 0..64) {
            let mut bytes = Vec::new();
            put_number(number >> shift, &mut bytes);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_number(&mut rest), Some(number >> shift));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_are_read_beyond_their_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut rest = &bytes[..];
            if Step::take(&mut rest).is_some() {
                let length = bytes.len() - rest.len();
                prop_assert_eq!(Step::take_packed(&mut &bytes[..]), bytes.get(..length));
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let large = Step {
            failed: true,
            duration: Some(Milliseconds(i64::MAX)),
            tokens: Tokens {
                input: Some(i64::MAX),
                output: Some(-i64::MAX),
                total: Some(i64::MAX),
            },
            cost: Money::from_nanos(-9_000_000_000_000_000_000),
        };
        let many_nodes = |taking: &mut Taking, at: usize| taking.take(&at.to_string(), &large);
        let long_names = |taking: &mut Taking, at: usize| {
            taking.take(&format!("{at:0>250}"), &Step::default());
        };
        let many_steps = |taking: &mut Taking, _: usize| taking.take("a", &Step::default());
        for (take, at_least, lacks_nodes) in [
            (&many_nodes as &dyn Fn(&mut Taking, usize), 200, true),
            (&long_names, 60, true),
            (&many_steps, 8000, false),
        ] {
            let mut taking = Taking::default();
            for at in 0..20_000 {
                take(&mut taking, at);
            }
            assert_eq!(taking.is_full(), lacks_nodes);
            let steps = taking.steps();
            assert_eq!(steps.lacks_nodes(), lacks_nodes);
            assert!(steps.truncated() && steps.packed.len() <= STEPS_BYTES_MAX);
            let count = steps.packed().count();
            assert!((at_least..9000).contains(&count), "{count}");
        }
        // that a node failed is kept of the first time, and is lacking where that is not kept
        let mut taking = Taking::default();
        taking.take("a", &large);
        for _ in 0..20_000 {
            many_steps(&mut taking, 0);
        }
        taking.take("a", &large);
        assert!(!taking.steps.lacks_nodes());
        taking.take("b", &Step::default());
        assert!(taking.is_full());
        // one with too long a name is left out, and what comes after it counts
        let mut taking = Taking::default();
        taking.take(&"n".repeat(1_000_000), &large);
        taking.take("a", &large);
        assert!(!taking.is_full());
        let steps = taking.steps();
        assert!(steps.truncated());
        assert_eq!(named(&steps), [("a".to_owned(), large)]);
    }
}
