//! What of a record is searched.
//!
//! The run's id, which is its file's stem whatever the record says, and every string and number,
//! however deep, of its `name`, `input`, `output` and `error`, and of each step's `nodeId`, `name`,
//! `input`, `output` and `error`. Strings are decoded (a lone surrogate
//! becomes U+FFFD, so that offsets stay), numbers as they are spelt. Names of members are not
//! searched; they are in the path. Of a repeated member the last counts, as everywhere.

use std::fmt::Write;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::model::json::{self, Kind, NumberSink, RECORD_NESTING_MAX, Slice, TextSink, Walk};

const OF_RUN: [&str; 5] = ["name", "input", "output", "error", "steps"];
const OF_STEP: [&str; 5] = ["nodeId", "name", "input", "output", "error"];

/// How long a path may be, in bytes; one that would be longer is that of the last value around it that
/// has one of these.
const PATH_BYTES_MAX: usize = 1024;

/// Takes the texts of a record.
pub trait Sink {
    /// Whether a text that is spelt so, between its quotes, may make a difference; if not, it need not
    /// be told.
    fn wants(&mut self, spelling: &str) -> bool;
    /// A text and its JSON pointer, of 1,024 bytes at most; false if no more is wanted.
    fn text(&mut self, path: &str, text: &str) -> bool;
    /// Some member is repeated, and not the last one has been told: all of it is told again.
    fn again(&mut self);
    /// Nothing is wanted any more, whatever is repeated.
    fn is_over(&self) -> bool {
        false
    }
}

/// Gives the `id` of a run and each text of its `record`, which is one JSON object, to `sink`, in the
/// record's order.
pub fn texts(id: &str, record: &str, sink: &mut impl Sink) {
    let mut walker = Walker::of(id, record, sink);
    let overwritten = match walker.run() {
        Ok(End::Whole) | Err(_) => return,
        Ok(_) if walker.sink.is_over() => return,
        // what was not looked at may stand in the place of what was told
        Ok(End::Enough | End::Repeated) => overwritten(record),
    };
    if !overwritten.is_empty() {
        walker.sink.again();
        walker.names = Names::Overwritten(overwritten);
        let _ = walker.run();
    }
}

/// As [`texts`], for a record, or the beginning of one, of which it is known that no such member is repeated:
/// nothing is looked at behind the last text that is wanted.
///
/// # Errors
/// Where more is wanted than there is.
pub fn texts_once(id: &str, beginning: &str, sink: &mut impl Sink) -> Result<(), json::JsonError> {
    let mut walker = Walker::of(id, beginning, sink);
    walker.names = Names::Once;
    walker.run().map(drop)
}

/// Where the values of members begin, of those that are searched, that come again in their object, and
/// so do not count. Costs a walk, and memory for the names.
fn overwritten(record: &str) -> HashSet<u64> {
    let mut places = HashSet::new();
    let mut walk = Walk::new(Slice::new(record), RECORD_NESTING_MAX);
    // as far as it is sound
    let _ = note_overwritten(&mut walk, Some(OF_RUN), &mut places);
    places
}

/// The same for the value that begins here, and of it for the members with these `names` if it is an
/// object.
fn note_overwritten(
    walk: &mut Walk<Slice<'_>>,
    names: Option<[&str; OF_RUN.len()]>,
    places: &mut HashSet<u64>,
) -> Result<(), json::JsonError> {
    let kind = walk.kind()?;
    if !matches!(kind, Kind::Object | Kind::Array) {
        return walk.skip();
    }
    let mut last: HashMap<String, u64> = HashMap::new();
    let (mut first, mut name) = (true, Text::default());
    walk.enter()?;
    while walk.more(&mut first, &mut name)? {
        let name = std::mem::take(&mut name.0);
        if names.is_some_and(|names| !names.contains(&name.as_str())) {
            walk.skip()?;
            continue;
        }
        if kind == Kind::Object
            && let Some(former) = last.insert(name, walk.offset())
        {
            places.insert(former);
        }
        note_overwritten(walk, None, places)?;
    }
    Ok(())
}

