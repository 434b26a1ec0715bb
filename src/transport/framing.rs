//! From bytes to frames: protocol section 2, "Messages".
//!
//! Two framings are understood, LSP's `Content-Length` headers (Language Server Protocol 3.17,
//! "Base Protocol") and newline-delimited JSON; the first byte of a connection that is not
//! whitespace says which. The bytes come from anybody, so what is held is bounded by what has
//! arrived, never by what was announced, and no byte is looked at twice: every call takes all that
//! it was given out of the read buffer, except an unfinished header line.
//!
//! This file must not look inside a frame: that a frame is no JSON is for the session to answer.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::codec::{self, FramedRead};

use crate::api::FRAME_LIMIT_BYTES;
use crate::session::Incoming;

/// The largest header block, its blank line included. LSP knows two headers of thirty bytes each.
const HEADER_BLOCK_LIMIT_BYTES: usize = 8 << 10;

/// How much is read at once. The buffer never grows beyond it, since the decoder empties it.
const READ_BYTES: usize = 64 << 10;

/// How a connection marks where a message ends; answered in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// LSP's base protocol: `Content-Length: N`, a blank line, N bytes.
    Headers,
    /// One message a line.
    Lines,
}

/// Why a connection cannot be read any further. Nothing can be answered to any of these.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// Where the next message begins is unknown.
    #[error("malformed header block: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The stream ended within a header block or before the end of the message it announced.
    #[error("the stream ended in the middle of a message")]
    Truncated,
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The frames of `reader`. Taking the next one is cancel-safe.
///
/// Which framing was found is `.decoder().framing()`, known once a first item has come.
pub fn frames<R: AsyncRead>(reader: R) -> FramedRead<R, Decoder> {
    FramedRead::with_capacity(reader, Decoder::new(FRAME_LIMIT_BYTES), READ_BYTES)
}

/// Splits a connection's bytes into frames.
#[derive(Debug)]
pub struct Decoder {
    limit_bytes: usize,
    framing: Option<Framing>,
    state: State,
}

/// Where in the stream the next byte belongs.
#[derive(Debug)]
enum State {
    /// Nothing but whitespace has come.
    Undetected,
    /// In a header block, or before one if it has no bytes yet.
    Head {
        block_bytes: usize,
        length: Option<u64>,
    },
    /// In a message whose length is known.
    Body { frame: Vec<u8>, length: usize },
    /// In such a message above the limit.
    Skip { missing_bytes: u64 },
    /// Before a line's first byte that is not whitespace.
    LineStart,
    /// In a line.
    Line { frame: Vec<u8> },
    /// In a line above the limit.
    LongLine {
        size_bytes: u64,
        ends_in_return: bool,
    },
}

const HEAD: State = State::Head {
    block_bytes: 0,
    length: None,
};

impl Decoder {
    /// A decoder for a new connection that refuses frames of more than `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            framing: None,
            state: State::Undetected,
        }
    }

    /// The framing of this connection; `None` until its first byte that is not whitespace.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// A line's answer, now that its end is seen.
    fn finish_line(&mut self, mut frame: Vec<u8>) -> Incoming {
        self.state = State::LineStart;
        if frame.last() == Some(&b'\r') {
            frame.pop();
        }
        if frame.len() > self.limit_bytes {
            return Incoming::TooLarge {
                size_bytes: frame.len() as u64,
            };
        }
        frame.shrink_to_fit();
        Incoming::Frame(frame.into())
    }

    fn finish_long_line(&mut self, size_bytes: u64, ends_in_return: bool) -> Incoming {
        self.state = State::LineStart;
        Incoming::TooLarge {
            size_bytes: size_bytes - u64::from(ends_in_return),
        }
    }
}

