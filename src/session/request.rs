//! One request: how it runs, and how its answer is put together.
//!
//! An answer is the client's own spelling of the id around the result as the handler wrote it;
//! neither is parsed again. Batches gather theirs and are sent when the last is there.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll, Wake, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use jsonrpsee::core::middleware::RpcServiceT;
use parking_lot::Mutex;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Shared;
use super::dispatch::{self, Feed, Service};
use super::envelope::Message;
use super::order::{Held, Target, Turn};
use super::outbox::Outbox;
use crate::api::executions::{annotate, delete, save, start, subscribe, update};
use crate::api::params::{self, WORK_DONE_TOKEN, member, members_named};
use crate::api::place::{self, Place};
use crate::api::progress;
use crate::api::table::{self, AnswerSlot, Effect, Entry, Method};
use crate::api::{Context, Error, ErrorKind, FRAME_LIMIT_BYTES, taking_back};
use crate::history::thread::{Undone, on_a_thread};
use crate::history::{Indexing, Progress};
use crate::model::json as walk;

/// Where an answer goes.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// As it was spelt.
    pub(super) id: Bytes,
    /// The batch that it is part of, and its place there.
    pub(super) batch: Option<(Arc<Batch>, usize)>,
}

/// A request that came in.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) reply: Reply,
    pub(super) entry: &'static Entry,
    pub(super) effect: Effect,
    pub(super) params: Option<Bytes>,
    pub(super) token: Option<String>,
    pub(super) turn: Turn,
    pub(super) held_bytes: usize,
}

/// A request that has started.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) reply: Reply,
    /// Whether it changes files.
    pub(super) changes: bool,
    pub(super) cancel: CancellationToken,
}

/// A request that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) entry: &'static Entry,
    pub(super) answer: Result<Bytes, Error>,
    pub(super) held_bytes: usize,
    /// The subscription that it ended.
    pub(super) unsubscribed: Option<u64>,
}

/// What a request came to.
struct Outcome {
    answer: Result<Bytes, Error>,
    unsubscribed: Option<u64>,
}

impl From<Result<Bytes, Error>> for Outcome {
    fn from(answer: Result<Bytes, Error>) -> Self {
        Self {
            answer,
            unsubscribed: None,
        }
    }
}

/// What a session has to know of a request before it runs: what it changes, for keeping such requests
/// in order, and the token with which its client wants to hear how far it has come.
pub(super) fn outline(method: &str, params: Option<&str>) -> (Target, Option<String>) {
    const NAMES: [&str; 4] = ["projectId", "executionId", "execution", WORK_DONE_TOKEN];
    let [project, run, execution, token] = members_named(params, NAMES);
    let target = match method {
        start::Start::NAME if member(execution, "id").is_none() => Target::New,
        save::Save::NAME | start::Start::NAME => {
            Target::of(project.zip(execution).and_then(save::target))
        }
        update::Update::NAME | annotate::Annotate::NAME | delete::Delete::NAME => {
            Target::of(project.zip(run).and_then(delete::target))
        }
        _ => Target::Unknown,
    };
    let token = token.filter(|token| is_token(token));
    (target, token.map(str::to_owned))
}

/// Ids are the same if they mean the same, however they are spelt.
pub(crate) fn id_key(raw: &str) -> String {
    if raw.starts_with('"') {
        format!("\"{}", walk::decode_string(raw))
    } else {
        raw.to_owned()
    }
}

/// The key of the request that `$/cancelRequest` takes back; null is an id, too.
pub(crate) fn cancelled_key(params: Option<&str>) -> Option<String> {
    let params = params::object(params).ok().flatten()?;
    let ids = walk::members(params).filter(|(name, _)| name == "id");
    ids.last().map(|(_, id)| id_key(id))
}

/// The beginning of an id, for the log.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN_MAX: usize = 64;
        let Self(id) = self;
        let begin = id.get(..SHOWN_MAX).unwrap_or(id);
        f.write_str(&String::from_utf8_lossy(begin))
    }
}

