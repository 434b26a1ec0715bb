//! Pieces of records, whatever their size.
//!
//! `fields`, `range` and `maxBytes` of `executions/get` (section 4 of the protocol). The file is
//! read through a window of fixed size: once to find the pieces, then each piece again to write
//! it. Memory is bounded by what is asked for, never by the record.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::layout::file_name;
use super::read::Hashing;
use super::{NESTING_MAX, ReadError, Store};
use crate::model::excerpt::{Cut, PieceKind, Units, excerpt, measure, part_of_text};
use crate::model::json::{JsonError, Kind, Stream, Walk};
use crate::model::pointer::{Found, Pointer, locate};
use crate::model::{RunKey, Version};

/// Which pieces of a record are asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where they are, each as it was spelt and as it is read.
    pub fields: Vec<(String, Pointer)>,
    /// Which units of each that is a string.
    pub range: Option<Units>,
    /// How many bytes they and what is told of their cuts may take together.
    pub bytes_max: u64,
}

/// A value in a record, or what there is room for.
#[derive(Debug, Serialize, JsonSchema)]
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
    pub cut: Vec<Cut>,
}

/// Pieces of one state of a record.
#[derive(Debug)]
pub struct Pieces {
    /// One for each field that was asked for.
    pub pieces: Vec<Piece>,
    /// How large the whole record is.
    pub size_bytes: u64,
    /// Of all its bytes.
    pub version: Version,
}

impl Piece {
    fn missing() -> Self {
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

    fn none_of(found: &Found) -> Self {
        Self {
            kind: found.kind.into(),
            size_bytes: Some(found.size_bytes()),
            length: found.length,
            truncated: true,
            ..Self::missing()
        }
    }
}

impl Store {
    /// Pieces of one run's record, however large; `None` if there is no such file. Costs a reading
    /// of the whole file, and of the pieces once or twice more. It ends early where `going` says no.
    ///
    /// # Errors
    /// Any [`ReadError`] but [`ReadError::TooLarge`]; [`ReadError::Io`] where it was ended.
    pub fn pieces(
        &self,
        key: &RunKey,
        asked: &Asked,
        going: &dyn Fn() -> bool,
    ) -> Result<Option<Pieces>, ReadError> {
        let Some(folder) = self.folder(&key.project)? else {
            return Ok(None);
        };
        let name = file_name(&key.execution);
        let path = || folder.path_of(&name);
        let reading = folder.read_settled(&name, |file, size_bytes| {
            let file = Source {
                file: file.get_ref(),
                going,
            };
            let mut buffer = Vec::new();
            let mut hashing = Hashing::new(file.part(0, size_bytes));
            let pointers: Vec<Pointer> = asked
                .fields
                .iter()
                .map(|(_, pointer)| pointer.clone())
                .collect();
            let mut walk = Walk::new(Stream::new(&mut hashing, &mut buffer), NESTING_MAX);
            let located = match walk.kind() {
                Ok(Kind::Object) => locate(&mut walk, &pointers),
                Ok(_) => return Err(ReadError::NotAnObject { path: path() }),
                Err(error) => Err(error),
            };
            let located = located.map_err(|error| ReadError::json(path(), error))?;
            let version = hashing.finish();
            let version = version.map_err(|error| ReadError::io(path(), error))?;
            let pieces = file.pieces(asked, &located, &mut buffer);
            let pieces = pieces.map_err(|error| ReadError::json(path(), error))?;
            Ok(Pieces {
                pieces,
                size_bytes,
                version,
            })
        })?;
        Ok(reading.map(|reading| reading.value))
    }
}

/// A file that is read in parts.
#[derive(Clone, Copy)]
struct Source<'a> {
    file: &'a File,
    going: &'a dyn Fn() -> bool,
}

/// The bytes of a file from an offset on, up to another.
struct Span<'a> {
    source: Source<'a>,
    at: u64,
    end: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.source.going)() {
            return Err(io::Error::other("taken back"));
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let room = buffer.get_mut(..room).unwrap_or_default();
        let count = self.source.file.read_at(room, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<'a> Source<'a> {
    fn part(self, start: u64, end: u64) -> Span<'a> {
        Span {
            source: self,
            at: start,
            end,
        }
    }

    fn walk<'b>(self, found: &Found, buffer: &'b mut Vec<u8>) -> Walk<Stream<'b, Span<'a>>> {
        let part = self.part(found.start, found.end);
        Walk::new(Stream::new(part, buffer), NESTING_MAX)
    }

    /// What there is room for of each value. Small values are given whole first, so that what they
    /// leave is for the large ones, which share alike.
    fn pieces(
        self,
        asked: &Asked,
        located: &[Option<Found>],
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Piece>, JsonError> {
        let mut pieces: Vec<Piece> = located.iter().map(|_| Piece::missing()).collect();
        let mut found: Vec<(usize, &Found)> = located
            .iter()
            .enumerate()
            .filter_map(|(number, found)| Some((number, found.as_ref()?)))
            .collect();
        found.sort_by_key(|(number, found)| (found.size_bytes(), *number));
        let mut left = asked.bytes_max;
        for (done, (number, place)) in found.iter().enumerate() {
            let share = left / (found.len() - done) as u64;
            let pointer = asked.fields.get(*number).map_or("", |(pointer, _)| pointer);
            let (piece, used) = self.piece(place, pointer, asked.range, share, buffer)?;
            left -= used.min(share);
            if let Some(slot) = pieces.get_mut(*number) {
                *slot = piece;
            }
        }
        Ok(pieces)
    }

    /// What there is room for of one value, and how much of the room it takes.
    fn piece(
        self,
        found: &Found,
        pointer: &str,
        range: Option<Units>,
        bytes_max: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(Piece, u64), JsonError> {
        let mut piece = Piece::none_of(found);
        let whole = found.size_bytes() <= bytes_max;
        let json = match found.kind {
            Kind::String if range.is_some() || !whole => {
                let all = Units {
                    start: 0,
                    end: found.length.unwrap_or(0),
                };
                let walk = &mut self.walk(found, buffer);
                let part = part_of_text(walk, range.unwrap_or(all), bytes_max)?;
                let Some(part) = part else {
                    return Ok((piece, 0));
                };
                piece.truncated = part.units != all;
                piece.range = Some(part.units);
                part.json
            }
            _ if range.is_some() => return Ok((piece, 0)),
            _ if whole => {
                piece.truncated = false;
                let size = usize::try_from(found.size_bytes()).unwrap_or_default();
                let mut json = Vec::with_capacity(size);
                let mut part = self.part(found.start, found.end);
                part.read_to_end(&mut json).map_err(JsonError::Io)?;
                json
            }
            Kind::Object | Kind::Array => {
                let measure = measure(&mut self.walk(found, buffer), pointer, bytes_max)?;
                let Some(measure) = measure else {
                    return Ok((piece, 0));
                };
                let excerpt = excerpt(&mut self.walk(found, buffer), pointer, &measure)?;
                piece.cut = excerpt.cuts;
                piece.truncated = !piece.cut.is_empty();
                excerpt.json
            }
            _ => return Ok((piece, 0)),
        };
        let told: usize = piece.cut.iter().map(Cut::bytes).sum();
        let used = (json.len() + told) as u64;
        // it was a value when it was found; who writes into the file meanwhile may have spoilt it
        let spoilt = JsonError::Syntax {
            offset: found.start,
        };
        let text = String::from_utf8(json).map_err(|_| JsonError::Utf8 {
            offset: found.start,
        })?;
        piece.value = Some(RawValue::from_string(text).map_err(|_| spoilt)?);
        Ok((piece, used))
    }
}
