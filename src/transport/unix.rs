//! The daemon's Unix socket: protocol section 2, "Transports".
//!
//! Binding never takes a socket from a live server and never removes what is no stale socket; the
//! socket is private before anybody can connect. A daemon whose socket was removed (a cleaner of
//! temporary files does that) makes it again when the next one, which its lock refuses, asks it to.
//! Nothing here changes the umask, which belongs to all threads. What is said on a connection is the
//! session's business.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::signal::unix::{self, SignalKind};

use super::socket_lock::{NotLocked, SocketLock};
use super::socket_path::{SocketPath, SocketPathError};

/// Connections that the kernel holds until they are accepted; it may allow fewer.
const BACKLOG: u16 = 1024;

/// How long to leave the waiting connections alone when there is no descriptor or memory for one.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a daemon that lets nobody in any more may take to end.
const RETIRED_MAX: Duration = Duration::from_millis(2500);
/// How soon the lock of one is looked at again.
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Asks a daemon to look whether its socket is there. Whoever does not listen to it ignores it.
const LOOK: Signal = Signal::URG;

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
    #[error("{path} is not a socket: move it away")]
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
    file: Option<SocketFile>,
    listener: UnixListener,
    lock: Option<SocketLock>,
    place: SocketPath,
    uid: u32,
    /// None where the system gives none, and where the file is not ours.
    asked: Option<unix::Signal>,
    /// Those who had found a socket that is not there any more.
    waiting: Vec<UnixStream>,
    /// Whether it has been said that nobody can be let in for the moment.
    is_short: bool,
}

impl Listener {
    /// Binds and listens. Call it within a tokio runtime; it makes a few file system calls and waits
    /// for nobody but a daemon that has retired, or is about to listen: `RETIRED_MAX` at most,
    /// and its thread with it.
    pub fn bind(place: &SocketPath) -> Result<Self, BindError> {
        place.prepare_folder()?;
        let path = place.as_path();
        // Looked at before there is a lock file too, so that a mistaken path leaves no trace.
        find_socket(path)?;
        let began = Instant::now();
        let mut asked = false;
        let lock = loop {
            match SocketLock::take(path) {
                Ok(lock) => break lock,
                Err(NotLocked::Held { pid }) => {
                    if find_socket(path)? || began.elapsed() >= RETIRED_MAX {
                        let path = path.to_owned();
                        return Err(BindError::InUse { path, pid });
                    }
                    // it ends, or begins, or somebody has removed its socket
                    asked = asked || pid.is_some_and(ask_to_look);
                    std::thread::sleep(LOCK_AGAIN_AFTER);
                }
                Err(error) => return Err(not_locked(path, error)),
            }
        };
        let (listener, file) = listen_at(path)?;
        Ok(Self {
            file: Some(file),
            listener,
            lock: Some(lock),
            place: place.clone(),
            uid: rustix::process::geteuid().as_raw(),
            asked: unix::signal(SignalKind::from_raw(LOOK.as_raw())).ok(),
            waiting: Vec::new(),
            is_short: false,
        })
    }

    /// Serves a socket that somebody else has made and listens on for us (socket activation). Its
    /// file stays when this is dropped. Its clients see this process at the other end. Call it within
    /// a tokio runtime.
    ///
    /// # Errors
    /// When it is no listening Unix socket with a path.
    pub fn adopt(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        let named = listener.local_addr()?;
        let path = named
            .as_pathname()
            .ok_or_else(|| io::Error::other("the socket that was handed over has no path"))?;
        let place = SocketPath::given(path).map_err(io::Error::other)?;
        listener.set_nonblocking(true)?;
        // the peer of a client is whoever did this last
        rustix::net::listen(&listener, BACKLOG.into())?;
        Ok(Self {
            file: None,
            listener: UnixListener::from_std(listener)?,
            lock: None,
            place,
            uid: rustix::process::geteuid().as_raw(),
            asked: None,
            waiting: Vec::new(),
            is_short: false,
        })
    }

    /// Lets nobody in any more, and gives those who had found the path before, all of them: once
    /// this is called the kernel refuses, so that nobody is let in and left alone. The next daemon
    /// waits for what is given beside them to be dropped. A socket that was handed over is left to
    /// whoever made it, with those who wait there.
    pub fn retire(mut self) -> (Vec<UnixStream>, Retired) {
        let retired = Retired {
            _lock: self.lock.take(),
        };
        let mut waiting = self.waiting;
        if self.file.take().is_some() {
            waiting.extend(refused_from_now(self.listener, self.uid));
        }
        (waiting, retired)
    }

