//! What tells two records apart.
//!
//! `executions/diff` of section 4 of the protocol. Values are the same if they mean the same:
//! whitespace, the order of members, escapes and the spelling of a number make no difference, and
//! of repeated members the last one counts. Numbers are compared digit by digit, never as floats.
//! Steps are aligned by what they are called and how often that came before. What is told is
//! bounded; what is not told is counted.

use std::borrow::Cow;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::decimal::scaled;
use super::json::{
    Kind, Slice, TextSink, Walk, decode_string, elements, put_lone, put_text, spelt_members,
};
use super::money::NANO;
use super::piece::Piece;
use super::{CostSum, Milliseconds, Money};

/// How many steps are aligned of each record; where one has more, `steps` is one member.
pub const STEPS_ALIGNED_MAX: usize = 100_000;
/// How many steps are told.
const STEPS_MAX: usize = 500;
/// How many changed members are told of a record or a step.
const CHANGES_MAX: usize = 100;
/// How much is told of a value.
const VALUE_BYTES: u64 = 1024;
/// How many bytes all that is told takes, less what is around it.
const ROOM_BYTES: u64 = 4 * 1024 * 1024;
/// How much is told of a step's name, in characters.
const NAME_CHARS: usize = 256;

/// What tells record `b` from record `a`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// They mean the same: nothing is changed, and no step is missing or moved.
    pub equal: bool,
    /// The members that differ, in the order of `a`, then of `b`; at most 100. Not `steps`, where
    /// both have an array of it, of 100,000 at most.
    pub changed: Vec<Change>,
    /// How many more there are.
    pub more_changed: usize,
    /// How many steps are of which kind.
    pub step_counts: StepCounts,
    /// The steps that are not the same, by the earlier of their places; at most 500.
    pub steps: Vec<StepDiff>,
    /// How many more there are.
    pub more_steps: usize,
    /// What differs in cost and time, where one of the two says something.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// Steps by how they are aligned.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepCounts {
    /// In both.
    pub both: usize,
    /// Of those, the same and in place.
    pub unchanged: usize,
    /// Of those, moved before or behind others.
    pub moved: usize,
    /// Only in `a`.
    pub only_a: usize,
    /// Only in `b`.
    pub only_b: usize,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StepSide")]
pub enum Side {
    /// In both records.
    Both,
    /// Only in `a`.
    OnlyA,
    /// Only in `b`.
    OnlyB,
}

/// What a step is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StepCalledBy")]
pub enum CalledBy {
    /// Its `nodeId`.
    NodeId,
    /// Its `name`.
    Name,
    /// Its `id`.
    Id,
    /// It has none of them.
    Nothing,
}

/// A step that is not the same in both records.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepDiff {
    /// Where it is.
    pub side: Side,
    /// What it is called by.
    pub called_by: CalledBy,
    /// What it is called, up to 256 characters; empty where it is called by nothing.
    pub called: String,
    /// How many steps before it are called the same.
    pub occurrence: usize,
    /// Its place in `a`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<usize>,
    /// Its place in `b`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<usize>,
    /// It has moved before or behind others.
    pub moved: bool,
    /// The members that differ, in the order of `a`, then of `b`; at most 100. Empty unless it is
    /// in both.
    pub changed: Vec<Change>,
    /// How many more there are.
    pub more_changed: usize,
    /// What differs in cost and time, where that differs.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// A member that differs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedMember")]
pub struct Change {
    /// A JSON pointer to it, from the record or the step; empty for a step that is no object.
    #[schemars(with = "String")]
    pub pointer: Box<RawValue>,
    /// What it is in `a`, up to 1,024 bytes; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<Piece>,
    /// What it is in `b`, up to 1,024 bytes; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Piece>,
}

/// An amount in both records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Delta<T, D> {
    /// In `a`, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<T>,
    /// In `b`, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<T>,
    /// `b` less `a`, exactly, if both say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<D>,
}

/// What differs in cost and time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// US dollars, from `costUSD`.
    #[serde(rename = "costUSD", skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Delta<Money, CostSum>>,
    /// Milliseconds, from `duration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Delta<Milliseconds, Milliseconds>>,
    /// Tokens in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<Delta<i64, i128>>,
    /// Tokens out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<Delta<i64, i128>>,
    /// Both; input + output where there is no total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<Delta<i128, i128>>,
}

