//! How a connection and the daemon end: section 3 of the protocol, with real processes.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use support::{Daemon, Root, record, runlog};

/// Every ending takes at most this long; slow machines get as much again.
const SOON: Duration = Duration::from_secs(4);

fn code(daemon: &mut Daemon) -> Option<i32> {
    let (status, took) = daemon.ends();
    assert!(took < SOON, "{took:?}");
    status.code()
}

#[test]
fn the_end_of_input_ends_the_daemon_after_what_is_in_flight() {
    let root = Root::samples();
    let (mut daemon, mut client) = Daemon::stdio(&root.path());
    let ids: Vec<u64> = (0..20)
        .map(|number| {
            let execution = record("p", &format!("run-{number}"), "completed");
            let params = json!({ "projectId": "p", "execution": execution });
            client.request("executions/save", &params)
        })
        .collect();
    client.close();
    for id in ids {
        assert_eq!(client.answer(id)["result"]["created"], true);
    }
    assert_eq!(client.next(), None);
    assert_eq!(code(&mut daemon), Some(0));
    assert!(root.file("p", "run-19").exists());
}

#[test]
fn exit_tells_by_its_status_whether_a_shutdown_came_first() {
    let root = Root::empty();
    let (mut daemon, mut client) = Daemon::stdio(&root.path());
    client.call("shutdown", &json!({}));
    assert_eq!(client.refused("ping", &json!({}))["code"], -32600);
    client.send(r#"{"jsonrpc":"2.0","method":"exit"}"#);
    assert_eq!(code(&mut daemon), Some(0));

    let (mut daemon, mut client) = Daemon::stdio(&root.path());
    client.call("ping", &json!({}));
    client.send(r#"{"jsonrpc":"2.0","method":"exit"}"#);
    assert_eq!(code(&mut daemon), Some(1));
}

#[test]
fn a_shutdown_that_is_refused_refuses_nothing_behind_it() {
    let root = Root::empty();
    let (mut daemon, mut client) = Daemon::stdio(&root.path());
    // at once, so that they come before the answer
    client.send(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"shutdown\",\"params\":{\"x\":1}}\n\
         {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n\
         {\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"executions/stats\"}",
    );
    assert_eq!(client.answer(1)["error"]["code"], -32602);
    assert_eq!(client.answer(2)["result"], json!({}));
    assert_eq!(client.answer(3)["result"]["totalExecutions"], 0);
    client.close();
    assert_eq!(code(&mut daemon), Some(0));
}

#[test]
fn signals_end_the_daemon_cleanly_on_either_transport() {
    let root = Root::empty();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (mut daemon, mut client) = Daemon::stdio(&root.path());
        client.call("ping", &json!({}));
        daemon.signal(signal);
        assert_eq!(code(&mut daemon), Some(0), "{signal:?}");

        let mut daemon = Daemon::socket(&root);
        let mut client = daemon.connect();
        client.call("ping", &json!({}));
        daemon.signal(signal);
        assert_eq!(client.next(), None);
        assert_eq!(code(&mut daemon), Some(0), "{signal:?}");
        assert!(!daemon.socket.as_ref().unwrap().exists());
    }
}

#[test]
fn a_dead_parent_ends_a_daemon_on_stdio() {
    let root = Root::empty();
    let mut parent = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let (mut daemon, mut client) = Daemon::stdio(&root.path());
    client.call("initialize", &json!({ "processId": parent.id() }));
    client.call("ping", &json!({}));
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_eq!(code(&mut daemon), Some(0));

    // one that nobody can see is no reason to end
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("initialize", &json!({ "processId": 2_000_000_000 }));
    client.call("ping", &json!({}));
}

#[test]
fn a_broken_pipe_ends_a_daemon_on_stdio() {
    let root = Root::samples();
    let mut child = runlog()
        .arg("serve")
        .arg("--projects")
        .arg(root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    use std::io::Write;
    // it notices when it writes
    let _ = input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    let began = std::time::Instant::now();
    let status = child.wait().unwrap();
    assert!(began.elapsed() < SOON);
    assert_eq!(status.code(), Some(0));
    drop(input);
}

#[test]
fn on_a_socket_shutdown_and_exit_end_the_connection_only() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut first = daemon.connect();
    let mut second = daemon.connect();
    first.call("shutdown", &json!({}));
    first.send(r#"{"jsonrpc":"2.0","method":"exit"}"#);
    assert_eq!(first.next(), None);
    second.call("ping", &json!({}));
    daemon.connect().call("ping", &json!({}));
}

#[test]
fn a_second_daemon_leaves_the_first_alone() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let path = daemon.socket.clone().unwrap();
    let second = runlog()
        .arg("serve")
        .arg("--projects")
        .arg(root.path())
        .arg(format!("--socket={}", path.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("another daemon") && said.contains(&daemon.pid().to_string()),
        "{said}"
    );
    assert!(second.stdout.is_empty());
    daemon.connect().call("ping", &json!({}));
}

#[test]
fn a_stale_socket_is_taken_over_and_is_private() {
    let root = Root::empty();
    drop(UnixListener::bind(root.beside("s.sock")).unwrap());
    let daemon = Daemon::socket(&root);
    let path = daemon.socket.clone().unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.connect().call("ping", &json!({}));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let root = Root::empty();
    let path = root.beside("s.sock");
    std::fs::write(&path, "precious").unwrap();
    let output = runlog()
        .arg("serve")
        .arg("--projects")
        .arg(root.path())
        .arg(format!("--socket={}", path.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn the_default_socket_lies_in_a_private_folder_and_is_the_one_that_is_printed() {
    let root = Root::empty();
    let runtime = root.beside("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let printed = runlog()
        .env("XDG_RUNTIME_DIR", &runtime)
        .arg("socket")
        .arg("--projects")
        .arg(root.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let mut child = runlog()
        .env("XDG_RUNTIME_DIR", &runtime)
        .arg("serve")
        .arg("--projects")
        .arg(root.path())
        .arg("--socket")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    use std::io::BufRead;
    std::io::BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let (folder, socket) = (
        runtime.join("runlog"),
        ready["socket"].as_str().unwrap().to_owned(),
    );
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(socket, printed.trim());
    assert!(socket.starts_with(folder.to_str().unwrap()), "{socket}");
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn several_roots_are_listed_and_none_is_guessed() {
    let root = Root::empty();
    let repository = root.beside("repository");
    for place in [
        "one/projects/a/executions",
        "two/projects/a/executions",
        ".git",
    ] {
        std::fs::create_dir_all(repository.join(place)).unwrap();
    }
    for command in ["serve", "root"] {
        let output = runlog()
            .current_dir(&repository)
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("one/projects") && said.contains("two/projects"),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
    let output = runlog()
        .current_dir(&repository)
        .args(["root", "--json"])
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["root"], serde_json::Value::Null);
    assert_eq!(found["candidates"].as_array().unwrap().len(), 2);
}

#[test]
fn no_root_is_served_as_empty_until_it_comes() {
    let root = Root::empty();
    let here = root.beside("here");
    std::fs::create_dir(&here).unwrap();
    let (_daemon, mut client) = Daemon::spawn(runlog().current_dir(&here).arg("serve"));
    let hello = client.call("initialize", &json!({}));
    assert_eq!(hello["root"]["exists"], false);
    assert!(!hello["root"]["tried"].as_array().unwrap().is_empty());
    assert_eq!(client.call("executions/list", &json!({}))["total"], 0);
    let projects = here.join("projects");
    runlog::api::samples::lay_out(&projects).unwrap();
    assert_eq!(
        client.call("executions/list", &json!({ "sync": true }))["total"],
        4
    );
    assert_eq!(
        client.call("server/status", &json!({}))["root"]["exists"],
        true
    );
}
