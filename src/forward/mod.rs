//! One client's requests, carried to the daemon that all windows share.
//!
//! Section 2 of the protocol, `runlog serve --shared`. A [`Forward`] stands behind a session as
//! its [`Remote`]: the session keeps what is between it and its client, and this keeps what is
//! between it and the daemon, which may be killed at any moment:
//!
//! - reads in flight are sent to the next daemon again;
//! - mutations in flight are refused as of unknown outcome: only their sender can tell whether
//!   they may be repeated;
//! - subscriptions go on at the next daemon after the last clock that was told, under the ids
//!   that the client knows, so that it sees a replay or a `resync`;
//! - where there is no daemon of this version to be had, this process serves by itself.
//!
//! What waits for its answer is what the session lets be unanswered, so it is bounded there; what
//! the daemon has not taken is bounded here, taken back or not. While the client does not take what
//! it is told, nothing is read from the daemon, which then coalesces.

mod link;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::api::executions::subscribe::{Subscribe, Unsubscribe};
use crate::api::lifecycle::{Initialize, Shared, Shutdown};
use crate::api::table::{Entry, Method};
use crate::api::{Error, ErrorKind, PROTOCOL_VERSION};
use crate::model::json::{decode_string, members};
use crate::model::update::Object;
use crate::session::outbox::Outbox;
use crate::session::remote::{Answer, Remote};
use crate::transport::FRAME_LIMIT_BYTES;
pub(crate) use link::{Arrived, Link};

/// For so long a daemon is looked for, or waited for, before this process serves by itself.
const REACH_WITHIN: Duration = Duration::from_secs(10);
/// How soon one is looked for again, at first.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// And later.
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(500);
/// How often one may end before it has said who it is.
const SILENT_MAX: u32 = 20;
/// How many daemons may die of a request before it is taken for the cause.
const DEATHS_MAX: u32 = 4;
/// While the daemon has not taken so many bytes of requests, more wait with their sender.
const UNTAKEN_MAX_BYTES: usize = FRAME_LIMIT_BYTES;
/// What a request counts for beside its params.
const REQUEST_BYTES: usize = 256;

/// The subscription of a client that took its subscribing back.
const NOBODYS: u64 = 0;

/// How a daemon is reached.
pub trait Reach: Send + 'static {
    /// A connection to the root's daemon, if one is there now.
    fn connect(&mut self) -> impl Future<Output = std::io::Result<UnixStream>> + Send;

    /// Starts one, which will be there soon. Others may do the same at this instant, and one of
    /// them wins.
    ///
    /// # Errors
    /// What the system says; `Unsupported` by whoever starts none.
    fn start(&mut self) -> std::io::Result<()>;

    /// Where the root was looked for, which only this process knows.
    fn tried(&self) -> Vec<String>;

    /// A connection to this process itself, which serves from now on.
    ///
    /// # Errors
    /// What the system says.
    fn own(&mut self) -> std::io::Result<UnixStream>;
}

/// The session's end of it.
#[derive(Debug)]
pub struct Forward {
    commands: mpsc::UnboundedSender<Command>,
    last: Arc<AtomicU64>,
    /// In bytes, for what the daemon has not taken.
    room: Arc<Semaphore>,
}

#[derive(Debug)]
enum Command {
    Attach(Arc<Outbox>),
    Request(u64, Pending),
    /// Nobody wants its answer any more.
    Cancel(u64),
}

/// A request that is not answered.
#[derive(Debug)]
struct Pending {
    entry: &'static Entry,
    params: Option<Bytes>,
    reply: oneshot::Sender<Result<Answer, Error>>,
    /// Its room, until it is sent.
    room: Option<OwnedSemaphorePermit>,
    /// Whether the daemon may have it.
    sent: bool,
    /// How many daemons died while they had it.
    deaths: u32,
}

/// A subscription, under the id that the client knows.
#[derive(Debug)]
struct Subscription {
    /// As the client sent them.
    params: Option<Bytes>,
    /// The last clock that was told.
    clock: Option<String>,
    /// Its id at this daemon.
    there: Option<u64>,
}

