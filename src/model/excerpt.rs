//! Pieces of a record that is too large to be given whole.
//!
//! `fields`, `range` and `maxBytes` of `executions/get` (section 4 of the protocol). A value is
//! cut down in two walks over its text, each in bounded memory whatever the value's size: the
//! first says how much of everything there is room for, the second writes that. Strings are cut
//! between characters, arrays and objects lose their last parts, and every place where something
//! was left out is told with what is there in truth. Numbers keep their spelling, and surrogates
//! that stand alone stay escapes.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{Input, JsonError, Kind, TextSink, Walk, put_lone, put_text};
use super::pointer::units;

/// How many measures there are to cut by: the last one's texts are larger than any answer.
const LEVELS: usize = 306;
/// So many measures make twice of everything, and a level of nesting more.
const STEPS: usize = 16;
/// A text, a name or a number has at least so many units before it is cut: telling that takes as much.
const SMALLEST: u64 = 128;
/// Whatever the measure, an array or object that is cut has no more parts, so that the names of
/// its members can be kept while it is gone through.
const PARTS_MAX: u64 = 1 << 16;
/// How many bytes telling a cut takes, beside its pointer.
const CUT_BYTES: usize = 128;

/// How many units a text has at most that is cut by measure `level`. From each to the next it is a
/// sixteenth of the last doubling more.
fn texts(level: usize) -> u64 {
    let level = level.saturating_sub(1);
    (SMALLEST / STEPS as u64 * (STEPS + level % STEPS) as u64) << (level / STEPS)
}

/// The smallest measure that takes so many units.
fn level_of(units: u64) -> usize {
    match units > SMALLEST {
        true => 1 + steps_to(units, SMALLEST),
        false => 0,
    }
}

/// How many steps it takes from `smallest` to `count`, which is larger.
fn steps_to(count: u64, smallest: u64) -> usize {
    let doublings = ((count - 1) / smallest).ilog2();
    let more = count - (smallest << doublings);
    let steps = (more * STEPS as u64).div_ceil(smallest << doublings);
    doublings as usize * STEPS + usize::try_from(steps).unwrap_or(STEPS)
}

/// The smallest measure by which an array or object so deep has any parts.
fn opened_at(depth: usize) -> usize {
    1 + depth * STEPS
}

/// The smallest measure that takes a part with so many before it, of an array or object so deep; too
/// large a one if none does. The first ones come one by one.
fn level_of_part(before: u64, depth: usize) -> usize {
    let few = STEPS as u64;
    let more = match before {
        PARTS_MAX.. => LEVELS,
        _ if before < few => usize::try_from(before).unwrap_or(LEVELS),
        _ => STEPS - 1 + steps_to(before + 1, few),
    };
    opened_at(depth) + more
}

/// What a JSON value is, for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PieceKind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`
    Null,
    /// There is nothing.
    Missing,
}

impl From<Kind> for PieceKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Object => Self::Object,
            Kind::Array => Self::Array,
            Kind::String => Self::String,
            Kind::Number => Self::Number,
            Kind::True | Kind::False => Self::Boolean,
            Kind::Null => Self::Null,
        }
    }
}

/// Some of a text, in UTF-16 units of the decoded string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TextRange")]
pub struct Units {
    /// Where it begins.
    pub start: u64,
    /// Behind its last unit.
    pub end: u64,
}

/// A place where something was left out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// A JSON pointer from the record's top; ask for it by `fields`.
    #[schemars(with = "String")]
    pub pointer: Box<RawValue>,
    /// What is there in truth. A number too long to be given stands as `null`.
    pub kind: PieceKind,
    /// How many bytes it takes in the file.
    pub size_bytes: u64,
    /// A text's UTF-16 units, an array's elements, an object's members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// How many of them are given: always the first.
    pub given: u64,
}

impl Cut {
    /// How many bytes telling it takes at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pointer.get().len() + CUT_BYTES
    }
}

/// A value cut down.
#[derive(Debug)]
pub struct Excerpt {
    /// Its JSON text.
    pub json: Vec<u8>,
    /// What was left out, in the order of the record.
    pub cuts: Vec<Cut>,
}

/// Some of a text.
#[derive(Debug)]
pub struct TextPart {
    /// Its JSON text.
    pub json: Vec<u8>,
    /// Which units it is.
    pub units: Units,
}

