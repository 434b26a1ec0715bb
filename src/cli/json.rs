//! A protocol's answer as commands look into it: as tolerant as the records in it.
//!
//! Numbers keep their spelling, so that money is shown to the last digit, and a text with a lone
//! surrogate is a text all the same.

use std::fmt;

use crate::model::json::{decode_string, elements, members};

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Json {
    /// `null`, and whatever is not there.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is spelt.
    Number(String),
    /// A string, decoded.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object's members in their order.
    Object(Vec<(String, Json)>),
}

static NULL: Json = Json::Null;

impl Json {
    /// The value that `text` spells; `Null` where it spells none.
    pub(super) fn read(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes().first() {
            Some(b'{') => Self::Object(
                members(text)
                    .map(|(name, value)| (name.into_owned(), Self::read(value)))
                    .collect(),
            ),
            Some(b'[') => Self::List(elements(text).map(Self::read).collect()),
            Some(b'"') => Self::Text(decode_string(text).into_owned()),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'-' | b'0'..=b'9') => Self::Number(text.to_owned()),
            _ => Self::Null,
        }
    }

    /// The member called `name`; of several the last.
    pub(super) fn at(&self, name: &str) -> &Self {
        let Self::Object(members) = self else {
            return &NULL;
        };
        let found = members.iter().rev().find(|(held, _)| held == name);
        found.map_or(&NULL, |(_, value)| value)
    }

    /// The elements of an array; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string, or nothing.
    pub(super) fn word(&self) -> &str {
        self.text().unwrap_or_default()
    }

    /// A number as floating point, for bars and comparisons alone.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(spelling) => spelling.parse().ok(),
            _ => None,
        }
    }

    /// A whole number; 0 of anything else.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Number(spelling) => spelling.parse().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// Whether it is `null` or not there.
    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

impl fmt::Display for Json {
    /// Texts as they are, anything else as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn spelt(value: &Json, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match value {
                Json::Text(text) => {
                    let spelling = serde_json::to_string(text).unwrap_or_default();
                    f.write_str(&spelling)
                }
                Json::List(items) => {
                    f.write_str("[")?;
                    for (number, item) in items.iter().enumerate() {
                        f.write_str(if number == 0 { "" } else { "," })?;
                        spelt(item, f)?;
                    }
                    f.write_str("]")
                }
                Json::Object(members) => {
                    f.write_str("{")?;
                    for (number, (name, item)) in members.iter().enumerate() {
                        f.write_str(if number == 0 { "" } else { "," })?;
                        write!(f, "{}:", serde_json::to_string(name).unwrap_or_default())?;
                        spelt(item, f)?;
                    }
                    f.write_str("}")
                }
                Json::Null => f.write_str("null"),
                Json::Bool(value) => write!(f, "{value}"),
                Json::Number(spelling) => f.write_str(spelling),
            }
        }
        match self {
            Self::Text(text) => f.write_str(text),
            other => spelt(other, f),
        }
    }
}

/// The text of `result` with only some members: of each element of its array `rows` where it has
/// one of that name, else of itself. Members keep their spelling.
pub(super) fn chosen(result: &str, rows: Option<&str>, fields: &[String]) -> String {
    let Some(rows) = rows else {
        return picked(result, fields);
    };
    let mut text = String::from("{");
    for (number, (name, value)) in members(result).enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&name).unwrap_or_default());
        text.push(':');
        if name == rows {
            let items: Vec<String> = elements(value).map(|item| picked(item, fields)).collect();
            text.push('[');
            text.push_str(&items.join(","));
            text.push(']');
        } else {
            text.push_str(value);
        }
    }
    text.push('}');
    text
}

/// The object with only these members.
pub(super) fn picked(object: &str, fields: &[String]) -> String {
    let kept: Vec<String> = members(object)
        .filter(|(name, _)| fields.iter().any(|field| field == name))
        .map(|(name, value)| {
            let name = serde_json::to_string(&name).unwrap_or_default();
            format!("{name}:{value}")
        })
        .collect();
    format!("{{{}}}", kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_members_their_spelling() {
        let value = Json::read(r#"{"a":1.230e400,"b":"\ud800x","c":[1,{"d":null}],"a":2.50}"#);
        assert_eq!(value.at("a"), &Json::Number("2.50".into()));
        assert_eq!(value.at("b").word(), "\u{fffd}x");
        assert_eq!(value.at("c").to_string(), r#"[1,{"d":null}]"#);
        assert!(value.at("none").is_null());
        let fields = ["a".to_owned()];
        assert_eq!(
            chosen(
                r#"{"rows":[{"a":1.0,"b":2},{"b":3}],"n":1}"#,
                Some("rows"),
                &fields
            ),
            r#"{"rows":[{"a":1.0},{}],"n":1}"#
        );
        assert_eq!(
            chosen(r#"{"a":"\ud800","b":1}"#, None, &fields),
            r#"{"a":"\ud800"}"#
        );
    }
}
