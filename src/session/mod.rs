//! One connection: from its first message to its end.
//!
//! Section 2 and 3 of the protocol. The session takes messages from a transport, starts requests
//! in their order, answers, tells changes, and ends cleanly. It bounds everything that a client
//! can make it hold:
//!
//! - a request starts only while less than [`UNSENT_LIMIT_BYTES`] of answers are unsent; others
//!   wait, at most [`UNANSWERED_LIMIT`] of them, and what comes beyond is refused with 429;
//! - frames of unanswered requests count, and reading pauses while they are too many bytes;
//! - so does it while even the refusals pile up, because the client takes nothing;
//! - of what ends later, on another thread perhaps, so that its answer is not counted yet, only a few
//!   are under way: [`PAGES_MAX`] with a page of runs or as much, [`RECORDS_MAX`] with whole records.
//!   What was taken back is under way until its thread is done with it.
//!
//! All connections share a thread: what may block, and messages of more than `LARGE_BYTES`, are
//! worked on by threads of their own.
//!
//! **Absent:** it knows no socket and no framing, and it never looks into params but for what
//! ordering, progress, the client's process, a relay's and the end of subscriptions need.

pub mod dispatch;
pub mod envelope;
mod order;
pub mod outbox;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use jsonrpsee::core::server::Methods;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::lifecycle::{Initialize, Nothing, Ping, Shutdown};
use crate::api::params::{member, parse};
use crate::api::place::Places;
use crate::api::table::{self, Entry, Method, Weight};
use crate::api::{
    Context, Error, ErrorKind, FRAME_LIMIT_BYTES, PAGES_MAX, RECORDS_MAX, UNANSWERED_LIMIT,
    UNSENT_LIMIT_BYTES,
};
use crate::history::thread::on_a_thread;
use dispatch::Service;
use envelope::{Frame, Message, NULL_ID};
use order::Order;
use outbox::Outbox;
use request::{Batch, Done, Request, Running};
pub(crate) use request::{answer, cancelled_key, id_key, subscription_of};

/// How long what is in flight has when the connection ends.
pub(crate) const GRACE: Duration = Duration::from_millis(1500);
/// While unanswered requests hold so many bytes, no more are read.
const HELD_MAX_BYTES: usize = 64 * 1024 * 1024;
/// While so many bytes of answers are unsent, no more requests are read: refusals pile up.
const PILE_MAX_BYTES: usize = 2 * UNSENT_LIMIT_BYTES;

/// What a transport hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// One message's bytes: whatever stood between the marks, perhaps nothing, perhaps no JSON.
    /// It owns exactly its own bytes, so that keeping one keeps nothing else alive.
    Frame(Bytes),
    /// A frame over the limit, which was skipped.
    TooLarge {
        /// What it has, or announced.
        size_bytes: u64,
    },
}

/// What the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The only one; the daemon ends with it.
    Stdio,
    /// One of many.
    Socket,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or the daemon ends.
    Closed,
    /// The client sent `exit`.
    Exit {
        /// Whether it had asked for the shutdown before.
        after_shutdown: bool,
    },
    /// The client's process is gone.
    Orphaned,
}

/// What every session of a daemon shares.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The methods.
    pub methods: Methods,
    /// What they work on.
    pub context: Arc<Context>,
    /// Turns true when the daemon ends.
    pub ending: watch::Receiver<bool>,
    /// Watches another process; false when it cannot be seen.
    pub process_ended: fn(u32) -> futures_util::future::BoxFuture<'static, bool>,
}

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

struct Session {
    shared: Shared,
    kind: Kind,
    service: Service,
    outbox: Arc<Outbox>,
    order: Order,
    /// Requests that have not started, in the order of their arrival.
    waiting: VecDeque<Request>,
    /// Requests that have, by their futures.
    running: FuturesUnordered<futures_util::future::BoxFuture<'static, Done>>,
    /// The same by id, to be cancelled.
    live: Vec<Running>,
    held_bytes: usize,
    /// Answers that wait for the others of their batches.
    gathered_bytes: usize,
    under_way: UnderWay,
    /// Told when a weight that was full is not any more.
    left: Arc<Notify>,
    last_request: u64,
    feeds: Vec<(u64, tokio::task::AbortHandle)>,
    initialized: bool,
    shut_down: bool,
    exit: Option<End>,
    parent: Option<u32>,
}

/// The requests of each weight that have started and are not at their end.
#[derive(Debug)]
struct UnderWay {
    pages: Arc<Places>,
    records: Arc<Places>,
}

impl UnderWay {
    /// None; `left` is told as [`Places`] do.
    fn new(left: &Arc<Notify>) -> Self {
        Self {
            pages: Places::new(PAGES_MAX, left),
            records: Places::new(RECORDS_MAX, left),
        }
    }