/// The units `wanted` of the string that begins here, as many as fit into `bytes_max` bytes of
/// JSON, at least the quotes. A bound between the two halves of a character is one before it, so
/// that parts that follow each other hold every character once. `None` where there is no room.
///
/// # Errors
/// When the text cannot be read.
pub fn part_of_text<I: Input>(
    walk: &mut Walk<I>,
    wanted: Units,
    bytes_max: u64,
) -> Result<Option<TextPart>, JsonError> {
    let Some(room) = usize::try_from(bytes_max)
        .unwrap_or(usize::MAX)
        .checked_sub(2)
    else {
        return Ok(None);
    };
    let mut part = Part {
        json: vec![b'"'],
        room,
        at: 0,
        wanted,
        done: false,
    };
    walk.kind()?;
    walk.string(&mut part)?;
    part.json.push(b'"');
    // where the text is shorter than what was wanted
    let end = if part.done {
        part.wanted.end
    } else {
        part.wanted.end.min(part.at)
    };
    Ok(Some(TextPart {
        json: part.json,
        units: Units {
            start: part.wanted.start.min(end),
            end,
        },
    }))
}

struct Part {
    json: Vec<u8>,
    /// How many bytes more may be written.
    room: usize,
    /// How many units have been passed.
    at: u64,
    wanted: Units,
    /// Nothing more belongs to it.
    done: bool,
}

impl Part {
    /// One character, or half of one that stands alone, of `width` units.
    fn character(&mut self, width: u64, put: impl FnOnce(&mut Vec<u8>)) {
        let (start, end) = (self.at, self.at + width);
        if self.done {
            return;
        }
        if end > self.wanted.end {
            self.wanted.end = start.min(self.wanted.end);
            self.done = true;
        } else if end > self.wanted.start {
            self.wanted.start = self.wanted.start.min(start);
            let before = self.json.len();
            put(&mut self.json);
            match self.room.checked_sub(self.json.len() - before) {
                Some(room) => self.room = room,
                None => {
                    self.json.truncate(before);
                    self.wanted.end = start;
                    self.done = true;
                }
            }
        }
        self.at = end;
    }
}

impl TextSink for Part {
    fn text(&mut self, text: &str) {
        if self.done {
            return;
        }
        let passed = self.at + units(text);
        if passed <= self.wanted.start {
            self.at = passed;
        } else if self.at >= self.wanted.start
            && passed <= self.wanted.end
            && text.len() * 6 <= self.room
        {
            let before = self.json.len();
            put_text(text, &mut self.json);
            self.room -= self.json.len() - before;
            self.at = passed;
        } else {
            for character in text.chars() {
                let mut buffer = [0; 4];
                let text: &str = character.encode_utf8(&mut buffer);
                self.character(character.len_utf16() as u64, |json| put_text(text, json));
                if self.done {
                    return;
                }
            }
        }
    }

    fn lone(&mut self, surrogate: u16) {
        self.character(1, |json| put_lone(surrogate, json));
    }

    fn wants(&self) -> bool {
        !self.done
    }
}

/// How a value is cut, for a walk over the same text again.
#[derive(Debug)]
pub struct Measure {
    level: usize,
    /// How many bytes of room it leaves.
    spare: u64,
    /// The offsets of the values of members that are repeated later.
    overridden: HashSet<u64>,
}

/// How to cut the value that begins here, so that it takes at most `bytes_max` bytes, with what
/// is told of each cut; `pointer` points to it. `None` where there is no room for anything.
///
/// By each measure all texts are as long at most, all arrays and objects have as many parts at most,
/// those within others half as many, and are nested as deep; the largest is taken that fits. What room
/// it leaves is for the first texts that it cuts. Costs a walk, in which what no measure takes that
/// still fits is only skipped.
///
/// # Errors
/// When the text cannot be read.
pub fn measure<I: Input>(
    walk: &mut Walk<I>,
    pointer: &str,
    bytes_max: u64,
) -> Result<Option<Measure>, JsonError> {
    let mut measuring = Measuring {
        steps: [0; LEVELS],
        cost: 0,
        bytes_max,
        top: Some(LEVELS - 1),
        pointer_bytes: spelt(pointer).len() as u64,
        cut_at: [0; LEVELS],
        overridden: HashSet::new(),
    };
    measuring.value(walk, 0, 0)?;
    let spare = bytes_max.saturating_sub(measuring.cost.unsigned_abs());
    Ok(measuring.top.map(|level| Measure {
        level,
        spare,
        overridden: measuring.overridden,
    }))
}

/// `text` as it stands in a JSON string.
fn spelt(text: &str) -> Vec<u8> {
    let mut spelt = Vec::new();
    put_text(text, &mut spelt);
    spelt
}

struct Measuring {
    /// How many bytes more the excerpt takes by each measure than by the one before, as far as the
    /// walk has come.
    steps: [i64; LEVELS],
    /// How many it takes by the largest.
    cost: i64,
    bytes_max: u64,
    /// The largest measure that may still fit.
    top: Option<usize>,
    /// Of the pointer to where the walk is.
    pointer_bytes: u64,
    /// For [`Prefixes`].
    cut_at: [u64; LEVELS],
    overridden: HashSet<u64>,
}

