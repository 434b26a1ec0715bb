//! One connection over any pair of byte streams.
//!
//! Reads frames for the session and writes what it puts into its outbox: one task that reads, one
//! that writes, and between them nothing that either could block the other on. Cuts off a client
//! that takes no byte for 30 s while an answer waits (section 2 of the protocol).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::framing::{Framing, FramingError, frames};
use super::outgoing::Outgoing;
use crate::session::outbox::{Outbox, PATIENCE};
use crate::session::{self, End, Incoming, Kind, Shared};

/// How long the last answers may take to be written when the connection ends.
const FLUSH_WITHIN: Duration = Duration::from_millis(300);

/// Serves one client until either side ends the connection.
pub async fn serve<R, W>(reader: R, writer: W, shared: Shared, kind: Kind) -> End
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let outbox = Arc::new(Outbox::default());
    let framing = Arc::new(OnceLock::new());
    let writing = tokio::spawn(write_all(writer, Arc::clone(&outbox), Arc::clone(&framing)));
    let abort = writing.abort_handle();
    let mut frames = frames(reader);
    let incoming = futures_util::stream::poll_fn(move |cx| {
        frames.poll_next_unpin(cx).map(|frame| {
            if let Some(found) = frames.decoder().framing() {
                let _ = framing.set(found);
            }
            understood(frame?)
        })
    });
    let end = session::run(shared, kind, incoming, outbox).await;
    if timeout(FLUSH_WITHIN, writing).await.is_err() {
        tracing::debug!("the client did not take its last answers");
        abort.abort();
    }
    end
}

/// A frame, or nothing where the stream makes no sense any more.
fn understood(frame: Result<Incoming, FramingError>) -> Option<Incoming> {
    match frame {
        Ok(frame) => Some(frame),
        Err(error) => {
            tracing::info!(%error, "the connection ends");
            None
        }
    }
}

async fn write_all<W: AsyncWrite + Unpin>(
    mut writer: W,
    outbox: Arc<Outbox>,
    framing: Arc<OnceLock<Framing>>,
) {
    if let Err(error) = write_until_done(&mut writer, &outbox, &framing).await {
        tracing::info!(%error, "the client cannot be written to; the connection ends");
    }
    outbox.break_off();
    let _ = writer.shutdown().await;
}

async fn write_until_done<W: AsyncWrite + Unpin>(
    writer: &mut W,
    outbox: &Outbox,
    framing: &OnceLock<Framing>,
) -> std::io::Result<()> {
    while outbox.wait().await {
        // nothing is sent before something came
        let mut outgoing = Outgoing::new(framing.get().copied().unwrap_or(Framing::Lines));
        let mut taken = Vec::new();
        loop {
            while !outgoing.is_full()
                && let Some(message) = outbox.try_next()
            {
                outgoing.push(message.parts.clone());
                taken.push(message);
            }
            if outgoing.is_empty() {
                break;
            }
            write_some(&mut outgoing, writer, outbox).await?;
            if outgoing.is_empty() {
                outbox.sent(&taken);
                taken.clear();
            }
        }
        writer.flush().await?;
    }
    Ok(())
}

/// Writes once; fails when the client lets an answer wait too long.
async fn write_some<W: AsyncWrite + Unpin>(
    outgoing: &mut Outgoing,
    writer: &mut W,
    outbox: &Outbox,
) -> std::io::Result<()> {
    loop {
        let until = outbox
            .deadline()
            .unwrap_or_else(|| Instant::now() + PATIENCE);
        match timeout_at(until, outgoing.write_some(writer)).await {
            Ok(written) => {
                written?;
                outbox.progressed();
                return Ok(());
            }
            // an answer may have been put in only while a notification was waiting
            Err(_)
                if outbox
                    .deadline()
                    .is_none_or(|deadline| deadline > Instant::now()) => {}
            Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}
