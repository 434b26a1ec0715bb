//! From a request's `params` to a method's type.
//!
//! Section 2 of the protocol: an object; absent, `null` and `[]` mean none; a null member counts
//! as absent; unknown members are refused by name; `workDoneToken` is welcome everywhere. Objects
//! within the params are held to the same. Messages name members and what is expected of them,
//! never what was sent.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::{CowStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Error;
use crate::model::json::{decode_string, elements, members};
use crate::model::nearest;

/// The member that every request may have.
pub const WORK_DONE_TOKEN: &str = "workDoneToken";

/// Reads `raw` as a `P`, which has the members `known`; others are ignored if `lenient`.
///
/// # Errors
/// -32602 naming the member.
pub fn parse<P: DeserializeOwned>(
    raw: Option<&str>,
    known: &[String],
    lenient: bool,
) -> Result<P, Error> {
    let given = object(raw)?.map(|object| given(object, known, lenient, ""));
    let mut place = Place::default();
    let members = Members::new(given.transpose()?.unwrap_or_default(), &mut place);
    P::deserialize(MapAccessDeserializer::new(members)).map_err(|error| {
        let described = || Error::params(describe(&place.path, &error.to_string()));
        place.unknown.unwrap_or_else(described)
    })
}

/// The members of the object at `path` that say something, which must be in `known`, unless it is
/// `lenient`.
fn given<'a>(
    object: &'a str,
    known: &[impl AsRef<str>],
    lenient: bool,
    path: &str,
) -> Result<Vec<(Cow<'a, str>, &'a str)>, Error> {
    let mut given: Vec<(Cow<'_, str>, &str)> = Vec::new();
    for (name, value) in members(object) {
        if path.is_empty() && name == WORK_DONE_TOKEN {
            continue;
        }
        if !known.iter().any(|known| known.as_ref() == name) {
            // what is null is not there, of whatever later version it may be
            if lenient || value == "null" {
                continue;
            }
            return Err(unknown(&name, known, path));
        }
        match given.iter_mut().find(|(held, _)| *held == name) {
            // repeated: the last wins, also when it is null
            Some((_, held)) => *held = value,
            None => given.push((name, value)),
        }
    }
    given.retain(|(_, value)| *value != "null");
    Ok(given)
}

/// The object that `raw` is, if it is not one of the ways to say nothing.
///
/// # Errors
/// -32602 for anything else.
pub fn object(raw: Option<&str>) -> Result<Option<&str>, Error> {
    match raw.map(str::trim) {
        None | Some("null") => Ok(None),
        Some(text) if text.starts_with('{') => Ok(Some(text)),
        Some(text) if text.starts_with('[') && text[1..].trim_start() == "]" => Ok(None),
        Some(_) => Err(Error::params(
            "params must be an object; name the parameters",
        )),
    }
}

/// The member `name` of `raw` if it is there and not null.
#[must_use]
pub fn member<'a>(raw: Option<&'a str>, name: &str) -> Option<&'a str> {
    let [value] = members_named(raw, [name]);
    value
}

/// As [`member`], for several names in one walk.
pub fn members_named<'a, const N: usize>(
    raw: Option<&'a str>,
    names: [&str; N],
) -> [Option<&'a str>; N] {
    let mut values = [None; N];
    for (held, value) in object(raw).ok().flatten().into_iter().flat_map(members) {
        for (name, found) in names.iter().zip(&mut values) {
            if held == **name {
                *found = Some(value).filter(|value| *value != "null");
            }
        }
    }
    values
}

/// The text of a value, if it is a string.
pub fn text_of(spelt: &str) -> Option<Cow<'_, str>> {
    spelt.starts_with('"').then(|| decode_string(spelt))
}