impl Measuring {
    fn costs_from(&mut self, from: usize, bytes: u64) {
        self.costs_between(from, LEVELS, bytes);
    }

    /// By the measures from `from` on, but less than `upto`.
    fn costs_between(&mut self, from: usize, upto: usize, bytes: u64) {
        if from >= upto {
            return;
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if let Some(step) = self.steps.get_mut(from) {
            *step += bytes;
        }
        if let Some(step) = self.steps.get_mut(upto) {
            *step -= bytes;
        }
        if self.top.is_some_and(|top| from <= top && top < upto) {
            self.cost += bytes;
        }
        while let Some(top) = self.top
            && self.cost > 0
            && self.cost.unsigned_abs() > self.bytes_max
        {
            self.cost -= self.steps.get(top).copied().unwrap_or(0);
            self.top = top.checked_sub(1);
        }
    }

    fn cut(&self) -> u64 {
        CUT_BYTES as u64 + self.pointer_bytes
    }

    fn takes(&self, from: usize) -> bool {
        self.top.is_some_and(|top| from <= top)
    }

    /// The value here, which is given by the measures from `from` on.
    fn value<I: Input>(
        &mut self,
        walk: &mut Walk<I>,
        depth: usize,
        from: usize,
    ) -> Result<(), JsonError> {
        if !self.takes(from) {
            return walk.skip();
        }
        match walk.kind()? {
            Kind::String => {
                let mut prefixes = Prefixes {
                    units: 0,
                    bytes: 0,
                    cut_at: &mut self.cut_at,
                    next: from,
                    top: self.top.unwrap_or(0),
                };
                walk.string(&mut prefixes)?;
                let (next, bytes) = (prefixes.next, prefixes.bytes);
                for level in from..next {
                    let bytes = self.cut_at.get(level).copied().unwrap_or(0);
                    self.costs_between(level, level + 1, bytes + 2 + self.cut());
                }
                self.costs_from(next, bytes + 2);
            }
            Kind::Number => {
                let bytes = walk.spelt_number(0, &mut Vec::new())? as u64;
                let whole = level_of(bytes).max(from);
                self.costs_between(from, whole, 4 + self.cut());
                self.costs_from(whole, bytes);
            }
            Kind::Object => self.parts(walk, true, depth, from)?,
            Kind::Array => self.parts(walk, false, depth, from)?,
            Kind::True | Kind::False | Kind::Null => {
                self.costs_from(from, 5);
                walk.skip()?;
            }
        }
        Ok(())
    }

    fn parts<I: Input>(
        &mut self,
        walk: &mut Walk<I>,
        object: bool,
        depth: usize,
        from: usize,
    ) -> Result<(), JsonError> {
        self.costs_from(from, 2);
        // by these it is left empty
        self.costs_between(from, opened_at(depth), self.cut());
        let inside = from.max(opened_at(depth));
        if !self.takes(inside) {
            return walk.skip();
        }
        walk.enter()?;
        let mut first = true;
        let mut before = 0;
        let mut whole = inside;
        let mut names: HashMap<Box<[u8]>, u64> = HashMap::new();
        let mut name = Name::default();
        loop {
            name.begin(self.top);
            if !walk.more(&mut first, &mut name)? {
                break;
            }
            let mut part = inside.max(level_of_part(before, depth));
            if object {
                part = part.max(level_of(name.units));
            }
            before += 1;
            whole = whole.max(part);
            walk.kind()?;
            let taken = self.takes(part);
            if object && !name.cut {
                let earlier = match taken {
                    true => names.insert(name.spelt.as_slice().into(), walk.offset()),
                    false => names.remove(name.spelt.as_slice()),
                };
                self.overridden.extend(earlier);
            }
            if !taken {
                walk.skip()?;
                continue;
            }
            let (mut bytes, mut pointer_bytes) = (1, 21);
            if object {
                bytes += name.spelt.len() as u64 + 3;
                // a tilde or a slash takes two
                pointer_bytes = 2 * name.spelt.len() as u64 + 1;
            }
            self.costs_from(part, bytes);
            self.pointer_bytes += pointer_bytes;
            self.value(walk, depth + 1, part)?;
            self.pointer_bytes -= pointer_bytes;
        }
        self.costs_between(inside, whole, self.cut());
        Ok(())
    }
}

/// A member's name as it is spelt in an excerpt.
#[derive(Default)]
struct Name {
    spelt: Vec<u8>,
    units: u64,
    units_max: u64,
    /// It is longer than that, and not kept.
    cut: bool,
}

impl Name {
    /// Another name, by measure `top` at most.
    fn begin(&mut self, top: Option<usize>) {
        self.spelt.clear();
        self.units = 0;
        self.units_max = top.map_or(0, texts);
        self.cut = false;
    }

