//! `runlog serve`: the daemon.
//!
//! Section 2 and 3 of the protocol: stdio or a Unix socket, and every way to end within two
//! seconds: end of input, `exit`, a dead parent, a broken pipe, SIGTERM, SIGINT, SIGHUP. After the end of
//! input a client who still takes what he asked for is waited for.

pub(super) mod shared;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::progress::Screen;
use super::root::{self, Found, Place};
use super::signals::Signals;
use super::terminal::visible;
use super::xdg::cache_home;
use super::{RootArgs, USAGE};
use crate::api::Context;
use crate::api::table::methods;
use crate::history::{History, Options};
use crate::search::Search;
use crate::session::{End, Kind, Shared};
use crate::transport::{self, Listener, Retired, SocketEnv, SocketPath, Stdin, Stdout};

/// How long connections have to end when the daemon does, and the index to be written.
const END_WITHIN: Duration = Duration::from_millis(1850);

/// How long a daemon that is started on demand stays without a client.
pub(super) const IDLE_EXIT: &str = "10m";

#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Speak on stdin and stdout; the default
    #[arg(long, conflicts_with = "socket")]
    stdio: bool,
    /// Listen on a Unix socket instead, at PATH or the root's own place
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // not given, given, given with a path
    socket: Option<Option<PathBuf>>,
    /// Speak on stdin and stdout, and let the daemon on the root's own socket answer, which all
    /// who do so share; it is started if it is not there
    #[arg(long, conflicts_with = "socket")]
    shared: bool,
    /// With a socket: end when there was no client for so long; 10m for a shared one
    #[arg(long, value_name = "SPAN", value_parser = crate::model::read_span)]
    idle_exit: Option<Duration>,
    /// Leave the terminal's session, as a daemon that others share does
    #[arg(long, hide = true, requires = "socket")]
    detached: bool,
    /// Silence after which a queued or running run counts as stale
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = crate::model::read_span)]
    stale_after: Duration,
    /// How changes of files are noticed
    #[arg(long, value_enum, default_value_t = Watch::Auto)]
    watch: Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Watch {
    /// By the system's events, and by looking where it gives none
    Auto,
    /// By looking at all files in intervals
    Poll,
}

/// Runs the daemon to its end.
pub(super) fn run(args: &ServeArgs, screen: &Screen) -> ExitCode {
    let (folder, found) = match find(args.root.projects.as_deref()) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    if args.detached {
        // fails only where there is nothing to leave
        let _ = rustix::process::setsid();
    }
    let status = runtime.block_on(async {
        if !found.exists {
            tell_missing(screen, &folder, &found);
        }
        if args.shared {
            return shared::serve(&folder, &found, args).await;
        }
        // first, so that whoever finds the place taken has done nothing yet
        let listener = match &args.socket {
            None => None,
            Some(path) => Some(listen(path.as_deref(), &folder)?),
        };
        let daemon = Daemon::start(folder, &found, args.options(), true)?;
        daemon.end_on_signals().map_err(|error| error.to_string())?;
        super::pruning::start(&daemon.shared.context, Arc::clone(&daemon.came));
        let bar = screen.show(daemon.history.progress());
        let (status, retired) = match listener {
            None => (daemon.stdio().await, None),
            Some(listener) => daemon.socket(listener, args.idle_exit).await,
        };
        drop(bar);
        daemon.end();
        drop(retired);
        status
    });
    let status = status.unwrap_or_else(|error| {
        tell!("runlog: {error}");
        1
    });
    // a handler that still waits for the disk does not hold up the end
    runtime.shutdown_background();
    std::process::exit(status)
}

/// Says that there is nothing to serve yet. Whoever cannot be told is served all the same.
fn tell_missing(screen: &Screen, folder: &Path, found: &Found) {
    let mut text = format!(
        "runlog: there is no {}; serving it as empty until it comes",
        visible(&folder.display().to_string())
    );
    // nowhere, where somebody has named it
    if !found.tried.is_empty() {
        text.push_str(". Looked for:");
    }
    for place in &found.tried {
        text.push_str(&format!("\n  {}", visible(place)));
    }
    text.push('\n');
    let _ = screen.lines().write_all(text.as_bytes());
}

pub(super) fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    tell!("runlog: {error}");
    ExitCode::FAILURE
}