/// What tells `b` from `a`, both being checked records. Asks `going` now and then whether to go on.
///
/// # Errors
/// What `going` says.
pub fn diff<E>(a: &str, b: &str, going: &dyn Fn() -> Result<(), E>) -> Result<Diff, E> {
    let (a, b) = (a.trim(), b.trim());
    let (in_a, in_b) = (Members::of(a, going)?, Members::of(b, going)?);
    let (of_a, of_b) = (steps_of(&in_a), steps_of(&in_b));
    let are_arrays = of_a.is_some() && of_b.is_some();
    // what is no array is no steps
    let steps = (of_a.unwrap_or_default(), of_b.unwrap_or_default());
    let are_aligned = steps.0.len().max(steps.1.len()) <= STEPS_ALIGNED_MAX;
    let mut telling = Telling {
        going,
        room: ROOM_BYTES,
    };
    let except = (are_arrays && are_aligned).then_some(&b"steps"[..]);
    let (changed, more_changed) = telling.changes(&in_a, &in_b, except)?;
    let mut diff = Diff {
        equal: changed.is_empty() && more_changed == 0,
        changed,
        more_changed,
        step_counts: StepCounts::default(),
        steps: Vec::new(),
        more_steps: 0,
        amounts: Amounts::between(&Sums::of(&in_a), &Sums::of(&in_b), |_| true),
    };
    if are_aligned {
        telling.steps(&steps.0, &steps.1, &mut diff)?;
    }
    Ok(diff)
}

/// The steps of a record whose `steps` is an array, one more than are aligned at most.
fn steps_of<'a>(record: &Members<'a>) -> Option<Vec<&'a str>> {
    let steps = record
        .get(b"steps")
        .filter(|steps| steps.starts_with('['))?;
    Some(elements(steps).take(STEPS_ALIGNED_MAX + 1).collect())
}

/// A string as it is spelt everywhere here, without its quotes: what means the same is the same.
fn canonical(spelling: &str) -> Cow<'_, [u8]> {
    struct Spelt(Vec<u8>);
    impl TextSink for Spelt {
        fn text(&mut self, text: &str) {
            put_text(text, &mut self.0);
        }
        fn lone(&mut self, surrogate: u16) {
            put_lone(surrogate, &mut self.0);
        }
    }
    if !spelling.contains('\\') {
        return Cow::Borrowed(spelling.trim_matches('"').as_bytes());
    }
    let mut spelt = Spelt(Vec::with_capacity(spelling.len()));
    // what is no string has no text
    let _ = Walk::new(Slice::new(spelling), 0).string(&mut spelt);
    Cow::Owned(spelt.0)
}

/// The last member of an object that is called `name`.
fn last_of<'a>(object: &'a str, name: &[u8]) -> Option<&'a str> {
    let same = spelt_members(object).filter(|(held, _)| *canonical(held) == *name);
    same.last().map(|(_, value)| value)
}

/// How many members are looked at between two questions whether to go on.
const LOOKED_AT_ONCE: usize = 1024;

/// The members of an object that count, in their order.
struct Members<'a> {
    parts: Vec<(Cow<'a, [u8]>, &'a str)>,
}

impl<'a> Members<'a> {
    /// Asks `going` now and then, for there may be millions.
    fn of<E>(object: &'a str, going: &dyn Fn() -> Result<(), E>) -> Result<Self, E> {
        let mut parts: Vec<(Cow<'a, [u8]>, &'a str)> = Vec::new();
        let mut places: HashMap<Cow<'a, [u8]>, usize> = HashMap::new();
        for (at, (name, value)) in spelt_members(object).enumerate() {
            if at % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1 {
                going()?;
            }
            let name = canonical(name);
            match places.get(&name).and_then(|&at| parts.get_mut(at)) {
                Some(part) => part.1 = value,
                None => {
                    places.insert(name.clone(), parts.len());
                    parts.push((name, value));
                }
            }
        }
        Ok(Self { parts })
    }

    /// The member spelt `name` in the end; costs a look at each.
    fn get(&self, name: &[u8]) -> Option<&'a str> {
        let (_, value) = self.parts.iter().find(|(held, _)| **held == *name)?;
        Some(value)
    }

    fn places(&self) -> HashMap<&[u8], &'a str> {
        self.parts
            .iter()
            .map(|(name, value)| (&**name, *value))
            .collect()
    }
}

fn kind_of(value: &str) -> Option<Kind> {
    Walk::new(Slice::new(value), 0).kind().ok()
}

