//! What a relay remembers of a conversation, so that it can go on with another daemon.
//!
//! Messages are passed on as they are. Kept are the requests that are not answered, and the
//! subscriptions with the last clock that each was told. A message is written anew only where a
//! subscription's id at this daemon is not the one that the client knows, and in the answer to
//! `initialize`, which also says whether the daemon is a shared one. Of our own are the requests by
//! which subscriptions go on. Nothing here reads or writes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::{Answer, Progress, Told};
use crate::api::executions::subscribe::{NOTIFICATION, Subscribe, Unsubscribe};
use crate::api::lifecycle::{Initialize, Shutdown};
use crate::api::params::{WORK_DONE_TOKEN, member};
use crate::api::table::{self, Entry, Method};
use crate::api::{Error, ErrorKind};
use crate::model::json::{decode_string, elements, members};
use crate::model::update::Object;
use crate::session::envelope::{Frame, Message};
use crate::session::{answer, cancelled_key, id_key, subscription_of};

/// How many daemons may die of a request before it is taken for the cause.
const DEATHS_MAX: u32 = 4;
/// How many requests of our own may be unanswered: they count as the client's do.
const OWN_MAX: usize = 16;
/// What the ids of these begin with, which daemons echo as it is spelt: as no client spells its own.
const OWN: &str = r#""\u0072elay "#;

/// The requests that are not answered, and the subscriptions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: u64,
    /// In the order they came.
    pending: BTreeMap<u64, Pending>,
    /// By the id that the client knows.
    subscriptions: BTreeMap<u64, Subscription>,
    /// The highest of these that was ever told: none is given twice.
    last_subscription: u64,
    /// How many requests of our own this daemon has not answered.
    asked: usize,
    /// Subscriptions at this daemon that the client ended before they were there.
    unwanted: Vec<u64>,
    /// Ids of what this daemon has, to be told that it is taken back.
    cancels: Vec<Bytes>,
    /// What is put into the answer to `initialize`: members as they are spelt.
    greeting: Greeting,
    /// Whether a daemon has answered the client's `initialize`; the next one has heard of none.
    initialized: bool,
    /// The same of its shutdown.
    shut_down: bool,
    /// Whether all is answered that ever will be.
    ended: bool,
}

/// What only the process in between knows.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// The member `shared`.
    pub shared: String,
    /// Where the root was looked for.
    pub tried: String,
}

/// A frame of which something is not answered.
#[derive(Debug)]
struct Pending {
    frame: Bytes,
    batch: bool,
    calls: Vec<Call>,
    /// Answers to others of its batch, which wait for these.
    done: Vec<Bytes>,
    /// Whether the daemon may have it.
    sent: bool,
    /// How many daemons died while they had it.
    deaths: u32,
}

/// Something in a frame that is to be answered.
#[derive(Debug)]
struct Call {
    /// Which of its batch it is.
    at: usize,
    /// As it was spelt.
    id: Bytes,
    /// None for what cannot be understood.
    entry: Option<&'static Entry>,
    params: Option<Bytes>,
    /// Under what its sender is told how far it has come.
    token: Option<Bytes>,
    told: Course,
    cancelled: bool,
}

/// What was told of how far something has come, by whichever daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Nothing,
    Begun,
    Ended,
}

#[derive(Debug)]
struct Subscription {
    /// As the client sent them.
    params: Option<Bytes>,
    /// The last clock that was told.
    clock: Option<String>,
    place: Place,
}

/// Where a subscription is at this daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nowhere: it is to be asked for.
    Lost,
    /// It is asked for, under this number of ours.
    Asked(u64),
    /// It has this id.
    At(u64),
    /// It was refused, and may be asked for again or not.
    Refused { again: bool },
}

/// What came of a client's frame.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Under what it waits for its answer.
    pub key: Option<u64>,
    /// The process that the client belongs to.
    pub parent: Option<u32>,
    /// Whether the client takes its leave, and had asked for the shutdown.
    pub exit: Option<bool>,
    /// Answers that are known already.
    pub answers: Vec<Bytes>,
}

/// What is to be done with a frame, now that there is a daemon for it.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub to_daemon: Vec<Bytes>,
    pub to_client: Option<Bytes>,
}

/// What becomes of an answer.
enum Fate {
    /// It is passed on as it is.
    Same,
    /// It is passed on as this.
    Other(Bytes),
    /// It is none: the request goes to the next daemon.
    Again,
}

impl Ledger {
    /// Takes note of what the client sent, and what that says.
    pub(super) fn note(&mut self, frame: Bytes, read: Frame) -> Noted {
        let mut noted = Noted::default();
        let (batch, messages) = match read {
            Frame::Single(message) => (false, vec![message]),
            Frame::Batch(messages) => (true, messages),
        };
        let mut calls = Vec::with_capacity(messages.len());
        for (at, message) in messages.into_iter().enumerate() {
            let (id, entry, params) = match message {
                Message::Answer => continue,
                Message::Invalid { id, .. } => (id, None, None),
                Message::Notification { method, params } => {
                    match &*method {
                        "exit" => {
                            let asked = self.asks(Shutdown::NAME, &calls);
                            noted.exit = Some(self.shut_down || asked);
                        }
                        "$/cancelRequest" => self.take_back(params.as_ref(), &mut noted),
                        _ => {}
                    }
                    continue;
                }
                Message::Request { id, method, params } => (id, table::entry(&method), params),
            };
            // a repeated one is refused
            if entry.is_some_and(|entry| entry.name == Initialize::NAME)
                && !self.initialized
                && !self.asks(Initialize::NAME, &calls)
            {
                let pid = member(text(params.as_ref()), "processId");
                noted.parent = pid.and_then(|pid| pid.parse().ok());
            }
            calls.push(Call {
                at,
                id,
                entry,
                token: token(params.as_ref()),
                params,
                told: Course::Nothing,
                cancelled: false,
            });
        }
        if !calls.is_empty() {
            self.last += 1;
            noted.key = Some(self.last);
            let pending = Pending {
                frame,
                batch,
                calls,
                done: Vec::new(),
                sent: false,
                deaths: 0,
            };
            self.pending.insert(self.last, pending);
        }
        noted
    }

