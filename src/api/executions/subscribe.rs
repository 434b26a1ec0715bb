//! `executions/subscribe` and `executions/unsubscribe`: changes as they happen.
//!
//! Section 5 of the protocol. A subscription is a tick and a filter: what happened after the tick
//! is read from the index when the client has taken what came before, so that a slow client costs
//! no memory and delays nobody. jsonrpsee keeps the subscriptions; this file is what they tell.

use std::sync::Arc;

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::server::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Statuses;
use super::asked::Asked;
use super::changes::next;
use crate::api::params::parse;
use crate::api::table::{Effect, Example, Method, Weight, entry};
use crate::api::{Clock, Context, Error, ErrorKind, samples};
use crate::history::LATER;
use crate::index::{Change, Changed, Clock as IndexClock, Cursor};
use crate::model::{ExecutionId, ProjectId, Summary};

/// The notification that carries a change.
pub const NOTIFICATION: &str = "executions/changed";

/// After so many ticks that were none of the client's business it is told a clock.
const SKIPPED_MAX: u64 = 10_000;
/// How many changes are read from the index at a time.
const BATCH: usize = 64;
/// How many ticks are looked at under one lock.
pub(super) const VISIT: usize = 4096;

/// What to tell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SubscribeParams")]
pub struct Params {
    /// Only this project; all if absent.
    pub project_id: Option<ProjectId>,
    /// Only runs with this status, or one of these; a run that changes to another is told as left.
    pub status: Option<Statuses>,
    /// Only runs that pass this filter; a changed one that does not is told as left. Its dates are
    /// what they are at each change; time that passes tells nothing.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The IANA time zone of the filter's dates; UTC if absent.
    pub timezone: Option<String>,
    /// Begin after this clock; now if absent.
    pub since: Option<String>,
}

/// One change, as told.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(
    tag = "kind",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Told {
    /// The run is there and matches: insert or replace it.
    Saved {
        /// The state after the change.
        clock: Clock,
        /// Whether the latest change of the run created it: no heartbeat does, nor what is noted on it.
        created: bool,
        /// The run.
        summary: Box<Summary>,
    },
    /// The run is gone.
    Deleted {
        /// The state after the change.
        clock: Clock,
        /// The project's folder.
        project_id: ProjectId,
        /// The file's stem.
        execution_id: ExecutionId,
    },
    /// The run is there and does not match: drop it if you hold it.
    Left {
        /// The state after the change.
        clock: Clock,
        /// The project's folder.
        project_id: ProjectId,
        /// The file's stem.
        execution_id: ExecutionId,
    },
    /// Nothing but the state that you have now.
    Current {
        /// The state.
        clock: Clock,
    },
    /// Something may be missing: drop what you hold and list again.
    Resync {
        /// Changes after this state follow.
        clock: Clock,
    },
}

impl Told {
    /// How `change` is told, once it is decided.
    pub(super) fn of(change: Change) -> Option<Self> {
        let clock = Clock(change.clock);
        Some(match change.what {
            Changed::Saved { created, summary } => Self::Saved {
                clock,
                created,
                summary,
            },
            Changed::Deleted(key) => Self::Deleted {
                clock,
                project_id: key.project,
                execution_id: key.execution,
            },
            Changed::Left(key) => Self::Left {
                clock,
                project_id: key.project,
                execution_id: key.execution,
            },
            Changed::Undecided(_) => return None,
        })
    }

    /// The state after it.
    fn clock(&self) -> Clock {
        match self {
            Self::Saved { clock, .. }
            | Self::Deleted { clock, .. }
            | Self::Left { clock, .. }
            | Self::Current { clock }
            | Self::Resync { clock } => *clock,
        }
    }
}

/// A subscription's id.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SubscriptionId(pub u64);

/// The method that begins.
pub struct Subscribe;

impl Method for Subscribe {
    const NAME: &'static str = "executions/subscribe";
    const SUMMARY: &'static str = "Tells changes as they happen, by `executions/changed`.";
    const DESCRIPTION: &'static str = "The id comes before the first notification. With `since`: \
        the latest state of everything changed after that clock, then `current`, then live. A clock \
        that cannot be honoured yields `resync` first. List, then subscribe since the first page's \
        clock: nothing is missed.";
    const EFFECT: Effect = Effect::Read;
    const WEIGHT: Weight = Weight::Light;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Params;
    type Result = SubscriptionId;

    async fn call(_: Arc<Context>, _: Params) -> Result<SubscriptionId, Error> {
        Err(only_in_a_session())
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "failed runs of a project from now on",
            params: json!({ "projectId": "website", "status": "failed" }),
            result: json!(samples::SUBSCRIPTION),
        }]
    }
}

/// Which subscription.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UnsubscribeParams")]
pub struct UnsubscribeParams {
    /// The id that `executions/subscribe` gave; also accepted as the only positional parameter.
    // the schema stays the one that was released
    #[schemars(with = "serde_json::Value")]
    pub subscription: u64,
}

/// The method that ends.
pub struct Unsubscribe;

