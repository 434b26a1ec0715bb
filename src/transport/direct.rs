//! Pipes and sockets, read and written in place and never waited for.
//!
//! Each call says for itself that it must not block, so that the descriptor, which other processes
//! may share, stays as it is. A system that knows no such call for pipes says so
//! ([`is_unsupported`]) before anything is read or written.
//!
//! The system is asked to tell of room to write only while there is none: else every message that
//! the other side takes would wake this one. Linux tells of room in a Unix socket only once three
//! quarters of what is on its way were taken, so whoever comes to write meanwhile tries as well; and
//! has a part of it only when all of one write was taken, so no write is large.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

/// How much is written to a socket at a time.
const PIECE_BYTES: usize = 32 << 10;

#[derive(Debug, Clone, Copy)]
enum Way {
    Pipe,
    Socket,
}

/// Whether the system has no call for this that does not block.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}

/// Whether there was no room for it.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// What a descriptor is, if it is one of those that are read and written here.
fn way(fd: &OwnedFd) -> io::Result<Option<Way>> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo if cfg!(target_os = "linux") => Some(Way::Pipe),
        FileType::Socket => Some(Way::Socket),
        _ => None,
    })
}

/// A descriptor that tokio tells of when it is ready. Must be called where tokio runs.
pub(super) fn registered(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // its successor is unsafe, and asks for what an OwnedFd keeps: that it stays open, and itself
    #[allow(deprecated)]
    AsyncFd::with_interest(fd, interest)
}

/// The two directions of a connected socket.
///
/// # Errors
/// When the system gives no second descriptor. Must be called where tokio runs.
pub(crate) fn split(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    let reader: OwnedFd = stream.into_std()?.into();
    let writer = Writer {
        state: State::Idle(reader.try_clone()?),
        way: Way::Socket,
    };
    let fd = registered(reader, Interest::READABLE)?;
    let way = Way::Socket;
    Ok((Reader { fd, way }, writer))
}

/// What is read from.
#[derive(Debug)]
pub(crate) struct Reader {
    fd: AsyncFd<OwnedFd>,
    way: Way,
}

impl Reader {
    /// The descriptor; given back if it is neither pipe nor socket.
    pub(super) fn over(fd: OwnedFd) -> io::Result<Result<Self, OwnedFd>> {
        let Some(way) = way(&fd)? else {
            return Ok(Err(fd));
        };
        registered(fd, Interest::READABLE).map(|fd| Ok(Self { fd, way }))
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd.into_inner()
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let (way, room) = (self.way, buf.initialize_unfilled());
            let all = room.len();
            let Ok(read) = guard.try_io(|fd| retried(|| read(fd.as_fd(), way, room))) else {
                continue;
            };
            if matches!(read, Ok(count) if 0 < count && count < all) {
                // there is no more, and asking costs a call; an end that has come stays known
                guard.clear_ready();
            }
            return Poll::Ready(read.map(|count| buf.advance(count)));
        }
    }
}

/// What is written to.
#[derive(Debug)]
pub(crate) struct Writer {
    state: State,
    way: Way,
}

#[derive(Debug)]
enum State {
    /// There was room when it was last written to.
    Idle(OwnedFd),
    /// There was none.
    Full(AsyncFd<OwnedFd>),
    /// It was shut down.
    Closed,
}

impl Writer {
    /// The descriptor; given back if it is neither pipe nor socket.
    pub(super) fn over(fd: OwnedFd) -> io::Result<Result<Self, OwnedFd>> {
        let Some(way) = way(&fd)? else {
            return Ok(Err(fd));
        };
        let state = State::Idle(fd);
        Ok(Ok(Self { state, way }))
    }

    /// The descriptor, unless it was shut down.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        match self.state {
            State::Idle(fd) => Some(fd),
            State::Full(fd) => Some(fd.into_inner()),
            State::Closed => None,
        }
    }
}

