//! The numbers of a run that only its summary or a comparison of stamps asks for, in as few bytes
//! as they have.
//!
//! First the length of each in four bits, then their bytes, the least first. Numbers are kept by
//! what they add to what is known: a run's end is nearly always its start and its duration, a
//! file's inode changed when its content did. What is unknown takes no bytes, nor does zero.

use super::snapshot::Rest;
use crate::model::{Millis, Milliseconds, Stamp, Tokens};

/// How many numbers there are.
const COUNT: usize = 13;
/// How many bytes their lengths take.
const HEAD: usize = COUNT.div_ceil(2);
const MAX: usize = HEAD + COUNT * 8;
/// The lowest bit of each length.
const ONES: u64 = 0x1111_1111_1111_1111;

/// What is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) completed: Option<Millis>,
    pub(super) duration: Option<Milliseconds>,
    pub(super) tokens: Tokens,
    /// In nano-dollars.
    pub(super) cost: Option<i64>,
    pub(super) retries: Option<i64>,
    pub(super) steps: u32,
    pub(super) stamp: Stamp,
}

/// Some numbers, packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    bytes: [u8; MAX],
    len: usize,
}

impl Packed {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The packed numbers of a run that began at `started`.
    pub(super) fn of(numbers: &Numbers, started: Option<Millis>) -> Self {
        let Numbers { tokens, stamp, .. } = numbers;
        let whole = numbers
            .duration
            .map(|took| took.0.div_euclid(Milliseconds::UNIT));
        let part = numbers
            .duration
            .map(|took| took.0.rem_euclid(Milliseconds::UNIT));
        let end = base_of_end(started, whole);
        let total = base_of_total(tokens.input, tokens.output);
        let mut packed = Self {
            bytes: [0; MAX],
            len: HEAD,
        };
        let values = [
            whole.map(zigzag),
            part.map(i64::cast_unsigned),
            numbers.completed.map(|at| zigzag(at.0.wrapping_sub(end))),
            tokens.input.map(zigzag),
            tokens.output.map(zigzag),
            tokens.total.map(|sum| zigzag(sum.wrapping_sub(total))),
            numbers.cost.map(zigzag),
            numbers.retries.map(zigzag),
            Some(numbers.steps.into()),
            Some(stamp.size),
            Some(zigzag(stamp.ctime_ns.wrapping_sub(stamp.mtime_ns))),
            Some(stamp.dev),
            Some(stamp.ino),
        ];
        for (at, value) in values.into_iter().enumerate() {
            packed.put(at, value);
        }
        packed
    }

    fn put(&mut self, at: usize, value: Option<u64>) {
        let Some(value) = value else { return };
        let len = 8 - value.leading_zeros() as usize / 8;
        if let Some(lengths) = self.bytes.get_mut(at / 2) {
            #[allow(clippy::cast_possible_truncation)] // at most 8
            let code = len as u8 + 1;
            *lengths |= code << (at % 2 * 4);
        }
        for byte in value.to_le_bytes().into_iter().take(len) {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
            }
            self.len += 1;
        }
    }
}

/// Takes what [`Packed::bytes`] gave from the front of a snapshot.
pub(super) fn take<'a>(from: &mut Rest<'a>) -> Option<&'a [u8]> {
    let codes = word(from.0, 0, HEAD) & ((1 << (4 * COUNT)) - 1);
    // a code is one more than a length, at most 9: one above 8 has none of the two bits below
    let above = codes >> 3 & (codes >> 2 | codes >> 1) & ONES;
    if above != 0 {
        return None;
    }
    from.take(HEAD + length_of(codes))
}

/// How many bytes the packed numbers have that `bytes` begins with.
pub(super) fn len_of(bytes: &[u8]) -> usize {
    // half a byte is left over
    HEAD + length_of(word(bytes, 0, HEAD) & ((1 << (4 * COUNT)) - 1))
}

/// The numbers that `bytes` begins with, of a run that began at `started` and whose file was
/// modified at `mtime_ns`.
#[inline]
pub(super) fn unpack(bytes: &[u8], started: Option<Millis>, mtime_ns: i64) -> Numbers {
    let mut lengths = word(bytes, 0, HEAD);
    let mut at = HEAD;
    let mut next = || {
        let code = lengths as usize & 15;
        lengths >>= 4;
        let len = code.checked_sub(1)?;
        let value = word(bytes, at, len);
        at += len;
        Some(value)
    };
    let whole = next().map(unzigzag);
    let part = next().map(u64::cast_signed);
    let duration = whole.map(|whole| {
        let millionths = whole.wrapping_mul(Milliseconds::UNIT);
        Milliseconds(millionths.wrapping_add(part.unwrap_or(0)))
    });
    let end = base_of_end(started, whole);
    let completed = next().map(|more| Millis(end.wrapping_add(unzigzag(more))));
    let (input, output) = (next().map(unzigzag), next().map(unzigzag));
    let total = base_of_total(input, output);
    let total = next().map(|more| total.wrapping_add(unzigzag(more)));
    Numbers {
        completed,
        duration,
        tokens: Tokens {
            input,
            output,
            total,
        },
        cost: next().map(unzigzag),
        retries: next().map(unzigzag),
        #[allow(clippy::cast_possible_truncation)] // it was one
        steps: next().unwrap_or(0) as u32,
        stamp: Stamp {
            mtime_ns,
            size: next().unwrap_or(0),
            ctime_ns: mtime_ns.wrapping_add(unzigzag(next().unwrap_or(0))),
            dev: next().unwrap_or(0),
            ino: next().unwrap_or(0),
        },
    }
}

