//! One client's messages, carried to the daemon that all windows share.
//!
//! Section 2 of the protocol, `runlog serve --shared`. A [`Relay`] passes messages on as they are:
//! what is between a client and its daemon (ids, batches, order, limits, cancelling) is the daemon's
//! session's. But the daemon may be killed at any moment, and its client is not to notice more than
//! it must:
//!
//! - reads in flight are sent to the next daemon again;
//! - mutations in flight are refused as of unknown outcome: only their sender can tell whether
//!   they may be repeated;
//! - subscriptions go on at the next daemon after the last clock that was told, under the ids
//!   that the client knows, so that it sees a replay or a `resync`;
//! - where there is no daemon of this version to be had, this process serves by itself.
//!
//! A thread a direction waits for the next message and passes it on. The one that reads from the
//! daemon looks for another one when that is gone; what the client sends meanwhile waits, bounded in
//! bytes, and is sent by a third thread then, so that the daemon is read from all the while. That
//! one asks for the subscriptions too, and waits for them: a daemon may take half a minute for its
//! first look, and the client's requests go past that. Each side is read from only as far as the
//! other one takes it, so a client that does not read makes its daemon wait, which then coalesces.

mod ledger;
pub(crate) mod message;
mod stream;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, OptionFuture};
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;

use crate::api::lifecycle::{Initialize, Shared, Shutdown};
use crate::api::params::member;
use crate::api::table::Method;
use crate::api::{Error, PROTOCOL_VERSION};
use crate::session::envelope::{self, NULL_ID};
use crate::session::outbox::PATIENCE;
use crate::session::{End, GRACE, Incoming, answer};
use crate::transport::{FRAME_LIMIT_BYTES, Framing};
use ledger::{Greeting, Ledger, Prepared};
use message::LIMIT_BYTES;
use stream::{Sink, Source};

/// How soon one is looked for again, at first.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// And later.
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(500);
/// For so long the program may be missing, because another is put in its place.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);
/// How often one may end before it has said who it is, or so soon after it that it is of no use.
const SHORT_MAX: u32 = 20;
/// What ends sooner than this was of no use.
const SOON: Duration = Duration::from_secs(1);
/// While no daemon has taken so many bytes of requests, more wait with their sender.
const UNTAKEN_MAX_BYTES: usize = FRAME_LIMIT_BYTES;

/// How a daemon is reached. Nothing of it is called where tokio runs.
pub trait Reach: Send + 'static {
    /// A connection to the root's daemon, if one is there now.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` if one is there that takes no connections just now.
    fn connect(&mut self) -> io::Result<UnixStream>;

    /// Starts one, which will be there soon. Others may do the same at this instant, and one of
    /// them wins.
    ///
    /// # Errors
    /// What the system says, or what those say that were started before; `Unsupported` by whoever
    /// starts none.
    fn start(&mut self) -> io::Result<()>;

    /// For so long a daemon is looked for, or waited for, before this process serves by itself.
    fn patience(&self) -> Duration;

    /// Where the root was looked for, which only this process knows.
    fn tried(&self) -> Vec<String>;

    /// A connection to this process itself, which serves from now on.
    ///
    /// # Errors
    /// What the system says.
    fn own(&mut self) -> io::Result<UnixStream>;
}

/// A client's connection to the shared daemon.
#[derive(Debug)]
pub struct Relay {
    common: Arc<Common>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// What the threads tell.
enum Event {
    /// The client belongs to a process, which ends when this does; false if it cannot be seen.
    Parent(BoxFuture<'static, bool>),
    /// The client says nothing more.
    Client(End),
    /// There is nothing more to say to it.
    Done,
}

/// What the threads share. None holds two of these locks, but for the state's as the inner one.
#[derive(Debug)]
struct Common {
    state: Mutex<State>,
    /// The state is such that somebody who waits may go on.
    changed: Condvar,
    /// To the client, once it is known how messages end there.
    client: Mutex<Option<Sink>>,
    /// To the daemon, and which connection that is.
    daemon: Mutex<Option<(u64, Sink)>>,
    events: mpsc::UnboundedSender<Event>,
    /// Waits for a process's end, from when it is called.
    process_ended: fn(u32) -> BoxFuture<'static, bool>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// Counts connections to daemons.
    connection: u64,
    /// Whether it has all that the client sent, and is sent what comes.
    up: bool,
    /// To end it with.
    socket: Option<UnixStream>,
    /// What came while there was none, in bytes.
    waiting_bytes: usize,
    /// The client sends nothing more.
    ending: bool,
    /// Something came from the daemon since that was looked at.
    came: bool,
}

/// Why a connection to a daemon is over.
enum Over {
    /// The daemon is gone.
    Lost,
    /// It was gone before it said who it is.
    Silent,
    /// It has not said who it is in time.
    Mute,
    /// It is not one for us.
    Foreign(String),
    /// Nobody wants anything any more.
    Done,
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "the daemon's connection");
        Self::Lost
    }
}

