//! Identifiers: the names of project folders and of run files.
//!
//! Section 6 of the protocol: an id is exactly one path component. It is checked once, where it
//! enters (a request's parameters, a directory entry), and is a type from there on, so that no
//! code below ever joins an unchecked string to a path.

use std::fmt;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json::string_bytes;

/// The longest project id in bytes: one file name.
pub const PROJECT_ID_MAX: usize = 255;
/// The longest execution id in bytes: one file name less `.json`.
pub const EXECUTION_ID_MAX: usize = 250;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing at all.
    #[error("must not be empty")]
    Empty,
    /// More bytes than a file name has room for.
    #[error("must have at most {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// `.`, `..` and hidden files.
    #[error("must not begin with a dot")]
    LeadingDot,
    /// A path separator or a control character.
    #[error("must not hold '/', '\\' or control characters")]
    Character,
    /// What JSON can spell and no file's name can be.
    #[error("must not hold half of a surrogate pair")]
    Surrogate,
}

fn check(text: &str, limit: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > limit {
        return Err(InvalidId::TooLong { limit });
    }
    if text.starts_with('.') {
        return Err(InvalidId::LeadingDot);
    }
    // nearly all are ASCII, and there are as many as there are files
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'/' && byte != b'\\';
    let foreign = |c: char| c == '/' || c == '\\' || c.is_control();
    if !text.bytes().all(plain) && text.chars().any(foreign) {
        return Err(InvalidId::Character);
    }
    Ok(())
}

fn from_wtf8<T>(
    text: &[u8],
    parse: impl FnOnce(&str) -> Result<T, InvalidId>,
) -> Result<T, InvalidId> {
    parse(std::str::from_utf8(text).map_err(|_| InvalidId::Surrogate)?)
}

/// What becomes an id.
struct Text<T>(fn(&str) -> Result<T, InvalidId>);

impl<'de, T> Visitor<'de> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    /// As bytes: of a lone surrogate it can be said then what is wrong.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).map_err(E::custom)
    }

    fn visit_bytes<E: serde::de::Error>(self, text: &[u8]) -> Result<T, E> {
        from_wtf8(text, self.0).map_err(E::custom)
    }
}

macro_rules! id_type {
    ($name:ident, $limit:expr, $doc:literal) => {
        #[doc = $doc]
        ///
        /// Cheap to clone; ordered by bytes.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Whether `text` would be one.
            #[must_use]
            pub fn is_valid(text: &str) -> bool {
                check(text, $limit).is_ok()
            }

            /// Checks `text` against section 6 of the protocol.
            ///
            /// # Errors
            /// [`InvalidId`] with what is wrong; it never repeats the text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check(text, $limit)?;
                Ok(Self(Arc::from(text)))
            }

            /// Checks the string that `spelling` is in JSON, as `parse` does a text.
            ///
            /// # Errors
            /// [`InvalidId`].
            pub fn parse_spelt(spelling: &str) -> Result<Self, InvalidId> {
                from_wtf8(&string_bytes(spelling), Self::parse)
            }

            /// The id as it stands in the path.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_newtype_struct(stringify!($name), Text(Self::parse))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $doc,
                    "minLength": 1,
                    "maxLength": $limit,
                    "pattern": "^[^./\\\\][^/\\\\]*$"
                })
            }
        }
    };
}

id_type!(
    ProjectId,
    PROJECT_ID_MAX,
    "A project: the name of its folder below the root. One path component of 1 to 255 bytes."
);
id_type!(
    ExecutionId,
    EXECUTION_ID_MAX,
    "An execution: the name of its file without `.json`. One path component of 1 to 250 bytes."
);

/// What identifies a run: the folder and the file it is kept in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The project's folder.
    pub project: ProjectId,
    /// The file's stem.
    pub execution: ExecutionId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_one_path_component_is_an_id() {
        for (text, error) in [
            ("", InvalidId::Empty),
            (".", InvalidId::LeadingDot),
            ("..", InvalidId::LeadingDot),
            (".hidden", InvalidId::LeadingDot),
            ("a/b", InvalidId::Character),
            ("a\\b", InvalidId::Character),
            ("a\0", InvalidId::Character),
            ("a\u{85}", InvalidId::Character),
        ] {
            assert_eq!(ProjectId::parse(text), Err(error), "{text:?}");
        }
        assert!(ExecutionId::parse(&"x".repeat(250)).is_ok());
        assert!(ExecutionId::parse(&"x".repeat(251)).is_err());
        assert!(ProjectId::parse(&"x".repeat(255)).is_ok());
        assert!(ProjectId::parse("über plan 7 日本").is_ok());
    }

    #[test]
    fn half_a_pair_is_no_id() {
        for spelt in [r#""\ud800""#, r#""a\udc00b""#] {
            assert_eq!(ExecutionId::parse_spelt(spelt), Err(InvalidId::Surrogate));
            let refused = serde_json::from_str::<ProjectId>(spelt).unwrap_err();
            assert!(
                refused.to_string().contains("half of a surrogate pair"),
                "{refused}"
            );
        }
        for spelt in [r#""\ud83d\ude00""#, r#""\u0061""#, r#""\ufffd""#] {
            let id = ExecutionId::parse_spelt(spelt).unwrap();
            assert_eq!(serde_json::from_str::<ExecutionId>(spelt).unwrap(), id);
            assert_eq!(serde_json::from_str::<String>(spelt).unwrap(), id.as_str());
        }
        let refused = serde_json::from_str::<ExecutionId>("7").unwrap_err();
        assert!(
            refused.to_string().contains("expected a string"),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn a_parsed_id_is_one_normal_component(text in ".{0,300}") {
            if let Ok(id) = ExecutionId::parse(&text) {
                let path = std::path::Path::new(id.as_str());
                let parts: Vec<_> = path.components().collect();
                prop_assert_eq!(parts.len(), 1);
                prop_assert!(matches!(parts[0], std::path::Component::Normal(_)));
            }
        }
    }
}