/// The root that is meant, and how it was found; the status to exit with where that is not clear.
pub(super) fn find(given: Option<&Path>) -> Result<(PathBuf, Found), ExitCode> {
    let refuse = |reason: String| {
        tell!("runlog: {reason}");
        ExitCode::from(USAGE)
    };
    let place = Place::of_process(given).map_err(|error| failed(&error))?;
    let found = root::find(&place).map_err(|bad| refuse(bad.to_string()))?;
    match found.root.clone() {
        Some(folder) => Ok((folder, found)),
        None => Err(refuse(root::ambiguous(&found.candidates))),
    }
}

/// What everything that waits runs on: one thread, which serves all connections.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let within = runtime.enter();
    // a file that grows beyond what `ulimit -f` lets it ends its writing, as on a full disk, and not
    // this process: once heard of, the signal does so no more, and what we start has it as it was
    let beyond = rustix::process::Signal::XFSZ.as_raw();
    Signals::new(&[SignalKind::from_raw(beyond)]);
    // who started us may have had this one ignored: then no end of what we start could be waited for
    let _heard = tokio::signal::unix::signal(SignalKind::child());
    drop(within);
    Ok(runtime)
}

impl ServeArgs {
    fn options(&self) -> Options {
        Options {
            stale_after: self.stale_after,
            poll: self.watch == Watch::Poll,
            cache: cache_home(),
            ..Options::default()
        }
    }
}

pub(in crate::cli) struct Daemon {
    history: Arc<History>,
    shared: Shared,
    end: watch::Sender<bool>,
    /// Told of each client who comes.
    came: Arc<Notify>,
}

impl Daemon {
    /// Without `search` no text index is opened or built.
    fn start(
        folder: PathBuf,
        found: &Found,
        options: Options,
        search: bool,
    ) -> Result<Self, String> {
        let history = History::start(folder, options).map_err(|error| {
            format!(
                "the system gives no thread ({error}); raise the limit of processes (`ulimit -u`, or \
                 the container's)"
            )
        })?;
        let context = Arc::new(Context {
            search: Search::start(&history, search.then(cache_home).flatten()),
            history: Arc::clone(&history),
            started: Instant::now(),
            tried: if found.exists {
                Vec::new()
            } else {
                found.tried.clone()
            },
            policy: super::config::policy,
            sessions: AtomicUsize::new(0),
            ending: OnceLock::new(),
        });
        let methods = methods(Arc::clone(&context)).map_err(|error| error.to_string())?;
        let (end, ending) = watch::channel(false);
        let shared = Shared {
            methods,
            context,
            ending,
            process_ended,
        };
        Ok(Self {
            history,
            shared,
            end,
            came: Arc::default(),
        })
    }

    fn end_on_signals(&self) -> std::io::Result<()> {
        let end = self.end.clone();
        let stopped = stopped()?;
        tokio::spawn(async move {
            stopped.await;
            end.send_replace(true);
        });
        Ok(())
    }

    /// Ends the history, and keeps the index.
    pub(in crate::cli) fn end(&self) {
        self.history.end();
        let began = *self.shared.context.ending.get_or_init(Instant::now);
        // where it does not fit into what is left, the former one stays
        self.history.write_snapshot(Some(began + END_WITHIN));
    }

    async fn stdio(&self) -> Result<i32, String> {
        serve_stdio(self.shared.clone()).await
    }