impl Relay {
    /// Carries what comes from `input` to the daemon that `reach` reaches, and its answers to
    /// `output`. The process that the client belongs to is looked for by `process_ended` before its
    /// request is passed on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        input: OwnedFd,
        output: OwnedFd,
        reach: impl Reach,
        process_ended: fn(u32) -> BoxFuture<'static, bool>,
    ) -> io::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let common = Arc::new(Common::new(sender, process_ended));
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let daemon = Daemons {
            common: Arc::clone(&common),
            reach,
            alone: None,
            short: 0,
        };
        named("runlog-daemon").spawn(move || daemon.carry())?;
        let client = Arc::clone(&common);
        let source = Source::new(input, FRAME_LIMIT_BYTES);
        named("runlog-client").spawn(move || client.listen(source, output))?;
        Ok(Self { common, events })
    }

    /// Until the client has ended, the process that it belongs to, or `stop`; what is in flight is
    /// answered.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> End {
        let mut stop = std::pin::pin!(stop);
        let mut parent: OptionFuture<_> = None.into();
        let mut grace: OptionFuture<_> = None.into();
        let mut end = None;
        // whoever has no more to ask may take his time
        let mut hurried = false;
        loop {
            let (ended, hurries) = tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(Event::Parent(ended)) => {
                        parent = Some(ended).into();
                        continue;
                    }
                    Some(Event::Client(end)) => (end, end != End::Closed),
                    Some(Event::Done) | None => return end.unwrap_or(End::Closed),
                },
                Some(seen) = &mut parent => {
                    parent = None.into();
                    if seen {
                        return End::Orphaned;
                    }
                    continue;
                }
                Some(()) = &mut grace => {
                    if self.common.give_up(hurried) {
                        return end.unwrap_or(End::Closed);
                    }
                    grace = Some(Box::pin(tokio::time::sleep(GRACE))).into();
                    continue;
                }
                () = &mut stop, if !hurried => (End::Closed, true),
            };
            // not anew by what says no more than is known
            if end.is_none() || hurries && !hurried {
                grace = Some(Box::pin(tokio::time::sleep(GRACE))).into();
            }
            hurried |= hurries;
            if end.is_none() {
                end = Some(ended);
                self.common.end();
            }
        }
    }
}

