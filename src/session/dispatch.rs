//! From a request to jsonrpsee's method and back.
//!
//! jsonrpsee keeps the methods, the subscriptions and their ids; this is the part of its server
//! that a transport of one's own has to bring: the four kinds of callbacks. The library gets an
//! id of ours; the client's own never goes through it. It does not know about ordering, limits or
//! who waits: that is the session's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::core::server::{
    BoundedSubscriptions, ConnectionId, MethodCallback, MethodResponse, MethodSink, Methods,
    SubscriptionState,
};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::types::{ErrorObjectOwned, Request, SubscriptionId};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::api::{Error, ErrorKind, FRAME_LIMIT_BYTES, SUBSCRIPTION_LIMIT};

/// How many notifications of a subscription wait between its maker and the outbox.
const SUBSCRIPTION_QUEUE: usize = 16;

/// Numbers subscriptions; unique in the process.
#[derive(Debug)]
struct Numbers;

impl IdProvider for Numbers {
    fn next_id(&self) -> SubscriptionId<'static> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        SubscriptionId::Num(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The notifications of a subscription; the first message is the answer to the subscribing.
pub type Feed = mpsc::Receiver<Box<RawValue>>;

/// One connection's access to the methods.
#[derive(Debug, Clone)]
pub struct Service {
    methods: Methods,
    connection: ConnectionId,
    subscriptions: BoundedSubscriptions,
    /// What successful subscribings opened, by the request's id, until the session fetches it.
    opened: Arc<Mutex<HashMap<u64, Feed>>>,
}

impl Service {
    /// The service of the connection numbered `connection`.
    #[must_use]
    pub fn new(methods: Methods, connection: usize) -> Self {
        Self {
            methods,
            connection: ConnectionId(connection),
            subscriptions: BoundedSubscriptions::new(SUBSCRIPTION_LIMIT),
            opened: Arc::default(),
        }
    }

    /// The feed that request `id` opened.
    #[must_use]
    pub fn opened(&self, id: u64) -> Option<Feed> {
        self.opened.lock().remove(&id)
    }
}

impl RpcServiceT for Service {
    type MethodResponse = MethodResponse;
    type NotificationResponse = ();
    type BatchResponse = Vec<MethodResponse>;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let params = request.params();
            let extensions = request.extensions.clone();
            let refuse = |error: Error| {
                MethodResponse::error(request.id.clone(), ErrorObjectOwned::from(error))
            };
            let Some((_, callback)) = service.methods.method_with_name(&request.method) else {
                return refuse(Error::new(
                    ErrorKind::MethodNotFound,
                    "there is no such method",
                ));
            };
            match callback {
                MethodCallback::Sync(callback) => {
                    callback(request.id.clone(), params, FRAME_LIMIT_BYTES, extensions)
                }
                MethodCallback::Async(callback) => {
                    let id = request.id.clone().into_owned();
                    let params = params.into_owned();
                    callback(
                        id,
                        params,
                        service.connection,
                        FRAME_LIMIT_BYTES,
                        extensions,
                    )
                    .await
                }
                MethodCallback::Subscription(callback) => {
                    let Some(subscription_permit) = service.subscriptions.acquire() else {
                        let message = format!(
                            "a connection may have {SUBSCRIPTION_LIMIT} subscriptions; end one first"
                        );
                        return refuse(Error::new(ErrorKind::Overloaded, message));
                    };
                    let (sender, feed) = mpsc::channel(SUBSCRIPTION_QUEUE);
                    let state = SubscriptionState {
                        conn_id: service.connection,
                        id_provider: &Numbers,
                        subscription_permit,
                    };
                    let id = request.id.clone();
                    let sink = MethodSink::new(sender);
                    let response = callback(id.clone(), params, sink, state, extensions).await;
                    if response.is_success()
                        && let jsonrpsee::types::Id::Number(id) = id
                    {
                        service.opened.lock().insert(id, feed);
                    }
                    response
                }
                MethodCallback::Unsubscription(callback) => callback(
                    request.id.clone(),
                    params,
                    service.connection,
                    FRAME_LIMIT_BYTES,
                    extensions,
                ),
            }
        }
    }

    /// Never asked for: the session takes batches apart, so that each entry has its own turn.
    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = Vec<MethodResponse>> + Send + 'a {
        std::future::ready(Vec::new())
    }

    /// Notifications reach no method; those of the protocol are the session's.
    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = ()> + Send + 'a {
        std::future::ready(())
    }
}

/// A request for the library, under an id of ours.
#[must_use]
pub fn request<'a>(id: u64, method: &'a str, params: Option<&'a RawValue>) -> Request<'a> {
    let mut request = Request::borrowed(method, None, jsonrpsee::types::Id::Number(id));
    request.params = params.map(Cow::Borrowed);
    request
}
