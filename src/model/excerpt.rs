//! Pieces of a record that is too large to be given whole.
//!
//! `fields`, `range` and `maxBytes` of `executions/get` (section 4 of the protocol). A value is
//! cut down in two walks over its text, each in bounded memory whatever the value's size: the
//! first says how much of everything there is room for, the second writes that. Strings are cut
//! between characters, arrays and objects lose their last parts, and every place where something
//! was left out is told with what is there in truth. Numbers keep their spelling, and surrogates
//! that stand alone stay escapes.

mod measure;
mod text;
mod write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::Kind;

pub use measure::{Measure, measure};
pub use text::{TextPart, part_of_text};
pub use write::{Excerpt, excerpt};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::{Slice, TextSink, Walk, members, tests::values};
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