    /// The places of this weight, where they are counted.
    fn of(&self, weight: Weight) -> Option<&Arc<Places>> {
        match weight {
            Weight::Light => None,
            Weight::Page => Some(&self.pages),
            Weight::Records => Some(&self.records),
        }
    }

    fn is_full(&self, weight: Weight) -> bool {
        self.of(weight).is_some_and(|places| places.is_full())
    }
}

/// From this size on a message is looked through on a thread of its own: all connections share one.
const LARGE_BYTES: usize = 1024 * 1024;

async fn read(frame: Bytes) -> Frame {
    if frame.len() < LARGE_BYTES {
        return envelope::read(&frame);
    }
    let held = frame.clone();
    match on_a_thread(move || envelope::read(&held)).await {
        Ok(read) => read,
        // there is no thread, or a defect, which the reader here will meet as well and be told of
        Err(_) => envelope::read(&frame),
    }
}

/// Serves one connection until it ends: how, and since when. Everything that is sent goes through
/// `outbox`, which is finished when this returns.
pub async fn run(
    shared: Shared,
    kind: Kind,
    incoming: impl Stream<Item = Incoming> + Unpin,
    outbox: Arc<Outbox>,
) -> (End, Instant) {
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
    shared.context.sessions.fetch_add(1, Ordering::Relaxed);
    let context = Arc::clone(&shared.context);
    let span = tracing::debug_span!("connection", number);
    let service = Service::new(shared.methods.clone(), number);
    let left = Arc::default();
    let session = Session {
        shared,
        kind,
        service,
        outbox: Arc::clone(&outbox),
        order: Order::default(),
        waiting: VecDeque::new(),
        running: FuturesUnordered::new(),
        live: Vec::new(),
        held_bytes: 0,
        gathered_bytes: 0,
        under_way: UnderWay::new(&left),
        left,
        last_request: 0,
        feeds: Vec::new(),
        initialized: false,
        shut_down: false,
        exit: None,
        parent: None,
    };
    let end = tracing::Instrument::instrument(session.serve(incoming), span).await;
    outbox.finish();
    context.sessions.fetch_sub(1, Ordering::Relaxed);
    end
}

