//! From messages to bytes: the writing half of protocol section 2, "Messages".
//!
//! A connection's one writer task gathers what is waiting in an [`Outgoing`] and writes it with few
//! calls: small parts are copied together, large ones are kept as they are and written from where
//! they lie. Every call of [`Outgoing::write_some`] that returns is progress, so a deadline set
//! anew around each finds the peer that takes no byte.
//!
//! This file must not queue without being asked: what waits, what is coalesced and who is cut off
//! is the session's.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::framing::Framing;

/// Parts below this are copied: less work than one more slice in the system call.
const COPY_BELOW_BYTES: usize = 4 << 10;

/// Copied parts are gathered in pieces of about this size, so that they are freed as they go.
const PIECE_BYTES: usize = 64 << 10;

/// Enough to write for the next few system calls; what comes later can still be coalesced.
const FULL_BYTES: usize = 256 << 10;

/// How many slices one write is offered.
const SLICES: usize = 64;

/// Framed messages that are being written.
#[derive(Debug)]
pub struct Outgoing {
    framing: Framing,
    /// Bytes to write, in order; after them comes `gathered`.
    ready: VecDeque<Bytes>,
    /// Where small parts are copied together.
    gathered: BytesMut,
    unsent_bytes: usize,
}

impl Outgoing {
    /// Nothing to write yet.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            ready: VecDeque::new(),
            gathered: BytesMut::new(),
            unsent_bytes: 0,
        }
    }

    /// Adds one message, given as the parts that it is the concatenation of: one JSON value.
    ///
    /// Between lines, raw line ends inside it become spaces: in valid JSON they can only stand
    /// where any whitespace can.
    pub fn push<Parts>(&mut self, parts: Parts)
    where
        Parts: AsRef<[Bytes]> + IntoIterator<Item = Bytes>,
    {
        if self.framing == Framing::Headers {
            let length: usize = parts.as_ref().iter().map(Bytes::len).sum();
            self.copy(format!("Content-Length: {length}\r\n\r\n").as_bytes());
        }
        for part in parts {
            if part.len() < COPY_BELOW_BYTES {
                let start = self.gathered.len();
                self.copy(&part);
                if self.framing == Framing::Lines {
                    blank_line_ends(&mut self.gathered[start..]);
                }
                if self.gathered.len() >= PIECE_BYTES {
                    self.set_gathered_aside();
                }
            } else {
                self.set_gathered_aside();
                self.unsent_bytes += part.len();
                self.ready.push_back(match self.framing {
                    Framing::Headers => part,
                    Framing::Lines => on_one_line(part),
                });
            }
        }
        if self.framing == Framing::Lines {
            self.copy(b"\n");
        }
    }

    /// Whether enough is gathered for the next few writes, so that more had better wait where it
    /// can still be coalesced.
    pub fn is_full(&self) -> bool {
        self.unsent_bytes >= FULL_BYTES
    }

    /// Whether everything has been taken.
    pub fn is_empty(&self) -> bool {
        self.unsent_bytes == 0
    }

    /// Bytes not taken yet, headers and line ends included.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Writes once, and returns how many bytes were taken: at least one unless there are none.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing has been taken.
    pub async fn write_some<W>(&mut self, writer: &mut W) -> io::Result<usize>
    where
        W: AsyncWrite + Unpin,
    {
        if self.is_empty() {
            return Ok(0);
        }
        let (slices, count) = self.slices();
        let taken = writer.write_vectored(&slices[..count]).await;
        self.took(taken)
    }

    /// As [`Outgoing::write_some`], by a thread that waits: `write` is a call of the system.
    pub fn write_by(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let (slices, count) = self.slices();
        let taken = write(&slices[..count]);
        self.took(taken)
    }

    /// What is written next, and how many slices of it there are.
    fn slices(&self) -> ([IoSlice<'_>; SLICES], usize) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(
            self.ready
                .iter()
                .map(Bytes::as_ref)
                .chain([&*self.gathered]),
        ) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        (slices, count)
    }

    fn took(&mut self, taken: io::Result<usize>) -> io::Result<usize> {
        match taken? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            taken => {
                self.advance(taken);
                Ok(taken)
            }
        }
    }

    fn advance(&mut self, mut taken: usize) {
        self.unsent_bytes -= taken;
        while let Some(first) = self.ready.front_mut() {
            if taken < first.len() {
                first.advance(taken);
                return;
            }
            taken -= first.len();
            self.ready.pop_front();
        }
        self.gathered.advance(taken);
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.gathered.put_slice(bytes);
        self.unsent_bytes += bytes.len();
    }

    fn set_gathered_aside(&mut self) {
        if !self.gathered.is_empty() {
            self.ready.push_back(self.gathered.split().freeze());
        }
    }
}

/// The part without line ends; copied only if it has any and somebody else holds it too.
fn on_one_line(part: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &part).is_none() {
        return part;
    }
    let mut part = part
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    blank_line_ends(&mut part);
    part.freeze()
}

