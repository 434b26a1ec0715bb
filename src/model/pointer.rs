//! Places in a record: JSON pointers, and what a walk finds where they point.
//!
//! `fields` of `executions/get` (section 4 of the protocol), RFC 6901. All pointers are followed in
//! one walk, so that a record of any size is gone through once and in bounded memory. Of repeated
//! members the last one counts. Only where a value stands is told, and how large it is.

use std::cell::Cell;
use std::collections::HashMap;

use super::json::{Input, JsonError, Kind, RECORD_NESTING_MAX, TextSink, Walk};

/// A pointer, its parts decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer(Vec<String>);

/// Why a text is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// Neither empty nor begun by a slash.
    #[error("must be empty or begin with '/'")]
    Slash,
    /// A tilde that neither 0 nor 1 follows.
    #[error("'~' must be followed by 0 or 1")]
    Escape,
}

impl Pointer {
    /// The pointer spelt `text`; the empty one points to the whole.
    ///
    /// # Errors
    /// [`InvalidPointer`].
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        let Some(rest) = text.strip_prefix('/') else {
            return match text.is_empty() {
                true => Ok(Self(Vec::new())),
                false => Err(InvalidPointer::Slash),
            };
        };
        rest.split('/')
            .map(unescaped)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn unescaped(part: &str) -> Result<String, InvalidPointer> {
    let mut pieces = part.split('~');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match (piece.strip_prefix('0'), piece.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return Err(InvalidPointer::Escape),
        };
        text.push(escaped);
        text.push_str(rest);
    }
    Ok(text)
}

/// A value, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// The offset of its first byte.
    pub start: u64,
    /// The offset behind its last byte.
    pub end: u64,
    /// A text's UTF-16 units, an array's elements, an object's members, repeated ones included.
    pub length: Option<u64>,
}

impl Found {
    /// How many bytes it takes where it stands.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.end - self.start
    }

    /// It, in the text that it was found in.
    #[must_use]
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        text.get(at(self.start)..at(self.end)).unwrap_or_default()
    }
}

/// Pointers that begin alike, taken together.
#[derive(Debug, Default)]
struct Node {
    parts: HashMap<String, Node>,
    /// Which pointers end here.
    ends: Vec<usize>,
    /// Whether something may have been found below.
    below: Cell<bool>,
}

impl Node {
    fn add(&mut self, parts: &[String], number: usize) {
        let mut node = self;
        for part in parts {
            node = node.parts.entry(part.clone()).or_default();
        }
        node.ends.push(number);
    }

    /// Drops what was found here and below.
    fn forget(&self, found: &mut [Option<Found>]) {
        for &number in &self.ends {
            if let Some(found) = found.get_mut(number) {
                *found = None;
            }
        }
        if self.below.replace(false) {
            for node in self.parts.values() {
                node.forget(found);
            }
        }
    }
}

/// What stands where each of `pointers` points, in the one value that is all of `walk`'s text;
/// `None` where nothing does.
///
/// # Errors
/// What is wrong with the text, wherever that is.
pub fn locate<I: Input>(
    walk: &mut Walk<I>,
    pointers: &[Pointer],
) -> Result<Vec<Option<Found>>, JsonError> {
    let mut root = Node::default();
    for (number, Pointer(parts)) in pointers.iter().enumerate() {
        // no record is deeper
        if parts.len() <= RECORD_NESTING_MAX {
            root.add(parts, number);
        }
    }
    let mut found = vec![None; pointers.len()];
    visit(walk, &root, &mut found)?;
    walk.end()?;
    Ok(found)
}

fn visit<I: Input>(
    walk: &mut Walk<I>,
    node: &Node,
    found: &mut [Option<Found>],
) -> Result<(), JsonError> {
    let kind = walk.kind()?;
    let start = walk.offset();
    let asked = !node.ends.is_empty();
    let mut length = None;
    match kind {
        Kind::String if asked => {
            let mut units = Units::default();
            walk.string(&mut units)?;
            length = Some(units.0);
        }
        Kind::Object | Kind::Array if asked || !node.parts.is_empty() => {
            length = Some(parts(walk, kind, node, found)?);
        }
        _ => walk.skip()?,
    }
    for &number in &node.ends {
        if let Some(found) = found.get_mut(number) {
            *found = Some(Found {
                kind,
                start,
                end: walk.offset(),
                length,
            });
        }
    }
    Ok(())
}

/// Goes through what begins here; how many parts it has.
fn parts<I: Input>(
    walk: &mut Walk<I>,
    kind: Kind,
    node: &Node,
    found: &mut [Option<Found>],
) -> Result<u64, JsonError> {
    walk.enter()?;
    let mut first = true;
    let mut count = 0;
    let longest = node.parts.keys().map(String::len).max();
    let mut name = Name::up_to(longest.unwrap_or(0));
    while walk.more(&mut first, &mut name)? {
        let part = match kind {
            Kind::Object => name.kept().and_then(|name| node.parts.get(name)),
            _ if node.parts.is_empty() => None,
            _ => node.parts.get(itoa::Buffer::new().format(count)),
        };
        match part {
            Some(part) => {
                part.forget(found);
                node.below.set(true);
                visit(walk, part, found)?;
            }
            None => walk.skip()?,
        }
        name.clear();
        count += 1;
    }
    Ok(count)
}

/// A member's name, as far as it may be one that is looked for.
struct Name {
    text: String,
    longest: usize,
    /// It is none of them.
    other: bool,
}

impl Name {
    fn up_to(longest: usize) -> Self {
        Self {
            text: String::new(),
            longest,
            other: false,
        }
    }