/// Polls `work` on a thread that may be busy for a while, and holds none while it waits: there is a
/// bound to them, and what it waits for may need one.
pub(super) fn aside(work: BoxFuture<'static, Done>) -> BoxFuture<'static, Done> {
    async move {
        let woken = Arc::new(Woken::default());
        let work = Arc::new(Mutex::new(work));
        loop {
            let here = tokio::runtime::Handle::current();
            let (work, waker) = (Arc::clone(&work), Waker::from(Arc::clone(&woken)));
            let poll = move || {
                let _within = here.enter();
                let context = &mut task::Context::from_waker(&waker);
                work.lock().poll_unpin(context)
            };
            let polled = match on_a_thread(poll.clone()).await {
                Err(Undone::NoThread) => Ok(poll()),
                polled => polled,
            };
            match polled {
                Ok(Poll::Ready(done)) => return done,
                Ok(Poll::Pending) => {}
                // the runtime ends, and the session answers for what is left
                Err(_) => return std::future::pending().await,
            }
            poll_fn(|context| woken.poll(context)).await;
        }
    }
    .boxed()
}

/// Whether somebody has woken what is polled aside, also while it was.
#[derive(Debug, Default)]
struct Woken {
    already: AtomicBool,
    waiting: AtomicWaker,
}

impl Woken {
    fn poll(&self, context: &mut task::Context<'_>) -> Poll<()> {
        self.waiting.register(context.waker());
        match self.already.swap(false, Ordering::AcqRel) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.already.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// What an entry of a batch gets that has no room left; `done` is one that has changed something.
pub(super) fn batch_full(done: bool) -> Error {
    let what = match done {
        true => "this was done, and its answer has no room",
        false => "send it alone",
    };
    let message = format!("the batch's answers exceed {FRAME_LIMIT_BYTES} bytes; {what}");
    let error = Error::new(ErrorKind::TooLarge, message).with("limitBytes", FRAME_LIMIT_BYTES);
    match done {
        true => error.with("outcome", "unknown"),
        false => error,
    }
}

/// What [`batch_full`] has at most, beside the id.
const REFUSAL_MAX_BYTES: usize = 320;

/// An answer that fits into a frame, to a request that has `changed` something or not.
pub(super) fn bounded(answer: Result<Bytes, Error>, changed: bool) -> Result<Bytes, Error> {
    /// An id and what stands around it.
    const ENVELOPE_MAX_BYTES: usize = 2048;
    let size = answer.as_ref().map_or(0, Bytes::len);
    if size + ENVELOPE_MAX_BYTES <= FRAME_LIMIT_BYTES {
        return answer;
    }
    let error = Error::too_large("the answer", size as u64, FRAME_LIMIT_BYTES as u64);
    Err(match changed {
        true => error.with("outcome", "unknown"),
        false => error,
    })
}

/// The number that an answer is, if it is one.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 20;
    if text.len() > DIGITS_MAX {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An answer as the parts that it is the concatenation of.
pub(crate) fn answer(id: &Bytes, answer: &Result<Bytes, Error>) -> Vec<Bytes> {
    let (name, body) = match answer {
        Ok(result) => (&b",\"result\":"[..], result.clone()),
        Err(error) => (
            &b",\"error\":"[..],
            Bytes::from(error.to_value().to_string()),
        ),
    };
    let mut head = Vec::with_capacity(id.len() + 40);
    head.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    head.extend_from_slice(id);
    head.extend_from_slice(name);
    vec![head.into(), body, Bytes::from_static(b"}")]
}

impl Request {
    /// Runs it when its turn has come.
    pub(super) fn run(
        self,
        service: Service,
        shared: &Shared,
        outbox: &Arc<Outbox>,
        cancel: CancellationToken,
        place: Option<Place>,
    ) -> BoxFuture<'static, Done> {
        let Self {
            number,
            entry,
            effect,
            params,
            token,
            turn,
            held_bytes,
            reply,
            ..
        } = self;
        let changes = effect.is_change();
        let context = Arc::clone(&shared.context);
        let id = tracing::field::display(Shown(&reply.id));
        let span = tracing::debug_span!("request", id, method = entry.name);
        let outbox = Arc::clone(outbox);
        async move {
            let began = Instant::now();
            let text = params.as_ref().and_then(|params| walk::text(params).ok());
            let progress = token.as_deref().map(|token| Reporter {
                token,
                outbox: &outbox,
                entry,
            });
            let Outcome {
                answer,
                unsubscribed,
            } = {
                let ready = async {
                    if changes {
                        context.history.restored().await;
                    }
                    turn.come().await
                };
                let call = call(number, entry, text, &service);
                let work = place::scope(place, perform(changes, call, ready, &cancel));
                match progress {
                    Some(progress) => progress.accompany(work, &context).await,
                    None => work.await,
                }
            };
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let error = answer.as_ref().err().map(|error| error.kind.word());
            tracing::debug!(micros, error, "answered");
            Done {
                number,
                entry,
                answer,
                held_bytes,
                unsubscribed,
            }
        }
        .instrument(span)
        .boxed()
    }
}

async fn perform(
    changes: bool,
    call: impl Future<Output = Outcome>,
    ready: impl Future<Output = Held>,
    cancel: &CancellationToken,
) -> Outcome {
    let work = async {
        let mut held = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::cancelled()).into(),
            held = ready => held,
        };
        let outcome = if changes {
            // from here on it happens, whoever still wants to know, unless it can say better
            let call = taking_back::scope(cancel.clone(), call);
            tokio::pin!(call);
            let first = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            held.begun();
            match first {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => call.await,
            }
        } else {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::cancelled()).into(),
                outcome = call => outcome,
            }
        };
        drop(held);
        outcome
    };
    // a defect in a handler costs its request, not the connection
    match std::panic::AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            let message = "the request ended early; this is a defect of runlog";
            Err(Error::new(ErrorKind::Internal, message)).into()
        }
    }
}

