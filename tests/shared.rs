//! `runlog serve --shared`: one daemon for all windows, which may be killed at any moment.
//!
//! Every test has a runtime folder of its own, so that its daemons are nobody else's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Client, Daemon, PATIENCE, Root, record, runlog};

/// A root, and the runtime folder in which its daemon's socket is.
struct Desk {
    root: Root,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            root: Root::empty(),
        };
        fs::create_dir(desk.runtime()).unwrap();
        fs::set_permissions(desk.runtime(), fs::Permissions::from_mode(0o700)).unwrap();
        desk
    }

    fn runtime(&self) -> PathBuf {
        self.root.beside("run")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = runlog();
        command
            .args(words)
            .arg("--projects")
            .arg(self.root.path())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("XDG_CACHE_HOME", self.root.beside("cache"));
        command
    }

    fn socket(&self) -> PathBuf {
        let hash = runlog::store::root_hash(&self.root.path());
        self.runtime().join("runlog").join(format!("{hash}.sock"))
    }

    /// A window: a client with a forwarder.
    fn window(&self) -> (Daemon, Client) {
        Daemon::spawn(self.command(&["serve", "--shared"]).stderr(Stdio::null()))
    }

    /// A forwarder that was asked all it will be asked.
    fn asking(&self, requests: impl IntoIterator<Item = Value>) -> Child {
        let mut asking = self
            .command(&["serve", "--shared"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = asking.stdin.take().unwrap();
        for request in requests {
            writeln!(input, "{request}").unwrap();
        }
        asking
    }

    /// The daemons that are there.
    fn daemons(&self) -> BTreeSet<i32> {
        let root = self.root.path().display().to_string();
        let ours = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            words.contains(&root.as_bytes()) && words.contains(&&b"--socket"[..])
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(ours)
            .collect()
    }

    fn kill_daemons(&self, signal: Signal) {
        for pid in self.daemons() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.kill_daemons(Signal::KILL);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn daemon_of(client: &mut Client) -> i32 {
    let pid = &client.call("server/status", &json!({}))["pid"];
    i32::try_from(pid.as_i64().unwrap()).unwrap()
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn save(id: &str, note: usize) -> Value {
    let mut execution = record("p", id, "completed");
    execution["note"] = note.into();
    json!({ "projectId": "p", "execution": execution })
}

#[test]
fn ten_windows_and_a_command_line_at_once_share_one_daemon() {
    let desk = Desk::new();
    let mut windows: Vec<(Daemon, Client)> = Vec::new();
    let mut command_line = desk
        .command(&["serve", "--socket", "--idle-exit", "600s"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..10 {
        windows.push(desk.window());
    }
    let asked: Vec<u64> = windows
        .iter_mut()
        .map(|(_, client)| client.request("server/status", &json!({})))
        .collect();
    let mut pids = BTreeSet::new();
    for ((_, client), id) in windows.iter_mut().zip(asked) {
        pids.insert(client.answer(id)["result"]["pid"].as_u64().unwrap());
    }
    assert_eq!(pids.len(), 1, "{pids:?}");
    // those that came too late have ended
    until("one daemon is left", || {
        let _ = command_line.try_wait();
        desk.daemons().len() == 1
    });
    let (_, client) = &mut windows[0];
    let shared = client.call("initialize", &json!({ "processId": std::process::id() }));
    assert_eq!(shared["shared"], json!({ "active": true }));
    assert_eq!(
        client.call("server/status", &json!({}))["sessions"],
        windows.len()
    );
    let _ = command_line.kill();
    let _ = command_line.wait();
}

#[test]
fn a_window_ends_alone_and_the_daemon_when_nobody_is_left() {
    let desk = Desk::new();
    let window = || {
        let mut command = desk.command(&["serve", "--shared", "--idle-exit", "1s"]);
        Daemon::spawn(command.stderr(Stdio::null()))
    };
    let (mut one, mut client) = window();
    let (mut other, mut second) = window();
    let pid = daemon_of(&mut client);
    assert_eq!(pid, daemon_of(&mut second));
    client.call("shutdown", &json!({}));
    client.send(r#"{"jsonrpc":"2.0","method":"exit"}"#);
    assert_eq!(one.ends().0.code(), Some(0));
    // longer than a daemon without clients would stay
    let began = Instant::now();
    until("time passes", || {
        began.elapsed() > Duration::from_millis(1300)
    });
    assert_eq!(daemon_of(&mut second), pid);
    second.close();
    assert_eq!(other.ends().0.code(), Some(0));
    until("the daemon ends", || desk.daemons().is_empty());
    until("its socket goes", || !desk.socket().exists());

    // by a signal, and with the process that it belongs to
    let (mut third, mut client) = window();
    daemon_of(&mut client);
    third.signal(Signal::TERM);
    assert_eq!(third.ends().0.code(), Some(0));
    let (mut fourth, mut client) = window();
    let mut parent = Command::new("sleep").arg("100").spawn().unwrap();
    client.call("initialize", &json!({ "processId": parent.id() }));
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_eq!(fourth.ends().0.code(), Some(0));
    assert_eq!(desk.daemons().len(), 1);
}

#[test]
fn what_was_in_flight_is_repeated_or_refused() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    client.call("executions/save", &save("a", 1));
    // until a daemon had them when it was killed; the next one gets what it had not
    until("a daemon dies of it", || {
        let pid = daemon_of(&mut client);
        kill(pid, Signal::STOP);
        let list = client.request("executions/list", &json!({}));
        let change = client.request("executions/save", &save("a", 2));
        client.send(
            r#"[{"jsonrpc":"2.0","id":"r","method":"ping"},{"jsonrpc":"2.0","id":"m","method":"executions/delete","params":{"projectId":"p","executionId":"zz"}},{"jsonrpc":"2.0","id":"x","method":"none"}]"#,
        );
        kill(pid, Signal::KILL);
        assert_eq!(client.answer(list)["result"]["total"], 1);
        let answer = client.answer(change);
        let batch = client.next().unwrap();
        let of = |id: &str| {
            let answers = batch.as_array().unwrap();
            answers.iter().find(|answer| answer["id"] == id).unwrap()
        };
        assert_eq!(of("r")["result"], json!({}));
        assert_eq!(of("x")["error"]["code"], -32601);
        assert_ne!(daemon_of(&mut client), pid);
        let lost = answer.get("error").is_some() && of("m").get("error").is_some();
        if lost {
            let error = &answer["error"];
            assert_eq!(error["code"], 503);
            assert_eq!(error["data"]["kind"], "daemon-lost");
            assert_eq!(error["data"]["retryable"], true);
            assert_eq!(error["data"]["outcome"], "unknown");
            assert_eq!(of("m")["error"]["data"]["outcome"], "unknown");
        }
        lost
    });
    // a daemon that ends in good order says so, which is no answer to a read
    kill(daemon_of(&mut client), Signal::TERM);
    for _ in 0..100 {
        client.call("executions/list", &json!({}));
    }
}

/// What a subscriber holds, by the rule of section 5.
fn follow(client: &mut Client, held: &mut BTreeMap<String, Value>) {
    let change = client.change();
    match change["kind"].as_str().unwrap() {
        "saved" => {
            let id = change["summary"]["id"].as_str().unwrap().to_owned();
            held.insert(id, change["summary"].clone());
        }
        "deleted" | "left" => {
            held.remove(change["executionId"].as_str().unwrap());
        }
        "resync" => *held = listed(client),
        "current" => {}
        other => panic!("{other}"),
    }
}

fn listed(client: &mut Client) -> BTreeMap<String, Value> {
    let list = client.call("executions/list", &json!({ "limit": 1000, "sync": true }));
    let runs = list["executions"].as_array().unwrap().iter();
    runs.map(|run| (run["id"].as_str().unwrap().to_owned(), run.clone()))
        .collect()
}

#[test]
fn a_subscriber_ends_equal_to_the_files_however_often_the_daemon_dies() {
    let desk = Desk::new();
    let (_watching, mut watching) = desk.window();
    let (_saving, mut saving) = desk.window();
    let mut held = listed(&mut watching);
    let subscription = watching.call("executions/subscribe", &json!({}));
    for number in 0..100 {
        let id = format!("run-{}", number % 30);
        if number % 10 == 5 {
            kill(daemon_of(&mut watching), Signal::KILL);
        }
        loop {
            let request = saving.request("executions/save", &save(&id, number));
            let answer = saving.answer(request);
            if answer.get("result").is_some() {
                break;
            }
            // the same record again changes nothing twice
            assert_eq!(answer["error"]["data"]["outcome"], "unknown", "{answer}");
        }
    }
    let expected = listed(&mut saving);
    assert_eq!(expected.len(), 30);
    until("the subscriber has it all", || {
        if held != expected {
            follow(&mut watching, &mut held);
        }
        held == expected
    });
    assert_eq!(desk.daemons().len(), 1);
    // it is still the subscription that it was
    let ended = watching.call(
        "executions/unsubscribe",
        &json!({ "subscription": subscription }),
    );
    assert_eq!(ended, true);
    let again = watching.call(
        "executions/unsubscribe",
        &json!({ "subscription": subscription }),
    );
    assert_eq!(again, false);
    watching.careless();
}

#[test]
fn every_request_has_exactly_one_answer_under_random_kills() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    let mut random = 7u64;
    let mut below = |end: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % end
    };
    for _ in 0..12 {
        let ids: Vec<u64> = (0..60)
            .map(|number| match below(6) {
                0 => client.request("executions/save", &save(&format!("r{number}"), number)),
                1 => client.request("executions/stats", &json!({})),
                2 => client.request("ping", &json!({})),
                3 => client.request(
                    "executions/get",
                    &json!({ "projectId": "p", "executionId": "r1" }),
                ),
                4 => client.request("executions/unsubscribe", &json!({ "subscription": 99 })),
                _ => client.request("executions/list", &json!({ "limit": 5 })),
            })
            .collect();
        let read: Vec<Value> = (0..below(40)).map(|_| client.next().unwrap()).collect();
        read.into_iter().for_each(|answer| client.keep(answer));
        desk.kill_daemons(Signal::KILL);
        for id in ids {
            let answer = client.answer(id);
            let kind = answer["error"]["data"]["kind"].as_str();
            assert!(
                matches!(kind, None | Some("daemon-lost" | "execution-not-found")),
                "{answer}"
            );
        }
    }
    // the client fails if anything is left unread
    client.call("ping", &json!({}));
}

/// Listens in the daemon's place.
fn in_its_place(desk: &Desk) -> UnixListener {
    let folder = desk.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    UnixListener::bind(desk.socket()).unwrap()
}

/// A daemon of this version that does what a test says.
struct Puppet {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Puppet {
    /// One that somebody has connected to.
    fn of(listener: &UnixListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let mut accepted = None;
        until("somebody connects", || {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// The same, once it has said who it is.
    fn greeting(listener: &UnixListener) -> Self {
        let mut puppet = Self::of(listener);
        puppet.greets();
        puppet
    }

    fn greets(&mut self) {
        let asked = self.next();
        let info = json!({ "name": "runlog", "version": env!("CARGO_PKG_VERSION") });
        let greeting = json!({ "protocolVersion": 1, "serverInfo": info });
        self.answers(&asked, &format!(r#""result":{greeting}"#));
    }

    /// The next message, as it is spelt.
    fn next(&mut self) -> String {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((_, digits)) => length = digits.parse().unwrap(),
                None => break,
            }
        }
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut self.reader, &mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    /// What it is asked next, which is `method`: the message, and its params.
    fn asked(&mut self, method: &str) -> (String, Value) {
        let text = self.next();
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["method"], method, "{message}");
        (text, message["params"].clone())
    }

    fn says(&mut self, text: &str) {
        write!(self.stream, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    }

    fn answers(&mut self, asked: &str, said: &str) {
        let (_, rest) = asked.split_once("\"id\":").unwrap();
        let (id, _) = rest.split_once(',').unwrap();
        self.says(&format!(r#"{{"jsonrpc":"2.0","id":{id},{said}}}"#));
    }

    fn tells(&mut self, subscription: u64, tick: u64) {
        let result = json!({ "kind": "current", "clock": format!("c:0123456789abcdef:{tick}") });
        self.says(&format!(
            r#"{{"jsonrpc":"2.0","method":"executions/changed","params":{{"subscription":{subscription},"result":{result}}}}}"#
        ));
    }
}

/// A daemon answers once it has looked at all, which takes its time where there is much.
#[test]
fn a_subscription_that_goes_on_late_holds_up_nothing() {
    let desk = Desk::new();
    let listener = in_its_place(&desk);
    let (_window, mut client) = desk.window();
    let subscribing = client.request("executions/subscribe", &json!({ "projectId": "p" }));
    let mut daemon = Puppet::greeting(&listener);
    let (asked, _) = daemon.asked("executions/subscribe");
    daemon.answers(&asked, r#""result":7"#);
    daemon.tells(7, 5);
    assert_eq!(client.answer(subscribing)["result"], 7);
    assert_eq!(client.change()["kind"], "current");
    drop(daemon);

    let since = json!({ "projectId": "p", "since": "c:0123456789abcdef:5" });
    let mut daemon = Puppet::greeting(&listener);
    let (renewal, params) = daemon.asked("executions/subscribe");
    assert_eq!(params, since);
    let ping = client.request("ping", &json!({}));
    let (asked, _) = daemon.asked("ping");
    daemon.answers(&asked, r#""result":{}"#);
    assert_eq!(client.answer(ping)["result"], json!({}));
    // not yet, so it is asked for again; and again at the next daemon
    let not_yet = json!({ "code": 503, "message": "", "data": { "kind": "not-ready" } });
    daemon.answers(&renewal, &format!(r#""error":{not_yet}"#));
    assert_eq!(daemon.asked("executions/subscribe").1, since);
    drop(daemon);
    let mut daemon = Puppet::greeting(&listener);
    let (renewal, params) = daemon.asked("executions/subscribe");
    assert_eq!(params, since);

    // ended by the client before it goes on
    let seven = json!({ "subscription": 7 });
    assert_eq!(client.call("executions/unsubscribe", &seven), true);
    assert_eq!(client.call("executions/unsubscribe", &seven), false);
    daemon.answers(&renewal, r#""result":3"#);
    daemon.tells(3, 6);
    let (ending, params) = daemon.asked("executions/unsubscribe");
    assert_eq!(params, json!({ "subscription": 3 }));
    daemon.tells(3, 7);
    daemon.answers(&ending, r#""result":true"#);
    let ping = client.request("ping", &json!({}));
    let (asked, _) = daemon.asked("ping");
    daemon.answers(&asked, r#""result":{}"#);
    // of all that the client hears nothing
    assert_eq!(client.next().unwrap()["id"], ping);
}

#[test]
fn what_is_taken_back_before_a_daemon_is_there_is_not_done() {
    for batch in [false, true] {
        let desk = Desk::new();
        desk.root.engine("p", "a", &record("p", "a", "failed"));
        let (_window, mut client) = desk.window();
        let params = json!({ "projectId": "p", "executionId": "a", "permanent": true });
        let delete =
            json!({ "jsonrpc": "2.0", "id": 5, "method": "executions/delete", "params": params });
        let delete = if batch { json!([delete]) } else { delete };
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": 5 } });
        client.send(&format!("{delete}\n{cancel}"));
        let mut answer = client.next().unwrap();
        if batch {
            answer = answer[0].take();
        }
        assert_eq!(answer["error"]["code"], -32800, "{answer}");
        assert_eq!(client.call("executions/list", &json!({}))["total"], 1);
    }
}

#[test]
fn what_is_taken_back_while_the_rest_is_sent_is_told_the_daemon() {
    let desk = Desk::new();
    let listener = in_its_place(&desk);
    let (_window, mut client) = desk.window();
    let first = client.request("executions/stats", &json!({}));
    let last = client.request(
        "executions/stats",
        &json!({ "projectId": "x".repeat(8 << 20) }),
    );
    // while it has not greeted, both wait
    let mut daemon = Puppet::of(&listener);
    std::thread::sleep(Duration::from_millis(500));
    daemon.greets();
    // it has the first now, and does not take the other
    daemon.reader.fill_buf().unwrap();
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": first } });
    client.send(&cancel.to_string());
    std::thread::sleep(Duration::from_millis(500));
    let mut said: Vec<String> = (0..3).map(|_| daemon.next()).collect();
    // after the first, and perhaps before the other
    let at = said.iter().position(|text| text.contains("/cancelRequest"));
    let told: Value = serde_json::from_str(&said.remove(at.unwrap())).unwrap();
    assert_eq!(told["params"], json!({ "id": first }));
    assert!(said[0].len() < said[1].len());
    daemon.answers(
        &said[0],
        r#""error":{"code":-32800,"message":"","data":{}}"#,
    );
    daemon.answers(&said[1], r#""result":{}"#);
    assert_eq!(client.answer(first)["error"]["code"], -32800);
    assert_eq!(client.answer(last)["result"], json!({}));
}

/// Something that listens in the daemon's place and greets as another version does.
fn other_version(desk: &Desk, spaces: bool) -> std::thread::JoinHandle<()> {
    let listener = in_its_place(desk);
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while line.trim_end() != "" || line.is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let mut body = vec![0; 4096];
        let count = std::io::Read::read(&mut reader, &mut body).unwrap();
        let request: Value = serde_json::from_slice(&body[..count]).unwrap();
        let id = &request["id"];
        let info = json!({ "name": "runlog", "version": "0.0.1\u{7}" });
        let mut text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":1,"serverInfo":{info}}}}}"#
        );
        if spaces {
            text = text.replace("\":", "\": ");
        }
        let mut stream = stream;
        write!(stream, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        // until the other side has had enough
        let _ = std::io::Read::read(&mut reader, &mut body);
    })
}

#[test]
fn another_version_is_left_alone() {
    for spaces in [false, true] {
        left_alone(spaces);
    }
}

fn left_alone(spaces: bool) {
    let desk = Desk::new();
    let other = other_version(&desk, spaces);
    let log = desk.root.beside("log");
    let mut command = desk.command(&["serve", "--shared"]);
    let (mut window, mut client) = Daemon::spawn(command.stderr(fs::File::create(&log).unwrap()));
    let greeting = client.call("initialize", &json!({}));
    assert_eq!(greeting["shared"]["active"], false);
    let reason = greeting["shared"]["reason"].as_str().unwrap();
    assert!(reason.contains("version 0.0.1, and this is"), "{reason}");
    client.call("executions/save", &save("a", 1));
    assert_eq!(client.call("executions/list", &json!({}))["total"], 1);
    assert_eq!(daemon_of(&mut client), i32::try_from(window.pid()).unwrap());
    other.join().unwrap();
    client.close();
    assert_eq!(window.ends().0.code(), Some(0));
    let said = fs::read_to_string(log).unwrap();
    assert!(said.contains("serving without the shared daemon"), "{said}");
    // and keeps its index as any daemon does
    assert!(desk.root.beside("cache/runlog").exists());
}

#[test]
fn where_no_daemon_can_be_the_window_serves_by_itself() {
    let desk = Desk::new();
    fs::write(desk.runtime().join("runlog"), "in the way").unwrap();
    let (_window, mut client) = desk.window();
    client.call("executions/save", &save("a", 1));
    let subscription = client.call("executions/subscribe", &json!({}));
    assert!(subscription.is_u64());
    assert_eq!(client.change()["kind"], "current");
    desk.root.engine("p", "b", &record("p", "b", "failed"));
    assert_eq!(client.change()["summary"]["id"], "b");
    alone_because(&mut client, "is not a folder");
}

fn alone_because(client: &mut Client, why: &str) {
    let shared = &client.call("initialize", &json!({}))["shared"];
    assert_eq!(shared["active"], false);
    let reason = shared["reason"].as_str().unwrap();
    assert!(reason.contains(why), "{reason}");
    // which cannot be given here
    assert!(!reason.contains("--socket"), "{reason}");
}

#[test]
fn what_is_in_the_place_of_the_socket_is_told_and_left_there() {
    let desk = Desk::new();
    let folder = desk.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(desk.socket(), "precious").unwrap();
    let (_window, mut client) = desk.window();
    alone_because(&mut client, "is not a socket: move it away");
    assert_eq!(fs::read(desk.socket()).unwrap(), b"precious");
}

#[test]
fn what_is_in_the_place_of_the_log_is_told() {
    let desk = Desk::new();
    let folder = desk.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let mut log = desk.socket().into_os_string();
    log.push(".log");
    std::os::unix::fs::symlink("/dev/null", log).unwrap();
    let (_window, mut client) = desk.window();
    alone_because(&mut client, ".sock.log, is not a file: move it away");
}

/// A script may wait for the end of a pipe, or for a lock, that its windows were given.
#[test]
fn a_daemon_keeps_nothing_open_that_its_first_window_was_given() {
    let desk = Desk::new();
    let given = desk.root.beside("given");
    let window = desk.command(&["serve", "--shared"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 9> \"$0\""]).arg(&given);
    shell.arg(window.get_program()).args(window.get_args());
    for (name, value) in window.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let (window, mut client) = Daemon::spawn(shell.stderr(Stdio::null()));
    let holds = |pid: i32| {
        let mut all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        all.any(|entry| fs::read_link(entry.unwrap().path()).is_ok_and(|file| file == given))
    };
    assert!(!holds(daemon_of(&mut client)));
    assert!(holds(i32::try_from(window.pid()).unwrap()));
}

/// As a cleaner of temporary files does.
#[test]
fn a_socket_that_somebody_removed_is_there_again_for_the_next_window() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    let daemon = daemon_of(&mut client);
    for lock_too in [false, true] {
        fs::remove_file(desk.socket()).unwrap();
        if lock_too {
            let mut lock = desk.socket().into_os_string();
            lock.push(".lock");
            fs::remove_file(lock).unwrap();
        }
        let (_next, mut other) = desk.window();
        let greeting = other.call("initialize", &json!({}));
        assert_eq!(greeting["shared"]["active"], true, "{greeting}");
        // with its lock it cannot be found, and is left to those who have it
        assert_eq!(daemon_of(&mut other) == daemon, !lock_too);
    }
    client.call("executions/save", &save("a", 1));
}

#[test]
fn where_every_daemon_ends_at_once_its_log_is_named() {
    let desk = Desk::new();
    let folder = desk.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    // no daemon can hold such a lock
    let mut lock = desk.socket().into_os_string();
    lock.push(".lock");
    fs::create_dir(lock).unwrap();
    let (_window, mut client) = desk.window();
    alone_because(&mut client, ".sock.log says why");
}

#[test]
fn a_program_that_was_replaced_starts_what_took_its_place() {
    let desk = Desk::new();
    let program = desk.root.beside("runlog");
    fs::copy(env!("CARGO_BIN_EXE_runlog"), &program).unwrap();
    let words = desk.command(&["serve", "--shared"]);
    let mut command = Command::new(&program);
    command.args(words.get_args()).stderr(Stdio::null());
    for (name, value) in words.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let (_window, mut client) = Daemon::spawn(&mut command);
    let first = daemon_of(&mut client);
    let new = desk.root.beside("runlog.new");
    fs::copy(env!("CARGO_BIN_EXE_runlog"), &new).unwrap();
    // for a moment there is none, as where an older one is removed first
    fs::remove_file(&program).unwrap();
    kill(first, Signal::KILL);
    let asked = client.request("server/status", &json!({}));
    fs::rename(new, &program).unwrap();
    let status = client.answer(asked)["result"].clone();
    let pid = i32::try_from(status["pid"].as_i64().unwrap()).unwrap();
    assert!(pid != first && desk.daemons().contains(&pid), "{status}");
    let greeting = client.call("initialize", &json!({}));
    assert_eq!(greeting["shared"]["active"], true, "{greeting}");
}

#[test]
fn where_the_sockets_path_is_too_long_the_window_serves_by_itself() {
    let desk = Desk::new();
    desk.root.engine("p", "a", &record("p", "a", "failed"));
    let long = desk.runtime().join("x".repeat(90));
    fs::create_dir(&long).unwrap();
    let command = |words: &[&str]| {
        let mut command = desk.command(words);
        command.env("XDG_RUNTIME_DIR", &long);
        command
    };
    let (_window, mut client) =
        Daemon::spawn(command(&["serve", "--shared"]).stderr(Stdio::null()));
    alone_because(&mut client, "the system allows");
    client.call("executions/save", &save("b", 1));
    for (words, said) in [(&["list"][..], "a\t"), (&["stats"], "runs\t2\n")] {
        let done = command(words).output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && out.contains(said), "{done:?}");
    }
    for words in [&["socket"][..], &["serve", "--socket"]] {
        let done = command(words).output().unwrap();
        assert!(
            String::from_utf8_lossy(&done.stderr).contains("the system allows"),
            "{done:?}"
        );
        assert!(!done.status.success());
    }
}

#[test]
fn a_socket_that_was_handed_over_is_served() {
    let desk = Desk::new();
    let path = desk.root.beside("handed.sock");
    // as systemd does: descriptor 3, and for that process, whose peers do not see who made it
    let script = "
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";
    let daemon = desk.command(&["serve", "--socket", "--idle-exit", "1s"]);
    let mut command = Command::new("python3");
    command
        .args(["-c", script])
        .arg(&path)
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .env_remove("RUNLOG_PROJECTS")
        .env("XDG_CACHE_HOME", desk.root.beside("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("python3 is needed");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["socket"], path.display().to_string());
    let stream = UnixStream::connect(&path).unwrap();
    let peer = rustix::net::sockopt::socket_peercred(&stream).unwrap();
    assert_eq!(ready["pid"], peer.pid.as_raw_nonzero().get());
    drop(stream);
    ask(&path);
    // it ends when idle, and leaves the socket to whoever made it
    assert!(child.wait().unwrap().success());
    assert!(path.exists());
}

fn ask(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, r#"{{"jsonrpc":"2.0","id":1,"method":"ping"}}"#).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
}

#[test]
fn a_request_as_large_as_a_frame_may_be_is_answered() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    // so that it has more digits on its way than the client spelt
    for _ in 0..10 {
        client.call("ping", &json!({}));
    }
    let rest = r#"{"jsonrpc":"2.0","id":0,"method":"ping","params":{"workDoneToken":""}}"#.len();
    let token = "x".repeat((64 << 20) - rest);
    client.send(&format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"ping","params":{{"workDoneToken":"{token}"}}}}"#
    ));
    let answer = loop {
        let message = client.next().unwrap();
        if message.get("method").is_none() {
            break message;
        }
    };
    assert_eq!(answer["id"], 0);
    client.call("ping", &json!({}));
}

#[test]
fn what_a_daemon_does_not_take_is_left_with_its_sender() {
    let desk = Desk::new();
    let (window, mut client) = desk.window();
    let pid = daemon_of(&mut client);
    kill(pid, Signal::STOP);
    let before = window.peak_bytes();
    let token = "x".repeat(900 << 10);
    let mut written = 0;
    // as an orchestrator does who does not wait for answers
    std::thread::scope(|scope| {
        let (taken, all) = std::sync::mpsc::channel();
        let client = &mut client;
        scope.spawn(move || {
            for _ in 0..160 {
                let id = client.request("executions/stats", &json!({ "projectId": token }));
                let cancel = json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } });
                client.send(&cancel.to_string());
                taken.send(id).unwrap();
            }
        });
        // until nothing more is taken
        while all.recv_timeout(Duration::from_millis(300)).is_ok() {
            written += 1;
        }
        kill(pid, Signal::CONT);
        written += all.iter().count();
    });
    assert_eq!(written, 160);
    let mut answered = 0;
    while answered < written {
        let message = client.next().unwrap();
        let code = &message["error"]["code"];
        assert!(*code == -32800 || *code == -32602, "{message}");
        answered += 1;
    }
    let grown = window.peak_bytes().saturating_sub(before) >> 20;
    assert_eq!(client.call("ping", &json!({})), json!({}));
    assert!(grown < 80, "{grown} MiB more");
}

#[test]
fn a_change_that_meets_the_daemons_end_is_of_unknown_outcome() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    for round in 0..10 {
        let pid = daemon_of(&mut client);
        kill(pid, Signal::STOP);
        let ids: Vec<u64> = (0..40)
            .map(|number| client.request("executions/save", &save(&format!("r{number}"), round)))
            .collect();
        kill(pid, Signal::TERM);
        kill(pid, Signal::CONT);
        for id in ids {
            let answer = client.answer(id);
            if answer.get("result").is_none() {
                let data = &answer["error"]["data"];
                assert_eq!(data["kind"], "daemon-lost", "{answer}");
                assert_eq!(data["outcome"], "unknown", "{answer}");
            }
        }
    }
}

/// Whose tick a clock is, and which.
fn told_at(clock: &Value) -> (String, u64) {
    let (instance, tick) = clock.as_str().unwrap().rsplit_once(':').unwrap();
    (instance.to_owned(), tick.parse().unwrap())
}

#[test]
fn subscriptions_go_on_however_they_were_asked_for() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    let mut ids = BTreeSet::new();
    for params in [
        "",
        r#","params":null"#,
        r#","params":[]"#,
        r#","params":{}"#,
        r#","params":{"since":null}"#,
        r#","params":{"\u0073ince":"c:0123456789abcdef:1","status":["failed"]}"#,
        r#","params":{"projectId":"p","status":"failed","workDoneToken":7}"#,
    ] {
        client.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"s","method":"executions/subscribe"{params}}}"#
        ));
        let answer = loop {
            let message = client.next().unwrap();
            if message["id"] == "s" {
                break message;
            }
        };
        ids.insert(
            answer["result"]
                .as_u64()
                .unwrap_or_else(|| panic!("{params}: {answer}")),
        );
    }
    assert_eq!(ids.len(), 7);
    // at once, so that some have been told nothing yet
    for round in 0..5 {
        desk.kill_daemons(Signal::KILL);
        let run = format!("r{round}");
        desk.root.engine("p", &run, &record("p", &run, "failed"));
        let clock = client.call("executions/list", &json!({ "sync": true }))["clock"].clone();
        let (instance, tick) = told_at(&clock);
        let mut missing = ids.clone();
        while !missing.is_empty() {
            let message = client.next().unwrap();
            let params = &message["params"];
            let result = &params["result"];
            // one that had been told nothing has no clock to go on from, and is told where this
            // daemon stands
            let here = result["kind"] == "current" && {
                let (of, at) = told_at(&result["clock"]);
                of == instance && at >= tick
            };
            if result["summary"]["id"] == run || result["kind"] == "resync" || here {
                missing.remove(&params["subscription"].as_u64().unwrap());
            }
        }
    }
    client.careless();
}

#[test]
fn a_client_that_does_not_read_costs_bounded_memory() {
    let desk = Desk::new();
    let mut command = desk.command(&["serve", "--shared"]);
    let mut window = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = window.stdin.take().unwrap();
    writeln!(
        input,
        r#"{{"jsonrpc":"2.0","id":1,"method":"executions/subscribe"}}"#
    )
    .unwrap();
    let (_other, mut other) = desk.window();
    let resident = || {
        let statm = fs::read_to_string(format!("/proc/{}/statm", window.id())).unwrap();
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    };
    until("it has begun", || {
        other.call("server/status", &json!({}))["sessions"] == 2
    });
    let before = resident();
    let mut execution = record("p", "r", "completed");
    execution["error"] = "x".repeat(200).into();
    for number in 0..6000 {
        execution["name"] = number.to_string().into();
        desk.root
            .engine("p", &format!("r{}", number % 3000), &execution);
    }
    assert_eq!(
        other.call("executions/list", &json!({ "sync": true }))["total"],
        3000
    );
    let grown = resident().saturating_sub(before) >> 20;
    let _ = window.kill();
    let _ = window.wait();
    assert!(grown < 16, "{grown} MiB more");
}

#[test]
fn another_version_that_comes_later_is_noticed_by_a_resync_at_most() {
    let desk = Desk::new();
    let (window, mut client) = desk.window();
    client.call("executions/save", &save("a", 1));
    let subscription = client.call("executions/subscribe", &json!({}));
    assert_eq!(client.change()["kind"], "current");
    let pid = daemon_of(&mut client);
    window.signal(Signal::STOP);
    kill(pid, Signal::KILL);
    until("the daemon is gone", || desk.daemons().is_empty());
    fs::remove_dir_all(desk.socket().parent().unwrap()).unwrap();
    let other = other_version(&desk, false);
    window.signal(Signal::CONT);
    other.join().unwrap();
    assert_eq!(daemon_of(&mut client), i32::try_from(window.pid()).unwrap());
    desk.root.engine("p", "b", &record("p", "b", "failed"));
    let mut told = BTreeSet::new();
    while !told.contains("b") {
        let message = client.next().unwrap();
        assert_eq!(message["params"]["subscription"], subscription);
        let result = &message["params"]["result"];
        match result["kind"].as_str().unwrap() {
            "resync" => told = listed(&mut client).into_keys().collect(),
            "saved" => {
                told.insert(result["summary"]["id"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
    client.careless();
}

/// What never comes apart: every request of a random conversation has one answer, batches and what
/// is taken back included, whenever and however the daemons end.
#[test]
fn a_random_conversation_is_answered_once_each_whatever_ends() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    let mut random = 20_251_125u64;
    let mut below = move |end: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    let mut last = 1000u64;
    for round in 0..25 {
        let mut due = BTreeSet::new();
        for _ in 0..40 {
            let mut entries = Vec::new();
            let batch = below(4) == 0;
            for _ in 0..if batch { 1 + below(6) } else { 1 } {
                last += 1;
                due.insert(last);
                let run = format!("r{}", below(5));
                let key = json!({ "projectId": "p", "executionId": run });
                let (method, params) = match below(9) {
                    0 => ("executions/save", save(&run, round)),
                    1 => ("executions/delete", key),
                    2 => ("executions/get", key),
                    3 => ("executions/list", json!({ "sync": below(2) == 0 })),
                    4 => ("executions/start", json!({ "projectId": "q" })),
                    5 => ("executions/subscribe", json!({ "projectId": "none" })),
                    6 => (
                        "executions/unsubscribe",
                        json!({ "subscription": below(20) }),
                    ),
                    7 => ("nothing/known", json!({})),
                    _ => ("ping", json!({})),
                };
                entries.push(
                    json!({ "jsonrpc": "2.0", "id": last, "method": method, "params": params }),
                );
            }
            let message = if batch {
                json!(entries)
            } else {
                entries[0].clone()
            };
            client.send(&message.to_string());
            if below(4) == 0 {
                let id = last - below(3);
                let cancel = json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } });
                client.send(&cancel.to_string());
            }
            if below(50) == 0 {
                desk.kill_daemons(if below(3) == 0 {
                    Signal::TERM
                } else {
                    Signal::KILL
                });
            }
        }
        if below(2) == 0 {
            desk.kill_daemons(Signal::KILL);
        }
        while !due.is_empty() {
            let message = client.next().unwrap();
            if message.get("method").is_some() {
                continue;
            }
            let answers = match message {
                Value::Array(answers) => answers,
                answer => vec![answer],
            };
            for answer in answers {
                assert!(due.remove(&answer["id"].as_u64().unwrap()), "{answer}");
                let kind = answer["error"]["data"]["kind"].as_str();
                let outcome = &answer["error"]["data"]["outcome"];
                assert_eq!(
                    kind == Some("daemon-lost"),
                    outcome == "unknown",
                    "{answer}"
                );
                assert_ne!(kind, Some("not-ready"), "{answer}");
            }
        }
    }
    // of the subscriptions something may still come
    client.careless();
    client.call("ping", &json!({}));
    assert_eq!(desk.daemons().len(), 1);
}

#[test]
fn after_a_daemon_that_kept_its_index_only_what_changed_is_told() {
    let desk = Desk::new();
    for number in 0..3000 {
        let run = format!("r{number}");
        desk.root.engine("p", &run, &record("p", &run, "completed"));
    }
    let (_window, mut client) = desk.window();
    assert_eq!(
        client.call("executions/list", &json!({ "sync": true }))["total"],
        3000
    );
    client.call("executions/subscribe", &json!({}));
    assert_eq!(client.change()["kind"], "current");
    for round in 0..5 {
        let pid = daemon_of(&mut client);
        kill(pid, Signal::TERM);
        until("the daemon is gone", || !desk.daemons().contains(&pid));
        let run = format!("new-{round}");
        desk.root.engine("p", &run, &record("p", &run, "failed"));
        let mut told = Vec::new();
        loop {
            let change = client.change();
            if change["kind"] == "saved" {
                told.push(change["summary"]["id"].as_str().unwrap().to_owned());
            }
            assert_ne!(change["kind"], "resync", "in round {round}");
            if told.last() == Some(&run) {
                break;
            }
        }
        assert_eq!(told, [run]);
    }
    client.careless();
}

/// As a script does that writes its question, closes its end and reads.
#[test]
fn a_question_before_the_end_of_input_goes_to_the_next_daemon_too() {
    let desk = Desk::new();
    let (_window, mut client) = desk.window();
    let mut results = 0;
    for round in 0..5 {
        let pid = daemon_of(&mut client);
        kill(pid, Signal::STOP);
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "executions/stats" });
        let asking = desk.asking([request]);
        // before the question is there, while it waits, and in between
        std::thread::sleep(Duration::from_millis(10 * round));
        kill(pid, Signal::KILL);
        let output = asking.wait_with_output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["id"], 1);
        results += usize::from(answer.get("result").is_some());
    }
    // a machine that is busy may not have another one within the 1.5 s that there are
    assert!(results > 0);
}

#[test]
fn whoever_has_no_more_to_ask_may_take_his_time() {
    let desk = Desk::new();
    let mut large = record("p", "large", "completed");
    large["output"] = "x".repeat(3 << 20).into();
    desk.root.engine("p", "large", &large);
    let request = |id| {
        json!({
            "jsonrpc": "2.0", "id": id, "method": "executions/get",
            "params": { "projectId": "p", "executionId": "large" },
        })
    };
    let asking = desk.asking((0..3).map(request));
    // longer than what is unanswered has
    std::thread::sleep(Duration::from_secs(2));
    let output = asking.wait_with_output().unwrap();
    let answers = output.stdout.split(|byte| *byte == b'\n');
    let answers: Vec<Value> = answers
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert_eq!(answer["result"]["execution"]["output"], large["output"]);
    }
}

#[test]
fn runs_are_named_and_compared_through_the_shared_daemon() {
    let desk = Desk::new();
    for (id, day) in [("run-1", 1), ("run-2", 2)] {
        let mut run = record("p", id, "completed");
        run["startedAt"] = format!("2025-10-0{day}T00:00:00.000Z").into();
        desk.root.engine("p", id, &run);
    }
    let (_window, mut client) = desk.window();
    let found = client.call(
        "executions/get",
        &json!({ "executionId": "last", "fields": ["/id"], "sync": true }),
    );
    assert_eq!(found["fields"]["/id"]["value"], "run-2");
    let several = client.refused("executions/get", &json!({ "executionId": "run" }));
    assert_eq!(several["data"]["kind"], "ambiguous");
    assert_eq!(several["data"]["total"], 2);
    let sides = json!({ "a": { "executionId": "run-1" }, "b": { "executionId": "last" } });
    let changed = &client.call("executions/diff", &sides)["changed"];
    let pointers: Vec<_> = changed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["pointer"])
        .collect();
    assert_eq!(pointers, ["/id", "/startedAt"]);
}

#[test]
fn where_no_root_is_the_places_tried_are_told() {
    let desk = Desk::new();
    let here = desk.root.beside("nothing");
    fs::create_dir(&here).unwrap();
    let mut command = runlog();
    command
        .args(["serve", "--shared", "--idle-exit", "1s"])
        .current_dir(&here)
        .env("XDG_RUNTIME_DIR", desk.runtime())
        .env("XDG_CACHE_HOME", desk.root.beside("cache"))
        .stderr(Stdio::null());
    let (_window, mut client) = Daemon::spawn(&mut command);
    let told = client.call("initialize", &json!({}));
    assert_eq!(told["shared"]["active"], true);
    assert_eq!(told["root"]["exists"], false);
    let tried = told["root"]["tried"].as_array().unwrap();
    assert!(!tried.is_empty(), "{told}");
}