    fn add(&mut self, units: u64, put: impl FnOnce(&mut Vec<u8>)) {
        self.units += units;
        self.cut |= self.units > self.units_max;
        if !self.cut {
            put(&mut self.spelt);
        }
    }
}

impl TextSink for Name {
    fn text(&mut self, text: &str) {
        self.add(units(text), |spelt| put_text(text, spelt));
    }

    fn lone(&mut self, surrogate: u16) {
        self.add(1, |spelt| put_lone(surrogate, spelt));
    }

    fn wants(&self) -> bool {
        !self.cut
    }
}

/// How many bytes a text takes, cut by each measure.
struct Prefixes<'a> {
    units: u64,
    bytes: u64,
    /// Of those by which it is cut.
    cut_at: &'a mut [u64; LEVELS],
    /// The first measure by which it is not cut, as far as it is known.
    next: usize,
    /// No larger one is of interest.
    top: usize,
}

impl Prefixes<'_> {
    /// So many units follow, of which the first so many take `bytes_of` them; it is asked for more and
    /// more.
    fn add(&mut self, units_added: u64, mut bytes_of: impl FnMut(u64) -> u64) {
        while self.next <= self.top && self.units + units_added > texts(self.next) {
            let room = texts(self.next) - self.units;
            if let Some(cut_at) = self.cut_at.get_mut(self.next) {
                *cut_at = self.bytes + bytes_of(room);
            }
            self.next += 1;
        }
        self.units += units_added;
    }
}

/// How many bytes a text takes that holds no escape, or is one.
fn spelt_bytes(text: &str) -> u64 {
    match text.as_bytes() {
        // escapes come one by one
        [b'"' | b'\\' | 0x8 | 0xc | b'\n' | b'\r' | b'\t'] => 2,
        [0..=0x1f] => 6,
        bytes => bytes.len() as u64,
    }
}

impl TextSink for Prefixes<'_> {
    fn text(&mut self, text: &str) {
        let whole = units(text);
        let (mut bytes, mut passed) = (0, 0);
        self.add(whole, |room| {
            // where it is all ASCII
            if whole == text.len() as u64 {
                return room;
            }
            let more = prefix(text.get(bytes..).unwrap_or_default(), room - passed);
            bytes += more.len();
            passed += units(more);
            bytes as u64
        });
        self.bytes += spelt_bytes(text);
    }

    fn lone(&mut self, _: u16) {
        self.add(1, |_| 0);
        self.bytes += 6;
    }

    fn wants(&self) -> bool {
        self.next <= self.top
    }
}

/// As many whole characters from the beginning as have at most `room` units.
fn prefix(text: &str, room: u64) -> &str {
    // no text has more units than bytes
    if text.len() as u64 <= room {
        return text;
    }
    let mut passed = 0;
    let end = text.char_indices().find_map(|(at, character)| {
        passed += character.len_utf16() as u64;
        (passed > room).then_some(at)
    });
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The value that begins here, cut as it was measured; `pointer` points to it.
///
/// # Errors
/// When the text cannot be read.
pub fn excerpt<I: Input>(
    walk: &mut Walk<I>,
    pointer: &str,
    measure: &Measure,
) -> Result<Excerpt, JsonError> {
    let mut writing = Writing {
        json: Vec::new(),
        cuts: Vec::new(),
        pointer: spelt(pointer),
        spare: measure.spare,
        measure,
    };
    writing.value(walk, 0)?;
    Ok(Excerpt {
        json: writing.json,
        cuts: writing.cuts,
    })
}

struct Writing<'a> {
    json: Vec<u8>,
    cuts: Vec<Cut>,
    /// To where the walk is, as it stands in a JSON string.
    pointer: Vec<u8>,
    /// How many bytes of room there are for more than the measure takes.
    spare: u64,
    measure: &'a Measure,
}