impl Common {
    fn new(
        events: mpsc::UnboundedSender<Event>,
        process_ended: fn(u32) -> BoxFuture<'static, bool>,
    ) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            client: Mutex::default(),
            daemon: Mutex::default(),
            events,
            process_ended,
        }
    }

    /// Takes what the client sends, to its end.
    fn listen(&self, mut source: Source, output: OwnedFd) {
        let mut output = Some(output);
        let end = loop {
            let incoming = match source.next(None) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => break End::Closed,
                Err(error) => {
                    tracing::info!(%error, "the client cannot be read");
                    break End::Closed;
                }
            };
            if let Some(output) = output.take() {
                // answered in kind
                match Sink::new(output, source.framing().unwrap_or(Framing::Lines)) {
                    Ok(sink) => *self.client.lock() = Some(sink),
                    Err(error) => {
                        tracing::error!(%error, "the client cannot be written to");
                        break End::Closed;
                    }
                }
            }
            match incoming {
                Incoming::TooLarge { size_bytes } => {
                    let limit = FRAME_LIMIT_BYTES as u64;
                    let error = Error::too_large("the frame", size_bytes, limit);
                    self.tell([answer(&NULL_ID, &Err(error)).concat().into()]);
                }
                Incoming::Frame(frame) => {
                    if let Some(after_shutdown) = self.asked(frame) {
                        break End::Exit { after_shutdown };
                    }
                }
            }
        };
        let _ = self.events.send(Event::Client(end));
    }

    /// Passes a frame on, now or later; whether the client takes its leave by it, after a shutdown
    /// or not.
    fn asked(&self, frame: Bytes) -> Option<bool> {
        let read = envelope::read(&frame);
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| {
            !state.up && !state.ending && state.waiting_bytes >= UNTAKEN_MAX_BYTES
        });
        let frame_bytes = frame.len();
        let noted = state.ledger.note(frame, read);
        let mut prepared = Prepared::default();
        if state.up {
            if let Some(key) = noted.key {
                prepared = state.ledger.prepare(key);
            }
            let cancelling = std::iter::from_fn(|| state.ledger.cancelling());
            prepared.to_daemon.extend(cancelling);
        } else {
            state.waiting_bytes += frame_bytes;
        }
        let connection = state.connection;
        drop(state);
        if let Some(pid) = noted.parent {
            let ended = (self.process_ended)(pid);
            let _ = self.events.send(Event::Parent(ended));
        }
        self.pass(connection, prepared);
        self.tell(noted.answers);
        noted.exit
    }

    /// Sends what is prepared for a connection, if it is still that one.
    fn pass(&self, connection: u64, prepared: Prepared) {
        for message in prepared.to_daemon {
            let mut daemon = self.daemon.lock();
            if let Some((present, sink)) = &mut *daemon
                && *present == connection
                && sink.send(message, None, || false).is_err()
            {
                // whoever reads from it sees the end of it
                *daemon = None;
            }
        }
        self.tell(prepared.to_client);
    }

    /// Sends messages to the client; false if it is gone, or takes nothing while an answer waits.
    fn tell(&self, messages: impl IntoIterator<Item = Bytes>) -> bool {
        let mut messages = messages.into_iter().peekable();
        // whoever is writing need not be waited for
        if messages.peek().is_none() {
            return true;
        }
        let mut client = self.client.lock();
        for message in messages {
            // nobody is told anything before he has said something
            let Some(sink) = &mut *client else {
                return false;
            };
            let notification = message.starts_with(br#"{"jsonrpc":"2.0","method""#);
            let waited_for = || self.state.lock().is_waited_for(notification);
            if let Err(error) = sink.send(message, Some(PATIENCE), waited_for) {
                tracing::info!(%error, "the client cannot be written to");
                *client = None;
                return false;
            }
        }
        true
    }

    /// Lets the daemon answer what it has, and be gone then.
    fn end(&self) {
        let mut state = self.state.lock();
        state.ending = true;
        // what came before is no sign that the rest will
        state.came = false;
        if state.up {
            state.close(std::net::Shutdown::Write);
        }
        self.changed.notify_all();
    }

    /// Refuses what nobody has answered in time; false while the client takes what was answered,
    /// unless that is `hurried`.
    fn give_up(&self, hurried: bool) -> bool {
        let taking = self.client.try_lock().is_none();
        let mut state = self.state.lock();
        let came = std::mem::take(&mut state.came);
        if !hurried && (taking || came) {
            return false;
        }
        let unanswered = state.ledger.ended();
        drop(state);
        if !taking {
            self.tell(unanswered);
        }
        true
    }

    /// Sends the connection all that waits for it; from then on what comes goes there at once. And
    /// asks for the subscriptions again: until all go on, however long the daemon takes for it.
    fn catch_up(&self, connection: u64) {
        loop {
            let mut state = self.state.lock();
            if state.connection != connection {
                return;
            }
            let prepared = if let Some(own) = state.ledger.own() {
                Prepared {
                    to_daemon: vec![own],
                    to_client: None,
                }
            } else if state.up {
                if !state.ledger.is_renewing() {
                    return;
                }
                let waited = self.changed.wait_for(&mut state, AGAIN_AFTER_MAX);
                if waited.timed_out() {
                    state.ledger.ask_again();
                }
                continue;
            } else if let Some(key) = state.ledger.unsent() {
                state.ledger.prepare(key)
            } else {
                state.up = true;
                state.waiting_bytes = 0;
                if state.ending {
                    state.close(std::net::Shutdown::Write);
                }
                self.changed.notify_all();
                continue;
            };
            drop(state);
            self.pass(connection, prepared);
        }
    }

    /// Sleeps for so long, or until the client ends; whether there is still something to do.
    fn pause(&self, span: Duration) -> bool {
        let deadline = Instant::now() + span;
        let mut state = self.state.lock();
        while !state.is_over() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return !state.is_over();
            }
        }
        false
    }
}