/// What stands between two offsets.
fn spelling(text: &str, begin: u64, end: u64) -> &str {
    let begin = usize::try_from(begin).ok();
    let range = begin.zip(usize::try_from(end).ok());
    let spelt = range.and_then(|(begin, end)| text.get(begin..end));
    spelt.unwrap_or_default()
}

/// A decoded string.
#[derive(Debug, Default)]
struct Text(String);

impl TextSink for Text {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn lone(&mut self, _: u16) {
        self.0.push('\u{fffd}');
    }
}

struct Nothing;

impl NumberSink for Nothing {
    fn negative(&mut self) {}
    fn digit(&mut self, _: u8, _: bool) {}
    fn exponent(&mut self, _: u8, _: bool) {}
}

/// How a walk came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// No more is wanted.
    Enough,
    /// A member came twice, and this was not expected.
    Repeated,
}

/// What is known of the names of members.
#[derive(Debug)]
enum Names {
    /// In each object they are different.
    Once,
    /// Nothing.
    Unknown,
    /// Where the values begin of those that come again.
    Overwritten(HashSet<u64>),
}

/// The names in one object.
#[derive(Debug, Default)]
struct Seen(HashSet<u64>);

struct Walker<'r, 's, S> {
    id: &'r str,
    record: &'r str,
    path: String,
    /// The path would go on, but for its length.
    cut: bool,
    names: Names,
    hasher: DefaultHashBuilder,
    sink: &'s mut S,
}

impl<'r, 's, S: Sink> Walker<'r, 's, S> {
    fn of(id: &'r str, record: &'r str, sink: &'s mut S) -> Self {
        Self {
            id,
            record,
            path: String::new(),
            cut: false,
            names: Names::Unknown,
            hasher: DefaultHashBuilder::default(),
            sink,
        }
    }

    /// Whether the member called `name`, whose value begins at `place`, is told; `None` if it has come
    /// before, and this was not expected.
    fn tells(&self, name: &str, place: u64, seen: &mut Seen) -> Option<bool> {
        match &self.names {
            Names::Once => Some(true),
            // two that only look the same cost a walk more
            Names::Unknown => seen.0.insert(self.hasher.hash_one(name)).then_some(true),
            Names::Overwritten(places) => Some(!places.contains(&place)),
        }
    }

    fn run(&mut self) -> Result<End, json::JsonError> {
        self.path.clear();
        self.cut = false;
        let mut walk = Walk::new(Slice::new(self.record), RECORD_NESTING_MAX);
        // JSON spells an id differently in quotes at most, which are in no word
        if self.sink.wants(self.id) && !self.sink.text("/id", self.id) {
            return Ok(End::Enough);
        }
        match walk.kind()? {
            Kind::Object => self.members(&mut walk, OF_RUN),
            _ => Ok(End::Whole),
        }
    }

    /// The texts of some members of the object that begins here.
    fn members<const N: usize>(
        &mut self,
        walk: &mut Walk<Slice<'_>>,
        names: [&str; N],
    ) -> Result<End, json::JsonError> {
        let before = self.path.len();
        let mut seen = Seen::default();
        let (mut first, mut name) = (true, Text::default());
        walk.enter()?;
        while walk.more(&mut first, &mut name)? {
            let known = names.iter().find(|known| **known == name.0).copied();
            name.0.clear();
            let Some(name) = known else {
                walk.skip()?;
                continue;
            };
            match self.tells(name, walk.offset(), &mut seen) {
                Some(true) => {}
                Some(false) => {
                    walk.skip()?;
                    continue;
                }
                None => return Ok(End::Repeated),
            }
            let _ = write!(self.path, "/{name}");
            let end = match (name, walk.kind()?) {
                ("steps", Kind::Array) => self.steps(walk)?,
                ("steps", _) => {
                    walk.skip()?;
                    End::Whole
                }
                _ => self.part(walk)?,
            };
            if end != End::Whole {
                return Ok(end);
            }
            self.path.truncate(before);
        }
        Ok(End::Whole)
    }

    fn steps(&mut self, walk: &mut Walk<Slice<'_>>) -> Result<End, json::JsonError> {
        let before = self.path.len();
        let (mut first, mut at) = (true, 0_usize);
        walk.enter()?;
        while walk.more(&mut first, &mut Text::default())? {
            if walk.kind()? == Kind::Object {
                let _ = write!(self.path, "/{at}");
                let end = self.members(walk, OF_STEP)?;
                if end != End::Whole {
                    return Ok(end);
                }
                self.path.truncate(before);
            } else {
                walk.skip()?;
            }
            at += 1;
        }
        Ok(End::Whole)
    }

