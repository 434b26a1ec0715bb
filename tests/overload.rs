//! Too much of everything: what a client can do wrong costs bounded memory and harms nobody else
//! (section 2 of the protocol; house rule: every queue is bounded in bytes).

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use support::{Daemon, Root, record};

const MIB: u64 = 1024 * 1024;

#[test]
fn what_could_not_be_read_for_want_of_descriptors_is_read_later() {
    let root = Root::empty();
    let save = |id: &str, status: &str| root.engine("p", id, &record("p", id, status));
    for id in ["a", "b", "c"] {
        save(id, "running");
    }
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    client.call("executions/list", &json!({ "sync": true }));
    let pin = json!({ "projectId": "p", "executionId": "c", "pinned": true });
    client.call("executions/annotate", &pin);
    client.call("executions/subscribe", &json!({}));
    assert_eq!(client.change()["kind"], "current");
    let read = |client: &mut support::Client| {
        client.call("server/status", &json!({}))["filesRead"].as_u64()
    };
    let before = read(&mut client);
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    let limit = |maximum: Option<u64>| {
        let held = getrlimit(Resource::Nofile);
        let limits = Rlimit {
            current: maximum.or(held.current),
            maximum: held.maximum,
        };
        prlimit(pid, Resource::Nofile, limits).unwrap();
    };
    limit(Some(3));
    save("a", "failed");
    save("new", "failed");
    // by hand, one that is known and one that is not
    let note = |id: &str| root.path().join(format!("p/.runlog/{id}.json"));
    for id in ["b", "c"] {
        std::fs::write(note(id), r#"{ "pinned": true }"#).unwrap();
    }
    // long enough to be looked at twice, and believed if it were
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(read(&mut client) > before);
    assert_eq!(client.call("executions/list", &json!({}))["total"], 3);
    limit(None);
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 4);
    let problems = client.call("server/problems", &json!({}));
    assert_eq!(problems["problems"], json!([]));
    let pinned = client.call("executions/list", &json!({ "where": "pinned" }));
    assert_eq!(pinned["total"], 2, "{pinned}");
    let mut told = [client.change(), client.change(), client.change()].map(|change| {
        assert_eq!(change["kind"], "saved", "{change}");
        change["summary"]["id"].as_str().unwrap().to_owned()
    });
    told.sort();
    assert_eq!(told, ["a", "b", "new"]);
}