impl State {
    fn close(&self, how: std::net::Shutdown) {
        if let Some(socket) = &self.socket {
            // there is nothing to close where the other side was faster
            let _ = socket.shutdown(how);
        }
    }

    /// Whether somebody waits until the client has taken a message: for an answer behind it, or for
    /// the end of this process.
    fn is_waited_for(&self, notification: bool) -> bool {
        !notification || self.ending || !self.ledger.is_settled()
    }

    /// Whether the client has ended, and nothing is to be answered.
    fn is_over(&self) -> bool {
        self.ending && self.ledger.is_settled()
    }
}

/// The thread between the daemons and the client.
struct Daemons<R> {
    common: Arc<Common>,
    reach: R,
    /// Why this process serves by itself, if it does.
    alone: Option<String>,
    /// How many connections in a row ended before a greeting, or soon.
    short: u32,
}

impl<R: Reach> Daemons<R> {
    fn carry(mut self) {
        loop {
            let stream = match self.reach() {
                Ok(Some(stream)) => stream,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "nobody can be made to serve");
                    break;
                }
            };
            let over = self.over(stream).unwrap_or_else(|over| over);
            let mut state = self.common.state.lock();
            let answers = state.ledger.lost();
            let is_over = state.is_over();
            drop(state);
            self.common.tell(answers);
            match over {
                Over::Done => break,
                // this process itself, which serves nobody any more
                _ if is_over || self.alone.is_some() => break,
                Over::Foreign(why) => self.go_alone(why),
                Over::Mute => self.go_alone(NO_ANSWER.to_owned()),
                Over::Silent if self.short >= SHORT_MAX => self.go_alone(NO_ANSWER.to_owned()),
                Over::Lost if self.short >= SHORT_MAX => self.go_alone(NO_STAY.to_owned()),
                Over::Silent | Over::Lost => {
                    if matches!(over, Over::Lost) {
                        tracing::warn!("the shared daemon is gone; going on with another one");
                    }
                    self.common.pause(AGAIN_AFTER * self.short);
                    self.short += 1;
                }
            }
        }
        let unanswered = self.common.state.lock().ledger.ended();
        self.common.tell(unanswered);
        let _ = self.common.events.send(Event::Done);
    }

    fn go_alone(&mut self, why: String) {
        tracing::warn!("serving without the shared daemon: {why}");
        self.alone = Some(why);
    }

    /// A connection to a daemon, or to ourselves where there is none to be had; none when there is
    /// no need any more.
    fn reach(&mut self) -> io::Result<Option<UnixStream>> {
        let began = Instant::now();
        let mut again_after = AGAIN_AFTER;
        let mut started = false;
        while self.alone.is_none() {
            match self.reach.connect() {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) if began.elapsed() >= self.reach.patience() => {
                    self.go_alone(format!("none answers: {}", said(&error)));
                }
                // until the one that was started listens, or the one that is there takes its connections
                Err(error) if started || error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.common.pause(again_after) {
                        return Ok(None);
                    }
                    again_after = (again_after * 2).min(AGAIN_AFTER_MAX);
                    // the one that was started may have lost against one that has ended since
                    started &= again_after < AGAIN_AFTER_MAX;
                }
                Err(_) => match self.reach.start() {
                    Ok(()) => started = true,
                    // as it is meant to be, and nothing to warn of
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        self.alone = Some("there is none".to_owned());
                    }
                    Err(error) if is_missing(&error) && began.elapsed() < REPLACED_WITHIN => {
                        if !self.common.pause(AGAIN_AFTER) {
                            return Ok(None);
                        }
                    }
                    Err(error) => self.go_alone(format!("none can be started: {}", said(&error))),
                },
            }
        }
        self.reach.own().map(Some)
    }

    /// Carries what there is over one connection until that is over.
    fn over(&mut self, stream: UnixStream) -> Result<Over, Over> {
        let mut source = Source::new(stream.try_clone()?.into(), LIMIT_BYTES);
        let mut sink = Sink::new(stream.try_clone()?.into(), Framing::Headers)?;
        self.greet(&mut source, &mut sink)?;
        let greeted = Instant::now();
        let common = &self.common;
        let mut state = common.state.lock();
        state.connection += 1;
        state.socket = Some(stream);
        let connection = state.connection;
        let waiting = state.ledger.unsent().is_some() || state.ledger.is_renewing();
        drop(state);
        *common.daemon.lock() = Some((connection, sink));
        let catching_up = waiting
            .then(|| {
                let common = Arc::clone(common);
                let thread = thread::Builder::new().name("runlog-catch-up".to_owned());
                thread.spawn(move || common.catch_up(connection))
            })
            .transpose()
            .inspect_err(|error| tracing::warn!(%error, "no thread to pass on what waits"))?;
        if !waiting {
            common.catch_up(connection);
        }
        let over = self.listen(&mut source);
        if greeted.elapsed() >= SOON {
            self.short = 0;
        }
        let mut state = common.state.lock();
        state.up = false;
        state.connection += 1;
        // whoever waits for it to take something fails
        state.close(std::net::Shutdown::Both);
        state.socket = None;
        common.changed.notify_all();
        drop(state);
        *common.daemon.lock() = None;
        drop(catching_up.map(thread::JoinHandle::join));
        Ok(over)
    }

    fn listen(&self, source: &mut Source) -> Over {
        loop {
            match source.next(None) {
                Ok(Some(Incoming::Frame(frame))) => {
                    let mut state = self.common.state.lock();
                    state.came = true;
                    let asked = state.ledger.asked();
                    let came = state.ledger.came(&frame);
                    if state.ledger.asked() != asked {
                        self.common.changed.notify_all();
                    }
                    drop(state);
                    if !self.common.tell(came) {
                        return Over::Done;
                    }
                }
                Ok(Some(Incoming::TooLarge { size_bytes })) => {
                    tracing::error!(size_bytes, "a message of the daemon is too large");
                    return Over::Lost;
                }
                Ok(None) => return Over::Lost,
                Err(error) => return error.into(),
            }
        }
    }

    /// Introduces ourselves; nothing else is sent before it is answered, so that what a daemon
    /// never heard of is not taken for lost.
    fn greet(&mut self, source: &mut Source, sink: &mut Sink) -> Result<(), Over> {
        let params = format!(
            r#"{{"clientInfo":{{"name":"runlog serve --shared","version":"{}"}},"capabilities":{{"relay":true}}}}"#,
            env!("CARGO_PKG_VERSION")
        );
        let answer = match self.ask(source, sink, Initialize::NAME, &params) {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Over::Mute),
            Err(_) => return Err(Over::Silent),
        };
        let greeting = std::str::from_utf8(&answer).ok();
        let greeting = member(greeting, "result").ok_or(Over::Silent)?;
        if let Some(why) = foreign(greeting) {
            return Err(Over::Foreign(why));
        }
        let shared = Shared {
            active: self.alone.is_none(),
            reason: self.alone.clone(),
        };
        let mut state = self.common.state.lock();
        state.ledger.greets(Greeting {
            shared: serde_json::to_string(&shared).unwrap_or_default(),
            tried: serde_json::to_string(&self.reach.tried()).unwrap_or_default(),
        });
        let shut_down = state.ledger.is_shut_down();
        drop(state);
        if shut_down {
            self.ask(source, sink, Shutdown::NAME, "{}")?;
        }
        Ok(())
    }

    /// Asks something for ourselves, while nothing of the client's is in flight: the answer. What
    /// is told meanwhile is passed on.
    fn ask(
        &self,
        source: &mut Source,
        sink: &mut Sink,
        method: &str,
        params: &str,
    ) -> io::Result<Bytes> {
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{params}}}"#);
        sink.send(request.into(), None, || false)?;
        // beside ourselves there is nobody to turn to
        let is_alone = self.alone.is_some();
        let deadline = (!is_alone).then(|| Instant::now() + self.reach.patience());
        loop {
            match source.next(deadline)? {
                // whatever version spells it
                Some(Incoming::Frame(frame))
                    if member(std::str::from_utf8(&frame).ok(), "method").is_none() =>
                {
                    return Ok(frame);
                }
                Some(Incoming::Frame(frame)) => {
                    let came = self.common.state.lock().ledger.came(&frame);
                    self.common.tell(came);
                }
                Some(Incoming::TooLarge { .. }) | None => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

const NO_ANSWER: &str = "what listens in its place does not answer";
const NO_STAY: &str = "each that is reached is gone at once";

/// What an error is, with no number of the system's.
fn said(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}

/// Whether a program could not be run because another is being put in its place.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ExecutableFileBusy
    )
}