    /// Adds one name to the path, unless that is cut, or would be too long.
    fn go_into(&mut self, name: &str) {
        if self.cut {
            return;
        }
        let before = self.path.len();
        self.path.push('/');
        for character in name.chars() {
            match character {
                '~' => self.path.push_str("~0"),
                '/' => self.path.push_str("~1"),
                other => self.path.push(other),
            }
            if self.path.len() > PATH_BYTES_MAX {
                self.path.truncate(before);
                self.cut = true;
                return;
            }
        }
    }

    /// Makes the path again what it was.
    fn come_back(&mut self, (length, cut): (usize, bool)) {
        self.path.truncate(length);
        self.cut = cut;
    }

    /// The texts of the value that begins here.
    fn part(&mut self, walk: &mut Walk<Slice<'_>>) -> Result<End, json::JsonError> {
        let before = (self.path.len(), self.cut);
        let goes_on = match walk.kind()? {
            Kind::String => {
                let begin = walk.offset();
                walk.skip()?;
                let spelt = spelling(self.record, begin, walk.offset());
                let between = spelt.get(1..spelt.len().saturating_sub(1));
                !self.sink.wants(between.unwrap_or_default())
                    || self.sink.text(&self.path, &json::decode_string(spelt))
            }
            Kind::Number => {
                let begin = walk.offset();
                walk.number(&mut Nothing)?;
                let end = walk.offset();
                if end == self.record.len() as u64 {
                    // cut, perhaps: an object ends otherwise
                    return Err(json::JsonError::Truncated { offset: end });
                }
                self.sink
                    .text(&self.path, spelling(self.record, begin, end))
            }
            Kind::Object => {
                let mut seen = Seen::default();
                let (mut first, mut name) = (true, Text::default());
                walk.enter()?;
                while walk.more(&mut first, &mut name)? {
                    match self.tells(&name.0, walk.offset(), &mut seen) {
                        Some(true) => {}
                        Some(false) => {
                            name.0.clear();
                            walk.skip()?;
                            continue;
                        }
                        None => return Ok(End::Repeated),
                    }
                    self.go_into(&name.0);
                    name.0.clear();
                    let end = self.part(walk)?;
                    if end != End::Whole {
                        return Ok(end);
                    }
                    self.come_back(before);
                }
                true
            }
            Kind::Array => {
                let (mut first, mut at) = (true, 0_usize);
                walk.enter()?;
                while walk.more(&mut first, &mut Text::default())? {
                    if !self.cut {
                        let _ = write!(self.path, "/{at}");
                        if self.path.len() > PATH_BYTES_MAX {
                            self.path.truncate(before.0);
                            self.cut = true;
                        }
                    }
                    at += 1;
                    let end = self.part(walk)?;
                    if end != End::Whole {
                        return Ok(end);
                    }
                    self.come_back(before);
                }
                true
            }
            Kind::True | Kind::False | Kind::Null => {
                walk.skip()?;
                true
            }
        };
        Ok(match goes_on {
            true => End::Whole,
            false => End::Enough,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first texts, so many.
    struct First(Vec<(String, String)>, usize);

    impl Sink for First {
        fn wants(&mut self, _: &str) -> bool {
            true
        }

        fn text(&mut self, path: &str, text: &str) -> bool {
            self.0.push((path.to_owned(), text.to_owned()));
            self.0.len() < self.1
        }

        fn again(&mut self) {
            self.0.clear();
        }
    }

    fn first(record: &str, count: usize) -> Vec<(String, String)> {
        let mut found = First(Vec::new(), count);
        texts("run", record, &mut found);
        found.0
    }

    /// All but the id, which comes first.
    fn all(record: &str) -> Vec<(String, String)> {
        let mut all = first(record, usize::MAX);
        assert_eq!(all.remove(0), ("/id".to_owned(), "run".to_owned()));
        all
    }

    #[test]
    fn texts_come_with_their_pointers() {
        let record = r#"{
            "error": "E\u00e9", "id": "exec-1", "status": "failed", "input": "first", "input": "last",
            "steps": [
                {"nodeId": "n1", "status": "completed", "output": {"result": ["a", 4711, true, null], "a/b~c": "x"}},
                "no step", {"input": "\ud800y"}
            ]
        }"#;
        let pairs = [
            ("/error", "Eé"),
            ("/input", "last"),
            ("/steps/0/nodeId", "n1"),
            ("/steps/0/output/result/0", "a"),
            ("/steps/0/output/result/1", "4711"),
            ("/steps/0/output/a~1b~0c", "x"),
            ("/steps/2/input", "\u{fffd}y"),
        ];
        let expected = pairs.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(all(record), expected);
    }

    #[test]
    fn long_paths_are_those_of_what_is_around() {
        let long = "n".repeat(1015);
        let record = format!(
            r#"{{"input": {{"{long}n": 1, "{long}": {{"m": [2], "": 3}}, "{}": {{"m": [4]}}, "a": [{{"{}": 5}}, 6]}}}}"#,
            "~".repeat(10_000_000),
            "/".repeat(600),
        );
        let exact = format!("/input/{long}n");
        assert_eq!(exact.len(), 1023);
        let pairs = [
            (exact, "1"),
            (format!("/input/{long}/m"), "2"),
            (format!("/input/{long}/"), "3"),
            ("/input".to_owned(), "4"),
            ("/input/a/0".to_owned(), "5"),
            ("/input/a/1".to_owned(), "6"),
        ];
        assert_eq!(
            all(&record),
            pairs.map(|(path, text)| (path, text.to_owned()))
        );
    }

    #[test]
    fn of_repeated_members_the_last_counts_wherever_they_are() {
        let step = r#"{"steps": [{"input": "a", "output": "b"}, {"output": ["c", {"d": "e"}], "input": "f", "output": 7}]}"#;
        let pairs = [
            ("/steps/0/input", "a"),
            ("/steps/0/output", "b"),
            ("/steps/1/input", "f"),
            ("/steps/1/output", "7"),
        ];
        assert_eq!(
            all(step),
            pairs.map(|(path, text)| (path.to_owned(), text.to_owned()))
        );
        let nested = r#"{"output": {"k": "a", "l": [{"m": {"n": 1}, "m": "b"}], "k": {"o": "c"}, "\u006b": 2}}"#;
        let pairs = [("/output/l/0/m", "b"), ("/output/k", "2")];
        assert_eq!(
            all(nested),
            pairs.map(|(path, text)| (path.to_owned(), text.to_owned()))
        );
        let steps = r#"{"steps": [{"input": "a"}], "id": "b", "steps": null, "name": "c"}"#;
        assert_eq!(all(steps), [("/name".to_owned(), "c".to_owned())]);
        // also where no more is wanted than what comes before
        let input = r#"{"input": {"a": ["b", {"c": "d"}], "e": 1}, "error": "f", "input": "g"}"#;
        for count in 1..3 {
            let found = first(input, 1 + count);
            assert_eq!(found[1..], all(input)[..count], "{count}");
        }
        let once = r#"{"input": {"a": ["b", {"c": "d"}], "e": 1}, "error": "f"}"#;
        for count in 0..5 {
            let found = first(once, 1 + count);
            assert_eq!(found[1..], all(once)[..count.min(4)], "{count}");
        }
    }

    #[test]
    fn of_a_beginning_no_number_is_told_that_may_go_on() {
        let mut found = First(Vec::new(), usize::MAX);
        assert!(texts_once("run", r#"{"name": "a", "input": [12, 3"#, &mut found).is_err());
        let told: Vec<_> = found.0.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(told, ["run", "a", "12"]);
        // and nothing is looked at behind what is enough
        let mut found = First(Vec::new(), 3);
        assert!(texts_once("run", r#"{"name": "a", "input": [12, 3"#, &mut found).is_ok());
    }

    #[test]
    fn odd_records_are_walked_as_far_as_they_go() {
        assert_eq!(all("[]"), []);
        assert_eq!(
            all(r#"{"steps": {"input": "a"}, "input": {"b": 1e400}}"#).len(),
            1
        );
    }
}
