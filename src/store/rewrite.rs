//! A record as Node would write it, from a record as somebody sent it.
//!
//! Section 6 of the protocol: `JSON.stringify(record, null, 2)`, byte for byte, but that keys keep
//! their order and numbers their spelling. A walk over tokens: nothing goes through a value that
//! could not hold it (1e400, lone surrogates, 12345678901234567890).

use std::collections::HashSet;

use crate::model::json::{JsonError, Kind, Slice, TextSink, Walk, put_lone, put_text};

/// Why a record cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It is not JSON.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// An object has two members of one name, of which Node could keep only one.
    #[error("an object has two members of the same name, at offset {offset}; send each once")]
    RepeatedKey {
        /// Where the second one's value begins, in the text that was sent.
        offset: u64,
    },
}

/// The text that Node would write. Costs the text's length twice over in memory.
///
/// # Errors
/// [`RewriteError`]; the text is at most scanned once.
pub fn pretty(record: &str) -> Result<Vec<u8>, RewriteError> {
    rewritten(record, true)
}

/// The same of a record that is stored already and may hold a name twice; it keeps both.
///
/// # Errors
/// [`RewriteError::Json`].
pub fn pretty_stored(record: &str) -> Result<Vec<u8>, RewriteError> {
    rewritten(record, false)
}

fn rewritten(record: &str, names_once: bool) -> Result<Vec<u8>, RewriteError> {
    let mut out = Out(Vec::with_capacity(record.len() + record.len() / 8));
    let mut walk = Walk::new(Slice::new(record), usize::MAX);
    // the objects and arrays that are open
    let mut open: Vec<Level> = Vec::new();
    loop {
        let kind = walk.kind()?;
        let from = position(&walk);
        if let Kind::Object | Kind::Array = kind {
            let object = kind == Kind::Object;
            walk.enter()?;
            out.0.push(if object { b'{' } else { b'[' });
            open.push(Level {
                object,
                first: true,
                names: Names::default(),
            });
        } else {
            walk.skip()?;
            let spelling = record.get(from..position(&walk)).unwrap_or_default();
            if kind == Kind::String && spelling.contains('\\') {
                out.0.push(b'"');
                Walk::new(Slice::new(spelling), 0).string(&mut out)?;
                out.0.push(b'"');
            } else {
                // numbers and words stay as they are; so does a string that escapes nothing,
                // because nothing that may stand raw in one must be escaped
                out.0.extend_from_slice(spelling.as_bytes());
            }
        }
        // to the next value, out of everything that ends before it
        loop {
            let depth = open.len();
            let Some(level) = open.last_mut() else {
                walk.end()?;
                return Ok(out.0);
            };
            let before = out.0.len();
            if !level.first {
                out.0.push(b',');
            }
            out.line(depth);
            let was_first = level.first;
            let name_from = out.0.len();
            if level.object {
                out.0.push(b'"');
            }
            if walk.more(&mut level.first, &mut out)? {
                if level.object {
                    out.0.push(b'"');
                    if names_once && !level.names.insert(&out.0, name_from) {
                        return Err(RewriteError::RepeatedKey {
                            offset: walk.offset(),
                        });
                    }
                    out.0.extend_from_slice(b": ");
                }
                break;
            }
            out.0.truncate(before);
            let object = level.object;
            open.pop();
            if !was_first {
                out.line(depth - 1);
            }
            out.0.push(if object { b'}' } else { b']' });
        }
    }
}

/// An object or array that is open.
struct Level {
    object: bool,
    first: bool,
    names: Names,
}

/// The names of an object so far, as they were written: two names are the same if and only if
/// they are written the same.
#[derive(Default)]
struct Names {
    few: Vec<(usize, usize)>,
    many: HashSet<Box<[u8]>>,
}

/// Up to so many names are compared one by one.
const FEW: usize = 16;

impl Names {
    /// Adds the name that ends `out` and begins at `from`; false if it is there already.
    fn insert(&mut self, out: &[u8], from: usize) -> bool {
        let text = |&(from, to): &(usize, usize)| out.get(from..to).unwrap_or_default();
        let name = (from, out.len());
        if self.many.is_empty() && self.few.len() < FEW {
            let new = !self.few.iter().any(|held| text(held) == text(&name));
            self.few.push(name);
            return new;
        }
        if self.many.is_empty() {
            self.many
                .extend(self.few.iter().map(|held| Box::from(text(held))));
        }
        self.many.insert(Box::from(text(&name)))
    }
}

/// What is written.
struct Out(Vec<u8>);

impl Out {
    /// A new line at this depth.
    fn line(&mut self, depth: usize) {
        self.0.push(b'\n');
        self.0.resize(self.0.len() + 2 * depth, b' ');
    }
}

impl TextSink for Out {
    fn text(&mut self, text: &str) {
        put_text(text, &mut self.0);
    }

    fn lone(&mut self, surrogate: u16) {
        put_lone(surrogate, &mut self.0);
    }
}

fn position(walk: &Walk<Slice<'_>>) -> usize {
    usize::try_from(walk.offset()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        String::from_utf8(pretty(text).unwrap()).unwrap()
    }

    #[test]
    fn numbers_keys_and_lone_surrogates_stay_as_they_are() {
        assert_eq!(
            written(
                r#" {"b":[],"2":{},"1":[1.0,1e400,-0,12345678901234567890,1E+2] , "é\u00e9\/\ud800":null}"#
            ),
            "{\n  \"b\": [],\n  \"2\": {},\n  \"1\": [\n    1.0,\n    1e400,\n    -0,\n    \
             12345678901234567890,\n    1E+2\n  ],\n  \"éé/\\ud800\": null\n}"
        );
        assert_eq!(
            written(r#""\u0000\u001F\u007f\u2028\b\f\n\r\t\"\\\ud83d\ude00\uDC00\ud800\u0041""#),
            "\"\\u0000\\u001f\u{7f}\u{2028}\\b\\f\\n\\r\\t\\\"\\\\\u{1f600}\\udc00\\ud800A\""
        );
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_however_it_is_spelt() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"[[{"x":{"a":1,"\u0061":2}}]]"#,
            r#"{"\ud800":1,"\uD800":2}"#,
        ] {
            assert!(
                matches!(pretty(text), Err(RewriteError::RepeatedKey { .. })),
                "{text}"
            );
        }
        assert!(pretty(r#"{"\ud800":1,"\ud801":2,"a":{"a":1}}"#).is_ok());
        let many: Vec<String> = (0..100).map(|n| format!("\"{n}\":{n}")).collect();
        assert!(pretty(&format!("{{{}}}", many.join(","))).is_ok());
        assert!(pretty(&format!("{{{},\"7\":0}}", many.join(","))).is_err());
    }

    #[test]
    fn what_is_stored_with_a_name_twice_keeps_both() {
        let text = pretty_stored(r#"{"a":1,"a":[]}"#).unwrap();
        assert_eq!(text, b"{\n  \"a\": 1,\n  \"a\": []\n}");
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", "[1,]", "{\"a\"}", "1 2", "\"\u{1}\""] {
            assert!(pretty(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// serde_json's pretty form is Node's, for values that it can hold and escape alike.
        #[test]
        fn equals_serde_json_on_what_it_can_hold(value in crate::model::json::tests::values()) {
            let text = serde_json::to_string(&value).unwrap();
            let expected = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(written(&text), expected);
        }

        #[test]
        fn writing_again_changes_nothing(text in crate::model::json::tests::texts()) {
            if let Ok(once) = pretty(&text) {
                let once = String::from_utf8(once).unwrap();
                prop_assert_eq!(&written(&once), &once);
            }
        }
    }
}