fn unknown(name: &str, known: &[impl AsRef<str>], path: &str) -> Error {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let shown = within(path, &shown);
    let near = nearest(name, known.iter().copied()).map(|near| within(path, near));
    let hint = match &near {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; the method takes none".to_owned(),
        None => format!("; known are {}", known.join(", ")),
    };
    let error = Error::params(format!("unknown parameter `{shown}`{hint}")).with("member", shown);
    match near {
        Some(near) => error.with("nearest", near),
        None => error,
    }
}

/// Where the member `name` of the object at `path` is.
fn within(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// What serde says of what is at `path`, without what was sent.
fn describe(path: &str, said: &str) -> String {
    // what was sent may say anything, also where it is in
    let whole = |said| str::rfind(said, " at line ").map_or(said, |end| &said[..end]);
    let expected = said
        .rfind(", expected ")
        .map(|at| &said[at + ", expected ".len()..]);
    let said = whole(said);
    let what = match expected.map(whole) {
        // in a text, by the only escapes that are sound and stand for no character
        None if said.ends_with("hex escape") => {
            "half of a surrogate pair stands for no character".to_owned()
        }
        Some(expected) => format!("expected {}", in_words(expected)),
        None => said.replace("missing field", "missing parameter"),
    };
    match path {
        "" => what,
        path => format!("`{path}`: {what}"),
    }
}

/// A type as serde calls it, for people who write JSON.
pub(crate) fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("tuple ") => "an array",
        other => other,
    }
}

/// What serde has come to.
#[derive(Debug, Default)]
struct Place {
    /// Where it is, for example `policy.rules[0].maxAge`.
    path: String,
    /// The unknown member that it met there.
    unknown: Option<Error>,
}

/// An array of so many at most: what a client has kept for it is bounded before it is looked at.
#[derive(Debug, Clone)]
pub struct AtMost<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> Default for AtMost<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Texts, of which what they are for takes fewer.
pub type Texts = AtMost<String, 10_000>;

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Few<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Few<T, MAX> {
            type Value = AtMost<T, MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut few = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if few.len() == MAX {
                        return Err(A::Error::custom(format!("at most {MAX} of these")));
                    }
                    few.push(one);
                }
                Ok(AtMost(few))
            }
        }
        deserializer.deserialize_seq(Few(PhantomData))
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for AtMost<T, MAX> {
    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// A value as serde sees it: an object where one is meant, never its members by position, and of
/// objects what the params themselves are held to.
struct Given<'a, 'e> {
    raw: &'a str,
    place: &'e mut Place,
}

impl<'de, 'a: 'de> Deserializer<'de> for Given<'a, '_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.raw).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.raw {
            "null" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if !self.raw.starts_with('[') {
            return self.deserialize_any(visitor);
        }
        visitor.visit_seq(Elements {
            rest: elements(self.raw).enumerate(),
            above: self.place.path.len(),
            place: self.place,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if !self.raw.starts_with('{') {
            return serde_json::Deserializer::from_str(self.raw).deserialize_map(visitor);
        }
        match given(self.raw, known, false, &self.place.path) {
            Ok(given) => visitor.visit_map(Members::new(given, self.place)),
            Err(error) => {
                let said = serde_json::Error::custom(&error.message);
                self.place.unknown = Some(error);
                Err(said)
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match text_of(self.raw) {
            Some(word) => visitor.visit_enum(CowStrDeserializer::new(word)),
            None => Err(serde_json::Error::custom("expected a string")),
        }
    }

    // text as it is spelt comes by this way, too
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.raw).deserialize_newtype_struct(name, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct map identifier ignored_any
    }
}

/// The members of an object as serde sees them.
struct Members<'a, 'e> {
    rest: std::vec::IntoIter<(Cow<'a, str>, &'a str)>,
    value: &'a str,
    /// How much of the path leads to the object.
    above: usize,
    place: &'e mut Place,
}

impl<'a, 'e> Members<'a, 'e> {
    fn new(given: Vec<(Cow<'a, str>, &'a str)>, place: &'e mut Place) -> Self {
        Self {
            rest: given.into_iter(),
            value: "null",
            above: place.path.len(),
            place,
        }
    }
}

impl<'de, 'a: 'de> MapAccess<'de> for Members<'a, '_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        self.place.path.truncate(self.above);
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = value;
        self.place.path = within(&self.place.path, &name);
        seed.deserialize(CowStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        seed.deserialize(Given {
            raw: self.value,
            place: self.place,
        })
    }
}

/// The elements of an array as serde sees them.
struct Elements<'e, I> {
    rest: I,
    /// How much of the path leads to the array.
    above: usize,
    place: &'e mut Place,
}

