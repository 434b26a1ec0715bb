//! The daemon's Unix socket: protocol section 2, "Transports".
//!
//! Binding never takes a socket from a live server and never removes what is no stale socket; the
//! socket is private before anybody can connect. Nothing here changes the umask, which belongs to
//! all threads. What is said on a connection is the session's business.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::socket_lock::{NotLocked, SocketLock};
use super::socket_path::{SocketPath, SocketPathError};

/// Connections that the kernel holds until they are accepted; it may allow fewer.
const BACKLOG: u32 = 1024;

/// How long to leave the waiting connections alone when there is no descriptor or memory for one.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Why a path is not served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path, or its default folder, will not do.
    #[error(transparent)]
    Path(#[from] SocketPathError),
    /// A live server is there. It was left alone.
    #[error(
        "another daemon{} serves {path}: connect to it, or name another path with --socket=PATH",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The process that serves it, where its lock file says so.
        pid: Option<u32>,
    },
    /// Something else is there. It was left alone.
    #[error("{path} is not a socket: move it away, or name another path with --socket=PATH")]
    NotASocket {
        /// What is no socket.
        path: PathBuf,
    },
    /// The system refused a step.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound socket, private to its user; dropping it removes its files, so drop it before the
/// process ends.
#[derive(Debug)]
pub struct Listener {
    // Dropped in this order: the file goes while the socket is open, which keeps its inode from
    // being given to another file, and while the lock is held.
    file: SocketFile,
    listener: UnixListener,
    _lock: SocketLock,
    uid: u32,
}

impl Listener {
    /// Binds and listens. Call it within a tokio runtime; it makes a few file system calls and
    /// waits for nobody.
    pub fn bind(path: &SocketPath) -> Result<Self, BindError> {
        path.prepare_folder()?;
        let path = path.as_path();
        // Looked at before there is a lock file too, so that a mistaken path leaves no trace.
        find_socket(path)?;
        let lock = SocketLock::take(path).map_err(|error| match error {
            NotLocked::Held { pid } => BindError::InUse {
                path: path.to_owned(),
                pid,
            },
            NotLocked::Failed { path, source } => BindError::Io {
                step: "lock",
                path,
                source,
            },
        })?;
        if find_socket(path)? {
            remove_stale(path)?;
        }
        let (listener, file) = listen(path).map_err(failed("listen on", path))?;
        Ok(Self {
            file,
            listener,
            _lock: lock,
            uid: rustix::process::geteuid().as_raw(),
        })
    }

    /// Where it listens: absolute.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The next connection of this user's. Others are closed unheard: the file's mode keeps them
    /// out already, unless somebody changed it.
    ///
    /// Cancel-safe. An error is one of the listening socket itself; accepting again is useless.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.uid => return Ok(stream),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused another user's client"),
                    Err(error) => tracing::warn!(%error, "refused a client of unknown user"),
                },
                Err(error) => match Errno::from_io_error(&error) {
                    // The client was gone before it was accepted.
                    Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        tracing::warn!(%error, "cannot accept a client for the moment");
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

/// The socket's name in the file system.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode_at(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Left behind, it is a stale socket, which the next daemon removes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Whether there is a socket, of whatever state; anything else is an error.
fn find_socket(path: &Path) -> Result<bool, BindError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(BindError::NotASocket {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Removes a socket that nobody listens on; a server that holds no lock (an older version, another
/// program) is found by connecting. Not blocking: a live server's backlog may be full.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let probe = || -> io::Result<()> {
        let socket = UnixSocket::new_stream()?;
        Ok(rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?)
    };
    match probe() {
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed("remove", path)),
            Some(Errno::NOENT) => Ok(()),
            Some(Errno::AGAIN | Errno::INPROGRESS) => Err(in_use(path)),
            _ => Err(failed("connect to", path)(error)),
        },
        Ok(()) => Err(in_use(path)),
    }
}

fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let private = Mode::RUSR | Mode::WUSR;
    let socket = UnixSocket::new_stream()?;
    // Linux gives the file the socket's own mode, less the umask.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, private)?;
    socket.bind(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode_at(path)?,
    };
    // Elsewhere the file is made with the umask's mode, but nobody can connect before the socket
    // listens.
    #[cfg(not(target_os = "linux"))]
    rustix::fs::chmod(path, private)?;
    Ok((socket.listen(BACKLOG)?, file))
}

fn in_use(path: &Path) -> BindError {
    BindError::InUse {
        path: path.to_owned(),
        pid: None,
    }
}

fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> BindError {
    let path = path.to_owned();
    move |source| BindError::Io {
        step,
        path: path.clone(),
        source,
    }
}
