//! `runlog serve --shared`: one daemon for all windows.
//!
//! Who comes first starts it, detached; it ends when there was no client for a while. Where there
//! is none of this version to be had, this process serves by itself. The commands that a person
//! types come the same way ([`for_command`]), but start none.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use tokio::runtime::Handle;

use super::{Daemon, IDLE_EXIT, ServeArgs, process_ended, socket_path, status_after, stopped};
use crate::cli::client::Needs;
use crate::cli::root::Found;
use crate::cli::xdg::cache_home;
use crate::forward::{Reach, Relay};
use crate::history::Options;
use crate::session::Kind;
use crate::transport::{self, SocketPath, connect, find_socket};

/// For so long a daemon is looked for, or waited for, before this process serves by itself.
const REACH_WITHIN: Duration = Duration::from_secs(10);
/// The same for what somebody waits for who has not asked for it.
const GLANCE_WITHIN: Duration = Duration::from_millis(500);
/// How large its log may be before a new one begins.
const LOG_MAX_BYTES: u64 = 1 << 20;
/// So many in a row that end with an error are enough: one does because another was faster.
const FAILED_MAX: u32 = 3;

/// Serves one client on stdin and stdout by way of the shared daemon.
pub(super) async fn serve(folder: &Path, found: &Found, args: &ServeArgs) -> Result<i32, String> {
    let own = Own::default();
    let reach = Nearby {
        socket: socket_path(None, folder),
        folder: folder.to_owned(),
        found: found.clone(),
        options: args.options(),
        search: true,
        startable: Some(args.clone()),
        patience: REACH_WITHIN,
        failed: Arc::default(),
        own: Arc::clone(&own),
        runtime: Handle::current(),
    };
    let failed = |error: std::io::Error| error.to_string();
    let stop = stopped().map_err(failed)?;
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let (input, output) = (input.map_err(failed)?, output.map_err(failed)?);
    let relay = Relay::start(input, output, reach, process_ended).map_err(failed)?;
    let end = relay.run(stop).await;
    if let Some(daemon) = own.lock().take() {
        daemon.end();
    }
    Ok(status_after(end))
}

/// This process's own daemon, once it serves by itself.
pub(in crate::cli) type Own = Arc<Mutex<Option<Daemon>>>;

/// A connection to the root's daemon if one is there, else to this process itself, which then has
/// what the command `needs`.
pub(in crate::cli) fn for_command(
    folder: &Path,
    found: &Found,
    needs: Needs,
) -> Result<(tokio::net::UnixStream, Own), String> {
    let own = Own::default();
    let options = Options {
        // to watch a folder takes longer, the more files it has
        poll: needs != Needs::Changes,
        cache: cache_home(),
        ..Options::default()
    };
    let reach = Nearby {
        socket: socket_path(None, folder),
        folder: folder.to_owned(),
        found: found.clone(),
        options,
        search: needs == Needs::Search,
        startable: None,
        patience: match needs {
            Needs::Glance => GLANCE_WITHIN,
            Needs::Index | Needs::Changes | Needs::Search => REACH_WITHIN,
        },
        failed: Arc::default(),
        own: Arc::clone(&own),
        runtime: Handle::current(),
    };
    let failed = |error: std::io::Error| error.to_string();
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let output = theirs.try_clone().map_err(failed)?;
    let relay = Relay::start(theirs.into(), output.into(), reach, process_ended);
    tokio::spawn(relay.map_err(failed)?.run(std::future::pending()));
    ours.set_nonblocking(true).map_err(failed)?;
    let ours = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
    Ok((ours, own))
}

/// The daemon of a root, on this machine.
struct Nearby {
    /// Where it listens, if there is room for a path.
    socket: Result<SocketPath, String>,
    folder: PathBuf,
    found: Found,
    /// Of this process, if it is to serve.
    options: Options,
    /// Whether it is to search then.
    search: bool,
    /// How a daemon is started where there is none; none for whoever starts none.
    startable: Option<ServeArgs>,
    /// How long it may take to answer.
    patience: Duration,
    /// How many of those that were started ended with an error since one answered.
    failed: Arc<AtomicU32>,
    own: Own,
    /// Where this process serves, if it does.
    runtime: Handle,
}