    /// Where it listens: absolute.
    pub fn path(&self) -> &Path {
        self.place.as_path()
    }

    /// The next connection of this user's; none when nobody will come any more, because another
    /// daemon is found in this one's place. Other users' are closed unheard: the file's mode keeps
    /// them out already, unless somebody changed it.
    ///
    /// Cancel-safe. An error is one of the listening socket itself; accepting again is useless.
    pub async fn accept(&mut self) -> io::Result<Option<UnixStream>> {
        loop {
            if let Some(stream) = self.waiting.pop() {
                return Ok(Some(stream));
            }
            let asked = async {
                match &mut self.asked {
                    Some(asked) => asked.recv().await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = asked => {
                    match self.look() {
                        Ok(()) => continue,
                        Err(BindError::InUse { .. }) => return Ok(None),
                        Err(error) => tracing::warn!(%error, "the socket is gone"),
                    }
                    continue;
                }
            };
            self.is_short &= accepted.is_err();
            match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.uid => return Ok(Some(stream)),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused another user's client"),
                    Err(error) => tracing::warn!(%error, "refused a client of unknown user"),
                },
                Err(error) => match Errno::from_io_error(&error) {
                    // The client was gone before it was accepted.
                    Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        // once, however long it lasts
                        if !std::mem::replace(&mut self.is_short, true) {
                            tracing::warn!(%error, "cannot accept a client for the moment");
                        }
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// Makes the socket again if somebody has removed it, as [`Listener::bind`] does. `InUse` where
    /// another daemon was faster.
    fn look(&mut self) -> Result<(), BindError> {
        let path = self.place.as_path();
        let is_there = |file: &SocketFile| inode_at(path).is_ok_and(|inode| inode == file.inode);
        if self.file.as_ref().is_none_or(is_there) {
            return Ok(());
        }
        self.place.prepare_folder()?;
        find_socket(path)?;
        // without its file nobody is kept out by it
        if !self.lock.as_ref().is_some_and(SocketLock::is_in_place) {
            let lock = SocketLock::take(path).map_err(|error| not_locked(path, error))?;
            self.lock = Some(lock);
        }
        let (listener, file) = listen_at(path)?;
        tracing::warn!("somebody had removed the socket; it is there again");
        let former = std::mem::replace(&mut self.listener, listener);
        self.waiting.extend(refused_from_now(former, self.uid));
        self.file = Some(file);
        Ok(())
    }
}

/// Keeps the next daemon of a path waiting, so that it finds what this one leaves, until dropped.
#[derive(Debug)]
pub struct Retired {
    _lock: Option<SocketLock>,
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

/// Those of this user's who have found a socket before, all of them: once this is called the kernel
/// refuses, so that nobody is let in and left alone.
fn refused_from_now(listener: UnixListener, uid: u32) -> Vec<UnixStream> {
    let mut waiting = Vec::new();
    let Ok(listener) = listener.into_std() else {
        return waiting;
    };
    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Read);
    // asked directly: the runtime may not have heard of them yet
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(_) => return waiting,
        };
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream));
        let ours = |stream: &UnixStream| stream.peer_cred().is_ok_and(|peer| peer.uid() == uid);
        waiting.extend(stream.ok().filter(ours));
    }
}

/// The process of the daemon that serves a path at which it cannot be reached, as `is_there` tells,
/// though it neither begins nor ends. Waits until that is clear.
pub(crate) fn cut_off(path: &Path, is_there: impl Fn() -> bool) -> Option<u32> {
    let began = Instant::now();
    loop {
        let holder = SocketLock::holder(path)?;
        if is_there() {
            return None;
        }
        if began.elapsed() >= RETIRED_MAX {
            return Some(holder);
        }
        std::thread::sleep(LOCK_AGAIN_AFTER);
    }
}

/// Asks a daemon to look for its socket; whether it could be asked.
fn ask_to_look(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, LOOK).is_ok())
}

/// Whether there is a socket, of whatever state; anything else is an error.
pub(crate) fn find_socket(path: &Path) -> Result<bool, BindError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(BindError::NotASocket {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// A connection to who listens at `path`, at once: `WouldBlock` where somebody does whose backlog is
/// full, as that of one who hangs is in the end.
pub(crate) fn connect(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    rustix::net::connect(&stream, &SocketAddrUnix::new(path)?)?;
    Ok(stream)
}

/// Removes a socket that nobody listens on; a server that holds no lock (an older version, another
/// program) is found by connecting. Not blocking: a live server's backlog may be full.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    match connect(path) {
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed("remove", path)),
            Some(Errno::NOENT) => Ok(()),
            Some(Errno::AGAIN | Errno::INPROGRESS) => Err(in_use(path)),
            _ => Err(failed("connect to", path)(error)),
        },
        Ok(_) => Err(in_use(path)),
    }
}

