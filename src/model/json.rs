//! Walking over JSON text: strict, without a tree and without recursion.
//!
//! Records are kept as they were written (section 6 of the protocol), so nothing here ever
//! rebuilds a value: a walk says where values begin and end, what kind they are, and reads the
//! few that somebody wants. It accepts exactly RFC 8259; lone surrogates are accepted as escapes,
//! as that grammar does. Nesting costs one bit a level, so that no file is too deep to be walked.
//!
//! The same walk runs over text in memory ([`Slice`]) and over a stream through a window of fixed
//! size ([`Stream`]), so that a record of any size is read in bounded memory.

mod input;
mod parts;
mod write;

pub use input::{Input, Slice, Stream, WINDOW, text};
pub use parts::{
    check, check_members, decode_string, elements, members, spelt_members, string_bytes,
};
pub(super) use write::put_string;
pub use write::{put_lone, put_text};

use super::window::{
    blank_end, literal_end, name_end, number_end, plain_prefix, short_string, string_end,
    string_rest,
};

/// How deep a record may be nested that is given or stored; a deeper one is listed all the same.
pub const RECORD_NESTING_MAX: usize = 128;

/// Why text is not one JSON value.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// A byte that cannot stand where it does.
    #[error("unexpected byte at offset {offset}")]
    Syntax {
        /// Which byte, from the beginning.
        offset: u64,
    },
    /// Not UTF-8.
    #[error("not UTF-8 at offset {offset}")]
    Utf8 {
        /// Which byte, from the beginning.
        offset: u64,
    },
    /// Nested deeper than asked for.
    #[error("nested deeper than {limit} levels")]
    Depth {
        /// How deep it may be.
        limit: usize,
    },
    /// The text ends before the value does.
    #[error("ends early, at offset {offset}")]
    Truncated {
        /// Where it ends.
        offset: u64,
    },
    /// The text could not be read to its end.
    #[error("{0}")]
    Io(std::io::Error),
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

impl Kind {
    fn of(first: u8) -> Option<Self> {
        Some(match first {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b'-' | b'0'..=b'9' => Self::Number,
            b't' => Self::True,
            b'f' => Self::False,
            b'n' => Self::Null,
            _ => return None,
        })
    }
}

/// Takes the text of a string as it is decoded.
pub trait TextSink {
    /// Some characters.
    fn text(&mut self, text: &str);
    /// A surrogate without its other half.
    fn lone(&mut self, surrogate: u16);
    /// Whether more of the string makes a difference; if not, it need not be told.
    fn wants(&self) -> bool {
        true
    }
}

/// Takes nothing.
struct Nothing;

impl TextSink for Nothing {
    fn text(&mut self, _: &str) {}
    fn lone(&mut self, _: u16) {}
    fn wants(&self) -> bool {
        false
    }
}

/// Takes a number as it is read.
pub trait NumberSink {
    /// It is below zero.
    fn negative(&mut self);
    /// A digit, before the point or after it.
    fn digit(&mut self, digit: u8, fraction: bool);
    /// A digit of the exponent, and whether that is below zero.
    fn exponent(&mut self, digit: u8, negative: bool);
}

impl NumberSink for Nothing {
    fn negative(&mut self) {}
    fn digit(&mut self, _: u8, _: bool) {}
    fn exponent(&mut self, _: u8, _: bool) {}
}

/// What is open around the place of a walk.
#[derive(Debug)]
struct Levels {
    /// What each level is: a set bit is an object.
    bits: Vec<u64>,
    depth: usize,
    deepest: usize,
    depth_max: usize,
}

impl Levels {
    /// One level more; false if that would be too deep.
    #[inline]
    fn open(&mut self, object: bool) -> bool {
        if self.depth == self.depth_max {
            return false;
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word = (*word & !(1 << bit)) | (u64::from(object) << bit);
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        true
    }

    #[inline]
    fn close(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn in_object(&self) -> bool {
        let top = self.depth - 1;
        self.bits
            .get(top / 64)
            .is_some_and(|word| word >> (top % 64) & 1 == 1)
    }
}

/// What must come next while a value is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    /// An element, or the end of the array.
    Element,
    Name,
    /// A name, or the end of the object.
    Member,
    /// A comma, or the end of what is open.
    Rest,
}

/// A walk over one text.
#[derive(Debug)]
pub struct Walk<I> {
    input: I,
    levels: Levels,
}

impl<I: Input> Walk<I> {
    /// A walk that refuses what is nested deeper than `depth_max`.
    pub fn new(input: I, depth_max: usize) -> Self {
        let levels = Levels {
            bits: Vec::new(),
            depth: 0,
            deepest: 0,
            depth_max,
        };
        Self { input, levels }
    }