async fn call(
    number: u64,
    entry: &'static Entry,
    text: Option<&str>,
    service: &Service,
) -> Outcome {
    let unsubscribes = entry.name == subscribe::Unsubscribe::NAME;
    let positional;
    let (text, ends) = if unsubscribes {
        match subscription_of(text) {
            Ok(id) => {
                // the library understands positional params only
                positional = format!("[{id}]");
                (Some(positional.as_str()), Some(id))
            }
            Err(error) => return Err(error).into(),
        }
    } else {
        (text, None)
    };
    let raw: Option<&RawValue> = text.and_then(|text| serde_json::from_str(text).ok());
    let slot = AnswerSlot::default();
    let mut request = dispatch::request(number, entry.name, raw);
    request.extensions.insert(slot.clone());
    let response = service.call(request).await;
    if let Some(answer) = slot.take() {
        return answer.into();
    }
    // the library answered by itself: to subscribing, unsubscribing, and what it refuses
    let mut answer = Err(Error::new(
        ErrorKind::Internal,
        "the library gave no answer",
    ));
    for (name, value) in walk::members(response.as_json().get()) {
        match &*name {
            "result" => answer = Ok(Bytes::copy_from_slice(value.as_bytes())),
            "error" => answer = Err(Error::from_wire(value)),
            _ => {}
        }
    }
    Outcome {
        answer,
        unsubscribed: ends,
    }
}

/// The subscription that is to be ended, by name or by position.
pub(crate) fn subscription_of(text: Option<&str>) -> Result<u64, Error> {
    if let Some(given) = text.map(str::trim).filter(|given| given.starts_with('[')) {
        let mut elements = walk::elements(given);
        let only = elements.next().filter(|_| elements.next().is_none());
        return only.and_then(|id| id.parse().ok()).ok_or_else(|| {
            Error::params("expected the id that executions/subscribe gave, as the only parameter")
        });
    }
    let known = table::entry(subscribe::Unsubscribe::NAME);
    let known = known.map_or(&[][..], |entry| &entry.known_params);
    let params = params::parse::<subscribe::UnsubscribeParams>(text, known, false)?;
    Ok(params.subscription)
}

