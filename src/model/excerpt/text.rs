//! Some of a text: `range` of `executions/get`.

use super::Units;
use crate::model::json::{Input, JsonError, TextSink, Walk, put_lone, put_text};
use crate::model::pointer::units;

/// Some of a text.
#[derive(Debug)]
pub struct TextPart {
    /// Its JSON text.
    pub json: Vec<u8>,
    /// Which units it is.
    pub units: Units,
}

/// The units `wanted` of the string that begins here, as many as fit into `bytes_max` bytes of
/// JSON, at least the quotes. A bound between the two halves of a character is one before it, so
/// that parts that follow each other hold every character once. `None` where there is no room.
///
/// # Errors
/// When the text cannot be read.
pub fn part_of_text<I: Input>(
    walk: &mut Walk<I>,
    wanted: Units,
    bytes_max: u64,
) -> Result<Option<TextPart>, JsonError> {
    let Some(room) = usize::try_from(bytes_max)
        .unwrap_or(usize::MAX)
        .checked_sub(2)
    else {
        return Ok(None);
    };
    let mut part = Part {
        json: vec![b'"'],
        room,
        at: 0,
        wanted,
        done: false,
    };
    walk.kind()?;
    walk.string(&mut part)?;
    part.json.push(b'"');
    // where the text is shorter than what was wanted
    let end = if part.done {
        part.wanted.end
    } else {
        part.wanted.end.min(part.at)
    };
    Ok(Some(TextPart {
        json: part.json,
        units: Units {
            start: part.wanted.start.min(end),
            end,
        },
    }))
}

struct Part {
    json: Vec<u8>,
    /// How many bytes more may be written.
    room: usize,
    /// How many units have been passed.
    at: u64,
    wanted: Units,
    /// Nothing more belongs to it.
    done: bool,
}

impl Part {
    /// One character, or half of one that stands alone, of `width` units.
    fn character(&mut self, width: u64, put: impl FnOnce(&mut Vec<u8>)) {
        let (start, end) = (self.at, self.at + width);
        if self.done {
            return;
        }
        if end > self.wanted.end {
            self.wanted.end = start.min(self.wanted.end);
            self.done = true;
        } else if end > self.wanted.start {
            self.wanted.start = self.wanted.start.min(start);
            let before = self.json.len();
            put(&mut self.json);
            match self.room.checked_sub(self.json.len() - before) {
                Some(room) => self.room = room,
                None => {
                    self.json.truncate(before);
                    self.wanted.end = start;
                    self.done = true;
                }
            }
        }
        self.at = end;
    }
}

impl TextSink for Part {
    fn text(&mut self, text: &str) {
        if self.done {
            return;
        }
        let passed = self.at + units(text);
        if passed <= self.wanted.start {
            self.at = passed;
        } else if self.at >= self.wanted.start
            && passed <= self.wanted.end
            && text.len() * 6 <= self.room
        {
            let before = self.json.len();
            put_text(text, &mut self.json);
            self.room -= self.json.len() - before;
            self.at = passed;
        } else {
            for character in text.chars() {
                let mut buffer = [0; 4];
                let text: &str = character.encode_utf8(&mut buffer);
                self.character(character.len_utf16() as u64, |json| put_text(text, json));
                if self.done {
                    return;
                }
            }
        }
    }

    fn lone(&mut self, surrogate: u16) {
        self.character(1, |json| put_lone(surrogate, json));
    }

    fn wants(&self) -> bool {
        !self.done
    }
}