    /// How many bytes have been passed.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The most levels that were open at once.
    pub fn deepest(&self) -> usize {
        self.levels.deepest
    }

    #[inline]
    fn peek(&mut self) -> Result<Option<u8>, JsonError> {
        if let Some(&byte) = self.input.window().first() {
            return Ok(Some(byte));
        }
        self.input.refill()?;
        Ok(self.input.window().first().copied())
    }

    #[inline]
    fn must_peek(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek()?;
        byte.ok_or_else(|| JsonError::Truncated {
            offset: self.input.offset(),
        })
    }

    fn unexpected<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax {
            offset: self.input.offset(),
        })
    }

    /// The next byte that is no whitespace.
    #[inline]
    fn next(&mut self) -> Result<u8, JsonError> {
        loop {
            let blank = blank_end(self.input.window(), 0);
            self.input.advance(blank);
            match self.must_peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => {}
                byte => return Ok(byte),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.must_peek()? != byte {
            return self.unexpected();
        }
        self.input.advance(1);
        Ok(())
    }

    /// What the next value is.
    ///
    /// # Errors
    /// When no value begins here.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        let first = self.next()?;
        Kind::of(first).map_or_else(|| self.unexpected(), Ok)
    }

    /// Goes past whitespace and makes sure that nothing follows.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&mut self) -> Result<(), JsonError> {
        while let Some(byte) = self.peek()? {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return self.unexpected();
            }
            self.input.advance(1);
        }
        Ok(())
    }

    fn open(&mut self, object: bool) -> Result<(), JsonError> {
        if !self.levels.open(object) {
            return Err(JsonError::Depth {
                limit: self.levels.depth_max,
            });
        }
        self.input.advance(1);
        Ok(())
    }

    fn close(&mut self) {
        self.levels.close();
        self.input.advance(1);
    }

    fn in_object(&self) -> bool {
        self.levels.in_object()
    }

    /// Goes past a member's name and colon.
    fn name(&mut self, sink: &mut impl TextSink) -> Result<(), JsonError> {
        if self.next()? != b'"' {
            return self.unexpected();
        }
        if let Some(len) = short_string(self.input.window(), 0).map(<[u8]>::len) {
            self.input.advance(1);
            if let Some(text) = self.input.text(len) {
                sink.text(text);
            }
            self.input.advance(len + 1);
        } else {
            self.string(sink)?;
        }
        self.next()?;
        self.expect(b':')
    }

    /// Goes past the next value.
    ///
    /// # Errors
    /// When it is none.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let outside = self.levels.depth;
        let mut expected = Expected::Value;
        loop {
            expected = self.skip_in_window(outside, expected);
            if expected == Expected::Rest && self.levels.depth == outside {
                return Ok(());
            }
            // what is not whole in the window, or wrong
            expected = self.skip_part(expected)?;
        }
    }

    /// How many levels are open.
    pub fn depth(&self) -> usize {
        self.levels.depth
    }

    /// Goes past the rest of what was entered since so many levels were open, which is between two
    /// values.
    ///
    /// # Errors
    /// When it is not sound.
    pub fn leave(&mut self, depth: usize) -> Result<(), JsonError> {
        let mut expected = Expected::Rest;
        while self.levels.depth > depth {
            expected = self.skip_in_window(depth, expected);
            if self.levels.depth > depth {
                expected = self.skip_part(expected)?;
            }
        }
        Ok(())
    }

    /// Goes past as much as the window holds whole, without a look at anything else; most of a
    /// record is passed here. What is not sound is left where it is.
    fn skip_in_window(&mut self, outside: usize, mut expected: Expected) -> Expected {
        let Self { input, levels } = self;
        let window = input.window();
        let mut passed = 0;
        // one part after the other, so that each has branches of its own to be guessed
        'parts: loop {
            if matches!(expected, Expected::Name | Expected::Member) {
                let at = blank_end(window, passed);
                match window.get(at) {
                    Some(b'"') => {
                        let Some(end) = name_end(window, at) else {
                            break;
                        };
                        (passed, expected) = (end, Expected::Value);
                    }
                    Some(b'}') if expected == Expected::Member => {
                        levels.close();
                        (passed, expected) = (at + 1, Expected::Rest);
                    }
                    _ => break,
                }
            }
            if matches!(expected, Expected::Value | Expected::Element) {
                let at = blank_end(window, passed);
                let Some(&byte) = window.get(at) else { break };
                let end = match byte {
                    b'"' => string_end(window, at),
                    b'{' | b'[' => {
                        let object = byte == b'{';
                        if !levels.open(object) {
                            break;
                        }
                        let inner = match object {
                            true => Expected::Member,
                            false => Expected::Element,
                        };
                        (passed, expected) = (at + 1, inner);
                        continue;
                    }
                    b']' if expected == Expected::Element => {
                        levels.close();
                        Some(at + 1)
                    }
                    b't' | b'f' | b'n' => literal_end(window, at),
                    _ => number_end(window, at),
                };
                let Some(end) = end else { break };
                (passed, expected) = (end, Expected::Rest);
            }
            while expected == Expected::Rest {
                if levels.depth == outside {
                    break 'parts;
                }
                let at = blank_end(window, passed);
                match window.get(at) {
                    Some(b',') if levels.in_object() => expected = Expected::Name,
                    Some(b',') => expected = Expected::Value,
                    Some(b'}') if levels.in_object() => levels.close(),
                    Some(b']') if !levels.in_object() => levels.close(),
                    _ => break 'parts,
                }
                passed = at + 1;
            }
        }
        input.advance(passed);
        expected
    }

    /// Goes past the next name, mark or value that is neither object nor array, byte by byte and
    /// from window to window; says what must come then.
    fn skip_part(&mut self, expected: Expected) -> Result<Expected, JsonError> {
        let byte = self.next()?;
        match (expected, byte) {
            (Expected::Rest | Expected::Member, b'}') if self.in_object() => self.close(),
            (Expected::Rest | Expected::Element, b']') if !self.in_object() => self.close(),
            (Expected::Rest, b',') => {
                self.input.advance(1);
                return Ok(match self.in_object() {
                    true => Expected::Name,
                    false => Expected::Value,
                });
            }
            (Expected::Rest, _) => return self.unexpected(),
            (Expected::Name | Expected::Member, _) => {
                self.name(&mut Nothing)?;
                return Ok(Expected::Value);
            }
            (Expected::Value | Expected::Element, _) => match self.kind()? {
                Kind::Object => {
                    self.open(true)?;
                    return Ok(Expected::Member);
                }
                Kind::Array => {
                    self.open(false)?;
                    return Ok(Expected::Element);
                }
                Kind::String => self.string(&mut Nothing)?,
                Kind::Number => self.number(&mut Nothing)?,
                Kind::True => self.literal(b"true")?,
                Kind::False => self.literal(b"false")?,
                Kind::Null => self.literal(b"null")?,
            },
        }
        Ok(Expected::Rest)
    }

    /// Goes into the object or array that begins here; [`Walk::more`] then tells its parts.
    ///
    /// # Errors
    /// When it is nested too deep.
    pub fn enter(&mut self) -> Result<(), JsonError> {
        let object = self.next()? == b'{';
        self.open(object)
    }

    /// Whether another part of what was entered follows; goes to it, or out at the end. `first`
    /// is true at the first call after [`Walk::enter`]. A member's name goes to `name`.
    ///
    /// # Errors
    /// When neither a part nor the end follows.
    pub fn more(&mut self, first: &mut bool, name: &mut impl TextSink) -> Result<bool, JsonError> {
        let object = self.in_object();
        let byte = self.next()?;
        if byte == if object { b'}' } else { b']' } {
            self.close();
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        if object {
            self.name(name)?;
        }
        Ok(true)
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        word.iter().try_for_each(|&byte| self.expect(byte))
    }

    /// Goes past a string, which begins here, and gives its text to `sink`.
    ///
    /// # Errors
    /// When it is none.
    pub fn string(&mut self, sink: &mut impl TextSink) -> Result<(), JsonError> {
        self.expect(b'"')?;
        loop {
            if !sink.wants() {
                // the rest is of no interest: as much of it at once as the window has
                let passed = string_rest(self.input.window(), 0);
                self.input.advance(passed);
            }
            let window = self.input.window();
            let plain = plain_prefix(window);
            let next = window.get(plain).copied();
            if sink.wants()
                && let Some(text) = self.input.text(plain).filter(|text| !text.is_empty())
            {
                sink.text(text);
            }
            self.input.advance(plain);
            match next {
                Some(b'"') => {
                    self.input.advance(1);
                    return Ok(());
                }
                Some(b'\\') => self.escape(sink)?,
                Some(_) => return self.unexpected(),
                None => drop(self.must_peek()?),
            }
        }
    }

    fn escape(&mut self, sink: &mut impl TextSink) -> Result<(), JsonError> {
        self.input.advance(1);
        if self.must_peek()? == b'u' {
            self.input.advance(1);
            return self.unit(sink);
        }
        self.simple_escape(sink)
    }

    /// An escape of one letter, its backslash being passed.
    fn simple_escape(&mut self, sink: &mut impl TextSink) -> Result<(), JsonError> {
        // each by itself: a text of one letter is a byte that is put down
        match self.must_peek()? {
            b'"' => sink.text("\""),
            b'\\' => sink.text("\\"),
            b'/' => sink.text("/"),
            b'b' => sink.text("\u{8}"),
            b'f' => sink.text("\u{c}"),
            b'n' => sink.text("\n"),
            b'r' => sink.text("\r"),
            b't' => sink.text("\t"),
            _ => return self.unexpected(),
        }
        self.input.advance(1);
        Ok(())
    }

    /// The digits of a `\u` escape, and those after them that belong to the same character.
    fn unit(&mut self, sink: &mut impl TextSink) -> Result<(), JsonError> {
        let mut unit = self.hex()?;
        loop {
            if let Some(character) = char::from_u32(u32::from(unit)) {
                sink.text(character.encode_utf8(&mut [0; 4]));
                return Ok(());
            }
            if unit >= 0xdc00 || self.peek()? != Some(b'\\') {
                sink.lone(unit);
                return Ok(());
            }
            // perhaps the other half
            self.input.advance(1);
            if self.must_peek()? != b'u' {
                sink.lone(unit);
                return self.simple_escape(sink);
            }
            self.input.advance(1);
            let next = self.hex()?;
            if let Some(Ok(character)) = char::decode_utf16([unit, next]).next() {
                sink.text(character.encode_utf8(&mut [0; 4]));
                return Ok(());
            }
            sink.lone(unit);
            unit = next;
        }
    }

    fn hex(&mut self) -> Result<u16, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.must_peek()?;
            let Some(digit) = char::from(byte).to_digit(16) else {
                return self.unexpected();
            };
            unit = unit * 16 + digit;
            self.input.advance(1);
        }
        Ok(u16::try_from(unit).unwrap_or_default())
    }

    /// Goes past a number, which begins here, and gives it to `sink`.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&mut self, sink: &mut impl NumberSink) -> Result<(), JsonError> {
        if self.must_peek()? == b'-' {
            self.input.advance(1);
            sink.negative();
        }
        match self.must_peek()? {
            b'0' => {
                self.input.advance(1);
                sink.digit(0, false);
            }
            b'1'..=b'9' => self.digits(|digit| sink.digit(digit, false))?,
            _ => return self.unexpected(),
        }
        if self.peek()? == Some(b'.') {
            self.input.advance(1);
            self.some_digits(|digit| sink.digit(digit, true))?;
        }
        if matches!(self.peek()?, Some(b'e' | b'E')) {
            self.input.advance(1);
            let sign = self.must_peek()?;
            if matches!(sign, b'+' | b'-') {
                self.input.advance(1);
            }
            self.some_digits(|digit| sink.exponent(digit, sign == b'-'))?;
        }
        Ok(())
    }

    /// Goes past the number that begins here and appends its spelling to `out` while that is no
    /// longer than `longest`; how long it is. Whether it is sound is not looked at.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn spelt_number(&mut self, longest: usize, out: &mut Vec<u8>) -> Result<usize, JsonError> {
        let mut length = 0;
        while let Some(byte @ (b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) = self.peek()? {
            if length < longest {
                out.push(byte);
            }
            self.input.advance(1);
            length += 1;
        }
        Ok(length)
    }

    fn some_digits(&mut self, sink: impl FnMut(u8)) -> Result<(), JsonError> {
        if !self.must_peek()?.is_ascii_digit() {
            return self.unexpected();
        }
        self.digits(sink)
    }

    fn digits(&mut self, mut sink: impl FnMut(u8)) -> Result<(), JsonError> {
        while let Some(byte @ b'0'..=b'9') = self.peek()? {
            self.input.advance(1);
            sink(byte - b'0');
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::borrow::Cow;
    use std::io::Read;

    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Any value that serde_json can hold.
    pub(crate) fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[\\x00-\\x1f\"\\\\/é😀]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,5}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// JSON texts and such as are nearly JSON: valid ones with a few bytes exchanged.
    pub(crate) fn texts() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud83d", "\\ude00", "\\n", "0", "1",
            "-", ".", "e", "+", "E5", "00", "null", "true", "fals", " ", "\n", "\u{1}", "é",
            "\"a\":", "{}", "\u{feff}",
        ];
        let edits = prop::collection::vec(
            (any::<prop::sample::Index>(), 0..PIECES.len(), 0..3usize),
            0..3,
        );
        (values(), any::<bool>(), edits).prop_map(|(value, pretty, edits)| {
            let text = if pretty {
                serde_json::to_string_pretty(&value)
            } else {
                serde_json::to_string(&value)
            };
            let mut chars: Vec<char> = text.unwrap().chars().collect();
            for (at, piece, gone) in edits {
                let at = at.index(chars.len() + 1);
                let end = (at + gone).min(chars.len());
                chars.splice(at..end, PIECES[piece].chars());
            }
            chars.into_iter().collect()
        })
    }

    /// Gives a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn streams(bytes: &[u8], drop: usize) -> Result<(), JsonError> {
        let mut buffer = Vec::new();
        let mut walk = Walk::new(Stream::new(Drops(bytes, drop), &mut buffer), usize::MAX);
        walk.skip()?;
        walk.end()
    }

    fn valid(text: &str) -> bool {
        // deeper values are not generated
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in 0..200 {
            let mut bytes = vec![0xc3; length];
            assert_eq!(plain_prefix(&bytes), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0, 0x1f] {
                    for after in [b'a', 0x20, 0x7f, 0x80, 0xff, b'"', 0] {
                        bytes[at] = special;
                        if let Some(next) = bytes.get_mut(at + 1) {
                            *next = after;
                        }
                        assert_eq!(plain_prefix(&bytes), at);
                        bytes.fill(0x21);
                    }
                }
            }
        }
    }

    /// Strings and such as are nearly strings, their special bytes at any distance.
    fn string_parts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            6 => (0_usize..70).prop_map(|length| "x".repeat(length)),
            2 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d", "é", "😀", "\\/"])
                .prop_map(str::to_owned),
            1 => (0_usize..70).prop_map(|length| "\\\\".repeat(length)),
            1 => (0_usize..9).prop_map(|length| "\\".repeat(length)),
            1 => prop::sample::select(vec!["\"", "\u{1f}", "\n", "\\x", "\\u12", "\\uq123", "\\"])
                .prop_map(str::to_owned),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    /// Where a string's rest ends, byte by byte.
    fn string_rest_slowly(text: &[u8]) -> usize {
        let mut at = 0;
        loop {
            match text.get(at..).unwrap_or_default() {
                [b'\\', b'u', a, b, c, d, ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    at += 6;
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    ..,
                ] => at += 2,
                [] | [b'"' | b'\\' | 0..=0x1f, ..] => return at,
                _ => at += 1,
            }
        }
    }

    struct Kept(String);

    impl TextSink for Kept {
        fn text(&mut self, text: &str) {
            self.0.push_str(text);
        }
        fn lone(&mut self, _: u16) {}
    }

    #[test]
    fn names_and_strings_of_every_length_are_whole() {
        for (name, text) in (0..70).flat_map(|name| (0..70).map(move |text| (name, text))) {
            for (open, between) in [("{", ":"), ("{\n  ", ": ")] {
                let (name, text) = ("n".repeat(name), "t".repeat(text));
                let object = format!("{open}\"{name}\"{between}\"{text}\"}}");
                let found: Vec<_> = members(&object).collect();
                let value = format!("\"{text}\"");
                assert_eq!(found, [(Cow::Borrowed(&*name), &*value)], "{object}");
                assert!(check(object.as_bytes(), 9).is_ok(), "{object}");
                let mut walk = Walk::new(Slice::new(&object), 9);
                walk.enter().unwrap();
                let mut sink = Kept(String::new());
                assert!(walk.more(&mut true, &mut sink).unwrap());
                assert_eq!(sink.0, name, "{object}");
                walk.skip().unwrap();
                assert!(!walk.more(&mut false, &mut sink).unwrap(), "{object}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_string_ends_where_it_does_byte_by_byte(parts in string_parts(), before in 0_usize..70) {
            let end = string_rest_slowly(parts.as_bytes());
            prop_assert_eq!(string_rest(parts.as_bytes(), 0), end);
            let text = format!("{}\"{parts}", " ".repeat(before));
            let closed = parts.as_bytes().get(end) == Some(&b'"');
            let behind = before + 1 + end + 1;
            prop_assert_eq!(string_end(text.as_bytes(), before), closed.then_some(behind));
        }
    }

    #[test]
    fn the_grammar_is_neither_wider_nor_narrower() {
        for text in [
            "0",
            "-0",
            "1.5e-7",
            "1E+400",
            "\"\"",
            "\"\\ud800\"",
            "\"\u{7f}\"",
            " [ ] ",
            "{\"a\":{\"a\":1}}",
            "[1,2 , 3]",
            "\"\\uD83D\\uDE00\"",
            "\"\\ud83d\\n\"",
            "\"\\ud83d\\ud83d\\ude00\"",
            "123456789012345678901234567890",
        ] {
            assert!(check(text.as_bytes(), 9).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "00",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "Infinity",
            "nul",
            "nulll",
            "True",
            "'a'",
            "\"",
            "\"\\\"",
            "\"\\x41\"",
            "\"\\u12\"",
            "\"\t\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1]",
            "[1}",
            "1 1",
            "[]x",
            "\u{feff}1",
            "/**/1",
            "\u{a0}1",
        ] {
            assert!(check(text.as_bytes(), 9).is_err(), "{text:?}");
        }
        assert!(matches!(
            check(b"\"\xff\"", 9),
            Err(JsonError::Utf8 { offset: 1 })
        ));
        assert!(matches!(
            check(b"[[[]]]", 2),
            Err(JsonError::Depth { limit: 2 })
        ));
        assert!(check(b"[[[]],[[]]]", 3).is_ok());
    }

    #[test]
    fn depth_costs_neither_stack_nor_much_memory() {
        let deep = "[".repeat(3_000_000);
        assert!(matches!(
            check(deep.as_bytes(), usize::MAX),
            Err(JsonError::Truncated { .. })
        ));
        let whole = format!("{deep}{}", "]".repeat(3_000_000));
        assert!(check(whole.as_bytes(), usize::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn accepts_exactly_what_serde_json_does(text in texts(), drop in 1usize..9) {
            prop_assert_eq!(check(text.as_bytes(), usize::MAX).is_ok(), valid(&text), "{}", text);
            prop_assert_eq!(streams(text.as_bytes(), drop).is_ok(), valid(&text), "{}", text);
        }

        #[test]
        fn random_bytes_never_panic_and_stream_like_slices(
            bytes in prop::collection::vec(any::<u8>(), 0..40), drop in 1usize..5
        ) {
            prop_assert_eq!(check(&bytes, usize::MAX).is_ok(), streams(&bytes, drop).is_ok());
        }

        #[test]
        fn parts_are_those_of_serde_json(value in values()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            match &value {
                Value::Object(object) => {
                    let found: Vec<(String, Value)> = members(&text)
                        .map(|(name, raw)| (name.into_owned(), serde_json::from_str(raw).unwrap()))
                        .collect();
                    let expected: Vec<(String, Value)> =
                        object.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                    prop_assert_eq!(found, expected);
                }
                Value::Array(array) => {
                    let found: Vec<Value> =
                        elements(&text).map(|raw| serde_json::from_str(raw).unwrap()).collect();
                    prop_assert_eq!(&found, array);
                }
                Value::String(string) => prop_assert_eq!(&*decode_string(&text), string),
                _ => prop_assert_eq!(members(&text).count() + elements(&text).count(), 0),
            }
        }
    }
}