    fn kept(&self) -> Option<&str> {
        (!self.other).then_some(self.text.as_str())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.other = false;
    }
}

impl TextSink for Name {
    fn text(&mut self, text: &str) {
        self.other |= self.text.len() + text.len() > self.longest;
        if !self.other {
            self.text.push_str(text);
        }
    }

    fn lone(&mut self, _: u16) {
        self.other = true;
    }

    fn wants(&self) -> bool {
        !self.other
    }
}

/// Counts UTF-16 units.
#[derive(Default)]
struct Units(u64);

impl TextSink for Units {
    fn text(&mut self, text: &str) {
        self.0 += units(text);
    }

    fn lone(&mut self, _: u16) {
        self.0 += 1;
    }
}

/// How many UTF-16 units `text` has.
pub(super) fn units(text: &str) -> u64 {
    // counted as bytes, which the compiler does many at a time: one for each that begins a
    // character, one more for each that begins a character of four
    let bytes = text.as_bytes();
    let of = |byte: u8| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0);
    bytes.iter().map(|&byte| of(byte)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::{Slice, tests::values};
    use proptest::prelude::*;
    use serde_json::Value;

    fn located<'a>(text: &'a str, pointers: &[&str]) -> Vec<Option<&'a str>> {
        let pointers: Vec<_> = pointers
            .iter()
            .map(|text| Pointer::parse(text).unwrap())
            .collect();
        let found = locate(&mut Walk::new(Slice::new(text), 128), &pointers).unwrap();
        let spelt = |found: Found| &text[found.start as usize..found.end as usize];
        found.into_iter().map(|found| found.map(spelt)).collect()
    }

    /// The example of RFC 6901, section 5.
    #[test]
    fn pointers_are_those_of_the_specification() {
        let text = r#"{ "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4,
            "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8 }"#;
        let pointers = [
            "", "/foo", "/foo/0", "/", "/a~1b", "/c%d", "/e^f", "/g|h", "/i\\j", "/k\"l", "/ ",
            "/m~0n",
        ];
        let expected = [
            Some(text),
            Some(r#"["bar", "baz"]"#),
            Some("\"bar\""),
            Some("0"),
            Some("1"),
            Some("2"),
            Some("3"),
            Some("4"),
            Some("5"),
            Some("6"),
            Some("7"),
            Some("8"),
        ];
        assert_eq!(located(text, &pointers), expected);
        let nowhere = [
            "/foo/2", "/foo/00", "/foo/-", "/foo/bar", "/foo/0/x", "/bar", "//", "/~01",
        ];
        assert_eq!(located(text, &nowhere), [None; 8]);
        for (text, error) in [
            ("foo", InvalidPointer::Slash),
            ("/~", InvalidPointer::Escape),
            ("/a~2", InvalidPointer::Escape),
            ("/~~0", InvalidPointer::Escape),
        ] {
            assert_eq!(Pointer::parse(text), Err(error), "{text}");
        }
        assert_eq!(Pointer::parse("/~01").unwrap().0, ["~1"]);
        let deep = "/0".repeat(1_000_000);
        assert_eq!(located("[[[]]]", &[&deep, "/0/0"]), [None, Some("[]")]);
    }

    #[test]
    fn the_last_of_repeated_members_counts() {
        let text = r#"{"a":{"b":1,"c":2},"a":{"\u0062":3},"\u0061\ud800":4}"#;
        assert_eq!(
            located(text, &["/a/b", "/a/c", "/a"]),
            [Some("3"), None, Some(r#"{"\u0062":3}"#)]
        );
        assert_eq!(
            located(r#"{"a":{"b":1},"a":7}"#, &["/a/b", "/a"]),
            [None, Some("7")]
        );
    }

    #[test]
    fn lengths_are_those_of_the_kind() {
        let text = r#"{"s":"a\ud83d\ude00\ud800😀\n","l":[1,[2,3]],"n":1.50}"#;
        let pointers = ["/s", "/l", "", "/n"].map(|text| Pointer::parse(text).unwrap());
        let found = locate(&mut Walk::new(Slice::new(text), 9), &pointers).unwrap();
        let lengths: Vec<_> = found
            .into_iter()
            .map(|found| found.unwrap().length)
            .collect();
        assert_eq!(lengths, [Some(7), Some(2), Some(3), None]);
    }

    /// Every pointer into `value`, with what it points to.
    fn pointers(value: &Value, at: String, all: &mut Vec<(String, Value)>) {
        match value {
            Value::Array(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    pointers(part, format!("{at}/{number}"), all);
                }
            }
            Value::Object(parts) => {
                for (name, part) in parts {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    pointers(part, format!("{at}/{name}"), all);
                }
            }
            _ => {}
        }
        all.push((at, value.clone()));
    }

    proptest! {
        #[test]
        fn every_pointer_finds_what_it_points_to(value in values(), pretty: bool) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let mut all = Vec::new();
            pointers(&value, String::new(), &mut all);
            let asked: Vec<&str> = all.iter().map(|(pointer, _)| pointer.as_str()).collect();
            for ((pointer, value), found) in all.iter().zip(located(&text, &asked)) {
                let found: Value = serde_json::from_str(found.unwrap()).unwrap();
                prop_assert_eq!(&found, value, "{}", pointer);
            }
        }

        #[test]
        fn units_are_those_of_the_standard_library(text in "\\PC{0,80}") {
            prop_assert_eq!(units(&text), text.encode_utf16().count() as u64);
        }
    }
}