/// Passes a subscription's notifications on for as long as the connection is there, and never before
/// its id, which `batch` may hold.
pub(super) async fn forward(mut feed: Feed, outbox: Arc<Outbox>, batch: Option<Arc<Batch>>) {
    if let Some(batch) = batch {
        batch.answered.wait().await;
    }
    // the first is the answer, which went its own way
    feed.recv().await;
    while let Some(message) = feed.recv().await {
        let text: Box<str> = message.into();
        if !outbox.notify(Bytes::from(String::from(text))).await {
            return;
        }
    }
}

fn is_token(raw: &str) -> bool {
    raw.starts_with('"')
        || raw
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Tells a client how far its request has come.
struct Reporter<'a> {
    token: &'a str,
    outbox: &'a Outbox,
    entry: &'static Entry,
}

impl Reporter<'_> {
    fn message(&self, value: &serde_json::Value) -> Bytes {
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"$/progress\",\"params\":{{\"token\":{},\"value\":{value}}}}}",
            self.token
        );
        text.into()
    }

    /// Tells that it begins or ends. Whoever shows that shows it for ever if the end is lost, so these
    /// two are bounded as the answer is.
    fn mark(&self, value: &serde_json::Value) {
        self.outbox.answer(vec![self.message(value)]);
    }

    /// Tells how far it has come, unless too much is told already: there is more to come.
    fn tell(&self, percentage: u8, message: &str) {
        let value = json!({ "kind": "report", "message": message, "percentage": percentage });
        self.outbox.try_notify(self.message(&value));
    }

    /// Tells how far it has come if that is more than `told`.
    fn report(&self, percentage: u8, message: &str, told: &mut Option<u8>) {
        if told.is_none_or(|told| told < percentage) {
            *told = Some(percentage);
            self.tell(percentage, message);
        }
    }

    async fn accompany<T>(&self, work: impl Future<Output = T>, context: &Context) -> T {
        let mut progress = context.history.progress();
        self.mark(&json!({ "kind": "begin", "message": self.entry.summary }));
        let (steps, mut own) = progress::channel();
        let work = progress::scope(steps, work);
        tokio::pin!(work);
        let mut told = None;
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut work => break outcome,
                Ok(()) = progress.changed() => {
                    let Progress { state, done, total, percentage } = *progress.borrow_and_update();
                    // before anything is found there is nothing to tell
                    if total > 0 && state != Indexing::Ready {
                        self.report(percentage, &format!("{done} of {total} runs read"), &mut told);
                    }
                }
                Ok(()) = own.changed() => {
                    let steps = *own.borrow_and_update();
                    let message = format!("{} of {} runs", steps.done, steps.total);
                    self.report(steps.percentage(), &message, &mut told);
                }
            }
        };
        self.mark(&json!({ "kind": "end" }));
        outcome
    }
}

/// The answers of a batch, as far as they have come.
#[derive(Debug)]
pub(super) struct Batch {
    state: Mutex<Gathered>,
    /// Set when the answers are on their way.
    answered: SetOnce<()>,
}

#[derive(Debug)]
struct Gathered {
    answers: Vec<Option<Vec<Bytes>>>,
    /// Entries whose answers are not there yet.
    missing: usize,
    bytes: usize,
    /// What refusals of those would have.
    kept_free: usize,
    sent: bool,
}

/// What a refusal of an entry may have, with the comma.
fn refusal_bytes(id: &Bytes) -> usize {
    id.len() + REFUSAL_MAX_BYTES
}