/// Whether two values mean the same.
fn same<E>(a: &str, b: &str, going: &dyn Fn() -> Result<(), E>) -> Result<bool, E> {
    if a == b {
        return Ok(true);
    }
    // each level of nesting is gone through anew
    going()?;
    let (Some(kind), Some(other)) = (kind_of(a), kind_of(b)) else {
        return Ok(false);
    };
    if kind != other {
        return Ok(false);
    }
    match kind {
        Kind::True | Kind::False | Kind::Null => Ok(true),
        Kind::Number => Ok(same_number(a, b)),
        Kind::String => Ok(canonical(a) == canonical(b)),
        Kind::Array => {
            let (mut a, mut b) = (elements(a), elements(b));
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ok(true),
                    (Some(a), Some(b)) if same(a, b, going)? => {}
                    _ => return Ok(false),
                }
            }
        }
        Kind::Object => {
            let (a, b) = (Members::of(a, going)?, Members::of(b, going)?);
            if a.parts.len() != b.parts.len() {
                return Ok(false);
            }
            let in_b = b.places();
            for (name, value) in &a.parts {
                match in_b.get(&**name) {
                    Some(other) if same(value, other, going)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
    }
}

/// A number as digits and a power of ten, each of which has one form.
#[derive(PartialEq, Eq)]
struct Number {
    negative: bool,
    /// Without zeros at either end.
    digits: Vec<u8>,
    exponent: i64,
}

impl Number {
    /// `None` where the exponent has too many digits.
    fn of(spelling: &str) -> Option<Self> {
        let (mantissa, exponent) = match spelling.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (spelling, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
        while digits.pop_if(|digit| *digit == b'0').is_some() {
            exponent += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        Some(Self {
            negative,
            digits,
            exponent,
        })
    }
}

fn same_number(a: &str, b: &str) -> bool {
    // one whose exponent is beyond telling is the same only as another of its spelling
    let numbers = Number::of(a).zip(Number::of(b));
    numbers.is_some_and(|(a, b)| a == b)
}

/// What a record or step says of cost and time.
#[derive(Default)]
struct Sums {
    cost: Option<Money>,
    duration: Option<i64>,
    input: Option<i64>,
    output: Option<i64>,
    total: Option<i128>,
}

impl Sums {
    fn of(members: &Members<'_>) -> Self {
        let number = |spelling: &str, scale| {
            // the smallest stands for "unknown" in the index
            scaled(spelling, scale).filter(|value| *value != i64::MIN)
        };
        let usage = members.get(b"tokenUsage");
        let tokens = |name: &[u8]| number(last_of(usage?, name)?, 0);
        let (input, output) = (tokens(b"input"), tokens(b"output"));
        let sum = match (input, output) {
            (None, None) => None,
            _ => Some(i128::from(input.unwrap_or(0)) + i128::from(output.unwrap_or(0))),
        };
        let cost = members.get(b"costUSD").and_then(|cost| number(cost, NANO));
        let duration = members.get(b"duration");
        Self {
            cost: cost.and_then(Money::from_nanos),
            duration: duration.and_then(|duration| number(duration, Milliseconds::SCALE)),
            input,
            output,
            total: tokens(b"total").map(i128::from).or(sum),
        }
    }
}

impl Amounts {
    /// What `wanted` wants of the amounts that either says, being told whether they differ.
    fn between(a: &Sums, b: &Sums, wanted: impl Fn(bool) -> bool) -> Self {
        fn delta<T: Copy + PartialEq, D>(
            a: Option<T>,
            b: Option<T>,
            wanted: impl Fn(bool) -> bool,
            less: impl Fn(T, T) -> Option<D>,
        ) -> Option<Delta<T, D>> {
            let said = a.is_some() || b.is_some();
            (said && wanted(a != b)).then(|| Delta {
                a,
                b,
                difference: a.zip(b).and_then(|(a, b)| less(b, a)),
            })
        }
        let tokens = |a, b| {
            delta(a, b, &wanted, |b: i64, a: i64| {
                Some(i128::from(b) - i128::from(a))
            })
        };
        let span = |span: Option<i64>| span.map(Milliseconds);
        Self {
            cost_usd: delta(a.cost, b.cost, &wanted, |b, a| {
                let mut difference = CostSum::default();
                difference.add(b);
                difference.sub(a);
                Some(difference)
            }),
            duration: delta(span(a.duration), span(b.duration), &wanted, |b, a| {
                b.0.checked_sub(a.0).map(Milliseconds)
            }),
            input_tokens: tokens(a.input, b.input),
            output_tokens: tokens(a.output, b.output),
            total_tokens: delta(a.total, b.total, &wanted, |b, a| Some(b - a)),
        }
    }
}

/// What a step is called.
type Called<'a> = (CalledBy, Cow<'a, str>);

fn called(step: &str) -> Called<'_> {
    let (mut node, mut name, mut id) = (None, None, None);
    for (member, value) in spelt_members(step) {
        match &*canonical(member) {
            b"nodeId" => node = Some(value),
            b"name" => name = Some(value),
            b"id" => id = Some(value),
            _ => {}
        }
    }
    let texts = [
        (CalledBy::NodeId, node),
        (CalledBy::Name, name),
        (CalledBy::Id, id),
    ];
    texts
        .into_iter()
        .filter_map(|(by, value)| Some((by, value?)))
        .find(|(_, value)| value.starts_with('"') && *value != "\"\"")
        .map_or((CalledBy::Nothing, Cow::Borrowed("")), |(by, value)| {
            (by, decode_string(value))
        })
}

/// Two steps that are one, or one that is alone.
struct Pair<'a> {
    called: Called<'a>,
    occurrence: usize,
    a: Option<usize>,
    b: Option<usize>,
    moved: bool,
}