impl Writing<'_> {
    fn cut(&mut self, kind: Kind, size_bytes: u64, length: Option<u64>, given: u64) {
        let pointer = [b"\"", self.pointer.as_slice(), b"\""].concat();
        let pointer = String::from_utf8(pointer).ok();
        let Some(Ok(pointer)) = pointer.map(RawValue::from_string) else {
            return;
        };
        self.cuts.push(Cut {
            pointer,
            kind: kind.into(),
            size_bytes,
            length,
            given,
        });
    }

    fn value<I: Input>(&mut self, walk: &mut Walk<I>, depth: usize) -> Result<(), JsonError> {
        let kind = walk.kind()?;
        let start = walk.offset();
        let longest = texts(self.measure.level);
        match kind {
            Kind::String => {
                self.json.push(b'"');
                let mut first = First {
                    json: &mut self.json,
                    room: longest,
                    spare: &mut self.spare,
                    given: 0,
                    units: 0,
                };
                walk.string(&mut first)?;
                let (given, units) = (first.given, first.units);
                self.json.push(b'"');
                if given < units {
                    self.cut(kind, walk.offset() - start, Some(units), given);
                } else if given > longest {
                    // there was to be a cut
                    self.spare += (CUT_BYTES + self.pointer.len()) as u64;
                }
            }
            Kind::Number => {
                let before = self.json.len();
                let longest = usize::try_from(longest).unwrap_or(usize::MAX);
                let bytes = walk.spelt_number(longest, &mut self.json)?;
                if bytes > longest {
                    self.json.truncate(before);
                    self.json.extend_from_slice(b"null");
                    self.cut(kind, bytes as u64, None, 0);
                }
            }
            Kind::Object | Kind::Array => self.parts(walk, kind, start, depth)?,
            Kind::True | Kind::False | Kind::Null => {
                self.json.extend_from_slice(match kind {
                    Kind::True => b"true",
                    Kind::False => b"false",
                    _ => b"null",
                });
                walk.skip()?;
            }
        }
        Ok(())
    }

    fn parts<I: Input>(
        &mut self,
        walk: &mut Walk<I>,
        kind: Kind,
        start: u64,
        depth: usize,
    ) -> Result<(), JsonError> {
        let object = kind == Kind::Object;
        let level = self.measure.level;
        let open = level >= opened_at(depth);
        self.json.push(if object { b'{' } else { b'[' });
        let told = self.cuts.len();
        walk.enter()?;
        let mut first = true;
        let mut empty = true;
        let (mut count, mut given, mut left_out) = (0, 0, 0);
        let mut name = Name::default();
        loop {
            name.begin(open.then_some(level));
            if !walk.more(&mut first, &mut name)? {
                break;
            }
            let taken = open && level_of_part(count, depth) <= level && !(object && name.cut);
            count += 1;
            walk.kind()?;
            // what a later member overrides would be taken for it
            let overridden = object && self.measure.overridden.contains(&walk.offset());
            if !taken || overridden {
                left_out += u64::from(!taken);
                walk.skip()?;
                continue;
            }
            given += 1;
            if !std::mem::replace(&mut empty, false) {
                self.json.push(b',');
            }
            let pointer_bytes = self.pointer.len();
            self.pointer.push(b'/');
            if object {
                self.json.push(b'"');
                self.json.extend_from_slice(&name.spelt);
                self.json.extend_from_slice(b"\":");
                for &byte in &name.spelt {
                    match byte {
                        b'~' => self.pointer.extend_from_slice(b"~0"),
                        b'/' => self.pointer.extend_from_slice(b"~1"),
                        byte => self.pointer.push(byte),
                    }
                }
            } else {
                let mut buffer = itoa::Buffer::new();
                let index = buffer.format(count - 1);
                self.pointer.extend_from_slice(index.as_bytes());
            }
            self.value(walk, depth + 1)?;
            self.pointer.truncate(pointer_bytes);
        }
        self.json.push(if object { b'}' } else { b']' });
        if left_out > 0 {
            self.cut(kind, walk.offset() - start, Some(count), given);
            // before what was left out within it
            self.cuts
                .get_mut(told..)
                .unwrap_or_default()
                .rotate_right(1);
        }
        Ok(())
    }
}

/// Writes a text's first units.
struct First<'a> {
    json: &'a mut Vec<u8>,
    room: u64,
    /// How many bytes of more than these may be written.
    spare: &'a mut u64,
    given: u64,
    units: u64,
}

impl First<'_> {
    fn put(&mut self, text: &str) {
        put_text(text, self.json);
        self.given += units(text);
    }
}

