//! `runlog run`: any command, recorded as a run.
//!
//! The run is written by the same code as a daemon's, straight to the files, so that no daemon
//! needs to be there, and one that is sees it like any other. What the command prints goes on to
//! where it would have gone, in the order in which it would have come there, and into the record, which
//! keeps the beginning and the end of it. Whoever does not read it on holds up the command, as without
//! us, but neither signals nor the record.
//!
//! The run ends with the command. What that leaves behind may go on printing for as long as it likes,
//! and without us nobody would wait for it: a process of its own passes that on (see [`pass_on`]).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use clap::Args;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, access, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RootArgs;
use super::args::quoted;
use super::serve::{find, runtime};
use super::signals::{Origins, Signals, bit, signals_of, status_of};
use crate::history::thread::{Undone, on_a_thread};
use crate::history::{History, HistoryError, Options};
use crate::model::update::Update;
use crate::model::{Millis, ProjectId, RunKey};
use crate::store::WriteError;

/// How many bytes of the output's beginning are kept, whatever follows.
const HEAD_BYTES: usize = 64 * 1024;
/// How many bytes of its end.
const TAIL_BYTES: usize = 192 * 1024;
/// How often new output comes into the record while the command goes on.
const SHOW_EVERY: Duration = Duration::from_secs(2);
/// How often a silent command is told to be alive.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// How long what the command left behind may add to the record.
const DRAIN_WITHIN: Duration = Duration::from_millis(200);
/// How long whoever reads the output has once somebody asked for the end.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// For how long the end is written again where the disk refuses it, and how often.
const RECORD_WITHIN: Duration = Duration::from_secs(10);
const RECORD_EVERY: Duration = Duration::from_millis(250);
/// How many bytes of output are passed on at once.
const PIECE_BYTES: usize = 16 * 1024;
/// How many may wait for whoever reads them before the command waits, too.
const WAITING_BYTES: usize = 256 * 1024;
/// How many the command may have left in a pipe when it ended.
const LEFT_BYTES: usize = 1024 * 1024;
/// What means whatever the command takes it for.
const PASSED: [SignalKind; 2] = [SignalKind::user_defined1(), SignalKind::user_defined2()];
/// What a terminal sends, by Ctrl-C and Ctrl-\.
const TYPED: [SignalKind; 2] = [SignalKind::interrupt(), SignalKind::quit()];
/// The signals that ask for an end.
const ENDS: [SignalKind; 4] = [
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::hangup(),
];
/// Whoever ends with status 0 so soon after a Ctrl-C ended because of it.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
/// How long a command has to end of a Ctrl-C.
const GRACE: Duration = Duration::from_millis(500);
/// Who reads a script that does not say who is to.
const SHELL: &str = "/bin/sh";
/// What this program is called where [`pass_on`] is all that it is to do: by nobody but us.
pub(super) const PASS_ON: &str = "runlog (passing on)";
/// As shells do where a command cannot be run.
const CANNOT_RUN: u8 = 126;
/// As shells do where a command is not there.
const NOT_FOUND: u8 = 127;

#[derive(Debug, Args)]
#[command(after_help = "\
What the command prints goes where it would have gone, and into the record. The run ends when the
command does, and so does runlog: what is left in the background stays there, and what that still
prints goes on to where it would have gone, but is not recorded.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The project to record it in
    #[arg(long, value_name = "PROJECT", value_parser = project, add = super::complete::projects())]
    project: ProjectId,
    /// What to call the run; otherwise the command's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn project(text: &str) -> Result<ProjectId, String> {
    ProjectId::parse(text).map_err(|error| error.to_string())
}

/// Runs the command; its exit status is ours.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    let (folder, _) = match find(args.root.projects.as_deref()) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    let history = Arc::new(History::new(folder, Options::default()));
    let status = runtime.block_on(recorded(history, args));
    // something that the command left behind may still hold a pipe that is being read
    runtime.shutdown_background();
    ExitCode::from(status)
}