#[test]
fn ten_thousand_requests_sent_before_reading_are_answered_or_refused_once() {
    let root = Root::empty();
    for number in 0..200 {
        root.engine(
            "p",
            &format!("run-{number}"),
            &record("p", &format!("run-{number}"), "failed"),
        );
    }
    let daemon = Daemon::socket(&root);
    daemon
        .connect()
        .call("executions/list", &json!({ "sync": true }));
    let before = daemon.resident_bytes();
    for params in [
        r#""method":"executions/list","params":{"limit":200}"#,
        r#""method":"ping""#,
    ] {
        let stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        for id in 0..10_000 {
            writeln!(writer, r#"{{"jsonrpc":"2.0","id":{id},{params}}}"#).unwrap();
        }
        let mut answers = BTreeMap::new();
        let mut line = String::new();
        for _ in 0..10_000 {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            let code = answer["error"]["code"].as_i64();
            if let Some(code) = code {
                assert_eq!(code, 429, "{answer}");
                assert_eq!(answer["error"]["data"]["kind"], "overloaded");
                assert_eq!(answer["error"]["data"]["retryable"], true);
            }
            assert!(
                answers
                    .insert(answer["id"].as_u64().unwrap(), code)
                    .is_none()
            );
        }
        let refused = answers.values().filter(|code| code.is_some()).count();
        assert!(refused <= 10_000 - 1_024, "{refused} refused");
        // what the lists would answer is far more than may be unsent
        assert!(refused > 0 || params.contains("ping"));
    }
    assert!(daemon.peak_bytes() - before < 64 * MIB);
}

/// The same of what is answered later, so that nothing of it is counted while it is under way.
#[test]
fn what_takes_its_time_is_asked_for_in_bounded_memory_too() {
    let root = Root::empty();
    for number in 0..1000 {
        let id = format!("run-{number}");
        let mut run = record("p", &id, "failed");
        run["name"] = "n".repeat(80).into();
        run["error"] = "e".repeat(250).into();
        root.engine("p", &id, &run);
    }
    for id in ["a", "b"] {
        let mut run = record("q", id, "completed");
        run["output"] = id.repeat(3 << 20).into();
        root.engine("q", id, &run);
    }
    let daemon = Daemon::socket(&root);
    daemon
        .connect()
        .call("executions/list", &json!({ "sync": true }));
    let before = daemon.peak_bytes();
    let of = |id: &str| json!({ "projectId": "q", "executionId": id });
    let page = |by: &str, what: &str| json!({ "limit": 1000, by: what });
    let records = json!({ "format": "jsonl", "projectId": "q", "maxBytes": 16 * MIB });
    for (count, method, params, most) in [
        (200, "list", page("sort", "-costUSD"), 96),
        (200, "list", page("where", "costUSD > 0"), 96),
        (40, "diff", json!({ "a": of("a"), "b": of("b") }), 160),
        (40, "export", records, 320),
    ] {
        let stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        for id in 0..count {
            let method = format!("executions/{method}");
            let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            writeln!(writer, "{request}").unwrap();
        }
        // all that goes on without the client
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mut line = Vec::new();
        for _ in 0..count {
            line.clear();
            reader.read_until(b'\n', &mut line).unwrap();
            // some may take too long for a busy machine, and are refused
            assert!(line.starts_with(br#"{"jsonrpc":"2.0","id":"#));
        }
        let grown = daemon.peak_bytes() - before;
        assert!(grown < most * MIB, "{method} {params}: {grown}");
    }
}

#[test]
fn a_subscriber_that_never_reads_costs_nothing_that_grows() {
    let root = Root::samples();
    let daemon = Daemon::socket(&root);
    let mut deaf = daemon.connect();
    deaf.careless();
    // its own pipes are full soon, because the test reads nothing below the library's buffers
    let stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
    let mut subscriber = stream.try_clone().unwrap();
    writeln!(
        subscriber,
        r#"{{"jsonrpc":"2.0","id":1,"method":"executions/subscribe"}}"#
    )
    .unwrap();
    let mut client = daemon.connect();
    client.call("executions/list", &json!({ "sync": true }));
    let before = daemon.resident_bytes();
    for number in 0..10_000 {
        let id = format!("run-{}", number % 100);
        let mut run = record("p", &id, "completed");
        run["note"] = number.into();
        root.engine("p", &id, &run);
    }
    client.call("executions/list", &json!({ "sync": true }));
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown}");
    // when it reads at last, it ends with what is true
    let mut reader = BufReader::new(stream);
    let mut held: BTreeMap<String, Value> = BTreeMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        let change = &message["params"]["result"];
        if change["kind"] == "saved" {
            held.insert(
                change["summary"]["id"].to_string(),
                change["summary"]["version"].clone(),
            );
        }
        if held.len() == 100 && change["clock"] == client.call("server/status", &json!({}))["clock"]
        {
            break;
        }
    }
    let list = client.call(
        "executions/list",
        &json!({ "projectId": "p", "limit": 1000 }),
    );
    for run in list["executions"].as_array().unwrap() {
        assert_eq!(held[&run["id"].to_string()], run["version"]);
    }
}

#[test]
fn a_record_of_300_mb_is_listed_in_bounded_memory_and_refused_whole() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    client.call("executions/list", &json!({ "sync": true }));
    let before = daemon.peak_bytes();
    std::fs::create_dir_all(root.path().join("p/executions")).unwrap();
    let temporary = root.path().join("p/executions/big.json.tmp");
    let mut file = File::create(&temporary).unwrap();
    write!(file, r#"{{"id":"big","status":"failed","output":""#).unwrap();
    let chunk = "x".repeat(1 << 20);
    for _ in 0..300 {
        file.write_all(chunk.as_bytes()).unwrap();
    }
    write!(file, r#"","costUSD":0.25}}"#).unwrap();
    drop(file);
    std::fs::rename(temporary, root.file("p", "big")).unwrap();
    let id = client.request("executions/list", &json!({ "sync": true }));
    // somebody else is served meanwhile
    daemon.connect().call("ping", &json!({}));
    let list = client.answer(id)["result"].clone();
    assert_eq!(list["executions"][0]["costUSD"], 0.25);
    assert!(list["executions"][0]["sizeBytes"].as_u64().unwrap() > 300 * MIB);
    assert!(daemon.peak_bytes() - before < 64 * MIB);
    let error = client.refused(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "big" }),
    );
    assert_eq!(error["code"], 413);
    assert_eq!(error["data"]["limitBytes"], 63 * MIB);
    assert_eq!(
        error["data"]["sizeBytes"],
        list["executions"][0]["sizeBytes"]
    );
    assert!(daemon.peak_bytes() - before < 64 * MIB);
}

#[test]
fn a_record_just_below_the_limit_goes_in_and_out() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let execution = json!({ "id": "large", "output": "y".repeat(62 << 20) });
    let saved = client.call(
        "executions/save",
        &json!({ "projectId": "p", "execution": execution }),
    );
    assert_eq!(saved["created"], true);
    let whole = client.call(
        "executions/get",
        &json!({ "projectId": "p", "executionId": "large" }),
    );
    assert_eq!(
        whole["execution"]["output"].as_str().unwrap().len(),
        62 << 20
    );
}

#[test]
fn an_announcement_of_a_terabyte_allocates_nothing_and_the_connection_lives() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let before = daemon.peak_bytes();
    let mut stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
    stream
        .write_all(b"Content-Length: 1099511627776\r\n\r\n{")
        .unwrap();
    let mut answer = vec![0; 200];
    let count = stream.read(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(
        text.starts_with("Content-Length: ") && text.contains(r#""code":413"#),
        "{text}"
    );
    assert!(daemon.peak_bytes() - before < 8 * MIB);

    // one that is over the limit and comes whole is skipped, and the next is answered
    let mut stream = UnixStream::connect(daemon.socket.as_ref().unwrap()).unwrap();
    let size = 65 << 20;
    stream
        .write_all(format!("Content-Length: {size}\r\n\r\n").as_bytes())
        .unwrap();
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..65 {
        stream.write_all(&chunk).unwrap();
    }
    let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    stream
        .write_all(format!("Content-Length: {}\r\n\r\n{ping}", ping.len()).as_bytes())
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(
        all.contains(r#""id":null,"error""#) && all.contains(r#""id":7,"result":{}"#),
        "{all}"
    );
    assert!(daemon.peak_bytes() - before < 16 * MIB);
}