fn blank_line_ends(text: &mut [u8]) {
    for byte in text {
        // always stored, so that many are done at once
        *byte = match *byte {
            b'\n' | b'\r' => b' ',
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;

    use super::*;

    /// A peer that takes so many bytes a call, and counts the calls.
    struct Peer {
        takes: usize,
        vectored: bool,
        taken: Vec<u8>,
        calls: usize,
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut left = self.takes;
            let bufs = if self.vectored { bufs } else { &bufs[..1] };
            for buf in bufs {
                let count = buf.len().min(left);
                self.taken.extend_from_slice(&buf[..count]);
                left -= count;
            }
            self.calls += 1;
            Poll::Ready(Ok(self.takes - left))
        }

        fn is_write_vectored(&self) -> bool {
            self.vectored
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn peer(takes: usize) -> Peer {
        Peer {
            takes,
            vectored: true,
            taken: Vec::new(),
            calls: 0,
        }
    }

    fn write_out(out: &mut Outgoing, peer: &mut Peer) {
        futures_util::FutureExt::now_or_never(async {
            while !out.is_empty() {
                let before = out.unsent_bytes();
                let taken = out.write_some(peer).await.unwrap();
                assert_eq!(out.unsent_bytes(), before - taken);
            }
        })
        .unwrap();
    }

    fn expected(framing: Framing, messages: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            let mut message = message.concat();
            match framing {
                Framing::Headers => bytes.extend_from_slice(
                    format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes(),
                ),
                Framing::Lines => {
                    blank_line_ends(&mut message);
                    message.push(b'\n');
                }
            }
            bytes.extend_from_slice(&message);
        }
        bytes
    }

    fn part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..50),
            1 => (any::<u8>(), 0_usize..100_000).prop_map(|(byte, len)| vec![byte; len]),
            1 => Just(b"{\n  \"a\": 1\r\n}".repeat(1000)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_byte_is_written_once_and_in_order(
            messages in prop::collection::vec(prop::collection::vec(part(), 0..5), 0..8),
            takes in prop_oneof![1_usize..50, 1_000_usize..200_000],
            vectored: bool,
            lines: bool,
            written_between: bool,
        ) {
            let framing = if lines { Framing::Lines } else { Framing::Headers };
            let takes = if messages.iter().flatten().map(Vec::len).sum::<usize>() > 50_000 {
                takes + 1_000
            } else {
                takes
            };
            let mut out = Outgoing::new(framing);
            let mut peer = Peer { vectored, ..peer(takes) };
            for message in &messages {
                out.push(message.iter().cloned().map(Bytes::from).collect::<Vec<_>>());
                if written_between && !out.is_empty() {
                    futures_util::FutureExt::now_or_never(out.write_some(&mut peer)).unwrap().unwrap();
                }
            }
            write_out(&mut out, &mut peer);
            prop_assert!(peer.taken == expected(framing, &messages));
        }
    }

    #[test]
    fn many_small_messages_take_few_calls() {
        let mut peer = peer(usize::MAX);
        let mut out = Outgoing::new(Framing::Headers);
        let note = Bytes::from(vec![b'x'; 500]);
        let mut left = 10_000;
        while left > 0 {
            while left > 0 && !out.is_full() {
                out.push([note.clone()]);
                left -= 1;
            }
            write_out(&mut out, &mut peer);
        }
        assert!(peer.calls <= 25, "{} calls", peer.calls);
        assert!(out.gathered.capacity() <= 4 * PIECE_BYTES);
    }

    #[test]
    fn a_large_part_is_not_copied() {
        for framing in [Framing::Headers, Framing::Lines] {
            // Shared without line ends, and with line ends but ours alone.
            let shared = Bytes::from(vec![b'1'; 1 << 20]);
            let own = Bytes::from(b"[\n1]".repeat(1 << 16));
            let addresses = [shared.as_ptr(), own.as_ptr()];
            let mut out = Outgoing::new(framing);
            out.push([Bytes::from_static(b"{"), shared.clone(), own]);
            for address in addresses {
                assert!(out.ready.iter().any(|part| part.as_ptr() == address));
            }
        }
    }

    #[test]
    fn somebody_elses_part_keeps_its_line_ends() {
        let shared = Bytes::from(b"[\n1]".repeat(1 << 12));
        let before = shared.to_vec();
        let mut out = Outgoing::new(Framing::Lines);
        out.push([shared.clone()]);
        assert_eq!(shared, before);
        let mut peer = peer(usize::MAX);
        write_out(&mut out, &mut peer);
        assert_eq!(memchr::memchr(b'\n', &peer.taken), Some(shared.len()));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_seen_and_nothing_is_lost() {
        let (mut near, mut far) = tokio::io::duplex(10);
        let mut out = Outgoing::new(Framing::Lines);
        out.push([Bytes::from_static(b"0123456789abcdef")]);
        assert_eq!(out.write_some(&mut near).await.unwrap(), 10);
        let stalled = futures_util::FutureExt::now_or_never(out.write_some(&mut near));
        assert!(stalled.is_none());
        let mut read = [0; 10];
        tokio::io::AsyncReadExt::read_exact(&mut far, &mut read)
            .await
            .unwrap();
        assert_eq!(out.write_some(&mut near).await.unwrap(), 7);
        assert!(out.is_empty());
        drop(near);
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut rest)
            .await
            .unwrap();
        assert_eq!([&read[..], &rest].concat(), b"0123456789abcdef\n");
    }

    #[test]
    fn a_writer_that_takes_nothing_at_once_is_an_error() {
        let mut out = Outgoing::new(Framing::Lines);
        out.push([Bytes::from_static(b"1")]);
        let written = futures_util::FutureExt::now_or_never(out.write_some(&mut peer(0))).unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