async fn recorded(history: Arc<History>, args: &RunArgs) -> u8 {
    // from here on they are the command's, and only noted
    let origins = Origins::new(&TYPED);
    let mut ends = Signals::new(&ENDS);
    let line: Vec<String> = args
        .command
        .iter()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    let program = PathBuf::from(args.command.first().cloned().unwrap_or_default());
    let name = args.name.clone().unwrap_or_else(|| {
        let name = program.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    let execution = json!({ "name": name, "input": line.join(" ") }).to_string();
    let begun = history.start_run(args.project.clone(), None, Some(&execution));
    let (key, _) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tell!("runlog: the run cannot be recorded, and was not begun: {error}");
            return 1;
        }
    };
    let recorder = Recorder { history, key };
    let passed = Signals::new(&PASSED);
    let mut ran = match ends.came().await {
        // nothing is begun that is to end
        Some(signal) => Ran {
            status: status_of(signal),
            end: json!({ "status": "cancelled" }),
            writers: JoinSet::new(),
            left: Vec::new(),
            signals: ends,
            interrupted: true,
        },
        None => {
            let heard = Heard {
                ends,
                passed,
                origins,
            };
            recorder.through(&program, args, heard).await
        }
    };
    let word = ran.end["status"].as_str().unwrap_or_default();
    let write = async || recorder.set(&ran.end).await;
    let said = match until_written(&mut ran.signals, &mut ran.interrupted, write).await {
        Ok(took) => format!(
            "runlog: {word} after {took}, recorded as {}/{}",
            recorder.key.project, recorder.key.execution
        ),
        Err(error) => format!("runlog: {word}, but that could not be recorded: {error}"),
    };
    ran.deliver(said).await
}

/// A command that has run.
struct Ran {
    /// Our exit status.
    status: u8,
    /// What the record says of it.
    end: Value,
    /// Those that pass on what it printed.
    writers: JoinSet<()>,
    /// What it left open to somebody else.
    left: Vec<Stream>,
    signals: Signals,
    /// Whether somebody asked for the end.
    interrupted: bool,
}

impl Ran {
    /// Waits until everything was passed on, tells what was recorded, and leaves what is still to
    /// come to others; gives up waiting when somebody asks for the end.
    async fn deliver(mut self, said: String) -> u8 {
        let mut writers = std::mem::take(&mut self.writers);
        self.patiently(async { while writers.join_next().await.is_some() {} })
            .await;
        // whoever does not read stderr would hold us up as well
        let told = async {
            let said_aside = said.clone();
            let undone = on_a_thread(move || tell!("{said_aside}")).await;
            if undone == Err(Undone::NoThread) {
                tell!("{said}");
            }
        };
        self.patiently(told).await;
        for stream in self.left {
            if let Err(error) = stream.leave() {
                tell!("runlog: what the command left behind can print no more: {error}");
            }
        }
        self.status
    }

    async fn patiently(&mut self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = tokio::time::sleep(READ_WITHIN), if self.interrupted => {}
            _ = self.signals.next() => self.interrupted = true,
        }
    }
}

/// Writes the end: again for a while where the disk refuses it, and until somebody asks for ours.
async fn until_written<T>(
    signals: &mut Signals,
    interrupted: &mut bool,
    mut write: impl AsyncFnMut() -> Result<T, HistoryError>,
) -> Result<T, HistoryError> {
    let until = Instant::now() + RECORD_WITHIN;
    loop {
        let written = write().await;
        // nothing was changed, and that may pass
        let is_refused = matches!(
            written,
            Err(HistoryError::Write(
                WriteError::Full { .. } | WriteError::Refused { .. }
            ))
        );
        if !is_refused || Instant::now() >= until {
            return written;
        }
        tokio::select! {
            () = tokio::time::sleep(RECORD_EVERY) => {}
            _ = signals.next() => {
                *interrupted = true;
                return written;
            }
        }
    }
}

