//! One connection over any pair of byte streams.
//!
//! Reads frames for the session and writes what it puts into its outbox. One task does both, and
//! neither waits for the other. Cuts off a client that takes no byte for 30 s while an answer waits
//! (section 2 of the protocol), or after its last request while anything does.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::framing::{Framing, FramingError, frames};
use super::outgoing::Outgoing;
use crate::session::outbox::Outbox;
use crate::session::{self, End, Incoming, Kind, Shared};

/// How long the last answers may take to be written when this side ends the connection.
const FLUSH_WITHIN: Duration = Duration::from_millis(300);

/// Serves one client until either side ends the connection.
pub async fn serve<R, W>(reader: R, writer: W, shared: Shared, kind: Kind) -> End
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let outbox = Arc::new(Outbox::default());
    let framing = Arc::new(OnceLock::new());
    let mut writing = pin!(write_all(writer, Arc::clone(&outbox), Arc::clone(&framing)));
    let mut frames = frames(reader);
    let incoming = futures_util::stream::poll_fn(move |cx| {
        frames.poll_next_unpin(cx).map(|frame| {
            if let Some(found) = frames.decoder().framing() {
                let _ = framing.set(found);
            }
            understood(frame?)
        })
    });
    let mut ending = shared.ending.clone();
    let context = Arc::clone(&shared.context);
    let mut session = pin!(session::run(shared, kind, incoming, outbox));
    // both in one task: an answer is written by the thread that made it
    let mut written = false;
    let (end, since) = loop {
        tokio::select! {
            biased;
            end = &mut session => break end,
            () = &mut writing, if !written => written = true,
        }
    };
    let flushing = Instant::now();
    // the daemon ends with its only connection
    let daemon_ends = || {
        if kind == Kind::Stdio {
            // what the client took for itself is not counted
            let now = Instant::now();
            let slow = now - flushing > FLUSH_WITHIN;
            let since = if slow { now } else { since };
            let _ = context.ending.set(since.into_std());
        }
    };
    let hurried = async {
        // whoever has no more to ask may take his time
        if end == End::Closed {
            let _ = ending.wait_for(|ending| *ending).await;
        }
        daemon_ends();
        tokio::time::sleep(FLUSH_WITHIN).await;
    };
    tokio::select! {
        () = writing, if !written => {}
        () = hurried, if !written => tracing::info!("the client did not take its last answers"),
        else => {}
    }
    daemon_ends();
    end
}

/// A frame, or nothing where the stream makes no sense any more.
fn understood(frame: Result<Incoming, FramingError>) -> Option<Incoming> {
    match frame {
        Ok(frame) => Some(frame),
        Err(error) => {
            match &error {
                // whoever writes a client looks for why
                FramingError::Malformed { .. } => {
                    tracing::warn!(%error, "what came in is no message; the connection ends");
                }
                _ => tracing::info!(%error, "the connection ends"),
            }
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
        if outbox.is_to_look() {
            // nothing to write is refused, too, where nobody is there to read
            writer.write(&[]).now_or_never().transpose()?;
        }
        // nothing is sent before something came
        let mut outgoing = Outgoing::new(framing.get().copied().unwrap_or(Framing::Lines));
        let mut taken = Vec::new();
        loop {
            while !outgoing.is_full()
                && let Some(message) = outbox.try_next()
            {
                outgoing.push(message.parts);
                taken.push(message.size);
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
    // nearly always it is taken at once, and no time is kept
    if let Some(written) = outgoing.write_some(writer).now_or_never() {
        written?;
        outbox.progressed();
        return Ok(());
    }
    loop {
        match timeout_at(outbox.look_again_at(), outgoing.write_some(writer)).await {
            Ok(written) => {
                written?;
                outbox.progressed();
                return Ok(());
            }
            Err(_) if !outbox.is_late() => {}
            Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

#[cfg(test)]
mod tests;