    /// Whether a method is called by what is not answered, or by these.
    fn asks(&self, method: &str, calls: &[Call]) -> bool {
        let pending = self.pending.values().flat_map(|pending| &pending.calls);
        pending.chain(calls).any(|call| call.is(method))
    }

    fn take_back(&mut self, params: Option<&Bytes>, noted: &mut Noted) {
        let Some(id) = cancelled_key(text(params)) else {
            return;
        };
        let same = |call: &Call| id_key(text(Some(&call.id)).unwrap_or_default()) == id;
        for pending in self.pending.values_mut() {
            if pending.sent {
                for call in pending.calls.iter_mut().filter(|call| same(call)) {
                    call.cancelled = true;
                    self.cancels.push(call.id.clone());
                }
                continue;
            }
            // what no daemon has is taken back here
            let done = &mut pending.done;
            pending.calls.retain(|call| {
                let stays = !same(call);
                if !stays {
                    noted.answers.extend(call.end());
                    done.push(whole(&call.id, &Err(Error::cancelled())));
                }
                stays
            });
        }
        let gone = self
            .pending
            .extract_if(.., |_, pending| pending.calls.is_empty());
        noted
            .answers
            .extend(gone.map(|(_, pending)| pending.answers()));
    }

    /// The next frame that no daemon has.
    pub(super) fn unsent(&self) -> Option<u64> {
        let mut all = self.pending.iter();
        all.find(|(_, pending)| !pending.sent).map(|(key, _)| *key)
    }

    /// What is sent for a frame, and what is answered instead.
    pub(super) fn prepare(&mut self, key: u64) -> Prepared {
        let mut prepared = Prepared::default();
        let Some(pending) = self.pending.get_mut(&key) else {
            return prepared;
        };
        pending.sent = true;
        let ends = |call: &Call| call.is(Unsubscribe::NAME);
        let repeats = |call: &Call| self.initialized && call.is(Initialize::NAME);
        let is_ours = |call: &Call| ends(call) || repeats(call);
        if !pending.calls.iter().any(is_ours) && pending.done.is_empty() {
            prepared.to_daemon.push(pending.frame.clone());
            return prepared;
        }
        let Some(mut pending) = self.pending.remove(&key) else {
            return prepared;
        };
        let mut others = BTreeMap::new();
        pending.calls.retain(|call| {
            if repeats(call) {
                let refused = Err(Error::initialized());
                pending.done.push(whole(&call.id, &refused));
                return false;
            }
            // what cannot be understood is refused by the daemon
            let Some(id) = ends(call).then(|| known_id(call)).flatten() else {
                return true;
            };
            let held = self.subscriptions.get(&id);
            match held.map(|held| held.place) {
                // it goes on until the daemon has agreed
                Some(Place::At(there)) if there == id => true,
                Some(Place::At(there)) => {
                    others.insert(call.at, unsubscribing(&call.id, there));
                    true
                }
                // it has told nothing, and what comes of its being asked for is nobody's
                _ => {
                    let known = self.subscriptions.remove(&id).is_some();
                    let text = if known { "true" } else { "false" };
                    pending.done.push(whole(&call.id, &Ok(text.into())));
                    false
                }
            }
        });
        prepared.to_daemon.extend(pending.rest(&others));
        if pending.calls.is_empty() {
            prepared.to_client = Some(pending.answers());
        } else {
            self.pending.insert(key, pending);
        }
        prepared
    }

    /// What the client is told of a frame that the daemon sent, if anything.
    pub(super) fn came(&mut self, frame: &Bytes) -> Option<Bytes> {
        if frame.starts_with(b"[") {
            let elements = elements(text(Some(frame)).unwrap_or_default());
            let answers = elements.filter_map(|element| {
                let answer = Answer::read(element.trim().as_bytes())?;
                Some((answer, frame.slice_ref(element.as_bytes())))
            });
            return self.answered(frame, true, answers.collect());
        }
        let Some(answer) = Answer::read(frame) else {
            let progress = text(Some(frame)).and_then(Progress::read);
            return match progress {
                Some(progress) => self.is_news(&progress).then(|| frame.clone()),
                None => self.told(frame),
            };
        };
        if self.asked > 0
            && let Some(number) = own_number(answer.id)
        {
            self.own_came(number, &answer);
            return None;
        }
        self.answered(frame, false, vec![(answer, frame.clone())])
    }