/// What is written of a run.
struct Recorder {
    history: Arc<History>,
    key: RunKey,
}

/// The signals that are heard while a command runs.
struct Heard {
    ends: Signals,
    passed: Signals,
    /// Whence those come that a terminal may have sent.
    origins: Origins,
}

/// A signal that the command may have got by itself.
#[derive(Clone, Copy)]
struct Due {
    signal: SignalKind,
    /// Whether it was sent, to us or to others as well, and not typed.
    sent: bool,
    /// When it is clear that the command did not.
    at: Instant,
}

impl Recorder {
    /// Runs the command to its end.
    async fn through(&self, program: &Path, args: &RunArgs, mut heard: Heard) -> Ran {
        let mut writers = JoinSet::new();
        let words = args.command.get(1..).unwrap_or_default();
        let (mut child, streams) = match spawn(program, words) {
            Ok(spawned) => spawned,
            Err(error) => {
                tell!("runlog: {}: {error}", program.display());
                let status = match error.kind() {
                    std::io::ErrorKind::NotFound => NOT_FOUND,
                    _ => CANNOT_RUN,
                };
                let error = format!("the command could not be run: {error}");
                return Ran {
                    status,
                    end: json!({ "status": "failed", "error": error }),
                    writers,
                    left: Vec::new(),
                    signals: heard.ends,
                    interrupted: false,
                };
            }
        };
        let output = Arc::new(Mutex::new(Kept::default()));
        let mut readers = JoinSet::new();
        let enough = CancellationToken::new();
        for stream in streams {
            let room = Arc::new(Semaphore::new(WAITING_BYTES));
            let (sender, pieces) = mpsc::channel();
            let to = stream.to.clone();
            readers.spawn(read(
                stream,
                sender,
                room.clone(),
                output.clone(),
                enough.clone(),
            ));
            writers.spawn_blocking(move || pass(&pieces, &to, &room));
        }
        let (status, asked) = self.accompany(&mut child, &output, &mut heard).await;
        let asked = asked.map(|at| at.elapsed());
        // whatever comes out of what it left behind is later than its end
        let completed_at = Millis::from_system(SystemTime::now());
        tokio::spawn(async move {
            tokio::time::sleep(DRAIN_WITHIN).await;
            enough.cancel();
        });
        let mut left = Vec::new();
        while let Some(read) = readers.join_next().await {
            left.extend(read.ok().flatten());
        }
        let output = output.lock().text();
        let mut end = match &status {
            Ok(status) => ended(*status, asked),
            Err(error) => json!({ "status": "failed", "error": error.to_string() }),
        };
        end["completedAt"] = completed_at.to_string().into();
        if !output.is_empty() {
            end["output"] = output.into();
        }
        let code = status.as_ref().map_or(1, |status| {
            let signal = status.signal().map(|signal| 128 + signal);
            let code = status.code().or(signal).unwrap_or(1);
            u8::try_from(code).unwrap_or(1)
        });
        Ran {
            status: code,
            end,
            writers,
            left,
            signals: heard.ends,
            interrupted: asked.is_some(),
        }
    }