impl codec::Decoder for Decoder {
    type Item = Incoming;
    type Error = FramingError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Incoming>, FramingError> {
        loop {
            match &mut self.state {
                State::Undetected => {
                    let Some(first) = skip_whitespace(src) else {
                        return Ok(None);
                    };
                    // Of the letters, only those of true, false and null begin a JSON value. What
                    // is neither gets the parse error that lines are answered with.
                    if first.is_ascii_alphabetic() && !matches!(first, b't' | b'f' | b'n') {
                        self.framing = Some(Framing::Headers);
                        self.state = HEAD;
                    } else {
                        self.framing = Some(Framing::Lines);
                        self.state = State::LineStart;
                    }
                }

                State::Head {
                    block_bytes,
                    length,
                } => {
                    if *block_bytes == 0 {
                        match skip_whitespace(src) {
                            None => return Ok(None),
                            // Said at once: whoever changes to bare JSON in mid-stream may never
                            // send the line end that would show it.
                            Some(first) if !is_token_byte(first) => {
                                return Err(malformed("it does not begin with a header name"));
                            }
                            Some(_) => {}
                        }
                    }
                    let end = memchr::memchr(b'\n', src);
                    let line_bytes = end.unwrap_or(src.len()) + 1;
                    if *block_bytes + line_bytes > HEADER_BLOCK_LIMIT_BYTES {
                        return Err(malformed("it is longer than 8 KiB"));
                    }
                    let Some(end) = end else {
                        return Ok(None);
                    };
                    let line = src[..end].strip_suffix(b"\r").unwrap_or(&src[..end]);
                    if !line.is_empty() {
                        if let Some(found) = content_length(line)?
                            && length.replace(found).is_some_and(|former| former != found)
                        {
                            return Err(malformed("it has two different Content-Lengths"));
                        }
                        *block_bytes += line_bytes;
                        src.advance(line_bytes);
                        continue;
                    }
                    let Some(size_bytes) = *length else {
                        return Err(malformed("it has no Content-Length"));
                    };
                    src.advance(line_bytes);
                    match usize::try_from(size_bytes) {
                        Ok(length) if length <= self.limit_bytes => {
                            self.state = State::Body {
                                frame: Vec::new(),
                                length,
                            };
                        }
                        _ => {
                            self.state = State::Skip {
                                missing_bytes: size_bytes,
                            };
                            return Ok(Some(Incoming::TooLarge { size_bytes }));
                        }
                    }
                }

                State::Body { frame, length } => {
                    let take = src.len().min(*length - frame.len());
                    append(frame, &src[..take], *length);
                    src.advance(take);
                    if frame.len() < *length {
                        return Ok(None);
                    }
                    let frame = std::mem::take(frame);
                    self.state = HEAD;
                    return Ok(Some(Incoming::Frame(frame.into())));
                }

                State::Skip { missing_bytes } => {
                    let take = usize::try_from(*missing_bytes)
                        .map_or(src.len(), |missing| missing.min(src.len()));
                    src.advance(take);
                    *missing_bytes -= take as u64;
                    if *missing_bytes > 0 {
                        return Ok(None);
                    }
                    self.state = HEAD;
                }

                // Blank lines and indentation go here, before anything of the line is kept.
                State::LineStart => {
                    if skip_whitespace(src).is_none() {
                        return Ok(None);
                    }
                    self.state = State::Line { frame: Vec::new() };
                }

                State::Line { frame } => {
                    let end = memchr::memchr(b'\n', src);
                    let part = &src[..end.unwrap_or(src.len())];
                    // One more than the limit: it may be the carriage return of the line's end.
                    let most = self.limit_bytes.saturating_add(1);
                    if part.len() > most - frame.len() {
                        self.state = State::LongLine {
                            size_bytes: frame.len() as u64,
                            ends_in_return: false,
                        };
                        continue;
                    }
                    append(frame, part, most);
                    src.advance(end.map_or(src.len(), |end| end + 1));
                    if end.is_none() {
                        return Ok(None);
                    }
                    let frame = std::mem::take(frame);
                    return Ok(Some(self.finish_line(frame)));
                }

                State::LongLine {
                    size_bytes,
                    ends_in_return,
                } => {
                    let end = memchr::memchr(b'\n', src);
                    let part = &src[..end.unwrap_or(src.len())];
                    *size_bytes += part.len() as u64;
                    if let Some(last) = part.last() {
                        *ends_in_return = *last == b'\r';
                    }
                    src.advance(end.map_or(src.len(), |end| end + 1));
                    if end.is_none() {
                        return Ok(None);
                    }
                    let (size_bytes, ends_in_return) = (*size_bytes, *ends_in_return);
                    return Ok(Some(self.finish_long_line(size_bytes, ends_in_return)));
                }
            }
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Incoming>, FramingError> {
        if let Some(incoming) = self.decode(src)? {
            return Ok(Some(incoming));
        }
        match &mut self.state {
            State::Undetected | State::LineStart => Ok(None),
            State::Head { block_bytes: 0, .. } if src.is_empty() => Ok(None),
            State::Head { .. } | State::Body { .. } | State::Skip { .. } => {
                Err(FramingError::Truncated)
            }
            State::Line { frame } => {
                let frame = std::mem::take(frame);
                Ok(Some(self.finish_line(frame)))
            }
            State::LongLine {
                size_bytes,
                ends_in_return,
            } => {
                let (size_bytes, ends_in_return) = (*size_bytes, *ends_in_return);
                Ok(Some(self.finish_long_line(size_bytes, ends_in_return)))
            }
        }
    }
}

/// Drops JSON's whitespace from the front and returns the first other byte, which stays.
fn skip_whitespace(src: &mut BytesMut) -> Option<u8> {
    let blank = src
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .count();
    src.advance(blank);
    src.first().copied()
}

/// Appends to a frame that will have `most` bytes at most, making room by doubling: the room never
/// exceeds twice the bytes that have come, nor `most`, and is exact for a frame that came whole.
fn append(frame: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let needed = frame.len() + bytes.len();
    if needed > frame.capacity() {
        let room = frame.capacity().saturating_mul(2).min(most).max(needed);
        frame.reserve_exact(room - frame.len());
    }
    frame.extend_from_slice(bytes);
}

/// The value of a `Content-Length` line; `None` for any other header.
fn content_length(line: &[u8]) -> Result<Option<u64>, FramingError> {
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(malformed("it has a line without a colon"));
    };
    let name = line[..colon].trim_ascii();
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        return Err(malformed("it has a line that is no header"));
    }
    if !name.eq_ignore_ascii_case(b"content-length") {
        return Ok(None);
    }
    let digits = line[colon + 1..].trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed("its Content-Length is no number"));
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    // nobody will ever send more than fits
    Ok(Some(value.unwrap_or(u64::MAX)))
}

