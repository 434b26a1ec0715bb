//! What of a record is searched.
//!
//! Every string and number, however deep, of its `id`, `name`, `input`, `output` and `error`, and of
//! each step's `nodeId`, `name`, `input`, `output` and `error`. Strings are decoded (a lone surrogate
//! becomes U+FFFD, so that offsets stay), numbers as they are spelt. Names of members are not
//! searched; they are in the path. Of a repeated member the last counts, as everywhere.

use std::fmt::Write;

use crate::model::json::{self, Kind, NumberSink, RECORD_NESTING_MAX, Slice, TextSink, Walk};

const OF_RUN: [&str; 6] = ["id", "name", "input", "output", "error", "steps"];
const OF_STEP: [&str; 5] = ["nodeId", "name", "input", "output", "error"];

/// Gives each text of `record`, which is one JSON object, to `each`, with its JSON pointer; ends when
/// that returns false.
pub fn texts(record: &str, mut each: impl FnMut(&str, &str) -> bool) {
    let mut walker = Walker {
        path: String::new(),
        text: Text::default(),
        each: &mut each,
    };
    let members = pick(record, OF_RUN);
    for (name, value) in OF_RUN.into_iter().zip(members) {
        let Some(value) = value else { continue };
        walker.path.clear();
        let _ = write!(walker.path, "/{name}");
        let goes_on = match name {
            "steps" => walker.steps(value),
            _ => walker.value(value),
        };
        if !goes_on {
            return;
        }
    }
}

/// The values of some members of an object.
fn pick<'v, const N: usize>(object: &'v str, names: [&str; N]) -> [Option<&'v str>; N] {
    let mut values = [None; N];
    let mut walk = Walk::new(Slice::new(object), RECORD_NESTING_MAX);
    if matches!(walk.kind(), Ok(Kind::Object)) {
        // of a record that is no JSON, what comes before that shows
        let _ = pick_here(object, &mut walk, names, &mut values);
    }
    values
}

/// The same of an object in `text` that begins here.
fn pick_here<'v, const N: usize>(
    text: &'v str,
    walk: &mut Walk<Slice<'v>>,
    names: [&str; N],
    values: &mut [Option<&'v str>; N],
) -> Result<(), json::JsonError> {
    let (mut first, mut name) = (true, Text::default());
    walk.enter()?;
    while walk.more(&mut first, &mut name)? {
        let at = names.iter().position(|known| *known == name.0);
        name.0.clear();
        walk.kind()?;
        let begin = walk.offset();
        walk.skip()?;
        let value = spelling(text, begin, walk.offset());
        if let Some(slot) = at.and_then(|at| values.get_mut(at)) {
            *slot = Some(value);
        }
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

struct Walker<'e, E> {
    path: String,
    text: Text,
    each: &'e mut E,
}

impl<E: FnMut(&str, &str) -> bool> Walker<'_, E> {
    fn steps(&mut self, steps: &str) -> bool {
        if !steps.starts_with('[') {
            return self.value(steps);
        }
        let mut walk = Walk::new(Slice::new(steps), RECORD_NESTING_MAX);
        self.each_step(steps, &mut walk).unwrap_or(true)
    }

    fn each_step<'s>(
        &mut self,
        steps: &'s str,
        walk: &mut Walk<Slice<'s>>,
    ) -> Result<bool, json::JsonError> {
        let before = self.path.len();
        let (mut first, mut at) = (true, 0_usize);
        walk.enter()?;
        while walk.more(&mut first, &mut Text::default())? {
            let mut members = [None; OF_STEP.len()];
            match walk.kind()? {
                Kind::Object => pick_here(steps, walk, OF_STEP, &mut members)?,
                _ => walk.skip()?,
            }
            for (name, value) in OF_STEP.into_iter().zip(members) {
                let Some(value) = value else { continue };
                let _ = write!(self.path, "/{at}/{name}");
                let goes_on = self.value(value);
                self.path.truncate(before);
                if !goes_on {
                    return Ok(false);
                }
            }
            at += 1;
        }
        Ok(true)
    }

    fn value(&mut self, value: &str) -> bool {
        let mut walk = Walk::new(Slice::new(value), RECORD_NESTING_MAX);
        // a record that is no JSON is told elsewhere
        self.part(value, &mut walk).unwrap_or(true)
    }

    fn part(&mut self, value: &str, walk: &mut Walk<Slice<'_>>) -> Result<bool, json::JsonError> {
        match walk.kind()? {
            Kind::String => {
                self.text.0.clear();
                walk.string(&mut self.text)?;
                Ok((self.each)(&self.path, &self.text.0))
            }
            Kind::Number => {
                let begin = walk.offset();
                walk.number(&mut Nothing)?;
                let spelt = spelling(value, begin, walk.offset());
                Ok((self.each)(&self.path, spelt))
            }
            Kind::Object => {
                let before = self.path.len();
                let (mut first, mut name) = (true, Text::default());
                walk.enter()?;
                while walk.more(&mut first, &mut name)? {
                    self.path.push('/');
                    for character in name.0.drain(..) {
                        match character {
                            '~' => self.path.push_str("~0"),
                            '/' => self.path.push_str("~1"),
                            other => self.path.push(other),
                        }
                    }
                    if !self.part(value, walk)? {
                        return Ok(false);
                    }
                    self.path.truncate(before);
                }
                Ok(true)
            }
            Kind::Array => {
                let before = self.path.len();
                let (mut first, mut at) = (true, 0_usize);
                walk.enter()?;
                while walk.more(&mut first, &mut Text::default())? {
                    let _ = write!(self.path, "/{at}");
                    at += 1;
                    if !self.part(value, walk)? {
                        return Ok(false);
                    }
                    self.path.truncate(before);
                }
                Ok(true)
            }
            Kind::True | Kind::False | Kind::Null => walk.skip().map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(record: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        texts(record, |path, text| {
            found.push((path.to_owned(), text.to_owned()));
            true
        });
        found
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
            ("/id", "exec-1"),
            ("/input", "last"),
            ("/error", "Eé"),
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
    fn odd_records_are_walked_as_far_as_they_go() {
        assert_eq!(all("[]"), []);
        assert_eq!(
            all(r#"{"steps": {"input": "a"}, "input": {"b": 1e400}}"#).len(),
            2
        );
    }
}