    /// Waits for the end, writing what there is to see meanwhile; also when somebody asked for it
    /// last.
    async fn accompany(
        &self,
        child: &mut Child,
        output: &Mutex<Kept>,
        heard: &mut Heard,
    ) -> (std::io::Result<ExitStatus>, Option<Instant>) {
        let mut asked = None;
        let mut shown = 0;
        let mut silent_since = Instant::now();
        let mut due: Option<Due> = None;
        let mut writing = None;
        let mut show = tokio::time::interval(SHOW_EVERY);
        show.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // signals come first, and wait for nothing that is written
                biased;
                signal = heard.ends.next() => {
                    let now = Instant::now();
                    asked = Some(now);
                    if TYPED.contains(&signal) && in_front() {
                        let sent = heard.origins.was_sent(signal);
                        due = Some(match due {
                            None => Due { signal, sent, at: now + GRACE },
                            // however often, it is not put off
                            Some(due) => Due { signal, sent: due.sent || sent, ..due },
                        });
                    } else {
                        forward(child, signal);
                    }
                }
                signal = heard.passed.next() => forward(child, signal),
                Due { signal, sent, .. } = clear(due) => {
                    due = None;
                    if sent || !handles(child, signal) {
                        forward(child, signal);
                    }
                }
                status = child.wait() => {
                    // one that both got may have ended it before we looked at ours
                    if heard.ends.came().await.is_some() {
                        asked = Some(Instant::now());
                    }
                    // what is still being written comes before the end all the same
                    return (status, asked);
                }
                told = written(&mut writing) => {
                    writing = None;
                    if let Err(error) = told {
                        // the end is written all the same, and says so if it cannot be
                        tracing::warn!(%error, "the run goes on unrecorded");
                    }
                }
                _ = show.tick(), if writing.is_none() => {
                    let (seen, text) = {
                        let output = output.lock();
                        (output.seen, (output.seen > shown).then(|| output.text_so_far()))
                    };
                    if text.is_none() && silent_since.elapsed() < BEAT_EVERY {
                        continue;
                    }
                    shown = seen;
                    silent_since = Instant::now();
                    writing = Some(async move {
                        match text {
                            Some(text) => self.set(&json!({ "output": text })).await.map(drop),
                            None => self.update(Update::default()).await.map(drop),
                        }
                    }.boxed());
                }
            }
        }
    }

    /// Sets members; how long the run has taken by then.
    async fn set(&self, members: &Value) -> Result<String, HistoryError> {
        let set = members
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (json!(name).to_string().into(), value.to_string().into()));
        let saved = self
            .update(Update {
                set: set.collect(),
                ..Update::default()
            })
            .await?;
        let began = saved.summary.started_at.unwrap_or(Millis(0));
        let ended = saved.summary.completed_at.unwrap_or(began);
        let took = u64::try_from(ended.0.saturating_sub(began.0)).unwrap_or(0);
        Ok(format!("{:?}", Duration::from_millis(took)))
    }

    async fn update(&self, update: Update) -> Result<crate::history::Saved, HistoryError> {
        let nobody = std::future::pending();
        let key = self.key.clone();
        self.history.update(key, update, nobody).await
    }
}

/// What a command prints into, and where that would have gone.
struct Stream {
    pipe: Receiver,
    to: Arc<OwnedFd>,
}

impl Stream {
    fn new(pipe: PipeReader, to: impl AsFd) -> std::io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(pipe.into())?,
            to: Arc::new(to.as_fd().try_clone_to_owned()?),
        })
    }

    /// Leaves it to a process of its own to pass on what still comes.
    fn leave(self) -> std::io::Result<()> {
        // this very program, though another version may have taken its place
        let program = match cfg!(target_os = "linux") {
            true => PathBuf::from("/proc/self/exe"),
            false => std::env::current_exe()?,
        };
        std::process::Command::new(program)
            .arg0(PASS_ON)
            // it ends with whoever prints, not by what ends us
            .process_group(0)
            // it holds no folder that somebody was in
            .current_dir("/")
            .stdin(self.pipe.into_blocking_fd()?)
            .stdout(self.to.try_clone()?)
            .stderr(Stdio::null())
            .spawn()
            .map(drop)
    }
}

