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
    /// What Node would write is more than may be stored.
    #[error("the record has {size_bytes} bytes; the limit is {limit_bytes}")]
    TooLarge {
        /// How much it is.
        size_bytes: u64,
        /// How much may be.
        limit_bytes: u64,
    },
}

/// The text that Node would write, if it has at most so many bytes. Costs about as many in memory: a
/// short text that is nested deeply would become a hundred times its length.
///
/// # Errors
/// [`RewriteError`]; the text is at most scanned once.
pub fn pretty(record: &str, limit_bytes: u64) -> Result<Vec<u8>, RewriteError> {
    within(limit_bytes, rewritten(record, true, limit_bytes)?)
}

/// As [`pretty`], of a record that is stored already and may hold a name twice; it keeps both.
///
/// # Errors
/// [`RewriteError::Json`] and [`RewriteError::TooLarge`].
pub fn pretty_stored(record: &str, limit_bytes: u64) -> Result<Vec<u8>, RewriteError> {
    within(limit_bytes, rewritten(record, false, limit_bytes)?)
}

/// That no object in `json` has two members of one name, of which Node could keep only one. Costs its
/// longest names, and those of large objects that are open at once.
///
/// # Errors
/// [`RewriteError::Json`] and [`RewriteError::RepeatedKey`].
pub fn check_names(json: &str) -> Result<(), RewriteError> {
    const KEPT_BYTES: u64 = 64 * 1024;
    rewritten(json, true, KEPT_BYTES).map(drop)
}

fn within(limit_bytes: u64, out: Out) -> Result<Vec<u8>, RewriteError> {
    match out.size_bytes() {
        size_bytes if size_bytes > limit_bytes => Err(RewriteError::TooLarge {
            size_bytes,
            limit_bytes,
        }),
        _ => Ok(out.text),
    }
}

