//! The second walk, which writes what there is room for.

use serde_json::value::RawValue;

use super::measure::{Measure, Name, prefix, spelt, spelt_bytes};
use super::{CUT_BYTES, Cut, level_of_part, opened_at, texts};
use crate::model::json::{Input, JsonError, Kind, TextSink, Walk, put_lone, put_text};
use crate::model::pointer::units;

/// A value cut down.
#[derive(Debug)]
pub struct Excerpt {
    /// Its JSON text.
    pub json: Vec<u8>,
    /// What was left out, in the order of the record.
    pub cuts: Vec<Cut>,
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