impl<'de, 'a: 'de, I: Iterator<Item = (usize, &'a str)>> SeqAccess<'de> for Elements<'_, I> {
    type Error = serde_json::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        self.place.path.truncate(self.above);
        let Some((at, raw)) = self.rest.next() else {
            return Ok(None);
        };
        self.place.path.push_str(&format!("[{at}]"));
        let place = &mut *self.place;
        seed.deserialize(Given { raw, place }).map(Some)
    }
}

/// A whole number from `MIN` to `MAX`; `DEFAULT` if absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MIN: usize, const MAX: usize, const DEFAULT: usize>(pub usize);

/// A page's size.
pub type Limit = Whole<1, 1000, 50>;

impl<const MIN: usize, const MAX: usize, const DEFAULT: usize> Default
    for Whole<MIN, MAX, DEFAULT>
{
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const MIN: usize, const MAX: usize, const DEFAULT: usize> Deserialize<'de>
    for Whole<MIN, MAX, DEFAULT>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(D::Error::custom(format!(
                "must be a whole number from {MIN} to {MAX}"
            ))),
        }
    }
}

impl<const MIN: usize, const MAX: usize, const DEFAULT: usize> JsonSchema
    for Whole<MIN, MAX, DEFAULT>
{
    fn schema_name() -> Cow<'static, str> {
        format!("WholeFrom{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": MIN, "maximum": MAX, "default": DEFAULT
        })
    }
}

/// A record on its way through: JSON text that is not looked into here.
#[derive(Debug, Clone, serde::Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordText(pub Box<RawValue>);

