//! One connection to a daemon of this version: requests out, answers and notifications in.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::codec::FramedRead;

use crate::api::Error;
use crate::forward::message::{Answer, LIMIT_BYTES, Told};
use crate::session::Incoming;
use crate::transport::direct::{Reader, Writer, split};
use crate::transport::{Decoder, FRAME_LIMIT_BYTES, Framing, Outgoing};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// The connection. What is sent is written while the next message is waited for.
pub(crate) struct Link {
    frames: FramedRead<Reader, Decoder>,
    writer: Writer,
    outgoing: Outgoing,
}

/// A message of the daemon's.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// The answer to the request of this number.
    Answer(u64, Result<Bytes, Error>),
    /// A change that a subscription tells of.
    Told(Bytes),
    /// Another notification.
    Other(Bytes),
}

impl Link {
    /// The connection over `stream`.
    ///
    /// # Errors
    /// When the system gives no second descriptor.
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Self> {
        let (reader, writer) = split(stream)?;
        let decoder = Decoder::new(LIMIT_BYTES);
        Ok(Self {
            frames: FramedRead::with_capacity(reader, decoder, READ_BYTES),
            writer,
            // records keep their line ends
            outgoing: Outgoing::new(Framing::Headers),
        })
    }

    /// Sends a request as soon as the daemon takes it.
    ///
    /// # Errors
    /// [`Error::too_large`]: the daemon would skip it, and could not say whose it was.
    pub(crate) fn request(
        &mut self,
        number: u64,
        method: &str,
        params: Option<&[u8]>,
    ) -> Result<(), Error> {
        // whoever types one may type anything
        let method = Value::from(method);
        let head = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":{method}"#);
        let mut head = BytesMut::from(head.as_bytes());
        match params {
            None => self
                .outgoing
                .push([head.freeze(), Bytes::from_static(b"}")]),
            Some(params) => {
                head.put_slice(b",\"params\":");
                let size = head.len() + params.len() + 1;
                if size > FRAME_LIMIT_BYTES {
                    return Err(Error::too_large(
                        "the frame",
                        size as u64,
                        FRAME_LIMIT_BYTES as u64,
                    ));
                }
                let params = Bytes::copy_from_slice(params);
                self.outgoing
                    .push([head.freeze(), params, Bytes::from_static(b"}")]);
            }
        }
        Ok(())
    }

    /// Takes a request back.
    pub(crate) fn cancel(&mut self, number: u64) {
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{number}}}}}"#);
        self.outgoing.push([Bytes::from(text)]);
    }

    /// The next message; `None` when the connection is over. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Arrived> {
        loop {
            tokio::select! {
                biased;
                frame = self.frames.next() => match frame? {
                    Ok(Incoming::Frame(frame)) => {
                        if let Some(arrived) = understood(&frame) {
                            return Some(arrived);
                        }
                    }
                    Ok(Incoming::TooLarge { size_bytes }) => {
                        tracing::error!(size_bytes, "a message of the daemon is too large");
                        return None;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the daemon cannot be read");
                        return None;
                    }
                },
                written = self.outgoing.write_some(&mut self.writer),
                    if !self.outgoing.is_empty() =>
                {
                    written.ok()?;
                }
            }
        }
    }
}

/// What a frame of the daemon's is.
fn understood(frame: &Bytes) -> Option<Arrived> {
    if let Some(answer) = Answer::read(frame) {
        let number = std::str::from_utf8(answer.id).ok()?.parse().ok()?;
        let answer = match answer.body {
            Ok(result) => Ok(frame.slice_ref(result)),
            Err(error) => Err(Error::from_wire(std::str::from_utf8(error).ok()?)),
        };
        return Some(Arrived::Answer(number, answer));
    }
    Some(match Told::read(std::str::from_utf8(frame).ok()?) {
        Some(told) => Arrived::Told(frame.slice_ref(told.result.as_bytes())),
        None => Arrived::Other(frame.clone()),
    })
}