/// The stamp among the numbers that `bytes` begins with, of a file modified at `mtime_ns`. It stands
/// last, and is asked of every run at a start.
#[inline]
pub(super) fn stamp(bytes: &[u8], mtime_ns: i64) -> Stamp {
    const BEFORE: u32 = 4 * Which::Size as u32;
    let lengths = word(bytes, 0, HEAD);
    let mut at = HEAD + length_of(lengths & ((1 << BEFORE) - 1));
    let mut lengths = lengths >> BEFORE;
    let mut next = || {
        let len = (lengths as usize & 15).saturating_sub(1);
        lengths >>= 4;
        let value = word(bytes, at, len);
        at += len;
        value
    };
    Stamp {
        mtime_ns,
        size: next(),
        ctime_ns: mtime_ns.wrapping_add(unzigzag(next())),
        dev: next(),
        ino: next(),
    }
}

/// Which of the packed numbers one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Whole = 0,
    Part = 1,
    Completed = 2,
    Input = 3,
    Output = 4,
    Total = 5,
    Cost = 6,
    Retries = 7,
    Steps = 8,
    Size = 9,
}

/// One of the numbers that `bytes` begins with, as it is packed. A few nanoseconds: a filter asks
/// it of every run.
#[inline]
pub(super) fn one(bytes: &[u8], which: Which) -> Option<u64> {
    let lengths = word(bytes, 0, HEAD);
    let before = 4 * which as u32;
    let len = (lengths >> before & 15).checked_sub(1)?;
    let at = HEAD + length_of(lengths & ((1 << before) - 1));
    #[allow(clippy::cast_possible_truncation)] // four bits
    Some(word(bytes, at, len as usize))
}

/// How many bytes the numbers have whose codes are `lengths`; of all at once, since a filter asks
/// for the place of one of every run.
#[inline]
fn length_of(lengths: u64) -> usize {
    const BYTES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    // one less of each that is known
    let known = (lengths | lengths >> 1 | lengths >> 2 | lengths >> 3) & ONES;
    let lengths = lengths - known;
    let pairs = (lengths & BYTES) + (lengths >> 4 & BYTES);
    // 13 of at most 8
    #[allow(clippy::cast_possible_truncation)]
    let sum = (pairs.wrapping_mul(0x0101_0101_0101_0101) >> 56) as usize;
    sum
}

/// The same of those that may be below zero.
#[inline]
pub(super) fn signed(bytes: &[u8], which: Which) -> Option<i64> {
    one(bytes, which).map(unzigzag)
}

/// How long the run took.
pub(super) fn duration(bytes: &[u8]) -> Option<i64> {
    let whole = signed(bytes, Which::Whole)?.wrapping_mul(Milliseconds::UNIT);
    let part = one(bytes, Which::Part).map_or(0, u64::cast_signed);
    Some(whole.wrapping_add(part))
}

/// When a run ended that began at `started`.
pub(super) fn completed(bytes: &[u8], started: Option<Millis>) -> Option<i64> {
    let more = signed(bytes, Which::Completed)?;
    let end = base_of_end(started, signed(bytes, Which::Whole));
    Some(end.wrapping_add(more))
}

/// All tokens, if the record says how many.
pub(super) fn total(bytes: &[u8]) -> Option<i64> {
    let more = signed(bytes, Which::Total)?;
    let [input, output] = [Which::Input, Which::Output].map(|which| signed(bytes, which));
    Some(base_of_total(input, output).wrapping_add(more))
}

/// Where a run ends that says when it began and how many milliseconds it took.
fn base_of_end(started: Option<Millis>, whole: Option<i64>) -> i64 {
    let started = started.map_or(0, |at| at.0);
    started.wrapping_add(whole.unwrap_or(0))
}

fn base_of_total(input: Option<i64>, output: Option<i64>) -> i64 {
    input.unwrap_or(0).wrapping_add(output.unwrap_or(0))
}

