//! Pieces of records, whatever their size.
//!
//! `fields`, `range` and `maxBytes` of `executions/get` (section 4 of the protocol). The file is
//! read through a window of fixed size: once to find the pieces, then each piece again to write
//! it. Memory is bounded by what is asked for, never by the record.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::layout::file_name;
use super::read::Hashing;
use super::{NESTING_MAX, ReadError, Store};
use crate::model::excerpt::Units;
use crate::model::json::{JsonError, Kind, Stream, Walk};
use crate::model::piece::{Piece, Source};
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
        let pointers: Vec<Pointer> = asked.fields.iter().map(|(_, at)| at.clone()).collect();
        let reading = folder.read_settled(&name, |file, size_bytes| {
            let file: &File = file.get_ref();
            let part = |start, end| Span {
                file,
                going,
                at: start,
                end,
            };
            let mut buffer = Vec::new();
            let mut hashing = Hashing::new(part(0, size_bytes));
            let mut walk = Walk::new(Stream::new(&mut hashing, &mut buffer), NESTING_MAX);
            let located = match walk.kind() {
                Ok(Kind::Object) => locate(&mut walk, &pointers),
                Ok(_) => return Err(ReadError::NotAnObject { path: path() }),
                Err(error) => Err(error),
            };
            let located = located.map_err(|error| ReadError::json(path(), error))?;
            let version = hashing.finish();
            let version = version.map_err(|error| ReadError::io(path(), error))?;
            let mut file = Reader { part, buffer };
            let pieces = shared_out(&mut file, asked, &located);
            Ok(Pieces {
                pieces: pieces.map_err(|error| ReadError::json(path(), error))?,
                size_bytes,
                version,
            })
        })?;
        Ok(reading.map(|reading| reading.value))
    }
}

/// What there is room for of each value. Small values are given whole first, so that what they
/// leave is for the large ones, which share alike.
fn shared_out(
    file: &mut impl Source,
    asked: &Asked,
    located: &[Option<Found>],
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
        let pointer = asked.fields.get(*number).map_or("", |(spelt, _)| spelt);
        let piece = Piece::of(file, place, pointer, asked.range, share)?;
        left = left.saturating_sub(piece.room_bytes());
        if let Some(slot) = pieces.get_mut(*number) {
            *slot = piece;
        }
    }
    Ok(pieces)
}

/// The bytes of a file from an offset on, up to another.
struct Span<'a> {
    file: &'a File,
    going: &'a dyn Fn() -> bool,
    at: u64,
    end: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.going)() {
            return Err(io::Error::other("taken back"));
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let room = buffer.get_mut(..room).unwrap_or_default();
        let count = self.file.read_at(room, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Reads parts of a file, through one window.
struct Reader<P> {
    part: P,
    buffer: Vec<u8>,
}

impl<'f, P: Fn(u64, u64) -> Span<'f>> Source for Reader<P> {
    type Input<'a>
        = Stream<'a, Span<'f>>
    where
        Self: 'a;

    fn walk(&mut self, found: &Found) -> Walk<Self::Input<'_>> {
        let part = (self.part)(found.start, found.end);
        Walk::new(Stream::new(part, &mut self.buffer), NESTING_MAX)
    }

    fn bytes(&mut self, found: &Found) -> Result<Vec<u8>, JsonError> {
        let size = usize::try_from(found.size_bytes()).unwrap_or_default();
        let mut bytes = Vec::with_capacity(size);
        let mut part = (self.part)(found.start, found.end);
        part.read_to_end(&mut bytes).map_err(JsonError::Io)?;
        Ok(bytes)
    }
}
