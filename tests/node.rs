//! Clients that others wrote, on Node: vscode-jsonrpc over stdio and the socket, the validator of
//! the OpenRPC specification, CloutAgent's own expectations, and Node's JSON both ways.

mod support;

use std::process::Command;

#[test]
fn clients_on_node_work_unmodified() {
    let folder = support::tools::node_tests();
    let tested = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .current_dir(&folder)
        .env("RUNLOG_BINARY", env!("CARGO_BIN_EXE_runlog"))
        .env_remove("RUNLOG_PROJECTS")
        .env("XDG_CACHE_HOME", support::cache())
        .output()
        .expect("node 20 or later is needed");
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(
        tested.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&tested.stderr)
    );
    assert!(!said.contains("skipped 1"), "{said}");
    let passed = said
        .lines()
        .find_map(|line| line.strip_prefix("ℹ pass "))
        .expect("a count");
    assert!(
        passed.trim().parse::<u32>().unwrap() >= 19,
        "only {passed} ran:\n{said}"
    );
}