impl Forward {
    /// Carries requests to the daemon that `reach` reaches, for as long as this is held. Call it
    /// within a tokio runtime.
    #[must_use]
    pub fn start(reach: impl Reach) -> Arc<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Carrier::new(receiver, reach.tried()).carry(reach));
        Arc::new(Self {
            commands,
            last: Arc::default(),
            room: Arc::new(Semaphore::new(UNTAKEN_MAX_BYTES)),
        })
    }
}

impl Remote for Forward {
    fn attach(&self, outbox: Arc<Outbox>) {
        let _ = self.commands.send(Command::Attach(outbox));
    }

    fn call(
        &self,
        entry: &'static Entry,
        params: Option<&str>,
    ) -> BoxFuture<'static, Result<Answer, Error>> {
        if entry.name == Shutdown::NAME {
            // it ends this connection, and no other
            let text = Bytes::from_static(b"null");
            return std::future::ready(Ok(Answer { text, told: None })).boxed();
        }
        let params = params.map(|params| Bytes::copy_from_slice(params.as_bytes()));
        let bytes = REQUEST_BYTES + params.as_ref().map_or(0, Bytes::len);
        let room = u32::try_from(bytes.min(UNTAKEN_MAX_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(room);
        let (commands, last) = (self.commands.clone(), Arc::clone(&self.last));
        async move {
            // in the order of their asking, so that nothing overtakes; it is never closed
            let room = room.await.ok();
            let number = last.fetch_add(1, Ordering::Relaxed) + 1;
            let (reply, answer) = oneshot::channel();
            let pending = Pending {
                entry,
                params,
                reply,
                room,
                sent: false,
                deaths: 0,
            };
            let _ = commands.send(Command::Request(number, pending));
            let mut unwanted = Unwanted {
                number: Some(number),
                commands,
            };
            let answered = answer.await;
            unwanted.is_answered();
            answered.unwrap_or_else(|_| Err(Error::ending()))
        }
        .boxed()
    }
}

/// Takes a request back when it is dropped before its answer came.
struct Unwanted {
    number: Option<u64>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Unwanted {
    fn is_answered(&mut self) {
        self.number = None;
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let _ = self.commands.send(Command::Cancel(number));
        }
    }
}

/// Why a change is not answered.
fn lost() -> Error {
    Error::new(
        ErrorKind::DaemonLost,
        "the daemon ended before it answered, and whether the change was made is unknown; read \
         what it is about, or repeat it if it has an ifVersion or changes nothing twice",
    )
    .with("outcome", "unknown")
}

/// Why anything else is not.
fn deadly() -> Error {
    Error::new(
        ErrorKind::DaemonLost,
        format!(
            "{DEATHS_MAX} daemons ended while they had it, so it is not repeated; ask for less, or \
             look into the daemon's log"
        ),
    )
}

/// Why a connection to a daemon is over.
enum Over {
    /// The daemon is gone.
    Lost,
    /// It was gone before it said who it is.
    Silent,
    /// It is not one for us.
    Foreign(String),
    /// Nobody wants anything any more.
    Done,
}

/// Between a session and its daemon.
struct Carrier {
    commands: mpsc::UnboundedReceiver<Command>,
    outbox: Option<Arc<Outbox>>,
    /// In the order they were sent.
    pending: BTreeMap<u64, Pending>,
    subscriptions: BTreeMap<u64, Subscription>,
    last_subscription: u64,
    /// Subscriptions that are being renewed, by the number of the request for it.
    renewals: BTreeMap<u64, u64>,
    /// Where the root was looked for.
    tried: Vec<String>,
    /// What the present daemon says to `initialize`.
    greeting: Option<Bytes>,
    /// Why this process serves by itself, if it does.
    alone: Option<String>,
    /// How many connections in a row ended before a greeting.
    silent: u32,
    /// Numbers of our own requests, from above.
    own: u64,
}

impl Carrier {
    fn new(commands: mpsc::UnboundedReceiver<Command>, tried: Vec<String>) -> Self {
        Self {
            commands,
            outbox: None,
            pending: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            last_subscription: 0,
            renewals: BTreeMap::new(),
            greeting: None,
            tried,
            alone: None,
            silent: 0,
            own: u64::MAX,
        }
    }

