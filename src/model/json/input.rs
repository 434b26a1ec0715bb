//! Where the text comes from that a walk goes over: memory, or a stream through a window.

use std::io::Read;

use super::JsonError;

/// Where the bytes come from. All of them are valid UTF-8, and a window ends between characters.
pub trait Input {
    /// What is there now; empty only at the end or before [`Input::refill`].
    fn window(&self) -> &[u8];
    /// The first `count` bytes of the window, if they end between characters.
    fn text(&self, count: usize) -> Option<&str>;
    /// Goes past `count` bytes of the window.
    fn advance(&mut self, count: usize);
    /// Makes the window not empty, or says that the end is reached.
    ///
    /// # Errors
    /// [`JsonError::Io`] and [`JsonError::Utf8`].
    fn refill(&mut self) -> Result<bool, JsonError>;
    /// How many bytes have been passed.
    fn offset(&self) -> u64;
}

/// Text in memory.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Slice<'a> {
    /// A walk from the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }
}

impl Input for Slice<'_> {
    #[inline]
    fn window(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn text(&self, count: usize) -> Option<&str> {
        self.text.get(self.at..self.at + count)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.at += count;
    }

    fn refill(&mut self) -> Result<bool, JsonError> {
        Ok(self.at < self.text.len())
    }

    fn offset(&self) -> u64 {
        self.at as u64
    }
}

/// The text that `bytes` are; where they are none, what is wrong is looked for at leisure.
fn utf8(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => std::str::from_utf8(bytes),
    }
}

/// The text that `bytes` are.
///
/// # Errors
/// [`JsonError::Utf8`] where they are none.
pub fn text(bytes: &[u8]) -> Result<&str, JsonError> {
    utf8(bytes).map_err(|error| JsonError::Utf8 {
        offset: error.valid_up_to() as u64,
    })
}

/// How many bytes of a stream are held.
pub const WINDOW: usize = 64 * 1024;

/// Text that is read as it is walked over.
#[derive(Debug)]
pub struct Stream<'b, R> {
    reader: R,
    buffer: &'b mut Vec<u8>,
    at: usize,
    /// Up to here the buffer holds whole characters.
    whole: usize,
    /// Up to here it holds anything.
    filled: usize,
    passed: u64,
}

impl<'b, R: Read> Stream<'b, R> {
    /// A walk from where `reader` is, which holds text in `buffer`: one that is used again need
    /// not be made and blanked for every record.
    pub fn new(reader: R, buffer: &'b mut Vec<u8>) -> Self {
        buffer.resize(WINDOW, 0);
        Self {
            reader,
            buffer,
            at: 0,
            whole: 0,
            filled: 0,
            passed: 0,
        }
    }
}

impl<R: Read> Input for Stream<'_, R> {
    #[inline]
    fn window(&self) -> &[u8] {
        self.buffer.get(self.at..self.whole).unwrap_or_default()
    }

    #[inline]
    fn text(&self, count: usize) -> Option<&str> {
        utf8(self.window().get(..count)?).ok()
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.at += count;
    }

    #[cold]
    fn refill(&mut self) -> Result<bool, JsonError> {
        if self.at < self.whole {
            return Ok(true);
        }
        // the beginning of a character that was cut
        self.buffer.copy_within(self.whole..self.filled, 0);
        self.passed += self.whole as u64;
        self.filled -= self.whole;
        (self.at, self.whole) = (0, 0);
        loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let count = match self.reader.read(room) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(JsonError::Io(error)),
            };
            self.filled += count;
            let held = self.buffer.get(..self.filled).unwrap_or_default();
            self.whole = match utf8(held) {
                Ok(_) => self.filled,
                Err(error) if error.error_len().is_none() && count > 0 => error.valid_up_to(),
                Err(error) => {
                    let offset = self.passed + error.valid_up_to() as u64;
                    return Err(JsonError::Utf8 { offset });
                }
            };
            if self.whole > 0 || count == 0 {
                return Ok(self.whole > 0);
            }
        }
    }

    fn offset(&self) -> u64 {
        self.passed + self.at as u64
    }
}
