//! Sessions from outside, over a pipe in memory: order, cancelling, batches, progress, the end. They
//! are here because a session knows no framing.

use std::sync::atomic::{AtomicUsize, Ordering};

use jsonrpsee::{Methods, RpcModule};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::api::table::methods;
use crate::api::{Context, PAGES_MAX, RECORDS_MAX, UNSENT_LIMIT_BYTES, place, samples};
use crate::history::{History, Moment, Options};
use crate::model::{ExecutionId, ProjectId, RunKey};
use crate::session::outbox::PATIENCE;
use crate::store::Expect;

/// A session in memory over the sample projects, and its client.
struct Client {
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: Option<WriteHalf<DuplexStream>>,
    served: JoinHandle<End>,
    context: Arc<Context>,
    ending: watch::Sender<bool>,
    root: tempfile::TempDir,
    history: Arc<History>,
}

impl Client {
    /// `pipe_bytes` are on the way at most.
    fn connect(pipe_bytes: usize) -> Self {
        Self::connect_by(Kind::Socket, pipe_bytes)
    }

    fn connect_by(kind: Kind, pipe_bytes: usize) -> Self {
        let client = Self::starting(kind, pipe_bytes, |methods| methods);
        client.history.begin(Moment::now());
        while client.history.first_step() {}
        while client.history.pass(Moment::now()) {}
        client
    }

    /// The same before anything is known, with other methods in place of some.
    fn starting(kind: Kind, pipe_bytes: usize, change: impl FnOnce(Methods) -> Methods) -> Self {
        let root = tempfile::tempdir().unwrap();
        samples::lay_out(root.path()).unwrap();
        let history = Arc::new(History::new(root.path().to_owned(), Options::default()));
        let context = Context::over(&history);
        let (ending, receiver) = watch::channel(false);
        let shared = Shared {
            methods: change(methods(Arc::clone(&context)).unwrap()),
            context: Arc::clone(&context),
            ending: receiver,
            process_ended: |_| std::future::ready(false).boxed(),
        };
        let (ours, theirs) = duplex(pipe_bytes);
        let (reader, writer) = split(theirs);
        let served = tokio::spawn(serve(reader, writer, shared, kind));
        let (reader, writer) = split(ours);
        Self {
            reader: BufReader::new(reader),
            writer: Some(writer),
            served,
            context,
            ending,
            root,
            history,
        }
    }