/// Why the daemon that greets so is not one for us.
fn foreign(greeting: &str) -> Option<String> {
    let ours = env!("CARGO_PKG_VERSION");
    let greeting: serde_json::Value = serde_json::from_str(greeting).unwrap_or_default();
    let version = greeting["serverInfo"]["version"].as_str();
    if version == Some(ours) && greeting["protocolVersion"] == PROTOCOL_VERSION {
        return None;
    }
    let theirs: String = version
        .unwrap_or("unknown")
        .chars()
        .filter(|c| !c.is_control())
        .take(40)
        .collect();
    Some(match theirs == ours {
        true => format!("the root's daemon of version {ours} speaks another protocol; end it"),
        false => {
            format!(
                "the root's daemon is version {theirs}, and this is {ours}; update the older of the \
                 two, and end it"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> (Relay, mpsc::UnboundedSender<Event>) {
        let (sender, events) = mpsc::unbounded_channel();
        let nobody: fn(u32) -> BoxFuture<'static, bool> = |_| Box::pin(std::future::pending());
        let common = Arc::new(Common::new(sender.clone(), nobody));
        (Relay { common, events }, sender)
    }

    /// A place where whoever is reached greets, and is gone.
    struct Fleeting(Arc<Mutex<u32>>);

    impl Reach for Fleeting {
        fn connect(&mut self) -> io::Result<UnixStream> {
            *self.0.lock() += 1;
            let (ours, theirs) = UnixStream::pair()?;
            thread::spawn(move || {
                let fd = |stream: &UnixStream| stream.try_clone().unwrap().into();
                let asked = Source::new(fd(&theirs), LIMIT_BYTES).next(None).unwrap();
                assert!(matches!(asked, Some(Incoming::Frame(_))));
                let server = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") });
                let greeting = serde_json::json!({ "serverInfo": server, "protocolVersion": PROTOCOL_VERSION });
                let answer = serde_json::json!({ "jsonrpc": "2.0", "id": 0, "result": greeting });
                let mut sink = Sink::new(fd(&theirs), Framing::Headers).unwrap();
                sink.send(answer.to_string().into(), None, || false)
                    .unwrap();
            });
            Ok(ours)
        }

        fn start(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn patience(&self) -> Duration {
            Duration::from_secs(10)
        }

        fn tried(&self) -> Vec<String> {
            Vec::new()
        }

        fn own(&mut self) -> io::Result<UnixStream> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn who_finds_each_daemon_gone_at_once_looks_for_no_more_of_them() {
        let (relay, _events) = relay();
        let reached = Arc::new(Mutex::new(0));
        let daemons = Daemons {
            common: Arc::clone(&relay.common),
            reach: Fleeting(Arc::clone(&reached)),
            alone: None,
            short: 0,
        };
        daemons.carry();
        assert_eq!(*reached.lock(), SHORT_MAX + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_end_is_not_told_to_take_longer_by_the_end_of_input() {
        let (relay, events) = relay();
        let began = tokio::time::Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(GRACE - Duration::from_millis(100)).await;
            events.send(Event::Client(End::Closed)).ok().unwrap();
            // it stays open as long as the relay does
            std::future::pending::<()>().await;
        });
        relay.run(std::future::ready(())).await;
        assert_eq!(began.elapsed(), GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_the_end_does_not_prolong_it() {
        for later in [false, true] {
            let (relay, events) = relay();
            relay.common.state.lock().came = true;
            events.send(Event::Client(End::Closed)).ok().unwrap();
            let common = Arc::clone(&relay.common);
            let began = tokio::time::Instant::now();
            tokio::spawn(async move {
                tokio::time::sleep(GRACE / 2).await;
                common.state.lock().came |= later;
            });
            relay.run(std::future::pending()).await;
            assert_eq!(began.elapsed(), if later { GRACE * 2 } else { GRACE });
        }
    }

    #[test]
    fn what_is_only_told_is_waited_for_when_something_is_behind_it() {
        let mut state = State::default();
        assert!(state.is_waited_for(false));
        assert!(!state.is_waited_for(true));
        let ping = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        let read = envelope::read(&ping);
        state.ledger.note(ping, read);
        assert!(state.is_waited_for(true));
        state.ledger.ended();
        assert!(!state.is_waited_for(true));
        // a client that sends nothing more and takes nothing does not keep this process
        state.ending = true;
        assert!(state.is_waited_for(true));
    }
}