    async fn carry(mut self, mut reach: impl Reach) {
        loop {
            let stream = match self.reach(&mut reach).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::error!(%error, "nobody can be made to serve");
                    return;
                }
            };
            let link = match Link::new(stream) {
                Ok(link) => link,
                Err(error) => {
                    tracing::error!(%error, "a connection cannot be used");
                    return;
                }
            };
            let over = self.over(link).await;
            self.greeting = None;
            self.renewals.clear();
            for subscription in self.subscriptions.values_mut() {
                subscription.there = None;
            }
            match over {
                Over::Done => return,
                Over::Foreign(why) => self.go_alone(why),
                Over::Silent if self.silent >= SILENT_MAX => {
                    self.go_alone("what listens in its place does not answer".to_owned());
                }
                Over::Silent => {
                    self.silent += 1;
                    tokio::time::sleep(AGAIN_AFTER * self.silent).await;
                }
                Over::Lost => {
                    tracing::warn!("the shared daemon is gone; going on with another one");
                    self.refuse_changes();
                }
            }
        }
    }

    fn go_alone(&mut self, why: String) {
        tracing::warn!("serving without the shared daemon: {why}");
        self.alone = Some(why);
    }

    /// A connection to a daemon, or to ourselves where there is none to be had.
    async fn reach(&mut self, reach: &mut impl Reach) -> std::io::Result<UnixStream> {
        let deadline = Instant::now() + REACH_WITHIN;
        let mut again_after = AGAIN_AFTER;
        let mut started = false;
        while self.alone.is_none() {
            match reach.connect().await {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() >= deadline => {
                    self.go_alone(format!("none answers: {}", error.kind()));
                }
                // asleep until the one that was started listens
                Err(_) if started => {
                    tokio::time::sleep(again_after).await;
                    again_after = (again_after * 2).min(AGAIN_AFTER_MAX);
                    // the one that was started may have lost against one that has ended since
                    started = again_after < AGAIN_AFTER_MAX;
                }
                Err(_) => match reach.start() {
                    Ok(()) => started = true,
                    // as it is meant to be, and nothing to warn of
                    Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                        self.alone = Some("there is none".to_owned());
                    }
                    Err(error) => self.go_alone(format!("none can be started: {}", error.kind())),
                },
            }
        }
        reach.own()
    }

    /// Refuses the mutations that a daemon had when it died, and reads that several died of.
    fn refuse_changes(&mut self) {
        let all = std::mem::take(&mut self.pending);
        for (number, mut pending) in all {
            if pending.sent {
                pending.sent = false;
                pending.deaths += 1;
                if pending.entry.name == Unsubscribe::NAME {
                    // it has ended with the connection
                    let text = Bytes::from_static(b"true");
                    let _ = pending.reply.send(Ok(Answer { text, told: None }));
                    continue;
                }
                let refusal = if pending.entry.effect.is_change() {
                    Some(lost())
                } else {
                    (pending.deaths >= DEATHS_MAX).then(deadly)
                };
                if let Some(error) = refusal {
                    let _ = pending.reply.send(Err(error));
                    continue;
                }
            }
            self.pending.insert(number, pending);
        }
    }

    /// Carries what there is over one connection until it ends.
    async fn over(&mut self, mut link: Link) -> Over {
        match tokio::time::timeout(REACH_WITHIN, self.greet(&mut link)).await {
            Ok(Ok(())) => self.silent = 0,
            Ok(Err(over)) => return over,
            Err(_) => {
                self.silent = SILENT_MAX;
                return Over::Silent;
            }
        }
        self.renew(&mut link);
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        for number in numbers {
            self.send(number, &mut link);
        }
        loop {
            tokio::select! {
                biased;
                arrived = link.next() => match arrived {
                    Some(arrived) => {
                        if !self.arrived(arrived, &mut link).await {
                            return Over::Done;
                        }
                    }
                    None => return Over::Lost,
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command, &mut link),
                    None => return Over::Done,
                },
            }
        }
    }

    fn command(&mut self, command: Command, link: &mut Link) {
        match command {
            Command::Attach(outbox) => self.outbox = Some(outbox),
            Command::Request(number, pending) => {
                self.pending.insert(number, pending);
                self.send(number, link);
            }
            Command::Cancel(number) => {
                let Some(pending) = self.pending.remove(&number).filter(|held| held.sent) else {
                    return;
                };
                link.cancel(number);
                if pending.entry.name == Subscribe::NAME {
                    // it may be there by now, and is nobody's
                    self.renewals.insert(number, NOBODYS);
                }
            }
        }
    }

    /// Introduces ourselves; nothing else is sent before it is answered, so that what a daemon
    /// never heard of is not taken for lost.
    async fn greet(&mut self, link: &mut Link) -> Result<(), Over> {
        let params = format!(
            r#"{{"clientInfo":{{"name":"runlog serve --shared","version":"{}"}}}}"#,
            env!("CARGO_PKG_VERSION")
        );
        let own = self.own_number();
        let _ = link.request(own, Initialize::NAME, Some(params.as_bytes()));
        loop {
            match link.next().await {
                Some(Arrived::Answer(number, Ok(greeting))) if number == own => {
                    if let Some(why) = foreign(&greeting) {
                        return Err(Over::Foreign(why));
                    }
                    self.greeting = Some(self.said(&greeting));
                    return Ok(());
                }
                Some(Arrived::Answer(number, Err(_))) if number == own => return Err(Over::Silent),
                Some(_) => {}
                None => return Err(Over::Silent),
            }
        }
    }

    /// What the client is told of who serves it.
    fn said(&self, greeting: &Bytes) -> Bytes {
        let text = std::str::from_utf8(greeting).unwrap_or("{}");
        let shared = Shared {
            active: self.alone.is_none(),
            reason: self.alone.clone(),
        };
        let mut object = Object::of(text);
        object.put(
            "\"shared\"",
            serde_json::to_string(&shared).unwrap_or_default(),
        );
        // a daemon that others share is told its root, and looked nowhere
        if let Some(root) = object.get("root").map(str::to_owned) {
            let mut root = Object::of(&root);
            if root.get("exists") == Some("false") {
                let tried = serde_json::to_string(&self.tried).unwrap_or_default();
                root.put("\"tried\"", tried);
                object.put("\"root\"", root.text());
            }
        }
        object.text().into()
    }

    fn own_number(&mut self) -> u64 {
        self.own -= 1;
        self.own
    }

    /// Asks for every subscription again, after what it has told.
    fn renew(&mut self, link: &mut Link) {
        for id in self.subscriptions.keys().copied().collect::<Vec<_>>() {
            let own = self.own_number();
            let Some(held) = self.subscriptions.get(&id) else {
                continue;
            };
            let text = held
                .params
                .as_ref()
                .and_then(|params| std::str::from_utf8(params).ok());
            let mut params = Object::of(text.unwrap_or("{}"));
            if let Some(clock) = &held.clock {
                params.put("\"since\"", format!("\"{clock}\""));
            }
            let sent = link.request(own, Subscribe::NAME, Some(params.text().as_bytes()));
            if let Err(error) = sent {
                tracing::warn!(?error, "a subscription is not renewed");
                continue;
            }
            self.renewals.insert(own, id);
        }
    }

    /// Sends a request, or answers it where the daemon has nothing to say to it.
    fn send(&mut self, number: u64, link: &mut Link) {
        let Some(pending) = self.pending.get_mut(&number) else {
            return;
        };
        if pending.entry.name == Initialize::NAME {
            if let (Some(text), Some(pending)) = (&self.greeting, self.pending.remove(&number)) {
                let text = text.clone();
                let _ = pending.reply.send(Ok(Answer { text, told: None }));
            }
            return;
        }
        pending.sent = true;
        if pending.entry.name == Unsubscribe::NAME {
            let id = pending
                .params
                .as_ref()
                .and_then(|id| std::str::from_utf8(id).ok()?.parse::<u64>().ok());
            let held = id.and_then(|id| self.subscriptions.remove(&id));
            let known = held.is_some();
            match held.and_then(|held| held.there) {
                Some(there) => {
                    let params = format!(r#"{{"subscription":{there}}}"#);
                    let _ = link.request(number, Unsubscribe::NAME, Some(params.as_bytes()));
                }
                None => {
                    let text = if known { "true" } else { "false" };
                    if let Some(pending) = self.pending.remove(&number) {
                        let text = Bytes::from_static(text.as_bytes());
                        let _ = pending.reply.send(Ok(Answer { text, told: None }));
                    }
                }
            }
            return;
        }
        let sent = link.request(number, pending.entry.name, pending.params.as_deref());
        match sent {
            // it counts until the daemon has taken it
            Ok(()) => link.hold(pending.room.take()),
            Err(error) => {
                if let Some(pending) = self.pending.remove(&number) {
                    let _ = pending.reply.send(Err(error));
                }
            }
        }
    }

    /// Deals with a message of the daemon's; false when nobody is there for it.
    async fn arrived(&mut self, arrived: Arrived, link: &mut Link) -> bool {
        match arrived {
            Arrived::Answer(number, answer) => {
                if let Some(id) = self.renewals.remove(&number) {
                    self.renewed(id, &answer, link);
                } else {
                    self.answered(number, answer).await;
                }
                true
            }
            Arrived::Told {
                subscription,
                result,
            } => {
                let found = self
                    .subscriptions
                    .iter_mut()
                    .find(|(_, held)| held.there == Some(subscription));
                let Some((id, held)) = found else {
                    return true;
                };
                let text = std::str::from_utf8(&result).unwrap_or_default();
                if let Some((_, clock)) = members(text).find(|(name, _)| name == "clock") {
                    held.clock = Some(decode_string(clock).into_owned());
                }
                let message = link::told(*id, &result);
                self.notify(message).await
            }
            Arrived::Other(message) => self.notify(message).await,
        }
    }

    async fn notify(&self, message: Bytes) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.notify(message).await,
            None => true,
        }
    }

    fn renewed(&mut self, id: u64, answer: &Result<Bytes, Error>, link: &mut Link) {
        let there = answer.as_ref().ok().and_then(number_of);
        match (self.subscriptions.get_mut(&id), there) {
            (Some(held), Some(there)) => held.there = Some(there),
            // ended meanwhile
            (None, Some(there)) => {
                let own = self.own_number();
                let params = format!(r#"{{"subscription":{there}}}"#);
                let _ = link.request(own, Unsubscribe::NAME, Some(params.as_bytes()));
            }
            (_, None) => {
                tracing::warn!(error = ?answer.as_ref().err(), "a subscription is not renewed");
            }
        }
    }

    async fn answered(&mut self, number: u64, answer: Result<Bytes, Error>) {
        let Some(mut pending) = self.pending.remove(&number) else {
            return;
        };
        let text = match answer {
            Ok(text) => text,
            // it will be repeated at the next one
            Err(error) if error.is_of_the_end() && !pending.entry.effect.is_change() => {
                pending.sent = false;
                self.pending.insert(number, pending);
                return;
            }
            Err(error) if error.is_of_the_end() => {
                let _ = pending.reply.send(Err(lost()));
                return;
            }
            Err(error) => {
                let _ = pending.reply.send(Err(error));
                return;
            }
        };
        let Some(there) = number_of(&text).filter(|_| pending.entry.name == Subscribe::NAME) else {
            let _ = pending.reply.send(Ok(Answer { text, told: None }));
            return;
        };
        self.last_subscription += 1;
        let id = self.last_subscription;
        let subscription = Subscription {
            params: pending.params,
            clock: None,
            there: Some(there),
        };
        self.subscriptions.insert(id, subscription);
        let (told, known) = oneshot::channel();
        let answer = Answer {
            text: id.to_string().into(),
            told: Some(told),
        };
        if pending.reply.send(Ok(answer)).is_ok() {
            // the id comes before the first notification
            let _ = known.await;
        }
    }
}

fn number_of(text: &Bytes) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Why the daemon that greets so is not one for us.
fn foreign(greeting: &Bytes) -> Option<String> {
    let ours = env!("CARGO_PKG_VERSION");
    let greeting: serde_json::Value = serde_json::from_slice(greeting).unwrap_or_default();
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
    Some(format!(
        "the root's daemon is version {theirs}, and this is {ours}; end the older one"
    ))
}