/// Listens where only a stale socket may be. Call it while the lock is held.
fn listen_at(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    if find_socket(path)? {
        remove_stale(path)?;
    }
    listen(path).map_err(failed("listen on", path))
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
    // Elsewhere the file is made with the umask's mode, and a umask may take what is its owner's, but
    // nobody can connect before the socket listens.
    if Mode::from_raw_mode(rustix::fs::lstat(path)?.st_mode) != private {
        rustix::fs::chmod(path, private)?;
    }
    Ok((socket.listen(BACKLOG.into())?, file))
}

fn in_use(path: &Path) -> BindError {
    BindError::InUse {
        path: path.to_owned(),
        pid: None,
    }
}

fn not_locked(socket: &Path, error: NotLocked) -> BindError {
    match error {
        NotLocked::Held { pid } => BindError::InUse {
            path: socket.to_owned(),
            pid,
        },
        NotLocked::Failed { path, source } => BindError::Io {
            step: "lock",
            path,
            source,
        },
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

#[cfg(test)]
mod tests {
    use std::os::unix::net as std_net;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::SocketEnv;
    use super::*;

    fn given(folder: &TempDir) -> SocketPath {
        SocketPath::given(&folder.path().join("x.sock")).unwrap()
    }

    fn lock_of(path: &SocketPath) -> PathBuf {
        let mut lock = path.as_path().as_os_str().to_owned();
        lock.push(".lock");
        lock.into()
    }

    /// Leaves the file of a server that was killed.
    fn leave_stale(path: &SocketPath) {
        drop(std_net::UnixListener::bind(path.as_path()).unwrap());
        assert!(path.as_path().exists());
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future)
            .await
            .unwrap()
    }

    async fn assert_answers(listener: &mut Listener) {
        let client = UnixStream::connect(listener.path().to_owned());
        let (client, server) = in_time(async { tokio::join!(client, listener.accept()) }).await;
        server.unwrap().unwrap().write_all(b"hello").await.unwrap();
        let mut heard = String::new();
        in_time(client.unwrap().read_to_string(&mut heard))
            .await
            .unwrap();
        assert_eq!(heard, "hello");
    }

    #[tokio::test]
    async fn a_bound_socket_answers_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let mut listener = Listener::bind(&path).unwrap();
        assert_eq!(listener.path(), path.as_path());
        assert_answers(&mut listener).await;
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn who_found_it_before_it_retires_is_given_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let listener = Listener::bind(&path).unwrap();
        // another name for it, found before and used afterwards
        let found = folder.path().join("found.sock");
        fs::hard_link(path.as_path(), &found).unwrap();
        let connect = || std_net::UnixStream::connect(path.as_path()).unwrap();
        let clients: Vec<_> = (0..5).map(|_| connect()).collect();
        let (waiting, retired) = listener.retire();
        assert_eq!(waiting.len(), clients.len());
        assert!(std_net::UnixStream::connect(&found).is_err());
        assert!(!path.as_path().exists());
        // the next one comes when this one has ended
        let next = tokio::task::spawn_blocking({
            let (path, runtime) = (path.clone(), tokio::runtime::Handle::current());
            move || {
                let _entered = runtime.enter();
                Listener::bind(&path)
            }
        });
        assert!(lock_of(&path).exists());
        drop(retired);
        assert_answers(&mut in_time(next).await.unwrap().unwrap()).await;
    }

    #[tokio::test]
    async fn a_socket_that_was_removed_is_there_again_when_the_next_daemon_asks() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let mut listener = Listener::bind(&path).unwrap();
        for lock_too in [false, true] {
            // one who has found it before
            let _client = std_net::UnixStream::connect(path.as_path()).unwrap();
            fs::remove_file(path.as_path()).unwrap();
            let asked = async {
                if lock_too {
                    // nothing keeps the next one from taking the place
                    fs::remove_file(lock_of(&path)).unwrap();
                    assert!(ask_to_look(std::process::id()));
                } else {
                    let (path, runtime) = (path.clone(), tokio::runtime::Handle::current());
                    let next = tokio::task::spawn_blocking(move || {
                        let _entered = runtime.enter();
                        Listener::bind(&path).map(drop)
                    });
                    let refused = next.await.unwrap();
                    assert!(matches!(refused, Err(BindError::InUse { .. })));
                }
                while !path.as_path().exists() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            in_time(async {
                tokio::pin!(asked);
                let (mut is_there, mut let_in) = (false, false);
                while !is_there || !let_in {
                    tokio::select! {
                        stream = listener.accept() => let_in = stream.unwrap().is_some(),
                        () = &mut asked, if !is_there => is_there = true,
                    }
                }
            })
            .await;
            let mode = fs::symlink_metadata(path.as_path()).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o600);
            assert_answers(&mut listener).await;
            let error = Listener::bind(&path).unwrap_err();
            assert!(matches!(error, BindError::InUse { .. }));
        }
        drop(listener);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn whose_path_another_daemon_has_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let mut listener = Listener::bind(&path).unwrap();
        fs::remove_file(path.as_path()).unwrap();
        fs::remove_file(lock_of(&path)).unwrap();
        let mut next = Listener::bind(&path).unwrap();
        assert!(ask_to_look(std::process::id()));
        assert!(in_time(listener.accept()).await.unwrap().is_none());
        drop(listener);
        assert_answers(&mut next).await;
    }

    #[tokio::test]
    async fn a_socket_that_was_handed_over_stays_when_it_retires() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let theirs = std_net::UnixListener::bind(path.as_path()).unwrap();
        let listener = Listener::adopt(theirs.try_clone().unwrap()).unwrap();
        let _client = std_net::UnixStream::connect(path.as_path()).unwrap();
        assert_eq!(listener.retire().0.len(), 0);
        // for the next one that is started for it
        let mut next = Listener::adopt(theirs).unwrap();
        in_time(next.accept()).await.unwrap();
        assert!(path.as_path().exists());
    }

    #[tokio::test]
    async fn the_default_folder_is_made_on_binding() {
        let folder = tempfile::tempdir().unwrap();
        let env = SocketEnv {
            runtime_dir: Some(folder.path().to_owned()),
            ..SocketEnv::of_process()
        };
        let path = SocketPath::default_for(Path::new("/srv"), &env).unwrap();
        let mut listener = Listener::bind(&path).unwrap();
        assert_answers(&mut listener).await;
    }

    #[tokio::test]
    async fn a_live_daemon_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let mut listener = Listener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, BindError::InUse { pid: Some(pid), .. } if pid == own));
        assert!(
            error
                .to_string()
                .contains(&format!("another daemon (process {own})"))
        );
        assert_answers(&mut listener).await;
    }

    #[tokio::test]
    async fn a_live_server_without_a_lock_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let _server = std_net::UnixListener::bind(path.as_path()).unwrap();
        let inode = inode_at(path.as_path()).unwrap();
        for _ in 0..2 {
            let error = Listener::bind(&path).unwrap_err();
            assert!(matches!(error, BindError::InUse { pid: None, .. }));
            assert_eq!(inode_at(path.as_path()).unwrap(), inode);
            assert!(!lock_of(&path).exists());
        }
    }

    /// Elsewhere a full backlog refuses as a stale socket does; our own daemons have the lock.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_live_server_too_busy_to_accept_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let server = UnixSocket::new_stream().unwrap();
        server.bind(path.as_path()).unwrap();
        let _server = server.listen(1).unwrap();
        let mut waiting = Vec::new();
        loop {
            match connect(path.as_path()) {
                Ok(client) => waiting.push(client),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let error = Listener::bind(&path).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        assert!(path.as_path().exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        leave_stale(&path);
        fs::write(lock_of(&path), "1234567890\n").unwrap();
        let mut listener = Listener::bind(&path).unwrap();
        assert_answers(&mut listener).await;
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let assert_refused = || {
            let error = Listener::bind(&path).unwrap_err();
            assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
            assert!(!lock_of(&path).exists());
        };
        fs::write(path.as_path(), "precious").unwrap();
        assert_refused();
        assert_eq!(fs::read_to_string(path.as_path()).unwrap(), "precious");
        fs::remove_file(path.as_path()).unwrap();

        fs::create_dir(path.as_path()).unwrap();
        assert_refused();
        fs::remove_dir(path.as_path()).unwrap();

        // Even if it leads to a stale socket.
        let elsewhere = SocketPath::given(&folder.path().join("y.sock")).unwrap();
        leave_stale(&elsewhere);
        std::os::unix::fs::symlink(elsewhere.as_path(), path.as_path()).unwrap();
        assert_refused();
        assert!(elsewhere.as_path().exists());
        fs::remove_file(path.as_path()).unwrap();

        // A live socket of another type cannot be told from a stale one by connecting.
        let _datagrams = std_net::UnixDatagram::bind(path.as_path()).unwrap();
        assert!(matches!(Listener::bind(&path), Err(BindError::Io { .. })));
        assert!(path.as_path().exists());
    }

    #[tokio::test]
    async fn a_missing_folder_is_said_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = SocketPath::given(&folder.path().join("missing/x.sock")).unwrap();
        let message = Listener::bind(&path).unwrap_err().to_string();
        assert!(message.contains("missing/x.sock"), "{message}");
    }

    #[tokio::test]
    async fn a_socket_in_the_place_of_ours_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let listener = Listener::bind(&path).unwrap();
        fs::remove_file(path.as_path()).unwrap();
        leave_stale(&path);
        drop(listener);
        assert!(path.as_path().exists());
        assert!(!lock_of(&path).exists());
    }

    #[tokio::test]
    async fn another_users_client_is_closed_unheard() {
        let folder = tempfile::tempdir().unwrap();
        let mut listener = Listener::bind(&given(&folder)).unwrap();
        // Every client of this test is another user's to a listener of another user.
        listener.uid += 1;
        let mut client = UnixStream::connect(listener.path()).await.unwrap();
        let mut heard = Vec::new();
        in_time(async {
            tokio::select! {
                accepted = listener.accept() => panic!("{accepted:?}"),
                read = client.read_to_end(&mut heard) => assert_eq!(read.unwrap(), 0),
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn of_many_that_bind_at_once_one_wins() {
        let runtime = tokio::runtime::Handle::current();
        for round in 0..30 {
            let folder = tempfile::tempdir().unwrap();
            let path = given(&folder);
            if round % 2 == 0 {
                leave_stale(&path);
            }
            let start = Barrier::new(8);
            let bind = || {
                let _within = runtime.enter();
                start.wait();
                Listener::bind(&path)
            };
            let bound: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let (mut won, lost): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
            for error in lost {
                assert!(matches!(error, Err(BindError::InUse { .. })), "{error:?}");
            }
            let [Ok(winner)] = &mut won[..] else {
                panic!("{} won", won.len());
            };
            assert_answers(winner).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn while_daemons_come_and_go_there_is_never_more_than_one() {
        let runtime = tokio::runtime::Handle::current();
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        let (alive, bound) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let come_and_go = || {
            let _within = runtime.enter();
            for _ in 0..300 {
                match Listener::bind(&path) {
                    Ok(listener) => {
                        assert_eq!(alive.fetch_add(1, Ordering::SeqCst), 0);
                        std_net::UnixStream::connect(path.as_path()).unwrap();
                        bound.fetch_add(1, Ordering::SeqCst);
                        alive.fetch_sub(1, Ordering::SeqCst);
                        drop(listener);
                    }
                    Err(error) => assert!(matches!(error, BindError::InUse { .. }), "{error}"),
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(come_and_go);
            }
        });
        assert!(bound.into_inner() > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// The umask belongs to the whole process, so this runs in one of its own.
    #[test]
    fn a_socket_is_private_from_its_first_moment_whatever_the_umask() {
        let name = concat!(module_path!(), "::private_with_umask_zero");
        let name = name.split_once("::").unwrap().1;
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", name])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }

    #[tokio::test]
    #[ignore = "changes the umask; run in a process of its own by the test above"]
    async fn private_with_umask_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = given(&folder);
        // one that takes what is its owner's, too
        rustix::process::umask(Mode::RWXU | Mode::RWXG | Mode::RWXO);
        drop(Listener::bind(&path).unwrap());
        let listener = Listener::bind(&path).unwrap();
        let mode = fs::symlink_metadata(path.as_path()).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        drop(listener);
        rustix::process::umask(Mode::empty());
        let done = AtomicBool::new(false);
        let seen = AtomicBool::new(false);
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // Elsewhere the socket is private only before it listens.
                    let socket = Some(path.as_path()).filter(|_| cfg!(target_os = "linux"));
                    for path in socket.into_iter().chain([&*lock_of(&path)]) {
                        if let Ok(metadata) = fs::symlink_metadata(path) {
                            assert_eq!(metadata.mode() & 0o7777, 0o600);
                            seen.store(true, Ordering::SeqCst);
                        }
                    }
                }
            });
            let mut rounds = 0;
            while rounds < 300 || !seen.load(Ordering::SeqCst) && !watching.is_finished() {
                rounds += 1;
                let listener = Listener::bind(&path).unwrap();
                let mode = fs::symlink_metadata(path.as_path()).unwrap().mode();
                assert_eq!(mode & 0o7777, 0o600);
                drop(listener);
            }
            done.store(true, Ordering::SeqCst);
            watching.join().unwrap();
        });
    }
}