impl TextSink for First<'_> {
    fn text(&mut self, text: &str) {
        if self.given == self.units {
            let own = prefix(text, self.room);
            self.put(own);
            self.room -= units(own);
            let rest = text.get(own.len()..).unwrap_or_default();
            if !rest.is_empty() {
                self.room = 0;
                let bytes = spelt_bytes(rest);
                let more = match bytes <= *self.spare {
                    true => rest,
                    // an escape comes alone
                    false if bytes > rest.len() as u64 => "",
                    false => {
                        let spare = usize::try_from(*self.spare).unwrap_or(usize::MAX);
                        &rest[..rest.floor_char_boundary(spare)]
                    }
                };
                *self.spare -= spelt_bytes(more);
                self.put(more);
            }
        }
        self.units += units(text);
    }

    fn lone(&mut self, surrogate: u16) {
        const BYTES: u64 = 6;
        if self.given == self.units && (self.room > 0 || *self.spare >= BYTES) {
            match self.room.checked_sub(1) {
                Some(room) => self.room = room,
                None => *self.spare -= BYTES,
            }
            put_lone(surrogate, self.json);
            self.given += 1;
        }
        self.units += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::{Slice, members, tests::values};
    use proptest::prelude::*;
    use serde_json::Value;

    fn walk(text: &str) -> Walk<Slice<'_>> {
        Walk::new(Slice::new(text), 128)
    }

    /// The excerpt of `text` in so many bytes.
    fn cut(text: &str, pointer: &str, bytes_max: u64) -> Option<Excerpt> {
        let measure = measure(&mut walk(text), pointer, bytes_max).unwrap()?;
        Some(excerpt(&mut walk(text), pointer, &measure).unwrap())
    }

    /// The same without what is in the room that the measure leaves; and the measure.
    fn cut_evenly(text: &str, pointer: &str, bytes_max: u64) -> Option<(Excerpt, usize)> {
        let mut measure = measure(&mut walk(text), pointer, bytes_max).unwrap()?;
        measure.spare = 0;
        let excerpt = excerpt(&mut walk(text), pointer, &measure).unwrap();
        Some((excerpt, measure.level))
    }

    /// How many bytes it takes, with what is told of each cut.
    fn taken(excerpt: &Excerpt) -> usize {
        let cuts = excerpt.cuts.iter();
        let told = cuts.map(|cut| serde_json::to_vec(cut).unwrap().len());
        excerpt.json.len() + told.sum::<usize>()
    }

    /// How many parts measure `level` takes of an array or object so deep.
    fn most_parts(level: usize, depth: usize) -> usize {
        match level.checked_sub(1 + 16 * depth) {
            None => 0,
            Some(step @ 0..15) => step + 1,
            Some(step) => (16 + (step - 15) % 16) << ((step - 15) / 16),
        }
    }

    /// The same by way of a tree, with the pointers of what was left out.
    fn by_tree(
        value: &Value,
        level: usize,
        depth: usize,
        at: &str,
        cuts: &mut Vec<String>,
    ) -> Value {
        let first = |units: u64, text: &str| {
            let mut taken = 0;
            text.chars()
                .take_while(|character| {
                    taken += character.len_utf16() as u64;
                    taken <= units
                })
                .collect::<String>()
        };
        let most = texts(level);
        match value {
            Value::String(text) => {
                let given = first(most, text);
                if given != *text {
                    cuts.push(at.to_owned());
                }
                given.into()
            }
            Value::Array(parts) => {
                let given = parts.len().min(most_parts(level, depth));
                if given < parts.len() {
                    cuts.push(at.to_owned());
                }
                let parts = parts[..given].iter().enumerate();
                parts
                    .map(|(number, part)| {
                        by_tree(part, level, depth + 1, &format!("{at}/{number}"), cuts)
                    })
                    .collect()
            }
            Value::Object(parts) => {
                let place = cuts.len();
                let mut given = serde_json::Map::new();
                for (number, (name, part)) in parts.iter().enumerate() {
                    let fits = name.encode_utf16().count() as u64 <= most;
                    if number < most_parts(level, depth) && fits {
                        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                        given.insert(name.clone(), by_tree(part, level, depth + 1, &at, cuts));
                    }
                }
                if given.len() < parts.len() {
                    cuts.insert(place, at.to_owned());
                }
                given.into()
            }
            other => other.clone(),
        }
    }

    /// Whether the texts of `longer` begin as those of `value` do, and all else is the same.
    fn goes_on(value: &Value, longer: &Value) -> bool {
        match (value, longer) {
            (Value::String(text), Value::String(longer)) => longer.starts_with(text),
            (Value::Array(parts), Value::Array(longer)) => {
                let mut pairs = parts.iter().zip(longer);
                parts.len() == longer.len() && pairs.all(|(part, longer)| goes_on(part, longer))
            }
            (Value::Object(parts), Value::Object(longer)) => {
                let mut pairs = parts.iter().zip(longer);
                let same = |((name, part), (other, longer)): ((&String, _), (&String, _))| {
                    name == other && goes_on(part, longer)
                };
                parts.len() == longer.len() && pairs.all(same)
            }
            (value, longer) => value == longer,
        }
    }

    /// A text's units, an array's elements, an object's members.
    fn length(value: &Value) -> u64 {
        let length = match value {
            Value::String(text) => text.encode_utf16().count(),
            Value::Array(parts) => parts.len(),
            Value::Object(parts) => parts.len(),
            _ => 0,
        };
        length as u64
    }

    /// Values with something to cut.
    fn large_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a😀é\n\"\\x01]{0,200}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 200, 70, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..70).prop_map(Value::from),
                prop::collection::btree_map("[a-z~/\"😀]{0,40}", inner, 0..50)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn a_record_is_cut_where_it_is_long_and_nowhere_else() {
        let long = "x".repeat(100_000);
        let text = format!(
            r#"{{"id":"a","cost":1.50e0,"lone":"\ud800","output":"{long}","steps":[{{"output":"{long}"}}]}}"#
        );
        let (excerpt, level) = cut_evenly(&text, "", 5_000).unwrap();
        let json = String::from_utf8(excerpt.json).unwrap();
        let given = "x".repeat(texts(level).try_into().unwrap());
        assert_eq!(
            json,
            format!(
                r#"{{"id":"a","cost":1.50e0,"lone":"\ud800","output":"{given}","steps":[{{"output":"{given}"}}]}}"#
            )
        );
        let told: Vec<_> = excerpt
            .cuts
            .iter()
            .map(|cut| serde_json::to_value(cut).unwrap())
            .collect();
        let expected = |pointer: &str| {
            serde_json::json!({
                "pointer": pointer, "kind": "string", "sizeBytes": 100_002, "length": 100_000,
                "given": given.len()
            })
        };
        assert_eq!(told, [expected("/output"), expected("/steps/0/output")]);
        assert!(cut(&text, "", 10).is_none());
    }

    #[test]
    fn little_room_is_left_unused() {
        let prose = |count: usize| "some words, and then some more; ".repeat(count);
        let step = |number: usize| {
            serde_json::json!({
                "id": format!("step-{number}"), "nodeId": "fetch", "status": "completed",
                "startedAt": "2025-10-15T05:02:46.569Z", "duration": 1200 + number,
                "tokenUsage": { "input": 1200, "output": 300, "total": 1500 },
                "output": { "pages": [number, number + 1], "text": prose(number % 7) }
            })
        };
        let record = |output: usize, steps: usize| {
            serde_json::json!({
                "id": "exec-1760504566569-y49gl3ayg", "projectId": "website", "status": "completed",
                "input": prose(3), "output": prose(output),
                "startedAt": "2025-10-15T05:02:46.569Z", "completedAt": "2025-10-15T05:03:46.569Z",
                "duration": 60000, "costUSD": 0.0123, "retryCount": 0,
                "tokenUsage": { "input": 1200, "output": 300, "total": 1500 },
                "steps": (0..steps).map(step).collect::<Vec<_>>()
            })
        };
        let numbers = serde_json::json!({ "numbers": (0..100_000).collect::<Vec<_>>() });
        for (value, of) in [
            (record(1, 500), "many steps"),
            (record(1000, 500), "many steps and a long text"),
            (record(10_000, 0), "a long text"),
            (numbers, "numbers alone"),
        ] {
            let text = value.to_string();
            for room in (1024..4096)
                .step_by(64)
                .chain((4096..100_000).step_by(1024))
            {
                let used = taken(&cut(&text, "", room).unwrap());
                // what is told of a cut takes less than the room that is kept for it
                assert!(
                    used * 100 > usize::try_from(room).unwrap() * 33,
                    "{of}: {used} of {room}"
                );
            }
        }
    }

    #[test]
    fn a_member_that_is_repeated_behind_the_cut_is_left_out() {
        let many: Vec<String> = (0..1000)
            .map(|number| format!(r#""m{number}":{number}"#))
            .collect();
        let text = format!(
            r#"{{"a":"old","b":1,"b":[2],{},"\u0061":"new"}}"#,
            many.join(",")
        );
        let excerpt = cut(&text, "", 1_000).unwrap();
        let json = String::from_utf8(excerpt.json).unwrap();
        assert!(
            !json.contains("\"a\"") && !json.contains("\"b\":1,"),
            "{json}"
        );
        assert!(
            json.starts_with(r#"{"b":[],"m0":0,"#) || json.starts_with(r#"{"b":[2],"m0":0,"#),
            "{json}"
        );
        assert_eq!(excerpt.cuts[0].length, Some(1004));
    }

    #[test]
    fn numbers_are_given_whole_or_not_at_all() {
        let digits = "7".repeat(500);
        let text = format!("[1.0,{digits},-0]");
        let excerpt = cut(&text, "/n", 400).unwrap();
        assert_eq!(String::from_utf8(excerpt.json).unwrap(), "[1.0,null,-0]");
        assert_eq!(excerpt.cuts[0].pointer.get(), "\"/n/1\"");
        assert_eq!(
            (excerpt.cuts[0].size_bytes, excerpt.cuts[0].given),
            (500, 0)
        );
    }

    /// What `Units` takes of a text, unit by unit.
    fn by_units(text: &[u16], wanted: Units) -> (Vec<u16>, Units) {
        let moved = |at: u64| {
            let at = (at as usize).min(text.len());
            let high = |unit: &u16| (0xd800..0xdc00).contains(unit);
            let low = |unit: &u16| (0xdc00..0xe000).contains(unit);
            let split = at > 0 && text.get(at).is_some_and(low) && high(&text[at - 1]);
            // the half before may itself be the second of a pair
            if split { at - 1 } else { at }
        };
        let (start, end) = (moved(wanted.start), moved(wanted.end));
        let units = Units {
            start: start as u64,
            end: end as u64,
        };
        (text[start..end].to_vec(), units)
    }

    /// The units that a JSON string stands for.
    fn decoded(spelling: &str) -> Vec<u16> {
        struct Held(Vec<u16>);
        impl TextSink for Held {
            fn text(&mut self, text: &str) {
                self.0.extend(text.encode_utf16());
            }
            fn lone(&mut self, surrogate: u16) {
                self.0.push(surrogate);
            }
        }
        let mut held = Held(Vec::new());
        walk(spelling).string(&mut held).unwrap();
        held.0
    }

    /// Strings as they may be spelt, with all that is odd.
    fn spellings() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zé日]{1,40}".prop_map(|text| text),
            3 => prop::sample::select(vec![
                "😀", "\\ud83d\\ude00", "\\uD83D", "\\ude00", "\\n", "\\u0001", "\\/", "\\\"", "\u{7f}",
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    proptest! {
        #[test]
        fn an_excerpt_is_what_a_tree_gives_and_fits(value in large_values(), bytes_max in 0u64..30_000) {
            let text = value.to_string();
            let Some((excerpt, level)) = cut_evenly(&text, "/at", bytes_max) else {
                return Ok(());
            };
            prop_assert!(taken(&excerpt) as u64 <= bytes_max);
            let mut cuts = Vec::new();
            let expected = by_tree(&value, level, 0, "/at", &mut cuts);
            let found: Value = serde_json::from_slice(&excerpt.json).unwrap();
            prop_assert_eq!(found, expected);
            let pointers: Vec<String> = excerpt
                .cuts
                .iter()
                .map(|cut| serde_json::from_str(cut.pointer.get()).unwrap())
                .collect();
            prop_assert_eq!(pointers, cuts);
        }

        #[test]
        fn what_room_is_left_is_for_texts(value in large_values(), bytes_max in 0u64..30_000) {
            let text = value.to_string();
            let Some((evenly, _)) = cut_evenly(&text, "/at", bytes_max) else {
                return Ok(());
            };
            let excerpt = cut(&text, "/at", bytes_max).unwrap();
            prop_assert!(taken(&excerpt) as u64 <= bytes_max);
            let [even, found] = [&evenly, &excerpt].map(|excerpt| {
                serde_json::from_slice::<Value>(&excerpt.json).unwrap()
            });
            prop_assert!(goes_on(&even, &found));
            for cut in &excerpt.cuts {
                let pointer: String = serde_json::from_str(cut.pointer.get()).unwrap();
                let pointer = pointer.strip_prefix("/at").unwrap();
                let (given, whole) = (found.pointer(pointer).unwrap(), value.pointer(pointer).unwrap());
                prop_assert_eq!(length(given), cut.given);
                prop_assert_eq!(Some(length(whole)), cut.length);
            }
        }

        #[test]
        fn whatever_fits_is_not_cut(value in values()) {
            let text = value.to_string();
            if let Some((excerpt, level)) = cut_evenly(&text, "", 1 << 20) {
                prop_assert_eq!(level, LEVELS - 1);
                prop_assert_eq!(serde_json::from_slice::<Value>(&excerpt.json).unwrap(), value);
            }
        }

        #[test]
        fn a_part_of_a_text_is_what_its_units_are(spelling in spellings(), a in 0u64..300, b in 0u64..300) {
            let wanted = Units { start: a.min(b), end: a.max(b) };
            let part = part_of_text(&mut walk(&spelling), wanted, u64::MAX).unwrap().unwrap();
            let (units, range) = by_units(&decoded(&spelling), wanted);
            prop_assert_eq!(decoded(std::str::from_utf8(&part.json).unwrap()), units);
            prop_assert_eq!(part.units, range);
        }

        #[test]
        fn parts_that_follow_each_other_are_the_text(spelling in spellings(), step in 1u64..9, room in 14u64..60) {
            let whole = decoded(&spelling);
            let (mut units, mut at) = (Vec::new(), 0);
            while at < whole.len() as u64 {
                // a character of two units does not fit into one
                let wanted = Units { start: at, end: at + step.max(2) };
                let part = part_of_text(&mut walk(&spelling), wanted, room).unwrap().unwrap();
                prop_assert!(part.json.len() as u64 <= room);
                prop_assert!(part.units.start == at && part.units.end > at);
                units.extend(decoded(std::str::from_utf8(&part.json).unwrap()));
                at = part.units.end;
            }
            prop_assert_eq!(units, whole);
        }

        #[test]
        fn names_are_kept_as_they_are_meant(spelling in spellings()) {
            let text = format!("{{{spelling}:1}}");
            let excerpt = cut(&text, "", 1 << 20).unwrap();
            let json = String::from_utf8(excerpt.json).unwrap();
            let name = |text: &str| members(text).next().unwrap().0.into_owned();
            prop_assert_eq!(name(&json), name(&text));
        }
    }
}
