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
use std::process::{Command, Stdio};
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
        // the window answers this by itself, when it has seen what came before
        client.send("{");
        assert_eq!(client.next().unwrap()["error"]["code"], -32700);
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

/// Something that listens in the daemon's place and greets as another version does.
fn other_version(desk: &Desk) -> std::thread::JoinHandle<()> {
    let folder = desk.socket().parent().unwrap().to_owned();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(desk.socket()).unwrap();
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
        // in the order in which every version writes it
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":1,"serverInfo":{info}}}}}"#
        );
        let mut stream = stream;
        write!(stream, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        // until the other side has had enough
        let _ = std::io::Read::read(&mut reader, &mut body);
    })
}

#[test]
fn another_version_is_left_alone() {
    let desk = Desk::new();
    let other = other_version(&desk);
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
    assert_eq!(
        client.call("initialize", &json!({}))["shared"]["active"],
        false
    );
}

#[test]
fn a_socket_that_was_handed_over_is_served() {
    let desk = Desk::new();
    let path = desk.root.beside("handed.sock");
    // as systemd does: descriptor 3, and for this process
    let script = "
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
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