    /// The same of answers, which are all of `frame`, and in the order of what they answer, as
    /// sessions put them.
    fn answered(
        &mut self,
        frame: &Bytes,
        batch: bool,
        answers: Vec<(Answer<'_>, Bytes)>,
    ) -> Option<Bytes> {
        // by all their ids: several may be called null
        let ids = || answers.iter().map(|(answer, _)| answer.id);
        let key = self.pending.iter().find_map(|(key, pending)| {
            let calls = pending.calls.iter().map(|call| &*call.id);
            let its = pending.sent && pending.batch == batch && calls.eq(ids());
            its.then_some(*key)
        });
        let Some(mut pending) = key.and_then(|key| self.pending.remove(&key)) else {
            return self.unknown(frame);
        };
        let mut same = pending.done.is_empty();
        let calls = std::mem::take(&mut pending.calls);
        for (call, (answer, text)) in calls.into_iter().zip(answers) {
            match self.fate(&call, &answer) {
                Fate::Same => pending.done.push(text),
                Fate::Other(text) => {
                    same = false;
                    pending.done.push(text);
                }
                Fate::Again => {
                    same = false;
                    pending.calls.push(call);
                }
            }
        }
        if !pending.calls.is_empty() {
            pending.sent = false;
            self.pending.insert(key?, pending);
            return None;
        }
        Some(if same {
            frame.clone()
        } else {
            pending.answers()
        })
    }

    /// An answer to nothing that is known of: the client may know better, unless it has been told
    /// that there would be none.
    fn unknown(&self, frame: &Bytes) -> Option<Bytes> {
        (!self.ended).then(|| frame.clone())
    }

    fn fate(&mut self, call: &Call, answer: &Answer<'_>) -> Fate {
        let name = call.entry.map(|entry| entry.name);
        let spelt = |body| std::str::from_utf8(body).unwrap_or_default();
        match answer.body {
            Err(error) => {
                if !Error::from_wire(spelt(error)).is_of_the_end() {
                    return Fate::Same;
                }
                match call.refusal(0) {
                    Some(answer) => Fate::Other(whole(&call.id, &answer)),
                    None => Fate::Again,
                }
            }
            Ok(result) if name == Some(Initialize::NAME) => {
                self.initialized = true;
                let greeting = self.greeting.put_into(spelt(result));
                Fate::Other(whole(&call.id, &Ok(greeting.into())))
            }
            Ok(result) if name == Some(Subscribe::NAME) => {
                let Ok(there) = spelt(result).parse::<u64>() else {
                    return Fate::Same;
                };
                let id = there.max(self.last_subscription + 1);
                self.last_subscription = id;
                let subscription = Subscription {
                    params: call.params.clone(),
                    clock: None,
                    place: Place::At(there),
                };
                self.subscriptions.insert(id, subscription);
                if id == there {
                    return Fate::Same;
                }
                Fate::Other(whole(&call.id, &Ok(id.to_string().into())))
            }
            Ok(_) => {
                self.shut_down |= name == Some(Shutdown::NAME);
                if name == Some(Unsubscribe::NAME)
                    && let Some(id) = known_id(call)
                {
                    self.subscriptions.remove(&id);
                }
                Fate::Same
            }
        }
    }

    /// Whether the client is told this of a request's progress: of one that is repeated the beginning
    /// is told once, and nothing after the end.
    fn is_news(&mut self, progress: &Progress<'_>) -> bool {
        let its = |call: &&mut Call| call.token.as_deref() == Some(progress.token.as_bytes());
        let calls = self.pending.values_mut();
        let mut calls = calls.flat_map(|pending| &mut pending.calls);
        let mut calls = calls.by_ref().filter(its).peekable();
        // nobody's that is known of
        if calls.peek().is_none() {
            return true;
        }
        // several may be called the same
        let (told, then) = match progress.kind {
            "begin" => (
                calls.find(|call| call.told == Course::Nothing),
                Course::Begun,
            ),
            "end" => (calls.find(|call| call.told != Course::Ended), Course::Ended),
            _ => return calls.any(|call| call.told != Course::Ended),
        };
        let is_news = told.is_some();
        if let Some(call) = told {
            call.told = then;
        }
        is_news
    }

    /// A notification as the client is told it; none of a subscription that it does not hold, whose
    /// id at this daemon may be what the client knows another one by.
    fn told(&mut self, frame: &Bytes) -> Option<Bytes> {
        let Some(Told {
            subscription: Some(there),
            result,
        }) = text(Some(frame)).and_then(Told::read)
        else {
            return Some(frame.clone());
        };
        let mut all = self.subscriptions.iter_mut();
        let (id, held) = all.find(|(_, held)| held.place == Place::At(there))?;
        if let Some((_, clock)) = members(result).find(|(name, _)| name == "clock") {
            held.clock = Some(decode_string(clock).into_owned());
        }
        if there == *id {
            return Some(frame.clone());
        }
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"{NOTIFICATION}","params":{{"subscription":{id},"result":{result}}}}}"#
        );
        Some(text.into())
    }

    /// Takes note that the daemon is gone. What may have come of changes nobody knows: their
    /// answers are given, and those of what several daemons died of.
    pub(super) fn lost(&mut self) -> Vec<Bytes> {
        for held in self.subscriptions.values_mut() {
            held.place = Place::Lost;
        }
        self.asked = 0;
        self.unwanted.clear();
        self.cancels.clear();
        let mut answers = Vec::new();
        for (_, pending) in self.pending.iter_mut().filter(|(_, pending)| pending.sent) {
            pending.sent = false;
            pending.deaths += 1;
            let deaths = pending.deaths;
            let done = &mut pending.done;
            pending.calls.retain(|call| match call.refusal(deaths) {
                Some(answer) => {
                    if let Some(id) = call.is(Unsubscribe::NAME).then(|| known_id(call)).flatten() {
                        self.subscriptions.remove(&id);
                    }
                    answers.extend(call.end());
                    done.push(whole(&call.id, &answer));
                    false
                }
                None => true,
            });
            if pending.calls.is_empty() {
                answers.push(pending.answers());
            }
        }
        self.pending.retain(|_, pending| !pending.calls.is_empty());
        answers
    }

    /// Whether nothing waits for an answer.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Answers for what nobody will answer any more.
    pub(super) fn ended(&mut self) -> Vec<Bytes> {
        self.ended = true;
        let all = std::mem::take(&mut self.pending).into_values();
        let mut answers = Vec::new();
        for mut pending in all {
            for call in std::mem::take(&mut pending.calls) {
                let mut error = Error::ending();
                if pending.sent && call.changes() {
                    error = error.with("outcome", "unknown");
                }
                answers.extend(call.end());
                pending.done.push(whole(&call.id, &Err(error)));
            }
            answers.push(pending.answers());
        }
        answers
    }

    /// Whether the client's shutdown was granted; one that waits is asked for as any request is.
    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    /// By what the daemon is told the next thing that is taken back.
    pub(super) fn cancelling(&mut self) -> Option<Bytes> {
        let id = self.cancels.pop()?;
        let id = text(Some(&id)).unwrap_or("null");
        let cancel =
            format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#);
        Some(cancel.into())
    }

    /// The next message of our own for the daemon: what is taken back, and by what subscriptions
    /// go on after what each has told.
    pub(super) fn own(&mut self) -> Option<Bytes> {
        let cancelling = self.cancelling();
        if cancelling.is_some() {
            return cancelling;
        }
        if self.asked >= OWN_MAX {
            return None;
        }
        let number = self.last + 1;
        let id = Bytes::from(format!("{OWN}{number}\""));
        let request = match self.unwanted.pop() {
            Some(there) => unsubscribing(&id, there),
            None => {
                let mut all = self.subscriptions.values_mut();
                let held = all.find(|held| held.place == Place::Lost)?;
                held.place = Place::Asked(number);
                held.renewal(&id)
            }
        };
        self.last = number;
        self.asked += 1;
        Some(request)
    }

    /// What the daemon answered to a request of our own.
    fn own_came(&mut self, number: u64, answer: &Answer<'_>) {
        self.asked -= 1;
        let mut all = self.subscriptions.values_mut();
        let held = all.find(|held| held.place == Place::Asked(number));
        let spelt = |body| std::str::from_utf8(body).unwrap_or_default();
        match (held, answer.body) {
            (Some(held), Ok(result)) => {
                held.place = spelt(result)
                    .parse()
                    .map_or(Place::Refused { again: false }, Place::At);
            }
            (Some(held), Err(error)) => {
                let error = Error::from_wire(spelt(error));
                let again = error.kind.retryable();
                if !again {
                    tracing::warn!(kind = error.kind.word(), "a subscription is not renewed");
                }
                held.place = Place::Refused { again };
            }
            (None, Ok(result)) => self.unwanted.extend(spelt(result).parse::<u64>()),
            (None, Err(_)) => {}
        }
    }

    /// How many requests of our own are not answered.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// Whether there are messages of our own for this daemon, or will be. Looks at each subscription.
    pub(super) fn is_renewing(&self) -> bool {
        let mut all = self.subscriptions.values();
        self.asked > 0
            || !self.cancels.is_empty()
            || all.any(|held| matches!(held.place, Place::Lost | Place::Refused { again: true }))
    }

    /// Lets what was refused for a while be asked for again.
    pub(super) fn ask_again(&mut self) {
        for held in self.subscriptions.values_mut() {
            if held.place == (Place::Refused { again: true }) {
                held.place = Place::Lost;
            }
        }
    }

    /// What `initialize` is answered with beside what the daemon says.
    pub(super) fn greets(&mut self, greeting: Greeting) {
        self.greeting = greeting;
    }
}