impl Method for Unsubscribe {
    const NAME: &'static str = "executions/unsubscribe";
    const SUMMARY: &'static str = "Ends a subscription.";
    const DESCRIPTION: &'static str =
        "True if there was one. No notification of it comes after the answer.";
    const EFFECT: Effect = Effect::None;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = UnsubscribeParams;
    type Result = bool;

    async fn call(_: Arc<Context>, _: UnsubscribeParams) -> Result<bool, Error> {
        Err(only_in_a_session())
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "one that is not there",
            params: json!({ "subscription": 0 }),
            result: json!(false),
        }]
    }
}

fn only_in_a_session() -> Error {
    Error::new(ErrorKind::Internal, "subscriptions belong to a connection")
}

/// Whether jsonrpsee calls `name` by way of [`register`].
pub(crate) fn is_ours(name: &str) -> bool {
    name == Subscribe::NAME || name == Unsubscribe::NAME
}

/// Adds the two methods to `module`.
pub(in crate::api) fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        Subscribe::NAME,
        NOTIFICATION,
        Unsubscribe::NAME,
        |params, pending: PendingSubscriptionSink, context, _| async move {
            let known = entry(Subscribe::NAME).map_or(&[][..], |entry| &entry.known_params);
            match parse::<Params>(params.as_str(), known, false) {
                Err(error) => pending.reject(error).await,
                Ok(params) => {
                    let asked = Asked::of(
                        params.project_id,
                        params.status,
                        params.filter.as_deref(),
                        params.timezone.as_deref(),
                    );
                    let asked = match asked {
                        Ok(asked) => asked,
                        Err(error) => return pending.reject(error).await,
                    };
                    let since = params.since.as_deref();
                    if since.is_none_or(|since| honoured(&context, since).is_none()) {
                        // what a former daemon kept may not have been read yet, and the first
                        // index would be told run by run; after 30 s let it
                        let _ = context.history.ready(asked.plain.project.as_ref()).await;
                    }
                    if let Ok(sink) = pending.accept().await {
                        tell(&context, &sink, &asked, params.since).await;
                    }
                }
            }
        },
    )?;
    Ok(())
}

/// Whether a clock that a client sent can be gone on from.
pub(super) fn honoured(context: &Context, since: &str) -> Option<IndexClock> {
    IndexClock::parse(since).filter(|clock| context.history.honours(*clock))
}

/// Sends a subscription's changes until nobody wants them.
async fn tell(context: &Context, sink: &SubscriptionSink, asked: &Asked, since: Option<String>) {
    let history = &context.history;
    let mut ticks = history.ticks();
    let mut now = history.clock();
    let mut replay_until = None;
    let (mut cursor, greeting) = match since {
        None => (
            Cursor::after(now.tick),
            Some(Told::Current { clock: Clock(now) }),
        ),
        Some(since) => match honoured(context, &since) {
            Some(clock) => {
                replay_until = Some(now.tick);
                (Cursor::after(clock.tick), None)
            }
            None => (
                Cursor::after(now.tick),
                Some(Told::Resync { clock: Clock(now) }),
            ),
        },
    };
    if let Some(greeting) = greeting
        && send(sink, &greeting).await.is_none()
    {
        return;
    }
    let mut told = cursor.tick();
    loop {
        ticks.borrow_and_update();
        let found = match next(context, &mut cursor, asked, BATCH, VISIT).await {
            Ok((found, clock)) => {
                now = clock;
                found
            }
            Err(error) => {
                tokio::select! {
                    () = tokio::time::sleep(LATER) => {}
                    () = sink.closed() => return,
                }
                match error.kind {
                    // the system is short of what reading records takes
                    ErrorKind::Storage | ErrorKind::Overloaded => continue,
                    // whatever it is, nobody waits in vain
                    _ => {
                        now = history.clock();
                        None
                    }
                }
            }
        };
        let Some(found) = found else {
            cursor = Cursor::after(now.tick);
            told = now.tick;
            replay_until = None;
            if send(sink, &Told::Resync { clock: Clock(now) })
                .await
                .is_none()
            {
                return;
            }
            continue;
        };
        for change in found {
            told = change.clock().0.tick;
            if send(sink, &change).await.is_none() {
                return;
            }
        }
        let here = Clock(IndexClock {
            instance: now.instance,
            tick: cursor.tick(),
        });
        let replayed = replay_until.is_some_and(|until| cursor.tick() >= until);
        if replayed || cursor.tick() - told >= SKIPPED_MAX {
            replay_until = replay_until.filter(|_| !replayed);
            told = cursor.tick();
            if send(sink, &Told::Current { clock: here }).await.is_none() {
                return;
            }
        }
        if cursor.tick() < now.tick {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            changed = ticks.changed() => if changed.is_err() { return },
            () = sink.closed() => return,
        }
    }
}

async fn send(sink: &SubscriptionSink, told: &Told) -> Option<()> {
    let message = serde_json::value::to_raw_value(told).ok()?;
    sink.send(message).await.ok()
}