impl Nearby {
    /// Where it listens, once the folder is there and private.
    fn socket(&self) -> std::io::Result<&Path> {
        let socket = self.socket.as_ref();
        let socket = socket.map_err(|error| std::io::Error::other(error.clone()))?;
        socket.prepare_folder().map_err(std::io::Error::other)?;
        Ok(socket.as_path())
    }
}

impl Reach for Nearby {
    fn patience(&self) -> Duration {
        self.patience
    }

    fn tried(&self) -> Vec<String> {
        self.found.tried.clone()
    }

    fn connect(&mut self) -> std::io::Result<UnixStream> {
        let stream = connect(self.socket()?)?;
        let _runtime = self.runtime.enter();
        let stream = tokio::net::UnixStream::from_std(stream)?;
        // whoever may write to it could answer anything
        if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        }
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        self.failed.store(0, Ordering::Relaxed);
        Ok(stream)
    }

    fn start(&mut self) -> std::io::Result<()> {
        let Some(args) = &self.startable else {
            return Err(std::io::ErrorKind::Unsupported.into());
        };
        let socket = self.socket()?;
        find_socket(socket).map_err(std::io::Error::other)?;
        let log = log_beside(socket);
        if self.failed.load(Ordering::Relaxed) >= FAILED_MAX {
            let says = format!("it ends at once; {} says why", log.display());
            return Err(std::io::Error::other(says));
        }
        let log = open_log(&log)?;
        let mut command = Command::new(program()?);
        command
            .arg0("runlog")
            .args(["serve", "--socket", "--detached", "--projects"])
            .arg(&self.folder)
            .args(args.passed_on())
            // it outlives whoever starts it, and holds no folder that he was in
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // nor what it was given: a lock, or a pipe whose end somebody waits for
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        let mut child = command.spawn()?;
        // it is waited for, so that none is left behind as a zombie
        let failed = Arc::clone(&self.failed);
        std::thread::Builder::new()
            .name("runlog-shared".to_owned())
            .spawn(move || {
                let code = child.wait().ok().and_then(|status| status.code());
                if code.is_some_and(|code| code != 0) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            })?;
        Ok(())
    }

    fn own(&mut self) -> std::io::Result<UnixStream> {
        let _runtime = self.runtime.enter();
        let mut own = self.own.lock();
        let daemon = match own.take() {
            Some(daemon) => daemon,
            None => Daemon::start(
                self.folder.clone(),
                &self.found,
                self.options.clone(),
                self.search,
            )
            .map_err(std::io::Error::other)?,
        };
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let (reader, writer) = tokio::net::UnixStream::from_std(theirs)?.into_split();
        tokio::spawn(transport::serve(
            reader,
            writer,
            daemon.shared.clone(),
            Kind::Socket,
        ));
        *own = Some(daemon);
        Ok(ours)
    }
}

impl ServeArgs {
    /// What a daemon is told that is started in our place.
    fn passed_on(&self) -> Vec<OsString> {
        let spelt = |span: Duration| format!("{}s", span.as_secs());
        let idle = self.idle_exit.map_or(IDLE_EXIT.to_owned(), spelt);
        let watch = self.watch.to_possible_value();
        let mut passed: Vec<OsString> = vec!["--idle-exit".into(), idle.into()];
        passed.extend(["--stale-after".into(), spelt(self.stale_after).into()]);
        if let Some(watch) = watch {
            passed.extend(["--watch".into(), watch.get_name().into()]);
        }
        passed
    }
}

/// This program, or what has taken its place since.
fn program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // as Linux says of a file that is no longer there
    let before = path.as_os_str().as_bytes().strip_suffix(b" (deleted)");
    Ok(match before {
        Some(before) if !path.exists() => OsStr::from_bytes(before).into(),
        _ => path,
    })
}

/// Where the shared daemon says what is odd: beside its socket.
fn log_beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".log");
    path.into()
}

/// The log, for its user alone.
fn open_log(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let wrong = |what: &str| std::io::Error::other(format!("its log, {}, {what}", path.display()));
    let no_file = || wrong("is not a file: move it away");
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(no_file());
    }
    let log = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
        let kind = std::io::Error::from(error).kind();
        std::io::Error::new(kind, wrong(&format!("cannot be written: {kind}")))
    });
    let log = File::from(log?);
    let found = log.metadata()?;
    // another may have come in its place
    if !found.is_file() {
        return Err(no_file());
    }
    if found.len() > LOG_MAX_BYTES {
        log.set_len(0)?;
    }
    Ok(log)
}