/// Passes on stdin to stdout until one of them ends.
pub(super) fn pass_on() -> ExitCode {
    let (from, to) = (std::io::stdin(), std::io::stdout());
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let passed = retry_on_intr(|| rustix::io::read(&from, buffer.as_mut_slice()));
        let passed = passed.and_then(|count| {
            let bytes = buffer.get(..count).unwrap_or_default();
            write(&to, bytes).map(|()| count)
        });
        match passed {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            // whoever prints hears of it as he would have without us
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// Begins the command; a script that does not say who is to read it is a shell's, as everywhere.
fn spawn(program: &Path, words: &[OsString]) -> std::io::Result<(Child, Vec<Stream>)> {
    match begin(program, words) {
        Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let script = on_path(program).into_os_string();
            let words: Vec<OsString> = [script].into_iter().chain(words.iter().cloned()).collect();
            begin(Path::new(SHELL), &words)
        }
        begun => begun,
    }
}

/// Where a program is that is begun by this name.
fn on_path(program: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").filter(|_| program.components().count() == 1);
    std::env::split_paths(&path.unwrap_or_default())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
        .unwrap_or_else(|| program.to_owned())
}

/// Begins the program. It prints into one pipe where all would have gone to one place, so that it
/// comes there in the order in which it was printed.
fn begin(program: &Path, words: &[OsString]) -> std::io::Result<(Child, Vec<Stream>)> {
    let (ours, ours_too) = (std::io::stdout(), std::io::stderr());
    let mut command = Command::new(program);
    let (reader, writer) = std::io::pipe()?;
    let mut streams = Vec::new();
    if is_one_place(&ours, &ours_too) {
        command.stderr(writer.try_clone()?);
    } else {
        let (reader, writer) = std::io::pipe()?;
        command.stderr(writer);
        streams.push(Stream::new(reader, ours_too)?);
    }
    command.stdout(writer);
    streams.push(Stream::new(reader, ours)?);
    let child = command.args(words).spawn()?;
    Ok((child, streams))
}

/// Whether the same file, pipe or terminal is open as both.
fn is_one_place(one: impl AsFd, other: impl AsFd) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// What a record says of a command that ended so, and so long after somebody asked for it.
fn ended(status: ExitStatus, asked: Option<Duration>) -> Value {
    let (word, how) = match (status.code(), status.signal()) {
        (Some(0), _) => {
            // a server takes its leave in peace; whoever goes on was asked for something else
            let word = match asked.is_some_and(|ago| ago <= LEAVES_WITHIN) {
                true => "cancelled",
                false => "completed",
            };
            return json!({ "status": word, "exitCode": 0 });
        }
        (Some(code), _) => (
            json!({ "exitCode": code }),
            format!("the command ended with status {code}"),
        ),
        (None, signal) => (
            json!({ "signal": signal }),
            format!(
                "the command was ended by signal {}",
                signal.unwrap_or_default()
            ),
        ),
    };
    let mut end = word;
    if asked.is_some() {
        end["status"] = "cancelled".into();
    } else {
        end["status"] = "failed".into();
        end["error"] = how.into();
    }
    end
}

/// Gives a signal when it is clear that the command did not get it.
async fn clear(due: Option<Due>) -> Due {
    match due {
        Some(due) => {
            tokio::time::sleep_until(due.at).await;
            due
        }
        None => std::future::pending().await,
    }
}

/// Gives what came of a write when there is one and it is over.
async fn written(
    writing: &mut Option<BoxFuture<'_, Result<(), HistoryError>>>,
) -> Result<(), HistoryError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

/// Whether what is typed on our terminal is for us, and so for the command, which has it already. The
/// terminal may be neither our input nor our output.
fn in_front() -> bool {
    let ours = getpgrp();
    let front = std::fs::File::open("/dev/tty").map(tcgetpgrp);
    front.is_ok_and(|front| front == Ok(ours))
}

/// Whether the command may live on after a Ctrl-C. It would take a second one for impatience; one
/// that does not, and lives, was sent none.
fn handles(child: &Child, signal: SignalKind) -> bool {
    let process = child.id().unwrap_or_default().to_string();
    signals_of(&process, "SigCgt:") & bit(signal) != 0
}

/// Hands a signal on.
fn forward(child: &Child, signal: SignalKind) {
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let signal = rustix::process::Signal::from_named_raw(signal.as_raw_value());
    if let (Some(pid), Some(signal)) = (pid, signal) {
        // it may have ended meanwhile
        let _ = kill_process(pid, signal);
    }
}

/// Keeps what comes, and hands it on in pieces as long as there is room for them. When it is `enough`,
/// only what is there already, room or not; the stream then, if it has not ended.
async fn read(
    mut from: Stream,
    pieces: mpsc::Sender<Vec<u8>>,
    room: Arc<Semaphore>,
    kept: Arc<Mutex<Kept>>,
    enough: CancellationToken,
) -> Option<Stream> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut left = LEFT_BYTES;
    loop {
        let count = tokio::select! {
            biased;
            count = from.pipe.read(&mut buffer), if left > 0 => count.unwrap_or(0),
            () = enough.cancelled() => return Some(from),
        };
        if count == 0 {
            return None;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        kept.lock().add(bytes);
        let needed = u32::try_from(count).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            () = enough.cancelled() => left = left.saturating_sub(count),
            // until it was written
            Ok(place) = room.acquire_many(needed) => place.forget(),
        }
        let _ = pieces.send(bytes.to_vec());
    }
}

