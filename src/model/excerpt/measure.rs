//! The first walk: how much of everything there is room for.

use std::collections::{HashMap, HashSet};

use super::{CUT_BYTES, LEVELS, level_of, level_of_part, opened_at, texts};
use crate::model::json::{Input, JsonError, Kind, TextSink, Walk, put_lone, put_text};
use crate::model::pointer::units;

/// How a value is cut, for a walk over the same text again.
#[derive(Debug)]
pub struct Measure {
    pub(super) level: usize,
    /// How many bytes of room it leaves.
    pub(super) spare: u64,
    /// The offsets of the values of members that are repeated later.
    pub(super) overridden: HashSet<u64>,
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
pub(super) fn spelt(text: &str) -> Vec<u8> {
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
pub(super) struct Name {
    pub(super) spelt: Vec<u8>,
    pub(super) units: u64,
    units_max: u64,
    /// It is longer than that, and not kept.
    pub(super) cut: bool,
}

impl Name {
    /// Another name, by measure `top` at most.
    pub(super) fn begin(&mut self, top: Option<usize>) {
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
pub(super) fn spelt_bytes(text: &str) -> u64 {
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
pub(super) fn prefix(text: &str, room: u64) -> &str {
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
