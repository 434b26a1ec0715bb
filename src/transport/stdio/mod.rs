//! Standard input and output for a daemon (protocol section 2: `runlog serve` speaks on stdio).
//!
//! Where they are pipes or sockets, as between programs, they are read and written in place by the
//! thread that serves, which saves a change of threads each way. Elsewhere, on a terminal or a file,
//! each has a plain thread of its own. The descriptors are never made non-blocking: that would
//! change them for every process that shares them.
//!
//! Both directions are bounded, so a session that stops reading stops the client, and a client that
//! stops reading stops the session. These files must not know what the bytes mean.

mod threads;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::direct::{Reader, Writer, is_unsupported};

/// The process's standard input.
///
/// At most three buffers of 64 KiB are read ahead of whoever reads this.
#[derive(Debug)]
pub struct Stdin(In);

#[derive(Debug)]
enum In {
    Direct(Reader),
    Threads(threads::Stdin),
    /// While one becomes the other.
    Changing,
}

impl Stdin {
    /// Starts reading. Call it once, where tokio runs: two readers would share the bytes between
    /// them.
    ///
    /// # Errors
    /// When the system gives no descriptor or thread.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdin().as_fd().try_clone_to_owned()?)
    }

    fn over(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(match Reader::over(fd)? {
            Ok(direct) => In::Direct(direct),
            Err(fd) => In::Threads(threads::Stdin::over(fd.into())?),
        }))
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let In::Direct(direct) = &mut self.0 {
            match ready!(Pin::new(direct).poll_read(cx, buf)) {
                Err(error) if is_unsupported(&error) => {
                    if let In::Direct(direct) = std::mem::replace(&mut self.0, In::Changing) {
                        let file = direct.into_fd().into();
                        self.0 = In::Threads(threads::Stdin::over(file)?);
                    }
                }
                done => return Poll::Ready(done),
            }
        }
        match &mut self.0 {
            In::Threads(stdin) => Pin::new(stdin).poll_read(cx, buf),
            In::Direct(_) | In::Changing => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

/// The process's standard output.
///
/// A write takes what the system takes, or what fits into 64 KiB of what is not yet written;
/// flushing and shutting down wait until the system has taken everything. An error of the system (a
/// reader that has gone: EPIPE, as long as SIGPIPE stays ignored, which is how Rust starts) is told
/// by every later call that writes. Shut it down before the process ends, under a deadline, or the
/// last answers may be lost.
#[derive(Debug)]
pub struct Stdout(Out);

#[derive(Debug)]
enum Out {
    Direct(Writer),
    Threads(threads::Stdout),
    /// While one becomes the other.
    Changing,
}

impl Stdout {
    /// Takes hold of it, where tokio runs. Nothing else may write to standard output from here on.
    ///
    /// # Errors
    /// When the system gives no descriptor or thread.
    pub fn open() -> io::Result<Self> {
        Self::over(io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn over(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(match Writer::over(fd)? {
            Ok(direct) => Out::Direct(direct),
            Err(fd) => Out::Threads(threads::Stdout::over(fd.into())?),
        }))
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Out::Direct(direct) = &mut self.0 {
            match ready!(Pin::new(direct).poll_write_vectored(cx, bufs)) {
                Err(error) if is_unsupported(&error) => {
                    if let Out::Direct(direct) = std::mem::replace(&mut self.0, Out::Changing)
                        && let Some(fd) = direct.into_fd()
                    {
                        self.0 = Out::Threads(threads::Stdout::over(fd.into())?);
                    }
                }
                done => return Poll::Ready(done),
            }
        }
        match &mut self.0 {
            Out::Threads(stdout) => Pin::new(stdout).poll_write_vectored(cx, bufs),
            Out::Direct(_) | Out::Changing => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Out::Threads(stdout) => Pin::new(stdout).poll_flush(cx),
            Out::Direct(writer) => Pin::new(writer).poll_flush(cx),
            Out::Changing => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Out::Threads(stdout) => Pin::new(stdout).poll_shutdown(cx),
            Out::Direct(writer) => Pin::new(writer).poll_shutdown(cx),
            Out::Changing => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::thread;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, future).await.unwrap()
    }

    fn some_bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    /// The ends of a pipe, of a socket and of a file, each as what reads and what writes.
    fn ends() -> Vec<(&'static str, OwnedFd, OwnedFd)> {
        let (read, write) = io::pipe().unwrap();
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        vec![
            ("a pipe", read.into(), write.into()),
            ("a socket", near.into(), far.into()),
        ]
    }

    #[tokio::test]
    async fn input_arrives_whole_and_ends() {
        for (what, read, write) in ends() {
            let mut stdin = Stdin::over(read).unwrap();
            assert!(matches!(stdin.0, In::Direct(_)), "{what}");
            let sent = some_bytes(1 << 20);
            let writer = thread::spawn({
                let (sent, mut far) = (sent.clone(), File::from(write));
                move || far.write_all(&sent).unwrap()
            });
            let mut found = Vec::new();
            in_time(stdin.read_to_end(&mut found)).await.unwrap();
            assert!(found == sent, "{what}");
            writer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn output_is_written_whole_and_no_more_after_the_end() {
        for (what, read, write) in ends() {
            let mut stdout = Stdout::over(write).unwrap();
            let sent = some_bytes(1 << 20);
            let reader = thread::spawn(move || {
                let mut found = Vec::new();
                File::from(read).read_to_end(&mut found).unwrap();
                found
            });
            in_time(stdout.write_all(&sent)).await.unwrap();
            in_time(stdout.flush()).await.unwrap();
            assert!(matches!(stdout.0, Out::Direct(_)), "{what}");
            in_time(stdout.shutdown()).await.unwrap();
            let after = in_time(stdout.write(b"x")).await.unwrap_err();
            assert_eq!(after.kind(), io::ErrorKind::BrokenPipe);
            assert!(reader.join().unwrap() == sent, "{what}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_is_an_error() {
        for (_, read, write) in ends() {
            let mut stdout = Stdout::over(write).unwrap();
            drop(read);
            for _ in 0..2 {
                let error = in_time(stdout.write(b"{}\n")).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_waited_for_and_others_of_the_descriptor_still_block() {
        for (what, read, write) in ends() {
            let shared = write.try_clone().unwrap();
            let mut stdout = Stdout::over(write).unwrap();
            let mut count = 0;
            while let Ok(taken) =
                tokio::time::timeout(Duration::from_millis(200), stdout.write(&[b'x'; 1000])).await
            {
                count += taken.unwrap();
            }
            let flags = rustix::fs::fcntl_getfl(&shared).unwrap();
            assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "{what}");
            let reader = thread::spawn(move || {
                let mut found = vec![0; count + 4];
                File::from(read).read_exact(&mut found).unwrap();
                found
            });
            in_time(stdout.write_all(b"last")).await.unwrap();
            assert!(reader.join().unwrap().ends_with(b"xlast"), "{what}");
        }
    }

    #[tokio::test]
    async fn what_is_neither_has_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "in").unwrap();
        let mut stdin = Stdin::over(File::open(&path).unwrap().into()).unwrap();
        let mut found = String::new();
        in_time(stdin.read_to_string(&mut found)).await.unwrap();
        assert_eq!(found, "in");
        let mut stdout = Stdout::over(File::create(&path).unwrap().into()).unwrap();
        in_time(stdout.write_all(b"out")).await.unwrap();
        in_time(stdout.shutdown()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "out");
    }
}