impl Subscription {
    /// What is asked so that it goes on.
    fn renewal(&self, id: &Bytes) -> Bytes {
        let mut params = Object::of(text(self.params.as_ref()).unwrap_or("{}"));
        if let Some(clock) = &self.clock {
            params.put("\"since\"", format!("\"{clock}\""));
        }
        request(id, Subscribe::NAME, &params.text())
    }
}

impl Pending {
    /// The frame without what is answered; none if that is all of it.
    fn rest(&self, others: &BTreeMap<usize, Bytes>) -> Option<Bytes> {
        let frame = text(Some(&self.frame)).unwrap_or_default();
        let one = |call: &Call| -> Bytes {
            match others.get(&call.at) {
                Some(other) => other.clone(),
                None if self.batch => elements(frame)
                    .nth(call.at)
                    .map_or_else(Bytes::new, |entry| self.frame.slice_ref(entry.as_bytes())),
                None => self.frame.clone(),
            }
        };
        let any = !self.calls.is_empty();
        any.then(|| joined(self.batch, self.calls.iter().map(one)))
    }

    /// What is answered, now that all of it is.
    fn answers(&self) -> Bytes {
        joined(self.batch, self.done.iter().cloned())
    }
}

impl Call {
    /// Whether it is of the method called `name`.
    fn is(&self, name: &str) -> bool {
        self.entry.is_some_and(|entry| entry.name == name)
    }

    /// Whether it leaves something behind, so that nobody but its sender can tell whether to repeat it.
    fn changes(&self) -> bool {
        let params = || text(self.params.as_ref());
        self.entry
            .is_some_and(|entry| entry.leaves_something(params()))
    }

    /// What its sender is told before it is answered here, if it was told that it had begun.
    fn end(&self) -> Option<Bytes> {
        let token = text(self.token.as_ref()).filter(|_| self.told == Course::Begun)?;
        let end = format!(
            r#"{{"jsonrpc":"2.0","method":"$/progress","params":{{"token":{token},"value":{{"kind":"end"}}}}}}"#
        );
        Some(end.into())
    }

    /// What is answered where the daemon ended that had it; none where the next one is asked.
    fn refusal(&self, deaths: u32) -> Option<Result<Bytes, Error>> {
        if self.is(Unsubscribe::NAME) {
            // it has ended with the connection
            Some(Ok(Bytes::from_static(b"true")))
        } else if self.changes() && !self.is(Shutdown::NAME) {
            Some(Err(lost()))
        } else if self.cancelled {
            Some(Err(Error::cancelled()))
        } else {
            (deaths >= DEATHS_MAX).then(|| Err(deadly()))
        }
    }
}

impl Greeting {
    fn put_into(&self, greeting: &str) -> String {
        let mut object = Object::of(greeting);
        object.put("\"shared\"", &*self.shared);
        // a daemon that others share is told its root, and looked nowhere
        if let Some(root) = object.get("root").map(str::to_owned) {
            let mut root = Object::of(&root);
            if root.get("exists") == Some("false") {
                root.put("\"tried\"", &*self.tried);
                object.put("\"root\"", root.text());
            }
        }
        object.text()
    }
}

