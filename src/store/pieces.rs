//! Pieces of records, whatever their size.
//!
//! `fields`, `range` and `maxBytes` of `executions/get` (section 4 of the protocol). The file is
//! read through a window of fixed size: once to find the pieces, then each piece again to write
//! it. Memory is bounded by what is asked for, never by the record. Where the pieces of large records
//! lie is remembered while their files are as they were, for whoever goes through one bit by bit.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use super::layout::file_name;
use super::read::Hashing;
use super::stamp::{is_racy, stamp_of};
use super::{NESTING_MAX, ReadError, Store};
use crate::model::excerpt::Units;
use crate::model::json::{JsonError, Kind, Stream, Walk};
use crate::model::piece::{Piece, Source};
use crate::model::pointer::{Found, Pointer, locate};
use crate::model::{RunKey, Stamp, Version};

/// Which pieces of a record are asked for.
#[derive(Debug, Clone)]
pub struct PieceQuery {
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
    /// of the whole file, unless it is remembered where they are, and of the pieces once or twice
    /// more. It ends early where `going` says no.
    ///
    /// # Errors
    /// Any [`ReadError`] but [`ReadError::TooLarge`]; [`ReadError::Io`] where it was ended.
    pub fn pieces(
        &self,
        key: &RunKey,
        asked: &PieceQuery,
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
            let stamp = rustix::fs::fstat(file).map(|stat| stamp_of(&stat));
            let known = stamp.ok().and_then(|stamp| self.places.of(&stamp, asked));
            let (version, located) = match known {
                Some(known) => known,
                None => {
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
                    (version, located)
                }
            };
            let mut file = Reader { part, buffer };
            let pieces = shared_out(&mut file, asked, &located);
            let pieces = Pieces {
                pieces: pieces.map_err(|error| ReadError::json(path(), error))?,
                size_bytes,
                version,
            };
            Ok((pieces, located))
        })?;
        Ok(reading.map(|reading| {
            let (pieces, located) = reading.value;
            if reading.settled && !is_racy(&reading.stamp, reading.begun) {
                self.places
                    .keep(reading.stamp, pieces.version, asked, &located);
            }
            pieces
        }))
    }
}

/// Of how many records it is remembered where pieces lie.
const RECORDS_MAX: usize = 16;
/// How many pieces of each, and how many bytes their pointers have together.
const PLACES_MAX: usize = 256;
const POINTERS_MAX: usize = 64 * 1024;
/// A smaller record is as quickly read.
const LARGE_BYTES: u64 = 1 << 20;

/// Where pieces lie that were asked for lately; the latest record last.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    /// It proves that the file is the one that was read.
    stamp: Stamp,
    version: Version,
    /// By their pointers; `None` where there is nothing.
    places: HashMap<String, Option<Found>>,
}

impl Places {
    /// The version of the record whose file has `stamp`, and where what `asked` names lies in it.
    pub(super) fn of(
        &self,
        stamp: &Stamp,
        asked: &PieceQuery,
    ) -> Option<(Version, Vec<Option<Found>>)> {
        let Self(known) = self;
        let known = known.lock();
        let held = known.iter().find(|known| known.stamp == *stamp)?;
        let fields = asked.fields.iter();
        let located: Option<Vec<_>> = fields
            .map(|(pointer, _)| held.places.get(pointer).copied())
            .collect();
        Some((held.version, located?))
    }

    /// Remembers them; `stamp` must prove that its file is the one that was read.
    fn keep(&self, stamp: Stamp, version: Version, asked: &PieceQuery, located: &[Option<Found>]) {
        if stamp.size < LARGE_BYTES {
            return;
        }
        let pointers = asked.fields.iter().map(|(pointer, _)| pointer.clone());
        let mut places: HashMap<_, _> = pointers.zip(located.iter().copied()).collect();
        let Self(known) = self;
        let mut known = known.lock();
        if let Some(at) = known.iter().position(|known| known.stamp == stamp) {
            let earlier = known.remove(at).places;
            let all = || earlier.keys().chain(places.keys());
            if all().count() <= PLACES_MAX && all().map(String::len).sum::<usize>() <= POINTERS_MAX
            {
                places.extend(earlier);
            }
        } else if known.len() == RECORDS_MAX {
            known.remove(0);
        }
        known.push(Known {
            stamp,
            version,
            places,
        });
    }
}

/// What there is room for of each value. Small values are given whole first, so that what they
/// leave is for the large ones, which share alike.
fn shared_out(
    file: &mut impl Source,
    asked: &PieceQuery,
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

/// The bytes of a file from an offset on, up to another, as long as `going` says so.
pub(super) struct Span<'a> {
    pub(super) file: &'a File,
    pub(super) going: &'a dyn Fn() -> bool,
    pub(super) at: u64,
    pub(super) end: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_remembered() {
        let places = Places::default();
        for number in 0..100 {
            let stamp = Stamp {
                size: LARGE_BYTES + number % 20,
                ..Stamp::default()
            };
            for at in 0..5 {
                let pointer = format!("/{}", "p".repeat(30_000 + at));
                let query = PieceQuery {
                    fields: vec![(pointer.clone(), Pointer::parse(&pointer).unwrap())],
                    range: None,
                    bytes_max: 4096,
                };
                places.keep(stamp, Version::default(), &query, &[None]);
            }
        }
        let Places(known) = places;
        let known = known.into_inner();
        assert_eq!(known.len(), RECORDS_MAX);
        for known in known {
            assert!(known.places.keys().map(String::len).sum::<usize>() <= POINTERS_MAX);
        }
    }
}
