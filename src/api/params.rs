//! From a request's `params` to a method's type.
//!
//! Section 2 of the protocol: an object; absent, `null` and `[]` mean none; a null member counts
//! as absent; unknown members are refused by name; `workDoneToken` is welcome everywhere. Messages
//! name members and what is expected of them, never what was sent.

use std::borrow::Cow;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Error;
use crate::model::json::{decode_string, members};
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
    let given = object(raw)?;
    let mut order: Vec<Cow<'_, str>> = Vec::new();
    let mut values: HashMap<Cow<'_, str>, &str> = HashMap::new();
    for (name, value) in given.into_iter().flat_map(members) {
        if name == WORK_DONE_TOKEN {
            continue;
        }
        if !known.iter().any(|known| *known == name) {
            if lenient {
                continue;
            }
            return Err(unknown(&name, known));
        }
        // repeated: the last wins, also when it is null
        if values.insert(name.clone(), value).is_none() {
            order.push(name);
        }
    }
    order.retain(|name| values.get(name).is_some_and(|value| *value != "null"));
    let mut at = None;
    let members = Members {
        order: order.iter(),
        values: &values,
        at: &mut at,
    };
    match P::deserialize(members) {
        Ok(params) => Ok(params),
        Err(error) => Err(Error::params(describe(at, &error.to_string()))),
    }
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

/// The same for several names, in one walk.
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

fn unknown(name: &str, known: &[String]) -> Error {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let hint = match near {
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

/// What serde says, without what was sent.
fn describe(member: Option<&str>, said: &str) -> String {
    let said = said.rfind(" at line ").map_or(said, |end| &said[..end]);
    let what = match said.rfind(", expected ") {
        Some(at) => format!("expected {}", in_words(&said[at + ", expected ".len()..])),
        // of a number where one of some words is meant
        None if said == "expected value" => "expected a string".to_owned(),
        None => said.replace("missing field", "missing parameter"),
    };
    match member {
        Some(member) => format!("`{member}`: {what}"),
        None => what,
    }
}

/// A type as serde calls it, for people who write JSON.
fn in_words(expected: &str) -> &str {
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

/// The members of an object as serde sees them; remembers which one it was at.
struct Members<'a, 'e> {
    order: std::slice::Iter<'a, Cow<'a, str>>,
    values: &'a HashMap<Cow<'a, str>, &'a str>,
    at: &'e mut Option<&'a str>,
}

impl<'de, 'a: 'de> Deserializer<'de> for Members<'a, '_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de, 'a: 'de> MapAccess<'de> for Members<'a, '_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        *self.at = self.order.next().map(|name| &**name);
        let Some(name) = *self.at else {
            return Ok(None);
        };
        seed.deserialize(serde::de::value::StrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let raw = self
            .at
            .and_then(|name| self.values.get(name))
            .copied()
            .unwrap_or("null");
        let mut json = serde_json::Deserializer::from_str(raw);
        seed.deserialize(&mut json)
    }
}

/// A page's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub usize);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u64::deserialize(deserializer)
            .ok()
            .and_then(|limit| usize::try_from(limit).ok());
        match limit {
            Some(limit @ 1..=1000) => Ok(Self(limit)),
            _ => Err(serde::de::Error::custom(
                "must be a whole number from 1 to 1000",
            )),
        }
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": 1, "maximum": 1000, "default": 50
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
                "steps": { "type": "array", "items": { "type": "object" } }
            },
            "additionalProperties": true
        })
    }
}

#[cfg(test)]
mod tests {
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
    fn nulls_are_absent_and_the_last_of_repeated_members_wins() {
        let read = sample(r#"{"name":"a","limit":null,"name":"b","workDoneToken":{}}"#).unwrap();
        assert_eq!(
            read,
            Sample {
                name: "b".into(),
                limit: Limit(50),
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
        #[derive(Debug, Deserialize)]
        enum Word {
            One,
        }
        assert_eq!(told::<Word>(r#"{"a":1}"#), "`a`: expected a string");
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
