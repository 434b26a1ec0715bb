//! The clients for Node and Python below `editors/clients`: their types are what the method table
//! says, they compile, and their own tests pass against this daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::tools;

/// Where the clients are.
fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("editors/clients")
        .join(language)
}

/// Runs `command` against this daemon; what it says, on both outputs.
fn passes(command: &mut Command) -> String {
    let output = command
        .env("RUNLOG_BINARY", env!("CARGO_BIN_EXE_runlog"))
        .env("XDG_CACHE_HOME", support::cache())
        .env_remove("RUNLOG_PROJECTS")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn the_types_are_what_the_method_table_says() {
    for (language, path) in [
        ("typescript", folder("node").join("types.ts")),
        ("python", folder("python").join("runlog/types.py")),
    ] {
        let printed = support::runlog().args(["types", language]).output();
        let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
        if std::env::var_os("RUNLOG_KEEP_TYPES").is_some() {
            std::fs::write(&path, printed).unwrap();
            continue;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == printed,
            "{} is not what `runlog types {language}` prints: run the test with \
             RUNLOG_KEEP_TYPES=1 and commit it",
            path.display()
        );
    }
}

#[test]
fn the_node_client_outlives_the_daemon_and_records_exactly_once() {
    let said = passes(
        Command::new("node")
            .args(["--test", "--test-reporter=spec"])
            .args(["test/recorder.test.js", "test/requests.test.js"])
            .current_dir(tools::node_client()),
    );
    let passed = said.lines().find_map(|line| line.strip_prefix("ℹ pass "));
    assert!(
        passed.unwrap().trim().parse::<u32>().unwrap() >= 64,
        "{said}"
    );
    assert!(said.contains("ℹ skipped 0"), "{said}");
}

#[test]
fn the_node_client_is_typed() {
    let folder = tools::node_client();
    passes(
        Command::new(folder.join("node_modules/.bin/tsc"))
            .args(["-p", "test"])
            .current_dir(folder),
    );
}

#[test]
fn the_python_client_outlives_the_daemon_and_records_exactly_once() {
    let said = passes(
        Command::new("python3")
            .args(["-W", "error::ResourceWarning", "-B"])
            .args(["-m", "unittest", "discover", "-t", ".", "-s", "tests"])
            .current_dir(folder("python")),
    );
    let ran = said.lines().find_map(|line| line.strip_prefix("Ran "));
    let count = ran.unwrap().split(' ').next().unwrap();
    assert!(count.parse::<u32>().unwrap() >= 75, "{said}");
    assert!(!said.contains("skipped"), "{said}");
}

#[test]
fn the_python_client_is_typed_for_the_oldest_python() {
    passes(
        Command::new("python3")
            .args([
                "-m",
                "mypy",
                "--no-incremental",
                "--config-file=pyproject.toml",
            ])
            .env("PYTHONPATH", tools::mypy())
            .current_dir(folder("python")),
    );
    // and says so, to a program that finds it elsewhere
    let found = std::env::join_paths([tools::mypy(), folder("python")]).unwrap();
    passes(
        Command::new("python3")
            .args(["-m", "mypy", "--no-incremental"])
            .args(["--command", "import runlog"])
            .env("PYTHONPATH", found),
    );
}