/// What is beyond the limit is only counted.
fn rewritten(record: &str, names_once: bool, limit_bytes: u64) -> Result<Out, RewriteError> {
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    let likely = record.len() + record.len() / 8;
    let mut out = Out {
        text: Vec::with_capacity(likely.min(limit)),
        counted: 0,
    };
    let mut walk = Walk::new(Slice::new(record), usize::MAX);
    // the objects and arrays that are open
    let mut open: Vec<Level> = Vec::new();
    loop {
        if out.text.len() > limit {
            for level in &mut open {
                level.names.own(&out.text);
            }
            out.counted = out.size_bytes();
            out.text.clear();
        }
        let kind = walk.kind()?;
        let from = position(&walk);
        if let Kind::Object | Kind::Array = kind {
            let object = kind == Kind::Object;
            walk.enter()?;
            out.text.push(if object { b'{' } else { b'[' });
            open.push(Level {
                object,
                first: true,
                names: Names::default(),
            });
        } else {
            walk.skip()?;
            let spelling = record.get(from..position(&walk)).unwrap_or_default();
            if kind == Kind::String && spelling.contains('\\') {
                out.text.push(b'"');
                Walk::new(Slice::new(spelling), 0).string(&mut out)?;
                out.text.push(b'"');
            } else {
                // numbers and words stay as they are; so does a string that escapes nothing,
                // because nothing that may stand raw in one must be escaped
                out.text.extend_from_slice(spelling.as_bytes());
            }
        }
        // to the next value, out of everything that ends before it
        loop {
            let depth = open.len();
            let Some(level) = open.last_mut() else {
                walk.end()?;
                return Ok(out);
            };
            let before = out.text.len();
            if !level.first {
                out.text.push(b',');
            }
            out.line(depth);
            let was_first = level.first;
            let name_from = out.text.len();
            if level.object {
                out.text.push(b'"');
            }
            if walk.more(&mut level.first, &mut out)? {
                if level.object {
                    out.text.push(b'"');
                    if names_once && !level.names.insert(&out.text, name_from) {
                        return Err(RewriteError::RepeatedKey {
                            offset: walk.offset(),
                        });
                    }
                    out.text.extend_from_slice(b": ");
                }
                break;
            }
            out.text.truncate(before);
            let object = level.object;
            open.pop();
            if !was_first {
                out.line(depth - 1);
            }
            out.text.push(if object { b'}' } else { b']' });
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
        self.own(out);
        self.many.insert(Box::from(text(&name)))
    }

    /// Needs `out` no longer.
    fn own(&mut self, out: &[u8]) {
        let few = self.few.drain(..);
        let text = |(from, to): (usize, usize)| out.get(from..to).unwrap_or_default();
        self.many.extend(few.map(|held| Box::from(text(held))));
    }
}

/// What is written.
struct Out {
    text: Vec<u8>,
    /// The bytes before that, which were too many to be kept.
    counted: u64,
}

impl Out {
    fn size_bytes(&self) -> u64 {
        self.counted + self.text.len() as u64
    }

    /// A new line at this depth.
    fn line(&mut self, depth: usize) {
        self.text.push(b'\n');
        self.text.resize(self.text.len() + 2 * depth, b' ');
    }
}

impl TextSink for Out {
    fn text(&mut self, text: &str) {
        put_text(text, &mut self.text);
    }

    fn lone(&mut self, surrogate: u16) {
        put_lone(surrogate, &mut self.text);
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
        String::from_utf8(pretty(text, u64::MAX).unwrap()).unwrap()
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
                matches!(
                    pretty(text, u64::MAX),
                    Err(RewriteError::RepeatedKey { .. })
                ),
                "{text}"
            );
        }
        assert!(check_names(r#"{"\ud800":1,"\ud801":2,"a":{"a":1}}"#).is_ok());
        let many: Vec<String> = (0..100).map(|n| format!("\"{n}\":{n}")).collect();
        assert!(check_names(&format!("{{{}}}", many.join(","))).is_ok());
        assert!(check_names(&format!("{{{},\"7\":0}}", many.join(","))).is_err());
    }

    #[test]
    fn what_is_stored_with_a_name_twice_keeps_both() {
        let text = pretty_stored(r#"{"a":1,"a":[]}"#, u64::MAX).unwrap();
        assert_eq!(text, b"{\n  \"a\": 1,\n  \"a\": []\n}");
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", "[1,]", "{\"a\"}", "1 2", "\"\u{1}\""] {
            assert!(pretty(text, u64::MAX).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_counted_and_not_kept() {
        let deep = format!(
            "{}{}{}",
            "[".repeat(100),
            "1,".repeat(10_000) + "1",
            "]".repeat(100)
        );
        let size_bytes = pretty(&deep, u64::MAX).unwrap().len() as u64;
        assert!(size_bytes > 50 * deep.len() as u64);
        assert!(pretty(&deep, size_bytes).is_ok());
        let out = rewritten(&deep, true, 1000).unwrap();
        assert_eq!(out.size_bytes(), size_bytes);
        assert!(out.text.capacity() < 60_000, "{}", out.text.capacity());
        let small = pretty(&deep, size_bytes - 1);
        assert!(
            matches!(small, Err(RewriteError::TooLarge { size_bytes: told, .. }) if told == size_bytes)
        );
    }

    proptest! {
        /// What is kept no longer is compared all the same.
        #[test]
        fn names_are_compared_wherever_the_limit_is(
            text in crate::model::json::tests::texts(), limit in 0_u64..50,
        ) {
            match (rewritten(&text, true, u64::MAX), rewritten(&text, true, limit)) {
                (Ok(whole), Ok(counted)) => prop_assert_eq!(whole.size_bytes(), counted.size_bytes()),
                (whole, counted) => {
                    prop_assert_eq!(whole.err().map(|e| e.to_string()), counted.err().map(|e| e.to_string()));
                }
            }
        }

        /// serde_json's pretty form is Node's, for values that it can hold and escape alike.
        #[test]
        fn equals_serde_json_on_what_it_can_hold(value in crate::model::json::tests::values()) {
            let text = serde_json::to_string(&value).unwrap();
            let expected = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(written(&text), expected);
        }

        #[test]
        fn writing_again_changes_nothing(text in crate::model::json::tests::texts()) {
            if let Ok(once) = pretty(&text, u64::MAX) {
                let once = String::from_utf8(once).unwrap();
                prop_assert_eq!(&written(&once), &once);
            }
        }
    }
}