fn text(bytes: Option<&Bytes>) -> Option<&str> {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// What a request's sender calls it where it is told how far that has come.
fn token(params: Option<&Bytes>) -> Option<Bytes> {
    let params = params?;
    // few have one, and some are large
    memchr::memmem::find(params, WORK_DONE_TOKEN.as_bytes())?;
    let token = member(text(Some(params)), WORK_DONE_TOKEN)?;
    Some(params.slice_ref(token.as_bytes()))
}

/// The subscription that an unsubscribing names.
fn known_id(call: &Call) -> Option<u64> {
    subscription_of(text(call.params.as_ref())).ok()
}

fn unsubscribing(id: &Bytes, there: u64) -> Bytes {
    let params = format!(r#"{{"subscription":{there}}}"#);
    request(id, Unsubscribe::NAME, &params)
}

fn request(id: &Bytes, method: &str, params: &str) -> Bytes {
    let id = text(Some(id)).unwrap_or("null");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#).into()
}

/// Which request of our own an id is of.
fn own_number(id: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(id).ok()?.strip_prefix(OWN)?;
    number.strip_suffix('"')?.parse().ok()
}

fn whole(id: &Bytes, said: &Result<Bytes, Error>) -> Bytes {
    answer(id, said).concat().into()
}

/// Messages as one frame.
fn joined(batch: bool, mut messages: impl Iterator<Item = Bytes>) -> Bytes {
    if !batch {
        return messages.next().unwrap_or_default();
    }
    let mut all = vec![b'['];
    for (at, message) in messages.enumerate() {
        if at > 0 {
            all.push(b',');
        }
        all.extend_from_slice(&message);
    }
    all.push(b']');
    all.into()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn bytes(value: &Value) -> Bytes {
        value.to_string().into()
    }

    fn value(frame: &Bytes) -> Value {
        serde_json::from_slice(frame).unwrap()
    }

    fn request(id: u64, method: &str, params: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// As a session writes it.
    fn result(id: u64, result: &Value) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
    }

    impl Ledger {
        fn says(&mut self, frame: &Value) -> Noted {
            let frame = bytes(frame);
            let read = crate::session::envelope::read(&frame);
            self.note(frame, read)
        }

        /// What a daemon gets of what waits.
        fn sends(&mut self) -> Vec<(Option<Value>, Option<Value>)> {
            let mut all = Vec::new();
            while let Some(key) = self.unsent() {
                let prepared = self.prepare(key);
                let read = |frame: Option<Bytes>| frame.as_ref().map(value);
                let to_daemon = prepared.to_daemon.into_iter().next();
                all.push((read(to_daemon), read(prepared.to_client)));
            }
            all
        }

        fn hears(&mut self, text: &str) -> Option<Value> {
            self.came(&Bytes::copy_from_slice(text.as_bytes()))
                .as_ref()
                .map(value)
        }
    }

    /// The answer to a request of our own, whose id is echoed as it is spelt.
    fn answered(request: &Bytes, said: &str) -> String {
        let id = member(text(Some(request)), "id").unwrap();
        format!(r#"{{"jsonrpc":"2.0","id":{id},{said}}}"#)
    }

    fn change(subscription: u64, clock: &str) -> String {
        let result = json!({ "kind": "current", "clock": clock });
        format!(
            r#"{{"jsonrpc":"2.0","method":"{NOTIFICATION}","params":{{"subscription":{subscription},"result":{result}}}}}"#
        )
    }

    #[test]
    fn a_subscription_keeps_its_id_whatever_the_next_daemon_calls_it() {
        let mut ledger = Ledger::default();
        ledger.says(&request(1, Subscribe::NAME, json!({ "projectId": "p" })));
        ledger.sends();
        assert_eq!(ledger.hears(&result(1, &json!(3))).unwrap()["result"], 3);
        let told = ledger.hears(&change(3, "c:a:7")).unwrap();
        assert_eq!(told["params"]["subscription"], 3);
        assert_eq!(ledger.lost(), Vec::<Bytes>::new());
        let renewal = ledger.own().unwrap();
        assert_eq!(ledger.own(), None);
        let params = &value(&renewal)["params"];
        assert_eq!(*params, json!({ "projectId": "p", "since": "c:a:7" }));
        assert_eq!(ledger.hears(&answered(&renewal, r#""result":9"#)), None);
        assert!(!ledger.is_renewing());
        let told = ledger.hears(&change(9, "c:b:8")).unwrap();
        assert_eq!(told["params"]["subscription"], 3);
        assert_eq!(told["params"]["result"]["clock"], "c:b:8");
        // the daemon gives another one the id that the client knows for this
        ledger.says(&request(2, Subscribe::NAME, json!({})));
        ledger.sends();
        assert_eq!(ledger.hears(&result(2, &json!(3))).unwrap()["result"], 4);
        assert_eq!(
            ledger.hears(&change(3, "c:b:9")).unwrap()["params"]["subscription"],
            4
        );
        assert_eq!(
            ledger.hears(&change(9, "c:b:9")).unwrap()["params"]["subscription"],
            3
        );
        // alone and in a batch; the daemon's own id is none of the client's
        ledger.says(&request(3, Unsubscribe::NAME, json!({ "subscription": 9 })));
        ledger.says(&json!([
            request(4, Unsubscribe::NAME, json!([3])),
            request(5, Unsubscribe::NAME, json!({ "subscription": 77 })),
            request(6, "ping", json!({})),
        ]));
        let sent = ledger.sends();
        assert_eq!(
            sent[0],
            (
                None,
                Some(json!({ "jsonrpc": "2.0", "id": 3, "result": false }))
            )
        );
        let to_daemon = json!([
            request(4, Unsubscribe::NAME, json!({ "subscription": 9 })),
            request(6, "ping", json!({})),
        ]);
        assert_eq!(sent[1], (Some(to_daemon), None));
        let answers = format!("[{},{}]", result(4, &json!(true)), result(6, &json!({})));
        let mut answered = ledger.hears(&answers).unwrap().as_array().unwrap().clone();
        answered.sort_by_key(|answer| answer["id"].as_u64());
        let results: Vec<_> = answered.iter().map(|answer| &answer["result"]).collect();
        assert_eq!(results, [&json!(true), &json!(false), &json!({})]);
        assert!(ledger.is_settled());
    }

    /// Two subscriptions that the next daemon may call as it likes.
    fn subscribed() -> Ledger {
        let mut ledger = Ledger::default();
        for id in [1, 2] {
            ledger.says(&request(id, Subscribe::NAME, json!({})));
            ledger.sends();
            ledger.hears(&result(id, &json!(id)));
            ledger.hears(&change(id, "c:a:5"));
        }
        ledger.lost();
        ledger
    }

    #[test]
    fn what_is_told_of_a_subscription_that_was_ended_reaches_no_other() {
        let mut ledger = subscribed();
        for there in ["2", "3"] {
            let renewal = ledger.own().unwrap();
            ledger.hears(&answered(&renewal, &format!(r#""result":{there}"#)));
        }
        ledger.says(&request(3, Unsubscribe::NAME, json!({ "subscription": 1 })));
        let sent = ledger.sends();
        assert_eq!(sent[0].0.as_ref().unwrap()["params"]["subscription"], 2);
        // it goes on until the daemon has agreed
        let told = ledger.hears(&change(2, "c:b:5")).unwrap();
        assert_eq!(told["params"]["subscription"], 1);
        ledger.hears(&result(3, &json!(true)));
        // under way, by the id that the client knows the other one by
        assert_eq!(ledger.hears(&change(2, "c:b:6")), None);
        let told = ledger.hears(&change(3, "c:b:7")).unwrap();
        assert_eq!(told["params"]["subscription"], 2);
    }

    #[test]
    fn a_subscription_whose_end_is_refused_goes_on() {
        let mut ledger = subscribed();
        for there in ["7", "8"] {
            let renewal = ledger.own().unwrap();
            ledger.hears(&answered(&renewal, &format!(r#""result":{there}"#)));
        }
        let end = |id| request(id, Unsubscribe::NAME, json!([1]));
        ledger.says(&end(3));
        ledger.sends();
        let refused = Error::new(ErrorKind::Overloaded, "too many").to_value();
        ledger.hears(&format!(r#"{{"jsonrpc":"2.0","id":3,"error":{refused}}}"#));
        assert!(ledger.hears(&change(7, "c:b:6")).is_some());
        // and one whose daemon is gone has ended
        ledger.says(&end(4));
        ledger.sends();
        assert_eq!(value(&ledger.lost()[0])["result"], true);
        ledger.own().unwrap();
        assert_eq!(ledger.own(), None);
    }

    /// Whoever drops what an id stands for as it ends would drop the other one.
    #[test]
    fn no_two_subscriptions_have_one_id_one_after_the_other() {
        let mut ledger = subscribed();
        ledger.says(&request(3, Unsubscribe::NAME, json!([2])));
        assert!(ledger.sends()[0].1.is_some());
        ledger.says(&request(4, Subscribe::NAME, json!({})));
        ledger.sends();
        assert_eq!(ledger.hears(&result(4, &json!(1))).unwrap()["result"], 3);
    }

    #[test]
    fn batches_of_the_same_ids_are_told_apart_by_all_of_them() {
        let mut ledger = Ledger::default();
        let one = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#);
        for name in ["a", "b"] {
            let unnamed = json!({ "jsonrpc": "2.0", "id": null, "method": "ping" });
            let other = json!({ "jsonrpc": "2.0", "id": name, "method": "ping" });
            ledger.says(&json!([unnamed, other]));
        }
        ledger.sends();
        for name in ["b", "a"] {
            let frame = format!("[{},{}]", one("null"), one(&format!(r#""{name}""#)));
            assert_eq!(ledger.hears(&frame).unwrap()[1]["id"], name);
        }
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_renewal_is_asked_for_until_it_is_given_and_wanted_by_somebody() {
        let mut ledger = subscribed();
        let renewals = [ledger.own().unwrap(), ledger.own().unwrap()];
        assert_eq!(ledger.own(), None);
        // what the client asks meanwhile is answered meanwhile, by whatever number
        ledger.says(&request(7, Subscribe::NAME, json!({ "projectId": "p" })));
        ledger.sends();
        assert_eq!(ledger.hears(&result(7, &json!(1))).unwrap()["result"], 3);
        assert_eq!(
            ledger.hears(&change(1, "c:b:6")).unwrap()["params"]["subscription"],
            3
        );
        // not yet, which is told to nobody, and asked for after a while
        let not_yet = Error::new(ErrorKind::NotReady, "not yet").to_value();
        let not_yet = answered(&renewals[0], &format!(r#""error":{not_yet}"#));
        assert_eq!(ledger.hears(&not_yet), None);
        assert_eq!(ledger.own(), None);
        assert!(ledger.is_renewing());
        ledger.ask_again();
        let again = ledger.own().unwrap();
        assert_eq!(value(&again)["params"]["since"], "c:a:5");
        // one that was ended meanwhile is ended there as soon as it is there
        ledger.says(&request(8, Unsubscribe::NAME, json!({ "subscription": 2 })));
        let ended = json!({ "jsonrpc": "2.0", "id": 8, "result": true });
        assert_eq!(ledger.sends(), [(None, Some(ended))]);
        assert_eq!(ledger.hears(&answered(&renewals[1], r#""result":2"#)), None);
        assert_eq!(ledger.hears(&change(2, "c:b:6")), None);
        let ending = ledger.own().unwrap();
        assert_eq!(value(&ending)["method"], Unsubscribe::NAME);
        assert_eq!(value(&ending)["params"], json!({ "subscription": 2 }));
        assert_eq!(ledger.hears(&answered(&ending, r#""result":true"#)), None);
        // the daemon dies before it has answered the other one
        assert!(ledger.is_renewing());
        ledger.lost();
        let mut since = Vec::new();
        for there in ["8", "9"] {
            let renewal = ledger.own().unwrap();
            since.push(value(&renewal)["params"]["since"].clone());
            ledger.hears(&answered(&renewal, &format!(r#""result":{there}"#)));
        }
        assert_eq!(since, ["c:a:5", "c:b:6"]);
        assert_eq!(ledger.own(), None);
        assert!(!ledger.is_renewing());
        let told = ledger.hears(&change(8, "c:c:1")).unwrap();
        assert_eq!(told["params"]["subscription"], 1);
    }

    #[test]
    fn no_more_renewals_are_in_flight_than_leave_room_for_the_clients_requests() {
        let mut ledger = Ledger::default();
        for id in 0..=OWN_MAX as u64 {
            ledger.says(&request(id, Subscribe::NAME, json!({})));
            ledger.sends();
            ledger.hears(&result(id, &json!(id)));
        }
        ledger.lost();
        let sent: Vec<Bytes> = std::iter::from_fn(|| ledger.own()).collect();
        assert_eq!(sent.len(), OWN_MAX);
        ledger.hears(&answered(&sent[0], r#""result":0"#));
        assert!(ledger.own().is_some());
    }

    #[test]
    fn after_its_end_nothing_is_answered_twice() {
        let mut ledger = Ledger::default();
        ledger.says(&request(1, "ping", json!({})));
        ledger.says(&json!([request(2, "ping", json!({}))]));
        ledger.sends();
        assert_eq!(ledger.ended().len(), 2);
        assert_eq!(ledger.hears(&result(1, &json!({}))), None);
        assert_eq!(ledger.hears(&format!("[{}]", result(2, &json!({})))), None);
    }

    #[test]
    fn the_greeting_says_what_only_the_process_in_between_knows() {
        let mut ledger = Ledger::default();
        ledger.greets(Greeting {
            shared: r#"{"active":true}"#.to_owned(),
            tried: r#"["here"]"#.to_owned(),
        });
        let noted = ledger.says(&request(1, Initialize::NAME, json!({ "processId": 42 })));
        assert_eq!(noted.parent, Some(42));
        let again = ledger.says(&request(3, Initialize::NAME, json!({ "processId": 43 })));
        assert_eq!(again.parent, None);
        ledger.says(&json!([request(2, Initialize::NAME, json!({}))]));
        ledger.sends();
        let said = json!({ "root": { "path": "/r", "exists": false } });
        let expected = json!({
            "root": { "path": "/r", "exists": false, "tried": ["here"] },
            "shared": { "active": true },
        });
        assert_eq!(ledger.hears(&result(1, &said)).unwrap()["result"], expected);
        let batch = ledger.hears(&format!("[{}]", result(2, &said))).unwrap();
        assert_eq!(batch[0]["result"], expected);
    }

    #[test]
    fn what_was_asked_of_a_daemon_that_is_gone_counts_if_it_was_granted() {
        let mut ledger = Ledger::default();
        ledger.greets(Greeting {
            shared: "{}".to_owned(),
            tried: "[]".to_owned(),
        });
        let refusal = |id: u64| {
            let error = Error::params("not so").to_value();
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        };
        ledger.says(&request(1, Initialize::NAME, json!({})));
        ledger.sends();
        ledger.hears(&refusal(1));
        // what is refused at one daemon, or was not answered, is asked of the next
        ledger.says(&request(2, Initialize::NAME, json!({})));
        ledger.sends();
        assert!(ledger.lost().is_empty());
        assert!(ledger.sends()[0].0.is_some());
        ledger.hears(&result(2, &json!({})));
        ledger.lost();
        let again = request(3, Initialize::NAME, json!({}));
        ledger.says(&again);
        let (to_daemon, to_client) = ledger.sends().remove(0);
        assert_eq!(to_daemon, None);
        assert_eq!(to_client.unwrap()["error"]["code"], -32600);
        ledger.says(&json!([request(4, "ping", json!({})), again]));
        let rest = json!([request(4, "ping", json!({}))]);
        assert_eq!(ledger.sends(), [(Some(rest), None)]);
        ledger.hears(&format!("[{}]", result(4, &json!({}))));
        // and so is the shutdown
        let exit = json!({ "jsonrpc": "2.0", "method": "exit" });
        for (params, granted) in [(json!({ "foo": 1 }), false), (json!({}), true)] {
            ledger.says(&request(5, Shutdown::NAME, params));
            ledger.sends();
            ledger.hears(&match granted {
                true => result(5, &Value::Null),
                false => refusal(5),
            });
            assert_eq!(ledger.is_shut_down(), granted);
            assert_eq!(ledger.says(&exit).exit, Some(granted));
        }
        // the second one is refused, which is nothing to the first
        ledger.says(&request(6, Shutdown::NAME, json!({})));
        ledger.sends();
        ledger.hears(&refusal(6));
        assert_eq!(ledger.says(&exit).exit, Some(true));
    }

    #[test]
    fn what_only_rehearses_a_change_is_repeated() {
        for (dry_run, repeated) in [(true, true), (false, false)] {
            let mut ledger = Ledger::default();
            let params = json!({ "status": "failed", "dryRun": dry_run });
            ledger.says(&request(1, "executions/deleteMatching", params));
            ledger.sends();
            assert_eq!(ledger.lost().is_empty(), repeated);
            assert_eq!(ledger.sends().is_empty(), !repeated);
            let ended = ledger.ended();
            assert_eq!(ended.len(), usize::from(repeated));
            for answer in ended {
                assert!(value(&answer)["error"]["data"]["outcome"].is_null());
            }
        }
    }

    #[test]
    fn what_no_daemon_has_is_taken_back_here() {
        let mut ledger = Ledger::default();
        let cancel = |id: Value| json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } });
        ledger.says(&json!({ "jsonrpc": "2.0", "id": "\u{61}", "method": "ping" }));
        let noted = ledger.says(&cancel(json!("a")));
        assert_eq!(value(&noted.answers[0])["error"]["code"], -32800);
        assert!(ledger.is_settled());
        ledger.says(&json!({ "jsonrpc": "2.0", "id": null, "method": "shutdown" }));
        assert_eq!(ledger.says(&cancel(Value::Null)).answers.len(), 1);
        assert!(!ledger.is_shut_down());
        // of a batch what is left is sent, if something is
        ledger.says(&json!([
            request(3, "ping", json!({})),
            request(4, "executions/delete", json!({}))
        ]));
        assert!(ledger.says(&cancel(json!(4))).answers.is_empty());
        let left = json!([request(3, "ping", json!({}))]);
        assert_eq!(ledger.sends(), [(Some(left), None)]);
        let batch = ledger
            .hears(&format!("[{}]", result(3, &json!({}))))
            .unwrap();
        let mut codes = batch
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| &answer["error"]["code"]);
        assert!(codes.any(|code| *code == -32800) && batch[1]["id"] == 3);
        ledger.says(&json!([request(4, "executions/delete", json!({}))]));
        let noted = ledger.says(&cancel(json!(4)));
        assert_eq!(value(&noted.answers[0])[0]["error"]["code"], -32800);
        assert!(ledger.is_settled() && ledger.cancelling().is_none());
        // what one has it is told, whatever else the batch says that takes it back
        ledger.says(&json!({ "jsonrpc": "2.0", "id": "\u{61}", "method": "ping" }));
        ledger.sends();
        ledger.says(&cancel(json!("a")));
        assert_eq!(value(&ledger.own().unwrap()), cancel(json!("a")));
        assert_eq!(ledger.own(), None);
        assert_eq!(ledger.lost().len(), 1);
        // and it is not repeated once that one is gone
        ledger.says(&request(1, "ping", json!({})));
        ledger.says(&request(2, "ping", json!({})));
        ledger.sends();
        let noted = ledger.says(&cancel(json!(1)));
        assert!(noted.answers.is_empty());
        let answers = ledger.lost();
        assert_eq!(value(&answers[0])["id"], 1);
        assert_eq!(answers.len(), 1);
        assert_eq!(
            ledger.sends(),
            [(Some(request(2, "ping", json!({}))), None)]
        );
    }

    #[test]
    fn of_what_is_repeated_the_beginning_and_the_end_are_told_once() {
        let tells = |kind: &str| {
            let value = json!({ "kind": kind });
            format!(
                r#"{{"jsonrpc":"2.0","method":"$/progress","params":{{"token":"t","value":{value}}}}}"#
            )
        };
        let ending = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{}}}"#,
            Error::ending().to_value()
        );
        for killed in [true, false] {
            let mut ledger = Ledger::default();
            let params = json!({ "workDoneToken": "t" });
            ledger.says(&request(1, "executions/list", params));
            let mut told = Vec::new();
            for daemon in 0..2 {
                ledger.sends();
                for kind in ["begin", "report"] {
                    told.extend(ledger.hears(&tells(kind)));
                }
                match (daemon, killed) {
                    (0, true) => drop(ledger.lost()),
                    (0, false) => {
                        told.extend(ledger.hears(&tells("end")));
                        assert_eq!(ledger.hears(&ending), None);
                    }
                    _ => {
                        told.extend(ledger.hears(&tells("end")));
                        assert!(ledger.hears(&result(1, &json!({}))).is_some());
                    }
                }
            }
            let kinds: Vec<_> = told
                .iter()
                .map(|told| told["params"]["value"]["kind"].as_str().unwrap())
                .collect();
            let expected: &[&str] = match killed {
                true => &["begin", "report", "report", "end"],
                false => &["begin", "report", "end"],
            };
            assert_eq!(kinds, expected);
            // somebody else's
            assert!(ledger.hears(&tells("begin")).is_some());
        }
        // what is answered here has an end as well
        let mut ledger = Ledger::default();
        let params = json!({ "projectId": "p", "workDoneToken": "t" });
        ledger.says(&request(1, "executions/deleteAll", params));
        ledger.sends();
        assert!(ledger.hears(&tells("begin")).is_some());
        let told: Vec<Value> = ledger.lost().iter().map(value).collect();
        assert_eq!(
            told[0],
            serde_json::from_str::<Value>(&tells("end")).unwrap()
        );
        assert_eq!(told[1]["error"]["data"]["outcome"], "unknown");
    }

    #[test]
    fn what_several_daemons_died_of_is_not_repeated() {
        let mut ledger = Ledger::default();
        ledger.says(&json!([
            request(1, "executions/list", json!({})),
            request(2, "executions/deleteAll", json!({ "projectId": "p" })),
            json!({ "jsonrpc": "2.0", "id": 3 }),
        ]));
        for _ in 1..DEATHS_MAX {
            assert_eq!(ledger.sends().len(), 1);
            assert_eq!(ledger.lost(), Vec::<Bytes>::new());
        }
        ledger.sends();
        let answers = value(&ledger.lost()[0]);
        let kinds: Vec<_> = answers
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| (&answer["id"], &answer["error"]["data"]["outcome"]))
            .collect();
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds[0], (&json!(2), &json!("unknown")));
        assert!(ledger.is_settled());
    }

    proptest! {
        /// However daemons answer, refuse at their end or die, in whatever order: each call has one
        /// answer.
        #[test]
        fn each_call_has_one_answer(steps in proptest::collection::vec((0..12u8, 0..6usize), 1..60)) {
            let mut ledger = Ledger::default();
            let mut last = 0;
            let mut open = std::collections::BTreeSet::new();
            let mut there: Vec<Value> = Vec::new();
            let mut ours: Vec<Bytes> = Vec::new();
            let mut told: Vec<Value> = Vec::new();
            for (kind, number) in steps {
                match kind {
                    0..4 => {
                        let calls: Vec<Value> = (0..=number).map(|at| {
                            last += 1;
                            open.insert(last);
                            let method = ["ping", "executions/delete", Subscribe::NAME, Unsubscribe::NAME]
                                [(at + usize::from(kind)) % 4];
                            request(last, method, json!({ "subscription": number }))
                        }).collect();
                        let frame = if number == 0 { calls[0].clone() } else { json!(calls) };
                        ledger.says(&frame);
                    }
                    4 | 5 => for (to_daemon, to_client) in ledger.sends() {
                        there.extend(to_daemon);
                        told.extend(to_client);
                    },
                    6 | 7 if number < there.len() => {
                        let frame = there.remove(number);
                        let ends = kind == 7;
                        let one = |call: &Value| {
                            let id = call["id"].as_u64().unwrap();
                            let error = Error::ending().to_value();
                            match ends {
                                true => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
                                false => result(id, &json!(number)),
                            }
                        };
                        let text = match frame.as_array() {
                            Some(calls) => format!("[{}]", calls.iter().map(one).collect::<Vec<_>>().join(",")),
                            None => one(&frame),
                        };
                        told.extend(ledger.hears(&text));
                    }
                    8 => {
                        there.clear();
                        ours.clear();
                        told.extend(ledger.lost().iter().map(value));
                    }
                    9 => {
                        let params = json!({ "id": last - (number as u64).min(last) });
                        let cancel = json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": params });
                        let noted = ledger.says(&cancel);
                        told.extend(noted.answers.iter().map(value));
                    }
                    10 => ours.extend(ledger.own().filter(|own| value(own).get("id").is_some())),
                    11 if number < ours.len() => {
                        let answer = answered(&ours.remove(number), &format!(r#""result":{number}"#));
                        prop_assert!(ledger.hears(&answer).is_none());
                    }
                    _ => {}
                }
            }
            told.extend(ledger.ended().iter().map(value));
            prop_assert!(ledger.is_settled());
            for message in told {
                let answers = message.as_array().cloned().unwrap_or(vec![message]);
                for answer in answers {
                    let id = answer["id"].as_u64().unwrap();
                    prop_assert!(open.remove(&id), "{id} twice");
                }
            }
            prop_assert!(open.is_empty(), "{open:?}");
        }
    }
}