impl Batch {
    /// Room for the answers to `messages`.
    pub(super) fn of(messages: &[Message]) -> Arc<Self> {
        let ids = messages.iter().filter_map(|message| match message {
            Message::Request { id, .. } | Message::Invalid { id, .. } => Some(id),
            Message::Notification { .. } | Message::Answer => None,
        });
        let (missing, kept_free) = ids.fold((0, 0), |(count, bytes), id| {
            (count + 1, bytes + refusal_bytes(id))
        });
        let answers = vec![None; messages.len()];
        Arc::new(Self {
            state: Mutex::new(Gathered {
                answers,
                missing,
                bytes: 0,
                kept_free,
                sent: false,
            }),
            answered: SetOnce::new(),
        })
    }

    /// Whether there is no room for more than refusals.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.bytes + state.kept_free >= FRAME_LIMIT_BYTES
    }

    /// Takes an entry's answer, of one that has `changed` something or not; how many bytes it has.
    pub(super) fn put(
        &self,
        place: usize,
        id: &Bytes,
        given: &Result<Bytes, Error>,
        changed: bool,
    ) -> usize {
        let mut parts = answer(id, given);
        // and a comma
        let length = |parts: &[Bytes]| parts.iter().map(Bytes::len).sum::<usize>() + 1;
        let mut state = self.state.lock();
        let others = state.kept_free.saturating_sub(refusal_bytes(id));
        // of the brackets one has taken the place of a comma
        let fits = state.bytes + length(&parts) + others < FRAME_LIMIT_BYTES;
        if !fits && length(&parts) > refusal_bytes(id) {
            let done = changed && given.is_ok();
            parts = answer(id, &Err(batch_full(done)));
        }
        let bytes = length(&parts);
        match state.answers.get_mut(place) {
            Some(slot) if slot.is_none() => *slot = Some(parts),
            _ => return 0,
        }
        state.missing -= 1;
        state.bytes += bytes;
        state.kept_free = others;
        bytes
    }

    /// Puts the whole answer into `outbox` when it is complete, once; nothing for a batch of
    /// notifications. How many bytes were gathered for it.
    pub(super) fn send(&self, outbox: &Outbox) -> usize {
        let Some(parts) = self.take() else {
            return 0;
        };
        outbox.answer(parts);
        let _ = self.answered.set(());
        self.state.lock().bytes
    }

    fn take(&self) -> Option<Vec<Bytes>> {
        let mut state = self.state.lock();
        if state.missing > 0 || state.sent {
            return None;
        }
        state.sent = true;
        let answers = std::mem::take(&mut state.answers);
        let mut parts = vec![Bytes::from_static(b"[")];
        for answer in answers.into_iter().flatten() {
            if parts.len() > 1 {
                parts.push(Bytes::from_static(b","));
            }
            parts.extend(answer);
        }
        parts.push(Bytes::from_static(b"]"));
        (parts.len() > 2).then_some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{self, Frame};
    use super::*;

    /// What a request waits for may need the only thread that there is for what blocks.
    #[test]
    fn whoever_waits_aside_holds_no_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let waits = |number: u64| {
            async move {
                for _ in 0..3 {
                    tokio::task::spawn_blocking(|| {}).await.unwrap();
                    tokio::task::yield_now().await;
                }
                Done {
                    number,
                    entry: &table::table()[0],
                    answer: Ok(Bytes::new()),
                    held_bytes: 0,
                    unsubscribed: None,
                }
            }
            .boxed()
        };
        let all = (0..50).map(|number| aside(waits(number)));
        let done = runtime.block_on(futures_util::future::join_all(all));
        assert!(done.iter().map(|done| done.number).eq(0..50));
    }

    /// However much is told that nobody has taken.
    #[tokio::test]
    async fn that_a_request_begins_and_ends_is_told_in_any_case() {
        let root = tempfile::tempdir().unwrap();
        let options = crate::history::Options::default();
        let history = Arc::new(crate::history::History::new(root.path().into(), options));
        let outbox = Outbox::default();
        outbox.try_notify(vec![b' '; 1 << 20].into());
        let reporter = Reporter {
            token: "7",
            outbox: &outbox,
            entry: &table::table()[0],
        };
        let work = async {
            let teller = progress::here();
            teller.tell(progress::Steps { done: 1, total: 2 });
            tokio::task::yield_now().await;
        };
        reporter.accompany(work, &Context::over(&history)).await;
        outbox.try_next().unwrap();
        let told = std::iter::from_fn(|| outbox.try_next()).map(|message| {
            let message: serde_json::Value =
                serde_json::from_slice(&message.parts.concat()).unwrap();
            assert_eq!(message["params"]["token"], 7);
            message["params"]["value"]["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        assert_eq!(told.collect::<Vec<_>>(), ["begin", "end"]);
    }

    #[test]
    fn null_can_be_taken_back() {
        let key = |params| cancelled_key(Some(params));
        assert_eq!(key(r#"{"id":null}"#), Some("null".to_owned()));
        assert_eq!(key(r#"{"id":"\u0061"}"#), Some("\"a".to_owned()));
        assert_eq!(key("{}"), None);
        assert_eq!(cancelled_key(None), None);
    }

    #[test]
    fn a_subscription_is_named_by_the_number_that_it_has() {
        for text in [
            "[7]",
            " [ 7 ] ",
            r#"{"subscription":7,"workDoneToken":"t","a":null}"#,
        ] {
            assert_eq!(subscription_of(Some(text)).unwrap(), 7);
        }
        for text in [
            "[]",
            "[7,8]",
            r#"["7"]"#,
            r#"{"subscription":"7"}"#,
            r#"{"subscription":-7}"#,
            r#"{"subscription":18446744073709551616}"#,
            "{}",
            "7",
        ] {
            let error = subscription_of(Some(text)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidParams, "{text}");
        }
        let error = subscription_of(Some(r#"{"subscripton":7}"#)).unwrap_err();
        assert_eq!(error.to_value()["data"]["nearest"], "subscription");
    }

    /// So does one that stands alone.
    #[test]
    fn an_answer_is_no_larger_than_a_frame() {
        let limit = FRAME_LIMIT_BYTES;
        let id = Bytes::from(format!("\"{:0<1000}\"", 1));
        for (bytes, changed) in [(limit - 3000, true), (limit, false), (limit, true)] {
            let given = bounded(Ok(Bytes::from(vec![b'1'; bytes])), changed);
            let length: usize = answer(&id, &given).iter().map(Bytes::len).sum();
            assert!(length <= limit);
            let Err(error) = given else {
                assert!(bytes < limit);
                continue;
            };
            assert_eq!(error.kind, ErrorKind::TooLarge);
            assert_eq!(error.to_value().to_string().contains("outcome"), changed);
        }
    }

    /// However long the answers are, their batch's fits into a frame.
    #[test]
    fn a_batch_is_no_larger_than_a_frame() {
        let limit = FRAME_LIMIT_BYTES;
        for (count, bytes, changed) in [(1000, 70_000, false), (1000, 1000, true), (3, limit, true)]
        {
            let entries = (0..count).map(|id| {
                let id = format!("\"{id:x<1000}\"");
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
            });
            let text = format!("[{}]", entries.collect::<Vec<_>>().join(","));
            let Frame::Batch(messages) = envelope::read(&Bytes::from(text)) else {
                panic!("no batch");
            };
            let batch = Batch::of(&messages);
            let given = Bytes::from(vec![b'1'; bytes]);
            let (mut gathered, mut refused) = (0, 0);
            for (place, message) in messages.iter().enumerate() {
                let Message::Request { id, .. } = message else {
                    panic!("{message:?}");
                };
                gathered += batch.put(place, id, &Ok(given.clone()), changed);
            }
            let parts = batch.take().unwrap();
            let length: usize = parts.iter().map(Bytes::len).sum();
            assert!(length <= limit, "{length}");
            assert_eq!(gathered + 1, length);
            for part in &parts {
                let text = std::str::from_utf8(part).unwrap();
                refused += usize::from(text.starts_with("{\"code\":413"));
                assert!(!text.contains("batch's") || changed == text.contains("\"outcome\""));
            }
            assert_eq!(refused > 0, count * bytes >= limit, "{count} of {bytes}");
        }
    }
}
