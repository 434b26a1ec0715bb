//! Text in memory, checked and taken apart: members, elements and strings as they are spelt.

use std::borrow::Cow;

use super::{JsonError, Kind, Nothing, Slice, TextSink, Walk};

/// Checks that `text` is one JSON value nested at most `depth_max` deep, with whitespace around
/// it at most, and says which kind.
///
/// # Errors
/// [`JsonError`] with the offset of what is wrong.
pub fn check(text: &[u8], depth_max: usize) -> Result<(&str, Kind), JsonError> {
    let text = super::text(text)?;
    let mut walk = Walk::new(Slice::new(text), depth_max);
    let kind = walk.kind()?;
    walk.skip()?;
    walk.end()?;
    Ok((text, kind))
}

/// Checks that `text` is one object nested at most `depth_max` deep, with whitespace around it at
/// most, and tells its members on the way: names decoded as by [`members`], values as they are spelt.
///
/// # Errors
/// [`JsonError`] with the offset of what is wrong; some members have been told by then.
pub fn check_members<'a>(
    text: &'a str,
    depth_max: usize,
    mut tell: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), JsonError> {
    let mut walk = Walk::new(Slice::new(text), depth_max);
    if walk.kind()? != Kind::Object {
        return walk.unexpected();
    }
    walk.enter()?;
    let mut first = true;
    while let Some((name, value)) = part(&mut walk, &mut first, text)? {
        tell(decode_string(name), value);
    }
    walk.end()
}

/// The members of an object: names decoded (a lone surrogate becomes U+FFFD), values as they are
/// spelt. Ends early where the text is not an object after all.
pub fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    parts(object, Kind::Object).map(|(name, value)| (decode_string(name), value))
}

/// As [`members`], with names as they are spelt, quotes included.
pub fn spelt_members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    parts(object, Kind::Object)
}

/// The elements of an array as they are spelt. Ends early where the text is not an array after
/// all.
pub fn elements(array: &str) -> impl Iterator<Item = &str> {
    parts(array, Kind::Array).map(|(_, value)| value)
}

/// The spelling of each part's name, if it has one, and value.
fn parts(text: &str, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
    let mut walk = Walk::new(Slice::new(text), usize::MAX);
    let mut going = walk.kind().is_ok_and(|found| found == kind) && walk.enter().is_ok();
    let mut first = true;
    std::iter::from_fn(move || {
        if !going {
            return None;
        }
        let next = part(&mut walk, &mut first, text).ok().flatten();
        going = next.is_some();
        next
    })
}

/// Goes past the next part of what was entered, or out at its end, where there is none.
fn part<'a>(
    walk: &mut Walk<Slice<'a>>,
    first: &mut bool,
    text: &'a str,
) -> Result<Option<(&'a str, &'a str)>, JsonError> {
    let object = walk.in_object();
    let close = if object { b'}' } else { b']' };
    if walk.next()? == close {
        walk.close();
        return Ok(None);
    }
    if !std::mem::replace(first, false) {
        walk.expect(b',')?;
    }
    let spelt = |from: usize, walk: &Walk<Slice<'a>>| text.get(from..walk.input.at);
    let mut name = "";
    if object {
        walk.next()?;
        let from = walk.input.at;
        walk.string(&mut Nothing)?;
        name = spelt(from, walk).unwrap_or_default();
        walk.next()?;
        walk.expect(b':')?;
    }
    walk.next()?;
    let from = walk.input.at;
    walk.skip()?;
    Ok(Some((name, spelt(from, walk).unwrap_or_default())))
}

/// The text of a string as it is spelt, quotes included; a lone surrogate becomes U+FFFD.
#[must_use]
pub fn decode_string(spelling: &str) -> Cow<'_, str> {
    struct Text(String);
    impl TextSink for Text {
        fn text(&mut self, text: &str) {
            self.0.push_str(text);
        }
        fn lone(&mut self, _: u16) {
            self.0.push(char::REPLACEMENT_CHARACTER);
        }
    }
    if let Some(text) = plain(spelling) {
        return Cow::Borrowed(text);
    }
    let mut text = Text(String::with_capacity(spelling.len()));
    // what is no string has no text
    let _ = Walk::new(Slice::new(spelling), 0).string(&mut text);
    Cow::Owned(text.0)
}

/// What strings are told apart by, however they are spelt: their UTF-8, in which a lone surrogate
/// is encoded as characters are (WTF-8), and so is none but itself.
#[must_use]
pub fn string_bytes(spelling: &str) -> Cow<'_, [u8]> {
    struct Bytes(Vec<u8>);
    impl TextSink for Bytes {
        fn text(&mut self, text: &str) {
            self.0.extend_from_slice(text.as_bytes());
        }
        fn lone(&mut self, surrogate: u16) {
            let [high, low] = surrogate.to_be_bytes();
            let middle = 0x80 | (high & 0x0f) << 2 | low >> 6;
            self.0.extend([0xe0 | high >> 4, middle, 0x80 | low & 0x3f]);
        }
    }
    if let Some(text) = plain(spelling) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Bytes(Vec::with_capacity(spelling.len()));
    // what is no string has no text
    let _ = Walk::new(Slice::new(spelling), 0).string(&mut bytes);
    Cow::Owned(bytes.0)
}

/// The text of a string that is spelt without escapes.
fn plain(spelling: &str) -> Option<&str> {
    let text = spelling.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}
