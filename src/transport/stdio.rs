//! Standard input and output for a daemon (protocol section 2: `runlog serve` speaks on stdio).
//!
//! Each has a plain thread of its own. Making the descriptors non-blocking instead would change
//! them for every process that shares them (the shell's terminal, a stderr that is the same pipe),
//! and tokio's own stdin and stdout run on its blocking pool, which the end of the runtime waits
//! for: a read that nobody will ever answer, or a write that nobody takes, would hold up the exit.
//! A plain thread is not waited for; it ends with the process.
//!
//! Both directions are bounded, so a session that stops reading stops the client, and a client that
//! stops reading stops the session. This file must not know what the bytes mean.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use bytes::{Buf, Bytes};
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// What one read takes at most, and what output may wait for its thread: as much as a pipe holds.
const BUFFER_BYTES: usize = 64 << 10;

/// What one write is offered: a blocking write reports nothing before all of it was taken, and
/// progress must be seen while a slow peer still takes something.
const WRITE_BYTES: usize = 16 << 10;

/// The process's standard input.
///
/// At most three buffers of 64 KiB are read ahead of whoever reads this.
#[derive(Debug)]
pub struct Stdin {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Stdin {
    /// Starts reading. Call it once: two readers would share the bytes between them.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdin().as_fd().try_clone_to_owned()?.into())
    }

    fn over(file: File) -> io::Result<Self> {
        let (sender, chunks) = mpsc::channel(1);
        thread::Builder::new()
            .name("stdin".into())
            .spawn(move || read_all(file, &sender))?;
        Ok(Self {
            chunks,
            chunk: Bytes::new(),
        })
    }
}

/// Reads until the end, an error, or nobody is there to read for.
fn read_all(file: File, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let chunk = match blocking(&file, PollFlags::IN, || (&file).read(&mut buffer)) {
            Ok(0) => return,
            Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if sender.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() {
            match ready!(self.chunks.poll_recv(cx)) {
                Some(chunk) => self.chunk = chunk?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk[..count]);
        self.chunk.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// The process's standard output.
///
/// A write takes what fits into 64 KiB of what is not yet written; flushing and shutting down wait
/// until the system has taken everything. An error of the system (a reader that has gone: EPIPE,
/// as long as SIGPIPE stays ignored, which is how Rust starts) is told by every later call. Shut it
/// down before the process ends, under a deadline, or the last answers may be lost.
#[derive(Debug)]
pub struct Stdout {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told to the thread: something is waiting, or nothing more will come.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the thread has not picked up yet.
    waiting: Vec<u8>,
    /// How much of what it has picked up is not yet written.
    picked_up_bytes: usize,
    /// Nothing more will come.
    closed: bool,
    /// Why the thread has given up.
    failure: Option<Arc<io::Error>>,
    /// The task that waits for room or for everything to be written.
    waker: Option<Waker>,
}

impl Stdout {
    /// Starts the writing thread. Nothing else may write to standard output from here on.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    fn over(file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        thread::Builder::new().name("stdout".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all(&file)
        })?;
        Ok(Self { shared })
    }
}

impl Drop for Stdout {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// The thread: writes what is waiting until nothing more will come, or an error.
    fn write_all(&self, file: &File) {
        let mut bytes = Vec::new();
        while self.pick_up(&mut bytes) {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let piece = &rest[..rest.len().min(WRITE_BYTES)];
                let written = blocking(file, PollFlags::OUT, || {
                    let mut file = file;
                    match file.write(piece)? {
                        0 => Err(io::ErrorKind::WriteZero.into()),
                        count => Ok(count),
                    }
                });
                let failed = written.is_err();
                let waker = {
                    let mut state = self.state.lock();
                    match written {
                        Ok(count) => {
                            state.picked_up_bytes -= count;
                            rest = &rest[count..];
                        }
                        Err(error) => state.failure = Some(Arc::new(error)),
                    }
                    state.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
                if failed {
                    return;
                }
            }
        }
    }

    /// Swaps what is waiting for `bytes`, all written; false when nothing more will come.
    fn pick_up(&self, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            self.changed.wait(&mut state);
        }
        std::mem::swap(&mut state.waiting, bytes);
        state.picked_up_bytes = bytes.len();
        true
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some(error) => Err(io::Error::new(error.kind(), Arc::clone(error))),
            None => Ok(()),
        }
    }

    fn poll_written(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if self.waiting.is_empty() && self.picked_up_bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state.lock();
        state.check()?;
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = BUFFER_BYTES - state.waiting.len() - state.picked_up_bytes;
        let mut left = room;
        for buf in bufs {
            let count = buf.len().min(left);
            state.waiting.extend_from_slice(&buf[..count]);
            left -= count;
        }
        if room == 0 && bufs.iter().any(|buf| !buf.is_empty()) {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.shared.changed.notify_one();
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.state.lock().poll_written(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        state.closed = true;
        self.shared.changed.notify_one();
        state.poll_written(cx)
    }
}

/// Does one blocking call, again after an interruption. Whoever started us may have left its
/// non-blocking mode on the descriptor: then this waits until the call can succeed.
fn blocking(
    file: &File,
    until: PollFlags,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(file, until)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            done => return done,
        }
    }
}