impl Session {
    async fn serve(mut self, mut incoming: impl Stream<Item = Incoming> + Unpin) -> (End, Instant) {
        let mut ending = self.shared.ending.clone();
        let outbox = Arc::clone(&self.outbox);
        let left = Arc::clone(&self.left);
        let mut parent: futures_util::future::OptionFuture<_> = None.into();
        let end = loop {
            if let Some(pid) = self.parent.take() {
                parent = Some((self.shared.process_ended)(pid)).into();
            }
            if let Some(end) = self.exit {
                break end;
            }
            // registered before looking, so that nothing sent meanwhile is missed
            let drained = outbox.drained();
            tokio::pin!(drained);
            self.start_waiting();
            if outbox.is_broken() {
                break End::Closed;
            }
            let unsent = outbox.unsent_answers();
            let reading = self.held_bytes < HELD_MAX_BYTES && unsent < PILE_MAX_BYTES;
            let arrived = tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending) => break End::Closed,
                Some(done) = self.running.next() => {
                    self.finish(done);
                    None
                }
                Some(seen) = &mut parent => {
                    parent = None.into();
                    if seen {
                        break End::Orphaned;
                    }
                    None
                }
                frame = incoming.next(), if reading => match frame {
                    Some(frame) => Some(frame),
                    None => break End::Closed,
                },
                () = &mut drained => None,
                () = left.notified() => None,
            };
            if let Some(frame) = arrived {
                self.receive(frame).await;
            }
        };
        let since = Instant::now();
        self.end(end).await;
        (end, since)
    }

    /// Lets what is in flight finish, and refuses what does not in time. Whoever only has no more to
    /// ask on a socket, as netcat at the end of its input, is answered however long it takes.
    async fn end(&mut self, end: End) {
        let mut ending = self.shared.ending.clone();
        let mut waits = self.kind == Kind::Socket && end == End::Closed && !*ending.borrow();
        let deadline = tokio::time::sleep(GRACE);
        tokio::pin!(deadline);
        let outbox = Arc::clone(&self.outbox);
        let left = Arc::clone(&self.left);
        while !outbox.is_broken() && self.live.len() + self.waiting.len() > 0 {
            let drained = outbox.drained();
            self.start_waiting();
            tokio::select! {
                Some(done) = self.running.next() => self.finish(done),
                () = drained => {}
                () = left.notified() => {}
                _ = ending.wait_for(|ending| *ending), if waits => {
                    waits = false;
                    deadline.as_mut().reset(Instant::now() + GRACE);
                }
                () = &mut deadline => {
                    if !waits {
                        break;
                    }
                    outbox.look();
                    deadline.as_mut().reset(Instant::now() + GRACE);
                }
            }
        }
        let daemon_ends = self.kind == Kind::Stdio || *ending.borrow();
        let ended = || match daemon_ends {
            true => Error::ending(),
            false => Error::closed(),
        };
        for request in std::mem::take(&mut self.waiting) {
            self.refuse(request, ended());
        }
        for running in std::mem::take(&mut self.live) {
            let mut error = ended();
            if running.changes {
                error = error.with("outcome", "unknown");
            }
            self.answer(running.reply, Err(error));
        }
        for (_, feed) in &self.feeds {
            feed.abort();
        }
    }

    async fn receive(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::TooLarge { size_bytes } => {
                let limit = FRAME_LIMIT_BYTES as u64;
                let error = Error::too_large("the frame", size_bytes, limit);
                self.outbox.answer(request::answer(&NULL_ID, &Err(error)));
            }
            Incoming::Frame(frame) => match read(frame).await {
                Frame::Single(message) => self.message(message, None),
                Frame::Batch(messages) => {
                    let batch = Batch::of(&messages);
                    for (place, message) in messages.into_iter().enumerate() {
                        self.message(message, Some((Arc::clone(&batch), place)));
                    }
                    self.gathered_bytes -= batch.send(&self.outbox);
                }
            },
        }
    }

    fn message(&mut self, message: Message, batch: Option<(Arc<Batch>, usize)>) {
        match message {
            Message::Answer => {}
            Message::Invalid { id, error } => {
                self.answer(request::Reply { id, batch }, Err(error));
            }
            Message::Notification { method, params } => self.notification(&method, params.as_ref()),
            Message::Request { id, method, params } => {
                self.request(request::Reply { id, batch }, method, params);
            }
        }
    }

    fn notification(&mut self, method: &str, params: Option<&Bytes>) {
        match method {
            "exit" => {
                self.exit = Some(End::Exit {
                    after_shutdown: self.shut_down,
                })
            }
            "$/cancelRequest" => {
                if let Some(id) = request::cancelled_key(text(params)) {
                    self.cancel(&id);
                }
            }
            "initialized" => {}
            // a method sent without an id is not run, and what is unknown is ignored
            _ => tracing::debug!("a notification was ignored"),
        }
    }

    fn cancel(&mut self, id: &str) {
        for running in self.live.iter().filter(|running| running.key == id) {
            running.cancel.cancel();
        }
        let (cancelled, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|request| request.key == id);
        self.waiting = waiting;
        for request in cancelled {
            self.refuse(request, Error::cancelled());
        }
    }

    fn request(&mut self, reply: request::Reply, method: String, params: Option<Bytes>) {
        if let Err(error) = self.admit(&method, params.as_ref()) {
            self.answer(reply, Err(error));
            return;
        }
        let Some(entry) = table::entry(&method) else {
            self.answer(reply, Err(unknown_method(&method)));
            return;
        };
        let (target, token) = request::outline(entry.name, text(params.as_ref()));
        let effect = entry.effect_of(text(params.as_ref()));
        let turn = self.order.turn(effect, target);
        self.last_request += 1;
        let held_bytes = params.as_ref().map_or(0, Bytes::len);
        self.held_bytes += held_bytes;
        let key = request::id_key(std::str::from_utf8(&reply.id).unwrap_or_default());
        let number = self.last_request;
        let request = Request {
            number,
            key,
            reply,
            entry,
            effect,
            params,
            token,
            turn,
            held_bytes,
        };
        if entry.name == Ping::NAME {
            self.start(request);
        } else {
            self.waiting.push_back(request);
            self.start_waiting();
        }
    }

    /// Answers a request that will not start.
    fn refuse(&mut self, request: Request, error: Error) {
        self.held_bytes -= request.held_bytes;
        self.failed(request.entry);
        self.answer(request.reply, Err(error));
    }

    /// What a request does to the connection holds from when it arrives, for those behind it, and no
    /// longer if it is refused.
    fn failed(&mut self, entry: &Entry) {
        match entry.name {
            Initialize::NAME => self.initialized = false,
            Shutdown::NAME => self.shut_down = false,
            _ => {}
        }
    }

    /// Whether a request may come in at all.
    fn admit(&mut self, method: &str, params: Option<&Bytes>) -> Result<(), Error> {
        if self.shut_down {
            let message = "after shutdown only exit is welcome";
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        if self.waiting.len() + self.live.len() >= UNANSWERED_LIMIT {
            let message = format!(
                "{UNANSWERED_LIMIT} requests of this connection are unanswered; read the answers \
                 first, then send it again"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        if method == Shutdown::NAME {
            // with params that it does not take it will be refused, whatever is behind it
            self.shut_down = parse::<Nothing>(text(params), &[], false).is_ok();
        }
        if method == Initialize::NAME {
            if self.initialized {
                return Err(Error::initialized());
            }
            // whoever passes a client's messages on introduces himself before the client does
            let relayed = is_relay(params);
            self.initialized = !relayed;
            if relayed {
                self.outbox.leave_patience();
            }
            let pid = member(text(params), "processId").and_then(|pid| pid.parse().ok());
            self.parent = pid.filter(|_| self.kind == Kind::Stdio);
        }
        Ok(())
    }

    /// Starts what may start. What has a weight that enough is under way of waits, in order, and others
    /// pass it, unless it is a change: those may have to wait for it, and what is under way waits for
    /// nothing that is not. What batches have gathered counts as unsent, as long as anything is under way
    /// that may complete one.
    fn start_waiting(&mut self) {
        let mut at = 0;
        while at < self.waiting.len() {
            let gathered = match self.live.is_empty() {
                true => 0,
                false => self.gathered_bytes,
            };
            if self.outbox.unsent_answers() + gathered >= UNSENT_LIMIT_BYTES {
                break;
            }
            let full = |next: &&Request| self.under_way.is_full(next.entry.weight);
            if let Some(next) = self.waiting.get(at).filter(full) {
                if next.effect.is_change() {
                    break;
                }
                at += 1;
            } else if let Some(request) = self.waiting.remove(at) {
                self.start(request);
            }
        }
    }

    fn start(&mut self, request: Request) {
        if let Some((batch, _)) = &request.reply.batch
            && batch.is_full()
        {
            self.refuse(request, request::batch_full(false));
            return;
        }
        let cancel = CancellationToken::new();
        let places = self.under_way.of(request.entry.weight);
        let place = places.map(Places::take);
        self.live.push(Running {
            number: request.number,
            key: request.key.clone(),
            reply: request.reply.clone(),
            changes: request.effect.is_change(),
            cancel: cancel.clone(),
        });
        let large = request.held_bytes >= LARGE_BYTES;
        let service = self.service.clone();
        let mut future = request.run(service, &self.shared, &self.outbox, cancel, place);
        if large {
            future = request::aside(future);
        }
        // what needs no waiting is answered without a task of its own
        match (&mut future).now_or_never() {
            Some(done) => self.finish(done),
            None => self.running.push(future),
        }
    }

    fn finish(&mut self, done: Done) {
        self.held_bytes -= done.held_bytes;
        let Some(at) = self
            .live
            .iter()
            .position(|running| running.number == done.number)
        else {
            return;
        };
        if done.answer.is_err() {
            self.failed(done.entry);
        }
        let running = self.live.swap_remove(at);
        if let Some(id) = done.unsubscribed {
            self.feeds.retain(|(held, feed)| {
                if *held == id {
                    feed.abort();
                }
                *held != id
            });
        }
        let feed = self.service.opened(done.number);
        let subscription = done
            .answer
            .as_ref()
            .ok()
            .and_then(|text| request::number(text));
        let batch = running.reply.batch.as_ref();
        let batch = batch.map(|(batch, _)| Arc::clone(batch));
        self.give(running.reply, done.answer, running.changes);
        if let (Some(feed), Some(id)) = (feed, subscription) {
            let forwarding = request::forward(feed, Arc::clone(&self.outbox), batch);
            self.feeds
                .push((id, tokio::spawn(forwarding).abort_handle()));
        }
    }

    fn answer(&mut self, reply: request::Reply, answer: Result<Bytes, Error>) {
        self.give(reply, answer, false);
    }

    /// The answer to a request that has `changed` something or not.
    fn give(&mut self, reply: request::Reply, answer: Result<Bytes, Error>, changed: bool) {
        match reply.batch {
            None => {
                let answer = request::bounded(answer, changed);
                self.outbox.answer(request::answer(&reply.id, &answer));
            }
            Some((batch, place)) => {
                self.gathered_bytes += batch.put(place, &reply.id, &answer, changed);
                self.gathered_bytes -= batch.send(&self.outbox);
            }
        }
    }
}

fn is_relay(params: Option<&Bytes>) -> bool {
    let capabilities = member(text(params), "capabilities");
    member(capabilities, "relay") == Some("true")
}

fn text(params: Option<&Bytes>) -> Option<&str> {
    params.and_then(|params| crate::model::json::text(params).ok())
}

fn unknown_method(method: &str) -> Error {
    let near = crate::model::nearest(method, table::table().iter().map(|entry| entry.name));
    let hint = near
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_else(|| ";".to_owned());
    let error = Error::new(
        ErrorKind::MethodNotFound,
        format!("there is no such method{hint} `rpc.discover` lists all of them"),
    );
    match near {
        Some(near) => error.with("nearest", near),
        None => error,
    }
}