impl Pair<'_> {
    fn side(&self) -> Side {
        match (self.a, self.b) {
            (Some(_), None) => Side::OnlyA,
            (None, Some(_)) => Side::OnlyB,
            _ => Side::Both,
        }
    }

    /// By the earlier of its places, then by the later.
    fn place(&self) -> (usize, usize, Side) {
        let a = self.a.or(self.b).unwrap_or(0);
        let b = self.b.unwrap_or(a);
        (a.min(b), a.max(b), self.side())
    }
}

fn align<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<Pair<'a>> {
    let mut in_b: HashMap<Called<'a>, Vec<usize>> = HashMap::new();
    for (at, step) in b.iter().enumerate() {
        in_b.entry(called(step)).or_default().push(at);
    }
    let mut counts: HashMap<Called<'a>, usize> = HashMap::new();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    for (at, step) in a.iter().enumerate() {
        let called = called(step);
        let count = counts.entry(called.clone()).or_default();
        let occurrence = std::mem::replace(count, *count + 1);
        let partner = in_b.get(&called).and_then(|places| places.get(occurrence));
        pairs.push(Pair {
            b: partner.copied(),
            a: Some(at),
            called,
            occurrence,
            moved: false,
        });
    }
    mark_moved(&mut pairs);
    for (called, places) in in_b {
        let met = counts.get(&called).copied().unwrap_or(0);
        for (occurrence, &at) in places.iter().enumerate().skip(met) {
            pairs.push(Pair {
                called: called.clone(),
                occurrence,
                a: None,
                b: Some(at),
                moved: false,
            });
        }
    }
    pairs.sort_by_key(Pair::place);
    pairs
}

/// Marks, of pairs in the order of `a`, those that are not in the same order in `b`. The most that
/// can be is left in place; where that could be one or the other, neither is.
fn mark_moved(pairs: &mut [Pair<'_>]) {
    let both: Vec<(usize, usize)> = pairs
        .iter()
        .enumerate()
        .filter_map(|(at, pair)| Some((at, pair.b?)))
        .collect();
    let in_a: Vec<usize> = both.iter().map(|(_, b)| *b).collect();
    let mut by_b: Vec<usize> = (0..both.len()).collect();
    by_b.sort_by_key(|&which| in_a.get(which));
    let stay_in_a = longest_rise(&in_a);
    let stay_in_b = longest_rise(&by_b);
    let mut stays = vec![false; both.len()];
    for (&which, stay) in by_b.iter().zip(stay_in_b) {
        if let Some(slot) = stays.get_mut(which) {
            *slot = stay;
        }
    }
    for ((at, _), stay) in both.iter().zip(stay_in_a.iter().zip(stays)) {
        if let Some(pair) = pairs.get_mut(*at) {
            pair.moved = !(*stay.0 && stay.1);
        }
    }
}

/// Which of `numbers`, all different, belong to a longest rising subsequence.
fn longest_rise(numbers: &[usize]) -> Vec<bool> {
    // of each length, where the one with the smallest end ends; and of each number, where the one
    // before it in its own is
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|&end| numbers.get(end) < Some(number));
        before.push(
            length
                .checked_sub(1)
                .and_then(|last| ends.get(last).copied()),
        );
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut rises = vec![false; numbers.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        if let Some(slot) = rises.get_mut(at) {
            *slot = true;
        }
        next = before.get(at).copied().flatten();
    }
    rises
}

/// What is told, while there is room.
struct Telling<'g, E> {
    going: &'g dyn Fn() -> Result<(), E>,
    room: u64,
}

