//! jsonrpsee's own client, unmodified, over a transport of ours: a message a line on the socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::io;

use jsonrpsee::core::client::{
    Client, ClientBuilder, ClientT, Error, ReceivedMessage, Subscription, SubscriptionClientT,
    TransportReceiverT, TransportSenderT,
};
use jsonrpsee::core::params::{BatchRequestBuilder, ObjectParams};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use support::{Daemon, PATIENCE, Root, record};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

struct Sender(OwnedWriteHalf);

impl TransportSenderT for Sender {
    type Error = io::Error;

    async fn send(&mut self, message: String) -> io::Result<()> {
        self.0.write_all(format!("{message}\n").as_bytes()).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

struct Receiver(Lines<BufReader<OwnedReadHalf>>);

impl TransportReceiverT for Receiver {
    type Error = io::Error;

    async fn receive(&mut self) -> io::Result<ReceivedMessage> {
        match self.0.next_line().await? {
            Some(line) => Ok(ReceivedMessage::Text(line)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn connect(daemon: &Daemon) -> Client {
    let stream = UnixStream::connect(daemon.socket.as_ref().unwrap())
        .await
        .unwrap();
    let (reader, writer) = stream.into_split();
    ClientBuilder::default()
        .request_timeout(PATIENCE)
        .build_with_tokio(Sender(writer), Receiver(BufReader::new(reader).lines()))
}

fn named(params: Value) -> ObjectParams {
    let mut named = ObjectParams::new();
    for (name, value) in params.as_object().unwrap() {
        named.insert(name, value).unwrap();
    }
    named
}

async fn next(changes: &mut Subscription<Value>) -> Value {
    tokio::time::timeout(PATIENCE, changes.next())
        .await
        .expect("a change comes")
        .expect("the subscription lives")
        .unwrap()
}

#[tokio::test]
async fn requests_errors_batches_and_subscriptions() {
    let root = Root::samples();
    let daemon = Daemon::socket(&root);
    let client = connect(&daemon).await;

    let list: Value = client
        .request(
            "executions/list",
            named(json!({ "limit": 2, "sync": true })),
        )
        .await
        .unwrap();
    assert_eq!(list["total"], 4);
    // no params at all, and params by position that are empty
    let stats: Value = client
        .request("executions/stats", rpc_params![])
        .await
        .unwrap();
    assert_eq!(stats["totalCostUSD"], 0.0443);

    let key = json!({ "projectId": "website", "executionId": "none" });
    let error = client
        .request::<Value, _>("executions/get", named(key))
        .await
        .unwrap_err();
    let Error::Call(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.code(), 404);
    assert!(error.data().unwrap().get().contains("execution-not-found"));

    let mut batch = BatchRequestBuilder::new();
    batch.insert("ping", rpc_params![]).unwrap();
    batch.insert("projects/list", rpc_params![]).unwrap();
    batch.insert("no/such", rpc_params![]).unwrap();
    let answers = client.batch_request::<Value>(batch).await.unwrap();
    assert_eq!(answers.num_successful_calls(), 2);
    assert_eq!(answers.num_failed_calls(), 1);
    client
        .notification("initialized", rpc_params![])
        .await
        .unwrap();

    // two subscriptions of one client, one of them filtered
    let since = json!({ "since": list["clock"] });
    let mut all: Subscription<Value> = client
        .subscribe(
            "executions/subscribe",
            named(since.clone()),
            "executions/unsubscribe",
        )
        .await
        .unwrap();
    let mut docs: Subscription<Value> = client
        .subscribe(
            "executions/subscribe",
            named(json!({ "since": list["clock"], "projectId": "docs" })),
            "executions/unsubscribe",
        )
        .await
        .unwrap();
    assert_eq!(next(&mut all).await["kind"], "current");
    assert_eq!(next(&mut docs).await["kind"], "current");
    root.engine("website", "a", &record("website", "a", "completed"));
    root.engine("docs", "b", &record("docs", "b", "completed"));
    assert_eq!(next(&mut docs).await["summary"]["id"], "b");
    let mut seen = [next(&mut all).await, next(&mut all).await]
        .map(|change| change["summary"]["id"].as_str().unwrap().to_owned());
    seen.sort();
    assert_eq!(seen, ["a", "b"]);

    all.unsubscribe().await.unwrap();
    root.engine("docs", "c", &record("docs", "c", "completed"));
    assert_eq!(next(&mut docs).await["summary"]["id"], "c");
    drop(docs);
    // the connection outlives its subscriptions, and another client sees the same
    let other = connect(&daemon).await;
    let total: Value = other
        .request("executions/list", named(json!({ "sync": true })))
        .await
        .unwrap();
    assert_eq!(total["total"], 7);
    client
        .request::<Value, _>("ping", rpc_params![])
        .await
        .unwrap();
}