    /// Serves whoever comes. What is given beside the status is to be kept until the index is.
    async fn socket(
        &self,
        mut listener: Listener,
        idle_exit: Option<Duration>,
    ) -> (Result<i32, String>, Option<Retired>) {
        let ready = json!({
            "socket": listener.path().display().to_string(),
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "root": self.history.root().display().to_string(),
        });
        // whoever started us may not care for the line
        let _ = super::print(format!("{ready}\n"));
        let mut ending = self.shared.ending.clone();
        let mut sessions = tokio::task::JoinSet::new();
        let serve = |stream: UnixStream, sessions: &mut tokio::task::JoinSet<End>| {
            self.came.notify_one();
            let (reader, writer) = stream.into_split();
            let (writer, shared) = (transport::direct::Half(writer), self.shared.clone());
            sessions.spawn(transport::serve(reader, writer, shared, Kind::Socket));
        };
        // whether it is because nobody comes any more that the daemon ends
        let idle = loop {
            let idle_exit = idle_exit.filter(|_| sessions.is_empty());
            let idle = async {
                match idle_exit {
                    Some(idle_exit) => tokio::time::sleep(idle_exit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // a client who is there is no longer waited for
                biased;
                _ = ending.wait_for(|ending| *ending) => break Ok(false),
                stream = listener.accept() => match stream {
                    Ok(Some(stream)) => serve(stream, &mut sessions),
                    Ok(None) => break Ok(true),
                    Err(error) => break Err(format!("the socket is broken: {error}")),
                },
                Some(_) = sessions.join_next() => {}
                () = idle => break Ok(true),
            }
        };
        // new clients find nobody from here on
        let (waiting, retired) = listener.retire();
        let mut retired = Some(retired);
        if let Ok(true) = idle {
            tracing::info!("no more clients; the daemon ends");
            if !waiting.is_empty() || !sessions.is_empty() {
                // they may stay long, and others must not wait for that
                retired = None;
            }
            for stream in waiting {
                serve(stream, &mut sessions);
            }
            tokio::select! {
                _ = ending.wait_for(|ending| *ending) => {}
                () = async { while sessions.join_next().await.is_some() {} } => {}
            }
        }
        // those that are here get their answers
        let _ = self.shared.context.ending.set(Instant::now());
        self.end.send_replace(true);
        let all = async { while sessions.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(END_WITHIN, all).await;
        (idle.map(|_| 0), retired)
    }
}

/// Until somebody ends this process by a signal, which does not end it by itself any more.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // its terminal is closed, unless it was started not to mind that
    let mut hangup = Signals::new(&[SignalKind::hangup()]);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.next() => {}
        }
    })
}

/// The status to exit with.
fn status_after(end: End) -> i32 {
    tracing::info!(?end, "the connection ended");
    match end {
        End::Exit {
            after_shutdown: false,
        } => 1,
        _ => 0,
    }
}

/// One client on stdin and stdout; the status to exit with.
async fn serve_stdio(shared: Shared) -> Result<i32, String> {
    let input = Stdin::open().map_err(|error| error.to_string())?;
    let output = Stdout::open().map_err(|error| error.to_string())?;
    // a task of its own, as all that it speaks with are: those are woken without asking the system
    let served = tokio::spawn(transport::serve(input, output, shared, Kind::Stdio));
    let end = served.await.map_err(|error| error.to_string())?;
    Ok(status_after(end))
}

/// The socket that somebody handed over, or else a new one.
fn listen(path: Option<&Path>, root: &Path) -> Result<Listener, String> {
    let mut handed = listenfd::ListenFd::from_env();
    match handed.len() {
        0 => {}
        1 => {
            let listener = handed.take_unix_listener(0).ok().flatten();
            let listener = listener.ok_or("what was handed over is no listening Unix socket")?;
            return Listener::adopt(listener).map_err(|error| error.to_string());
        }
        many => return Err(format!("{many} sockets were handed over; one is served")),
    }
    let path = socket_path(path, root)?;
    Listener::bind(&path).map_err(|error| error.to_string())
}

fn process_ended(pid: u32) -> futures_util::future::BoxFuture<'static, bool> {
    let ended = transport::process_ended(pid);
    async move {
        match ended.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the client's process");
                false
            }
        }
    }
    .boxed()
}

pub(super) fn socket_path(given: Option<&Path>, root: &Path) -> Result<SocketPath, String> {
    match given {
        Some(path) => SocketPath::given(path),
        None => SocketPath::default_for(root, &SocketEnv::of_process()),
    }
    .map_err(|error| error.to_string())
}

/// The root that is meant, and where its socket lies.
pub(super) fn socket_of(given: Option<&Path>) -> Result<(PathBuf, SocketPath), ExitCode> {
    let (folder, _) = find(given)?;
    match socket_path(None, &folder) {
        Ok(path) => Ok((folder, path)),
        Err(error) => Err(failed(&error)),
    }
}

/// `runlog socket`.
pub(super) fn print_socket(given: Option<&Path>) -> ExitCode {
    match socket_of(given) {
        Ok((_, path)) => super::give(path.as_path()),
        Err(status) => status,
    }
}