impl AsyncWrite for Writer {
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
        let way = self.way;
        loop {
            match &self.state {
                State::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                State::Idle(fd) => {
                    let written = retried(|| write(fd.as_fd(), way, bufs));
                    if !written.as_ref().is_err_and(is_full) {
                        return Poll::Ready(written);
                    }
                    if let State::Idle(fd) = std::mem::replace(&mut self.state, State::Closed) {
                        self.state = State::Full(registered(fd, Interest::WRITABLE)?);
                    }
                }
                State::Full(fd) => {
                    let write = |fd: &AsyncFd<OwnedFd>| retried(|| write(fd.as_fd(), way, bufs));
                    let written = match fd.poll_write_ready(cx)? {
                        Poll::Ready(mut guard) => {
                            let Ok(written) = guard.try_io(write) else {
                                continue;
                            };
                            written
                        }
                        Poll::Pending => match write(fd) {
                            Err(error) if is_full(&error) => return Poll::Pending,
                            written => written,
                        },
                    };
                    if let State::Full(fd) = std::mem::replace(&mut self.state, State::Closed) {
                        self.state = State::Idle(fd.into_inner());
                    }
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was taken, the system has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state = State::Closed;
        Poll::Ready(Ok(()))
    }
}

/// What is written to of a socket that tokio reads from.
#[derive(Debug)]
pub(crate) struct Half(pub(crate) OwnedWriteHalf);

impl AsyncWrite for Half {
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
        let stream: &UnixStream = self.0.as_ref();
        let write = || retried(|| write(stream.as_fd(), Way::Socket, bufs));
        loop {
            let is_ready = stream.poll_write_ready(cx)?.is_ready();
            let written = match is_ready {
                true => stream.try_io(Interest::WRITABLE, write),
                false => write(),
            };
            match written {
                Err(error) if is_full(&error) && is_ready => {}
                Err(error) if is_full(&error) => return Poll::Pending,
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A descriptor that is written to at once or not at all, whatever it is.
#[derive(Debug)]
pub(crate) struct Now {
    fd: OwnedFd,
    /// None for what the system cannot be asked to write so: files, terminals.
    way: Option<Way>,
}

impl Now {
    pub(crate) fn over(fd: OwnedFd) -> io::Result<Self> {
        let way = way(&fd)?;
        Ok(Self { fd, way })
    }

    pub(crate) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(way) = self.way {
            match retried(|| write(self.fd.as_fd(), way, bufs)) {
                Err(error) if is_unsupported(&error) => self.way = None,
                done => return done,
            }
        }
        retried(|| rustix::io::writev(&self.fd, bufs))
    }
}

impl AsFd for Now {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn retried(call: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    Ok(retry_on_intr(call)?)
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
            let mut room = PIECE_BYTES;
            let fits = bufs.iter().take_while(|buf| {
                let left = room.checked_sub(buf.len());
                room = left.unwrap_or_default();
                left.is_some()
            });
            let fits = fits.count();
            match bufs.first() {
                Some(first) if fits == 0 => {
                    let bufs = [IoSlice::new(&first[..PIECE_BYTES])];
                    sendmsg(fd, &bufs, &mut SendAncillaryBuffer::default(), flags)
                }
                _ => {
                    let bufs = &bufs[..fits];
                    sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), flags)
                }
            }
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Else a client that reads slowly could not be told from one that does not.
    #[tokio::test]
    async fn what_is_taken_makes_room_for_who_comes_to_write() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let of_tokio = tokio::net::UnixStream::from_std(ours.try_clone().unwrap()).unwrap();
        let writer = Writer::over(ours.into()).unwrap().unwrap();
        room_for_who_comes(writer, &mut theirs);
        let mut rest = vec![0; 1 << 20];
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut rest).is_ok() {}
        theirs.set_nonblocking(false).unwrap();
        room_for_who_comes(Half(of_tokio.into_split().1), &mut theirs);
    }

    fn room_for_who_comes(mut writer: impl AsyncWrite + Unpin, theirs: &mut UnixStream) {
        let bytes = vec![b'x'; 1 << 20];
        while let Some(written) = writer.write(&bytes).now_or_never() {
            assert!(written.unwrap() <= PIECE_BYTES);
        }
        for _ in 0..4 {
            theirs.read_exact(&mut [0; PIECE_BYTES]).unwrap();
            let slices = [IoSlice::new(&bytes[..9]), IoSlice::new(&bytes)];
            let written = writer.write_vectored(&slices).now_or_never();
            assert_eq!(written.unwrap().unwrap(), 9);
            let written = writer.write(&bytes).now_or_never();
            assert!(written.is_none_or(|written| written.unwrap() <= PIECE_BYTES));
        }
    }

    /// By which a session notices that nobody waits for what it does.
    #[test]
    fn to_write_nothing_tells_whether_the_other_side_is_there() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let nothing = || write(ours.as_fd(), Way::Socket, &[IoSlice::new(&[])]);
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(nothing(), Ok(0));
        drop(theirs);
        assert_eq!(nothing(), Err(Errno::PIPE));
    }
}