/// Numbers near zero become small ones, whatever their sign.
fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The `len` bytes at `at` as a number; at most eight.
#[inline]
fn word(bytes: &[u8], at: usize, len: usize) -> u64 {
    // eight at once, if there are as many
    match bytes
        .get(at..at + 8)
        .and_then(|eight| eight.try_into().ok())
    {
        Some(eight) if len > 0 => u64::from_le_bytes(eight) & (u64::MAX >> (64 - 8 * len)),
        Some(_) => 0,
        None => {
            let some = bytes.get(at..at + len).unwrap_or_default();
            let fold = |word, &byte: &u8| word << 8 | u64::from(byte);
            some.iter().rev().fold(0, fold)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As likely small as large.
    fn number() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
    }

    fn numbers() -> impl Strategy<Value = Numbers> {
        let some = || prop::option::of(number());
        let stamp = prop::array::uniform5(number());
        let tokens = (some(), some(), some());
        (some(), some(), tokens, some(), some(), any::<u32>(), stamp).prop_map(
            |(completed, duration, (input, output, total), cost, retries, steps, stamp)| {
                let [dev, ino, size, mtime_ns, ctime_ns] = stamp;
                let [dev, ino, size] = [dev, ino, size].map(i64::cast_unsigned);
                Numbers {
                    completed: completed.map(Millis),
                    duration: duration.map(Milliseconds),
                    tokens: Tokens {
                        input,
                        output,
                        total,
                    },
                    cost,
                    retries,
                    steps,
                    stamp: Stamp {
                        dev,
                        ino,
                        size,
                        mtime_ns,
                        ctime_ns,
                    },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in_whatever_follows_them(
            numbers in numbers(), started in prop::option::of(number()),
            after in prop::collection::vec(any::<u8>(), 0..12)
        ) {
            let started = started.map(Millis);
            let packed = Packed::of(&numbers, started);
            let bytes = [packed.bytes(), &after[..]].concat();
            prop_assert_eq!(unpack(&bytes, started, numbers.stamp.mtime_ns), numbers);
            prop_assert_eq!(len_of(&bytes), packed.bytes().len());
            // each alone is what it is among the others
            let tokens = numbers.tokens;
            prop_assert_eq!(duration(&bytes), numbers.duration.map(|took| took.0));
            prop_assert_eq!(completed(&bytes, started), numbers.completed.map(|at| at.0));
            prop_assert_eq!(signed(&bytes, Which::Input), tokens.input);
            prop_assert_eq!(signed(&bytes, Which::Output), tokens.output);
            prop_assert_eq!(total(&bytes), tokens.total);
            prop_assert_eq!(signed(&bytes, Which::Cost), numbers.cost);
            prop_assert_eq!(signed(&bytes, Which::Retries), numbers.retries);
            prop_assert_eq!(one(&bytes, Which::Steps), Some(numbers.steps.into()));
            prop_assert_eq!(one(&bytes, Which::Size), Some(numbers.stamp.size));
            prop_assert_eq!(stamp(&bytes, numbers.stamp.mtime_ns), numbers.stamp);
            let mut rest = Rest(&bytes);
            prop_assert_eq!(take(&mut rest), Some(packed.bytes()));
            prop_assert_eq!(rest.take(after.len()), Some(&after[..]));
        }

        #[test]
        fn what_is_no_packed_number_is_not_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let lengths = (0..COUNT).map(|at| bytes.get(at / 2).map(|two| two >> (at % 2 * 4) & 15));
            let sound = lengths.clone().all(|code| code.is_some_and(|code| code <= 9));
            let all = HEAD + lengths.flatten().map(|code| usize::from(code).saturating_sub(1)).sum::<usize>();
            let taken = take(&mut Rest(&bytes));
            prop_assert_eq!(taken, bytes.get(..all).filter(|_| sound));
            if let Some(taken) = taken {
                prop_assert_eq!(len_of(&bytes), taken.len());
            }
        }
    }

    #[test]
    fn a_usual_run_takes_few_bytes() {
        let numbers = Numbers {
            completed: Some(Millis(1_735_689_660_000)),
            duration: Some(Milliseconds(60_000 * Milliseconds::UNIT)),
            tokens: Tokens {
                input: Some(10_000),
                output: Some(2_000),
                total: Some(12_000),
            },
            cost: Some(450_000_000),
            retries: Some(0),
            steps: 6,
            stamp: Stamp {
                dev: 0xfd00,
                ino: 12_345_678,
                size: 14_000,
                mtime_ns: 1_735_689_660_123_456_789,
                ctime_ns: 1_735_689_660_123_456_789,
            },
        };
        let packed = Packed::of(&numbers, Some(Millis(1_735_689_600_000)));
        assert!(packed.bytes().len() <= 27, "{}", packed.bytes().len());
    }
}