impl JsonSchema for RecordText {
    fn schema_name() -> Cow<'static, str> {
        "ExecutionRecord".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "An execution record as the engine writes it. Every member may be \
                            missing, null or of another type, and unknown members are kept.",
            "properties": {
                "id": { "type": "string" },
                "projectId": { "type": "string" },
                "status": { "type": "string" },
                "input": { "type": "string" },
                "output": { "type": "string" },
                "error": { "type": "string" },
                "startedAt": { "type": "string", "format": "date-time" },
                "completedAt": { "type": "string", "format": "date-time" },
                "duration": { "type": "number", "description": "milliseconds" },
                "tokenUsage": { "type": "object" },
                "costUSD": { "type": "number" },
                "retryCount": { "type": "integer" },
                "name": { "type": "string", "description": "what to show as the run's name" },
                "model": { "type": "string" },
                "sessionId": { "type": "string" },
                "steps": { "type": "array", "items": { "type": "object" } }
            },
            "additionalProperties": true
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        name: String,
        #[serde(default)]
        limit: Limit,
        some_flag: Option<bool>,
    }

    fn sample(raw: &str) -> Result<Sample, String> {
        let known = ["name", "limit", "someFlag"].map(str::to_owned);
        parse(Some(raw), &known, false).map_err(|error| error.message)
    }

    #[test]
    fn what_was_sent_is_not_said_again() {
        for said in [
            "unknown variant `secret at line 5`, expected `day` at line 1 column 9",
            "invalid type: string \"a, expected b at line 2\", expected `day` at line 1 column 9",
        ] {
            assert_eq!(describe("bucket", said), "`bucket`: expected `day`");
        }
    }

    #[test]
    fn nulls_are_absent_and_the_last_of_repeated_members_wins() {
        let read = sample(r#"{"name":"a","limit":null,"name":"b","workDoneToken":{}}"#).unwrap();
        assert_eq!(
            read,
            Sample {
                name: "b".into(),
                limit: Whole(50),
                some_flag: None
            }
        );
        assert_eq!(
            sample(r#"{"name":"a","name":null}"#).unwrap_err(),
            "missing parameter `name`"
        );
    }

    #[test]
    fn messages_name_the_member_and_never_repeat_what_was_sent() {
        for (raw, message) in [
            ("[1]", "params must be an object; name the parameters"),
            ("7", "params must be an object; name the parameters"),
            (r#"{"name":{"secret":1}}"#, "`name`: expected a string"),
            (
                r#"{"name":"a","limit":"secret"}"#,
                "`limit`: must be a whole number from 1 to 1000",
            ),
            (
                r#"{"name":"a","limit":0}"#,
                "`limit`: must be a whole number from 1 to 1000",
            ),
            (
                r#"{"name":"a","limt":1}"#,
                "unknown parameter `limt`; did you mean `limit`?",
            ),
            (
                r#"{"name":"a","someflag":1}"#,
                "unknown parameter `someflag`; did you mean `someFlag`?",
            ),
            (
                r#"{"name":"a","someFlag":", expected secret"}"#,
                "`someFlag`: expected a boolean",
            ),
            (
                r#"{"name":"a","other":null,"limt":1}"#,
                "unknown parameter `limt`; did you mean `limit`?",
            ),
            (
                r#"{"zzzzzzzzzzzz":1}"#,
                "unknown parameter `zzzzzzzzzzzz`; known are name, limit, someFlag",
            ),
        ] {
            assert_eq!(sample(raw).unwrap_err(), message, "{raw}");
        }
    }

    #[test]
    fn types_are_told_in_the_words_of_json() {
        fn told<T: DeserializeOwned + std::fmt::Debug>(raw: &str) -> String {
            let known = ["a".to_owned()];
            let read = parse::<HashMap<String, T>>(Some(raw), &known, false);
            read.unwrap_err().message
        }
        let whole = "`a`: expected a whole number of 0 or more";
        assert_eq!(told::<usize>(r#"{"a":-1}"#), whole);
        assert_eq!(told::<u64>(r#"{"a":1.5}"#), whole);
        assert_eq!(told::<i64>(r#"{"a":"x"}"#), "`a`: expected a whole number");
        assert_eq!(told::<f64>(r#"{"a":"x"}"#), "`a`: expected a number");
        assert_eq!(told::<Vec<bool>>(r#"{"a":1}"#), "`a`: expected an array");
        assert_eq!(told::<Sample>(r#"{"a":1}"#), "`a`: expected an object");
        let positions = r#"{"a":["x",1,true]}"#;
        assert_eq!(told::<Sample>(positions), "`a`: expected an object");
        let second = r#"{"a":[{"name":"x","someFlag":null},["x"]]}"#;
        assert_eq!(told::<Vec<Sample>>(second), "`a[1]`: expected an object");
        #[derive(Debug, Deserialize)]
        enum Word {
            One,
        }
        assert_eq!(told::<Word>(r#"{"a":1}"#), "`a`: expected a string");
        let object = r#"{"a":{"One":null}}"#;
        assert_eq!(told::<Word>(object), "`a`: expected a string");
        assert_eq!(told::<Word>(r#"{"a":"x"}"#), "`a`: expected `One`");
    }

    #[test]
    fn nothing_can_be_said_in_three_ways() {
        for raw in [None, Some("null"), Some("[]"), Some(" [ ] "), Some("{}")] {
            assert!(
                parse::<HashMap<String, u8>>(raw, &[], false)
                    .unwrap()
                    .is_empty(),
                "{raw:?}"
            );
        }
    }
}