impl<E> Telling<'_, E> {
    /// Whether there is room for something of `bytes` bytes, which it takes then.
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// The members that differ, those that are told and how many are not.
    fn changes(
        &mut self,
        a: &Members<'_>,
        b: &Members<'_>,
        except: Option<&[u8]>,
    ) -> Result<(Vec<Change>, usize), E> {
        let (in_a, in_b) = (a.places(), b.places());
        let (mut changes, mut more) = (Vec::new(), 0);
        let of_a = a
            .parts
            .iter()
            .map(|(name, a)| (name, Some(*a), in_b.get(&**name).copied()));
        let of_b = b
            .parts
            .iter()
            .filter(|(name, _)| !in_a.contains_key(&**name));
        for (name, a, b) in of_a.chain(of_b.map(|(name, b)| (name, None, Some(*b)))) {
            (self.going)()?;
            if except == Some(&**name) {
                continue;
            }
            if let (Some(a), Some(b)) = (a, b)
                && same(a, b, self.going)?
            {
                continue;
            }
            let told = changes.len() < CHANGES_MAX;
            match told.then(|| self.change(Some(name), a, b)).flatten() {
                Some(change) => changes.push(change),
                None => more += 1,
            }
        }
        Ok((changes, more))
    }

    /// One change, if there is room for it; of a step itself where there is no name.
    fn change(&mut self, name: Option<&[u8]>, a: Option<&str>, b: Option<&str>) -> Option<Change> {
        let mut pointer = b"\"".to_vec();
        if let Some(name) = name {
            if name.len() as u64 > VALUE_BYTES {
                return None;
            }
            pointer.push(b'/');
            for &byte in name {
                match byte {
                    b'~' => pointer.extend_from_slice(b"~0"),
                    b'/' => pointer.extend_from_slice(b"~1"),
                    byte => pointer.push(byte),
                }
            }
        }
        pointer.push(b'"');
        let pointer = RawValue::from_string(String::from_utf8(pointer).ok()?).ok()?;
        let piece = |value: Option<&str>| {
            let at: String = serde_json::from_str(pointer.get()).unwrap_or_default();
            value.map(|value| Piece::of_text(value, &at, VALUE_BYTES))
        };
        let (a, b) = (piece(a).transpose().ok()?, piece(b).transpose().ok()?);
        let values = [&a, &b].into_iter().flatten().map(Piece::room_bytes);
        let bytes = values.sum::<u64>() + pointer.get().len() as u64;
        self.take(bytes).then_some(Change { pointer, a, b })
    }

    fn steps(&mut self, a: &[&str], b: &[&str], diff: &mut Diff) -> Result<(), E> {
        for pair in align(a, b) {
            (self.going)()?;
            let in_a = pair.a.and_then(|at| a.get(at).copied());
            let in_b = pair.b.and_then(|at| b.get(at).copied());
            let counts = &mut diff.step_counts;
            match pair.side() {
                Side::Both => counts.both += 1,
                Side::OnlyA => counts.only_a += 1,
                Side::OnlyB => counts.only_b += 1,
            }
            counts.moved += usize::from(pair.moved);
            let equal = match (in_a, in_b) {
                (Some(a), Some(b)) => same(a, b, self.going)?,
                _ => false,
            };
            if equal {
                counts.unchanged += usize::from(!pair.moved);
                if !pair.moved {
                    continue;
                }
            }
            diff.equal = false;
            let called: String = pair.called.1.chars().take(NAME_CHARS).collect();
            if diff.steps.len() == STEPS_MAX || !self.take(called.len() as u64) {
                diff.more_steps += 1;
                continue;
            }
            let objects = [in_a, in_b]
                .iter()
                .flatten()
                .all(|step| step.starts_with('{'));
            let members =
                |step: Option<_>| step.map(|step| Members::of(step, self.going)).transpose();
            let (of_a, of_b) = (members(in_a)?, members(in_b)?);
            let (changed, more_changed) = match (&of_a, &of_b) {
                (Some(of_a), Some(of_b)) if objects && !equal => self.changes(of_a, of_b, None)?,
                (Some(_), Some(_)) if !equal => match self.change(None, in_a, in_b) {
                    Some(change) => (vec![change], 0),
                    None => (Vec::new(), 1),
                },
                _ => (Vec::new(), 0),
            };
            let sums =
                |members: &Option<Members<'_>>| members.as_ref().map(Sums::of).unwrap_or_default();
            diff.steps.push(StepDiff {
                side: pair.side(),
                called_by: pair.called.0,
                called,
                occurrence: pair.occurrence,
                a: pair.a,
                b: pair.b,
                moved: pair.moved,
                changed,
                more_changed,
                amounts: Amounts::between(&sums(&of_a), &sums(&of_b), |differ| differ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::tests::values;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn compared(a: &str, b: &str) -> Diff {
        diff(a, b, &|| Ok::<_, ()>(())).unwrap()
    }

    fn told(a: &str, b: &str) -> Value {
        serde_json::to_value(compared(a, b)).unwrap()
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let a = r#"{"a":1.50,"b":"\u00e9\/","c":{"x":[1e2,-0],"y":null},"d":1,"d":2,"s":"\ud800"}"#;
        let b = r#" {"c" : {"y":null,"x":[100.0, 0.0]}, "b":"é/","d":2e0,"a":15E-1,"s":"\uD800"} "#;
        assert!(compared(a, b).equal);
        for (one, other) in [
            ("1", "10"),
            ("0.1", "0.10000000000000000000000000000000001"),
            ("1", "-1"),
            ("1", "\"1\""),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("[1,2]", "[2,1]"),
            ("[]", "{}"),
            ("[1]", "[1,1]"),
            ("null", "false"),
            ("{\"a\":1}", "{\"b\":1}"),
            (r#""\ud800""#, r#""\ud801""#),
        ] {
            let wrap = |value: &str| format!("{{\"v\":{value}}}");
            let found = compared(&wrap(one), &wrap(other));
            assert_eq!(found.changed[0].pointer.get(), "\"/v\"", "{one} {other}");
            assert!(!found.equal);
        }
    }

    #[test]
    fn costs_times_and_tokens_are_told_exactly() {
        let a = r#"{"costUSD":0.1,"duration":10.5,"tokenUsage":{"input":1,"output":2},"steps":[
            {"nodeId":"n","costUSD":0.3},{"nodeId":"m","duration":5}]}"#;
        let b = r#"{"costUSD":0.3,"duration":3,
            "tokenUsage":{"input":9223372036854775807,"output":2,"total":7},
            "steps":[{"nodeId":"n","costUSD":0.1},{"nodeId":"m","duration":5,"x":1}]}"#;
        let diff = compared(a, b);
        assert_eq!(
            serde_json::to_string(&diff.amounts).unwrap(),
            r#"{"costUSD":{"a":0.1,"b":0.3,"difference":0.2},"#.to_owned()
                + r#""duration":{"a":10.5,"b":3,"difference":-7.5},"#
                + r#""inputTokens":{"a":1,"b":9223372036854775807,"#
                + r#""difference":9223372036854775806},"#
                + r#""outputTokens":{"a":2,"b":2,"difference":0},"#
                + r#""totalTokens":{"a":3,"b":7,"difference":4}}"#
        );
        let steps = diff.steps.iter().map(|step| &step.amounts);
        let steps: Vec<_> = steps
            .map(|amounts| serde_json::to_string(amounts).unwrap())
            .collect();
        let cost = r#"{"costUSD":{"a":0.3,"b":0.1,"difference":-0.2}}"#;
        assert_eq!(steps, [cost, "{}"]);
    }

    #[test]
    fn steps_are_aligned_by_what_they_are_called() {
        let a = r#"{"steps":[{"nodeId":"a","v":1},{"nodeId":"b"},{"name":"c"},{"id":"d"},7,
            {"nodeId":"a","v":2}]}"#;
        let b = r#"{"steps":[{"nodeId":"b"},{"name":"c"},{"id":"d"},8,{"nodeId":"a","v":1},
            {"nodeId":"","id":"e"}]}"#;
        let found = told(a, b);
        assert_eq!(
            found["stepCounts"],
            json!({ "both": 5, "unchanged": 3, "moved": 1, "onlyA": 1, "onlyB": 1 })
        );
        let seen: Vec<Value> = found["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| {
                let names = [
                    "side",
                    "calledBy",
                    "called",
                    "occurrence",
                    "a",
                    "b",
                    "moved",
                ];
                names.iter().map(|name| step[name].clone()).collect()
            })
            .collect();
        assert_eq!(
            seen,
            [
                json!(["both", "nodeId", "a", 0, 0, 4, true]),
                json!(["both", "nothing", "", 0, 4, 3, false]),
                json!(["onlyA", "nodeId", "a", 1, 5, null, false]),
                json!(["onlyB", "id", "e", 0, null, 5, false]),
            ]
        );
        assert_eq!(found["steps"][1]["changed"][0]["pointer"], "");
        assert_eq!(found["steps"][1]["changed"][0]["a"]["value"], 7);
        // of two that changed places, neither is the one that stayed
        let found = compared(
            r#"{"steps":[{"id":"a"},{"id":"b"}]}"#,
            r#"{"steps":[{"id":"b"},{"id":"a"}]}"#,
        );
        assert_eq!(found.step_counts.moved, 2);
        assert!(!found.equal);
        // an array against none, and against what is no array
        for (a, b) in [
            ("{}", r#"{"steps":[]}"#),
            (r#"{"steps":5}"#, r#"{"steps":[1]}"#),
        ] {
            assert_eq!(told(a, b)["changed"][0]["pointer"], "/steps");
        }
        for none in [
            "{}",
            r#"{"steps":null}"#,
            r#"{"steps":5}"#,
            r#"{"steps":[]}"#,
        ] {
            let found = compared(r#"{"steps":[1,2]}"#, none);
            assert_eq!(
                (found.step_counts.only_a, found.steps.len()),
                (2, 2),
                "{none}"
            );
            assert_eq!(found.changed.is_empty(), none.contains("[]"), "{none}");
        }
    }

    #[test]
    fn what_is_told_is_bounded_and_the_rest_is_counted() {
        let output = |letter: &str| format!(r#"{{"output":"{}"}}"#, letter.repeat(1_000_000));
        let found = told(&output("x"), &output("y"));
        let change = &found["changed"][0]["a"];
        assert_eq!(change["length"], 1_000_000);
        assert_eq!(change["sizeBytes"], 1_000_002);
        assert_eq!(change["value"].as_str().unwrap().len(), 1022);
        let record = |text: &str| {
            let all = 0..2000;
            let members = all.clone().map(|number| format!(r#""m{number}":"{text}""#));
            let steps = all.map(|number| format!(r#"{{"id":"{number}","v":"{text}"}}"#));
            let (members, steps): (Vec<_>, Vec<_>) = (members.collect(), steps.collect());
            format!("{{{},\"steps\":[{}]}}", members.join(","), steps.join(","))
        };
        let found = compared(&record("a"), &record("b"));
        assert_eq!((found.changed.len(), found.more_changed), (100, 1900));
        assert_eq!((found.steps.len(), found.more_steps), (500, 1500));
        let steps = |letter: &str| {
            let value = letter.repeat(900);
            let wide = (0..100).map(|number| format!(r#""m{number}":"{value}""#));
            let step = format!("{{{}}}", wide.collect::<Vec<_>>().join(","));
            format!(r#"{{"steps":[{}]}}"#, vec![step; 400].join(","))
        };
        let text = told(&steps("a"), &steps("b")).to_string();
        assert!(text.len() < 12 << 20, "{}", text.len());
        let many = vec!["1"; STEPS_ALIGNED_MAX + 1].join(",");
        let found = compared(&format!(r#"{{"steps":[{many}]}}"#), r#"{"steps":[]}"#);
        assert_eq!((found.changed.len(), found.steps.len()), (1, 0));
        assert!(diff("{\"a\":1}", "{}", &|| Err(())).is_err());
        // each level is gone through again, and asked for before
        let deep = |end: u8| format!(r#"{{"a":{}{end}{}}}"#, "[".repeat(99), "]".repeat(99));
        let asked = std::cell::Cell::new(0);
        let going = || {
            asked.set(asked.get() + 1);
            if asked.get() < 50 { Ok(()) } else { Err(()) }
        };
        assert!(diff(&deep(1), &deep(2), &going).is_err());
    }

    /// Records whose steps are called by a few names, in any order.
    fn records() -> impl Strategy<Value = Value> {
        let member = prop::sample::select(vec!["input", "output", "status", "m/x", "~"]);
        let member = member.prop_map(str::to_owned);
        let members = prop::collection::btree_map(member, values(), 0..5).boxed();
        let node = prop::sample::select(vec!["a", "b", "c", ""]);
        let step = (node, members.clone()).prop_map(|(node, members)| {
            let mut step: Map<String, Value> = members.into_iter().collect();
            step.insert("nodeId".to_owned(), node.into());
            Value::Object(step)
        });
        (members, prop::collection::vec(step, 0..7)).prop_map(|(members, steps)| {
            let mut record: Map<String, Value> = members.into_iter().collect();
            record.insert("steps".to_owned(), steps.into());
            Value::Object(record)
        })
    }

    /// Two records of which the second is often the first with something changed.
    fn pairs() -> impl Strategy<Value = (Value, Value)> {
        let places = any::<[prop::sample::Index; 2]>();
        (records(), records(), places, 0..5_u8).prop_map(|(a, other, [one, two], how)| {
            let mut b = a.clone();
            let steps = b["steps"].as_array_mut().unwrap();
            match how {
                0 => b = other,
                1 if !steps.is_empty() => drop(steps.remove(one.index(steps.len()))),
                2 if !steps.is_empty() => {
                    let step = steps.remove(one.index(steps.len()));
                    steps.insert(two.index(steps.len() + 1), step);
                }
                3 if !steps.is_empty() => {
                    let at = one.index(steps.len());
                    steps[at]["output"] = other["output"].clone();
                }
                _ => b["output"] = other["output"].clone(),
            }
            (a, b)
        })
    }

    fn pointers(changes: &Value) -> Vec<String> {
        let changes = changes.as_array().unwrap().iter();
        let pointers = changes.map(|change| change["pointer"].as_str().unwrap().to_owned());
        let mut all: Vec<String> = pointers.collect();
        all.sort();
        all
    }

    /// The members that differ, by way of trees.
    fn differing(a: &Value, b: &Value, except: &str) -> Vec<String> {
        let (a, b) = (a.as_object().unwrap(), b.as_object().unwrap());
        let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| *name != except && a.get(*name) != b.get(*name));
        let mut all: Vec<String> = names
            .iter()
            .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
            .collect();
        all.sort();
        all
    }

    /// With `a` and `b` in each other's place, and all arrays in one order.
    fn mirrored(diff: &Value) -> Value {
        match diff {
            Value::Array(all) => {
                let mut all: Vec<Value> = all.iter().map(mirrored).collect();
                all.sort_by_key(Value::to_string);
                all.into()
            }
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| {
                    let other = match name.as_str() {
                        "a" => "b",
                        "b" => "a",
                        "onlyA" => "onlyB",
                        "onlyB" => "onlyA",
                        name => name,
                    };
                    let value = match (name.as_str(), value.as_str()) {
                        ("side", Some("onlyA")) => "onlyB".into(),
                        ("side", Some("onlyB")) => "onlyA".into(),
                        ("value", _) => value.clone(),
                        _ => mirrored(value),
                    };
                    (other.to_owned(), value)
                })
                .collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_record_does_not_differ_from_itself(record in records()) {
            let pretty = serde_json::to_string_pretty(&record).unwrap();
            let found = compared(&record.to_string(), &pretty);
            prop_assert!(found.equal && found.changed.is_empty() && found.steps.is_empty());
        }

        #[test]
        fn the_other_way_round_it_is_mirrored((a, b) in pairs()) {
            let (a, b) = (a.to_string(), b.to_string());
            // twice, so that arrays are in one order
            let there = mirrored(&mirrored(&told(&b, &a)));
            prop_assert_eq!(there, mirrored(&told(&a, &b)));
        }

        #[test]
        fn every_member_that_differs_is_found((a, b) in pairs()) {
            let found = told(&a.to_string(), &b.to_string());
            prop_assert_eq!(pointers(&found["changed"]), differing(&a, &b, "steps"));
            let steps = found["steps"].as_array().unwrap();
            let (in_a, in_b) = (a["steps"].as_array().unwrap(), b["steps"].as_array().unwrap());
            let nth = |steps: &[Value], at: usize| {
                let name = &steps[at]["nodeId"];
                steps[..at].iter().filter(|step| step["nodeId"] == *name).count()
            };
            // every step's partner, looked for by hand; an empty name is none
            let mut both = 0;
            for (at, step) in in_a.iter().enumerate() {
                let partner = (0..in_b.len()).find(|&other| {
                    in_b[other]["nodeId"] == step["nodeId"] && nth(in_b, other) == nth(in_a, at)
                });
                both += usize::from(partner.is_some());
                let told = steps.iter().find(|told| told["a"] == at);
                match (partner, told) {
                    (None, told) => {
                        prop_assert_eq!(told.map(|told| &told["side"]), Some(&json!("onlyA")));
                    }
                    (Some(partner), None) => prop_assert_eq!(step, &in_b[partner]),
                    (Some(partner), Some(told)) => {
                        prop_assert_eq!(&told["b"], &json!(partner));
                        let changed = differing(step, &in_b[partner], "");
                        prop_assert_eq!(pointers(&told["changed"]), changed);
                        prop_assert!(step != &in_b[partner] || told["moved"] == true);
                    }
                }
            }
            let counts = &found["stepCounts"];
            prop_assert_eq!(&counts["both"], &json!(both));
            prop_assert_eq!(&counts["onlyA"], &json!(in_a.len() - both));
            prop_assert_eq!(&counts["onlyB"], &json!(in_b.len() - both));
            prop_assert_eq!(&found["equal"], &json!(a == b));
        }

        #[test]
        fn steps_that_have_not_moved_are_in_one_order((a, b) in pairs()) {
            let texts = |record: &Value| -> Vec<String> {
                let steps = record["steps"].as_array().unwrap();
                steps.iter().map(Value::to_string).collect()
            };
            let (in_a, in_b) = (texts(&a), texts(&b));
            let in_a: Vec<&str> = in_a.iter().map(String::as_str).collect();
            let in_b: Vec<&str> = in_b.iter().map(String::as_str).collect();
            let pairs = align(&in_a, &in_b);
            let stay = pairs.iter().filter(|pair| !pair.moved);
            let mut stay: Vec<_> = stay.filter_map(|pair| pair.a.zip(pair.b)).collect();
            stay.sort_unstable();
            prop_assert!(stay.is_sorted_by_key(|(_, b)| *b));
        }
    }
}
