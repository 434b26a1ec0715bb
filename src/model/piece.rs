//! A value on its way to a client, or as much of it as there is room for.
//!
//! What `executions/get` gives by `fields` and what `executions/diff` shows of what has changed
//! (section 4 of the protocol). Where the text is, in memory or in a file, is the caller's.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::excerpt::{Cut, PieceKind, Units, excerpt, measure, part_of_text};
use super::json::{Input, JsonError, Kind, RECORD_NESTING_MAX, Slice, Walk};
use super::pointer::{Found, Pointer, locate};

/// A value in a record, or what there is room for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// What it is in truth; `missing` where the pointer points nowhere.
    pub kind: PieceKind,
    /// How many bytes it takes in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// A text's UTF-16 units, an array's elements, an object's members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The value, as the file spells it where it is whole; absent where there is no room for any
    /// of it, or a range is asked for of what is no string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub value: Option<Box<RawValue>>,
    /// Which units of a text the value is, where they were asked for or there is room for no more.
    /// A bound between the two halves of a character is moved before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Units>,
    /// The value is not all that there is.
    pub truncated: bool,
    /// Every place in an array or object where something was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Cut>>")]
    pub cut: Vec<Cut>,
}

/// A text of which pieces are taken, from wherever it is read.
pub trait Source {
    /// How a value in it is walked over.
    type Input<'a>: Input
    where
        Self: 'a;

    /// A walk over what was found.
    fn walk(&mut self, found: &Found) -> Walk<Self::Input<'_>>;

    /// The bytes of what was found.
    ///
    /// # Errors
    /// When they cannot be read.
    fn bytes(&mut self, found: &Found) -> Result<Vec<u8>, JsonError>;
}

impl Source for &str {
    type Input<'a>
        = Slice<'a>
    where
        Self: 'a;

    fn walk(&mut self, found: &Found) -> Walk<Slice<'_>> {
        Walk::new(Slice::new(found.of(self)), RECORD_NESTING_MAX)
    }

    fn bytes(&mut self, found: &Found) -> Result<Vec<u8>, JsonError> {
        Ok(found.of(self).as_bytes().to_vec())
    }
}

impl Piece {
    /// Where a pointer points nowhere.
    #[must_use]
    pub fn missing() -> Self {
        Self {
            kind: PieceKind::Missing,
            size_bytes: None,
            length: None,
            value: None,
            range: None,
            truncated: false,
            cut: Vec::new(),
        }
    }

    /// What fits into `bytes_max` bytes of the value that is all of `text`, cuts included;
    /// `pointer` points to it.
    ///
    /// # Errors
    /// When it is no value.
    pub fn of_text(mut text: &str, pointer: &str, bytes_max: u64) -> Result<Self, JsonError> {
        let mut walk = Walk::new(Slice::new(text), RECORD_NESTING_MAX);
        let found = locate(&mut walk, &[Pointer::default()])?.pop().flatten();
        match found {
            Some(found) => Self::of(&mut text, &found, pointer, None, bytes_max),
            None => Ok(Self::missing()),
        }
    }

    /// What fits into `bytes_max` bytes of the value that was found, cuts included; of a text the
    /// units of `range`, if that is given.
    ///
    /// # Errors
    /// When it cannot be read, or is no value any more.
    pub fn of(
        source: &mut impl Source,
        found: &Found,
        pointer: &str,
        range: Option<Units>,
        bytes_max: u64,
    ) -> Result<Self, JsonError> {
        let mut piece = Self {
            kind: found.kind.into(),
            size_bytes: Some(found.size_bytes()),
            length: found.length,
            truncated: true,
            ..Self::missing()
        };
        let whole = found.size_bytes() <= bytes_max;
        let json = match found.kind {
            Kind::String if range.is_some() || !whole => {
                let all = Units {
                    start: 0,
                    end: found.length.unwrap_or(0),
                };
                let walk = &mut source.walk(found);
                let Some(part) = part_of_text(walk, range.unwrap_or(all), bytes_max)? else {
                    return Ok(piece);
                };
                piece.truncated = part.units != all;
                piece.range = Some(part.units);
                part.json
            }
            _ if range.is_some() => return Ok(piece),
            _ if whole => {
                piece.truncated = false;
                source.bytes(found)?
            }
            Kind::Object | Kind::Array => {
                let Some(measure) = measure(&mut source.walk(found), pointer, bytes_max)? else {
                    return Ok(piece);
                };
                let excerpt = excerpt(&mut source.walk(found), pointer, &measure)?;
                piece.cut = excerpt.cuts;
                piece.truncated = !piece.cut.is_empty();
                excerpt.json
            }
            _ => return Ok(piece),
        };
        // it was a value when it was found; who writes into the file meanwhile may have spoilt it
        let offset = found.start;
        let text = String::from_utf8(json).map_err(|_| JsonError::Utf8 { offset })?;
        let value = RawValue::from_string(text).map_err(|_| JsonError::Syntax { offset })?;
        piece.value = Some(value);
        Ok(piece)
    }

    /// How many bytes of room it takes.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        let value = self.value.as_ref().map_or(0, |value| value.get().len());
        let cuts: usize = self.cut.iter().map(Cut::bytes).sum();
        (value + cuts) as u64
    }
}