/// What a header name consists of: RFC 9110 section 5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn malformed(reason: &'static str) -> FramingError {
    FramingError::Malformed { reason }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use proptest::prelude::*;
    use tokio_util::codec::Decoder as _;

    use bytes::Bytes;

    use super::*;

    impl Decoder {
        /// The room that an unfinished frame takes.
        fn held_bytes(&self) -> usize {
            match &self.state {
                State::Body { frame, .. } | State::Line { frame } => frame.capacity(),
                _ => 0,
            }
        }
    }

    /// What a stream decodes to: what came, and whether and why it ended early.
    type Decoded = (Vec<Incoming>, Option<String>);

    /// Decodes as `FramedRead` does, given the bytes in chunks of these sizes, over and over.
    fn decode_in(decoder: &mut Decoder, bytes: &[u8], chunks: &[usize]) -> Decoded {
        let mut src = BytesMut::new();
        let mut found = Vec::new();
        let mut rest = bytes;
        let mut sizes = chunks.iter().copied().cycle();
        loop {
            let at_end = rest.is_empty();
            let (chunk, after) = rest.split_at(sizes.next().unwrap_or(rest.len()).min(rest.len()));
            rest = after;
            src.extend_from_slice(chunk);
            loop {
                let decoded = if at_end {
                    decoder.decode_eof(&mut src)
                } else {
                    decoder.decode(&mut src)
                };
                let received = bytes.len() - rest.len();
                assert!(decoder.held_bytes() <= 2 * received);
                assert!(decoder.held_bytes() <= decoder.limit_bytes + 1);
                assert!(
                    src.len() < HEADER_BLOCK_LIMIT_BYTES
                        || decoded.as_ref().is_ok_and(Option::is_some)
                        || decoded.is_err()
                );
                match decoded {
                    Ok(Some(incoming)) => found.push(incoming),
                    Ok(None) if at_end => return (found, None),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error.to_string())),
                }
            }
        }
    }

    fn decode(bytes: &[u8]) -> Decoded {
        decode_in(&mut Decoder::new(100), bytes, &[])
    }

    fn frame(text: &str) -> Incoming {
        Incoming::Frame(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn frames_of(texts: &[&str]) -> Decoded {
        (texts.iter().map(|text| frame(text)).collect(), None)
    }

    #[track_caller]
    fn assert_malformed(bytes: impl AsRef<[u8]>, why: &str) {
        let (found, error) = decode(bytes.as_ref());
        assert_eq!(found, []);
        let error = error.unwrap();
        assert!(
            error.starts_with("malformed") && error.contains(why),
            "{error}"
        );
    }

    const TRUNCATED: &str = "the stream ended in the middle of a message";

    #[test]
    fn the_first_byte_tells_the_framing() {
        let framing = |bytes: &[u8]| {
            let mut decoder = Decoder::new(100);
            let _ = decoder.decode(&mut BytesMut::from(bytes));
            decoder.framing()
        };
        for lines in [
            "{",
            "[",
            "\"",
            "-",
            "0",
            "9",
            "t",
            "f",
            "n",
            " \r\n\t {",
            "\u{feff}{",
            "\0",
            "}",
        ] {
            assert_eq!(framing(lines.as_bytes()), Some(Framing::Lines), "{lines:?}");
        }
        for headers in ["C", "c", "T", "F", "N", "X", "\r\n\r\nContent-Length: 2"] {
            assert_eq!(
                framing(headers.as_bytes()),
                Some(Framing::Headers),
                "{headers:?}"
            );
        }
        assert_eq!(framing(b""), None);
        assert_eq!(framing(b" \r\n\t"), None);
    }

    #[test]
    fn header_blocks_as_clients_write_them() {
        let blocks = [
            // vscode-jsonrpc, rust-analyzer's lsp-server, most others.
            "Content-Length: 2\r\n\r\n",
            // The type with the charset's older spelling, which the specification keeps for
            // compatibility, and with today's; in either order.
            "Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n",
            "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n",
            // Scripts.
            "Content-Length: 2\n\n",
            "content-length:2\r\n\r\n",
            "CONTENT-LENGTH:   0002  \r\n\r\n",
            "X-Trace: a:b:c\u{ff}\r\nContent-Length\t: 2\r\nX-Empty:\r\n\r\n",
            "Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
            "\r\n\n  \r\nContent-Length: 2\r\n\r\n",
        ];
        for block in blocks {
            let bytes = format!("{block}{{}}{block}[]");
            assert_eq!(
                decode(bytes.as_bytes()),
                frames_of(&["{}", "[]"]),
                "{block:?}"
            );
        }
    }

    #[test]
    fn what_is_no_header_block_ends_the_connection() {
        assert_malformed("Content-Type: x\r\n\r\n{}", "no Content-Length");
        assert_malformed(
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
            "two different",
        );
        for value in [
            "", "-1", "+1", "two", "2, 2", "0x2", "2.0", "1 2", "\u{662}",
        ] {
            assert_malformed(format!("Content-Length: {value}\r\n\r\n"), "no number");
        }
        assert_malformed("GET / HTTP/1.1\r\n\r\n", "without a colon");
        assert_malformed("Content Length: 2\r\n\r\n", "no header");
        assert_malformed("Content-Length: 2\r\n: x\r\n\r\n", "no header");
        assert_malformed("Content-Length: 2\r\n folded\r\n\r\n", "without a colon");
    }

    #[test]
    fn a_header_block_has_at_most_8_kib() {
        let block = |bytes: usize| {
            let known = "Content-Length: 2\r\nX: \r\n\r\n".len();
            format!(
                "Content-Length: 2\r\nX: {}\r\n\r\n",
                "x".repeat(bytes - known)
            )
        };
        assert_eq!(decode((block(8192) + "{}").as_bytes()), frames_of(&["{}"]));
        assert_malformed(block(8193), "8 KiB");
        assert_malformed("X".repeat(8192), "8 KiB");
        assert_malformed("X: y\r\n".repeat(2000), "8 KiB");
    }

    #[test]
    fn bare_json_after_header_blocks_is_refused_at_once() {
        let mut decoder = Decoder::new(100);
        let mut src = BytesMut::from("Content-Length: 2\r\n\r\n{}\n{\"id\":1");
        assert_eq!(decoder.decode(&mut src).unwrap(), Some(frame("{}")));
        assert!(decoder.decode(&mut src).is_err());
    }

    #[test]
    fn an_announced_length_of_nothing_is_a_frame() {
        let bytes = b"Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n1";
        assert_eq!(decode(bytes), frames_of(&["", "1"]));
    }

    #[test]
    fn an_oversized_message_is_told_at_once_and_skipped() {
        let mut decoder = Decoder::new(100);
        let mut src = BytesMut::from("Content-Length: 101\r\n\r\n");
        let too_large = Incoming::TooLarge { size_bytes: 101 };
        assert_eq!(decoder.decode(&mut src).unwrap(), Some(too_large));
        src.extend_from_slice(&[b'\n'; 100]);
        assert_eq!(decoder.decode(&mut src).unwrap(), None);
        assert!(src.is_empty());
        src.extend_from_slice(b"}Content-Length: 100\r\n\r\n");
        src.extend_from_slice(&[b'1'; 100]);
        assert_eq!(
            decoder.decode(&mut src).unwrap(),
            Some(frame(&"1".repeat(100)))
        );
    }

    #[test]
    fn a_claim_allocates_nothing() {
        for claim in [1_000_000_000_000, u64::MAX] {
            let bytes = format!("Content-Length: {claim}\r\n\r\n{{}}");
            let (found, error) = decode(bytes.as_bytes());
            assert_eq!(found, [Incoming::TooLarge { size_bytes: claim }]);
            assert_eq!(error.as_deref(), Some(TRUNCATED));
        }
        let (found, _) = decode(b"Content-Length: 18446744073709551616\r\n\r\n{}");
        let size_bytes = u64::MAX;
        assert_eq!(found, [Incoming::TooLarge { size_bytes }]);
        let mut decoder = Decoder::new(FRAME_LIMIT_BYTES);
        let mut src = BytesMut::from(&format!("Content-Length: {FRAME_LIMIT_BYTES}\r\n\r\n{{")[..]);
        assert_eq!(decoder.decode(&mut src).unwrap(), None);
        assert_eq!(decoder.held_bytes(), 1);
    }

    #[test]
    fn the_end_within_a_message_is_an_error() {
        for bytes in [
            "C",
            "Content-Length: 2",
            "Content-Length: 2\r\n",
            "Content-Length: 2\r\n\r\n",
            "Content-Length: 2\r\n\r\n{",
        ] {
            assert_eq!(decode(bytes.as_bytes()), (vec![], Some(TRUNCATED.into())));
        }
        for bytes in ["", " \r\n", "Content-Length: 2\r\n\r\n{}\r\n"] {
            assert_eq!(decode(bytes.as_bytes()).1, None);
        }
    }

    #[test]
    fn lines_end_as_they_like() {
        let bytes = b"\n \t\r\n{\"a\":1}\n\n  [2]\r\n\r\n3\r\r\n\xef\xbb\xbf4\n\"5\"";
        let expected = ["{\"a\":1}", "[2]", "3\r", "\u{feff}4", "\"5\""];
        assert_eq!(decode(bytes), frames_of(&expected));
        assert_eq!(decode(b"1\r"), frames_of(&["1"]));
        // Headers after a line are a line.
        assert_eq!(
            decode(b"1\nContent-Length: 2\n"),
            frames_of(&["1", "Content-Length: 2"])
        );
    }

    #[test]
    fn a_line_above_the_limit_is_told_at_its_end() {
        for (length, end) in [
            (101, "\n"),
            (101, "\r\n"),
            (101, ""),
            (101, "\r"),
            (5000, "\r\n"),
        ] {
            let line = "1".repeat(length);
            let (found, error) = decode(format!("{line}{end}").as_bytes());
            let size_bytes = length as u64;
            assert_eq!(
                (found, error),
                (vec![Incoming::TooLarge { size_bytes }], None)
            );
        }
        for end in ["\n", "\r\n", "", "\r"] {
            let line = "1".repeat(100);
            assert_eq!(
                decode(format!("{line}{end}").as_bytes()),
                frames_of(&[&line])
            );
        }
        let (found, _) = decode(format!("{}\n2\n", "1".repeat(5000)).as_bytes());
        assert_eq!(found, [Incoming::TooLarge { size_bytes: 5000 }, frame("2")]);
        // Blank is blank, however long.
        assert_eq!(
            decode(format!("{}\n2\n", " ".repeat(5000)).as_bytes()),
            frames_of(&["2"])
        );
    }

    #[tokio::test]
    async fn a_large_frame_leaves_no_large_buffer() {
        let large = "x".repeat(3 << 20);
        for bytes in [
            format!(
                "Content-Length: {}\r\n\r\n{large}Content-Length: 1\r\n\r\n1",
                large.len()
            ),
            format!("[{}]\n1\n", &large[2..]),
        ] {
            let mut frames = frames(bytes.as_bytes());
            let mut lengths = Vec::new();
            while let Some(incoming) = frames.next().await {
                assert!(frames.read_buffer().capacity() <= READ_BYTES);
                assert_eq!(frames.decoder().held_bytes(), 0);
                let Incoming::Frame(frame) = incoming.unwrap() else {
                    panic!("too large");
                };
                lengths.push(frame.len());
            }
            assert_eq!(lengths, [large.len(), 1]);
        }
    }

    #[tokio::test]
    async fn taking_the_next_frame_can_be_given_up_at_any_byte() {
        let bytes = b"Content-Length: 7\r\n\r\n{\"a\":1}";
        let (near, mut far) = tokio::io::duplex(64);
        let mut frames = frames(near);
        for byte in bytes {
            let early = futures_util::FutureExt::now_or_never(frames.next());
            assert!(early.is_none());
            tokio::io::AsyncWriteExt::write_all(&mut far, &[*byte])
                .await
                .unwrap();
        }
        assert_eq!(frames.next().await.unwrap().unwrap(), frame("{\"a\":1}"));
    }

    #[tokio::test]
    async fn after_an_error_the_stream_is_over() {
        let mut frames = frames(&b"Content-Length: x\r\n\r\n{}"[..]);
        assert!(matches!(
            frames.next().await,
            Some(Err(FramingError::Malformed { .. }))
        ));
        assert!(frames.next().await.is_none());
    }

    /// Bytes that come near to something: header blocks, lines, ends, whitespace, noise.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => (0_usize..200).prop_map(|length| {
                format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length)).into_bytes()
            }),
            2 => (0_usize..200).prop_map(|length| format!("[{}]\r\n", "1".repeat(length)).into_bytes()),
            1 => (0_usize..20_000).prop_map(|length| vec![b'X'; length]),
            1 => any::<u64>().prop_map(|length| format!("content-length:{length}\n\n").into_bytes()),
            1 => Just(b"Content-Type: application/vscode-jsonrpc; charset=utf8\r\n".to_vec()),
            2 => prop::sample::select(vec![&b"\r"[..], b"\n", b"\r\n", b" ", b":", b"{", b"C"])
                .prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..300),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_same_frames_whatever_the_chunks(
            bytes in stream(),
            chunks in prop::collection::vec(1_usize..5000, 1..20),
            small in prop::collection::vec(1_usize..4, 1..5),
        ) {
            let whole = decode(&bytes);
            for chunks in [chunks, small] {
                let mut decoder = Decoder::new(100);
                prop_assert_eq!(&decode_in(&mut decoder, &bytes, &chunks), &whole);
            }
        }

        #[test]
        fn what_was_framed_is_found_again(
            texts in prop::collection::vec("\\[[ -~]{0,98}\\]", 0..10),
            chunks in prop::collection::vec(1_usize..50, 1..20),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let expected = frames_of(&texts);
            let lines = texts.iter().map(|text| format!("{text}\n")).collect::<String>();
            let blocks = texts
                .iter()
                .map(|text| format!("Content-Length: {}\r\n\r\n{text}", text.len()))
                .collect::<String>();
            for bytes in [lines, blocks] {
                let mut decoder = Decoder::new(100);
                prop_assert_eq!(&decode_in(&mut decoder, bytes.as_bytes(), &chunks), &expected);
            }
        }
    }
}
