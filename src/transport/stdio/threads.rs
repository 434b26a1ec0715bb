//! Standard input and output with a plain thread each.
//!
//! tokio's own stdin and stdout run on its blocking pool, which the end of the runtime waits for: a
//! read that nobody will ever answer, or a write that nobody takes, would hold up the exit. A plain
//! thread is not waited for; it ends with the process.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
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

/// What is read.
///
/// At most three buffers of 64 KiB are read ahead of whoever reads this.
#[derive(Debug)]
pub struct Stdin {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Stdin {
    /// Starts reading.
    pub(super) fn over(file: File) -> io::Result<Self> {
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

/// What is written.
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
    /// Starts the writing thread.
    pub(super) fn over(file: File) -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use std::io::PipeReader;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc as std_mpsc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use rustix::event::Timespec;
    use rustix::io::ioctl_fionbio;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn stdin() -> (Stdin, File) {
        let (near, far) = io::pipe().unwrap();
        (Stdin::over(file(near)).unwrap(), file(far))
    }

    fn stdout() -> (Stdout, PipeReader) {
        let (far, near) = io::pipe().unwrap();
        (Stdout::over(file(near)).unwrap(), far)
    }

    fn file(end: impl Into<OwnedFd>) -> File {
        File::from(end.into())
    }

    fn some_bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, future).await.unwrap()
    }

    #[tokio::test]
    async fn input_arrives_whole_and_ends() {
        let (mut stdin, mut far) = stdin();
        let sent = some_bytes(1 << 20);
        let writer = thread::spawn({
            let sent = sent.clone();
            move || far.write_all(&sent).unwrap()
        });
        let mut read = Vec::new();
        in_time(stdin.read_to_end(&mut read)).await.unwrap();
        assert!(read == sent);
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn input_that_nobody_reads_stays_with_its_sender() {
        let (mut stdin, mut far) = stdin();
        ioctl_fionbio(&far, true).unwrap();
        let sent = some_bytes(4 << 20);
        let mut count = 0;
        // A stall seen too early only makes this test easier to pass.
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        while count < sent.len()
            && poll(&mut [PollFd::new(&far, PollFlags::OUT)], Some(&patience)).unwrap() > 0
        {
            match far.write(&sent[count..]) {
                Ok(written) => count += written,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let held_by_pipe = 64 << 10;
        assert!(count <= 3 * BUFFER_BYTES + held_by_pipe, "{count}");
        drop(far);
        let mut read = Vec::new();
        in_time(stdin.read_to_end(&mut read)).await.unwrap();
        assert!(read == sent[..count]);
    }

    #[tokio::test]
    async fn a_read_error_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut stdin = Stdin::over(File::open(folder.path()).unwrap()).unwrap();
        let error = in_time(stdin.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }

    #[tokio::test]
    async fn output_is_written_whole_before_it_is_shut_down() {
        let (mut stdout, mut far) = stdout();
        let sent = some_bytes(1 << 20);
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            far.read_to_end(&mut read).unwrap();
            read
        });
        in_time(stdout.write_all(&sent)).await.unwrap();
        in_time(stdout.shutdown()).await.unwrap();
        let after = in_time(stdout.write(b"x")).await.unwrap_err();
        assert_eq!(after.kind(), io::ErrorKind::BrokenPipe);
        assert!(reader.join().unwrap() == sent);
    }

    #[tokio::test]
    async fn a_flush_waits_for_the_system_to_take_all() {
        let (mut stdout, mut far) = stdout();
        in_time(stdout.write_all(b"{}\n")).await.unwrap();
        in_time(stdout.flush()).await.unwrap();
        let mut read = [0; 3];
        far.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"{}\n");

        // As much as the pipe and the buffer hold: not all of it is taken until somebody reads.
        let mut count = 0;
        while let Ok(taken) =
            tokio::time::timeout(Duration::from_millis(200), stdout.write(&[b'x'; 1000])).await
        {
            count += taken.unwrap();
        }
        assert!(stdout.flush().now_or_never().is_none());
        assert!(count <= BUFFER_BYTES + (64 << 10), "{count}");
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            far.read_to_end(&mut read).unwrap();
            read.len()
        });
        in_time(stdout.flush()).await.unwrap();
        drop(stdout);
        assert_eq!(reader.join().unwrap(), count);
    }

    #[tokio::test]
    async fn progress_is_seen_while_a_slow_reader_takes_something() {
        let (mut stdout, mut far) = stdout();
        // One buffer fills the pipe, the next is what the thread cannot write.
        let full = [0; BUFFER_BYTES];
        in_time(stdout.write_all(&full)).await.unwrap();
        in_time(stdout.flush()).await.unwrap();
        in_time(stdout.write_all(&full)).await.unwrap();
        assert!(stdout.write(&[0; 1000]).now_or_never().is_none());
        // Far less than the buffer.
        far.read_exact(&mut [0; BUFFER_BYTES / 2]).unwrap();
        assert!(in_time(stdout.write(&[0; 1000])).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_an_error() {
        let (mut stdout, far) = stdout();
        drop(far);
        in_time(stdout.write_all(b"{}\n")).await.unwrap();
        for _ in 0..2 {
            let error = in_time(stdout.flush()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        let error = in_time(stdout.write(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(in_time(stdout.shutdown()).await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_goes_while_output_waits_is_an_error() {
        let (mut stdout, far) = stdout();
        let sent = some_bytes(1 << 20);
        let (result, ()) = in_time(async {
            tokio::join!(stdout.write_all(&sent), async {
                tokio::task::yield_now().await;
                drop(far);
            })
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_descriptor_left_non_blocking_works() {
        let (near, mut far) = io::pipe().unwrap();
        ioctl_fionbio(&near, true).unwrap();
        let mut stdin = Stdin::over(file(near)).unwrap();
        assert!(stdin.read_u8().now_or_never().is_none());
        far.write_all(b"x").unwrap();
        assert_eq!(in_time(stdin.read_u8()).await.unwrap(), b'x');

        let (mut far, near) = io::pipe().unwrap();
        ioctl_fionbio(&near, true).unwrap();
        let mut stdout = Stdout::over(file(near)).unwrap();
        let sent = some_bytes(1 << 20);
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            far.read_to_end(&mut read).unwrap();
            read
        });
        in_time(stdout.write_all(&sent)).await.unwrap();
        drop(stdout);
        assert!(reader.join().unwrap() == sent);
    }

    #[test]
    fn the_end_of_the_runtime_waits_for_neither() {
        let (done, ended) = std_mpsc::channel();
        let (mut stdin, far_in) = stdin();
        let (mut stdout, far_out) = stdout();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let full = runtime.block_on(async {
                assert!(stdin.read_u8().now_or_never().is_none());
                let full = stdout.write_all(&[0; 1 << 20]);
                tokio::time::timeout(Duration::from_millis(100), full).await
            });
            drop(runtime);
            done.send(full.is_err()).unwrap();
        });
        assert_eq!(ended.recv_timeout(DEADLINE), Ok(true));
        drop((far_in, far_out));
    }
}