    async fn send(&mut self, text: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer
            .write_all(format!("{text}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn request(&mut self, id: u64, method: &str, params: Value) {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request.to_string()).await;
    }

    /// Changes by somebody else: more than a small pipe holds of what is told of them.
    fn others_save(&self) {
        for number in 0..20 {
            let id = format!("run-{number}");
            let key = RunKey {
                project: ProjectId::parse("website").unwrap(),
                execution: ExecutionId::parse(&id).unwrap(),
            };
            let text = format!(r#"{{"id":"{id}"}}"#);
            self.history.save(&key, &text, &Expect::Anything).unwrap();
        }
    }

    async fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).await.unwrap();
        (read > 0).then(|| serde_json::from_str(&line).unwrap())
    }
}

fn run(id: &str, note: u64) -> Value {
    json!({ "projectId": "website", "execution": { "id": id, "note": note } })
}

/// A person saves in place, or by backup-and-rename, while others ask for the run.
#[tokio::test(start_paused = true)]
async fn who_asks_waits_a_moment_for_the_file_of_a_listed_run() {
    let mut client = Client::connect(1 << 20);
    client.request(0, "executions/save", run("same", 1)).await;
    client.receive().await.unwrap();
    let file = client.root.path().join("website/executions/same.json");
    let saved = std::fs::read(&file).unwrap();
    let key = |id| json!({ "projectId": "website", "executionId": id });
    let mut pieces = key("same");
    pieces["fields"] = json!(["/note"]);
    let beginning = json!({ "executionId": "sam" });
    for torn in [true, false] {
        let away = || match torn {
            true => std::fs::write(&file, &saved[..20]).unwrap(),
            false => std::fs::remove_file(&file).unwrap(),
        };
        for params in [key("same"), pieces.clone(), beginning.clone()] {
            away();
            client.request(1, "executions/get", params.clone()).await;
            // nobody else does
            client.request(2, "executions/stats", json!({})).await;
            assert_eq!(client.receive().await.unwrap()["id"], 2);
            tokio::time::sleep(Duration::from_millis(25)).await;
            std::fs::write(&file, &saved).unwrap();
            let answer = client.receive().await.unwrap();
            assert!(answer["result"]["version"].is_string(), "{answer}");
            away();
            let began = tokio::time::Instant::now();
            client.request(3, "executions/get", params).await;
            let answer = client.receive().await.unwrap();
            let code = if torn { 422 } else { 404 };
            assert_eq!(answer["error"]["code"], code, "{answer}");
            assert_eq!(began.elapsed(), Duration::from_millis(50));
            std::fs::write(&file, &saved).unwrap();
        }
    }
    // nobody misses one that was never there
    let began = tokio::time::Instant::now();
    client.request(4, "executions/get", key("none")).await;
    assert_eq!(client.receive().await.unwrap()["error"]["code"], 404);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn saves_of_one_run_keep_their_order_and_reads_see_them() {
    let mut client = Client::connect(1 << 20);
    for id in 0..50 {
        client.request(id, "executions/save", run("same", id)).await;
    }
    let key = json!({ "projectId": "website", "executionId": "same" });
    client.request(50, "executions/get", key.clone()).await;
    client.request(51, "executions/delete", key.clone()).await;
    client.request(52, "executions/get", key).await;
    let mut answers = Vec::new();
    for _ in 0..53 {
        answers.push(client.receive().await.unwrap());
    }
    let of = |id: u64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(of(50)["result"]["execution"]["note"], 49);
    assert_eq!(of(51)["result"]["deleted"], true);
    assert_eq!(of(52)["error"]["code"], 404);
    let created: Vec<u64> = answers
        .iter()
        .filter(|answer| answer["result"]["created"] == true)
        .filter_map(|answer| answer["id"].as_u64())
        .collect();
    assert_eq!(created, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_thirty_seconds_is_cut_off() {
    let mut client = Client::connect(1 << 10);
    client.request(1, "rpc.discover", json!({})).await;
    // time only moves when nothing else can happen
    let began = Instant::now();
    assert_eq!((&mut client.served).await.unwrap(), End::Closed);
    let waited = began.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE * 2, "{waited:?}");
}

/// It has one for its own client, which may take its time for each message.
#[tokio::test(start_paused = true)]
async fn a_relay_is_given_patience() {
    for ends in [false, true] {
        let mut client = Client::connect(1 << 10);
        let relay = json!({ "capabilities": { "relay": true } });
        client.request(0, "initialize", relay).await;
        assert_eq!(client.receive().await.unwrap()["id"], 0);
        client.request(1, "rpc.discover", json!({})).await;
        if ends {
            drop(client.writer.take().unwrap().shutdown().await);
        }
        tokio::time::sleep(PATIENCE * 3).await;
        assert_eq!(client.receive().await.unwrap()["id"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_more_to_ask_may_take_his_time_until_the_daemon_ends() {
    for hurried in [false, true] {
        let mut client = Client::connect(1 << 10);
        client.request(1, "rpc.discover", json!({})).await;
        drop(client.writer.take().unwrap().shutdown().await);
        for _ in 0..10 {
            tokio::time::sleep(PATIENCE / 3).await;
            let mut some = [0; 10_000];
            client.reader.read_exact(&mut some).await.unwrap();
        }
        let mut rest = Vec::new();
        if hurried {
            let began = Instant::now();
            client.ending.send_replace(true);
            assert_eq!((&mut client.served).await.unwrap(), End::Closed);
            assert!(began.elapsed() < 2 * FLUSH_WITHIN);
        }
        client.reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.ends_with(b"}\n"), !hurried);
    }
}

/// What is left to be done then has its whole time, but for what is in flight.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_daemon_counts_from_when_its_client_has_taken_all() {
    for (slow, hurried) in [(false, false), (true, false), (true, true)] {
        let mut client = Client::connect_by(Kind::Stdio, 1 << 10);
        client.request(1, "rpc.discover", json!({})).await;
        drop(client.writer.take().unwrap().shutdown().await);
        let began = Instant::now();
        if slow {
            tokio::time::sleep(PATIENCE / 3).await;
        }
        if hurried {
            client.ending.send_replace(true);
        } else {
            client.reader.read_to_end(&mut Vec::new()).await.unwrap();
        }
        assert_eq!((&mut client.served).await.unwrap(), End::Closed);
        let ending = Instant::from_std(*client.context.ending.get().unwrap());
        let expected = if slow { PATIENCE / 3 } else { Duration::ZERO };
        assert_eq!(ending - began, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_after_his_last_question_is_cut_off() {
    let mut client = Client::connect(1 << 10);
    client.request(1, "executions/subscribe", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 1);
    client.others_save();
    let began = Instant::now();
    // they are told before he asks no more
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(client.writer.take().unwrap().shutdown().await);
    assert_eq!((&mut client.served).await.unwrap(), End::Closed);
    let waited = began.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_owes_notifications_is_waited_for() {
    let mut client = Client::connect(1 << 10);
    client.request(1, "executions/subscribe", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 1);
    assert_eq!(
        client.receive().await.unwrap()["params"]["result"]["kind"],
        "current"
    );
    client.others_save();
    tokio::time::sleep(PATIENCE * 3).await;
    assert!(!client.served.is_finished());
    client.request(99, "ping", json!({})).await;
    while client.receive().await.unwrap()["id"] != 99 {}
}

#[tokio::test]
async fn requests_wait_while_too_much_is_unsent_and_all_are_answered() {
    let mut client = Client::connect(1 << 16);
    let big = "x".repeat(6 << 20);
    let execution = json!({ "id": "big", "output": big });
    let save = json!({ "projectId": "website", "execution": execution });
    client.request(0, "executions/save", save).await;
    assert_eq!(client.receive().await.unwrap()["id"], 0);
    let key = json!({ "projectId": "website", "executionId": "big" });
    for id in 1..=20 {
        client.request(id, "executions/get", key.clone()).await;
    }
    // more than may be unsent: the later ones start as the earlier ones are taken
    const { assert!(UNSENT_LIMIT_BYTES < 20 * (6 << 20)) };
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 20 {
        let answer = client.receive().await.unwrap();
        assert_eq!(
            answer["result"]["execution"]["output"]
                .as_str()
                .unwrap()
                .len(),
            6 << 20
        );
        assert!(seen.insert(answer["id"].as_u64().unwrap()));
    }
}

#[tokio::test]
async fn the_end_of_input_and_of_the_daemon_let_everything_be_answered() {
    for signal in [false, true] {
        let mut client = Client::connect(1 << 20);
        for id in 0..30 {
            client
                .request(id, "executions/save", run(&format!("run-{id}"), id))
                .await;
        }
        if signal {
            // the last of them has arrived when a later one is answered
            client.request(30, "ping", json!({})).await;
            let mut early = vec![client.receive().await.unwrap()];
            while early.last().unwrap()["id"] != 30 {
                early.push(client.receive().await.unwrap());
            }
            client.ending.send_replace(true);
            let mut count = early.len();
            while client.receive().await.is_some() {
                count += 1;
            }
            assert_eq!(count, 31);
        } else {
            client.writer.take().unwrap().shutdown().await.unwrap();
            let mut rest = String::new();
            client.reader.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest.lines().count(), 30);
        }
        assert_eq!((&mut client.served).await.unwrap(), End::Closed);
        let saved = client.root.path().join("website/executions/run-29.json");
        assert!(saved.exists());
    }
}

#[tokio::test]
async fn a_waiting_request_can_be_cancelled_and_a_started_change_cannot() {
    let mut client = Client::connect(1 << 20);
    client.request(1, "executions/save", run("a", 1)).await;
    client.request(2, "executions/save", run("a", 2)).await;
    client.request(3, "executions/list", json!({})).await;
    for id in 1..=3 {
        client
            .send(&format!(
                r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id}}}}}"#
            ))
            .await;
    }
    let mut answers = std::collections::BTreeMap::new();
    for _ in 0..3 {
        let answer = client.receive().await.unwrap();
        answers.insert(answer["id"].as_u64().unwrap(), answer);
    }
    // the first had begun; the others waited for it, unless it was very quick
    assert_eq!(answers[&1]["result"]["created"], true);
    for id in [2, 3] {
        let code = &answers[&id]["error"]["code"];
        assert!(code.is_null() || *code == -32800, "{}", answers[&id]);
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_index_requests_wait_unless_told_not_to() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.history.begin(Moment::now());
    let began = Instant::now();
    client.request(1, "executions/list", json!({})).await;
    client
        .request(2, "executions/list", json!({ "allowPartial": true }))
        .await;
    let partial = client.receive().await.unwrap();
    assert_eq!(partial["id"], 2);
    assert_eq!(partial["result"]["complete"], false);
    let refused = client.receive().await.unwrap();
    assert_eq!(refused["id"], 1);
    assert_eq!(refused["error"]["code"], 503);
    assert_eq!(refused["error"]["data"]["kind"], "not-ready");
    assert_eq!(refused["error"]["data"]["retryable"], true);
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(30) && waited < Duration::from_secs(40),
        "{waited:?}"
    );
    client.request(3, "executions/stats", json!({})).await;
    client.request(4, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 4);
    while client.history.first_step() {}
    let answer = client.receive().await.unwrap();
    assert_eq!(answer["result"]["totalExecutions"], 4, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_cancelled_or_refused_when_the_daemon_ends() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.history.begin(Moment::now());
    for id in 1..=2 {
        client.request(id, "executions/list", json!({})).await;
    }
    client
        .send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
        .await;
    let cancelled = client.receive().await.unwrap();
    assert_eq!(cancelled["id"], 1);
    assert_eq!(cancelled["error"]["code"], -32800);
    assert_eq!(cancelled["error"]["data"]["kind"], "request-cancelled");
    client.ending.send_replace(true);
    let began = Instant::now();
    let refused = client.receive().await.unwrap();
    assert_eq!(refused["id"], 2);
    assert_eq!(refused["error"]["code"], 503);
    assert!(client.receive().await.is_none());
    assert!(began.elapsed() <= Duration::from_millis(1_900));
}

/// As netcat does at the end of its input.
#[tokio::test(start_paused = true)]
async fn whoever_has_no_more_to_ask_is_answered_however_long_it_takes() {
    for ends in [false, true] {
        let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
        client.history.begin(Moment::now());
        client.request(1, "executions/list", json!({})).await;
        drop(client.writer.take().unwrap().shutdown().await);
        tokio::time::sleep(session::GRACE * 10).await;
        match ends {
            true => drop(client.ending.send_replace(true)),
            false => while client.history.first_step() {},
        }
        let answer = client.receive().await.unwrap();
        assert_eq!(answer["error"]["data"]["ending"] == true, ends, "{answer}");
        assert_eq!(answer["result"]["total"] == 4, !ends, "{answer}");
        assert!(client.receive().await.is_none());
        assert_eq!((&mut client.served).await.unwrap(), End::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_for_long_for_whoever_is_gone() {
    let client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.history.begin(Moment::now());
    let mut client = client;
    client.request(1, "executions/list", json!({})).await;
    let Client {
        served,
        reader,
        writer,
        ..
    } = client;
    drop((reader, writer));
    let began = Instant::now();
    assert_eq!(served.await.unwrap(), End::Closed);
    assert!(began.elapsed() <= session::GRACE);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_his_leave_is_not_told_that_the_daemon_ends() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.history.begin(Moment::now());
    client.request(1, "executions/list", json!({})).await;
    client.send(r#"{"jsonrpc":"2.0","method":"exit"}"#).await;
    let refused = client.receive().await.unwrap();
    assert_eq!(refused["error"]["code"], 503);
    assert!(refused["error"]["data"]["ending"].is_null(), "{refused}");
}

#[tokio::test]
async fn what_is_refused_does_nothing_to_the_connection() {
    let mut client = Client::connect(1 << 20);
    let mut code = async |method: &str, params: Value| {
        client.request(1, method, params).await;
        client.receive().await.unwrap()["error"]["code"].clone()
    };
    assert_eq!(code("initialize", json!(5)).await, -32602);
    assert_eq!(code("initialize", json!({})).await, Value::Null);
    assert_eq!(code("initialize", json!({})).await, -32600);
    assert_eq!(code("shutdown", json!({ "foo": 1 })).await, -32602);
    assert_eq!(code("ping", json!({})).await, Value::Null);
    client.send(r#"{"jsonrpc":"2.0","method":"exit"}"#).await;
    let end = (&mut client.served).await.unwrap();
    let after_shutdown = false;
    assert_eq!(end, End::Exit { after_shutdown });
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_taken_back_is_none() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.request(1, "executions/save", run("a", 1)).await;
    client.request(2, "shutdown", json!({})).await;
    client
        .send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        .await;
    assert_eq!(client.receive().await.unwrap()["error"]["code"], -32800);
    client.request(3, "ping", json!({})).await;
    let pong = json!({ "jsonrpc": "2.0", "id": 3, "result": {} });
    assert_eq!(client.receive().await.unwrap(), pong);
}

#[tokio::test(start_paused = true)]
async fn a_change_can_be_taken_back_before_anything_is_known() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| methods);
    client.request(1, "executions/save", run("a", 1)).await;
    client
        .send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
        .await;
    let answer = tokio::time::timeout(PATIENCE, client.receive()).await;
    assert_eq!(answer.unwrap().unwrap()["error"]["code"], -32800);
    client.request(2, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn a_defect_costs_its_request_and_not_the_connection() {
    let mut client = Client::starting(Kind::Socket, 1 << 20, |methods| {
        let mut module = RpcModule::new(());
        module.merge(methods).unwrap();
        module.remove_method("executions/stats");
        module
            .register_async_method("executions/stats", |_, _, _| async {
                if true {
                    std::panic::resume_unwind(Box::new("a defect"));
                }
            })
            .unwrap();
        module.into()
    });
    client.request(1, "executions/stats", json!({})).await;
    let answer = client.receive().await.unwrap();
    assert_eq!(answer["id"], 1);
    assert_eq!(answer["error"]["code"], -32603);
    assert_eq!(answer["error"]["data"]["kind"], "internal-error");
    client.request(2, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 2);
}

/// What ends later is answered later, so that nothing of it is counted while it is under way.
#[tokio::test]
async fn what_ends_later_is_begun_a_few_at_a_time_and_in_order() {
    let (begun, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let mut client = Client::starting(Kind::Socket, 1 << 16, |methods| {
        let mut module = RpcModule::new((begun, released));
        module.merge(methods).unwrap();
        for name in ["executions/count", "executions/diff"] {
            module.remove_method(name);
            module
                .register_async_method(name, move |params, of, _| async move {
                    let [number]: [u64; 1] = params.parse().unwrap();
                    of.0.send((name, number)).unwrap();
                    let _ = of.1.clone().wait_for(|released| *released).await;
                })
                .unwrap();
        }
        module.into()
    });
    for number in 0..40 {
        client
            .request(number, "executions/count", json!([number]))
            .await;
        client
            .request(100 + number, "executions/diff", json!([number]))
            .await;
    }
    // what is small passes
    client.history.begin(Moment::now());
    while client.history.first_step() {}
    client.request(998, "executions/save", run("a", 1)).await;
    assert_eq!(client.receive().await.unwrap()["id"], 998);
    client.request(999, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 999);
    let mut order: [Vec<u64>; 2] = Default::default();
    let mut count = |seen: &mut tokio::sync::mpsc::UnboundedReceiver<_>| {
        while let Ok((name, number)) = seen.try_recv() {
            order[usize::from(name == "executions/diff")].push(number);
        }
        order.clone()
    };
    assert_eq!(count(&mut seen).map(|all| all.len()), [16, 4]);
    release.send_replace(true);
    for _ in 0..80 {
        client.receive().await.unwrap();
    }
    assert!(
        count(&mut seen)
            .iter()
            .all(|all| all.iter().copied().eq(0..40))
    );
}

/// However many batches wait for one of their answers, the others that they have are bounded.
#[tokio::test]
async fn batches_gather_no_more_than_may_be_unsent_and_all_come_to_their_end() {
    const BIG_BYTES: usize = 4 << 20;
    let counted = Arc::new(AtomicUsize::new(0));
    let (release, released) = watch::channel(false);
    let mut client = Client::starting(Kind::Socket, 1 << 16, |methods| {
        let mut module = RpcModule::new((Arc::clone(&counted), released));
        module.merge(methods).unwrap();
        module.remove_method("executions/stats");
        module.remove_method("executions/count");
        module
            .register_async_method("executions/stats", |_, of, _| async move {
                of.0.fetch_add(1, Ordering::Relaxed);
                "x".repeat(BIG_BYTES)
            })
            .unwrap();
        module
            .register_async_method("executions/count", |_, of, _| async move {
                let _ = of.1.clone().wait_for(|released| *released).await;
            })
            .unwrap();
        module.into()
    });
    let one = |id: usize, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    for batch in 0..20 {
        let entries = [
            one(2 * batch, "executions/count"),
            one(2 * batch + 1, "executions/stats"),
        ];
        client.send(&json!(entries).to_string()).await;
    }
    client.request(99, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 99);
    let most = UNSENT_LIMIT_BYTES / BIG_BYTES + 1;
    let begun = counted.load(Ordering::Relaxed);
    assert!((1..=most).contains(&begun), "{begun}");
    release.send_replace(true);
    for _ in 0..20 {
        let answer = client.receive().await.unwrap();
        assert_eq!(answer.as_array().unwrap().len(), 2);
    }
    assert_eq!(counted.load(Ordering::Relaxed), 20);
}

/// Else it would wait for what waits for it.
#[tokio::test]
async fn nothing_begins_that_waits_for_a_change_which_has_no_place_yet() {
    let (release, released) = watch::channel(false);
    let mut client = Client::starting(Kind::Socket, 1 << 16, |methods| {
        let mut module = RpcModule::new(released);
        module.merge(methods).unwrap();
        module.remove_method("executions/stats");
        module
            .register_async_method("executions/stats", |_, released, _| async move {
                let _ = released.as_ref().clone().wait_for(|is| *is).await;
                "x".repeat(UNSENT_LIMIT_BYTES / PAGES_MAX)
            })
            .unwrap();
        module.into()
    });
    client.history.begin(Moment::now());
    while client.history.first_step() {}
    let one = |id: usize, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    // the first of them, together, leave no room for another answer
    let mut entries: Vec<Value> = (0..PAGES_MAX + 4)
        .map(|id| one(id, "executions/stats"))
        .collect();
    entries.push(one(98, "executions/deleteAll"));
    entries.push(one(99, "server/status"));
    let count = entries.len();
    client.send(&json!(entries).to_string()).await;
    client.request(100, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 100);
    release.send_replace(true);
    let answer = client.receive().await.unwrap();
    assert_eq!(answer.as_array().unwrap().len(), count);
}

#[tokio::test]
async fn what_was_taken_back_has_its_place_until_its_thread_is_done() {
    let begun = Arc::new(AtomicUsize::new(0));
    let (release, released) = watch::channel(false);
    let mut client = Client::starting(Kind::Socket, 1 << 16, |methods| {
        let mut module = RpcModule::new((Arc::clone(&begun), released));
        module.merge(methods).unwrap();
        module.remove_method("executions/get");
        module
            .register_async_method("executions/get", |_, of, _| async move {
                of.0.fetch_add(1, Ordering::Relaxed);
                let (place, mut released) = (place::here(), of.1.clone());
                assert!(place.is_some());
                tokio::spawn(async move {
                    let _place = place;
                    let _ = released.wait_for(|released| *released).await;
                });
                std::future::pending::<()>().await;
            })
            .unwrap();
        module.into()
    });
    for id in 0..2 * RECORDS_MAX as u64 {
        client.request(id, "executions/get", json!({})).await;
        let cancel = json!({
            "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id },
        });
        client.send(&cancel.to_string()).await;
        let answer = client.receive().await.unwrap();
        assert_eq!(answer["error"]["code"], -32800, "{answer}");
    }
    assert_eq!(begun.load(Ordering::Relaxed), RECORDS_MAX);
    client.request(99, "executions/get", json!({})).await;
    client.request(100, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 100);
    assert_eq!(begun.load(Ordering::Relaxed), RECORDS_MAX);
    release.send_replace(true);
    while begun.load(Ordering::Relaxed) == RECORDS_MAX {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_batch_is_answered_once_and_its_subscription_after_it() {
    let mut client = Client::connect(1 << 20);
    client
        .send(
            r#"[{"jsonrpc":"2.0","id":"s","method":"executions/subscribe"},
            {"jsonrpc":"2.0","method":"initialized"},7,
            {"jsonrpc":"2.0","id":2,"method":"ping"}]"#
                .replace('\n', "")
                .as_str(),
        )
        .await;
    let batch = client.receive().await.unwrap();
    let ids: Vec<&Value> = batch
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| &answer["id"])
        .collect();
    assert_eq!(ids, [&json!("s"), &Value::Null, &json!(2)]);
    let subscription = &batch[0]["result"];
    let current = client.receive().await.unwrap();
    assert_eq!(current["params"]["subscription"], *subscription);
    assert_eq!(current["params"]["result"]["kind"], "current");
    client
        .request(3, "executions/unsubscribe", json!([subscription]))
        .await;
    assert_eq!(
        client.receive().await.unwrap(),
        json!({"jsonrpc":"2.0","id":3,"result":true})
    );
    client.request(4, "executions/save", run("quiet", 1)).await;
    assert_eq!(client.receive().await.unwrap()["id"], 4);
    // a batch of notifications has no answer
    client
        .send(r#"[{"jsonrpc":"2.0","method":"initialized"}]"#)
        .await;
    client.request(5, "ping", json!({})).await;
    assert_eq!(client.receive().await.unwrap()["id"], 5);
}

#[tokio::test]
async fn a_batch_that_subscribes_and_saves_tells_of_the_save_after_its_answer() {
    let mut client = Client::connect(1 << 20);
    let subscribe = json!({ "jsonrpc": "2.0", "id": 1, "method": "executions/subscribe" });
    let save = json!({
        "jsonrpc": "2.0", "id": 2, "method": "executions/save", "params": run("b", 1),
    });
    client.send(&json!([subscribe, save]).to_string()).await;
    let answer = client.receive().await.unwrap();
    assert_eq!(answer[1]["result"]["created"], true, "{answer}");
    let mut told = client.receive().await.unwrap();
    if told["params"]["result"]["kind"] == "current" {
        told = client.receive().await.unwrap();
    }
    assert_eq!(told["params"]["subscription"], answer[0]["result"]);
    assert_eq!(told["params"]["result"]["summary"]["id"], "b");
}

#[tokio::test]
async fn progress_is_told_to_whoever_gave_a_token() {
    let mut client = Client::connect(1 << 20);
    client
        .request(
            1,
            "executions/list",
            json!({ "workDoneToken": "t", "limit": 1 }),
        )
        .await;
    let begin = client.receive().await.unwrap();
    assert_eq!(begin["method"], "$/progress");
    assert_eq!(begin["params"]["token"], "t");
    assert_eq!(begin["params"]["value"]["kind"], "begin");
    assert_eq!(
        client.receive().await.unwrap()["params"]["value"]["kind"],
        "end"
    );
    assert_eq!(client.receive().await.unwrap()["id"], 1);
}
