//! Pipes and sockets, read and written in place and never waited for.
//!
//! Each call says for itself that it must not block, so that the descriptor, which other processes
//! may share, stays as it is. A system that knows no such call for pipes says so
//! ([`is_unsupported`]) before anything is read or written.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::fs::FileType;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

#[derive(Debug, Clone, Copy)]
enum Way {
    Pipe,
    Socket,
}

/// One direction of a pipe or a socket.
#[derive(Debug)]
pub(super) struct Direct {
    fd: AsyncFd<OwnedFd>,
    way: Way,
}

/// Whether the system has no call for this that does not block.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}

impl Direct {
    /// The descriptor, to be read; given back if it is neither.
    pub(super) fn reading(fd: OwnedFd) -> io::Result<Result<Self, OwnedFd>> {
        Self::over(fd, Interest::READABLE)
    }

    /// The descriptor, to be written; given back if it is neither.
    pub(super) fn writing(fd: OwnedFd) -> io::Result<Result<Self, OwnedFd>> {
        Self::over(fd, Interest::WRITABLE)
    }

    fn over(fd: OwnedFd, interest: Interest) -> io::Result<Result<Self, OwnedFd>> {
        let stat = rustix::fs::fstat(&fd)?;
        let way = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo if cfg!(target_os = "linux") => Way::Pipe,
            FileType::Socket => Way::Socket,
            _ => return Ok(Err(fd)),
        };
        // its successor is unsafe, and asks for what an OwnedFd keeps: that it stays open, and itself
        #[allow(deprecated)]
        let fd = AsyncFd::with_interest(fd, interest)?;
        Ok(Ok(Self { fd, way }))
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd.into_inner()
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let (way, room) = (self.way, buf.initialize_unfilled());
            if let Ok(read) = guard.try_io(|fd| retried(|| read(fd.as_fd(), way, room))) {
                return Poll::Ready(read.map(|count| buf.advance(count)));
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            let way = self.way;
            if let Ok(written) = guard.try_io(|fd| retried(|| write(fd.as_fd(), way, bufs))) {
                return Poll::Ready(written);
            }
        }
    }
}

fn retried(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

fn read(fd: BorrowedFd<'_>, way: Way, room: &mut [u8]) -> Result<usize, Errno> {
    match way {
        Way::Pipe => read_pipe(fd, room),
        Way::Socket => {
            let received = rustix::net::recv(fd, room, rustix::net::RecvFlags::DONTWAIT);
            received.map(|(count, _)| count)
        }
    }
}

fn write(fd: BorrowedFd<'_>, way: Way, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match way {
        Way::Pipe => write_pipe(fd, bufs),
        Way::Socket => {
            use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), flags)
        }
    }
}

/// Where a descriptor without places is read and written.
#[cfg(target_os = "linux")]
const HERE: u64 = u64::MAX;

#[cfg(target_os = "linux")]
fn read_pipe(fd: BorrowedFd<'_>, room: &mut [u8]) -> Result<usize, Errno> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let room = &mut [io::IoSliceMut::new(room)];
    preadv2(fd, room, HERE, ReadWriteFlags::NOWAIT)
}

#[cfg(target_os = "linux")]
fn write_pipe(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    pwritev2(fd, bufs, HERE, ReadWriteFlags::NOWAIT)
}

#[cfg(not(target_os = "linux"))]
fn read_pipe(_: BorrowedFd<'_>, _: &mut [u8]) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(not(target_os = "linux"))]
fn write_pipe(_: BorrowedFd<'_>, _: &[IoSlice<'_>]) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}