/// Writes pieces to where they would have gone, and makes room for others.
fn pass(pieces: &mpsc::Receiver<Vec<u8>>, to: &OwnedFd, room: &Semaphore) {
    // whoever read ours may have had enough; the record has not
    let mut open = true;
    for piece in pieces {
        if open && let Err(error) = write(to, &piece) {
            open = false;
            if error != Errno::PIPE {
                let error = std::io::Error::from(error);
                tell!(
                    "runlog: what the command prints can be recorded, but not passed on: {error}"
                );
            }
        }
        room.add_permits(piece.len());
    }
}

/// Writes all of it, also where somebody has made writes give up rather than wait.
fn write(to: &impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // what is wrong shows in the next write
                let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The beginning and the end of an output.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// How many bytes there were.
    seen: u64,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
    }

    fn text(&self) -> String {
        let mut bytes = self.head.clone();
        let mut tail = self.tail.iter().copied().peekable();
        let kept = self.head.len() + self.tail.len();
        if self.seen > kept as u64 {
            // both ends of the gap may lie within a character
            bytes.truncate(bytes.len() - unfinished(&bytes));
            let mut left_out = self.seen - (bytes.len() + self.tail.len()) as u64;
            for _ in 0..3 {
                let is_rest = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
                left_out += u64::from(tail.next_if(is_rest).is_some());
            }
            let note = format!("\n[… {left_out} bytes left out …]\n");
            bytes.extend_from_slice(note.as_bytes());
        }
        bytes.extend(tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The same while there is more to come: less a character that has not come as a whole.
    fn text_so_far(&self) -> String {
        let mut text = self.text();
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.truncate(whole);
        text
    }
}

/// How many bytes at the end are no whole character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    last.map_or(0, |chunk| chunk.invalid().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_after_a_signal_was_not_ended_by_it() {
        for (code, seconds, status) in [
            (0, None, "completed"),
            (0, Some(1), "cancelled"),
            (0, Some(3600), "completed"),
            (3, None, "failed"),
            (3, Some(3600), "cancelled"),
        ] {
            let end = ended(
                ExitStatus::from_raw(code << 8),
                seconds.map(Duration::from_secs),
            );
            assert_eq!(end["status"], status, "{code} {seconds:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_the_disk_refuses_is_written_again_for_a_while() {
        let full = || HistoryError::Write(WriteError::Full { path: "a".into() });
        let mut nobody = Signals::new(&[]);
        for (refusals, tries) in [(0, 1), (3, 4), (usize::MAX, 41)] {
            let mut times = 0;
            let write = async || {
                times += 1;
                if times <= refusals {
                    Err(full())
                } else {
                    Ok(())
                }
            };
            let written = until_written(&mut nobody, &mut false, write).await;
            assert_eq!((written.is_ok(), times), (times > refusals, tries));
        }
        // what may have been done already is not done again
        let mut times = 0;
        let write = async || {
            times += 1;
            let source = std::io::Error::other("the last step");
            Err::<(), _>(HistoryError::Write(WriteError::Io {
                path: "a".into(),
                source,
            }))
        };
        assert!(until_written(&mut nobody, &mut false, write).await.is_err());
        assert_eq!(times, 1);
    }

    #[test]
    fn a_disk_that_hangs_holds_up_no_signal() {
        let root = tempfile::tempdir().unwrap();
        let history = History::new(root.path().to_owned(), Options::default());
        let project = ProjectId::parse("p").unwrap();
        let (key, _) = history.start_run(project, None, None).unwrap();
        let recorder = Recorder {
            history: Arc::new(history),
            key,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let ran = runtime.block_on(async {
            let mut heard = Heard {
                ends: Signals::new(&[]),
                passed: Signals::new(&PASSED),
                origins: Origins::new(&[]),
            };
            // whatever writes has no thread until this one is told to end
            let (end, ended) = mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || ended.recv());
            let mut output = Kept::default();
            output.add(b"to be written");
            let script = "trap 'exit 3' USR1; kill -USR1 $PPID; while :; do sleep 0.01; done";
            let mut child = Command::new("sh")
                .args(["-c", script])
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let output = Mutex::new(output);
            let ran = recorder.accompany(&mut child, &output, &mut heard);
            let ran = tokio::time::timeout(Duration::from_secs(60), ran).await;
            drop(end);
            ran
        });
        let (status, asked) = ran.expect("the signal is handed on");
        assert_eq!((status.unwrap().code(), asked), (Some(3), None));
    }

    #[test]
    fn the_beginning_and_the_end_of_an_output_are_kept() {
        let mut kept = Kept::default();
        kept.add(b"one\n");
        assert_eq!(kept.text(), "one\n");
        for number in 0..100_000 {
            kept.add(format!("line {number}\n").as_bytes());
        }
        let text = kept.text();
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 100);
        assert!(text.starts_with("one\nline 0\n"));
        assert!(text.ends_with("line 99999\n"));
        let kept_bytes = (HEAD_BYTES + TAIL_BYTES) as u64;
        let note = format!("[… {} bytes left out …]", kept.seen - kept_bytes);
        assert!(text.contains(&note));
        // an output that just fits is whole
        let mut kept = Kept::default();
        kept.add(&vec![b'x'; HEAD_BYTES + TAIL_BYTES]);
        assert_eq!(kept.text().len(), HEAD_BYTES + TAIL_BYTES);
    }

    #[test]
    fn an_output_is_cut_between_characters() {
        for shift in 0..10 {
            let mut kept = Kept::default();
            kept.add(&b"x".repeat(shift));
            let printed = "é€😀".repeat(40_000);
            kept.add(printed.as_bytes());
            let text = kept.text();
            let parts: Vec<&str> = text.split('\n').collect();
            let [head, note, tail] = parts[..] else {
                panic!("{} lines", parts.len());
            };
            assert!(head.trim_start_matches('x').starts_with("é€"));
            assert!(tail.ends_with("é€😀"));
            assert!(!text.contains(char::REPLACEMENT_CHARACTER));
            let left_out = shift + printed.len() - head.len() - tail.len();
            assert_eq!(note, format!("[… {left_out} bytes left out …]"));
        }
        // what is no text is told as such, once it cannot become one
        let mut kept = Kept::default();
        kept.add(b"caf\xc3");
        assert_eq!(kept.text_so_far(), "caf");
        assert_eq!(kept.text(), "caf\u{fffd}");
        kept.add(b"\xa9");
        assert_eq!(kept.text_so_far(), "café");
    }

    #[test]
    fn words_are_quoted_as_one_would_type_them() {
        for (word, typed) in [
            ("ls", "ls"),
            ("--format=json", "--format=json"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }
}
