//! The two ends of a relay, read and written by threads that wait.
//!
//! A thread that waits in the call that reads is woken by the bytes themselves: nothing lies between
//! a message's coming in and its going out but the looking through it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio_util::codec::Decoder as _;

use crate::session::Incoming;
use crate::transport::direct::Now;
use crate::transport::{Decoder, Framing, Outgoing};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Where messages come from.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    decoder: Decoder,
    /// What is not looked through: at most the beginning of a header.
    read: BytesMut,
    room: Box<[u8]>,
    ended: bool,
}

impl Source {
    /// Messages of at most `limit_bytes`.
    pub(super) fn new(fd: OwnedFd, limit_bytes: usize) -> Self {
        Self {
            file: File::from(fd),
            decoder: Decoder::new(limit_bytes),
            read: BytesMut::new(),
            room: vec![0; READ_BYTES].into(),
            ended: false,
        }
    }

    /// How messages end here, once one has come.
    pub(super) fn framing(&self) -> Option<Framing> {
        self.decoder.framing()
    }

    /// The next message; `None` at the end, and where nothing more can be understood.
    ///
    /// # Errors
    /// `TimedOut` when nothing has come by the deadline, and what the system says.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Option<Incoming>> {
        loop {
            let next = if self.ended {
                self.decoder.decode_eof(&mut self.read)
            } else {
                self.decoder.decode(&mut self.read)
            };
            match next {
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => {}
                Ok(Some(message)) => return Ok(Some(message)),
                Err(error) => {
                    tracing::info!(%error, "a connection ends");
                    return Ok(None);
                }
            }
            if deadline.is_some() {
                wait(self.file.as_fd(), PollFlags::IN, deadline)?;
            }
            match self.file.read(&mut self.room) {
                Ok(0) => self.ended = true,
                Ok(count) => self.read.extend_from_slice(&self.room[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // who started us may have made it so
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.file.as_fd(), PollFlags::IN, deadline)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where messages go.
#[derive(Debug)]
pub(super) struct Sink {
    to: Now,
    outgoing: Outgoing,
}

impl Sink {
    pub(super) fn new(fd: OwnedFd, framing: Framing) -> io::Result<Self> {
        Ok(Self {
            to: Now::over(fd)?,
            outgoing: Outgoing::new(framing),
        })
    }

    /// Sends a message, and waits until the system has taken it; who takes no byte for as long as
    /// `patience` while it is `waited_for` is given up.
    ///
    /// # Errors
    /// `TimedOut`, and what the system says; nothing can be sent after one.
    pub(super) fn send(
        &mut self,
        message: Bytes,
        patience: Option<Duration>,
        waited_for: impl Fn() -> bool,
    ) -> io::Result<()> {
        let Self { to, outgoing } = self;
        outgoing.push([message]);
        let mut is_late = false;
        while !outgoing.is_empty() {
            match outgoing.write_by(|slices| to.write(slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // only now, as the system does not tell of each room that there is
                    if is_late && waited_for() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    let deadline = patience.map(|patience| Instant::now() + patience);
                    let ready = wait(to.as_fd(), PollFlags::OUT, deadline);
                    is_late = match ready {
                        Err(error) if error.kind() != io::ErrorKind::TimedOut => return Err(error),
                        ready => ready.is_err(),
                    };
                }
                written => {
                    written?;
                    is_late = false;
                }
            }
        }
        Ok(())
    }
}

/// Waits until a descriptor is ready, or fails with `TimedOut`.
fn wait(fd: BorrowedFd<'_>, what: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::from_borrowed_fd(fd, what)], left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
